package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// sublink analyzes a subquery in an expression.
func (a *analyzer) sublink(s *pg_query.SubLink) (expr, error) {
	q := s.Subselect.GetSelectStmt()
	if q == nil {
		return nil, unsupported(s.Location, "this subquery is")
	}
	b, err := a.selectStatement(q, false)
	if err != nil {
		return nil, err
	}
	out := &subqueryExpr{typing: typing{oid: types.Bool, typmod: -1, at: s.Location}, block: b}
	columns := b.columns()
	switch s.SubLinkType {
	case pg_query.SubLinkType_EXISTS_SUBLINK:
		out.kind = subqueryExists
		return out, nil
	case pg_query.SubLinkType_EXPR_SUBLINK, pg_query.SubLinkType_ARRAY_SUBLINK:
		if len(columns) != 1 {
			return nil, errorAt(s.Location, pgwire.CodeSyntaxError, "subquery must return only one column")
		}
		info := b.targets[visibleTargets(b)[0]].expr.info()
		out.typing = typing{oid: info.oid, typmod: info.typmod, at: s.Location, fields: info.fields}
		if s.SubLinkType == pg_query.SubLinkType_ARRAY_SUBLINK {
			out.kind = subqueryArray
			return out, a.arraySublink(out)
		}
		return out, nil
	case pg_query.SubLinkType_ANY_SUBLINK, pg_query.SubLinkType_ALL_SUBLINK:
		out.kind = subqueryAny
		if s.SubLinkType == pg_query.SubLinkType_ALL_SUBLINK {
			out.kind = subqueryAll
		}
		names := Names(s.OperName)
		if len(names) == 0 {
			names = []string{"="}
		}
		return a.quantified(out, names, s.Testexpr, s.Location)
	}
	return nil, unsupported(s.Location, "this subquery is")
}

func (a *analyzer) arraySublink(out *subqueryExpr) error {
	elem := out.oid
	if a.element(elem) != 0 {
		return nil // arrays make an array of one more dimension, of the same type
	}
	if out.oid = a.arrayOf(elem); out.oid == 0 {
		return errorAt(out.at, pgwire.CodeUndefinedObject, "could not find array type for data type %s", a.typeName(elem))
	}
	out.typing.fields = nil
	return nil
}

// quantified is left op ANY or ALL (SELECT …); left may be a row.
func (a *analyzer) quantified(out *subqueryExpr, names []string, left *pg_query.Node, at int32) (expr, error) {
	e, err := a.expr(left)
	if err != nil {
		return nil, err
	}
	out.left = []expr{e}
	if row, ok := e.(*rowExpr); ok {
		out.left = row.elems
	}
	return a.matchColumns(out, names, at)
}

// matchColumns makes the comparison of the left side with a row of the subquery.
func (a *analyzer) matchColumns(out *subqueryExpr, names []string, at int32) (expr, error) {
	columns := out.block.columns()
	switch {
	case len(columns) < len(out.left):
		return nil, errorAt(at, pgwire.CodeSyntaxError, "subquery has too few columns")
	case len(columns) > len(out.left):
		return nil, errorAt(at, pgwire.CodeSyntaxError, "subquery has too many columns")
	}
	var l, r []expr
	for i, c := range columns {
		if info := out.left[i].info(); info.oid == types.Unknown {
			converted, err := a.argument(out.left[i], a.base(c.Type))
			if err != nil {
				return nil, err
			}
			out.left[i] = converted
		}
		left, right := a.operand(out.left[i].info().oid, out.left[i].info().at), a.operand(c.Type, at)
		out.l, out.columns = append(out.l, left), append(out.columns, right)
		l, r = append(l, left), append(r, right)
	}
	var err error
	if len(l) == 1 {
		out.test, err = a.operator(names, l[0], r[0], at)
	} else {
		out.test, err = a.compareRows(names, l, r, at)
	}
	if err != nil {
		return nil, err
	}
	if out.test.info().oid != types.Bool {
		return nil, errorAt(at, pgwire.CodeDatatypeMismatch, "row comparison operator must yield type boolean, not type %s", a.typeName(out.test.info().oid))
	}
	return out, nil
}

// rowSubquery is (a, b) op (SELECT …), which has at most one row.
func (a *analyzer) rowSubquery(names []string, left *pg_query.Node, s *pg_query.SubLink, at int32) (expr, error) {
	b, err := a.selectStatement(s.Subselect.GetSelectStmt(), false)
	if err != nil {
		return nil, err
	}
	out := &subqueryExpr{typing: typing{oid: types.Bool, typmod: -1, at: at}, block: b, kind: subqueryRow}
	return a.quantified(out, names, left, at)
}
