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

// passingShare: entries too large for L1 take no more than this part of it, beside it, on
// their way to the tier; but one at a time may always pass.
const passingShare = 4

// cost is what an entry takes of L1, and of the memory beside it.
type cost struct{ l1, passing int64 }

// costOf is what an entry of so many bytes takes: chunk, slot and label nodes.
func (c *Cache) costOf(length int, overhead int64) cost {
	chunk := int64(arena.Size(length))
	if c.passes(chunk) {
		return cost{overhead, chunk}
	}
	return cost{chunk + overhead, 0}
}

// passes reports that a chunk is too large for L1: its entry only passes through on its way
// to the tier, and is read from there. Its memory does not count against L1, which would
// have to drop an eighth of what it holds, or all, for one entry.
func (c *Cache) passes(chunk int64) bool {
	return c.config.Tier != nil && chunk > c.config.L1BytesMax/hugeShare
}

// slotBytes is what an entry counts against L1.
func (c *Cache) slotBytes(e entry) int64 { return c.costOf(len(e), overheadBytes(e)).l1 }

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

// claim reserves what an entry takes. Errors: those of reserve, ErrTierBusy.
func (c *Cache) claim(ctx context.Context, x cost) error {
	if x.passing == 0 {
		return c.reserve(ctx, x.l1)
	}
	err := c.wait(ctx, func() bool {
		have := c.passing.Load()
		return (have == 0 || have+x.passing <= c.config.L1BytesMax/passingShare) && c.passing.CompareAndSwap(have, have+x.passing)
	})
	if err != nil {
		return err
	}
	if err := c.reserve(ctx, x.l1); err != nil {
		c.releaseChunk(x.passing)
		return err
	}
	return nil
}

// disclaim gives back what was claimed for an entry.
func (c *Cache) disclaim(x cost) {
	c.release(x.l1)
	if x.passing > 0 {
		c.releaseChunk(x.passing)
	}
}

// releaseChunk gives back what a chunk took.
func (c *Cache) releaseChunk(size int64) {
	if !c.passes(size) {
		c.release(size)
		return
	}
	c.passing.Add(-size)
	c.progress.raise()
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
	return c.wait(ctx, func() bool { return c.dirty.Load()+n <= c.config.DirtyBytesMax })
}

// wait waits until the tier has come so far that a condition holds, up to Config.WriteWait;
// then it returns ErrTierBusy.
func (c *Cache) wait(ctx context.Context, holds func() bool) error {
	if holds() {
		return nil
	}
	timer := time.NewTimer(c.config.WriteWait)
	defer timer.Stop()
	for {
		progress := c.progress.wait()
		if holds() {
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
