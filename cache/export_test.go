package cache

import (
	"context"
	"math/rand/v2"
	"testing"
	"time"

	"pgcache/cache/arena"
)

// Bridge for tests outside the package, which may import the real tier.

// Patience is how long a test waits.
const Patience = patience

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

// ModelTier is a tier that the model test can restart and crash.
type ModelTier interface {
	Tier
	// Restart returns what a clean close has left.
	Restart() ModelTier
	// Crash returns what opens what is left if the process ends now, and all or a part of
	// what is not durable is lost.
	Crash(random *rand.Rand) func() ModelTier
	// Abandon ends the use of a tier that has crashed.
	Abandon()
	// RemoveOldest evicts a record, if the tier can.
	RemoveOldest() (ns NamespaceID, key string, ok bool)
}

// RunModel runs the model test on a cache over a tier.
func RunModel(t *testing.T, mode string, seed uint64, steps int, newTier func(now func() time.Time) ModelTier) {
	runModelOn(t, mode, newTier, rand.NewPCG(seed, 7), func(done int) bool { return done < steps })
}

// ModelSeeds are the seeds that the flags ask for: n by default, and in that proportion more.
func ModelSeeds(n uint64) (first, seeds uint64) {
	if *modelSeed != 0 {
		return *modelSeed, 1
	}
	return 1, max(n**modelSeeds/modelSeedsDefault, 1)
}
