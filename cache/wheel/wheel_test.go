package wheel

import (
	"math/rand/v2"
	"testing"
)

// TestEverySlotIsDueInTime schedules, reschedules and cancels at random, moves time in
// steps of all sizes with bounded looks, and wants every slot handed out once, never
// early, and by the end of the tick after it was due.
func TestEverySlotIsDueInTime(t *testing.T) {
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 1))
		nowMs := int64(1_700_000_000_000) + random.Int64N(1<<40)
		w := New(nowMs)
		due := map[uint32]int64{}
		for range 3000 {
			slot := 1 + random.Uint32N(500)
			switch op := random.IntN(10); {
			case op < 5:
				due[slot] = nowMs + random.Int64N(1<<random.IntN(36))
				w.Schedule(slot, due[slot])
			case op < 6:
				delete(due, slot)
				w.Cancel(slot)
			default:
				nowMs += random.Int64N(1 << random.IntN(26))
				advance(t, w, nowMs, due, random)
			}
			if w.Len() != len(due) {
				t.Fatalf("seed %d: %d scheduled, want %d", seed, w.Len(), len(due))
			}
		}
	}
}

func advance(t *testing.T, w *Wheel, nowMs int64, due map[uint32]int64, random *rand.Rand) {
	t.Helper()
	looks := 1 + random.IntN(100)
	for {
		looked := 0
		left := w.Advance(nowMs, looks, func(slot uint32) int64 {
			looked++
			at, ok := due[slot]
			if !ok {
				t.Fatalf("slot %d is not scheduled", slot)
			}
			if at > nowMs {
				return at // from a higher level
			}
			if random.IntN(8) == 0 { // used meanwhile: due later
				due[slot] = nowMs + 1 + random.Int64N(100_000)
				return due[slot]
			}
			delete(due, slot)
			return 0
		})
		if looked > looks {
			t.Fatalf("%d slots looked at, at most %d allowed", looked, looks)
		}
		if left > 0 {
			break
		}
	}
	for slot, at := range due {
		if at <= nowMs-TickMs {
			t.Fatalf("slot %d was due %d ms ago", slot, nowMs-at)
		}
	}
}

// TestLooksPerSlotAreFew: however far away its time, a slot is looked at once a level.
func TestLooksPerSlotAreFew(t *testing.T) {
	w := New(0)
	const n, dueMs = 1000, 30 * 24 * 3600 * 1000
	for slot := uint32(1); slot <= n; slot++ {
		w.Schedule(slot, dueMs+int64(slot))
	}
	looked := 0
	for nowMs := int64(0); w.Len() > 0; nowMs += 3600 * 1000 {
		for w.Advance(nowMs, 1<<20, func(slot uint32) int64 {
			looked++
			if nowMs >= dueMs+int64(slot) {
				return 0
			}
			return dueMs + int64(slot)
		}) == 0 {
		}
	}
	if looked > levels*n {
		t.Fatalf("%d looks for %d slots", looked, n)
	}
}

func TestScheduleAllocatesNothing(t *testing.T) {
	w := New(0)
	w.Schedule(100, 1)
	var nowMs int64
	if n := testing.AllocsPerRun(1000, func() {
		nowMs += 50
		w.Schedule(7, nowMs+300)
		w.Advance(nowMs, 100, func(uint32) int64 { return 0 })
		w.Cancel(7)
	}); n != 0 {
		t.Fatalf("%v allocations", n)
	}
}
