package l2

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"pgcache/cache"
)

func scanKeys(t testing.TB, scan func(func(*cache.Record) bool) error) []string {
	t.Helper()
	var keys []string
	err := scan(func(r *cache.Record) bool {
		if r.Value != nil {
			t.Errorf("%s: a scan has values", r.Key)
		}
		keys = append(keys, fmt.Sprintf("%d/%s", r.Namespace, r.Key))
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func scanPrefix(t testing.TB, s *Store, ns cache.NamespaceID, prefix string) []string {
	return scanKeys(t, func(visit func(*cache.Record) bool) error {
		return s.ScanPrefix(context.Background(), ns, []byte(prefix), visit)
	})
}

func scanLabel(t testing.TB, s *Store, label cache.Label) []string {
	return scanKeys(t, func(visit func(*cache.Record) bool) error {
		return s.ScanLabel(context.Background(), label, visit)
	})
}

func TestScans(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	ctx := context.Background()
	for id := cache.NamespaceID(2); id <= 3; id++ {
		if err := s.PutNamespace(ctx, cache.NamespaceRow{Name: fmt.Sprint(id), ID: id}, 0); err != nil {
			t.Fatal(err)
		}
	}
	put(t, s, "b", 10, "v", tags("t"), deps("d"))
	put(t, s, "a", 11, "v", tags("t", "u"))
	put(t, s, "a\xff", 12, "v", tags("tt"))
	put(t, s, "a\xff\xff", 13, "v", tags("u"), ttl(-time.Second)) // expired: visited all the same
	put(t, s, "ab", 14, "v", deps("t"))
	write1(t, s, putOp(2, "a", 15, []byte("v"), attrs(tags("t"), deps("d"))))
	write1(t, s, putOp(3, "z", 16, []byte("v"), attrs(deps("d"))))
	put(t, s, "gone", 17, "v", tags("t"), deps("d"))
	write1(t, s, deleteOp(testNS, "gone", 18))
	put(t, s, "b", 19, "v", deps("d")) // no longer tagged

	for _, tc := range []struct {
		prefix string
		want   []string
	}{
		{"", []string{"1/a", "1/ab", "1/a\xff", "1/a\xff\xff", "1/b"}},
		{"a", []string{"1/a", "1/ab", "1/a\xff", "1/a\xff\xff"}},
		{"a\xff", []string{"1/a\xff", "1/a\xff\xff"}},
		{"c", nil},
	} {
		if got := scanPrefix(t, s, testNS, tc.prefix); !slices.Equal(got, tc.want) {
			t.Errorf("prefix %q: %q, want %q", tc.prefix, got, tc.want)
		}
	}
	if got := scanPrefix(t, s, 99, ""); got != nil {
		t.Errorf("unknown namespace: %q", got)
	}
	for _, tc := range []struct {
		label cache.Label
		want  []string
	}{
		{cache.Label{Namespace: 1, Text: "t"}, []string{"1/a"}},
		{cache.Label{Namespace: 1, Text: "u"}, []string{"1/a", "1/a\xff\xff"}},
		{cache.Label{Namespace: 1, Text: "tt"}, []string{"1/a\xff"}},
		{cache.Label{Namespace: 1, Kind: cache.Dependency, Text: "t"}, []string{"1/ab"}},
		{cache.Label{Kind: cache.Dependency, Text: "d"}, []string{"1/b", "2/a", "3/z"}},
		{cache.Label{Kind: cache.Dependency, Text: "x"}, nil},
	} {
		if got := scanLabel(t, s, tc.label); !slices.Equal(got, tc.want) {
			t.Errorf("label %+v: %q, want %q", tc.label, got, tc.want)
		}
	}

	visits := 0
	stop := func(*cache.Record) bool { visits++; return false }
	if err := errors.Join(
		s.ScanPrefix(ctx, testNS, nil, stop), s.ScanLabel(ctx, cache.Label{Kind: cache.Dependency, Text: "d"}, stop),
	); err != nil || visits != 2 {
		t.Errorf("stopped scans: %v, %d visits", err, visits)
	}
}

// A scan shows one state although records come and go meanwhile, even from its visits.
func TestScanSnapshot(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	for i := range 100 {
		put(t, s, fmt.Sprintf("%03d", i), cache.Sequence(i+1), "v", tags("t"))
	}
	next := cache.Sequence(1000)
	change := func(r *cache.Record) bool {
		next++
		write1(t, s, deleteOp(testNS, string(r.Key), next))
		put(t, s, string(r.Key)+"x", next, "v", tags("t"))
		return true
	}
	keys := 0
	err := s.ScanLabel(context.Background(), cache.Label{Namespace: testNS, Text: "t"}, func(r *cache.Record) bool {
		keys++
		return change(r)
	})
	if err != nil || keys != 100 {
		t.Errorf("label: %v, %d keys", err, keys)
	}
	keys = 0
	err = s.ScanPrefix(context.Background(), testNS, nil, func(r *cache.Record) bool {
		keys++
		return change(r)
	})
	if err != nil || keys != 100 {
		t.Errorf("prefix: %v, %d keys", err, keys)
	}
}

func TestScanCancelled(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	for i := range 3 * scanCheckEvery {
		put(t, s, fmt.Sprint(i), cache.Sequence(i+1), "v", tags("t"))
	}
	for name, scan := range map[string]func(context.Context, func(*cache.Record) bool) error{
		"prefix": func(ctx context.Context, visit func(*cache.Record) bool) error {
			return s.ScanPrefix(ctx, testNS, nil, visit)
		},
		"label": func(ctx context.Context, visit func(*cache.Record) bool) error {
			return s.ScanLabel(ctx, cache.Label{Namespace: testNS, Text: "t"}, visit)
		},
	} {
		ctx, cancel := context.WithCancel(context.Background())
		visits := 0
		err := scan(ctx, func(*cache.Record) bool { visits++; cancel(); return true })
		if !errors.Is(err, context.Canceled) || visits > scanCheckEvery {
			t.Errorf("%s: %v after %d visits", name, err, visits)
		}
	}
}

// Absent keys are answered by the filters, which stay in memory: at most one in a hundred
// reads from disk.
func TestAbsentKeysReadNothing(t *testing.T) {
	t.Parallel()
	var reads atomic.Int64
	cfg := testConfig(errorfs.Wrap(vfs.NewMem(), errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind == errorfs.OpFileReadAt {
			reads.Add(1)
		}
		return nil
	})))
	cfg.BytesMax, cfg.BlockCacheBytes = 64<<20, 1<<20
	s := withNamespace(t, open(t, cfg))
	const records = 6000
	for i := range records {
		put(t, s, keyOf(2*i), sequence(i), string(incompressible(300, uint64(i))))
	}
	if err := errors.Join(s.db.Flush(), s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)); err != nil {
		t.Fatal(err)
	}
	absent := func() int64 {
		before := reads.Load()
		for i := range records {
			if get(t, s, keyOf(2*i+1)) != "-" {
				t.Fatal("a key that was not written is there")
			}
		}
		return reads.Load() - before
	}
	absent() // loads the filters
	if n := absent(); n > records/100 {
		t.Errorf("%d absent keys read %d times from disk", records, n)
	} else {
		t.Logf("%d absent keys read %d times from disk", records, n)
	}
}
