package cache

import (
	"bytes"
	"context"

	"pgcache/cache/arena"
)

// found is what a look into L1 tells.
type found uint8

const (
	foundNone   found = iota // L1 knows nothing of the key: ask the tier
	foundLive                // pinned in the Hit
	foundAbsent              // L1 knows that there is no live entry
	foundBuried              // the same, from a tombstone
)

// look finds a key in L1 and pins it in h if it is live. The mark is taken in the same
// critical section.
func (s *shard) look(hash uint64, gen *generation, key []byte, isAccess bool, h *Hit) (found, mark) {
	s.mu.RLock()
	m := s.markOf(hash, gen)
	ref, e := s.seek(hash, gen.id, key)
	if ref == 0 {
		s.mu.RUnlock()
		return foundNone, m
	}
	state, nowMs := s.stateOf(e)
	masks := s.cache.fences.masks.Load()
	if state == Dead || masks != nil && masks.hide(e) {
		isBuried := state != Dead || e.header().tombstone
		s.mu.RUnlock()
		if isBuried {
			return foundBuried, m
		}
		return foundAbsent, m
	}
	if isAccess {
		s.policy.Access(e.header().slot)
	}
	s.pin(ref, e, nowMs, state, h)
	if isAccess && nowMs > h.lastAccess && nowMs-h.lastAccess >= h.attrs.accessGrainMs() {
		e.header().setAccess(nowMs, true)
	}
	s.mu.RUnlock()
	return foundLive, m
}

// stateOf is the state of an entry now, and when that is: to the moment if the entry can
// expire, else to tenths of a second.
func (s *shard) stateOf(e entry) (State, int64) {
	if !e.header().tombstone && !e.attrs().Expires() {
		return Fresh, s.cache.clock.coarseMs()
	}
	nowMs := s.cache.clock.ms()
	return e.stateAt(nowMs), nowMs
}

// pin fills h with an entry. REQUIRES: s.mu held, shared at least.
func (s *shard) pin(ref arena.Ref, e entry, nowMs int64, state State, h *Hit) {
	header := e.header()
	h.shard, h.chunk, h.ref = s, arena.PinData(e), ref
	h.value, h.valueLen = e.value(), int64(header.valueLen)
	h.attrs = e.attrs()
	h.seq = header.seq
	h.lastAccess = header.lastAccessMs()
	h.storedLen = int64(header.storedLen.Load())
	h.nowMs, h.state = nowMs, state
	h.tiers = InL1
	if h.storedLen != notStored {
		h.tiers |= InL2
	}
}

// Get reads a key with its value and counts as an access. On true, h holds the entry
// until h.Release. A key outside the limits is absent. An L1 hit allocates nothing and
// takes no exclusive lock. Errors: ErrTierIO, ErrClosed, ctx.Err().
func (c *Cache) Get(ctx context.Context, k Key, h *Hit) (bool, error) {
	gen := c.generationOf(k.Namespace)
	if gen == nil {
		if c.closed.Load() {
			return false, ErrClosed
		}
		c.countRead(nil, nil, false, h)
		return false, nil
	}
	hash := c.hash(gen.id, k.Name)
	s := c.shardOf(hash)
	watch := s.sampleRead(hash)
	isLive, _, err := c.find(ctx, s, hash, gen, k.Name, h)
	c.countRead(s, gen, isLive, h)
	c.noteRead(watch, hash, k, isLive, h)
	return isLive, err
}

// find gets a key from either tier, as an access that is not counted yet. The mark is
// from before.
func (c *Cache) find(ctx context.Context, s *shard, hash uint64, gen *generation, key []byte, h *Hit) (bool, mark, error) {
	result, m := s.look(hash, gen, key, true, h)
	var err error
	if result == foundNone && c.config.Tier != nil && len(key) > 0 {
		result, err = c.fetch(ctx, s, hash, gen, key, m, h)
	}
	return result == foundLive, m, err
}

// countRead counts a hit or a miss, once for each read of a key. A nil shard is a
// namespace that does not exist.
func (c *Cache) countRead(s *shard, gen *generation, isHit bool, h *Hit) {
	switch {
	case s == nil:
		c.counters.misses.Add(1)
	case !isHit:
		s.misses.Add(1)
		gen.owner.counters.misses.Add(1)
	default:
		s.hits.Add(1)
		gen.owner.counters.hits.Add(1)
		if h.state == Stale {
			c.counters.staleServes.Add(1)
		}
		if h.isFromTier {
			c.counters.l2Hits.Add(1)
		}
	}
}

// fetch reads a key from the tier, promotes it if it may live in L1, and fills h.
func (c *Cache) fetch(ctx context.Context, s *shard, hash uint64, gen *generation, key []byte, m mark, h *Hit) (found, error) {
	r := &Record{}
	isShared := false
	ok, _, err := c.readBy(gen, r, h, true, func() (ok bool, err error) {
		ok, isShared, err = s.readOnceAtATime(ctx, hash, gen, key, m, r)
		return ok, err
	})
	if err != nil || !ok {
		return foundAbsent, err
	}
	c.noteTierAccess(r, h.nowMs)
	switch {
	case isShared || !s.isWantedInL1(hash, r): // who reads it promotes it
	case c.config.PromotionWorkers == 0:
		c.promote(s, hash, gen, r, m, h.nowMs, h)
	default:
		job := *r
		job.Key = bytes.Clone(key)
		c.offerPromotion(promotionJob{s, hash, gen, &job, m, h.nowMs})
	}
	h.isFromTier = true
	return foundLive, nil
}

