package l2

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"pgcache/cache"
)

func noteAccess(t *testing.T, s *Store, key string, seq cache.Sequence, at time.Time) {
	t.Helper()
	if !s.NoteAccess(testNS, []byte(key), seq, at.UnixMilli()) {
		t.Error("no room for an access")
	}
}

func accessOf(t *testing.T, s *Store, key string) int64 {
	t.Helper()
	var r cache.Record
	if ok, err := s.Get(context.Background(), testNS, []byte(key), true, &r); !ok || err != nil {
		t.Errorf("%s: %v %v", key, ok, err)
	}
	return r.LastAccessMs
}

// An access extends the life of a record wherever its payload is: for reads and sweeps at
// once, after a clean close, in a backup, and after a crash if it was saved before.
func TestAccessesExtendLife(t *testing.T) {
	const idleTTL = 10 * time.Second
	sizes := map[string]int{"inline": 10, "row": 2000, "file": 40_000}
	for name, move := range map[string]func(*testing.T, Config, *Store) *Store{
		"noted": func(_ *testing.T, _ Config, s *Store) *Store { return s },
		"saved": func(_ *testing.T, _ Config, s *Store) *Store { s.tick(); return s },
		"closed": func(t *testing.T, cfg Config, s *Store) *Store {
			closeValid(t, s)
			checkClean(t, cfg)
			return mustOpen(t, cfg)
		},
		"crashed": func(t *testing.T, cfg Config, s *Store) *Store {
			s.tick()
			if err := s.Sync(context.Background()); err != nil {
				t.Fatal(err)
			}
			crashed := cfg.FS.(*vfs.MemFS).CrashClone(vfs.CrashCloneCfg{})
			closeValid(t, s)
			cfg.FS = crashed
			return mustOpen(t, cfg)
		},
		"restored": func(t *testing.T, cfg Config, s *Store) *Store {
			if _, err := s.Backup(context.Background(), "copy"); err != nil {
				t.Fatal(err)
			}
			closeValid(t, s)
			cfg.Dir = "copy"
			checkClean(t, cfg)
			return mustOpen(t, cfg)
		},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			cfg := fileConfig(vfs.NewCrashableMem())
			cfg.Now, cfg.ticks = clock.Now, make(chan time.Time)
			s := withNamespace(t, mustOpen(t, cfg))
			for key, size := range sizes {
				put(t, s, key, 10, string(incompressible(size, 1)), idle(idleTTL))
				put(t, s, key+" unread", 11, string(incompressible(size, 1)), idle(idleTTL))
				put(t, s, key+" hard", 12, string(incompressible(size, 1)), idle(idleTTL), ttl(15*time.Second))
			}
			clock.advance(8 * time.Second)
			accessed := clock.Now()
			for key := range sizes {
				noteAccess(t, s, key, 10, accessed)
				noteAccess(t, s, key+" unread", 10, accessed) // of an older record
				noteAccess(t, s, key+" hard", 12, accessed)
			}
			s = move(t, cfg, s)
			clock.advance(2 * time.Second)
			s.tick()
			for key := range sizes {
				if got := accessOf(t, s, key); got != accessed.UnixMilli() {
					t.Errorf("%s: last access %d, want %d", key, got, accessed.UnixMilli())
				}
				if get(t, s, key+" unread") != "-" {
					t.Errorf("%s: lives on for another record's access", key)
				}
			}
			if got := scanPrefix(t, s, testNS, ""); len(got) != 2*len(sizes) {
				t.Errorf("the sweep has left %q", got)
			}
			clock.advance(8*time.Second - time.Millisecond)
			for key := range sizes {
				if get(t, s, key) == "-" || get(t, s, key+" hard") != "-" {
					t.Errorf("%s: ended early, or lives beyond its hard expiry", key)
				}
			}
			clock.advance(time.Millisecond)
			s.tick()
			if got := scanPrefix(t, s, testNS, ""); got != nil {
				t.Errorf("the sweep has left %q", got)
			}
			closeValid(t, s)
		})
	}
}

// The tier asks what the cache knows before it removes a record for being idle.
func TestSweepAsksForTheLastAccess(t *testing.T) {
	clock := newClock()
	cfg := testConfig(vfs.NewMem())
	cfg.Now, cfg.ticks = clock.Now, make(chan time.Time)
	s := withNamespace(t, open(t, cfg))
	put(t, s, "k", 10, "v", idle(10*time.Second))
	put(t, s, "other", 11, "v", idle(10*time.Second))
	read := clock.Now().Add(9 * time.Second).UnixMilli()
	s.OnIdle(func(ns cache.NamespaceID, key []byte, seq cache.Sequence) int64 {
		if ns == testNS && string(key) == "k" && seq == 10 {
			return read
		}
		return 0
	})
	clock.advance(10 * time.Second)
	s.tick()
	if get(t, s, "other") != "-" || accessOf(t, s, "k") != read {
		t.Error("removed, or not swept")
	}
	clock.advance(9 * time.Second)
	s.tick()
	if get(t, s, "k") != "-" {
		t.Error("lives for ever")
	}
	validate(t, s)
}

