package cache

import "math"

// A namespace's quota of L1 (NamespaceLimits) is kept in two ways. What a write or a
// promotion would exceed it by is evicted from the namespace itself, by sampling, as its
// entries are no queue of their own: of a few found by walking the slots, the one not
// accessed for longest goes. And eviction for want of room passes over entries of a
// namespace that is within its quota, as long as there are others.

const (
	// quotaLooksPerLock bounds how many slots are looked at under one lock: the walk reads
	// little but the slots, which lie together.
	quotaLooksPerLock = 512
	// quotaSamples is how many of the namespace's entries one victim is chosen from.
	quotaSamples = 8
	// sparesPerLock bounds how many protected entries one lock passes over.
	sparesPerLock = 64
)

// sparing is how many protected entries an eviction may pass over: as many as there are, if
// a tenth of L1 at least is promised to nobody, so that there is a victim every few
// entries; else a few.
func (c *Cache) sparing() int64 {
	const few = 4 * sparesPerLock
	switch promised := c.namespaces.quotas.Load(); {
	case promised == 0:
		return 0
	case promised <= c.config.L1BytesMax/10*9:
		return math.MaxInt64
	default:
		return few
	}
}

// limitsOf are the limits of a namespace; those of one that is not there yet are none.
func limitsOf(gen *generation) NamespaceLimits {
	if gen == nil {
		return NamespaceLimits{}
	}
	return *gen.owner.limits.Load()
}

// namespaceTag is a part of a namespace's id, for slots to carry.
func namespaceTag(id NamespaceID) uint16 { return uint16(id) ^ uint16(id>>16) }

// checkQuotas refuses an entry that no tier could hold within the namespace's quotas, and
// reports whether L1 could.
func (c *Cache) checkQuotas(gen *generation, takes cost) (fitsL1 bool, err error) {
	l := limitsOf(gen)
	bytes := takes.l1 + takes.passing
	fitsL1 = takes.passing == 0 && (l.L1BytesMax == 0 || bytes <= l.L1BytesMax)
	fitsL2 := c.config.Tier != nil && (l.L2BytesMax == 0 || bytes <= l.L2BytesMax)
	if !fitsL1 && !fitsL2 {
		return false, &QuotaError{What: "entry", Got: bytes, Max: max(l.L1BytesMax, l.L2BytesMax), Namespace: gen.owner.name}
	}
	return fitsL1, nil
}

// makeQuotaRoom evicts entries of a namespace until it can take bytes more within its
// quota of L1, and reports whether it can. home is the shard that is to take them.
func (c *Cache) makeQuotaRoom(gen *generation, bytes int64, home *shard) bool {
	quota := limitsOf(gen).L1BytesMax
	if quota == 0 {
		return true
	}
	for i := range c.shards {
		s := c.shards[(home.number+i)%len(c.shards)]
		for looked := uint32(0); ; {
			if gen.l1Bytes.Load()+bytes <= quota {
				return true
			}
			n, total := s.evictOf(gen, quota-bytes)
			if looked += n; looked >= total {
				break
			}
		}
	}
	return gen.l1Bytes.Load()+bytes <= quota
}

// evictOf looks at some slots for entries of a generation and evicts some, until it holds
// no more than goal bytes. It returns how many slots it looked at, and how many there are.
func (s *shard) evictOf(gen *generation, goal int64) (looked, total uint32) {
	s.mu.Lock()
	defer s.leave()
	tag := namespaceTag(gen.id)
	var found [quotaSamples]uint32
	n := 0
	total = s.given - 1 // slot 0 is none
	for ; looked < min(total, quotaLooksPerLock) && gen.l1Bytes.Load() > goal; looked++ {
		if s.quotaHand++; s.quotaHand > total {
			s.quotaHand = 1
		}
		sl := s.slot(s.quotaHand)
		if sl.ref() == 0 || sl.namespace != tag || sl.flags&slotDirty != 0 || s.entryOf(s.quotaHand).header().namespace != gen.id {
			continue
		}
		found[n] = s.quotaHand
		if n++; n == quotaSamples {
			s.evict(s.oldest(found[:n]))
			n = 0
		}
	}
	// What is left of a sample is as good as a full one when the namespace has few entries.
	for ; n > 0 && gen.l1Bytes.Load() > goal; n-- {
		victim := s.oldest(found[:n])
		s.evict(victim)
	}
	return looked, total
}

// oldest takes out of slots the one that was not accessed for longest; of those accessed
// in the same second the first. It moves the last one to its place. REQUIRES: s.mu held.
func (s *shard) oldest(slots []uint32) uint32 {
	best := 0
	for i := range slots {
		if s.entryOf(slots[i]).header().lastAccessMs() < s.entryOf(slots[best]).header().lastAccessMs() {
			best = i
		}
	}
	victim := slots[best]
	slots[best] = slots[len(slots)-1]
	return victim
}

// isProtected reports that a slot's entry is live and its namespace within its quota.
// REQUIRES: s.mu held.
func (s *shard) isProtected(number uint32) bool {
	c := s.cache
	e := s.entryOf(number)
	gen := c.generation(e.header().namespace)
	if gen == nil || e.stateAt(c.clock.ms()) == Dead {
		return false
	}
	quota := limitsOf(gen).L1BytesMax
	return quota > 0 && gen.l1Bytes.Load() <= quota
}
