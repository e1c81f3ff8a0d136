package query

import (
	"bytes"
	"math"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// onceNode makes one row without columns.
type onceNode struct{}

func (*onceNode) estimate() float64 { return 1 }

// filterNode keeps the rows that pass all conditions.
type filterNode struct {
	child      node
	conditions []expr
}

func (n *filterNode) estimate() float64 {
	return math.Max(1, n.child.estimate()*math.Pow(0.3, float64(len(n.conditions))))
}

// scanNode reads a relation.
type scanNode struct {
	rng  int
	item *rangeItem
	// filters are passed to the source; all conditions are checked again.
	filters    []scanFilter
	conditions []expr
	rows       float64
}

// scanFilter is a condition for the source. Its values are computed when the scan opens.
type scanFilter struct {
	column     int
	comparison schema.Comparison
	values     []expr
	array      expr // of In and Overlaps: an array instead of values
	// own says that the value has the column's own type.
	outer bool // depends on other ranges or blocks
}

func (n *scanNode) estimate() float64 { return n.rows }

// newScan finds what of the conditions the source can use.
func newScan(r *rangeItem, rng int, conditions []expr) *scanNode {
	n := &scanNode{rng: rng, item: r, conditions: conditions, rows: rowsUnknown}
	if r.relation.Rows > 0 {
		n.rows = float64(r.relation.Rows)
	}
	slices.SortStableFunc(n.conditions, func(x, y expr) int { return cost(x) - cost(y) })
	for _, c := range conditions {
		f, ok := filterOf(c, r, rng)
		if !ok {
			n.rows *= 0.5
			continue
		}
		n.filters = append(n.filters, f)
		switch {
		case f.comparison == schema.Equal && (f.column == 0 || slices.Contains(r.relation.Lookup, f.column)):
			n.rows = math.Min(n.rows*0.05, 3)
		case f.comparison == schema.Equal:
			n.rows *= 0.1
		default:
			n.rows *= 0.3
		}
	}
	n.rows = math.Max(n.rows, 1)
	return n
}

// filterOf makes a filter of a condition on a bare column.
func filterOf(e expr, r *rangeItem, rng int) (scanFilter, bool) {
	width := len(r.columns)
	usable := func(column int, value expr) bool {
		ranges, _ := usedRanges(value)
		return column < width && !slices.Contains(ranges, rng) && !isCostly(value) && !isVolatile(value) &&
			classOf(value.info().oid) == classOf(r.columns[column].Type) && (classOf(value.info().oid) != keyOwn || value.info().oid == r.columns[column].Type)
	}
	isOuter := func(value expr) bool {
		ranges, outer := usedRanges(value)
		return outer || len(ranges) > 0
	}
	if left, right, ok := equality(e); ok {
		for _, side := range [][2]expr{{left, right}, {right, left}} {
			if column, ok := columnOf(side[0], rng); ok && usable(column, side[1]) {
				return scanFilter{column: column, comparison: schema.Equal, values: []expr{side[1]}, outer: isOuter(side[1])}, true
			}
		}
		return scanFilter{}, false
	}
	if x, ok := e.(*anyArrayExpr); ok && !x.all {
		return anyFilter(x, r, rng, width, isOuter)
	}
	if x, ok := e.(*callExpr); ok && x.operator != nil && len(x.args) == 2 {
		return operatorFilter(x, r, rng, width, isOuter)
	}
	if x, ok := e.(*boolExpr); ok && x.op == pg_query.BoolExprType_OR_EXPR {
		return orFilter(x, r, rng)
	}
	return scanFilter{}, false
}

// orFilter is column = a OR column = b, possibly with more conditions in each arm.
func orFilter(x *boolExpr, r *rangeItem, rng int) (scanFilter, bool) {
	out := scanFilter{column: -1, comparison: schema.In}
	for _, arm := range x.args {
		found := false
		for _, part := range conjuncts(nil, arm) {
			if _, isOr := part.(*boolExpr); isOr {
				continue
			}
			f, ok := filterOf(part, r, rng)
			if ok && !found && f.comparison == schema.Equal && (out.column < 0 || out.column == f.column) {
				out.column, out.outer, found = f.column, out.outer || f.outer, true
				out.values = append(out.values, f.values...)
			}
		}
		if !found {
			return scanFilter{}, false
		}
	}
	return out, true
}

// anyFilter is column = ANY (array), or value = ANY (column) of an array column.
func anyFilter(x *anyArrayExpr, r *rangeItem, rng, width int, isOuter func(expr) bool) (scanFilter, bool) {
	test, ok := x.test.(*callExpr)
	if !ok || test.operator == nil || test.operator.Name != "=" || !isComparison(test) {
		return scanFilter{}, false
	}
	if column, ok := columnOf(x.left, rng); ok && column < width && !dependsOn(x.array, rng) &&
		classOf(x.element.oid) == classOf(r.columns[column].Type) && classOf(x.element.oid) != keyOwn {
		return scanFilter{column: column, comparison: schema.In, array: x.array, outer: isOuter(x.array)}, true
	}
	if column, ok := columnOf(x.array, rng); ok && column < width && !dependsOn(x.left, rng) {
		return scanFilter{column: column, comparison: schema.Overlaps, values: []expr{x.left}, outer: isOuter(x.left)}, true
	}
	return scanFilter{}, false
}

func dependsOn(e expr, rng int) bool {
	ranges, _ := usedRanges(e)
	return slices.Contains(ranges, rng) || isCostly(e) || isVolatile(e)
}

// operatorFilter is column LIKE pattern, column ^@ prefix, array && array, array @> array.
func operatorFilter(x *callExpr, r *rangeItem, rng, width int, isOuter func(expr) bool) (scanFilter, bool) {
	column, ok := columnOf(x.args[0], rng)
	value := x.args[1]
	if !ok || column >= width || dependsOn(value, rng) {
		return scanFilter{}, false
	}
	f := scanFilter{column: column, outer: isOuter(value)}
	switch {
	case x.operator.Name == "~~" && classOf(r.columns[column].Type) == keyText:
		pattern, ok := value.(*constExpr)
		if !ok || pattern.value.IsNull {
			return f, false
		}
		prefix, _, _ := LikePrefix(pattern.value.Bytes)
		if len(prefix) == 0 {
			return f, false
		}
		f.comparison, f.values = schema.Prefix, []expr{constantOf(types.Text, types.OfBytes(prefix), -1)}
		return f, true
	case x.operator.Name == "^@":
		f.comparison, f.values = schema.Prefix, []expr{value}
		return f, true
	case x.operator.Name == "&&" && r.columns[column].Type == value.info().oid:
		f.comparison, f.array = schema.Overlaps, value
		return f, true
	case x.operator.Name == "@>" && r.columns[column].Type == value.info().oid && r.columns[column].Type.Elem() != 0:
		f.comparison, f.array = schema.Contains, value
		return f, true
	}
	return f, false
}

// LikePrefix cuts the literal beginning off a pattern. isPure reports that the pattern is
// that prefix followed by one %, or by nothing (then isExact).
func LikePrefix(pattern []byte) (prefix []byte, isPure, isExact bool) {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '%':
			return prefix, len(bytes.Trim(pattern[i:], "%")) == 0, false
		case '_':
			return prefix, false, false
		case '\\':
			i++
			if i == len(pattern) {
				return prefix, false, false
			}
		}
		prefix = append(prefix, pattern[i])
	}
	return prefix, true, true
}

