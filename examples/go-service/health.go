package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// newRegistry makes a registry with what every Go service tells about itself.
func newRegistry() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}

// getHealth says that the process lives. It asks nobody: a store that is away is no reason to restart the service.
func getHealth(w http.ResponseWriter, _ *http.Request) {
	_ = writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
}

// freshness is what the library tells about the namespace.
type freshness struct {
	// AgeMS is how long ago the state was last known to be complete. Nil: never yet.
	AgeMS *int64 `json:"age_ms"`
	// Tail is how many segments are above the rollup.
	Tail int64 `json:"tail"`
	// LastError is why the last sync failed, where it did.
	LastError *struct {
		Message string `json:"message"`
	} `json:"last_error"`
}

// freshness comes from the figures, which cost nothing; the digest tells the age as well, and reads the whole state for it.
func (d *data) freshness() (freshness, error) {
	text, err := d.journal.Stats()
	if err != nil {
		return freshness{}, err
	}
	var stats struct {
		Namespaces map[string]freshness `json:"namespaces"`
	}
	if err := json.Unmarshal(text, &stats); err != nil {
		return freshness{}, err
	}
	return stats.Namespaces[d.namespace.Name()], nil
}

// readiness says whether requests should come here: the state is loaded, not too old, and the service is not stopping. A replica
// that is not ready still answers: that is for the client, or the load balancer, to decide.
type readiness struct {
	Ready bool `json:"ready"`
	// Reason is why it is not.
	Reason string `json:"reason,omitempty"`
	AgeMS  *int64 `json:"age_ms"`
}

func (s *service) readiness() readiness {
	d := s.data.Load()
	if d == nil {
		return readiness{Reason: "the state is not loaded yet"}
	}
	fresh, err := d.freshness()
	answer := readiness{AgeMS: fresh.AgeMS}
	limit := s.config.staleAfter
	switch {
	case err != nil:
		answer.Reason = err.Error()
	case s.stopping.Load():
		answer.Reason = "stopping"
	case fresh.AgeMS == nil:
		answer.Reason = "there was no good sync yet"
	case time.Duration(*fresh.AgeMS)*time.Millisecond > limit:
		answer.Reason = fmt.Sprintf("the state is older than %s", limit)
		if fresh.LastError != nil {
			answer.Reason += ": " + fresh.LastError.Message
		}
	default:
		answer.Ready = true
	}
	return answer
}

func (s *service) getReadiness(w http.ResponseWriter, _ *http.Request) {
	answer, status := s.readiness(), http.StatusOK
	if !answer.Ready {
		status = http.StatusServiceUnavailable
	}
	_ = writeJSON(w, status, answer)
}
