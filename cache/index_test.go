package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgcache/cache/eviction"
)

// TestRemovalCostDoesNotGrow: whatever the number of entries, finding, replacing and
// removing one follows a chain of a few buckets, and nothing else is moved.
func TestRemovalCostDoesNotGrow(t *testing.T) {
	c := open(t, Config{L1BytesMax: 64 << 20})
	random := rand.New(rand.NewPCG(1, 1))
	const n = 50_000
	for i := range n {
		put(t, c, "n", fmt.Sprint(i), "v")
	}
	for range n / 2 { // holes, and slots used again
		key := fmt.Sprint(random.IntN(n))
		if random.IntN(2) == 0 {
			must(c.Invalidate(background, K("n", key)))
		} else {
			put(t, c, "n", key, "w")
		}
	}
	longest, slots, buckets, chained := 0, 0, 0, 0
	for _, s := range c.shards {
		s.mu.Lock()
		for b := range s.index.used {
			length := 0
			for x := s.index.buckets.At(b); x != nil; x = s.index.next(x) {
				length++
				for i := range x.refs {
					if x.refs[i] != 0 {
						slots++
					}
				}
			}
			longest, buckets, chained = max(longest, length), buckets+1, chained+length-1
		}
		if int(s.index.used)*bucketFill > s.index.count*4+bucketFill && s.index.count > 100 {
			t.Errorf("%d buckets for %d entries", s.index.used, s.index.count)
		}
		free := 0
		for number := s.index.free; number != 0; number = s.index.overflow.At(number).more {
			free++
		}
		if chained+free != int(s.index.given)-1 {
			t.Errorf("%d overflow buckets in use, %d free, of %d", chained, free, s.index.given-1)
		}
		chained = 0
		for number := uint32(1); number < s.given; number++ {
			if s.slot(number).ref() != 0 && s.lookup(s.hashOf(number)) != number {
				t.Fatalf("slot %d is not found", number)
			}
		}
		s.mu.Unlock()
	}
	if int64(slots) != c.Stats().L1Entries || longest > 4 {
		t.Errorf("%d entries in %d buckets, want %d; the longest chain has %d", slots, buckets, c.Stats().L1Entries, longest)
	}
}

// TestHistoryIsBounded: what is remembered of entries that left is bounded by those that
// are there, and counted against the budget.
func TestHistoryIsBounded(t *testing.T) {
	c := open(t, Config{L1BytesMax: 2 << 20, L1Policy: eviction.S3FIFOName})
	for i := range 100_000 {
		put(t, c, "n", fmt.Sprint(i), "v")
	}
	stats := c.Stats()
	history := int64(0)
	for _, s := range c.shards {
		s.mu.RLock()
		history += s.historyBytes
		s.mu.RUnlock()
	}
	if history == 0 || history > 8*stats.L1Entries {
		t.Errorf("%d bytes of history for %d entries", history, stats.L1Entries)
	}
	if stats.L1BytesInUse > c.config.L1BytesMax {
		t.Errorf("%d bytes in use with it, budget %d", stats.L1BytesInUse, c.config.L1BytesMax)
	}
}
