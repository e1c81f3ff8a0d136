package cache

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// writeOf is an update that stores a draft, removeOf one that deletes.
func writeOf(ns, key, value string, options ...func(*Draft)) KeyUpdate {
	d := NewDraft([]byte(value))
	for _, option := range options {
		option(&d)
	}
	return KeyUpdate{Key: K(ns, key), Update: func(_ *Hit, draft *Draft) (Verdict, error) {
		*draft = d
		return Write, nil
	}}
}

func removeOf(ns, key string) KeyUpdate {
	return KeyUpdate{Key: K(ns, key), Update: func(*Hit, *Draft) (Verdict, error) { return Remove, nil }}
}

func versioned(v int64) func(*Draft) {
	return func(d *Draft) { d.HasVersion, d.Version = true, v }
}

func got[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// inBothModes runs a test in memory only and over a memTier.
func inBothModes(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Run("memory", func(t *testing.T) { test(t, Config{}) })
	t.Run("tier", func(t *testing.T) { test(t, Config{Tier: newMemTier()}) })
}

func TestCommit(t *testing.T) {
	inBothModes(t, func(t *testing.T, cfg Config) {
		c := openBare(t, cfg)
		put(t, c, "n", "old", "v")
		put(t, c, "n", "tagged", "v", tags("t"))
		put(t, c, "n", "p:1", "v")
		put(t, c, "n", "p:2", "v")
		put(t, c, "m", "flushed", "v")
		put(t, c, "o", "dep", "v", deps("d"))
		b := &Block{
			Invalidations: []Invalidation{
				{Coverage: CoverTags, Namespace: []byte("n"), Labels: []string{"t"}},
				{Coverage: CoverPrefix, Namespace: []byte("n"), Prefix: []byte("p:")},
				{Coverage: CoverNamespace, Namespace: []byte("m")},
				{Coverage: CoverDependencies, Labels: []string{"d"}},
				{Coverage: CoverTags, Namespace: []byte("nowhere"), Labels: []string{"t"}},
			},
			Updates: []KeyUpdate{
				writeOf("n", "a", "1"), removeOf("n", "old"), removeOf("n", "absent"), writeOf("n", "p:1", "new"),
				writeOf("m", "new", "2", tags("t")), writeOf("new", "k", "3"), removeOf("nowhere", "k"),
			},
		}
		if err := c.Commit(background, b); err != nil {
			t.Fatal(err)
		}
		for i, want := range []Result{{false, Write}, {true, Remove}, {false, Remove}, {false, Write}, {false, Write}, {false, Write}, {false, Remove}} {
			if got := b.Updates[i].Result; got != want {
				t.Errorf("update %d: %+v, want %+v", i, got, want)
			}
		}
		check := func() {
			t.Helper()
			for _, key := range []string{"n/old", "n/tagged", "n/p:2", "m/flushed", "o/dep"} {
				ns, name, _ := strings.Cut(key, "/")
				wantAbsent(t, c, ns, name)
			}
			wantValue(t, c, "n", "a", "1")
			wantValue(t, c, "n", "p:1", "new")
			wantValue(t, c, "m", "new", "2")
			wantValue(t, c, "new", "k", "3")
		}
		check()
		if cfg.Tier != nil {
			settle(t, c)
			evictAll(c)
			check()
			c = afterCrash(t, c, cfg) // what is invalidated is durable, and with it all of the block
			check()
			return
		}
		// A flush that was committed leaves a namespace like any other.
		if n := got(c.InvalidateTags(background, []byte("m"), []string{"t"})); n != 1 {
			t.Errorf("%d entries with the tag", n)
		}
		must(0, c.Close(background))
	})
}

// A commit that is refused changes nothing.
func TestCommitRefused(t *testing.T) {
	inBothModes(t, func(t *testing.T, cfg Config) {
		c := open(t, cfg)
		put(t, c, "n", "k", "v", versioned(5))
		refusal := errors.New("no")
		for name, last := range map[string]KeyUpdate{
			"by its update": {Key: K("n", "x"), Update: func(*Hit, *Draft) (Verdict, error) { return Write, refusal }},
			"by a version":  writeOf("n", "k", "older", versioned(4)),
			"by a limit":    writeOf("n", "x", strings.Repeat("x", int(c.Limits().ValueBytesMax)+1)),
			"by its key":    writeOf("n", "", ""),
		} {
			err := c.Commit(background, &Block{
				Invalidations: []Invalidation{{Coverage: CoverTags, Namespace: []byte("n"), Labels: []string{"t"}}},
				Updates:       []KeyUpdate{writeOf("n", "a", "1"), removeOf("n", "k2"), writeOf("other", "b", "2"), last},
			})
			if err == nil {
				t.Errorf("refused %s: it is not", name)
			}
			wantAbsent(t, c, "n", "a")
			wantAbsent(t, c, "other", "b")
			wantValue(t, c, "n", "k", "v")
		}
		var limit *LimitError
		var large Block
		for i := range 10 {
			large.Updates = append(large.Updates, writeOf("n", fmt.Sprint(i), strings.Repeat("x", int(c.Limits().ValueBytesMax))))
		}
		if err := c.Commit(background, &large); !errors.As(err, &limit) || limit.What != "transaction" {
			t.Errorf("a block larger than memory: %v", err)
		}
		if err := c.Commit(background, &Block{}); err != nil {
			t.Error(err)
		}
	})
}

// An update sees nothing of what its own block invalidates.
func TestCommitUpdatesAfterItsInvalidations(t *testing.T) {
	inBothModes(t, func(t *testing.T, cfg Config) {
		c := open(t, cfg)
		for i, x := range []Invalidation{
			{Coverage: CoverTags, Namespace: []byte("n"), Labels: []string{"t"}},
			{Coverage: CoverNamespace, Namespace: []byte("n")},
			{Coverage: CoverNamespace},
		} {
			put(t, c, "n", "k", "v", tags("t"), versioned(9))
			var seen bool
			u := writeOf("n", "k", fmt.Sprint(i))
			inner := u.Update
			u.Update = func(old *Hit, d *Draft) (Verdict, error) { seen = old != nil; return inner(old, d) }
			if err := c.Commit(background, &Block{Invalidations: []Invalidation{x}, Updates: []KeyUpdate{u}}); err != nil || seen {
				t.Errorf("%v: %v, seen %v", x, err, seen)
			}
			wantValue(t, c, "n", "k", fmt.Sprint(i))
		}
	})
}

// Whoever sees one write of a block sees all of it, whatever else goes on. Block number i
// writes i to all keys of two namespaces, moves tagged entries aside, and flushes a third.
func TestReadersSeeWholeBlocks(t *testing.T) {
	inBothModes(t, func(t *testing.T, cfg Config) {
		cfg.L1BytesMax = 1 << 20
		c := open(t, cfg)
		const keys, blocks = 4, 25
		key := func(i int) Key { return K(fmt.Sprint("n", i%2), fmt.Sprint("k", i/2)) }
		var committed atomic.Int64
		var done atomic.Bool
		var wait sync.WaitGroup
		for reader := range 3 {
			random := rand.New(rand.NewPCG(1, uint64(reader)))
			wait.Go(func() {
				var h Hit
				for !done.Load() {
					seen := int(committed.Load())
					for _, i := range random.Perm(keys) {
						ok := got(c.Get(background, key(i), &h))
						if ok {
							number, _ := strconv.Atoi(string(h.Value()))
							if number < seen {
								t.Errorf("block %d after block %d was seen", number, seen)
							}
							seen = max(seen, number)
						}
						h.Release()
					}
					for _, k := range []Key{K("n0", "tagged"), K("n1", "p:x"), K("f", "x")} {
						if got(c.Get(background, k, &h)) {
							if number, _ := strconv.Atoi(string(h.Value())); number < seen {
								t.Errorf("%s of %d after block %d was seen", k.Name, number, seen)
							}
						}
						h.Release()
					}
					if random.IntN(4) == 0 {
						evictAll(c)
					}
				}
			})
		}
		for i := range blocks {
			// What the next block invalidates, written under the number of the last.
			last := strconv.Itoa(i)
			put(t, c, "n0", "tagged", last, tags("t"))
			put(t, c, "n1", "p:x", last)
			put(t, c, "f", "x", last)
			for j := range 40 { // so that there is something to sweep
				put(t, c, "n0", fmt.Sprint("more", j), last, tags("t"))
			}
			b := &Block{Invalidations: []Invalidation{
				{Coverage: CoverTags, Namespace: []byte("n0"), Labels: []string{"t"}},
				{Coverage: CoverPrefix, Namespace: []byte("n1"), Prefix: []byte("p:")},
				{Coverage: CoverNamespace, Namespace: []byte("f")},
			}}
			for j := range keys {
				u := writeOf("", "", strconv.Itoa(i+1))
				u.Key = key(j)
				b.Updates = append(b.Updates, u)
			}
			if err := c.Commit(background, b); err != nil {
				t.Error(err)
			}
			committed.Store(int64(i + 1))
		}
		done.Store(true)
		wait.Wait()
	})
}

// A delete that comes after a block's put must not reach the tier before it.
func TestLaterWritesWaitForTheGroup(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "other", "v")
	settle(t, c)
	tier.hold = make(chan struct{})
	tier.writing = make(chan struct{}, 100)
	if err := c.Commit(background, &Block{Updates: []KeyUpdate{writeOf("n", "a", "1"), writeOf("n", "b", "1")}}); err != nil {
		t.Fatal(err)
	}
	<-tier.writing // the group is on its way
	deleted := make(chan error)
	go func() {
		_, err := c.Invalidate(background, K("n", "a"))
		deleted <- err
	}()
	for len(c.allWaiting()) == 0 {
	}
	tier.hold <- struct{}{} // the group, and nothing else yet
	<-tier.writing
	tier.hold <- struct{}{} // the delete
	if err := <-deleted; err != nil {
		t.Fatal(err)
	}
	tier.hold = nil
	wantAbsent(t, c, "n", "a")
	if _, there := tier.crash(0).live.records[memKey{c.generationOf([]byte("n")).id, "a"}]; there {
		t.Error("the deleted key is in the tier")
	}
	wantValue(t, c, "n", "b", "1")
}

