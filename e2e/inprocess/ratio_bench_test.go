package inprocess_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// BenchmarkRatio compares pgcache with otter on a machine that does other things as well:
// each in turn passes over the same keys three times, and of the times of the later passes
// the lowest tenth counts, as little came in between there. One of few keys shows what the
// instructions of a call cost, one of many what its memory does. ns/op is that of a round.
//
//	go test -run '^$' -bench Ratio -cpu 1,2 -benchtime 100x ./e2e/inprocess
func BenchmarkRatio(b *testing.B) {
	value := make([]byte, valueBytes)
	all := caches(b, budgetBytes)
	sides := []worker{all["pgcache"], all["otter"]}
	for _, open := range sides {
		fill(open(), entries, value)
	}
	for _, n := range []int{1 << 8, 1 << 14} {
		for name, op := range map[string]func(r rival, key []byte){
			"get":    func(r rival, key []byte) { r.get(key) },
			"exists": func(r rival, key []byte) { r.exists(key) },
			"put":    func(r rival, key []byte) { r.put(key, value) },
		} {
			b.Run(fmt.Sprintf("%s/%d", name, n), func(b *testing.B) { ratio(b, sides, n, op) })
		}
	}
}

func ratio(b *testing.B, sides []worker, n int, op func(r rival, key []byte)) {
	const passes = 3
	var mu sync.Mutex
	took := make([][]time.Duration, len(sides))
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		keys, key := zipfKeys(rand.Uint64())[:n], make([]byte, 8)
		mine := make([][]time.Duration, len(sides))
		for pb.Next() {
			for i, open := range sides {
				r := open()
				for pass := range passes {
					start := time.Now()
					for _, k := range keys {
						binary.BigEndian.PutUint64(key, k)
						op(r, key)
					}
					if pass > 0 {
						mine[i] = append(mine[i], time.Since(start))
					}
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for i := range mine {
			took[i] = append(took[i], mine[i]...)
		}
	})
	lowTenth := func(d []time.Duration) float64 {
		slices.Sort(d)
		return float64(d[len(d)/10]) / float64(n)
	}
	ours, theirs := lowTenth(took[0]), lowTenth(took[1])
	b.ReportMetric(ours, "pgcache-ns")
	b.ReportMetric(theirs, "otter-ns")
	b.ReportMetric(ours/theirs, "times-otter")
}
