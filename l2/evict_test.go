package l2

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

func outcomeOf(op cache.TierOp) string {
	return fmt.Sprintf("existed %v, superseded %v, rejected %v", op.Existed, op.Superseded, op.Rejected)
}

// removals records what OnRemove reports.
type removals struct {
	mu   sync.Mutex
	seqs map[string]cache.Sequence
	more chan struct{}
}

func watchRemovals(s *Store) *removals {
	r := &removals{seqs: make(map[string]cache.Sequence), more: make(chan struct{}, 1)}
	s.OnRemove(func(ns cache.NamespaceID, key []byte, seq cache.Sequence) {
		r.mu.Lock()
		r.seqs[fmt.Sprintf("%d/%s", ns, key)] = seq
		r.mu.Unlock()
		select {
		case r.more <- struct{}{}:
		default:
		}
	})
	return r
}

// await waits until n removals were reported and returns them.
func (r *removals) await(t testing.TB, n int) map[string]cache.Sequence {
	t.Helper()
	timeout := time.After(patience)
	for {
		r.mu.Lock()
		got, seqs := len(r.seqs), maps.Clone(r.seqs)
		r.mu.Unlock()
		if got >= n {
			return seqs
		}
		select {
		case <-r.more:
		case <-timeout:
			t.Fatalf("%d of %d removals reported", got, n)
		}
	}
}

func TestEviction(t *testing.T) {
	t.Parallel()
	cfg := testConfig(vfs.NewMem())
	cfg.BytesMax = bytesMaxFloor
	s := withNamespace(t, mustOpen(t, cfg))
	removed := watchRemovals(s)
	const hot, total = 20, 3000
	read := func() {
		for i := range hot {
			if get(t, s, fmt.Sprintf("k%d", i)) == "-" {
				t.Fatalf("k%d was evicted although it was read", i)
			}
		}
	}
	for i := range total {
		op := put(t, s, fmt.Sprintf("k%d", i), cache.Sequence(i+1), string(incompressible(1000, uint64(i))), tags("t"), ttl(time.Hour))
		if op.Rejected {
			t.Fatalf("put %d was rejected", i)
		}
		if used := s.Stats().BytesInUse; used > cfg.BytesMax {
			t.Fatalf("%d bytes in use", used)
		}
		if !s.MayContain(testNS, fmt.Appendf(nil, "k%d", i)) {
			t.Fatalf("put %d is gone at once", i)
		}
		if i%100 == 0 && i >= hot {
			read()
		}
	}
	validate(t, s)
	st := s.Stats()
	if st.Evictions == 0 || st.Entries+st.Evictions != total {
		t.Errorf("%d entries, %d evictions of %d", st.Entries, st.Evictions, total)
	}
	seqs := removed.await(t, int(st.Evictions))
	for i := range total {
		key := fmt.Sprintf("k%d", i)
		seq, reported := seqs["1/"+key]
		if gone := get(t, s, key) == "-"; gone != reported || (reported && seq != cache.Sequence(i+1)) {
			t.Errorf("%s: gone %v, reported %v as %d", key, gone, reported, seq)
		}
	}
	closeValid(t, s)
	s = open(t, cfg) // accounting is what it was
	if again := s.Stats(); again.Entries != st.Entries || again.BytesInUse != st.BytesInUse {
		t.Errorf("reopened: %d entries, %d bytes; before %d, %d", again.Entries, again.BytesInUse, st.Entries, st.BytesInUse)
	}
}

// Even if every record was read, a put evicts others and not itself.
func TestEvictionOfVisited(t *testing.T) {
	t.Parallel()
	cfg := testConfig(vfs.NewMem())
	cfg.BytesMax = bytesMaxFloor
	s := withNamespace(t, open(t, cfg))
	for i := range 3000 {
		key := fmt.Sprintf("k%d", i)
		put(t, s, key, cache.Sequence(i+1), string(incompressible(1000, uint64(i))))
		if get(t, s, key) == "-" {
			t.Fatalf("put %d is gone at once", i)
		}
	}
}

func TestRejection(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.BytesMax = bytesMaxFloor
	s := withNamespace(t, open(t, cfg))
	put(t, s, "k", 1, "small", tags("t"))
	put(t, s, "other", 2, "v")
	op := put(t, s, "k", 3, string(incompressible(bytesMaxFloor, 1)))
	if !op.Rejected || !op.Existed || get(t, s, "k") != "-" {
		t.Errorf("%s", outcomeOf(op))
	}
	if st := s.Stats(); st.FullRejections != 1 || st.Evictions != 0 || get(t, s, "other") != "v" {
		t.Errorf("%+v: a value that can never fit evicts others", st)
	}
	// A value that just fits takes the place of everything else.
	op = put(t, s, "k", 4, string(incompressible(bytesMaxFloor-fileBlockBytes, 1)))
	if op.Rejected || get(t, s, "k") == "-" {
		t.Errorf("%s", outcomeOf(op))
	}
}

