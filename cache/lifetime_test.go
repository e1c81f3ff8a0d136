package cache

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"pgcache/cache/arena"
	"pgcache/cache/wheel"
)

// placements move the one entry of a cache to every place an entry can be.
var placements = map[string]func(t *testing.T, c *Cache) *Cache{
	"dirty": func(_ *testing.T, c *Cache) *Cache { return c },
	"both":  func(t *testing.T, c *Cache) *Cache { settle(t, c); return c },
	"l2":    func(t *testing.T, c *Cache) *Cache { settle(t, c); evictAll(c); return c },
	"restart": func(t *testing.T, c *Cache) *Cache {
		if err := c.Close(background); err != nil {
			t.Fatal(err)
		}
		cfg := c.config
		cfg.Tier, cfg.Clock = cfg.Tier.(*memTier).crash(0), nil
		return open(t, cfg)
	},
}

// stateOf is what a look that changes nothing finds.
func stateOf(t *testing.T, c *Cache, ns, key string) State {
	t.Helper()
	var h Hit
	defer h.Release()
	ok, err := c.Peek(background, K(ns, key), &h)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return Dead
	}
	return h.state
}

func TestLifetimesEndAtTheSameMomentEverywhere(t *testing.T) {
	const s = time.Second
	for name, x := range map[string]struct {
		draft     func(now time.Time) Draft
		stale, at time.Duration // when it becomes stale, and dead; stale 0: it does not
	}{
		"hard":                       {func(time.Time) Draft { return Draft{TTL: 10 * s} }, 0, 10 * s},
		"absolute":                   {func(now time.Time) Draft { return Draft{ExpiresAt: now.Add(10 * s)} }, 0, 10 * s},
		"absolute is earlier":        {func(now time.Time) Draft { return Draft{TTL: 20 * s, ExpiresAt: now.Add(10 * s)} }, 0, 10 * s},
		"hard is earlier":            {func(now time.Time) Draft { return Draft{TTL: 10 * s, ExpiresAt: now.Add(20 * s)} }, 0, 10 * s},
		"hard and stale window":      {func(time.Time) Draft { return Draft{TTL: 10 * s, StaleTTL: 5 * s} }, 10 * s, 15 * s},
		"idle":                       {func(time.Time) Draft { return Draft{IdleTTL: 10 * s} }, 0, 10 * s},
		"idle before hard":           {func(time.Time) Draft { return Draft{IdleTTL: 10 * s, TTL: 20 * s} }, 0, 10 * s},
		"hard before idle":           {func(time.Time) Draft { return Draft{IdleTTL: 20 * s, TTL: 10 * s} }, 0, 10 * s},
		"idle within a stale window": {func(time.Time) Draft { return Draft{IdleTTL: 12 * s, TTL: 10 * s, StaleTTL: 9 * s} }, 10 * s, 12 * s},
		"already over":               {func(now time.Time) Draft { return Draft{ExpiresAt: now.Add(-s)} }, 0, 0},
		"at the epoch":               {func(time.Time) Draft { return Draft{ExpiresAt: time.UnixMilli(0)} }, 0, 0},
	} {
		for where, move := range placements {
			t.Run(name+"/"+where, func(t *testing.T) {
				clock := newFakeClock()
				c := open(t, Config{Tier: newMemTier(), Now: clock.Now})
				d := x.draft(clock.Now())
				d.Value, d.Priority = []byte("v"), PriorityDefault
				if _, err := c.Put(background, K("n", "k"), &d); err != nil {
					t.Fatal(err)
				}
				c = move(t, c)
				now := time.Duration(0)
				expect := func(at time.Duration, want State) {
					t.Helper()
					clock.advance(at - now)
					now = at
					if got := stateOf(t, c, "n", "k"); got != want {
						t.Errorf("after %s: %d, want %d", at, got, want)
					}
				}
				if x.stale > 0 {
					expect(x.stale-time.Millisecond, Fresh)
					expect(x.stale, Stale)
					expect(x.at-time.Millisecond, Stale)
				} else if x.at > 0 {
					expect(x.at-time.Millisecond, Fresh)
				}
				expect(x.at, Dead)
				if existence, err := c.Exists(K("n", "k")); existence == Present || err != nil {
					t.Error("it exists")
				}
			})
		}
	}
}

