package cache

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"pgcache/cache/arena"
)

// Cache is the two-tier cache. See the package comment for its invariants.
type Cache struct {
	config Config
	logger *slog.Logger
	clock  *Clock
	seed   maphash.Seed
	seq    atomic.Uint64

	pool   *arena.Pool
	shards []*shard // a power of two
	shift  int      // a hash's top bits choose the shard

	used  atomic.Int64 // bytes of L1 reserved; at most config.L1BytesMax (I5)
	dirty atomic.Int64 // the part of it that waits for the tier
	// passing is the memory of entries that are too large for L1.
	passing atomic.Int64

	namespaces  namespaces
	fences      fences
	leases      leases
	flushers    []*flusher
	groups      *groupFlusher // nil without a tier
	progress    signal        // raised after each flush
	reaper      reaper
	housekeeper housekeeper
	writers     sync.Pool // *writer
	counters    counters
	measures    measures
	history     statsHistory
	promotions  promotions
	events      events

	closed     atomic.Bool
	closing    sync.Mutex
	background struct {
		sync.WaitGroup // Add only under closing, or before Open returns
		ctx            context.Context
		cancel         context.CancelFunc
	}
}

// flushersMax: the tier merges concurrent writes into one commit; two flushers keep one
// compressing while the other commits.
const flushersMax = 2

// Open makes a cache over what cfg.Tier holds. The cache takes over the tier and closes
// it, also when Open fails.
func Open(cfg Config) (*Cache, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		if cfg.Tier != nil {
			err = errors.Join(err, cfg.Tier.Close())
		}
		return nil, err
	}
	c := &Cache{config: cfg, logger: cfg.Logger, clock: cfg.Clock, seed: maphash.MakeSeed()}
	shards, segmentBytes := layout(cfg.L1BytesMax)
	c.pool = arena.NewPool(segmentBytes, shards, cfg.memory)
	c.shift = 64 - bits.TrailingZeros(uint(shards))
	for i := range shards {
		c.shards = append(c.shards, newShard(c, i, c.pool))
	}
	c.writers.New = newWriter
	c.fences.active = map[*fence]struct{}{}
	c.leases.labels = map[Label]Sequence{}
	c.namespaces.creating = map[string]chan struct{}{}
	c.namespaces.byName.Store(newNameTable(nil))
	c.reaper.kicked = make(chan struct{}, 1)
	c.events.work = make(chan struct{}, 1)
	c.housekeeper.kicked = make(chan struct{}, 1)
	c.promotions.work = make(chan struct{}, 1)
	c.counters.started = cfg.Now()

	ctx, cancel := context.WithCancel(context.Background())
	c.background.ctx, c.background.cancel = ctx, cancel
	if cfg.Tier != nil {
		c.restore(ctx, cfg.Tier)
	}
	c.background.Go(func() { c.reaper.run(ctx, c) })
	c.background.Go(func() { c.events.run(ctx) })
	c.background.Go(func() { c.housekeeper.run(ctx, c) })
	for range c.config.PromotionWorkers {
		c.background.Go(func() { c.runPromotions(ctx) })
	}
	return c, nil
}

// layout chooses the number of shards and the size of an arena's segments: enough shards
// to keep writers apart, few enough that half-filled segments do not matter.
func layout(l1BytesMax int64) (shards, segmentBytes int) {
	const shardBytes, shardsMax = 16 << 20, 64
	const segmentBytesMin, segmentBytesMax, segmentsPerShard = 256 << 10, 4 << 20, 16
	shards = 1 << bits.Len64(uint64(min(max(l1BytesMax/shardBytes, 1), shardsMax)-1))
	perShard := l1BytesMax / int64(shards)
	segmentBytes = 1 << (bits.Len64(uint64(max(perShard/segmentsPerShard, 1))) - 1)
	return shards, min(max(segmentBytes, segmentBytesMin), segmentBytesMax)
}

