package l2

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

// rowsOf counts the rows of a generation, of all kinds.
func rowsOf(t testing.TB, s *Store, ns cache.NamespaceID) int {
	t.Helper()
	rows := 0
	for kind, nsAt := range map[byte]int{
		kindRecord: 1, kindPayload: 1, kindLabelIndex: 1, kindWatermark: 1, kindGarbage: 1, kindQueue: 9, kindExpiry: 9,
	} {
		err := s.eachRow(kind, func(key, _ []byte) error {
			if string(key[nsAt:nsAt+8]) == string(appendUint64(nil, uint64(ns))) {
				rows++
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return rows
}

func TestNamespaceFlush(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	s := withNamespace(t, mustOpen(t, cfg))
	ctx := context.Background()
	for i := range 100 {
		put(t, s, fmt.Sprint(i), cache.Sequence(i+10), string(incompressible(300, uint64(i))), tags("t"), ttl(time.Hour))
	}
	mark := []cache.Watermark{{Label: cache.Label{Namespace: testNS, Text: "t"}, Seq: 200}}
	if err := s.PutWatermarks(ctx, mark); err != nil {
		t.Fatal(err)
	}
	created := time.Unix(77, 5)
	if err := s.PutNamespace(ctx, cache.NamespaceRow{Name: "test", ID: 500, Generation: 1, Created: created}, testNS); err != nil {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Entries != 0 || st.BytesInUse != 0 {
		t.Errorf("after flush: %d entries, %d bytes", st.Entries, st.BytesInUse)
	}
	if got := get(t, s, "1"); got != "-" {
		t.Errorf("the ended generation answers %q", got)
	}
	if got := scanPrefix(t, s, testNS, ""); got != nil {
		t.Errorf("the ended generation is scanned: %q", got)
	}
	if op := put(t, s, "late", 501, "v"); !op.Superseded {
		t.Error("the ended generation takes a put")
	}
	write1(t, s, putOp(500, "new", 502, []byte("v"), attrs()))

	closeValid(t, s) // before anything was reclaimed
	s = mustOpen(t, cfg)
	state := s.State()
	want := cache.NamespaceRow{Name: "test", ID: 500, Generation: 1, Created: created}
	if len(state.Namespaces) != 1 || state.LastSeq != 502 || len(state.Watermarks) != 0 {
		t.Fatalf("state: %+v", state)
	}
	if got := state.Namespaces[0]; !got.Created.Equal(created) || got.ID != want.ID || got.Name != want.Name || got.Generation != 1 {
		t.Errorf("namespace: %+v", got)
	}
	if rowsOf(t, s, testNS) == 0 {
		t.Error("nothing left to reclaim: the test shows nothing")
	}
	s.tick()
	if rows := rowsOf(t, s, testNS); rows != 0 {
		t.Errorf("%d rows of the ended generation after reclaim", rows)
	}
	if got := scanPrefix(t, s, 500, ""); !slices.Equal(got, []string{"500/new"}) {
		t.Errorf("the new generation holds %q", got)
	}
	closeValid(t, s)
	s = open(t, cfg)
	if len(s.garbage.ids) != 0 {
		t.Errorf("still to be reclaimed: %v", s.garbage.ids)
	}
}

func TestDropNamespace(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	s := withNamespace(t, mustOpen(t, cfg))
	ctx := context.Background()
	put(t, s, "k", 10, "v")
	if err := s.DropNamespace(ctx, "test", testNS); err != nil {
		t.Fatal(err)
	}
	if got := get(t, s, "k"); got != "-" || s.Usage(testNS) != (cache.NamespaceUsage{}) {
		t.Errorf("after drop: %q, %+v", got, s.Usage(testNS))
	}
	s.tick()
	closeValid(t, s)
	s = open(t, cfg)
	if state := s.State(); len(state.Namespaces) != 0 || state.LastSeq != 10 {
		t.Errorf("state: %+v", state)
	}
}

func TestWatermarks(t *testing.T) {
	cfg := testConfig(vfs.NewMem())
	s := withNamespace(t, mustOpen(t, cfg))
	ctx := context.Background()
	tag := cache.Label{Namespace: testNS, Text: "t"}
	everywhere := cache.Label{Kind: cache.Dependency, Text: "d"}
	unknown := cache.Label{Namespace: 99, Text: "t"}
	check := func(want ...cache.Watermark) {
		t.Helper()
		closeValid(t, s)
		s = mustOpen(t, cfg)
		got := s.State().Watermarks
		slices.SortFunc(got, func(a, b cache.Watermark) int { return int(a.Seq) - int(b.Seq) })
		if !slices.Equal(got, want) {
			t.Fatalf("watermarks %+v, want %+v", got, want)
		}
	}
	do := func(change func(context.Context, []cache.Watermark) error, w ...cache.Watermark) {
		t.Helper()
		if err := change(ctx, w); err != nil {
			t.Fatal(err)
		}
	}
	do(s.PutWatermarks, cache.Watermark{Label: tag, Seq: 30}, cache.Watermark{Label: everywhere, Seq: 31}, cache.Watermark{Label: unknown, Seq: 32})
	check(cache.Watermark{Label: tag, Seq: 30}, cache.Watermark{Label: everywhere, Seq: 31})
	if got := s.State().LastSeq; got != 32 {
		t.Errorf("last sequence %d", got)
	}
	// Overtaken calls do not lower a watermark, nor drop a raised one.
	do(s.PutWatermarks, cache.Watermark{Label: tag, Seq: 20})
	do(s.DropWatermarks, cache.Watermark{Label: tag, Seq: 29})
	do(s.PutWatermarks, cache.Watermark{Label: everywhere, Seq: 40}, cache.Watermark{Label: everywhere, Seq: 35})
	check(cache.Watermark{Label: tag, Seq: 30}, cache.Watermark{Label: everywhere, Seq: 40})
	do(s.DropWatermarks, cache.Watermark{Label: tag, Seq: 30}, cache.Watermark{Label: everywhere, Seq: 40})
	check()
	closeValid(t, s)
}

func TestNamespaceLimitsAndTimeSurviveReopen(t *testing.T) {
	fs := vfs.NewMem()
	now := time.UnixMilli(1_000_000)
	cfg := testConfig(fs)
	cfg.Now = func() time.Time { return now }
	s := mustOpen(t, cfg)
	row := cache.NamespaceRow{Name: "test", ID: testNS, Created: time.UnixMilli(5), Limits: cache.NamespaceLimits{L1BytesMax: 1, L2BytesMax: 2, ValueBytesMax: 3, DefaultTTLMs: 4}}
	if err := s.PutNamespace(context.Background(), row, 0); err != nil {
		t.Fatal(err)
	}
	now = now.Add(time.Hour)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	defer s.Close()
	state := s.State()
	if len(state.Namespaces) != 1 || state.Namespaces[0].Limits != row.Limits {
		t.Errorf("namespaces %+v", state.Namespaces)
	}
	if state.LastMs != now.UnixMilli() {
		t.Errorf("last time %d, want %d", state.LastMs, now.UnixMilli())
	}
	if got := s.usage.of(testNS).quota.Load(); got != 2 {
		t.Errorf("quota %d", got)
	}
}
