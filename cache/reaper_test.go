package cache

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"pgcache/cache/eviction"
	"pgcache/cache/wheel"
)

// sweepAll removes from L1 all that is dead by now.
func sweepAll(c *Cache) SweepResult {
	var r SweepResult
	c.sweepL1(background, SweepLimits{EntriesMax: 1 << 30, Duration: time.Hour}, &r)
	return r
}

// TestDeadEntriesLeaveMemoryPromptly gives entries lifetimes of all kinds and lengths and
// wants each gone from memory, unasked for, one tick after it died, and not before.
func TestDeadEntriesLeaveMemoryPromptly(t *testing.T) {
	for _, policy := range []string{eviction.SieveName, eviction.S3FIFOName} {
		t.Run(policy, func(t *testing.T) {
			clock := newFakeClock()
			c := open(t, Config{L1BytesMax: 32 << 20, Now: clock.Now, L1Policy: policy})
			random := rand.New(rand.NewPCG(1, 1))
			start := clock.Now()
			died := map[int]time.Duration{} // by key, since start
			const n = 20_000
			for i := range n {
				hard := time.Duration(1+random.Int64N(3_600_000)) * time.Millisecond
				idle := time.Duration(1+random.Int64N(3_600_000)) * time.Millisecond
				stale := time.Duration(random.Int64N(600_000)) * time.Millisecond
				switch i % 4 {
				case 0:
					put(t, c, "n", fmt.Sprint(i), "v", func(d *Draft) { d.TTL = hard })
					died[i] = hard
				case 1:
					put(t, c, "n", fmt.Sprint(i), "v", func(d *Draft) { d.TTL, d.StaleTTL = hard, stale })
					died[i] = hard + stale
				case 2:
					put(t, c, "n", fmt.Sprint(i), "v", func(d *Draft) { d.IdleTTL = idle })
					died[i] = idle
				default:
					put(t, c, "n", fmt.Sprint(i), "v")
				}
			}
			for len(died) > 0 {
				clock.advance(time.Duration(1+random.Int64N(60_000)) * time.Millisecond)
				sweepAll(c)
				now := clock.Now().Sub(start)
				want := int64(n / 4)
				early := want
				for i, at := range died {
					switch {
					case at > now:
						want, early = want+1, early+1
					case at+wheel.TickMs*time.Millisecond > now:
						early++ // may be there for the rest of the tick
					default:
						delete(died, i)
					}
				}
				if got := c.Stats().L1Entries; got < want || got > early {
					t.Fatalf("after %v: %d entries in memory, want %d to %d", now, got, want, early)
				}
			}
			if got := c.Stats().Expirations; got != n/4*3 {
				t.Errorf("%d expirations counted, want %d", got, n/4*3)
			}
		})
	}
}

// TestIdleEntriesThatAreUsedStay: reads do not touch the wheel; the sweep finds that the
// entry was used and comes back later.
func TestIdleEntriesThatAreUsedStay(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{Now: clock.Now})
	put(t, c, "n", "used", "v", func(d *Draft) { d.IdleTTL = 10 * time.Second })
	put(t, c, "n", "idle", "v", func(d *Draft) { d.IdleTTL = 10 * time.Second })
	for range 20 {
		clock.advance(5 * time.Second)
		var h Hit
		if ok, _ := c.Get(background, K("n", "used"), &h); !ok {
			t.Fatal("an entry in use expired")
		}
		h.Release()
		sweepAll(c)
	}
	if got := c.Stats().L1Entries; got != 1 {
		t.Fatalf("%d entries left, want the one in use", got)
	}
	clock.advance(10*time.Second + wheel.TickMs*time.Millisecond)
	sweepAll(c)
	if got := c.Stats().L1Entries; got != 0 {
		t.Fatal("an idle entry is left")
	}
}

// TestSweepIsBounded: a sweep looks at no more entries than it may, says so, and reports
// what it did by namespace.
func TestSweepIsBounded(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{L1BytesMax: 32 << 20, Now: clock.Now})
	const n = 3000
	for i := range n {
		put(t, c, fmt.Sprint("ns", i%3), fmt.Sprint(i), "v", func(d *Draft) { d.TTL = time.Second })
	}
	used := c.Stats().L1BytesInUse
	clock.advance(2 * time.Second)
	var total SweepResult
	for rounds := 0; ; rounds++ {
		r := SweepResult{}
		c.sweepL1(background, SweepLimits{EntriesMax: 500, Duration: time.Hour}, &r)
		if r.Scanned > 500 {
			t.Fatalf("%d entries looked at, 500 allowed", r.Scanned)
		}
		for ns, count := range r.ByNamespace {
			total.Add(ns, count)
		}
		if !r.Truncated {
			break
		}
		if rounds > n {
			t.Fatal("the sweep does not end")
		}
	}
	if c.Stats().L1Entries != 0 {
		t.Errorf("%d entries left", c.Stats().L1Entries)
	}
	// The reaper may have been faster with some.
	if len(total.ByNamespace) > 3 || total.Removed > n || total.Bytes > used {
		t.Errorf("removed %d of %d entries, %d of %d bytes, in %d namespaces", total.Removed, n, total.Bytes, used, len(total.ByNamespace))
	}
	ended, cancel := context.WithCancel(background)
	cancel()
	r := SweepResult{}
	if c.sweepL1(ended, SweepLimits{EntriesMax: 1, Duration: time.Hour}, &r); !r.Truncated {
		t.Error("a sweep whose context has ended says that it is complete")
	}
}
