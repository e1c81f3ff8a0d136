package sqlmap

import (
	"bytes"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/scalar"
)

const deleteHint = "Write DELETE FROM blob WHERE ns = … AND key = …, key = ANY (…), key LIKE 'prefix%', tags && ARRAY[…] or dependencies && ARRAY[…], or WHERE ns = … alone."

// deleteAction is DELETE: by keys, or what one condition beside ns covers.
type deleteAction struct {
	where     *blobWhere
	filter    *scalar.Expr // for keys
	needValue bool
	returning []output
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
	if a.where.ns != nil && a.where.hasKeys() {
		a.filter = scalar.And(a.where.rest)
	} else if err := a.checkCoverage(s); err != nil {
		return nil, err
	}
	a.needValue = p.compiler.Used[0]&valueColumns != 0
	if a.returning, err = p.returningClause(s.ReturningList); err != nil {
		return nil, err
	}
	if a.returning != nil && !a.where.hasKeys() {
		return nil, unsupported(s.Relation.Location, "RETURNING of a DELETE that does not name its keys is", "The command tag tells how many entries were deleted.")
	}
	out := &plan{action: a, writes: "DELETE"}
	if a.returning != nil {
		out.columns = outputColumns(a.returning)
	}
	return out, nil
}

// checkCoverage refuses what no single invalidation does.
func (a *deleteAction) checkCoverage(s *pg_query.DeleteStmt) error {
	w := a.where
	covering := 0
	for _, x := range []*scalar.Expr{w.prefix, w.tags, w.dependencies} {
		if x != nil {
			covering++
		}
	}
	isAll := s.WhereClause == nil
	isDependencies := w.dependencies != nil && covering == 1 // ns is optional
	if len(w.rest) != covering || covering > 1 || w.hasKeys() || !isAll && w.ns == nil && !isDependencies {
		return unsupported(s.Relation.Location, "this DELETE is", deleteHint)
	}
	return nil
}

func (a *deleteAction) run(x *execution) (outcome, error) {
	if a.where.ns != nil && a.where.hasKeys() {
		return a.deleteKeys(x)
	}
	count, err := a.invalidate(x)
	return outcome{tag: "DELETE", count: count, counted: true}, err
}

// invalidate deletes what a condition covers.
func (a *deleteAction) invalidate(x *execution) (int64, error) {
	w, s := a.where, x.session
	if w.ns == nil && w.dependencies == nil {
		return s.flushAll(x.env.Ctx)
	}
	var ns []byte
	if w.ns != nil {
		var err error
		if ns, err = evalText(x, w.ns); err != nil || ns == nil {
			return 0, err // ns = NULL is true of no entry
		}
	}
	switch {
	case w.prefix != nil:
		return a.deletePrefix(x, ns)
	case w.tags != nil:
		tags, err := evalTexts(x, w.tags)
		if err != nil {
			return 0, err
		}
		return s.invalidateTags(x.env.Ctx, ns, tags)
	case w.dependencies != nil:
		dependencies, err := evalTexts(x, w.dependencies)
		if err != nil {
			return 0, err
		}
		return s.invalidateDependencies(x.env.Ctx, ns, dependencies)
	}
	count, _, err := s.flushNamespace(x.env.Ctx, ns)
	return count, err
}

// deletePrefix is key LIKE 'prefix%'.
func (a *deleteAction) deletePrefix(x *execution, ns []byte) (int64, error) {
	pattern, err := evalText(x, a.where.prefix)
	if err != nil || pattern == nil {
		return 0, err
	}
	prefix, isPure, isExact := scalar.LikePrefix(pattern)
	switch {
	case isExact:
		removed, err := x.session.invalidateKey(x.env.Ctx, cache.Key{Namespace: ns, Name: prefix})
		if removed {
			return 1, err
		}
		return 0, err
	case !isPure:
		e := pgwire.Errorf(pgwire.CodeFeatureNotSupported, "DELETE with this LIKE pattern is not supported")
		e.Hint = "The pattern must be a literal prefix and one % at its end; write \\_ for an underscore."
		return 0, e
	}
	return x.session.invalidatePrefix(x.env.Ctx, ns, prefix)
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
	passes := func(row scalar.Row) (bool, error) {
		x.env.Rows = [2]scalar.Row{row}
		return a.where.holds(&x.env, a.filter)
	}
	// What the transaction wrote to the key is what it sees, and deletes, too.
	if pending := s.tx.find(key); pending != nil {
		ok, err := passes(&pending.row)
		if err != nil || !ok {
			return false, err
		}
		if err := w.returnRow(&pending.row); err != nil {
			return false, err
		}
		_, err = s.invalidateKey(x.env.Ctx, key)
		return true, err
	}
	var out cache.Hit
	defer out.Release()
	options := cache.UpdateOptions{NeedValue: a.needValue, Out: &out}
	result, err := s.handler.cache.Update(x.env.Ctx, key, options, func(old *cache.Hit, _ *cache.Draft) (cache.Verdict, error) {
		if old == nil {
			return cache.Leave, nil
		}
		ok, err := passes(&entryRow{key: key, hit: old})
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

// hasPrefix matches pending keys of a namespace.
func hasPrefix(ns, prefix []byte) func(*pendingKey) bool {
	return func(p *pendingKey) bool {
		return bytes.Equal(p.key.Namespace, ns) && bytes.HasPrefix(p.key.Name, prefix)
	}
}
