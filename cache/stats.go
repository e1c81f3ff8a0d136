package cache

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"
)

// Stats are counters since Open, and gauges. A get or peek of a key counts as described
// at the field; scans count nowhere.
type Stats struct {
	Hits                int64 // Get answered with a live entry, from either tier
	Misses              int64 // Get that found none
	L1Hits              int64 // the part of Hits answered from L1
	L2Hits              int64
	Insertions          int64 // writes stored (new keys and overwrites)
	Evictions           int64 // entries dropped from L1 for room
	Expirations         int64 // entries removed because they were dead, either tier
	Invalidations       int64 // live keys removed by key, prefix, tag or dependency
	NamespaceFlushes    int64
	VersionMismatches   int64 // writes refused with VersionError
	StaleServes         int64 // the part of Hits that was stale
	IdleEvictions       int64 // the part of Expirations that was due to the idle TTL
	Entries             int64 // keys held, in either tier, once each; dead unswept ones included
	L1Entries           int64
	L1BytesInUse        int64
	L1BytesMax          int64
	L1BytesResident     int64 // memory obtained from the system for entries
	DirtyBytes          int64 // entries waiting for the tier
	DirtyBytesMax       int64
	TierWritesDropped   int64 // entries kept from the tier because it did not keep up
	TierErrors          int64 // failed tier calls
	Promotions          int64
	PromotionsQueued    int64
	PromotionsDropped   int64 // pushed out of the full queue
	PromotionQueueDepth int64
	LeasesGranted       int64
	LeasesRejected      int64 // writes refused with LeaseError
	LeasesExhausted     int64 // leases not granted because LeasesMax were in use
	LeasesInUse         int64 // expired ones that nobody asked for since included
	Namespaces          int64
	NamespacesMax       int64
	Started             time.Time
	Tier                TierStats // zero when memory only
	HasTier             bool
}

// NamespaceStats are the same for one namespace.
type NamespaceStats struct {
	Name          string
	Generation    uint64
	Entries       int64
	L1Bytes       int64
	L2Bytes       int64
	Hits          int64
	Misses        int64
	Insertions    int64
	Evictions     int64
	Expirations   int64
	Invalidations int64
	Created       time.Time
	Limits        NamespaceLimits
}

// counters are the cache's own; hits and misses of keys are counted by shard, so that
// readers on different cores do not share a cache line.
type counters struct {
	misses  atomic.Int64 // of unknown namespaces
	l2Hits  atomic.Int64
	started time.Time

	insertions, evictions, expirations, invalidations atomic.Int64
	namespaceFlushes, versionMismatches               atomic.Int64
	staleServes, idleEvictions                        atomic.Int64
	leasesGranted, leasesRejected, leasesExhausted    atomic.Int64
	l1Entries, promotions                             atomic.Int64
	tierWritesDropped, tierErrors                     atomic.Int64
}

// Stats reads all counters. They are read one after the other: sums may be off by what
// happens meanwhile.
func (c *Cache) Stats() Stats {
	n := &c.counters
	stats := Stats{
		Misses: n.misses.Load(), L2Hits: n.l2Hits.Load(),
		Insertions: n.insertions.Load(), Evictions: n.evictions.Load(),
		Expirations: n.expirations.Load(), Invalidations: n.invalidations.Load(),
		NamespaceFlushes: n.namespaceFlushes.Load(), VersionMismatches: n.versionMismatches.Load(),
		StaleServes: n.staleServes.Load(), IdleEvictions: n.idleEvictions.Load(),
		L1Entries:    n.l1Entries.Load(),
		L1BytesInUse: c.used.Load(), L1BytesMax: c.config.L1BytesMax, L1BytesResident: c.pool.ResidentBytes(),
		DirtyBytes: c.dirty.Load(), DirtyBytesMax: c.config.DirtyBytesMax,
		TierWritesDropped: n.tierWritesDropped.Load(), TierErrors: n.tierErrors.Load(),
		Promotions: n.promotions.Load(), PromotionsQueued: c.promotions.queued.Load(), PromotionsDropped: c.promotions.dropped.Load(),
		PromotionQueueDepth: c.promotions.depth(),
		LeasesGranted:       n.leasesGranted.Load(), LeasesRejected: n.leasesRejected.Load(), LeasesExhausted: n.leasesExhausted.Load(), LeasesInUse: c.leases.count.Load(),
		Namespaces: int64(len(c.namespaces.all())), NamespacesMax: int64(c.config.NamespacesMax),
		Started: n.started,
	}
	for _, s := range c.shards {
		stats.Hits += s.hits.Load()
		stats.Misses += s.misses.Load()
	}
	// Per generation, so that what a flush made unreachable is gone before it is reclaimed.
	for _, ns := range c.namespaces.all() {
		stats.Entries += c.entriesOf(ns.current.Load())
	}
	stats.L1Hits = max(stats.Hits-stats.L2Hits, 0)
	if c.config.Tier != nil {
		stats.HasTier = true
		stats.Tier = c.config.Tier.Stats()
		stats.Expirations += stats.Tier.Expirations
	}
	return stats
}

// Namespaces describes the namespaces, sorted by name.
func (c *Cache) Namespaces() []NamespaceStats {
	var list []NamespaceStats
	for name, ns := range c.namespaces.all() {
		gen := ns.current.Load()
		row := NamespaceStats{
			Name: name, Generation: gen.number, Created: ns.created, Limits: *ns.limits.Load(),
			Entries: c.entriesOf(gen), L1Bytes: gen.l1Bytes.Load(),
			Hits: ns.counters.hits.Load(), Misses: ns.counters.misses.Load(),
			Insertions: ns.counters.insertions.Load(), Evictions: ns.counters.evictions.Load(),
			Expirations: ns.counters.expirations.Load(), Invalidations: ns.counters.invalidations.Load(),
		}
		if c.config.Tier != nil {
			row.L2Bytes = c.config.Tier.Usage(gen.id).Bytes
		}
		list = append(list, row)
	}
	slices.SortFunc(list, func(a, b NamespaceStats) int { return strings.Compare(a.Name, b.Name) })
	return list
}
