package cache

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"pgcache/cache/arena"
)

// Block is a set of changes that become visible together, see Commit.
type Block struct {
	// Invalidations come before the updates: an update sees nothing of what they cover, and
	// what it writes stays.
	Invalidations []Invalidation
	// Updates are of different keys.
	Updates []KeyUpdate
}

// KeyUpdate is one key's part of a Block.
type KeyUpdate struct {
	Key Key
	// NeedValue asks that the value of the old entry be loaded for Update.
	NeedValue bool
	// IsAfresh hides the old entry from Update: it is gone before, and its version too.
	IsAfresh bool
	// After says that the last so many Invalidations come after the update: they do not
	// hide the old entry from it, nor do they cover what it writes.
	After int
	// Update decides what is done, from the entry that the key has when the block commits.
	Update UpdateFunc

	Result Result // set by Commit
	// IsStaged is set by Load.Add before it calls Update: the load has staged the key before.
	IsStaged bool
}

// Coverage says what kind of entries an Invalidation covers.
type Coverage uint8

const (
	CoverPrefix       Coverage = iota // of Namespace, whose keys begin with Prefix
	CoverTags                         // of Namespace, with any of Labels as a tag
	CoverDependencies                 // of Namespace (nil: of all), with any of Labels as a dependency
	CoverNamespace                    // all of Namespace (nil: of all)
)

// Invalidation deletes what it covers. A namespace that does not exist covers nothing.
type Invalidation struct {
	Coverage  Coverage
	Namespace []byte
	Prefix    []byte
	Labels    []string
}

// blockKeyBytes is what a key of a block costs beside its entry until the block is in the
// durable tier.
const blockKeyBytes = 256

// blockCommit is a Block on its way: first prepared, with nothing locked; then published,
// with the shards of its keys locked, so that it is visible all at once (I7); then, with a
// durable tier, a group that is written by one commit (I8).
type blockCommit struct {
	cache      *Cache
	block      *Block
	load       *Load // nil: none
	ctx        context.Context
	durability Durability

	members []blockMember
	bytes   cost     // claimed by members
	shards  []*shard // locked for publication, in order of number
	flushes []blockFlush
	fences  []*fence
	group   *group // nil without a durable tier
}

// blockMember is one key.
type blockMember struct {
	update  *KeyUpdate
	gen     *generation
	hash    uint64
	shard   *shard
	was     before
	isNew   bool // gen begins with this block: nobody else can have written the key
	isReady bool // prepared, and nothing is known to have happened since
	verdict Verdict

	// The chunk to publish; ref is 0 if there is none. size is reserved for it.
	ref   arena.Ref
	entry entry
	takes cost
	lease int64
	// isTransient: it exceeds its namespace's quota of L1, and leaves L1 once the tier has it.
	isTransient bool
}

// blockFlush is a namespace that the block flushes. Its flushing lock is held.
type blockFlush struct {
	namespace *namespace
	old, next *generation
}

// Commit makes all changes of a block, or none: whoever sees one of them sees all, and
// after a crash either all are there or none (entries may be missing as always, evicted or
// expired). The updates decide from the entries at that moment; an error of one of them
// ends the commit, changes nothing and is returned as it is. Deletes and invalidations are
// durable when Commit returns, puts as Config.Durability says. Errors: those of Update,
// *LimitError when the block is too large for the memory tier. After ErrTierIO, ErrTierFull
// and a context's error that came while waiting for the durable tier, the block is visible.
func (c *Cache) Commit(ctx context.Context, b *Block) error { return c.commitBlock(ctx, b, nil) }