// allWaiting are the keys that somebody waits for.
func (c *Cache) allWaiting() (hashes []uint64) {
	for _, s := range c.shards {
		s.mu.RLock()
		for hash := range s.waiters {
			hashes = append(hashes, hash)
		}
		s.mu.RUnlock()
	}
	return hashes
}

// An older put that is on its way to the tier when a block deletes its key must not be
// what the tier has in the end.
func TestGroupCrossesAnOlderWrite(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "x", "v") // makes the namespace
	settle(t, c)
	hold := make(chan struct{})
	tier.hold, tier.writing = hold, make(chan struct{}, 100)
	put(t, c, "n", "a", "1")
	<-tier.writing // a put is on its way
	committed := make(chan error)
	go func() {
		committed <- c.Commit(background, &Block{Updates: []KeyUpdate{removeOf("n", "a"), writeOf("n", "b", "1")}})
	}()
	<-tier.writing // so is the group: whichever is let go first
	close(hold)
	if err := <-committed; err != nil {
		t.Fatal(err)
	}
	settle(t, c)
	evictAll(c)
	wantAbsent(t, c, "n", "a")
	wantValue(t, c, "n", "b", "1")
}

// When the tier fails, the caller is told, the block is visible, and it gets there later.
func TestCommitOnAFailingTier(t *testing.T) {
	tier := newMemTier()
	c := openBare(t, Config{Tier: tier})
	put(t, c, "n", "k", "v", tags("t"))
	put(t, c, "m", "k", "v")
	settle(t, c)
	tier.fail.Store(true)
	err := c.Commit(background, &Block{
		Invalidations: []Invalidation{
			{Coverage: CoverTags, Namespace: []byte("n"), Labels: []string{"t"}},
			{Coverage: CoverNamespace, Namespace: []byte("m")},
		},
		Updates: []KeyUpdate{writeOf("n", "a", "1"), writeOf("m", "a", "1")},
	})
	if !errors.Is(err, ErrTierIO) {
		t.Errorf("%v", err)
	}
	wantAbsent(t, c, "n", "k")
	wantAbsent(t, c, "m", "k")
	wantValue(t, c, "n", "a", "1")
	put(t, c, "m", "b", "2") // of the generation that the tier does not know yet
	if _, _, err := c.FlushNamespace(background, []byte("m")); !errors.Is(err, ErrTierIO) {
		t.Errorf("%v", err)
	}
	put(t, c, "m", "c", "3")
	tier.fail.Store(false)
	settle(t, c)
	for c.fences.count.Load() > 0 {
		c.makeUp(background)
	}
	if err := c.Sync(background); err != nil {
		t.Error(err)
	}
	c = afterCrash(t, c, Config{Tier: tier})
	wantValue(t, c, "n", "a", "1")
	wantValue(t, c, "m", "c", "3")
	wantAbsent(t, c, "n", "k")
	wantAbsent(t, c, "m", "k")
	wantAbsent(t, c, "m", "b")
}

