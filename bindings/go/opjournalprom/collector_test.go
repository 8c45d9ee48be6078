package opjournalprom_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"opjournal.dev/opjournal"
	"opjournal.dev/opjournal/opjournalprom"
)

func open(t *testing.T, store string) (*opjournal.Journal, *opjournal.Namespace) {
	t.Helper()
	journal, err := opjournal.Open(t.Context(), opjournal.Config{Store: store})
	if err != nil {
		t.Fatal(err)
	}
	namespace, err := journal.Namespace(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	if err := opjournal.NewInt(namespace, "total").Add(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	return journal, namespace
}

func scrape(t *testing.T, registry *prometheus.Registry) (int, string) {
	t.Helper()
	answer := httptest.NewRecorder()
	handler := promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
	handler.ServeHTTP(answer, httptest.NewRequest("GET", "/metrics", nil))
	return answer.Code, answer.Body.String()
}

func TestWhatIsScrapedIsWhatTheLibraryTells(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	for _, store := range []string{"memory:prom-one", "memory:prom-two"} {
		journal, namespace := open(t, store)
		defer journal.Close(t.Context())
		registry.MustRegister(opjournalprom.NewCollector(namespace))
	}
	code, body := scrape(t, registry)
	if code != 200 {
		t.Fatalf("%d: %s", code, body)
	}
	for _, line := range []string{
		`opjournal_namespace_batches_total{namespace="orders",store="memory:prom-one"} 1`,
		`opjournal_namespace_batches_total{namespace="orders",store="memory:prom-two"} 1`,
		`opjournal_requests_total{kind="put",store="memory:prom-one"} 1`,
		`opjournal_request_duration_seconds_count{kind="put",store="memory:prom-one"} 1`,
		`opjournal_request_duration_seconds_bucket{kind="put",store="memory:prom-one",le="+Inf"} 1`,
		"# TYPE opjournal_tick_duration_seconds histogram",
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("%s is not in:\n%s", line, body)
		}
	}
}

func TestAClosedJournalIsAnErrorOfTheScrape(t *testing.T) {
	journal, namespace := open(t, "memory:prom-closed")
	registry := prometheus.NewRegistry()
	registry.MustRegister(opjournalprom.NewCollector(namespace))
	if err := journal.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if code, body := scrape(t, registry); code != 500 || !strings.Contains(body, "CLOSED") {
		t.Errorf("%d: %s", code, body)
	}
}
