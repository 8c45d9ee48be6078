package opjournal

import (
	"context"
	"encoding/json"
	"fmt"
	"sync/atomic"
	"time"

	"opjournal.dev/opjournal/internal/intercept"
	"opjournal.dev/opjournal/internal/native"
)

// Journal is a replica of everything under one store. All methods may be called from any goroutine.
type Journal struct {
	id      uint64
	queue   *native.Queue
	stopLog func()
	// interceptor is nil everywhere but in tests that use opjournaltest.
	interceptor intercept.Interceptor

	warnings []string
	closing  atomic.Bool
	closed   chan struct{}
}

// Open checks the configuration, the credentials and that the store is there. It never writes to the store. When ctx ends
// first, what was begun is closed again in the background. The library itself gives up after 10 s. Opening a store twice
// gives two replicas.
func Open(ctx context.Context, config Config) (*Journal, error) {
	if ctx.Err() != nil {
		return nil, notStarted(ctx)
	}
	if linked, compiled := native.ABI(), native.HeaderABI(); linked < compiled {
		return nil, &Error{Code: ErrInternal, Outcome: OutcomeNone, Message: fmt.Sprintf(
			"linked against version %d of the C interface, compiled for %d", linked, compiled)}
	}
	text, err := config.text()
	if err != nil {
		return nil, invalid("the configuration: %v", err)
	}
	stopLog, err := forwardLogs(config.Logger)
	if err != nil {
		return nil, err
	}

	type opened struct {
		journal *Journal
		err     error
	}
	result := make(chan opened)
	// The only way to let ctx end a call that has no asynchronous form.
	go func() {
		journal, err := open(text)
		select {
		case result <- opened{journal, err}:
		case <-ctx.Done():
			if err == nil {
				// Nobody waits any more; whatever Close finds is of no use to anybody.
				_ = journal.Close(context.WithoutCancel(ctx))
			}
			stopLog()
		}
	}()
	select {
	case o := <-result:
		if o.err != nil {
			stopLog()
			return nil, o.err
		}
		o.journal.stopLog = stopLog
		o.journal.interceptor = intercept.FromContext(ctx)
		return o.journal, nil
	case <-ctx.Done():
		return nil, notStarted(ctx)
	}
}

func open(config []byte) (*Journal, error) {
	s := native.NewScratch()
	defer s.Release()
	queue, status, err := native.NewQueue(s)
	if err != nil {
		return nil, &Error{Code: ErrInternal, Outcome: OutcomeNone, Message: err.Error()}
	}
	if status != native.OK {
		return nil, failure(nil, status, s.Answer())
	}
	s.Text = append(s.Text, config...)
	id, status := native.Open(s)
	if status != native.OK {
		queue.Abandon()
		return nil, failure(nil, status, s.Answer())
	}
	var answer struct {
		Warnings []string `json:"warnings"`
	}
	// Warnings are for people: an answer of another shape is no reason to fail.
	_ = json.Unmarshal(s.Answer(), &answer)
	return &Journal{id: id, queue: queue, stopLog: func() {}, closed: make(chan struct{}), warnings: answer.Warnings}, nil
}

// Warnings are what the library had to say about the configuration.
func (j *Journal) Warnings() []string {
	return j.warnings
}

// Namespace opens a namespace: one consistent state, with its own objects in the store. The name is empty or matches
// ^[A-Za-z0-9][A-Za-z0-9_-]*$. It returns once the state is read from the store. Opening a name again gives another handle
// on the same namespace.
func (j *Journal) Namespace(ctx context.Context, name string) (*Namespace, error) {
	s := native.NewScratch()
	defer s.Release()
	s.Text = append(s.Text, name...)
	if err := j.wait(ctx, native.OpenNamespace, j.id, s); err != nil {
		return nil, err
	}
	var answer struct {
		Namespace uint64 `json:"namespace"`
	}
	if err := json.Unmarshal(s.Answer(), &answer); err != nil {
		return nil, unexpected(s.Answer(), err)
	}
	return &Namespace{journal: j, id: answer.Namespace, name: name}, nil
}

// Close stops taking work, waits for what is on its way, and closes the journal with all its namespaces. The journal is
// closed even where Close fails: an error with ErrTimedOut means that ctx (or, without a deadline, 10 s) ended before
// every outcome was known. Close again is nil once the first one is done.
func (j *Journal) Close(ctx context.Context) error {
	if j.closing.Swap(true) {
		select {
		case <-j.closed:
			return nil
		case <-ctx.Done():
			return notStarted(ctx)
		}
	}
	defer close(j.closed)
	defer j.stopLog()
	s := native.NewScratch()
	defer s.Release()
	if status := j.queue.Close(ctx, j.id, timeout(ctx), s); status != native.OK {
		return failure(ctx, status, s.Answer())
	}
	return nil
}

// Stats are the library's figures about this journal, as JSON, for people and monitors. It never waits.
func (j *Journal) Stats() (json.RawMessage, error) {
	s := native.NewScratch()
	defer s.Release()
	if status := native.Stats(j.id, s); status != native.OK {
		return nil, failure(nil, status, s.Answer())
	}
	return append(json.RawMessage(nil), s.Answer()...), nil
}

// Waiting is how many calls of this journal wait for the store at the moment.
func (j *Journal) Waiting() int {
	return j.queue.Waiting()
}

// Version is the version of the library that is linked.
func Version() string {
	return native.Version()
}

// wait submits the text in s and waits for its outcome under ctx; the answer is left in s.
func (j *Journal) wait(ctx context.Context, kind native.Kind, handle uint64, s *native.Scratch) error {
	if ctx.Err() != nil {
		return notStarted(ctx)
	}
	if status := j.queue.Do(ctx, kind, handle, timeout(ctx), s); status != native.OK {
		return failure(ctx, status, s.Answer())
	}
	return nil
}

// timeout is how long the library may wait under ctx, in its own terms.
func timeout(ctx context.Context) int64 {
	deadline, ok := ctx.Deadline()
	if !ok {
		return native.TimeoutDefault
	}
	// 0 would mean not to wait at all; that the deadline has passed, ctx itself says in a moment.
	return max(1, milliseconds(time.Until(deadline)))
}

// unexpected is an answer that this package does not understand.
func unexpected(answer []byte, err error) error {
	const shown = 200
	if len(answer) > shown {
		answer = answer[:shown]
	}
	return &Error{Code: ErrInternal, Outcome: OutcomeNone, Message: fmt.Sprintf("unexpected answer %q: %v", answer, err)}
}