// restore takes up what the tier remembers.
func (c *Cache) restore(ctx context.Context, tier Tier) {
	state := tier.State()
	c.seq.Store(uint64(state.LastSeq))
	c.clock.NotBefore(state.LastMs)
	c.restoreHistory(state.History)
	c.namespaces.mu.Lock()
	c.addNamespaces(true, state.Namespaces...)
	c.namespaces.mu.Unlock()
	tier.OnRemove(c.tierRemoved)
	tier.OnIdle(c.lastAccess)
	for range flushersMax {
		f := &flusher{cache: c, work: make(chan struct{}, 1)}
		c.flushers = append(c.flushers, f)
		c.background.Go(func() { f.run(ctx) })
	}
	c.groups = &groupFlusher{flusher: flusher{cache: c, work: make(chan struct{}, 1)}}
	c.background.Go(func() { c.groups.run(ctx) })
	var staged []Watermark
	for _, w := range state.Watermarks {
		if w.Label.Kind == Staged {
			staged = append(staged, w)
			continue
		}
		in := &invalidation{cache: c, fence: fenceOf(w), seen: map[uint64]struct{}{}}
		c.fences.raise(in.fence)
		c.background.Go(func() { c.resume(ctx, in, []Watermark{w}) })
	}
	c.restoreLoads(ctx, staged)
}

// hash is the place of a key: its top bits choose the shard.
func (c *Cache) hash(namespace NamespaceID, key []byte) uint64 {
	return maphash.Bytes(c.seed, key) ^ uint64(namespace)*0x9e3779b97f4a7c15
}

func (c *Cache) shardOf(hash uint64) *shard {
	if c.shift == 64 {
		return c.shards[0]
	}
	return c.shards[hash>>c.shift]
}

func (c *Cache) nextSeq() Sequence { return Sequence(c.seq.Add(1)) }

func (c *Cache) addDirty(n int64) { c.dirty.Add(n) }

func (c *Cache) addAlone(namespace NamespaceID, n int64) {
	if gen := c.generation(namespace); gen != nil {
		gen.alone.Add(n)
	}
}

// tierError counts and marks a failure of the tier; contexts that ended are not one.
func (c *Cache) tierError(operation string, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if c.closed.Load() {
		return ErrClosed
	}
	c.counters.tierErrors.Add(1)
	return fmt.Errorf("%w: %s: %w", ErrTierIO, operation, err)
}

// HasTier reports that there is a durable tier.
func (c *Cache) HasTier() bool { return c.config.Tier != nil }

// Limits are the configured limits.
func (c *Cache) Limits() Limits { return c.config.Limits }

// Now is the cache's time, see Clock.
func (c *Cache) Now() time.Time { return c.clock.Now() }

// Close refuses new calls, writes what is dirty to the tier until ctx ends, and closes
// the tier. It returns ctx's error if dirty entries were left, or the tier's. Hits that
// are held stay valid until they are released. It is idempotent.
func (c *Cache) Close(ctx context.Context) error {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.closed.Swap(true) {
		return nil
	}
	for _, s := range c.shards {
		s.mu.Lock()
		s.closed = true // writers that were past their check find it here
		s.mu.Unlock()
	}
	err := errors.Join(c.drain(ctx), c.saveGenerations(ctx, nil))
	c.background.cancel()
	c.background.Wait()
	err = errors.Join(err, c.saveAccesses(ctx))
	if c.config.Tier != nil {
		err = errors.Join(err, c.config.Tier.Close())
	}
	for _, s := range c.shards {
		s.close()
	}
	c.pool.Close()
	return err
}

// drain waits until the flushers are idle.
func (c *Cache) drain(ctx context.Context) error {
	for _, f := range c.allFlushers() {
		for {
			progress := c.progress.wait()
			if f.isIdle() {
				break
			}
			select {
			case <-progress:
			case <-ctx.Done():
				return fmt.Errorf("cache: close: %d bytes not written to the durable tier: %w", c.dirty.Load(), ctx.Err())
			}
		}
	}
	return nil
}

// allFlushers are those of keys after that of groups, which may give them work.
func (c *Cache) allFlushers() []*flusher {
	if c.groups == nil {
		return nil
	}
	return append([]*flusher{&c.groups.flusher}, c.flushers...)
}

// close drops all entries, so that their memory goes back to the system.
func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for hash := range s.waiters {
		s.wake(hash, ErrClosed)
	}
	for hash := range s.leases {
		s.revokeLease(hash)
	}
	for number := range s.given {
		if s.slot(number).ref() != 0 {
			s.remove(number)
		}
	}
	s.cache.release(s.historyBytes)
	s.historyBytes = 0
	s.arena.Close()
}
