package query

import (
	"slices"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// from analyzes FROM.
func (a *analyzer) from(b *block, list []*pg_query.Node) error {
	for _, n := range list {
		item, names, err := a.fromItem(n)
		if err != nil {
			return err
		}
		if err := a.checkAliases(a.scope.items, names); err != nil {
			return err
		}
		b.from = append(b.from, item)
		a.scope.items = append(a.scope.items, names...)
	}
	return nil
}

// checkAliases refuses a name that is there twice, unless it is that of two relations of
// different schemas.
func (a *analyzer) checkAliases(have, more []*scopeItem) error {
	for _, x := range have {
		for _, y := range more {
			if x.unnamed || y.unnamed || x.alias != y.alias || x.schema != "" && y.schema != "" && x.schema != y.schema {
				continue
			}
			return pgwire.Errorf(pgwire.CodeDuplicateAlias, "table name \"%s\" specified more than once", x.alias)
		}
	}
	return nil
}

func (a *analyzer) fromItem(n *pg_query.Node) (fromItem, []*scopeItem, error) {
	if a.ranges++; a.ranges > rangesMax {
		return nil, nil, pgwire.Errorf(pgwire.CodeStatementTooComplex, "statement has more than %d relations", rangesMax)
	}
	switch n := n.Node.(type) {
	case *pg_query.Node_RangeVar:
		return a.single(a.rangeVar(n.RangeVar))
	case *pg_query.Node_RangeSubselect:
		return a.single(a.rangeSubselect(n.RangeSubselect))
	case *pg_query.Node_RangeFunction:
		return a.single(a.rangeFunction(n.RangeFunction))
	case *pg_query.Node_JoinExpr:
		return a.join(n.JoinExpr)
	case *pg_query.Node_RangeTableSample:
		return a.sample(n.RangeTableSample)
	case *pg_query.Node_RangeTableFunc:
		return nil, nil, unsupported(n.RangeTableFunc.Location, "XMLTABLE is")
	}
	return nil, nil, unsupported(-1, "this item in FROM is")
}

// single adds a range to the block and the names it makes.
func (a *analyzer) single(r *rangeItem, alias *pg_query.Alias, err error) (fromItem, []*scopeItem, error) {
	if err != nil {
		return nil, nil, err
	}
	if err := r.rename(alias); err != nil {
		return nil, nil, err
	}
	b := a.scope.block
	rng := len(b.ranges)
	b.ranges = append(b.ranges, r)
	item := &scopeItem{alias: r.alias, rng: rng, unnamed: r.alias == ""}
	if r.relation != nil && alias == nil {
		item.schema = r.relation.Schema
	}
	for i, c := range r.columns {
		var fields []schema.Column
		if i < len(r.fields) {
			fields = r.fields[i]
		}
		item.columns = append(item.columns, scopeColumn{name: c.Name, make: func(level int, at int32) expr {
			return a.rangeColumn(r, rng, i, c, fields, level, at)
		}})
	}
	return &fromRange{rng}, []*scopeItem{item}, nil
}

// rename applies AS alias (columns…).
func (r *rangeItem) rename(alias *pg_query.Alias) error {
	if alias == nil {
		return nil
	}
	r.alias = alias.Aliasname
	names := Names(alias.Colnames)
	if len(names) > len(r.columns) {
		return pgwire.Errorf(pgwire.CodeInvalidColumnReference, "table \"%s\" has %d columns available but %d columns specified",
			r.alias, len(r.columns), len(names))
	}
	if len(names) > 0 || r.kind == rangeFunction {
		r.columns = slices.Clone(r.columns)
	}
	for i, name := range names {
		r.columns[i].Name = name
	}
	if r.kind == rangeFunction && len(names) == 0 && len(r.calls) == 1 && !r.calls[0].spreads && len(r.columns) > 0 {
		r.columns[0].Name = r.alias // a function's one value is named like it
	}
	return nil
}

func (a *analyzer) rangeVar(v *pg_query.RangeVar) (*rangeItem, *pg_query.Alias, error) {
	if v.Schemaname == "" {
		if r := a.cteReference(v.Relname); r != nil {
			if r.cte.columns == nil {
				return nil, nil, unsupported(v.Location, "this reference to a WITH query is")
			}
			return r, v.Alias, nil
		}
	}
	relation, err := a.findRelation(v)
	if err != nil {
		return nil, nil, err
	}
	if relation.IsRestricted {
		a.restricted = relation
	}
	r := &rangeItem{kind: rangeRelation, name: relation.Name, alias: relation.Name, columns: relation.Columns, relation: relation, rowType: relation.RowType}
	if relation.Source != nil {
		return r, v.Alias, nil
	}
	r.block, err = a.expandView(relation)
	if err != nil {
		return nil, nil, err
	}
	r.kind = rangeSubquery
	return r, v.Alias, nil
}

func (a *analyzer) findRelation(v *pg_query.RangeVar) (*schema.Relation, error) {
	if v.Schemaname != "" {
		if r := a.catalog.Relation(v.Schemaname, v.Relname); r != nil {
			return r, nil
		}
		return nil, errorAt(v.Location, pgwire.CodeUndefinedTable, "relation \"%s.%s\" does not exist", v.Schemaname, v.Relname)
	}
	for _, s := range a.path {
		if r := a.catalog.Relation(s, v.Relname); r != nil {
			return r, nil
		}
	}
	e := errorAt(v.Location, pgwire.CodeUndefinedTable, "relation \"%s\" does not exist", v.Relname)
	best := len(v.Relname)/2 + 1
	for _, s := range a.path {
		if s == "pg_catalog" {
			continue
		}
		for _, name := range a.catalog.RelationNames(s) { // PostgreSQL gives no hint here
			if d := Distance(v.Relname, name); d < best {
				best, e.Hint = d, "Perhaps you meant \""+name+"\"."
			}
		}
	}
	return nil, e
}

// expandView analyzes the text of a view with nothing of the statement around it in sight.
func (a *analyzer) expandView(r *schema.Relation) (*block, error) {
	if slices.Contains(a.views, r.OID) {
		return nil, pgwire.Errorf(pgwire.CodeInternalError, "view %s.%s contains itself", r.Schema, r.Name)
	}
	s, err := a.parse(r.View)
	if err != nil {
		return nil, err
	}
	path := []string{"pg_catalog"}
	if r.Schema != path[0] {
		path = append(path, r.Schema)
	}
	inner := &analyzer{catalog: a.catalog, path: path, params: newParams(nil, true), parse: a.parse, names: a.names,
		views: append(slices.Clone(a.views), r.OID), ranges: a.ranges}
	b, err := inner.selectStatement(s, false)
	a.ranges = inner.ranges
	if err != nil {
		if e, ok := err.(*pgwire.Error); ok {
			e.Position = 0 // of the view's text, which the client does not see
			e.Where = "view " + r.Schema + "." + r.Name
		}
		return nil, err
	}
	if got := b.columns(); len(got) != len(r.Columns) {
		return nil, pgwire.Errorf(pgwire.CodeInternalError, "view %s.%s makes %d columns instead of %d", r.Schema, r.Name, len(got), len(r.Columns))
	}
	return b, inner.fitColumns(b, r.Columns)
}

// fitColumns casts the columns of a view's query to the declared ones.
func (a *analyzer) fitColumns(b *block, columns []schema.Column) error {
	for i, c := range columns {
		if err := a.coerceColumn(b, i, c.Type, types.Explicit, "view"); err != nil {
			return err
		}
	}
	return nil
}

func (a *analyzer) rangeSubselect(s *pg_query.RangeSubselect) (*rangeItem, *pg_query.Alias, error) {
	restore := a.hideSiblings(!s.Lateral)
	b, err := a.selectStatement(s.Subquery.GetSelectStmt(), false)
	restore()
	if err != nil {
		return nil, nil, err
	}
	r := &rangeItem{kind: rangeSubquery, block: b, isLateral: s.Lateral}
	r.columns, r.fields = b.columnsAndFields()
	return r, s.Alias, nil
}

// columnsAndFields describes rows, with the fields of columns that are records.
func (b *block) columnsAndFields() ([]schema.Column, [][]schema.Column) {
	fields := make([][]schema.Column, 0, len(b.targets))
	for _, t := range b.targets {
		if !t.isJunk {
			fields = append(fields, t.expr.info().fields)
		}
	}
	return b.columns(), fields
}

// hideSiblings takes the other items of FROM out of sight for what is not LATERAL.
func (a *analyzer) hideSiblings(hide bool) (restore func()) {
	s := a.scope
	items, shadow := s.items, s.shadow
	if hide {
		s.shadow = append(slices.Clone(shadow), items...)
		s.items = nil
	}
	return func() { s.items, s.shadow = items, shadow }
}

// join analyzes a JOIN.
func (a *analyzer) join(j *pg_query.JoinExpr) (fromItem, []*scopeItem, error) {
	outer := a.scope.items
	defer func() { a.scope.items = outer }()
	left, leftNames, err := a.fromItem(j.Larg)
	if err != nil {
		return nil, nil, err
	}
	forbids := j.Jointype == pg_query.JoinType_JOIN_RIGHT || j.Jointype == pg_query.JoinType_JOIN_FULL
	for _, item := range leftNames {
		item.forbidden = item.forbidden || forbids
	}
	a.scope.items = append(slices.Clone(outer), leftNames...)
	right, rightNames, err := a.fromItem(j.Rarg)
	if err != nil {
		return nil, nil, err
	}
	for _, item := range leftNames {
		item.forbidden = false
	}
	if err := a.checkAliases(leftNames, rightNames); err != nil {
		return nil, nil, err
	}
	names := append(slices.Clone(leftNames), rightNames...)
	out := &fromJoin{kind: j.Jointype, left: left, right: right}
	a.scope.items = names
	var merged *scopeItem
	switch {
	case j.IsNatural:
		merged, err = a.using(out, leftNames, rightNames, commonNames(leftNames, rightNames))
	case len(j.UsingClause) > 0:
		merged, err = a.using(out, leftNames, rightNames, Names(j.UsingClause))
	case j.Quals != nil:
		out.on, err = a.conditionAt(j.Quals, placeOn, "JOIN/ON")
	}
	if err != nil {
		return nil, nil, err
	}
	if merged != nil && j.JoinUsingAlias != nil {
		// The alias of USING names the merged columns, beside the tables.
		alias := *merged
		alias.alias, alias.hidden, alias.unnamed = j.JoinUsingAlias.Aliasname, true, false
		names = append(names, &alias)
	}
	if merged != nil {
		names = append([]*scopeItem{merged}, names...)
	}
	if j.Alias != nil {
		names, err = joinAlias(j.Alias, names)
	}
	return out, names, err
}

// commonNames are the columns that both sides of a NATURAL JOIN have.
func commonNames(left, right []*scopeItem) []string {
	var out []string
	l, r := scope{items: left}, scope{items: right}
	for _, item := range left {
		for _, c := range item.columns {
			if item.hidden || c.hidden || slices.Contains(out, c.name) {
				continue
			}
			if _, n := l.find(c.name); n == 0 {
				continue
			}
			if _, n := r.find(c.name); n > 0 {
				out = append(out, c.name)
			}
		}
	}
	return out
}

// using makes the condition of USING, and the item with the merged columns; the columns
// they are merged of are hidden from then on.
func (a *analyzer) using(j *fromJoin, left, right []*scopeItem, names []string) (*scopeItem, error) {
	l, r := scope{items: left}, scope{items: right}
	merged := &scopeItem{rng: -1, unnamed: true}
	var conditions []expr
	for _, name := range names {
		lc, err := usingColumn(&l, name, "left")
		if err != nil {
			return nil, err
		}
		rc, err := usingColumn(&r, name, "right")
		if err != nil {
			return nil, err
		}
		e, err := a.operator([]string{"="}, lc.make(0, -1), rc.make(0, -1), -1)
		if err != nil {
			return nil, err
		}
		conditions = append(conditions, e)
		c, err := a.mergedColumn(j.kind, name, *lc, *rc)
		if err != nil {
			return nil, err
		}
		merged.columns = append(merged.columns, c)
	}
	hide := func(items []*scopeItem) {
		for _, item := range items {
			for i := range item.columns {
				if slices.Contains(names, item.columns[i].name) {
					item.columns[i].hidden = true
				}
			}
		}
	}
	hide(left)
	hide(right)
	j.on = andOf(conditions)
	return merged, nil
}

func andOf(conditions []expr) expr {
	switch len(conditions) {
	case 0:
		return nil
	case 1:
		return conditions[0]
	}
	return &boolExpr{typing: typing{oid: types.Bool, typmod: -1, at: conditions[0].info().at}, op: pg_query.BoolExprType_AND_EXPR, args: conditions}
}

func usingColumn(s *scope, name, side string) (*scopeColumn, error) {
	c, n := s.find(name)
	switch {
	case n == 0:
		return nil, pgwire.Errorf(pgwire.CodeUndefinedColumn, "column \"%s\" specified in USING clause does not exist in %s table", name, side)
	case n > 1:
		return nil, pgwire.Errorf(pgwire.CodeAmbiguousColumn, "common column name \"%s\" appears more than once in %s table", name, side)
	}
	return c, nil
}

// mergedColumn is the one column that USING makes of two.
func (a *analyzer) mergedColumn(kind pg_query.JoinType, name string, left, right scopeColumn) (scopeColumn, error) {
	build := func(level int, at int32) (expr, error) {
		sides := []expr{left.make(level, at), right.make(level, at)}
		both, common, err := a.unify(sides, "JOIN/USING")
		if err != nil {
			return nil, err
		}
		switch kind {
		case pg_query.JoinType_JOIN_FULL:
			return &pickExpr{typing: typing{oid: common, typmod: commonTypmod(sides), at: at}, kind: pickCoalesce, args: both}, nil
		case pg_query.JoinType_JOIN_RIGHT:
			return both[1], nil
		}
		return both[0], nil
	}
	if _, err := build(0, -1); err != nil {
		return scopeColumn{}, err
	}
	return scopeColumn{name: name, make: func(level int, at int32) expr {
		e, _ := build(level, at) // it succeeded once, and depends on types only
		return e
	}}, nil
}

// joinAlias hides all names of a join behind one.
func joinAlias(alias *pg_query.Alias, names []*scopeItem) ([]*scopeItem, error) {
	out := &scopeItem{alias: alias.Aliasname, rng: -1}
	for _, item := range names {
		if item.hidden {
			continue
		}
		for _, c := range item.columns {
			if !c.hidden {
				out.columns = append(out.columns, c)
			}
		}
	}
	renamed := Names(alias.Colnames)
	if len(renamed) > len(out.columns) {
		return nil, pgwire.Errorf(pgwire.CodeInvalidColumnReference, "join expression \"%s\" has %d columns available but %d columns specified",
			out.alias, len(out.columns), len(renamed))
	}
	for i, name := range renamed {
		out.columns[i].name = name
	}
	return []*scopeItem{out}, nil
}

// functionAlias is the name of a function in FROM without AS.
func functionAlias(n *pg_query.Node) string {
	if call := n.GetFuncCall(); call != nil {
		names := Names(call.Funcname)
		return names[len(names)-1]
	}
	name, _ := figureName(n)
	return strings.TrimSpace(name)
}