func TestFullDisk(t *testing.T) {
	fs := vfs.NewMem()
	cfg := testConfig(fs)
	cfg.FreeBytesMin = 512 << 20
	s := withNamespace(t, open(t, cfg))
	for i := range 20 {
		put(t, s, fmt.Sprint("old", i), cache.Sequence(i+1), string(incompressible(1000, uint64(i))))
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: uint64(s.cfg.FreeBytesMin) - 1, TotalBytes: 1 << 40})
	s.tick()
	if op := put(t, s, "old0", 100, string(incompressible(3000, 5))); !op.Rejected || !op.Existed || get(t, s, "old0") != "-" {
		t.Errorf("%s", outcomeOf(op))
	}
	if st := s.Stats(); !st.Degraded || st.FullRejections != 1 {
		t.Errorf("%+v", st)
	}
	// As many bytes as were rejected are evicted; deletes and watermarks go on.
	s.tick()
	if st := s.Stats(); st.Evictions < 2 || st.Evictions > 4 {
		t.Errorf("%d evictions", st.Evictions)
	}
	if op := write1(t, s, deleteOp(testNS, "old19", 101)); !op.Existed {
		t.Errorf("%s", outcomeOf(op))
	}
	fs.TestingSetDiskUsage(vfs.DiskUsage{AvailBytes: uint64(s.cfg.FreeBytesMin) * 2, TotalBytes: 1 << 40})
	s.tick()
	if op := put(t, s, "k", 102, "v"); op.Rejected || s.Stats().Degraded {
		t.Errorf("%s", outcomeOf(op))
	}
}

func TestExpiry(t *testing.T) {
	clock := newClock()
	cfg := testConfig(vfs.NewMem())
	cfg.Now = clock.Now
	s := withNamespace(t, open(t, cfg))
	removed := watchRemovals(s)
	put(t, s, "never", 1, "v")
	put(t, s, "hard", 2, "v", ttl(time.Second))
	put(t, s, "stale", 3, "v", ttl(time.Second), stale(time.Second))
	put(t, s, "idle", 4, "v", idle(1500*time.Millisecond))
	put(t, s, "prolonged", 5, "v", ttl(time.Second))
	put(t, s, "prolonged", 6, "v", ttl(time.Hour))
	put(t, s, "forever", 7, "v", ttl(time.Second))
	put(t, s, "forever", 8, "v")
	all := []string{"never", "hard", "stale", "idle", "prolonged", "forever"}
	check := func(want ...string) {
		t.Helper()
		held := make(map[string]bool)
		for _, key := range want {
			held[key] = true
		}
		for _, key := range all {
			if got := get(t, s, key) != "-"; got != held[key] {
				t.Errorf("%s: present %v", key, got)
			}
		}
	}
	check(all...)
	clock.advance(999 * time.Millisecond)
	s.tick()
	check(all...)
	clock.advance(time.Millisecond)
	check("never", "stale", "idle", "prolonged", "forever") // before the sweep, too
	s.tick()
	validate(t, s)
	check("never", "stale", "idle", "prolonged", "forever")
	clock.advance(time.Second)
	s.tick()
	check("never", "prolonged", "forever")
	if st := s.Stats(); st.Expirations != 3 || st.Entries != 3 {
		t.Errorf("%d expirations, %d entries", st.Expirations, st.Entries)
	}
	if seqs := removed.await(t, 3); seqs["1/hard"] != 2 || seqs["1/stale"] != 3 || seqs["1/idle"] != 4 {
		t.Errorf("reported %v", seqs)
	}
	// A record that is written with a deadline before the last sweep is found.
	put(t, s, "late", 9, "v", ttl(time.Millisecond))
	s.tick()
	if got := s.Stats().Entries; got != 3 {
		t.Errorf("%d entries", got)
	}
}

