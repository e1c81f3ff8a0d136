package cache

import (
	"context"
	"errors"
)

// An idle TTL counts from the last access, which L1 notes in the entry's header: a store,
// no lock. The tier learns of it later and in memory (Tier.NoteAccess): when the entry
// leaves L1, when the cache closes, and meanwhile, so that a crash does not lose all of it,
// every accessTellMs, when the wheel comes to the entry. Nobody who reads waits for that.
// The tier in turn asks what L1 knows before it removes a record for being idle.

// accessGrainMs: the last access is noted to the second, so that a hot entry's header
// stays in every core's cache; short idle TTLs have a finer grain, idleGrainShare of them.
const (
	accessGrainMs  = 1000
	idleGrainShare = 8
)

// What a crash may lose of an access is how often the tier is told of accesses that L1
// answers: a part of the idle TTL within bounds. Docs: lifetimes.md.
const (
	accessTellShare = 8
	accessTellMsMin = 1000
	accessTellMsMax = 5 * 60 * 1000
)

// accessGrainMs is by how much an access must be later than the last to be noted.
func (a Attrs) accessGrainMs() int64 {
	if a[1]&attrIdle == 0 {
		return accessGrainMs
	}
	return min(accessGrainMs, max(a.IdleMs()/idleGrainShare, 1))
}

// accessTellMs is how often the tier is told.
func accessTellMs(idleMs int64) int64 {
	return min(max(idleMs/accessTellShare, accessTellMsMin), accessTellMsMax)
}

// accessNews is the bit of entryHeader.access that says that the tier was not told.
const accessNews = 1

func (h *entryHeader) lastAccessMs() int64 { return h.access.Load() >> 1 }

func (h *entryHeader) setAccess(ms int64, isNews bool) {
	v := ms << 1
	if isNews {
		v |= accessNews
	}
	h.access.Store(v)
}

// told notes that the tier knows of an access, unless there was a later one.
func (h *entryHeader) told(ms int64) { h.access.CompareAndSwap(ms<<1|accessNews, ms<<1) }

// lookMs is when the wheel is to come to the entry: when it is due, or the tier is to be
// told of accesses.
func (s *shard) lookMs(e entry) int64 {
	due := e.dueMs()
	if idle := e.attrs().IdleMs(); idle > 0 && s.cache.config.Tier != nil {
		due = min(due, addMs(s.cache.clock.coarseMs(), accessTellMs(idle)))
	}
	return due
}

// tellAccess tells the tier of the entry's last access if it may matter there and is news
// to it; false: the tier has no room to remember it. REQUIRES: s.mu held, shared at least.
func (s *shard) tellAccess(number uint32) bool {
	tier := s.cache.config.Tier
	e := s.entryOf(number)
	header := e.header()
	v := header.access.Load()
	if v&accessNews == 0 || tier == nil || header.tombstone || e.attrs().IdleMs() == 0 ||
		s.slot(number).flags&slotDirty != 0 || header.storedLen.Load() == notStored {
		return true // what is dirty carries its last access to the tier itself
	}
	if !tier.NoteAccess(header.namespace, e.key(), header.seq, v>>1) {
		return false
	}
	header.told(v >> 1)
	return true
}

// noteTierAccess tells the tier of an access to what was read from it just now.
func (c *Cache) noteTierAccess(r *Record, nowMs int64) {
	if r.Attrs.IdleMs() > 0 && nowMs-r.LastAccessMs >= r.Attrs.accessGrainMs() {
		c.config.Tier.NoteAccess(r.Namespace, r.Key, r.Seq, nowMs)
	}
}

// lastAccess is the last access of an entry that L1 knows of; 0: none. The tier asks.
func (c *Cache) lastAccess(namespace NamespaceID, key []byte, seq Sequence) int64 {
	hash := c.hash(namespace, key)
	s := c.shardOf(hash)
	s.mu.RLock()
	defer s.mu.RUnlock()
	number, e := s.find(hash, namespace, key)
	if number == 0 || e.header().seq != seq || e.header().tombstone {
		return 0
	}
	return e.header().lastAccessMs()
}

// accessSlotsPerLock bounds how long saveAccesses holds a shard's lock.
const accessSlotsPerLock = 256

var errAccessesFull = errors.New("no room for last accesses")

// saveAccesses tells the tier of all accesses it does not know of, and waits until it has
// written them.
func (c *Cache) saveAccesses(ctx context.Context) error {
	if c.config.Tier == nil {
		return nil
	}
	for _, s := range c.shards {
		isRetry := false
		for next, isMore := uint32(1), true; isMore; {
			before := next
			var isFull bool
			if next, isMore, isFull = s.tellAccesses(before); !isFull {
				isRetry = false
				continue
			}
			if isRetry && next == before {
				return c.tierError("save accesses", errAccessesFull)
			}
			isRetry = true
			if err := c.config.Tier.SaveAccesses(ctx); err != nil {
				return c.tierError("save accesses", err)
			}
		}
	}
	if err := c.config.Tier.SaveAccesses(ctx); err != nil {
		return c.tierError("save accesses", err)
	}
	return nil
}

// tellAccesses tells the tier of the accesses of some slots, from start on, and returns
// where to go on; isFull: the tier has to write first.
func (s *shard) tellAccesses(start uint32) (next uint32, isMore, isFull bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	end := min(start+accessSlotsPerLock, s.given)
	for number := start; number < end; number++ {
		if s.slot(number).ref() != 0 && !s.tellAccess(number) {
			return number, true, true
		}
	}
	return end, end < s.given, false
}
