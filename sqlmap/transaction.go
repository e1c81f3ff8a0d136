package sqlmap

import (
	"bytes"
	"context"
	"errors"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/scalar"
	"pgcache/sqlmap/types"
)

// change is one write of one key. It may be applied several times, each time to the entry
// the key has then (nil: none).
type change struct {
	key cache.Key
	env *scalar.Env
	// apply edits a draft equal to old; see cache.UpdateFunc.
	apply func(e *scalar.Env, old scalar.Row, d *cache.Draft) (cache.Verdict, error)
	// needValue: apply looks at the old payload.
	needValue bool
	// mayConflict: whether it writes depends on the entry.
	mayConflict bool
	bytes       int64  // what it holds, in a transaction
	value       []byte // the payload it brings, counted in bytes
}

// transaction is what a session has pending (S4).
type transaction struct {
	isOpen    bool // explicit or implicit
	hasFailed bool // implicit, to be rolled back at the end of the cycle
	began     time.Time

	pending []*pendingKey // in the order of their first write
	byKey   map[string]*pendingKey
	bytes   int64
	scratch []byte
}

// pendingKey is a key written in the transaction: its entry as the transaction sees it,
// and how it came about.
type pendingKey struct {
	key     cache.Key
	changes []change
	draft   cache.Draft
	row     draftRow
	// existed: a live entry was there before the first change.
	existed bool
}

func appendKey(dst []byte, k cache.Key) []byte {
	dst = append(dst, byte(len(k.Namespace)>>8), byte(len(k.Namespace)))
	return append(append(dst, k.Namespace...), k.Name...)
}

// find returns what the transaction wrote to a key, or nil.
func (t *transaction) find(k cache.Key) *pendingKey {
	if len(t.pending) == 0 {
		return nil
	}
	t.scratch = appendKey(t.scratch[:0], k)
	return t.byKey[string(t.scratch)]
}

// drop forgets everything that is pending.
func (t *transaction) drop() {
	t.pending, t.byKey, t.bytes = nil, nil, 0
}

// dropKeys forgets the pending keys that match and returns how many of them were not in
// the cache before, so that a deletion can count them.
func (t *transaction) dropKeys(matches func(p *pendingKey) bool) int64 {
	kept, count := t.pending[:0], int64(0)
	for _, p := range t.pending {
		if !matches(p) {
			kept = append(kept, p)
			continue
		}
		delete(t.byKey, string(appendKey(nil, p.key)))
		if !p.existed {
			count++
		}
		for i := range p.changes {
			t.bytes -= p.changes[i].bytes
		}
	}
	clear(t.pending[len(kept):])
	t.pending = kept
	return count
}

// conflict says that a COMMIT found something else than the transaction had seen.
func conflict(cause error) error {
	e := pgwire.Errorf(pgwire.CodeSerializationFailure, "could not serialize access due to concurrent update")
	e.Hint = "Retry the transaction."
	e.Cause = cause
	return e
}

// applyAll applies the changes of a key to the entry it has now.
func (p *pendingKey) applyAll(old *cache.Hit, d *cache.Draft, nowMs int64) (cache.Verdict, error) {
	var row scalar.Row
	if old != nil {
		row = &entryRow{key: p.key, hit: old}
	}
	for i := range p.changes {
		c := &p.changes[i]
		hadVersion, version := d.HasVersion && i > 0, d.Version
		verdict, err := c.apply(c.env, row, d)
		if hadVersion && !d.HasVersion {
			d.HasVersion, d.Version = true, version // which an earlier change gave it
		}
		var e *pgwire.Error
		if errors.As(err, &e) && e.Code == pgwire.CodeUniqueViolation {
			return cache.Leave, conflict(err)
		}
		if err != nil {
			return cache.Leave, err
		}
		if verdict != cache.Write {
			return cache.Leave, conflict(nil)
		}
		row = &draftRow{key: p.key, base: old, draft: d, nowMs: nowMs, createdMs: nowMs}
	}
	return cache.Write, nil
}

