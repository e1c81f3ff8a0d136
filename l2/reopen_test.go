package l2

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"pgcache/cache"
)

func openTier(t *testing.T, cfg Config) *Tier {
	t.Helper()
	tier, err := OpenTier(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return tier
}

// isProbe reports an operation on the file that says whether the disk works: a fault that
// includes it lasts until the test ends it, without attempts to open the store again.
func isProbe(op errorfs.Op) bool { return vfs.Default.PathBase(op.Path) == probeName }

// store is the store that a tier has now.
func (t *Tier) store() *Store { return t.current.Load() }

// After each kind of error that Pebble does not survive the tier opens itself again once the
// disk works: what was durable is there, what was overwritten or deleted meanwhile is not,
// before as after a crash, and writes become durable.
func TestReopen(t *testing.T) {
	matches := func(kind func(errorfs.Op) bool, match func(path string) bool) func(errorfs.Op) bool {
		return func(op errorfs.Op) bool { return kind(op) && match(op.Path) || isProbe(op) }
	}
	isWrite := func(op errorfs.Op) bool { return op.Kind == errorfs.OpFileWrite }
	manifest := func(path string) bool { return isManifest(vfs.Default.PathBase(path)) }
	faults := map[string]*switchable{
		"sync of a full disk":          {err: syscall.ENOSPC, match: matches(isSync, isLog)},
		"sync of a broken disk":        {err: syscall.EIO, match: matches(isSync, isLog)},
		"write":                        {err: syscall.EIO, match: matches(isWrite, isLog)},
		"manifest":                     {err: syscall.EIO, match: matches(isWrite, manifest)},
		"manifest sync of a full disk": {err: syscall.ENOSPC, match: matches(isSync, manifest)},
		"inside":                       {err: syscall.EIO, match: isProbe},
		"everything":                   {err: syscall.EIO, match: func(op errorfs.Op) bool { return op.Kind.ReadOrWrite() == errorfs.OpIsWrite }},
	}
	if os.Getenv(faultEnv) == "" {
		for name := range faults {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				inChild(t, "TestReopen", name)
			})
		}
		return
	}
	fault := faults[os.Getenv(faultEnv)]
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	cfg := fileConfig(errorfs.Wrap(mem, fault))
	cfg.TickInterval = 10 * time.Millisecond
	tier := openTier(t, cfg)
	s := withNamespace(t, tier.store())
	for i := range 8 {
		put(t, s, keyOf(i), sequence(i), "old", tags("t"))
	}
	large := string(incompressible(10_000, 1))
	put(t, s, "large", 20, large)
	put(t, s, "slides", 21, "v", idle(100*365*24*time.Hour))
	if err := tier.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	put(t, s, keyOf(1), 30, "new")
	put(t, s, keyOf(2), 31, string(incompressible(10_000, 2)))
	write1(t, s, deleteOp(testNS, keyOf(3), 32))
	fault.on.Store(true)
	if os.Getenv(faultEnv) == "inside" {
		go (&pebbleLogger{log: s.cfg.Logger, fatal: s.abandon}).Fatalf("a defect")
	} else {
		go s.db.AsyncFlush() //nolint:errcheck // it may not return
	}
	label := cache.Label{Namespace: testNS, Kind: cache.Tag, Text: "u"}
	for s.degradedError() == nil { // the flush meets the manifest a moment later
		_ = tier.PutWatermarks(ctx, []cache.Watermark{{Label: label, Seq: 33}})
	}
	ops := []cache.TierOp{putOp(testNS, keyOf(4), 40, []byte("new"), attrs()), deleteOp(testNS, keyOf(5), 41)}
	if err := tier.Write(ctx, ops, false); err != nil || !ops[0].Rejected {
		t.Errorf("a write to a broken store: %v %s", err, outcomeOf(ops[0]))
	}
	accessed := time.Now().UnixMilli()
	if !tier.NoteAccess(testNS, []byte("slides"), 21, accessed) {
		t.Error("no room for an access")
	}
	check := func(what string, tier cache.Tier) {
		t.Helper()
		for i := range 8 {
			var r cache.Record
			ok, err := tier.Get(ctx, testNS, []byte(keyOf(i)), true, &r)
			if err != nil || ok != (i == 0 || i > 5) && (i < 1 || i > 2) || ok && (string(r.Value) == "old") != (i == 0 || i > 5) {
				t.Errorf("%s: key %d is %.10q %v", what, i, r.Value, err)
			}
		}
	}
	fault.on.Store(false)
	awaitReopened(t, tier, s)
	check("reopened", tier)
	if get(t, tier.store(), "large") != large {
		t.Error("a payload file is lost")
	}
	if got := accessOf(t, tier.store(), "slides"); got != accessed {
		t.Errorf("last access %d, want %d", got, accessed)
	}
	put(t, tier.store(), keyOf(1), 50, "newest")
	if err := tier.Sync(ctx); err != nil || tier.Stats().Degraded {
		t.Fatal("it does not go on", err)
	}
	if n := tier.store().marks.count.Load(); n != 0 {
		t.Errorf("%d marks are left after a sync", n)
	}
	crashed := open(t, testConfig(mem.CrashClone(vfs.CrashCloneCfg{})))
	check("after a crash", crashed)
	if get(t, crashed, keyOf(1)) != "newest" {
		t.Error("what was durable after the reopening is lost")
	}
	validate(t, tier.store())
	if err := tier.Close(); err != nil {
		t.Error(err)
	}
}

