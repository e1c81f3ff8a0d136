// Package simulate replays streams of requests through eviction policies and counts hits.
// It drives the very policies of the product, through their interface, with a budget of
// bytes; it knows nothing of the cache around them. It is for tests and measurements; one
// goroutine at a time may use what it makes.
package simulate

import (
	"container/list"

	"pgcache/cache/eviction"
)

// Trace is a stream of requests. Keys are numbered from 0 in order of appearance.
type Trace struct {
	Name   string
	Keys   []uint32 // one a request
	Bytes  []int64  // the size of each key
	IsUnit bool     // all sizes are 1
}

// Builder makes a trace from keys of any kind.
type Builder[K comparable] struct {
	Trace  Trace
	number map[K]uint32
}

// Add appends a request. A key keeps the size it came with first.
func (b *Builder[K]) Add(key K, bytes int64) {
	number, ok := b.number[key]
	if !ok {
		if b.number == nil {
			b.number = map[K]uint32{}
		}
		number = uint32(len(b.Trace.Bytes))
		b.number[key] = number
		b.Trace.Bytes = append(b.Trace.Bytes, max(bytes, 1))
	}
	b.Trace.Keys = append(b.Trace.Keys, number)
}

// UniqueBytes is what a cache that held everything would take.
func (t *Trace) UniqueBytes() (sum int64) {
	for _, n := range t.Bytes {
		sum += n
	}
	return sum
}

// Cache answers whether it holds a key, and takes it in if it does not.
type Cache interface {
	Request(key uint32, bytes int64) (hit bool)
}

// Result counts requests and hits.
type Result struct{ Requests, Hits, Bytes, HitBytes int64 }

// ObjectPct and BytePct are hit ratios.
func (r Result) ObjectPct() float64 { return 100 * float64(r.Hits) / float64(max(r.Requests, 1)) }
func (r Result) BytePct() float64   { return 100 * float64(r.HitBytes) / float64(max(r.Bytes, 1)) }

// Replay sends all requests to a cache.
func Replay(t *Trace, c Cache) Result {
	var r Result
	for _, key := range t.Keys {
		bytes := t.Bytes[key]
		r.Requests++
		r.Bytes += bytes
		if c.Request(key, bytes) {
			r.Hits++
			r.HitBytes += bytes
		}
	}
	return r
}

// policyCache is a cache whose slots are the keys.
type policyCache struct {
	policy   eviction.Policy
	held     []int64 // by key; 0: not held
	used     int64
	capacity int64
}

// NewPolicy returns a cache of capacity bytes that evicts by the named policy.
func NewPolicy(name string, t *Trace, capacity int64) Cache {
	return &policyCache{
		policy: eviction.New(name, func(slot uint32) uint32 { return hash(slot - 1) }, 1),
		held:   make([]int64, len(t.Bytes)), capacity: capacity,
	}
}

// hash is the finalizer of MurmurHash3.
func hash(key uint32) uint32 {
	h := (key ^ key>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

func (c *policyCache) Request(key uint32, bytes int64) bool {
	if c.held[key] != 0 {
		c.policy.Access(key + 1)
		return true
	}
	if bytes > c.capacity {
		return false
	}
	for c.used+bytes > c.capacity {
		slot := c.policy.Victim()
		if slot == 0 {
			continue // it passed over many
		}
		victim := slot - 1
		c.used -= c.held[victim]
		c.held[victim] = 0
	}
	c.policy.Insert(key+1, eviction.Entry{Hash: hash(key), Bytes: bytes, Priority: eviction.PriorityDefault})
	c.held[key] = bytes
	c.used += bytes
	return false
}

// lru evicts what was used longest ago: what the others are compared with.
type lru struct {
	order    *list.List // of keys, newest first
	held     []*list.Element
	bytes    []int64
	used     int64
	capacity int64
}

// NewLRU returns a cache of capacity bytes that evicts what was used longest ago.
func NewLRU(t *Trace, capacity int64) Cache {
	return &lru{order: list.New(), held: make([]*list.Element, len(t.Bytes)), bytes: t.Bytes, capacity: capacity}
}

func (c *lru) Request(key uint32, bytes int64) bool {
	if e := c.held[key]; e != nil {
		c.order.MoveToFront(e)
		return true
	}
	if bytes > c.capacity {
		return false
	}
	for c.used += bytes; c.used > c.capacity; {
		oldest := c.order.Remove(c.order.Back()).(uint32)
		c.held[oldest] = nil
		c.used -= c.bytes[oldest]
	}
	c.held[key] = c.order.PushFront(key)
	return false
}
