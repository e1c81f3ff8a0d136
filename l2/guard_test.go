package l2

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"pgcache/cache"
)

// within fails the test unless call returns soon.
func within(t *testing.T, what string, call func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		call()
	}()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("%s hangs", what)
	}
}

// flushing begins a flush of the memtable, with an iterator open that outlives it: Pebble
// takes DB.mu when such a one is closed.
func flushing(t *testing.T, s *Store) (closeIterator func() error) {
	t.Helper()
	iter, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "flushed", 20, "v")
	if _, err := s.db.AsyncFlush(); err != nil {
		t.Fatal(err)
	}
	return iter.Close
}

// Pebble's answer to an error on its manifest is to end the process, holding DB.mu. Nobody
// may wait for that: a reader that began before the flush needs it in order to end.
func TestManifestFails(t *testing.T) {
	for name, fault := range map[string]*switchable{
		"write": {err: syscall.EIO, match: func(op errorfs.Op) bool {
			return op.Kind == errorfs.OpFileWrite && isManifest(vfs.Default.PathBase(op.Path))
		}},
		"sync": {err: syscall.EIO, match: func(op errorfs.Op) bool {
			return isSync(op) && isManifest(vfs.Default.PathBase(op.Path))
		}},
		"sync of a full disk": {err: syscall.ENOSPC, match: func(op errorfs.Op) bool {
			return isSync(op) && isManifest(vfs.Default.PathBase(op.Path))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			if os.Getenv(faultEnv) == "" {
				inChild(t, t.Name(), name)
				return
			}
			cfg := testConfig(errorfs.Wrap(vfs.NewMem(), fault))
			cfg.CloseTimeout = time.Second
			s := withNamespace(t, mustOpen(t, cfg))
			put(t, s, "k", 10, "v")
			fault.on.Store(true)
			closeIterator := flushing(t, s)
			awaitTrue(t, "the store is degraded", func() bool { return s.degradedError() != nil })
			within(t, "a reader", func() {
				if err := closeIterator(); err != nil {
					t.Error(err)
				}
			})
			within(t, "a get", func() {
				if got := get(t, s, "k"); got != "v" {
					t.Errorf("%q", got)
				}
			})
			within(t, "a scan", func() {
				x, err := s.Snapshot()
				if err != nil {
					t.Error(err)
					return
				}
				if got := scanSnapshot(t, x, testNS, nil, nil, false); len(got) != 2 {
					t.Errorf("%q", got)
				}
				x.Close()
			})
			within(t, "a delete", func() {
				err := s.Write(context.Background(), []cache.TierOp{deleteOp(testNS, "k", 30)}, true)
				if !errors.Is(err, ErrDegraded) {
					t.Error(err)
				}
			})
			within(t, "close", func() { _ = s.Close() })
		})
	}
}

// A manifest that meets a full disk waits for room, and then all goes on.
func TestManifestOnFullDisk(t *testing.T) {
	full := &switchable{err: syscall.ENOSPC, match: isWriteOf(func(path string) bool { return isManifest(vfs.Default.PathBase(path)) })}
	cfg := testConfig(errorfs.Wrap(vfs.NewMem(), full))
	cfg.TickInterval = time.Millisecond
	s := withNamespace(t, open(t, cfg))
	full.on.Store(true)
	closeIterator := flushing(t, s)
	awaitTrue(t, "the manifest waits", func() bool { return s.health.logWaits.Load() > 0 })
	within(t, "a reader", func() {
		if err := closeIterator(); err != nil {
			t.Error(err)
		}
	})
	if err := s.Sync(context.Background()); !errors.Is(err, ErrDiskFull) {
		t.Errorf("sync: %v", err)
	}
	if got := get(t, s, "flushed"); got != "v" {
		t.Errorf("%q", got)
	}
	full.on.Store(false)
	awaitTrue(t, "it goes on", func() bool { return s.unwritable() == nil })
	if err := s.Sync(context.Background()); err != nil {
		t.Errorf("sync: %v", err)
	}
}

// An operation on the log that waits for room counts as waiting until it ends, between its
// tries too: a write that came in a gap would wait with it.
func TestNoGapWhileTheLogIsFull(t *testing.T) {
	var waiting atomic.Int64
	var armed atomic.Bool
	armed.Store(true)
	tries, between := 0, []int64{}
	g := &guardFS{
		background: context.Background(), retryEvery: time.Nanosecond, full: &waiting, armed: &armed,
		relieve: func() bool { between = append(between, waiting.Load()); return false },
	}
	err := g.do("write log", func() error {
		if tries++; tries <= 4 {
			return syscall.ENOSPC
		}
		return nil
	})
	if err != nil || tries != 5 || waiting.Load() != 0 {
		t.Errorf("%v after %d tries, %d wait", err, tries, waiting.Load())
	}
	if want := []int64{0, 1, 1, 1, 1}; !slices.Equal(between, want) { // the first could be helped at once
		t.Errorf("between tries %v wait, want %v", between, want)
	}
}

// A sync of the log that failed is not tried again, even for want of room: it might succeed
// without what the kernel has dropped, and a delete would be acknowledged that is not there.
func TestLogSyncFails(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		inChild(t, t.Name(), "sync")
		return
	}
	fault := &switchable{err: syscall.ENOSPC, match: func(op errorfs.Op) bool { return isSync(op) && isLog(op.Path) }}
	cfg := testConfig(errorfs.Wrap(vfs.NewMem(), fault))
	cfg.CloseTimeout = time.Second
	s := withNamespace(t, mustOpen(t, cfg))
	put(t, s, "k", 10, "v")
	fault.on.Store(true)
	within(t, "a delete", func() {
		err := s.Write(context.Background(), []cache.TierOp{deleteOp(testNS, "k", 30)}, true)
		if !errors.Is(err, ErrDegraded) {
			t.Errorf("%v", err)
		}
	})
	fault.on.Store(false)
	if err := s.Sync(context.Background()); !errors.Is(err, ErrDegraded) {
		t.Errorf("afterwards: %v", err)
	}
	within(t, "close", func() { _ = s.Close() })
}