// With each write operation failing in turn, once, syncs included: whatever it was, the tier
// goes on in the end, nothing older than the latest write of a key is ever read, what was
// acknowledged as durable is there, and once a sync has succeeded all that holds after a
// crash too. The long version leaves out no operation: two minutes.
func TestReopenAfterEachError(t *testing.T) {
	causes := map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC}
	if which := os.Getenv(faultEnv); which != "" {
		for n := int32(0); !t.Failed() && reopenCase(t, n, causes[which]); n++ {
			if os.Getenv(stressEnv) == "" {
				n += n / 2
			}
		}
		return
	}
	for cause := range causes {
		t.Run(cause, func(t *testing.T) {
			t.Parallel()
			inChild(t, "TestReopenAfterEachError", cause)
		})
	}
}

// reopenCase reports whether there were as many operations.
func reopenCase(t *testing.T, n int32, cause error) bool {
	ctx := context.Background()
	mem := vfs.NewCrashableMem()
	var count atomic.Int32
	var on atomic.Bool
	cfg := fileConfig(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite && count.Add(1) == n+1 {
			return cause
		}
		return nil
	})))
	cfg.TickInterval, cfg.MemTableBytes, cfg.FileMinBytes = time.Millisecond, memTableBytesFloor, 5000
	clock := newClock()
	cfg.Now = clock.Now
	tier := openTier(t, cfg)
	withNamespace(t, tier.store())
	on.Store(true)
	value := func(i int) []byte { return incompressible(3000+i%7*500, uint64(i)) } // some in files
	latest, durable := make(map[string]cache.Sequence), make(map[string]cache.Sequence)
	check := func(when string, tier cache.Tier, key string) {
		var r cache.Record
		ok, err := tier.Get(ctx, testNS, []byte(key), true, &r)
		switch {
		case err != nil:
			t.Errorf("%s: %s: %v", when, key, err)
		case ok && r.Seq != latest[key]:
			t.Errorf("%s: %s is back at %d, was written at %d", when, key, r.Seq, latest[key])
		case ok && string(r.Value) != string(value(int(r.Seq-1))):
			t.Errorf("%s: %s has another value", when, key)
		case !ok && durable[key] == latest[key]:
			t.Errorf("%s: %s was durable at %d and is gone", when, key, latest[key])
		}
	}
	write := func(i int) {
		key, sync := keyOf(i%20), i%3 == 0
		op := putOp(testNS, key, sequence(i), value(i), attrs())
		if i%11 == 10 {
			op = deleteOp(testNS, key, sequence(i))
		}
		ops := []cache.TierOp{op}
		latest[key] = op.Record.Seq
		err := tier.Write(ctx, ops, sync)
		if err == nil && ops[0].Err == nil && !ops[0].Rejected && !op.Delete && sync {
			durable[key] = op.Record.Seq
		}
		if err == nil && ops[0].Err == nil {
			check(fmt.Sprint("write ", i), tier, key)
		} else if op.Delete { // it was said to have failed: the cache hides it, and tries again
			awaitTrue(t, "a delete succeeds", func() bool {
				ops := []cache.TierOp{op}
				return tier.Write(ctx, ops, true) == nil && ops[0].Err == nil
			})
		}
	}
	for i := range 150 {
		write(i)
	}
	awaitTrue(t, "the tier takes writes again", func() bool { // a late failure counts for a while, too
		clock.advance(breakerWaitMax)
		return !tier.Stats().Degraded
	})
	for i := 150; i < 170; i++ {
		write(i)
	}
	awaitTrue(t, "a sync succeeds", func() bool { return tier.Sync(ctx) == nil }) // a late error may fail one
	on.Store(false)
	happened := count.Load() > n
	crashed := mustOpen(t, testConfig(mem.CrashClone(vfs.CrashCloneCfg{})))
	for key := range latest {
		check("in the end", tier, key)
		check("after a crash", crashed, key)
	}
	closeValid(t, crashed)
	if err := tier.Close(); err != nil {
		t.Error(err)
	}
	if t.Failed() {
		t.Logf("failing write %d, cause: %v", n, cause)
	}
	return happened
}

