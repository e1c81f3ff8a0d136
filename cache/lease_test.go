package cache

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgcache/cache/arena"
)

// reader is a client that asks for leases.
type reader struct {
	t      *testing.T
	c      *Cache
	holder *LeaseHolder
}

func newReader(t *testing.T, c *Cache) *reader { return &reader{t, c, c.NewLeaseHolder()} }

func (r *reader) get(key string, lease, wait time.Duration) (LeaseState, int64, string) {
	r.t.Helper()
	var h Hit
	state, id, err := r.c.GetOrLease(background, K("n", key), LeaseOptions{Holder: r.holder, Lease: lease, Wait: wait}, &h)
	if err != nil {
		r.t.Fatal(err)
	}
	defer h.Release()
	return state, id, string(h.Value())
}

func (r *reader) want(want LeaseState, key string) int64 {
	r.t.Helper()
	state, id, _ := r.get(key, time.Minute, 0)
	if state != want {
		r.t.Fatalf("%s: %s, want %s", key, state, want)
	}
	return id
}

func fill(c *Cache, key, value string, id int64, change ...func(*Draft)) error {
	d := NewDraft([]byte(value))
	d.Lease = id
	for _, f := range change {
		f(&d)
	}
	_, err := c.Put(background, K("n", key), &d)
	return err
}

func isLeaseError(err error) bool {
	var e *LeaseError
	return errors.As(err, &e)
}

