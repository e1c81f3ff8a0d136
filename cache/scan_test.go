package cache

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// scanned runs a scan to its end: "ns/key=value" for each entry.
func scanned(t testing.TB, c *Cache, r ScanRange) []string {
	t.Helper()
	s, err := c.Scan(background, r)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	return rest(t, s, -1)
}

// rest reads up to n more entries of a scan.
func rest(t testing.TB, s *Scan, n int) []string {
	t.Helper()
	out := []string{}
	var h Hit
	for n != 0 {
		k, ok, err := s.Next(background, &h)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		out = append(out, fmt.Sprintf("%s/%s=%s", k.Namespace, k.Name, h.Value()))
		h.Release()
		n--
	}
	return out
}

func wantScan(t testing.TB, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("scan:\n got %v\nwant %v", got, want)
	}
}

func TestScanVisitsARangeInOrder(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, clock *fakeClock, between func()) {
		put(t, c, "n", "b", "2")
		put(t, c, "n", "a:1", "1", tags("t"), deps("d"))
		put(t, c, "m", "z", "9", tags("t"), deps("d"))
		between()
		put(t, c, "n", "a:2", "x", tags("t", "u"))
		put(t, c, "n", "dead", "x", func(d *Draft) { d.TTL = time.Second })
		put(t, c, "n", "gone", "x")
		between()
		put(t, c, "n", "a:2", "3", tags("u"))
		must(c.Invalidate(background, K("n", "gone")))
		clock.advance(2 * time.Second)

		n := []byte("n")
		all := ScanRange{NeedValue: true}
		wantScan(t, scanned(t, c, all), "m/z=9", "n/a:1=1", "n/a:2=3", "n/b=2")
		all.Descending = true
		wantScan(t, scanned(t, c, all), "n/b=2", "n/a:2=3", "n/a:1=1", "m/z=9")
		wantScan(t, scanned(t, c, ScanRange{Namespace: n, Prefix: []byte("a:"), NeedValue: true}), "n/a:1=1", "n/a:2=3")
		wantScan(t, scanned(t, c, ScanRange{Namespace: n, Lower: []byte("a:2"), NeedValue: true}), "n/a:2=3", "n/b=2")
		wantScan(t, scanned(t, c, ScanRange{Namespace: n, Upper: []byte("a:2"), NeedValue: true}), "n/a:1=1")
		wantScan(t, scanned(t, c, ScanRange{Namespace: n, Lower: []byte("a:1\x00"), Upper: []byte("b"), NeedValue: true, Descending: true}), "n/a:2=3")
		wantScan(t, scanned(t, c, ScanRange{Namespace: n, Lower: []byte("b"), Upper: []byte("a")}))
		wantScan(t, scanned(t, c, ScanRange{Namespace: []byte("unknown")}))
		wantScan(t, scanned(t, c, ScanRange{Kind: Tag, Labels: []string{"t"}, NeedValue: true}), "m/z=9", "n/a:1=1")
		wantScan(t, scanned(t, c, ScanRange{Namespace: n, Kind: Tag, Labels: []string{"u", "t", "u"}, NeedValue: true}), "n/a:1=1", "n/a:2=3")
		wantScan(t, scanned(t, c, ScanRange{Kind: Dependency, Labels: []string{"d"}, NeedValue: true, Descending: true}), "n/a:1=1", "m/z=9")
		wantScan(t, scanned(t, c, ScanRange{Kind: Dependency, Labels: []string{}}))
		unordered := scanned(t, c, ScanRange{NeedValue: true, Unordered: true})
		slices.Sort(unordered)
		wantScan(t, unordered, "m/z=9", "n/a:1=1", "n/a:2=3", "n/b=2")
	})
}

// Metadata comes without a value, and nothing of it is an access.
func TestScanIsNoAccess(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, clock *fakeClock, between func()) {
		put(t, c, "n", "k", "value", func(d *Draft) { d.IdleTTL = time.Minute })
		between()
		for _, needValue := range []bool{false, true} {
			clock.advance(20 * time.Second)
			s, err := c.Scan(background, ScanRange{NeedValue: needValue})
			if err != nil {
				t.Fatal(err)
			}
			var h Hit
			if _, ok, err := s.Next(background, &h); !ok || err != nil || h.ValueLen() != 5 || needValue && string(h.Value()) != "value" {
				t.Fatalf("%v %v %q", ok, err, h.Value())
			}
			h.Release()
			s.Close()
		}
		if stats := c.Stats(); stats.Hits+stats.Misses != 0 {
			t.Errorf("%d hits, %d misses", stats.Hits, stats.Misses)
		}
		clock.advance(25 * time.Second)
		wantAbsent(t, c, "n", "k")
	})
}

