package l2

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

func scanSnapshot(t testing.TB, x cache.TierSnapshot, ns cache.NamespaceID, lower, upper []byte, descending bool) []string {
	t.Helper()
	var rows []string
	err := x.Scan(context.Background(), ns, lower, upper, descending, func(r *cache.Record) bool {
		rows = append(rows, fmt.Sprintf("%s@%d", r.Key, r.Seq))
		if r.Value != nil || (r.Attrs == nil) != (r.Seq == 0) {
			t.Errorf("%s: value %q, attributes %v", r.Key, r.Value, r.Attrs)
		}
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// A snapshot has the keys of its moment and the records of now.
func TestSnapshot(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	for i, key := range []string{"a", "b", "b\xff", "c"} {
		put(t, s, key, cache.Sequence(10+i), "v")
	}
	x, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	put(t, s, "aa", 20, "later")
	put(t, s, "c", 21, "overwritten")
	write1(t, s, deleteOp(testNS, "b", 22))
	for _, test := range []struct {
		lower, upper string
		descending   bool
		want         []string
	}{
		{"", "", false, []string{"a@10", "b@0", "b\xff@12", "c@21"}},
		{"", "", true, []string{"c@21", "b\xff@12", "b@0", "a@10"}},
		{"b", "c", false, []string{"b@0", "b\xff@12"}},
		{"b\x00", "", false, []string{"b\xff@12", "c@21"}},
		{"a", "b", true, []string{"a@10"}},
	} {
		var upper []byte
		if test.upper != "" {
			upper = []byte(test.upper)
		}
		if got := scanSnapshot(t, x, testNS, []byte(test.lower), upper, test.descending); !slices.Equal(got, test.want) {
			t.Errorf("%q to %q: %v, want %v", test.lower, test.upper, got, test.want)
		}
	}
	if err := s.PutNamespace(context.Background(), cache.NamespaceRow{Name: "n", ID: 99}, testNS); err != nil {
		t.Fatal(err)
	}
	if got := scanSnapshot(t, x, testNS, nil, nil, false); len(got) != 0 {
		t.Errorf("a flushed namespace has %v", got)
	}
	x.Close()
	x.Close()
}

// A store closes although a snapshot is open, whose owner may close it later.
func TestCloseWithAnOpenSnapshot(t *testing.T) {
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	x, err := s.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	x.Close()
	if _, err := s.Snapshot(); err == nil {
		t.Error("a snapshot of a closed store")
	}
	if err := x.Scan(context.Background(), testNS, nil, nil, false, nil); err == nil {
		t.Error("a scan of a closed store")
	}
}