// awaitReopened waits until a tier has another store than s.
func awaitReopened(t *testing.T, tier *Tier, s *Store) *Store {
	t.Helper()
	awaitTrue(t, "the tier opens itself again", func() bool { return tier.store() != s && !tier.Stats().Degraded })
	return tier.store()
}

// The database that is opened again is what the cache thinks that it is: a flush that failed
// has not happened although the log has it, what was acknowledged without durability has.
func TestReopenTakesOver(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		inChild(t, t.Name(), "takes over")
		return
	}
	ctx := cache.WithDurability(context.Background(), cache.DurabilityOff)
	mem := vfs.NewCrashableMem()
	cfg := testConfig(mem)
	cfg.TickInterval = time.Millisecond
	tier := openTier(t, cfg)
	s := withNamespace(t, tier.store())
	put(t, s, "k", 10, "v")
	if err := tier.Sync(context.Background()); err != nil {
		t.Fatal(err)
	}
	// Not durable, and lost: the files as they are now are what is opened.
	label := cache.Label{Namespace: testNS, Kind: cache.Tag, Text: "t"}
	limits := cache.NamespaceLimits{L2BytesMax: 5 << 20}
	err := errors.Join(
		tier.PutWatermarks(ctx, []cache.Watermark{{Label: label, Seq: 20}}),
		tier.PutNamespace(ctx, cache.NamespaceRow{Name: "unsynced", ID: 21, Limits: limits}, 0),
		tier.Write(ctx, []cache.TierOp{putOp(21, "k", 22, []byte("v"), attrs())}, false))
	if err != nil {
		t.Fatal(err)
	}
	// In the log, but nobody was told: a flush of the namespace, and a record after it.
	const failed = cache.NamespaceID(30)
	batch := s.db.NewBatch()
	err = errors.Join(
		batch.Set(appendNamespaceKey(nil, "test"), appendNamespaceRow(nil, cache.NamespaceRow{Name: "test", ID: failed}), nil),
		batch.Set(appendNamespacePrefix(nil, kindGarbage, testNS), nil, nil),
		batch.Set(appendOrderedKey(nil, kindQueue, 31, appendRecordKey(nil, failed, []byte("k"))), appendUint64(nil, 5), nil),
		batch.Set(appendRecordKey(nil, failed, []byte("k")), []byte("x"), nil),
		s.db.Apply(batch, pebble.Sync))
	if err != nil {
		t.Fatal(err)
	}
	s.degrade(errors.New("a test"))
	check := func(s *Store) {
		t.Helper()
		if got := get(t, s, "k"); got != "v" {
			t.Errorf("%q", got)
		}
		rows := map[string]cache.NamespaceRow{}
		for _, row := range s.State().Namespaces {
			rows[row.Name] = row
		}
		if len(rows) != 2 || rows["test"].ID != testNS || rows["unsynced"].Limits != limits {
			t.Errorf("namespaces %+v", rows)
		}
		if w := s.State().Watermarks; len(w) != 1 || w[0].Label != label || w[0].Seq != 20 {
			t.Errorf("watermarks %v", w)
		}
		if len(s.garbage.take()) != 0 {
			t.Error("something waits for reclaim")
		}
	}
	s = awaitReopened(t, tier, s)
	check(s)
	check(open(t, testConfig(mem.CrashClone(vfs.CrashCloneCfg{}))))
	// The flush is tried again.
	if err := tier.PutNamespace(ctx, cache.NamespaceRow{Name: "test", ID: failed}, testNS); err != nil {
		t.Error(err)
	}
	write1(t, s, putOp(failed, "next", 40, []byte("v"), attrs()))
	if tier.Usage(failed).Entries != 1 || tier.MayContain(failed, []byte("k")) {
		t.Errorf("%+v", tier.Usage(failed))
	}
	if err := tier.Close(); err != nil {
		t.Error(err)
	}
}

