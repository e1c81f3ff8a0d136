package cache

import (
	"context"
	"errors"

	"pgcache/cache/arena"
)

// copyUnderLockBytesMax: longer entries are copied into memory before the shard is
// locked for their publication.
const copyUnderLockBytesMax = 32 << 10

// errChanged: the key changed between read and write; the update starts again.
var errChanged = errors.New("cache: changed meanwhile")

// Put stores d whatever the key held; a stored version stays if d has none. Errors:
// *ArgumentError, *LimitError, *VersionError, *LeaseError, *QuotaError, ErrTierBusy, ErrNoRoom,
// ErrClosed, ctx.Err(). Nothing changed on error. With DurabilityAlways also ErrTierIO and
// ErrTierFull: the entry is in memory, and perhaps not durable. An entry that is too large
// for L1 is in the tier when Put returns; after ErrTierFull the key is absent.
func (c *Cache) Put(ctx context.Context, k Key, d *Draft) (Result, error) {
	return c.change(ctx, k, UpdateOptions{}, func(_ *Hit, draft *Draft) (Verdict, error) {
		*draft = *d
		draft.KeepValue, draft.KeepHard = false, false
		return Write, nil
	}, false)
}

// Update reads, decides and writes atomically with respect to other writes of the key.
// Errors: those of Put and Invalidate, and fn's own.
func (c *Cache) Update(ctx context.Context, k Key, opts UpdateOptions, fn UpdateFunc) (Result, error) {
	return c.change(ctx, k, opts, fn, true)
}

// Invalidate deletes a key durably and reports whether a live entry was there. Errors:
// ErrTierIO (the key is a miss, but not durably), ErrClosed, ctx.Err().
func (c *Cache) Invalidate(ctx context.Context, k Key) (bool, error) {
	result, err := c.change(ctx, k, UpdateOptions{}, func(*Hit, *Draft) (Verdict, error) { return Remove, nil }, false)
	return result.Existed, err
}

// change runs rounds of read, decide, write until nothing happened in between. wantDraft
// says that fn looks at the draft it is given.
func (c *Cache) change(ctx context.Context, k Key, opts UpdateOptions, fn UpdateFunc, wantDraft bool) (Result, error) {
	if err := c.checkKey(k); err != nil {
		return Result{}, err
	}
	w := c.writers.Get().(*writer)
	defer func() {
		w.old.Release()   // also when fn panics
		w.draft = Draft{} // it borrows the caller's memory
		c.writers.Put(w)
	}()
	w.needValue = opts.NeedValue
	watch := c.startWatch()
	w.nowMs = 0
	if !wantDraft {
		w.nowMs = c.clock.msOf(watch.start)
	}
	for {
		if c.closed.Load() {
			return Result{}, ErrClosed
		}
		result, err := c.changeOnce(ctx, k, opts.Out, fn, wantDraft, w)
		w.old.Release()
		w.nowMs = 0
		if err != errChanged {
			c.countRefusal(err)
			c.emitChange(k, w.verdict, err)
			c.noteChange(watch, result.Verdict, err)
			return result, err
		}
		if ctx.Err() != nil {
			return Result{}, ctx.Err()
		}
	}
}

func (c *Cache) countRefusal(err error) {
	if err == nil {
		return
	}
	var version *VersionError
	var lease *LeaseError
	switch {
	case errors.As(err, &version):
		c.counters.versionMismatches.Add(1)
	case errors.As(err, &lease):
		c.counters.leasesRejected.Add(1)
	}
}

// emitChange tells what became of a key. A deletion is told whether or not the key was
// held: a client may have read it before it was evicted, also if it is not durable.
func (c *Cache) emitChange(k Key, verdict Verdict, err error) {
	switch {
	case verdict == Remove:
		c.emit(EventKey, k.Namespace, k.Name, nil)
	case verdict == Write && (err == nil || errors.Is(err, ErrTierIO) || errors.Is(err, ErrTierFull)):
		c.emit(EventPut, k.Namespace, k.Name, nil)
	}
}

// writer is the working memory of one write, pooled.
type writer struct {
	old       Hit
	scratch   []byte
	draft     Draft
	needValue bool
	verdict   Verdict // of the last round
	nowMs     int64   // the time, if it has just been asked; else 0
}

func newWriter() any { return &writer{scratch: make([]byte, 0, 256)} }

// before is what a round knows of the key.
type before struct {
	mark    mark
	isLive  bool // writer.old holds the entry
	mayKnow bool // the tier may hold a record, by now
	// hidden: there is no live entry, but a delete or invalidation is under way that may not
	// be durable yet, or what is there has expired and may hide an older durable record.
	hidden bool
}

