package cache

import (
	"iter"

	"pgcache/cache/arena"
	"pgcache/cache/pages"
)

// index finds a shard's entries by key hash: a hash table by linear hashing (Litwin, 1980).
// It grows by one bucket every few entries, so no put ever waits for a table to be rebuilt,
// and it holds no pointers. A bucket is a line of a processor's cache and names the entries'
// chunks, so that a look-up waits for memory twice: for the bucket and for the entry.
// Guarded by shard.mu.
type index struct {
	buckets  pages.Array[bucket]
	used     uint32 // buckets in use
	half     uint32 // the largest power of two that is not above used
	count    int
	overflow pages.Array[bucket] // more of full buckets; number 0 is never used
	given    uint32              // overflow buckets ever used are below
	free     uint32              // list of unused ones, linked by more
}

const (
	bucketLen = 10
	// bucketFill is how many entries there are for each bucket: few enough that one in some
	// tens is in an overflow bucket.
	bucketFill = 7
	// indexBytes is what an entry takes in the index, overflow included.
	indexBytes = 10
)

// bucket holds up to bucketLen entries, the first places first.
type bucket struct {
	marks [bucketLen]uint16 // see markOf; with it the top bits of ref
	refs  [bucketLen]uint32 // the other bits; 0, as of no ref: a free place
	more  uint32            // the overflow bucket that goes on; 0: none
}

const (
	refTopBits = arena.RefBits - 32
	markShift  = 10
	markBits   = 16 - refTopBits
)

// markOf is the part of a tag that a bucket keeps, in the place it has in bucket.marks.
func markOf(tag uint32) uint16 { return uint16(tag>>markShift) << refTopBits }

// ref is the entry in a place.
func (b *bucket) ref(i int) arena.Ref {
	return arena.Ref(b.marks[i]&(1<<refTopBits-1))<<32 | arena.Ref(b.refs[i])
}

// mark is the entry's mark.
func (b *bucket) mark(i int) uint16 { return b.marks[i] &^ (1<<refTopBits - 1) }

func (b *bucket) set(i int, mark uint16, ref arena.Ref) {
	b.marks[i], b.refs[i] = mark|uint16(ref>>32), uint32(ref)
}

func newIndex() index {
	x := index{used: 1, half: 1, given: 1}
	x.buckets.Extend(0)
	return x
}

// bucket is the bucket of a tag: its low bits, of which the buckets that have been split
// use one more.
func (x *index) bucket(tag uint32) *bucket {
	b := tag & (2*x.half - 1)
	if b >= x.used {
		b = tag & (x.half - 1)
	}
	return x.buckets.At(b)
}

// next is the bucket that goes on where b ends; nil: none.
func (x *index) next(b *bucket) *bucket {
	if b.more == 0 {
		return nil
	}
	return x.overflow.At(b.more)
}

// refs yields the entries that may have a tag.
func (x *index) refs(tag uint32) iter.Seq[arena.Ref] {
	return func(yield func(arena.Ref) bool) {
		mark := markOf(tag)
		for b := x.bucket(tag); b != nil; b = x.next(b) {
			for i := range b.refs {
				if b.refs[i] != 0 && b.mark(i) == mark && !yield(b.ref(i)) {
					return
				}
			}
		}
	}
}

// tagOf is the part of a hash that a slot keeps. The shard is chosen by the top bits.
func tagOf(hash uint64) uint32 { return uint32(hash) }

// lookup is the slot of a hash, 0 if there is none. REQUIRES: s.mu held, shared at least.
func (s *shard) lookup(hash uint64) uint32 {
	for ref := range s.index.refs(tagOf(hash)) {
		e := entry(s.arena.Data(ref))
		if s.cache.hash(e.header().namespace, e.key()) == hash {
			return e.header().slot
		}
	}
	return 0
}

// holder is lookup for the hash of an entry that has it: where the entry's key is held
// already, no hash is computed. REQUIRES: s.mu held.
func (s *shard) holder(hash uint64, like entry) uint32 {
	namespace, key := like.header().namespace, like.key()
	for ref := range s.index.refs(tagOf(hash)) {
		e := entry(s.arena.Data(ref))
		if e.header().namespace == namespace && string(e.key()) == string(key) || s.cache.hash(e.header().namespace, e.key()) == hash {
			return e.header().slot
		}
	}
	return 0
}

