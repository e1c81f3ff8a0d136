package cache

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

func TestSweepExpiredReportsPerNamespace(t *testing.T) {
	for name, tier := range map[string]*memTier{"memory": nil, "tier": newMemTier(), "both": newMemTier()} {
		t.Run(name, func(t *testing.T) {
			clock := newFakeClock()
			cfg := Config{Now: clock.Now}
			if tier != nil {
				cfg.Tier, tier.now = tier, func() int64 { return clock.Now().UnixMilli() }
			}
			c := open(t, cfg)
			for i := range 20 {
				put(t, c, []string{"a", "b"}[i%2], fmt.Sprint(i), "v", func(d *Draft) { d.TTL = time.Second })
				put(t, c, "a", fmt.Sprint("stays", i), "v")
			}
			if tier != nil {
				settle(t, c)
			}
			if name == "tier" {
				evictAll(c)
			}
			clock.advance(2 * time.Second)
			total := SweepCount{}
			byNamespace := map[string]SweepCount{}
			for isMore := true; isMore; {
				r, err := c.SweepExpired(background, SweepLimits{EntriesMax: 3, Duration: time.Minute})
				if err != nil || r.Scanned > 3 || r.Removed > r.Scanned {
					t.Fatalf("%+v, %v", r, err)
				}
				sum := SweepCount{}
				for ns, n := range r.ByNamespace {
					byNamespace[ns] = byNamespace[ns].plus(n)
					sum = sum.plus(n)
				}
				if sum != r.SweepCount {
					t.Errorf("%+v is not the sum of %+v", r.SweepCount, r.ByNamespace)
				}
				total, isMore = total.plus(sum), r.Truncated
			}
			if tier != nil && (total.Removed != 20 || total.Scanned != 20 || byNamespace["a"].Removed != 10 || byNamespace["b"].Removed != 10 || total.Bytes == 0) {
				t.Errorf("%+v", byNamespace)
			}
			if tier == nil && c.Stats().Expirations != 20 { // the background work may have had a part
				t.Errorf("%d expirations", c.Stats().Expirations)
			}
			if got := usageOf(c, "a").Entries + usageOf(c, "b").Entries; got != 20 {
				t.Errorf("%d entries left", got)
			}
		})
	}
	c := open(t, Config{})
	for _, limits := range []SweepLimits{{0, time.Second}, {1, 0}, {-1, time.Second}} {
		var argument *ArgumentError
		if _, err := c.SweepExpired(background, limits); !errors.As(err, &argument) {
			t.Errorf("%+v: %v", limits, err)
		}
	}
}
