package cache

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"pgcache/cache/arena"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var background = context.Background()

// fakeClock is a clock that tests move.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func newFakeClock() *fakeClock { return &fakeClock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func (f *fakeClock) Now() time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now
}

func (f *fakeClock) advance(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = f.now.Add(d)
}

// patience bounds what tests wait for: only a hang uses it up, not a machine that stops the
// process for some seconds.
const patience = 5 * time.Minute

// open makes a cache for a test, which is validated and closed at its end.
func open(t testing.TB, cfg Config) *Cache {
	t.Helper()
	orDefault(&cfg.L1BytesMax, 4<<20)
	orDefault(&cfg.WriteWait, patience)
	cfg.memory = arena.Heap()
	c, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !c.closed.Load() {
			validate(t, c)
		}
		if err := c.Close(background); err != nil {
			t.Error(err)
		}
		if got := c.pool.ResidentBytes(); got != 0 {
			t.Errorf("%d bytes of memory left after close: a hit was not released", got)
		}
	})
	return c
}

// settle waits until nothing is dirty.
func settle(t testing.TB, c *Cache) {
	t.Helper()
	ctx, cancel := context.WithTimeout(background, patience)
	defer cancel()
	if err := c.drain(ctx); err != nil {
		t.Fatal(err)
	}
}

// evictAll empties L1 of what is evictable, as pressure would.
func evictAll(c *Cache) {
	for _, s := range c.shards {
		s.mu.Lock()
		for s.policy.Len() > 0 {
			if number := s.policy.Victim(); number != 0 {
				s.evict(number)
			}
		}
		s.mu.Unlock()
	}
}

func put(t testing.TB, c *Cache, ns, key, value string, change ...func(*Draft)) {
	t.Helper()
	d := NewDraft([]byte(value))
	for _, f := range change {
		f(&d)
	}
	if _, err := c.Put(background, K(ns, key), &d); err != nil {
		t.Fatalf("put %s/%s: %v", ns, key, err)
	}
}

func tags(tags ...string) func(*Draft) { return func(d *Draft) { d.Tags = tags } }
func deps(deps ...string) func(*Draft) { return func(d *Draft) { d.Dependencies = deps } }

// get returns the value or "" and false.
func get(t testing.TB, c *Cache, ns, key string) (string, bool) {
	t.Helper()
	var h Hit
	ok, err := c.Get(background, K(ns, key), &h)
	if err != nil {
		t.Fatalf("get %s/%s: %v", ns, key, err)
	}
	defer h.Release()
	return string(h.Value()), ok
}

func wantValue(t testing.TB, c *Cache, ns, key, want string) {
	t.Helper()
	if got, ok := get(t, c, ns, key); !ok || got != want {
		t.Fatalf("get %s/%s: %q, %v; want %q", ns, key, got, ok, want)
	}
}

func wantAbsent(t testing.TB, c *Cache, ns, key string) {
	t.Helper()
	if got, ok := get(t, c, ns, key); ok {
		t.Fatalf("get %s/%s: %q, want none", ns, key, got)
	}
}

func wantCount(t testing.TB, what string, got int64, err error, want int64) {
	t.Helper()
	if err != nil || got != want {
		t.Fatalf("%s: %d, %v; want %d", what, got, err, want)
	}
}

// modes runs a test memory only, over a tier, and over a tier with nothing left in L1
// between the steps (between is called there).
func modes(t *testing.T, test func(t *testing.T, c *Cache, clock *fakeClock, between func())) {
	for _, mode := range []string{"memory", "both", "tier"} {
		t.Run(mode, func(t *testing.T) {
			clock := newFakeClock()
			cfg := Config{Now: clock.Now}
			if mode != "memory" {
				cfg.Tier = newMemTier()
			}
			c := open(t, cfg)
			test(t, c, clock, func() {
				if mode != "memory" {
					settle(t, c)
				}
				if mode == "tier" {
					evictAll(c)
				}
			})
		})
	}
}

func TestPutGetDelete(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, _ *fakeClock, between func()) {
		wantAbsent(t, c, "a", "k")
		put(t, c, "a", "k", "one")
		between()
		wantValue(t, c, "a", "k", "one")
		between()
		put(t, c, "a", "k", "two")
		between()
		wantValue(t, c, "a", "k", "two")
		wantAbsent(t, c, "b", "k")
		between()
		for i, want := range []bool{true, false} {
			if existed, err := c.Invalidate(background, K("a", "k")); err != nil || existed != want {
				t.Fatalf("delete %d: %v, %v", i, existed, err)
			}
			between()
			wantAbsent(t, c, "a", "k")
		}
	})
}

