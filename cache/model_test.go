package cache

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgcache/cache/arena"
)

const modelSeedsDefault = 40

var (
	modelSeed  = flag.Uint64("seed", 0, "run the model test with this seed only")
	modelSeeds = flag.Uint64("seeds", modelSeedsDefault, "run the model test with so many seeds")
)

// model is the cache as a user may think of it: a map. The cache may forget what it
// evicts; it must never answer with anything but the newest write, or a miss where the
// model has nothing.
type model struct {
	entries map[string]*modelEntry // by "ns/key"
	mayMiss map[string]bool        // evicted from the last tier that held it
}

type modelEntry struct {
	value     string
	tags      []string
	deps      []string
	deadline  int64 // Unix ms; 0: none
	idleMs    int64 // 0: none
	accessed  int64 // the last access that counts, Unix ms
	version   int64 // 0: none
	unsynced  []*modelEntry
	inDurable bool
}

type modelRun struct {
	t      *testing.T
	mode   string
	random *rand.Rand
	clock  *fakeClock
	tier   ModelTier // nil: memory only
	cfg    Config
	c      *Cache
	m      model
	trace  []string
	// hasDropped: the tier did not keep up, entries were kept from it.
	hasDropped bool
	serial     int
}

// modelModes are the shapes of a cache that must behave alike but for what they forget.
var modelModes = []string{"memory", "tier", "tiny", "disk", "pool"}

func TestModel(t *testing.T) {
	const steps = 400
	first, seeds := uint64(1), *modelSeeds
	if *modelSeed != 0 {
		first, seeds = *modelSeed, 1
	}
	for _, mode := range modelModes {
		for seed := first; seed < first+seeds; seed++ {
			runModel(t, mode, rand.NewPCG(seed, 7), func(done int) bool { return done < steps })
			if t.Failed() {
				t.Fatalf("mode %s: repeat with -seed=%d", mode, seed)
			}
		}
	}
}

// byteSource makes the choices of a run out of bytes, for the fuzzer.
type byteSource struct {
	left []byte
	over uint64 // draws since there are none left
}

func (b *byteSource) Uint64() uint64 {
	if len(b.left) == 0 {
		b.over++
		return b.over * 0x9e3779b97f4a7c15 // always the same could be rejected for ever
	}
	x := uint64(b.left[0]) * 0x0101010101010101 // whichever bits are looked at
	b.left = b.left[1:]
	return x
}

// FuzzModel takes the bytes of its input for the operations of a run of the model.
func FuzzModel(f *testing.F) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		code := make([]byte, 400)
		for i := range code {
			code[i] = byte(random.Uint32())
		}
		f.Add(uint8(seed), code)
	}
	f.Fuzz(func(t *testing.T, mode uint8, code []byte) {
		source := &byteSource{left: code[:min(len(code), 4000)]}
		runModel(t, modelModes[int(mode)%len(modelModes)], source, func(int) bool { return len(source.left) > 0 })
	})
}

func runModel(t *testing.T, mode string, source rand.Source, goesOn func(steps int) bool) {
	runModelOn(t, mode, newModelTier, source, goesOn)
}

