package cache

import (
	"context"
	"time"
)

// The reaper returns the memory of entries that nobody can read: dead ones, and those of
// ended generations; and it makes up for invalidations that failed. It never decides what is visible: reads do.
const (
	reapPeriod       = time.Second
	reapSlotsPerLock = 256
	// reapRounds is in how many periods every slot is looked at once.
	reapRounds = 15
)

type reaper struct {
	kicked chan struct{} // buffered 1: look at everything now
}

func (r *reaper) kick() {
	select {
	case r.kicked <- struct{}{}:
	default:
	}
}

func (r *reaper) run(ctx context.Context, c *Cache) {
	ticker := time.NewTicker(reapPeriod)
	defer ticker.Stop()
	next := make([]uint32, len(c.shards)) // where to go on, by shard
	for {
		share := reapRounds
		select {
		case <-ctx.Done():
			return
		case <-r.kicked:
			share = 1
		case <-ticker.C:
		}
		for i, s := range c.shards {
			next[i] = s.reap(ctx, next[i], share)
		}
		c.makeUp(ctx)
	}
}

// reap looks at 1/share of the shard's slots, beginning at start, and returns where the
// next call goes on.
func (s *shard) reap(ctx context.Context, start uint32, share int) uint32 {
	for looked := 0; ctx.Err() == nil; {
		s.mu.Lock()
		total := len(s.slots)
		for range reapSlotsPerLock {
			if looked*share >= total {
				break
			}
			if int(start) >= total {
				start = 0
			}
			s.reapSlot(start)
			start++
			looked++
		}
		done := looked*share >= total
		s.compact()
		s.mu.Unlock()
		if done {
			break
		}
	}
	return start
}

// reapSlot removes the entry of a slot if nobody can read it. Dirty ones are the
// flusher's. REQUIRES: s.mu held.
func (s *shard) reapSlot(number uint32) {
	sl := &s.slots[number]
	if sl.ref == 0 || sl.flags&slotDirty != 0 {
		return
	}
	e := s.entryOf(number)
	if s.cache.generation(e.header().namespace) == nil {
		s.remove(number)
		return
	}
	if s.cache.countDead(e, sl.flags) {
		s.remove(number)
	}
}

// countDead reports whether an entry that is about to be removed is dead and counts it,
// unless the tier has it too and will count it.
func (c *Cache) countDead(e entry, flags slotFlags) bool {
	nowMs := c.clock.ms()
	if e.stateAt(nowMs) != Dead {
		return false
	}
	if flags&slotAlone == 0 {
		return true
	}
	c.counters.expirations.Add(1)
	if hard, ok := e.attrs().DeadlineMs(); !ok || nowMs < hard {
		c.counters.idleEvictions.Add(1)
	}
	if gen := c.generation(e.header().namespace); gen != nil {
		gen.owner.counters.expirations.Add(1)
	}
	return true
}
