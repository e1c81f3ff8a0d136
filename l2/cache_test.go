package l2_test

import (
	"context"
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
)

// patience bounds what tests wait for: it is only ever used up by a hang, however slow and
// busy the machine, which may stop the process for seconds.
const patience = 5 * time.Minute

// patient is a configuration that gives nothing up meanwhile.
func patient(fs vfs.FS) l2.Config {
	return l2.Config{Dir: "data", FS: fs, BytesMax: 64 << 20, TickInterval: time.Hour,
		WriteTimeout: patience, StallAfter: patience, CloseTimeout: patience}
}

func openCache(t *testing.T, fs vfs.FS) *cache.Cache {
	t.Helper()
	tier, err := l2.Open(patient(fs))
	if err != nil {
		t.Fatal(err)
	}
	c, err := cache.Open(cache.Config{L1BytesMax: 2 << 20, Tier: tier, WriteWait: patience})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func closeCache(t *testing.T, c *cache.Cache) {
	t.Helper()
	if err := c.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
}

// The cache with this tier below it: far more entries than L1 holds, read back, invalidated
// by tag, flushed, and the same again after a restart and after a crash.
func TestCacheOnStore(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	fs := vfs.NewCrashableMem()
	c := openCache(t, fs)
	const total = 4000
	value := func(i int) string { return fmt.Sprintf("%0*d", 1000+i%3000, i) }
	for i := range total {
		d := cache.NewDraft([]byte(value(i)))
		d.Tags = []string{fmt.Sprint("t", i%10)}
		d.Metadata = []cache.Pair{{Key: "n", Value: fmt.Sprint(i)}}
		if _, err := c.Put(ctx, cache.K([]string{"a", "b"}[i%2], fmt.Sprint(i)), &d); err != nil {
			t.Fatalf("put %d: %v", i, err)
		}
		// The cache drops tier writes rather than wait for them: let none be dropped.
		for i%50 == 0 && c.Stats().DirtyBytes > 0 {
			runtime.Gosched()
		}
	}
	if dropped := c.Stats().TierWritesDropped; dropped > 0 {
		t.Fatalf("%d writes were dropped", dropped)
	}
	check := func(c *cache.Cache, live func(int) bool) {
		t.Helper()
		for i := range total {
			var h cache.Hit
			ok, err := c.Get(ctx, cache.K([]string{"a", "b"}[i%2], fmt.Sprint(i)), &h)
			if err != nil || ok != live(i) {
				t.Fatalf("get %d: %v %v", i, ok, err)
			}
			if ok {
				if string(h.Value()) != value(i) {
					t.Fatalf("get %d: another value", i)
				}
				h.Release()
			}
		}
	}
	check(c, func(int) bool { return true })
	closeCache(t, c)

	c = openCache(t, fs)
	check(c, func(int) bool { return true })
	n, err := c.InvalidateTags(ctx, []byte("a"), []string{"t2", "t4"})
	if err != nil || n != total/5 {
		t.Fatalf("invalidate: %d %v", n, err)
	}
	if n, _, err = c.FlushNamespace(ctx, []byte("b")); err != nil || n != total/2 {
		t.Fatalf("flush: %d %v", n, err)
	}
	live := func(i int) bool { return i%2 == 0 && i%10 != 2 && i%10 != 4 }
	check(c, live)
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	closeCache(t, c)
	for _, fs := range []*vfs.MemFS{fs, crashed} {
		c = openCache(t, fs)
		check(c, live)
		closeCache(t, c)
	}
}
