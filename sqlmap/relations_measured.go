package sqlmap

import (
	"time"

	"pgcache/cache"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// The relations of what the cache measures: cache_latency, cache_hot_keys,
// cache_stats_history and cache_slow_log.

func measuredRelation(name string) *relation {
	switch name {
	case "cache_latency":
		return &relation{columnsOf(latencyFields(cache.Latency{})), func(s *session) []query.Values {
			var rows []query.Values
			for _, l := range s.handler.cache.Latencies() {
				rows = append(rows, valuesOf(latencyFields(l)))
			}
			return rows
		}}
	case "cache_hot_keys":
		return &relation{columnsOf(hotKeyFields(cache.HotKey{})), func(s *session) []query.Values {
			var rows []query.Values
			for _, k := range s.handler.cache.HotKeys() {
				rows = append(rows, valuesOf(hotKeyFields(k)))
			}
			return rows
		}}
	case "cache_stats_history":
		return &relation{columnsOf(historyFields(cache.StatsSample{})), func(s *session) []query.Values {
			var rows []query.Values
			for _, sample := range s.handler.cache.History() {
				rows = append(rows, valuesOf(historyFields(sample)))
			}
			return rows
		}}
	case "cache_slow_log":
		return &relation{columnsOf(slowLogFields(&slowStatement{})), slowLogRows}
	}
	return nil
}

func micros(name string, d time.Duration) field {
	return field{name, types.Float8, types.OfFloat(float64(d.Nanoseconds()) / 1000)}
}

func latencyFields(l cache.Latency) []field {
	operation, tier := l.Operation.Name()
	tierValue := types.Null()
	if tier != "" {
		tierValue = types.OfText(tier)
	}
	return []field{
		{"operation", types.Text, types.OfText(operation)},
		{"tier", types.Text, tierValue},
		count("count", l.Count),
		micros("p50_us", l.P50),
		micros("p90_us", l.P90),
		micros("p99_us", l.P99),
		micros("p999_us", l.P999),
		micros("max_us", l.Max),
	}
}

func hotKeyFields(k cache.HotKey) []field {
	return []field{
		{"ns", types.Text, types.OfText(k.Namespace)},
		{"key", types.Text, types.OfText(k.Name)},
		count("hits", k.Hits),
		count("bytes", k.Bytes),
	}
}

// historyFields: ns is NULL in the rows of the whole cache.
func historyFields(s cache.StatsSample) []field {
	ns := types.Null()
	if s.Namespace != "" {
		ns = types.OfText(s.Namespace)
	}
	return []field{
		{"time", types.TimestampTZ, types.OfTime(s.At)},
		{"ns", types.Text, ns},
		count("hits", s.Hits),
		count("misses", s.Misses),
		count("insertions", s.Insertions),
		count("evictions", s.Evictions),
		count("expirations", s.Expirations),
		count("invalidations", s.Invalidations),
		count("entries", s.Entries),
		count("l1_bytes", s.L1Bytes),
		count("l2_bytes", s.L2Bytes),
	}
}
