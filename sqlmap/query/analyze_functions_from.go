package query

import (
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// rangeFunction analyzes functions in FROM: one, or several as ROWS FROM.
func (a *analyzer) rangeFunction(f *pg_query.RangeFunction) (*rangeItem, *pg_query.Alias, error) {
	r := &rangeItem{kind: rangeFunction, ordinality: f.Ordinality, isLateral: true}
	functions := splitUnnest(f.Functions)
	for i, n := range functions {
		items := n.GetList().GetItems()
		call, err := a.rangeCall(items, f)
		if err != nil {
			return nil, nil, err
		}
		if i == 0 {
			r.name = functionAlias(items[0])
			r.alias = r.name
		}
		r.calls = append(r.calls, call)
		r.columns = append(r.columns, call.columns...)
	}
	if f.Ordinality {
		r.columns = append(r.columns, schema.Column{Name: "ordinality", Type: types.Int8, Typmod: -1})
	}
	r.fields = make([][]schema.Column, len(r.columns))
	if len(r.calls) == 1 && !f.Ordinality && r.calls[0].spreads {
		if t := r.calls[0].expr.info().oid; a.isComposite(t) {
			r.rowType = t
		}
	}
	return r, f.Alias, nil
}

// splitUnnest makes several functions of one unnest of several arrays.
func splitUnnest(functions []*pg_query.Node) []*pg_query.Node {
	var out []*pg_query.Node
	for _, n := range functions {
		items := n.GetList().GetItems()
		var call *pg_query.FuncCall
		if len(items) > 0 {
			call = items[0].GetFuncCall()
		}
		names := Names(call.GetFuncname())
		if call == nil || len(call.Args) < 2 || call.FuncVariadic || len(names) == 0 || names[len(names)-1] != "unnest" ||
			len(names) == 2 && names[0] != "pg_catalog" {
			out = append(out, n)
			continue
		}
		for _, arg := range call.Args {
			one := &pg_query.FuncCall{Funcname: call.Funcname, Args: []*pg_query.Node{arg}, Location: call.Location}
			item := &pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: one}}
			out = append(out, &pg_query.Node{Node: &pg_query.Node_List{List: &pg_query.List{Items: []*pg_query.Node{item}}}})
		}
	}
	return out
}

// rangeCall analyzes one function and what columns it makes.
func (a *analyzer) rangeCall(items []*pg_query.Node, f *pg_query.RangeFunction) (rangeCall, error) {
	if len(items) == 0 {
		return rangeCall{}, unsupported(-1, "this function in FROM is")
	}
	e, err := a.at(placeFrom, items[0])
	if err != nil {
		return rangeCall{}, err
	}
	if e, err = a.known(e); err != nil {
		return rangeCall{}, err
	}
	call := rangeCall{expr: e}
	definitions := f.Coldeflist
	if len(items) > 1 && len(items[1].GetList().GetItems()) > 0 {
		definitions = items[1].GetList().GetItems()
	}
	info := e.info()
	fields := a.fields(e)
	switch {
	case len(definitions) > 0:
		if info.oid != typeRecord || fields != nil {
			return rangeCall{}, errorAt(info.at, pgwire.CodeSyntaxError, "a column definition list is only allowed for functions returning \"record\"")
		}
		call.spreads = true
		call.columns, err = a.columnDefinitions(definitions)
		info.fields = call.columns
		return call, err
	case info.oid == typeRecord && fields == nil:
		return rangeCall{}, errorAt(info.at, pgwire.CodeSyntaxError, "a column definition list is required for functions returning \"record\"")
	case fields != nil:
		call.spreads = true
		call.columns = fields
		return call, nil
	}
	name := functionAlias(items[0])
	if c, ok := e.(*callExpr); ok && len(c.function.Outs) == 1 && c.function.Outs[0].Name != "" {
		name = c.function.Outs[0].Name // a single OUT parameter names the column
	}
	call.columns = []schema.Column{{Name: name, Type: info.oid, Typmod: info.typmod}}
	return call, nil
}

// columnDefinitions are those of AS t(a int, b text).
func (a *analyzer) columnDefinitions(list []*pg_query.Node) ([]schema.Column, error) {
	var out []schema.Column
	for _, n := range list {
		d := n.GetColumnDef()
		oid, typmod, err := a.resolveType(d.GetTypeName())
		if err != nil {
			return nil, err
		}
		out = append(out, schema.Column{Name: d.Colname, Type: oid, Typmod: typmod})
	}
	return out, nil
}

// valuesStatement analyzes VALUES as a query.
func (a *analyzer) valuesStatement(b *block, s *pg_query.SelectStmt) error {
	r := &rangeItem{kind: rangeValues, name: "*VALUES*", alias: "*VALUES*"}
	width := len(s.ValuesLists[0].GetList().GetItems())
	for _, n := range s.ValuesLists {
		items := n.GetList().GetItems()
		if len(items) != width {
			at := int32(-1)
			if e, err := a.at(placeValues, items[0]); err == nil {
				at = location(e)
			}
			return errorAt(at, pgwire.CodeSyntaxError, "VALUES lists must all be the same length")
		}
		row := make([]expr, width)
		for i, item := range items {
			if item.GetSetToDefault() != nil {
				return errorAt(item.GetSetToDefault().Location, pgwire.CodeSyntaxError, "DEFAULT is not allowed in this context")
			}
			e, err := a.at(placeValues, item)
			if err != nil {
				return err
			}
			row[i] = e
		}
		r.rows = append(r.rows, row)
	}
	if err := a.valuesTypes(r, width); err != nil {
		return err
	}
	b.from = []fromItem{&fromRange{0}}
	b.ranges = []*rangeItem{r}
	a.scope.items = []*scopeItem{{alias: r.alias, rng: 0}}
	for i, c := range r.columns {
		make := func(level int, at int32) expr { return a.rangeColumn(r, 0, i, c, r.fields[i], level, at) }
		a.scope.items[0].columns = append(a.scope.items[0].columns, scopeColumn{name: c.Name, make: make})
		b.targets = append(b.targets, target{expr: make(0, -1), name: c.Name})
	}
	if err := a.sortClause(b, s.SortClause); err != nil {
		return err
	}
	return a.limits(b, s)
}

