package l2

import (
	"sync"
	"sync/atomic"

	"pgcache/cache"
)

// usage is what one live generation holds.
type usage struct {
	entries atomic.Int64
	bytes   atomic.Int64
	quota   atomic.Int64 // NamespaceLimits.L2BytesMax
}

// usageTable knows the live generations and what each holds. Only the committer changes
// it; anyone reads it without a lock.
type usageTable struct {
	live  sync.Map // cache.NamespaceID -> *usage
	total usage
}

// of returns the usage of a generation, nil if it is not live.
func (t *usageTable) of(ns cache.NamespaceID) *usage {
	u, ok := t.live.Load(ns)
	if !ok {
		return nil
	}
	return u.(*usage)
}

// begin makes a generation live, if it is not.
func (t *usageTable) begin(ns cache.NamespaceID) *usage {
	u, _ := t.live.LoadOrStore(ns, new(usage))
	return u.(*usage)
}

// end makes a generation dead and drops what it held from the total.
func (t *usageTable) end(ns cache.NamespaceID) {
	if u, ok := t.live.LoadAndDelete(ns); ok {
		t.total.entries.Add(-u.(*usage).entries.Load())
		t.total.bytes.Add(-u.(*usage).bytes.Load())
	}
}

// add changes what a live generation holds, and does nothing for a dead one.
func (t *usageTable) add(ns cache.NamespaceID, entries, bytes int64) {
	if u := t.of(ns); u != nil {
		u.entries.Add(entries)
		u.bytes.Add(bytes)
		t.total.entries.Add(entries)
		t.total.bytes.Add(bytes)
	}
}

// generations lists the live ones.
func (t *usageTable) generations() []cache.NamespaceID {
	var ids []cache.NamespaceID
	t.live.Range(func(id, _ any) bool {
		ids = append(ids, id.(cache.NamespaceID))
		return true
	})
	return ids
}
