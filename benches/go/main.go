// Command bench is one replica in Go, for `make bench`: it does what standard input says, and measures it. Times are nanoseconds, memory
// is bytes; each command is answered by one line of JSON.
//
//	bench CONFIG                         opens a journal, and answers {}
//
//	open NAMESPACE                       opens a namespace, once: {}
//	stats                                the answer of Journal.Stats
//	get NAMESPACE ENTRIES COUNT STRIDE   COUNT reads through a typed view; STRIDE 1: at random, 0: always the same key. Of one:
//	                                     {"wall","allocations"}
//	map ENTRIES COUNT STRIDE             the same of a Go map of JSON values behind a mutex
//	callers NAMESPACE ENTRIES N MS       N goroutines, each with one op at a time, for MS milliseconds: {"ops","wall","cpu"}, and
//	                                     "library": the part of the CPU time in the library's own threads
//	parks N PUT MS                       the same of goroutines that only call into C and wait, until all are woken every PUT microseconds
//	waiting NAMESPACE ENTRIES N          N goroutines with one op each, which the config's commit_interval_ms holds back: what they take
//	                                     while all wait: {"threads","resident"}
//
// Ops are writes of entries that are drawn at random. Any failure ends the process with a message and status 1.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"opjournal.dev/opjournal"
)

const mapName = "objects"

type bench struct {
	journal    *opjournal.Journal
	namespaces map[string]*opjournal.Namespace
	peer       map[string][]byte
	lock       sync.Mutex
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	if len(os.Args) != 2 {
		return errors.New("usage: bench CONFIG")
	}
	journal, err := opjournal.Open(context.Background(), opjournal.Config{JSON: json.RawMessage(os.Args[1])})
	if err != nil {
		return err
	}
	defer journal.Close(context.Background())
	b := bench{journal: journal, namespaces: map[string]*opjournal.Namespace{}}
	fmt.Println("{}")
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		answer, err := b.do(strings.Fields(lines.Text()))
		if err != nil {
			return fmt.Errorf("%s: %w", lines.Text(), err)
		}
		text, err := json.Marshal(answer)
		if err != nil {
			return err
		}
		fmt.Println(string(text))
	}
	return lines.Err()
}

func (b *bench) do(words []string) (any, error) {
	if len(words) == 1 && words[0] == "stats" {
		return b.journal.Stats()
	}
	if len(words) < 2 {
		return nil, errors.New("an unknown command")
	}
	var numbers []int
	for _, word := range words[2:] {
		number, err := strconv.Atoi(word)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, number)
	}
	namespace := b.namespaces[words[1]]
	switch {
	case words[0] == "open" && len(numbers) == 0:
		return map[string]float64{}, b.open(words[1])
	case words[0] == "map" && len(numbers) == 2:
		entries, err := strconv.Atoi(words[1])
		if err != nil {
			return nil, err
		}
		return b.measurePeer(entries, numbers[0], numbers[1])
	case words[0] == "parks" && len(numbers) == 2:
		count, err := strconv.Atoi(words[1])
		if err != nil {
			return nil, err
		}
		return parks(count, time.Duration(numbers[0])*time.Microsecond, time.Duration(numbers[1])*time.Millisecond)
	case namespace == nil:
		return nil, errors.New("a namespace that was not opened, or an unknown command")
	case words[0] == "get" && len(numbers) == 3:
		objects := opjournal.NewMap[string, string](namespace, mapName)
		return measureGets(numbers[0], numbers[1], numbers[2], objects.Get)
	case words[0] == "callers" && len(numbers) == 3:
		return callers(namespace, numbers[0], numbers[1], time.Duration(numbers[2])*time.Millisecond)
	case words[0] == "waiting" && len(numbers) == 2:
		return b.waiting(namespace, numbers[0], numbers[1])
	}
	return nil, errors.New("an unknown command")
}

func (b *bench) open(name string) error {
	namespace, err := b.journal.Namespace(context.Background(), name)
	b.namespaces[name] = namespace
	return err
}

func key(number int) string {
	return fmt.Sprintf("object/%08d", number)
}

// value is 46 bytes, and nothing that repeats.
func value() string {
	return fmt.Sprintf("%016x%016x%014x", rand.Uint64(), rand.Uint64(), rand.Uint64()>>8)
}