func TestEverythingWrittenIsServedFromEitherTier(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, clock *fakeClock, between func()) {
		d := NewDraft([]byte("value"))
		d.Metadata = []Pair{{"content-type", "text/plain"}, {"x", ""}}
		d.Tags, d.Dependencies = []string{"t1", "t2", "t1"}, []string{"d"}
		d.Priority, d.Admission, d.HasVersion, d.Version = 7, AdmitAlways, true, -5
		d.TTL, d.StaleTTL, d.IdleTTL, d.JitterPct = time.Minute, time.Second, time.Hour, 0
		if _, err := c.Put(background, K("n", "k"), &d); err != nil {
			t.Fatal(err)
		}
		between()
		var h Hit
		if ok, err := c.Get(background, K("n", "k"), &h); !ok || err != nil {
			t.Fatal(ok, err)
		}
		defer h.Release()
		a := h.Attrs()
		version, hasVersion := a.Version()
		hard, _ := a.HardMs()
		got := fmt.Sprintln(string(h.Value()), a.Priority(), a.Admission(), version, hasVersion, hard-clock.Now().UnixMilli(),
			a.StaleMs(), a.IdleMs(), a.CreatedMs() == clock.Now().UnixMilli())
		if want := "value 7 1 -5 true 60000 1000 3600000 true\n"; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
		var labels []string
		for kind, text := range a.Labels() {
			labels = append(labels, fmt.Sprintf("%d %s", kind, text))
		}
		for key, value := range a.Metadata() {
			labels = append(labels, string(key)+"="+string(value))
		}
		if got, want := fmt.Sprint(labels), "[0 t1 0 t2 1 d content-type=text/plain x=]"; got != want {
			t.Fatalf("got %s, want %s", got, want)
		}
	})
}

func TestLifetimesHaveOneBoundaryInEveryTier(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, clock *fakeClock, between func()) {
		put(t, c, "n", "hard", "v", func(d *Draft) { d.TTL = time.Second })
		put(t, c, "n", "stale", "v", func(d *Draft) { d.TTL = time.Second; d.StaleTTL = time.Second })
		put(t, c, "n", "jitter", "v", func(d *Draft) { d.TTL = time.Second; d.JitterPct = 50 })
		between()
		clock.advance(999 * time.Millisecond)
		wantValue(t, c, "n", "hard", "v")
		between()
		clock.advance(time.Millisecond)
		wantAbsent(t, c, "n", "hard")
		wantAbsent(t, c, "n", "jitter")
		between()
		var h Hit
		if ok, _ := c.Get(background, K("n", "stale"), &h); !ok || !h.IsStale() {
			t.Fatal("not served stale")
		}
		h.Release()
		between()
		clock.advance(time.Second)
		wantAbsent(t, c, "n", "stale")
	})
}

func TestIdleTTLSlidesWithAccessAndExistenceChecksChangeNothing(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{Now: clock.Now})
	put(t, c, "n", "k", "v", func(d *Draft) { d.IdleTTL = 10 * time.Second })
	clock.advance(9 * time.Second)
	wantValue(t, c, "n", "k", "v")
	clock.advance(9 * time.Second)
	var h Hit
	if ok, err := c.Peek(background, K("n", "k"), &h); !ok || err != nil {
		t.Fatal("peek", ok, err)
	}
	h.Release()
	clock.advance(time.Second)
	if ok, _ := c.Peek(background, K("n", "k"), &h); ok {
		t.Fatal("the peek extended the idle lifetime")
	}
	wantAbsent(t, c, "n", "k")
	if stats := c.Stats(); stats.Hits != 1 || stats.Misses != 1 {
		t.Fatalf("peeks were counted: %d hits, %d misses", stats.Hits, stats.Misses)
	}
}

