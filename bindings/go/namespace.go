package opjournal

import (
	"context"
	"encoding/json"
	"iter"
	"time"

	"opjournal.dev/opjournal/internal/native"
)

// Namespace is a handle on one named state. All methods may be called from any goroutine. Batches that one goroutine
// applies through one handle apply in that order.
type Namespace struct {
	journal *Journal
	id      uint64
	name    string
}

// Applied is a batch that is durable and counts exactly once, for every replica.
type Applied struct {
	// Segment is the key of the object that holds the batch.
	Segment string
}

// Name is the name that the namespace was opened with.
func (n *Namespace) Name() string {
	return n.name
}

// Apply writes ops as one atomic batch and returns once it is durable in the store. From then on this journal's queries
// see it; other replicas see it with their next sync or Flush.
//
// When ctx ends before the batch was sent, it is withdrawn: the error has OutcomeNone. When ctx ends later, the error
// matches ErrOutcomeUnknown and names the segment: the batch may or may not take effect, at most once. Without a deadline
// in ctx, the library bounds the wait with 30 s.
//
// Past Limits.WaitingBytes it fails with ErrBusy at once, so that callers feel it when the store cannot keep up.
func (n *Namespace) Apply(ctx context.Context, ops ...Op) (Applied, error) {
	var segment string
	var err error
	if i := n.journal.interceptor; i != nil {
		segment, err = i.Apply(ctx, n.name, func(ctx context.Context) (string, error) { return n.apply(ctx, ops) })
	} else {
		segment, err = n.apply(ctx, ops)
	}
	return Applied{Segment: segment}, err
}

func (n *Namespace) apply(ctx context.Context, ops []Op) (segment string, err error) {
	s := native.NewScratch()
	defer s.Release()
	if s.Text, err = appendOps(s.Text, n, ops); err != nil {
		return "", err
	}
	if err := n.journal.wait(ctx, native.Apply, n.id, s); err != nil {
		return "", err
	}
	return segmentOf(s.Answer())
}

// Flush is a barrier: whatever any replica was told to be applied before Flush was called is visible to this journal's
// queries after it. It also waits for outcomes that are unknown. Without a deadline in ctx, the library bounds the wait
// with 30 s.
func (n *Namespace) Flush(ctx context.Context) error {
	if i := n.journal.interceptor; i != nil {
		return i.Flush(ctx, n.name, n.flush)
	}
	return n.flush(ctx)
}

func (n *Namespace) flush(ctx context.Context) error {
	s := native.NewScratch()
	defer s.Release()
	return n.journal.wait(ctx, native.Flush, n.id, s)
}

// Query answers a query, or an array of queries from one consistent state, both as JSON text. It never waits and never
// asks the store. The typed views and the methods below cover nearly every use.
func (n *Namespace) Query(query []byte) ([]byte, error) {
	s := native.NewScratch()
	defer s.Release()
	s.Text = append(s.Text, query...)
	answer, err := n.ask(s)
	if err != nil {
		return nil, err
	}
	return append([]byte(nil), answer...), nil
}

// ask answers the query in s.Text. The answer is memory of s.
func (n *Namespace) ask(s *native.Scratch) ([]byte, error) {
	if status := native.Query(n.id, s); status != native.OK {
		return nil, failure(nil, status, s.Answer())
	}
	return s.Answer(), nil
}

// askJSON decodes the answer to the query in s.Text.
func (n *Namespace) askJSON(s *native.Scratch, out any) error {
	answer, err := n.ask(s)
	if err != nil {
		return err
	}
	if err := unmarshal(answer, out); err != nil {
		return unexpected(answer, err)
	}
	return nil
}

// Outcome tells what became of a write of this process whose error said ErrOutcomeUnknown and named the segment.
func (n *Namespace) Outcome(segment string) (Outcome, error) {
	if i := n.journal.interceptor; i != nil {
		if outcome, ok := i.Outcome(n.name, segment); ok {
			return Outcome(outcome), nil
		}
	}
	s := native.NewScratch()
	defer s.Release()
	s.Text = append(s.Text, `{"op":"Outcome","Segment":`...)
	s.Text = appendString(s.Text, segment)
	s.Text = append(s.Text, '}')
	var outcome Outcome
	err := n.askJSON(s, &outcome)
	return outcome, err
}