func (c *Cache) changeOnce(ctx context.Context, k Key, out *Hit, fn UpdateFunc, wantDraft bool, w *writer) (Result, error) {
	w.verdict = Leave
	gen := c.generationOf(k.Namespace)
	was, err := c.before(ctx, gen, k.Name, w)
	if err != nil {
		return Result{}, err
	}
	old := &w.old
	if !was.isLive {
		old = nil
	}
	w.draft = NewDraft(nil)
	if wantDraft && old != nil {
		w.draft = draftOf(old)
	}
	verdict, err := fn(old, &w.draft)
	result := Result{Existed: was.isLive, Verdict: verdict}
	if err != nil || verdict == Leave {
		return Result{Existed: was.isLive}, err
	}
	w.verdict = verdict
	if verdict == Remove {
		if old == nil && !was.hidden {
			if err := c.fenceAbsence(gen, k.Name, was); err != nil {
				return Result{}, err
			}
			return Result{}, c.settleAbsence(ctx, gen)
		}
		return result, c.removeKey(ctx, gen, k.Name, was, out, w)
	}
	if w.nowMs == 0 {
		w.nowMs = c.clock.ms()
	}
	made, needOld, err := c.compose(w.scratch[:0], limitsOf(gen), old, &w.draft, w.nowMs)
	if needOld {
		w.needValue = true
		return Result{}, errChanged
	}
	if err != nil {
		return Result{}, err
	}
	w.scratch = made.attrs
	if gen == nil {
		if gen, err = c.openNamespace(ctx, k.Namespace); err != nil {
			return Result{}, err
		}
		was.mark = c.markNow(gen, k.Name)
	}
	return result, c.store(ctx, gen, k.Name, was, made, out)
}

// markNow marks a key of a generation that was just created and holds nothing.
func (c *Cache) markNow(gen *generation, key []byte) mark {
	hash := c.hash(gen.id, key)
	s := c.shardOf(hash)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if number, _ := s.find(hash, gen.id, key); number != 0 {
		return mark{change: s.changes[stripeOf(hash)] - 1} // holds never: another writer was first
	}
	return s.markOf(hash, gen)
}

// before reads the key's entry into w.old, wherever it is.
func (c *Cache) before(ctx context.Context, gen *generation, key []byte, w *writer) (before, error) {
	if gen == nil {
		return before{}, nil
	}
	hash := c.hash(gen.id, key)
	result, m := c.shardOf(hash).look(hash, gen, key, false, &w.old)
	was := before{mark: m, isLive: result == foundLive, hidden: result == foundBuried || result == foundAbsent}
	if was.isLive && c.isCovered(gen, key, &w.old) {
		w.old.Release()
		was.isLive, was.hidden = false, true
	}
	if c.config.Tier == nil {
		was.hidden = was.hidden && result != foundAbsent
		return was, nil
	}
	if result != foundNone {
		was.mayKnow = true // even if not yet: a flush does not disturb the mark
		return was, nil
	}
	w.nowMs = 0 // a disk takes its time
	live, covered, err := c.read(ctx, gen, key, w.needValue, &Record{}, &w.old)
	was.isLive, was.mayKnow, was.hidden = live, live || covered, covered
	return was, err
}

// isCovered reports that an invalidation under way covers a live entry of L1: what it was
// must not be made the base of a newer write.
func (c *Cache) isCovered(gen *generation, key []byte, h *Hit) bool {
	if c.fences.count.Load() == 0 {
		return false
	}
	return c.fences.covers(&Record{Namespace: gen.id, Key: key, Seq: h.seq, Attrs: h.attrs})
}

// fenceAbsence ends the lease of an absent key that is deleted: a fill under way must not
// come after the deletion.
func (c *Cache) fenceAbsence(gen *generation, key []byte, was before) error {
	if gen == nil || c.leases.count.Load() == 0 {
		return nil
	}
	hash := c.hash(gen.id, key)
	s := c.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.holds(was.mark, hash, gen) {
		return errChanged
	}
	s.revokeLease(hash)
	return nil
}

// settleAbsence makes durable whatever made a key absent, before its deletion is
// acknowledged: the tier removes things by its own decision without syncing.
func (c *Cache) settleAbsence(ctx context.Context, gen *generation) error {
	if gen == nil || c.config.Tier == nil {
		return nil
	}
	if err := c.saveGenerations(ctx, gen); err != nil {
		return c.tierError("flush", err)
	}
	if c.durability(ctx) == DurabilityOff {
		return nil
	}
	if err := c.config.Tier.Sync(ctx); err != nil {
		return c.tierError("sync", err)
	}
	return nil
}

