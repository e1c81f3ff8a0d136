package sqlmap

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/sqlmap/query"
)

const updateHint = "Write UPDATE blob SET … WHERE …, with conditions on its columns, e.g. ns = … AND key = … [AND version = …]."

// updateAction is UPDATE of the keys that WHERE names.
type updateAction struct {
	where     *blobWhere
	filter    *query.Expression
	set       []assignment
	given     uint64
	needValue bool
	returning []query.Output
}

func (p *planner) updateStatement(s *pg_query.UpdateStmt) (*plan, error) {
	switch {
	case s.WithClause != nil:
		return nil, unsupported(s.WithClause.Location, "WITH is", updateHint)
	case len(s.FromClause) > 0:
		return nil, unsupported(-1, "UPDATE … FROM is", updateHint)
	}
	if s.Relation.Relname == "cache_namespaces" {
		return p.updateNamespaces(s)
	}
	if err := p.writeTarget(s.Relation); err != nil {
		return nil, err
	}
	a := &updateAction{}
	var err error
	if a.set, a.given, err = p.setClause(s.TargetList); err != nil {
		return nil, err
	}
	if a.where, err = p.where(s.WhereClause); err != nil {
		return nil, err
	}
	a.filter = a.where.filter()
	a.needValue = p.compiler.Used[0]&valueColumns != 0
	if a.returning, err = p.returningClause(s.ReturningList); err != nil {
		return nil, err
	}
	out := &plan{action: a, writes: "UPDATE"}
	if a.returning != nil {
		out.columns = outputColumns(a.returning)
	}
	return out, nil
}

func (a *updateAction) run(x *execution) (outcome, error) {
	if x.isAlone && a.where.namesSeveral() {
		return x.atomically(a.run)
	}
	w := &writer{x: x, needValue: a.needValue, returning: a.returning}
	count := int64(0)
	update := func(key cache.Key) error {
		result, err := w.run(change{key: key, apply: a.apply})
		if result.Verdict == cache.Write {
			x.trace.write(0)
			count++
		}
		return err
	}
	if err := a.each(x, update); err != nil {
		return outcome{}, err
	}
	return w.outcome("UPDATE", count), nil
}

// each calls update with the keys that the WHERE names or finds.
func (a *updateAction) each(x *execution, update func(cache.Key) error) error {
	if !a.where.namesKeys() {
		return a.where.eachKey(x, a.filter, a.needValue, update)
	}
	keys, err := a.where.evalKeys(x)
	if err != nil {
		return err
	}
	for i := range keys.names {
		if !addressable(x.session, keys.key(i)) {
			continue
		}
		if err := update(keys.key(i)); err != nil {
			return err
		}
	}
	return nil
}

// namesSeveral reports that an UPDATE or DELETE names more than one key.
func (w *blobWhere) namesSeveral() bool { return w.namesKeys() && w.key == nil }

// addressable reports that an entry can have this key: a WHERE that names another one
// finds nothing, it is no error.
func addressable(s *session, k cache.Key) bool { return s.checkKey(k) == nil }

func (a *updateAction) apply(e *query.Env, old query.Row, d *cache.Draft) (cache.Verdict, error) {
	if old == nil {
		return cache.Leave, nil
	}
	e.Rows = [2]query.Row{old}
	if a.filter != nil {
		v, err := a.filter.Eval(e)
		if err != nil || !v.IsTrue() {
			return cache.Leave, err
		}
	}
	return cache.Write, applySet(e, a.set, a.given, d)
}
