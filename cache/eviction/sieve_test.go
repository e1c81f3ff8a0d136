package eviction

import (
	"math/rand/v2"
	"slices"
	"testing"
)

func drain(p Policy) []uint32 {
	var order []uint32
	for p.Len() > 0 {
		if slot := p.Victim(); slot != 0 {
			order = append(order, slot)
		}
	}
	return order
}

func TestSieveEvictsInInsertionOrderWithoutHits(t *testing.T) {
	s := NewSieve()
	for slot := uint32(1); slot <= 5; slot++ {
		s.Insert(slot, Entry{Priority: PriorityDefault})
	}
	if got := drain(s); !slices.Equal(got, []uint32{1, 2, 3, 4, 5}) {
		t.Fatal(got)
	}
}

// The example of the paper's figure: survivors keep their place, and a new slot that
// enters at the head is reached last, not first.
func TestSieveHandKeepsSurvivorsInPlace(t *testing.T) {
	s := NewSieve()
	for slot := uint32(1); slot <= 4; slot++ {
		s.Insert(slot, Entry{Priority: PriorityDefault})
	}
	s.Access(1)
	s.Access(3)
	if v := s.Victim(); v != 2 {
		t.Fatalf("victim %d, want 2: 1 was visited", v)
	}
	s.Insert(5, Entry{Priority: PriorityDefault})
	if v := s.Victim(); v != 4 {
		t.Fatalf("victim %d, want 4: the hand goes on from where it stood, 3 was visited", v)
	}
	if got := drain(s); !slices.Equal(got, []uint32{5, 1, 3}) {
		t.Fatalf("rest %v", got)
	}
}

func TestSieveInsertedSlotIsUnvisited(t *testing.T) {
	s := NewSieve()
	s.Insert(1, Entry{Priority: PriorityDefault})
	s.Access(1)
	s.Insert(2, Entry{Priority: PriorityDefault})
	if v := s.Victim(); v != 2 {
		t.Fatalf("victim %d, want 2: a new slot carries no visited bit", v)
	}
}

func TestSieveAccessOfUnqueuedSlotDoesNothing(t *testing.T) {
	s := NewSieve()
	s.Access(7)
	s.Insert(1, Entry{Priority: PriorityDefault})
	s.Remove(1)
	s.Access(1)
	if s.Len() != 0 || s.Victim() != 0 {
		t.Fatal("a slot came back")
	}
	s.Insert(1, Entry{Priority: PriorityDefault})
	if v := s.Victim(); v != 1 {
		t.Fatal(v)
	}
}

// referenceSieve is the algorithm of the paper on a slice, index 0 the tail.
type referenceSieve struct {
	queue   []uint32
	visited map[uint32]bool
	hand    int
}

func (r *referenceSieve) remove(slot uint32) {
	i := slices.Index(r.queue, slot)
	if i < 0 {
		return
	}
	r.queue = slices.Delete(r.queue, i, i+1)
	delete(r.visited, slot)
	if i < r.hand {
		r.hand--
	}
}

func (r *referenceSieve) victim() uint32 {
	if len(r.queue) == 0 {
		return 0
	}
	for {
		if r.hand >= len(r.queue) {
			r.hand = 0
		}
		slot := r.queue[r.hand]
		if !r.visited[slot] {
			r.remove(slot)
			return slot
		}
		r.visited[slot] = false
		r.hand++
	}
}

func TestSieveAgainstReference(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 1))
		s, r := NewSieve(), &referenceSieve{visited: map[uint32]bool{}}
		for range 2000 {
			slot := 1 + random.Uint32N(40)
			isQueued := slices.Contains(r.queue, slot)
			switch op := random.IntN(10); {
			case op < 3 && !isQueued:
				s.Insert(slot, Entry{Priority: PriorityDefault})
				// A hand that has passed the head starts again at the tail.
				atEnd := r.hand >= len(r.queue)
				r.queue = append(r.queue, slot)
				if atEnd {
					r.hand = len(r.queue)
				}
			case op < 7:
				s.Access(slot)
				if isQueued {
					r.visited[slot] = true
				}
			case op < 8:
				s.Remove(slot)
				atEnd := r.hand >= len(r.queue)
				r.remove(slot)
				if atEnd {
					r.hand = len(r.queue)
				}
			default:
				got, want := victim(s), r.victim()
				if got != want {
					t.Fatalf("seed %d: victim %d, reference %d", seed, got, want)
				}
			}
			if s.Len() != len(r.queue) {
				t.Fatalf("seed %d: len %d, reference %d", seed, s.Len(), len(r.queue))
			}
		}
	}
}