// store publishes a new entry if nothing happened to the key since was, and waits until it
// is durable if that was asked for.
func (c *Cache) store(ctx context.Context, gen *generation, key []byte, was before, made composed, out *Hit) error {
	waiter, err := c.publish(ctx, gen, key, was, made, out)
	if err != nil || waiter == nil {
		return err
	}
	if err := c.await(ctx, waiter); err != nil {
		return err
	}
	if err := c.saveGenerations(ctx, gen); err != nil {
		return c.tierError("flush", err)
	}
	return nil
}

// publish does store's work up to the wait, for which it returns whom to await.
func (c *Cache) publish(ctx context.Context, gen *generation, key []byte, was before, made composed, out *Hit) (*flushWaiter, error) {
	length := entryBytes(len(key), len(made.attrs), len(made.value))
	takes := c.costOf(length, overheadOf(made.attrs))
	if takes.l1 > c.config.L1BytesMax/2 {
		return nil, &LimitError{What: "entry", Unit: "bytes", Got: takes.l1, Max: c.config.L1BytesMax / 2, Setting: "l1_bytes"}
	}
	hash := c.hash(gen.id, key)
	s := c.shardOf(hash)
	fitsQuota, err := c.makeRoom(ctx, gen, takes, s)
	if err != nil {
		return nil, err
	}
	ref, e, err := s.allocate(length)
	if err != nil {
		c.disclaim(takes)
		return nil, err
	}
	defer s.leave()
	if length > copyUnderLockBytesMax {
		s.mu.Unlock() // the chunk is ours alone until it is published
		e.fill(gen.id, key, made.attrs, made.value)
		s.mu.Lock()
	}
	// The sequence comes before the check: an invalidation that the check does not see has
	// its fence, and so its own sequence, still before it.
	e.header().seq = c.nextSeq()
	if err := s.mayPublish(hash, gen, key, was, made); err != nil {
		s.arena.Drop(ref)
		c.disclaim(takes)
		return nil, err
	}
	if length <= copyUnderLockBytesMax {
		e.fill(gen.id, key, made.attrs, made.value)
	}
	flags := s.aloneFlag(hash, gen.id, key, was)
	if c.config.Tier != nil {
		flags |= slotDirty
		if !fitsQuota || !s.admitsWrite(hash, made.attrs.Admission(), length) {
			flags |= slotTransient
		}
	}
	number := s.write(hash, ref, e, flags)
	c.counters.insertions.Add(1)
	gen.owner.counters.insertions.Add(1)
	if out != nil {
		nowMs := c.clock.ms()
		s.pin(s.slot(number).ref(), s.entryOf(number), nowMs, e.attrs().StateAt(nowMs, nowMs), out)
	}
	return s.waiterFor(hash, takes, c.durability(ctx)), nil
}

// waiterFor is whom a put that was published awaits: when it is to be durable, the tier; when
// L1 cannot hold it, that the tier has it at all. REQUIRES: s.mu held.
func (s *shard) waiterFor(hash uint64, takes cost, d Durability) *flushWaiter {
	if s.cache.config.Tier == nil || d != DurabilityAlways && takes.passing == 0 {
		return nil
	}
	if d != DurabilityAlways {
		d = DurabilityOff
	}
	waiter := s.waiter(hash, d)
	waiter.stored = true
	return waiter
}

// makeRoom claims memory for a new entry, and reports whether it may stay within its
// namespace's quota of L1; else it passes through on its way to the tier.
func (c *Cache) makeRoom(ctx context.Context, gen *generation, takes cost, home *shard) (fitsQuota bool, err error) {
	fitsQuota, err = c.checkQuotas(gen, takes)
	if err != nil {
		return false, err
	}
	if c.config.Tier != nil {
		if err := c.waitClean(ctx, takes.l1); err != nil {
			return false, err
		}
	}
	if fitsQuota {
		fitsQuota = c.makeQuotaRoom(gen, takes.l1, home)
	}
	return fitsQuota, c.claim(ctx, takes)
}

// mayPublish checks, in the critical section of a write's publication, that nothing
// happened to the key since was and that its lease allows it. REQUIRES: s.mu held.
func (s *shard) mayPublish(hash uint64, gen *generation, key []byte, was before, made composed) error {
	switch {
	case s.closed:
		return ErrClosed
	case !s.holds(was.mark, hash, gen):
		return errChanged
	}
	return s.checkLease(made.lease, hash, gen.id, key, made.attrs)
}