func TestManyMissesLeadToOneFill(t *testing.T) {
	for name, tier := range map[string]Tier{"memory": nil, "tier": newMemTier()} {
		t.Run(name, func(t *testing.T) {
			c := open(t, Config{Tier: tier})
			var fills, served atomic.Int64
			var wait sync.WaitGroup
			for range 1000 {
				wait.Go(func() {
					r := newReader(t, c)
					defer r.holder.Close()
					state, id, value := r.get("k", time.Minute, LeaseWaitMax)
					switch {
					case state == LeaseGranted:
						fills.Add(1)
						if err := fill(c, "k", "filled", id); err != nil {
							t.Error(err)
						}
					case state == LeaseHit && value == "filled":
						served.Add(1)
					default:
						t.Errorf("%s %q", state, value)
					}
				})
			}
			wait.Wait()
			if fills.Load() != 1 || served.Load() != 999 {
				t.Errorf("%d fills, %d served", fills.Load(), served.Load())
			}
			if s := c.Stats(); s.LeasesGranted != 1 || s.Insertions != 1 || s.LeasesInUse != 0 || s.Hits != 999 || s.Misses != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestLeaseFencesLateFills(t *testing.T) {
	type overtaking func(t *testing.T, c *Cache)
	invalidate := map[string]overtaking{
		"tag":        func(t *testing.T, c *Cache) { must(c.InvalidateTags(background, []byte("n"), []string{"t"})) },
		"dependency": func(t *testing.T, c *Cache) { must(c.InvalidateDependencies(background, []byte("n"), []string{"d"})) },
		"dependency everywhere": func(t *testing.T, c *Cache) {
			must(c.InvalidateDependencies(background, nil, []string{"d"}))
		},
		"prefix":    func(t *testing.T, c *Cache) { must(c.InvalidatePrefix(background, []byte("n"), []byte("k"))) },
		"key":       func(t *testing.T, c *Cache) { must(c.Invalidate(background, K("n", "key"))) },
		"write":     func(t *testing.T, c *Cache) { put(t, c, "n", "key", "other") },
		"release":   func(t *testing.T, c *Cache) { /* below */ },
		"namespace": func(t *testing.T, c *Cache) { mustFlush(c) },
	}
	for name, overtake := range invalidate {
		for _, where := range []string{"absent", "l1", "l2", "both"} {
			t.Run(name+"/"+where, func(t *testing.T) {
				clock := newFakeClock()
				c := open(t, Config{Tier: newMemTier(), Now: clock.Now})
				if where != "absent" { // a stale entry, with other labels than the fill will have
					put(t, c, "n", "key", "stale", func(d *Draft) { d.TTL, d.StaleTTL = time.Second, time.Hour })
					if where != "l1" {
						settle(t, c)
					}
					if where == "l2" {
						evictAll(c)
					}
					clock.advance(2 * time.Second)
				}
				r := newReader(t, c)
				id := r.want(LeaseGranted, "key")
				overtake(t, c)
				if name == "release" && !c.ReleaseLease(K("n", "key"), id) {
					t.Error("not released")
				}
				before, hadBefore := get(t, c, "n", "key")
				if err := fill(c, "key", "late", id, tags("t"), deps("d")); !isLeaseError(err) {
					t.Fatalf("late fill: %v", err)
				}
				if after, has := get(t, c, "n", "key"); after != before || has != hadBefore {
					t.Errorf("a refused fill changed %q to %q", before, after)
				}
				if c.Stats().LeasesRejected != 1 {
					t.Error("not counted")
				}
				if name != "write" { // which left a fresh entry
					if err := fill(c, "key", "new", r.want(LeaseGranted, "key"), tags("t"), deps("d")); err != nil {
						t.Errorf("a fill begun after it: %v", err)
					}
					wantValue(t, c, "n", "key", "new")
				}
			})
		}
	}
}

func mustFlush(c *Cache) {
	if _, _, err := c.FlushNamespace(background, []byte("n")); err != nil {
		panic(err)
	}
}

func TestLeaseOutlivesWhatDoesNotConcernIt(t *testing.T) {
	c := open(t, Config{Tier: newMemTier()})
	put(t, c, "n", "other", "x", tags("t"))
	id := newReader(t, c).want(LeaseGranted, "key")
	must(c.InvalidateTags(background, []byte("n"), []string{"t"}))
	must(c.InvalidatePrefix(background, []byte("n"), []byte("o")))
	must(c.Invalidate(background, K("n", "other")))
	put(t, c, "n", "other", "x")
	if err := fill(c, "key", "v", id, tags("u")); err != nil {
		t.Fatal(err)
	}
	if err := fill(c, "key", "v2", id, tags("u")); !isLeaseError(err) {
		t.Errorf("a lease is answered once: %v", err)
	}
}

// TestLeaseAgainstInvalidationInFlight: the invalidation is called, and has not removed
// anything yet, when the late fill arrives.
func TestLeaseAgainstInvalidationInFlight(t *testing.T) {
	c := open(t, Config{Tier: newMemTier()})
	id := newReader(t, c).want(LeaseGranted, "key")
	gen := c.generationOf([]byte("n"))
	f := &fence{labels: labelsOf(gen.id, Tag, []string{"t"})}
	in, err := c.newInvalidation(gen, f)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(c, "key", "late", id, tags("t")); !isLeaseError(err) {
		t.Errorf("late fill: %v", err)
	}
	if err := in.run(background); err != nil {
		t.Error(err)
	}
	c.fences.lower(f)
	c.background.Done()
	if got, ok := get(t, c, "n", "key"); ok {
		t.Errorf("served %q", got)
	}
}

func TestOneFillerAtATimeAndTheOthers(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{Now: clock.Now})
	one, two := newReader(t, c), newReader(t, c)
	one.want(LeaseGranted, "k")
	two.want(LeaseBusy, "k")
	if state, _, _ := two.get("k", 0, 0); state != LeaseBusy {
		t.Errorf("without asking for a lease: %s", state)
	}
	if state, _, _ := two.get("none", 0, 0); state != LeaseMiss {
		t.Errorf("nobody fills it: %s", state)
	}
	one.holder.Close() // the client vanished
	id := two.want(LeaseGranted, "k")
	if err := fill(c, "k", "v", id, func(d *Draft) { d.TTL, d.StaleTTL = time.Second, time.Hour }); err != nil {
		t.Fatal(err)
	}
	clock.advance(2 * time.Second)
	three := newReader(t, c)
	if state, _, value := three.get("k", time.Minute, 0); state != LeaseGranted || value != "v" {
		t.Errorf("first to find it stale: %s %q", state, value)
	}
	if state, _, value := two.get("k", time.Minute, time.Minute); state != LeaseStale || value != "v" {
		t.Errorf("second to find it stale: %s %q", state, value)
	}
	clock.advance(time.Minute) // the lease expires
	two.want(LeaseGranted, "k")
	if state, _, _ := one.get("other", time.Minute, 0); state != LeaseMiss {
		t.Errorf("a closed holder got %s", state)
	}
}

func TestLeaseWaitEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := open(t, Config{})
		defer c.Close(background)
		one, two := newReader(t, c), newReader(t, c)
		state, id, _ := one.get("k", 10*time.Second, 0)
		if state != LeaseGranted {
			t.Fatal(state)
		}
		start := time.Now()
		if state, _, _ := two.get("k", time.Second, 3*time.Second); state != LeaseBusy || time.Since(start) != 3*time.Second {
			t.Errorf("%s after %s", state, time.Since(start))
		}
		// It waits no longer than the other's lease lasts, and then gets its own.
		if state, _, _ := two.get("k", 10*time.Second, time.Minute); state != LeaseGranted || time.Since(start) != 10*time.Second {
			t.Errorf("%s after %s", state, time.Since(start))
		}
		if err := fill(c, "k", "late", id); !isLeaseError(err) {
			t.Errorf("expired: %v", err)
		}
		ctx, cancel := context.WithTimeout(background, time.Second)
		defer cancel()
		var h Hit
		_, _, err := c.GetOrLease(ctx, K("n", "k"), LeaseOptions{Wait: time.Minute}, &h)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("canceled wait: %v", err)
		}
	})
}

