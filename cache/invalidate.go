package cache

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
)

// Bounds of one step of an invalidation.
const (
	invalidateSlotsPerLock = 32
	invalidateOpsPerWrite  = 256
)

// InvalidateTags deletes durably what carries any of the tags, and returns how many live
// keys that were; a key with several of them counts once. An unknown namespace covers
// nothing. Errors: ErrTierIO (what is covered is a miss, but perhaps not durably),
// ErrClosed, ctx.Err().
func (c *Cache) InvalidateTags(ctx context.Context, namespace []byte, tags []string) (int64, error) {
	gen := c.generationOf(namespace)
	if gen == nil {
		c.emit(EventTags, namespace, nil, tags)
		return 0, c.closedError()
	}
	return c.invalidateLabels(ctx, gen, labelsOf(gen.id, Tag, tags))
}

// InvalidateDependencies is InvalidateTags for dependencies. A nil namespace means all.
func (c *Cache) InvalidateDependencies(ctx context.Context, namespace []byte, dependencies []string) (int64, error) {
	if namespace == nil {
		return c.invalidateLabels(ctx, nil, labelsOf(0, Dependency, dependencies))
	}
	gen := c.generationOf(namespace)
	if gen == nil {
		c.emit(EventDependencies, namespace, nil, dependencies)
		return 0, c.closedError()
	}
	return c.invalidateLabels(ctx, gen, labelsOf(gen.id, Dependency, dependencies))
}

// InvalidatePrefix deletes durably the keys that begin with prefix, which may be empty,
// and returns how many live ones that were. Errors as InvalidateTags.
func (c *Cache) InvalidatePrefix(ctx context.Context, namespace, prefix []byte) (int64, error) {
	gen := c.generationOf(namespace)
	if gen == nil {
		c.emit(EventPrefix, namespace, prefix, nil)
		return 0, c.closedError()
	}
	return c.runInvalidation(ctx, gen, &fence{ns: gen.id, prefix: append([]byte{}, prefix...)})
}

func labelsOf(namespace NamespaceID, kind LabelKind, texts []string) []Label {
	labels := make([]Label, 0, len(texts))
	for _, text := range unique(texts) {
		labels = append(labels, Label{namespace, kind, text})
	}
	return labels
}

func (c *Cache) closedError() error {
	if c.closed.Load() {
		return ErrClosed
	}
	return nil
}

func (c *Cache) invalidateLabels(ctx context.Context, gen *generation, labels []Label) (int64, error) {
	if len(labels) == 0 {
		return 0, c.closedError()
	}
	return c.runInvalidation(ctx, gen, &fence{labels: labels})
}

