package cache_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
)

// pebbleTier is the real tier on a file system in memory, for the model test.
type pebbleTier struct {
	*l2.Store
	t   *testing.T
	fs  *vfs.MemFS
	now func() time.Time
}

func openPebbleTier(t *testing.T, fs *vfs.MemFS, now func() time.Time) cache.ModelTier {
	// It does nothing by its own clock: the model sweeps and saves. A commit during which the
	// model's clock leaps is no stall.
	store, err := l2.Open(l2.Config{Dir: "data", FS: fs, Now: now, TickInterval: time.Hour, SyncInterval: -1,
		StallAfter: 24 * time.Hour, WriteTimeout: cache.Patience, CloseTimeout: cache.Patience, FreeBytesMin: -1,
		MemTableBytes: 256 << 10, BlockCacheBytes: 1 << 20, BytesMax: 64 << 20, FileMinBytes: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	return &pebbleTier{store, t, fs, now}
}

func (p *pebbleTier) Restart() cache.ModelTier { return openPebbleTier(p.t, p.fs, p.now) }

func (p *pebbleTier) Crash(random *rand.Rand) func() cache.ModelTier {
	left := p.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
	return func() cache.ModelTier { return openPebbleTier(p.t, left, p.now) }
}

// Abandon ends the store's goroutines. What that writes is of no consequence any more.
func (p *pebbleTier) Abandon() {
	if err := p.Close(); err != nil {
		p.t.Error(err)
	}
}

func (p *pebbleTier) RemoveOldest() (cache.NamespaceID, string, bool) { return 0, "", false }

// TestModelOnPebble is TestModel over the real tier.
func TestModelOnPebble(t *testing.T) {
	first, seeds := cache.ModelSeeds(6)
	for _, mode := range []string{"tier", "tiny", "disk", "pool"} {
		for seed := first; seed < first+seeds; seed++ {
			ok := t.Run(fmt.Sprint(mode, "/", seed), func(t *testing.T) {
				cache.RunModel(t, mode, seed, 400, func(now func() time.Time) cache.ModelTier {
					return openPebbleTier(t, vfs.NewCrashableMem(), now)
				})
			})
			if !ok {
				t.Fatalf("mode %s: repeat with -seed=%d", mode, seed)
			}
		}
	}
}
