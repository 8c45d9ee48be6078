package opjournal_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"opjournal.dev/opjournal"
)

var memoryStores atomic.Uint64

// memoryStore is a store that no other test uses.
func memoryStore() string {
	return fmt.Sprintf("memory:go-test-%d", memoryStores.Add(1))
}

// onEachStore runs a test against every kind of store that needs no server.
func onEachStore(t *testing.T, test func(t *testing.T, store string)) {
	t.Run("memory", func(t *testing.T) { test(t, memoryStore()) })
	t.Run("file", func(t *testing.T) { test(t, "file://"+t.TempDir()) })
}

func open(t testing.TB, config opjournal.Config) *opjournal.Journal {
	t.Helper()
	journal, err := opjournal.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := journal.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return journal
}

func openNamespace(t testing.TB, journal *opjournal.Journal, name string) *opjournal.Namespace {
	t.Helper()
	namespace, err := journal.Namespace(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	return namespace
}

// newNamespace is a namespace of a new journal on a store.
func newNamespace(t testing.TB, store string) *opjournal.Namespace {
	t.Helper()
	return openNamespace(t, open(t, opjournal.Config{Store: store}), "test")
}

// ok fails the test where err is set.
func ok(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// value unpacks a result that must be there.
func value[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

// collect reads an iteration to its end.
func collect[T any](t testing.TB, seq iter.Seq2[T, error]) []T {
	t.Helper()
	var all []T
	for item, err := range seq {
		ok(t, err)
		all = append(all, item)
	}
	return all
}

// failed fails the test unless err is an *Error with a code and an outcome, which it returns. Any goroutine may call it.
func failed(t testing.TB, err error, code opjournal.Code, outcome opjournal.Outcome) *opjournal.Error {
	t.Helper()
	e := new(opjournal.Error)
	switch {
	case !errors.As(err, &e):
		t.Errorf("got %v, want an *Error", err)
	case !errors.Is(err, code) || e.Code != code:
		t.Errorf("got %v, want the code %v", err, code)
	case e.Outcome != outcome || errors.Is(err, opjournal.ErrOutcomeUnknown) != (outcome == opjournal.OutcomeUnknown):
		t.Errorf("got %v with outcome %q, want outcome %q", err, e.Outcome, outcome)
	}
	return e
}

// eventually waits until a condition holds that becomes true by itself.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		runtime.Gosched()
	}
}

// ownGoroutines are the stacks of the goroutines that run code of this module, but for the one that asks.
func ownGoroutines() []string {
	stacks := make([]byte, 1<<20)
	for {
		n := runtime.Stack(stacks, true)
		if n < len(stacks) {
			stacks = stacks[:n]
			break
		}
		stacks = make([]byte, 2*len(stacks))
	}
	var own []string
	// The first one is the one that asks.
	for _, stack := range strings.Split(string(stacks), "\n\n")[1:] {
		if strings.Contains(stack, "opjournal.dev/opjournal") && !strings.Contains(stack, "testing.tRunner") {
			own = append(own, stack)
		}
	}
	return own
}

func TestMain(m *testing.M) {
	code := m.Run()
	// Everything that the tests opened is closed now, so nothing of the package may run on.
	deadline := time.Now().Add(10 * time.Second)
	for len(ownGoroutines()) > 0 && time.Now().Before(deadline) {
		runtime.Gosched()
	}
	for _, stack := range ownGoroutines() {
		fmt.Fprintf(os.Stderr, "still running after the last Close:\n%s\n\n", stack)
		code = 1
	}
	os.Exit(code)
}
