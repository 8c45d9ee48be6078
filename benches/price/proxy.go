package main

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"path"
	"strings"
	"sync/atomic"
)

// A kind of request, as far as its price or its reason differs from that of others.
type kind int

const (
	listPage kind = iota
	getSegment
	getRollup
	putSegment
	putRollup
	deleteMany
	// A request of a journal's test of its store, which comes before its first write.
	probe
	// What no running fleet sends: the look for a legacy object at a start, and whatever this program does not know.
	other
	// Counted beside its kind: the server did not do what it was asked for.
	failed
	kinds
)

var kindNames = [kinds]string{"LIST", "GET segment", "GET rollup", "PUT segment", "PUT rollup", "DELETE", "probe", "other", "failed"}

func kindOf(r *http.Request) kind {
	query := r.URL.Query()
	name := path.Base(r.URL.Path)
	isSegment, isRollup := strings.HasPrefix(name, "segment-"), name == "rollup.json"
	switch {
	case strings.Contains(r.URL.Path, "/.probe/") || strings.Contains(query.Get("prefix"), "/.probe/"):
		return probe
	case r.Method == http.MethodGet && query.Has("list-type"):
		return listPage
	case r.Method == http.MethodGet && isSegment:
		return getSegment
	case r.Method == http.MethodGet && isRollup:
		return getRollup
	case r.Method == http.MethodPut && isSegment:
		return putSegment
	case r.Method == http.MethodPut && isRollup:
		return putRollup
	case r.Method == http.MethodPost && query.Has("delete"):
		return deleteMany
	}
	return other
}

// Counts of requests by kind.
type counts [kinds]int64

func (c counts) less(earlier counts) counts {
	for k := range c {
		c[k] -= earlier[k]
	}
	return c
}

// A proxy before the S3 server, on a port of its own, so that each fleet has one and is counted apart.
type proxy struct {
	address string
	counted [kinds]atomic.Int64
	server  *http.Server
}

// startProxy passes on what comes to a free port of 127.0.0.1. Headers go on as the client signed them, Host included.
func startProxy(server string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{address: listener.Addr().String()}
	reverse := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.Out.URL.Scheme, r.Out.URL.Host = "http", server
			r.Out.Host = r.In.Host
		},
		// The default keeps two connections, and would open one for nearly each request of a fleet.
		Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true},
		ModifyResponse: func(r *http.Response) error {
			// A missing object and a condition that does not hold are answers that a journal asks for.
			if r.StatusCode >= 400 && r.StatusCode != http.StatusNotFound && r.StatusCode != http.StatusPreconditionFailed {
				p.counted[failed].Add(1)
			}
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) {
			p.counted[failed].Add(1)
			w.WriteHeader(http.StatusBadGateway)
		},
	}
	p.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.counted[kindOf(r)].Add(1)
		reverse.ServeHTTP(w, r)
	})}
	// It ends with the process; an error here shows as requests that fail.
	go func() { _ = p.server.Serve(listener) }()
	return p, nil
}

func (p *proxy) counts() counts {
	var c counts
	for k := range c {
		c[k] = p.counted[k].Load()
	}
	return c
}

func (p *proxy) endpoint() string {
	return fmt.Sprintf("http://%s", p.address)
}
