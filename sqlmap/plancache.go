package sqlmap

import (
	"encoding/binary"
	"hash/maphash"
	"sync"
	"sync/atomic"
)

// planShards keeps sessions on different cores apart.
const planShards = 16

// planCache keeps plans by text and declared parameter types. When it is full, plans that
// were not used since they were last considered make room, so texts with literals in them
// do not displace those that come again.
type planCache struct {
	seed   maphash.Seed
	shards [planShards]planShard
}

type planShard struct {
	mu         sync.RWMutex
	byKey      map[string]*planEntry
	bytes      int64
	entriesMax int
	bytesMax   int64
}

// planEntry is the plans of the statements of a text.
type planEntry struct {
	plans []*plan
	bytes int64
	used  atomic.Bool
}

func newPlanCache(limits Limits) *planCache {
	c := &planCache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i] = planShard{byKey: map[string]*planEntry{}, entriesMax: max(limits.PlanCacheEntries/planShards, 1),
			bytesMax: max(limits.PlanCacheBytes/planShards, 1)}
	}
	return c
}

// First bytes of the keys of plans.
const (
	planOfPrepared = 'p' // a text, and after a zero byte the types declared
	planOfSimple   = 's' // a text
	planOfShape    = 'l' // see lifter
)

// appendPlanKey makes the key of a text. Nothing in a text is 0, so keys are unambiguous.
func appendPlanKey(dst []byte, sql string, paramOIDs []uint32, isSimple bool) []byte {
	if isSimple {
		return append(append(dst, planOfSimple), sql...)
	}
	dst = append(append(dst, planOfPrepared), sql...)
	if len(paramOIDs) > 0 {
		dst = append(dst, 0)
		for _, oid := range paramOIDs {
			dst = binary.BigEndian.AppendUint32(dst, oid)
		}
	}
	return dst
}

func (c *planCache) shard(key []byte) *planShard {
	return &c.shards[maphash.Bytes(c.seed, key)%planShards]
}

// find returns the plans of a text; it does not allocate.
func (c *planCache) find(key []byte) ([]*plan, bool) {
	s := c.shard(key)
	s.mu.RLock()
	e := s.byKey[string(key)]
	s.mu.RUnlock()
	if e == nil {
		return nil, false
	}
	if !e.used.Load() {
		e.used.Store(true)
	}
	return e.plans, true
}

// Estimates of what a plan costs in memory.
const (
	planBytesFixed   = 4096
	planBytesPerByte = 16 // of text
	planEvictTries   = 8
)

func (c *planCache) put(key []byte, plans []*plan) {
	s := c.shard(key)
	e := &planEntry{plans: plans, bytes: planBytesFixed + planBytesPerByte*int64(len(key))}
	if e.bytes > s.bytesMax {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if old := s.byKey[string(key)]; old != nil {
		s.bytes -= old.bytes
		delete(s.byKey, string(key))
	}
	for len(s.byKey) > 0 && (len(s.byKey) >= s.entriesMax || s.bytes+e.bytes > s.bytesMax) {
		s.evict()
	}
	s.byKey[string(key)] = e
	s.bytes += e.bytes
}

// evict removes one entry that was not used lately, of a few taken at random, or the last
// of them. REQUIRES: s.mu held.
func (s *planShard) evict() {
	tries := 0
	for key, e := range s.byKey {
		if tries++; e.used.Swap(false) && tries < planEvictTries {
			continue
		}
		s.bytes -= e.bytes
		delete(s.byKey, key)
		return
	}
	// Fewer entries than tries, all used: now none is.
	for key, e := range s.byKey {
		s.bytes -= e.bytes
		delete(s.byKey, key)
		return
	}
}
