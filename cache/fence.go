package cache

import (
	"bytes"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
)

// fence is an invalidation under way: until it has removed what it covers, records read
// from the tier are checked against it. Those below seq that it covers are invalid.
type fence struct {
	// seq is taken after the fence is up (I4): a write that did not see it took an earlier
	// one. Until then the fence covers everything.
	seq    atomic.Uint64
	gen    *generation // nil: all namespaces
	labels []Label     // or:
	ns     NamespaceID
	prefix []byte // not nil: keys of ns with this prefix
	all    bool   // or: everything

	load      *Load // not nil: of the keys with the prefix, what the load has staged
	number    int   // in its block
	masks     bool  // it hides what it covers in L1 too, until that is removed
	abandoned bool  // its invalidation failed; guarded by fences.mu
}

// sameAs reports that both cover the same keys and labels.
func (f *fence) sameAs(x *fence) bool {
	return f.all == x.all && f.ns == x.ns && (f.prefix == nil) == (x.prefix == nil) && bytes.Equal(f.prefix, x.prefix) && slices.Equal(f.labels, x.labels)
}

func (f *fence) sequence() Sequence { return Sequence(f.seq.Load()) }

func (f *fence) covers(r *Record) bool {
	if r.Seq >= f.sequence() || f.load != nil && !f.load.stages(r.Seq) {
		return false
	}
	if f.all {
		return true
	}
	if f.prefix != nil {
		return r.Namespace == f.ns && bytes.HasPrefix(r.Key, f.prefix)
	}
	for _, label := range f.labels {
		if (label.Namespace == 0 || label.Namespace == r.Namespace) && r.Attrs.HasLabel(label.Kind, label.Text) {
			return true
		}
	}
	return false
}

// watermarks are the fence as the tier remembers it.
func (f *fence) watermarks() []Watermark {
	if f.prefix != nil {
		return []Watermark{{Label{f.ns, Prefix, string(f.prefix)}, f.sequence()}}
	}
	w := make([]Watermark, len(f.labels))
	for i, label := range f.labels {
		w[i] = Watermark{Label: label, Seq: f.sequence()}
	}
	return w
}

// fenceOf is the fence of a watermark.
func fenceOf(w Watermark) *fence {
	f := &fence{}
	if w.Label.Kind == Prefix {
		f.ns, f.prefix = w.Label.Namespace, []byte(w.Label.Text)
	} else {
		f.labels = []Label{w.Label}
	}
	f.seq.Store(uint64(w.Seq))
	return f
}

// fences are the invalidations under way.
type fences struct {
	count  atomic.Int64
	global atomic.Uint64 // raised by every invalidation in all namespaces (I3)
	// masks is what hides entries of L1; nil: nothing.
	masks atomic.Pointer[masks]

	// undone counts the loads whose entries were removed unseen: who read one of those
	// before, and looks for its load afterwards, must read again.
	undone atomic.Uint64

	mu     sync.RWMutex
	active map[*fence]struct{}
	loads  []*Load // never changed, but replaced
}

// masks is what hides entries of L1.
type masks struct {
	fences []*fence
	loads  []*Load
}

func (f *fences) addLoad(l *Load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads = append(slices.Clone(f.loads), l)
	f.countLocked()
}

func (f *fences) removeLoad(l *Load) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.loads = slices.DeleteFunc(slices.Clone(f.loads), func(other *Load) bool { return other == l })
	f.countLocked()
}

// raise puts fences up, all at once. One of the same coverage whose invalidation failed is
// replaced.
func (f *fences) raise(list ...*fence) {
	if len(list) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for other := range f.active {
		if !other.abandoned {
			continue
		}
		for _, x := range list {
			if other.sameAs(x) {
				x.masks = x.masks || other.masks
				delete(f.active, other)
			}
		}
	}
	for _, x := range list {
		f.active[x] = struct{}{}
	}
	f.countLocked()
}

func (f *fences) lower(x *fence) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.active, x)
	f.countLocked()
}

// countLocked REQUIRES: f.mu held.
func (f *fences) countLocked() {
	f.count.Store(int64(len(f.active) + len(f.loads)))
	m := &masks{loads: f.loads}
	for x := range f.active {
		if x.masks {
			m.fences = append(m.fences, x)
		}
	}
	if len(m.fences)+len(m.loads) == 0 {
		m = nil
	}
	f.masks.Store(m)
}

