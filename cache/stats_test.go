package cache

import (
	"fmt"
	"testing"
	"time"
)

// census is what a full look at both tiers finds.
type census struct{ entries, l1Entries, l1Bytes int64 }

func scanAll(t *testing.T, c *Cache) (all census, byNamespace map[string]census) {
	t.Helper()
	byNamespace = map[string]census{}
	keys := map[string]map[string]bool{}
	for _, s := range c.shards {
		s.mu.RLock()
		for number := uint32(1); number < s.given; number++ {
			if s.slot(number).ref() == 0 {
				continue
			}
			e := s.entryOf(number)
			name := c.generation(e.header().namespace).owner.name
			x := byNamespace[name]
			x.l1Entries++
			x.l1Bytes += c.slotBytes(e)
			byNamespace[name] = x
			if keys[name] == nil {
				keys[name] = map[string]bool{}
			}
			keys[name][string(e.key())] = true
		}
		s.mu.RUnlock()
	}
	if c.config.Tier != nil {
		for name, ns := range c.namespaces.all() {
			err := c.config.Tier.ScanPrefix(background, ns.current.Load().id, nil, func(r *Record) bool {
				if keys[name] == nil {
					keys[name] = map[string]bool{}
				}
				keys[name][string(r.Key)] = true
				return true
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, set := range keys {
		x := byNamespace[name]
		x.entries = int64(len(set))
		byNamespace[name] = x
		all.entries += x.entries
		all.l1Entries += x.l1Entries
		all.l1Bytes += x.l1Bytes
	}
	return all, byNamespace
}

func TestStatisticsAgreeWithAScanAndCountOnce(t *testing.T) {
	for name, tier := range map[string]Tier{"memory": nil, "tier": newMemTier()} {
		t.Run(name, func(t *testing.T) {
			clock := newFakeClock()
			c := open(t, Config{Tier: tier, Now: clock.Now, L1BytesMax: 2 << 20})
			quiet := func() {
				if tier != nil {
					settle(t, c)
				}
			}
			var want Stats
			for i := range 300 {
				ns := fmt.Sprint("n", i%3)
				put(t, c, ns, fmt.Sprint("k", i), string(make([]byte, i)), tags(fmt.Sprint(i%10)))
				want.Insertions++
			}
			for i := range 50 { // overwrites
				put(t, c, fmt.Sprint("n", i%3), fmt.Sprint("k", i), "new")
				want.Insertions++
			}
			quiet()
			if tier != nil {
				evictAll(c)
				want.Evictions = c.Stats().Evictions
			}
			for i := range 400 {
				if _, ok := get(t, c, fmt.Sprint("n", i%3), fmt.Sprint("k", i)); ok {
					want.Hits++
				} else {
					want.Misses++
				}
			}
			var h Hit
			for i := range 20 { // these count nowhere
				must(c.Peek(background, K("n0", fmt.Sprint("k", i)), &h))
				h.Release()
				must(c.Exists(K("n0", fmt.Sprint("k", i))))
			}
			n, err := c.InvalidateTags(background, []byte("n0"), []string{"1", "2"})
			must(n, err)
			want.Invalidations += n
			must(c.Invalidate(background, K("n1", "k1")))
			must(c.Invalidate(background, K("n1", "none")))
			want.Invalidations++
			if _, _, err := c.FlushNamespace(background, []byte("n2")); err != nil {
				t.Fatal(err)
			}
			want.NamespaceFlushes++
			quiet()
			c.reaper.kick()
			for range 100 { // until the reaper has taken out what was flushed
				if _, by := scanFlushed(c); by == 0 {
					break
				}
				for _, s := range c.shards {
					s.reapEnded(background)
				}
			}
			got := c.Stats()
			if got.Hits != want.Hits || got.Misses != want.Misses || got.Insertions != want.Insertions || got.Invalidations != want.Invalidations ||
				got.NamespaceFlushes != want.NamespaceFlushes || got.Evictions != want.Evictions || got.L1Hits+got.L2Hits != got.Hits || got.Expirations != 0 {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
			all, byNamespace := scanAll(t, c)
			if got.Entries != all.entries || got.L1Entries != all.l1Entries {
				t.Errorf("%d entries counted, %d found; in memory %d, %d", got.Entries, all.entries, got.L1Entries, all.l1Entries)
			}
			var sums NamespaceStats
			for _, n := range c.Namespaces() {
				if x := byNamespace[n.Name]; n.Entries != x.entries || n.L1Bytes != x.l1Bytes {
					t.Errorf("%s: %d entries, %d bytes counted; %+v found", n.Name, n.Entries, n.L1Bytes, x)
				}
				sums.Hits += n.Hits
				sums.Misses += n.Misses
				sums.Insertions += n.Insertions
				sums.Evictions += n.Evictions
				sums.Invalidations += n.Invalidations
				sums.Entries += n.Entries
			}
			if sums.Hits != got.Hits || sums.Misses != got.Misses || sums.Insertions != got.Insertions || sums.Evictions != got.Evictions ||
				sums.Invalidations != got.Invalidations || sums.Entries != got.Entries {
				t.Errorf("sums over namespaces %+v, in all %+v", sums, got)
			}
		})
	}
}

// scanFlushed counts slots of ended generations.
func scanFlushed(c *Cache) (slots, ended int) {
	for _, s := range c.shards {
		s.mu.RLock()
		for number := uint32(1); number < s.given; number++ {
			if s.slot(number).ref() != 0 {
				slots++
				if c.generation(s.entryOf(number).header().namespace) == nil {
					ended++
				}
			}
		}
		s.mu.RUnlock()
	}
	return slots, ended
}

func TestLatenciesOfEveryOperation(t *testing.T) {
	c := open(t, Config{Tier: newMemTier()})
	for i := range 200 {
		put(t, c, "n", fmt.Sprint(i), "v")
	}
	settle(t, c)
	for range 5000 { // one in 64 is measured
		get(t, c, "n", "1")
		get(t, c, "n", "none")
	}
	for range 100 {
		evictAll(c)
		for i := range 20 {
			get(t, c, "n", fmt.Sprint(i))
		}
	}
	must(c.Invalidate(background, K("n", "1")))
	must(c.InvalidatePrefix(background, []byte("n"), []byte("2")))
	block := &Block{Updates: []KeyUpdate{writeOf("n", "3", "w"), writeOf("n", "4", "w")}}
	if err := c.Commit(background, block); err != nil {
		t.Fatal(err)
	}
	mustFlush(c)
	counts := map[Operation]int64{}
	for _, l := range c.Latencies() {
		counts[l.Operation] = l.Count
		if l.P50 > l.P99 || l.P99 > l.Max || l.Max <= 0 {
			t.Errorf("%+v", l)
		}
	}
	for o := range operations {
		if name, _ := o.Name(); counts[o] == 0 || name == "" {
			t.Errorf("operation %d (%s) was measured %d times", o, name, counts[o])
		}
	}
	if counts[OpPut] != 200 || counts[OpDelete] != 1 || counts[OpCommit] != 1 || counts[OpFlush] != 1 {
		t.Errorf("%v", counts)
	}
}

func TestHotKeys(t *testing.T) {
	c := open(t, Config{})
	for i := range 50 {
		put(t, c, "n", fmt.Sprint(i), "12345")
	}
	put(t, c, "m", "gone", "v")
	for i := range 20_000 {
		get(t, c, "n", fmt.Sprint(i%50))
		get(t, c, "n", "7")
		get(t, c, "m", "gone")
	}
	top := c.HotKeys()
	if len(top) < 10 {
		t.Fatalf("%d keys", len(top))
	}
	find := func(ns, key string) (k HotKey) {
		for _, k := range c.HotKeys() {
			if k.Namespace == ns && k.Name == key {
				return k
			}
		}
		return HotKey{}
	}
	if k := find("n", "7"); k.Hits < 15_000 || k.Hits > 26_000 || k.Bytes != 5*k.Hits {
		t.Errorf("%+v", k)
	}
	if find("m", "gone").Hits == 0 {
		t.Error("a key of another namespace is not there")
	}
}

func TestHistoryIsBoundedAndSurvivesRestart(t *testing.T) {
	clock := newFakeClock()
	tier := newMemTier()
	c := open(t, Config{Tier: tier, Now: clock.Now, HistoryInterval: -1}) // samples are the test's
	for i := range historyNamespacesMax + 10 {
		put(t, c, fmt.Sprint("n", i), "k", "v")
	}
	settle(t, c) // meanwhile an entry may count twice
	for range 3 {
		get(t, c, "n3", "k")
		get(t, c, "busy", "none")
		clock.advance(time.Hour)
		c.addSample(background, clock.Now().UnixMilli())
	}
	rows := c.History()
	if len(rows) < 3*(historyNamespacesMax+1) {
		t.Fatalf("%d rows", len(rows))
	}
	last := rows[len(rows)-historyNamespacesMax-1:]
	if last[0].Namespace != "" || last[0].Hits != 3 || last[0].Misses != 3 || last[0].Insertions != historyNamespacesMax+10 || last[0].Entries != historyNamespacesMax+10 {
		t.Errorf("%+v", last[0])
	}
	found := false
	for _, s := range last {
		found = found || s.Namespace == "n3" && s.Hits == 3
	}
	if !found {
		t.Error("the busiest namespace has no row")
	}
	if err := c.Close(background); err != nil {
		t.Fatal(err)
	}
	again := open(t, Config{Tier: tier.crash(0), Now: clock.Now, HistoryInterval: -1})
	restored := again.History()
	if len(restored) != len(rows) || restored[0] != rows[0] || restored[len(rows)-1] != rows[len(rows)-1] {
		t.Errorf("%d rows before, %d after", len(rows), len(restored))
	}
	for range historyRowsMax {
		again.history.append(StatsSample{At: clock.Now()})
	}
	if got := again.History(); len(got) != historyRowsMax || got[0].Namespace != "" {
		t.Errorf("%d rows", len(got))
	}
}
