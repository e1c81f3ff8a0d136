package l2

import (
	"context"
	"errors"
	"os"
	"os/exec"
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

// damageRow changes a byte of a row behind the store's back.
func damageRow(t testing.TB, s *Store, key []byte, at int) {
	t.Helper()
	value, closer, err := s.db.Get(key)
	if err != nil {
		t.Fatal(err)
	}
	value = append([]byte(nil), value...)
	if err := closer.Close(); err != nil {
		t.Fatal(err)
	}
	value[at] ^= 0x10
	if err := s.db.Set(key, value, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
}

// Any changed byte makes the record a miss, is counted, and removes the record.
func TestDamagedRecords(t *testing.T) {
	t.Parallel()
	recordKey := appendRecordKey(nil, testNS, []byte("k"))
	payloadKey := appendPayloadKey(nil, recordKey)
	for _, tc := range []struct {
		name  string
		value []byte
		key   []byte
		every int
	}{
		{"header", compressible(3000), recordKey, 1},
		{"inline", []byte("small"), recordKey, 1},
		{"compressed payload", append(incompressible(800, 2), compressible(3000)...), payloadKey, 1},
		{"raw payload", incompressible(3000, 1), payloadKey, 97},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := withNamespace(t, mustOpen(t, testConfig(vfs.NewMem())))
			defer s.Close() // of a damaged header rows remain: not valid
			removed := watchRemovals(s)
			damaged := 0
			for at := 0; ; at += tc.every {
				write1(t, s, putOp(testNS, "k", 10, tc.value, attrs(tags("t"), ttl(time.Hour))))
				value, closer, err := s.db.Get(tc.key)
				if err != nil {
					t.Fatal(err)
				}
				size := len(value)
				closer.Close()
				if at >= size {
					break
				}
				damageRow(t, s, tc.key, at)
				if got := get(t, s, "k"); got != "-" {
					t.Fatalf("byte %d: got %d bytes", at, len(got))
				}
				damaged++
				settle(t, s)
				if s.MayContain(testNS, []byte("k")) {
					t.Fatalf("byte %d: the record is still there", at)
				}
			}
			if got := s.Stats().CorruptRecords; got != int64(damaged) {
				t.Errorf("%d corrupt records of %d", got, damaged)
			}
			removed.await(t, 1)
			if tc.key[0] == kindPayload {
				validate(t, s)
			}
		})
	}
}

// What a damaged header leaves behind is found by eviction.
func TestDamagedHeaderIsEvicted(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.BytesMax = bytesMaxFloor
	s := withNamespace(t, open(t, cfg))
	put(t, s, "k", 10, string(incompressible(1000, 1)))
	damageRow(t, s, appendRecordKey(nil, testNS, []byte("k")), 20)
	ok, err := s.Get(context.Background(), testNS, []byte("k"), false, new(cache.Record))
	if ok || err != nil {
		t.Fatal("a damaged header is believed", err)
	}
	settle(t, s)
	if got := get(t, s, "k"); got != "-" {
		t.Fatal("the payload outlives the header")
	}
	for i := range 2000 {
		put(t, s, keyOf(i), sequence(i+10), string(incompressible(1000, uint64(i))))
	}
}

func TestMissingPayload(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	put(t, s, "k", 10, string(incompressible(1000, 1)))
	payloadKey := appendPayloadKey(nil, appendRecordKey(nil, testNS, []byte("k")))
	if err := s.db.Delete(payloadKey, pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	if get(t, s, "k") != "-" || s.Stats().CorruptRecords != 1 {
		t.Error("a record without payload is served")
	}
	settle(t, s)
	if s.Stats().Entries != 0 {
		t.Error("a record without payload is kept")
	}
}

// faultEnv says to a test that it runs in a child process, and which case. What Pebble
// leaves behind after an error must not count as our leak.
const faultEnv = "L2_FAULT"

// childTimeout bounds a child: no call of a store waits for a failing disk for ever. A case
// takes seconds, on a busy machine too.
const childTimeout = 4 * patience

// inChild runs one case of a test in a process of its own and returns its output.
func inChild(t *testing.T, test, which string) string {
	t.Helper()
	bound := childTimeout
	if os.Getenv(stressEnv) != "" {
		bound *= 10
	}
	// Its own timeout shows where it hangs, ours is for the case that it does not end even so.
	ctx, cancel := context.WithTimeout(context.Background(), bound+bound/4)
	defer cancel()
	cmd := exec.CommandContext(ctx, os.Args[0], "-test.run=^"+test+"$", "-test.v", "-test.timeout="+bound.String())
	cmd.Env = append(os.Environ(), faultEnv+"="+which)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("case %s: %v\n%.12000s", which, err, out)
	}
	return string(out)
}

// readFault fails the n-th reading operation since it was switched on.
type readFault struct {
	n    int32
	on   atomic.Bool
	seen atomic.Int32
}

func (f *readFault) String() string { return "read fault" }

