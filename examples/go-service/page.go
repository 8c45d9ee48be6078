package main

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"opjournal.dev/opjournal"
)

// The page needs nothing but these files: no framework, no network.
//
//go:embed web
var web embed.FS

const (
	// statusTimeout bounds the wait for a replica that the page shows: one that takes longer is shown as gone.
	statusTimeout = time.Second
	// maxStatus bounds what a replica may answer.
	maxStatus = 1 << 20
	// shownEntries and shownAudit are how much of the state the page shows.
	shownEntries = 12
	shownAudit   = 5
)

// routePage serves the page, and asks the replicas on its behalf. The browser talks to one origin only, so nothing needs to be opened to
// other sites; and only the replicas that the service was started with can be reached through it.
func (s *service) routePage() {
	files, err := fs.Sub(web, "web")
	if err != nil {
		panic(err) // The name is in the line above it.
	}
	server := http.FileServerFS(files)
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy",
			"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Referrer-Policy", "no-referrer")
		server.ServeHTTP(w, r)
	})
	s.route("GET /{$}", page)
	s.route("GET /page.css", page)
	s.route("GET /page.js", page)

	s.route("GET /replicas", http.HandlerFunc(s.listReplicas))
	forward := http.HandlerFunc(s.forward)
	s.route("POST /replicas/{replica}/downloads/{file}", forward)
	s.route("PUT /replicas/{replica}/flags/{name}", forward)
	s.route("POST /replicas/{replica}/events/{id}", forward)
}

// status is what the page shows of a replica.
type status struct {
	Replica string `json:"replica"`
	readiness
	// Tail is how many segments are above the rollup.
	Tail int64 `json:"tail"`
	// Digest is equal where the states are.
	Digest    string       `json:"digest"`
	Downloads []count      `json:"downloads"`
	Flags     []flagValue  `json:"flags"`
	Events    int64        `json:"events"`
	AuditLen  int          `json:"audit_len"`
	Audit     []auditEntry `json:"audit"`
}

// statusQuery is answered from one state, so that what is shown is what the digest is of. The digest reads the whole state: good
// for a page that a person looks at, not for something that is asked all the time.
var statusQuery = fmt.Appendf(nil, `[
	{"op":"Digest"},
	{"op":"IntMapEntries","Key":"downloads","Limit":%[1]d},
	{"op":"Names","Prefix":"%[2]s"},
	{"op":"MapEntries","Key":"flags","Limit":%[1]d},
	{"op":"SetLen","Key":"events"}]`, shownEntries, requestsPrefix)

// tail is one of the figures that the library has for people and monitors.
func (d *data) tail() (int64, error) {
	text, err := d.journal.Stats()
	if err != nil {
		return 0, err
	}
	var stats struct {
		Namespaces map[string]struct {
			Tail int64 `json:"tail"`
		} `json:"namespaces"`
	}
	err = json.Unmarshal(text, &stats)
	return stats.Namespaces[d.namespace.Name()].Tail, err
}

// entries is the answer to a query for a page of entries.
type entries struct {
	Items [][2]json.RawMessage `json:"items"`
}

func (s *service) getStatus(d *data, w http.ResponseWriter, _ *http.Request) error {
	tail, err := d.tail()
	if err != nil {
		return err
	}
	answer := status{Replica: s.config.name, readiness: s.readiness(), Tail: tail, Downloads: []count{}, Flags: []flagValue{}}
	text, err := d.namespace.Query(statusQuery)
	if err != nil {
		return err
	}
	var digest struct {
		SHA256 string `json:"sha256"`
	}
	var downloads, flags entries
	var requests struct {
		Items []opjournal.NameInfo `json:"items"`
	}
	if err := json.Unmarshal(text, &[]any{&digest, &downloads, &requests, &flags, &answer.Events}); err != nil {
		return err
	}
	answer.Digest = digest.SHA256
	byRequest := map[string]int64{}
	for _, name := range requests.Items {
		byRequest[strings.TrimPrefix(name.Name, requestsPrefix)] = name.Len
	}
	for _, entry := range downloads.Items {
		var c count
		if err := errors.Join(json.Unmarshal(entry[0], &c.File), json.Unmarshal(entry[1], &c.Count)); err != nil {
			return err
		}
		c.Count += byRequest[c.File]
		answer.Downloads = append(answer.Downloads, c)
	}
	for _, entry := range flags.Items {
		f := flagValue{Value: entry[1]}
		if err := json.Unmarshal(entry[0], &f.Name); err != nil {
			return err
		}
		answer.Flags = append(answer.Flags, f)
	}
	if answer.AuditLen, err = d.audit.Len(); err != nil {
		return err
	}
	last := []opjournal.RangeOption{opjournal.PageSize(shownAudit)}
	if first := answer.AuditLen - shownAudit; first > 0 {
		last = append(last, opjournal.After(first-1))
	}
	if answer.Audit, _, err = firstOf(shownAudit, d.audit.Values(last...)); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, answer)
}

// seen is a replica as this one sees it.
type seen struct {
	URL    string          `json:"url"`
	Status json.RawMessage `json:"status,omitempty"`
	// Error is why there is no status.
	Error string `json:"error,omitempty"`
}

// listReplicas asks all replicas at once. That one does not answer is an answer too.
func (s *service) listReplicas(w http.ResponseWriter, r *http.Request) {
	replicas := make([]seen, len(s.config.replicas))
	var group sync.WaitGroup
	for i, url := range s.config.replicas {
		group.Add(1)
		go func() {
			defer group.Done()
			replicas[i].URL = url
			var err error
			if replicas[i].Status, err = askStatus(r.Context(), url); err != nil {
				replicas[i].Error = err.Error()
			}
		}()
	}
	group.Wait()
	_ = writeJSON(w, http.StatusOK, map[string][]seen{"replicas": replicas})
}

func askStatus(ctx context.Context, replica string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, replica+"/status", nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxStatus))
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK || !json.Valid(body) {
		return nil, fmt.Errorf("%s answers %s", replica, response.Status)
	}
	return body, nil
}

// forward sends a write that was made on the page to the replica for which it was made.
func (s *service) forward(w http.ResponseWriter, r *http.Request) {
	number := r.PathValue("replica")
	index, err := strconv.Atoi(number)
	if err != nil || index < 0 || index >= len(s.config.replicas) {
		writeProblem(w, notFound("there is no replica %q", number))
		return
	}
	target, err := url.Parse(s.config.replicas[index])
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(out *httputil.ProxyRequest) { out.SetURL(target) },
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			// It may have written and been unable to say so.
			p := &problem{status: http.StatusBadGateway, Code: "NO_ANSWER", Message: err.Error(), Outcome: opjournal.OutcomeUnknown}
			writeProblem(w, p)
		},
	}
	http.StripPrefix("/replicas/"+number, proxy).ServeHTTP(w, r)
}
