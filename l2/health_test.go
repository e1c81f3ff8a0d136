package l2

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
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

// isSync reports an operation that a full disk does not fail: it is over when the write is.
func isSync(op errorfs.Op) bool {
	return op.Kind == errorfs.OpFileSync || op.Kind == errorfs.OpFileSyncData || op.Kind == errorfs.OpFileSyncTo
}

func isWriteOf(match func(path string) bool) func(errorfs.Op) bool {
	return func(op errorfs.Op) bool {
		return op.Kind.ReadOrWrite() == errorfs.OpIsWrite && !isSync(op) && match(op.Path)
	}
}

func awaitTrue(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !condition(); <-time.After(100 * time.Microsecond) {
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
		if got := scanLabel(t, s, cache.Label{Namespace: testNS, Kind: cache.Tag, Text: "t"}); len(got) != 1 {
			t.Errorf("a scan by label finds %q", got)
		}
		x, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		for _, row := range scanSnapshot(t, x, testNS, []byte("key-"), nil, false) {
			if key, seq, _ := strings.Cut(row, "@"); seq != "0" && key != keyOf(5) && seq < "50" {
				t.Errorf("a scan of a snapshot finds %s", row)
			}
		}
		x.Close()
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
		return err == nil && isWriteOf(isLog)(op)
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

// What a write that the disk did not take was to replace is gone for good once any call has
// succeeded that asked for durability, and after a close: without the maintainer's help.
func TestDurableCallsSettleMarks(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	label := cache.Label{Namespace: testNS, Kind: cache.Tag, Text: "t"}
	watermarks := []cache.Watermark{{Label: label, Seq: 50}}
	const marked = groupOpsMax + 100 // more than one batch
	for name, call := range map[string]func(s *Store) error{
		"sync":              func(s *Store) error { return s.Sync(ctx) },
		"write":             func(s *Store) error { return s.Write(ctx, nil, true) },
		"write of others":   func(s *Store) error { return s.Write(ctx, []cache.TierOp{deleteOp(testNS, "x", 9000)}, true) },
		"commit":            func(s *Store) error { return s.Commit(ctx, &cache.TierCommit{}, true) },
		"commit watermarks": func(s *Store) error { return s.Commit(ctx, &cache.TierCommit{Watermarks: watermarks}, true) },
		"put watermarks":    func(s *Store) error { return s.PutWatermarks(ctx, watermarks) },
		"put namespace": func(s *Store) error {
			return s.PutNamespace(ctx, cache.NamespaceRow{Name: "other", ID: 8000}, 0)
		},
		"close": (*Store).Close,
		// Not durable, but it must not outlive what its scan did not see because of a mark.
		"drop watermarks": func(s *Store) error {
			err := s.DropWatermarks(ctx, watermarks)
			return errors.Join(err, s.db.LogData(nil, pebble.Sync)) // what a kill would leave
		},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashableMem()
			s := withNamespace(t, mustOpen(t, testConfig(mem)))
			var ops []cache.TierOp
			for i := range marked {
				put(t, s, keyOf(i), sequence(i), "old", tags("t"))
				ops = append(ops, putOp(testNS, keyOf(i), 9000, nil, attrs()))
			}
			if err := s.Sync(ctx); err != nil || !s.marks.add(ops) {
				t.Fatal("no room for marks", err)
			}
			if err := call(s); err != nil {
				t.Fatal(err)
			}
			if n := s.marks.count.Load(); n != 0 {
				t.Errorf("%d marks left", n)
			}
			crashed := open(t, testConfig(mem.CrashClone(vfs.CrashCloneCfg{})))
			for i := range marked {
				if got := get(t, crashed, keyOf(i)); got != "-" {
					t.Fatalf("key %d after a crash: %q", i, got)
				}
			}
			closeValid(t, s)
		})
	}
}

// Without durability nothing waits for marks.
func TestMarksStayWithoutDurability(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	s.marks.add([]cache.TierOp{putOp(testNS, "k", 7, nil, attrs())})
	off := cache.WithDurability(context.Background(), cache.DurabilityOff)
	err := errors.Join(s.Sync(off), s.Write(context.Background(), []cache.TierOp{deleteOp(testNS, "x", 8)}, false))
	if err != nil || s.marks.count.Load() != 1 {
		t.Errorf("%v, %d marks", err, s.marks.count.Load())
	}
}

// Marks that cannot be made up for in time fail the call that needs it.
func TestMarksThatCannotBeSettled(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	wait, stall := s.cfg.WriteTimeout, s.cfg.StallAfter
	s.cfg.WriteTimeout, s.cfg.StallAfter = 50*time.Millisecond, 10*time.Millisecond
	s.marks.add([]cache.TierOp{putOp(testNS, "k", 7, nil, attrs())})
	s.settling <- struct{}{}
	if err := s.Sync(context.Background()); !errors.Is(err, ErrWriteTimeout) {
		t.Errorf("sync: %v", err)
	}
	if err := s.Write(context.Background(), []cache.TierOp{deleteOp(testNS, "k", 9)}, true); !errors.Is(err, ErrStalled) {
		t.Errorf("delete: %v", err)
	}
	<-s.settling
	s.cfg.WriteTimeout, s.cfg.StallAfter = wait, stall
	if err := s.Sync(context.Background()); err != nil || s.marks.count.Load() != 0 {
		t.Errorf("%v, %d marks", err, s.marks.count.Load())
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
