package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"opjournal.dev/opjournal"
	"opjournal.dev/opjournal/opjournaltest"
)

// replica is a service over the real library, on a store in memory.
type replica struct {
	t *testing.T
	*service
	faults *opjournaltest.Faults
}

func newReplica(t *testing.T, edits ...func(*opjournal.Config)) *replica {
	t.Helper()
	journal, faults := opjournaltest.New(t, edits...)
	namespace, err := journal.Namespace(t.Context(), "service")
	if err != nil {
		t.Fatal(err)
	}
	s := newService(testConfig(), slog.New(slog.DiscardHandler))
	s.use(newData(journal, namespace))
	return &replica{t, s, faults}
}

// beside is another replica on the same store.
func (r *replica) beside() *replica {
	return newReplica(r.t, func(c *opjournal.Config) { c.Store = r.faults.Store() })
}

func testConfig() config {
	return config{name: "tester", timeout: time.Minute, staleAfter: time.Hour, replicas: []string{"http://replica.invalid"}}
}

type answer struct {
	status int
	header http.Header
	body   string
}

// ask sends a request; headers are pairs of a name and a value.
func (r *replica) ask(method, path, body string, headers ...string) answer {
	r.t.Helper()
	request := httptest.NewRequestWithContext(r.t.Context(), method, path, strings.NewReader(body))
	for pair := range slices.Chunk(headers, 2) {
		request.Header.Add(pair[0], pair[1])
	}
	recorder := httptest.NewRecorder()
	r.ServeHTTP(recorder, request)
	return answer{recorder.Code, recorder.Header(), strings.TrimSpace(recorder.Body.String())}
}

// want asks, and expects a status and a body.
func (r *replica) want(status int, body, method, path, sent string, headers ...string) {
	r.t.Helper()
	if got := r.ask(method, path, sent, headers...); got.status != status || got.body != body {
		r.t.Errorf("%s %s: %d %s, not %d %s", method, path, got.status, got.body, status, body)
	}
}

// problem asks, and expects the status, code and outcome of a failure.
func (r *replica) problem(status int, code string, outcome opjournal.Outcome, method, path, sent string, headers ...string) (answer, problem) {
	r.t.Helper()
	got := r.ask(method, path, sent, headers...)
	var told struct{ Error problem }
	decoder := json.NewDecoder(strings.NewReader(got.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&told); err != nil {
		r.t.Fatalf("%s %s: %d %q is no problem: %v", method, path, got.status, got.body, err)
	}
	if got.status != status || told.Error.Code != code || told.Error.Outcome != outcome || told.Error.Message == "" {
		r.t.Errorf("%s %s: %d %s, not %d %s with outcome %s", method, path, got.status, got.body, status, code, outcome)
	}
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		r.t.Errorf("%s %s: a problem is %q", method, path, kind)
	}
	return got, told.Error
}

func TestDownloadsAreCounted(t *testing.T) {
	r := newReplica(t)
	r.want(200, `{"file":"a.tar.gz","count":0}`, "GET", "/downloads/a.tar.gz", "")
	r.want(200, `{"file":"a.tar.gz","count":1}`, "POST", "/downloads/a.tar.gz", "")
	r.want(200, `{"file":"a.tar.gz","count":2}`, "POST", "/downloads/a.tar.gz", "")
	r.want(200, `{"file":"b/ü","count":1}`, "POST", "/downloads/b%2F%C3%BC", "")
	r.want(200, `{"downloads":[{"file":"a.tar.gz","count":2},{"file":"b/ü","count":1}]}`, "GET", "/downloads", "")
	r.want(200, `{"downloads":[{"file":"a.tar.gz","count":2}],"next":"a.tar.gz"}`, "GET", "/downloads?limit=1", "")
	r.want(200, `{"downloads":[{"file":"b/ü","count":1}]}`, "GET", "/downloads?limit=1&after=a.tar.gz", "")
	r.beside().want(200, `{"file":"a.tar.gz","count":2}`, "GET", "/downloads/a.tar.gz?fresh", "")
}

func TestARepeatedRequestCountsOnceWhereverItIsRepeated(t *testing.T) {
	first := newReplica(t)
	second := first.beside()
	var clients sync.WaitGroup
	for _, r := range []*replica{first, second, first, second} {
		for _, key := range []string{"one", "two"} {
			clients.Add(1)
			go func() {
				defer clients.Done()
				if got := r.ask("POST", "/downloads/a", "", "Idempotency-Key", key); got.status != 200 {
					t.Errorf("%d %s", got.status, got.body)
				}
			}()
		}
	}
	clients.Wait()
	for _, r := range []*replica{first, second} {
		r.want(200, `{"file":"a","count":2}`, "GET", "/downloads/a?fresh", "")
		r.want(200, `{"downloads":[{"file":"a","count":2}]}`, "GET", "/downloads", "")
	}
	first.want(200, `{"file":"a","count":3}`, "POST", "/downloads/a", "")
}

