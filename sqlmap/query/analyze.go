package query

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// analyzer analyzes one statement.
type analyzer struct {
	catalog schema.Catalog
	path    []string
	names   types.Names // along path
	params  *params
	scope   *scope
	// views are those being expanded, to stop at one that contains itself.
	views []types.OID
	// restricted is a relation that the statement names and that superusers only may, or nil.
	restricted *schema.Relation
	// ranges counts the ranges of the whole statement, against views that multiply.
	ranges int
	parse  func(sql string) (*pg_query.SelectStmt, error)
}

// rangesMax bounds how many ranges a statement may have, views expanded.
const rangesMax = 4000

func (a *analyzer) push(b *block) *scope {
	a.scope = &scope{parent: a.scope, block: b}
	return a.scope
}

func (a *analyzer) pop() { a.scope = a.scope.parent }

// selectStatement analyzes a query. If keepUnknown, literals of the select list stay
// unknown for a set operation to type them.
func (a *analyzer) selectStatement(s *pg_query.SelectStmt, keepUnknown bool) (*block, error) {
	if err := checkClauses(s); err != nil {
		return nil, err
	}
	b := &block{groupRange: -1, windowRange: -1}
	scope := a.push(b)
	defer a.pop()
	if s.WithClause != nil {
		if err := a.with(s.WithClause); err != nil {
			return nil, err
		}
	}
	scope.windowDefs = nil
	var err error
	switch {
	case s.Op > pg_query.SetOperation_SETOP_NONE:
		err = a.setOperation(b, s)
	case len(s.ValuesLists) > 0:
		err = a.valuesStatement(b, s)
	default:
		err = a.plainSelect(b, s, keepUnknown)
	}
	return b, err
}

func checkClauses(s *pg_query.SelectStmt) error {
	switch {
	case s.IntoClause != nil:
		return unsupported(-1, "SELECT INTO is")
	case len(s.LockingClause) > 0:
		return unsupported(-1, "FOR UPDATE and its like are")
	}
	return nil
}

func (a *analyzer) plainSelect(b *block, s *pg_query.SelectStmt, keepUnknown bool) error {
	scope := a.scope
	scope.windowDefs = nil
	if len(s.GroupClause) > 0 {
		s = a.groupedSet(s)
	}
	if err := a.from(b, s.FromClause); err != nil {
		return err
	}
	for _, n := range s.WindowClause {
		scope.windowDefs = append(scope.windowDefs, n.GetWindowDef())
	}
	var err error
	if b.targets, err = a.targets(s.TargetList); err != nil {
		return err
	}
	if s.WhereClause != nil {
		if b.where, err = a.conditionAt(s.WhereClause, placeWhere, "WHERE"); err != nil {
			return err
		}
	}
	if s.HavingClause != nil {
		if b.having, err = a.conditionAt(s.HavingClause, placeHaving, "HAVING"); err != nil {
			return err
		}
	}
	if err := a.sortClause(b, s.SortClause); err != nil {
		return err
	}
	if err := a.groupClause(b, s); err != nil {
		return err
	}
	if err := a.distinctClause(b, s.DistinctClause); err != nil {
		return err
	}
	if err := a.limits(b, s); err != nil {
		return err
	}
	if !keepUnknown {
		if err := a.knownTargets(b); err != nil {
			return err
		}
	}
	if err := a.namedWindows(b); err != nil {
		return err
	}
	return a.finishGroups(b, s)
}

func (a *analyzer) knownTargets(b *block) (err error) {
	for i := range b.targets {
		if b.targets[i].expr, err = a.known(b.targets[i].expr); err != nil {
			return err
		}
	}
	return nil
}

// at runs f with the place that expressions stand in.
func (a *analyzer) at(p place, n *pg_query.Node) (expr, error) {
	old := a.scope.place
	a.scope.place = p
	e, err := a.expr(n)
	a.scope.place = old
	return e, err
}

func (a *analyzer) conditionAt(n *pg_query.Node, p place, clause string) (expr, error) {
	e, err := a.at(p, n)
	if err != nil {
		return nil, err
	}
	return a.condition(e, clause)
}

