package query

import (
	"bytes"
	"slices"

	"pgcache/sqlmap/types"
)

// visit calls f for the expression at p and all below it, also inside subqueries, with the
// number of blocks entered since the start. f returning false keeps it from going deeper.
func visit(p *expr, depth int, f func(p *expr, depth int) bool) {
	if *p == nil || !f(p, depth) {
		return
	}
	for _, child := range (*p).children() {
		visit(child, depth, f)
	}
	if s, ok := (*p).(*subqueryExpr); ok {
		visitBlock(s.block, depth+1, f)
	}
}

// visitBlock visits all expressions of a block.
func visitBlock(b *block, depth int, f func(p *expr, depth int) bool) {
	for _, p := range b.expressions() {
		visit(p, depth, f)
	}
	for _, r := range b.ranges {
		if r.block != nil {
			visitBlock(r.block, depth+1, f)
		}
	}
	for _, c := range b.ctes {
		visitBlock(c.block, depth+1, f)
	}
	if b.setLeft != nil {
		visitBlock(b.setLeft, depth+1, f)
		visitBlock(b.setRight, depth+1, f)
	}
}

// expressions are the places of all expressions that belong to the block itself.
func (b *block) expressions() []*expr {
	var out []*expr
	add := func(p *expr) {
		if *p != nil {
			out = append(out, p)
		}
	}
	for i := range b.targets {
		add(&b.targets[i].expr)
	}
	for _, r := range b.ranges {
		for i := range r.calls {
			add(&r.calls[i].expr)
		}
		for i := range r.rows {
			for j := range r.rows[i] {
				add(&r.rows[i][j])
			}
		}
	}
	for _, item := range b.from {
		item.conditions(add)
	}
	add(&b.where)
	add(&b.having)
	for i := range b.groups {
		add(&b.groups[i])
	}
	for i := range b.aggregates {
		e := expr(b.aggregates[i])
		out = append(out, e.children()...)
	}
	for i := range b.windows {
		b.windows[i].places(add)
	}
	for i := range b.windowCalls {
		e := expr(b.windowCalls[i])
		out = append(out, e.children()...)
	}
	for i := range b.carried {
		add(&b.carried[i])
	}
	for i := range b.setCalls {
		for j := range b.setCalls[i] {
			out = append(out, b.setCalls[i][j].children()...)
		}
	}
	add(&b.limit)
	add(&b.offset)
	return out
}

// any reports whether f holds for some expression at or below e, with its depth.
func anyExpr(e expr, f func(e expr, depth int) bool) bool {
	found := false
	visit(&e, 0, func(p *expr, depth int) bool {
		found = found || f(*p, depth)
		return !found
	})
	return found
}

// usedRanges are the ranges of this block that e reads, and whether it reads any from
// further out.
func usedRanges(e expr) (ranges []int, outer bool) {
	visit(&e, 0, func(p *expr, depth int) bool {
		if c, ok := (*p).(*columnExpr); ok {
			switch {
			case c.level == depth && !slices.Contains(ranges, c.rng):
				ranges = append(ranges, c.rng)
			case c.level > depth:
				outer = true
			}
		}
		return true
	})
	return ranges, outer
}

// isVolatile reports whether e has effects or differs from one evaluation to the next.
func isVolatile(e expr) bool {
	return anyExpr(e, func(e expr, _ int) bool {
		c, ok := e.(*callExpr)
		return ok && c.function.Volatility == 'v'
	})
}

// hasSet reports whether e calls a set-returning function outside of its subqueries.
func hasSet(e expr) bool {
	return anyExpr(e, func(e expr, depth int) bool {
		c, ok := e.(*callExpr)
		return ok && depth == 0 && c.function.ReturnsSet
	})
}

// same reports whether two expressions are the same, as GROUP BY and DISTINCT understand it.
func same(a, b expr) bool { return sameAt(a, b, 0) }

// sameAt is same for b in a subquery of some depth.
func sameAt(a, b expr, depth int) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.info().oid != b.info().oid {
		return false
	}
	if x, ok := a.(*columnExpr); ok {
		y, ok := b.(*columnExpr)
		return ok && x.level+depth == y.level && x.rng == y.rng && x.column == y.column
	}
	if !sameNode(a, b) {
		return false
	}
	x, y := a.children(), b.children()
	return slices.EqualFunc(x, y, func(p, q *expr) bool { return sameAt(*p, *q, depth) })
}