// subqueryNode reads a subquery in FROM.
type subqueryNode struct {
	rng  int
	item *rangeItem
	plan *blockPlan
}

func (n *subqueryNode) estimate() float64 { return n.plan.estimate() }

// estimate is about how many rows a block has.
func (p *blockPlan) estimate() float64 {
	b := p.block
	rows := float64(1)
	switch {
	case p.left != nil:
		rows = p.left.estimate() + p.right.estimate()
	case p.source != nil:
		rows = p.source.estimate()
	}
	if b.isGrouped {
		if rows = math.Max(1, rows/5); len(b.groups) == 0 {
			rows = 1
		}
	}
	if k, ok := b.limit.(*constExpr); ok && !k.value.IsNull {
		rows = math.Min(rows, float64(k.value.Int))
	}
	return math.Max(rows, 1)
}

// functionNode calls functions in FROM.
type functionNode struct {
	rng  int
	item *rangeItem
}

func (n *functionNode) estimate() float64 {
	for _, c := range n.item.calls {
		if call, ok := c.expr.(*callExpr); ok && call.function.ReturnsSet {
			return 10
		}
	}
	return 1
}

// valuesNode makes the rows of VALUES.
type valuesNode struct {
	rng  int
	item *rangeItem
}

func (n *valuesNode) estimate() float64 { return float64(len(n.item.rows)) }