// apply writes what is pending. Before the first write, everything that can conflict is
// checked; what changes between check and write still fails, with a part applied.
func (t *transaction) apply(ctx context.Context, c *cache.Cache) error {
	pending := t.pending
	nowMs := c.Now().UnixMilli()
	if len(pending) > 1 {
		for _, p := range pending {
			if !p.mayConflict() {
				continue
			}
			if err := p.update(ctx, c, nowMs, true); err != nil {
				return err
			}
		}
	}
	for _, p := range pending {
		if err := p.update(ctx, c, nowMs, false); err != nil {
			return err
		}
	}
	return nil
}

func (p *pendingKey) mayConflict() bool {
	for i := range p.changes {
		if p.changes[i].mayConflict {
			return true
		}
	}
	return false
}

// update applies the changes to the cache, or only checks that they can be.
func (p *pendingKey) update(ctx context.Context, c *cache.Cache, nowMs int64, isCheck bool) error {
	needValue := false
	for i := range p.changes {
		needValue = needValue || p.changes[i].needValue
	}
	_, err := c.Update(ctx, p.key, cache.UpdateOptions{NeedValue: needValue}, func(old *cache.Hit, d *cache.Draft) (cache.Verdict, error) {
		verdict, err := p.applyAll(old, d, nowMs)
		if isCheck {
			verdict = cache.Leave
		}
		return verdict, err
	})
	var mismatch *cache.VersionError
	if errors.As(err, &mismatch) {
		return conflict(err)
	}
	return wireError(err)
}

// buffer makes a change pending, which refers to no memory but its own. It returns what it did, and the entry as the transaction
// now sees it.
func (s *session) buffer(ctx context.Context, c change) (cache.Result, *draftRow, error) {
	t := &s.tx
	if err := s.checkKey(c.key); err != nil {
		return cache.Result{}, nil, err
	}
	was := t.find(c.key)
	nowMs := s.handler.cache.Now().UnixMilli()
	var hit cache.Hit
	defer hit.Release()
	d := cache.NewDraft(nil)
	var old scalar.Row
	existed := false
	switch {
	case was != nil:
		d, old, existed = was.draft, &was.row, true
	default:
		// The draft that the cache makes of its entry comes from an update that changes nothing.
		_, err := s.handler.cache.Update(ctx, c.key, cache.UpdateOptions{NeedValue: true}, func(found *cache.Hit, draft *cache.Draft) (cache.Verdict, error) {
			existed = found != nil
			if existed {
				d = ownDraft(found, draft)
			}
			return cache.Leave, nil
		})
		if err != nil {
			return cache.Result{}, nil, err
		}
		if existed {
			snapshot := d
			old = &draftRow{key: c.key, draft: &snapshot, nowMs: nowMs, createdMs: nowMs}
		}
	}
	verdict, err := c.apply(c.env, old, &d)
	if err != nil || verdict != cache.Write {
		return cache.Result{Existed: existed}, nil, err
	}
	p := was
	if p == nil {
		p = &pendingKey{existed: existed}
		p.key = cache.Key{Namespace: bytes.Clone(c.key.Namespace), Name: bytes.Clone(c.key.Name)}
	}
	if err := s.keep(p, c, &d, old, nowMs, was == nil); err != nil {
		return cache.Result{}, nil, err
	}
	return cache.Result{Existed: existed, Verdict: cache.Write}, &p.row, nil
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

// keep stores a change with copies of everything it refers to.
func (s *session) keep(p *pendingKey, c change, d *cache.Draft, old scalar.Row, nowMs int64, isNew bool) error {
	t := &s.tx
	if err := s.checkVersion(d, old); err != nil {
		return err
	}
	if err := s.checkDraft(d); err != nil {
		return err
	}
	const entryOverheadBytes = 512
	size := int64(len(p.key.Namespace)+len(p.key.Name)) + entryOverheadBytes + c.bytes
	if ownsValue(&c, d) {
		size += int64(len(d.Value))
	}
	if t.bytes+size > s.handler.limits.TransactionBytesMax {
		e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "transaction is too large")
		e.Detail = formatLimit(t.bytes+size, s.handler.limits.TransactionBytesMax, "bytes", "transaction_bytes_max")
		e.Hint = "Commit more often. What is written outside of a transaction is not bounded by it."
		return e
	}
	c.key, c.bytes = p.key, size
	p.changes = append(p.changes, c)
	p.draft = *d
	p.row = draftRow{key: p.key, draft: &p.draft, nowMs: nowMs, createdMs: nowMs, isReplaced: p.existed}
	t.bytes += size
	if isNew {
		if t.byKey == nil {
			t.byKey = map[string]*pendingKey{}
		}
		t.byKey[string(appendKey(nil, p.key))] = p
		t.pending = append(t.pending, p)
	}
	return nil
}

