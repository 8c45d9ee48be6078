package native

// #include <opjournal.h>
import "C"

import (
	"context"
	"sync"
)

// slotCount is how many calls of one journal may wait at once; further callers wait for a slot, under their context.
const slotCount = 1 << 16

// Kind says what a call on a Queue does.
type Kind uint8

// The calls that wait.
const (
	OpenNamespace Kind = iota
	Apply
	Flush
	closeJournal
)

// Queue carries every waiting call of one journal: the callers park on Go channels, and one goroutine, itself parked in Go's
// network poller, hands the completions out. No OS thread waits for anything.
type Queue struct {
	id     C.opjournal_queue
	reader *reader
	// slots holds one token for each call between its submission and its completion. The library's queue has one slot more,
	// which is kept for the close of the journal.
	slots chan struct{}

	mutex sync.Mutex
	calls []*call // by tag
	idle  []*call
	busy  int
	// closed refuses new calls; drained is closed once the last one has returned after that.
	closed  bool
	drained chan struct{}
}

// call is what the reader and the goroutine that waits share. Its tag is its place in Queue.calls; it goes back to
// Queue.idle only after its completion was taken, so that a tag never names two calls at once.
type call struct {
	tag    C.uint64_t
	done   chan struct{}
	status Status
	result C.opjournal_buffer
}

// NewQueue opens a queue and starts its reader.
func NewQueue(s *Scratch) (*Queue, Status, error) {
	q := &Queue{slots: make(chan struct{}, slotCount), drained: make(chan struct{})}
	if status := Status(C.opjournal_queue_open(slotCount+1, &q.id, s.buffer)); status != OK {
		return nil, status, nil
	}
	var err error
	if q.reader, err = startReader(q.id, q.deliver); err != nil {
		C.opjournal_queue_close(q.id)
		return nil, Internal, err
	}
	return q, OK, nil
}

// Do submits the text in s and waits for the outcome, whose JSON it leaves in s. When ctx ends first, the call is cancelled:
// the library completes it at once and says whether it was withdrawn in time. The answer is empty where the call was not
// even submitted.
func (q *Queue) Do(ctx context.Context, kind Kind, handle uint64, timeout int64, s *Scratch) Status {
	select {
	case q.slots <- struct{}{}:
	default:
		select {
		case q.slots <- struct{}{}:
		case <-ctx.Done():
			s.buffer.len = 0
			return Cancelled
		}
	}
	defer func() { <-q.slots }()
	q.mutex.Lock()
	if q.closed {
		q.mutex.Unlock()
		s.buffer.len = 0
		return Closed
	}
	c := q.claim()
	q.mutex.Unlock()
	return q.run(ctx, c, kind, handle, timeout, s)
}

// run submits a call, waits for it and gives its place back.
func (q *Queue) run(ctx context.Context, c *call, kind Kind, handle uint64, timeout int64, s *Scratch) Status {
	defer q.release(c)
	if status := q.submit(kind, handle, c.tag, timeout, s); status != OK {
		return status
	}
	s.dropText()
	if end := ctx.Done(); end == nil {
		// Waiting for one channel takes less time, and less of the stack, than for two.
		<-c.done
	} else {
		select {
		case <-c.done:
		case <-end:
			enter()
			// What it returns does not matter: the completion is owed either way, and tells the rest.
			C.opjournal_cancel(q.id, c.tag)
			leave()
			<-c.done
		}
	}
	s.adopt(c.result)
	c.result = C.opjournal_buffer{}
	return c.status
}

func (q *Queue) submit(kind Kind, handle uint64, tag C.uint64_t, timeout int64, s *Scratch) Status {
	enter()
	defer leave()
	text, size := s.text()
	limit := C.int64_t(timeout)
	switch kind {
	case OpenNamespace:
		return Status(C.opjournal_namespace_open_async(C.opjournal_journal(handle), q.id, tag, text, size, limit, s.buffer))
	case Apply:
		return Status(C.opjournal_apply_async(C.opjournal_namespace(handle), q.id, tag, text, size, limit, s.buffer))
	case Flush:
		return Status(C.opjournal_flush_async(C.opjournal_namespace(handle), q.id, tag, limit, s.buffer))
	default:
		return Status(C.opjournal_close_async(C.opjournal_journal(handle), q.id, tag, limit, s.buffer))
	}
}

// claim takes an idle call, or a new one. The mutex is held.
func (q *Queue) claim() *call {
	q.busy++
	if last := len(q.idle) - 1; last >= 0 {
		c := q.idle[last]
		q.idle = q.idle[:last]
		return c
	}
	c := &call{tag: C.uint64_t(len(q.calls)), done: make(chan struct{}, 1)}
	q.calls = append(q.calls, c)
	return c
}

func (q *Queue) release(c *call) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	q.idle = append(q.idle, c)
	q.busy--
	if q.closed && q.busy == 0 {
		close(q.drained)
	}
}

// deliver hands completions to the goroutines that wait for them. It runs on the reader.
func (q *Queue) deliver(completions []C.opjournal_completion) {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	for i := range completions {
		completion := &completions[i]
		known := completion.kind >= C.OPJOURNAL_KIND_NAMESPACE_OPEN && completion.kind <= C.OPJOURNAL_KIND_CLOSE
		if !known || completion.tag >= C.uint64_t(len(q.calls)) {
			// Later versions of the library may say more than was asked for.
			C.opjournal_buffer_free(&completion.result)
			continue
		}
		c := q.calls[completion.tag]
		c.status = Status(completion.status)
		c.result = completion.result
		c.done <- struct{}{}
	}
}

// Waiting is how many calls wait, or are about to submit or to return.
func (q *Queue) Waiting() int {
	q.mutex.Lock()
	defer q.mutex.Unlock()
	return q.busy
}

// Close closes the journal through the queue, lets every call that still waits return, and ends the queue and its reader.
// It is called once.
func (q *Queue) Close(ctx context.Context, journal uint64, timeout int64, s *Scratch) Status {
	q.mutex.Lock()
	q.closed = true
	c := q.claim()
	q.mutex.Unlock()
	status := q.run(ctx, c, closeJournal, journal, timeout, s)
	<-q.drained
	q.Abandon()
	return status
}

// Abandon ends a queue that owes nothing.
func (q *Queue) Abandon() {
	q.reader.stop()
	C.opjournal_queue_close(q.id)
}
