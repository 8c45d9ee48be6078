// Command price measures what requests fleets send, and holds that against a formula, for `make bench-price`. docs/performance.md has the
// formula, and the tables that this prints.
//
//	price                   with a MinIO in its environment (tests/servers/minio.sh run -- price): runs fleets through proxies that count,
//	                        and prints all tables; -record FILE puts them into a document
//	price -replicas 30 ...  computes what one fleet costs, and runs nothing
//
// It ends with status 1 where a fleet sent more or less than the formula says.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

// The list prices of S3 Standard in us-east-1. Yours may be others: each has a flag.
var listPrices = prices{put: 0.005, list: 0.005, get: 0.0004}

// A fleet that is run, in a time that passes `scale` times as fast.
type trial struct {
	fleet fleet
	scale float64
}

// How long requests are counted.
const window = 60 * time.Second

// What all of a group's fleets need before and after the window.
const patience = 5 * time.Minute

// What runs at the same time. More at once, or in less time, and ticks take long beside their interval on a machine with two cores.
var groups = [][]trial{
	{
		{of(1, 1, 0), 2}, {of(10, 1, 0), 2}, {of(50, 1, 0), 2}, {of(1, 20, 0), 2}, {of(10, 20, 0), 2}, {of(1, 1000, 0), 2},
		{of(1, 1, 1), 2}, {of(10, 1, 1), 2},
		// With the default max age these fold what is an hour old, and here nothing gets that old: what fills up is folded.
		{with(of(1, 20, 1), settings{sync: 15, threshold: 256, foldAge: 30}), 2},
		{with(of(10, 20, 1), settings{sync: 15, threshold: 256, foldAge: 30}), 2},
	},
	{
		{of(1, 1, 20), 1}, {of(10, 1, 20), 1}, {of(1, 20, 20), 1},
		// What settings do. So many namespaces would take days to grow the tails that they have with the default threshold.
		{with(of(2, 1000, 20), settings{sync: 15, threshold: 16, foldAge: 30, maxAge: 3600}), 2},
		{with(of(2, 1, 20), settings{sync: 15, threshold: 256, foldAge: 30, commit: 5, maxAge: 3600}), 2},
		{with(of(10, 1, 1), settings{sync: 60, threshold: 256, foldAge: 30, maxAge: 3600}), 5},
		{with(of(2, 20, 0), settings{sync: 60, threshold: 256, foldAge: 30, maxAge: 3600}), 5},
		{with(of(2, 20, 1), settings{sync: 15, threshold: 256, foldAge: 30, maxAge: 100}), 2},
		// Whether it matters that time is scaled.
		{of(10, 1, 1), 1},
	},
}

func of(replicas, namespaces, writes float64) fleet {
	return fleet{replicas, namespaces, writes, defaults}
}

func with(f fleet, s settings) fleet {
	f.settings = s
	return f
}

// What a fleet did in the window.
type measured struct {
	trial
	counts counts
	// In seconds.
	length float64
	// Ticks of a replica, and acknowledged segments of the fleet.
	ticks, segments float64
}

// asAsked is the fleet at the pace at which it was to run.
func (m measured) asAsked() fleet {
	return m.fleet.faster(m.scale)
}

// asRun is the same at the pace at which it did run: a tick comes an interval after the last one ended, and writes that come while one is on
// its way share the next segment. On a busy machine there is less of both.
func (m measured) asRun() fleet {
	f := m.asAsked()
	f.settings.sync = m.length / m.ticks
	f.settings.commit = 0
	f.writes = m.segments / m.length
	return f
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "price:", err)
		os.Exit(1)
	}
}

