package cache

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"
)

// A namespace that holds nothing is forgotten after a while, by the tier too; what is
// configured, leased or used again is not. The cache's counters keep what it counted.
func TestEmptyNamespacesAreForgotten(t *testing.T) {
	clock := newFakeClock()
	tier := newMemTier()
	c := open(t, Config{Tier: tier, Now: clock.Now})
	for _, ns := range []string{"deleted", "flushed", "configured", "leased", "again", "expired", "full"} {
		put(t, c, ns, "k", "v", func(d *Draft) {
			if ns == "expired" {
				d.TTL = time.Second
			}
		})
	}
	holder := c.NewLeaseHolder()
	defer holder.Close()
	for _, ns := range []string{"deleted", "configured", "leased", "again"} {
		must(c.Invalidate(background, K(ns, "k")))
	}
	must(c.ChangeNamespace(background, []byte("configured"), func(l *NamespaceLimits) error { l.DefaultTTLMs = 1000; return nil }))
	var h Hit
	if state, _, err := c.GetOrLease(background, K("leased", "k"), LeaseOptions{Holder: holder, Lease: time.Hour}, &h); state != LeaseGranted || err != nil {
		t.Fatal(state, err)
	}
	if _, _, err := c.FlushNamespace(background, []byte("flushed")); err != nil {
		t.Fatal(err)
	}
	settle(t, c)
	names := func() string {
		list := []string{}
		for _, ns := range c.Namespaces() {
			list = append(list, ns.Name)
		}
		return fmt.Sprint(list)
	}
	look := func(after time.Duration) {
		clock.advance(after)
		tier.now = func() int64 { return clock.Now().UnixMilli() }
		must(c.SweepExpired(background, SweepLimits{EntriesMax: 10, Duration: time.Minute}))
		c.dropEmptyNamespaces(background)
	}
	stats := c.Stats()
	look(emptyNamespacesEvery)
	look(emptyNamespaceFor - 3*emptyNamespacesEvery) // the background may have looked before
	put(t, c, "again", "k", "w")
	settle(t, c)
	if got := names(); got != "[again configured deleted expired flushed full leased]" {
		t.Errorf("before the time: %s", got)
	}
	look(emptyNamespaceFor)
	if got := names(); got != "[again configured full leased]" {
		t.Errorf("after it: %s", got)
	}
	if n := len(tier.State().Namespaces); n != 4 {
		t.Errorf("the tier knows %d", n)
	}
	after := c.Stats()
	if after.Insertions != stats.Insertions+1 || after.Invalidations != stats.Invalidations || after.Hits != stats.Hits {
		t.Errorf("%+v\nbecame %+v", stats, after)
	}
	wantValue(t, c, "again", "k", "w")
	wantAbsent(t, c, "deleted", "k")
	put(t, c, "deleted", "k", "new")
	settle(t, c)
	evictAll(c)
	wantValue(t, c, "deleted", "k", "new")
}

// A namespace is forgotten while others write to it, flush it and configure it: what was
// acknowledged is there.
func TestForgettingNamespacesInUse(t *testing.T) {
	c := open(t, Config{Tier: newMemTier()})
	ctx, cancel := context.WithCancel(background)
	var dropper sync.WaitGroup
	dropper.Go(func() {
		for ctx.Err() == nil {
			c.dropEmptyNamespace(background)
		}
	})
	var writers sync.WaitGroup
	for w := range 2 {
		writers.Go(func() {
			key := fmt.Sprint(w)
			for i := range 300 {
				put(t, c, "n", key, fmt.Sprint(i))
				if got, ok := get(t, c, "n", key); !ok || got != fmt.Sprint(i) {
					t.Errorf("%q %v after a put of %d", got, ok, i)
				}
				if existed, err := c.Invalidate(background, K("n", key)); !existed || err != nil {
					t.Errorf("%v %v", existed, err)
				}
			}
		})
	}
	writers.Go(func() {
		for i := range 100 {
			if _, _, err := c.FlushNamespace(background, []byte("m")); err != nil {
				t.Error(err)
			}
			put(t, c, "m", "k", fmt.Sprint(i))
			if got, ok := get(t, c, "m", "k"); !ok || got != fmt.Sprint(i) {
				t.Errorf("%q %v after a put of %d", got, ok, i)
			}
		}
	})
	writers.Wait()
	cancel()
	dropper.Wait()
}
