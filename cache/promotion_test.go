package cache

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inL1 reports that L1 holds the key, without reading it.
func inL1(c *Cache, ns, key string) bool {
	var h Hit
	defer h.Release()
	gen := c.generationOf([]byte(ns))
	hash := c.hash(gen.id, []byte(key))
	result, _ := c.shardOf(hash).look(hash, gen, []byte(key), false, &h)
	return result == foundLive
}

// waitFor waits for background work.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); {
		if time.Now().After(end) {
			t.Fatalf("%s does not happen", what)
		}
		<-time.After(time.Millisecond)
	}
}

func TestPromotionOnFirstOrSecondHit(t *testing.T) {
	for _, workers := range []int{0, 2} {
		for _, on := range []PromoteOn{PromoteOnFirstHit, PromoteOnSecondHit} {
			t.Run(fmt.Sprint(on, workers), func(t *testing.T) {
				c := open(t, Config{Tier: newMemTier(), PromoteOn: on, PromotionWorkers: workers})
				promoted := func(n int64) func() bool { return func() bool { return c.Stats().Promotions == n } }
				put(t, c, "n", "k", "v", tags("t"))
				put(t, c, "n", "always", "v", func(d *Draft) { d.Admission = AdmitAlways })
				put(t, c, "n", "never", "v", func(d *Draft) { d.Admission = AdmitNever })
				settle(t, c)
				for _, s := range c.shards { // out of L1, and not as the policy's victims
					s.mu.Lock()
					for number := uint32(1); number < s.given; number++ {
						if s.slot(number).ref() != 0 {
							s.remove(number)
						}
					}
					s.mu.Unlock()
				}
				wantValue(t, c, "n", "never", "v")
				wantValue(t, c, "n", "always", "v")
				waitFor(t, "a promotion", promoted(1))
				wantValue(t, c, "n", "k", "v")
				if on == PromoteOnSecondHit {
					if inL1(c, "n", "k") {
						t.Error("promoted by the first hit")
					}
					wantValue(t, c, "n", "k", "v")
				}
				waitFor(t, "a promotion", promoted(2))
				if !inL1(c, "n", "k") || !inL1(c, "n", "always") || inL1(c, "n", "never") {
					t.Error("the wrong ones are in memory")
				}
				s := c.Stats()
				if want := int64(2); workers > 0 && (s.PromotionsQueued != want || s.PromotionsDropped != 0 || s.PromotionQueueDepth != 0) || workers == 0 && s.PromotionsQueued != 0 {
					t.Errorf("%+v", s)
				}
				evictAll(c)
				wantValue(t, c, "n", "k", "v") // known: it was here until just now
				waitFor(t, "a promotion", promoted(3))
			})
		}
	}
}

func TestFullPromotionQueueDropsTheOldest(t *testing.T) {
	c := open(t, Config{Tier: newMemTier(), PromotionWorkers: 1, PromotionQueueMax: 3})
	put(t, c, "n", "k", "v")
	gen := c.generationOf([]byte("n"))
	job := func(i int, size int) promotionJob {
		key := []byte(fmt.Sprint(i))
		hash := c.hash(gen.id, key)
		return promotionJob{c.shardOf(hash), hash, gen, &Record{Key: key, Value: make([]byte, size), Attrs: AppendAttrs(nil, &AttrsInput{})}, mark{change: 1 << 31}, 0}
	}
	q := Cache{config: c.config} // a queue without workers
	q.promotions.work = make(chan struct{}, 1)
	for i := range 5 {
		q.offerPromotion(job(i, 10))
	}
	var left []string
	for _, j := range q.promotions.jobs {
		left = append(left, string(j.r.Key))
	}
	if !slices.Equal(left, []string{"2", "3", "4"}) || q.promotions.dropped.Load() != 2 || q.promotions.queued.Load() != 5 {
		t.Errorf("left %v, dropped %d", left, q.promotions.dropped.Load())
	}
	q.offerPromotion(job(7, int(c.config.L1BytesMax/promotionShare)-500))
	if q.promotions.depth() != 3 && q.promotions.depth() != 1 {
		t.Errorf("%d in the queue", q.promotions.depth())
	}
	q.offerPromotion(job(8, int(c.config.L1BytesMax)))
	if q.promotions.bytes > c.config.L1BytesMax/promotionShare {
		t.Errorf("%d bytes wait", q.promotions.bytes)
	}
	for {
		if _, ok := q.promotions.take(); !ok {
			break
		}
	}
	if q.promotions.bytes != 0 {
		t.Errorf("%d bytes in an empty queue", q.promotions.bytes)
	}
}

