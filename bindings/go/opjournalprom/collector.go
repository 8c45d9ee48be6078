// Package opjournalprom hands the figures of a journal to Prometheus. It is a module of its own, so that only programs that
// want it depend on Prometheus.
package opjournalprom

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"opjournal.dev/opjournal"
)

// Collector is a prometheus.Collector of one journal: of its requests, and of every namespace that is open in it.
// docs/operating.md lists the metrics. One Collector for each journal; the label "store" tells several apart, so they must be
// on different stores to be registered together.
type Collector struct {
	namespace *opjournal.Namespace
}

// NewCollector makes the collector of a namespace's journal. The namespace stays open for as long as the collector is
// registered; which one of a journal's namespaces it is makes no difference.
func NewCollector(namespace *opjournal.Namespace) *Collector {
	return &Collector{namespace: namespace}
}

// Describe implements prometheus.Collector. It describes nothing, which makes the collector an unchecked one: later versions
// of the library have more metrics, and namespaces come and go.
func (c *Collector) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector. It never waits for the store.
func (c *Collector) Collect(metrics chan<- prometheus.Metric) {
	text, err := c.namespace.Metrics()
	if err != nil {
		metrics <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), err)
		return
	}
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		metrics <- prometheus.NewInvalidMetric(prometheus.NewInvalidDesc(err), fmt.Errorf("the library's metrics: %w", err))
		return
	}
	for name, family := range families {
		for _, metric := range family.GetMetric() {
			metrics <- parsed(name, family, metric)
		}
	}
}

// parsed is a metric as it was told.
func parsed(name string, family *dto.MetricFamily, metric *dto.Metric) prometheus.Metric {
	labels := prometheus.Labels{}
	for _, label := range metric.GetLabel() {
		labels[label.GetName()] = label.GetValue()
	}
	desc := prometheus.NewDesc(name, family.GetHelp(), nil, labels)
	var made prometheus.Metric
	var err error
	switch family.GetType() {
	case dto.MetricType_COUNTER:
		made, err = prometheus.NewConstMetric(desc, prometheus.CounterValue, metric.GetCounter().GetValue())
	case dto.MetricType_HISTOGRAM:
		histogram := metric.GetHistogram()
		buckets := make(map[float64]uint64, len(histogram.GetBucket()))
		for _, bucket := range histogram.GetBucket() {
			buckets[bucket.GetUpperBound()] = bucket.GetCumulativeCount()
		}
		made, err = prometheus.NewConstHistogram(desc, histogram.GetSampleCount(), histogram.GetSampleSum(), buckets)
	default:
		made, err = prometheus.NewConstMetric(desc, prometheus.GaugeValue, metric.GetGauge().GetValue())
	}
	if err != nil {
		return prometheus.NewInvalidMetric(desc, err)
	}
	return made
}
