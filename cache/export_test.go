package cache

import (
	"context"

	"pgcache/cache/arena"
)

// Bridge for tests outside the package, which may import the real tier.

// OnHeap makes entries live where the race detector looks.
func (cfg Config) OnHeap() Config {
	cfg.memory = arena.Heap()
	return cfg
}

// EvictSome drops up to n clean entries from L1, as pressure would.
func (c *Cache) EvictSome(n int) {
	for _, s := range c.shards {
		s.mu.Lock()
		for range n {
			number := s.policy.Victim()
			if number != 0 {
				s.evict(number)
			}
		}
		s.mu.Unlock()
	}
}

// Abandon stops the cache's goroutines without writing anything, as a crash would.
func (c *Cache) Abandon() { c.abandon() }

// Settle waits until the tier has everything.
func (c *Cache) Settle(ctx context.Context) error { return c.drain(ctx) }

var Validate = validate
