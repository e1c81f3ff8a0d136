package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"pgcache/cache"
	"pgcache/pgwire"
)

// Bounds of the metrics endpoint: what a slow or greedy scraper can hold.
const (
	metricsHeaderTimeout = 5 * time.Second
	metricsWriteTimeout  = 30 * time.Second
	metricsIdleTimeout   = time.Minute
	metricsHeaderBytes   = 16 << 10
	metricsScrapes       = 4 // at one time
)

// metricsServer serves /metrics for Prometheus, and /healthz and /readyz for whoever decides
// whether this process is to be restarted or sent clients.
type metricsServer struct {
	http     *http.Server
	listener net.Listener
	served   chan struct{}
	ready    atomic.Bool
}

// startMetrics starts the endpoint; nil if there is to be none.
func (s *settings) startMetrics(store *cache.Cache, server *pgwire.Server, logger *slog.Logger) (*metricsServer, error) {
	if s.MetricsListen == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", s.MetricsListen)
	if err != nil {
		return nil, fmt.Errorf("metrics: listen on %s: %w", s.MetricsListen, errors.Unwrap(err))
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newCacheCollector(store, server))
	m := &metricsServer{listener: listener, served: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{MaxRequestsInFlight: metricsScrapes, Timeout: metricsWriteTimeout}))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if !m.ready.Load() {
			http.Error(w, "not serving", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ok\n")
	})
	m.http = &http.Server{Handler: mux, ReadHeaderTimeout: metricsHeaderTimeout, WriteTimeout: metricsWriteTimeout,
		IdleTimeout: metricsIdleTimeout, MaxHeaderBytes: metricsHeaderBytes, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	go func() {
		defer close(m.served)
		if err := m.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			logger.Error("the metrics endpoint has stopped", "error", err)
		}
	}()
	logger.Info("metrics", "address", listener.Addr().String())
	return m, nil
}

// setReady says whether clients are welcome.
func (m *metricsServer) setReady(ready bool) {
	if m != nil {
		m.ready.Store(ready)
	}
}

// stop ends the endpoint.
func (m *metricsServer) stop(ctx context.Context) {
	if m != nil {
		_ = m.http.Shutdown(ctx)
		_ = m.http.Close()
		<-m.served
	}
}

// metric is one number of the cache or the server.
type metric struct {
	name, help string
	kind       prometheus.ValueType
	value      func(s *cache.Stats) int64
}

// cacheMetrics are the counters and gauges of cache_stats.
func cacheMetrics() []metric {
	counter, gauge := prometheus.CounterValue, prometheus.GaugeValue
	return []metric{
		{"hits_total", "Gets answered with a live entry.", counter, func(s *cache.Stats) int64 { return s.Hits }},
		{"misses_total", "Gets that found no live entry.", counter, func(s *cache.Stats) int64 { return s.Misses }},
		{"l1_hits_total", "Gets answered from memory.", counter, func(s *cache.Stats) int64 { return s.L1Hits }},
		{"l2_hits_total", "Gets answered from disk.", counter, func(s *cache.Stats) int64 { return s.L2Hits }},
		{"stale_serves_total", "Gets answered past expiry, in the stale window.", counter, func(s *cache.Stats) int64 { return s.StaleServes }},
		{"insertions_total", "Writes stored.", counter, func(s *cache.Stats) int64 { return s.Insertions }},
		{"evictions_total", "Entries dropped from memory for room.", counter, func(s *cache.Stats) int64 { return s.Evictions }},
		{"expirations_total", "Entries removed because they had expired.", counter, func(s *cache.Stats) int64 { return s.Expirations }},
		{"invalidations_total", "Entries removed by invalidations.", counter, func(s *cache.Stats) int64 { return s.Invalidations }},
		{"namespace_flushes_total", "Namespaces flushed.", counter, func(s *cache.Stats) int64 { return s.NamespaceFlushes }},
		{"version_mismatches_total", "Writes refused for their version.", counter, func(s *cache.Stats) int64 { return s.VersionMismatches }},
		{"leases_granted_total", "Leases granted.", counter, func(s *cache.Stats) int64 { return s.LeasesGranted }},
		{"leases_rejected_total", "Writes refused for their lease.", counter, func(s *cache.Stats) int64 { return s.LeasesRejected }},
		{"l2_writes_dropped_total", "Entries kept from disk because it did not keep up.", counter, func(s *cache.Stats) int64 { return s.TierWritesDropped }},
		{"l2_errors_total", "Failed calls of the disk tier.", counter, func(s *cache.Stats) int64 { return s.TierErrors }},
		{"l2_evictions_total", "Entries dropped from disk for room.", counter, func(s *cache.Stats) int64 { return s.Tier.Evictions }},
		{"l2_full_rejections_total", "Writes refused because the disk tier was full.", counter, func(s *cache.Stats) int64 { return s.Tier.FullRejections }},
		{"entries", "Keys held, in memory or on disk.", gauge, func(s *cache.Stats) int64 { return s.Entries }},
		{"l1_entries", "Entries in memory.", gauge, func(s *cache.Stats) int64 { return s.L1Entries }},
		{"l1_bytes_in_use", "Memory of entries.", gauge, func(s *cache.Stats) int64 { return s.L1BytesInUse }},
		{"l1_bytes_max", "Budget for that.", gauge, func(s *cache.Stats) int64 { return s.L1BytesMax }},
		{"l2_entries", "Entries on disk.", gauge, func(s *cache.Stats) int64 { return s.Tier.Entries }},
		{"l2_bytes_in_use", "Disk space of entries.", gauge, func(s *cache.Stats) int64 { return s.Tier.BytesInUse }},
		{"l2_bytes_max", "Budget for that.", gauge, func(s *cache.Stats) int64 { return s.Tier.BytesMax }},
		{"dirty_bytes", "Memory of entries that are not on disk yet.", gauge, func(s *cache.Stats) int64 { return s.DirtyBytes }},
		{"namespaces", "Namespaces.", gauge, func(s *cache.Stats) int64 { return s.Namespaces }},
	}
}

// cacheCollector reads all numbers once a scrape.
type cacheCollector struct {
	store       *cache.Cache
	server      *pgwire.Server
	metrics     []metric
	described   []*prometheus.Desc
	connections *prometheus.Desc
}

func newCacheCollector(store *cache.Cache, server *pgwire.Server) *cacheCollector {
	c := &cacheCollector{store: store, server: server, metrics: cacheMetrics()}
	for _, m := range c.metrics {
		c.described = append(c.described, prometheus.NewDesc("pgcache_"+m.name, m.help, nil, nil))
	}
	c.connections = prometheus.NewDesc("pgcache_connections", "Clients that have logged in.", nil, nil)
	return c
}

// Describe implements prometheus.Collector.
func (c *cacheCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range c.described {
		out <- d
	}
	out <- c.connections
}

// Collect implements prometheus.Collector.
func (c *cacheCollector) Collect(out chan<- prometheus.Metric) {
	stats := c.store.Stats()
	for i, m := range c.metrics {
		out <- prometheus.MustNewConstMetric(c.described[i], m.kind, float64(m.value(&stats)))
	}
	out <- prometheus.MustNewConstMetric(c.connections, prometheus.GaugeValue, float64(c.server.Connections()))
}
