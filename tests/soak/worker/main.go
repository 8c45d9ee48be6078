// Command worker writes batches through the Go binding until it is told to stop or killed, and keeps a ledger of what it asked for
// and what it was told. tests/soak/worker.c does the same through the C ABI; docs/soak.md draws the batches and the ledger.
//
// It has several journals (replicas), each with several lanes. A lane is a goroutine that writes one batch after the other through one
// handle, checks now and then that it reads what it wrote, and flushes.
//
// On standard input it takes one word a line, and answers each with a line: `stop` ends the lanes, `look FILE` flushes and writes the
// state to a file. It ends with its standard input.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"opjournal.dev/opjournal"
)

const (
	// How many lanes share a handle.
	lanesOfHandle = 4
	// A call may be so much later than its deadline before it counts as hung: a loaded machine.
	margin = 5 * time.Second
	// Calls that only need to end.
	patience = 20 * time.Second
	// After a call that failed.
	pause = 20 * time.Millisecond
	// How many names the parts of batches are spread over.
	parts = 16
)

var (
	config    = flag.String("config", "", "the configuration of the library as `JSON`")
	namespace = flag.String("ns", "soak", "the namespace")
	writer    = flag.String("writer", "", "a name unlike that of any other process, past ones included")
	ledgerAt  = flag.String("ledger", "", "`file` that the ledger is appended to")
	journals  = flag.Int("journals", 1, "how many journals are opened")
	lanes     = flag.Int("lanes", 16, "how many lanes each journal has; 0: only look")
	seed      = flag.Uint64("seed", 1, "what the choices are drawn from")
)

func main() {
	flag.Parse()
	if flag.NArg() > 0 || *config == "" || *writer == "" || *ledgerAt == "" {
		flag.Usage()
		os.Exit(2)
	}
	file, err := os.OpenFile(*ledgerAt, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		log.Fatal(err)
	}
	p := &process{ledger: ledger{file}, calls: map[*call]struct{}{}}
	p.stopping, p.stop = context.WithCancel(context.Background())
	go p.watch()
	orders := make(chan string)
	go listen(orders)

	replicas := make([]*replica, *journals)
	for i := range replicas {
		p.running.Add(1)
		go func() {
			defer p.running.Done()
			replicas[i] = p.open()
		}()
	}
	p.running.Wait()
	p.start(replicas)
	fmt.Println("ready")

	for line := range orders {
		switch word, argument, _ := strings.Cut(line, " "); word {
		case "stop":
			p.stop()
			p.running.Wait()
			fmt.Println("stopped")
		case "look":
			fmt.Println(p.look(replicas, argument))
		default:
			log.Fatalf("no such word: %q", word)
		}
	}
}

// listen passes on what it is told. The process ends with its standard input, whatever it does at that moment.
func listen(orders chan<- string) {
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		orders <- lines.Text()
	}
	os.Exit(0)
}

// A ledger holds what was asked for and what was told. Each line is one write to the file, so nothing of it is lost with the process.
type ledger struct {
	file *os.File
}

func (l ledger) note(format string, arguments ...any) {
	line := strings.ReplaceAll(fmt.Sprintf(format, arguments...), "\n", " ")
	if _, err := l.file.WriteString(line + "\n"); err != nil {
		log.Fatal(err)
	}
}

type process struct {
	ledger   ledger
	stopping context.Context
	stop     context.CancelFunc
	running  sync.WaitGroup

	// awake is how long this process has run, without the times when it was stopped by a signal.
	awake atomic.Int64
	mutex sync.Mutex
	calls map[*call]struct{}
}

// A call of the library that is under way.
type call struct {
	name       string
	begun, due time.Duration
}

// replica is a journal and its handles.
type replica struct {
	journal *opjournal.Journal
	handles []*opjournal.Namespace
}

// watch advances the clock and notes calls that do not end.
func (p *process) watch() {
	const tick = 100 * time.Millisecond
	last := time.Now()
	for range time.Tick(tick) {
		now := time.Now()
		// More than this is a process that was stopped.
		p.awake.Add(int64(min(now.Sub(last), 10*tick)))
		last = now
		p.mutex.Lock()
		for c := range p.calls {
			if awake := time.Duration(p.awake.Load()); awake > c.due {
				p.ledger.note("hung %s %d", c.name, (awake - c.begun).Milliseconds())
				c.due = 1<<63 - 1
			}
		}
		p.mutex.Unlock()
	}
}

