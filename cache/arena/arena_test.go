package arena

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestRandomAllocationsKeepTheirBytes allocates, frees, pins and evacuates at random and
// compares every live chunk with what was written, and the counters with a recount.
func TestRandomAllocationsKeepTheirBytes(t *testing.T) {
	for _, source := range []Source{System(), Heap()} {
		for seed := range uint64(3) {
			random := rand.New(rand.NewPCG(seed, 2))
			pool := NewPool(1<<16, 4, source)
			a := New(pool)
			type held struct {
				want []byte
				ref  Ref
			}
			live := map[int]*held{}
			byRef := map[Ref]*held{}
			type pinned struct {
				data, want []byte
				chunk      *Chunk
				ref        Ref
			}
			var pins []pinned
			for i := range 2000 {
				switch op := random.IntN(10); {
				case op < 5:
					want := make([]byte, 1+random.IntN(1<<uint(2+random.IntN(12))))
					for j := range want {
						want[j] = byte(i + j)
					}
					ref, err := a.Alloc(len(want))
					if err != nil {
						t.Fatal(err)
					}
					copy(a.Data(ref), want)
					live[i] = &held{want, ref}
					byRef[ref] = live[i]
				case op < 8:
					for key, h := range live {
						delete(live, key)
						delete(byRef, h.ref)
						a.Drop(h.ref)
						break
					}
				case op < 9:
					for _, h := range live {
						pins = append(pins, pinned{a.Data(h.ref), h.want, a.Pin(h.ref), h.ref})
						break
					}
				default:
					for len(pins) > 0 && random.IntN(2) == 0 {
						p := pins[0]
						pins = pins[1:]
						if !bytes.Equal(p.data[:len(p.want)], p.want) {
							t.Fatalf("seed %d: pinned bytes changed", seed)
						}
						if p.chunk.Unpin() {
							a.Reclaim(p.ref)
						}
					}
				}
				owned := func(ref Ref) bool { return byRef[ref] != nil }
				for a.Wasted() && a.Evacuate(owned, func(old, moved Ref) {
					h := byRef[old]
					delete(byRef, old)
					h.ref = moved
					byRef[moved] = h
				}) {
				}
			}
			for _, h := range live {
				if !bytes.Equal(a.Data(h.ref)[:len(h.want)], h.want) {
					t.Fatalf("seed %d: bytes changed", seed)
				}
			}
			for _, p := range pins {
				if p.chunk.Unpin() {
					a.Reclaim(p.ref)
				}
			}
			var sum int64
			for _, h := range live {
				sum += int64(Size(len(h.want)))
			}
			if sum != a.LiveBytes() {
				t.Fatalf("seed %d: live %d, recount %d", seed, a.LiveBytes(), sum)
			}
			for _, h := range live {
				a.Drop(h.ref)
			}
			a.Close()
			pool.Close()
			if a.LiveBytes() != 0 || pool.ResidentBytes() != 0 {
				t.Fatalf("seed %d: %d live, %d resident at the end", seed, a.LiveBytes(), pool.ResidentBytes())
			}
		}
	}
}

// TestWasteStaysBounded replaces small chunks by large ones and back: memory must follow
// the live bytes, whatever sizes came before.
func TestWasteStaysBounded(t *testing.T) {
	pool := NewPool(1<<18, 2, System())
	a := New(pool)
	random := rand.New(rand.NewPCG(1, 3))
	const budget = 16 << 20
	owner := map[Ref]int{}
	var queue []Ref
	owned := func(ref Ref) bool { _, ok := owner[ref]; return ok }
	moved := func(old, place Ref) {
		i := owner[old]
		delete(owner, old)
		owner[place], queue[i] = i, place
	}
	for _, size := range []int{100, 5000, 64, 12000, 300} {
		for range 2 * budget / size {
			for a.LiveBytes()+int64(Size(size)) > budget {
				i := random.IntN(len(queue)) // worse than any real policy: no order at all
				ref := queue[i]
				last := len(queue) - 1
				queue[i] = queue[last]
				owner[queue[i]] = i
				queue = queue[:last]
				delete(owner, ref)
				a.Drop(ref)
			}
			ref, err := a.Alloc(size)
			if err != nil {
				t.Fatal(err)
			}
			owner[ref] = len(queue)
			queue = append(queue, ref)
			if a.Wasted() {
				a.Evacuate(owned, moved)
			}
		}
		if got := a.ResidentBytes(); got > budget+budget/4 {
			t.Fatalf("size %d: %d bytes resident for a budget of %d", size, got, budget)
		}
	}
}
