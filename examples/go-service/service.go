package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"opjournal.dev/opjournal"
	"opjournal.dev/opjournal/opjournalprom"
)

// maxBody bounds what a request may send.
const maxBody = 64 << 10

// data is what the service keeps: one namespace, so that one batch may change several names of it, and a view of each name.
type data struct {
	journal   *opjournal.Journal
	namespace *opjournal.Namespace
	downloads opjournal.IntMap[string]
	flags     opjournal.Map[string, json.RawMessage]
	events    opjournal.Set[string]
	audit     opjournal.List[auditEntry]
}

func newData(journal *opjournal.Journal, namespace *opjournal.Namespace) *data {
	return &data{
		journal:   journal,
		namespace: namespace,
		downloads: opjournal.NewIntMap[string](namespace, "downloads"),
		flags:     opjournal.NewMap[string, json.RawMessage](namespace, "flags"),
		events:    opjournal.NewSet[string](namespace, "events"),
		audit:     opjournal.NewList[auditEntry](namespace, "audit"),
	}
}

// service is one replica.
type service struct {
	config    config
	logger    *slog.Logger
	registry  *prometheus.Registry
	durations *prometheus.HistogramVec
	mux       *http.ServeMux
	// data is nil until the state is loaded.
	data     atomic.Pointer[data]
	stopping atomic.Bool
}

func newService(config config, logger *slog.Logger) *service {
	s := &service{
		config:   config,
		logger:   logger,
		registry: newRegistry(),
		durations: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "http_request_duration_seconds",
			Help: "From a request to the end of its answer.",
		}, []string{"route", "code"}),
		mux: http.NewServeMux(),
	}
	s.registry.MustRegister(s.durations)

	s.route("POST /downloads/{file}", s.withData(countDownload))
	s.route("GET /downloads/{file}", s.withData(getDownload))
	s.route("GET /downloads", s.withData(listDownloads))
	s.route("PUT /flags/{name}", s.withData(s.putFlag))
	s.route("GET /flags/{name}", s.withData(getFlag))
	s.route("DELETE /flags/{name}", s.withData(s.deleteFlag))
	s.route("GET /flags", s.withData(listFlags))
	s.route("GET /audit", s.withData(listAudit))
	s.route("POST /events/{id}", s.withData(reportEvent))
	s.route("GET /outcomes/{segment}", s.withData(getOutcome))

	s.route("GET /healthz", http.HandlerFunc(getHealth))
	s.route("GET /readyz", http.HandlerFunc(s.getReadiness))
	s.route("GET /metrics", promhttp.HandlerFor(s.registry, promhttp.HandlerOpts{}))

	s.route("GET /status", s.withData(s.getStatus))
	s.routePage()
	return s
}

// route registers a handler, and measures it under its pattern.
func (s *service) route(pattern string, handler http.Handler) {
	s.mux.Handle(pattern, promhttp.InstrumentHandlerDuration(s.durations.MustCurryWith(prometheus.Labels{"route": pattern}), handler))
}

// ServeHTTP answers every request.
func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isForeign(r) {
		writeProblem(w, &problem{status: http.StatusForbidden, Code: "FORBIDDEN", Message: "pages of other sites may not write here"})
		return
	}
	if _, pattern := s.mux.Handler(r); pattern == "" {
		// The mux knows whether it is the path or the method that is wrong, but says so in plain text.
		w = &refusal{ResponseWriter: w, method: r.Method, path: r.URL.Path}
	}
	s.mux.ServeHTTP(w, r)
}

// isForeign reports whether a browser sends a write on behalf of another site's page. (Go 1.25 has http.CrossOriginProtection.)
func isForeign(r *http.Request) bool {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return false
	}
	switch r.Header.Get("Sec-Fetch-Site") {
	case "", "same-origin", "none":
		return false
	}
	return true
}

// handler answers a request from the data, or says what is wrong.
type handler func(d *data, w http.ResponseWriter, r *http.Request) error

// withData gives a handler the data, a deadline, a bound for the body, and its errors a form. With `?fresh` in the query it
// first takes in what was acknowledged anywhere before the request.
func (s *service) withData(h handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), s.config.timeout)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		err := func() error {
			d := s.data.Load()
			if d == nil {
				return notLoaded()
			}
			if r.URL.Query().Has("fresh") {
				if err := d.namespace.Flush(ctx); err != nil {
					return err
				}
			}
			return h(d, w, r)
		}()
		if err != nil {
			problem := problemOf(err)
			if problem.status >= 500 {
				s.logger.Warn("a request failed", "method", r.Method, "path", r.URL.Path, "status", problem.status, "error", err)
			}
			writeProblem(w, problem)
		}
	})
}

// load opens the journal and its namespace. While the store is away it tries again, and the service is alive and not ready;
// what does not pass by itself (no such bucket, no rights) is an error, and the end of the service.
func (s *service) load(ctx context.Context) error {
	config := opjournal.Config{
		Store:        s.config.store,
		SyncInterval: s.config.syncInterval,
		Logger:       s.logger,
		// Servers other than AWS are mostly reached with the bucket in the path.
		S3: opjournal.S3Config{Endpoint: s.config.endpoint, ForcePathStyle: s.config.endpoint != ""},
	}
	begun := time.Now()
	journal, err := patiently(ctx, s.logger, func() (*opjournal.Journal, error) { return opjournal.Open(ctx, config) })
	if err != nil || journal == nil {
		return err
	}
	for _, warning := range journal.Warnings() {
		s.logger.Warn("the configuration", "warning", warning)
	}
	namespace, err := patiently(ctx, s.logger, func() (*opjournal.Namespace, error) {
		return journal.Namespace(ctx, s.config.namespace)
	})
	if err != nil || namespace == nil {
		return errors.Join(err, journal.Close(context.WithoutCancel(ctx)))
	}
	s.use(newData(journal, namespace))
	s.logger.Info("ready", "after", time.Since(begun).String())
	return nil
}

// use begins to serve data.
func (s *service) use(d *data) {
	s.registry.MustRegister(opjournalprom.NewCollector(d.namespace))
	s.data.Store(d)
}

// close gives the journal up, once no request needs it any more. An error says that something that was written may or may not
// take effect.
func (s *service) close(timeout time.Duration) error {
	d := s.data.Load()
	if d == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := d.journal.Close(ctx); err != nil {
		return fmt.Errorf("the journal: %w", err)
	}
	return nil
}

// patiently tries until it succeeds, until an error does not pass by itself, or until ctx ends, which gives nothing.
func patiently[T any](ctx context.Context, logger *slog.Logger, try func() (*T, error)) (*T, error) {
	const longest = 5 * time.Second
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, longest) {
		made, err := try()
		if err == nil {
			return made, nil
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		var failure *opjournal.Error
		if !errors.As(err, &failure) || !failure.Retryable && failure.Code != opjournal.ErrTimedOut {
			return nil, err
		}
		logger.Warn("cannot load the state yet", "error", err, "next", pause.String())
		select {
		case <-ctx.Done():
			return nil, nil
		case <-time.After(pause):
		}
	}
}
