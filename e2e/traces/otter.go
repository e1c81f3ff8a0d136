package main

import (
	"github.com/maypok86/otter/v2"

	"pgcache/cache/eviction/simulate"
)

// otterCache is the adaptive W-TinyLFU of otter. All its work is done by the caller, so
// that results repeat as far as its own random choices allow.
type otterCache struct {
	cache *otter.Cache[uint32, struct{}]
}

// weightMax: otter's weights are 32 bits; sizes are scaled down to fit.
const weightMax = 1 << 31

func newOtter(t *simulate.Trace, capacity int64) (simulate.Cache, func()) {
	largest := int64(1)
	for _, n := range t.Bytes {
		largest = max(largest, n)
	}
	unit := 1 + largest/weightMax
	options := &otter.Options[uint32, struct{}]{Executor: func(work func()) { work() }}
	if t.IsUnit {
		options.MaximumSize = int(max(capacity, 1))
	} else {
		options.MaximumWeight = uint64(max(capacity/unit, 1))
		options.Weigher = func(key uint32, _ struct{}) uint32 { return uint32(max(t.Bytes[key]/unit, 1)) }
	}
	c := &otterCache{cache: otter.Must(options)}
	return c, func() { c.cache.StopAllGoroutines() }
}

func (c *otterCache) Request(key uint32, _ int64) bool {
	if _, ok := c.cache.GetIfPresent(key); ok {
		return true
	}
	c.cache.Set(key, struct{}{})
	return false
}
