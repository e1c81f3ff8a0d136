package cache

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestPromotionNeverBringsBackWhatIsGone stops a reader between its read of the tier and
// the promotion, and lets something happen to the key in that moment.
func TestPromotionNeverBringsBackWhatIsGone(t *testing.T) {
	for name, happens := range map[string]struct {
		do   func(t *testing.T, c *Cache)
		want string // "" for absent
	}{
		"overwrite": {func(t *testing.T, c *Cache) { put(t, c, "n", "k", "new") }, "new"},
		"overwrite, flushed and evicted": {func(t *testing.T, c *Cache) {
			put(t, c, "n", "k", "new")
			settle(t, c)
			evictAll(c)
		}, "new"},
		"delete":     {func(t *testing.T, c *Cache) { must(c.Invalidate(background, K("n", "k"))) }, ""},
		"tag":        {func(t *testing.T, c *Cache) { must(c.InvalidateTags(background, []byte("n"), []string{"t"})) }, ""},
		"dependency": {func(t *testing.T, c *Cache) { must(c.InvalidateDependencies(background, nil, []string{"d"})) }, ""},
		"prefix":     {func(t *testing.T, c *Cache) { must(c.InvalidatePrefix(background, []byte("n"), []byte("k"))) }, ""},
		"flush": {func(t *testing.T, c *Cache) {
			if _, _, err := c.FlushNamespace(background, []byte("n")); err != nil {
				panic(err)
			}
		}, ""},
		"eviction by the tier": {func(t *testing.T, c *Cache) { c.config.Tier.(*memTier).removeOldest() }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			tier := newMemTier()
			c := open(t, Config{Tier: tier})
			put(t, c, "n", "k", "old", tags("t"), deps("d"))
			settle(t, c)
			evictAll(c)
			do := func() { happens.do(t, c) }
			tier.afterGet.Store(&do)
			get(t, c, "n", "k") // overlaps: either answer is right
			got, ok := get(t, c, "n", "k")
			if got != happens.want || ok != (happens.want != "") {
				t.Fatalf("afterwards: %q, %v; want %q", got, ok, happens.want)
			}
		})
	}
}

func must[T any](_ T, err error) {
	if err != nil {
		panic(err)
	}
}

func TestPutIsReadableAtOnceUnderPressure(t *testing.T) {
	for _, tier := range []Tier{nil, newMemTier()} {
		c := open(t, Config{L1BytesMax: 8 << 20, Tier: tier})
		for i := range 600 {
			value := string(make([]byte, 1<<(6+i%15)))
			put(t, c, "n", fmt.Sprint(i), value, func(d *Draft) { d.Admission = AdmitAlways })
			wantValue(t, c, "n", fmt.Sprint(i), value)
			if used := c.used.Load(); used > c.config.L1BytesMax {
				t.Fatalf("%d bytes in use", used)
			}
		}
		if c.Stats().Evictions == 0 {
			t.Error("no pressure: the test shows nothing")
		}
		if resident := c.pool.ResidentBytes(); resident > c.config.L1BytesMax*5/4+4<<20 {
			t.Errorf("%d bytes resident for a budget of %d", resident, c.config.L1BytesMax)
		}
	}
}

func TestBudgetHoldsUnderConcurrentWriters(t *testing.T) {
	c := open(t, Config{L1BytesMax: 2 << 20, Tier: newMemTier()})
	var wait sync.WaitGroup
	for client := range 4 {
		wait.Go(func() {
			for i := range 500 {
				put(t, c, "n", fmt.Sprint(client, i), string(make([]byte, 10+i*37%8000)), tags("t"))
				if used := c.used.Load(); used > c.config.L1BytesMax+4*10_000 {
					t.Errorf("%d bytes reserved", used) // four writers may have just claimed theirs
				}
				if i%100 == 99 {
					must(c.InvalidateTags(background, []byte("n"), []string{"t"}))
				}
			}
		})
	}
	wait.Wait()
}

func TestUpdatesOfOneKeyAreSerial(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, _ *fakeClock, between func()) {
		const clients, each = 4, 100
		var added atomic.Int64
		var wait sync.WaitGroup
		for range clients {
			wait.Go(func() {
				for i := range each {
					_, err := c.Update(background, K("n", "counter"), UpdateOptions{NeedValue: true}, func(old *Hit, d *Draft) (Verdict, error) {
						n := 0
						if old != nil {
							fmt.Sscan(string(old.Value()), &n)
						}
						d.KeepValue, d.Value = false, fmt.Append(nil, n+1)
						return Write, nil
					})
					if err != nil {
						t.Error(err)
					}
					result, err := c.Update(background, K("n", fmt.Sprint("add", i)), UpdateOptions{}, func(old *Hit, d *Draft) (Verdict, error) {
						if old != nil {
							return Leave, nil
						}
						return Write, nil
					})
					if err != nil {
						t.Error(err)
					}
					if result.Verdict == Write {
						added.Add(1)
					}
					if i%10 == 0 {
						evictAll(c)
					}
				}
			})
		}
		wait.Wait()
		if c.config.Tier == nil {
			// evictAll forgets for good there: the sums cannot be known.
			return
		}
		wantValue(t, c, "n", "counter", fmt.Sprint(clients*each))
		if added.Load() != each {
			t.Errorf("%d of %d keys added: two clients won the same key", added.Load(), each)
		}
	})
}