// Metrics is the figures of this namespace's journal and of all that is open in it, in the text format of Prometheus.
func (n *Namespace) Metrics() (string, error) {
	s := native.NewScratch()
	defer s.Release()
	s.Text = append(s.Text, `{"op":"Metrics"}`...)
	answer, err := n.ask(s)
	if err != nil {
		return "", err
	}
	return decodeJSON[string](answer)
}

// Digest is a fingerprint of a namespace's state: replicas with the same one hold the same state.
type Digest struct {
	// SHA256 is the hash of the whole state as canonical JSON, in hex.
	SHA256 string
	// Mark is the place in the journal up to which segments are folded, as JSON.
	Mark json.RawMessage
	// Age is how long ago the state was last known to be complete.
	Age time.Duration
}

// Digest costs more the larger the state is; Age does not.
func (n *Namespace) Digest() (Digest, error) {
	s := native.NewScratch()
	defer s.Release()
	s.Text = append(s.Text, `{"op":"Digest"}`...)
	var answer struct {
		SHA256 string          `json:"sha256"`
		Mark   json.RawMessage `json:"mark"`
		AgeMS  int64           `json:"age_ms"`
	}
	if err := n.askJSON(s, &answer); err != nil {
		return Digest{}, err
	}
	return Digest{SHA256: answer.SHA256, Mark: answer.Mark, Age: time.Duration(answer.AgeMS) * time.Millisecond}, nil
}

// Age is how long ago the state was last known to be complete: what a readiness check asks. It costs the same on any state.
func (n *Namespace) Age() (time.Duration, error) {
	s := native.NewScratch()
	defer s.Release()
	s.Text = append(s.Text, `{"op":"Age"}`...)
	var answer struct {
		AgeMS int64 `json:"age_ms"`
	}
	if err := n.askJSON(s, &answer); err != nil {
		return 0, err
	}
	return time.Duration(answer.AgeMS) * time.Millisecond, nil
}

// Shape is what a name holds, and with it what an op on it does.
type Shape string

// The shapes. Sets and int maps are maps too.
const (
	ShapeInt    Shape = "int"
	ShapeMap    Shape = "map"
	ShapeList   Shape = "list"
	ShapeScalar Shape = "scalar"
)

// NameInfo describes one name of a namespace.
type NameInfo struct {
	Name  string `json:"name"`
	Shape Shape  `json:"shape"`
	// Len is the number of entries of a map or list.
	Len int64 `json:"len"`
}

// Names iterates over everything that the namespace holds, sorted by name. Prefix and After select.
func (n *Namespace) Names(options ...RangeOption) iter.Seq2[NameInfo, error] {
	return items(n, "Names", "", options, decodeJSON[NameInfo])
}

// State is the whole state as canonical JSON, for exports and for comparing replicas.
func (n *Namespace) State() (json.RawMessage, error) {
	return n.Query([]byte(`{"op":"State"}`))
}

// Quarantine moves a segment that cannot be read aside, so that the namespace goes on without it, and returns what the
// library says about where it is now, as JSON. It is rare, and unlike the other calls it occupies an OS thread while it
// waits. When ctx ends first, the segment may still be moved.
func (n *Namespace) Quarantine(ctx context.Context, segment string) (json.RawMessage, error) {
	if ctx.Err() != nil {
		return nil, notStarted(ctx)
	}
	type moved struct {
		answer json.RawMessage
		err    error
	}
	result := make(chan moved, 1)
	limit := timeout(ctx)
	go func() {
		s := native.NewScratch()
		defer s.Release()
		s.Text = append(s.Text, segment...)
		if status := native.Quarantine(n.id, limit, s); status != native.OK {
			result <- moved{err: failure(nil, status, s.Answer())}
			return
		}
		result <- moved{answer: append(json.RawMessage(nil), s.Answer()...)}
	}()
	select {
	case m := <-result:
		return m.answer, m.err
	case <-ctx.Done():
		err := notStarted(ctx).(*Error)
		err.Outcome, err.Segment = OutcomeUnknown, segment
		return nil, err
	}
}

// Close gives the handle up. Batches that were accepted still finish. Closing twice is fine; any other use of the handle
// afterwards fails with ErrClosed or ErrBadHandle.
func (n *Namespace) Close() error {
	switch status := native.CloseNamespace(n.id); status {
	case native.OK, native.Closed, native.BadHandle:
		return nil
	default:
		return failure(nil, status, nil)
	}
}
