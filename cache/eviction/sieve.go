package eviction

import "sync/atomic"

// Sieve is the SIEVE policy (Zhang et al., "SIEVE is Simpler than LRU", NSDI 2024,
// section 3): one queue in insertion order, one visited bit a slot, and a hand that moves
// from the tail to the head, clearing bits, and evicts the first slot it finds unvisited.
// New slots enter at the head, unvisited. A hit sets a bit and moves nothing.
type Sieve struct {
	nodes []sieveNode // by slot; node 0 is the list's head and tail sentinel
	hand  uint32      // the next slot to examine; 0: start at the tail
	count int
}

// sieveNode is pointer-free: the collector never scans the queue.
type sieveNode struct {
	newer, older uint32
	state        uint32 // bit 0: visited, bit 1: queued; atomic
}

const (
	visited = 1
	queued  = 2
)

var _ Policy = (*Sieve)(nil)

// NewSieve returns an empty queue.
func NewSieve() *Sieve { return &Sieve{nodes: make([]sieveNode, 1)} }

func (s *Sieve) Len() int { return s.count }

func (s *Sieve) Insert(slot uint32) {
	if int(slot) >= len(s.nodes) {
		s.grow(int(slot) + 1)
	}
	node := &s.nodes[slot]
	if node.state&queued != 0 {
		panic("eviction: slot queued twice")
	}
	head := s.nodes[0].older // the sentinel's neighbours: older is the head, newer the tail
	*node = sieveNode{newer: 0, older: head, state: queued}
	s.nodes[head].newer = slot
	s.nodes[0].older = slot
	s.count++
}

// grow makes room for n nodes, doubling so that growth is amortised.
func (s *Sieve) grow(n int) {
	if n <= cap(s.nodes) {
		s.nodes = s.nodes[:n]
		return
	}
	nodes := make([]sieveNode, n, max(2*cap(s.nodes), n, 64))
	copy(nodes, s.nodes)
	s.nodes = nodes
}

func (s *Sieve) Access(slot uint32) {
	if int(slot) >= len(s.nodes) {
		return
	}
	// Most hits find the bit set: then the cache line stays shared between cores.
	state := &s.nodes[slot].state
	if atomic.LoadUint32(state) == queued {
		atomic.StoreUint32(state, queued|visited)
	}
}

func (s *Sieve) Remove(slot uint32) {
	if int(slot) >= len(s.nodes) || s.nodes[slot].state&queued == 0 {
		return
	}
	node := &s.nodes[slot]
	if s.hand == slot {
		s.hand = node.newer
	}
	s.nodes[node.newer].older = node.older
	s.nodes[node.older].newer = node.newer
	*node = sieveNode{}
	s.count--
}

func (s *Sieve) Victim() uint32 {
	if s.count == 0 {
		return 0
	}
	for {
		if s.hand == 0 {
			s.hand = s.nodes[0].newer
		}
		slot := s.hand
		node := &s.nodes[slot]
		if node.state&visited == 0 {
			s.Remove(slot) // moves the hand on
			return slot
		}
		node.state = queued
		s.hand = node.newer
	}
}