// ownsValue reports that the draft's value is memory that the change does not count.
func ownsValue(c *change, d *cache.Draft) bool {
	return len(d.Value) > 0 && (len(c.value) == 0 || &c.value[0] != &d.Value[0])
}

// checkKey, checkDraft and checkVersion refuse early what the cache would refuse later.
// checkKey also refuses namespaces that are not the user's.
func (s *session) checkKey(k cache.Key) error {
	l := s.handler.cache.Limits()
	switch {
	case len(k.Namespace) == 0:
		return &cache.ArgumentError{What: "ns", Why: "must not be empty"}
	case len(k.Name) == 0:
		return &cache.ArgumentError{What: "key", Why: "must not be empty"}
	case len(k.Namespace) > l.NamespaceBytesMax:
		return &cache.LimitError{What: "ns", Unit: "bytes", Got: int64(len(k.Namespace)), Max: int64(l.NamespaceBytesMax)}
	case len(k.Name) > l.KeyBytesMax:
		return &cache.LimitError{What: "key", Unit: "bytes", Got: int64(len(k.Name)), Max: int64(l.KeyBytesMax)}
	}
	return s.grants.checkNamespace(k.Namespace)
}

// checkDraft applies the cache's limits to a new entry.
func (s *session) checkDraft(d *cache.Draft) error {
	l := s.handler.cache.Limits()
	if n := int64(len(d.Value)); n > l.ValueBytesMax {
		return &cache.LimitError{What: "value", Unit: "bytes", Got: n, Max: l.ValueBytesMax, Setting: "max_blob_bytes"}
	}
	for what, labels := range map[string][]string{"tags": d.Tags, "dependencies": d.Dependencies} {
		if len(labels) > l.LabelsMax {
			return &cache.LimitError{What: what, Unit: "count", Got: int64(len(labels)), Max: int64(l.LabelsMax)}
		}
		for _, text := range labels {
			if text == "" {
				return &cache.ArgumentError{What: what, Why: "must not be empty"}
			}
			if len(text) > l.LabelBytesMax {
				return &cache.LimitError{What: what, Unit: "bytes", Got: int64(len(text)), Max: int64(l.LabelBytesMax)}
			}
		}
	}
	size := 0
	for _, p := range d.Metadata {
		size += len(p.Key) + len(p.Value)
	}
	if size > l.MetadataBytesMax {
		return &cache.LimitError{What: "metadata", Unit: "bytes", Got: int64(size), Max: int64(l.MetadataBytesMax)}
	}
	return nil
}

// checkVersion applies the cache's rule of versions to a draft over the entry that the
// transaction sees, and lets it keep that one's version.
func (s *session) checkVersion(d *cache.Draft, old scalar.Row) error {
	if old == nil {
		return nil
	}
	stored, err := old.Column(colVersion, nil)
	if err != nil || stored.IsNull {
		return err
	}
	if !d.HasVersion {
		d.HasVersion, d.Version = true, stored.Int
		return nil
	}
	value, err := old.Column(colValue, nil)
	if d.Version < stored.Int || d.Version == stored.Int && !bytes.Equal(value.Bytes, d.Value) {
		return &cache.VersionError{Stored: stored.Int, Offered: d.Version}
	}
	return err
}

// cloneEnv is an Env for a change that outlives its portal.
func cloneEnv(e *scalar.Env) (*scalar.Env, int64) {
	out := *e
	out.Rows = [2]scalar.Row{}
	out.Params = make([]types.Value, len(e.Params))
	size := int64(0)
	for i, v := range e.Params {
		out.Params[i] = v.Clone()
		size += v.Size()
	}
	return &out, size
}