// do makes a call with a deadline, under watch.
func (p *process) do(name string, limit time.Duration, what func(ctx context.Context) error) error {
	awake := time.Duration(p.awake.Load())
	c := &call{name, awake, awake + limit + margin}
	p.mutex.Lock()
	p.calls[c] = struct{}{}
	p.mutex.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	err := what(ctx)
	cancel()
	p.mutex.Lock()
	delete(p.calls, c)
	p.mutex.Unlock()
	return err
}

// rest waits a moment after a failure.
func rest() {
	time.Sleep(pause)
}

// open opens a journal and its handles, however often that fails: the store may be away.
func (p *process) open() *replica {
	r := &replica{}
	for {
		err := p.do("open", patience, func(ctx context.Context) (err error) {
			r.journal, err = opjournal.Open(ctx, opjournal.Config{JSON: json.RawMessage(*config)})
			return err
		})
		if err == nil {
			break
		}
		p.expect("open", err)
		rest()
	}
	for len(r.handles) == 0 || len(r.handles) < *lanes/lanesOfHandle {
		err := p.do("namespace", patience, func(ctx context.Context) error {
			handle, err := r.journal.Namespace(ctx, *namespace)
			if err == nil {
				r.handles = append(r.handles, handle)
			}
			return err
		})
		if err != nil {
			p.expect("namespace", err)
			rest()
		}
	}
	return r
}

// expect notes a failure that no fault of the store explains.
func (p *process) expect(what string, err error) {
	for _, code := range []opjournal.Code{opjournal.ErrTimedOut, opjournal.ErrUnavailable, opjournal.ErrBusy} {
		if errors.Is(err, code) {
			return
		}
	}
	p.ledger.note("wrong %s: %v", what, err)
}

// start starts the lanes.
func (p *process) start(replicas []*replica) {
	for i, r := range replicas {
		for number := range *lanes {
			l := &lane{
				process: p,
				name:    fmt.Sprintf("%s.%d.%d", *writer, i, number),
				own:     r,
				handle:  r.handles[number%len(r.handles)],
				// A flush there has to show what was written here.
				other:  replicas[(i+1)%len(replicas)].handles[0],
				random: rand.New(rand.NewPCG(*seed, uint64(i)<<32|uint64(number))),
			}
			p.running.Add(1)
			go l.run()
		}
	}
}

// look flushes every replica, writes the state of the first one to a file, and tells the digests of all and the figures of the first.
func (p *process) look(replicas []*replica, file string) string {
	digests := []string{"digests"}
	for i, r := range replicas {
		handle := r.handles[0]
		for {
			err := p.do("flush", patience, handle.Flush)
			if err == nil {
				break
			}
			p.expect("flush", err)
			rest()
		}
		digest, err := handle.Digest()
		if err != nil {
			log.Fatal(err)
		}
		digests = append(digests, digest.SHA256)
		if i > 0 {
			continue
		}
		state, err := handle.State()
		if err != nil {
			log.Fatal(err)
		}
		if err := os.WriteFile(file, state, 0o644); err != nil {
			log.Fatal(err)
		}
	}
	stats, err := replicas[0].journal.Stats()
	if err != nil {
		log.Fatal(err)
	}
	return strings.Join(digests, " ") + " " + string(stats)
}

// lane writes one batch after the other.
type lane struct {
	*process
	name   string
	own    *replica
	handle *opjournal.Namespace
	other  *opjournal.Namespace
	random *rand.Rand

	written int64 // the last batch that was told to be applied
	seen    int64 // the greatest length of the log that this lane's replica has shown it
}

func (l *lane) run() {
	defer l.running.Done()
	for number := int64(1); l.stopping.Err() == nil; number++ {
		l.write(number)
		l.check(l.handle)
		if number%32 == 0 {
			l.flush()
		}
	}
}

