package cache

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgcache/cache/eviction"
)

// TestRemovalCostDoesNotGrow: whatever the number of entries, finding, replacing and
// removing one follows a chain of a few slots, and nothing else is moved.
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
	longest, slots := 0, 0
	for _, s := range c.shards {
		s.mu.Lock()
		for b := range s.index.used {
			length := 0
			for number := *s.index.buckets.At(b); number != 0; number = s.slot(number).next {
				length++
			}
			longest, slots = max(longest, length), slots+length
		}
		if int(s.index.used) > s.index.count*4+1 && s.index.count > 100 {
			t.Errorf("%d buckets for %d entries", s.index.used, s.index.count)
		}
		s.mu.Unlock()
	}
	if int64(slots) != c.Stats().L1Entries || longest > 16 {
		t.Errorf("%d slots in chains for %d entries, the longest chain has %d", slots, c.Stats().L1Entries, longest)
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