// read gets the key's record from the tier and, if it is live and no invalidation under
// way covers it, fills h from it (unpinned: the record's memory belongs to h). covered
// reports that the tier has a record that only an invalidation under way hides.
func (c *Cache) read(ctx context.Context, gen *generation, key []byte, withValue bool, r *Record, h *Hit) (live, covered bool, err error) {
	return c.readBy(gen, r, h, withValue, func() (bool, error) { return c.config.Tier.Get(ctx, gen.id, key, withValue, r) })
}

// readBy is read with a get of the record that may be another's.
func (c *Cache) readBy(gen *generation, r *Record, h *Hit, withValue bool, get func() (bool, error)) (live, covered bool, err error) {
	// A fence that was up before the read counts after it too, even if it went down
	// meanwhile: the record might come from before the removal.
	up := c.fences.snapshot()
	undone := c.fences.undone.Load()
	watch := c.startWatch()
	ok, err := get()
	c.stopWatch(watch, OpTierRead)
	if err != nil {
		return false, false, c.tierError("read", err)
	}
	if !ok || gen.ended.Load() {
		return false, false, nil
	}
	if c.fences.covers(r) || up.covers(r) {
		return false, true, nil
	}
	if undone != c.fences.undone.Load() {
		return c.readBy(gen, r, h, withValue, get)
	}
	nowMs := c.clock.ms()
	state := r.Attrs.StateAt(nowMs, r.LastAccessMs)
	if state == Dead {
		return false, false, nil
	}
	*h = Hit{
		value: r.Value, valueLen: r.ValueLen, storedLen: r.StoredLen, attrs: r.Attrs, seq: r.Seq,
		lastAccess: r.LastAccessMs, nowMs: nowMs, tiers: InL2, state: state, unloaded: !withValue,
	}
	return true, false, nil
}

// promote copies a record, accessed at nowMs, into L1, unless something happened to the key
// since the mark, and then pins h, if there is one, to the copy.
func (c *Cache) promote(s *shard, hash uint64, gen *generation, r *Record, m mark, nowMs int64, h *Hit) {
	size := int64(arena.Size(entryBytes(len(r.Key), len(r.Attrs), len(r.Value)))) + overheadOf(r.Attrs)
	if quota := limitsOf(gen).L1BytesMax; quota > 0 && (size > quota || !c.makeQuotaRoom(gen, size, s)) {
		return
	}
	if c.used.Add(size) > c.config.L1BytesMax && !c.evict() {
		c.release(size)
		return
	}
	length := entryBytes(len(r.Key), len(r.Attrs), len(r.Value))
	ref, e, err := s.allocate(length)
	if err != nil {
		c.release(size)
		return
	}
	defer s.leave()
	if length > copyUnderLockBytesMax {
		s.mu.Unlock() // the chunk is ours alone until it is published
		e.fill(gen.id, r.Key, r.Attrs, r.Value)
		s.mu.Lock()
	}
	if s.lookup(hash) != 0 || s.closed || !s.holds(m, hash, gen) {
		s.arena.Drop(ref)
		c.release(size)
		return
	}
	if length <= copyUnderLockBytesMax {
		e.fill(gen.id, r.Key, r.Attrs, r.Value)
	}
	header := e.header()
	header.seq = r.Seq
	access := r.LastAccessMs
	if nowMs-access >= r.Attrs.accessGrainMs() {
		access = nowMs
	}
	header.setAccess(access, access != r.LastAccessMs)
	header.storedLen.Store(int32(r.StoredLen))
	number := s.publish(hash, ref, 0)
	s.queue(number)
	if h != nil {
		state, lastAccess := h.state, h.lastAccess
		s.pin(ref, e, nowMs, state, h)
		h.lastAccess = lastAccess
	}
	c.counters.promotions.Add(1)
}

// Peek reads a key without its value (h.HasValue may be false) and is not an access: it
// changes nothing. Errors: ErrTierIO, ErrClosed, ctx.Err().
func (c *Cache) Peek(ctx context.Context, k Key, h *Hit) (bool, error) {
	if c.closed.Load() {
		return false, ErrClosed
	}
	gen := c.generationOf(k.Namespace)
	if gen == nil || len(k.Name) == 0 {
		return false, nil
	}
	hash := c.hash(gen.id, k.Name)
	result, _ := c.shardOf(hash).look(hash, gen, k.Name, false, h)
	if result != foundNone || c.config.Tier == nil {
		return result == foundLive, nil
	}
	ok, _, err := c.read(ctx, gen, k.Name, false, &Record{}, h)
	return ok, err
}

// Existence is what is known of a key without reading a disk.
type Existence uint8

const (
	Absent Existence = iota
	Present
	MaybePresent
)

func (e Existence) String() string {
	switch e {
	case Present:
		return "present"
	case MaybePresent:
		return "maybe_present"
	}
	return "absent"
}

// Exists tells whether a key is live, as far as that is known without a disk read. It is
// no access and changes nothing, not even statistics. Errors: ErrClosed.
func (c *Cache) Exists(k Key) (Existence, error) {
	if c.closed.Load() {
		return Absent, ErrClosed
	}
	gen := c.generationOf(k.Namespace)
	if gen == nil || len(k.Name) == 0 {
		return Absent, nil
	}
	hash := c.hash(gen.id, k.Name)
	var h Hit
	defer h.Release()
	result, _ := c.shardOf(hash).look(hash, gen, k.Name, false, &h)
	switch {
	case result == foundLive:
		return Present, nil
	case result == foundNone && c.config.Tier != nil && c.config.Tier.MayContain(gen.id, k.Name):
		return MaybePresent, nil
	}
	return Absent, nil
}