// runInvalidation runs an invalidation to its end, also if the caller's context ends
// first: a half-done one would have to stay fenced. A nil gen means all namespaces.
func (c *Cache) runInvalidation(ctx context.Context, gen *generation, f *fence) (int64, error) {
	defer c.stopWatch(c.startWatch(), OpInvalidate)
	in, err := c.newInvalidation(gen, f)
	if err != nil {
		return 0, err
	}
	in.durability = c.durability(ctx)
	done := make(chan error, 1)
	go func() {
		defer c.background.Done()
		err := in.run(WithDurability(c.background.ctx, in.durability))
		if err != nil && gen != nil && gen.ended.Load() {
			err = nil // flushed meanwhile, which covers it
		}
		if err == nil {
			c.fences.lower(f)
		} else {
			c.abandonFence(f) // it stays up: what it covers stays invisible
		}
		c.emitFence(gen, f)
		done <- err
	}()
	select {
	case err := <-done:
		if err != nil {
			return in.count, c.tierError("invalidate", err)
		}
		return in.count, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// emitFence tells of an invalidation that took effect.
func (c *Cache) emitFence(gen *generation, f *fence) {
	var namespace []byte
	if gen != nil {
		namespace = []byte(gen.owner.name)
	}
	if f.prefix != nil {
		c.emit(EventPrefix, namespace, f.prefix, nil)
		return
	}
	kind := EventTags
	if f.labels[0].Kind == Dependency {
		kind = EventDependencies
	}
	texts := make([]string, len(f.labels))
	for i, label := range f.labels {
		texts[i] = label.Text
	}
	c.emit(kind, namespace, nil, texts)
}

// run removes what the fence covers, from both tiers.
func (in *invalidation) run(ctx context.Context) error {
	defer in.countRemoved()
	if err := in.cache.saveGenerations(ctx, in.gen); err != nil {
		return err
	}
	if err := in.sweepL1(ctx); err != nil {
		return err
	}
	tier := in.cache.config.Tier
	switch {
	case tier == nil:
		return nil
	case in.fence.prefix != nil:
		err := tier.ScanPrefix(ctx, in.fence.ns, in.fence.prefix, func(r *Record) bool { return in.collect(ctx, r) })
		if err != nil {
			return err
		}
		return in.commit(ctx, true)
	}
	// Labels take effect with one durable write; removing the records comes after it, and
	// then nothing below the watermarks is left: they are not needed any more.
	watermarks := in.fence.watermarks()
	if err := tier.PutWatermarks(ctx, watermarks); err != nil {
		return err
	}
	return in.removeMarked(ctx)
}

// countRemoved adds what was removed to the statistics.
func (in *invalidation) countRemoved() {
	in.cache.counters.invalidations.Add(in.count)
	if in.gen != nil {
		in.gen.owner.counters.invalidations.Add(in.count)
	}
}

// removeMarked removes from the tier what is below the invalidation's watermarks, which
// are not needed any more then.
func (in *invalidation) removeMarked(ctx context.Context) error {
	if err := in.removeFromTier(ctx); err != nil {
		return err
	}
	return in.cache.config.Tier.DropWatermarks(ctx, in.fence.watermarks())
}

// invalidation is one invalidation under way.
type invalidation struct {
	cache *Cache
	gen   *generation // nil: all namespaces
	fence *fence
	count int64
	seen  map[uint64]struct{} // key hashes counted, or known to be dead, in L1
	ops   []TierOp            // deletes to commit
	live  []bool              // for each of ops: it counts if it deletes
	err   error

	durability Durability
}

// enterBackground begins background work, which Close waits for. The caller must call
// c.background.Done when it is over.
func (c *Cache) enterBackground() error {
	c.closing.Lock()
	defer c.closing.Unlock()
	if c.closed.Load() {
		return ErrClosed
	}
	c.background.Add(1)
	return nil
}

// newInvalidation raises the fences: from now on nothing covered can be promoted, and
// records in the tier that are covered are not served. The caller must call
// c.background.Done when it is over.
func (c *Cache) newInvalidation(gen *generation, f *fence) (*invalidation, error) {
	if err := c.enterBackground(); err != nil {
		return nil, err
	}
	f.gen = gen
	f.seq.Store(math.MaxUint64)
	c.fences.raise(f)
	c.bumpFence(gen)
	c.leases.overtake(c, f)
	f.seq.Store(uint64(c.nextSeq()))
	return &invalidation{cache: c, gen: gen, fence: f, seen: map[uint64]struct{}{}}, nil
}

// bumpFence makes every mark taken before void (I3). A nil gen means all namespaces.
func (c *Cache) bumpFence(gen *generation) {
	if gen != nil {
		gen.fence.Add(1)
	} else {
		c.fences.global.Add(1)
	}
}

// covered is a slot found by a sweep of L1; seq tells whether it is still the same entry.
type covered struct {
	slot uint32
	seq  Sequence
}

// sweepL1 removes what L1 holds of the covered entries, and waits until the tier has
// forgotten the older records that dirty ones were hiding.
func (in *invalidation) sweepL1(ctx context.Context) error {
	find := in.slotsWithLabels
	if in.fence.prefix != nil {
		find = in.slotsWithPrefix
	}
	var waiters []*flushWaiter
	var slots []covered
	for _, s := range in.cache.shards {
		slots = find(s, slots[:0])
		for len(slots) > 0 {
			n := min(len(slots), invalidateSlotsPerLock)
			var err error
			if waiters, err = in.removeSlots(s, slots[:n], waiters); err != nil {
				return err
			}
			slots = slots[n:]
		}
	}
	for _, w := range waiters {
		if err := in.cache.await(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

func (in *invalidation) slotsWithLabels(s *shard, slots []covered) []covered {
	for _, label := range in.fence.labels {
		hash := labelHash(s.cache.seed, label.Namespace, label.Kind, []byte(label.Text))
		s.visitLabel(hash, func() { slots = slices.Grow(slots, looksPerLock) }, func(number uint32) {
			slots = in.appendCovered(s, slots, number)
		})
	}
	return slots
}

// slotsWithPrefix looks at every slot of the shard, looksPerLock at a time.
func (in *invalidation) slotsWithPrefix(s *shard, slots []covered) []covered {
	for start, total := 1, 2; start < total; start += looksPerLock {
		slots = slices.Grow(slots, looksPerLock)
		s.mu.RLock()
		total = int(s.given)
		for number := start; number < min(start+looksPerLock, total); number++ {
			if s.slot(uint32(number)).ref() != 0 {
				slots = in.appendCovered(s, slots, uint32(number))
			}
		}
		s.mu.RUnlock()
	}
	return slots
}

// appendCovered REQUIRES: s.mu held, shared at least.
func (in *invalidation) appendCovered(s *shard, slots []covered, number uint32) []covered {
	e := s.entryOf(number)
	header := e.header()
	if header.tombstone {
		return slots
	}
	r := Record{Namespace: header.namespace, Key: e.key(), Seq: header.seq, Attrs: e.attrs()}
	if !in.fence.covers(&r) {
		return slots
	}
	return append(slots, covered{number, header.seq})
}

// removeSlots removes those of slots that still hold the same entries.
func (in *invalidation) removeSlots(s *shard, slots []covered, waiters []*flushWaiter) ([]*flushWaiter, error) {
	hashes := make([]uint64, 0, invalidateSlotsPerLock)
	defer func() { in.see(hashes) }()
	s.mu.Lock()
	defer s.leave()
	for _, x := range slots {
		if s.slot(x.slot).ref() == 0 {
			continue
		}
		e := s.entryOf(x.slot)
		header := e.header()
		if header.seq != x.seq || header.tombstone {
			continue // covered twice, or gone
		}
		hash := s.hashOf(x.slot)
		if e.stateAt(s.cache.clock.ms()) != Dead && s.cache.generation(header.namespace) != nil {
			in.count++
		}
		hashes = append(hashes, hash)
		s.revokeLease(hash)
		if s.slot(x.slot).flags&slotDirty == 0 {
			// The tier's record, if any, is the same and covered too.
			s.changes[stripeOf(hash)]++
			s.remove(x.slot)
			continue
		}
		w, err := s.bury(hash, header.namespace, slices.Clone(e.key()), true, in.durability)
		if err != nil {
			return waiters, err
		}
		if w != nil {
			waiters = append(waiters, w)
		}
	}
	return waiters, nil
}

// see notes keys that are counted.
func (in *invalidation) see(hashes []uint64) {
	if in.cache.config.Tier == nil {
		return // nothing else will ask
	}
	for _, hash := range hashes {
		in.seen[hash] = struct{}{}
	}
}

// removeFromTier deletes the records of covered keys. That need not be durable: the
// watermarks are, and they come first in the tier's log.
func (in *invalidation) removeFromTier(ctx context.Context) error {
	if in.fence.prefix != nil {
		err := in.cache.config.Tier.ScanPrefix(ctx, in.fence.ns, in.fence.prefix, func(r *Record) bool { return in.collect(ctx, r) })
		if err != nil {
			return err
		}
		return in.commit(ctx, false)
	}
	for _, label := range in.fence.labels {
		err := in.cache.config.Tier.ScanLabel(ctx, label, func(r *Record) bool { return in.collect(ctx, r) })
		if err == nil {
			err = in.commit(ctx, false)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// collect notes the deletion of a record of the tier; false ends the scan.
func (in *invalidation) collect(ctx context.Context, r *Record) bool {
	if r.Seq >= in.fence.sequence() || in.fence.load != nil && !in.fence.load.stages(r.Seq) {
		return true
	}
	in.ops = append(in.ops, TierOp{Delete: true, Record: Record{
		Namespace: r.Namespace, Key: bytes.Clone(r.Key), Seq: r.Seq + 1, // this record, no newer one
	}})
	in.live = append(in.live, in.isFirstLive(r))
	if len(in.ops) >= invalidateOpsPerWrite {
		in.err = in.commit(ctx, false)
	}
	return in.err == nil
}

// isFirstLive reports that the record is what readers of its key are served, and that
// the key was not seen before.
func (in *invalidation) isFirstLive(r *Record) bool {
	c := in.cache
	hash := c.hash(r.Namespace, r.Key)
	if _, seen := in.seen[hash]; seen {
		return false
	}
	in.seen[hash] = struct{}{}
	c.revokeLeaseOf(hash)
	return r.Attrs.StateAt(c.clock.ms(), r.LastAccessMs) != Dead && !c.isSuperseded(hash, r) &&
		!c.fences.coversBefore(in.fence, r) && c.generation(r.Namespace) != nil
}

// isSuperseded reports that L1 has a newer entry or a tombstone for the record's key.
func (c *Cache) isSuperseded(hash uint64, r *Record) bool {
	s := c.shardOf(hash)
	s.mu.RLock()
	defer s.mu.RUnlock()
	number, e := s.find(hash, r.Namespace, r.Key)
	return number != 0 && e.header().seq > r.Seq
}

// commit writes the noted deletions and counts them: a record that was overwritten since
// the scan is not deleted.
func (in *invalidation) commit(ctx context.Context, sync bool) error {
	if in.err != nil {
		return in.err
	}
	if len(in.ops) == 0 && !sync {
		return nil
	}
	err := in.cache.config.Tier.Write(ctx, in.ops, sync)
	for i := range in.ops {
		if in.live[i] && in.ops[i].Existed && !in.ops[i].Superseded && err == nil {
			in.count++
		}
	}
	in.ops, in.live = in.ops[:0], in.live[:0]
	if err != nil {
		return fmt.Errorf("remove from tier: %w", err)
	}
	return nil
}

// makeUp tries again what invalidations failed to remove, until one fails.
func (c *Cache) makeUp(ctx context.Context) {
	for f := c.fences.anyAbandoned(); f != nil; f = c.fences.anyAbandoned() {
		if err := c.makeUpFor(ctx, f); err != nil {
			return
		}
		c.fences.lower(f)
	}
}

// makeUpFor removes what an abandoned fence covers.
func (c *Cache) makeUpFor(ctx context.Context, f *fence) error {
	if !f.all {
		if f.gen != nil && f.gen.ended.Load() {
			return nil
		}
		in := &invalidation{cache: c, gen: f.gen, fence: f, seen: map[uint64]struct{}{}}
		return in.run(ctx)
	}
	for _, ns := range c.namespaces.all() {
		part := &fence{gen: ns.current.Load(), prefix: []byte{}}
		part.ns = part.gen.id
		part.seq.Store(f.seq.Load())
		if err := c.makeUpFor(ctx, part); err != nil {
			return err
		}
	}
	return nil
}

// abandonFence leaves the fence of a failed invalidation up.
func (c *Cache) abandonFence(f *fence) {
	merged := c.fences.abandon(f)
	if merged == nil {
		return
	}
	namespace := "all"
	if merged.gen != nil {
		namespace = merged.gen.owner.name
	}
	c.logger.Warn("too many invalidations wait for the durable tier: what was written before is a miss until it works again",
		"namespace", namespace, "invalidations_max", abandonedFencesMax)
}

// resume finishes the removals of invalidations that a crash or error cut short.
func (c *Cache) resume(ctx context.Context, in *invalidation, watermarks []Watermark) {
	err := in.removeFromTier(ctx)
	if err == nil {
		err = c.config.Tier.DropWatermarks(ctx, watermarks)
	}
	if err != nil {
		if ctx.Err() == nil {
			c.logger.Error("cannot finish an invalidation begun before the restart; its entries stay invisible", "error", err)
		}
		return
	}
	c.fences.lower(in.fence)
}
