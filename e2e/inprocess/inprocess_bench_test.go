// Package inprocess_test measures pgcache's cache, without server or SQL, beside other
// caches that live in a Go process: otter, ristretto, freecache and bigcache. They do less
// (no disk, labels, versions or exact byte budget) or copy values; the comparison says what
// the rest costs. `make bench` runs it; by hand:
//
//	go test -run '^$' -bench . -benchmem -cpu 1,2 ./e2e/inprocess
package inprocess_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/allegro/bigcache/v3"
	"github.com/coocood/freecache"
	"github.com/dgraph-io/ristretto/v2"
	"github.com/maypok86/otter/v2"

	"pgcache/cache"
)

const (
	entries     = 100_000
	valueBytes  = 1 << 10
	budgetBytes = 256 << 20 // everything fits
	largeBytes  = 5 << 20
)

// rival is a cache under test. get reports whether the key is there, and must have its
// value at hand; key is 8 bytes and reused by the caller.
type rival struct {
	get, exists func(key []byte) bool
	put         func(key, value []byte)
}

// worker gives a goroutine its own functions, for caches whose calls need a buffer.
type worker func() rival

// caches opens each cache. Keys are strings where a cache has no other form.
func caches(b *testing.B, budget int64) map[string]worker {
	return map[string]worker{
		"pgcache": openPgcache(b, budget), "otter": openOtter(b, budget), "ristretto": openRistretto(b, budget),
		"freecache": openFreecache(budget), "bigcache": openBigcache(b, budget),
	}
}

// order is that of the output.
func order() []string { return []string{"pgcache", "otter", "ristretto", "freecache", "bigcache"} }

func openPgcache(b *testing.B, budget int64) worker {
	c, err := cache.Open(cache.Config{L1BytesMax: budget})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.Cleanup(func() { _ = c.Close(ctx) })
	namespace := []byte("bench")
	return func() rival {
		hit, draft := &cache.Hit{}, cache.NewDraft(nil)
		read := func(read func(context.Context, cache.Key, *cache.Hit) (bool, error)) func(key []byte) bool {
			return func(key []byte) bool {
				ok, err := read(ctx, cache.Key{Namespace: namespace, Name: key}, hit)
				ok = ok && err == nil && len(hit.Value()) > 0
				hit.Release()
				return ok
			}
		}
		return rival{read(c.Get), read(c.Peek), func(key, value []byte) {
			draft.Value = value
			if _, err := c.Put(ctx, cache.Key{Namespace: namespace, Name: key}, &draft); err != nil {
				panic(err)
			}
		}}
	}
}

func openOtter(b *testing.B, budget int64) worker {
	c := otter.Must(&otter.Options[uint64, []byte]{
		MaximumWeight: uint64(budget), Weigher: func(_ uint64, value []byte) uint32 { return uint32(len(value)) },
	})
	b.Cleanup(func() { c.StopAllGoroutines() })
	return func() rival {
		return rival{
			func(key []byte) bool { v, ok := c.GetIfPresent(binary.BigEndian.Uint64(key)); return ok && len(v) > 0 },
			func(key []byte) bool { _, ok := c.GetEntryQuietly(binary.BigEndian.Uint64(key)); return ok },
			// The cache keeps the slice: one that others may change must be copied, as pgcache does.
			func(key, value []byte) { c.Set(binary.BigEndian.Uint64(key), append([]byte(nil), value...)) },
		}
	}
}

func openRistretto(b *testing.B, budget int64) worker {
	c, err := ristretto.NewCache(&ristretto.Config[uint64, []byte]{NumCounters: 10 * entries, MaxCost: budget, BufferItems: 64})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	return func() rival {
		get := func(key []byte) bool { v, ok := c.Get(binary.BigEndian.Uint64(key)); return ok && len(v) > 0 }
		return rival{get, get, func(key, value []byte) {
			c.Set(binary.BigEndian.Uint64(key), append([]byte(nil), value...), int64(len(value)))
		}}
	}
}

