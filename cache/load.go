package cache

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync/atomic"
)

// ErrNoTier: without a durable tier there is no room for what a Load stages.
var ErrNoTier = errors.New("cache: there is no durable tier to stage a load in")

// Load is a bulk load: entries that are staged in the durable tier, where nobody sees them,
// and become visible together by Commit. What a load stages over an entry that is there
// hides that one: it is a miss until Commit, and gone after Abort. A Load belongs to one
// goroutine.
//
// Staged entries have sequences of their own ranges. As long as a range is staged, readers
// take its entries for absent; the tier remembers the ranges as watermarks of kind Staged,
// each written together with its entries, and forgets all of them by one commit.
type Load struct {
	cache  *Cache
	ranges atomic.Pointer[[]seqRange] // sorted
	gens   map[*generation]struct{}
	names  map[string]struct{}
	last   *group
	isOver bool

	rejected atomic.Bool // the tier did not store some entry
}

// seqRange is first..last.
type seqRange struct{ first, last Sequence }

// NewLoad begins a load.
func (c *Cache) NewLoad() (*Load, error) {
	if c.config.Tier == nil {
		return nil, ErrNoTier
	}
	if c.closed.Load() {
		return nil, ErrClosed
	}
	l := &Load{cache: c, gens: map[*generation]struct{}{}, names: map[string]struct{}{}}
	l.ranges.Store(&[]seqRange{})
	c.fences.addLoad(l)
	return l, nil
}

// stages reports that an entry of this sequence is staged.
func (l *Load) stages(seq Sequence) bool {
	ranges := *l.ranges.Load()
	i, found := slices.BinarySearchFunc(ranges, seq, func(r seqRange, seq Sequence) int {
		switch {
		case r.last < seq:
			return -1
		case r.first > seq:
			return 1
		}
		return 0
	})
	return found && ranges[i].first <= seq
}

// stage adds a range. It is called before the first entry of the range is published.
func (l *Load) stage(r seqRange) {
	ranges := append(slices.Clone(*l.ranges.Load()), r)
	l.ranges.Store(&ranges)
}

// watermark is what the tier remembers of a range.
func (r seqRange) watermark() Watermark {
	return Watermark{Label{Kind: Staged, Text: string(binary.BigEndian.AppendUint64(nil, uint64(r.first)))}, r.last}
}

func rangeOf(w Watermark) seqRange {
	if len(w.Label.Text) != 8 {
		return seqRange{}
	}
	return seqRange{Sequence(binary.BigEndian.Uint64([]byte(w.Label.Text))), w.Seq}
}

// Add stages entries, of different keys, together. An update sees the entry that others
// see, and KeyUpdate.IsStaged if the load has staged the key before. Errors: those of
// Commit, but it waits for a tier that does not keep up.
func (l *Load) Add(ctx context.Context, updates []KeyUpdate) error {
	for {
		if l.rejected.Load() {
			return ErrTierFull
		}
		err := l.cache.commitBlock(WithDurability(ctx, DurabilityInterval), &Block{Updates: updates}, l)
		if !errors.Is(err, ErrTierBusy) {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// wait waits until the tier has all that was staged.
func (l *Load) wait(ctx context.Context) error {
	if l.last == nil {
		return nil
	}
	select {
	case <-l.last.over:
		if l.rejected.Load() {
			return ErrTierFull
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Commit makes all that was staged visible. On error nothing is, and Abort is to be
// called. With DurabilityAlways it returns when that is durable; ErrTierIO then means that
// it is visible and may not survive a crash.
func (l *Load) Commit(ctx context.Context) error {
	c := l.cache
	if err := l.wait(ctx); err != nil {
		return err
	}
	if err := c.enterBackground(); err != nil {
		return err
	}
	defer c.background.Done()
	l.isOver = true
	c.fences.removeLoad(l)
	for name := range l.names {
		c.emit(EventNamespace, []byte(name), nil, nil)
	}
	g := &group{cache: c, first: make(chan error, 1), over: make(chan struct{}), sync: c.durability(ctx) == DurabilityAlways}
	g.commit.Drops = l.watermarks()
	c.groups.add(g)
	if !g.sync {
		return nil
	}
	select {
	case err := <-g.first:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *Load) watermarks() (list []Watermark) {
	for _, r := range *l.ranges.Load() {
		list = append(list, r.watermark())
	}
	return list
}

// Abort drops what was staged, in the background. After Commit it does nothing.
func (l *Load) Abort() {
	c := l.cache
	if l.isOver || c.enterBackground() != nil {
		return // at the next start it is dropped
	}
	l.isOver = true
	go func() {
		defer c.background.Done()
		l.remove(c.background.ctx)
	}()
}

// remove removes what is staged from both tiers, and then forgets that it was. When it
// fails, the entries stay hidden until the next start.
func (l *Load) remove(ctx context.Context) {
	c := l.cache
	if err := l.wait(ctx); err != nil && !errors.Is(err, ErrTierFull) {
		return
	}
	for gen := range l.gens {
		if gen.ended.Load() {
			continue
		}
		f := &fence{gen: gen, ns: gen.id, prefix: []byte{}, load: l}
		f.seq.Store(fenceUnordered)
		in := &invalidation{cache: c, gen: gen, fence: f, seen: map[uint64]struct{}{}, durability: DurabilityOff}
		err := in.sweepL1(ctx)
		if err == nil {
			err = in.removeFromTier(ctx)
		}
		if err != nil {
			if ctx.Err() == nil {
				c.logger.Error("cannot remove what an aborted load has staged; it stays invisible", "error", err)
			}
			return
		}
	}
	if err := c.config.Tier.DropWatermarks(ctx, l.watermarks()); err == nil {
		c.fences.undone.Add(1)
		c.fences.removeLoad(l)
	}
}

// restoreLoads hides and removes what loads had staged that a crash cut short.
func (c *Cache) restoreLoads(ctx context.Context, marks []Watermark) {
	if len(marks) == 0 {
		return
	}
	l := &Load{cache: c, gens: map[*generation]struct{}{}, isOver: true}
	var ranges []seqRange
	for _, w := range marks {
		ranges = append(ranges, rangeOf(w))
	}
	slices.SortFunc(ranges, func(a, b seqRange) int { return int(int64(a.first) - int64(b.first)) })
	l.ranges.Store(&ranges)
	c.namespaces.byID.Range(func(_, gen any) bool {
		l.gens[gen.(*generation)] = struct{}{}
		return true
	})
	c.fences.addLoad(l)
	c.background.Go(func() { l.remove(ctx) })
}

// isStagedBy reports that the load has staged the member's key before.
func (m *blockMember) isStagedBy(ctx context.Context, l *Load) (bool, error) {
	s := m.shard
	s.mu.RLock()
	number, e := s.find(m.hash, m.gen.id, m.update.Key.Name)
	isStaged := number != 0 && !e.header().tombstone && l.stages(e.header().seq)
	s.mu.RUnlock()
	if isStaged || number != 0 {
		return isStaged, nil
	}
	var r Record
	ok, err := l.cache.config.Tier.Get(ctx, m.gen.id, m.update.Key.Name, false, &r)
	if err != nil {
		return false, l.cache.tierError("read", err)
	}
	return ok && l.stages(r.Seq), nil
}
