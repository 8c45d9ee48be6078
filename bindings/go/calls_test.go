package opjournal_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"opjournal.dev/opjournal"
)

// threads is how many OS threads this process has, the library's included.
func threads(t *testing.T) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("counts threads in /proc")
	}
	tasks, err := os.ReadDir("/proc/self/task")
	ok(t, err)
	return len(tasks)
}

// neverCommits is a namespace with its first segment written and no second one due during the test: what is applied now
// waits, and can be withdrawn.
func neverCommits(t *testing.T, config opjournal.Config) (*opjournal.Journal, *opjournal.Namespace) {
	t.Helper()
	config.Store, config.CommitInterval = "file://"+t.TempDir(), time.Hour
	journal := open(t, config)
	// A close waits for what was accepted: here that would be in vain. It runs before the one of open, which finds it closed.
	t.Cleanup(func() { ok(t, journal.Close(soon(t))) })
	namespace := openNamespace(t, journal, "test")
	ok(t, opjournal.NewInt(namespace, "first").Add(t.Context(), 1))
	return journal, namespace
}

// soon is a context that ends in a moment, also after the test's own has.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

func TestTenThousandWaitingGoroutinesNeedFewThreads(t *testing.T) {
	const count = 10_000
	const most = 20
	onEachStore(t, func(t *testing.T, store string) {
		journal := open(t, opjournal.Config{Store: store})
		namespace := openNamespace(t, journal, "test")
		total := opjournal.NewInt(namespace, "total")
		var group sync.WaitGroup
		for range count {
			group.Add(1)
			go func() {
				defer group.Done()
				if err := total.Add(t.Context(), 1); err != nil {
					t.Error(err)
				}
				if err := namespace.Flush(t.Context()); err != nil {
					t.Error(err)
				}
			}()
		}
		group.Wait()
		if got := value[int64](t)(total.Get()); got != count {
			t.Errorf("total: got %d, want %d", got, count)
		}
	})
	// All at the same moment, for certain.
	journal, namespace := neverCommits(t, opjournal.Config{})
	total := opjournal.NewInt(namespace, "total")
	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	for range count {
		group.Add(1)
		go func() {
			defer group.Done()
			failed(t, total.Add(ctx, 1), opjournal.ErrCancelled, opjournal.OutcomeNone)
		}()
	}
	eventually(t, "all wait", func() bool { return journal.Waiting() == count })
	if got := threads(t); got > most {
		t.Errorf("%d goroutines wait on %d threads, want at most %d", count, got, most)
	}
	cancel()
	group.Wait()
	if got := value[int64](t)(total.Get()); got != 0 {
		t.Errorf("what was withdrawn counts: %d", got)
	}
}

func TestContextBeforeTheBatchIsSent(t *testing.T) {
	journal, namespace := neverCommits(t, opjournal.Config{})
	total := opjournal.NewInt(namespace, "total")

	over, cancel := context.WithCancel(t.Context())
	cancel()
	err := total.Add(over, 1)
	failed(t, err, opjournal.ErrCancelled, opjournal.OutcomeNone)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled in it", err)
	}

	reason := errors.New("the reason")
	why, because := context.WithCancelCause(t.Context())
	result := make(chan error)
	go func() { result <- total.Add(why, 1) }()
	eventually(t, "it waits", func() bool { return journal.Waiting() == 1 })
	because(reason)
	err = <-result
	failed(t, err, opjournal.ErrCancelled, opjournal.OutcomeNone)
	if !errors.Is(err, context.Canceled) || !errors.Is(err, reason) {
		t.Errorf("got %v, want context.Canceled and the cause in it", err)
	}

	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	err = total.Add(short, 1)
	if e := failed(t, err, opjournal.ErrTimedOut, opjournal.OutcomeNone); !e.Retryable {
		t.Error("a write that was withdrawn at a deadline may be tried again")
	}
	if !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.DeadlineExceeded in it", err)
	}
	ok(t, namespace.Flush(t.Context()))
	if got := value[int64](t)(total.Get()); got != 0 {
		t.Errorf("what was withdrawn counts: %d", got)
	}
}

