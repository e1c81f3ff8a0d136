package cache

import "pgcache/cache/pages"

// index finds a shard's slots by key hash: a hash table by linear hashing (Litwin, 1980),
// with chains through slot.next. It grows by one bucket an entry, so no put ever waits for
// a table to be rebuilt, and it holds no pointers. Guarded by shard.mu.
type index struct {
	buckets pages.Array[uint32] // heads of chains
	used    uint32              // buckets in use
	half    uint32              // the largest power of two that is not above used
	count   int
}

// indexBytes is what an entry takes in the index, besides slot.next.
const indexBytes = 4

func newIndex() index {
	x := index{used: 1, half: 1}
	x.buckets.Extend(0)
	return x
}

// bucket is the bucket of a tag: its low bits, of which the buckets that have been split
// use one more.
func (x *index) bucket(tag uint32) *uint32 {
	b := tag & (2*x.half - 1)
	if b >= x.used {
		b = tag & (x.half - 1)
	}
	return x.buckets.At(b)
}

// tagOf is the part of a hash that a slot keeps. The shard is chosen by the top bits.
func tagOf(hash uint64) uint32 { return uint32(hash) }

// lookup is the slot of a hash, 0 if there is none. REQUIRES: s.mu held, shared at least.
func (s *shard) lookup(hash uint64) uint32 {
	tag := tagOf(hash)
	for number := *s.index.bucket(tag); number != 0; {
		sl := s.slot(number)
		if sl.tag == tag && s.hashOf(number) == hash {
			return number
		}
		number = sl.next
	}
	return 0
}

// holder is lookup for the hash of an entry that has it: where the entry's key is held
// already, no hash is computed. REQUIRES: s.mu held.
func (s *shard) holder(hash uint64, like entry) uint32 {
	tag, namespace, key := tagOf(hash), like.header().namespace, like.key()
	for number := *s.index.bucket(tag); number != 0; {
		sl := s.slot(number)
		if sl.tag == tag {
			e := entry(s.arena.Data(sl.ref))
			if e.header().namespace == namespace && string(e.key()) == string(key) || s.hashOf(number) == hash {
				return number
			}
		}
		number = sl.next
	}
	return 0
}

// hashOf is the hash of the key in a slot.
func (s *shard) hashOf(number uint32) uint64 {
	e := s.entryOf(number)
	return s.cache.hash(e.header().namespace, e.key())
}

// indexAdd makes a slot, whose tag is set, findable. REQUIRES: s.mu held.
func (s *shard) indexAdd(number uint32) {
	x := &s.index
	if x.count >= int(x.used) {
		s.splitBucket()
	}
	sl := s.slot(number)
	head := x.bucket(sl.tag)
	sl.next = *head
	*head = number
	x.count++
}

// splitBucket adds a bucket and moves to it what belongs there.
func (s *shard) splitBucket() {
	x := &s.index
	if x.used == 2*x.half {
		x.half = x.used
	}
	added := x.used
	x.buckets.Extend(added)
	x.used++
	from, to := x.buckets.At(added-x.half), x.buckets.At(added)
	for *from != 0 {
		sl := s.slot(*from)
		if sl.tag&(2*x.half-1) != added {
			from = &sl.next
			continue
		}
		number := *from
		*from = sl.next
		sl.next = *to
		*to = number
	}
}

// indexRemove takes a slot out of the index. REQUIRES: s.mu held.
func (s *shard) indexRemove(number uint32) {
	sl := s.slot(number)
	link := s.index.bucket(sl.tag)
	for *link != number {
		link = &s.slot(*link).next
	}
	*link = sl.next
	sl.next = 0
	s.index.count--
}
