package cache

import (
	"errors"
	"testing"
	"time"
)

// TestVersionsOnlyGrow offers versions to an entry that holds 5, wherever it is held.
func TestVersionsOnlyGrow(t *testing.T) {
	version := func(v int64) func(*Draft) { return func(d *Draft) { d.HasVersion, d.Version = true, v } }
	live := func(d *Draft) { d.TTL, d.StaleTTL = time.Minute, time.Minute }
	for where, move := range placements {
		for name, x := range map[string]struct {
			after       time.Duration
			value       string
			change      []func(*Draft)
			fails       bool
			wantVersion int64 // 0: none
		}{
			"greater":                     {0, "new", []func(*Draft){version(6)}, false, 6},
			"smaller":                     {0, "new", []func(*Draft){version(4)}, true, 5},
			"smaller, same value":         {0, "old", []func(*Draft){version(4)}, true, 5},
			"equal, same value":           {0, "old", []func(*Draft){version(5), live}, false, 5},
			"equal, other value":          {0, "new", []func(*Draft){version(5)}, true, 5},
			"none":                        {0, "new", nil, false, 5},
			"stale: smaller":              {90 * time.Second, "new", []func(*Draft){version(4)}, true, 5},
			"stale: equal, same value":    {90 * time.Second, "old", []func(*Draft){version(5), live}, false, 5},
			"expired: smaller":            {2 * time.Minute, "new", []func(*Draft){version(1)}, false, 1},
			"expired: equal, other value": {2 * time.Minute, "new", []func(*Draft){version(5)}, false, 5},
			"expired: none":               {2 * time.Minute, "new", nil, false, 0},
		} {
			t.Run(where+"/"+name, func(t *testing.T) {
				clock := newFakeClock()
				c := open(t, Config{Tier: newMemTier(), Now: clock.Now})
				put(t, c, "n", "k", "old", version(5), live)
				c = move(t, c)
				clock.advance(x.after)
				d := NewDraft([]byte(x.value))
				for _, f := range x.change {
					f(&d)
				}
				_, err := c.Put(background, K("n", "k"), &d)
				var mismatch *VersionError
				if errors.As(err, &mismatch) != x.fails || err != nil && !x.fails {
					t.Fatal(err)
				}
				if x.fails && (mismatch.Stored != 5 || mismatch.Offered != d.Version || c.Stats().VersionMismatches != 1) {
					t.Errorf("%v", err)
				}
				want := x.value
				if x.fails {
					want = "old"
				}
				wantValue(t, c, "n", "k", want)
				var h Hit
				if ok, err := c.Peek(background, K("n", "k"), &h); !ok || err != nil {
					t.Fatal(ok, err)
				}
				defer h.Release()
				if got, has := h.Attrs().Version(); got != x.wantVersion || has != (x.wantVersion != 0) {
					t.Errorf("version %d, %v; want %d", got, has, x.wantVersion)
				}
				if x.change != nil && !x.fails && len(x.change) == 2 {
					if hard, _ := h.Attrs().HardMs(); hard != clock.Now().Add(time.Minute).UnixMilli() {
						t.Error("the lifetime was not refreshed")
					}
				}
			})
		}
	}
}

func TestDeletedEntryForgetsItsVersion(t *testing.T) {
	for _, tier := range []Tier{nil, newMemTier()} {
		c := open(t, Config{Tier: tier})
		put(t, c, "n", "k", "v", func(d *Draft) { d.HasVersion, d.Version = true, 9 })
		must(c.Invalidate(background, K("n", "k")))
		put(t, c, "n", "k", "w", func(d *Draft) { d.HasVersion, d.Version = true, 1 })
		wantValue(t, c, "n", "k", "w")
	}
}
