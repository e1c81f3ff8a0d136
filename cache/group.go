package cache

import (
	"context"
	"slices"
	"sync"

	"pgcache/cache/arena"
)

// group is a block on its way to the tier, which it reaches by one commit (I8). Its
// entries are dirty until then, and what is written to their keys meanwhile waits for it.
type group struct {
	cache   *Cache
	commit  TierCommit
	members []groupMember // one for each of commit.Ops
	flushes []blockFlush  // of commit.Namespaces; their flushing locks are held
	sync    bool
	always  bool // all of it is to be durable
	rejects bool // a put that the tier rejects is an error
	removes bool // it deletes or invalidates something

	load  *Load         // it stages a part of it; nil: none
	first chan error    // buffered 1: how the first try ended
	over  chan struct{} // closed when the tier has it or, with err set, it was dissolved
	err   error

	mu struct {
		sync.Mutex
		isOver bool
		// deferred are dirty keys of generations that begin with this group.
		deferred []dirtyKey
	}
}

// groupMember is one entry of a group, pinned.
type groupMember struct {
	dirtyKey
	seq   Sequence
	chunk *arena.Chunk
	ref   arena.Ref
	// isCrossed: an older write of the key was on its way to the tier when the group was
	// published, and may get there after it. The entry then stays dirty and is written once
	// more, behind that write: else the older one would come to life in the tier if the
	// group's was removed from there before it arrives.
	isCrossed bool
}

func newGroup(p *blockCommit) *group {
	g := &group{cache: p.cache, flushes: p.flushes, first: make(chan error, 1), over: make(chan struct{})}
	g.always = p.durability == DurabilityAlways
	g.rejects = g.always || p.bytes.passing > 0 && p.load == nil
	g.removes = len(p.fences)+len(p.flushes) > 0
	for i := range p.members {
		g.removes = g.removes || p.members[i].verdict == Remove
	}
	g.sync = g.always || g.removes && p.durability != DurabilityOff
	return g
}

// hold adds the entry in a slot that was just published. REQUIRES: s.mu held.
func (g *group) hold(s *shard, hash uint64, number uint32) {
	e := s.entryOf(number)
	header := e.header()
	ref := s.slot(number).ref()
	_, isCrossed := s.inHand[hash]
	s.held[hash]++
	g.members = append(g.members, groupMember{dirtyKey{s, hash}, header.seq, s.arena.Pin(ref), ref, isCrossed})
	op := TierOp{Record: Record{Namespace: header.namespace, Key: e.key(), Seq: header.seq}}
	if header.tombstone {
		op.Delete = true
	} else {
		op.Record.Attrs, op.Record.Value, op.Record.ValueLen = e.attrs(), e.value(), int64(header.valueLen)
		op.Record.LastAccessMs = header.lastAccessMs()
	}
	g.commit.Ops = append(g.commit.Ops, op)
}

// addInvalidations adds watermarks and new generations.
func (g *group) addInvalidations(p *blockCommit) {
	for _, f := range p.fences {
		g.commit.Watermarks = append(g.commit.Watermarks, f.watermarks()...)
	}
	for _, f := range p.flushes {
		g.commit.Namespaces = append(g.commit.Namespaces, NamespaceChange{Row: f.namespace.row(f.next), Old: f.old.id})
	}
}

// deferKey takes over a dirty key whose generation begins with this group, unless that is
// in the tier already. REQUIRES: the shard's mu held.
func (g *group) deferKey(key dirtyKey) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.isOver {
		return false
	}
	g.mu.deferred = append(g.mu.deferred, key)
	return true
}

// groupFlusher writes groups to the tier one after the other, in the order in which they
// were published.
type groupFlusher struct {
	flusher
	groups []*group // guarded by flusher.mu
}

// add queues a group.
func (f *groupFlusher) add(g *group) {
	f.mu.Lock()
	f.groups = append(f.groups, g)
	f.queued++
	f.busy = true
	f.mu.Unlock()
	select {
	case f.work <- struct{}{}:
	default:
	}
}

// next returns the first groups, as many as one commit may take, without taking them off
// the queue. Those who wait for them share its sync.
func (f *groupFlusher) next() []*group {
	f.mu.Lock()
	defer f.mu.Unlock()
	n, ops := 0, 0
	for n < len(f.groups) && n < groupsPerCommit && (n == 0 || ops+len(f.groups[n].commit.Ops) <= flushKeysMax) {
		ops += len(f.groups[n].commit.Ops)
		n++
	}
	return slices.Clone(f.groups[:n])
}

// groupsPerCommit bounds how many groups are written at once.
const groupsPerCommit = 64

// pass notes how a try ended and takes the groups that are over off the queue.
func (f *groupFlusher) pass(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err != nil {
		f.failures++
	}
	before := len(f.groups)
	f.groups = slices.DeleteFunc(f.groups, (*group).isOver)
	f.done += int64(before - len(f.groups))
	f.busy = len(f.groups) > 0
}

func (g *group) isOver() bool {
	select {
	case <-g.over:
		return true
	default:
		return false
	}
}

func (f *groupFlusher) run(ctx context.Context) {
	f.loop(ctx, func() (bool, error) {
		groups := f.next()
		if len(groups) == 0 {
			return false, nil
		}
		err := f.write(ctx, groups)
		f.pass(err)
		return true, err
	})
}