// targets analyzes a select list.
func (a *analyzer) targets(list []*pg_query.Node) ([]target, error) {
	var out []target
	for _, n := range list {
		t := n.GetResTarget()
		if t == nil {
			return nil, unsupported(-1, "this select list is")
		}
		if ref := t.Val.GetColumnRef(); ref != nil && isStar(ref) {
			star, err := a.star(ref)
			if err != nil {
				return nil, err
			}
			out = append(out, star...)
			continue
		}
		if ind := t.Val.GetAIndirection(); ind != nil && len(ind.Indirection) > 0 && ind.Indirection[len(ind.Indirection)-1].GetAStar() != nil {
			fields, err := a.expandRow(ind)
			if err != nil {
				return nil, err
			}
			out = append(out, fields...)
			continue
		}
		e, err := a.at(placeSelect, t.Val)
		if err != nil {
			return nil, err
		}
		out = append(out, target{expr: e, name: TargetName(t)})
	}
	if len(out) > targetsMax {
		return nil, pgwire.Errorf(pgwire.CodeTooManyColumns, "target lists can have at most %d entries", targetsMax)
	}
	return out, nil
}

// targetsMax is PostgreSQL's.
const targetsMax = 1664

func isStar(ref *pg_query.ColumnRef) bool { return ref.Fields[len(ref.Fields)-1].GetAStar() != nil }

// star is * or name.*.
func (a *analyzer) star(ref *pg_query.ColumnRef) ([]target, error) {
	if len(ref.Fields) > 1 {
		names := Names(ref.Fields[:len(ref.Fields)-1])
		item, level := a.findItem(names)
		if item == nil {
			return nil, a.missingFrom(names[len(names)-1], ref.Location)
		}
		return item.targets(level, ref.Location, true), nil
	}
	var out []target
	found := false
	for _, item := range a.scope.items {
		if !item.hidden {
			found = true
			out = append(out, item.targets(0, ref.Location, false)...)
		}
	}
	if !found {
		return nil, errorAt(ref.Location, pgwire.CodeSyntaxError, "SELECT * with no tables specified is not valid")
	}
	return out, nil
}

func (item *scopeItem) targets(level int, at int32, all bool) []target {
	var out []target
	for _, c := range item.columns {
		if all || !c.hidden {
			out = append(out, target{expr: c.make(level, at), name: c.name})
		}
	}
	return out
}

// expandRow is (row).*.
func (a *analyzer) expandRow(ind *pg_query.A_Indirection) ([]target, error) {
	inner := &pg_query.Node{Node: &pg_query.Node_AIndirection{AIndirection: &pg_query.A_Indirection{
		Arg: ind.Arg, Indirection: ind.Indirection[:len(ind.Indirection)-1]}}}
	if len(ind.Indirection) == 1 {
		inner = ind.Arg
	}
	e, err := a.at(placeSelect, inner)
	if err != nil {
		return nil, err
	}
	fields := a.fields(e)
	if fields == nil {
		return nil, errorAt(location(e), pgwire.CodeWrongObjectType, "type %s is not composite", a.typeName(e.info().oid))
	}
	var out []target
	for i, f := range fields {
		out = append(out, target{expr: fieldOf(e, i, f), name: f.Name})
	}
	return out, nil
}

func fieldOf(e expr, i int, f schema.Column) expr {
	return &fieldExpr{typing: typing{oid: f.Type, typmod: f.Typmod, at: e.info().at}, arg: e, index: i}
}

// fields are the columns of an expression that is a row; nil if it is none, or not known.
func (a *analyzer) fields(e expr) []schema.Column {
	info := e.info()
	if info.oid == typeRecord {
		if c, ok := e.(*callExpr); ok && info.fields == nil {
			return c.function.Outs
		}
		return info.fields
	}
	if t := a.catalog.Type(a.base(info.oid)); t != nil && t.Kind == 'c' {
		return t.Fields
	}
	return nil
}

// sortClause analyzes ORDER BY. Its expressions become junk targets unless they are there.
func (a *analyzer) sortClause(b *block, list []*pg_query.Node) error {
	for _, n := range list {
		by := n.GetSortBy()
		i, err := a.findTarget(b, by.Node, placeOrderBy)
		if err != nil {
			return err
		}
		descending, nullsFirst, err := a.direction(by, b.targets[i].expr)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(b.sort, func(k sortKey) bool { return k.target == i }) {
			b.sort = append(b.sort, sortKey{target: i, descending: descending, nullsFirst: nullsFirst})
		}
	}
	return nil
}