// TestIdleTTLSlidesWhereverTheEntryIs: it is read in one place near its end, and moved to
// another.
func TestIdleTTLSlidesWhereverTheEntryIs(t *testing.T) {
	for from, before := range placements {
		for to, after := range placements {
			for _, admission := range []Admission{AdmitAuto, AdmitNever} {
				t.Run(fmt.Sprint(from, " to ", to, "/", admission), func(t *testing.T) {
					clock := newFakeClock()
					tier := newMemTier()
					tier.now = func() int64 { return clock.Now().UnixMilli() }
					c := open(t, Config{Tier: tier, Now: clock.Now})
					put(t, c, "n", "k", "v", func(d *Draft) { d.IdleTTL, d.Admission = 10*time.Second, admission })
					c = before(t, c)
					created := clock.Now()
					var accessed time.Time
					for range 3 {
						clock.advance(6 * time.Second)
						wantValue(t, c, "n", "k", "v")
						c = after(t, c)
						clock.advance(5 * time.Second) // beyond its end without the access
						must(c.SweepExpired(background, SweepLimits{EntriesMax: 10, Duration: time.Minute}))
						accessed = clock.Now()
						wantValue(t, c, "n", "k", "v")
						c = after(t, c)
					}
					clock.advance(10*time.Second - time.Millisecond)
					var h Hit
					if ok, err := c.Peek(background, K("n", "k"), &h); !ok || err != nil ||
						h.LastAccessMs() != accessed.UnixMilli() || h.Attrs().CreatedMs() != created.UnixMilli() {
						t.Errorf("before its end: %v %v, last access %d, want %d", ok, err, h.LastAccessMs(), accessed.UnixMilli())
					}
					h.Release()
					clock.advance(time.Millisecond)
					if stateOf(t, c, "n", "k") != Dead {
						t.Error("it does not end")
					}
					settle(t, c)
					must(c.SweepExpired(background, SweepLimits{EntriesMax: 10, Duration: time.Minute}))
					if n := c.Stats().Entries; n != 0 {
						t.Errorf("%d entries after the sweep", n)
					}
				})
			}
		}
	}
}

func TestShortIdleTTLSlides(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{Now: clock.Now})
	put(t, c, "n", "k", "v", func(d *Draft) { d.IdleTTL = 400 * time.Millisecond })
	for range 10 {
		clock.advance(300 * time.Millisecond)
		wantValue(t, c, "n", "k", "v")
	}
	clock.advance(400 * time.Millisecond)
	wantAbsent(t, c, "n", "k")
}

// TestCrashLosesLittleOfAnIdleTTL: while memory answers the reads, the tier is told from
// time to time, and not of each.
func TestCrashLosesLittleOfAnIdleTTL(t *testing.T) {
	for _, idle := range []time.Duration{3 * time.Second, 80 * time.Second, 24 * time.Hour} {
		t.Run(idle.String(), func(t *testing.T) {
			clock := newFakeClock()
			tier := newMemTier()
			c, err := Open(Config{Tier: tier, Now: clock.Now, memory: arena.Heap()})
			if err != nil {
				t.Fatal(err)
			}
			put(t, c, "n", "k", "v", func(d *Draft) { d.IdleTTL = idle })
			settle(t, c)
			lag := time.Duration(accessTellMs(idle.Milliseconds())) * time.Millisecond
			if lag > max(idle/8, time.Second) || lag > 5*time.Minute {
				t.Errorf("told every %s", lag)
			}
			const rounds = 20
			for range rounds * 10 {
				clock.advance(lag / 10)
				wantValue(t, c, "n", "k", "v")
				c.sweepL1(background, SweepLimits{EntriesMax: 10, Duration: time.Minute}, &SweepResult{})
			}
			if n := tier.accesses.Load(); n < rounds/2 || n > 2*rounds { // the wheel may come early
				t.Errorf("told %d times in %d times %s", n, rounds, lag)
			}
			survivor := tier.crash(1 << 30)
			c.abandon()
			c = open(t, Config{Tier: survivor, Now: clock.Now})
			var h Hit
			defer h.Release()
			ok, err := c.Peek(background, K("n", "k"), &h)
			if lost := clock.Now().UnixMilli() - h.LastAccessMs(); !ok || err != nil || lost > lag.Milliseconds()+lag.Milliseconds()/10+wheel.TickMs {
				t.Errorf("%v %v, %d ms are lost", ok, err, lost)
			}
		})
	}
}

