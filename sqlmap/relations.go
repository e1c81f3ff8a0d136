package sqlmap

import (
	"slices"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// relation is a read-only relation whose rows are made when it is read.
type relation struct {
	columns []schema.Column
	rows    func(s *session) []query.Values
}

// visible are the rows that a session may see: of a relation with a column ns, those of
// its user's namespaces (S7).
func (r *relation) visible(s *session) []query.Values {
	rows := r.rows(s)
	if s.grants.names == nil {
		return rows
	}
	for i := range r.columns {
		if r.columns[i].Name == "ns" {
			return slices.DeleteFunc(rows, func(row query.Values) bool { return !s.grants.covers(row[i].Text()) })
		}
	}
	return rows
}

// findRelation finds a relation by name, nil if there is none.
func findRelation(name string) *relation {
	switch name {
	case "cache_stats":
		return &relation{columnsOf(statsFields(nil, cache.Stats{})), func(s *session) []query.Values {
			return []query.Values{valuesOf(statsFields(s.handler, s.handler.cache.Stats()))}
		}}
	case "cache_namespaces":
		return &relation{columnsOf(namespaceFields(cache.NamespaceStats{})), func(s *session) []query.Values {
			var rows []query.Values
			for _, n := range s.handler.cache.Namespaces() {
				rows = append(rows, valuesOf(namespaceFields(n)))
			}
			return rows
		}}
	case "cache_settings":
		return &relation{columnsOf(settingFields(SettingRow{})), func(s *session) []query.Values {
			var rows []query.Values
			for _, row := range s.serverSettings() {
				rows = append(rows, valuesOf(settingFields(row)))
			}
			return rows
		}}
	case "pg_stat_activity":
		return &relation{columnsOf(activityFields(pgwire.Activity{}, 0, true, false)), activityRows}
	}
	return measuredRelation(name)
}

// field is a column and its value in one row.
type field struct {
	name  string
	oid   types.OID
	value types.Value
}

func columnsOf(fields []field) []schema.Column {
	columns := make([]schema.Column, len(fields))
	for i, f := range fields {
		columns[i] = schema.Column{Name: f.name, Type: f.oid, Typmod: -1}
	}
	return columns
}

func valuesOf(fields []field) query.Values {
	values := make(query.Values, len(fields))
	for i, f := range fields {
		values[i] = f.value
	}
	return values
}

func count(name string, n int64) field { return field{name, types.Int8, types.OfInt(n)} }

// ofTier is a counter of the disk tier, NULL without one.
func ofTier(name string, n int64, hasTier bool) field {
	if !hasTier {
		return field{name, types.Int8, types.Null()}
	}
	return count(name, n)
}

// ratio is a / b, NULL if b is 0.
func ratio(name string, a, b float64) field {
	if b == 0 {
		return field{name, types.Float8, types.Null()}
	}
	return field{name, types.Float8, types.OfFloat(a / b)}
}

// statsFields is the row of cache_stats. Counters that nothing counts yet are left out.
func statsFields(h *Handler, s cache.Stats) []field {
	t := &s.Tier
	uptime := types.Null()
	if h != nil {
		uptime = types.Value{Int: h.config.Now().Sub(h.config.StartTime).Truncate(time.Millisecond).Microseconds()}
	}
	return []field{
		count("hits", s.Hits),
		count("misses", s.Misses),
		ratio("hit_ratio", float64(s.Hits), float64(s.Hits+s.Misses)),
		count("insertions", s.Insertions),
		count("evictions", s.Evictions),
		count("expirations", s.Expirations),
		count("invalidations", s.Invalidations),
		count("namespace_flushes", s.NamespaceFlushes),
		count("version_mismatches", s.VersionMismatches),
		count("entries", s.Entries),
		count("l1_bytes_in_use", s.L1BytesInUse),
		count("l1_bytes_max", s.L1BytesMax),
		count("l1_stale_serves", s.StaleServes),
		count("l1_idle_evictions", s.IdleEvictions),
		ofTier("l2_bytes_in_use", t.BytesInUse, s.HasTier),
		ofTier("l2_bytes_max", t.BytesMax, s.HasTier),
		ofTier("l2_full_rejections", t.FullRejections, s.HasTier),
		ofTier("l2_metadata_reads", t.MetadataReads, s.HasTier),
		ofTier("l2_negative_skips", t.NegativeSkips, s.HasTier),
		ofTier("synopsis_metadata_reads", t.FilterMisses, s.HasTier),
		ofTier("synopsis_bytes", t.FilterBytes, s.HasTier),
		count("namespaces", s.Namespaces),
		count("max_namespaces", s.NamespacesMax),
		count("promotion_queued", s.PromotionsQueued),
		count("promotion_dropped", s.PromotionsDropped),
		count("promotion_completed", s.Promotions),
		count("promotion_queue_depth", s.PromotionQueueDepth),
		ratio("l2_compression_ratio", float64(t.CompressedRawBytes), float64(t.CompressedBytes)),
		ofTier("l2_compression_skipped", t.CompressionSkipped, s.HasTier),
		ofTier("l2_bytes_saved", t.CompressedRawBytes-t.CompressedBytes, s.HasTier),
		count("leases_granted", s.LeasesGranted),
		count("leases_rejected", s.LeasesRejected),
		{"uptime", types.Interval, uptime},
		{"started_at", types.TimestampTZ, types.OfTime(s.Started)},
		// Beyond the contract's list:
		count("l1_hits", s.L1Hits),
		count("l2_hits", s.L2Hits),
		count("l1_entries", s.L1Entries),
		ofTier("l2_entries", t.Entries, s.HasTier),
		ofTier("l2_evictions", t.Evictions, s.HasTier),
		ofTier("l2_disk_bytes", t.DiskBytes, s.HasTier),
		ofTier("l2_corrupt_records", t.CorruptRecords, s.HasTier),
		ofTier("l2_accesses_dropped", t.AccessesDropped, s.HasTier),
		count("dirty_bytes", s.DirtyBytes),
		count("dirty_bytes_max", s.DirtyBytesMax),
		count("l2_writes_dropped", s.TierWritesDropped),
		count("l2_errors", s.TierErrors),
		{"l2_degraded", types.Bool, types.Value{IsNull: !s.HasTier, Int: types.OfBool(t.Degraded).Int}},
		{"l2_degraded_reason", types.Text, reasonOf(t)},
		gapsField(h),
	}
}

// gapsField is how many SELECTs asked for what PostgreSQL has and pgcache has not.
func gapsField(h *Handler) field {
	if h == nil {
		return count("query_gaps", 0)
	}
	return count("query_gaps", h.gaps.count.Load())
}

// reasonOf is why the disk tier takes no puts, NULL if it does.
func reasonOf(t *cache.TierStats) types.Value {
	if !t.Degraded {
		return types.Null()
	}
	return types.OfText(t.DegradedReason)
}

func namespaceFields(n cache.NamespaceStats) []field {
	return []field{
		{"ns", types.Text, types.OfText(n.Name)},
		count("generation", int64(n.Generation)),
		count("entries", n.Entries),
		count("l1_bytes", n.L1Bytes),
		count("l2_bytes", n.L2Bytes),
		count("hits", n.Hits),
		count("misses", n.Misses),
		count("insertions", n.Insertions),
		count("evictions", n.Evictions),
		count("expirations", n.Expirations),
		count("invalidations", n.Invalidations),
		{"created_at", types.TimestampTZ, types.OfTime(n.Created)},
		optionalCount("l1_bytes_max", n.Limits.L1BytesMax),
		optionalCount("l2_bytes_max", n.Limits.L2BytesMax),
		optionalCount("default_ttl_ms", n.Limits.DefaultTTLMs),
		optionalCount("max_blob_bytes", n.Limits.ValueBytesMax),
	}
}

// optionalCount is NULL if n is 0.
func optionalCount(name string, n int64) field {
	if n == 0 {
		return field{name, types.Int8, types.Null()}
	}
	return count(name, n)
}

func settingFields(s SettingRow) []field {
	unit := types.Null()
	if s.Unit != "" {
		unit = types.OfText(s.Unit)
	}
	return []field{
		{"name", types.Text, types.OfText(s.Name)},
		{"value", types.Text, types.OfText(s.Value)},
		{"unit", types.Text, unit},
		{"source", types.Text, types.OfText(s.Source)},
		{"description", types.Text, types.OfText(s.Description)},
	}
}
