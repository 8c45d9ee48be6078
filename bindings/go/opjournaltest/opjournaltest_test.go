package opjournaltest_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"opjournal.dev/opjournal"
	"opjournal.dev/opjournal/opjournaltest"
)

func counter(t *testing.T, journal *opjournal.Journal) (*opjournal.Namespace, opjournal.Int) {
	t.Helper()
	namespace, err := journal.Namespace(t.Context(), "test")
	if err != nil {
		t.Fatal(err)
	}
	return namespace, opjournal.NewInt(namespace, "total")
}

func wantTotal(t *testing.T, total opjournal.Int, want int64) {
	t.Helper()
	if got, err := total.Get(); err != nil || got != want {
		t.Errorf("total: got %d, %v, want %d", got, err, want)
	}
}

func TestWithoutFaultsItIsAJournal(t *testing.T) {
	t.Parallel()
	journal, faults := opjournaltest.New(t)
	_, total := counter(t, journal)
	if err := total.Add(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	wantTotal(t, total, 1)

	replica, _ := opjournaltest.New(t, func(c *opjournal.Config) { c.Store = faults.Store() })
	_, total = counter(t, replica)
	wantTotal(t, total, 1)

	other, _ := opjournaltest.New(t)
	_, total = counter(t, other)
	wantTotal(t, total, 0)
}

func TestFail(t *testing.T) {
	t.Parallel()
	journal, faults := opjournaltest.New(t)
	namespace, total := counter(t, journal)
	reason := errors.New("the reason")
	faults.FailApply(nil)
	faults.FailApply(reason)
	faults.FailFlush(nil)

	err := total.Add(t.Context(), 1)
	var failure *opjournal.Error
	if !errors.Is(err, opjournal.ErrUnavailable) || errors.Is(err, opjournal.ErrOutcomeUnknown) || !errors.As(err, &failure) || !failure.Retryable {
		t.Errorf("got %v", err)
	}
	if err := total.Add(t.Context(), 1); err != reason {
		t.Errorf("got %v", err)
	}
	wantTotal(t, total, 0)
	if err := namespace.Flush(t.Context()); !errors.Is(err, opjournal.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
	if err := total.Add(t.Context(), 1); err != nil {
		t.Errorf("after the faults: %v", err)
	}
	wantTotal(t, total, 1)
}

func TestDelay(t *testing.T) {
	t.Parallel()
	journal, faults := opjournaltest.New(t)
	namespace, total := counter(t, journal)
	apply, flush := faults.DelayApply(), faults.DelayFlush()
	result := make(chan error)
	go func() { result <- total.Add(t.Context(), 1) }()
	<-apply.Reached()
	wantTotal(t, total, 0)
	apply.Release()
	apply.Release()
	if err := <-result; err != nil {
		t.Error(err)
	}
	wantTotal(t, total, 1)

	go func() { result <- namespace.Flush(t.Context()) }()
	<-flush.Reached()
	flush.Release()
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func TestContextEndsADelay(t *testing.T) {
	t.Parallel()
	journal, faults := opjournaltest.New(t)
	_, total := counter(t, journal)
	faults.DelayApply()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := total.Add(ctx, 1); !errors.Is(err, opjournal.ErrCancelled) || !errors.Is(err, context.Canceled) || errors.Is(err, opjournal.ErrOutcomeUnknown) {
		t.Errorf("got %v", err)
	}
	faults.DelayApply()
	ctx, cancel = context.WithTimeout(t.Context(), time.Nanosecond)
	defer cancel()
	if err := total.Add(ctx, 1); !errors.Is(err, opjournal.ErrTimedOut) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	wantTotal(t, total, 0)
}

func TestUnknown(t *testing.T) {
	t.Parallel()
	for _, takesEffect := range []bool{true, false} {
		t.Run(fmt.Sprint(takesEffect), func(t *testing.T) {
			journal, faults := opjournaltest.New(t)
			namespace, total := counter(t, journal)
			faults.UnknownApply(takesEffect)
			err := total.Add(t.Context(), 1)
			var failure *opjournal.Error
			if !errors.Is(err, opjournal.ErrOutcomeUnknown) || !errors.As(err, &failure) || failure.Segment == "" || failure.Retryable {
				t.Fatalf("got %v", err)
			}
			wantOutcome := func(want opjournal.Outcome) {
				t.Helper()
				if got, err := namespace.Outcome(failure.Segment); err != nil || got != want {
					t.Errorf("outcome: got %q, %v, want %q", got, err, want)
				}
			}
			wantOutcome(opjournal.OutcomeUnknown)
			// A Flush that fails settles nothing.
			faults.FailFlush(nil)
			if err := namespace.Flush(t.Context()); err == nil {
				t.Error("the Flush did not fail")
			}
			wantOutcome(opjournal.OutcomeUnknown)
			if err := namespace.Flush(t.Context()); err != nil {
				t.Fatal(err)
			}
			if takesEffect {
				wantOutcome(opjournal.OutcomeApplied)
				wantTotal(t, total, 1)
			} else {
				wantOutcome(opjournal.OutcomeFailed)
				wantTotal(t, total, 0)
			}
		})
	}
}

// recorder stands for the test that uses the package, to see that it fails where it should.
type recorder struct {
	testing.TB
	errors   []string
	cleanups []func()
}

func (r *recorder) Errorf(format string, arguments ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, arguments...))
}

func (r *recorder) Cleanup(cleanup func()) {
	r.cleanups = append(r.cleanups, cleanup)
}

func TestAFaultThatNobodyMeetsFailsTheTest(t *testing.T) {
	t.Parallel()
	r := &recorder{TB: t}
	_, faults := opjournaltest.New(r)
	faults.FailApply(nil)
	for _, cleanup := range r.cleanups {
		cleanup()
	}
	if len(r.errors) != 1 {
		t.Errorf("got %q, want one error", r.errors)
	}
}