func openFreecache(budget int64) worker {
	c := freecache.NewCache(int(budget))
	return func() rival {
		return rival{
			func(key []byte) bool { v, err := c.Get(key); return err == nil && len(v) > 0 },
			func(key []byte) bool { _, err := c.TTL(key); return err == nil },
			func(key, value []byte) { _ = c.Set(key, value, 0) },
		}
	}
}

func openBigcache(b *testing.B, budget int64) worker {
	config := bigcache.DefaultConfig(time.Hour)
	config.HardMaxCacheSize, config.Verbose, config.CleanWindow = int(budget>>20), false, 0
	config.MaxEntriesInWindow, config.MaxEntrySize = entries, valueBytes
	c, err := bigcache.New(context.Background(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = c.Close() })
	return func() rival {
		get := func(key []byte) bool { v, err := c.Get(string(key)); return err == nil && len(v) > 0 }
		return rival{get, get, func(key, value []byte) { _ = c.Set(string(key), value) }}
	}
}

// zipfKeys is an order of reads: some keys are much more popular than others.
func zipfKeys(seed uint64) []uint64 {
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, seed)), 1.01, 1, entries-1)
	keys := make([]uint64, 1<<16)
	for i := range keys {
		keys[i] = zipf.Uint64()
	}
	return keys
}

func fill(r rival, n int, value []byte) {
	key := make([]byte, 8)
	for i := range n {
		binary.BigEndian.PutUint64(key, uint64(i))
		r.put(key, value)
	}
}

// run calls op with keys in Zipf order, in as many goroutines as there are processors.
func run(b *testing.B, open worker, op func(r rival, key []byte)) {
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		keys, key, r := zipfKeys(rand.Uint64()), make([]byte, 8), open()
		for i := 0; pb.Next(); i++ {
			binary.BigEndian.PutUint64(key, keys[i%len(keys)])
			op(r, key)
		}
	})
}

func BenchmarkGet(b *testing.B) {
	for name, open := range opened(b) {
		b.Run(name, func(b *testing.B) { run(b, open, func(r rival, key []byte) { r.get(key) }) })
	}
}

func BenchmarkExists(b *testing.B) {
	for name, open := range opened(b) {
		b.Run(name, func(b *testing.B) { run(b, open, func(r rival, key []byte) { r.exists(key) }) })
	}
}

func BenchmarkPut(b *testing.B) {
	value := make([]byte, valueBytes)
	for name, open := range opened(b) {
		b.Run(name, func(b *testing.B) { run(b, open, func(r rival, key []byte) { r.put(key, value) }) })
	}
}

// opened yields the caches one after the other, filled.
func opened(b *testing.B) func(yield func(string, worker) bool) {
	return func(yield func(string, worker) bool) {
		all := caches(b, budgetBytes)
		for _, name := range order() {
			fill(all[name](), entries, make([]byte, valueBytes))
			if !yield(name, all[name]) {
				return
			}
		}
	}
}

// BenchmarkLarge gets and puts values of 5 MiB. Freecache and bigcache do not take them at
// this budget.
func BenchmarkLarge(b *testing.B) {
	const n = 16
	value := make([]byte, largeBytes)
	for _, name := range []string{"pgcache", "otter", "ristretto"} {
		open := caches(b, budgetBytes)[name]
		r := open()
		fill(r, n, value)
		key := make([]byte, 8)
		for op, do := range map[string]func(){"get": func() { r.get(key) }, "put": func() { r.put(key, value) }} {
			b.Run(fmt.Sprintf("%s/%s", op, name), func(b *testing.B) {
				b.SetBytes(largeBytes)
				b.ReportAllocs()
				for i := 0; b.Loop(); i++ {
					binary.BigEndian.PutUint64(key, uint64(i%n))
					do()
				}
			})
		}
	}
}
