package cache_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
)

// The recorded-history test: clients put, get and invalidate the same few keys at the
// same time, while entries are evicted, flushed, and the cache restarts. Each call is
// recorded with the moments of its beginning and end on one clock; afterwards every value
// served is checked against promises C1 to C4 of the design:
//
//   - it was written to that key, by a put that began before the get ended;
//   - no later put of the key ended before the get began (C3: nobody reads older than
//     what was acknowledged);
//   - no invalidation that covers it began after that put had ended and itself ended
//     before the get began (C1, C2);
//   - its labels are those it was written with (C4).
//
// And of every put that presented a lease and was not refused: since the lease was granted
// no other write of the key, and no invalidation that covers what was put, both began and
// ended before the put began (C2).
//
// A crash, after which only what was synced and some of the rest is there, may undo an
// acknowledged put, so that an older one shows again; it may never undo an invalidation.
//
// The changes of a block are events with one beginning and one end. Since whoever sees one
// of them sees all, a block has ended, for this purpose, when the first of its values was
// served (I7).
//
// A miss is always allowed.
type event struct {
	kind       string // "put", "get", or an invalidation
	ns, key    string
	value      string // of a put or get; "" for a get: miss
	tags, deps []string
	label      string // tag, dependency or prefix
	start, end int64
	block      int64 // 0: none
	leased     int64 // of a put that presented a lease: when that had been granted; 0: none
}

// endBlocks makes blocks end when their first value was served.
func endBlocks(history []event) {
	blockOf, seen := map[string]int64{}, map[int64]int64{}
	for i := range history {
		if e := &history[i]; e.block != 0 && e.kind == "put" {
			blockOf[e.value] = e.block
		}
	}
	for i := range history {
		get := &history[i]
		block := blockOf[get.value]
		if first, ok := seen[block]; get.kind == "get" && block != 0 && (!ok || get.end < first) {
			seen[block] = get.end
		}
	}
	for i := range history {
		e := &history[i]
		if first, ok := seen[e.block]; ok && e.block != 0 {
			e.end = min(e.end, first)
		}
	}
}

// covers reports that the invalidation x covers the put w.
func (x *event) covers(w *event) bool {
	switch x.kind {
	case "delete":
		return x.ns == w.ns && x.key == w.key
	case "tag":
		return x.ns == w.ns && slices.Contains(w.tags, x.label)
	case "dependency":
		return slices.Contains(w.deps, x.label)
	case "prefix":
		return x.ns == w.ns && strings.HasPrefix(w.key, x.label)
	case "flush":
		return x.ns == w.ns
	}
	return false
}

// check returns what is wrong with a history.
func check(history []event) (wrong []string) {
	puts := map[string]*event{}
	byKey := map[string][]*event{}
	var invalidations, crashes []*event
	for i := range history {
		e := &history[i]
		switch e.kind {
		case "put":
			puts[e.value] = e
			byKey[e.ns+"/"+e.key] = append(byKey[e.ns+"/"+e.key], e)
		case "crash":
			crashes = append(crashes, e)
		case "get":
		default:
			invalidations = append(invalidations, e)
		}
	}
	wrong = append(wrong, checkLeases(byKey, invalidations)...)
	for i := range history {
		get := &history[i]
		if get.kind != "get" || get.value == "" {
			continue
		}
		w := puts[get.value]
		say := func(format string, args ...any) {
			wrong = append(wrong, fmt.Sprintf("get of %s/%s at %d..%d served %s: ", get.ns, get.key, get.start, get.end, get.value)+
				fmt.Sprintf(format, args...)+excerpt(history, w, get))
		}
		if w == nil || w.ns != get.ns || w.key != get.key || w.start >= get.end {
			say("never written there before")
			continue
		}
		if !slices.Equal(w.tags, get.tags) || !slices.Equal(w.deps, get.deps) {
			say("labels %v %v, written with %v %v", get.tags, get.deps, w.tags, w.deps)
		}
		for _, later := range byKey[get.ns+"/"+get.key] {
			undone := slices.ContainsFunc(crashes, func(x *event) bool { return later.start < x.start && x.end < get.start })
			if w.end < later.start && later.end < get.start && !undone {
				say("overwritten by %s at %d..%d", later.value, later.start, later.end)
			}
		}
		for _, x := range invalidations {
			if w.end < x.start && x.end < get.start && x.covers(w) {
				say("put at %d..%d, invalidated by %s %s at %d..%d", w.start, w.end, x.kind, x.label, x.start, x.end)
			}
		}
	}
	return wrong
}

