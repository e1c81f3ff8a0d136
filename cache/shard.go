package cache

import (
	"sync"
	"sync/atomic"
	"unsafe"

	"pgcache/cache/arena"
	"pgcache/cache/eviction"
	"pgcache/cache/pages"
	"pgcache/cache/wheel"
)

// shard is one part of L1, chosen by key hash.
type shard struct {
	cache  *Cache
	number int

	// Counters read without the lock.
	hits      atomic.Int64
	misses    atomic.Int64
	evictable atomic.Int64 // slots queued in policy
	entries   atomic.Int64 // slots in use, tombstones included

	mu     sync.RWMutex
	closed bool // nothing may be published any more
	index  index
	slots  pages.Array[slot] // slot 0 is never used
	given  uint32            // slots ever used are below
	free   uint32            // list of unused slots, linked by labels
	arena  *arena.Arena
	policy eviction.Policy
	wheel  *wheel.Wheel // evictable entries that expire
	labels labelIndex
	// historyBytes is the part of cache.used that is the policy's history.
	historyBytes int64
	quotaHand    uint32 // where evictOf goes on
	// recent is the generation that was counted last, which is often the next one.
	recent *generation
	// changes counts, for each stripe of keys, the writes, deletes and removals by the
	// tier: what was read of a key before a change must not be acted on after it (I3).
	changes  [stripesPerShard]uint32
	asked    asked
	waiters  map[uint64][]*flushWaiter // by key hash: who waits for a dirty entry's flush
	leases   map[uint64]*lease         // by key hash
	flights  flights
	readOnce readOnce // nil: a first hit promotes
	// inHand are the keys that a flusher is writing to the tier. held counts, by key, the
	// groups that are to be written first.
	inHand map[uint64]struct{}
	held   map[uint64]int
}

// stripesPerShard bounds false conflicts between writers of different keys; with 16
// shards 4,096 stripes.
const stripesPerShard = 256

// slot is one entry's place in a shard. It holds no pointers.
type slot struct {
	refLow    uint32 // the chunk; 0: the slot is unused
	refTop    uint8
	flags     slotFlags
	namespace uint16 // see namespaceTag
	tag       uint32 // see tagOf
	labels    uint32 // the entry's chain in shard.labels; next free slot when unused
}

func (sl *slot) ref() arena.Ref       { return arena.Ref(sl.refTop)<<32 | arena.Ref(sl.refLow) }
func (sl *slot) setRef(ref arena.Ref) { sl.refLow, sl.refTop = uint32(ref), uint8(ref>>32) }

type slotFlags uint8

const (
	// slotDirty: the tier does not have this write yet. Dirty slots are not evictable.
	slotDirty slotFlags = 1 << iota
	// slotQueued: the slot's key is in a flusher's queue.
	slotQueued
	// slotTransient: the entry may not live in L1 and leaves it once flushed.
	slotTransient
	// slotAlone: no record of the key is known to be in the tier; the entry counts in
	// generation.alone.
	slotAlone
	// slotLost: the tier removed the record again before its flush was noticed.
	slotLost
)

// slotOverheadBytes is what an entry costs besides its chunk. One that expires takes
// wheel.NodeBytes more.
const slotOverheadBytes = int64(unsafe.Sizeof(slot{})) + indexBytes + eviction.NodeBytesMax

func newShard(c *Cache, number int, pool *arena.Pool) *shard {
	s := &shard{
		cache: c, number: number,
		index: newIndex(), given: 1,
		arena: arena.New(pool), wheel: wheel.New(c.clock.ms()), labels: newLabelIndex(),
		waiters: map[uint64][]*flushWaiter{}, inHand: map[uint64]struct{}{}, held: map[uint64]int{}, leases: map[uint64]*lease{},
	}
	s.slots.Extend(0)
	if c.config.PromoteOn == PromoteOnSecondHit {
		s.readOnce = make(readOnce, readOnceLen)
	}
	s.policy = eviction.New(c.config.L1Policy, func(number uint32) uint32 { return s.slot(number).tag }, c.config.Random())
	return s
}

// slot is the slot of a number below s.given.
func (s *shard) slot(number uint32) *slot { return s.slots.At(number) }

func stripeOf(hash uint64) int { return int(hash % stripesPerShard) }

// entryOf is the entry in a slot. REQUIRES: s.mu held, shared at least.
func (s *shard) entryOf(number uint32) entry { return entry(s.arena.Data(s.slot(number).ref())) }

