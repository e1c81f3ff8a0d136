package sqlmap

import (
	"context"
	"errors"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
)

// conflict says that a COMMIT found something else than the transaction had seen.
func conflict(cause error) error {
	e := pgwire.Errorf(pgwire.CodeSerializationFailure, "could not serialize access due to concurrent update")
	e.Hint = "Retry the transaction."
	e.Cause = cause
	return e
}

func isConflict(err error) bool {
	var e *pgwire.Error
	return errors.As(err, &e) && e.Code == pgwire.CodeSerializationFailure
}

// apply makes what is pending visible, all at once.
func (t *transaction) apply(ctx context.Context, c *cache.Cache) error {
	if !t.isDirty() {
		return nil
	}
	nowMs := c.Now().UnixMilli()
	b := cache.Block{Invalidations: t.invalidations, Updates: make([]cache.KeyUpdate, len(t.pending))}
	for i, p := range t.pending {
		u := &b.Updates[i]
		u.Key, u.IsAfresh, u.After = p.key, p.isAfresh, len(t.invalidations)-p.since
		for j := range p.changes {
			u.NeedValue = u.NeedValue || p.changes[j].needValue
		}
		u.Update = func(old *cache.Hit, d *cache.Draft) (cache.Verdict, error) { return p.applyAll(old, d, nowMs) }
	}
	err := c.Commit(ctx, &b)
	var mismatch *cache.VersionError
	if errors.As(err, &mismatch) {
		return conflict(err)
	}
	return wireError(err)
}

// applyAll applies the changes of a key to the entry it has now.
func (p *pendingKey) applyAll(old *cache.Hit, d *cache.Draft, nowMs int64) (cache.Verdict, error) {
	if len(p.changes) == 0 {
		return cache.Remove, nil
	}
	var row query.Row
	if old != nil {
		row = &entryRow{key: p.key, hit: old}
	}
	verdict := cache.Leave
	for i := range p.changes {
		c := &p.changes[i]
		hadVersion, version := d.HasVersion && i > 0, d.Version
		var err error
		verdict, err = c.apply(c.env, row, d)
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
		if verdict == cache.Leave || (verdict == cache.Remove) != (p.isDeleted && i == len(p.changes)-1) {
			return cache.Leave, conflict(nil)
		}
		row = &draftRow{key: p.key, base: old, draft: d, nowMs: nowMs, createdMs: nowMs}
	}
	return verdict, nil
}

// atomicTriesMax bounds how often a statement of several rows begins again because of
// others' writes.
const atomicTriesMax = 100

// atomically runs a statement that changes several entries and stands alone as a
// transaction: all of it becomes visible together or, on error, nothing. If others' writes
// come in between it begins again, as it would have waited for them in PostgreSQL.
func (x *execution) atomically(run func(*execution) (outcome, error)) (outcome, error) {
	s := x.session
	s.openTransaction()
	x.isAlone = false
	for range atomicTriesMax {
		out, err := run(x)
		if err != nil {
			return outcome{}, err
		}
		if err = s.tx.apply(x.env.Ctx, s.handler.cache); err == nil {
			s.endTransaction(true)
			return out, nil
		}
		if !isConflict(err) {
			return outcome{}, err
		}
		s.tx.drop()
	}
	return outcome{}, conflict(nil)
}
