package cache

import (
	"encoding/binary"
	"runtime"
	"testing"
	"time"

	"pgcache/cache/eviction"
)

// entryOverheadBytesMax is what an entry may cost in memory beyond key and value, all of
// it counted: chunk, header, attributes, slot, index, eviction, rounding.
const entryOverheadBytesMax = 102

// footprint fills a cache with n entries and returns the bytes an entry takes: as the cache
// accounts for them, and as memory outside and inside the Go heap that came into use.
func footprint(t *testing.T, policy string, n, valueBytes int, ttl time.Duration) (accounted, real float64) {
	t.Helper()
	var before, after runtime.MemStats
	c, err := Open(Config{L1BytesMax: 1 << 30, L1Policy: policy})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(background)
	runtime.GC()
	runtime.ReadMemStats(&before) // what a cache costs empty, some KiB a shard, is not an entry's
	d := NewDraft(make([]byte, valueBytes))
	d.TTL = ttl
	key := Key{[]byte("n"), make([]byte, 8)}
	for i := range n {
		binary.BigEndian.PutUint64(key.Name, uint64(i))
		if _, err := c.Put(background, key, &d); err != nil {
			t.Fatal(err)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	var live int64
	for _, s := range c.shards {
		s.mu.RLock()
		live += s.arena.LiveBytes()
		s.mu.RUnlock()
	}
	heap := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	return float64(c.used.Load()) / float64(n), float64(live+heap) / float64(n)
}

// TestAccountingIsHonest compares what an entry counts against the budget with the memory
// that is really in use, and both with the bound.
func TestAccountingIsHonest(t *testing.T) {
	const n = 50_000
	for _, policy := range []string{eviction.SieveName, eviction.S3FIFOName} {
		for _, x := range []struct {
			valueBytes int
			ttl        time.Duration
		}{{100, 0}, {100, time.Hour}, {1024, 0}} {
			accounted, real := footprint(t, policy, n, x.valueBytes, x.ttl)
			payload := float64(8 + x.valueBytes)
			t.Logf("%s, %d bytes, ttl %v: %.1f bytes beyond key and value accounted, %.1f in use", policy, x.valueBytes, x.ttl, accounted-payload, real-payload)
			if real > accounted*1.02 {
				t.Errorf("%s, %d bytes: an entry takes %.1f bytes and counts %.1f", policy, x.valueBytes, real, accounted)
			}
			bound := float64(entryOverheadBytesMax)
			if x.ttl > 0 {
				bound += 16 // its expiry, and its place in the wheel
			}
			if accounted-payload > bound {
				t.Errorf("%s, %d bytes: %.1f bytes beyond key and value, at most %.0f", policy, x.valueBytes, accounted-payload, bound)
			}
		}
	}
}
