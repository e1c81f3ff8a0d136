package cache

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"
)

// namespace is a name and its current generation. A flush replaces the generation.
type namespace struct {
	name     string
	created  time.Time
	current  atomic.Pointer[generation]
	limits   atomic.Pointer[NamespaceLimits]
	counters namespaceCounters

	emptySinceMs int64 // 0: it was not at the last look; guarded by namespaces.looking

	flushing sync.Mutex // serialises flushes and changes of limits; held across their durable write
}

// row is the namespace with one of its generations as the tier knows it.
func (ns *namespace) row(gen *generation) NamespaceRow {
	return NamespaceRow{Name: ns.name, ID: gen.id, Generation: gen.number, Created: ns.created, Limits: *ns.limits.Load()}
}

// generation is a namespace between two flushes. Entries belong to a generation: those of
// an ended one cannot be reached, because key hashes and tier keys contain its id.
type generation struct {
	id     NamespaceID
	number uint64 // flushes before it
	owner  *namespace
	ended  atomic.Bool
	fence  atomic.Uint64 // raised by every invalidation in the namespace (I3)

	// replaces is the generation the tier still has instead of this one, because the flush
	// that ended it failed; zero: none.
	replaces atomic.Uint64

	// writtenBy is the group whose commit will tell the tier of this generation; nil: none.
	writtenBy atomic.Pointer[group]

	alone   atomic.Int64 // entries that only L1 holds
	leases  atomic.Int64 // in use
	l1Bytes atomic.Int64
}

type namespaceCounters struct {
	hits, misses, insertions, evictions, expirations, invalidations atomic.Int64
}

// namespaces finds namespaces by name without a lock. Names are added seldom: writers copy.
type namespaces struct {
	byName atomic.Pointer[nameTable]
	byID   sync.Map // NamespaceID to *generation, current ones only

	unsaved atomic.Int64 // generations with replaces set
	quotas  atomic.Int64 // sum of the quotas of L1

	looking  sync.Mutex // for empty ones
	lookedMs int64      // when that was last done

	mu       sync.Mutex
	creating map[string]chan struct{} // names being made durable
}

// nameTable is a map that is not changed, with a shortcut for every read's look-up: each
// place of first has one of the namespaces that belong there.
type nameTable struct {
	all   map[string]*namespace
	first [nameTableLen]*namespace
}

const nameTableLen = 128

func newNameTable(all map[string]*namespace) *nameTable {
	t := &nameTable{all: all}
	for name, ns := range all {
		t.first[namePlace(name)] = ns
	}
	return t
}

// namePlace tells names apart that differ in length, at the ends or in the middle. Who makes
// names that do not gains nothing: they are found in the map.
func namePlace[T string | []byte](name T) int {
	n := len(name)
	if n == 0 {
		return 0
	}
	return (n + int(name[0])*3 + int(name[n/2])*17 + int(name[n-1])*5) % nameTableLen
}

func (n *namespaces) find(name []byte) *namespace {
	t := n.byName.Load()
	if ns := t.first[namePlace(name)]; ns != nil && ns.name == string(name) {
		return ns
	}
	return t.all[string(name)]
}

// all is every namespace. The map must not be changed.
func (n *namespaces) all() map[string]*namespace { return n.byName.Load().all }

// put stores the table's next version. REQUIRES: n.mu held.
func (n *namespaces) put(change func(map[string]*namespace)) {
	next := maps.Clone(n.all())
	if next == nil {
		next = map[string]*namespace{}
	}
	change(next)
	n.byName.Store(newNameTable(next))
}

func (c *Cache) generation(id NamespaceID) *generation {
	if g, ok := c.namespaces.byID.Load(id); ok {
		return g.(*generation)
	}
	return nil
}

// generationOf is the current generation of a namespace, nil if there is none.
func (c *Cache) generationOf(name []byte) *generation {
	if ns := c.namespaces.find(name); ns != nil {
		return ns.current.Load()
	}
	return nil
}

// addNamespaces makes rows known. isSaved says that the tier knows them, if there is one.
// REQUIRES: c.namespaces.mu held.
func (c *Cache) addNamespaces(isSaved bool, rows ...NamespaceRow) {
	c.namespaces.put(func(byName map[string]*namespace) {
		for _, row := range rows {
			ns := &namespace{name: row.Name, created: row.Created}
			c.setLimits(ns, &row.Limits)
			gen := &generation{id: row.ID, number: row.Generation, owner: ns}
			if !isSaved {
				gen.replaces.Store(uint64(row.ID)) // itself: nothing older
				c.namespaces.unsaved.Add(1)
			}
			ns.current.Store(gen)
			c.namespaces.byID.Store(gen.id, gen)
			byName[ns.name] = ns
		}
	})
}

