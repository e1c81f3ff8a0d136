package l2_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
)

// openDurable opens a cache whose tier syncs nothing by itself.
func openDurable(t *testing.T, fs vfs.FS, d cache.Durability) *cache.Cache {
	t.Helper()
	cfg := patient(fs)
	cfg.SyncInterval = -1
	tier, err := l2.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(cache.Config{L1BytesMax: 2 << 20, Tier: tier, Durability: d, WriteWait: patience})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func putOne(ctx context.Context, t *testing.T, c *cache.Cache, ns, key, value string) {
	t.Helper()
	d := cache.NewDraft([]byte(value))
	d.Tags = []string{"tag-" + key}
	if _, err := c.Put(ctx, cache.K(ns, key), &d); err != nil {
		t.Fatal(err)
	}
}

func readOne(t *testing.T, c *cache.Cache, ns, key string) string {
	t.Helper()
	var h cache.Hit
	ok, err := c.Get(context.Background(), cache.K(ns, key), &h)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return "-"
	}
	defer h.Release()
	return string(h.Value())
}

// settleCache waits until the tier has everything, synced or not.
func settleCache(c *cache.Cache) {
	for c.Stats().DirtyBytes > 0 {
		runtime.Gosched()
	}
}

// What a power failure that loses everything unsynced leaves of acknowledged operations,
// by setting and by the override of one operation.
func TestPowerFailureByDurability(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		setting  cache.Durability
		override *cache.Durability
		puts     bool // survive
		removals bool // survive
	}{
		{setting: cache.DurabilityAlways, puts: true, removals: true},
		{setting: cache.DurabilityInterval, removals: true},
		{setting: cache.DurabilityOff},
		{setting: cache.DurabilityInterval, override: ptr(cache.DurabilityAlways), puts: true, removals: true},
		{setting: cache.DurabilityAlways, override: ptr(cache.DurabilityInterval), removals: true},
		{setting: cache.DurabilityOff, override: ptr(cache.DurabilityAlways), puts: true, removals: true},
		{setting: cache.DurabilityAlways, override: ptr(cache.DurabilityOff)},
	} {
		name, ctx := tc.setting.String(), context.Background()
		if tc.override != nil {
			name += " but " + tc.override.String()
			ctx = cache.WithDurability(ctx, *tc.override)
		}
		t.Run(name, func(t *testing.T) {
			crash := func(prepare, act func(*cache.Cache)) *cache.Cache {
				fs := vfs.NewCrashableMem()
				c := openDurable(t, fs, tc.setting)
				prepare(c)
				if err := c.Sync(context.Background()); err != nil {
					t.Fatal(err)
				}
				act(c)
				settleCache(c)
				crashed := fs.CrashClone(vfs.CrashCloneCfg{})
				closeCache(t, c)
				return openDurable(t, crashed, tc.setting)
			}
			expect := func(c *cache.Cache, survives bool, before, after string) {
				t.Helper()
				want := before
				if survives {
					want = after
				}
				if got := readOne(t, c, "a", "k"); got != want {
					t.Errorf("found %q, want %q", got, want)
				}
				closeCache(t, c)
			}
			old := func(c *cache.Cache) { putOne(context.Background(), t, c, "a", "k", "old") }
			expect(crash(old, func(c *cache.Cache) { putOne(ctx, t, c, "a", "k", "new") }), tc.puts, "old", "new")
			for _, remove := range []func(*cache.Cache) error{
				func(c *cache.Cache) error { _, err := c.Invalidate(ctx, cache.K("a", "k")); return err },
				func(c *cache.Cache) error {
					_, err := c.InvalidateTags(ctx, []byte("a"), []string{"tag-k"})
					return err
				},
				func(c *cache.Cache) error { _, err := c.InvalidatePrefix(ctx, []byte("a"), []byte("k")); return err },
				func(c *cache.Cache) error { _, _, err := c.FlushNamespace(ctx, []byte("a")); return err },
			} {
				expect(crash(old, func(c *cache.Cache) {
					if err := remove(c); err != nil {
						t.Fatal(err)
					}
				}), tc.removals, "old", "-")
			}
		})
	}
}

func ptr[T any](v T) *T { return &v }

// Crashes that lose a random part of what is not synced, in the middle of writers that wait
// for durability: each acknowledged put is there, or a later one of the same key.
func TestAlwaysSurvivesAnyCrash(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 11))
			fs := vfs.NewCrashableMem()
			c := openDurable(t, fs, cache.DurabilityAlways)
			const keys, rounds = 4, 40
			acknowledged := make([]chan int, keys)
			done := make(chan struct{}, keys)
			for k := range keys {
				acknowledged[k] = make(chan int, rounds)
				go func() {
					defer func() { done <- struct{}{} }()
					for i := range rounds {
						d := cache.NewDraft(fmt.Appendf(nil, "%d", i))
						if _, err := c.Put(context.Background(), cache.K("a", fmt.Sprint(k)), &d); err != nil {
							t.Error(err)
							return
						}
						acknowledged[k] <- i
					}
				}()
			}
			least := make([]int, keys)
			for k := range keys {
				for range 1 + rng.IntN(rounds-1) {
					least[k] = <-acknowledged[k]
				}
			}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			for range keys {
				<-done
			}
			closeCache(t, c)
			c = openDurable(t, crashed, cache.DurabilityAlways)
			for k := range keys {
				var got int
				if _, err := fmt.Sscan(readOne(t, c, "a", fmt.Sprint(k)), &got); err != nil || got < least[k] {
					t.Errorf("key %d: found %d (%v), %d was acknowledged", k, got, err, least[k])
				}
			}
			closeCache(t, c)
		})
	}
}
