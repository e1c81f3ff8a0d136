package cache

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

const (
	benchEntries    = 100_000
	benchValueBytes = 1 << 10
)

func benchCache(b *testing.B, l1BytesMax int64) *Cache {
	c, err := Open(Config{L1BytesMax: l1BytesMax})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close(background) })
	d := NewDraft(make([]byte, benchValueBytes))
	for i := range uint64(benchEntries) {
		if _, err := c.Put(background, benchKey(make([]byte, 8), i), &d); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	return c
}

var benchNamespace = []byte("bench")

func benchKey(buffer []byte, i uint64) Key {
	binary.BigEndian.PutUint64(buffer, i)
	return Key{benchNamespace, buffer}
}

// BenchmarkGet reads keys that are all in L1, in Zipf order (s = 1.01).
func BenchmarkGet(b *testing.B) {
	c := benchCache(b, 512<<20)
	zipf := rand.NewZipf(rand.New(rand.NewPCG(1, 1)), 1.01, 1, benchEntries-1)
	keys := make([]uint64, 1<<16)
	for i := range keys {
		keys[i] = zipf.Uint64()
	}
	var h Hit
	buffer := make([]byte, 8)
	for i := 0; b.Loop(); i++ {
		if ok, err := c.Get(background, benchKey(buffer, keys[i%len(keys)]), &h); !ok || err != nil {
			b.Fatal(ok, err)
		}
		h.Release()
	}
}

func BenchmarkGetParallel(b *testing.B) {
	c := benchCache(b, 512<<20)
	b.RunParallel(func(pb *testing.PB) {
		zipf := rand.NewZipf(rand.New(rand.NewPCG(1, rand.Uint64())), 1.01, 1, benchEntries-1)
		keys := make([]uint64, 1<<16)
		for i := range keys {
			keys[i] = zipf.Uint64()
		}
		var h Hit
		buffer := make([]byte, 8)
		for i := 0; pb.Next(); i++ {
			if ok, err := c.Get(background, benchKey(buffer, keys[i%len(keys)]), &h); !ok || err != nil {
				b.Fatal(ok, err)
			}
			h.Release()
		}
	})
}

func BenchmarkGetAbsent(b *testing.B) {
	c := benchCache(b, 512<<20)
	var h Hit
	buffer := make([]byte, 8)
	for i := uint64(benchEntries); b.Loop(); i++ {
		if ok, err := c.Get(background, benchKey(buffer, i), &h); ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

// BenchmarkPut overwrites and adds keys in a full L1: every put evicts.
func BenchmarkPut(b *testing.B) {
	c := benchCache(b, 64<<20)
	d := NewDraft(make([]byte, benchValueBytes))
	buffer := make([]byte, 8)
	for i := uint64(0); b.Loop(); i++ {
		if _, err := c.Put(background, benchKey(buffer, i%(4*benchEntries)), &d); err != nil {
			b.Fatal(err)
		}
	}
}