func TestJitterShortensContinuously(t *testing.T) {
	clock := newFakeClock()
	c := open(t, Config{Now: clock.Now})
	seen := map[int64]bool{}
	for i := range 1000 {
		key := fmt.Sprint(i)
		put(t, c, "n", key, "v", func(d *Draft) { d.TTL = 100 * time.Second; d.JitterPct = 10 })
		var h Hit
		if ok, _ := c.Peek(background, K("n", key), &h); !ok {
			t.Fatal("absent")
		}
		hard, _ := h.Attrs().HardMs()
		h.Release()
		left := hard - clock.Now().UnixMilli()
		if left > 100_000 || left < 90_000 {
			t.Fatalf("lifetime %d ms, asked for 90..100 s", left)
		}
		seen[left] = true
	}
	if len(seen) < 900 {
		t.Fatalf("only %d distinct lifetimes of 1,000", len(seen))
	}
}

func TestInvalidationCountsExactlyInEveryTier(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, _ *fakeClock, between func()) {
		for i := range 6 {
			put(t, c, "a", fmt.Sprint("p", i), "v", tags("x", "y"), deps("d"))
			put(t, c, "b", fmt.Sprint("p", i), "v", tags("x"), deps("d"))
			put(t, c, "a", fmt.Sprint("q", i), "v", tags("z"), func(d *Draft) { d.Admission = AdmitNever })
		}
		between()
		n, err := c.InvalidateTags(background, []byte("a"), []string{"x", "y", "none", "x"})
		wantCount(t, "tags", n, err, 6)
		between()
		wantAbsent(t, c, "a", "p0")
		wantValue(t, c, "b", "p0", "v")
		n, err = c.InvalidateTags(background, []byte("a"), []string{"z"})
		wantCount(t, "tag of never-admitted", n, err, 6)
		wantAbsent(t, c, "a", "q3")
		put(t, c, "a", "p0", "v", deps("d"))
		between()
		n, err = c.InvalidateDependencies(background, []byte("b"), []string{"d"})
		wantCount(t, "dependency in b", n, err, 6)
		n, err = c.InvalidateDependencies(background, nil, []string{"d"})
		wantCount(t, "dependency everywhere", n, err, 1)
		for _, key := range []string{"user:1", "user:2", "use", "zzz"} {
			put(t, c, "a", key, "v")
		}
		between()
		n, err = c.InvalidatePrefix(background, []byte("a"), []byte("user:"))
		wantCount(t, "prefix", n, err, 2)
		wantAbsent(t, c, "a", "user:1")
		wantValue(t, c, "a", "use", "v")
		n, err = c.InvalidatePrefix(background, []byte("none"), nil)
		wantCount(t, "prefix of unknown namespace", n, err, 0)
		between()
		n, err = c.InvalidatePrefix(background, []byte("a"), nil)
		wantCount(t, "empty prefix", n, err, 2)
		wantAbsent(t, c, "a", "zzz")
	})
}

func TestNamespaceFlush(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, _ *fakeClock, between func()) {
		put(t, c, "a", "k", "v")
		put(t, c, "a", "l", "v")
		put(t, c, "b", "k", "v")
		between()
		if n, existed, err := c.FlushNamespace(background, []byte("a")); n != 2 || !existed || err != nil {
			t.Fatal(n, existed, err)
		}
		wantAbsent(t, c, "a", "k")
		wantValue(t, c, "b", "k", "v")
		put(t, c, "a", "k", "new")
		between()
		wantValue(t, c, "a", "k", "new")
		if _, existed, err := c.FlushNamespace(background, []byte("none")); existed || err != nil {
			t.Fatal(existed, err)
		}
		if n, err := c.FlushAll(background); n != 2 || err != nil {
			t.Fatal(n, err)
		}
		wantAbsent(t, c, "b", "k")
	})
}

func TestVersionOnlyGrows(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, clock *fakeClock, between func()) {
		version := func(value string, v int64) error {
			between()
			d := NewDraft([]byte(value))
			d.HasVersion, d.Version, d.TTL = true, v, time.Minute
			_, err := c.Put(background, K("n", "k"), &d)
			return err
		}
		var mismatch *VersionError
		if err := version("a", 9); err != nil {
			t.Fatal(err)
		}
		if err := version("b", 3); !errors.As(err, &mismatch) || mismatch.Stored != 9 || mismatch.Offered != 3 {
			t.Fatalf("lower version: %v", err)
		}
		if err := version("b", 9); !errors.As(err, &mismatch) {
			t.Fatalf("same version, other value: %v", err)
		}
		if err := version("a", 9); err != nil {
			t.Fatalf("refresh: %v", err)
		}
		between()
		put(t, c, "n", "k", "c") // without a version: the stored one stays
		if err := version("d", 8); !errors.As(err, &mismatch) {
			t.Fatalf("after an unversioned put: %v", err)
		}
		if got := c.Stats().VersionMismatches; got != 3 {
			t.Fatalf("%d mismatches counted", got)
		}
		if err := version("e", 10); err != nil {
			t.Fatal(err)
		}
		clock.advance(time.Hour)
		if err := version("f", 1); err != nil {
			t.Fatalf("an expired entry's version blocks: %v", err)
		}
	})
}