// If more was overwritten on the broken disk than marks hold, the tier starts empty.
func TestReopenStartsEmpty(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		inChild(t, t.Name(), "starts empty")
		return
	}
	cfg := fileConfig(vfs.NewMem())
	cfg.TickInterval = time.Hour
	tier := openTier(t, cfg)
	s := withNamespace(t, tier.store())
	for i := range 20 {
		put(t, s, keyOf(i), sequence(i), string(incompressible(1000*i, uint64(i))), tags("t"), ttl(time.Hour))
	}
	s.degrade(errors.New("a test"))
	for i := 0; !s.health.blind.Load(); i++ {
		ops := []cache.TierOp{putOp(testNS, fmt.Sprintf("%0500d", i), sequence(i+1000), nil, attrs())}
		if err := tier.Write(context.Background(), ops, false); err != nil {
			t.Fatal(err)
		}
	}
	from, err := s.giveUp(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	ops := []cache.TierOp{putOp(testNS, fmt.Sprintf("%01000d", 0), 1<<40, nil, attrs())}
	if err := tier.Write(context.Background(), ops, false); !errors.Is(err, ErrDegraded) {
		t.Errorf("a write that would have to be remembered: %v", err)
	}
	next, err := replacement(context.Background(), tier.cfg, from)
	if err != nil || !tier.publish(s, next, from) {
		t.Fatal(err)
	}
	s = tier.store()
	if n := s.Stats().Entries; n != 0 || s.marks.count.Load() != 0 || len(scanPrefix(t, s, testNS, "")) != 0 {
		t.Errorf("%d entries, %d marks", n, s.marks.count.Load())
	}
	if put(t, s, keyOf(1), 1<<41, "next"); get(t, s, keyOf(1)) != "next" {
		t.Error("it does not go on")
	}
	validate(t, s)
}