// openNamespace returns the current generation of a namespace, creating the namespace,
// durably, if need be. One caller creates a name, others wait for it.
func (c *Cache) openNamespace(ctx context.Context, name []byte) (*generation, error) {
	n := &c.namespaces
	for {
		if gen := c.generationOf(name); gen != nil {
			return gen, nil
		}
		n.mu.Lock()
		if n.find(name) != nil {
			n.mu.Unlock()
			continue
		}
		made, busy := n.creating[string(name)]
		if !busy {
			break
		}
		n.mu.Unlock()
		select {
		case <-made:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	made := make(chan struct{})
	n.creating[string(name)] = made
	isFull := len(n.all())+len(n.creating) > c.config.NamespacesMax
	n.mu.Unlock()

	row := NamespaceRow{Name: string(name), ID: NamespaceID(c.nextSeq()), Created: c.Now()}
	isSaved, err := c.createNamespace(ctx, row, isFull)

	n.mu.Lock()
	delete(n.creating, row.Name)
	close(made)
	if err == nil {
		c.addNamespaces(isSaved, row)
	}
	n.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c.openNamespace(ctx, name) // it may have been flushed, or dropped, already
}

// createNamespace makes a namespace known to the tier. If the tier fails, it lives in memory
// until the flusher can make up for that, unless the caller wants its write durable.
func (c *Cache) createNamespace(ctx context.Context, row NamespaceRow, isFull bool) (isSaved bool, err error) {
	if isFull && !c.dropEmptyNamespace(ctx) {
		return false, &QuotaError{What: "namespaces", Max: int64(c.config.NamespacesMax)}
	}
	if c.config.Tier == nil {
		return true, nil
	}
	err = c.config.Tier.PutNamespace(WithDurability(ctx, c.durability(ctx)), row, 0)
	if err == nil {
		return true, nil
	}
	err = c.tierError("create namespace", err)
	if !errors.Is(err, ErrTierIO) || c.durability(ctx) == DurabilityAlways {
		return false, err
	}
	c.logger.Warn("a namespace is in memory only, as the durable tier fails", "namespace", row.Name, "error", err)
	return false, nil
}

// A namespace that has held nothing for emptyNamespaceFor is forgotten, unless somebody has
// configured it: else names that were used once would be listed for ever. The first look
// that finds it empty begins the time; looks are emptyNamespacesEvery apart. When
// Config.NamespacesMax is reached, nobody waits for that.
const (
	emptyNamespaceFor    = 10 * time.Minute
	emptyNamespacesEvery = 10 * time.Second
)

// dropEmptyNamespaces forgets the namespaces whose time has come.
func (c *Cache) dropEmptyNamespaces(ctx context.Context) {
	c.namespaces.looking.Lock()
	defer c.namespaces.looking.Unlock()
	nowMs := c.clock.ms()
	if nowMs-c.namespaces.lookedMs < emptyNamespacesEvery.Milliseconds() {
		return
	}
	c.namespaces.lookedMs = nowMs
	if c.config.Tier != nil && c.config.Tier.Stats().Degraded {
		return // it would not take note
	}
	for _, ns := range c.namespaces.all() {
		switch {
		case !c.isDroppable(ns, ns.current.Load()):
			ns.emptySinceMs = 0
		case ns.emptySinceMs == 0:
			ns.emptySinceMs = nowMs
		case nowMs-ns.emptySinceMs >= emptyNamespaceFor.Milliseconds() && ctx.Err() == nil:
			c.dropIfEmpty(ctx, ns)
		}
	}
}

// dropEmptyNamespace forgets one namespace that holds no entries, to make room for another.
func (c *Cache) dropEmptyNamespace(ctx context.Context) bool {
	for _, ns := range c.namespaces.all() {
		if c.dropIfEmpty(ctx, ns) {
			return true
		}
	}
	return false
}

// isDroppable: what is configured stays.
func (c *Cache) isDroppable(ns *namespace, gen *generation) bool {
	return *ns.limits.Load() == (NamespaceLimits{}) && c.isEmpty(gen)
}

// dropIfEmpty forgets a namespace that holds no entries. Its counters are part of the
// cache's own.
func (c *Cache) dropIfEmpty(ctx context.Context, ns *namespace) bool {
	if !ns.flushing.TryLock() {
		return false // it is being flushed or configured
	}
	defer ns.flushing.Unlock()
	gen := ns.current.Load()
	if !c.isDroppable(ns, gen) || !gen.ended.CompareAndSwap(false, true) {
		return false
	}
	// Ended: a writer that checks now starts again. One that checked before may still
	// be inside its shard's lock: pass through all locks, then look again.
	for _, s := range c.shards {
		s.mu.Lock()
		s.mu.Unlock() //nolint:staticcheck // a barrier
	}
	if !c.isEmpty(gen) {
		gen.ended.Store(false)
		return false
	}
	c.namespaces.mu.Lock()
	c.namespaces.put(func(m map[string]*namespace) { delete(m, ns.name) })
	c.namespaces.mu.Unlock()
	c.namespaces.byID.Delete(gen.id)
	if c.config.Tier != nil {
		if err := c.config.Tier.DropNamespace(ctx, ns.name, gen.id); err != nil && ctx.Err() == nil {
			c.logger.Error("cannot drop empty namespace", "namespace", ns.name, "error", err)
		}
	}
	return true
}

// entriesOf counts the keys a generation holds in either tier, dead unswept ones included.
func (c *Cache) entriesOf(gen *generation) int64 {
	n := gen.alone.Load()
	if c.config.Tier != nil {
		n += c.config.Tier.Usage(gen.id).Entries
	}
	return max(n, 0)
}

// isEmpty is certain, where entriesOf may lag behind what is on its way to the tier.
func (c *Cache) isEmpty(gen *generation) bool {
	return gen.l1Bytes.Load() == 0 && gen.leases.Load() == 0 && gen.replaces.Load() == 0 && c.entriesOf(gen) == 0
}

// EntriesOf is a namespace's entry counter (expired, unswept entries included), and whether
// the namespace exists.
func (c *Cache) EntriesOf(namespace []byte) (int64, bool) {
	gen := c.generationOf(namespace)
	if gen == nil {
		return 0, false
	}
	return c.entriesOf(gen), true
}

// FlushNamespace durably empties a namespace in constant time: it gets a new generation.
// It returns the namespace's entry counter (expired, unswept entries included) and whether
// the namespace existed. Errors: ErrTierIO (the namespace is empty, but not durably).
func (c *Cache) FlushNamespace(ctx context.Context, name []byte) (int64, bool, error) {
	defer c.emit(EventNamespace, name, nil, nil)
	defer c.stopWatch(c.startWatch(), OpFlush)
	return c.flushNamespace(ctx, name)
}

func (c *Cache) flushNamespace(ctx context.Context, name []byte) (int64, bool, error) {
	if c.closed.Load() {
		return 0, false, ErrClosed
	}
	ns := c.namespaces.find(name)
	if ns == nil {
		return 0, false, nil
	}
	ns.flushing.Lock()
	defer ns.flushing.Unlock()
	old := ns.current.Load()
	if old.ended.Load() {
		return 0, false, nil // dropped as empty just now
	}
	entries := c.entriesOf(old)
	next := &generation{id: NamespaceID(c.nextSeq()), number: old.number + 1, owner: ns}
	known := old.id // to the tier
	if earlier := old.replaces.Swap(0); earlier != 0 {
		known = NamespaceID(earlier)
		c.namespaces.unsaved.Add(-1)
	}
	next.replaces.Store(uint64(known))
	c.namespaces.unsaved.Add(1)
	// Not with the caller's context: a flush that is given up half way would leave the tier
	// behind. The tier bounds its own writes.
	err := c.saveGeneration(WithDurability(context.WithoutCancel(ctx), c.durability(ctx)), next)
	// Also after an error: what the caller wanted gone is gone for this process, and the
	// flusher tries again before it writes anything of the new generation.
	c.namespaces.byID.Store(next.id, next)
	ns.current.Store(next)
	old.ended.Store(true)
	c.namespaces.byID.Delete(old.id)
	c.counters.namespaceFlushes.Add(1)
	c.reaper.kick()
	c.housekeeper.kick()
	if err != nil {
		return entries, true, c.tierError(fmt.Sprintf("flush namespace %q", ns.name), err)
	}
	return entries, true, nil
}

// ChangeNamespace changes the limits of a namespace, durably, and reports whether there is
// such a namespace. change edits a copy of them and must have no other effect; its error
// is returned as it is. Errors: ErrTierIO, *ArgumentError, ErrClosed. On error the old
// limits go on to hold.
func (c *Cache) ChangeNamespace(ctx context.Context, name []byte, change func(*NamespaceLimits) error) (bool, error) {
	if c.closed.Load() {
		return false, ErrClosed
	}
	ns := c.namespaces.find(name)
	if ns == nil {
		return false, nil
	}
	ns.flushing.Lock()
	defer ns.flushing.Unlock()
	old := ns.limits.Load()
	limits := *old
	if err := change(&limits); err != nil {
		return false, err
	}
	if err := limits.check(&c.config); err != nil {
		return false, err
	}
	gen := ns.current.Load()
	if gen.ended.Load() {
		return false, nil // dropped as empty just now
	}
	if limits == *old {
		return true, nil
	}
	c.setLimits(ns, &limits)
	if c.config.Tier == nil {
		return true, nil
	}
	// As for a flush: not with the caller's context. An earlier flush that failed is made
	// up for by the same write.
	err := c.config.Tier.PutNamespace(context.WithoutCancel(ctx), ns.row(gen), NamespaceID(gen.replaces.Load()))
	if err != nil {
		c.setLimits(ns, old)
		return true, c.tierError(fmt.Sprintf("change namespace %q", ns.name), err)
	}
	if gen.replaces.Swap(0) != 0 {
		c.namespaces.unsaved.Add(-1)
	}
	return true, nil
}

// setLimits makes limits hold and keeps count of quotas.
func (c *Cache) setLimits(ns *namespace, limits *NamespaceLimits) {
	old := ns.limits.Swap(limits)
	if old != nil {
		c.namespaces.quotas.Add(-old.L1BytesMax)
	}
	c.namespaces.quotas.Add(limits.L1BytesMax)
}

func (l *NamespaceLimits) check(cfg *Config) error {
	switch {
	case l.L1BytesMax < 0 || l.L1BytesMax > cfg.L1BytesMax:
		return &ArgumentError{"l1_bytes_max", fmt.Sprintf("must be between 0 (none) and l1_bytes, %d", cfg.L1BytesMax)}
	case l.L2BytesMax < 0:
		return &ArgumentError{"l2_bytes_max", "must not be negative; 0 is none"}
	case l.ValueBytesMax < 0 || l.ValueBytesMax > cfg.Limits.ValueBytesMax:
		return &ArgumentError{"max_blob_bytes", fmt.Sprintf("must be between 0 (none) and the setting max_blob_bytes, %d", cfg.Limits.ValueBytesMax)}
	case l.DefaultTTLMs < 0:
		return &ArgumentError{"default_ttl_ms", "must not be negative; 0 is none"}
	}
	return nil
}

// saveGeneration makes the tier replace the generation it has by gen.
// REQUIRES: gen.owner.flushing held.
func (c *Cache) saveGeneration(ctx context.Context, gen *generation) error {
	old := gen.replaces.Load()
	if old == 0 {
		return nil
	}
	if c.config.Tier != nil {
		if err := c.config.Tier.PutNamespace(ctx, gen.owner.row(gen), NamespaceID(old)); err != nil {
			return err
		}
	}
	gen.replaces.Store(0)
	c.namespaces.unsaved.Add(-1)
	return nil
}

// saveGenerations makes up for failed flushes, of gen's namespace or (nil) of all: what is
// acknowledged after one must not rest on a generation that the tier does not know.
func (c *Cache) saveGenerations(ctx context.Context, gen *generation) error {
	if c.namespaces.unsaved.Load() == 0 {
		return nil
	}
	save := func(ns *namespace) error {
		ns.flushing.Lock()
		defer ns.flushing.Unlock()
		return c.saveGeneration(ctx, ns.current.Load())
	}
	if gen != nil {
		return save(gen.owner)
	}
	for _, ns := range c.namespaces.all() {
		if err := save(ns); err != nil {
			return err
		}
	}
	return nil
}

// flushesAtOnce bounds how many namespaces FlushAll flushes at the same time; their
// durable writes share commits.
const flushesAtOnce = 64

// FlushAll flushes every namespace and returns the sum of their entry counters.
// Errors: ErrTierIO.
func (c *Cache) FlushAll(ctx context.Context) (int64, error) {
	if c.closed.Load() {
		return 0, ErrClosed
	}
	var (
		wait     sync.WaitGroup
		mu       sync.Mutex
		total    int64
		firstErr error
		turn     = make(chan struct{}, flushesAtOnce)
	)
	for name := range c.namespaces.all() {
		turn <- struct{}{}
		wait.Go(func() {
			defer func() { <-turn }()
			entries, _, err := c.flushNamespace(ctx, []byte(name))
			mu.Lock()
			defer mu.Unlock()
			total += entries
			if firstErr == nil {
				firstErr = err
			}
		})
	}
	wait.Wait()
	c.emit(EventAll, nil, nil, nil)
	return total, firstErr
}
