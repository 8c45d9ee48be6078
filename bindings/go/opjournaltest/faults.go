package opjournaltest

import (
	"context"
	"errors"
	"fmt"

	"opjournal.dev/opjournal"
)

// call is a call on the journal: what is left of it is to be forwarded. It returns the segment that holds the batch, where
// there is one.
type call func(ctx context.Context) (segment string, err error)

// fault is what one call meets on its way to the library.
type fault interface {
	meet(ctx context.Context, namespace string, forward call) (string, error)
}

type nothing struct{}

func (nothing) meet(ctx context.Context, _ string, forward call) (string, error) {
	return forward(ctx)
}

type failing struct{ err error }

func (f failing) meet(context.Context, string, call) (string, error) {
	return "", f.err
}

func orUnavailable(err error) error {
	if err != nil {
		return err
	}
	return &opjournal.Error{
		Code:      opjournal.ErrUnavailable,
		Message:   "opjournaltest: the store cannot be reached",
		Outcome:   opjournal.OutcomeNone,
		Retryable: true,
	}
}

func (d *Delay) meet(ctx context.Context, _ string, forward call) (string, error) {
	close(d.reached)
	select {
	case <-d.released:
		return forward(ctx)
	case <-ctx.Done():
		code := opjournal.ErrCancelled
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			code = opjournal.ErrTimedOut
		}
		return "", &opjournal.Error{Code: code, Message: "opjournaltest: " + ctx.Err().Error(), Outcome: opjournal.OutcomeNone}
	}
}

type leavingUnknown struct {
	faults      *Faults
	takesEffect bool
}

func (l leavingUnknown) meet(ctx context.Context, namespace string, forward call) (string, error) {
	var key string
	if l.takesEffect {
		var err error
		if key, err = forward(ctx); err != nil {
			return "", err
		}
	} else {
		key = l.faults.lose()
	}
	l.faults.leave(segment{namespace, key}, &fate{applied: l.takesEffect})
	return "", &opjournal.Error{
		Code:    opjournal.ErrTimedOut,
		Message: "opjournaltest: the answer of the store was lost",
		Outcome: opjournal.OutcomeUnknown,
		Segment: key,
	}
}

// lose makes up the key of a segment that never reaches the store.
func (f *Faults) lose() string {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.lost++
	return fmt.Sprintf("segment-00000000-0000-7000-8000-%012x.json", f.lost)
}

func (f *Faults) leave(name segment, left *fate) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.unknown[name] = left
}

// settle lets the outcomes of a namespace be told.
func (f *Faults) settle(namespace string) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	for name, left := range f.unknown {
		if name.namespace == namespace {
			left.settled = true
		}
	}
}

// interceptor is what the journal calls.
type interceptor struct{ faults *Faults }

func (i interceptor) Apply(
	ctx context.Context, namespace string, forward func(context.Context) (string, error),
) (string, error) {
	return i.faults.next(&i.faults.applies).meet(ctx, namespace, forward)
}

func (i interceptor) Flush(ctx context.Context, namespace string, forward func(context.Context) error) error {
	_, err := i.faults.next(&i.faults.flushes).meet(ctx, namespace, func(ctx context.Context) (string, error) {
		return "", forward(ctx)
	})
	if err == nil {
		i.faults.settle(namespace)
	}
	return err
}

func (i interceptor) Outcome(namespace, key string) (string, bool) {
	i.faults.mutex.Lock()
	defer i.faults.mutex.Unlock()
	left, ok := i.faults.unknown[segment{namespace, key}]
	switch {
	case !ok:
		return "", false
	case !left.settled:
		return string(opjournal.OutcomeUnknown), true
	case left.applied:
		return string(opjournal.OutcomeApplied), true
	default:
		return string(opjournal.OutcomeFailed), true
	}
}