// sameNode compares what is not in children.
func sameNode(a, b expr) bool {
	switch a := a.(type) {
	case *constExpr:
		b, ok := b.(*constExpr)
		return ok && sameValue(a.value, b.value)
	case *paramExpr:
		b, ok := b.(*paramExpr)
		return ok && a.number == b.number
	case *callExpr:
		b, ok := b.(*callExpr)
		return ok && a.function == b.function && a.spread == b.spread && a.gathered == b.gathered
	case *boolExpr:
		b, ok := b.(*boolExpr)
		return ok && a.op == b.op
	case *testExpr:
		b, ok := b.(*testExpr)
		return ok && a.kind == b.kind
	case *pickExpr:
		b, ok := b.(*pickExpr)
		return ok && a.kind == b.kind
	case *castExpr:
		b, ok := b.(*castExpr)
		return ok && a.method == b.method && a.function == b.function && a.typmod == b.typmod
	case *fieldExpr:
		b, ok := b.(*fieldExpr)
		return ok && a.index == b.index
	case *sqlValueExpr:
		b, ok := b.(*sqlValueExpr)
		return ok && a.op == b.op
	case *aggregateExpr:
		b, ok := b.(*aggregateExpr)
		return ok && a.sameCall(b)
	case *windowExpr:
		b, ok := b.(*windowExpr)
		return ok && a.function == b.function && a.window == b.window && a.star == b.star && (a.filter == nil) == (b.filter == nil)
	case *groupingExpr:
		b, ok := b.(*groupingExpr)
		return ok && a.level == b.level
	}
	return sameShape(a, b)
}

func (a *aggregateExpr) sameCall(b *aggregateExpr) bool {
	return a.function == b.function && a.distinct == b.distinct && a.star == b.star && a.level == b.level &&
		len(a.direct) == len(b.direct) && (a.filter == nil) == (b.filter == nil) &&
		slices.EqualFunc(a.order, b.order, func(x, y orderKey) bool {
			return x.descending == y.descending && x.nullsFirst == y.nullsFirst
		})
}

// sameShape compares nodes that are equal if their children are.
func sameShape(a, b expr) bool {
	switch a := a.(type) {
	case *caseExpr:
		b, ok := b.(*caseExpr)
		return ok && len(a.conditions) == len(b.conditions) && (a.arg == nil) == (b.arg == nil)
	case *operand:
		_, ok := b.(*operand)
		return ok
	case *nullIfExpr:
		_, ok := b.(*nullIfExpr)
		return ok
	case *distinctExpr:
		b, ok := b.(*distinctExpr)
		return ok && a.not == b.not
	case *anyArrayExpr:
		b, ok := b.(*anyArrayExpr)
		return ok && a.all == b.all
	case *arrayExpr:
		_, ok := b.(*arrayExpr)
		return ok
	case *rowExpr:
		_, ok := b.(*rowExpr)
		return ok
	case *subscriptExpr:
		b, ok := b.(*subscriptExpr)
		return ok && len(a.subscripts) == len(b.subscripts) && a.isSlice == b.isSlice
	case *rowCompareExpr:
		b, ok := b.(*rowCompareExpr)
		return ok && a.orSame == b.orSame
	case *subqueryExpr:
		return a == b
	}
	return false
}

// sameValue compares two values of one type by what they hold.
func sameValue(a, b types.Value) bool {
	return a.IsNull == b.IsNull && a.Int == b.Int && a.Float == b.Float && a.Days == b.Days && a.Months == b.Months &&
		bytes.Equal(a.Bytes, b.Bytes) && slices.EqualFunc(a.Elems, b.Elems, sameValue)
}

// location is where an expression begins in the statement: PostgreSQL's exprLocation.
func location(e expr) int32 {
	at := e.info().at
	switch e.(type) {
	case *callExpr, *boolExpr, *distinctExpr, *nullIfExpr, *anyArrayExpr, *testExpr, *castExpr, *fieldExpr, *subscriptExpr, *subqueryExpr:
	default:
		return at
	}
	children := e.children()
	if len(children) == 0 || *children[0] == nil {
		return at
	}
	if first := location(*children[0]); first >= 0 && (first < at || at < 0) {
		return first
	}
	return at
}