// checkLeases returns the puts that should have been refused.
func checkLeases(byKey map[string][]*event, invalidations []*event) (wrong []string) {
	for key, puts := range byKey {
		for _, w := range puts {
			if w.leased == 0 {
				continue
			}
			overtook := func(x *event) bool { return x.start > w.leased && x.end < w.start }
			for _, other := range puts {
				if other != w && overtook(other) {
					wrong = append(wrong, fmt.Sprintf("put %s of %s at %d..%d, lease of %d: overtaken by put %s at %d..%d", w.value, key, w.start, w.end, w.leased, other.value, other.start, other.end))
				}
			}
			for _, x := range invalidations {
				if overtook(x) && x.covers(w) {
					wrong = append(wrong, fmt.Sprintf("put %s of %s at %d..%d, lease of %d: overtaken by %s %s at %d..%d", w.value, key, w.start, w.end, w.leased, x.kind, x.label, x.start, x.end))
				}
			}
		}
	}
	return wrong
}

// excerpt lists what happened around a get that concerns its key.
func excerpt(history []event, w, get *event) string {
	var lines []string
	for i := range history {
		e := &history[i]
		if w == nil || e.end < w.start || e.start > get.end {
			continue
		}
		if e.kind == "crash" || e.kind == "restart" || e.kind == "dependency" || e.ns == get.ns && (e.key == get.key || e.key == "") {
			lines = append(lines, fmt.Sprintf("%9d..%-9d %s %s %s %v %v", e.start, e.end, e.kind, e.label, e.value, e.tags, e.deps))
		}
	}
	slices.Sort(lines)
	return "\n" + strings.Join(lines, "\n")
}

// TestHistoryCheckerFindsLies: a checker that accepts everything would be worse than none.
func TestHistoryCheckerFindsLies(t *testing.T) {
	put := event{kind: "put", ns: "n", key: "k", value: "1", tags: []string{"t"}, start: 1, end: 2}
	get := event{kind: "get", ns: "n", key: "k", value: "1", tags: []string{"t"}, start: 7, end: 8}
	if wrong := check([]event{put, get}); len(wrong) != 0 {
		t.Fatal(wrong)
	}
	for name, between := range map[string]event{
		"overwritten": {kind: "put", ns: "n", key: "k", value: "2", start: 3, end: 4},
		"deleted":     {kind: "delete", ns: "n", key: "k", start: 3, end: 4},
		"tag":         {kind: "tag", ns: "n", label: "t", start: 3, end: 4},
		"prefix":      {kind: "prefix", ns: "n", label: "", start: 3, end: 4},
		"flush":       {kind: "flush", ns: "n", start: 3, end: 4},
	} {
		if len(check([]event{put, between, get})) == 0 {
			t.Errorf("%s: not found", name)
		}
		between.end = 9
		if wrong := check([]event{put, between, get}); len(wrong) != 0 {
			t.Errorf("%s, still running at the get: %v", name, wrong)
		}
	}
	block := event{kind: "put", ns: "n", key: "other", value: "3", start: 3, end: 20, block: 1}
	part := event{kind: "tag", ns: "n", label: "t", start: 3, end: 20, block: 1}
	seen := event{kind: "get", ns: "n", key: "other", value: "3", start: 4, end: 6}
	history := []event{put, block, part, seen, get}
	endBlocks(history)
	if len(check(history)) == 0 {
		t.Error("half a block: not found")
	}
	get.tags = nil
	if len(check([]event{put, get})) == 0 {
		t.Error("lost labels: not found")
	}
	fill := event{kind: "put", ns: "n", key: "k", value: "3", tags: []string{"t"}, leased: 2, start: 5, end: 6}
	for name, between := range map[string]event{
		"write": {kind: "put", ns: "n", key: "k", value: "4", start: 3, end: 4},
		"tag":   {kind: "tag", ns: "n", label: "t", start: 3, end: 4},
	} {
		if len(check([]event{between, fill})) == 0 {
			t.Errorf("lease overtaken by %s: not found", name)
		}
		between.start = 1
		if wrong := check([]event{between, fill}); len(wrong) != 0 {
			t.Errorf("%s begun before the lease: %v", name, wrong)
		}
	}
}

