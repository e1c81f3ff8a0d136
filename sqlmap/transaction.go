package sqlmap

import (
	"bytes"
	"context"
	"slices"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// change is one write of one key. It may be applied several times, each time to the entry
// the key has then (nil: none).
type change struct {
	key cache.Key
	env *query.Env
	// apply edits a draft equal to old; see cache.UpdateFunc.
	apply func(e *query.Env, old query.Row, d *cache.Draft) (cache.Verdict, error)
	// needValue: apply looks at the old payload.
	needValue bool
	bytes     int64  // what it holds, in a transaction
	value     []byte // the payload it brings, counted in bytes
}

// transaction is what a session has pending (S4).
type transaction struct {
	isOpen    bool // explicit or implicit
	hasFailed bool // implicit, to be rolled back at the end of the cycle
	began     time.Time

	pending       []*pendingKey // in the order of their first change
	byKey         map[string]*pendingKey
	invalidations []cache.Invalidation
	bytes         int64
	scratch       []byte

	savepoints []savepoint
	undo       []undo // since the first savepoint
}

// pendingKey is a key changed in the transaction: its entry as the transaction sees it,
// and how it came about.
type pendingKey struct {
	key     cache.Key
	changes []change
	draft   cache.Draft
	row     draftRow
	// existed: the transaction saw a live entry before its first change.
	existed bool
	// isDeleted: there is no entry. Without changes, it is deleted whatever is there.
	isDeleted bool
	// isAfresh: it was deleted before changes, which begin with nothing.
	isAfresh bool
	// since is how many invalidations the transaction had before the first change.
	since int
}

// What is charged beside the bytes that a transaction keeps.
const (
	pendingEntryBytes    = 512
	pendingDeletionBytes = 160
	undoBytes            = 320
)

func appendKey(dst []byte, k cache.Key) []byte {
	dst = append(dst, byte(len(k.Namespace)>>8), byte(len(k.Namespace)))
	return append(append(dst, k.Namespace...), k.Name...)
}

// isDirty reports that the transaction sees something else than others.
func (t *transaction) isDirty() bool { return len(t.pending)+len(t.invalidations) > 0 }

// find returns what the transaction did to a key, or nil.
func (t *transaction) find(k cache.Key) *pendingKey {
	if len(t.pending) == 0 {
		return nil
	}
	t.scratch = appendKey(t.scratch[:0], k)
	return t.byKey[string(t.scratch)]
}

// hides reports that the transaction has invalidated an entry of the cache.
func (t *transaction) hides(k cache.Key, a cache.Attrs) bool {
	for i := range t.invalidations {
		if covers(&t.invalidations[i], k, a.HasLabel) {
			return true
		}
	}
	return false
}

// covers reports that an invalidation covers an entry with these labels.
func covers(x *cache.Invalidation, k cache.Key, hasLabel func(cache.LabelKind, string) bool) bool {
	if x.Namespace != nil && !bytes.Equal(x.Namespace, k.Namespace) {
		return false
	}
	kind := cache.Tag
	switch x.Coverage {
	case cache.CoverNamespace:
		return true
	case cache.CoverPrefix:
		return bytes.HasPrefix(k.Name, x.Prefix)
	case cache.CoverDependencies:
		kind = cache.Dependency
	}
	return slices.ContainsFunc(x.Labels, func(text string) bool { return hasLabel(kind, text) })
}

// isCovered reports that an invalidation covers what is pending of a key.
func (p *pendingKey) isCovered(x *cache.Invalidation) bool {
	return !p.isDeleted && covers(x, p.key, func(kind cache.LabelKind, text string) bool {
		if kind == cache.Tag {
			return slices.Contains(p.draft.Tags, text)
		}
		return slices.Contains(p.draft.Dependencies, text)
	})
}

// drop forgets everything that is pending.
func (t *transaction) drop() {
	t.pending, t.byKey, t.invalidations, t.bytes = nil, nil, nil, 0
	t.savepoints, t.undo = nil, nil
}

// charge accounts for memory that the transaction is about to keep.
func (s *session) charge(size int64) error {
	t, most := &s.tx, s.handler.limits.TransactionBytesMax
	if len(t.savepoints) > 0 {
		size += undoBytes
	}
	if t.bytes+size > most {
		e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "transaction is too large")
		e.Detail = formatLimit(t.bytes+size, most, "bytes", "transaction_bytes_max")
		e.Hint = "Commit more often. A statement that writes one entry is not bounded by it."
		return e
	}
	t.bytes += size
	return nil
}

// touch is called before a pending key changes; isNew: it is not pending yet.
func (t *transaction) touch(p *pendingKey, isNew bool) {
	if len(t.savepoints) > 0 {
		u := undo{key: p, isNew: isNew}
		if !isNew {
			u.before = *p
		}
		t.undo = append(t.undo, u)
	}
	if !isNew {
		return
	}
	p.since = len(t.invalidations)
	if t.byKey == nil {
		t.byKey = map[string]*pendingKey{}
	}
	t.byKey[string(appendKey(nil, p.key))] = p
	t.pending = append(t.pending, p)
}

