package eviction_test

import (
	"fmt"
	"math"
	"testing"

	"pgcache/cache/eviction"
	"pgcache/cache/eviction/simulate"
)

// replayed are the hit ratios that the policies reached when they were last looked at with
// `make bench-traces`, in percent of the requests, with a cache of 10 percent of the unique
// bytes. What changes them by more than replayTolerance changes what users get: replay
// the recorded traces before changing the table.
var replayed = map[string]struct{ s3fifo, sieve, lru float64 }{
	"zipf 0.9":               {64.1, 63.6, 56.8},
	"zipf 0.9, sized":        {70.3, 62.8, 56.2},
	"popularity that drifts": {64.9, 63.3, 74.0},
	"zipf 1 with scans":      {63.6, 63.9, 60.1},
	"loop and zipf":          {34.9, 33.8, 22.8},
	"half asked for once":    {40.0, 39.2, 35.3},
}

const replayTolerance = 0.3

func TestReplayedHitRatios(t *testing.T) {
	traces := simulate.Generated()
	if len(traces) != len(replayed) {
		t.Errorf("%d traces, %d expectations", len(traces), len(replayed))
	}
	for _, trace := range traces {
		capacity := trace.UniqueBytes() / 10
		want := replayed[trace.Name]
		for name, c := range map[string]struct {
			cache simulate.Cache
			want  float64
		}{
			eviction.S3FIFOName: {simulate.NewPolicy(eviction.S3FIFOName, trace, capacity), want.s3fifo},
			eviction.SieveName:  {simulate.NewPolicy(eviction.SieveName, trace, capacity), want.sieve},
			"lru":               {simulate.NewLRU(trace, capacity), want.lru},
		} {
			if got := simulate.Replay(trace, c.cache).ObjectPct(); math.Abs(got-c.want) > replayTolerance {
				t.Errorf("%s, %s: %.2f %% hits, want %.1f", trace.Name, name, got, c.want)
			}
		}
	}
}

// An object larger than the cache pushes nothing out.
func TestObjectsLargerThanTheCacheArePassedBy(t *testing.T) {
	b := simulate.Builder[string]{}
	for i := range 100 {
		b.Add("large", 2000)
		b.Add(fmt.Sprint("small", i%5), 100)
	}
	for _, name := range []string{eviction.S3FIFOName, eviction.SieveName} {
		r := simulate.Replay(&b.Trace, simulate.NewPolicy(name, &b.Trace, 1000))
		if r.Hits != 95 || r.HitBytes != 9500 {
			t.Errorf("%s: %d hits of %d bytes, want the small ones to stay", name, r.Hits, r.HitBytes)
		}
	}
}