// aloneFlag is slotAlone if the tier holds no record of the key. REQUIRES: s.mu held.
func (s *shard) aloneFlag(hash uint64, namespace NamespaceID, key []byte, was before) slotFlags {
	if number, _ := s.find(hash, namespace, key); number != 0 {
		return s.slot(number).flags & slotAlone
	}
	if was.mayKnow {
		return 0
	}
	return slotAlone
}

// allocate locks the shard and makes an unpublished chunk; on error the shard is unlocked.
func (s *shard) allocate(length int) (arena.Ref, entry, error) {
	pages, err := s.arena.Prepare(length)
	if err != nil {
		return 0, nil, s.noMemory(err)
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		s.arena.Discard(pages)
		return 0, nil, ErrClosed
	}
	ref, err := s.arena.AllocIn(pages, length)
	if err != nil {
		s.mu.Unlock()
		return 0, nil, s.noMemory(err)
	}
	e := entry(s.arena.Data(ref))
	e.header().slot = 0
	return ref, e, nil
}

func (s *shard) noMemory(err error) error {
	s.cache.logger.Error("cannot get memory for an entry", "error", err)
	return ErrNoRoom
}

// write publishes a new entry or tombstone, which has its sequence, and hands it to the
// flusher or the eviction policy. REQUIRES: s.mu held.
func (s *shard) write(hash uint64, ref arena.Ref, e entry, flags slotFlags) uint32 {
	e.header().setAccess(s.cache.writtenMs(e), false)
	s.changes[stripeOf(hash)]++
	s.revokeLease(hash) // answered, or overtaken
	number := s.publish(hash, ref, flags)
	if flags&slotDirty != 0 {
		s.enqueue(number)
	} else {
		s.queue(number)
	}
	return number
}

// writtenMs is when an entry that is about to be published was last accessed: now, to the
// moment if it can expire.
func (c *Cache) writtenMs(e entry) int64 {
	switch {
	case e.header().tombstone:
		return c.clock.coarseMs()
	case e.attrs().Expires():
		return c.clock.ms()
	}
	return max(e.attrs().CreatedMs(), c.clock.coarseMs())
}

// removeKey deletes an entry, live or hidden, if nothing happened to the key since was, and waits until
// that is durable.
func (c *Cache) removeKey(ctx context.Context, gen *generation, key []byte, was before, out *Hit, w *writer) error {
	hash := c.hash(gen.id, key)
	s := c.shardOf(hash)
	if c.config.Tier != nil {
		if err := c.waitClean(ctx, int64(entryBytes(len(key), 0, 0))); err != nil {
			return err
		}
	}
	s.mu.Lock()
	if s.closed || !s.holds(was.mark, hash, gen) {
		closed := s.closed
		s.mu.Unlock()
		if closed {
			return ErrClosed
		}
		return errChanged
	}
	waiter, err := s.bury(hash, gen.id, key, was.mayKnow, c.durability(ctx))
	s.leave()
	if err != nil {
		return err
	}
	c.evict() // the tombstone may have exceeded the budget
	if out != nil {
		*out, w.old = w.old, Hit{}
	}
	if was.isLive {
		c.counters.invalidations.Add(1)
		gen.owner.counters.invalidations.Add(1)
	}
	if waiter == nil {
		return c.settleAbsence(ctx, gen)
	}
	if err := c.await(ctx, waiter); err != nil {
		return err
	}
	if err := c.saveGenerations(ctx, gen); err != nil {
		return c.tierError("flush", err)
	}
	return nil
}

// bury makes a key absent: by a tombstone when the tier has, or may be getting, a record
// of it, and then returns whom to await; else by removal. REQUIRES: s.mu held.
func (s *shard) bury(hash uint64, namespace NamespaceID, key []byte, tierMayKnow bool, d Durability) (*flushWaiter, error) {
	s.revokeLease(hash)
	number, _ := s.find(hash, namespace, key)
	if number != 0 {
		// A dirty one may be on its way to the tier this moment.
		tierMayKnow = s.slot(number).flags&(slotDirty|slotAlone) != slotAlone
	}
	if s.cache.config.Tier == nil || !tierMayKnow {
		if number != 0 {
			s.changes[stripeOf(hash)]++
			s.remove(number)
		}
		return nil, nil
	}
	length := entryBytes(len(key), 0, 0)
	ref, err := s.arena.Alloc(length)
	if err != nil {
		return nil, ErrNoRoom
	}
	e := entry(s.arena.Data(ref))
	e.fill(namespace, key, nil, nil)
	e.header().tombstone, e.header().seq = true, s.cache.nextSeq()
	s.cache.used.Add(s.cache.slotBytes(e)) // a delete never waits for room; tombstones are short-lived
	s.write(hash, ref, e, slotDirty)
	return s.waiter(hash, d), nil
}