// A fatal error inside Pebble may leave its locks held: nothing is read any more, and no
// call waits for them.
func TestFatalErrorInside(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		inChild(t, t.Name(), "fatal")
		return
	}
	cfg := testConfig(vfs.NewMem())
	cfg.CloseTimeout = time.Second
	s := withNamespace(t, mustOpen(t, cfg))
	put(t, s, "k", 10, "v")
	open, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	go (&pebbleLogger{log: s.cfg.Logger, fatal: s.abandon}).Fatalf("a defect")
	awaitTrue(t, "the store is degraded", func() bool { return s.degradedError() != nil })
	if get(t, s, "k") != "-" || s.MayContain(testNS, []byte("k")) {
		t.Error("what may be in no state to be read is read")
	}
	none := func(*cache.Record) bool { t.Error("a scan finds something"); return false }
	label := cache.Label{Namespace: testNS, Kind: cache.Tag, Text: "t"}
	for _, err := range []error{
		s.ScanPrefix(context.Background(), testNS, nil, none), s.ScanLabel(context.Background(), label, none),
		open.Scan(context.Background(), testNS, nil, nil, false, none),
	} {
		if !errors.Is(err, ErrDegraded) {
			t.Errorf("a scan that sees not everything: %v", err)
		}
	}
	x, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if got := scanSnapshot(t, x, testNS, nil, nil, false); len(got) != 0 {
		t.Errorf("a scan finds %q", got)
	}
	x.Close()
	open.Close()
	within(t, "close", func() { _ = s.Close() })
}

// dieOn is a log handler that meets a fatal error, in Pebble's goroutine and with its lock
// held, when Pebble has something to say about its background work.
type dieOn struct {
	slog.Handler
	die func()
}

func (*dieOn) Enabled(context.Context, slog.Level) bool { return true }

func (d *dieOn) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "background work") {
		d.die()
	}
	return nil
}

// No reader hangs, whatever it does at the moment when Pebble dies with its lock held: not
// even one that needs the lock in order to end.
func TestPebbleDiesWithItsLock(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		inChild(t, t.Name(), "lock")
		return
	}
	isTable := func(op errorfs.Op) bool {
		return op.Kind == errorfs.OpCreate && strings.HasSuffix(op.Path, ".sst")
	}
	fault := &switchable{err: syscall.EIO, match: isTable}
	cfg := testConfig(errorfs.Wrap(vfs.NewMem(), fault))
	cfg.CloseTimeout, cfg.TickInterval = time.Second, 20*time.Millisecond
	dies := &dieOn{Handler: slog.DiscardHandler}
	cfg.Logger = slog.New(dies)
	s := withNamespace(t, mustOpen(t, cfg))
	log := &pebbleLogger{log: slog.New(slog.DiscardHandler), fatal: s.abandon}
	dies.die = func() { log.Fatalf("a defect") }
	put(t, s, "k", 10, "v", tags("t"))
	var readers sync.WaitGroup
	label := cache.Label{Namespace: testNS, Kind: cache.Tag, Text: "t"}
	visit := func(*cache.Record) bool { return true }
	for _, read := range []func(){
		func() { get(t, s, "k") },
		func() { s.MayContain(testNS, []byte("k")) },
		func() { _ = s.ScanLabel(context.Background(), label, visit) },
		func() { _ = s.ScanPrefix(context.Background(), testNS, nil, visit) },
		func() {
			if x, err := s.Snapshot(); err == nil {
				_ = x.Scan(context.Background(), testNS, nil, nil, false, visit)
				x.Close()
			}
		},
	} {
		readers.Go(func() {
			for s.degradedError() == nil {
				read()
			}
			read()
		})
	}
	fault.on.Store(true)
	iter, err := s.db.NewIter(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.db.AsyncFlush(); err != nil { // from now on only iter keeps what it reads
		t.Fatal(err)
	}
	awaitTrue(t, "the store is blind", s.health.blind.Load)
	within(t, "a reader", func() { _ = s.closeIter(iter) })
	within(t, "readers", readers.Wait)
	within(t, "close", func() { _ = s.Close() })
}

// A table that is missing breaks the store, and the read that needs it is a miss.
func TestTableGoesMissing(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		inChild(t, t.Name(), "missing")
		return
	}
	mem := vfs.NewMem()
	cfg := testConfig(mem)
	cfg.CloseTimeout, cfg.TickInterval = time.Second, 20*time.Millisecond
	s := withNamespace(t, mustOpen(t, cfg))
	put(t, s, "k", 10, "v")
	closeValid(t, s)
	names, err := mem.List("data/db")
	if err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	_ = s.db.Metrics()
	for _, name := range names {
		if strings.HasSuffix(name, ".sst") {
			if err := mem.Remove("data/db/" + name); err != nil {
				t.Fatal(err)
			}
		}
	}
	within(t, "a get", func() { _, _ = s.Get(context.Background(), testNS, []byte("k"), true, new(cache.Record)) })
	within(t, "another get", func() { get(t, s, "k") })
	within(t, "close", func() { _ = s.Close() })
}
