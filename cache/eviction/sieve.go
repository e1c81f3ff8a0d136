package eviction

import (
	"sync/atomic"

	"pgcache/cache/pages"
)

// Sieve is the SIEVE policy (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024,
// section 3): one queue in insertion order, one visited bit a slot, and a hand that moves
// from the tail to the head, clearing bits, and evicts the first slot it finds unvisited.
// New slots enter at the head, unvisited. A hit sets a bit and moves nothing.
//
// Priorities: from 160 up the hand passes a slot once more than its visited bit makes it,
// from 192 twice, from 224 three times, each time it has come to it for lack of hits;
// below 64 it does not honour the bit.
type Sieve struct {
	nodes pages.Array[sieveNode] // by slot; node 0 is the list's head and tail sentinel
	hand  uint32                 // the next slot to examine; 0: start at the tail
	count int
}

// sieveNode is pointer-free: the collector never scans the queue.
type sieveNode struct {
	newer, older uint32
	state        uint32 // see below; atomic
}

const (
	visited   = 1 << 0
	queued    = 1 << 1
	expends   = 1 << 2 // hits do not protect it
	passShift = 4      // passes that are left, and from 6 on what they start from
	passMask  = 3
)

// PassesMax is how often the hand passes a slot for its priority.
const PassesMax = 3

var _ Policy = (*Sieve)(nil)

// NewSieve returns an empty queue.
func NewSieve() *Sieve {
	s := &Sieve{}
	s.nodes.Extend(0)
	return s
}

func (s *Sieve) Len() int { return s.count }

// Sieve keeps no history.
func (s *Sieve) Remember(uint32)     {}
func (s *Sieve) Knows(uint32) bool   { return false }
func (s *Sieve) HistoryBytes() int64 { return 0 }

func (s *Sieve) Insert(slot uint32, e Entry) {
	s.nodes.Extend(slot)
	node := s.nodes.At(slot)
	if node.state&queued != 0 {
		panic("eviction: slot queued twice")
	}
	passes := max(int(e.Priority)-PriorityDefault, 0) / 32
	state := uint32(queued | passes<<passShift | passes<<(passShift+2))
	if e.Priority < PriorityDefault/2 {
		state |= expends
	}
	sentinel := s.nodes.At(0) // its neighbours: older is the head, newer the tail
	*node = sieveNode{newer: 0, older: sentinel.older, state: state}
	s.nodes.At(sentinel.older).newer = slot
	sentinel.older = slot
	s.count++
}

func (s *Sieve) Access(slot uint32) {
	if !s.nodes.Has(slot) {
		return
	}
	// Most hits find the bit set: then the cache line stays shared between cores.
	state := &s.nodes.At(slot).state
	if old := atomic.LoadUint32(state); old&(queued|visited|expends) == queued {
		atomic.StoreUint32(state, old|visited) // nothing else changes meanwhile
	}
}

func (s *Sieve) Remove(slot uint32) {
	if !s.nodes.Has(slot) || s.nodes.At(slot).state&queued == 0 {
		return
	}
	node := s.nodes.At(slot)
	if s.hand == slot {
		s.hand = node.newer
	}
	s.nodes.At(node.newer).older = node.older
	s.nodes.At(node.older).newer = node.newer
	*node = sieveNode{}
	s.count--
}

func (s *Sieve) Victim() uint32 {
	if s.count == 0 {
		return 0
	}
	for range passesPerCall {
		if s.hand == 0 {
			s.hand = s.nodes.At(0).newer
		}
		slot := s.hand
		node := s.nodes.At(slot)
		passes := node.state >> passShift & passMask
		switch {
		case node.state&visited != 0:
			node.state &^= visited | passMask<<passShift
			node.state |= node.state >> 2 & (passMask << passShift) // it may be passed as often again
		case passes > 0:
			node.state -= 1 << passShift
		default:
			s.Remove(slot) // moves the hand on
			return slot
		}
		s.hand = node.newer
	}
	return 0
}