// The keys are those there were when the scan began, in more chunks than one.
func TestScanSeesASnapshotOfKeys(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, _ *fakeClock, between func()) {
		const n = 3000
		var want []string
		for i := range n {
			put(t, c, "n", fmt.Sprintf("%06d", 2*i), "old")
			want = append(want, fmt.Sprintf("n/%06d=old", 2*i))
		}
		between()
		s, err := c.Scan(background, ScanRange{Namespace: []byte("n"), NeedValue: true})
		if err != nil {
			t.Fatal(err)
		}
		got := rest(t, s, 100)
		for i := range n {
			put(t, c, "n", fmt.Sprintf("%06d", 2*i+1), "new") // not among the keys
		}
		put(t, c, "n", "000400", "newer")
		must(c.Invalidate(background, K("n", "000402")))
		must(c.Invalidate(background, K("n", "002000")))
		between()
		s.Renew()
		got = append(got, rest(t, s, -1)...)
		s.Close()
		want[200] = "n/000400=newer"
		want = slices.DeleteFunc(want, func(s string) bool { return strings.HasPrefix(s, "n/000402") || strings.HasPrefix(s, "n/002000") })
		if !slices.Equal(got, want) {
			t.Fatalf("%d rows, want %d", len(got), len(want))
		}
		if tier, ok := c.config.Tier.(*memTier); ok && tier.snapshots.Load() != 0 {
			t.Error("a snapshot is left open")
		}
	})
}

// What an invalidation has removed is not served from what was read ahead.
func TestScanAfterRenewSeesInvalidations(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, _ *fakeClock, between func()) {
		for _, key := range []string{"a", "b", "c", "d"} {
			put(t, c, "n", key, key, tags(key))
		}
		between()
		s, err := c.Scan(background, ScanRange{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if got := rest(t, s, 1); len(got) != 1 {
			t.Fatal(got)
		}
		must(c.InvalidateTags(background, []byte("n"), []string{"b"}))
		must(c.Invalidate(background, K("n", "c")))
		between()
		s.Renew()
		var h Hit
		k, ok, err := s.Next(background, &h)
		if err != nil || !ok || string(k.Name) != "d" {
			t.Fatalf("%s %v %v", k.Name, ok, err)
		}
		h.Release()
		must2(c.FlushNamespace(background, []byte("n")))
		wantScan(t, rest(t, s, -1))
	})
}

func must2(_ int64, _ bool, err error) {
	if err != nil {
		panic(err)
	}
}

func TestScanKeepsABoundedNumberOfKeys(t *testing.T) {
	c := open(t, Config{ScanBytesMax: 64 << 10})
	const n = 6000
	for i := range n {
		put(t, c, "n", fmt.Sprintf("%05d", i), "", tags("t"))
	}
	var limit *LimitError
	if _, err := c.Scan(background, ScanRange{}); !errors.As(err, &limit) {
		t.Fatalf("all keys: %v", err)
	}
	// A limit is enough, also when what it found is gone by then.
	s, err := c.Scan(background, ScanRange{Limit: 3})
	if err != nil {
		t.Fatal(err)
	}
	wantScan(t, rest(t, s, 1), "n/00000=")
	must(c.Invalidate(background, K("n", "00001")))
	wantScan(t, rest(t, s, 3), "n/00002=", "n/00003=", "n/00004=")
	s.Close()
	s, err = c.Scan(background, ScanRange{Limit: 2, Descending: true})
	if err != nil {
		t.Fatal(err)
	}
	if got := len(rest(t, s, 10)); got != 10 {
		t.Fatal(got)
	}
	s.Close()
	if got := len(scanned(t, c, ScanRange{Unordered: true})); got != n-1 {
		t.Fatalf("unordered: %d", got)
	}
}

// Of labels that too many entries carry, all entries are looked at instead.
func TestScanOfALabelThatMostCarry(t *testing.T) {
	c := open(t, Config{ScanBytesMax: 16 << 10, Tier: newMemTier()})
	for i := range 2000 {
		put(t, c, "n", fmt.Sprintf("%05d", i), "", tags([]string{"t", "u"}[i/1999]))
	}
	settle(t, c)
	if got := len(scanned(t, c, ScanRange{Kind: Tag, Labels: []string{"t"}})); got != 1999 {
		t.Fatal(got)
	}
	wantScan(t, scanned(t, c, ScanRange{Kind: Tag, Labels: []string{"u"}}), "n/01999=")
}

// A scan that begins while the tier still has what was overwritten before does not see it, though memory has let go of what is newer when the scan comes to it.
func TestScanOfWritesUnderWay(t *testing.T) {
	tier := newMemTier()
	clock := newFakeClock()
	c := open(t, Config{Tier: tier, Now: clock.Now})
	for _, key := range []string{"a", "ended", "kept", "written"} {
		put(t, c, "n", key, "old")
	}
	settle(t, c)
	evictAll(c)
	tier.hold = make(chan struct{})
	put(t, c, "n", "written", "newer")
	put(t, c, "n", "ended", "newer", func(d *Draft) { d.TTL = time.Second })
	clock.advance(2 * time.Second)
	scan, err := c.Scan(background, ScanRange{Namespace: []byte("n")})
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	var h Hit
	if k, ok, err := scan.Next(background, &h); !ok || err != nil || string(k.Name) != "a" { // it reads ahead
		t.Fatalf("%s, %v, %v", k.Name, ok, err)
	}
	h.Release()
	close(tier.hold)
	settle(t, c)
	evictAll(c)
	var seen []string
	for {
		k, ok, err := scan.Next(background, &h)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		seen = append(seen, fmt.Sprint(string(k.Name), h.ValueLen()))
		h.Release()
	}
	if want := []string{"kept3", "written5"}; !slices.Equal(seen, want) {
		t.Errorf("seen %v, want %v", seen, want)
	}
}