// hide reports that an entry of L1 is hidden by an invalidation or a load under way.
func (m *masks) hide(e entry) bool {
	header := e.header()
	if header.tombstone {
		return false
	}
	if stagedBy(m.loads, header.seq) {
		return true
	}
	r := Record{Namespace: header.namespace, Key: e.key(), Seq: header.seq, Attrs: e.attrs()}
	return slices.ContainsFunc(m.fences, func(f *fence) bool { return f.covers(&r) })
}

// stagedNow is the loads whose entries are not visible at the moment.
func (f *fences) stagedNow() []*Load {
	if m := f.masks.Load(); m != nil {
		return m.loads
	}
	return nil
}

func stagedBy(loads []*Load, seq Sequence) bool {
	return slices.ContainsFunc(loads, func(l *Load) bool { return l.stages(seq) })
}

// abandonedFencesMax bounds the fences of invalidations that failed, each of which a read
// of the tier looks at. Of more, those of the namespace that has the most become one that
// covers all of the namespace, or those of all namespaces one that covers everything: what
// was written before is a miss until they have been made up for.
const abandonedFencesMax = 256

// abandon leaves a fence up until its invalidation has been made up for. If that is one too
// many, it returns the fence that has taken the place of several.
func (f *fences) abandon(x *fence) (merged *fence) {
	f.mu.Lock()
	defer f.mu.Unlock()
	x.abandoned = true
	abandoned, most := 0, []*fence(nil)
	byGeneration := map[*generation][]*fence{}
	for other := range f.active {
		if !other.abandoned || other.load != nil {
			continue
		}
		abandoned++
		list := append(byGeneration[other.gen], other)
		if byGeneration[other.gen] = list; len(list) > len(most) {
			most = list
		}
	}
	if abandoned <= abandonedFencesMax {
		return nil
	}
	merged = &fence{gen: most[0].gen, abandoned: true}
	if merged.gen != nil && len(most) > 1 {
		merged.ns, merged.prefix = merged.gen.id, []byte{}
	} else { // too many of all namespaces, or one each of too many
		merged.gen, merged.all, most = nil, true, most[:0]
		for _, list := range byGeneration {
			most = append(most, list...)
		}
	}
	for _, other := range most {
		merged.seq.Store(max(merged.seq.Load(), other.seq.Load()))
		merged.masks = merged.masks || other.masks
		delete(f.active, other)
	}
	f.active[merged] = struct{}{}
	f.countLocked()
	return merged
}

// anyAbandoned is one abandoned fence, nil if there is none.
func (f *fences) anyAbandoned() *fence {
	if f.count.Load() == 0 {
		return nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	for x := range f.active {
		if x.abandoned {
			return x
		}
	}
	return nil
}

// raised is the fences that were up at one time.
type raised []*fence

// snapshot is the fences that are up.
func (f *fences) snapshot() raised {
	if f.count.Load() == 0 {
		return nil
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Collect(maps.Keys(f.active))
}

// covers reports that one of them covers a record that was read since: it may come from
// before its removal.
func (u raised) covers(r *Record) bool {
	return slices.ContainsFunc(u, func(f *fence) bool { return f.covers(r) })
}

// covers reports that an invalidation under way covers the record.
func (f *fences) covers(r *Record) bool {
	if f.count.Load() == 0 {
		return false
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	if stagedBy(f.loads, r.Seq) {
		return true
	}
	for x := range f.active {
		if x.covers(r) {
			return true
		}
	}
	return false
}

// coversBefore reports that an invalidation that began before x's covers the record: it
// is that one's to count.
func (f *fences) coversBefore(x *fence, r *Record) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	for other := range f.active {
		if other.sequence() < x.sequence() && other.covers(r) {
			return true
		}
	}
	return false
}

// mark is a moment in a key's history: what was read of the key since then is current as
// long as the mark holds (I3).
type mark struct {
	change     uint32
	fence, all uint64
}

// markOf takes a mark. REQUIRES: s.mu held, shared at least.
func (s *shard) markOf(hash uint64, gen *generation) mark {
	return mark{s.changes[stripeOf(hash)], gen.fence.Load(), s.cache.fences.global.Load()}
}

// holds reports that nothing happened to the key since. REQUIRES: s.mu held.
func (s *shard) holds(m mark, hash uint64, gen *generation) bool {
	return !gen.ended.Load() && m == s.markOf(hash, gen)
}