func TestLeasesAreBounded(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{LeasesMax: 3, Now: clock.Now})
	r := newReader(t, c)
	for _, key := range []string{"a", "b", "c"} {
		r.want(LeaseGranted, key)
	}
	r.want(LeaseMiss, "d")
	if s := c.Stats(); s.LeasesExhausted != 1 || s.LeasesInUse != 3 {
		t.Errorf("%+v", s)
	}
	clock.advance(time.Hour)
	r.want(LeaseGranted, "d") // expired ones make room
	mustFlush(c)
	c.tidyLeases()
	if s := c.Stats(); s.LeasesInUse != 0 {
		t.Errorf("%d leases of a flushed namespace left", s.LeasesInUse)
	}
	// More invalidations than are remembered: the leases from before are refused.
	id := r.want(LeaseGranted, "a")
	for range leasePrefixesMax + 1 {
		must(c.InvalidatePrefix(background, []byte("n"), []byte("z")))
	}
	if err := fill(c, "a", "v", id); !isLeaseError(err) {
		t.Errorf("beyond what is remembered: %v", err)
	}
	if err := fill(c, "b", "v", r.want(LeaseGranted, "b")); err != nil {
		t.Error(err)
	}
}

func TestLeaseIsUnknownAfterRestart(t *testing.T) {
	for _, kind := range []string{"stop", "kill"} {
		tier := newMemTier()
		c, err := Open(Config{Tier: tier, memory: arena.Heap()})
		if err != nil {
			t.Fatal(err)
		}
		put(t, c, "n", "other", "x")
		id := newReader(t, c).want(LeaseGranted, "k")
		if kind == "stop" {
			if err := c.Close(background); err != nil {
				t.Fatal(err)
			}
			tier = tier.crash(1 << 30)
		} else {
			settle(t, c)
			survivor := tier.crash(0)
			tier.fail.Store(true)
			c.abandon()
			tier = survivor
		}
		again := open(t, Config{Tier: tier})
		if err := fill(again, "k", "late", id); !isLeaseError(err) {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestDeletingAnAbsentKeyEndsItsLease(t *testing.T) {
	for _, tier := range []Tier{nil, newMemTier()} {
		c := open(t, Config{Tier: tier})
		id := newReader(t, c).want(LeaseGranted, "k")
		must(c.Invalidate(background, K("n", "k")))
		if err := fill(c, "k", "late", id); !isLeaseError(err) {
			t.Errorf("late fill: %v", err)
		}
	}
}