// TestContextAfterTheBatchWasSent keeps the store from answering by holding the lock under which it publishes objects.
func TestContextAfterTheBatchWasSent(t *testing.T) {
	directory := t.TempDir()
	namespace := newNamespace(t, "file://"+directory)
	total := opjournal.NewInt(namespace, "total")
	ok(t, total.Add(t.Context(), 1))
	lock, err := os.OpenFile(filepath.Join(directory, ".opjournal", "publication"), os.O_RDWR, 0)
	ok(t, err)
	defer lock.Close()
	ok(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_EX))

	var unknown *opjournal.Error
	for unknown == nil {
		// Nearly always long enough to be sent; where it was not, the batch was withdrawn, and the next one tries.
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		err := total.Add(ctx, 1)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("got %v, want context.DeadlineExceeded in it", err)
		}
		if errors.Is(err, opjournal.ErrOutcomeUnknown) {
			unknown = failed(t, err, opjournal.ErrTimedOut, opjournal.OutcomeUnknown)
		}
	}
	if !strings.HasPrefix(unknown.Segment, "segment-") || unknown.Retryable {
		t.Errorf("got %+v, want a segment, and no retry", unknown)
	}
	if got := value[opjournal.Outcome](t)(namespace.Outcome(unknown.Segment)); got != opjournal.OutcomeUnknown {
		t.Errorf("got %q before the store answers", got)
	}
	ok(t, syscall.Flock(int(lock.Fd()), syscall.LOCK_UN))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	ok(t, namespace.Flush(ctx))
	want := map[opjournal.Outcome]int64{opjournal.OutcomeApplied: 2, opjournal.OutcomeFailed: 1}
	outcome := value[opjournal.Outcome](t)(namespace.Outcome(unknown.Segment))
	if got := value[int64](t)(total.Get()); want[outcome] != got {
		t.Errorf("outcome %q, total %d", outcome, got)
	}
}

func TestErrorsAreTyped(t *testing.T) {
	ctx := t.Context()
	_, err := opjournal.Open(ctx, opjournal.Config{Store: "ftp://nowhere"})
	failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone)
	_, err = opjournal.Open(ctx, opjournal.Config{Store: memoryStore(), SyncInterval: -time.Second})
	failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone)
	_, err = opjournal.Open(ctx, opjournal.Config{Store: "file://" + filepath.Join(t.TempDir(), "missing")})
	failed(t, err, opjournal.ErrNoSuchStore, opjournal.OutcomeNone)

	store := memoryStore()
	namespace := newNamespace(t, store)
	_, err = namespace.Apply(ctx, opjournal.NewInt(namespace, "total").AddOp(1), opjournal.RawOp([]byte(`{"op":"Nonsense","Key":"x"}`)))
	if e := failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone); e.Details["op"] != json.Number("1") {
		t.Errorf("got %+v, want the index of the op", e)
	}
	if got := value[int64](t)(opjournal.NewInt(namespace, "total").Get()); got != 0 {
		t.Errorf("half a batch was applied: %d", got)
	}
	_, err = namespace.Apply(ctx, opjournal.RawOp([]byte(`{"op"`)))
	failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone)
	_, err = namespace.Apply(ctx, opjournal.Op{})
	failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone)
	_, err = namespace.Query([]byte(`{"op":"Nonsense"}`))
	failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone)

	// An op goes where its view belongs: through any handle on that namespace, and nowhere else.
	same := open(t, opjournal.Config{Store: store})
	here, again, other := openNamespace(t, same, "here"), openNamespace(t, same, "here"), openNamespace(t, same, "other")
	op := opjournal.NewInt(here, "total").AddOp(1)
	_, err = again.Apply(ctx, op)
	ok(t, err)
	_, err = other.Apply(ctx, op)
	failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone)
	_, err = namespace.Apply(ctx, op)
	failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone)

	journal := open(t, opjournal.Config{Store: store, ReadOnly: true})
	_, err = journal.Namespace(ctx, "a/b")
	failed(t, err, opjournal.ErrInvalid, opjournal.OutcomeNone)
	readOnly := openNamespace(t, journal, "test")
	failed(t, opjournal.NewInt(readOnly, "total").Add(ctx, 1), opjournal.ErrReadOnly, opjournal.OutcomeNone)

	small := openNamespace(t, open(t, opjournal.Config{Store: store, Limits: opjournal.LimitsConfig{BatchBytes: 1000}}), "test")
	large := opjournal.NewScalar[string](small, "large")
	failed(t, large.Set(ctx, strings.Repeat("x", 2000)), opjournal.ErrTooLarge, opjournal.OutcomeNone)
}

