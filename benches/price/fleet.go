package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"opjournal.dev/opjournal"
)

// How many calls are on their way at once while fleets are made ready: more would only wait for each other, and for too long.
var calls = make(chan struct{}, 24)

// A fleet that runs: journals of this process, each a replica with a connection and a copy of the state of its own.
type running struct {
	fleet      fleet
	number     int
	server     server
	proxy      *proxy
	replicas   []*opjournal.Journal
	namespaces [][]*opjournal.Namespace
	stop       context.CancelFunc
	writing    sync.WaitGroup
	failure    atomic.Pointer[error]
}

// The S3 server that tests/servers/minio.sh started.
type server struct {
	address, bucket string
}

func seconds(s float64) time.Duration {
	return time.Duration(s * float64(time.Second))
}

func (r *running) config(s settings) opjournal.Config {
	return opjournal.Config{
		Store:          fmt.Sprintf("s3://%s/price-%d", r.server.bucket, r.number),
		SyncInterval:   seconds(s.sync),
		CommitInterval: seconds(s.commit),
		S3:             opjournal.S3Config{Endpoint: r.proxy.endpoint(), ForcePathStyle: true},
		Compaction: opjournal.CompactionConfig{
			SegmentThreshold: int(s.threshold), AgeThreshold: seconds(s.foldAge), MaxAge: seconds(s.maxAge),
		},
	}
}