// hashOf is the hash of the key in a slot.
func (s *shard) hashOf(number uint32) uint64 {
	e := s.entryOf(number)
	return s.cache.hash(e.header().namespace, e.key())
}

// indexAdd makes a slot, whose tag and ref are set, findable. REQUIRES: s.mu held.
func (s *shard) indexAdd(number uint32) {
	x := &s.index
	if x.count >= int(x.used)*bucketFill {
		s.splitBucket()
	}
	sl := s.slot(number)
	x.insert(x.bucket(sl.tag), markOf(sl.tag), sl.ref())
	x.count++
}

func (x *index) insert(b *bucket, mark uint16, ref arena.Ref) {
	for {
		for i := range b.refs {
			if b.refs[i] == 0 {
				b.set(i, mark, ref)
				return
			}
		}
		if b.more == 0 {
			b.more = x.takeOverflow()
		}
		b = x.next(b)
	}
}

func (x *index) takeOverflow() uint32 {
	number := x.free
	if number == 0 {
		number = x.given
		x.given++
		x.overflow.Extend(number)
		return number
	}
	b := x.overflow.At(number)
	x.free = b.more
	*b = bucket{}
	return number
}

// splitBucket adds a bucket and moves to it what belongs there.
func (s *shard) splitBucket() {
	x := &s.index
	if x.used == 2*x.half {
		x.half = x.used
	}
	x.buckets.Extend(x.used)
	from, to := x.buckets.At(x.used-x.half), x.buckets.At(x.used)
	x.used++
	chain := *from
	*from = bucket{}
	for {
		for i := range chain.refs {
			into := from
			if s.isOfHalf(&chain, i) {
				into = to
			}
			if chain.refs[i] != 0 {
				x.insert(into, chain.mark(i), chain.ref(i))
			}
		}
		number := chain.more
		if number == 0 {
			return
		}
		chain = *x.overflow.At(number)
		x.freeOverflow(number)
	}
}

func (x *index) freeOverflow(number uint32) {
	*x.overflow.At(number) = bucket{more: x.free}
	x.free = number
}

// isOfHalf reports that an entry's tag has the bit that index.half is. The mark tells, but
// in small tables and huge ones.
func (s *shard) isOfHalf(b *bucket, i int) bool {
	half := s.index.half
	switch {
	case b.refs[i] == 0:
		return false
	case half >= 1<<markShift && half < 1<<(markShift+markBits):
		return b.marks[i]&markOf(half) != 0
	}
	return s.slot(entry(s.arena.Data(b.ref(i))).header().slot).tag&half != 0
}

// place finds the place of an entry that is in the index.
func (x *index) place(tag uint32, ref arena.Ref) (*bucket, int) {
	for b := x.bucket(tag); ; b = x.next(b) {
		for i := range b.refs {
			if b.refs[i] == uint32(ref) && b.ref(i) == ref {
				return b, i
			}
		}
	}
}

// indexMove tells the index that a slot's entry is at another place now, moved. REQUIRES:
// s.mu held.
func (s *shard) indexMove(number uint32, moved arena.Ref) {
	sl := s.slot(number)
	b, i := s.index.place(sl.tag, sl.ref())
	b.set(i, markOf(sl.tag), moved)
}

// indexRemove takes a slot out of the index. REQUIRES: s.mu held.
func (s *shard) indexRemove(number uint32) {
	x := &s.index
	sl := s.slot(number)
	hole, at := x.place(sl.tag, sl.ref())
	var before *bucket
	last := x.bucket(sl.tag)
	for ; last.more != 0; last = x.next(last) {
		before = last
	}
	end := bucketLen - 1
	for last.refs[end] == 0 {
		end--
	}
	hole.set(at, last.mark(end), last.ref(end))
	last.set(end, 0, 0)
	x.count--
	if end > 0 || before == nil {
		return
	}
	x.freeOverflow(before.more)
	before.more = 0
}
