package cache

import (
	"sync/atomic"

	"pgcache/cache/arena"
)

// Admission: with no tier below, L1 is the only place and takes everything (C5). With one,
// always and never mean what they say, but for a huge entry, which only the tier holds; and
// auto looks at size and history. An entry of
// ordinary size may always live in L1: the policy finds out soon enough whether it is
// worth its room. A large one would push out many others first, so it must have been
// wanted before: it is in L1 already, was until not long ago, or is read from the tier for
// the second time. A huge one costs too many others whatever it is.
const (
	// largeShare, hugeShare: from these parts of L1 on an entry is large, or huge.
	largeShare = 256
	hugeShare  = 8
)

// verdict is what size and choice say of an entry, before its history.
type verdict uint8

const (
	admitted verdict = iota
	refused
	onHistory
)

func (c *Cache) judge(a Admission, length int) verdict {
	n := int64(length)
	switch {
	case c.config.Tier == nil:
		return admitted
	case a == AdmitNever || c.passes(int64(arena.Size(length))):
		return refused
	case a == AdmitAlways:
		return admitted
	case n <= c.config.L1BytesMax/largeShare:
		return admitted
	default:
		return onHistory
	}
}

// admitsWrite decides whether a new write may live in L1. REQUIRES: s.mu held.
func (s *shard) admitsWrite(hash uint64, a Admission, length int) bool {
	if v := s.cache.judge(a, length); v != onHistory {
		return v == admitted
	}
	return s.isWanted(hash)
}

// admitsRead decides whether an entry that was read from the tier may live in L1, and
// remembers that it was asked for.
func (s *shard) admitsRead(hash uint64, a Admission, length int) bool {
	if v := s.cache.judge(a, length); v != onHistory {
		return v == admitted
	}
	s.mu.RLock()
	isWanted := s.isWanted(hash)
	s.mu.RUnlock()
	s.asked.note(hash)
	return isWanted
}

// isWanted reports that the key's entry is in L1 to stay, was until not long ago, or was
// read from the tier. REQUIRES: s.mu held, shared at least.
func (s *shard) isWanted(hash uint64) bool {
	if number := s.lookup(hash); number != 0 && s.slot(number).flags&slotTransient == 0 && !s.entryOf(number).header().tombstone {
		return true
	}
	return s.policy.Knows(tagOf(hash)) || s.asked.has(hash)
}

// asked remembers the large entries that were lately read from the tier: bounded, at the
// price of forgetting one for another. Safe for concurrent use.
type asked [askedLen]atomic.Uint32

// askedLen is for how many keys; they are large, so few fit a shard anyway.
const askedLen = 512

func (t *asked) note(hash uint64) { t[hash%askedLen].Store(askedMark(hash)) }

func (t *asked) has(hash uint64) bool { return t[hash%askedLen].Load() == askedMark(hash) }

func askedMark(hash uint64) uint32 { return uint32(hash>>24) | 1 }