// write tries to write groups by one commit and notes the outcome.
func (f *groupFlusher) write(ctx context.Context, groups []*group) (err error) {
	var commit TierCommit
	sync := false
	for _, g := range groups {
		if err = g.saveOlder(ctx); err != nil {
			break
		}
		commit.Namespaces = append(commit.Namespaces, g.commit.Namespaces...)
		commit.Watermarks = append(commit.Watermarks, g.commit.Watermarks...)
		commit.Drops = append(commit.Drops, g.commit.Drops...)
		commit.Ops = append(commit.Ops, g.commit.Ops...)
		sync = sync || g.sync
	}
	if err == nil {
		err = f.cache.config.Tier.Commit(ctx, &commit, sync)
	}
	if err != nil {
		err = f.cache.tierError("commit", err)
	}
	ops := commit.Ops
	for _, g := range groups {
		if err == nil {
			ops = ops[copy(g.commit.Ops, ops):]
		}
		g.settle(err)
	}
	return err
}

// settle notes the outcome of a try. A group of puts that fails is tried again as it is,
// unless its caller waits to be told. One that removes something, or whose caller is told,
// is dissolved: what it wrote then gets to the tier like any other write after an error.
func (g *group) settle(err error) {
	outcome := err
	if g.load != nil && err == nil && slices.ContainsFunc(g.commit.Ops, func(op TierOp) bool { return op.Rejected && !op.Delete }) {
		g.load.rejected.Store(true)
	}
	isOver := err == nil || g.sync || g.removes
	for i := range g.members {
		g.members[i].settle(g, &g.commit.Ops[i], err, isOver)
		if op := &g.commit.Ops[i]; err == nil && g.rejects && op.Rejected && !op.Delete {
			outcome = ErrTierFull
		}
	}
	g.settleGenerations(err)
	if isOver {
		g.err = err
		close(g.over)
		g.members, g.commit = nil, TierCommit{}
	}
	select {
	case g.first <- outcome:
	default:
	}
}

// saveOlder makes up for flushes that failed, of generations that the group writes to, its
// own among them when a first try has failed.
func (g *group) saveOlder(ctx context.Context) error {
	for i := range g.commit.Ops {
		gen := g.cache.generation(g.commit.Ops[i].Record.Namespace)
		if gen == nil || gen.replaces.Load() == 0 || gen.writtenBy.Load() != nil {
			continue
		}
		if err := g.cache.saveGenerations(ctx, gen); err != nil {
			return err
		}
	}
	return nil
}

// settleGenerations ends the group's hold on the namespaces it flushes. After a failure
// they are made up for like any failed flush, so that nobody has to wait for the group:
// the group then is all or nothing but for them, and its caller was told that it failed.
func (g *group) settleGenerations(err error) {
	c := g.cache
	if g.flushes == nil {
		return
	}
	for _, f := range g.flushes {
		if err == nil {
			f.next.replaces.Store(0)
			c.namespaces.unsaved.Add(-1)
		}
		f.next.writtenBy.Store(nil)
		f.namespace.flushing.Unlock()
	}
	g.flushes, g.commit.Namespaces = nil, nil
	g.mu.Lock()
	deferred := g.mu.deferred
	g.mu.isOver, g.mu.deferred = true, nil
	g.mu.Unlock()
	for _, key := range deferred {
		key.shard.mu.Lock()
		key.shard.enqueueDirty(key.hash)
		key.shard.mu.Unlock()
	}
}

// settle notes the outcome for one entry, and ends the group's hold on it if it is over.
func (m *groupMember) settle(g *group, op *TierOp, err error, isOver bool) {
	s := m.shard
	s.mu.Lock()
	defer s.leave()
	number := s.lookup(m.hash)
	isCurrent := number != 0 && s.entryOf(number).header().seq == m.seq && s.slot(number).flags&slotDirty != 0
	if err != nil {
		s.wake(m.hash, err)
		if isCurrent {
			s.setAlone(number, s.entryOf(number), false) // the tier may have applied it all the same
		}
	}
	if !isOver {
		return
	}
	defer s.unpinLocked(m.chunk, m.ref)
	if s.held[m.hash]--; s.held[m.hash] == 0 {
		delete(s.held, m.hash)
	}
	if err != nil {
		s.enqueueDirty(m.hash)
		return
	}
	if !isCurrent {
		s.enqueueDirty(m.hash) // what was written since has waited for this
		return
	}
	if g.cache.generation(s.entryOf(number).header().namespace) == nil {
		s.remove(number) // flushed meanwhile: nobody can reach it, in any tier
		s.wakeWhenSaved(m.hash)
		return
	}
	if m.isCrossed || !g.sync && s.isSyncAwaited(m.hash) {
		s.enqueueDirty(m.hash)
		return
	}
	if op.Rejected && !op.Delete {
		s.wakeRejected(m.hash)
	} else {
		s.wake(m.hash, nil)
	}
	if op.Delete {
		s.remove(number)
		return
	}
	s.clean(number, s.entryOf(number), op, false)
}

// enqueueDirty hands a dirty key to its flusher if nobody else has it in hand.
// REQUIRES: s.mu held.
func (s *shard) enqueueDirty(hash uint64) {
	number := s.lookup(hash)
	if number != 0 && s.slot(number).flags&slotDirty != 0 && s.held[hash] == 0 {
		s.enqueue(number)
	}
}
