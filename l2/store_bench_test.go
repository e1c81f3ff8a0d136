package l2

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// benchValue is text that compresses about as JSON does.
func benchValue(n, seed int) []byte {
	rng := rand.New(rand.NewPCG(uint64(seed), 5))
	words := []string{`"name":`, `"value":`, "true", "false", `{"id":`, "},", `"description":`, `"created_at":"2026-`}
	b := make([]byte, 0, n+40)
	for len(b) < n {
		b = fmt.Appendf(b, "%s%d ", words[rng.IntN(len(words))], rng.IntN(10000))
	}
	return b[:n]
}

const benchRecords = 20_000

func benchStore(b *testing.B, size int) *Store {
	b.Helper()
	s := mustOpen(b, Config{Dir: b.TempDir(), BlockCacheBytes: 256 << 20})
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	withNamespace(b, s)
	a := attrs(tags("t"), deps("d"))
	for i := range benchRecords {
		write1(b, s, putOp(testNS, keyOf(2*i), sequence(i+10), benchValue(size, i), a))
	}
	if err := errors.Join(s.db.Flush(), s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)); err != nil {
		b.Fatal(err)
	}
	return s
}

func BenchmarkGet(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 8 << 10} {
		s := benchStore(b, size)
		keys := make([][]byte, 2*benchRecords)
		for i := range keys {
			keys[i] = []byte(keyOf(i))
		}
		b.Run(fmt.Sprintf("hit/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			var r cache.Record
			for i := range b.N {
				ok, err := s.Get(context.Background(), testNS, keys[2*(i*7919%benchRecords)], true, &r)
				if !ok || err != nil || len(r.Value) != size {
					b.Fatal(ok, err)
				}
			}
		})
		// What the same bytes cost without anything of ours but the key and the decoder.
		b.Run(fmt.Sprintf("pebble/%d", size), func(b *testing.B) {
			b.ReportAllocs()
			var key, dst []byte
			rows := make([][]byte, benchRecords)
			compressed := make([]bool, benchRecords)
			payloadAt := headerSize + len(attrs(tags("t"), deps("d")))
			for i := range rows {
				record := appendRecordKey(nil, testNS, keys[2*i])
				row, closer, err := s.db.Get(record)
				if err != nil {
					b.Fatal(err)
				}
				h, err := decodeHeader(record, row)
				if err != nil {
					b.Fatal(err)
				}
				rows[i], compressed[i] = record, h.codec == codecZstd
				if h.placement == placedRow {
					rows[i] = appendPayloadKey(nil, record)
				}
				closer.Close()
			}
			dst = make([]byte, 0, 64<<10)
			b.ResetTimer()
			for i := range b.N {
				at := i * 7919 % benchRecords
				key = append(key[:0], rows[at]...)
				value, closer, err := s.db.Get(key)
				if err != nil {
					b.Fatal(err)
				}
				value = value[payloadAt:]
				if compressed[at] {
					if dst, err = s.compressor.decoder.DecodeAll(value, dst[:0]); err != nil {
						b.Fatal(err)
					}
				} else {
					dst = append(dst[:0], value...)
				}
				closer.Close()
			}
		})
		if size != 1<<10 {
			continue
		}
		b.Run("absent", func(b *testing.B) {
			b.ReportAllocs()
			var r cache.Record
			for i := range b.N {
				ok, err := s.Get(context.Background(), testNS, keys[2*(i*7919%benchRecords)+1], true, &r)
				if ok || err != nil {
					b.Fatal(ok, err)
				}
			}
		})
		b.Run("absent pebble", func(b *testing.B) {
			var key []byte
			for i := range b.N {
				key = appendRecordKey(key[:0], testNS, keys[2*(i*7919%benchRecords)+1])
				if _, _, err := s.db.Get(key); !errors.Is(err, pebble.ErrNotFound) {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{100, 1 << 10, 8 << 10, 64 << 10} {
		for _, writers := range []int{1, 8} {
			for _, sync := range []bool{false, true} {
				if sync && size != 1<<10 {
					continue
				}
				b.Run(fmt.Sprintf("size=%d/writers=%d/sync=%v", size, writers, sync), func(b *testing.B) {
					benchWrite(b, size, writers, sync)
				})
			}
		}
	}
}

func benchWrite(b *testing.B, size, writers int, sync bool) {
	s := mustOpen(b, Config{Dir: b.TempDir()})
	defer s.Close()
	withNamespace(b, s)
	value, a := benchValue(size, 1), attrs(tags("t"), deps("d"))
	var n atomic.Int64
	b.SetParallelism(writers)
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		ops := make([]cache.TierOp, 1)
		for pb.Next() {
			i := int(n.Add(1))
			ops[0] = putOp(testNS, keyOf(i*7919%200_000), sequence(i), value, a)
			if err := s.Write(context.Background(), ops, sync); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkEvict is a store at its budget: every put evicts.
func BenchmarkEvict(b *testing.B) {
	s := mustOpen(b, Config{Dir: b.TempDir(), BytesMax: 32 << 20})
	defer s.Close()
	withNamespace(b, s)
	value, a := incompressible(1<<10, 1), attrs(tags("t"))
	for i := range b.N {
		write1(b, s, putOp(testNS, keyOf(i), sequence(i), value, a))
	}
	b.ReportMetric(float64(s.Stats().Evictions)/b.Elapsed().Seconds(), "evictions/s")
}

// BenchmarkLarge is values of 5 MiB, which are files of their own.
func BenchmarkLarge(b *testing.B) {
	const size, records = 5 << 20, 20
	s := mustOpen(b, Config{Dir: b.TempDir()})
	defer s.Close()
	withNamespace(b, s)
	seq := 0
	write := func(b *testing.B) {
		for i := range b.N {
			seq++
			write1(b, s, putOp(testNS, keyOf(i%records), sequence(seq), incompressible(size, uint64(i%4)), attrs()))
		}
	}
	for _, pass := range []string{"write", "overwrite"} {
		b.Run(pass, func(b *testing.B) {
			b.SetBytes(size)
			write(b)
		})
	}
	for i := range records {
		seq++
		write1(b, s, putOp(testNS, keyOf(i), sequence(seq), incompressible(size, uint64(i)), attrs()))
	}
	b.Run("read", func(b *testing.B) {
		b.SetBytes(size)
		b.ReportAllocs()
		var r cache.Record
		for i := range b.N {
			ok, err := s.Get(context.Background(), testNS, []byte(keyOf(i%records)), true, &r)
			if !ok || err != nil || len(r.Value) != size {
				b.Fatal(ok, err)
			}
		}
	})
}
