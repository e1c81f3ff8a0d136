package sqlmap

import (
	"bytes"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

const deleteHint = "Write DELETE FROM blob WHERE …, with conditions on its columns."

// deleteAction is DELETE: by keys, or what one condition beside ns covers.
type deleteAction struct {
	where     *blobWhere
	filter    *query.Expression // of rows, where keys are read one by one
	isCovered bool              // one invalidation does it
	returning []query.Output
	needValue bool // the filter looks at the payload
	// returnsValue: so does RETURNING, perhaps.
	returnsValue bool
}

func (p *planner) deleteStatement(s *pg_query.DeleteStmt) (*plan, error) {
	switch {
	case s.WithClause != nil:
		return nil, unsupported(s.WithClause.Location, "WITH is", deleteHint)
	case len(s.UsingClause) > 0:
		return nil, unsupported(-1, "DELETE … USING is", deleteHint)
	}
	if err := p.writeTarget(s.Relation); err != nil {
		return nil, err
	}
	a := &deleteAction{}
	var err error
	if a.where, err = p.where(s.WhereClause); err != nil {
		return nil, err
	}
	a.needValue = p.compiler.Used[0]&valueColumns != 0
	if a.returning, err = p.returningClause(s.ReturningList); err != nil {
		return nil, err
	}
	a.isCovered = a.returning == nil && a.where.isCoverage()
	a.filter = a.where.filter()
	a.returnsValue = p.compiler.Used[0]&valueColumns != 0
	out := &plan{action: a, writes: "DELETE"}
	if a.returning != nil {
		out.columns = outputColumns(a.returning)
	}
	return out, nil
}

// isCoverage reports that one invalidation deletes what the WHERE says: a namespace, or one
// kind of label or a prefix in it, or everything.
func (w *blobWhere) isCoverage() bool {
	covering := 0
	for _, x := range []*query.Expression{w.prefix, w.tags, w.dependencies} {
		if x != nil {
			covering++
		}
	}
	isAll := w.ns == nil && len(w.rest) == 0
	isDependencies := w.dependencies != nil && covering == 1 // ns is optional
	return len(w.rest) == covering && covering <= 1 && !w.hasKeys() && (w.ns != nil || isAll || isDependencies)
}

func (a *deleteAction) run(x *execution) (outcome, error) {
	switch {
	case x.isAlone && a.where.namesSeveral():
		return x.atomically(a.run)
	case a.where.namesKeys():
		return a.deleteKeys(x)
	case a.isCovered:
		count, isDone, err := a.invalidate(x)
		if isDone || err != nil {
			return outcome{tag: "DELETE", count: count, counted: true}, err
		}
	}
	return a.deleteScanned(x)
}

// invalidate deletes what a condition covers. isDone is false if it is a LIKE pattern that
// is more than a prefix.
func (a *deleteAction) invalidate(x *execution) (count int64, isDone bool, err error) {
	w, s := a.where, x.session
	if w.ns == nil && w.dependencies == nil {
		count, err = s.flushAll(x.env.Ctx)
		return count, true, err
	}
	var ns []byte
	if w.ns != nil {
		if ns, err = evalText(x, w.ns); err != nil || ns == nil {
			return 0, true, err // ns = NULL is true of no entry
		}
	}
	var labels []string
	switch {
	case w.prefix != nil:
		return a.deletePrefix(x, ns)
	case w.tags != nil:
		if labels, err = evalTexts(x, w.tags); err == nil {
			count, err = s.invalidateTags(x.env.Ctx, ns, labels)
		}
	case w.dependencies != nil:
		if labels, err = evalTexts(x, w.dependencies); err == nil {
			count, err = s.invalidateDependencies(x.env.Ctx, ns, labels)
		}
	default:
		count, _, err = s.flushNamespace(x.env.Ctx, ns)
	}
	return count, true, err
}

// deletePrefix is key LIKE 'prefix%'.
func (a *deleteAction) deletePrefix(x *execution, ns []byte) (count int64, isDone bool, err error) {
	pattern, err := evalText(x, a.where.prefix)
	if err != nil || pattern == nil {
		return 0, true, err
	}
	prefix, isPure, isExact := query.LikePrefix(pattern)
	switch {
	case isExact && !addressable(x.session, cache.Key{Namespace: ns, Name: prefix}):
		return 0, true, nil
	case isExact:
		removed, err := x.session.invalidateKey(x.env.Ctx, cache.Key{Namespace: ns, Name: prefix})
		if removed {
			count = 1
		}
		return count, true, err
	case !isPure:
		return 0, false, nil
	}
	count, err = x.session.invalidatePrefix(x.env.Ctx, ns, prefix)
	return count, true, err
}

// deletesAtOnce is how many entries a scan deletes by one durable commit.
const deletesAtOnce = 256

// deleteScanned deletes what passes the filter, part by part: a scan may find more than a
// transaction holds, and others are not kept waiting for all of it.
func (a *deleteAction) deleteScanned(x *execution) (outcome, error) {
	w := &writer{x: x, returning: a.returning}
	if w.isBuffered() {
		return a.deleteScannedBuffered(w)
	}
	count := int64(0)
	var keys []cache.Key
	flush := func() error {
		n, err := a.deleteBatch(w, keys)
		count += n
		keys = keys[:0]
		return err
	}
	err := a.where.eachKey(x, a.filter, a.needValue, func(key cache.Key) error {
		keys = append(keys, cache.Key{Namespace: bytes.Clone(key.Namespace), Name: bytes.Clone(key.Name)})
		if len(keys) < deletesAtOnce {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return outcome{}, err
	}
	return w.outcome("DELETE", count), nil
}

// deleteBatch deletes those of keys whose entries still pass the filter.
func (a *deleteAction) deleteBatch(w *writer, keys []cache.Key) (int64, error) {
	x := w.x
	rows := make([][]types.Value, len(keys)) // as RETURNING sees them
	block := &cache.Block{Updates: make([]cache.KeyUpdate, len(keys))}
	for i, key := range keys {
		block.Updates[i] = cache.KeyUpdate{Key: key, NeedValue: a.returnsValue, Update: func(old *cache.Hit, _ *cache.Draft) (cache.Verdict, error) {
			if old == nil {
				return cache.Leave, nil
			}
			x.env.Rows = [2]query.Row{&entryRow{key: key, hit: old}}
			if ok, err := a.where.holds(&x.env, a.filter); err != nil || !ok {
				return cache.Leave, err
			}
			var err error
			rows[i], err = w.returned(x.env.Rows[0])
			return cache.Remove, err
		}}
	}
	if len(keys) == 0 {
		return 0, nil
	}
	if err := x.session.handler.cache.Commit(x.env.Ctx, block); err != nil {
		return 0, err
	}
	count := int64(0)
	for i := range block.Updates {
		if block.Updates[i].Result.Verdict != cache.Remove {
			continue
		}
		x.trace.delete()
		count++
		if a.returning != nil {
			w.rows = append(w.rows, rows[i])
		}
	}
	return count, nil
}

// deleteScannedBuffered is deleteScanned inside a transaction.
func (a *deleteAction) deleteScannedBuffered(w *writer) (outcome, error) {
	count := int64(0)
	err := a.where.eachKey(w.x, a.filter, a.needValue, func(key cache.Key) error {
		removed, err := a.deleteKey(w, key)
		if removed {
			w.x.trace.delete()
			count++
		}
		return err
	})
	if err != nil {
		return outcome{}, err
	}
	return w.outcome("DELETE", count), nil
}

// deleteKeys deletes the named keys that pass the filter, with or without RETURNING.
func (a *deleteAction) deleteKeys(x *execution) (outcome, error) {
	keys, err := a.where.evalKeys(x)
	if err != nil {
		return outcome{}, err
	}
	w := &writer{x: x, returning: a.returning}
	count := int64(0)
	for i := range keys.names {
		key := keys.key(i)
		if !addressable(x.session, key) {
			continue
		}
		removed, err := a.deleteKey(w, key)
		if err != nil {
			return outcome{}, err
		}
		if removed {
			x.trace.delete()
			count++
		}
	}
	return w.outcome("DELETE", count), nil
}

func (a *deleteAction) deleteKey(w *writer, key cache.Key) (bool, error) {
	x, s := w.x, w.x.session
	if a.filter == nil && a.returning == nil {
		return s.invalidateKey(x.env.Ctx, key)
	}
	passes := func(e *query.Env, row query.Row) (bool, error) {
		e.Rows = [2]query.Row{row}
		return a.where.holds(e, a.filter)
	}
	if w.isBuffered() {
		return a.deleteBuffered(w, key, passes)
	}
	var out cache.Hit
	defer out.Release()
	options := cache.UpdateOptions{NeedValue: a.returnsValue, Out: &out}
	result, err := s.handler.cache.Update(x.env.Ctx, key, options, func(old *cache.Hit, _ *cache.Draft) (cache.Verdict, error) {
		if old == nil {
			return cache.Leave, nil
		}
		ok, err := passes(&x.env, &entryRow{key: key, hit: old})
		if err != nil || !ok {
			return cache.Leave, err
		}
		return cache.Remove, nil
	})
	if err != nil || result.Verdict != cache.Remove {
		return false, err
	}
	return true, w.returnRow(&entryRow{key: key, hit: &out})
}

// deleteBuffered makes a conditional deletion pending.
func (a *deleteAction) deleteBuffered(w *writer, key cache.Key, passes func(*query.Env, query.Row) (bool, error)) (bool, error) {
	var seen query.Row
	c := change{key: key, env: w.changeEnv(), needValue: a.needValue, bytes: w.envBytes}
	w.envBytes = 0 // shared by the statement's changes
	c.apply = func(e *query.Env, old query.Row, _ *cache.Draft) (cache.Verdict, error) {
		if old == nil {
			return cache.Leave, nil
		}
		seen = old
		if ok, err := passes(e, old); err != nil || !ok {
			return cache.Leave, err
		}
		return cache.Remove, nil
	}
	// What RETURNING shows is gone once the deletion is kept.
	was := w.x.session.tx.find(key)
	var row *draftRow
	if was != nil && !was.isDeleted {
		d := was.draft
		row = &draftRow{key: was.key, draft: &d, nowMs: was.row.nowMs, createdMs: was.row.createdMs, isReplaced: was.row.isReplaced}
	}
	result, _, err := w.x.session.buffer(w.x.env.Ctx, c)
	if err != nil || result.Verdict != cache.Remove {
		return false, err
	}
	if row != nil {
		seen = row
	}
	return true, w.returnRow(seen)
}

func (p *planner) truncateStatement(s *pg_query.TruncateStmt) (*plan, error) {
	for _, n := range s.Relations {
		if err := p.writeTarget(n.GetRangeVar()); err != nil {
			return nil, err
		}
	}
	return &plan{writes: "TRUNCATE TABLE", action: actionFunc(func(x *execution) (outcome, error) {
		_, err := x.session.flushAll(x.env.Ctx)
		return outcome{tag: "TRUNCATE TABLE"}, err
	})}, nil
}

// actionFunc is an action without state.
type actionFunc func(x *execution) (outcome, error)

func (f actionFunc) run(x *execution) (outcome, error) { return f(x) }
