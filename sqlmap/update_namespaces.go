package sqlmap

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

const updateNamespacesHint = "Write UPDATE cache_namespaces SET l1_bytes_max = …, l2_bytes_max = …, default_ttl_ms = …, max_blob_bytes = … WHERE ns = …."

// namespaceLimit is the limit that a column of cache_namespaces shows and sets; nil for
// the other columns. NULL is none.
func namespaceLimit(l *cache.NamespaceLimits, column string) *int64 {
	switch column {
	case "l1_bytes_max":
		return &l.L1BytesMax
	case "l2_bytes_max":
		return &l.L2BytesMax
	case "default_ttl_ms":
		return &l.DefaultTTLMs
	case "max_blob_bytes":
		return &l.ValueBytesMax
	}
	return nil
}

// updateNamespacesAction is UPDATE cache_namespaces.
type updateNamespacesAction struct {
	relation  *relation
	filter    *query.Expression
	set       []namespaceAssignment
	returning []query.Output
}

type namespaceAssignment struct {
	column string
	expr   *query.Expression // nil: DEFAULT, which is none
}

func (p *planner) updateNamespaces(s *pg_query.UpdateStmt) (*plan, error) {
	_, alias, err := relationName(s.Relation)
	if err != nil {
		return nil, err
	}
	a := &updateNamespacesAction{relation: findRelation("cache_namespaces")}
	p.compiler.SetRelations(query.Relation{Schema: catalog.Public, Name: alias, Columns: a.relation.columns, Table: p.handler.catalog.Relation(catalog.Public, "cache_namespaces")})
	p.compiler.Place = query.InUpdate
	seen := map[string]bool{}
	for _, n := range s.TargetList {
		target := n.GetResTarget()
		if err := a.checkTarget(target, seen); err != nil {
			return nil, err
		}
		set := namespaceAssignment{column: target.Name}
		val, err := assignedValue(target)
		if err != nil {
			return nil, err
		}
		if val.GetSetToDefault() == nil {
			x, err := p.compiler.Compile(val)
			if err != nil {
				return nil, err
			}
			if set.expr, err = p.compiler.Assign(x, types.Int8, target.Name); err != nil {
				return nil, err
			}
		}
		a.set = append(a.set, set)
	}
	if s.WhereClause == nil {
		return nil, unsupported(s.Relation.Location, "UPDATE cache_namespaces without WHERE is", updateNamespacesHint)
	}
	if a.filter, err = p.compiler.Condition(s.WhereClause, "WHERE"); err != nil {
		return nil, err
	}
	if a.returning, err = p.returningClause(s.ReturningList); err != nil {
		return nil, err
	}
	out := &plan{action: a, writes: "UPDATE"}
	if a.returning != nil {
		out.columns = outputColumns(a.returning)
	}
	return out, nil
}

func (a *updateNamespacesAction) checkTarget(target *pg_query.ResTarget, seen map[string]bool) error {
	known := false
	for _, c := range a.relation.columns {
		known = known || c.Name == target.Name
	}
	switch {
	case !known:
		e := pgwire.Errorf(pgwire.CodeUndefinedColumn, "column \"%s\" of relation \"cache_namespaces\" does not exist", target.Name)
		return query.AtOffset(e, target.Location)
	case namespaceLimit(&cache.NamespaceLimits{}, target.Name) == nil:
		e := pgwire.Errorf(pgwire.CodeGeneratedAlways, "column \"%s\" can only be updated to DEFAULT", target.Name)
		e.Detail = "Column \"" + target.Name + "\" is computed by the cache."
		e.Hint = updateNamespacesHint
		return query.AtOffset(e, target.Location)
	case seen[target.Name]:
		return query.AtOffset(pgwire.Errorf(pgwire.CodeSyntaxError, "multiple assignments to same column \"%s\"", target.Name), target.Location)
	case len(target.Indirection) > 0:
		return unsupported(target.Location, "this assignment is", updateNamespacesHint)
	}
	seen[target.Name] = true
	return nil
}

// run changes the namespaces that WHERE finds. What it does is durable and cannot be rolled
// back, so it stands alone, like ALTER SYSTEM.
func (a *updateNamespacesAction) run(x *execution) (outcome, error) {
	if !x.isAlone {
		return outcome{}, pgwire.Errorf(pgwire.CodeActiveTransaction, "UPDATE cache_namespaces cannot run inside a transaction block")
	}
	if x.session.grants.role != pgwire.RoleAdmin {
		return outcome{}, x.session.grants.checkAdmin("UPDATE cache_namespaces")
	}
	w := &writer{x: x, returning: a.returning}
	count := int64(0)
	for _, row := range a.relation.visible(x.session) {
		x.env.Rows = [2]query.Row{row}
		v, err := a.filter.Eval(&x.env)
		if err != nil {
			return outcome{}, err
		}
		if !v.IsTrue() {
			continue
		}
		changed, err := a.change(x, row)
		if err != nil {
			return outcome{}, err
		}
		if !changed {
			continue
		}
		count++
		if a.returning != nil {
			for _, now := range a.relation.visible(x.session) {
				if now[0].Text() == row[0].Text() {
					err = w.returnRow(now)
				}
			}
		}
		if err != nil {
			return outcome{}, err
		}
	}
	return w.outcome("UPDATE", count), nil
}

func (a *updateNamespacesAction) change(x *execution, row query.Values) (bool, error) {
	values := make([]int64, len(a.set))
	for i, set := range a.set {
		if set.expr == nil {
			continue
		}
		v, err := set.expr.Eval(&x.env)
		if err != nil {
			return false, err
		}
		if values[i] = v.Int; v.IsNull {
			values[i] = 0
		} else if v.Int <= 0 {
			return false, errArgument(set.column, "must be positive, or NULL for none")
		}
	}
	return x.session.handler.cache.ChangeNamespace(x.env.Ctx, row[0].Bytes, func(l *cache.NamespaceLimits) error {
		for i, set := range a.set {
			*namespaceLimit(l, set.column) = values[i]
		}
		return nil
	})
}
