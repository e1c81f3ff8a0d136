package eviction

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

func newTestS3FIFO() *S3FIFO {
	return NewS3FIFO(func(slot uint32) uint32 { return slot * 7919 }, 1)
}

func entryFor(slot uint32, priority uint8, bytes int64) Entry {
	return Entry{Hash: slot * 7919, Bytes: bytes, Priority: priority}
}

func TestSizeCodesAreNear(t *testing.T) {
	previous := uint8(0)
	for n := int64(0); n < 3<<30; n += 1 + n/37 {
		code := encodeSize(n)
		if code < previous {
			t.Fatalf("%d bytes: code %d after %d", n, code, previous)
		}
		previous = code
		if got := decodeSize(code); math.Abs(float64(got-n)) > float64(n)/16 {
			t.Fatalf("%d bytes are kept as %d", n, got)
		}
	}
	if encodeSize(math.MaxInt64) != sizeCodes-1 {
		t.Error("a huge size has not the largest code")
	}
}

// The queues by themselves: what nobody asked for leaves first, in order of arrival; what
// was used once goes to the main queue.
func TestS3FIFOKeepsWhatIsUsed(t *testing.T) {
	s := newTestS3FIFO()
	for slot := uint32(1); slot <= 100; slot++ {
		s.Insert(slot, entryFor(slot, PriorityDefault, 100))
	}
	for slot := uint32(2); slot <= 100; slot += 2 {
		s.Access(slot)
	}
	for want := uint32(1); want <= 81; want += 2 {
		if got := s.Victim(); got != want {
			t.Fatalf("victim %d, want %d: it was never used and is the oldest of those", got, want)
		}
	}
}

// What comes back soon after it left was given up too early: it does not have to pass the
// small queue again.
func TestS3FIFORemembersWhatLeft(t *testing.T) {
	s := newTestS3FIFO()
	for slot := uint32(1); slot <= 64; slot++ {
		s.Insert(slot, entryFor(slot, PriorityDefault, 100))
	}
	first := s.Victim()
	if !s.Knows(first*7919) || s.Knows(99*7919) {
		t.Fatal("history is wrong")
	}
	s.Insert(first, entryFor(first, PriorityDefault, 100))
	if s.length[mainly] != 1 || s.Knows(first*7919) {
		t.Fatal("a returned entry is not in the main queue")
	}
	s.Remember(1000)
	if !s.Knows(1000) {
		t.Fatal("not remembered")
	}
	if s.HistoryBytes() == 0 || s.HistoryBytes() > 64*8*4 {
		t.Fatalf("history of %d bytes for 64 entries", s.HistoryBytes())
	}
}

// checkS3FIFO recomputes sums and links.
func checkS3FIFO(t *testing.T, s *S3FIFO, queuedSlots map[uint32]Entry) {
	t.Helper()
	var length [s3queues]int
	var bytes [s3queues]int64
	for slot := s.nodes.At(0).newer; slot != 0; slot = s.nodes.At(slot).newer {
		length[small]++
		bytes[small] += decodeSize(s3state(s.nodes.At(slot).state).size())
		if _, ok := queuedSlots[slot]; !ok {
			t.Fatalf("slot %d is queued and should not be", slot)
		}
	}
	for i := range s.length[mainly] {
		slot := *s.main.At(uint32(i))
		length[mainly]++
		bytes[mainly] += decodeSize(s3state(s.nodes.At(slot).state).size())
		if _, ok := queuedSlots[slot]; !ok || *s.nodes.At(slot).place() != uint32(i) {
			t.Fatalf("slot %d is not where it should be", slot)
		}
	}
	if length != s.length || bytes != s.bytes || s.Len() != len(queuedSlots) {
		t.Fatalf("%v slots of %v bytes counted, %v of %v found, want %d", s.length, s.bytes, length, bytes, len(queuedSlots))
	}
}

func TestS3FIFOAtRandom(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		s := newTestS3FIFO()
		in := map[uint32]Entry{}
		for range 3000 {
			slot := 1 + random.Uint32N(300)
			switch op := random.IntN(10); {
			case op < 4:
				if _, ok := in[slot]; !ok {
					in[slot] = entryFor(slot, uint8(random.Uint32()), random.Int64N(1<<random.IntN(31)))
					s.Insert(slot, in[slot])
				}
			case op < 7:
				s.Access(slot)
			case op < 8:
				s.Remove(slot)
				delete(in, slot)
			case op < 9:
				v := victim(s)
				if _, ok := in[v]; ok != (len(in) > 0) {
					t.Fatalf("seed %d: victim %d of %d", seed, v, len(in))
				}
				delete(in, v)
			default:
				checkS3FIFO(t, s, in)
			}
		}
		if n := len(drain(s)); n != len(in) {
			t.Fatalf("seed %d: %d slots came out, want %d", seed, n, len(in))
		}
	}
}

