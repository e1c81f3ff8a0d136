package cache

import (
	"math/rand/v2"
	"testing"
)

// TestLabelWalkFindsWhatIsThereAllTheTime walks over a label's slots while others come and
// go, and slots are taken out and put back.
func TestLabelWalkFindsWhatIsThereAllTheTime(t *testing.T) {
	const hash, stay, change = 7, 500, 500
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		x := newLabelIndex()
		chains := map[uint32]uint32{}
		put := func(slot uint32) { chains[slot] = x.add(slot, hash, 0) }
		take := func(slot uint32) { x.removeChain(chains[slot]); delete(chains, slot) }
		for slot := uint32(1); slot <= stay; slot++ {
			put(slot)
		}
		for _, looks := range []int{1, 3, 64, 10_000} {
			found := map[uint32]bool{}
			walk := labelWalk{hash: hash}
			for n := 0; x.visit(&walk, looks, func(slot uint32) { found[slot] = true }); n++ {
				if slot := stay + 1 + random.Uint32N(change); n < 5000 { // else it need not end
					if chains[slot] != 0 {
						take(slot)
					} else {
						put(slot)
					}
				}
				if slot := 1 + random.Uint32N(stay); n < 5000 {
					take(slot) // as if it were replaced
					put(slot)
				}
			}
			for slot := uint32(1); slot <= stay; slot++ {
				if !found[slot] {
					t.Fatalf("seed %d, %d at a time: slot %d not found", seed, looks, slot)
				}
			}
		}
		for slot := range chains {
			take(slot)
		}
		if len(x.heads) != 0 {
			t.Fatalf("seed %d: something is left: a bookmark", seed)
		}
		free := uint32(0)
		for n := x.free; n != 0; n = x.nodes.At(n).next {
			free++
		}
		if free != x.given-1 {
			t.Fatalf("seed %d: %d of %d nodes are free", seed, free, x.given-1)
		}
	}
}
