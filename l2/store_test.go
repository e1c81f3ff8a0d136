package l2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"go.uber.org/goleak"

	"pgcache/cache"
)

// TestMain makes rapid draw the same histories each time, unless it is told a seed or the long
// versions are asked for: what a change did not break must not fail beside it.
func TestMain(m *testing.M) {
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == "0" && os.Getenv(stressEnv) == "" {
		if err := seed.Value.Set("1"); err != nil {
			panic(err)
		}
	}
	if os.Getenv(faultEnv) != "" {
		os.Exit(m.Run())
	}
	goleak.VerifyTestMain(m)
}

// clock is a fake clock.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.UnixMilli(1_000_000)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// patience bounds what tests wait for: it is only ever used up by a hang, however slow and
// busy the machine.
const patience = 5 * time.Minute

// testConfig is a small store whose maintenance runs when the test calls tick. It gives
// nothing up while the test has patience: a machine that stops the process for some seconds
// is no slow disk.
func testConfig(fs vfs.FS) Config {
	return Config{
		Dir: "data", FS: fs, BytesMax: 16 << 20, BlockCacheBytes: 1 << 20, MemTableBytes: 256 << 10,
		Now: newClock().Now, ticks: make(chan time.Time),
		WriteTimeout: patience, StallAfter: patience, CloseTimeout: patience,
	}
}

func mustOpen(t testing.TB, cfg Config) *Store {
	t.Helper()
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens a store that is validated and closed at the end of the test.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	s := mustOpen(t, cfg)
	t.Cleanup(func() { closeValid(t, s) })
	return s
}

func closeValid(t testing.TB, s *Store) {
	t.Helper()
	if !s.closing.Load() {
		validate(t, s)
	}
	if err := s.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
}

const testNS = cache.NamespaceID(1)

func withNamespace(t testing.TB, s *Store) *Store {
	t.Helper()
	row := cache.NamespaceRow{Name: "test", ID: testNS, Created: time.UnixMilli(5)}
	if err := s.PutNamespace(context.Background(), row, 0); err != nil {
		t.Fatal(err)
	}
	return s
}

func attrs(edit ...func(*cache.AttrsInput)) cache.Attrs {
	in := cache.AttrsInput{Priority: cache.PriorityDefault, CreatedMs: 1_000_000}
	for _, e := range edit {
		e(&in)
	}
	return cache.AppendAttrs(nil, &in)
}

func tags(t ...string) func(*cache.AttrsInput) { return func(in *cache.AttrsInput) { in.Tags = t } }
func deps(t ...string) func(*cache.AttrsInput) {
	return func(in *cache.AttrsInput) { in.Dependencies = t }
}
func metadata(p ...cache.Pair) func(*cache.AttrsInput) {
	return func(in *cache.AttrsInput) { in.Metadata = p }
}
func ttl(d time.Duration) func(*cache.AttrsInput) {
	return func(in *cache.AttrsInput) { in.HasHard, in.HardMs = true, in.CreatedMs+d.Milliseconds() }
}
func stale(d time.Duration) func(*cache.AttrsInput) {
	return func(in *cache.AttrsInput) { in.StaleMs = d.Milliseconds() }
}
func idle(d time.Duration) func(*cache.AttrsInput) {
	return func(in *cache.AttrsInput) { in.IdleMs = d.Milliseconds() }
}

func putOp(ns cache.NamespaceID, key string, seq cache.Sequence, value []byte, a cache.Attrs) cache.TierOp {
	return cache.TierOp{Record: cache.Record{Namespace: ns, Key: []byte(key), Seq: seq, Attrs: a, Value: value}}
}

func deleteOp(ns cache.NamespaceID, key string, seq cache.Sequence) cache.TierOp {
	return cache.TierOp{Delete: true, Record: cache.Record{Namespace: ns, Key: []byte(key), Seq: seq}}
}

func write1(t testing.TB, s *Store, op cache.TierOp) cache.TierOp {
	t.Helper()
	ops := []cache.TierOp{op}
	if err := s.Write(context.Background(), ops, false); err != nil {
		t.Fatal(err)
	}
	return ops[0]
}

func put(t testing.TB, s *Store, key string, seq cache.Sequence, value string, edit ...func(*cache.AttrsInput)) cache.TierOp {
	t.Helper()
	return write1(t, s, putOp(testNS, key, seq, []byte(value), attrs(edit...)))
}

// get returns the value, and "-" for an absent key.
func get(t testing.TB, s *Store, key string) string {
	t.Helper()
	var r cache.Record
	ok, err := s.Get(context.Background(), testNS, []byte(key), true, &r)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		return "-"
	}
	return string(r.Value)
}

