package cache

import (
	"cmp"
	"math"
	"slices"
)

// fenceUnordered as a fence's sequence covers everything, whatever its sequence.
const fenceUnordered = math.MaxUint64

// publish makes what is prepared visible, unless something happened since. The shards of
// all keys are locked meanwhile, in order of number; all shards if there are fences or new
// generations: a reader of any key passes a shard's lock, and so sees all of the block or
// nothing (I7). Nothing in here waits.
func (p *blockCommit) publish() error {
	c := p.cache
	p.lock()
	defer p.unlock()
	// The sequences come before the check, as in Cache.publish, and the fences' before the
	// entries', which they do not cover.
	sequences := make([]Sequence, len(p.fences))
	for i := range p.fences {
		sequences[i] = c.nextSeq()
	}
	staged := p.number()
	if err := p.check(); err != nil {
		return err
	}
	if c.config.Tier != nil {
		p.group = newGroup(p)
	}
	if p.load != nil {
		p.stage(staged)
	}
	p.endGenerations()
	for i, f := range p.fences {
		f.seq.Store(uint64(sequences[i]))
	}
	c.fences.raise(p.fences...)
	for _, f := range p.fences {
		c.bumpFence(f.gen)
		c.leases.overtake(c, f)
	}
	p.emitInvalidations()
	for i := range p.members {
		p.apply(&p.members[i])
	}
	if p.group != nil {
		p.group.addInvalidations(p)
		c.groups.add(p.group)
	}
	return nil
}

// number gives the entries their sequences, without gaps, and returns which.
func (p *blockCommit) number() seqRange {
	n := uint64(0)
	for i := range p.members {
		if p.members[i].ref != 0 {
			n++
		}
	}
	last := p.cache.seq.Add(n)
	next := Sequence(last - n + 1)
	r := seqRange{next, Sequence(last)}
	for i := range p.members {
		if m := &p.members[i]; m.ref != 0 {
			m.entry.header().seq = next
			next++
		}
	}
	return r
}

// stage hides what the block is about to publish, until its load commits.
func (p *blockCommit) stage(r seqRange) {
	l := p.load
	for i := range p.members {
		if m := &p.members[i]; m.ref != 0 {
			l.gens[m.gen] = struct{}{}
			l.names[m.gen.owner.name] = struct{}{}
		}
	}
	if r.first <= r.last {
		l.stage(r)
		p.group.commit.Watermarks = append(p.group.commit.Watermarks, r.watermark())
	}
	p.group.load, l.last = l, p.group
}

func (p *blockCommit) lock() {
	p.shards = p.shards[:0]
	if len(p.fences)+len(p.flushes) > 0 {
		p.shards = append(p.shards, p.cache.shards...)
	} else {
		for i := range p.members {
			if m := &p.members[i]; m.shard != nil && m.verdict != Leave {
				p.shards = append(p.shards, m.shard)
			}
		}
		slices.SortFunc(p.shards, func(a, b *shard) int { return cmp.Compare(a.number, b.number) })
		p.shards = slices.Compact(p.shards)
	}
	for _, s := range p.shards {
		s.mu.Lock()
	}
}

func (p *blockCommit) unlock() {
	for _, s := range p.shards {
		s.mu.Unlock()
	}
	for _, s := range p.shards {
		s.mu.Lock()
		s.leave()
	}
}

// check reports errChanged if a key or namespace was touched since it was prepared (the
// keys concerned are not ready any more), or a lease that does not allow its write.
// REQUIRES: p.lock.
func (p *blockCommit) check() error {
	for _, s := range p.shards {
		if s.closed {
			return ErrClosed
		}
	}
	var err error
	for i := range p.members {
		m := &p.members[i]
		if m.verdict == Leave || m.isNew || m.gen == nil {
			continue
		}
		if !m.shard.holds(m.was.mark, m.hash, m.gen) {
			m.isReady, err = false, errChanged
		}
	}
	if err != nil {
		return err
	}
	for i := range p.members {
		if m := &p.members[i]; m.verdict == Write {
			if err := m.shard.checkLease(m.lease, m.hash, m.gen.id, m.update.Key.Name, m.entry.attrs()); err != nil {
				return err
			}
		}
	}
	for i, f := range p.flushes {
		if !f.old.ended.CompareAndSwap(false, true) { // it is being dropped as empty
			for _, f := range p.flushes[:i] {
				f.old.ended.Store(false)
			}
			return errChanged
		}
	}
	return nil
}

// endGenerations makes the new generations of flushed namespaces their current ones.
func (p *blockCommit) endGenerations() {
	c := p.cache
	for _, f := range p.flushes {
		if p.group != nil {
			f.next.replaces.Store(uint64(f.old.id))
			c.namespaces.unsaved.Add(1)
			f.next.writtenBy.Store(p.group)
		}
		f.namespace.current.Store(f.next)
		c.namespaces.byID.Delete(f.old.id)
		c.counters.namespaceFlushes.Add(1)
	}
}

