package cache

import (
	"errors"
	"fmt"
	"testing"
)

// stageRows stages rows k<from>.. of namespace n.
func stageRows(t *testing.T, l *Load, from, n int) {
	t.Helper()
	for ; n > 0; n -= 100 {
		var updates []KeyUpdate
		for i := range min(n, 100) {
			updates = append(updates, writeOf("n", fmt.Sprint("k", from+i), "loaded", tags("t")))
		}
		if err := l.Add(background, updates); err != nil {
			t.Fatal(err)
		}
		from += 100
	}
}

func countRows(t *testing.T, c *Cache, n int) (found int) {
	t.Helper()
	for i := range n {
		if _, ok := get(t, c, "n", fmt.Sprint("k", i)); ok {
			found++
		}
	}
	return found
}

// What a load stages is seen by nobody, in either tier, until Commit, and then all of it.
func TestLoad(t *testing.T) {
	c := open(t, Config{Tier: newMemTier()})
	put(t, c, "n", "old", "v")
	put(t, c, "n", "k7", "v")
	l, err := c.NewLoad()
	if err != nil {
		t.Fatal(err)
	}
	stageRows(t, l, 0, 1000)
	for range 2 {
		if found := countRows(t, c, 1000); found != 0 {
			t.Errorf("%d rows are seen before the commit", found)
		}
		settle(t, c)
		evictAll(c)
	}
	scan, err := c.Scan(background, ScanRange{Namespace: []byte("n")})
	if err != nil {
		t.Fatal(err)
	}
	var h Hit
	for {
		k, ok, err := scan.Next(background, &h)
		if err != nil || !ok {
			break
		}
		if string(k.Name) != "old" {
			t.Errorf("a scan sees %s", k.Name)
		}
		h.Release()
	}
	scan.Close()
	var isStaged bool
	u := writeOf("n", "k3", "again")
	inner := u.Update
	updates := []KeyUpdate{u}
	updates[0].Update = func(old *Hit, d *Draft) (Verdict, error) {
		isStaged = updates[0].IsStaged
		return inner(old, d)
	}
	if err := l.Add(background, updates); err != nil || !isStaged {
		t.Errorf("a key that comes twice: %v, %v", isStaged, err)
	}
	put(t, c, "n", "k9", "meanwhile")
	if err := l.Commit(background); err != nil {
		t.Fatal(err)
	}
	l.Abort() // too late
	if found := countRows(t, c, 1000); found != 1000 {
		t.Errorf("%d rows are seen after the commit", found)
	}
	wantValue(t, c, "n", "k3", "again")
	wantValue(t, c, "n", "k9", "meanwhile")
	if n, err := c.InvalidateTags(background, []byte("n"), []string{"t"}); n != 998 || err != nil {
		t.Errorf("%d rows have the tag, %v", n, err)
	}
}

// A scan that began before a load's commit sees nothing of it.
func TestScanAcrossALoad(t *testing.T) {
	for _, needValue := range []bool{false, true} {
		c := open(t, Config{Tier: newMemTier()})
		put(t, c, "n", "old", "v")
		l, err := c.NewLoad()
		if err != nil {
			t.Fatal(err)
		}
		stageRows(t, l, 0, 300)
		if needValue { // in the one form the rows are in the tier, in the other in memory too
			settle(t, c)
		}
		scan, err := c.Scan(background, ScanRange{Namespace: []byte("n"), NeedValue: needValue})
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Commit(background); err != nil {
			t.Fatal(err)
		}
		var h Hit
		for seen := 0; ; seen++ {
			k, ok, err := scan.Next(background, &h)
			if err != nil || !ok {
				if err != nil || seen != 1 {
					t.Errorf("%d entries are seen, %v", seen, err)
				}
				break
			}
			if string(k.Name) != "old" {
				t.Fatalf("a scan sees %s", k.Name)
			}
			h.Release()
		}
		scan.Close()
		if found := countRows(t, c, 300); found != 300 {
			t.Errorf("%d rows are seen after the commit", found)
		}
	}
}

func TestLoadAborted(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "old", "v")
	l, err := c.NewLoad()
	if err != nil {
		t.Fatal(err)
	}
	stageRows(t, l, 0, 500)
	l.Abort()
	for c.fences.count.Load() > 0 {
		settle(t, c)
	}
	if found := countRows(t, c, 500); found != 0 {
		t.Errorf("%d rows are seen", found)
	}
	settle(t, c)
	tier.mu.Lock()
	defer tier.mu.Unlock()
	if len(tier.live.records) != 1 || len(tier.live.watermarks) != 0 {
		t.Errorf("%d records and %d watermarks are left", len(tier.live.records), len(tier.live.watermarks))
	}
}

// A crash at any point leaves all of a load or nothing.
func TestLoadAndCrash(t *testing.T) {
	for keep := 0; keep < 14; keep++ {
		tier := newMemTier()
		c := openBare(t, Config{Tier: tier})
		put(t, c, "n", "old", "v")
		settle(t, c)
		if err := c.Sync(background); err != nil {
			t.Fatal(err)
		}
		l, err := c.NewLoad()
		if err != nil {
			t.Fatal(err)
		}
		stageRows(t, l, 0, 1000)
		if err := l.Commit(background); err != nil {
			t.Fatal(err)
		}
		settle(t, c)
		after := tier.crash(keep)
		c.abandon()
		c = open(t, Config{Tier: after})
		if found := countRows(t, c, 1000); found != 0 && found != 1000 || found == 0 && keep > 11 {
			t.Errorf("%d rows after a crash that kept %d steps", found, keep)
		}
		wantValue(t, c, "n", "old", "v")
		for c.fences.count.Load() > 0 {
			settle(t, c)
		}
	}
}

func TestLoadWithoutATier(t *testing.T) {
	if _, err := open(t, Config{}).NewLoad(); !errors.Is(err, ErrNoTier) {
		t.Error(err)
	}
}
