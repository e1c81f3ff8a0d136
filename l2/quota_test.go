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

// quotaStore is a store of 1 MiB with namespaces 1 (without a quota), 2 and 3.
func quotaStore(t *testing.T, quota2, quota3 int64) (*Store, func(ns cache.NamespaceID, n int) (rejected int)) {
	cfg := testConfig(vfs.NewMem())
	cfg.BytesMax = 1 << 20
	s := open(t, cfg)
	for id, quota := range map[cache.NamespaceID]int64{1: 0, 2: quota2, 3: quota3} {
		row := cache.NamespaceRow{Name: fmt.Sprint(id), ID: id, Limits: cache.NamespaceLimits{L2BytesMax: quota}}
		if err := s.PutNamespace(context.Background(), row, 0); err != nil {
			t.Fatal(err)
		}
	}
	seq := cache.Sequence(10)
	value := make([]byte, 10_000)
	_, _ = rand.NewChaCha8([32]byte{}).Read(value) // does not compress
	return s, func(ns cache.NamespaceID, n int) (rejected int) {
		for range n {
			seq++
			if write1(t, s, putOp(ns, fmt.Sprint(seq), seq, value, attrs())).Rejected {
				rejected++
			}
		}
		return rejected
	}
}

// settleEviction waits until the committer has nothing left to evict.
func settleEviction(t *testing.T, s *Store, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); {
		if time.Now().After(end) {
			t.Fatal("eviction does not end")
		}
		if err := s.Sync(context.Background()); err != nil { // between two steps of it
			t.Fatal(err)
		}
	}
}

func TestNoisyNamespaceLeavesOthersTheirQuota(t *testing.T) {
	s, fill := quotaStore(t, 300_000, 0)
	fill(2, 25)
	before := s.Usage(2)
	fill(1, 400)
	if after := s.Usage(2); after != before {
		t.Errorf("a namespace within its quota went from %+v to %+v", before, after)
	}
	if s.Stats().Evictions == 0 {
		t.Error("nothing was evicted: the test shows nothing")
	}
}

func TestNamespaceStaysWithinItsQuota(t *testing.T) {
	s, fill := quotaStore(t, 200_000, 0)
	fill(1, 20)
	before := s.Usage(1)
	for range 40 {
		fill(2, 5)
		settleEviction(t, s, func() bool { return s.Usage(2).Bytes <= 200_000 })
	}
	if got := s.Usage(2); got.Entries == 0 {
		t.Errorf("%+v", got)
	}
	if s.Usage(1) != before {
		t.Error("others had to give way")
	}
	// Lowering it takes effect, too.
	row := cache.NamespaceRow{Name: "2", ID: 2, Limits: cache.NamespaceLimits{L2BytesMax: 50_000}}
	if err := s.PutNamespace(context.Background(), row, 0); err != nil {
		t.Fatal(err)
	}
	settleEviction(t, s, func() bool { return s.Usage(2).Bytes <= 50_000 })
}

func TestRecordLargerThanItsQuotaIsRejected(t *testing.T) {
	s, fill := quotaStore(t, 5_000, 0)
	if fill(2, 1) != 1 || s.Usage(2).Entries != 0 {
		t.Error("stored")
	}
}

func TestQuotasThatPromiseTooMuchDoNotStopWrites(t *testing.T) {
	s, fill := quotaStore(t, 1<<20, 1<<20)
	fill(2, 100)
	fill(3, 100)
	if rejected := fill(1, 100); rejected > 0 || s.Usage(1).Entries == 0 {
		t.Errorf("%d writes rejected", rejected)
	}
}

// What a batch adds to a generation is summed up once, however many of its records ask.
func TestPendingBytes(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	g := s.newGroup(1)
	want := map[cache.NamespaceID]int64{}
	for i := range int64(1000) {
		ns := cache.NamespaceID(i % 7)
		want[ns] += i
		g.change(ns, 1, i)
		if i%3 == 0 && g.pendingBytes(ns) != want[ns] {
			t.Fatalf("after %d changes generation %d: %d bytes, want %d", i+1, ns, g.pendingBytes(ns), want[ns])
		}
	}
	if g.summed < 998 || s.newGroup(1).pendingBytes(1) != 0 {
		t.Error("sums of one batch count in the next")
	}
}

func BenchmarkBatchWithQuota(b *testing.B) {
	s := mustOpen(b, testConfig(vfs.NewMem()))
	defer s.Close()
	ctx := context.Background()
	row := cache.NamespaceRow{Name: "n", ID: 1, Limits: cache.NamespaceLimits{L2BytesMax: 1 << 40}}
	if err := s.PutNamespace(ctx, row, 0); err != nil {
		b.Fatal(err)
	}
	ops := make([]cache.TierOp, 1000)
	seq := cache.Sequence(10)
	for b.Loop() {
		for i := range ops {
			seq++
			ops[i] = putOp(1, keyOf(i), seq, []byte("v"), attrs())
		}
		if err := s.Write(ctx, ops, false); err != nil {
			b.Fatal(err)
		}
	}
}