// find returns the slot that holds the key, tombstones included; 0 if none. Another key
// with the same hash is not found. REQUIRES: s.mu held, shared at least.
func (s *shard) find(hash uint64, namespace NamespaceID, key []byte) (uint32, entry) {
	if ref, e := s.seek(hash, namespace, key); ref != 0 {
		return e.header().slot, e
	}
	return 0, nil
}

// seek is find for the entry's chunk; the slot is not looked at.
func (s *shard) seek(hash uint64, namespace NamespaceID, key []byte) (arena.Ref, entry) {
	x := &s.index
	tag := tagOf(hash)
	mark := markOf(tag)
	for b := x.bucket(tag); b != nil; b = x.next(b) {
		for i := range b.marks {
			if b.mark(i) != mark || b.refs[i] == 0 {
				continue
			}
			ref := b.ref(i)
			e := entry(s.arena.Data(ref))
			if e.header().namespace == namespace && string(e.key()) == string(key) {
				return ref, e
			}
		}
	}
	return 0, nil
}

// publish makes the chunk at ref the entry under hash, in place of whatever was there,
// and returns its slot. The policy is not told: dirty slots are not queued.
// REQUIRES: s.mu held.
func (s *shard) publish(hash uint64, ref arena.Ref, flags slotFlags) uint32 {
	e := entry(s.arena.Data(ref))
	number := s.holder(hash, e)
	isNew := number == 0
	if isNew {
		number = s.takeSlot()
	} else {
		sl := s.slot(number)
		flags |= sl.flags & slotQueued
		if sl.flags&slotTransient == 0 {
			s.policy.Remember(sl.tag)
		}
		old := sl.ref()
		s.retire(number)
		s.indexMove(number, ref)
		s.drop(old)
	}
	header := e.header()
	header.slot = number
	sl := s.slot(number)
	*sl = slot{tag: tagOf(hash), flags: flags, namespace: namespaceTag(header.namespace)}
	sl.setRef(ref)
	if isNew {
		s.indexAdd(number)
	}
	if !header.tombstone {
		for kind, text := range e.attrs().Labels() {
			sl.labels = s.labels.add(number, labelHash(s.cache.seed, header.namespace, kind, text), sl.labels)
		}
	}
	s.entries.Add(1)
	s.countSlot(e, flags, 1)
	return number
}

// takeSlot is an unused slot. REQUIRES: s.mu held.
func (s *shard) takeSlot() uint32 {
	number := s.free
	if number != 0 {
		s.free = s.slot(number).labels
		return number
	}
	number = s.given
	s.given++
	s.slots.Extend(number)
	return number
}

// remove takes a slot out of every structure and drops its chunk. REQUIRES: s.mu held.
func (s *shard) remove(number uint32) {
	s.retire(number)
	s.indexRemove(number)
	sl := s.slot(number)
	ref := sl.ref()
	*sl = slot{labels: s.free}
	s.free = number
	s.drop(ref)
}

// retire takes a slot's entry out of everything but the index. REQUIRES: s.mu held.
func (s *shard) retire(number uint32) {
	sl := s.slot(number)
	e := s.entryOf(number)
	s.unqueue(number)
	s.labels.removeChain(sl.labels)
	e.header().slot = 0
	s.entries.Add(-1)
	s.countSlot(e, sl.flags, -1)
	s.cache.release(overheadBytes(e))
}

// countSlot keeps the sums over slots. REQUIRES: s.mu held.
func (s *shard) countSlot(e entry, flags slotFlags, sign int64) {
	size := s.cache.slotBytes(e)
	header := e.header()
	if flags&slotDirty != 0 {
		s.cache.dirty.Add(sign * size)
	}
	// What recent says of a generation that has ended since does not matter any more.
	if s.recent == nil || s.recent.id != header.namespace {
		s.recent = s.cache.generation(header.namespace)
	}
	gen := s.recent
	if gen != nil {
		gen.l1Bytes.Add(sign * size)
	}
	if header.tombstone {
		return
	}
	s.cache.counters.l1Entries.Add(sign)
	if flags&slotAlone != 0 && gen != nil {
		gen.alone.Add(sign)
	}
}

// queue makes a clean slot evictable and lets it expire, unqueue the contrary.
// REQUIRES: s.mu held.
func (s *shard) queue(number uint32) {
	s.offer(number)
	if e := s.entryOf(number); e.attrs().Expires() {
		s.wheel.Schedule(number, s.lookMs(e))
	}
}

// offer hands a slot to the eviction policy. REQUIRES: s.mu held.
func (s *shard) offer(number uint32) {
	e := s.entryOf(number)
	s.policy.Insert(number, eviction.Entry{Hash: s.slot(number).tag, Bytes: s.cache.slotBytes(e), Priority: e.attrs().Priority()})
	s.evictable.Store(int64(s.policy.Len()))
	s.countHistory()
}