// TestPrioritiesCount fills both policies with equal traffic at three priorities and
// wants more of the higher ones to survive, in each.
func TestPrioritiesCount(t *testing.T) {
	for _, name := range []string{SieveName, S3FIFOName} {
		p := New(name, func(slot uint32) uint32 { return slot * 7919 }, 1)
		random := rand.New(rand.NewPCG(1, 1))
		priorities := []uint8{32, PriorityDefault, 240}
		of := func(slot uint32) uint8 { return priorities[slot%3] }
		const slots, kept = 30_000, 3000
		in := map[uint32]bool{}
		zipf := rand.NewZipf(random, 1.05, 8, slots-1)
		for range 200_000 {
			slot := uint32(zipf.Uint64()) + 1
			if in[slot] {
				p.Access(slot)
				continue
			}
			if p.Len() == kept {
				delete(in, victim(p))
			}
			p.Insert(slot, entryFor(slot, of(slot), 100))
			in[slot] = true
		}
		count := map[uint8]int{}
		for slot := range in {
			count[of(slot)]++
		}
		if !(count[32]*5 < count[PriorityDefault]*4 && count[PriorityDefault]*5 < count[240]*4) {
			t.Errorf("%s: entries kept by priority: %v", name, count)
		}
	}
}

// TestVictimCostDoesNotGrow counts slots passed over, not time: choosing a victim among
// many is no more work than among few.
func TestVictimCostDoesNotGrow(t *testing.T) {
	s := newTestS3FIFO()
	const n = 200_000
	for slot := uint32(1); slot <= n; slot++ {
		s.Insert(slot, entryFor(slot, uint8(slot), 100))
		s.Access(slot)
		s.Access(slot)
		s.Access(slot)
	}
	entered := s.clock
	moved := s.length[mainly]
	for range n / 2 {
		s.Victim()
	}
	// Each of the slots went to the main queue at most once.
	if s.clock != entered || moved > n {
		t.Fatal("slots were queued again and again")
	}
	if allocated := testing.AllocsPerRun(1000, func() { s.Access(s.Victim()) }); allocated > 0 {
		t.Fatalf("%v allocations a victim", allocated)
	}
}

func TestS3FIFOAccessOfUnqueuedSlotDoesNothing(t *testing.T) {
	s := newTestS3FIFO()
	s.Access(7)
	s.Insert(1, entryFor(1, PriorityDefault, 1))
	s.Remove(1)
	s.Access(1)
	if s.Len() != 0 || s.Victim() != 0 {
		t.Fatal("a slot came back")
	}
	s.Insert(1, entryFor(1, PriorityDefault, 1))
	if got := drain(s); !slices.Equal(got, []uint32{1}) {
		t.Fatal(got)
	}
}

// TestPolicyNames: every name makes its policy, and no other does.
func TestPolicyNames(t *testing.T) {
	for _, name := range []string{SieveName, S3FIFOName, Default} {
		if New(name, func(uint32) uint32 { return 0 }, 1) == nil {
			t.Errorf("no policy %q", name)
		}
	}
	if New("lru", nil, 1) != nil {
		t.Error("a policy that does not exist")
	}
}

// victim calls Victim until it has chosen.
func victim(p Policy) uint32 {
	for p.Len() > 0 {
		if slot := p.Victim(); slot != 0 {
			return slot
		}
	}
	return 0
}

// TestVictimPassesOverFewAtATime: entries that were all used are passed over in steps, and
// none is lost or chosen twice.
func TestVictimPassesOverFewAtATime(t *testing.T) {
	for _, name := range []string{SieveName, S3FIFOName} {
		p := New(name, func(slot uint32) uint32 { return slot * 7919 }, 1)
		const n = 10 * passesPerCall
		for slot := uint32(1); slot <= n; slot++ {
			p.Insert(slot, entryFor(slot, PriorityDefault, 100))
			p.Access(slot)
		}
		if v := p.Victim(); v != 0 {
			t.Errorf("%s: slot %d at once, though all were used", name, v)
		}
		left := map[uint32]bool{}
		for _, slot := range drain(p) {
			left[slot] = true
		}
		if len(left) != n {
			t.Errorf("%s: %d of %d slots evicted", name, len(left), n)
		}
	}
}

// TestSmallQueueLearnsItsShare: traffic whose entries come back a little after the small
// queue has let them go makes it longer, a loop that the main queue almost holds makes it
// shorter, and neither goes out of bounds.
func TestSmallQueueLearnsItsShare(t *testing.T) {
	const kept = 1000
	run := func(requests int, next func(i int) uint32) float64 {
		s := newTestS3FIFO()
		in := map[uint32]bool{}
		for i := range requests {
			slot := next(i)
			if in[slot] {
				s.Access(slot)
				continue
			}
			if s.Len() == kept {
				delete(in, victim(s))
			}
			s.Insert(slot, entryFor(slot, PriorityDefault, 100))
			in[slot] = true
		}
		return s.sharePct
	}
	again := run(40_000, func(i int) uint32 { // each key twice, 150 others in between
		if i%2 == 0 || i < 300 {
			return uint32(i/2) + 1
		}
		return uint32(i/2-150) + 1
	})
	loop := run(40_000, func(i int) uint32 { return uint32(i%(kept+kept/50)) + 1 })
	if again <= smallSharePct || again > smallSharePctMax || loop >= smallSharePct || loop < smallSharePctMin {
		t.Errorf("shares of %.1f and %.1f %%", again, loop)
	}
}