func TestBusyWhenTooMuchWaits(t *testing.T) {
	_, namespace := neverCommits(t, opjournal.Config{Limits: opjournal.LimitsConfig{
		BatchBytes: 1000, SegmentBytes: 2000, WaitingBytes: 2500,
	}})
	scalar := opjournal.NewScalar[string](namespace, "scalar")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// There is room for two: whichever comes last is refused, while the others wait.
	results := make(chan error)
	for range 3 {
		go func() { results <- scalar.Set(ctx, strings.Repeat("x", 900)) }()
	}
	if e := failed(t, <-results, opjournal.ErrBusy, opjournal.OutcomeNone); !e.Retryable {
		t.Errorf("got %+v, want retryable", e)
	}
	cancel()
	for range 2 {
		failed(t, <-results, opjournal.ErrCancelled, opjournal.OutcomeNone)
	}
}

func TestBatchesAreAtomic(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		writer, reader := newNamespace(t, store), newNamespace(t, store)
		a, b := opjournal.NewInt(writer, "a"), opjournal.NewInt(writer, "b")
		const rounds = 50
		done := make(chan struct{})
		go func() {
			defer close(done)
			for range rounds {
				if _, err := writer.Apply(t.Context(), a.AddOp(1), b.AddOp(-1)); err != nil {
					t.Error(err)
				}
			}
		}()
		both := []byte(`[{"op":"IntGet","Key":"a"},{"op":"IntGet","Key":"b"}]`)
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			ok(t, reader.Flush(t.Context()))
			for _, namespace := range []*opjournal.Namespace{writer, reader} {
				var pair [2]int64
				ok(t, json.Unmarshal(value[[]byte](t)(namespace.Query(both)), &pair))
				if pair[0] != -pair[1] {
					t.Fatalf("half a batch is visible: %v", pair)
				}
			}
		}
		if got := value[int64](t)(opjournal.NewInt(reader, "a").Get()); got != rounds {
			t.Errorf("after Flush: got %d, want %d", got, rounds)
		}
		if age := value[time.Duration](t)(reader.Age()); age < 0 || age > value[opjournal.Digest](t)(reader.Digest()).Age {
			t.Errorf("it is %v old, and younger later", age)
		}
		if value[opjournal.Digest](t)(reader.Digest()).SHA256 != value[opjournal.Digest](t)(writer.Digest()).SHA256 {
			ok(t, writer.Flush(t.Context()))
			if value[opjournal.Digest](t)(reader.Digest()).SHA256 != value[opjournal.Digest](t)(writer.Digest()).SHA256 {
				t.Error("the replicas differ")
			}
		}
		if got := string(value[json.RawMessage](t)(reader.State())); got != `{"a":50,"b":-50}` {
			t.Errorf("state: got %s", got)
		}
	})
}

