package l2

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"pgcache/cache"
)

// switchable fails operations while it is on.
type switchable struct {
	on    atomic.Bool
	err   error
	match func(errorfs.Op) bool
}

func (f *switchable) String() string { return "switchable" }

func (f *switchable) MaybeError(op errorfs.Op) error {
	if f.on.Load() && f.match(op) {
		return f.err
	}
	return nil
}

func isWriteOf(match func(path string) bool) func(errorfs.Op) bool {
	return func(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && match(op.Path) }
}

func awaitTrue(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatalf("timeout: %s", what)
		}
	}
}

// While the log waits for disk space puts are rejected at once and hide what they would
// have replaced; deletes that must be durable fail, others are done; when space is back the
// older records are gone for good.
func TestWritesWhileTheLogIsFull(t *testing.T) {
	full := &switchable{err: syscall.ENOSPC, match: isWriteOf(isLog)}
	cfg := fileConfig(errorfs.Wrap(vfs.NewMem(), full))
	cfg.MemTableBytes = memTableBytesFloor
	cfg.TickInterval = time.Millisecond
	s := withNamespace(t, open(t, cfg))
	for i := range 6 {
		put(t, s, keyOf(i), sequence(i), "old", tags("t"))
	}
	full.on.Store(true)
	waits := make(chan error, 1)
	go func() {
		waits <- s.Write(context.Background(), []cache.TierOp{putOp(testNS, "waits", 50, []byte("v"), attrs())}, true)
	}()
	awaitTrue(t, "the log waits", func() bool { return s.health.logWaits.Load() > 0 })
	ops := []cache.TierOp{
		putOp(testNS, keyOf(0), 100, []byte("new"), attrs()),
		putOp(testNS, keyOf(1), 101, incompressible(10_000, 1), attrs()),
		deleteOp(testNS, keyOf(2), 102),
	}
	if err := s.Write(context.Background(), ops, false); err != nil || !ops[0].Rejected || !ops[1].Rejected || ops[2].Rejected {
		t.Errorf("%v %s %s %s", err, outcomeOf(ops[0]), outcomeOf(ops[1]), outcomeOf(ops[2]))
	}
	if err := s.Write(context.Background(), []cache.TierOp{deleteOp(testNS, keyOf(3), 103)}, true); !errors.Is(err, ErrDiskFull) {
		t.Errorf("a delete that cannot be durable: %v", err)
	}
	ops = []cache.TierOp{deleteOp(testNS, keyOf(3), 104), putOp(testNS, keyOf(4), 105, []byte("new"), attrs())}
	if err := s.Write(context.Background(), ops, true); err != nil || ops[0].Err == nil || ops[1].Err != nil || !ops[1].Rejected {
		t.Errorf("%v %+v", err, ops)
	}
	for range 2 {
		for i := range 5 {
			if got := get(t, s, keyOf(i)); got != "-" {
				t.Errorf("key %d: %q", i, got)
			}
		}
		if got := get(t, s, keyOf(5)); got != "old" {
			t.Errorf("a key that was not written: %q", got)
		}
		if got := scanPrefix(t, s, testNS, "key-"); len(got) != 1 {
			t.Errorf("a scan finds %q", got)
		}
		if st := s.Stats(); full.on.Load() != (st.DegradedReason != "") || full.on.Load() != st.Degraded {
			t.Errorf("degraded %v: %q", st.Degraded, st.DegradedReason)
		}
		full.on.Store(false)
		awaitTrue(t, "the log goes on", func() bool { return s.unwritable() == nil })
		s.tick()
	}
	if err := <-waits; err != nil {
		t.Errorf("the write that waited: %v", err)
	}
	if n := s.marks.count.Load(); n != 0 || s.Stats().Entries != 2 {
		t.Errorf("%d marks left, %d entries", n, s.Stats().Entries)
	}
	if put(t, s, keyOf(0), 200, "newest"); get(t, s, keyOf(0)) != "newest" {
		t.Error("writes do not go on")
	}
}

// The space set aside is used when the log meets a full disk, and set aside again later.
func TestBallast(t *testing.T) {
	mem := vfs.NewMem()
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41})
	var path string
	full := &switchable{err: syscall.ENOSPC}
	full.match = func(op errorfs.Op) bool { // full as long as there is a ballast
		_, err := mem.Stat(path)
		return err == nil && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && isLog(op.Path)
	}
	cfg := testConfig(errorfs.Wrap(mem, full))
	s := withNamespace(t, open(t, cfg))
	path = s.ballast.path
	exists := func() bool {
		_, err := mem.Stat(path)
		return err == nil
	}
	s.tick()
	if !exists() {
		t.Fatal("nothing is set aside")
	}
	full.on.Store(true)
	if err := s.Write(context.Background(), []cache.TierOp{deleteOp(testNS, "k", 10)}, true); err != nil || exists() {
		t.Errorf("a delete on a full disk: %v, ballast %v", err, exists())
	}
	full.on.Store(false)
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: freeBytesFloor, TotalBytes: 1 << 35})
	if s.tick(); exists() {
		t.Error("set aside although there is hardly any room")
	}
	mem.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: 1 << 40, TotalBytes: 1 << 41})
	if s.tick(); !exists() {
		t.Error("not set aside again")
	}
}