// cteNode reads a WITH query, which runs once.
type cteNode struct {
	rng  int
	item *rangeItem
}

func (n *cteNode) estimate() float64 { return 100 }

// joinNode joins two nodes.
type joinNode struct {
	kind          pg_query.JoinType
	left, right   node
	leftR, rightR []int
	leftK, rightK []expr // equal in all rows joined
	conditions    []expr // besides the keys
	reopens       bool   // the right side depends on the left's row
	rows          float64
}

func (n *joinNode) estimate() float64 { return n.rows }

// makeJoin plans a join of the sides of n. lookup plans the right side under the keys, if
// that can be; then the rows are looked up for each of the left's.
func makeJoin(n joinNode, on []expr, lateral bool, lookup func(keys []expr) node) node {
	var keys []expr
	for _, c := range on {
		if l, r, ok := splitEquality(c, n.leftR, n.rightR); ok {
			n.leftK, n.rightK, keys = append(n.leftK, l), append(n.rightK, r), append(keys, c)
			continue
		}
		n.conditions = append(n.conditions, c)
	}
	leftRows, rightRows := n.left.estimate(), n.right.estimate()
	n.rows = leftRows * rightRows
	if len(n.leftK) > 0 {
		n.rows = math.Max(leftRows, rightRows) * math.Min(1, math.Min(leftRows, rightRows)/20)
		n.rows = math.Max(math.Min(n.rows, leftRows*rightRows), math.Min(leftRows, rightRows))
	}
	n.rows = math.Max(1, n.rows*math.Pow(0.5, float64(len(n.conditions))))
	if n.kind != pg_query.JoinType_JOIN_INNER {
		n.rows = math.Max(n.rows, leftRows)
	}
	if lateral {
		n.conditions = append(n.conditions, keys...)
		n.leftK, n.rightK, n.reopens = nil, nil, true
		return &n
	}
	if lookup == nil || len(keys) == 0 || n.kind == pg_query.JoinType_JOIN_FULL || leftRows > lookupRowsMax || leftRows*4 >= rightRows {
		return &n
	}
	if looked := lookup(keys); hasLookup(looked) {
		n.right, n.reopens = looked, true
		n.conditions = append(n.conditions, keys...)
		n.leftK, n.rightK = nil, nil
	}
	return &n
}

// lookupRowsMax is up to how many rows of one side the other is looked up by key for each.
const lookupRowsMax = 200

// hasLookup reports a scan by an equality with something outside of it.
func hasLookup(n node) bool {
	if f, ok := n.(*filterNode); ok {
		n = f.child
	}
	s, ok := n.(*scanNode)
	return ok && slices.ContainsFunc(s.filters, func(f scanFilter) bool { return f.comparison == schema.Equal && f.outer })
}

// splitEquality takes l = r apart if each side reads only its side of the join.
func splitEquality(c expr, leftR, rightR []int) (l, r expr, ok bool) {
	x, y, ok := equality(c)
	if !ok || isCostly(c) || isVolatile(c) {
		return nil, nil, false
	}
	xr, _ := usedRanges(x)
	yr, _ := usedRanges(y)
	switch {
	case len(xr) == 0 || len(yr) == 0:
		return nil, nil, false
	case contains(leftR, xr) && contains(rightR, yr):
		return x, y, true
	case contains(leftR, yr) && contains(rightR, xr):
		return y, x, true
	}
	return nil, nil, false
}
