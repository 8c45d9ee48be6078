// Package opjournaltest gives tests a journal of the real library in memory, and lets it fail, wait, or leave an outcome
// unknown at the moment that the test chooses:
//
//	func TestRetry(t *testing.T) {
//		journal, faults := opjournaltest.New(t)
//		namespace, err := journal.Namespace(t.Context(), "orders")
//		...
//		faults.FailApply(nil) // the next Apply fails as if the store could not be reached
//		err = service.PlaceOrder(ctx, order)
//		...
//	}
//
// Everything that is not told to misbehave is done by the library, so a test sees the semantics that production has.
package opjournaltest

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"opjournal.dev/opjournal"
	"opjournal.dev/opjournal/internal/intercept"
)

// stores makes the name of every store its own, so that parallel tests do not meet.
var stores atomic.Uint64

// New opens a journal on a new store in memory, with the faults of its own that the test may arm. The journal is closed at
// the end of the test, which fails if a fault that was armed was never met. Each edit may change the configuration first,
// for example to set the store to one that another journal uses: [Faults.Store] gives its URL.
func New(tb testing.TB, edits ...func(*opjournal.Config)) (*opjournal.Journal, *Faults) {
	tb.Helper()
	config := opjournal.Config{Store: fmt.Sprintf("memory:opjournaltest-%d", stores.Add(1))}
	for _, edit := range edits {
		edit(&config)
	}
	faults := &Faults{store: config.Store, unknown: map[segment]*fate{}}
	journal, err := opjournal.Open(intercept.NewContext(tb.Context(), interceptor{faults}), config)
	if err != nil {
		tb.Fatalf("opjournaltest: %v", err)
	}
	tb.Cleanup(func() {
		// The context of the test is over by now.
		if err := journal.Close(context.Background()); err != nil {
			tb.Errorf("opjournaltest: %v", err)
		}
		if applies, flushes := faults.pending(); applies+flushes > 0 {
			tb.Errorf("opjournaltest: faults armed and never met: %d for Apply, %d for Flush", applies, flushes)
		}
	})
	return journal, faults
}

// Faults makes the next calls on one journal misbehave. Each method arms one fault for one call; faults of the same kind of
// call are met in the order in which they were armed. All methods may be called from any goroutine.
type Faults struct {
	store   string
	mutex   sync.Mutex
	applies []fault
	flushes []fault
	unknown map[segment]*fate
	lost    uint64
}

// Store is the URL of the journal's store, for another journal on the same one.
func (f *Faults) Store() string {
	return f.store
}

// FailApply makes the next Apply fail with err, and write nothing. Nil: an ErrUnavailable that is worth another try.
func (f *Faults) FailApply(err error) {
	f.arm(&f.applies, failing{orUnavailable(err)})
}

// FailFlush makes the next Flush fail with err. Nil: an ErrUnavailable that is worth another try.
func (f *Faults) FailFlush(err error) {
	f.arm(&f.flushes, failing{orUnavailable(err)})
}

// DelayApply makes the next Apply wait before it is sent, until the delay is released or its context ends.
func (f *Faults) DelayApply() *Delay {
	delay := newDelay()
	f.arm(&f.applies, delay)
	return delay
}

// DelayFlush makes the next Flush wait before it begins, until the delay is released or its context ends.
func (f *Faults) DelayFlush() *Delay {
	delay := newDelay()
	f.arm(&f.flushes, delay)
	return delay
}

// UnknownApply makes the next Apply fail with an outcome that is unknown: [opjournal.Namespace.Outcome] says "unknown" for
// the segment that the error names, until a Flush of that namespace succeeds; from then on it says what takesEffect says.
// With takesEffect the batch is applied all the same. Without, it is lost.
func (f *Faults) UnknownApply(takesEffect bool) {
	f.arm(&f.applies, leavingUnknown{f, takesEffect})
}

func (f *Faults) arm(queue *[]fault, armed fault) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	*queue = append(*queue, armed)
}

// next takes the fault that the next call meets: none, where none is armed.
func (f *Faults) next(queue *[]fault) fault {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if len(*queue) == 0 {
		return nothing{}
	}
	first := (*queue)[0]
	*queue = (*queue)[1:]
	return first
}

func (f *Faults) pending() (applies, flushes int) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return len(f.applies), len(f.flushes)
}

// segment names a write whose outcome was made unknown.
type segment struct{ namespace, key string }

// fate is what becomes of such a write, and whether that may be told yet.
type fate struct {
	applied bool
	settled bool
}

// Delay is a call that is held up.
type Delay struct {
	reached  chan struct{}
	released chan struct{}
	release  func()
}

func newDelay() *Delay {
	released := make(chan struct{})
	return &Delay{
		reached:  make(chan struct{}),
		released: released,
		release:  sync.OnceFunc(func() { close(released) }),
	}
}

// Reached is closed once a call waits.
func (d *Delay) Reached() <-chan struct{} {
	return d.reached
}

// Release lets the call go on, also if it has not come yet. Releasing twice is fine.
func (d *Delay) Release() {
	d.release()
}