// world is the system under test; restarts hold the lock exclusively.
type world struct {
	t     *testing.T
	moved atomic.Int64 // the clock of the history
	value atomic.Int64

	mu    sync.RWMutex
	cache *cache.Cache
	fs    *vfs.MemFS
	store *l2.Store

	withTier bool
	seed     uint64

	recorded struct {
		sync.Mutex
		events []event
	}
}

func (w *world) record(e event) {
	w.recorded.Lock()
	w.recorded.events = append(w.recorded.events, e)
	w.recorded.Unlock()
}

var historySeeds = flag.Int("histories", 3, "record so many histories")

func TestHistoryOfConcurrentClients(t *testing.T) {
	for _, mode := range []string{"memory", "pebble"} {
		t.Run(mode, func(t *testing.T) {
			for seed := range uint64(*historySeeds) {
				runHistory(t, mode == "pebble", seed)
			}
		})
	}
}

func runHistory(t *testing.T, withTier bool, seed uint64) {
	const clients, steps = 6, 500
	w := &world{t: t, withTier: withTier, seed: seed}
	if withTier {
		w.fs = vfs.NewCrashableMem()
	}
	w.open()
	var wait sync.WaitGroup
	for client := range clients {
		random := rand.New(rand.NewPCG(seed, uint64(client)))
		wait.Go(func() {
			for range steps {
				w.step(random)
			}
		})
	}
	wait.Wait()
	endBlocks(w.recorded.events)
	for _, wrong := range check(w.recorded.events) {
		t.Errorf("seed %d: %s", seed, wrong)
	}
	cache.Validate(t, w.cache)
	if err := w.cache.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func (w *world) open() {
	cfg := cache.Config{L1BytesMax: 1 << 20, WriteWait: cache.Patience}.OnHeap()
	if w.withTier {
		// All ways to promote.
		cfg.PromoteOn, cfg.PromotionWorkers = cache.PromoteOn(w.seed%2), int(w.seed%3)
		store, err := l2.Open(l2.Config{Dir: "data", FS: w.fs, FreeBytesMin: -1, MemTableBytes: 1 << 20, BlockCacheBytes: 1 << 20,
			StallAfter: cache.Patience, WriteTimeout: cache.Patience, CloseTimeout: cache.Patience, CompressMinBytes: int(1 + w.seed%2<<30)})
		if err != nil {
			w.t.Fatal(err)
		}
		w.store, cfg.Tier = store, store
	}
	c, err := cache.Open(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.cache = c
}

func (w *world) step(random *rand.Rand) {
	ns, key := fmt.Sprint("n", random.IntN(2)), fmt.Sprintf("%c%d", 'a'+rune(random.IntN(2)), random.IntN(3))
	roll := random.IntN(1000)
	if w.withTier && roll < 2 {
		if roll == 0 {
			w.restart()
		} else {
			w.crash(random)
		}
		return
	}
	w.mu.RLock()
	defer w.mu.RUnlock()
	switch {
	case roll < 400:
		w.get(ns, key)
	case roll < 450:
		w.getOrFill(random, ns, key)
	case roll < 650:
		w.put(random, ns, key)
	case roll < 750:
		w.block(random)
	case roll < 800:
		w.invalidate(event{kind: "delete", ns: ns, key: key})
	case roll < 850:
		w.invalidate(event{kind: "tag", ns: ns, label: "t"})
	case roll < 880:
		w.invalidate(event{kind: "dependency", label: "d"})
	case roll < 900:
		w.invalidate(event{kind: "prefix", ns: ns, label: key[:1]})
	case roll < 915:
		w.invalidate(event{kind: "flush", ns: ns})
	default:
		w.cache.EvictSome(10)
	}
}

func (w *world) restart() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.cache.Close(context.Background()); err != nil {
		w.t.Error(err)
	}
	w.open()
}

func (w *world) crash(random *rand.Rand) {
	w.mu.Lock()
	defer w.mu.Unlock()
	e := event{kind: "crash", start: w.moved.Add(1)}
	after := w.fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: random.IntN(101), RNG: random})
	w.cache.Abandon()
	if err := w.store.Close(); err != nil { // of the world that is gone
		w.t.Error(err)
	}
	w.fs = after
	w.open()
	e.end = w.moved.Add(1)
	w.record(e)
}