func TestFlagsAndTheirAuditList(t *testing.T) {
	r := newReplica(t)
	r.problem(404, "NOT_FOUND", "none", "GET", "/flags/dark", "")
	r.want(200, `{"name":"dark","value":true}`, "PUT", "/flags/dark", "true")
	r.want(200, `{"name":"limit","value":{"most":5}}`, "PUT", "/flags/limit", ` {"most": 5} `)
	r.want(200, `{"name":"dark","value":true}`, "GET", "/flags/dark", "")
	r.want(200, `{"flags":[{"name":"dark","value":true}],"next":"dark"}`, "GET", "/flags?limit=1", "")
	r.want(200, `{"flags":[{"name":"limit","value":{"most":5}}]}`, "GET", "/flags?limit=1&after=dark", "")
	r.want(204, "", "DELETE", "/flags/dark", "")
	r.problem(404, "NOT_FOUND", "none", "GET", "/flags/dark", "")

	// From another replica, a page at a time.
	other, lines := r.beside(), []string{}
	for path := "/audit?fresh&limit=2"; path != ""; {
		var page struct {
			Entries []struct {
				Index int
				auditEntry
			}
			Next *int
		}
		got := other.ask("GET", path, "")
		if err := json.Unmarshal([]byte(got.body), &page); err != nil {
			t.Fatalf("%s: %v", got.body, err)
		}
		for _, entry := range page.Entries {
			if entry.ID == "" || entry.At.IsZero() || entry.Replica != "tester" {
				t.Errorf("an entry says too little: %s", got.body)
			}
			lines = append(lines, fmt.Sprintf("%d %s %s", entry.Index, entry.Flag, entry.Value))
		}
		path = ""
		if page.Next != nil {
			path = fmt.Sprintf("/audit?limit=2&after=%d", *page.Next)
		}
	}
	if want := []string{"0 dark true", `1 limit {"most":5}`, "2 dark "}; !slices.Equal(lines, want) {
		t.Errorf("the audit list is %q, not %q", lines, want)
	}
}

// Neither half of a batch that fails may be seen.
func TestAFlagThatIsNotSetLeavesNoAuditEntry(t *testing.T) {
	r := newReplica(t)
	r.faults.FailApply(nil)
	r.problem(503, "UNAVAILABLE", "none", "PUT", "/flags/dark", "true")
	r.want(200, `{"flags":[]}`, "GET", "/flags", "")
	r.want(200, `{"entries":[]}`, "GET", "/audit", "")
}

func TestEventsAreFirstOnceAsFarAsAReplicaKnows(t *testing.T) {
	r := newReplica(t)
	other := r.beside()
	r.want(201, `{"id":"e1","first":true}`, "POST", "/events/e1", "")
	r.want(200, `{"id":"e1","first":false}`, "POST", "/events/e1", "")
	other.want(200, `{"id":"e1","first":false}`, "POST", "/events/e1?fresh", "")
	// The other has not heard of e2. That it says "first" as well is what the documentation warns of.
	r.want(201, `{"id":"e2","first":true}`, "POST", "/events/e2", "")
	other.want(201, `{"id":"e2","first":true}`, "POST", "/events/e2", "")
}