func TestSweepIsBounded(t *testing.T) {
	clock := newClock()
	cfg := testConfig(vfs.NewMem())
	cfg.Now = clock.Now
	s := withNamespace(t, open(t, cfg))
	s.sweepSlices = 3
	const total = 3*sweepRowsPerSlice + 1234
	for i := 0; i < total; i += 1000 {
		var ops []cache.TierOp
		for j := i; j < min(i+1000, total); j++ {
			ops = append(ops, putOp(testNS, fmt.Sprint(j), cache.Sequence(j+1), nil, attrs(ttl(time.Duration(j%7)*time.Millisecond))))
		}
		if err := s.Write(context.Background(), ops, false); err != nil {
			t.Fatal(err)
		}
	}
	clock.advance(time.Second)
	s.tick()
	if got := s.Stats().Entries; got < 1234-sweepRowsPerSlice || got == 0 {
		t.Errorf("%d entries after one tick", got)
	}
	s.tick()
	if got := s.Stats().Entries; got != 0 {
		t.Errorf("%d entries after two ticks", got)
	}
}

func TestSweepOnDemandIsBoundedAndReports(t *testing.T) {
	clock := newClock()
	cfg := testConfig(vfs.NewMem())
	cfg.Now = clock.Now
	s := withNamespace(t, open(t, cfg))
	for i := range 10 {
		put(t, s, fmt.Sprint("dies", i), cache.Sequence(2*i+1), "value", ttl(time.Second))
		put(t, s, fmt.Sprint("stays", i), cache.Sequence(2*i+2), "value")
	}
	clock.advance(time.Second)
	before := s.Usage(testNS)
	sweep := func(entries int64) cache.SweepResult {
		result, err := s.Sweep(context.Background(), cache.SweepLimits{EntriesMax: entries, Duration: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	first := sweep(4)
	if first.Removed != 4 || !first.Truncated || first.ByNamespace[testNS].Removed != 4 {
		t.Errorf("bounded sweep: %+v", first)
	}
	second := sweep(1000)
	if second.Removed != 6 || second.Truncated {
		t.Errorf("second sweep: %+v", second)
	}
	after := s.Usage(testNS)
	if after.Entries != 10 || before.Bytes-after.Bytes != first.Bytes+second.Bytes {
		t.Errorf("%+v, then %+v: %d bytes reported", before, after, first.Bytes+second.Bytes)
	}
	if third := sweep(1000); third.Scanned != 0 || third.Truncated {
		t.Errorf("nothing to sweep: %+v", third)
	}
}

// A restart forgets neither what was read nor where the hand is.
func TestEvictionKnowsReadsAfterRestart(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	cfg.BytesMax = bytesMaxFloor
	s := withNamespace(t, mustOpen(t, cfg))
	fill := func(from, to int) {
		for i := from; i < to; i++ {
			put(t, s, keyOf(i), sequence(i), string(incompressible(1000, uint64(i))))
		}
	}
	fill(0, 700)
	for i := range 30 {
		get(t, s, keyOf(i))
	}
	hand := string(s.hand)
	closeValid(t, s)
	s = mustOpen(t, cfg)
	if string(s.hand) != hand {
		t.Error("the hand starts again")
	}
	fill(700, 1200)
	for i := range 30 {
		if !s.MayContain(testNS, []byte(keyOf(i))) {
			t.Errorf("%s was evicted although it was read before the restart", keyOf(i))
		}
	}
	closeValid(t, s)
	writeFile(t, cfg.FS, s.visitedPath(), "garbage that is long enough for a header")
	s = mustOpen(t, cfg)
	fill(1200, 1300)
	closeValid(t, s)
}

// Of records that are not read, those of a higher priority stay longer, those of a lower
// one go first, and a store full of the highest still takes new ones.
func TestEvictionByPriority(t *testing.T) {
	t.Parallel()
	cfg := testConfig(vfs.NewMem())
	cfg.BytesMax = bytesMaxFloor
	random := rand.New(rand.NewPCG(1, 2))
	cfg.Random = random.Uint64
	s := withNamespace(t, open(t, cfg))
	priorities := []uint8{0, 64, 128, 192, 255}
	for i := range 2000 {
		p := priorities[i%len(priorities)]
		put(t, s, keyOf(i), sequence(i), string(incompressible(1000, uint64(i))), func(in *cache.AttrsInput) { in.Priority = p })
		get(t, s, keyOf(i)) // so that low priorities have something to lose
	}
	left := make([]int, len(priorities))
	for i := range 2000 {
		if s.MayContain(testNS, []byte(keyOf(i))) {
			left[i%len(priorities)]++
		}
	}
	if left[0] > left[2] || left[2] >= left[4] || left[4] < 2*left[2] {
		t.Errorf("left of priorities %v: %v", priorities, left)
	}
	for i := 2000; i < 5000; i++ {
		op := put(t, s, keyOf(i), sequence(i), string(incompressible(1000, uint64(i))), func(in *cache.AttrsInput) { in.Priority = 255 })
		if op.Rejected {
			t.Fatalf("put %d was rejected", i)
		}
	}
}