// commitBlock is Commit or, with a load, Load.Add.
func (c *Cache) commitBlock(ctx context.Context, b *Block, l *Load) error {
	p := &blockCommit{cache: c, block: b, ctx: ctx, durability: c.durability(ctx), load: l}
	if len(b.Updates) == 0 && len(b.Invalidations) == 0 {
		return c.closedError()
	}
	for i := range b.Updates {
		if err := c.checkKey(b.Updates[i].Key); err != nil {
			return err
		}
	}
	p.members = make([]blockMember, len(b.Updates))
	for i := range b.Updates {
		p.members[i].update = &b.Updates[i]
	}
	watch := c.startWatch()
	for {
		err := p.try()
		if err == nil {
			c.stopWatch(watch, OpCommit)
		}
		if err != errChanged {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// try is one round: errChanged means that something else came in between. What is prepared
// of keys to which nothing happened is kept for the next round.
func (p *blockCommit) try() (err error) {
	c := p.cache
	if c.closed.Load() {
		return ErrClosed
	}
	isPublished := false
	defer func() {
		if !isPublished {
			p.giveUp(err == errChanged)
		}
	}()
	if err := p.cover(p.block.Invalidations); err != nil {
		return err
	}
	if err := p.prepare(); err != nil {
		return err
	}
	if err := c.enterBackground(); err != nil {
		return err
	}
	if err := p.publish(); err != nil {
		c.background.Done()
		c.countRefusal(err)
		return err
	}
	isPublished = true
	return p.settle()
}

// giveUp releases what an unpublished round holds: all of it, unless there is another round.
func (p *blockCommit) giveUp(isRound bool) {
	for i := range p.members {
		// Those of new generations cannot be kept: the next round will make others.
		if m := &p.members[i]; !isRound || !m.isReady || m.isNew {
			p.drop(m)
		}
	}
	for _, f := range p.flushes {
		p.cache.namespaces.byID.Delete(f.next.id)
		f.namespace.flushing.Unlock()
	}
	p.flushes, p.fences = nil, nil
}

// drop gives a member's memory back and forgets what was prepared.
func (p *blockCommit) drop(m *blockMember) {
	if m.ref != 0 {
		m.shard.mu.Lock()
		m.shard.arena.Drop(m.ref)
		m.shard.leave()
		p.cache.disclaim(m.takes)
		p.bytes.l1 -= m.takes.l1
		p.bytes.passing -= m.takes.passing
	}
	*m = blockMember{update: m.update}
}

// cover makes fences of the invalidations, which are not up yet, and new generations for
// the namespaces to flush, whose flushing locks it takes.
func (p *blockCommit) cover(list []Invalidation) error {
	c := p.cache
	p.fences = nil
	names := map[string]bool{}
	for i := range list {
		switch x := &list[i]; {
		case x.Coverage != CoverNamespace:
		case x.Namespace != nil:
			names[string(x.Namespace)] = true
		default:
			for name := range c.namespaces.all() {
				names[name] = true
			}
		}
	}
	if err := p.lockNamespaces(names); err != nil {
		return err
	}
	for i := range list {
		x := &list[i]
		if x.Coverage == CoverNamespace || x.Namespace != nil && names[string(x.Namespace)] {
			continue
		}
		f := &fence{masks: true, number: i}
		if x.Namespace != nil || x.Coverage != CoverDependencies {
			if f.gen = c.generationOf(x.Namespace); f.gen == nil {
				continue
			}
		}
		switch x.Coverage {
		case CoverPrefix:
			f.ns, f.prefix = f.gen.id, append([]byte{}, x.Prefix...)
		case CoverTags:
			f.labels = labelsOf(f.gen.id, Tag, x.Labels)
		case CoverDependencies:
			id := NamespaceID(0)
			if f.gen != nil {
				id = f.gen.id
			}
			f.labels = labelsOf(id, Dependency, x.Labels)
		}
		if f.prefix != nil || len(f.labels) > 0 {
			f.seq.Store(fenceUnordered)
			p.fences = append(p.fences, f)
		}
	}
	return nil
}

// lockNamespaces takes the flushing locks of namespaces, in order of name.
func (p *blockCommit) lockNamespaces(names map[string]bool) error {
	c := p.cache
	var found []*namespace
	for name := range names {
		if ns := c.namespaces.find([]byte(name)); ns != nil {
			found = append(found, ns)
		}
	}
	slices.SortFunc(found, func(a, b *namespace) int { return strings.Compare(a.name, b.name) })
	for _, ns := range found {
		ns.flushing.Lock()
		old := ns.current.Load()
		if old.ended.Load() {
			ns.flushing.Unlock() // dropped as empty just now
			continue
		}
		next := &generation{id: NamespaceID(c.nextSeq()), number: old.number + 1, owner: ns}
		c.namespaces.byID.Store(next.id, next) // entries find their generation by its id
		p.flushes = append(p.flushes, blockFlush{ns, old, next})
		// An earlier flush that failed comes first, so that this block's commit has only one to tell of.
		if err := c.saveGeneration(p.ctx, old); err != nil {
			return c.tierError(fmt.Sprintf("flush namespace %q", ns.name), err)
		}
	}
	return nil
}

// generationFor is the generation that a key of the block belongs to.
func (p *blockCommit) generationFor(namespace []byte) (gen *generation, isNew bool) {
	for _, f := range p.flushes {
		if f.namespace.name == string(namespace) {
			return f.next, true
		}
	}
	return p.cache.generationOf(namespace), false
}

// prepare decides what becomes of each key and makes its chunk, for those that are not ready.
func (p *blockCommit) prepare() error {
	c := p.cache
	w := c.writers.Get().(*writer)
	defer func() {
		w.old.Release()
		w.draft = Draft{}
		c.writers.Put(w)
	}()
	for i := range p.members {
		m := &p.members[i]
		if m.isReady {
			continue
		}
		p.drop(m)
		w.needValue = m.update.NeedValue
		err := p.prepareMember(m, w)
		w.old.Release()
		if err != nil {
			c.countRefusal(err)
			return err
		}
		m.isReady = true
	}
	return nil
}

// bytesMax bounds a block: it must fit memory at once, and with a durable tier what may
// wait for it.
func (p *blockCommit) bytesMax() int64 { return p.cache.BlockBytesMax() }

// BlockBytesMax is how much memory the entries of one block may take.
func (c *Cache) BlockBytesMax() int64 {
	if c.config.Tier != nil {
		return c.config.DirtyBytesMax
	}
	return c.config.L1BytesMax / 2
}

func (p *blockCommit) prepareMember(m *blockMember, w *writer) error {
	c, k := p.cache, m.update.Key
	m.gen, m.isNew = p.generationFor(k.Namespace)
	p.place(m)
	for {
		old, err := p.before(m, w)
		if err != nil {
			return err
		}
		w.draft = NewDraft(nil)
		if old != nil {
			w.draft = draftOf(old)
		}
		m.verdict, err = m.update.Update(old, &w.draft)
		if err != nil {
			return err
		}
		m.update.Result = Result{Existed: old != nil, Verdict: m.verdict}
		switch m.verdict {
		case Leave:
			return nil
		case Remove:
			return p.prepareRemove(m, old)
		}
		made, needOld, err := c.compose(w.scratch[:0], limitsOf(m.gen), old, &w.draft, c.clock.ms())
		if err != nil {
			return err
		}
		if needOld {
			w.needValue = true
			w.old.Release()
			continue
		}
		w.scratch = made.attrs
		if m.gen == nil {
			if m.gen, err = c.openNamespace(p.ctx, k.Namespace); err != nil {
				return err
			}
			p.place(m)
			m.was.mark = c.markNow(m.gen, k.Name)
		}
		return p.allocate(m, made)
	}
}

// place finds the shard of the member's key.
func (p *blockCommit) place(m *blockMember) {
	if m.gen != nil {
		m.hash = p.cache.hash(m.gen.id, m.update.Key.Name)
		m.shard = p.cache.shardOf(m.hash)
	}
}

// before reads the key's entry into w.old; nil if there is none, or if the block itself
// invalidates it.
func (p *blockCommit) before(m *blockMember, w *writer) (*Hit, error) {
	m.was = before{}
	if m.isNew || m.gen == nil {
		return nil, nil
	}
	var err error
	if p.load != nil {
		if m.update.IsStaged, err = m.isStagedBy(p.ctx, p.load); err != nil {
			return nil, err
		}
	}
	if m.was, err = p.cache.before(p.ctx, m.gen, m.update.Key.Name, w); err != nil || !m.was.isLive {
		return nil, err
	}
	r := Record{Namespace: m.gen.id, Key: m.update.Key.Name, Seq: w.old.seq, Attrs: w.old.attrs}
	before := len(p.block.Invalidations) - m.update.After
	isCovered := func(f *fence) bool { return f.number < before && f.covers(&r) }
	if m.update.IsAfresh || m.update.IsStaged || slices.ContainsFunc(p.fences, isCovered) {
		w.old.Release()
		m.was.isLive, m.was.hidden = false, true
		return nil, nil
	}
	return &w.old, nil
}

// prepareRemove makes the tombstone, if one can be needed.
func (p *blockCommit) prepareRemove(m *blockMember, old *Hit) error {
	if m.gen == nil || p.cache.config.Tier == nil || old == nil && !m.was.hidden {
		return nil
	}
	return p.allocate(m, composed{})
}

// checkBytes refuses an entry that is one too many for the block, or too large.
func (p *blockCommit) checkBytes(takes cost) error {
	c := p.cache
	if most := c.config.L1BytesMax / 2; takes.l1 > most {
		return &LimitError{What: "entry", Unit: "bytes", Got: takes.l1, Max: most, Setting: "l1_bytes"}
	}
	if n, most := p.bytes.l1+takes.l1, p.bytesMax(); n > most {
		return &LimitError{What: "transaction", Unit: "bytes", Got: n, Max: most, Setting: "l1_bytes"}
	}
	if n, most := p.bytes.passing+takes.passing, c.config.L1BytesMax/passingShare; n > most && p.bytes.passing > 0 && takes.passing > 0 {
		return &LimitError{What: "transaction", Unit: "bytes", Got: n, Max: most, Setting: "l1_bytes"}
	}
	return nil
}

// allocate reserves room for the member's entry, or tombstone, and fills it.
func (p *blockCommit) allocate(m *blockMember, made composed) error {
	c, key := p.cache, m.update.Key.Name
	length := entryBytes(len(key), len(made.attrs), len(made.value))
	takes := c.costOf(length, slotOverheadBytes)
	if m.verdict == Write {
		takes = c.costOf(length, overheadOf(made.attrs))
	}
	if err := p.checkBytes(takes); err != nil {
		return err
	}
	if m.verdict == Write {
		fits, err := c.checkQuotas(m.gen, takes)
		if err != nil {
			return err
		}
		m.isTransient = !fits || !c.makeQuotaRoom(m.gen, takes.l1, m.shard)
	}
	if c.config.Tier != nil {
		if err := c.waitClean(p.ctx, p.bytes.l1+takes.l1); err != nil {
			return err
		}
	}
	if err := c.claim(p.ctx, takes); err != nil {
		return err
	}
	ref, e, err := m.shard.allocate(length)
	if err != nil {
		c.disclaim(takes)
		return err
	}
	m.shard.mu.Unlock()
	// The chunk is the block's alone until it is published.
	e.fill(m.gen.id, key, made.attrs, made.value)
	e.header().tombstone = m.verdict == Remove
	m.ref, m.entry, m.takes, m.lease = ref, e, takes, made.lease
	p.bytes.l1 += takes.l1
	p.bytes.passing += takes.passing
	return nil
}
