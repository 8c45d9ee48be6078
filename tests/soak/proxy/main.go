// Command proxy passes HTTP requests on to an S3 server and does to some of them what networks do: it loses, repeats, delays
// and cuts them. How often is told on the command line, one flag for each fault, as a share of the requests to which it can
// happen; a seed decides which.
//
//	proxy -to 127.0.0.1:9000 -seed 1 -drop 0.01 -late 0.01
//
// It prints `listening HOST:PORT`, then takes one word a line on its standard input, and answers each with a line: `on` and
// `off` switch the faults, `counts` tells as JSON how many requests there were and how often each fault happened, and how many
// late requests are still to be delivered. It ends with its standard input.
//
// Each request is read whole before it is passed on, with the headers as the client signed them, Host included.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

func main() {
	p := &proxy{dice: &dice{}}
	var seed uint64
	flag.StringVar(&p.server, "to", "", "`HOST:PORT` of the server")
	flag.Uint64Var(&seed, "seed", 1, "what the choices are drawn from")
	flag.DurationVar(&p.longestLate, "late-by", time.Minute, "how much later a late or repeated request is delivered, at most")
	flag.DurationVar(&p.longestDelay, "delay-by", 3*time.Second, "how long a request or an answer is held, at most")
	flag.DurationVar(&p.longestHang, "hang-for", time.Minute, "how long a hung connection stays open, if the client does not close it")
	flag.Float64Var(&p.probeShare, "probe-share", 0.05, "how many of the faults hit the test of the store too, as a share: it is hundreds of requests")
	for f := range faults {
		flag.Float64Var(&p.dice.rates[f], names[f], 0, meanings[f]+": share of requests")
	}
	flag.Parse()
	if flag.NArg() > 0 || p.server == "" {
		flag.Usage()
		os.Exit(2)
	}
	p.dice.seed(seed)

	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	go func() {
		// The clients' broken connections, which are what this program is for, would fill the log.
		server := http.Server{Handler: p, ErrorLog: log.New(io.Discard, "", 0)}
		log.Fatal(server.Serve(listener))
	}()
	fmt.Println("listening", listener.Addr())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		switch word := lines.Text(); word {
		case "on", "off":
			p.dice.on.Store(word == "on")
			fmt.Println("faults", word)
		case "counts":
			text, err := json.Marshal(p.counts())
			if err != nil {
				log.Fatal(err)
			}
			fmt.Println(string(text))
		default:
			log.Fatalf("no such word: %q", word)
		}
	}
}

type proxy struct {
	server                                 string
	longestLate, longestDelay, longestHang time.Duration
	probeShare                             float64
	dice                                   *dice

	requests, unreachable, late, undelivered, inProbes atomic.Int64
}

// A request as the client sent it.
type request struct {
	head *http.Request
	body []byte
}

// An answer of the server.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// transport opens a connection for each request, so that one that is cut takes no other along, and never repeats a request.
var transport = &http.Transport{
	DisableCompression:    true,
	DisableKeepAlives:     true,
	ResponseHeaderTimeout: 2 * time.Minute,
}

