package cache

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// openBare is open without the checks at the end, for tests that crash the cache.
func openBare(t *testing.T, cfg Config) *Cache {
	t.Helper()
	cfg.L1BytesMax, cfg.WriteWait = 4<<20, patience
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// afterCrash is the cache as it comes up when all that was not synced is lost.
func afterCrash(t *testing.T, c *Cache, cfg Config) *Cache {
	t.Helper()
	cfg.Tier = c.config.Tier.(*memTier).crash(0)
	c.abandon()
	return open(t, cfg)
}

// A write whose outcome is unknown is tried again; that the tier has it already must not
// be taken for "the tier does not have it", or a delete would forget the tier.
func TestWriteThatSeemedToFailIsDeletedToo(t *testing.T) {
	tier := newMemTier()
	err := errors.New("timed out, but applied")
	tier.afterWrite.Store(&err)
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "k", "v")
	settle(t, c)
	if n := c.Stats().Entries; n != 1 {
		t.Errorf("%d entries", n)
	}
	must(c.Invalidate(background, K("n", "k")))
	wantAbsent(t, c, "n", "k")
}

// An update between the beginning of an invalidation and its sweep must not carry the
// invalidated value over to the other side.
func TestTouchDuringInvalidationDoesNotSaveTheValue(t *testing.T) {
	c := open(t, Config{})
	put(t, c, "n", "k", "v", tags("t"))
	gen := c.generationOf([]byte("n"))
	in, err := c.newInvalidation(gen, &fence{labels: labelsOf(gen.id, Tag, []string{"t"})})
	if err != nil {
		t.Fatal(err)
	}
	must(c.Update(background, K("n", "k"), UpdateOptions{}, func(old *Hit, d *Draft) (Verdict, error) {
		if old == nil {
			return Leave, nil
		}
		return Write, nil
	}))
	if err := in.run(background); err != nil {
		t.Fatal(err)
	}
	c.fences.lower(in.fence)
	c.background.Done()
	wantAbsent(t, c, "n", "k")
}

func TestDeleteOfExpiredEntryIsDurableForWhatItHid(t *testing.T) {
	clock := newFakeClock()
	cfg := Config{Tier: newMemTier(), Now: clock.Now}
	c := openBare(t, cfg)
	put(t, c, "n", "k", "v1")
	settle(t, c)
	cfg.Tier.Sync(background)
	put(t, c, "n", "k", "v2", func(d *Draft) { d.TTL = time.Second })
	settle(t, c) // committed, but not synced
	clock.advance(2 * time.Second)
	must(c.Invalidate(background, K("n", "k")))
	wantAbsent(t, afterCrash(t, c, cfg), "n", "k")
}

func TestDeleteAfterEvictionByTheTierIsDurable(t *testing.T) {
	for _, inL1 := range []bool{true, false} {
		cfg := Config{Tier: newMemTier()}
		c := openBare(t, cfg)
		put(t, c, "n", "k", "v1")
		settle(t, c)
		cfg.Tier.Sync(background)
		cfg.Tier.(*memTier).removeOldest() // not synced
		if !inL1 {
			evictAll(c)
		}
		must(c.Invalidate(background, K("n", "k")))
		wantAbsent(t, afterCrash(t, c, cfg), "n", "k")
	}
}

func TestInvalidationsAfterFailedFlushAreDurable(t *testing.T) {
	for what, invalidate := range map[string]func(c *Cache){
		"tag":    func(c *Cache) { must(c.InvalidateTags(background, []byte("n"), []string{"t"})) },
		"prefix": func(c *Cache) { must(c.InvalidatePrefix(background, []byte("n"), []byte("k"))) },
		"key":    func(c *Cache) { must(c.Invalidate(background, K("n", "k"))) },
		"none":   func(c *Cache) { must(0, c.Close(background)) },
	} {
		t.Run(what, func(t *testing.T) {
			tier := newMemTier()
			c := openBare(t, Config{Tier: tier})
			put(t, c, "n", "k", "v1", tags("t"))
			settle(t, c)
			tier.Sync(background)
			tier.fail.Store(true)
			if _, _, err := c.FlushNamespace(background, []byte("n")); !errors.Is(err, ErrTierIO) {
				t.Fatal(err)
			}
			tier.fail.Store(false)
			invalidate(c)
			wantAbsent(t, afterCrash(t, c, Config{Tier: tier}), "n", "k")
		})
	}
}

// Close overtakes a write between its read and its publication.
func TestWritersOvertakenByCloseAreRefused(t *testing.T) {
	for what, write := range map[string]func(c *Cache) error{
		"put":    func(c *Cache) error { d := NewDraft(nil); _, err := c.Put(background, K("n", "k"), &d); return err },
		"delete": func(c *Cache) error { _, err := c.Invalidate(background, K("n", "k")); return err },
	} {
		t.Run(what, func(t *testing.T) {
			tier := newMemTier()
			c := open(t, Config{Tier: tier})
			put(t, c, "n", "k", "v1")
			settle(t, c)
			evictAll(c)
			closeNow := func() { must(0, c.Close(background)) }
			tier.afterGet.Store(&closeNow)
			if err := write(c); !errors.Is(err, ErrClosed) {
				t.Fatal(err)
			}
		})
	}
}

func TestTouchCountsAsAccessForTheTier(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{Tier: newMemTier(), Now: clock.Now})
	put(t, c, "n", "k", "v", func(d *Draft) { d.IdleTTL = time.Hour })
	for range 5 {
		clock.advance(30 * time.Minute)
		wantValue(t, c, "n", "k", "v")
	}
	must(c.Update(background, K("n", "k"), UpdateOptions{}, func(_ *Hit, d *Draft) (Verdict, error) {
		d.Admission = AdmitNever
		return Write, nil
	}))
	settle(t, c)
	wantValue(t, c, "n", "k", "v")
}

func TestEmptyMetadataIsNotFree(t *testing.T) {
	c := open(t, Config{})
	d := NewDraft([]byte("v"))
	d.Metadata = make([]Pair, 70_000)
	if _, err := c.Put(background, K("n", "k"), &d); !errors.As(err, new(*LimitError)) {
		t.Fatal(err)
	}
}

// Deletes wait for a stalled tier like other writes do: their tombstones are bounded.
func TestTombstonesAreBounded(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier, DirtyBytesMax: 16 << 10, WriteWait: time.Millisecond})
	for i := range 500 {
		put(t, c, "n", fmt.Sprint(i), "v")
		settle(t, c) // none is kept from the tier
	}
	evictAll(c)
	tier.hold, tier.writing = make(chan struct{}), make(chan struct{}, 1000)
	ctx, cancel := context.WithCancel(background)
	cancel() // clients that do not wait
	for i := range 500 {
		if _, err := c.Invalidate(ctx, K("n", fmt.Sprint(i))); err == nil {
			t.Fatal("acknowledged without the tier")
		}
	}
	if dirty := c.dirty.Load(); dirty > 17<<10 {
		t.Errorf("%d bytes dirty, limit %d", dirty, 16<<10)
	}
	close(tier.hold)
	settle(t, c)
}