func run() error {
	p := listPrices
	f := of(0, 1, 0)
	record := flag.String("record", "", "the `document` into which the tables are put")
	flag.Float64Var(&p.put, "put", p.put, "`USD` for 1,000 PUTs")
	flag.Float64Var(&p.list, "list", p.list, "`USD` for 1,000 LISTs")
	flag.Float64Var(&p.get, "get", p.get, "`USD` for 1,000 GETs")
	flag.Float64Var(&f.replicas, "replicas", f.replicas, "compute the price of a fleet of so many, and measure nothing")
	flag.Float64Var(&f.namespaces, "namespaces", f.namespaces, "with -replicas: namespaces, which all replicas have open")
	flag.Float64Var(&f.writes, "writes", f.writes, "with -replicas: batches a second, of the whole fleet to all namespaces")
	flag.Float64Var(&f.settings.sync, "sync", f.settings.sync, "with -replicas: sync_interval_ms, in `seconds`")
	flag.Float64Var(&f.settings.commit, "commit", f.settings.commit, "with -replicas: commit_interval_ms, in `seconds`")
	flag.Float64Var(&f.settings.threshold, "threshold", f.settings.threshold, "with -replicas: compaction.segment_threshold")
	flag.Float64Var(&f.settings.maxAge, "max-age", f.settings.maxAge, "with -replicas: compaction.max_age_ms, in `seconds`; 0: never")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("not understood: %q; -help tells the flags", flag.Arg(0))
	}
	if f.replicas != 0 {
		if f.replicas < 1 || f.namespaces < 1 || f.writes < 0 || f.settings.sync <= 0 || f.settings.commit < 0 || f.settings.maxAge < 0 || f.settings.threshold < 1 {
			return errors.New("a fleet has at least one replica, one namespace and a threshold of one, and no time or number below zero")
		}
		fmt.Print(priceTable(p, []fleet{f}, nil))
		return nil
	}
	server := server{strings.TrimPrefix(os.Getenv("OPJOURNAL_TEST_ENDPOINT"), "http://"), os.Getenv("OPJOURNAL_TEST_BUCKET")}
	if server.address == "" || server.bucket == "" {
		return errors.New("no OPJOURNAL_TEST_ENDPOINT and OPJOURNAL_TEST_BUCKET: start this with tests/servers/minio.sh run --")
	}
	var all []measured
	for n, group := range groups {
		fmt.Fprintf(os.Stderr, "fleets %d to %d, all at once ...\n", len(all)+1, len(all)+len(group))
		results, err := runGroup(server, group, n)
		if err != nil {
			return err
		}
		fmt.Fprint(os.Stderr, measuredTable(results))
		all = append(all, results...)
	}
	tables := report(p, all)
	fmt.Print(tables)
	if slow := slow(all); slow > 0 {
		return fmt.Errorf("%d fleets were too slow to tell anything: this machine is too busy", slow)
	}
	if off := differing(all); off > 0 {
		return fmt.Errorf("%d figures differ from the formula", off)
	}
	if *record != "" {
		return recordIn(*record, tables)
	}
	return nil
}

// runGroup runs fleets at the same time, each behind a proxy of its own.
func runGroup(server server, group []trial, number int) ([]measured, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience)
	defer cancel()
	fleets := make([]*running, len(group))
	warmUp := 0.0
	for n, trial := range group {
		proxy, err := startProxy(server.address)
		if err != nil {
			return nil, err
		}
		fleets[n] = &running{fleet: trial.fleet.faster(trial.scale), number: 100*number + n, server: server, proxy: proxy}
		s := fleets[n].fleet.settings
		// As old as anything gets before it is folded, until that is deleted, and the tick that does it.
		warmUp = math.Max(warmUp, math.Max(s.foldAge, 2*s.sync)+s.foldAge+s.sync)
	}
	err := atOnce(fleets, func(r *running) error { return r.prepare(ctx) })
	if err == nil {
		err = atOnce(fleets, func(r *running) error { return r.open(ctx) })
	}
	if err != nil {
		return nil, err
	}
	for _, r := range fleets {
		r.write(ctx)
	}
	// The fleets have to grow as old as they would be in the long run: it is time itself that is waited for, here and in the window.
	fmt.Fprintf(os.Stderr, "  all are open; %.0f s until they are as in the long run, then %.0f s of counting\n", warmUp, window.Seconds())
	time.Sleep(seconds(warmUp))
	before := make([]look, len(fleets))
	for n, r := range fleets {
		if before[n], err = r.look(); err != nil {
			return nil, err
		}
	}
	time.Sleep(window)
	results := make([]measured, len(fleets))
	for n, r := range fleets {
		after, err := r.look()
		if err != nil {
			return nil, err
		}
		length := after.at.Sub(before[n].at).Seconds()
		results[n] = measured{
			trial: group[n], counts: after.counts.less(before[n].counts), length: length,
			ticks: after.ticks - before[n].ticks, segments: after.segments - before[n].segments,
		}
	}
	return results, atOnce(fleets, func(r *running) error { return r.close(ctx) })
}

func atOnce(fleets []*running, do func(*running) error) error {
	errs := make(chan error)
	for _, r := range fleets {
		go func() { errs <- do(r) }()
	}
	var all []error
	for range fleets {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}
