package eviction

import (
	"math"
	"sync/atomic"

	"pgcache/cache/pages"
)

// What replays of recorded traffic showed to be good: see docs/performance.md.
const (
	// smallSharePct is the part of the bytes queued that the small queue is held to, in
	// percent, before anything is learnt of the traffic; then it is in these bounds.
	smallSharePct    = 10
	smallSharePctMin = 5
	smallSharePctMax = 40
	// mainSamples is from how many slots of the main queue the victim is chosen.
	mainSamples = 16
	// sizeWeight is the power of an entry's size that its score is divided by.
	sizeWeight = 1.0
	// useMax is how many hits are counted.
	useMax = 63
	// ghostPct is how many hashes of what left the small queue are remembered, in percent of
	// the slots queued; displacedPct the same of the main queue.
	ghostPct     = 85
	displacedPct = ghostPct / ghostSetLen
)

// S3FIFO is S3-FIFO (Yang et al., "FIFO Queues are All You Need for Cache Eviction", SOSP
// 2023) by bytes, with another main queue. New entries pass a small queue, first in, first
// out; those that were used there go on to the main queue, the others leave memory, as
// most entries of most traffic are never asked for again. The leavers are remembered by
// hash for a while, and one that comes back enters the main queue at once.
//
// How much of the room is the small queue's is learnt, by comparing at the margin what a
// tenth more would be worth to either: an entry that comes back soon after it left the small
// queue would have been hit there, and one that comes back soon after it left the main queue
// would have been hit in that. Each moves the border by one entry. (ARC, Megiddo and Modha,
// FAST 2003, moves it for whatever its ghosts remember; in loops, and where popularity does
// not change, that gives the small queue far too much.)
//
// The victim of the main queue is, among a few slots drawn at random, that with the lowest
//
//	(uses + 0.5) · 2^((priority-128)/32) / (age · size)
//
// (Blankstein et al., "Hyperbolic Caching", ATC 2017), the age counted in entries
// inserted, and the uses, since it entered the queue: what is used least for the room it takes. The same
// weight of the priority decides in the small queue how many uses make an entry go on: one at 128,
// none from 179 up, three at 96.
type S3FIFO struct {
	nodes  pages.Array[s3node] // by slot; node 0 is the small queue's sentinel
	main   pages.Array[uint32] // the slots of the main queue, in no order
	length [s3queues]int       // slots in each queue
	bytes  [s3queues]int64     // and their bytes
	clock  uint32              // entries inserted
	random uint64
	ghost  ghost // of the small queue
	// displaced is the ghost of the main queue. It only teaches: what it knows is a newcomer
	// all the same.
	displaced ghost
	sharePct  float64 // of the small queue
	hashOf    func(slot uint32) uint32
	scale     *s3scale
}

// s3node is pointer-free: the collector never scans the queues.
type s3node struct {
	newer uint32 // in the small queue: neighbours
	older uint32 //
	state uint32 // s3state; atomic
}

// In the main queue the same fields are the slot's place in main and when it came there.
func (n *s3node) place() *uint32   { return &n.newer }
func (n *s3node) entered() *uint32 { return &n.older }

// s3state packs: queue, 2 bits; size code, 8 bits; priority, 8 bits; uses, the rest.
type s3state uint32

const (
	unqueued = iota
	small
	mainly
	s3queues

	s3use      = 1 << 18
	s3useShift = 18
)

func (s s3state) queue() int      { return int(s & 3) }
func (s s3state) size() uint8     { return uint8(s >> 2) }
func (s s3state) priority() uint8 { return uint8(s >> 10) }
func (s s3state) uses() uint32    { return uint32(s >> s3useShift) }

// s3scale is what sizes and priorities weigh, by code.
type s3scale struct {
	size     [sizeCodes]float32
	priority [1 << 8]float32
}

func newS3Scale() *s3scale {
	t := &s3scale{}
	for code := range t.size {
		t.size[code] = float32(math.Pow(float64(max(decodeSize(uint8(code)), 1)), -sizeWeight))
	}
	for p := range t.priority {
		t.priority[p] = float32(math.Exp2((float64(p) - PriorityDefault) / 32))
	}
	return t
}

var _ Policy = (*S3FIFO)(nil)

// NewS3FIFO returns empty queues.
func NewS3FIFO(hashOf func(slot uint32) uint32, seed uint64) *S3FIFO {
	s := &S3FIFO{hashOf: hashOf, random: seed | 1, scale: newS3Scale(), sharePct: smallSharePct}
	s.nodes.Extend(0)
	return s
}

func (s *S3FIFO) Len() int { return s.length[small] + s.length[mainly] }

func (s *S3FIFO) Remember(hash uint32) {
	if len(s.ghost.sets) > 0 {
		s.ghost.add(hash)
	}
}

func (s *S3FIFO) Knows(hash uint32) bool { return s.ghost.has(hash) }
func (s *S3FIFO) HistoryBytes() int64    { return s.ghost.bytes() + s.displaced.bytes() }

