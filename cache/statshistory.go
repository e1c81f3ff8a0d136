package cache

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"
)

// The history of statistics: every Config.HistoryInterval a row for the whole cache and one
// for each of the busiest namespaces, kept in memory and, if there is one, in the tier.

const (
	historyIntervalDefault = time.Minute
	// historyNamespacesMax is for how many namespaces a sample has rows.
	historyNamespacesMax = 50
	// historyRowsMax is how many rows are kept: the oldest go. About 2 MiB.
	historyRowsMax = 20_000
)

// StatsSample is a row of the history. Counters count since the start before it.
type StatsSample struct {
	At        time.Time
	Namespace string // empty: the whole cache

	Hits, Misses, Insertions, Evictions, Expirations, Invalidations int64
	Entries, L1Bytes, L2Bytes                                       int64
}

// metrics are the sample's numbers in the order they are stored in.
func (s *StatsSample) metrics() []*int64 {
	return []*int64{&s.Hits, &s.Misses, &s.Insertions, &s.Evictions, &s.Expirations, &s.Invalidations, &s.Entries, &s.L1Bytes, &s.L2Bytes}
}

func (s *StatsSample) encode() []byte {
	var data []byte
	for _, m := range s.metrics() {
		data = binary.AppendVarint(data, *m)
	}
	return data
}

// decode ignores metrics it does not know, and takes those that are missing for 0.
func (s *StatsSample) decode(data []byte) {
	for _, m := range s.metrics() {
		v, n := binary.Varint(data)
		if n <= 0 {
			return
		}
		*m, data = v, data[n:]
	}
}

// statsHistory is the rows, oldest first.
type statsHistory struct {
	mu     sync.Mutex
	rows   []StatsSample
	lastMs int64 // the housekeeper's

	sampling sync.Mutex
	before   map[string]int64 // activity of each namespace at the last sample
}

// History returns the rows, oldest first.
func (c *Cache) History() []StatsSample {
	c.history.mu.Lock()
	defer c.history.mu.Unlock()
	return slices.Clone(c.history.rows)
}

func (h *statsHistory) append(rows ...StatsSample) (oldest time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.rows = append(h.rows, rows...)
	if excess := len(h.rows) - historyRowsMax; excess > 0 {
		h.rows = slices.Clone(h.rows[excess:])
	}
	return h.rows[0].At
}

// restoreHistory takes up what the tier remembers.
func (c *Cache) restoreHistory(rows []HistoryRow) {
	rows = rows[max(len(rows)-historyRowsMax, 0):]
	for _, row := range rows {
		s := StatsSample{At: time.UnixMilli(row.Ms), Namespace: row.Namespace}
		s.decode(row.Data)
		c.history.rows = append(c.history.rows, s)
	}
}

// sampleHistory adds a sample if it is time for one. It is the housekeeper's.
func (c *Cache) sampleHistory(ctx context.Context) {
	h := &c.history
	nowMs := c.clock.ms()
	if c.config.HistoryInterval < 0 || nowMs-h.lastMs < c.config.HistoryInterval.Milliseconds() {
		return
	}
	h.lastMs = nowMs
	c.addSample(ctx, nowMs)
}

func (c *Cache) addSample(ctx context.Context, nowMs int64) {
	h := &c.history
	h.sampling.Lock()
	defer h.sampling.Unlock()
	samples := c.takeSamples(time.UnixMilli(nowMs))
	oldest := h.append(samples...)
	if c.config.Tier == nil {
		return
	}
	rows := make([]HistoryRow, len(samples))
	for i := range samples {
		rows[i] = HistoryRow{Ms: nowMs, Namespace: samples[i].Namespace, Data: samples[i].encode()}
	}
	if err := c.config.Tier.AppendHistory(ctx, rows, oldest.UnixMilli()); err != nil && ctx.Err() == nil {
		c.logger.Warn("cannot store a sample of the statistics", "error", err)
	}
}

// takeSamples REQUIRES: c.history.sampling held.
func (c *Cache) takeSamples(at time.Time) []StatsSample {
	total := c.Stats()
	samples := []StatsSample{{
		At: at, Hits: total.Hits, Misses: total.Misses, Insertions: total.Insertions, Evictions: total.Evictions,
		Expirations: total.Expirations, Invalidations: total.Invalidations,
		Entries: total.Entries, L1Bytes: total.L1BytesInUse, L2Bytes: total.Tier.BytesInUse,
	}}
	list := c.Namespaces()
	activity := func(n *NamespaceStats) int64 {
		return n.Hits + n.Misses + n.Insertions + n.Invalidations - c.history.before[n.Name]
	}
	if len(list) > historyNamespacesMax {
		slices.SortStableFunc(list, func(a, b NamespaceStats) int { return int(min(max(activity(&b)-activity(&a), -1), 1)) })
	}
	before := map[string]int64{}
	for i := range list {
		n := &list[i]
		before[n.Name] = n.Hits + n.Misses + n.Insertions + n.Invalidations
		if i < historyNamespacesMax {
			samples = append(samples, StatsSample{
				At: at, Namespace: n.Name, Hits: n.Hits, Misses: n.Misses, Insertions: n.Insertions, Evictions: n.Evictions,
				Expirations: n.Expirations, Invalidations: n.Invalidations, Entries: n.Entries, L1Bytes: n.L1Bytes, L2Bytes: n.L2Bytes,
			})
		}
	}
	c.history.before = before
	slices.SortFunc(samples, func(a, b StatsSample) int { return strings.Compare(a.Namespace, b.Namespace) })
	return samples
}