func (f *readFault) MaybeError(op errorfs.Op) error {
	if f.on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsRead && f.seen.Add(1) == f.n+1 {
		return errorfs.ErrInjected
	}
	return nil
}

// Read errors are reported, or the record is a miss; they do not change what is stored.
func TestReadErrors(t *testing.T) {
	t.Parallel()
	mem := vfs.NewMem()
	cfg := testConfig(mem)
	cfg.BlockCacheBytes = 1 // read from files
	s := withNamespace(t, mustOpen(t, cfg))
	for i := range 100 {
		put(t, s, keyOf(i), sequence(i), string(incompressible(2000, uint64(i))))
	}
	closeValid(t, s)
	for n := int32(0); ; n++ {
		fault := &readFault{n: n}
		cfg.FS = errorfs.Wrap(mem, fault)
		s := mustOpen(t, cfg)
		fault.on.Store(true)
		failed := 0
		for i := range 100 {
			var r cache.Record
			ok, err := s.Get(context.Background(), testNS, []byte(keyOf(i)), true, &r)
			switch {
			case err != nil:
				failed++
			case ok && string(r.Value) != string(incompressible(2000, uint64(i))):
				t.Fatalf("failing read %d: %s has another value", n, keyOf(i))
			}
		}
		fault.on.Store(false)
		for i := range 100 {
			if get(t, s, keyOf(i)) != string(incompressible(2000, uint64(i))) {
				t.Fatalf("failing read %d: %s is gone", n, keyOf(i))
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if failed > 1 {
			t.Errorf("failing read %d: %d gets failed", n, failed)
		}
		if fault.seen.Load() <= n || n > 25 { // there are not that many, or enough was seen
			return
		}
	}
}

// Open fails cleanly, or works, whichever read fails; afterwards everything is there.
func TestOpenErrors(t *testing.T) {
	if os.Getenv(faultEnv) == "" {
		t.Log(inChild(t, "TestOpenErrors", "open"))
		return
	}
	mem := vfs.NewMem()
	made(t, mem)
	for n := int32(0); n < 300; n++ {
		fault := &readFault{n: n} // failing writes: see TestWriteErrors
		fault.on.Store(true)
		s, err := Open(testConfig(errorfs.Wrap(mem, fault)))
		if err == nil {
			err = s.Close()
		}
		var open *OpenError
		if err != nil && !errors.As(err, &open) && !errors.Is(err, errorfs.ErrInjected) {
			t.Fatalf("operation %d: %v", n, err)
		}
		s = mustOpen(t, testConfig(mem))
		if get(t, s, "k") != "v" {
			t.Fatalf("operation %d: the record is gone", n)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if fault.seen.Load() <= n {
			return // there are not that many
		}
	}
}

// With each write operation failing in turn, and all after it, the store either goes on or
// is degraded: reads answer old or new values or miss, writes end in errors, Close returns,
// and what was acknowledged as durable is there at the next open. The long version does
// not leave out any of the some 370 operations: two minutes, ten with the race detector.
func TestWriteErrors(t *testing.T) {
	causes := map[string]error{"EIO": syscall.EIO, "ENOSPC": syscall.ENOSPC}
	if which := os.Getenv(faultEnv); which != "" {
		cause, many, _ := strings.Cut(which, " ")
		for n := int32(0); !t.Failed() && writeErrorCase(t, n, causes[cause], many == "once"); n++ {
			if os.Getenv(stressEnv) == "" {
				n += n / 2
			}
		}
		return
	}
	if testing.Short() {
		return
	}
	for cause := range causes {
		for _, many := range []string{"once", "from then on"} {
			t.Run(cause+" "+many, func(t *testing.T) {
				t.Parallel()
				inChild(t, "TestWriteErrors", cause+" "+many)
			})
		}
	}
}

// stressEnv asks for the long version of tests that have one; make stress sets it.
const stressEnv = "PGCACHE_STRESS"

// writeErrorCase lets the n-th write operation fail, or all from it on, and reports whether
// there were as many.
func writeErrorCase(t *testing.T, n int32, cause error, once bool) bool {
	mem := vfs.NewCrashableMem()
	var count atomic.Int32
	var on atomic.Bool
	cfg := testConfig(errorfs.Wrap(mem, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if on.Load() && op.Kind.ReadOrWrite() == errorfs.OpIsWrite {
			if at := count.Add(1); at == n+1 || at > n && !once {
				return cause
			}
		}
		return nil
	})))
	cfg.TickInterval = time.Millisecond                                            // of the wait for disk space
	value := func(i int) []byte { return incompressible(3000+i%7*500, uint64(i)) } // some in files
	cfg.MemTableBytes, cfg.FileMinBytes = memTableBytesFloor, 5000
	cfg.WriteTimeout, cfg.CloseTimeout, cfg.StallAfter = 5*time.Second, time.Second/10, time.Second/4
	s := withNamespace(t, mustOpen(t, cfg))
	on.Store(true)
	durable, tried, unsynced := make(map[string]int), make(map[string]int), make(map[string]int)
	failed := false
	for i := range 150 {
		key, sync := keyOf(i%20), i%3 == 0
		tried[key] = i
		if !sync && len(value(i)) >= cfg.FileMinBytes {
			unsynced[key] = i
		}
		ops := []cache.TierOp{putOp(testNS, key, sequence(i), value(i), attrs())}
		err := s.Write(context.Background(), ops, sync)
		stored := err == nil && !ops[0].Rejected
		if stored && sync {
			for k, at := range tried {
				if k == key || len(value(at)) < cfg.FileMinBytes {
					durable[k] = at
				}
			}
		}
		if failed = failed || !stored; !stored {
			unsynced[key] = i
		}
		var r cache.Record
		ok, err := s.Get(context.Background(), testNS, []byte(key), true, &r)
		if err == nil && ok && (string(r.Value) != string(value(int(r.Seq-1))) || ops[0].Rejected || stored && r.Seq != sequence(i)) {
			t.Fatalf("%s: another value, or an older one", key)
		}
		if failed && i > 120 {
			break
		}
	}
	if failed != (s.degradedError() != nil) && failed {
		t.Logf("writes failed, not broken")
	}
	happened := count.Load() > n
	_ = s.Close()
	reopened := testConfig(mem.CrashClone(vfs.CrashCloneCfg{}))
	s = mustOpen(t, reopened)
	for key, at := range durable {
		var r cache.Record
		ok, err := s.Get(context.Background(), testNS, []byte(key), true, &r)
		if !ok && unsynced[key] >= at {
			continue // it was rejected (by a stall too), or its file, or that of what replaced it, was not synced: a miss
		}
		if err != nil || !ok || int(r.Seq) < at+1 || string(r.Value) != string(value(int(r.Seq-1))) {
			t.Errorf("%s: acknowledged as durable at %d, found %v %d %v", key, at+1, ok, r.Seq, err)
		}
	}
	for key := range tried { // what the crash damaged is found by reading
		get(t, s, key)
	}
	closeValid(t, s)
	if t.Failed() {
		t.Logf("failing write %d, once: %v, cause: %v", n, once, cause)
	}
	return happened
}

// A log that meets a full disk waits for room. Reads go on, new writes fail at once, and
// those that wait are done in the end.
func TestLogOnFullDisk(t *testing.T) {
	full := &switchable{err: syscall.ENOSPC, match: isWriteOf(isLog)}
	clock := newClock()
	cfg := testConfig(errorfs.Wrap(vfs.NewMem(), full))
	cfg.MemTableBytes = memTableBytesFloor
	cfg.TickInterval, cfg.Now = time.Millisecond, clock.Now
	s := withNamespace(t, open(t, cfg))
	put(t, s, "k", 10, "v")
	full.on.Store(true)
	ops := []cache.TierOp{putOp(testNS, "waits", 11, incompressible(200_000, 1), attrs())}
	done := make(chan error, 1)
	go func() { done <- s.Write(context.Background(), ops, true) }()
	awaitTrue(t, "the log waits", func() bool { return s.health.logWaits.Load() > 0 })
	if get(t, s, "k") != "v" || !s.Stats().Degraded {
		t.Error("reads do not go on, or the store does not say that it is degraded")
	}
	full.on.Store(false)
	if err := <-done; err != nil {
		t.Errorf("the write that waited: %v", err)
	}
	if get(t, s, "waits") != string(ops[0].Record.Value) {
		t.Error("what waited is not there")
	}
	// A background flush that met the full disk too tries again a moment later.
	awaitTrue(t, "the store recovers", func() bool {
		clock.advance(backgroundFailureFor)
		return !s.Stats().Degraded
	})
}

// A write whose caller gives up half way may be done in part: what is done is whole, and a
// second try makes up for the rest.
func TestWriteDoneInPart(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	ops := []cache.TierOp{
		putOp(testNS, "done", 10, []byte("v"), attrs(tags("t"))),
		putOp(testNS, "given up", 11, incompressible(2000, 1), attrs(tags("t"))),
		putOp(testNS, "behind it", 12, []byte("w"), attrs(tags("t"))),
	}
	w, err := s.newWrite(context.Background(), ops, false)
	if err != nil {
		t.Fatal(err)
	}
	w.request.emit = w.emit
	w.request.abandon()
	if err := s.submit(context.Background(), &w.request); !errors.Is(err, ErrWriteTimeout) {
		t.Fatal(err)
	}
	w.release()
	settle(t, s) // the error is answered before the rest of the batch is committed
	if get(t, s, "done") != "v" || get(t, s, "given up") != "-" || get(t, s, "behind it") != "-" {
		t.Error("not what was done")
	}
	validate(t, s)
	if err := s.Write(context.Background(), ops, true); err != nil || !ops[0].Superseded || ops[1].Superseded || ops[2].Superseded {
		t.Errorf("the second try: %v", err)
	}
	if get(t, s, "given up") == "-" || get(t, s, "behind it") != "w" {
		t.Error("the second try did not make up for the first")
	}
}