// TestConcurrentMissesReadTheTierOnce holds the tier's answer back until all have asked.
func TestConcurrentMissesReadTheTierOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tier := newMemTier()
		c := open(t, Config{Tier: tier})
		defer c.Close(background)
		put(t, c, "n", "k", "v", tags("t"))
		settle(t, c)
		evictAll(c)
		before, release := tier.reads.Load(), make(chan struct{})
		do := func() { <-release }
		tier.afterGet.Store(&do) // holds up the first reader, after its read
		var wait sync.WaitGroup
		for range 50 {
			wait.Go(func() {
				var h Hit
				ok, err := c.Get(background, K("n", "k"), &h)
				if !ok || err != nil || string(h.Value()) != "v" || !h.Attrs().HasLabel(Tag, "t") {
					t.Errorf("%v, %v", ok, err)
				}
				h.Release()
			})
		}
		synctest.Wait()
		ctx, cancel := context.WithCancel(background)
		wait.Go(func() {
			var h Hit
			if _, err := c.Get(ctx, K("n", "k"), &h); err == nil {
				t.Error("who gave up waiting was served")
			}
		})
		synctest.Wait()
		cancel() // one who gives up does not disturb the others
		synctest.Wait()
		close(release)
		wait.Wait()
		if got := tier.reads.Load() - before; got != 1 {
			t.Errorf("%d reads of the tier", got)
		}
		if s := c.Stats(); s.L2Hits != 50 || s.Promotions != 1 {
			t.Errorf("%+v", s)
		}
		for _, s := range c.shards {
			if len(s.flights.byHash) != 0 {
				t.Error("a flight is left")
			}
		}
	})
}

// TestSharedReadHeedsAnInvalidationThatIsOver: the read began while the invalidation was
// under way; who joins it afterwards must not be served what the invalidation covers.
func TestSharedReadHeedsAnInvalidationThatIsOver(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "k", "v", tags("t"))
	settle(t, c)
	evictAll(c)
	gen := c.generationOf([]byte("n"))
	f := &fence{labels: labelsOf(gen.id, Tag, []string{"t"})}
	in, err := c.newInvalidation(gen, f)
	if err != nil {
		t.Fatal(err)
	}
	release, before := make(chan struct{}), tier.reads.Load()
	do := func() { <-release }
	tier.afterGet.Store(&do)
	var wait sync.WaitGroup
	read := func() {
		var h Hit
		if ok, err := c.Get(background, K("n", "k"), &h); ok || err != nil {
			t.Errorf("served %q, %v", h.Value(), err)
		}
		h.Release()
	}
	wait.Go(read)
	waitFor(t, "the first read", func() bool { return tier.reads.Load() == before+1 })
	if err := in.run(background); err != nil {
		t.Error(err)
	}
	c.fences.lower(f)
	c.background.Done()
	for range 10 {
		wait.Go(read)
	}
	waitFor(t, "a second reader", func() bool { return c.Stats().Misses == 0 })
	close(release)
	wait.Wait()
}

// TestReadAfterAChangeDoesNotJoinOneFromBefore: it reads for itself.
func TestReadAfterAChangeDoesNotJoinOneFromBefore(t *testing.T) {
	tier := newMemTier()
	c := open(t, Config{Tier: tier})
	put(t, c, "n", "k", "old")
	settle(t, c)
	evictAll(c)
	release, before := make(chan struct{}), tier.reads.Load()
	do := func() { <-release }
	tier.afterGet.Store(&do)
	var wait sync.WaitGroup
	wait.Go(func() { get(t, c, "n", "k") }) // either answer is right
	waitFor(t, "the first read", func() bool { return tier.reads.Load() == before+1 })
	put(t, c, "n", "k", "new")
	settle(t, c)
	evictAll(c)
	wantValue(t, c, "n", "k", "new")
	must(c.Invalidate(background, K("n", "k")))
	if got, ok := get(t, c, "n", "k"); ok {
		t.Errorf("served %q", got)
	}
	close(release)
	wait.Wait()
	if got, ok := get(t, c, "n", "k"); ok {
		t.Errorf("afterwards served %q", got)
	}
}
