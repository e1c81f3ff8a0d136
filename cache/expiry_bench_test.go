package cache_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"pgcache/cache"
)

const (
	expiryEntries = 1_000_000
	// expirySpread is during how long they expire, one after the other.
	expirySpread = time.Minute
)

// BenchmarkExpiry is how long entries stay in memory, and on disk, after they died, asked
// for by nobody: a million of them, which die evenly spread over a while.
func BenchmarkExpiry(b *testing.B) {
	for name, fill := range map[string]time.Duration{"memory": 10 * time.Second, "disk": 90 * time.Second} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				c := openMany(b, name == "disk")
				begin := time.Now().Add(fill)
				dies := func(i int) time.Time { return begin.Add(time.Duration(i) * expirySpread / expiryEntries) }
				for i := range expiryEntries {
					d := cache.NewDraft(make([]byte, 100))
					d.ExpiresAt = dies(i)
					must(b)(0, put(c, many, i, &d))
				}
				if err := c.Settle(context.Background()); err != nil {
					b.Fatal(err)
				}
				if late := time.Since(begin); late > 0 {
					b.Fatalf("filling took %v too long", late)
				}
				reportLags(b, c, dies)
				must(b)(0, c.Close(context.Background()))
			}
		})
	}
}

// reportLags watches how many entries are left.
func reportLags(b *testing.B, c *cache.Cache, dies func(i int) time.Time) {
	left := map[string]func() int64{"memory": func() int64 { return c.Stats().L1Entries }}
	if c.HasTier() {
		left["disk"] = func() int64 { n, _ := c.EntriesOf(many); return n }
	}
	lags := map[string][]time.Duration{}
	for len(lags["memory"]) < expiryEntries || len(lags["disk"]) < expiryEntries && c.HasTier() {
		<-time.After(time.Millisecond)
		for tier, count := range left {
			// However many have gone, the next to go is one of the first so many that were to.
			for gone, now := expiryEntries-int(count()), time.Now(); len(lags[tier]) < gone; {
				lags[tier] = append(lags[tier], now.Sub(dies(len(lags[tier]))))
			}
		}
	}
	for tier, list := range lags {
		slices.Sort(list)
		ms := func(part int) float64 { return list[(len(list)-1)*part/100].Seconds() * 1000 }
		b.ReportMetric(ms(50), tier+"-p50-ms")
		b.ReportMetric(ms(99), tier+"-p99-ms")
		b.ReportMetric(ms(100), tier+"-max-ms")
	}
}