// runModelOn is runModel with another tier, if the mode has one.
func runModelOn(t *testing.T, mode string, newTier func(now func() time.Time) ModelTier, source rand.Source, goesOn func(steps int) bool) {
	r := &modelRun{t: t, mode: mode, random: rand.New(source), clock: newFakeClock()}
	r.m = model{map[string]*modelEntry{}, map[string]bool{}}
	r.cfg = Config{L1BytesMax: 64 << 20, Now: r.clock.Now, WriteWait: patience, memory: arena.Heap()}
	switch mode {
	case "tiny":
		r.cfg.L1BytesMax = 1 << 20
	case "pool":
		r.cfg.L1BytesMax = 1 << 20
		r.cfg.PromoteOn, r.cfg.PromotionWorkers, r.cfg.PromotionQueueMax = PromoteOnSecondHit, 2, 2
	}
	if mode != "memory" {
		r.tier = newTier(r.clock.Now)
		r.cfg.Tier = r.tier
	}
	r.open()
	// Swarm testing: each run leaves some operations out.
	var ops []func()
	for _, op := range []func(){r.put, r.put, r.put, r.putLarge, r.get, r.get, r.get, r.scan, r.remove, r.tag, r.dependency, r.prefix, r.flush, r.touch, r.lease,
		r.advance, r.slide, r.slide, r.slide, r.sweep, r.evict, r.settleNow, r.restart, r.crash, r.tierEvicts, r.saveAccesses} {
		if r.random.IntN(5) > 0 {
			ops = append(ops, op)
		}
	}
	ops = append(ops, r.get)
	for done := 0; goesOn(done); done++ {
		ops[r.random.IntN(len(ops))]()
		if t.Failed() {
			t.Logf("last steps: %s", strings.Join(r.trace[max(0, len(r.trace)-25):], "; "))
			break
		}
	}
	for key := range r.m.entries {
		r.check(key)
	}
	validate(t, r.c)
	if err := r.c.Close(background); err != nil {
		t.Error(err)
	}
}