func TestHitKeepsItsBytes(t *testing.T) {
	c := open(t, Config{})
	put(t, c, "n", "k", "first")
	var h Hit
	must(c.Get(background, K("n", "k"), &h))
	put(t, c, "n", "k", "other")
	evictAll(c)
	for i := range 2000 {
		put(t, c, "n", fmt.Sprint("fill", i), string(make([]byte, 3000)))
	}
	if string(h.Value()) != "first" {
		t.Fatalf("pinned value became %q", h.Value())
	}
	h.Release()
	h.Release() // harmless
}

func TestFullWriteBufferRefusesPutsAndServesReads(t *testing.T) {
	tier := newMemTier()
	tier.hold = make(chan struct{})
	c := open(t, Config{Tier: tier, DirtyBytesMax: 64 << 10, WriteWait: time.Millisecond})
	var err error
	stored := 0
	for ; err == nil; stored++ {
		if stored > 1000 {
			t.Fatal("the write buffer has no bound")
		}
		d := NewDraft(make([]byte, 1000))
		_, err = c.Put(background, K("n", fmt.Sprint(stored)), &d)
	}
	if !errors.Is(err, ErrTierBusy) {
		t.Fatal(err)
	}
	stored--
	for i := range stored {
		wantValue(t, c, "n", fmt.Sprint(i), string(make([]byte, 1000)))
	}
	close(tier.hold)
	settle(t, c)
	put(t, c, "n", "after", "v")
}

// An overwrite that is kept from a slow tier must not let the older record show again.
func TestDroppedTierWriteHidesTheOlderRecord(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier, DirtyBytesMax: 64 << 10})
	for i := range 60 {
		put(t, c, "n", fmt.Sprint(i), "old")
	}
	settle(t, c)
	tier.hold, tier.writing = make(chan struct{}), make(chan struct{}, 100)
	put(t, c, "n", "first", "v")
	<-tier.writing // the flusher is held; all that follows waits
	for i := range 60 {
		put(t, c, "n", fmt.Sprint(i), "new"+string(make([]byte, 700)))
	}
	close(tier.hold)
	settle(t, c)
	if c.Stats().TierWritesDropped == 0 {
		t.Fatal("nothing was dropped: the test shows nothing")
	}
	evictAll(c)
	for i := range 60 {
		if got, ok := get(t, c, "n", fmt.Sprint(i)); ok && got[:3] == "old" {
			t.Fatalf("key %d: the overwritten value is back", i)
		}
	}
}

func TestFailingTierMakesDeletesFailAndKeysMiss(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "k", "v", tags("t"))
	put(t, c, "n", "l", "v", tags("u"))
	settle(t, c)
	tier.fail.Store(true)
	if _, err := c.Invalidate(background, K("n", "k")); !errors.Is(err, ErrTierIO) {
		t.Fatalf("delete: %v", err)
	}
	wantAbsent(t, c, "n", "k")
	if _, err := c.InvalidateTags(background, []byte("n"), []string{"u"}); !errors.Is(err, ErrTierIO) {
		t.Fatalf("tag: %v", err)
	}
	wantAbsent(t, c, "n", "l")
	evictAll(c)
	wantAbsent(t, c, "n", "l")
	tier.fail.Store(false)
	if n, err := c.InvalidateTags(background, []byte("n"), []string{"u"}); err != nil || n != 1 {
		t.Fatal(n, err) // it replaces the fence that the failure left up
	}
	settle(t, c)
	wantAbsent(t, c, "n", "k")
	wantAbsent(t, c, "n", "l")
}

func TestGetFromL1AllocatesNothing(t *testing.T) {
	c := open(t, Config{})
	put(t, c, "n", "k", "value", tags("t"), func(d *Draft) { d.TTL = time.Hour })
	k := K("n", "k")
	var h Hit
	if n := testing.AllocsPerRun(100, func() {
		if ok, err := c.Get(background, k, &h); !ok || err != nil {
			t.Fatal(ok, err)
		}
		h.Release()
	}); n != 0 {
		t.Errorf("a hit allocates %v times", n)
	}
}

func TestClosedCacheRefuses(t *testing.T) {
	c := open(t, Config{Tier: newMemTier()})
	put(t, c, "n", "k", "v")
	if err := c.Close(background); err != nil {
		t.Fatal(err)
	}
	d := NewDraft(nil)
	if _, err := c.Put(background, K("n", "k"), &d); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if _, err := c.InvalidateTags(background, []byte("n"), []string{"t"}); !errors.Is(err, ErrClosed) {
		t.Error(err)
	}
	if err := c.Close(background); err != nil {
		t.Error(err)
	}
}

// After a flush that the tier could not make durable, the namespace works on, and what is
// written then is durable again as soon as the tier is.
func TestFailedFlushIsMadeUpFor(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "k", "old")
	settle(t, c)
	tier.fail.Store(true)
	for range 2 {
		if _, _, err := c.FlushNamespace(background, []byte("n")); !errors.Is(err, ErrTierIO) {
			t.Fatal(err)
		}
	}
	wantAbsent(t, c, "n", "k")
	put(t, c, "n", "l", "new")
	tier.fail.Store(false)
	settle(t, c)
	if err := c.Close(background); err != nil {
		t.Fatal(err)
	}
	c = open(t, Config{Tier: tier.crash(0)})
	wantAbsent(t, c, "n", "k")
	wantValue(t, c, "n", "l", "new")
	if n := c.Stats().Entries; n != 1 {
		t.Fatalf("%d entries", n)
	}
}
