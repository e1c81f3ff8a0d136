package l2_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"pgcache/cache"
	"pgcache/l2"
)

// With a disk that is full, says so only when it syncs, or is broken for a while or for good, below it, the cache goes on in memory: puts
// and gets work, more of them than its write buffer holds, deletes say that they are not
// durable but hide the value, and nothing older appears. With space back it is all durable.
func TestCacheOnFailingDisk(t *testing.T) {
	for _, tc := range []struct {
		name     string
		cause    error
		syncs    bool // fail too
		recovers bool
	}{
		{"full", syscall.ENOSPC, false, true}, {"full at sync", syscall.ENOSPC, true, true},
		{"broken for a while", syscall.EIO, true, true}, {"broken", syscall.EIO, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if os.Getenv("L2_FAULT") == "" {
				t.Parallel()
				// What Pebble leaves behind must not count as our leak.
				child := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.timeout=15m")
				child.Env = append(os.Environ(), "L2_FAULT=1")
				if out, err := child.CombinedOutput(); err != nil {
					t.Fatalf("%v\n%.4000s", err, out)
				}
				return
			}
			var on atomic.Bool
			mem := vfs.NewCrashableMem()
			fs := errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
				isSync := op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
				if on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && (tc.syncs || !isSync) {
					return tc.cause
				}
				return nil
			}))
			cfg := patient(fs)
			cfg.TickInterval, cfg.FileMinBytes, cfg.MemTableBytes = 5*time.Millisecond, 8<<10, 64<<10
			cfg.WriteTimeout = 3 * time.Second // what a call waits that finds the disk full before that is known
			if !tc.recovers {
				cfg.CloseTimeout = time.Second
			}
			tier, err := l2.OpenTier(cfg)
			if err != nil {
				t.Fatal(err)
			}
			c, err := cache.Open(cache.Config{L1BytesMax: 2 << 20, Tier: tier, WriteWait: patience})
			if err != nil {
				t.Fatal(err)
			}
			ctx := context.Background()
			await := func(what string, condition func() bool) {
				t.Helper()
				for deadline := time.Now().Add(patience); !condition(); <-time.After(time.Millisecond) {
					if time.Now().After(deadline) {
						t.Fatalf("%s: %+v", what, c.Stats().Tier)
					}
				}
			}
			// What takes longer than WriteTimeout is repeated until it is durable.
			durably := func(what string, call func() error) {
				t.Helper()
				await(what, func() bool {
					err := call()
					if err != nil && !errors.Is(err, cache.ErrTierIO) {
						t.Fatal(err)
					}
					return err == nil
				})
			}
			sync := func() { t.Helper(); durably("a sync", func() error { return c.Sync(ctx) }) }
			for i := range 100 {
				putOne(ctx, t, c, "a", fmt.Sprint(i), "old")
			}
			sync()
			putOne(ctx, t, c, "flushed", "k", "old")
			sync()
			on.Store(true)
			if _, _, err := c.FlushNamespace(ctx, []byte("flushed")); err != nil && !errors.Is(err, cache.ErrTierIO) {
				t.Fatal(err)
			}
			// A namespace whose flush failed, and a new one, do not hold up the others.
			for _, ns := range []string{"flushed", "new"} {
				if got := readOne(t, c, ns, "k"); got != "-" {
					t.Fatalf("%s: %q", ns, got)
				}
				putOne(ctx, t, c, ns, "k", "in memory")
				if got := readOne(t, c, ns, "k"); got != "in memory" {
					t.Fatalf("%s: %q", ns, got)
				}
			}
			value := func(i int) string { return fmt.Sprintf("%0*d", 5000+i%2*5000, i) }
			for i := range 2000 { // ten times what memory holds
				key := fmt.Sprint(i % 100)
				putOne(ctx, t, c, "a", key, value(i))
				if got := readOne(t, c, "a", key); got != value(i) {
					t.Fatalf("put %d is not readable: %.10q", i, got)
				}
			}
			for i := range 100 {
				if got := readOne(t, c, "a", fmt.Sprint(i)); got == "old" {
					t.Fatalf("key %d: an older value appears", i)
				}
			}
			for i := range 20 {
				_, err := c.Invalidate(ctx, cache.K("a", fmt.Sprint(i)))
				if err != nil && !errors.Is(err, cache.ErrTierIO) {
					t.Fatal(err)
				}
				if got := readOne(t, c, "a", fmt.Sprint(i)); got != "-" {
					t.Fatalf("deleted key %d: %.10q", i, got)
				}
			}
			if st := c.Stats().Tier; !st.Degraded || st.DegradedReason == "" {
				t.Errorf("the tier does not say that it is degraded")
			}
			on.Store(false)
			if !tc.recovers {
				_ = c.Close(ctx)
				return
			}
			await("it does not recover", func() bool { return !c.Stats().Tier.Degraded && c.Stats().DirtyBytes == 0 })
			for i := 60; i < 65; i++ { // what is deleted was not stored, what it replaced is
				durably("a delete", func() error { _, err := c.Invalidate(ctx, cache.K("a", fmt.Sprint(i))); return err })
			}
			crashed := mem.CrashClone(vfs.CrashCloneCfg{})
			deleted := openCache(t, crashed)
			for i := 60; i < 65; i++ {
				if got := readOne(t, deleted, "a", fmt.Sprint(i)); got != "-" {
					t.Errorf("after a crash deleted key %d is %.10q", i, got)
				}
			}
			closeCache(t, deleted)
			putOne(ctx, t, c, "a", "50", "new")
			putOne(ctx, t, c, "new", "k", "durable")
			sync()
			crashed = mem.CrashClone(vfs.CrashCloneCfg{})
			closeCache(t, c)
			c = openCache(t, crashed)
			for i := range 100 {
				if got := readOne(t, c, "a", fmt.Sprint(i)); got == "old" || i < 20 && got != "-" || i == 50 && got != "new" {
					t.Errorf("after a crash key %d is %.10q", i, got)
				}
			}
			for ns, want := range map[string]string{"flushed": "old", "new": "durable"} {
				if got := readOne(t, c, ns, "k"); (got == want) != (ns == "new") {
					t.Errorf("after a crash %s holds %q", ns, got)
				}
			}
			closeCache(t, c)
		})
	}
}
