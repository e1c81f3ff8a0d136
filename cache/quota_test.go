package cache

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

func setLimits(t testing.TB, c *Cache, ns string, limits NamespaceLimits) {
	t.Helper()
	existed, err := c.ChangeNamespace(background, []byte(ns), func(l *NamespaceLimits) error { *l = limits; return nil })
	if err != nil || !existed {
		t.Fatal(existed, err)
	}
}

func usageOf(c *Cache, ns string) NamespaceStats {
	for _, n := range c.Namespaces() {
		if n.Name == ns {
			return n
		}
	}
	return NamespaceStats{}
}

func TestNoisyNamespaceLeavesOthersTheirMemory(t *testing.T) {
	for _, policy := range []string{"sieve", "s3fifo"} {
		for name, tier := range map[string]Tier{"memory": nil, "tier": newMemTier()} {
			t.Run(policy+"/"+name, func(t *testing.T) {
				c := open(t, Config{L1BytesMax: 2 << 20, Tier: tier, L1Policy: policy})
				put(t, c, "quiet", "first", "x")
				setLimits(t, c, "quiet", NamespaceLimits{L1BytesMax: 600 << 10})
				for i := range 500 {
					put(t, c, "quiet", fmt.Sprint(i), string(make([]byte, 1000)))
				}
				if tier != nil {
					settle(t, c)
				}
				before := usageOf(c, "quiet").L1Bytes
				for i := range 10_000 {
					put(t, c, "noisy", fmt.Sprint(i), string(make([]byte, 1000)))
				}
				if after := usageOf(c, "quiet").L1Bytes; after != before || after < 500_000 {
					t.Errorf("within its quota, it went from %d bytes to %d", before, after)
				}
				if c.Stats().Evictions == 0 {
					t.Error("nothing was evicted: the test shows nothing")
				}
			})
		}
	}
}

func TestNamespaceStaysWithinItsMemory(t *testing.T) {
	for name, tier := range map[string]Tier{"memory": nil, "tier": newMemTier()} {
		t.Run(name, func(t *testing.T) {
			const quota = 200 << 10
			c := open(t, Config{L1BytesMax: 32 << 20, Tier: tier}) // several shards
			for i := range 3000 {
				put(t, c, "other", fmt.Sprint(i), string(make([]byte, 1000)))
			}
			put(t, c, "n", "first", "x")
			setLimits(t, c, "n", NamespaceLimits{L1BytesMax: quota})
			if tier != nil {
				settle(t, c)
			}
			others := usageOf(c, "other").Entries
			for i := range 2000 {
				put(t, c, "n", fmt.Sprint(i), string(make([]byte, 1000)))
				if tier != nil && i%50 == 0 {
					settle(t, c)
				}
				if tier == nil && usageOf(c, "n").L1Bytes > quota {
					t.Fatalf("%d bytes, quota %d", usageOf(c, "n").L1Bytes, quota)
				}
			}
			if tier != nil {
				settle(t, c)
			}
			got := usageOf(c, "n")
			if got.L1Bytes > quota || got.L1Bytes < quota/2 {
				t.Errorf("%d bytes, quota %d", got.L1Bytes, quota)
			}
			if usageOf(c, "other").Entries != others {
				t.Error("others had to give way")
			}
			if _, ok := get(t, c, "n", "1999"); !ok {
				t.Error("the newest entry is not there")
			}
			if tier == nil {
				return
			}
			for i := range 2000 { // promotions heed it as well
				wantValue(t, c, "n", fmt.Sprint(i), string(make([]byte, 1000)))
			}
			if got := usageOf(c, "n"); got.L1Bytes > quota || got.Entries != 2001 {
				t.Errorf("after promotions: %+v", got)
			}
		})
	}
}

func TestQuotaEvictsWhatWasNotReadForLongest(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{L1BytesMax: 4 << 20, Now: clock.Now})
	put(t, c, "n", "hot", "x")
	setLimits(t, c, "n", NamespaceLimits{L1BytesMax: 20 << 10})
	for i := range 500 {
		clock.advance(1e9)
		if _, ok := get(t, c, "n", "hot"); !ok {
			t.Fatalf("read every second, and evicted at %d", i)
		}
		put(t, c, "n", fmt.Sprint(i), string(make([]byte, 1000)))
	}
}