func (w *world) get(ns, key string) {
	var h cache.Hit
	e := event{kind: "get", ns: ns, key: key, start: w.moved.Add(1)}
	_, err := w.cache.Get(context.Background(), cache.K(ns, key), &h)
	w.served(e, &h, err)
}

// getOrFill reads a key and, if that grants a lease, fills it; others may come in between.
func (w *world) getOrFill(random *rand.Rand, ns, key string) {
	var h cache.Hit
	holder := w.cache.NewLeaseHolder()
	defer holder.Close()
	e := event{kind: "get", ns: ns, key: key, start: w.moved.Add(1)}
	state, lease, err := w.cache.GetOrLease(context.Background(), cache.K(ns, key), cache.LeaseOptions{Holder: holder, Lease: time.Minute, Wait: time.Millisecond}, &h)
	w.served(e, &h, err)
	if state != cache.LeaseGranted {
		return
	}
	granted := w.moved.Add(1)
	for range random.IntN(20) {
		runtime.Gosched()
	}
	w.putLeased(random, ns, key, lease, granted)
}

// served records what a read of e got.
func (w *world) served(e event, h *cache.Hit, err error) {
	e.end = w.moved.Add(1)
	if err != nil {
		w.t.Error(err)
	}
	if h.HasEntry() {
		e.value, _, _ = strings.Cut(string(h.Value()), " ")
		for text := range h.Attrs().Tags() {
			e.tags = append(e.tags, string(text))
		}
		for text := range h.Attrs().Dependencies() {
			e.deps = append(e.deps, string(text))
		}
		h.Release()
	}
	w.record(e)
}

func (w *world) put(random *rand.Rand, ns, key string) { w.putLeased(random, ns, key, 0, 0) }

// putLeased puts with a lease, 0 for none. A refused put is no event.
func (w *world) putLeased(random *rand.Rand, ns, key string, lease, granted int64) {
	e := event{kind: "put", ns: ns, key: key, value: fmt.Sprint(w.value.Add(1)), leased: granted}
	if random.IntN(2) == 0 {
		e.tags = []string{"t"}
	}
	if random.IntN(3) == 0 {
		e.deps = []string{"d"}
	}
	// Sizes up to what crowds others out of a tiny L1.
	size := 1 << random.IntN(17)
	d := cache.NewDraft([]byte(e.value + " " + strings.Repeat("x", size)))
	d.Tags, d.Dependencies, d.Admission, d.Lease = e.tags, e.deps, cache.Admission(random.IntN(3)), lease
	e.start = w.moved.Add(1)
	_, err := w.cache.Put(context.Background(), cache.K(ns, key), &d)
	e.end = w.moved.Add(1)
	var refused *cache.LeaseError
	if lease != 0 && errors.As(err, &refused) {
		return
	}
	if err != nil {
		w.t.Error(err)
	}
	w.record(e)
}