// direction reads ASC, DESC, USING and NULLS.
func (a *analyzer) direction(by *pg_query.SortBy, e expr) (descending, nullsFirst bool, err error) {
	switch by.SortbyDir {
	case pg_query.SortByDir_SORTBY_DESC:
		descending = true
	case pg_query.SortByDir_SORTBY_USING:
		names := Names(by.UseOp)
		switch names[len(names)-1] {
		case "<":
		case ">":
			descending = true
		default:
			e := errorAt(by.Location, pgwire.CodeWrongObjectType, "operator %s is not a valid ordering operator", names[len(names)-1])
			e.Hint = "Ordering operators must be \"<\" or \">\" members of btree operator families."
			return false, false, e
		}
	}
	nullsFirst = descending
	switch by.SortbyNulls {
	case pg_query.SortByNulls_SORTBY_NULLS_FIRST:
		nullsFirst = true
	case pg_query.SortByNulls_SORTBY_NULLS_LAST:
		nullsFirst = false
	}
	return descending, nullsFirst, a.checkSortable(e)
}

func (a *analyzer) checkSortable(e expr) error {
	if a.isSortable(e.info().oid) {
		return nil
	}
	err := errorAt(location(e), pgwire.CodeUndefinedFunction, "could not identify an ordering operator for type %s", a.typeName(e.info().oid))
	err.Hint = "Use an explicit ordering operator or modify the query."
	return err
}

// isSortable reports types that have an order.
func (a *analyzer) isSortable(oid types.OID) bool {
	oid = a.base(oid)
	switch oid {
	case types.JSON, types.Xid, typeCid, 142, 600, 601, 602, 603, 604, 628, 718, 1033, 194, 3361, 3402, 4072:
		return false
	}
	if e := a.element(oid); e != 0 && e != oid {
		return a.isSortable(e)
	}
	return true
}

// findTarget is PostgreSQL's rule for ORDER BY, GROUP BY and DISTINCT ON: the name of an
// output, its number, or an expression, which is added as junk unless it is there.
func (a *analyzer) findTarget(b *block, n *pg_query.Node, p place) (int, error) {
	if ref := n.GetColumnRef(); ref != nil && len(ref.Fields) == 1 && !isStar(ref) {
		name := ref.Fields[0].GetString_().GetSval()
		isInput := false
		if p == placeGroupBy {
			_, count := a.scope.find(name)
			isInput = count > 0
		}
		found := -1
		for i, t := range b.targets {
			if isInput || t.isJunk || t.name != name {
				continue
			}
			if found >= 0 && !same(b.targets[found].expr, t.expr) {
				return 0, errorAt(ref.Location, pgwire.CodeAmbiguousColumn, "%s \"%s\" is ambiguous", p, name)
			}
			if found < 0 {
				found = i
			}
		}
		if found >= 0 {
			return found, a.knownTarget(b, found)
		}
	}
	if k := n.GetAConst(); k != nil {
		return a.targetNumber(b, k, p)
	}
	e, err := a.at(p, n)
	if err != nil {
		return 0, err
	}
	for i := range b.targets {
		if same(b.targets[i].expr, e) {
			return i, nil
		}
	}
	if e, err = a.known(e); err != nil {
		return 0, err
	}
	b.targets = append(b.targets, target{expr: e, isJunk: true})
	return len(b.targets) - 1, nil
}

func (a *analyzer) knownTarget(b *block, i int) (err error) {
	b.targets[i].expr, err = a.known(b.targets[i].expr)
	return err
}

func (a *analyzer) targetNumber(b *block, k *pg_query.A_Const, p place) (int, error) {
	if k.GetIval() == nil {
		return 0, errorAt(k.Location, pgwire.CodeSyntaxError, "non-integer constant in %s", p)
	}
	n := int(k.GetIval().Ival)
	at := 0
	for i, t := range b.targets {
		if t.isJunk {
			continue
		}
		if at++; at == n {
			return i, a.knownTarget(b, i)
		}
	}
	return 0, errorAt(k.Location, pgwire.CodeInvalidColumnReference, "%s position %d is not in select list", p, n)
}

