package main

import (
	"fmt"
	"net/http"

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

// readiness says whether requests should come here: the state is loaded, not too old, and the service is not stopping. A replica
// that is not ready still answers: that is for the client, or the load balancer, to decide.
type readiness struct {
	Ready bool `json:"ready"`
	// Reason is why it is not.
	Reason string `json:"reason,omitempty"`
	// AgeMS is how long ago the state was last known to be complete. Nil: never yet.
	AgeMS *int64 `json:"age_ms"`
}

func (s *service) readiness() readiness {
	d := s.data.Load()
	if d == nil {
		return readiness{Reason: "the state is not loaded yet"}
	}
	age, err := d.namespace.Age()
	if err != nil {
		return readiness{Reason: err.Error()}
	}
	milliseconds := age.Milliseconds()
	answer := readiness{AgeMS: &milliseconds}
	switch limit := s.config.staleAfter; {
	case s.stopping.Load():
		answer.Reason = "stopping"
	case age > limit:
		// Why, the log tells.
		answer.Reason = fmt.Sprintf("the state is older than %s", limit)
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