// block commits puts and deletes of several keys and perhaps an invalidation.
func (w *world) block(random *rand.Rand) {
	var b cache.Block
	id := w.value.Add(1)
	var events []event
	used := map[string]bool{}
	for range 2 + random.IntN(3) {
		e := event{kind: "put", ns: fmt.Sprint("n", random.IntN(2)), key: fmt.Sprintf("%c%d", 'a'+rune(random.IntN(2)), random.IntN(3)), block: id}
		if used[e.ns+e.key] {
			continue
		}
		used[e.ns+e.key] = true
		d := cache.NewDraft(nil)
		verdict := cache.Write
		if random.IntN(4) == 0 {
			e.kind, verdict = "delete", cache.Remove
		} else {
			e.value = fmt.Sprint(w.value.Add(1))
			if random.IntN(2) == 0 {
				e.tags = []string{"t"}
			}
			d.Value, d.Tags = []byte(e.value+" "+strings.Repeat("x", 1<<random.IntN(13))), e.tags
			d.Admission = cache.Admission(random.IntN(3))
		}
		b.Updates = append(b.Updates, cache.KeyUpdate{Key: cache.K(e.ns, e.key), Update: func(_ *cache.Hit, draft *cache.Draft) (cache.Verdict, error) {
			*draft = d
			return verdict, nil
		}})
		events = append(events, e)
	}
	ns := fmt.Sprint("n", random.IntN(2))
	// The invalidation comes before the puts of its block, so that they are not covered.
	e := event{ns: ns, block: id}
	switch x := (cache.Invalidation{Namespace: []byte(ns)}); random.IntN(8) {
	case 0:
		e.kind, e.label, x.Coverage, x.Labels = "tag", "t", cache.CoverTags, []string{"t"}
		b.Invalidations, events = append(b.Invalidations, x), append(events, e)
	case 1:
		e.kind, e.label, x.Coverage, x.Labels, x.Namespace = "dependency", "d", cache.CoverDependencies, []string{"d"}, nil
		b.Invalidations, events = append(b.Invalidations, x), append(events, e)
	case 2:
		e.kind, e.label, x.Coverage, x.Prefix = "prefix", "a", cache.CoverPrefix, []byte("a")
		b.Invalidations, events = append(b.Invalidations, x), append(events, e)
	case 3:
		e.kind, x.Coverage = "flush", cache.CoverNamespace
		b.Invalidations, events = append(b.Invalidations, x), append(events, e)
	}
	start := w.moved.Add(1)
	err := w.cache.Commit(context.Background(), &b)
	end := w.moved.Add(1)
	if err != nil {
		w.t.Errorf("block: %v", err)
	}
	for i := range events {
		events[i].start, events[i].end = start, end
		w.record(events[i])
	}
}

func (w *world) invalidate(e event) {
	ctx := context.Background()
	e.start = w.moved.Add(1)
	var err error
	switch e.kind {
	case "delete":
		_, err = w.cache.Invalidate(ctx, cache.K(e.ns, e.key))
	case "tag":
		_, err = w.cache.InvalidateTags(ctx, []byte(e.ns), []string{e.label})
	case "dependency":
		_, err = w.cache.InvalidateDependencies(ctx, nil, []string{e.label})
	case "prefix":
		_, err = w.cache.InvalidatePrefix(ctx, []byte(e.ns), []byte(e.label))
	case "flush":
		_, _, err = w.cache.FlushNamespace(ctx, []byte(e.ns))
	}
	e.end = w.moved.Add(1)
	if err != nil {
		w.t.Errorf("%s: %v", e.kind, err)
	}
	w.record(e)
}