// A reader never sees an older record between the moment a mark is written as a delete and
// the moment the mark is forgotten.
func TestMarksLeaveNoGap(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	for round := range cache.Sequence(200) {
		put(t, s, "k", 10*round+1, "old")
		if !s.marks.add([]cache.TierOp{putOp(testNS, "k", 10*round+2, nil, attrs())}) {
			t.Fatal("no room for a mark")
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			if err := s.writeMarks(context.Background()); err != nil {
				t.Error(err)
			}
		}()
		for running := true; running; {
			select {
			case <-done:
				running = false
			default:
			}
			if got := get(t, s, "k"); got != "-" {
				t.Fatalf("round %d: %q", round, got)
			}
		}
	}
}

// A put that was handed over, seemed to fail and was committed after all is not there: its
// writer thinks so, and would not delete it.
func TestMarkHidesTheWriteItself(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	op := putOp(testNS, "k", 7, []byte("late"), attrs())
	s.marks.add([]cache.TierOp{op})
	write1(t, s, op)
	if got := get(t, s, "k"); got != "-" {
		t.Errorf("%q", got)
	}
	s.tick()
	if got := get(t, s, "k"); got != "-" || s.Stats().Entries != 0 {
		t.Errorf("%q after the mark was written", got)
	}
	if put(t, s, "k", 8, "next"); get(t, s, "k") != "next" {
		t.Error("a newer write is hidden")
	}
}

// What is acknowledged as durable leaves nothing on disk that only a mark in memory hides.
func TestDurableOperationsSettleMarks(t *testing.T) {
	ctx := context.Background()
	label := cache.Label{Namespace: testNS, Text: "t"}
	for name, operation := range map[string]func(*Store) error{
		"sync":            func(s *Store) error { return s.Sync(ctx) },
		"delete":          func(s *Store) error { return s.Write(ctx, []cache.TierOp{deleteOp(testNS, "other", 20)}, true) },
		"nothing":         func(s *Store) error { return s.Write(ctx, nil, true) },
		"commit":          func(s *Store) error { return s.Commit(ctx, &cache.TierCommit{}, true) },
		"drop watermarks": func(s *Store) error { return s.DropWatermarks(ctx, []cache.Watermark{{Label: label, Seq: 15}}) },
	} {
		t.Run(name, func(t *testing.T) {
			fs := vfs.NewCrashableMem()
			cfg := testConfig(fs)
			s := withNamespace(t, mustOpen(t, cfg))
			put(t, s, "k", 10, "old", tags("t"))
			if err := s.Sync(ctx); err != nil {
				t.Fatal(err)
			}
			s.marks.add([]cache.TierOp{putOp(testNS, "k", 11, nil, attrs())})
			if err := operation(s); err != nil {
				t.Fatal(err)
			}
			if name == "drop watermarks" { // it need not be durable itself
				if err := s.Sync(ctx); err != nil {
					t.Fatal(err)
				}
			}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{})
			closeValid(t, s)
			cfg.FS = crashed
			s = open(t, cfg)
			if got := get(t, s, "k"); got != "-" {
				t.Errorf("after a crash: %q", got)
			}
		})
	}
}

// Payload files that cannot be written: their puts are rejected, the older record is gone,
// small records go on, and after a while large ones do.
func TestPayloadFilesFail(t *testing.T) {
	for _, cause := range []error{syscall.ENOSPC, syscall.EIO} {
		for _, kind := range []errorfs.OpKind{errorfs.OpCreate, errorfs.OpFileWriteAt, errorfs.OpFileSync} {
			t.Run(fmt.Sprint(cause, " ", kind), func(t *testing.T) {
				isPayload := func(op errorfs.Op) bool {
					return op.Kind == kind && vfs.Default.PathBase(vfs.Default.PathDir(vfs.Default.PathDir(op.Path))) == filesName
				}
				fault := &switchable{err: cause, match: isPayload}
				clock := newClock()
				cfg := fileConfig(errorfs.Wrap(vfs.NewMem(), fault))
				cfg.Now = clock.Now
				s := withNamespace(t, open(t, cfg))
				put(t, s, "k", 10, "small and old")
				fault.on.Store(true)
				for seq := cache.Sequence(20); seq < 24; seq++ {
					ops := []cache.TierOp{putOp(testNS, "k", seq, incompressible(9000, 1), attrs())}
					if err := s.Write(context.Background(), ops, true); err != nil || !ops[0].Rejected || get(t, s, "k") != "-" {
						t.Fatalf("%v %s", err, outcomeOf(ops[0]))
					}
				}
				if st := s.Stats(); !st.Degraded || st.DegradedReason == "" || st.FullRejections != 4 {
					t.Errorf("%+v", st)
				}
				if op := put(t, s, "small", 30, "v"); op.Rejected {
					t.Error("small records are rejected too")
				}
				fault.on.Store(false)
				clock.advance(breakerWaitMax)
				if op := put(t, s, "k", 40, string(incompressible(9000, 1))); op.Rejected || s.Stats().Degraded {
					t.Errorf("it does not recover: %s, %q", outcomeOf(op), s.Stats().DegradedReason)
				}
				if got := payloadFilesOf(t, s); len(got) != 1 {
					t.Errorf("%d files", len(got))
				}
			})
		}
	}
}