// A cancelled caller does not wait; its block goes on.
func TestCommitCancelled(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "k", "v")
	settle(t, c)
	hold := make(chan struct{})
	tier.hold, tier.writing = hold, make(chan struct{}, 100)
	ctx, cancel := context.WithCancel(background)
	committed := make(chan error)
	go func() {
		committed <- c.Commit(ctx, &Block{Updates: []KeyUpdate{removeOf("n", "k"), writeOf("n", "a", "1")}})
	}()
	<-tier.writing
	cancel()
	if err := <-committed; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	close(hold)
	wantAbsent(t, c, "n", "k")
	wantValue(t, c, "n", "a", "1")
}

func TestCommitTellsOfItsChanges(t *testing.T) {
	log := &eventLog{got: make(chan Event, 100)}
	c := open(t, Config{})
	c.WatchEvents(log.add)
	err := c.Commit(background, &Block{
		Invalidations: []Invalidation{
			{Coverage: CoverTags, Namespace: []byte("n"), Labels: []string{"t"}}, {Coverage: CoverPrefix, Namespace: []byte("n"), Prefix: []byte("p")},
			{Coverage: CoverDependencies, Labels: []string{"d"}}, {Coverage: CoverNamespace, Namespace: []byte("n")}, {Coverage: CoverNamespace},
		},
		Updates: []KeyUpdate{writeOf("n", "a", "1"), removeOf("n", "b"), removeOf("x", "c")},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"3 n/ [t]", "2 n/p []", "4 / [d]", "5 n/ []", "6 / []", "0 n/a []", "1 n/b []", "1 x/c []",
	} {
		e := log.next()
		if got := fmt.Sprintf("%d %s/%s %v", e.Kind, e.Namespace, e.Key, e.Labels); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A put that presents a lease is refused at the commit if the lease was overtaken.
func TestCommitChecksLeases(t *testing.T) {
	c := open(t, Config{})
	put(t, c, "n", "other", "v")
	holder := c.NewLeaseHolder()
	defer holder.Close()
	var h Hit
	lease := func(key string) int64 {
		state, id, err := c.GetOrLease(background, K("n", key), LeaseOptions{Holder: holder, Lease: LeaseDurationMax}, &h)
		if err != nil || state != LeaseGranted {
			t.Fatal(state, err)
		}
		return id
	}
	filled := func(key string, id int64) KeyUpdate {
		return writeOf("n", key, "filled", func(d *Draft) { d.Lease, d.Tags = id, []string{"t"} })
	}
	good := lease("good")
	if err := c.Commit(background, &Block{Updates: []KeyUpdate{filled("good", good), writeOf("n", "a", "1")}}); err != nil {
		t.Fatal(err)
	}
	wantValue(t, c, "n", "good", "filled")
	late := lease("late")
	err := c.Commit(background, &Block{
		Invalidations: []Invalidation{{Coverage: CoverTags, Namespace: []byte("n"), Labels: []string{"t"}}},
		Updates:       []KeyUpdate{removeOf("n", "good")},
	})
	if err != nil {
		t.Fatal(err)
	}
	var refused *LeaseError
	if err := c.Commit(background, &Block{Updates: []KeyUpdate{filled("late", late), writeOf("n", "b", "1")}}); !errors.As(err, &refused) {
		t.Error(err)
	}
	wantAbsent(t, c, "n", "late")
	wantAbsent(t, c, "n", "b")
}