func TestOneHandleKeepsTheOrderOfItsBatches(t *testing.T) {
	namespace := newNamespace(t, "file://"+t.TempDir())
	list := opjournal.NewList[int](namespace, "list")
	var want []int
	for i := range 20 {
		ok(t, list.Append(t.Context(), i))
		want = append(want, i)
	}
	if got := collect(t, list.Values()); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestClose(t *testing.T) {
	onEachStore(t, func(t *testing.T, store string) {
		journal := open(t, opjournal.Config{Store: store})
		namespace := openNamespace(t, journal, "test")
		again := openNamespace(t, journal, "test")
		total := opjournal.NewInt(namespace, "total")
		ok(t, total.Add(t.Context(), 1))
		ok(t, namespace.Close())
		ok(t, namespace.Close())
		if _, err := total.Get(); !errors.Is(err, opjournal.ErrClosed) && !errors.Is(err, opjournal.ErrBadHandle) {
			t.Errorf("a query on a closed handle: got %v", err)
		}
		if err := total.Add(t.Context(), 1); !errors.Is(err, opjournal.ErrClosed) && !errors.Is(err, opjournal.ErrBadHandle) {
			t.Errorf("a write on a closed handle: got %v", err)
		}
		if got := value[int64](t)(opjournal.NewInt(again, "total").Get()); got != 1 {
			t.Errorf("the other handle: got %d", got)
		}

		// Writers that run into the close either count or fail with nothing written.
		var group sync.WaitGroup
		var counted [8]int64
		other := opjournal.NewInt(again, "other")
		started := make(chan struct{}, len(counted))
		for i := range counted {
			group.Add(1)
			go func() {
				defer group.Done()
				for first := true; ; first = false {
					if err := other.Add(t.Context(), 1); err != nil {
						if e := new(opjournal.Error); !errors.As(err, &e) || e.Outcome != opjournal.OutcomeNone {
							t.Errorf("got %v", err)
						}
						return
					}
					counted[i]++
					if first {
						started <- struct{}{}
					}
				}
			}()
		}
		for range counted {
			<-started
		}
		ok(t, journal.Close(t.Context()))
		ok(t, journal.Close(t.Context()))
		group.Wait()
		_, err := journal.Namespace(t.Context(), "test")
		failed(t, err, opjournal.ErrClosed, opjournal.OutcomeNone)
		if err := again.Flush(t.Context()); err == nil {
			t.Error("Flush after Close")
		}
		if _, err := journal.Stats(); !errors.Is(err, opjournal.ErrClosed) && !errors.Is(err, opjournal.ErrBadHandle) {
			t.Errorf("Stats after Close: got %v", err)
		}
		ok(t, again.Close())

		var want int64
		for _, n := range counted {
			want += n
		}
		if strings.HasPrefix(store, "file:") {
			if got := value[int64](t)(opjournal.NewInt(newNamespace(t, store), "other").Get()); got != want {
				t.Errorf("acknowledged %d, found %d", want, got)
			}
		}
	})
}

func TestCloseEndsWhatWaits(t *testing.T) {
	journal, namespace := neverCommits(t, opjournal.Config{})
	result := make(chan error)
	go func() { result <- opjournal.NewInt(namespace, "total").Add(t.Context(), 1) }()
	eventually(t, "it waits", func() bool { return journal.Waiting() == 1 })
	// Not sent at the deadline means that nothing is unknown, so this is no failure. Concurrent calls all return once the
	// journal is closed, and only one of them does the work.
	closes := make(chan error)
	for range 4 {
		go func() { closes <- journal.Close(soon(t)) }()
	}
	for range 4 {
		if err := <-closes; err != nil {
			failed(t, err, opjournal.ErrTimedOut, opjournal.OutcomeNone)
		}
	}
	ok(t, journal.Close(t.Context()))
	failed(t, <-result, opjournal.ErrClosed, opjournal.OutcomeNone)
}

func TestStats(t *testing.T) {
	journal := open(t, opjournal.Config{Store: memoryStore()})
	named := openNamespace(t, journal, "named")
	metrics := value[string](t)(named.Metrics())
	if !strings.Contains(metrics, "\nopjournal_namespace_ready{store=\"memory:") || !strings.Contains(metrics, `namespace="named"} 1`) {
		t.Errorf("got %s", metrics)
	}
	stats := value[json.RawMessage](t)(journal.Stats())
	if !json.Valid(stats) || !bytes.Contains(stats, []byte(`named`)) {
		t.Errorf("got %s", stats)
	}
	if opjournal.Version() == "" {
		t.Error("no version")
	}
}

func TestQuarantineOfWhatIsNoSegment(t *testing.T) {
	namespace := newNamespace(t, memoryStore())
	if _, err := namespace.Quarantine(t.Context(), "segment-nonsense.json"); !errors.Is(err, opjournal.ErrInvalid) {
		t.Errorf("got %v", err)
	}
}

// records is a slog.Handler that keeps what it gets.
type records struct {
	mutex sync.Mutex
	all   []slog.Record
}

func (r *records) Enabled(context.Context, slog.Level) bool { return true }
func (r *records) WithAttrs([]slog.Attr) slog.Handler       { return r }
func (r *records) WithGroup(string) slog.Handler            { return r }
func (r *records) Handle(_ context.Context, record slog.Record) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.all = append(r.all, record)
	return nil
}