// write applies the batch with a number, once, and learns what became of it.
func (l *lane) write(number int64) {
	size := 20 + l.random.Int64N(31)
	id := fmt.Sprintf("%s.%d/%d", l.name, number, size)
	ops := l.batch(id, number, size)
	// Most callers are patient, some are not, and a few leave at once.
	limit := patience
	if dice := l.random.Float64(); dice < 0.01 {
		limit = 20 * time.Millisecond
	} else if dice < 0.1 {
		limit = 2 * time.Second
	}
	l.ledger.note("submit %s", id)
	err := l.do("apply", limit, func(ctx context.Context) error {
		applied, err := l.handle.Apply(ctx, ops...)
		if err == nil {
			l.ledger.note("acknowledged %s %s", id, applied.Segment)
		}
		return err
	})
	var failure *opjournal.Error
	switch {
	case err == nil:
		l.written = number
	case !errors.As(err, &failure):
		l.ledger.note("wrong apply %s: %v", id, err)
	case errors.Is(err, opjournal.ErrOutcomeUnknown):
		l.ledger.note("unknown %s %s", id, failure.Segment)
		l.settle(number, id, failure.Segment)
	default:
		l.ledger.note("failed %s %v", id, failure)
		l.expect("apply "+id, err)
		rest()
	}
}

// batch makes a batch of so many ops. The first and the last one add the same to two names, which differ where a batch is torn.
func (l *lane) batch(id string, number, size int64) []opjournal.Op {
	first, sum := opjournal.NewInt(l.handle, "first"), opjournal.NewInt(l.handle, "sum")
	entries := opjournal.NewList[string](l.handle, "log")
	last := opjournal.NewIntMap[string](l.handle, "last")
	spread := opjournal.NewIntMap[string](l.handle, "parts")
	ops := []opjournal.Op{first.AddOp(size), entries.AppendOp(id), last.SetOp(l.name, number)}
	for i := int64(len(ops)); i < size-1; i++ {
		ops = append(ops, spread.AddOp(fmt.Sprintf("p%d", (number+i)%parts), 1))
	}
	return append(ops, sum.AddOp(size))
}

// settle waits until the library knows what became of a write.
func (l *lane) settle(number int64, id, segment string) {
	for {
		err := l.do("flush", patience, l.handle.Flush)
		if err != nil {
			l.expect("flush", err)
		}
		outcome, err := l.handle.Outcome(segment)
		if err != nil {
			l.ledger.note("wrong Outcome %s: %v", segment, err)
			return
		}
		if outcome != opjournal.OutcomeUnknown {
			l.ledger.note("settled %s %s", id, outcome)
			if outcome == opjournal.OutcomeApplied {
				l.written = number
			}
			return
		}
		rest()
	}
}

// flush flushes this lane's replica, or another one, which then has to show what was written here.
func (l *lane) flush() {
	handle := l.other
	if l.random.IntN(2) == 0 {
		handle = l.handle
	}
	if err := l.do("flush", patience, handle.Flush); err != nil {
		l.expect("flush", err)
		return
	}
	l.check(handle)
}

// check looks at one state: what this lane wrote is there, no batch is torn, and nothing has vanished.
func (l *lane) check(handle *opjournal.Namespace) {
	answer, err := handle.Query(fmt.Appendf(nil,
		`[{"op":"IntGet","Key":"first"},{"op":"IntGet","Key":"sum"},{"op":"ListLen","Key":"log"},{"op":"IntMapGet","Key":"last","MapKey":"%s"}]`, l.name))
	var numbers []int64
	if err == nil {
		err = json.Unmarshal(answer, &numbers)
	}
	if err != nil || len(numbers) != 4 {
		l.ledger.note("wrong query: %s: %v", answer, err)
		return
	}
	first, sum, length, last := numbers[0], numbers[1], numbers[2], numbers[3]
	if first != sum {
		l.ledger.note("wrong torn: %s reads first %d, sum %d", l.name, first, sum)
	}
	if last < l.written {
		l.ledger.note("wrong unread: %s wrote %d and reads %d", l.name, l.written, last)
	}
	if !slices.Contains(l.own.handles, handle) {
		return
	}
	if length < l.seen {
		l.ledger.note("wrong vanished: %s has seen %d entries and reads %d", l.name, l.seen, length)
	}
	l.seen = length
}