// distinctClause analyzes DISTINCT and DISTINCT ON.
func (a *analyzer) distinctClause(b *block, list []*pg_query.Node) error {
	if len(list) == 0 {
		return nil
	}
	b.isDistinct = true
	if list[0].GetNode() == nil { // plain DISTINCT is a list of one empty node
		for i, t := range b.targets {
			if t.isJunk {
				return errorAt(location(t.expr), pgwire.CodeInvalidColumnReference, "for SELECT DISTINCT, ORDER BY expressions must appear in select list")
			}
			if err := a.checkDistinct(t.expr); err != nil {
				return err
			}
			b.distinctOn = append(b.distinctOn, i)
		}
		return nil
	}
	places := make(map[int]int32)
	for _, n := range list {
		i, err := a.findTarget(b, n, placeOrderBy)
		if err != nil {
			return err
		}
		if err := a.checkDistinct(b.targets[i].expr); err != nil {
			return err
		}
		if _, ok := places[i]; !ok {
			places[i] = nodeLocation(n)
			b.distinctOn = append(b.distinctOn, i)
		}
	}
	return checkDistinctOrder(b, places)
}

// checkDistinctOrder wants ORDER BY to begin with the expressions of DISTINCT ON, which
// stand at places.
func checkDistinctOrder(b *block, places map[int]int32) error {
	mismatch := func(target int) error {
		return errorAt(places[target], pgwire.CodeInvalidColumnReference, "SELECT DISTINCT ON expressions must match initial ORDER BY expressions")
	}
	skipped := false
	for _, k := range b.sort {
		switch isOn := slices.Contains(b.distinctOn, k.target); {
		case isOn && skipped:
			return mismatch(k.target)
		case !isOn:
			skipped = true
		}
	}
	for _, t := range b.distinctOn {
		if skipped && !slices.ContainsFunc(b.sort, func(k sortKey) bool { return k.target == t }) {
			return mismatch(t)
		}
	}
	return nil
}

// nodeLocation is where a simple expression stands, -1 if that is not known.
func nodeLocation(n *pg_query.Node) int32 {
	switch n := n.GetNode().(type) {
	case *pg_query.Node_ColumnRef:
		return n.ColumnRef.Location
	case *pg_query.Node_AConst:
		return n.AConst.Location
	case *pg_query.Node_FuncCall:
		return n.FuncCall.Location
	case *pg_query.Node_AExpr:
		if at := nodeLocation(n.AExpr.Lexpr); at >= 0 {
			return at
		}
		return n.AExpr.Location
	case *pg_query.Node_TypeCast:
		return nodeLocation(n.TypeCast.Arg)
	}
	return -1
}

// checkDistinct refuses types without equality.
func (a *analyzer) checkDistinct(e expr) error {
	oid := a.base(e.info().oid)
	if oid == types.JSON || oid == 142 || oid == 600 || oid == 604 || oid == 194 {
		return errorAt(location(e), pgwire.CodeUndefinedFunction, "could not identify an equality operator for type %s", a.typeName(oid))
	}
	return nil
}

func (a *analyzer) limits(b *block, s *pg_query.SelectStmt) (err error) {
	b.withTies = s.LimitOption == pg_query.LimitOption_LIMIT_OPTION_WITH_TIES
	if b.withTies && len(b.sort) == 0 {
		return errorAt(-1, pgwire.CodeSyntaxError, "WITH TIES cannot be specified without ORDER BY clause")
	}
	if b.offset, err = a.rowCount(s.LimitOffset, "OFFSET"); err != nil {
		return err
	}
	b.limit, err = a.rowCount(s.LimitCount, "LIMIT")
	return err
}

func (a *analyzer) rowCount(n *pg_query.Node, clause string) (expr, error) {
	if n == nil {
		return nil, nil
	}
	items := a.scope.items
	e, err := a.at(placeLimit, n)
	a.scope.items = items
	if err != nil {
		return nil, err
	}
	if ranges, _ := usedRanges(e); len(ranges) > 0 {
		return nil, errorAt(location(e), pgwire.CodeInvalidColumnReference, "argument of %s must not contain variables", clause)
	}
	out, err := a.tryCoerce(e, types.Int8, types.Assignment)
	if err == nil && out == nil {
		err = errorAt(location(e), pgwire.CodeDatatypeMismatch, "argument of %s must be type bigint, not type %s", clause, a.typeName(e.info().oid))
	}
	return out, err
}