// valuesTypes gives each column of VALUES the common type of its rows.
func (a *analyzer) valuesTypes(r *rangeItem, width int) error {
	r.fields = make([][]schema.Column, width)
	for i := range width {
		column := make([]expr, len(r.rows))
		for j := range r.rows {
			column[j] = r.rows[j][i]
		}
		typmod := commonTypmod(column)
		unified, common, err := a.unify(column, "VALUES")
		if err != nil {
			return err
		}
		for j := range r.rows {
			r.rows[j][i] = unified[j]
		}
		r.fields[i] = unified[0].info().fields
		r.columns = append(r.columns, schema.Column{Name: "column" + strconv.Itoa(i+1), Type: common, Typmod: typmod})
	}
	return nil
}

// setOperation analyzes UNION, INTERSECT and EXCEPT.
func (a *analyzer) setOperation(b *block, s *pg_query.SelectStmt) error {
	b.setOperation, b.setAll = s.Op, s.All
	var err error
	if b.setLeft, err = a.selectStatement(s.Larg, true); err != nil {
		return err
	}
	if b.setRight, err = a.selectStatement(s.Rarg, true); err != nil {
		return err
	}
	if err := a.matchSides(b, setName(s.Op)); err != nil {
		return err
	}
	if !b.setAll {
		for i := range b.targets {
			if err := a.checkDistinct(b.targets[i].expr); err != nil {
				return err
			}
		}
	}
	names := make([]scopeColumn, 0, len(b.targets))
	for _, t := range b.targets {
		names = append(names, scopeColumn{name: t.name, make: func(int, int32) expr { return t.expr }})
	}
	a.scope.items = []*scopeItem{{rng: -1, unnamed: true, columns: names}}
	if err := a.sortClause(b, s.SortClause); err != nil {
		return err
	}
	for _, t := range b.targets {
		if t.isJunk {
			e := errorAt(location(t.expr), pgwire.CodeFeatureNotSupported, "invalid UNION/INTERSECT/EXCEPT ORDER BY clause")
			e.Detail = "Only result column names can be used, not expressions or functions."
			e.Hint = "Add the expression/function to every SELECT, or move the UNION into a FROM clause."
			return e
		}
	}
	return a.limits(b, s)
}

func setName(op pg_query.SetOperation) string {
	switch op {
	case pg_query.SetOperation_SETOP_INTERSECT:
		return "INTERSECT"
	case pg_query.SetOperation_SETOP_EXCEPT:
		return "EXCEPT"
	}
	return "UNION"
}

// matchSides gives the columns of both sides their common types and makes the block's
// targets, which read the rows of its one range.
func (a *analyzer) matchSides(b *block, what string) error {
	left, right := visibleTargets(b.setLeft), visibleTargets(b.setRight)
	if len(left) != len(right) {
		at := int32(-1)
		if len(right) > 0 {
			at = location(b.setRight.targets[right[0]].expr)
		}
		return errorAt(at, pgwire.CodeSyntaxError, "each %s query must have the same number of columns", what)
	}
	r := &rangeItem{kind: rangeComputed, name: what}
	for i := range left {
		sides := []expr{b.setLeft.targets[left[i]].expr, b.setRight.targets[right[i]].expr}
		common, err := a.commonType(sides, what)
		if err != nil {
			return err
		}
		typmod := commonTypmod(sides)
		fields := sides[0].info().fields
		if err := a.coerceColumn(b.setLeft, i, common, types.Implicit, what); err != nil {
			return err
		}
		if err := a.coerceColumn(b.setRight, i, common, types.Implicit, what); err != nil {
			return err
		}
		c := schema.Column{Name: b.setLeft.targets[left[i]].name, Type: common, Typmod: typmod}
		r.columns, r.fields = append(r.columns, c), append(r.fields, fields)
	}
	b.ranges = []*rangeItem{r}
	for i, c := range r.columns {
		b.targets = append(b.targets, target{expr: a.rangeColumn(r, 0, i, c, r.fields[i], 0, -1), name: c.Name})
	}
	return nil
}

// visibleTargets are the positions of the targets that are no junk.
func visibleTargets(b *block) []int {
	var out []int
	for i, t := range b.targets {
		if !t.isJunk {
			out = append(out, i)
		}
	}
	return out
}

// coerceColumn converts the i-th column of a block to a type, in both sides of a set
// operation.
func (a *analyzer) coerceColumn(b *block, i int, oid types.OID, context types.Context, what string) error {
	t := &b.targets[visibleTargets(b)[i]]
	if b.setLeft != nil {
		if t.expr.info().oid == oid {
			return nil
		}
		if err := a.coerceColumn(b.setLeft, i, oid, context, what); err != nil {
			return err
		}
		if err := a.coerceColumn(b.setRight, i, oid, context, what); err != nil {
			return err
		}
		b.ranges[0].columns[i].Type = oid
		t.expr.info().oid = oid
		return nil
	}
	e, err := a.tryCoerce(t.expr, oid, context)
	if err == nil && e == nil {
		err = errorAt(location(t.expr), pgwire.CodeCannotCoerce, "%s could not convert type %s to %s", what, a.typeName(t.expr.info().oid), a.typeName(oid))
	}
	if err == nil {
		t.expr = e
	}
	return err
}
