package cache

import (
	"context"
	"math"
	"runtime"
	"time"
)

// The reaper returns the memory of entries that nobody can read: dead ones as they die,
// and those of ended generations; and it makes up for invalidations that failed. It never
// decides what is visible: reads do.
const (
	// reapPeriod and the wheel's tick are how long a dead entry may keep its memory.
	reapPeriod = 100 * time.Millisecond
	// makeUpPeriods is in how many periods failed invalidations are tried again.
	makeUpPeriods = 10
	// reapSlotsPerLock bounds how long a shard's lock is held: some tens of microseconds.
	reapSlotsPerLock = 32
	// reapLocksPerTurn is after how many of these the reaper lets others run: about a
	// millisecond. On a busy machine its turn comes again late.
	reapLocksPerTurn = 64
)

type reaper struct {
	kicked chan struct{} // buffered 1: a generation has ended
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
	for period := 1; ; period++ {
		select {
		case <-ctx.Done():
			return
		case <-r.kicked:
			for _, s := range c.shards {
				s.reapEnded(ctx)
			}
		case <-ticker.C:
			c.clock.note()
			for _, s := range c.shards {
				for ctx.Err() == nil && s.expire(reapSlotsPerLock, func(NamespaceID, SweepCount) {}) == 0 {
				}
			}
		}
		if period%makeUpPeriods == 0 {
			c.makeUp(ctx)
		}
	}
}

// expire looks at up to looks slots whose time may have come, removes the dead ones and
// returns how many looks are left; none means that there may be more to do. It reports
// each slot it looks at: as an entry only if the tier does not hold it too and reports it.
func (s *shard) expire(looks int, report func(NamespaceID, SweepCount)) int {
	s.mu.Lock()
	defer s.leave()
	c := s.cache
	nowMs := c.clock.ms()
	left := s.wheel.Advance(nowMs, looks, func(number uint32) int64 {
		e := s.entryOf(number)
		namespace := e.header().namespace
		entries := int64(s.slot(number).flags & slotAlone / slotAlone)
		if e.stateAt(nowMs) != Dead && c.generation(namespace) != nil {
			report(namespace, SweepCount{Scanned: entries})
			s.tellAccess(number) // if there is no room, then the next time
			return s.lookMs(e)
		}
		report(namespace, SweepCount{Scanned: entries, Removed: entries, Bytes: c.slotBytes(e)})
		c.countDead(e, s.slot(number).flags)
		s.remove(number)
		return 0
	})
	return left
}

// sweepL1 removes from L1 what has expired, within limits, adds what it did to result, and
// sets result.Truncated if there may be more.
func (c *Cache) sweepL1(ctx context.Context, limits SweepLimits, result *SweepResult) {
	looks := int(min(limits.EntriesMax, math.MaxInt32))
	untilMs := addMs(c.clock.ms(), limits.Duration.Milliseconds())
	for _, s := range c.shards {
		for isMore := true; isMore; {
			if looks <= 0 || c.clock.ms() > untilMs || ctx.Err() != nil {
				result.Truncated = true
				return
			}
			step := min(looks, reapSlotsPerLock)
			left := s.expire(step, result.Add)
			looks -= step - left
			isMore = left <= 0
		}
	}
}

// reapEnded removes the entries of ended generations.
func (s *shard) reapEnded(ctx context.Context) {
	for start, total := uint32(1), uint32(2); start < total && ctx.Err() == nil; start += reapSlotsPerLock {
		s.mu.Lock()
		total = s.given
		for number := start; number < min(start+reapSlotsPerLock, total); number++ {
			s.reapSlot(number)
		}
		s.leave()
		if start/reapSlotsPerLock%reapLocksPerTurn == 0 {
			runtime.Gosched() // others have waited for the processor
		}
	}
}

// reapSlot removes the entry of a slot if its generation has ended. Dirty ones are the
// flusher's. REQUIRES: s.mu held.
func (s *shard) reapSlot(number uint32) {
	sl := s.slot(number)
	if sl.ref() != 0 && sl.flags&slotDirty == 0 && s.cache.generation(s.entryOf(number).header().namespace) == nil {
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
