package l2

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

// crashStep is what the test did, and remembers to check after the crash.
type crashStep struct {
	key     string
	seq     cache.Sequence
	value   string // "" for a delete
	durable bool
}

// After a crash the store holds what a prefix of the steps left, and that prefix holds
// every step that was durable. Accounting and rows agree (validate).
func TestCrashKeepsAPrefix(t *testing.T) {
	t.Parallel()
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 7))
			fs := vfs.NewCrashableMem()
			cfg := testConfig(fs)
			cfg.MemTableBytes = memTableBytesFloor // flushes and compactions take part
			s := withNamespace(t, mustOpen(t, cfg))
			var steps []crashStep
			durable := 0 // steps that must survive
			for i := range 100 + rng.IntN(200) {
				step := crashStep{key: fmt.Sprint("k", rng.IntN(30)), seq: sequence(i + 10), durable: rng.IntN(10) == 0}
				op := deleteOp(testNS, step.key, step.seq)
				if rng.IntN(3) > 0 {
					step.value = string(incompressible(1+rng.IntN(3000), uint64(i)))
					op = putOp(testNS, step.key, step.seq, []byte(step.value), attrs(tags("t"), ttl(time.Hour)))
				}
				if err := s.Write(context.Background(), []cache.TierOp{op}, step.durable); err != nil {
					t.Fatal(err)
				}
				steps = append(steps, step)
				if step.durable {
					durable = len(steps)
				}
			}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			closeValid(t, s)

			cfg.FS = crashed
			s = open(t, cfg)
			last := s.State().LastSeq
			kept := 0
			for kept < len(steps) && steps[kept].seq <= last {
				kept++
			}
			if kept < durable {
				t.Fatalf("%d of %d steps survived, %d were durable", kept, len(steps), durable)
			}
			want := make(map[string]string)
			for _, step := range steps[:kept] {
				want[step.key] = step.value
			}
			for i := range 30 {
				key := fmt.Sprint("k", i)
				expected := want[key]
				if expected == "" {
					expected = "-"
				}
				if got := get(t, s, key); got != expected {
					t.Errorf("%s: %d bytes, want %d", key, len(got), len(expected))
				}
			}
		})
	}
}

// Invalidations that were acknowledged survive a crash that loses everything unsynced.
func TestCrashKeepsInvalidations(t *testing.T) {
	fs := vfs.NewCrashableMem()
	cfg := testConfig(fs)
	s := withNamespace(t, mustOpen(t, cfg))
	ctx := context.Background()
	if err := s.PutNamespace(ctx, cache.NamespaceRow{Name: "other", ID: 2}, 0); err != nil {
		t.Fatal(err)
	}
	put(t, s, "deleted", 10, "v")
	put(t, s, "kept", 11, "v")
	write1(t, s, putOp(2, "flushed", 12, []byte("v"), attrs()))
	label := cache.Label{Namespace: testNS, Text: "t"}
	if err := s.PutWatermarks(ctx, []cache.Watermark{{Label: label, Seq: 13}}); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(ctx, []cache.TierOp{deleteOp(testNS, "deleted", 14)}, true); err != nil {
		t.Fatal(err)
	}
	if err := s.PutNamespace(ctx, cache.NamespaceRow{Name: "other", ID: 15, Generation: 1}, 2); err != nil {
		t.Fatal(err)
	}
	write1(t, s, putOp(15, "new", 16, []byte("v"), attrs()))
	if err := s.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	write1(t, s, putOp(15, "lost", 17, []byte("v"), attrs()))
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	closeValid(t, s)

	cfg.FS = crashed
	s = open(t, cfg)
	state := s.State()
	if len(state.Watermarks) != 1 || state.Watermarks[0] != (cache.Watermark{Label: label, Seq: 13}) || state.LastSeq != 16 {
		t.Errorf("%+v", state)
	}
	if get(t, s, "deleted") != "-" || get(t, s, "kept") != "v" {
		t.Error("a deleted key came back, or another is gone")
	}
	if got := scanPrefix(t, s, 2, ""); got != nil {
		t.Errorf("the flushed generation holds %q", got)
	}
	if got := scanPrefix(t, s, 15, ""); len(got) != 1 || got[0] != "15/new" {
		t.Errorf("the new generation holds %q", got)
	}
	s.tick()
	if rows := rowsOf(t, s, 2); rows != 0 {
		t.Errorf("%d rows of the flushed generation", rows)
	}
}

// What was written without sync is durable after the background sync of the next tick.
func TestSyncInterval(t *testing.T) {
	clock := newClock()
	fs := vfs.NewCrashableMem()
	cfg := testConfig(fs)
	cfg.Now = clock.Now
	s := withNamespace(t, mustOpen(t, cfg))
	s.tick()
	put(t, s, "k", 10, "v")
	clock.advance(cfg.withDefaults().SyncInterval)
	s.tick()
	put(t, s, "lost", 11, "v")
	crashed := fs.CrashClone(vfs.CrashCloneCfg{})
	closeValid(t, s)
	cfg.FS = crashed
	s = open(t, cfg)
	if get(t, s, "k") != "v" || get(t, s, "lost") != "-" {
		t.Error("the background sync did not happen, or the crash is none")
	}
}