func compressible(n int) []byte {
	return bytes.Repeat([]byte(`{"name":"value","n":12345}`), n/26+1)[:n]
}

func incompressible(n int, seed uint64) []byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	b := make([]byte, 0, n+8)
	for len(b) < n {
		b = binary.LittleEndian.AppendUint64(b, rng.Uint64())
	}
	return b[:n]
}

// settle waits until the committer is idle, and has stopped evicting.
func settle(t testing.TB, s *Store) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	const quiet = 3 // what one removal offers to the committer comes before the next
	for idle := 0; idle < quiet; idle++ {
		evicts := false
		if err := s.Sync(ctx); err != nil {
			t.Fatal(err)
		}
		look := &request{emit: func(*group) error { evicts = s.evicting || s.overQuota; return nil }}
		if err := s.submit(ctx, look); err != nil {
			t.Fatal(err)
		}
		if evicts {
			idle = -1
		}
	}
}

// validate recomputes from the rows what the store keeps in memory, and checks that the
// rows of all records agree with one another.
func validate(t testing.TB, s *Store) {
	t.Helper()
	settle(t, s)
	if s.degradedError() != nil {
		return
	}
	type total struct{ entries, bytes int64 }
	totals := make(map[cache.NamespaceID]total)
	want := make(map[string]string) // rows that the records call for
	files := make(map[fileID]uint64)
	fileSum := int64(0)
	row := func(kind byte, visit func(key, value []byte)) {
		err := s.eachRow(kind, func(key, value []byte) error { visit(key, value); return nil })
		if err != nil {
			t.Fatal(err)
		}
	}
	row(kindRecord, func(key, value []byte) {
		ns, name := splitRecordKey(key)
		if s.usage.of(ns) == nil {
			return
		}
		h, err := decodeHeader(key, value)
		if err != nil {
			t.Errorf("validate: %q: %v", key, err)
			return
		}
		size := h.size(len(name))
		sum := totals[ns]
		totals[ns] = total{sum.entries + 1, sum.bytes + size}
		want[string(appendOrderedKey(nil, kindQueue, uint64(h.seq), key))] = string(h.appendQueueValue(nil, len(name)))
		if h.placement == placedFile {
			files[h.fileID()] = h.storedLen
			fileSum += size
		}
		if deadline, ok := h.deadlineMs(); ok {
			want[string(appendOrderedKey(nil, kindExpiry, expiryOrder(deadline), key))] = ""
		}
		for kind, text := range h.attrs.Labels() {
			want[string(append(appendLabelPrefix(nil, ns, kind, text), name...))] = ""
		}
		if h.placement == placedRow {
			h.accessMs = 0 // only the m row tells
			want[string(appendPayloadKey(nil, key))] = string(appendHeader(nil, key, &h))
		}
	})
	for _, kind := range []byte{kindQueue, kindExpiry, kindLabelIndex, kindPayload} {
		row(kind, func(key, value []byte) {
			nsAt := 1
			if kind == kindQueue || kind == kindExpiry {
				nsAt = 1 + 8
			}
			if s.usage.of(cache.NamespaceID(binary.BigEndian.Uint64(key[nsAt:]))) == nil {
				return // waits for reclaim
			}
			got := string(value)
			if kind == kindPayload {
				h, err := decodePayloadRow(append([]byte{kindRecord}, key[1:]...), value)
				if err != nil || checksum(h.payload) != h.crc {
					t.Errorf("validate: row %q: %v", key, err)
				}
				got = string(value[:len(value)-len(h.payload)])
			}
			expected, ok := want[string(key)]
			if !ok || expected != got {
				t.Errorf("validate: row %q has %q, want %q (%v)", key, got, expected, ok)
			}
			delete(want, string(key))
		})
	}
	for key := range want {
		t.Errorf("validate: row %q is missing", key)
	}
	validateFiles(t, s, files, fileSum)
	var sum total
	for _, ns := range s.usage.generations() {
		u := s.Usage(ns)
		if got := (total{u.Entries, u.Bytes}); got != totals[ns] {
			t.Errorf("validate: generation %d holds %v, accounted %v", ns, totals[ns], got)
		}
		sum = total{sum.entries + u.Entries, sum.bytes + u.Bytes}
	}
	if st := s.Stats(); st.Entries != sum.entries || st.BytesInUse != sum.bytes {
		t.Errorf("validate: total %v, accounted %d %d", sum, st.Entries, st.BytesInUse)
	}
	if used := s.usage.total.bytes.Load(); used > s.cfg.BytesMax {
		t.Errorf("validate: %d bytes in use, budget %d", used, s.cfg.BytesMax)
	}
}