// TestAccessesThatTheTierHasNoRoomFor are told when it has.
func TestAccessesThatTheTierHasNoRoomFor(t *testing.T) {
	clock := newFakeClock()
	tier := newMemTier()
	c := open(t, Config{Tier: tier, Now: clock.Now})
	put(t, c, "n", "k", "v", func(d *Draft) { d.IdleTTL = 10 * time.Second })
	settle(t, c)
	clock.advance(8 * time.Second)
	wantValue(t, c, "n", "k", "v")
	tier.fullOfAccesses.Store(true)
	c.sweepL1(background, SweepLimits{EntriesMax: 10, Duration: time.Minute}, &SweepResult{})
	if tier.accesses.Load() != 0 {
		t.Error("told")
	}
	c = placements["restart"](t, c)
	clock.advance(9 * time.Second)
	wantValue(t, c, "n", "k", "v")
}

// TestPromotionTakesTheLatestAccess: while an entry waits to be copied, it is read again.
func TestPromotionTakesTheLatestAccess(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{Tier: newMemTier(), Now: clock.Now})
	put(t, c, "n", "k", "v", func(d *Draft) { d.IdleTTL = 10 * time.Second })
	settle(t, c)
	evictAll(c)
	gen := c.generationOf([]byte("n"))
	var r Record
	if ok, err := c.config.Tier.Get(background, gen.id, []byte("k"), true, &r); !ok || err != nil {
		t.Fatal(ok, err)
	}
	job := promotionJob{gen: gen, r: &r, nowMs: clock.Now().UnixMilli()}
	clock.advance(5 * time.Second)
	c.noteTierAccess(&r, clock.Now().UnixMilli())
	if got := c.latestAccess(background, &job); got != clock.Now().UnixMilli() {
		t.Errorf("%d, want %d", got, clock.Now().UnixMilli())
	}
}

func TestJitterSpreadsEvenlyAndNeverLengthens(t *testing.T) {
	clock := newFakeClock()
	random := rand.New(rand.NewPCG(1, 2))
	c := open(t, Config{Now: clock.Now, Random: random.Uint64, L1BytesMax: 16 << 20})
	const ttl, pct, n = 100 * time.Second, 50, 10_000
	distinct, deciles := map[int64]bool{}, [10]int{}
	for i := range n {
		d := NewDraft([]byte("v"))
		d.TTL, d.JitterPct = ttl, pct
		var h Hit
		_, err := c.Update(background, K("n", fmt.Sprint(i)), UpdateOptions{Out: &h}, func(_ *Hit, out *Draft) (Verdict, error) { *out = d; return Write, nil })
		if err != nil {
			t.Fatal(err)
		}
		hard, _ := h.Attrs().HardMs()
		h.Release()
		left := hard - clock.Now().UnixMilli()
		if left > ttl.Milliseconds() || left < ttl.Milliseconds()*(100-pct)/100 {
			t.Fatalf("%d ms left of %s with jitter %d", left, ttl, pct)
		}
		distinct[left] = true
		deciles[min((ttl.Milliseconds()-left)*10/(ttl.Milliseconds()*pct/100), 9)]++
	}
	if len(distinct) < 8500 { // of 50,000 milliseconds 9,063 are to be expected
		t.Errorf("%d distinct lifetimes in %d", len(distinct), n)
	}
	for i, count := range deciles {
		if count < n/10*8/10 || count > n/10*12/10 {
			t.Errorf("decile %d has %d of %d", i, count, n)
		}
	}
}

