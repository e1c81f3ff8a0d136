package cache_test

import (
	"context"
	"encoding/binary"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
)

// pauseEntries is how many entries what goes on beside the reads is done to.
const pauseEntries = 1_000_000

// pauses are the operations that touch many entries, or much memory, at once. Each is done
// to the namespace "many" and returns when it is over, in the background too.
var pauses = []struct {
	name    string
	hasDisk bool
	entries int
	draft   func(i int, d *cache.Draft)
	do      func(b *testing.B, c *cache.Cache)
}{
	{"flush", false, pauseEntries, nil, flushMany},
	{"flush, with disk", true, pauseEntries, nil, flushMany},
	{"tag", false, pauseEntries, func(_ int, d *cache.Draft) { d.Tags = []string{"t"} }, func(b *testing.B, c *cache.Cache) {
		must(b)(c.InvalidateTags(context.Background(), many, []string{"t"}))
	}},
	{"dependency, with disk", true, pauseEntries / 4, func(_ int, d *cache.Draft) { d.Dependencies = []string{"d"} }, func(b *testing.B, c *cache.Cache) {
		must(b)(c.InvalidateDependencies(context.Background(), nil, []string{"d"}))
	}},
	{"prefix", false, pauseEntries, nil, func(b *testing.B, c *cache.Cache) {
		must(b)(c.InvalidatePrefix(context.Background(), many, []byte{0}))
	}},
	{"expiry", false, pauseEntries, func(_ int, d *cache.Draft) { d.TTL = pauseTTL }, func(b *testing.B, c *cache.Cache) {
		<-time.After(pauseTTL)
		untilGone(c)
	}},
	{"large values come and go", false, 0, nil, func(b *testing.B, c *cache.Cache) {
		d := cache.NewDraft(make([]byte, 32<<20))
		for i := range 100 {
			must(b)(0, put(c, many, i%4, &d))
		}
	}},
	{"sizes change", false, pauseEntries, nil, func(b *testing.B, c *cache.Cache) {
		for i := range pauseEntries / 2 {
			d := cache.NewDraft(make([]byte, 100+i%1000))
			must(b)(0, put(c, many, i*2, &d))
		}
	}},
}

// pauseTTL is longer than filling takes on a busy machine.
const pauseTTL = 20 * time.Second

var many, read = []byte("many"), []byte("read")

func flushMany(b *testing.B, c *cache.Cache) {
	_, _, err := c.FlushNamespace(context.Background(), many)
	must(b)(0, err)
	untilGone(c)
}

// untilGone waits until the memory is reclaimed, too.
func untilGone(c *cache.Cache) {
	for c.Stats().L1Entries > readKeys {
		<-time.After(time.Millisecond)
	}
}

func must(b *testing.B) func(int64, error) {
	return func(_ int64, err error) {
		if err != nil {
			b.Error(err)
		}
	}
}

func put(c *cache.Cache, namespace []byte, i int, d *cache.Draft) error {
	_, err := c.Put(context.Background(), cache.Key{Namespace: namespace, Name: binary.BigEndian.AppendUint64(nil, uint64(i))}, d)
	return err
}

// readKeys are what is read meanwhile: enough to be in every shard.
const readKeys = 1000

// BenchmarkPauses reads one namespace while something is done to the million entries of
// another, and shows how long the slowest of those reads took: before, beside a goroutine
// that only counts, which is what sharing the processors costs, and during the operation.
func BenchmarkPauses(b *testing.B) {
	for _, p := range pauses {
		b.Run(p.name, func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				c := openMany(b, p.hasDisk)
				value := make([]byte, 100)
				for i := range p.entries {
					d := cache.NewDraft(value)
					if p.draft != nil {
						p.draft(i, &d)
					}
					must(b)(0, put(c, many, i, &d))
				}
				for i := range readKeys {
					d := cache.NewDraft(value)
					must(b)(0, put(c, read, i, &d))
				}
				if err := c.Settle(context.Background()); err != nil {
					b.Fatal(err)
				}
				runtime.GC()
				if p.name != "expiry" {
					report(b, "before", readDuring(b, c, func() { <-time.After(time.Second) }))
					report(b, "counting", readDuring(b, c, count))
				}
				b.StartTimer()
				taken := readDuring(b, c, func() { p.do(b, c) })
				b.StopTimer()
				report(b, "during", taken)
				must(b)(0, c.Close(context.Background()))
				b.StartTimer()
			}
		})
	}
}

// count keeps a processor busy for a second.
func count() {
	for n, start := 0, time.Now(); n%1_000_000 != 0 || time.Since(start) < time.Second; n++ {
	}
}

func openMany(b *testing.B, hasDisk bool) *cache.Cache {
	cfg := cache.Config{L1BytesMax: 512 << 20, WriteWait: time.Minute, HistoryInterval: -1}
	if hasDisk {
		store, err := l2.Open(l2.Config{Dir: b.TempDir(), FS: vfs.Default})
		if err != nil {
			b.Fatal(err)
		}
		cfg.Tier = store
	}
	c, err := cache.Open(cfg)
	if err != nil {
		b.Fatal(err)
	}
	return c
}

// readDuring reads until during is over, and returns how long each read took, sorted.
func readDuring(b *testing.B, c *cache.Cache, during func()) []time.Duration {
	done := make(chan struct{})
	taken := make([]time.Duration, 0, 1<<24)
	go func() { during(); close(done) }()
	var h cache.Hit
	key := make([]byte, 8)
	ctx := context.Background()
	for i := 0; ; i++ {
		select {
		case <-done:
			slices.Sort(taken)
			return taken
		default:
		}
		binary.BigEndian.PutUint64(key, uint64(i%readKeys))
		start := time.Now()
		ok, err := c.Get(ctx, cache.Key{Namespace: read, Name: key}, &h)
		h.Release()
		if took := time.Since(start); len(taken) < cap(taken) {
			taken = append(taken, took)
		} else {
			taken[len(taken)-1] = max(took, taken[len(taken)-1])
		}
		if !ok || err != nil {
			b.Fatal(ok, err)
		}
	}
}

func report(b *testing.B, when string, taken []time.Duration) {
	at := func(part float64) float64 {
		return float64(taken[int(part*float64(len(taken)-1))].Nanoseconds()) / 1000
	}
	b.Logf("%-8s %9d reads, µs: p99 %6.1f, p99.9 %6.1f, p99.99 %7.1f, longest %8.1f", when, len(taken), at(.99), at(.999), at(.9999), at(1))
	b.ReportMetric(at(.999), when+"-p99.9-µs")
	b.ReportMetric(at(1), when+"-longest-µs")
}