// emitInvalidations tells of the block's invalidations, whether or not they cover anything.
// Whoever reads because of that has to wait for p.unlock.
func (p *blockCommit) emitInvalidations() {
	c := p.cache
	for i := range p.block.Invalidations {
		switch x := &p.block.Invalidations[i]; x.Coverage {
		case CoverPrefix:
			c.emit(EventPrefix, x.Namespace, x.Prefix, nil)
		case CoverTags:
			c.emit(EventTags, x.Namespace, nil, x.Labels)
		case CoverDependencies:
			c.emit(EventDependencies, x.Namespace, nil, x.Labels)
		case CoverNamespace:
			if x.Namespace == nil {
				c.emit(EventAll, nil, nil, nil)
			} else {
				c.emit(EventNamespace, x.Namespace, nil, nil)
			}
		}
	}
}

// apply publishes one member. REQUIRES: p.lock.
func (p *blockCommit) apply(m *blockMember) {
	if m.verdict == Leave {
		return
	}
	c, s, k := p.cache, m.shard, m.update.Key
	if m.gen == nil { // and nothing to remove
		c.emit(EventKey, k.Namespace, k.Name, nil)
		return
	}
	s.revokeLease(m.hash) // answered, or overtaken
	if m.verdict == Write {
		flags := s.aloneFlag(m.hash, m.gen.id, k.Name, m.was)
		if p.group != nil {
			flags |= slotDirty
			if m.isTransient || !s.admitsWrite(m.hash, m.entry.attrs().Admission(), len(m.entry)) {
				flags |= slotTransient
			}
		}
		if p.load != nil {
			flags |= slotTransient // what nobody can read must not displace what somebody does
		}
		p.put(m, flags)
		if p.load == nil {
			c.emit(EventPut, k.Namespace, k.Name, nil)
		}
		c.counters.insertions.Add(1)
		m.gen.owner.counters.insertions.Add(1)
	} else {
		p.remove(m)
		c.emit(EventKey, k.Namespace, k.Name, nil)
	}
}

// put publishes the member's chunk and hands it to the group or the eviction policy.
func (p *blockCommit) put(m *blockMember, flags slotFlags) {
	s := m.shard
	m.entry.header().setAccess(p.cache.writtenMs(m.entry), false)
	s.changes[stripeOf(m.hash)]++
	number := s.publish(m.hash, m.ref, flags)
	if p.group != nil {
		p.group.hold(s, m.hash, number)
	} else {
		s.queue(number)
	}
	m.ref = 0 // the shard's now
}

// remove is bury for a member.
func (p *blockCommit) remove(m *blockMember) {
	s, c := m.shard, p.cache
	number, _ := s.find(m.hash, m.gen.id, m.update.Key.Name)
	tierMayKnow := m.was.mayKnow
	if number != 0 {
		tierMayKnow = s.slot(number).flags&(slotDirty|slotAlone) != slotAlone
	}
	if m.was.isLive {
		c.counters.invalidations.Add(1)
		m.gen.owner.counters.invalidations.Add(1)
	}
	if m.ref != 0 && tierMayKnow {
		p.put(m, slotDirty)
		return
	}
	if number != 0 {
		s.changes[stripeOf(m.hash)]++
		s.remove(number)
	}
	if m.ref != 0 {
		s.arena.Drop(m.ref)
		c.disclaim(m.takes)
		m.ref = 0
	}
}

// settle waits for what the durability asks for, and finishes the invalidations.
func (p *blockCommit) settle() error {
	c := p.cache
	for _, f := range p.flushes {
		if p.group == nil {
			f.namespace.flushing.Unlock()
		}
	}
	if len(p.flushes) > 0 {
		c.reaper.kick()
		c.housekeeper.kick()
	}
	finished := make(chan error, 1)
	if len(p.fences) > 0 {
		go func() {
			defer c.background.Done()
			finished <- p.finish()
		}()
	} else {
		c.background.Done()
		finished <- nil
	}
	c.evict() // tombstones may have exceeded the budget
	if p.group != nil && (p.group.sync || p.group.rejects) {
		select {
		case err := <-p.group.first:
			if err != nil {
				return err
			}
		case <-p.ctx.Done():
			return p.ctx.Err()
		}
	}
	select {
	case err := <-finished:
		return err
	case <-p.ctx.Done():
		return p.ctx.Err()
	}
}

// finish removes what the block's fences cover and then lowers them. Until then they hide
// it, in memory and in the tier.
func (p *blockCommit) finish() error {
	c := p.cache
	ctx := WithDurability(c.background.ctx, p.durability)
	var first error
	for _, f := range p.fences {
		in := &invalidation{cache: c, gen: f.gen, fence: f, seen: map[uint64]struct{}{}, durability: p.durability}
		err := in.sweepL1(ctx)
		if err == nil && p.group != nil {
			// The watermarks are in the tier once the group is.
			select {
			case <-p.group.over:
				if err = p.group.err; err == nil {
					err = in.removeMarked(ctx)
				}
			case <-ctx.Done():
				err = ctx.Err()
			}
		}
		in.countRemoved()
		if err != nil && f.gen != nil && f.gen.ended.Load() {
			err = nil // flushed meanwhile, which covers it
		}
		if err == nil {
			c.fences.lower(f)
		} else {
			c.abandonFence(f)
			if first == nil {
				first = c.tierError("invalidate", err)
			}
		}
	}
	return first
}