func (r *records) len() int {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	return len(r.all)
}

func TestLogsGoToSlog(t *testing.T) {
	first, second := &records{}, &records{}
	one, err := opjournal.Open(t.Context(), opjournal.Config{Store: memoryStore(), Logger: slog.New(first)})
	ok(t, err)
	two, err := opjournal.Open(t.Context(), opjournal.Config{Store: memoryStore(), Logger: slog.New(second)})
	ok(t, err)
	ok(t, opjournal.NewInt(openNamespace(t, two, "test"), "total").Add(t.Context(), 1))
	ok(t, two.Close(t.Context()))
	ok(t, one.Close(t.Context()))
	for name, got := range map[string]*records{"first": first, "second": second} {
		if got.len() == 0 {
			t.Fatalf("the %s logger got nothing", name)
		}
		record := got.all[0]
		attributes := map[string]bool{}
		record.Attrs(func(a slog.Attr) bool { attributes[a.Key] = true; return true })
		if record.Message == "" || record.Time.IsZero() || attributes["level"] || attributes["message"] || attributes["time"] {
			t.Errorf("the %s logger got %+v", name, record)
		}
	}
	// After the last Close, nothing more comes.
	before := first.len()
	three := open(t, opjournal.Config{Store: memoryStore()})
	openNamespace(t, three, "test")
	ok(t, three.Close(t.Context()))
	if after := first.len(); after != before {
		t.Errorf("%d records after the journal was closed", after-before)
	}
}

func TestTwoReplicasOnS3Converge(t *testing.T) {
	endpoint, bucket := os.Getenv("OPJOURNAL_TEST_ENDPOINT"), os.Getenv("OPJOURNAL_TEST_BUCKET")
	if endpoint == "" || bucket == "" {
		t.Skip("OPJOURNAL_TEST_ENDPOINT and OPJOURNAL_TEST_BUCKET name no server")
	}
	config := opjournal.Config{
		Store: "s3://" + bucket + "/go-test-" + time.Now().UTC().Format("20060102T150405.000000000"),
		S3:    opjournal.S3Config{Endpoint: endpoint, ForcePathStyle: true, Region: os.Getenv("AWS_REGION")},
	}
	namespaces := [2]*opjournal.Namespace{}
	for i := range namespaces {
		namespaces[i] = openNamespace(t, open(t, config), "test")
	}
	const each = 100
	var group sync.WaitGroup
	for i, namespace := range namespaces {
		total := opjournal.NewInt(namespace, "total")
		list := opjournal.NewList[int](namespace, "list")
		for n := range each {
			group.Add(1)
			go func() {
				defer group.Done()
				if _, err := namespace.Apply(t.Context(), total.AddOp(1), list.AppendOp(each*i+n)); err != nil {
					t.Error(err)
				}
			}()
		}
	}
	group.Wait()
	var digests [2]string
	for i, namespace := range namespaces {
		ok(t, namespace.Flush(t.Context()))
		digests[i] = value[opjournal.Digest](t)(namespace.Digest()).SHA256
		if got := value[int64](t)(opjournal.NewInt(namespace, "total").Get()); got != 2*each {
			t.Errorf("replica %d: got %d, want %d", i, got, 2*each)
		}
	}
	if digests[0] != digests[1] || digests[0] == "" {
		t.Errorf("the replicas differ: %v", digests)
	}
}

func BenchmarkApply(b *testing.B) {
	namespace := newNamespace(b, memoryStore())
	total := opjournal.NewInt(namespace, "total")
	b.ReportAllocs()
	b.SetParallelism(256 / runtime.GOMAXPROCS(0))
	b.RunParallel(func(loop *testing.PB) {
		for loop.Next() {
			if err := total.Add(b.Context(), 1); err != nil {
				b.Error(err)
			}
		}
	})
}