// Overwrites, deletes, flushes and evictions overtake accesses that wait to be written.
func TestAccessesToWhatIsGone(t *testing.T) {
	clock := newClock()
	cfg := testConfig(vfs.NewMem())
	cfg.Now, cfg.ticks = clock.Now, make(chan time.Time)
	s := withNamespace(t, open(t, cfg))
	if err := s.PutNamespace(context.Background(), cache.NamespaceRow{Name: "other", ID: 2}, 0); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"overwritten", "deleted", "kept"} {
		put(t, s, key, 10, "v", idle(time.Minute))
	}
	write1(t, s, putOp(2, "flushed", 11, []byte("v"), attrs(idle(time.Minute))))
	clock.advance(10 * time.Second)
	for _, key := range []string{"overwritten", "deleted", "kept", "never"} {
		noteAccess(t, s, key, 10, clock.Now())
	}
	if !s.NoteAccess(2, []byte("flushed"), 11, clock.Now().UnixMilli()) {
		t.Error("no room for an access")
	}
	put(t, s, "overwritten", 20, "w", idle(time.Minute))
	write1(t, s, deleteOp(testNS, "deleted", 21))
	if err := s.PutNamespace(context.Background(), cache.NamespaceRow{Name: "other", ID: 22}, 2); err != nil {
		t.Fatal(err)
	}
	if err := s.SaveAccesses(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := s.accesses.count.Load(); n != 0 || s.accesses.mu.bytes != 0 {
		t.Errorf("%d accesses, %d bytes left", n, s.accesses.mu.bytes)
	}
	if get(t, s, "overwritten") != "w" || get(t, s, "deleted") != "-" || get(t, s, "never") != "-" ||
		accessOf(t, s, "overwritten") == clock.Now().UnixMilli() || accessOf(t, s, "kept") != clock.Now().UnixMilli() {
		t.Error("an access changed what it does not belong to")
	}
	validate(t, s)
}

// What waits is bounded, never waits for the disk, counts for reads meanwhile, and is
// written once that is possible.
func TestAccessesWhileNothingCanBeWritten(t *testing.T) {
	full := &switchable{err: syscall.ENOSPC, match: isWriteOf(isLog)}
	clock := newClock()
	cfg := fileConfig(errorfs.Wrap(vfs.NewMem(), full))
	cfg.Now, cfg.ticks = clock.Now, make(chan time.Time)
	cfg.TickInterval = time.Millisecond // retries
	s := withNamespace(t, open(t, cfg))
	put(t, s, "k", 10, "v", idle(10*time.Second))
	full.on.Store(true)
	waits := make(chan error, 1)
	go func() {
		waits <- s.Write(context.Background(), []cache.TierOp{putOp(testNS, "waits", 50, []byte("v"), attrs())}, true)
	}()
	awaitTrue(t, "the log waits", func() bool { return s.health.logWaits.Load() > 0 })
	clock.advance(8 * time.Second)
	noteAccess(t, s, "k", 10, clock.Now())
	noted := 1
	for s.NoteAccess(testNS, fmt.Appendf(nil, "%0900d", noted), 10, 1) {
		noted++
	}
	if limit := accessesBytesMax / 900; noted > limit || noted < limit/2 {
		t.Errorf("%d accesses are remembered", noted)
	}
	if s.Stats().AccessesDropped != 1 {
		t.Errorf("%d dropped", s.Stats().AccessesDropped)
	}
	s.tick()
	if err := s.SaveAccesses(context.Background()); !errors.Is(err, ErrDiskFull) {
		t.Errorf("saved: %v", err)
	}
	clock.advance(9 * time.Second)
	if get(t, s, "k") != "v" {
		t.Error("the access does not count")
	}
	full.on.Store(false)
	if err := <-waits; err != nil {
		t.Fatal(err)
	}
	awaitTrue(t, "saved", func() bool { return s.SaveAccesses(context.Background()) == nil })
	if s.accesses.count.Load() != 0 || accessOf(t, s, "k") != clock.Now().Add(-9*time.Second).UnixMilli() {
		t.Error("the access was not written")
	}
}

// A directory of before there were last accesses is read as it is, and is refused by what
// does not know them from then on.
func TestAccessesInAnOlderDirectory(t *testing.T) {
	clock := newClock()
	cfg := testConfig(vfs.NewMem())
	cfg.Now, cfg.ticks = clock.Now, make(chan time.Time)
	s := withNamespace(t, mustOpen(t, cfg))
	put(t, s, "k", 10, string(incompressible(2000, 1)), idle(10*time.Second))
	d := directory{fs: cfg.FS, path: cfg.Dir}
	err := errors.Join(s.db.Set(singletonKey("format"), append([]byte{2}, s.marker.id...), pebble.Sync), s.Close())
	marker, readErr := d.read()
	marker.version = 2
	if err = errors.Join(err, readErr, d.write(marker)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	clock.advance(8 * time.Second)
	noteAccess(t, s, "k", 10, clock.Now())
	closeValid(t, s)
	if marker, err = d.read(); err != nil || marker.version != 3 {
		t.Errorf("%+v %v", marker, err)
	}
	checkClean(t, cfg)
	s = open(t, cfg)
	clock.advance(9 * time.Second)
	if get(t, s, "k") == "-" {
		t.Error("the access is lost")
	}
}