func (r *modelRun) open() {
	c, err := Open(r.cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.c = c
}

func (r *modelRun) note(format string, args ...any) {
	r.trace = append(r.trace, fmt.Sprintf(format, args...))
}

func (r *modelRun) pick() (ns, key string) {
	return fmt.Sprint("n", r.random.IntN(2)), fmt.Sprintf("%c%d", 'a'+rune(r.random.IntN(2)), r.random.IntN(12))
}

func (r *modelRun) some(of ...string) []string {
	var list []string
	for _, s := range of {
		if r.random.IntN(3) == 0 {
			list = append(list, s)
		}
	}
	return list
}

func (r *modelRun) now() int64 { return r.clock.Now().UnixMilli() }

func (r *modelRun) put()      { r.putSize(r.random.IntN(300)) }
func (r *modelRun) putLarge() { r.putSize(r.random.IntN(100_000)) }

func (r *modelRun) putSize(size int) {
	ns, key := r.pick()
	r.serial++
	text := bytes.Repeat([]byte{'x'}, size)
	if noise := rand.New(rand.NewPCG(uint64(r.serial), 1)); r.random.IntN(2) == 0 { // does not compress
		for i := range text {
			text[i] = byte(noise.Uint32())
		}
	}
	value := fmt.Sprintf("%d:%s", r.serial, text)
	e := &modelEntry{value: value, tags: r.some("t", "u"), deps: r.some("d")}
	d := NewDraft([]byte(value))
	d.Tags, d.Dependencies = e.tags, e.deps
	d.Admission = Admission(r.random.IntN(3))
	if r.mode == "disk" {
		d.Admission = AdmitNever
	}
	if r.random.IntN(3) == 0 {
		d.TTL = time.Duration(1+r.random.IntN(20)) * time.Second
		e.deadline = r.now() + d.TTL.Milliseconds()
	}
	if r.random.IntN(3) == 0 {
		d.IdleTTL = time.Duration(1+r.random.IntN(12_000)) * time.Millisecond
		e.idleMs, e.accessed = d.IdleTTL.Milliseconds(), r.now()
	}
	if r.random.IntN(4) == 0 {
		d.HasVersion, d.Version = true, int64(1+r.random.IntN(5))
	}
	id := ns + "/" + key
	old := r.live(id)
	r.note("put %s %d version %d", id, r.serial, d.Version)
	result, err := r.c.Put(background, K(ns, key), &d)
	blocked := old != nil && d.HasVersion && old.version >= d.Version // the value is always another
	var mismatch *VersionError
	if errors.As(err, &mismatch) && blocked {
		return
	}
	if err != nil || blocked && !r.forgetful(id) {
		r.t.Errorf("put: %v; blocked by its version: %v", err, blocked)
		return
	}
	mayHaveForgotten := r.forgetful(id)
	if result.Existed != (old != nil) && !mayHaveForgotten {
		r.t.Errorf("put %s: existed %v", id, result.Existed)
	}
	r.store(id, e)
	want := d.Version
	if !d.HasVersion && old != nil {
		want = old.version
	}
	if _, _, e.version, _ = r.look(ns, key); e.version != want && !mayHaveForgotten {
		r.t.Errorf("put %s: version %d, want %d", id, e.version, want)
	}
}

// store makes e the model's newest write.
func (r *modelRun) store(id string, e *modelEntry) {
	if old := r.m.entries[id]; old != nil {
		// After a crash an unsynced overwrite may be undone.
		e.unsynced = append(slices.Clone(old.unsynced), old)
	}
	r.m.entries[id] = e
	delete(r.m.mayMiss, id)
}

// look reads what is stored of a key beside its value.
func (r *modelRun) look(ns, key string) (value string, hardMs, version int64, ok bool) {
	value, ok = get(r.t, r.c, ns, key)
	var h Hit
	defer h.Release()
	if found, err := r.c.Peek(background, K(ns, key), &h); err != nil || !found {
		return value, 0, 0, ok
	}
	hardMs, _ = h.Attrs().HardMs()
	version, _ = h.Attrs().Version()
	return value, hardMs, version, ok
}

// touch changes an entry's lifetime and nothing else.
func (r *modelRun) touch() {
	ns, key := r.pick()
	id := ns + "/" + key
	ttl := time.Duration(1+r.random.IntN(20)) * time.Second
	result, err := r.c.Update(background, K(ns, key), UpdateOptions{}, func(old *Hit, d *Draft) (Verdict, error) {
		if old == nil {
			return Leave, nil
		}
		d.KeepHard, d.TTL = false, ttl
		return Write, nil
	})
	r.note("touch %s: %v", id, result.Existed)
	old := r.live(id)
	if err != nil || result.Existed != (old != nil) && (result.Existed || !r.forgetful(id)) {
		r.t.Errorf("touch %s: %v, %v", id, result.Existed, err)
	}
	if result.Existed && old != nil {
		e := *old
		e.deadline, e.accessed, e.unsynced = r.now()+ttl.Milliseconds(), r.now(), nil
		r.store(id, &e)
	}
}

// lease fills a key by a lease, perhaps after something has overtaken it.
func (r *modelRun) lease() {
	ns, key := r.pick()
	id := ns + "/" + key
	holder := r.c.NewLeaseHolder()
	defer holder.Close()
	var h Hit
	state, lease, err := r.c.GetOrLease(background, K(ns, key), LeaseOptions{Holder: holder, Lease: time.Minute}, &h)
	value := string(h.Value())
	h.Release()
	e := r.live(id)
	if err != nil || state == LeaseHit && (e == nil || e.value != value) || state == LeaseGranted && e != nil && !r.forgetful(id) || state != LeaseHit && state != LeaseGranted {
		r.t.Errorf("lease of %s: %s %.20q, %v", id, state, value, err)
		return
	}
	r.note("lease of %s: %s", id, state)
	if state == LeaseHit {
		r.access(e)
	}
	if state != LeaseGranted {
		return
	}
	isOvertaken := true
	switch r.random.IntN(5) {
	case 0:
		must(r.c.Invalidate(background, K(ns, key)))
		delete(r.m.entries, id)
	case 1:
		n, err := r.c.InvalidateTags(background, []byte(ns), []string{"lease"})
		r.expect("tag of leases", n, err, func(id string, e *modelEntry) bool {
			return strings.HasPrefix(id, ns+"/") && slices.Contains(e.tags, "lease")
		})
	case 2:
		n, err := r.c.InvalidatePrefix(background, []byte(ns), []byte(key))
		r.expect("prefix of leases", n, err, func(other string, _ *modelEntry) bool { return strings.HasPrefix(other, id) })
	case 3:
		r.clock.advance(time.Minute)
	default:
		isOvertaken = false
	}
	r.serial++
	d := NewDraft([]byte(fmt.Sprint(r.serial, ":filled")))
	d.Lease, d.Tags = lease, []string{"lease"}
	_, err = r.c.Put(background, K(ns, key), &d)
	var refused *LeaseError
	if errors.As(err, &refused) != isOvertaken || err != nil && !isOvertaken {
		r.t.Errorf("fill of %s, overtaken %v: %v", id, isOvertaken, err)
	}
	if err == nil {
		r.store(id, &modelEntry{value: string(d.Value), tags: d.Tags})
	}
}

// live is the model's live entry.
func (r *modelRun) live(id string) *modelEntry {
	e := r.m.entries[id]
	if e != nil && (e.deadline != 0 && r.now() >= e.deadline || e.idleMs != 0 && r.now() >= e.accessed+e.idleMs) {
		return nil
	}
	return e
}

// access notes that the entry was read.
func (r *modelRun) access(e *modelEntry) {
	if e.idleMs != 0 && r.now()-e.accessed >= min(1000, max(e.idleMs/8, 1)) {
		e.accessed = r.now()
	}
}

// forgetful reports that the cache may have evicted the key for good.
func (r *modelRun) forgetful(id string) bool {
	stats := r.c.Stats()
	r.hasDropped = r.hasDropped || stats.TierWritesDropped > 0
	return r.m.mayMiss[id] || r.hasDropped || r.tier == nil && stats.Evictions > 0
}

func (r *modelRun) get() {
	ns, key := r.pick()
	r.check(ns + "/" + key)
}

func (r *modelRun) check(id string) {
	ns, key, _ := strings.Cut(id, "/")
	got, ok := get(r.t, r.c, ns, key)
	e := r.live(id)
	r.note("get %s: %v", id, ok)
	switch {
	case ok && e == nil:
		r.t.Errorf("%s: served %.20q, the model has nothing", id, got)
	case ok && got != e.value:
		r.t.Errorf("%s: served %.20q, newest is %.20q", id, got, e.value)
	case !ok && e != nil && !r.forgetful(id):
		r.t.Errorf("%s: lost %.20q", id, e.value)
	case ok:
		r.access(e)
	}
}

// scan finds every entry that get would find, in order, each once.
func (r *modelRun) scan() {
	r.note("scan")
	s, err := r.c.Scan(background, ScanRange{NeedValue: r.random.IntN(2) == 0, Descending: r.random.IntN(2) == 0})
	if err != nil {
		r.t.Fatalf("scan: %v", err)
	}
	defer s.Close()
	found := map[string]bool{}
	last := ""
	var h Hit
	for {
		k, ok, err := s.Next(background, &h)
		if err != nil {
			r.t.Fatalf("scan: %v", err)
		}
		if !ok {
			break
		}
		id := string(k.Namespace) + "/" + string(k.Name)
		e := r.live(id)
		if e == nil || h.HasValue() && string(h.Value()) != e.value {
			r.t.Errorf("scan: %s is %.20q, want %v", id, h.Value(), e)
		}
		if last != "" && s.direction(strings.Compare(last, id)) >= 0 {
			r.t.Errorf("scan: %s after %s", id, last)
		}
		found[id], last = true, id
		h.Release()
	}
	for id := range r.m.entries {
		if r.live(id) != nil && !found[id] && !r.forgetful(id) {
			r.t.Errorf("scan: %s is missing", id)
		}
	}
}

func (r *modelRun) remove() {
	ns, key := r.pick()
	id := ns + "/" + key
	r.note("delete %s", id)
	existed, err := r.c.Invalidate(background, K(ns, key))
	if err != nil || existed != (r.live(id) != nil) && !r.forgetful(id) {
		r.t.Errorf("delete %s: %v, %v", id, existed, err)
	}
	if existed || r.m.entries[id] == nil || !r.forgetful(id) {
		r.drop(id)
	}
}

func (r *modelRun) drop(id string) {
	if r.m.entries[id] != nil && r.live(id) == nil {
		// A dead entry is not deleted: after a crash an older write may come back.
		return
	}
	delete(r.m.entries, id)
	delete(r.m.mayMiss, id)
}

// expect applies an invalidation to the model and checks its count.
func (r *modelRun) expect(what string, n int64, err error, covered func(id string, e *modelEntry) bool) {
	r.note("%s: %d", what, n)
	least, most := int64(0), int64(0)
	for id, e := range r.m.entries {
		if r.live(id) == nil || !covered(id, e) {
			continue
		}
		most++
		if !r.forgetful(id) {
			least++
		}
		delete(r.m.entries, id)
	}
	if err != nil || n < least || n > most {
		r.t.Errorf("%s: counted %d, %v; the model has %d..%d", what, n, err, least, most)
	}
}

func (r *modelRun) tag() {
	ns := fmt.Sprint("n", r.random.IntN(2))
	list := r.some("t", "u", "v")
	n, err := r.c.InvalidateTags(background, []byte(ns), list)
	r.expect(fmt.Sprint("tags ", ns, list), n, err, func(id string, e *modelEntry) bool {
		return strings.HasPrefix(id, ns+"/") && slices.ContainsFunc(list, func(x string) bool { return slices.Contains(e.tags, x) })
	})
}

func (r *modelRun) dependency() {
	n, err := r.c.InvalidateDependencies(background, nil, []string{"d"})
	r.expect("dependency everywhere", n, err, func(_ string, e *modelEntry) bool { return slices.Contains(e.deps, "d") })
}

func (r *modelRun) prefix() {
	ns, key := r.pick()
	prefix := key[:1+r.random.IntN(2)]
	n, err := r.c.InvalidatePrefix(background, []byte(ns), []byte(prefix))
	r.expect(fmt.Sprint("prefix ", ns, "/", prefix), n, err, func(id string, _ *modelEntry) bool { return strings.HasPrefix(id, ns+"/"+prefix) })
}

func (r *modelRun) flush() {
	if r.random.IntN(4) > 0 {
		return
	}
	ns := fmt.Sprint("n", r.random.IntN(2))
	r.note("flush %s", ns)
	if _, _, err := r.c.FlushNamespace(background, []byte(ns)); err != nil {
		r.t.Error(err)
	}
	for id := range r.m.entries {
		if strings.HasPrefix(id, ns+"/") {
			delete(r.m.entries, id)
		}
	}
}

func (r *modelRun) advance() {
	r.advanceBy(time.Duration(r.random.IntN(8000)) * time.Millisecond)
}

func (r *modelRun) advanceBy(d time.Duration) {
	for !r.c.promotions.isIdle() { // else one could take an access for the last that is not
		<-time.After(100 * time.Microsecond)
	}
	r.note("advance %s", d)
	r.clock.advance(d)
}

// slide reads an entry with an idle TTL near its end, and then changes where it is.
func (r *modelRun) slide() {
	var idle []string
	for id, e := range r.m.entries {
		if e.idleMs > 0 && r.live(id) != nil {
			idle = append(idle, id)
		}
	}
	if len(idle) == 0 {
		return
	}
	slices.Sort(idle)
	id := idle[r.random.IntN(len(idle))]
	left := r.m.entries[id].accessed + r.m.entries[id].idleMs - r.now()
	r.advanceBy(time.Duration(left*int64(50+r.random.IntN(51))/100) * time.Millisecond)
	r.check(id)
	steps := []func(){r.evict, r.sweep, r.saveAccesses, r.settleNow, r.restart}
	for range r.random.IntN(4) {
		steps[r.random.IntN(len(steps))]()
	}
	if r.random.IntN(2) == 0 && r.live(id) != nil {
		e := r.m.entries[id]
		r.advanceBy(time.Duration(e.accessed+e.idleMs-r.now()-r.random.Int64N(2)) * time.Millisecond)
		r.check(id)
	}
}

// sweep removes what is dead, in any tier, and tells the tier of accesses.
func (r *modelRun) sweep() {
	if r.tier != nil && r.random.IntN(2) == 0 {
		r.note("sweep of the tier")
		if _, err := r.tier.Sweep(background, SweepLimits{EntriesMax: 100, Duration: time.Minute}); err != nil {
			r.t.Error(err)
		}
		return
	}
	r.note("sweep")
	if _, err := r.c.SweepExpired(background, SweepLimits{EntriesMax: 1 + r.random.Int64N(100), Duration: time.Minute}); err != nil {
		r.t.Error(err)
	}
}

func (r *modelRun) saveAccesses() {
	if r.tier == nil {
		return
	}
	r.note("save accesses")
	if err := r.tier.SaveAccesses(background); err != nil {
		r.t.Error(err)
	}
}

func (r *modelRun) evict() {
	r.note("evict")
	if r.tier != nil {
		evictAll(r.c)
	}
}

func (r *modelRun) settleNow() {
	r.note("settle")
	settle(r.t, r.c)
}

func (r *modelRun) tierEvicts() {
	if r.tier == nil {
		return
	}
	ns, key, ok := r.tier.RemoveOldest()
	if gen := r.c.generation(ns); ok && gen != nil {
		r.note("tier evicts %s/%s", gen.owner.name, key)
		r.m.mayMiss[gen.owner.name+"/"+key] = true
	}
}

func (r *modelRun) restart() {
	if r.tier == nil || r.random.IntN(3) > 0 {
		return
	}
	r.note("restart")
	if err := r.c.Close(background); err != nil {
		r.t.Error(err)
	}
	r.tier = r.tier.Restart()
	r.reopen()
}

func (r *modelRun) reopen() {
	r.forgetful("")
	r.cfg.Tier = r.tier
	r.open()
}

// crash loses all but a prefix of what was not synced. What may come back is the newest
// write or an older one that it overwrote, never one that was removed.
func (r *modelRun) crash() {
	if r.tier == nil || r.random.IntN(3) > 0 {
		return
	}
	survivor := r.tier.Crash(r.random)
	r.note("crash")
	r.c.abandon()
	r.tier.Abandon()
	r.tier = survivor()
	r.reopen()
	for id, e := range r.m.entries {
		ns, key, _ := strings.Cut(id, "/")
		before := r.accessOf(ns, key)
		got, hardMs, version, ok := r.look(ns, key)
		delete(r.m.entries, id)
		delete(r.m.mayMiss, id)
		for _, candidate := range append(e.unsynced, e) {
			if ok && candidate.value == got && candidate.deadline == hardMs && candidate.version == version {
				if candidate.unsynced = nil; candidate.idleMs != 0 {
					if before > candidate.accessed {
						r.t.Errorf("after the crash %s was accessed at %d, not %d", id, before, candidate.accessed)
					}
					candidate.accessed = r.accessOf(ns, key)
				}
				r.m.entries[id] = candidate
			}
		}
		if ok && r.m.entries[id] == nil {
			r.t.Errorf("after the crash %s is %.20q, which was removed or never there", id, got)
		}
	}
	// A record whose payload file the crash has lost is removed behind the read that found out.
	if err := r.tier.Sync(background); err != nil {
		r.t.Error(err)
	}
}

// accessOf is the last access to a live entry; 0: there is none.
func (r *modelRun) accessOf(ns, key string) int64 {
	var h Hit
	defer h.Release()
	if found, err := r.c.Peek(background, K(ns, key), &h); err != nil || !found {
		return 0
	}
	return h.LastAccessMs()
}

// abandon stops the goroutines of a cache without writing anything.
func (c *Cache) abandon() {
	c.closed.Store(true)
	c.background.cancel()
	c.background.Wait()
}