// measureGets measures reads of keys that were spelled before.
func measureGets(entries, count, stride int, get func(string) (string, bool, error)) (map[string]float64, error) {
	keys := make([]string, 1)
	if stride > 0 {
		keys = make([]string, count)
	}
	for index := range keys {
		keys[index] = key(rand.IntN(entries))
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	begun := time.Now()
	for index := range count {
		if _, found, err := get(keys[index%len(keys)]); err != nil || !found {
			return nil, fmt.Errorf("an entry is not there: %w", err)
		}
	}
	took := time.Since(begun)
	runtime.ReadMemStats(&after)
	of := float64(count)
	return map[string]float64{"wall": float64(took) / of, "allocations": float64(after.Mallocs-before.Mallocs) / of}, nil
}

func (b *bench) measurePeer(entries, count, stride int) (map[string]float64, error) {
	if b.peer == nil {
		b.peer = make(map[string][]byte, entries)
		for number := range entries {
			text, err := json.Marshal(value())
			if err != nil {
				return nil, err
			}
			b.peer[key(number)] = text
		}
	}
	return measureGets(entries, count, stride, func(key string) (string, bool, error) {
		b.lock.Lock()
		text, found := b.peer[key]
		b.lock.Unlock()
		var value string
		err := json.Unmarshal(text, &value)
		return value, found, err
	})
}

func callers(namespace *opjournal.Namespace, entries, count int, lasting time.Duration) (map[string]float64, error) {
	objects := opjournal.NewMap[string, string](namespace, mapName)
	var done atomic.Int64
	var group sync.WaitGroup
	failures := make(chan error, count)
	library, err := libraryCPU()
	if err != nil {
		return nil, err
	}
	worked, begun := cpu(), time.Now()
	for range count {
		group.Add(1)
		go func() {
			defer group.Done()
			for time.Since(begun) < lasting {
				if err := objects.Set(context.Background(), key(rand.IntN(entries)), value()); err != nil {
					failures <- err
					return
				}
				done.Add(1)
			}
		}()
	}
	group.Wait()
	took := time.Since(begun)
	select {
	case err := <-failures:
		return nil, err
	default:
	}
	worked = cpu() - worked
	after, err := libraryCPU()
	if err != nil {
		return nil, err
	}
	return map[string]float64{"ops": float64(done.Load()), "wall": float64(took), "cpu": float64(worked), "library": float64(after - library)}, nil
}

// waiting submits one op, which goes out at once, and then those that have to wait.
func (b *bench) waiting(namespace *opjournal.Namespace, entries, count int) (map[string]float64, error) {
	objects := opjournal.NewMap[string, string](namespace, mapName)
	set := func() error { return objects.Set(context.Background(), key(rand.IntN(entries)), value()) }
	if err := set(); err != nil {
		return nil, err
	}
	runtime.GC()
	before, err := status("VmRSS:")
	if err != nil {
		return nil, err
	}
	failures := make(chan error, count)
	for range count {
		go func() { failures <- set() }()
	}
	for b.journal.Waiting() < count {
		if len(failures) > 0 {
			return nil, errors.New("commit_interval_ms is too short for so many to wait at once")
		}
		time.Sleep(time.Millisecond)
	}
	threads, err := status("Threads:")
	if err != nil {
		return nil, err
	}
	resident, err := status("VmRSS:")
	if err != nil {
		return nil, err
	}
	for range count {
		if err := <-failures; err != nil {
			return nil, err
		}
	}
	return map[string]float64{"threads": threads, "resident": (resident - before) * 1024}, nil
}

// status is a number of /proc/self/status.
func status(label string) (float64, error) {
	text, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == label {
			return strconv.ParseFloat(fields[1], 64)
		}
	}
	return 0, fmt.Errorf("/proc does not tell %s", label)
}

// libraryCPU is the CPU time of the threads that the library started. One that ends takes its time with it.
func libraryCPU() (time.Duration, error) {
	names, err := filepath.Glob("/proc/self/task/*/comm")
	if err != nil {
		return 0, err
	}
	var total time.Duration
	for _, name := range names {
		text, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) || err == nil && !strings.HasPrefix(string(text), "opjournal") {
			continue
		}
		var nanoseconds int64
		if err == nil {
			text, err = os.ReadFile(filepath.Join(filepath.Dir(name), "schedstat"))
		}
		if err == nil {
			_, err = fmt.Sscan(string(text), &nanoseconds)
		}
		if err != nil {
			return 0, err
		}
		total += time.Duration(nanoseconds)
	}
	return total, nil
}

// cpu is the CPU time of this process.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		panic(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
