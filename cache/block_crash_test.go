package cache_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
)

// A block is all there or not at all after a crash. Block number i replaces the contents
// of one namespace, writes i to keys of two others, deletes one and invalidates what a tag
// covers; the number of keys varies up to many times what one group of the tier holds.
func TestCrashKeepsWholeBlocks(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { crashBlocks(t, seed) })
	}
}

func crashBlocks(t *testing.T, seed uint64) {
	ctx := context.Background()
	random := rand.New(rand.NewPCG(seed, 3))
	fs := vfs.NewCrashableMem()
	c, store := openOver(t, fs)
	durability := cache.Durability(seed % 3)
	commit := cache.WithDurability(ctx, durability)
	blocks := 3 + random.IntN(10)
	many := 1 + random.IntN(3)*200
	for i := 1; i <= blocks; i++ {
		if err := c.Commit(commit, numberedBlock(i, many, random)); err != nil {
			t.Fatal(err)
		}
	}
	after := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
	c.Abandon()
	if err := store.Close(); err != nil { // of the world that is gone
		t.Error(err)
	}
	c, _ = openOver(t, after)
	defer c.Close(ctx)
	found := -1
	var h cache.Hit
	look := func(k cache.Key) int {
		ok, err := c.Get(ctx, k, &h)
		if err != nil {
			t.Fatal(err)
		}
		defer h.Release()
		n := 0
		if ok {
			fmt.Sscan(strings.TrimSpace(string(h.Value())), &n)
		}
		return n
	}
	for j := range many {
		for _, k := range []cache.Key{cache.K("a", fmt.Sprint(j)), cache.K("b", fmt.Sprint(j)), cache.K("replaced", fmt.Sprint(j))} {
			n := look(k)
			if found < 0 {
				found = n
			}
			if n != found {
				t.Fatalf("%s/%s is of block %d, others of block %d", k.Namespace, k.Name, n, found)
			}
		}
	}
	if durability != cache.DurabilityOff && found != blocks {
		t.Errorf("block %d survived, %d had been committed", found, blocks)
	}
	for i := range blocks + 1 {
		isThere := look(cache.K("replaced", fmt.Sprint("only", i))) != 0
		if isThere != (i == found && i > 0) {
			t.Errorf("block %d survived; what only block %d holds is there: %v", found, i, isThere)
		}
		isThere = look(cache.K("a", fmt.Sprint("deleted", i))) != 0
		if isThere != (i == found && i > 0) {
			t.Errorf("block %d survived; what block %d deletes is there: %v", found, i+1, isThere)
		}
		isThere = look(cache.K("b", fmt.Sprint("tagged", i))) != 0
		if isThere != (i == found && i > 0) {
			t.Errorf("block %d survived; what block %d invalidates is there: %v", found, i+1, isThere)
		}
	}
}

func numberedBlock(i, many int, random *rand.Rand) *cache.Block {
	b := &cache.Block{Invalidations: []cache.Invalidation{
		{Coverage: cache.CoverNamespace, Namespace: []byte("replaced")},
		{Coverage: cache.CoverTags, Namespace: []byte("b"), Labels: []string{"t"}},
	}}
	if i%2 == 0 {
		b.Invalidations[1] = cache.Invalidation{Coverage: cache.CoverPrefix, Namespace: []byte("b"), Prefix: []byte("tagged")}
	}
	add := func(ns, key string, verdict cache.Verdict, tags ...string) {
		b.Updates = append(b.Updates, cache.KeyUpdate{Key: cache.K(ns, key), Update: func(_ *cache.Hit, d *cache.Draft) (cache.Verdict, error) {
			*d = cache.NewDraft([]byte(fmt.Sprintf("%-*d", 1+random.IntN(600), i)))
			d.Tags = tags
			return verdict, nil
		}})
	}
	for j := range many {
		add("a", fmt.Sprint(j), cache.Write)
		add("b", fmt.Sprint(j), cache.Write)
		add("replaced", fmt.Sprint(j), cache.Write)
	}
	add("replaced", fmt.Sprint("only", i), cache.Write)
	add("b", fmt.Sprint("tagged", i), cache.Write, "t")
	add("a", fmt.Sprint("deleted", i-1), cache.Remove)
	add("a", fmt.Sprint("deleted", i), cache.Write)
	return b
}

func openOver(t *testing.T, fs *vfs.MemFS) (*cache.Cache, *l2.Store) {
	t.Helper()
	store, err := l2.Open(l2.Config{Dir: "data", FS: fs, FreeBytesMin: -1, MemTableBytes: 256 << 10, BlockCacheBytes: 1 << 20, SyncInterval: -1,
		StallAfter: cache.Patience, WriteTimeout: cache.Patience, CloseTimeout: cache.Patience})
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(cache.Config{L1BytesMax: 32 << 20, Tier: store, WriteWait: cache.Patience}.OnHeap())
	if err != nil {
		t.Fatal(err)
	}
	return c, store
}
