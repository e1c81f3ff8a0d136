package cache

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgcache/cache/arena"
)

// validate recomputes from scratch what the cache keeps as counters and indexes. The
// cache must be quiet: no calls, nothing dirty on its way.
func validate(t testing.TB, c *Cache) {
	t.Helper()
	for !c.promotions.isIdle() {
		<-time.After(time.Millisecond)
	}
	if c.config.Tier != nil {
		settle(t, c)
	}
	var used, dirty, l1Entries int64
	perGeneration := map[NamespaceID][2]int64{}
	for _, s := range c.shards { // all at once: the reaper may be at work
		s.mu.Lock()
		defer s.mu.Unlock()
	}
	for _, s := range c.shards {
		inUse, expiring := 0, 0
		var live int64
		for number := range s.given {
			sl := s.slot(number)
			if sl.ref() == 0 {
				continue
			}
			inUse++
			e := s.entryOf(number)
			header := e.header()
			if s.lookup(s.hashOf(number)) != number || header.slot != number || sl.tag != tagOf(s.hashOf(number)) ||
				c.shardOf(s.hashOf(number)) != s {
				t.Errorf("slot %d of shard %d is not where its key belongs", number, s.number)
			}
			if header.tombstone {
				t.Errorf("tombstone of %q left in a quiet cache", e.key())
				continue
			}
			if !e.attrs().Valid() {
				t.Errorf("attributes of %q are damaged", e.key())
			}
			live += int64(s.arena.SizeOf(sl.ref()))
			used += c.slotBytes(e)
			if arena.Size(entryBytes(len(e.key()), len(e.attrs()), len(e.value()))) != s.arena.SizeOf(sl.ref()) {
				t.Errorf("chunk of %q has another size than its entry", e.key())
			}
			l1Entries++
			if e.attrs().Expires() {
				expiring++
			}
			sums := perGeneration[header.namespace]
			sums[0] += c.slotBytes(e)
			if sl.flags&slotAlone != 0 {
				sums[1]++
			}
			perGeneration[header.namespace] = sums
			if sl.flags&slotDirty != 0 {
				dirty += c.slotBytes(e)
			}
			if isStored := header.storedLen.Load() != notStored; isStored == (sl.flags&slotAlone != 0) {
				t.Errorf("%q: stored %v, alone %v", e.key(), isStored, !isStored)
			}
			labels := map[string]int{}
			for kind, text := range e.attrs().Labels() {
				want := fmt.Sprint(kind, text)
				s.labels.visit(&labelWalk{hash: labelHash(c.seed, header.namespace, kind, text)}, math.MaxInt, func(other uint32) {
					if other == number {
						labels[want]++
					}
				})
				if labels[want] != 1 {
					t.Errorf("%q is indexed %d times under label %q", e.key(), labels[want], text)
				}
			}
		}
		if inUse != s.index.count || int64(inUse) != s.entries.Load() {
			t.Errorf("shard %d: %d slots, %d indexed, %d counted", s.number, inUse, s.index.count, s.entries.Load())
		}
		if s.historyBytes != s.policy.HistoryBytes() {
			t.Errorf("shard %d: %d bytes of eviction history, %d counted", s.number, s.policy.HistoryBytes(), s.historyBytes)
		}
		used += s.historyBytes
		if s.wheel.Len() != expiring {
			t.Errorf("shard %d: %d entries expire, %d are scheduled to", s.number, expiring, s.wheel.Len())
		}
		if s.policy.Len() != inUse || s.evictable.Load() != int64(inUse) {
			t.Errorf("shard %d: %d entries, %d in the eviction queue, %d counted", s.number, inUse, s.policy.Len(), s.evictable.Load())
		}
		if s.arena.LiveBytes() != live {
			t.Errorf("shard %d: %d bytes live, %d of entries: chunks leaked or pinned", s.number, s.arena.LiveBytes(), live)
		}
		if len(s.waiters) != 0 {
			t.Errorf("shard %d: %d waiters left", s.number, len(s.waiters))
		}
		nodes := 0
		for hash := range s.labels.heads {
			s.labels.visit(&labelWalk{hash: hash}, math.MaxInt, func(uint32) { nodes++ })
		}
		for n := s.labels.free; n != 0; n = s.labels.nodes.At(n).next {
			nodes++
		}
		if nodes != int(s.labels.given)-1 {
			t.Errorf("shard %d: %d of %d label nodes found", s.number, nodes, s.labels.given-1)
		}
	}
	for what, x := range map[string][2]int64{
		"used":    {c.used.Load(), used},
		"dirty":   {c.dirty.Load(), dirty},
		"entries": {c.counters.l1Entries.Load(), l1Entries},
	} {
		if x[0] != x[1] {
			t.Errorf("%s: counted %d, found %d", what, x[0], x[1])
		}
	}
	if f := c.fences.anyAbandoned(); f != nil {
		t.Errorf("the fence of a failed invalidation is still up: %v", f.labels)
	}
	if used > c.config.L1BytesMax {
		t.Errorf("%d bytes in use, budget %d", used, c.config.L1BytesMax)
	}
	c.namespaces.byID.Range(func(id, value any) bool {
		gen := value.(*generation)
		sums := perGeneration[id.(NamespaceID)]
		if gen.l1Bytes.Load() != sums[0] || gen.alone.Load() != sums[1] {
			t.Errorf("namespace %q: counted %d bytes, %d alone; found %d, %d", gen.owner.name, gen.l1Bytes.Load(), gen.alone.Load(), sums[0], sums[1])
		}
		return true
	})
}