// prepare makes the namespaces what they are after some time: each has a rollup, as every namespace that was ever folded. Where the fleet
// writes, each has a tail, and these are of different lengths, from none to what is folded at once, so that folds are spread over time.
func (r *running) prepare(ctx context.Context) error {
	// One segment is folded as soon as the library folds any.
	journal, namespaces, err := r.openOne(ctx, settings{sync: 1, threshold: 1, foldAge: 6, maxAge: -1})
	if err != nil {
		return err
	}
	err = each(len(namespaces), func(n int) error { return r.add(ctx, namespaces[n]) })
	if err == nil {
		err = untilFolded(ctx, journal, len(namespaces))
	}
	if err := errors.Join(err, journal.Close(ctx)); err != nil || r.fleet.writes == 0 {
		return err
	}
	// Nothing is folded meanwhile, and with F at its default a write may take its time.
	journal, namespaces, err = r.openOne(ctx, settings{sync: 15, threshold: 1_000_000, foldAge: 30, maxAge: -1})
	if err != nil {
		return err
	}
	folded := r.fleet.cycle().folded
	err = each(len(namespaces), func(n int) error {
		// Neighbours are written one after the other, so they have to be at different points of their cycles, or their folds come together.
		done := math.Mod((float64(n)+0.5)*math.Phi, 1)
		// One after the other: what waits together goes into one segment.
		for range int(math.Round(folded * done)) {
			if err := r.add(ctx, namespaces[n]); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, journal.Close(ctx))
}

// What a journal tells of a namespace.
type figures struct {
	Folded, Ticks, Segments int
}

func figuresOf(journal *opjournal.Journal) (map[string]figures, error) {
	text, err := journal.Stats()
	if err != nil {
		return nil, err
	}
	var stats struct{ Namespaces map[string]figures }
	return stats.Namespaces, json.Unmarshal(text, &stats)
}

// untilFolded waits until all of a journal's namespaces have been folded. Nothing tells that but its figures.
func untilFolded(ctx context.Context, journal *opjournal.Journal, namespaces int) error {
	looks := time.NewTicker(100 * time.Millisecond)
	defer looks.Stop()
	for {
		all, err := figuresOf(journal)
		if err != nil {
			return err
		}
		folded := 0
		for _, namespace := range all {
			folded += min(1, namespace.Folded)
		}
		if folded == namespaces {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%d of %d namespaces have a rollup: %w", folded, namespaces, ctx.Err())
		case <-looks.C:
		}
	}
}

func (r *running) openOne(ctx context.Context, s settings) (*opjournal.Journal, []*opjournal.Namespace, error) {
	journal, err := opjournal.Open(ctx, r.config(s))
	if err != nil {
		return nil, nil, err
	}
	namespaces := make([]*opjournal.Namespace, int(r.fleet.namespaces))
	err = each(len(namespaces), func(n int) (err error) {
		namespaces[n], err = journal.Namespace(ctx, fmt.Sprintf("namespace-%04d", n))
		return err
	})
	return journal, namespaces, err
}

// open opens all replicas. Each tests the store before its first write or fold, which should be over when requests are counted.
func (r *running) open(ctx context.Context) error {
	for range int(r.fleet.replicas) {
		journal, namespaces, err := r.openOne(ctx, r.fleet.settings)
		if journal != nil {
			r.replicas = append(r.replicas, journal)
			r.namespaces = append(r.namespaces, namespaces)
		}
		if err != nil {
			return err
		}
	}
	if r.fleet.writes == 0 {
		return nil
	}
	return each(len(r.namespaces), func(i int) error { return r.add(ctx, r.namespaces[i][0]) })
}

func (r *running) add(ctx context.Context, namespace *opjournal.Namespace) error {
	return opjournal.NewInt(namespace, "total").Add(ctx, 1)
}

// A look at a running fleet.
type look struct {
	counts counts
	// Ticks of a replica with a namespace, on average.
	ticks float64
	// Acknowledged segments of all.
	segments float64
	at       time.Time
}

func (r *running) look() (look, error) {
	ticks, segments := 0, 0
	for _, journal := range r.replicas {
		all, err := figuresOf(journal)
		if err != nil {
			return look{}, err
		}
		for _, namespace := range all {
			ticks += namespace.Ticks
			segments += namespace.Segments
		}
	}
	return look{r.proxy.counts(), float64(ticks) / r.fleet.replicas / r.fleet.namespaces, float64(segments), time.Now()}, nil
}

// write writes at the fleet's rate until it is stopped.
func (r *running) write(ctx context.Context) {
	if r.fleet.writes == 0 {
		return
	}
	writing, stop := context.WithCancel(ctx)
	r.stop = stop
	r.writing.Add(1)
	go func() {
		defer r.writing.Done()
		begun := time.Now()
		replicas, namespaces := len(r.namespaces), int(r.fleet.namespaces)
		for n := 0; ; n++ {
			due := time.NewTimer(time.Until(begun.Add(seconds(float64(n) / r.fleet.writes))))
			select {
			case <-writing.Done():
				due.Stop()
				return
			case <-due.C:
			}
			// All replicas write to all namespaces.
			namespace := r.namespaces[(n%namespaces+n/namespaces)%replicas][n%namespaces]
			r.writing.Add(1)
			go func() {
				defer r.writing.Done()
				if err := r.add(ctx, namespace); err != nil {
					r.failure.CompareAndSwap(nil, &err)
				}
			}()
		}
	}()
}

// close stops the writes, and tells the first of them that failed.
func (r *running) close(ctx context.Context) error {
	if r.stop != nil {
		r.stop()
	}
	r.writing.Wait()
	var errs []error
	if err := r.failure.Load(); err != nil {
		errs = append(errs, *err)
	}
	errs = append(errs, each(len(r.replicas), func(i int) error { return r.replicas[i].Close(ctx) }))
	return errors.Join(errs...)
}

// each does something with each of the first `count` numbers, several at once, and tells the first failure.
func each(count int, do func(int) error) error {
	var failure atomic.Pointer[error]
	var running sync.WaitGroup
	for n := range count {
		calls <- struct{}{}
		if failure.Load() != nil {
			<-calls
			break
		}
		running.Add(1)
		go func() {
			defer running.Done()
			defer func() { <-calls }()
			if err := do(n); err != nil {
				failure.CompareAndSwap(nil, &err)
			}
		}()
	}
	running.Wait()
	if err := failure.Load(); err != nil {
		return *err
	}
	return nil
}