func (s *shard) unqueue(number uint32) {
	s.policy.Remove(number)
	s.evictable.Store(int64(s.policy.Len()))
	s.wheel.Cancel(number)
}

// countHistory brings what the policy remembers into the budget. REQUIRES: s.mu held.
func (s *shard) countHistory() {
	if n := s.policy.HistoryBytes(); n != s.historyBytes {
		s.cache.used.Add(n - s.historyBytes)
		s.historyBytes = n
	}
}

// drop gives the owner's reference back. REQUIRES: s.mu held.
func (s *shard) drop(ref arena.Ref) {
	size := int64(s.arena.SizeOf(ref))
	if s.arena.Drop(ref) {
		s.cache.releaseChunk(size)
	}
}

// unpin gives a reader's reference back; if the entry is gone meanwhile and this was the
// last, the memory is reclaimed.
func (s *shard) unpin(chunk *arena.Chunk, ref arena.Ref) {
	if !chunk.Unpin() {
		return
	}
	s.mu.Lock()
	size := int64(s.arena.SizeOf(ref))
	s.arena.Reclaim(ref)
	s.leave()
	s.cache.releaseChunk(size)
}

// Steps of an evacuation, each under a lock of its own, that one operation makes when
// memory is wasted, and when more of it is than there should be.
const (
	tidySteps     = 4
	tidyStepsMost = 32
)

// leave unlocks the shard at the end of what may have freed memory, and then does what
// takes too long to be done under one lock: it gives memory back to the system, and empties
// sparse segments step by step. REQUIRES: s.mu held, and no other shard's.
func (s *shard) leave() {
	steps := tidySteps
	if s.arena.Wasteful() {
		steps = tidyStepsMost
	}
	for ; steps > 0 && s.compact(); steps-- {
		s.mu.Unlock()
		s.mu.Lock() // those who waited came first
	}
	s.mu.Unlock()
	s.cache.pool.Trim()
}

// compact does a step of evacuating a segment, when memory is wasted, and reports whether
// it did. REQUIRES: s.mu held.
func (s *shard) compact() bool {
	if !s.arena.Wasted() {
		return false
	}
	live := s.arena.LiveBytes()
	isMore := s.arena.Evacuate(
		func(ref arena.Ref) bool {
			number := entry(s.arena.Data(ref)).header().slot
			return number != 0 && s.slot(number).ref() == ref
		},
		func(old, moved arena.Ref) {
			number := entry(s.arena.Data(moved)).header().slot
			s.indexMove(number, moved)
			s.slot(number).setRef(moved)
			// The old copy may still be pinned; it is nobody's entry any more.
			entry(s.arena.Data(old)).header().slot = 0
		})
	// Copies of chunks that readers still pin come on top, until they are unpinned.
	s.cache.used.Add(s.arena.LiveBytes() - live)
	return isMore
}

// looksPerLock bounds how many slots are looked at under one lock: some tens of microseconds.
const looksPerLock = 128

// visitLabel calls yield, with the lock held, with each slot under the hash of a label, and
// prepare, without it, before each looksPerLock of them. Of an entry that is replaced meanwhile it
// finds the old one, the new one or both.
func (s *shard) visitLabel(hash uint64, prepare func(), yield func(slot uint32)) {
	walk := labelWalk{hash: hash}
	for isMore := true; isMore; {
		prepare()
		s.mu.Lock() // the walk leaves bookmarks
		isMore = s.labels.visit(&walk, looksPerLock, yield)
		s.mu.Unlock()
	}
}

// flushWaiter waits until a key's newest write is in the tier, and durable if synced.
type flushWaiter struct {
	done   chan error // buffered 1
	synced bool
	stored bool // that the record is gone is not enough
}

// isSyncAwaited reports that somebody waits for the key to be durable. REQUIRES: s.mu held.
func (s *shard) isSyncAwaited(hash uint64) bool {
	for _, w := range s.waiters[hash] {
		if w.synced {
			return true
		}
	}
	return false
}

// wakeRejected answers everybody who waits for a put that the tier did not store.
// REQUIRES: s.mu held.
func (s *shard) wakeRejected(hash uint64) {
	for _, w := range s.waiters[hash] {
		if w.stored {
			w.done <- ErrTierFull
		} else {
			w.done <- nil
		}
	}
	delete(s.waiters, hash)
}

// wake answers everybody who waits for the key. REQUIRES: s.mu held.
func (s *shard) wake(hash uint64, err error) {
	for _, w := range s.waiters[hash] {
		w.done <- err
	}
	delete(s.waiters, hash)
}
