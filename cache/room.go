package cache

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"pgcache/cache/arena"
	"pgcache/cache/wheel"
)

// victimsPerLock bounds how long an eviction holds a shard's lock.
const victimsPerLock = 16

// slotBytes is what an entry counts against L1: chunk, slot and label nodes.
func slotBytes(e entry) int64 { return int64(arena.Size(len(e))) + overheadBytes(e) }

func overheadBytes(e entry) int64 {
	if e.header().tombstone {
		return slotOverheadBytes
	}
	return overheadOf(e.attrs())
}

func overheadOf(attrs Attrs) int64 {
	n := slotOverheadBytes + int64(attrs.NumTags()+attrs.NumDependencies())*labelNodeBytes
	if attrs.Expires() {
		n += wheel.NodeBytes
	}
	return n
}

// reserve claims n bytes of L1, evicting until they fit (I5). When everything left is
// dirty it waits for the tier up to Config.WriteWait, then returns ErrNoRoom.
func (c *Cache) reserve(ctx context.Context, n int64) error {
	if c.used.Add(n) <= c.config.L1BytesMax {
		return nil
	}
	var deadline <-chan time.Time
	for {
		progress := c.progress.wait()
		if c.evict() {
			return nil
		}
		if c.config.Tier == nil {
			c.release(n)
			return ErrNoRoom
		}
		if deadline == nil {
			timer := time.NewTimer(c.config.WriteWait)
			defer timer.Stop()
			deadline = timer.C
		}
		select {
		case <-progress:
		case <-deadline:
			c.release(n)
			return ErrNoRoom
		case <-ctx.Done():
			c.release(n)
			return ctx.Err()
		}
	}
}

func (c *Cache) release(n int64) { c.used.Add(-n) }

// evict drops entries until L1 is within its budget, and reports whether it is.
func (c *Cache) evict() bool {
	sparing := c.sparing()
	for c.used.Load() > c.config.L1BytesMax {
		s := c.fullest()
		if s == nil {
			return false
		}
		s.mu.Lock()
		spared := s.evictSome(sparing)
		s.leave()
		if spared > 0 {
			sparing = min(sparing, s.evictable.Load()) - spared // one turn of the queue
		}
	}
	return true
}

// evictSome evicts some entries and returns how many it passed over because their
// namespace is within its quota; it passes over sparing of them at most.
// REQUIRES: s.mu held.
func (s *shard) evictSome(sparing int64) (spared int64) {
	c := s.cache
	for evicted := 0; evicted < victimsPerLock && spared < sparesPerLock && c.used.Load() > c.config.L1BytesMax; {
		number := s.policy.Victim()
		switch {
		case number == 0:
			return spared
		case spared < sparing && s.isProtected(number):
			s.offer(number)
			spared++
		default:
			s.evict(number)
			evicted++
		}
	}
	return spared
}

// fullest is the shard with the most evictable entries. Keys spread evenly, so taking
// victims there keeps the shards' queues one queue in effect, and no entry is evicted
// because its own shard happens to hold large ones.
func (c *Cache) fullest() *shard {
	var best *shard
	most := int64(0)
	for _, s := range c.shards {
		if n := s.evictable.Load(); n > most {
			best, most = s, n
		}
	}
	return best
}

// evict drops a clean slot the policy has chosen. REQUIRES: s.mu held.
func (s *shard) evict(number uint32) {
	s.countHistory()
	e := s.entryOf(number)
	if s.cache.countDead(e, s.slot(number).flags) {
		s.remove(number)
		return
	}
	s.tellAccess(number)
	s.cache.counters.evictions.Add(1)
	if gen := s.cache.generation(e.header().namespace); gen != nil {
		gen.owner.counters.evictions.Add(1)
	}
	s.remove(number)
}

// waitClean waits until n more dirty bytes are allowed, up to Config.WriteWait.
func (c *Cache) waitClean(ctx context.Context, n int64) error {
	if c.dirty.Load()+n <= c.config.DirtyBytesMax {
		return nil
	}
	timer := time.NewTimer(c.config.WriteWait)
	defer timer.Stop()
	for {
		progress := c.progress.wait()
		if c.dirty.Load()+n <= c.config.DirtyBytesMax {
			return nil
		}
		select {
		case <-progress:
		case <-timer.C:
			return ErrTierBusy
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// signal lets any number of goroutines wait for the next of a series of events.
type signal struct {
	waiting atomic.Bool
	mu      sync.Mutex
	next    chan struct{}
}

// wait returns a channel that is closed by the next raise.
func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = make(chan struct{})
	}
	s.waiting.Store(true)
	return s.next
}

// raise wakes everybody who waits.
func (s *signal) raise() {
	if !s.waiting.Load() {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != nil {
		close(s.next)
		s.next = nil
	}
	s.waiting.Store(false)
}