func TestEntryLargerThanItsQuotas(t *testing.T) {
	for name, x := range map[string]struct {
		tier   Tier
		limits NamespaceLimits
		fails  bool
		inL1   bool
	}{
		"memory":             {nil, NamespaceLimits{L1BytesMax: 5000}, true, false},
		"memory, only disk":  {nil, NamespaceLimits{L2BytesMax: 5000}, false, true},
		"tier, both":         {newMemTier(), NamespaceLimits{L1BytesMax: 5000, L2BytesMax: 5000}, true, false},
		"tier, memory only":  {newMemTier(), NamespaceLimits{L1BytesMax: 5000}, false, false},
		"tier, disk allowed": {newMemTier(), NamespaceLimits{L1BytesMax: 5000, L2BytesMax: 50_000}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			c := open(t, Config{Tier: x.tier})
			put(t, c, "n", "k", "old")
			setLimits(t, c, "n", x.limits)
			d := NewDraft(make([]byte, 10_000))
			_, err := c.Put(background, K("n", "k"), &d)
			var quota *QuotaError
			if errors.As(err, &quota) != x.fails {
				t.Fatal(err)
			}
			if x.fails {
				wantValue(t, c, "n", "k", "old") // nothing changed
				return
			}
			if x.tier != nil {
				settle(t, c)
			}
			var h Hit
			if ok, err := c.Peek(background, K("n", "k"), &h); !ok || err != nil || h.ValueLen() != 10_000 {
				t.Fatal(ok, err)
			}
			if in := h.Tiers()&InL1 != 0; in != x.inL1 {
				t.Errorf("in memory: %v", in)
			}
			h.Release()
		})
	}
}

func TestNamespaceLimitsSurviveRestart(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "k", "v")
	want := NamespaceLimits{L1BytesMax: 1 << 20, L2BytesMax: 2, ValueBytesMax: 3, DefaultTTLMs: 4}
	setLimits(t, c, "n", want)
	if err := c.Close(background); err != nil {
		t.Fatal(err)
	}
	c = open(t, Config{Tier: tier.crash(0)})
	if got := usageOf(c, "n").Limits; got != want {
		t.Errorf("after a restart %+v", got)
	}
	mustFlush(c)
	if got := usageOf(c, "n").Limits; got != want {
		t.Errorf("after a flush %+v", got)
	}
	tier = c.config.Tier.(*memTier)
	tier.fail.Store(true)
	_, err := c.ChangeNamespace(background, []byte("n"), func(l *NamespaceLimits) error { l.L1BytesMax = 5; return nil })
	tier.fail.Store(false)
	if !errors.Is(err, ErrTierIO) || usageOf(c, "n").Limits != want {
		t.Errorf("a change that failed: %v, %+v", err, usageOf(c, "n").Limits)
	}
}

func TestQuotasHoldUnderConcurrentWriters(t *testing.T) {
	const quota = 100 << 10
	c := open(t, Config{L1BytesMax: 2 << 20, Tier: newMemTier()})
	put(t, c, "n", "first", "x")
	setLimits(t, c, "n", NamespaceLimits{L1BytesMax: quota})
	var wait sync.WaitGroup
	for client := range 4 {
		random := rand.New(rand.NewPCG(1, uint64(client)))
		wait.Go(func() {
			for i := range 300 {
				put(t, c, []string{"n", "m"}[random.IntN(2)], fmt.Sprint(client, random.IntN(100)), string(make([]byte, random.IntN(8000))))
				if i%50 == 0 {
					setLimits(t, c, "n", NamespaceLimits{L1BytesMax: quota + int64(random.IntN(2))})
				}
			}
		})
	}
	wait.Wait()
	settle(t, c)
	if got := usageOf(c, "n").L1Bytes; got > quota+4*9000 {
		t.Errorf("%d bytes, quota %d", got, quota)
	}
}