// buffer makes a change pending, which refers to no memory but its own. It returns what it
// did, and the entry as the transaction now sees it.
func (s *session) buffer(ctx context.Context, c change) (cache.Result, *draftRow, error) {
	if err := s.checkKey(c.key); err != nil {
		return cache.Result{}, nil, err
	}
	p := s.tx.find(c.key)
	isNew := p == nil
	nowMs := s.handler.cache.Now().UnixMilli()
	var old *draftRow
	d := cache.NewDraft(nil)
	switch {
	case isNew:
		var err error
		if old, err = s.readDraft(ctx, c.key, nowMs); err != nil {
			return cache.Result{}, nil, err
		}
		p = &pendingKey{existed: old != nil}
		p.key = cache.Key{Namespace: bytes.Clone(c.key.Namespace), Name: bytes.Clone(c.key.Name)}
	case !p.isDeleted:
		old = &p.row
	}
	result := cache.Result{Existed: old != nil}
	var row query.Row
	if old != nil {
		d, row = *old.draft, old
	}
	var err error
	if result.Verdict, err = c.apply(c.env, row, &d); err != nil || result.Verdict == cache.Leave {
		return cache.Result{Existed: result.Existed}, nil, err
	}
	if result.Verdict == cache.Remove {
		return result, nil, s.keepDeletion(p, &c, isNew)
	}
	if err := s.checkVersion(&d, row); err != nil {
		return cache.Result{}, nil, err
	}
	if err := s.checkDraft(&d); err != nil {
		return cache.Result{}, nil, err
	}
	size := int64(len(p.key.Namespace)+len(p.key.Name)) + pendingEntryBytes + c.bytes
	if ownsValue(&c, &d) {
		size += int64(len(d.Value))
	}
	if err := s.charge(size); err != nil {
		return cache.Result{}, nil, err
	}
	s.tx.touch(p, isNew)
	if p.isDeleted {
		p.isDeleted, p.isAfresh, p.changes = false, true, nil
	}
	c.key, c.bytes = p.key, size
	p.changes = append(p.changes, c)
	p.draft = d
	p.row = draftRow{key: p.key, draft: &p.draft, nowMs: nowMs, createdMs: nowMs, isReplaced: p.existed && !p.isAfresh}
	return result, &p.row, nil
}

// readDraft reads an entry of the cache as the transaction sees it, in memory of its own;
// nil if there is none. The draft that the cache makes of its entry comes from an update
// that changes nothing.
func (s *session) readDraft(ctx context.Context, key cache.Key, nowMs int64) (row *draftRow, err error) {
	_, err = s.handler.cache.Update(ctx, key, cache.UpdateOptions{NeedValue: true}, func(found *cache.Hit, draft *cache.Draft) (cache.Verdict, error) {
		row = nil
		if found != nil && !s.tx.hides(key, found.Attrs()) {
			d := ownDraft(found, draft)
			row = &draftRow{key: key, draft: &d, nowMs: nowMs, createdMs: found.Attrs().CreatedMs()}
		}
		return cache.Leave, nil
	})
	return row, err
}

// keepDeletion makes a deletion pending; a nil change is one without conditions.
func (s *session) keepDeletion(p *pendingKey, c *change, isNew bool) error {
	size := int64(len(p.key.Namespace)+len(p.key.Name)) + pendingDeletionBytes
	if c != nil {
		size += c.bytes
	}
	if err := s.charge(size); err != nil {
		return err
	}
	s.tx.touch(p, isNew)
	p.isDeleted, p.draft, p.row = true, cache.Draft{}, draftRow{}
	if c == nil {
		p.changes = nil
	} else {
		c.key = p.key
		p.changes = append(p.changes, *c)
	}
	return nil
}

// ownDraft is a draft of an entry with memory of its own.
func ownDraft(h *cache.Hit, draft *cache.Draft) cache.Draft {
	d := *draft
	d.Value, d.KeepValue, d.KeepHard = bytes.Clone(h.Value()), false, false
	if ms, ok := h.Attrs().HardMs(); ok {
		d.ExpiresAt = time.UnixMilli(ms)
	}
	return d
}

// ownsValue reports that the draft's value is memory that the change does not count.
func ownsValue(c *change, d *cache.Draft) bool {
	return len(d.Value) > 0 && (len(c.value) == 0 || &c.value[0] != &d.Value[0])
}

// cloneEnv is an Env for a change that outlives its portal.
func cloneEnv(e *query.Env) (*query.Env, int64) {
	out := *e
	out.Rows = [2]query.Row{}
	out.Params = make([]types.Value, len(e.Params))
	size := int64(0)
	for i, v := range e.Params {
		out.Params[i] = v.Clone()
		size += v.Size()
	}
	return &out, size
}