func (p *proxy) ServeHTTP(w http.ResponseWriter, head *http.Request) {
	p.requests.Add(1)
	body, err := io.ReadAll(head.Body)
	if err != nil {
		// The client gave up while it was sending.
		panic(http.ErrAbortHandler)
	}
	r := request{head, body}
	isProbe := strings.Contains(head.URL.RequestURI(), ".probe")
	share := 1.0
	if isProbe {
		share = p.probeShare
	}
	fault, extent := p.dice.draw(r, share)
	if isProbe && fault != none {
		p.inProbes.Add(1)
	} else if fault != none {
		p.dice.counts[fault].Add(1)
	}
	switch fault {
	case drop:
		panic(http.ErrAbortHandler)
	case hang:
		p.hang(head)
	case late:
		p.deliverLater(r, extent)
		// Some clients hear that the connection broke, the others nothing.
		if int(extent*1000)%2 == 0 {
			p.hang(head)
		}
		panic(http.ErrAbortHandler)
	case repeat:
		p.deliverLater(r, extent)
	case cutRequest:
		p.deliverPart(r, extent)
		panic(http.ErrAbortHandler)
	case refuse:
		fail(w, extent)
		return
	case delayRequest:
		time.Sleep(part(p.longestDelay, extent))
	}

	got, err := p.deliver(r)
	if err != nil {
		p.unreachable.Add(1)
		panic(http.ErrAbortHandler)
	}
	switch fault {
	case loseAnswer:
		panic(http.ErrAbortHandler)
	case refuseDone:
		fail(w, extent)
		return
	case delayAnswer:
		time.Sleep(part(p.longestDelay, extent))
	}
	for name, values := range got.header {
		w.Header()[name] = values
	}
	w.WriteHeader(got.status)
	if fault == cutAnswer && len(got.body) > 0 {
		// What was announced stays announced: the client sees that there should have been more.
		_, _ = w.Write(got.body[:int(extent*float64(len(got.body)))])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	// A client that has gone takes no answer.
	_, _ = w.Write(got.body)
}

// deliver passes a request on.
func (p *proxy) deliver(r request) (answer, error) {
	out := &http.Request{
		Method:        r.head.Method,
		URL:           r.head.URL,
		Header:        r.head.Header,
		Host:          r.head.Host,
		Body:          io.NopCloser(bytes.NewReader(r.body)),
		ContentLength: int64(len(r.body)),
	}
	url := *r.head.URL
	url.Scheme, url.Host = "http", p.server
	out.URL = &url
	if len(r.body) == 0 {
		out.Body = http.NoBody
	}
	response, err := transport.RoundTrip(out)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return answer{}, err
	}
	header := response.Header
	if r.head.Method != http.MethodHead && response.StatusCode != http.StatusNotModified && response.StatusCode != http.StatusNoContent {
		header.Set("Content-Length", fmt.Sprint(len(body)))
	}
	// The client's connection is its own affair.
	header.Del("Connection")
	return answer{response.StatusCode, header, body}, nil
}

// deliverLater passes a request on when its client has long stopped to wait for it. Nearly half of them come within a fifth of the longest
// time: that is when segments expire, and when they are folded and deleted.
func (p *proxy) deliverLater(r request, extent float64) {
	p.late.Add(1)
	time.AfterFunc(part(p.longestLate, extent*extent), func() {
		defer p.late.Add(-1)
		// The server may be away for a while.
		for range 50 {
			if _, err := p.deliver(r); err == nil {
				return
			}
			time.Sleep(200 * time.Millisecond)
		}
		p.undelivered.Add(1)
	})
}

// deliverPart begins to pass a request on and breaks off in its body.
func (p *proxy) deliverPart(r request, extent float64) {
	connection, err := net.Dial("tcp", p.server)
	if err != nil {
		p.unreachable.Add(1)
		return
	}
	defer connection.Close()
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.head.Method, r.head.URL.RequestURI(), r.head.Host, len(r.body))
	_ = r.head.Header.WriteSubset(&text, map[string]bool{"Content-Length": true})
	text.WriteString("\r\n")
	text.Write(r.body[:int(extent*float64(len(r.body)))])
	_, _ = connection.Write(text.Bytes())
}

// hang says nothing until the client has had enough.
func (p *proxy) hang(head *http.Request) {
	select {
	case <-head.Context().Done():
	case <-time.After(p.longestHang):
	}
	panic(http.ErrAbortHandler)
}

// fail answers in the place of the server.
func fail(w http.ResponseWriter, extent float64) {
	status, code := http.StatusServiceUnavailable, "SlowDown"
	if extent < 0.5 {
		status, code = http.StatusInternalServerError, "InternalError"
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>%s</Code><Message>the proxy says so</Message></Error>", code)
}

// part is a share of a time.
func part(longest time.Duration, extent float64) time.Duration {
	return time.Duration(extent * float64(longest))
}

type counts struct {
	Requests int64 `json:"requests"`
	// Unreachable counts requests that the server did not take, as it was down.
	Unreachable int64 `json:"unreachable"`
	// Late is how many requests are still to be delivered, Undelivered how many never could be.
	Late        int64 `json:"late"`
	Undelivered int64 `json:"undelivered"`
	// InProbes is how many faults hit tests of the store; they are not among the others.
	InProbes int64            `json:"in_probes"`
	Faults   map[string]int64 `json:"faults"`
}

func (p *proxy) counts() counts {
	c := counts{p.requests.Load(), p.unreachable.Load(), p.late.Load(), p.undelivered.Load(), p.inProbes.Load(), map[string]int64{}}
	for f := range faults {
		c.Faults[names[f]] = p.dice.counts[f].Load()
	}
	return c
}