func TestBadRequestsAreRefused(t *testing.T) {
	r := newReplica(t)
	for _, bad := range []struct {
		status                    int
		code, method, path, body  string
		field                     string
		idempotencyKey, fetchSite string
		allow                     string
	}{
		{status: 400, code: "INVALID", field: "file", method: "POST", path: "/downloads/" + strings.Repeat("a", maxName+1)},
		{status: 400, code: "INVALID", field: "file", method: "POST", path: "/downloads/a%00b"},
		{status: 400, code: "INVALID", field: "file", method: "POST", path: "/downloads/%FF"},
		{status: 400, code: "INVALID", field: "id", method: "POST", path: "/events/a%0Ab"},
		{status: 400, code: "INVALID", field: "name", method: "DELETE", path: "/flags/%7F"},
		{status: 400, code: "INVALID", field: "Idempotency-Key", method: "POST", path: "/downloads/a", idempotencyKey: strings.Repeat("k", maxName+1)},
		{status: 400, code: "INVALID", field: "body", method: "PUT", path: "/flags/a"},
		{status: 400, code: "INVALID", field: "body", method: "PUT", path: "/flags/a", body: "{"},
		{status: 400, code: "INVALID", field: "body", method: "PUT", path: "/flags/a", body: "true false"},
		{status: 400, code: "INVALID", field: "body", method: "PUT", path: "/flags/a", body: "\"\xff\""},
		{status: 413, code: "TOO_LARGE", field: "body", method: "PUT", path: "/flags/a", body: `"` + strings.Repeat("a", maxBody) + `"`},
		{status: 400, code: "INVALID", field: "limit", method: "GET", path: "/audit?limit=0"},
		{status: 400, code: "INVALID", field: "limit", method: "GET", path: "/downloads?limit=1001"},
		{status: 400, code: "INVALID", field: "limit", method: "GET", path: "/flags?limit=many"},
		{status: 400, code: "INVALID", field: "after", method: "GET", path: "/audit?after=-1"},
		{status: 400, code: "INVALID", field: "after", method: "GET", path: "/downloads?after=%00"},
		{status: 404, code: "NOT_FOUND", method: "GET", path: "/nowhere"},
		{status: 404, code: "NOT_FOUND", method: "POST", path: "/replicas/1/downloads/a"},
		{status: 405, code: "METHOD_NOT_ALLOWED", method: "PATCH", path: "/flags/a", allow: "DELETE, GET, HEAD, PUT"},
		{status: 403, code: "FORBIDDEN", method: "POST", path: "/downloads/a", fetchSite: "cross-site"},
	} {
		var headers []string
		if bad.idempotencyKey != "" {
			headers = append(headers, "Idempotency-Key", bad.idempotencyKey)
		}
		if bad.fetchSite != "" {
			headers = append(headers, "Sec-Fetch-Site", bad.fetchSite)
		}
		got, told := r.problem(bad.status, bad.code, "none", bad.method, bad.path, bad.body, headers...)
		if told.Field != bad.field {
			t.Errorf("%s %.40s: the field is %q, not %q", bad.method, bad.path, told.Field, bad.field)
		}
		if got.header.Get("Allow") != bad.allow {
			t.Errorf("%s %s: Allow is %q", bad.method, bad.path, got.header.Get("Allow"))
		}
	}
	// What the library itself refuses comes through with its words.
	r.problem(400, "INVALID", "none", "PUT", "/flags/a", `{"a":1,"a":2}`)
	// Nothing of all that was written.
	r.want(200, `{"downloads":[]}`, "GET", "/downloads", "")
	r.want(200, `{"entries":[]}`, "GET", "/audit", "")
}

func TestAStoreThatIsAway(t *testing.T) {
	r := newReplica(t)
	for _, write := range [][3]string{{"POST", "/downloads/a", ""}, {"PUT", "/flags/a", "1"}, {"DELETE", "/flags/a", ""}, {"POST", "/events/a", ""}} {
		r.faults.FailApply(nil)
		if got, _ := r.problem(503, "UNAVAILABLE", "none", write[0], write[1], write[2]); got.header.Get("Retry-After") == "" {
			t.Errorf("%v: no Retry-After", write)
		}
	}
	r.faults.FailFlush(nil)
	r.problem(503, "UNAVAILABLE", "none", "GET", "/downloads/a?fresh", "")
	r.want(200, `{"file":"a","count":0}`, "GET", "/downloads/a", "")
}

func TestARequestDoesNotWaitForEver(t *testing.T) {
	r := newReplica(t)
	r.config.timeout = time.Millisecond
	r.faults.DelayApply()
	r.problem(503, "TIMED_OUT", "none", "POST", "/downloads/a", "")
}

func TestAnUnknownOutcomeIsSaidAndLaterSettled(t *testing.T) {
	for outcome, takesEffect := range map[string]bool{"applied": true, "failed": false} {
		r := newReplica(t)
		r.faults.UnknownApply(takesEffect)
		got, told := r.problem(504, "TIMED_OUT", "unknown", "POST", "/downloads/a", "")
		path := "/outcomes/" + told.Segment
		if told.Segment == "" || got.header.Get("Location") != path || got.header.Get("Retry-After") != "" {
			t.Errorf("the answer is %v %s", got.header, got.body)
		}
		r.want(200, fmt.Sprintf(`{"segment":%q,"outcome":"unknown"}`, told.Segment), "GET", path, "")
		r.want(200, fmt.Sprintf(`{"segment":%q,"outcome":%q}`, told.Segment, outcome), "GET", path+"?fresh", "")
		count := map[bool]int{true: 1}[takesEffect]
		r.want(200, fmt.Sprintf(`{"file":"a","count":%d}`, count), "GET", "/downloads/a", "")
	}
}