func (s *S3FIFO) Insert(slot uint32, e Entry) {
	s.nodes.Extend(slot)
	node := s.nodes.At(slot)
	if s3state(node.state).queue() != unqueued {
		panic("eviction: slot queued twice")
	}
	s.clock++
	node.state = uint32(encodeSize(e.Bytes))<<2 | uint32(e.Priority)<<10
	left, displaced := s.ghost.take(e.Hash), s.displaced.take(e.Hash)
	s.learn(left, displaced)
	if left != forgotten {
		s.pushMain(slot, node)
	} else {
		s.pushSmall(slot, node)
	}
}

// learn moves the border between the queues, knowing how long ago an entry that comes left
// the small queue, or was displaced from the main one.
func (s *S3FIFO) learn(left, displaced age) {
	step := 100 / float64(s.Len()+1)
	if left == newest {
		s.sharePct = min(s.sharePct+step, smallSharePctMax)
	}
	if displaced != forgotten {
		s.sharePct = max(s.sharePct-step, smallSharePctMin)
	}
}

func (s *S3FIFO) Access(slot uint32) {
	if !s.nodes.Has(slot) {
		return
	}
	// A hit that loses a race is not counted; an entry used often is only read.
	state := &s.nodes.At(slot).state
	old := atomic.LoadUint32(state)
	if s3state(old).queue() != unqueued && s3state(old).uses() < useMax {
		atomic.CompareAndSwapUint32(state, old, old+s3use)
	}
}

func (s *S3FIFO) Remove(slot uint32) {
	if !s.nodes.Has(slot) {
		return
	}
	node := s.nodes.At(slot)
	state := s3state(node.state)
	switch state.queue() {
	case unqueued:
		return
	case small:
		s.nodes.At(node.newer).older = node.older
		s.nodes.At(node.older).newer = node.newer
	case mainly:
		last := *s.main.At(uint32(s.length[mainly] - 1))
		*s.main.At(*node.place()) = last
		*s.nodes.At(last).place() = *node.place()
	}
	s.count(state, -1)
	*node = s3node{}
}

// count adds a slot to the sums of its queue, or takes it out of them.
func (s *S3FIFO) count(state s3state, n int) {
	s.length[state.queue()] += n
	s.bytes[state.queue()] += int64(n) * decodeSize(state.size())
}

// pushSmall and pushMain queue a slot whose state says no queue.
func (s *S3FIFO) pushSmall(slot uint32, node *s3node) {
	sentinel := s.nodes.At(0) // its neighbours: older is the newest slot, newer the oldest
	node.newer, node.older = 0, sentinel.older
	s.nodes.At(sentinel.older).newer = slot
	sentinel.older = slot
	node.state |= small
	s.count(s3state(node.state), 1)
}

func (s *S3FIFO) pushMain(slot uint32, node *s3node) {
	*node.place(), *node.entered() = uint32(s.length[mainly]), s.clock
	s.main.Extend(*node.place())
	*s.main.At(*node.place()) = slot
	node.state |= mainly
	s.count(s3state(node.state), 1)
}

func (s *S3FIFO) Victim() uint32 {
	for range passesPerCall {
		isSmall := float64(s.bytes[small])*100 < s.sharePct*float64(s.bytes[small]+s.bytes[mainly])
		slot := s.nodes.At(0).newer // the oldest of the small queue
		switch {
		case s.length[mainly] > 0 && (isSmall || slot == 0):
			slot = s.sample()
			s.displaced.fit(s.Len() * displacedPct / 100)
			s.displaced.add(s.hashOf(slot))
			s.Remove(slot)
			return slot
		case slot == 0:
			return 0
		}
		node := s.nodes.At(slot)
		state := s3state(node.state)
		if (float32(state.uses())+0.5)*s.scale.priority[state.priority()] < 1.5 {
			s.ghost.fit(s.Len() * ghostPct / 100)
			s.ghost.add(s.hashOf(slot))
			s.Remove(slot)
			return slot
		}
		s.Remove(slot)
		node.state = uint32(state) & (s3use - 1) &^ 3 // its uses are counted from here
		s.pushMain(slot, node)
	}
	return 0
}

// sample is the slot of the main queue with the lowest score among some.
func (s *S3FIFO) sample() uint32 {
	var best uint32
	lowest := float32(math.Inf(1))
	for range mainSamples {
		slot := *s.main.At(s.randomN(uint32(s.length[mainly])))
		node := s.nodes.At(slot)
		state := s3state(node.state)
		age := float32(s.clock-*node.entered()) + 1
		score := (float32(state.uses()) + 0.5) * s.scale.priority[state.priority()] * s.scale.size[state.size()] / age
		if score < lowest || best == 0 {
			best, lowest = slot, score
		}
	}
	return best
}

// randomN is below n: xorshift64* (Vigna, 2014), which is cheap and good enough to draw
// samples.
func (s *S3FIFO) randomN(n uint32) uint32 {
	s.random ^= s.random >> 12
	s.random ^= s.random << 25
	s.random ^= s.random >> 27
	return uint32((s.random * 0x2545f4914f6cdd1d) >> 32 * uint64(n) >> 32)
}