// A disk that works for a moment and fails for long after does not end puts to the cache when
// marks are full; the tier starts empty then.
func TestReopenOnDiskThatFailsOn(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		inChild(t, t.Name(), "fails on")
		return
	}
	ctx := context.Background()
	var isDead, isWell atomic.Bool
	fs := errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if isProbe(op) && op.Kind == errorfs.OpRemove && !isWell.Load() {
			isDead.Store(true) // that it works was the last that was heard of it
			return nil
		}
		if isDead.Load() && !isWell.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			return syscall.EIO
		}
		return nil
	}))
	cfg := fileConfig(fs)
	cfg.TickInterval = 10 * time.Millisecond
	tier := openTier(t, cfg)
	s := withNamespace(t, tier.store())
	put(t, s, keyOf(1), 1, "old")
	s.degrade(errors.New("a test"))
	// Wait for the attempt that fails: while it is made, what finds no room is an error.
	awaitTrue(t, "the attempt fails", func() bool {
		s.marks.mu.RLock()
		defer s.marks.mu.RUnlock()
		return isDead.Load() && s.marks.mu.waiting
	})
	ops := make([]cache.TierOp, 200)
	for n := 0; n < 2*marksBytesMax; {
		for i := range ops {
			ops[i] = putOp(testNS, fmt.Sprintf("%01000d", n), sequence(n+1000), nil, attrs())
			n += 1000
		}
		if err := tier.Write(ctx, ops, false); err != nil || !ops[0].Rejected {
			t.Fatalf("after %d bytes of keys: %v", n, err)
		}
	}
	isWell.Store(true)
	s = awaitReopened(t, tier, s)
	if n := s.Stats().Entries; n != 0 || s.marks.count.Load() != 0 {
		t.Errorf("%d entries, %d marks", n, s.marks.count.Load())
	}
	validate(t, s)
}

// While the tier breaks and opens itself again, some times, readers and writers go on: nobody
// reads what is older than a write that had returned before.
func TestReopenWhileServing(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		inChild(t, t.Name(), "while serving")
		return
	}
	fault := &switchable{err: syscall.EIO, match: func(op errorfs.Op) bool { return isSync(op) && isLog(op.Path) || isProbe(op) }}
	cfg := fileConfig(errorfs.Wrap(vfs.NewMem(), fault))
	cfg.TickInterval, cfg.MemTableBytes = time.Millisecond, memTableBytesFloor
	tier := openTier(t, cfg)
	withNamespace(t, tier.store())
	const keys = 8
	var written [keys]atomic.Uint64 // the sequence of the latest write that has returned
	ctx, cancel := context.WithCancel(context.Background())
	var group sync.WaitGroup
	for k := range keys {
		key := keyOf(k)
		group.Go(func() {
			for seq := cache.Sequence(k + 10); ctx.Err() == nil; seq += keys {
				op := putOp(testNS, key, seq, incompressible(1000+int(seq%3)*4000, uint64(seq)), attrs())
				if seq%5 == 0 {
					op = deleteOp(testNS, key, seq)
				}
				ops := []cache.TierOp{op}
				if err := tier.Write(context.Background(), ops, seq%2 == 0); err == nil && ops[0].Err == nil {
					written[k].Store(uint64(seq))
				} else if !isShedding(errors.Join(err, ops[0].Err)) {
					t.Errorf("write: %v %v", err, ops[0].Err)
				}
			}
		})
		group.Go(func() {
			for ctx.Err() == nil {
				var r cache.Record
				before := written[k].Load()
				ok, err := tier.Get(context.Background(), testNS, []byte(key), true, &r)
				if err != nil || ok && uint64(r.Seq) < before {
					t.Errorf("%s: sequence %d after %d: %v", key, r.Seq, before, err)
				}
			}
		})
	}
	for range reopensMax / 2 {
		s := tier.store()
		fault.on.Store(true)
		awaitTrue(t, "the store breaks", func() bool { return s.degradedError() != nil })
		fault.on.Store(false)
		awaitReopened(t, tier, s)
	}
	cancel()
	group.Wait()
	if err := tier.Sync(context.Background()); err != nil {
		t.Error(err)
	}
	validate(t, tier.store())
	if err := tier.Close(); err != nil {
		t.Error(err)
	}
}
