// Command opjournal-demo is one of several writers on one namespace, in the way a program that may be killed at any moment
// has to write. The C program bindings/c/examples/demo.c does the same with the same flags.
//
// Every batch counts itself: "by_writer" says how many batches of this writer are in the state. So after a crash nothing has
// to be remembered: flush, ask, and go on from there. A batch whose answer the killed process never saw is either counted or
// not.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"opjournal.dev/opjournal"
)

const (
	// runTime bounds the whole run.
	runTime = 2 * time.Minute
	// pause is between two tries.
	pause = 50 * time.Millisecond
)

type settings struct {
	config, store, namespace, writer string
	count, wait, crashAfter          int64
}

func main() {
	var s settings
	flag.StringVar(&s.config, "config", "", "the configuration as `JSON`; without it -store, without that the variable OPJOURNAL_CONFIG")
	flag.StringVar(&s.store, "store", "", "`URL`: file:///DIR, s3://BUCKET/ROOT or memory:NAME")
	flag.StringVar(&s.namespace, "ns", "demo", "the namespace")
	flag.StringVar(&s.writer, "writer", "", "who writes: a name unlike that of any other writer")
	flag.Int64Var(&s.count, "count", 100, "how many batches this writer has in the end")
	flag.Int64Var(&s.wait, "wait", -1, "wait until all writers together have so many")
	flag.Int64Var(&s.crashAfter, "crash-after", -1, "kill this process with one batch on its way, after so many that were acknowledged")
	flag.Parse()
	if s.config == "" && s.store == "" {
		s.config = os.Getenv("OPJOURNAL_CONFIG")
	}
	if flag.NArg() > 0 || s.writer == "" || s.config == "" && s.store == "" {
		flag.Usage()
		os.Exit(2)
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, runTime)
	defer cancel()
	if err := run(ctx, s); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", s.writer, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) (err error) {
	config := opjournal.Config{Store: s.store}
	if s.config != "" {
		config.JSON = json.RawMessage(s.config)
	}
	journal, err := opjournal.Open(ctx, config)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, journal.Close(context.WithoutCancel(ctx))) }()
	w := &writer{name: s.writer, journal: journal}
	if err := patiently(ctx, func() error {
		w.namespace, err = journal.Namespace(ctx, s.namespace)
		return err
	}); err != nil {
		return err
	}
	w.total = opjournal.NewInt(w.namespace, "total")
	w.byWriter = opjournal.NewIntMap[string](w.namespace, "by_writer")
	w.writers = opjournal.NewSet[string](w.namespace, "writers")
	w.last = opjournal.NewMap[string, int64](w.namespace, "last")
	w.log = opjournal.NewList[string](w.namespace, "log")

	if err := w.flush(ctx); err != nil {
		return err
	}
	resume, err := w.byWriter.Get(w.name)
	if err != nil {
		return err
	}
	fmt.Printf("start %s resume %d\n", w.name, resume)
	for number := resume + 1; number <= s.count; number++ {
		if number-resume-1 == s.crashAfter {
			return w.crash(ctx, number)
		}
		if err := w.write(ctx, number); err != nil {
			return err
		}
		fmt.Printf("acked %s %d\n", w.name, number)
	}
	return w.finish(ctx, s.wait)
}

// writer is what the program works with.
type writer struct {
	name      string
	journal   *opjournal.Journal
	namespace *opjournal.Namespace

	total    opjournal.Int
	byWriter opjournal.IntMap[string]
	writers  opjournal.Set[string]
	last     opjournal.Map[string, int64]
	log      opjournal.List[string]
}

// batch makes the batch with a number, counted from 1.
func (w *writer) batch(number int64) *opjournal.Batch {
	var b opjournal.Batch
	b.Add(
		w.total.AddOp(1),
		w.byWriter.AddOp(w.name, 1),
		w.writers.AddOp(w.name),
		w.last.SetOp(w.name, number),
		w.log.AppendOp(fmt.Sprintf("%s/%d", w.name, number)),
	)
	return &b
}

// write applies a batch, once.
func (w *writer) write(ctx context.Context, number int64) error {
	for {
		err := patiently(ctx, func() error {
			_, err := w.batch(number).Apply(ctx, w.namespace)
			return err
		})
		if !errors.Is(err, opjournal.ErrOutcomeUnknown) {
			return err
		}
		applied, err := w.settle(ctx, number, err)
		if err != nil || applied {
			return err
		}
	}
}

// settle waits until it is known what became of a write: nothing may be repeated before.
func (w *writer) settle(ctx context.Context, number int64, unknown error) (applied bool, err error) {
	var failure *opjournal.Error
	if !errors.As(unknown, &failure) {
		return false, unknown
	}
	for {
		if err := w.flush(ctx); err != nil {
			return false, errors.Join(unknown, err)
		}
		outcome, err := w.namespace.Outcome(failure.Segment)
		if err != nil {
			return false, err
		}
		if outcome != opjournal.OutcomeUnknown {
			fmt.Printf("settled %s %d %s\n", w.name, number, outcome)
			return outcome == opjournal.OutcomeApplied, nil
		}
		if err := sleep(ctx); err != nil {
			return false, errors.Join(unknown, err)
		}
	}
}

// flush waits until all that was acknowledged anywhere is visible here.
func (w *writer) flush(ctx context.Context) error {
	return patiently(ctx, func() error { return w.namespace.Flush(ctx) })
}

// crash is the end of this process with a batch on its way, as the worst moment would have it.
func (w *writer) crash(ctx context.Context, number int64) error {
	result := make(chan error, 1)
	go func() {
		_, err := w.batch(number).Apply(ctx, w.namespace)
		result <- err
	}()
	for w.journal.Waiting() == 0 && len(result) == 0 {
		runtime.Gosched()
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
		return err
	}
	select {}
}

// finish waits for the other writers and prints the line that all of them must agree on.
func (w *writer) finish(ctx context.Context, want int64) error {
	for {
		if err := w.flush(ctx); err != nil {
			return err
		}
		total, err := w.total.Get()
		if err != nil {
			return err
		}
		if want <= 0 || total == want {
			digest, err := w.namespace.Digest()
			if err != nil {
				return err
			}
			fmt.Printf("digest %s total %d\n", digest.SHA256, total)
			return nil
		}
		if total > want {
			return fmt.Errorf("the total is %d, not %d", total, want)
		}
		if err := sleep(ctx); err != nil {
			return fmt.Errorf("the total is %d, not %d: %w", total, want, err)
		}
	}
}

// patiently repeats what failed with nothing written, as long as the library expects better and there is time.
func patiently(ctx context.Context, try func() error) error {
	for {
		err := try()
		var failure *opjournal.Error
		if err == nil || !errors.As(err, &failure) || !failure.Retryable || failure.Outcome != opjournal.OutcomeNone {
			return err
		}
		if sleep(ctx) != nil {
			return err
		}
	}
}

func sleep(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}