func TestHealthReadinessAndMetrics(t *testing.T) {
	unloaded := &replica{t, newService(testConfig(), slog.New(slog.DiscardHandler)), nil}
	unloaded.want(200, `{"status":"alive"}`, "GET", "/healthz", "")
	unloaded.want(503, `{"ready":false,"reason":"the state is not loaded yet","age_ms":null}`, "GET", "/readyz", "")
	unloaded.problem(503, "NOT_READY", "none", "GET", "/downloads", "")

	r := newReplica(t)
	if got := r.ask("GET", "/readyz", ""); got.status != 200 {
		t.Errorf("a loaded replica is not ready: %s", got.body)
	}
	r.ask("POST", "/downloads/a", "")
	metrics := r.ask("GET", "/metrics", "").body
	for _, part := range []string{"opjournal_", "go_goroutines", `http_request_duration_seconds_count{code="200",route="POST /downloads/{file}"} 1`} {
		if !strings.Contains(metrics, part) {
			t.Errorf("the metrics have no %s", part)
		}
	}
	// Every state is older than this.
	r.config.staleAfter = -1
	if got := r.ask("GET", "/readyz", ""); got.status != 503 || !strings.Contains(got.body, "older") {
		t.Errorf("a stale replica is ready: %s", got.body)
	}
	r.stopping.Store(true)
	if got := r.ask("GET", "/readyz", ""); got.status != 503 || !strings.Contains(got.body, "stopping") {
		t.Errorf("a replica that stops is ready: %s", got.body)
	}
	r.want(200, `{"status":"alive"}`, "GET", "/healthz", "")
}

func TestThePageShowsEveryReplica(t *testing.T) {
	r := newReplica(t)
	server := httptest.NewServer(r)
	defer server.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	r.config.replicas = []string{server.URL, gone.URL}

	for path, part := range map[string]string{"/": "<!doctype html>", "/page.css": ":root", "/page.js": "use strict"} {
		if got := r.ask("GET", path, ""); got.status != 200 || !strings.Contains(got.body, part) || got.header.Get("Content-Security-Policy") == "" {
			t.Errorf("%s: %d %v", path, got.status, got.header)
		}
	}
	// Forwarded writes reach the replica, with their keys and their bodies.
	r.want(200, `{"file":"a","count":1}`, "POST", "/replicas/0/downloads/a", "", "Idempotency-Key", "once")
	r.want(200, `{"file":"a","count":2}`, "POST", "/replicas/0/downloads/a", "")
	r.want(200, `{"name":"dark","value":true}`, "PUT", "/replicas/0/flags/dark", "true")
	r.problem(502, "NO_ANSWER", "unknown", "POST", "/replicas/1/downloads/a", "")

	var told struct {
		Replicas []struct {
			URL, Error string
			Status     *status
		}
	}
	if err := json.Unmarshal([]byte(r.ask("GET", "/replicas", "").body), &told); err != nil {
		t.Fatal(err)
	}
	if len(told.Replicas) != 2 || told.Replicas[0].Status == nil || told.Replicas[1].Error == "" {
		t.Fatalf("the replicas are %+v", told.Replicas)
	}
	shown := told.Replicas[0].Status
	digest, err := r.data.Load().namespace.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if shown.Digest != digest.SHA256 || shown.AuditLen != 1 || len(shown.Audit) != 1 || len(shown.Flags) != 1 ||
		!slices.Equal(shown.Downloads, []count{{"a", 2}}) || !shown.Ready {
		t.Errorf("the status is %+v", shown)
	}
}

func TestTheCommandLine(t *testing.T) {
	environment := func(name string) string {
		return map[string]string{"SERVICE_STORE": "memory:a", "SERVICE_SYNC_INTERVAL": "2s"}[name]
	}
	none := func(string) string { return "" }
	c, err := parseConfig([]string{"-sync-interval=3s", "-replicas=http://a,https://b"}, environment, io.Discard)
	if err != nil || c.store != "memory:a" || c.syncInterval != 3*time.Second || len(c.replicas) != 2 {
		t.Errorf("%+v, %v", c, err)
	}
	for _, arguments := range [][]string{{}, {"-store=memory:a", "-timeout=0s"}, {"-store=memory:a", "x"}, {"-store=memory:a", "-replicas=ftp://a"}} {
		if _, err := parseConfig(arguments, none, io.Discard); err == nil {
			t.Errorf("%q is taken", arguments)
		}
	}
}
