package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"pgcache/cache/eviction"
)

// where tells which tiers hold a live key, without touching it.
func where(t *testing.T, c *Cache, key string) TierSet {
	t.Helper()
	var h Hit
	defer h.Release()
	ok, err := c.Peek(background, K("n", key), &h)
	if err != nil || !ok {
		t.Fatalf("peek %s: %v, %v", key, ok, err)
	}
	return h.Tiers()
}

func read(t *testing.T, c *Cache, key string) {
	t.Helper()
	var h Hit
	defer h.Release()
	if ok, err := c.Get(background, K("n", key), &h); !ok || err != nil {
		t.Fatalf("get %s: %v, %v", key, ok, err)
	}
}

func admission(a Admission) func(*Draft) { return func(d *Draft) { d.Admission = a } }

// TestLargeEntriesNeedHistory: with a tier below, an entry that would push out many others
// enters memory only after it was wanted, unless the writer decides.
func TestLargeEntriesNeedHistory(t *testing.T) {
	for _, policy := range []string{eviction.SieveName, eviction.S3FIFOName} {
		c := open(t, Config{L1BytesMax: 4 << 20, L1Policy: policy, Tier: newMemTier()})
		large := strings.Repeat("x", 4<<20/largeShare+1)
		put(t, c, "n", "small", "v")
		put(t, c, "n", "large", large)
		put(t, c, "n", "always", large, admission(AdmitAlways))
		put(t, c, "n", "never", "v", admission(AdmitNever))
		settle(t, c)
		for key, want := range map[string]TierSet{"small": InL1 | InL2, "large": InL2, "always": InL1 | InL2, "never": InL2} {
			if got := where(t, c, key); got != want {
				t.Errorf("%s: %s is in %s, want %s", policy, key, got, want)
			}
		}
		read(t, c, "large")
		if got := where(t, c, "large"); got != InL2 {
			t.Errorf("%s: read once, the large entry is in %s", policy, got)
		}
		put(t, c, "n", "large", large) // nobody wanted the one before more than once, but read it was
		settle(t, c)
		if got := where(t, c, "large"); got != InL1|InL2 {
			t.Errorf("%s: read and written again, the large entry is in %s", policy, got)
		}
		put(t, c, "n", "large", large)
		settle(t, c)
		if got := where(t, c, "large"); got != InL1|InL2 {
			t.Errorf("%s: an entry that was in memory left it by being written again", policy)
		}
		read(t, c, "never")
		read(t, c, "never")
		if got := where(t, c, "never"); got != InL2 {
			t.Errorf("%s: an entry that never may is in memory", policy)
		}
	}
}

// TestLargeEntryIsPromotedAtTheSecondRead: what is read again and again does not stay on
// disk only.
func TestLargeEntryIsPromotedAtTheSecondRead(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{L1BytesMax: 4 << 20, Tier: tier})
	put(t, c, "n", "large", strings.Repeat("x", 100_000))
	settle(t, c)
	for range 5 {
		read(t, c, "large")
	}
	if got := where(t, c, "large"); got != InL1|InL2 {
		t.Fatalf("the entry is in %s", got)
	}
	if n := tier.reads.Load(); n > 3 { // one of them by put, which looks what was there
		t.Errorf("%d reads from the tier", n)
	}
}

// TestMemoryOnlyTakesEverything: with no tier below, admission must not lose a write.
func TestMemoryOnlyTakesEverything(t *testing.T) {
	c := open(t, Config{L1BytesMax: 4 << 20})
	put(t, c, "n", "never", strings.Repeat("x", 4<<20/8), admission(AdmitNever))
	read(t, c, "never")
}

// TestPutIsReadableAtOnce: whatever its size, a put that succeeded is there at the next
// read, however full the cache is; it makes room among all others, not in its own shard,
// and never by leaving itself.
func TestPutIsReadableAtOnce(t *testing.T) {
	for _, policy := range []string{eviction.SieveName, eviction.S3FIFOName} {
		for _, size := range []int{8 << 10, 64 << 10, 4 << 20} {
			const l1Bytes = 32 << 20 // several shards, each smaller than the largest value times four
			c := open(t, Config{L1BytesMax: l1Bytes, L1Policy: policy})
			if len(c.shards) < 2 {
				t.Fatal("one shard only")
			}
			value := strings.Repeat("x", size)
			for i := range max(3*l1Bytes/size/2, 16) {
				put(t, c, "n", fmt.Sprint(i), value)
				read(t, c, fmt.Sprint(i))
			}
		}
	}
}

// TestLargestValueEvictsOnlyItsShare: the largest value allowed pushes out about as many
// bytes as it takes, spread over the shards.
func TestLargestValueEvictsOnlyItsShare(t *testing.T) {
	for _, policy := range []string{eviction.SieveName, eviction.S3FIFOName} {
		c := open(t, Config{L1BytesMax: 64 << 20, L1Policy: policy})
		random := rand.New(rand.NewPCG(1, 1))
		for i := 0; c.counters.evictions.Load() < 1000; i++ {
			put(t, c, "n", fmt.Sprint(i), strings.Repeat("v", 500+random.IntN(1000)))
		}
		before := make([]int64, len(c.shards))
		for i, s := range c.shards {
			before[i] = s.entries.Load()
		}
		largest := c.Limits().ValueBytesMax
		put(t, c, "n", "largest", strings.Repeat("x", int(largest)))
		read(t, c, "largest")
		for i, s := range c.shards {
			if left := s.entries.Load(); left < before[i]/2 {
				t.Errorf("%s: %d of %d entries are left in shard %d", policy, left, before[i], i)
			}
		}
		if used := c.Stats().L1BytesInUse; used < c.config.L1BytesMax-largest/4 {
			t.Errorf("%s: only %d of %d bytes are in use after one large put", policy, used, c.config.L1BytesMax)
		}
	}
}