// validateFiles checks that the payload files are those that the records name, but for
// those of ended generations and those that a crash has left.
func validateFiles(t testing.TB, s *Store, want map[fileID]uint64, sum int64) {
	t.Helper()
	s.files.awaitRemoved()
	s.orphans = orphans{}
	for s.orphans.shard < fileShards {
		if err := s.removeOrphans(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	waiting := make(map[fileID]bool) // for reclaim
	err := s.eachRow(kindQueue, func(key, value []byte) error {
		if q, ok := decodeQueueRow(key, value); ok && q.hasFile && s.usage.of(q.ns) == nil {
			waiting[q.storedFile().fileID] = true
			sum += q.size
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for shard := range fileShards {
		ids, foreign, err := s.files.list(shard)
		if err != nil || len(foreign) > 0 {
			t.Errorf("validate: files %02x: %v %v", shard, foreign, err)
		}
		for _, id := range ids {
			size, ok := want[id]
			if !ok {
				if !waiting[id] {
					t.Errorf("validate: no record names the file %v", id)
				}
				continue
			}
			delete(want, id)
			info, err := s.files.fs.Stat(s.files.path(id))
			if err != nil || uint64(info.Size()) != size {
				t.Errorf("validate: file %v: %v %v, want %d bytes", id, info, err, size)
			}
		}
	}
	for id := range want {
		t.Errorf("validate: the file %v is missing", id)
	}
	if got := s.files.bytes.Load(); got != sum {
		t.Errorf("validate: files of %d bytes, accounted %d", sum, got)
	}
}

func TestPutGet(t *testing.T) {
	for _, tc := range []struct {
		name  string
		value []byte
		attrs cache.Attrs
		raw   bool
	}{
		{"empty", nil, attrs(), true},
		{"inline", []byte("hello"), attrs(), true},
		{"inline limit", incompressible(inlineBytesMax, 1), attrs(), true},
		{"row", incompressible(inlineBytesMax+1, 2), attrs(), true},
		{"below compression", compressible(1023), attrs(), true},
		{"compressed", compressible(1024), attrs(), false},
		{"compressed to inline", bytes.Repeat([]byte{0}, 100_000), attrs(), false},
		{"no gain", incompressible(5000, 3), attrs(), true},
		{"image", compressible(5000), attrs(metadata(cache.Pair{Key: "Content-Type", Value: "image/PNG; q=1"})), true},
		{"svg", compressible(5000), attrs(metadata(cache.Pair{Key: "content-type", Value: "image/svg+xml"})), false},
		{"encoded", compressible(5000), attrs(metadata(cache.Pair{Key: "content-encoding", Value: "gzip"})), true},
		{"identity", compressible(5000), attrs(metadata(cache.Pair{Key: "content-encoding", Value: "identity"})), false},
		{"large", compressible(3 << 20), attrs(), false},
		{"large raw", incompressible(3<<20, 4), attrs(), true},
		{"labels", []byte("v"), attrs(tags("a", "", "b"), deps("d"), ttl(time.Hour), stale(time.Minute), idle(time.Hour)), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := testConfig(vfs.NewMem())
			s := withNamespace(t, mustOpen(t, cfg))
			op := write1(t, s, putOp(testNS, "key", 7, tc.value, tc.attrs))
			if op.Existed || op.Superseded || op.Rejected || op.Record.ValueLen != int64(len(tc.value)) {
				t.Fatalf("put: %+v", op)
			}
			if raw := op.Record.StoredLen == int64(len(tc.value)); raw != tc.raw {
				t.Errorf("stored %d of %d bytes", op.Record.StoredLen, len(tc.value))
			}
			for range 2 {
				r := cache.Record{Value: make([]byte, 0, 64), Attrs: make(cache.Attrs, 3, 64)}
				ok, err := s.Get(context.Background(), testNS, []byte("key"), true, &r)
				if !ok || err != nil || !bytes.Equal(r.Value, tc.value) || !bytes.Equal(r.Attrs, tc.attrs) ||
					r.Seq != 7 || r.ValueLen != int64(len(tc.value)) || r.StoredLen != op.Record.StoredLen {
					t.Fatalf("get: %v %v, %d bytes", ok, err, len(r.Value))
				}
				ok, err = s.Get(context.Background(), testNS, []byte("key"), false, &r)
				if !ok || err != nil || r.Value != nil || r.ValueLen != int64(len(tc.value)) {
					t.Fatalf("get metadata: %v %v %v", ok, err, r.Value)
				}
				if !s.MayContain(testNS, []byte("key")) || s.MayContain(testNS, []byte("other")) {
					t.Error("MayContain")
				}
				closeValid(t, s)
				s = mustOpen(t, cfg)
			}
			closeValid(t, s)
		})
	}
}

// The sequence decides which of two operations on a key wins.
func TestSequenceOrder(t *testing.T) {
	type outcome struct{ existed, superseded bool }
	steps := []struct {
		op   cache.TierOp
		want outcome
		get  string
	}{
		{putOp(testNS, "k", 5, []byte("5"), attrs()), outcome{}, "5"},
		{putOp(testNS, "k", 5, []byte("x"), attrs()), outcome{superseded: true}, "5"},
		{putOp(testNS, "k", 4, []byte("x"), attrs()), outcome{superseded: true}, "5"},
		{deleteOp(testNS, "k", 5), outcome{superseded: true}, "5"},
		{putOp(testNS, "k", 6, []byte("6"), attrs(tags("t"))), outcome{existed: true}, "6"},
		{deleteOp(testNS, "k", 7), outcome{existed: true}, "-"},
		{deleteOp(testNS, "k", 8), outcome{}, "-"},
		{putOp(testNS, "k", 9, []byte("9"), attrs(tags("t", "u"))), outcome{}, "9"},
		{putOp(testNS, "k", 10, []byte("10"), attrs(tags("u"), ttl(time.Hour))), outcome{existed: true}, "10"},
		{putOp(99, "k", 11, []byte("x"), attrs()), outcome{superseded: true}, "10"},
		{deleteOp(99, "k", 12), outcome{superseded: true}, "10"},
	}
	t.Run("one by one", func(t *testing.T) {
		s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
		for i, step := range steps {
			op := write1(t, s, step.op)
			if got := (outcome{op.Existed, op.Superseded}); got != step.want {
				t.Errorf("step %d: %+v, want %+v", i, got, step.want)
			}
			if got := get(t, s, "k"); got != step.get {
				t.Errorf("step %d: get %q, want %q", i, got, step.get)
			}
		}
	})
	t.Run("one batch", func(t *testing.T) {
		s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
		var ops []cache.TierOp
		for _, step := range steps {
			ops = append(ops, step.op)
		}
		if err := s.Write(context.Background(), ops, true); err != nil {
			t.Fatal(err)
		}
		for i, step := range steps {
			if got := (outcome{ops[i].Existed, ops[i].Superseded}); got != step.want {
				t.Errorf("step %d: %+v, want %+v", i, got, step.want)
			}
		}
		if got := get(t, s, "k"); got != "10" {
			t.Errorf("get %q", got)
		}
	})
}

func TestConcurrentWrites(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range 200 {
				key, seq := fmt.Sprintf("%d-%d", w, i%20), cache.Sequence(i*8+w+1)
				ops := []cache.TierOp{putOp(testNS, key, seq, incompressible(400+i, uint64(seq)), attrs(tags("t")))}
				if err := s.Write(context.Background(), ops, i%50 == 0); err != nil {
					t.Error(err)
				}
				if got := get(t, s, key); got != string(incompressible(400+i, uint64(seq))) {
					t.Errorf("%s: another value", key)
				}
			}
		}()
	}
	wg.Wait()
	if got := s.Stats().Entries; got != 160 {
		t.Errorf("%d entries", got)
	}
}

func TestClosed(t *testing.T) {
	s := withNamespace(t, mustOpen(t, testConfig(vfs.NewMem())))
	closeValid(t, s)
	if err := s.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	_, err := s.Get(context.Background(), testNS, []byte("k"), true, new(cache.Record))
	for _, err := range []error{
		err, s.Write(context.Background(), nil, true), s.Sync(context.Background()),
		s.PutNamespace(context.Background(), cache.NamespaceRow{}, 0), s.PutWatermarks(context.Background(), nil),
		s.ScanPrefix(context.Background(), testNS, nil, nil),
	} {
		if !errors.Is(err, cache.ErrClosed) {
			t.Errorf("after close: %v", err)
		}
	}
}

func TestCancelledContext(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Get(ctx, testNS, []byte("k"), true, new(cache.Record)); !errors.Is(err, context.Canceled) {
		t.Errorf("get: %v", err)
	}
	// The write may happen or not, but never half, and its memory is not used afterwards.
	value := incompressible(10_000, 9)
	for seq := cache.Sequence(1); seq < 50; seq++ {
		own := bytes.Clone(value)
		err := s.Write(ctx, []cache.TierOp{putOp(testNS, "k", seq, own, attrs())}, false)
		if err != nil && !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		clear(own)
	}
	settle(t, s)
	if got := get(t, s, "k"); got != "-" && got != string(value) {
		t.Error("another value")
	}
}

func keyOf(i int) string { return fmt.Sprintf("key-%08d", i) }

// sequence is the sequence of the i-th write of a test.
func sequence(i int) cache.Sequence { return cache.Sequence(i + 1) }