func TestUpdateSeesAndKeeps(t *testing.T) {
	modes(t, func(t *testing.T, c *Cache, clock *fakeClock, between func()) {
		put(t, c, "n", "k", "v", tags("t"), func(d *Draft) { d.TTL = time.Minute })
		between()
		clock.advance(10 * time.Second)
		var out Hit
		result, err := c.Update(background, K("n", "k"), UpdateOptions{Out: &out}, func(old *Hit, d *Draft) (Verdict, error) {
			if old == nil {
				t.Error("no old entry")
			}
			d.Priority = 9
			return Write, nil
		})
		if err != nil || !result.Existed || result.Verdict != Write {
			t.Fatal(result, err)
		}
		hard, _ := out.Attrs().HardMs()
		if string(out.Value()) != "v" || !out.Attrs().HasLabel(Tag, "t") || hard-clock.Now().UnixMilli() != 50_000 ||
			clock.Now().UnixMilli()-out.Attrs().CreatedMs() != 10_000 {
			t.Fatalf("touched entry: %q, hard expiry in %d ms", out.Value(), hard-clock.Now().UnixMilli())
		}
		out.Release()
		between()
		wantErr := errors.New("no")
		if _, err := c.Update(background, K("n", "k"), UpdateOptions{}, func(*Hit, *Draft) (Verdict, error) { return Write, wantErr }); err != wantErr {
			t.Fatal(err)
		}
		result, err = c.Update(background, K("n", "none"), UpdateOptions{}, func(old *Hit, _ *Draft) (Verdict, error) {
			if old != nil {
				t.Error("an old entry")
			}
			return Leave, nil
		})
		if err != nil || result.Existed {
			t.Fatal(result, err)
		}
	})
}

func TestLimitsRefuseWithoutChange(t *testing.T) {
	c := open(t, Config{NamespacesMax: 2, Limits: Limits{ValueBytesMax: 100}})
	put(t, c, "n", "k", "v")
	long := make([]byte, 5000)
	for name, x := range map[string]struct {
		key    Key
		change func(*Draft)
	}{
		"empty namespace": {Key{nil, []byte("k")}, nil},
		"empty key":       {Key{[]byte("n"), nil}, nil},
		"long key":        {Key{[]byte("n"), long[:1025]}, nil},
		"long namespace":  {Key{long[:256], []byte("k")}, nil},
		"value":           {K("n", "k"), func(d *Draft) { d.Value = long[:101] }},
		"metadata":        {K("n", "k"), func(d *Draft) { d.Metadata = []Pair{{"a", string(long)}} }},
		"tags":            {K("n", "k"), func(d *Draft) { d.Tags = make([]string, 65) }},
		"tag":             {K("n", "k"), func(d *Draft) { d.Tags = []string{string(long[:256])} }},
		"empty tag":       {K("n", "k"), func(d *Draft) { d.Tags = []string{""} }},
		"ttl":             {K("n", "k"), func(d *Draft) { d.TTL = -1 }},
		"jitter":          {K("n", "k"), func(d *Draft) { d.JitterPct = 101 }},
	} {
		d := NewDraft([]byte("new"))
		if x.change != nil {
			x.change(&d)
		}
		_, err := c.Put(background, x.key, &d)
		if !errors.As(err, new(*LimitError)) && !errors.As(err, new(*ArgumentError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	wantValue(t, c, "n", "k", "v")
	put(t, c, "second", "k", "v")
	d := NewDraft([]byte("v"))
	if _, err := c.Put(background, K("third", "k"), &d); !errors.As(err, new(*QuotaError)) {
		t.Fatalf("third namespace: %v", err)
	}
	if _, _, err := c.FlushNamespace(background, []byte("second")); err != nil {
		t.Fatal(err)
	}
	put(t, c, "third", "k", "v") // an empty namespace gives way
	if got := c.Stats().Namespaces; got != 2 {
		t.Fatalf("%d namespaces", got)
	}
}