func TestLooksThatAreNoAccessChangeNothing(t *testing.T) {
	for where, move := range placements {
		t.Run(where, func(t *testing.T) {
			clock := newFakeClock()
			c := open(t, Config{Tier: newMemTier(), Now: clock.Now})
			put(t, c, "n", "k", "v", func(d *Draft) { d.IdleTTL, d.TTL, d.StaleTTL = 20*time.Second, 10*time.Second, time.Minute })
			c = move(t, c)
			before := c.Stats()
			for range 15 { // into the stale window
				clock.advance(time.Second)
				stateOf(t, c, "n", "k")
				must(c.Exists(K("n", "k")))
				_, err := c.Update(background, K("n", "k"), UpdateOptions{}, func(*Hit, *Draft) (Verdict, error) { return Leave, nil })
				must(0, err)
			}
			after := c.Stats()
			if after.Hits != before.Hits || after.Misses != before.Misses || after.Entries != before.Entries || after.Promotions != before.Promotions {
				t.Errorf("%+v\nbecame %+v", before, after)
			}
			clock.advance(5*time.Second - time.Millisecond)
			if got := stateOf(t, c, "n", "k"); got != Stale {
				t.Errorf("before its idle TTL: %d", got)
			}
			clock.advance(time.Millisecond)
			if got := stateOf(t, c, "n", "k"); got != Dead {
				t.Errorf("after its idle TTL, with looks only: %d", got)
			}
		})
	}
}

// steppedClock has a wall clock that can be set, apart from the time that passes.
type steppedClock struct{ *fakeClock }

func (s steppedClock) clock(passed func() time.Duration) *Clock { return newClock(s.Now, passed) }

func TestStepsOfTheWallClockNeitherKillNorImmortalise(t *testing.T) {
	for name, step := range map[string]time.Duration{"forward": 24 * time.Hour, "back": -24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			wall := newFakeClock()
			var passed atomic.Int64
			c := open(t, Config{Tier: newMemTier(), Clock: newClock(wall.Now, func() time.Duration { return time.Duration(passed.Load()) })})
			pass := func(d time.Duration) { wall.advance(d); passed.Add(int64(d)) }
			put(t, c, "n", "before", "v", func(d *Draft) { d.TTL = time.Minute })
			put(t, c, "n", "idle", "v", func(d *Draft) { d.IdleTTL = time.Minute })
			pass(10 * time.Second)
			wall.advance(step)
			put(t, c, "n", "after", "v", func(d *Draft) { d.TTL = time.Minute })
			at := wall.Now().Add(time.Minute) // what a client that goes by the wall clock asks for
			put(t, c, "n", "absolute", "v", func(d *Draft) { d.ExpiresAt = at })
			pass(50*time.Second - time.Millisecond)
			for _, key := range []string{"before", "idle", "after", "absolute"} {
				if got := stateOf(t, c, "n", key); got != Fresh {
					t.Errorf("%s was killed", key)
				}
			}
			pass(time.Millisecond)
			if stateOf(t, c, "n", "before") != Dead || stateOf(t, c, "n", "idle") != Dead {
				t.Error("what was written before the step outlives its lifetime")
			}
			pass(10*time.Second - time.Millisecond)
			if stateOf(t, c, "n", "after") != Fresh || stateOf(t, c, "n", "absolute") != Fresh {
				t.Error("what was written after the step was killed")
			}
			pass(time.Millisecond)
			if stateOf(t, c, "n", "after") != Dead || stateOf(t, c, "n", "absolute") != Dead {
				t.Error("what was written after the step outlives its lifetime")
			}
		})
	}
}

// TestWallClockSetBackWhileStopped: time goes on where it was. Set forward, it cannot be
// told from a long stop.
func TestWallClockSetBackWhileStopped(t *testing.T) {
	for name, x := range map[string]struct {
		step time.Duration
		want State
	}{"back": {-24 * time.Hour, Fresh}, "forward": {24 * time.Hour, Dead}} {
		t.Run(name, func(t *testing.T) {
			wall := newFakeClock()
			tier := newMemTier()
			c := open(t, Config{Tier: tier, Now: wall.Now})
			put(t, c, "n", "k", "v", func(d *Draft) { d.TTL = time.Minute })
			wall.advance(20 * time.Second)
			if err := c.Close(background); err != nil {
				t.Fatal(err)
			}
			tier = tier.crash(0)
			tier.live.lastMs = wall.Now().UnixMilli() // as of the close
			wall.advance(x.step)
			c = open(t, Config{Tier: tier, Now: wall.Now})
			wall.advance(40*time.Second - time.Millisecond)
			if got := stateOf(t, c, "n", "k"); got != x.want {
				t.Errorf("before its end: %d, want %d", got, x.want)
			}
			wall.advance(time.Millisecond)
			if got := stateOf(t, c, "n", "k"); got != Dead {
				t.Errorf("at its end: %d", got)
			}
		})
	}
}
