package query

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/types"
)

// transform copies an expression, with replace deciding what stands for a node (nil: the
// node itself, its children transformed). It returns nil if there is a node that cannot be
// copied.
func transform(e expr, replace func(e expr) expr) expr {
	if r := replace(e); r == uncopyable {
		return nil
	} else if r != nil {
		return r
	}
	out := copyNode(e)
	if out == nil {
		return nil
	}
	for _, p := range out.children() {
		if *p == nil {
			continue
		}
		if *p = transform(*p, replace); *p == nil {
			return nil
		}
	}
	return out
}

// uncopyable is what replace returns to give up.
var uncopyable expr = &operand{}

// copyNode copies a node so that its children can be replaced; nil for nodes with blocks.
func copyNode(e expr) expr {
	switch e := e.(type) {
	case *constExpr, *paramExpr, *operand, *sqlValueExpr:
		return e
	case *columnExpr:
		c := *e
		return &c
	case *callExpr:
		c := *e
		c.args = slices.Clone(e.args)
		return &c
	case *boolExpr:
		c := *e
		c.args = slices.Clone(e.args)
		return &c
	case *testExpr:
		c := *e
		return &c
	case *caseExpr:
		c := *e
		c.conditions, c.results = slices.Clone(e.conditions), slices.Clone(e.results)
		return &c
	case *pickExpr:
		c := *e
		c.args = slices.Clone(e.args)
		return &c
	case *nullIfExpr:
		c := *e
		return &c
	case *distinctExpr:
		c := *e
		return &c
	case *anyArrayExpr:
		c := *e
		return &c
	case *arrayExpr:
		c := *e
		c.elems = slices.Clone(e.elems)
		return &c
	case *rowExpr:
		c := *e
		c.elems = slices.Clone(e.elems)
		return &c
	case *rowCompareExpr:
		c := *e
		c.tests, c.equals = slices.Clone(e.tests), slices.Clone(e.equals)
		return &c
	case *fieldExpr:
		c := *e
		return &c
	case *subscriptExpr:
		c := *e
		c.subscripts = slices.Clone(e.subscripts)
		return &c
	case *castExpr:
		c := *e
		c.fields = slices.Clone(e.fields)
		return &c
	}
	return nil
}

// pushInto moves conditions on the rows of a subquery into it, where they can mean fewer
// rows to read; it returns those that have to stay.
func pushInto(b *block, rng int, conditions []expr) []expr {
	var stay []expr
	for _, c := range conditions {
		if isVolatile(c) || isCostly(c) || !push(b, rng, c) {
			stay = append(stay, c)
		}
	}
	return stay
}

// push adds one condition to a block, if all rows that pass it are the rows that would have
// passed it afterwards.
func push(b *block, rng int, condition expr) bool {
	if !acceptsConditions(b) {
		return false
	}
	if b.setLeft != nil {
		if b.setOperation != pg_query.SetOperation_SETOP_UNION || !canPush(b.setLeft, rng, condition) || !canPush(b.setRight, rng, condition) {
			return false
		}
		return push(b.setLeft, rng, condition) && push(b.setRight, rng, condition)
	}
	inner := substitute(b, rng, condition)
	if inner == nil {
		return false
	}
	b.where = andOf(append(conjuncts(nil, b.where), inner))
	return true
}

func canPush(b *block, rng int, condition expr) bool {
	if !acceptsConditions(b) {
		return false
	}
	if b.setLeft != nil {
		return b.setOperation == pg_query.SetOperation_SETOP_UNION && canPush(b.setLeft, rng, condition) && canPush(b.setRight, rng, condition)
	}
	return substitute(b, rng, condition) != nil
}

func acceptsConditions(b *block) bool {
	isOn := b.isDistinct && len(b.distinctOn) < len(visibleTargets(b))
	return !b.isGrouped && len(b.windowCalls) == 0 && len(b.setCalls) == 0 && b.limit == nil && b.offset == nil && !isOn
}

// substitute rewrites a condition on the columns of a block's rows as one on what they are
// computed from; nil if that cannot be.
func substitute(b *block, rng int, condition expr) expr {
	visible := visibleTargets(b)
	return transform(condition, func(e expr) expr {
		c, ok := e.(*columnExpr)
		switch {
		case !ok:
			return nil
		case c.level > 0:
			own := *c
			own.level++
			return &own
		case c.rng != rng || c.column < 0 || c.column >= len(visible):
			return uncopyable // another range, or the whole row
		}
		target := b.targets[visible[c.column]].expr
		if isVolatile(target) || isCostly(target) {
			return uncopyable
		}
		if copied := transform(target, func(expr) expr { return nil }); copied != nil {
			return copied
		}
		return uncopyable
	})
}

// prune drops the computation of columns that nobody reads.
func prune(b *block, used []bool) {
	switch {
	case b.setLeft != nil:
		if b.setAll {
			prune(b.setLeft, used)
			prune(b.setRight, used)
		}
		return
	case b.isDistinct:
		return
	}
	for i, at := range visibleTargets(b) {
		if i < len(used) && used[i] || slices.ContainsFunc(b.sort, func(k sortKey) bool { return k.target == at }) {
			continue
		}
		if t := &b.targets[at]; !isVolatile(t.expr) {
			info := *t.expr.info()
			t.expr = &constExpr{leaf: leaf{info}, value: types.Null()}
		}
	}
}

// isFixed reports that the rows of a node are the same whatever rows the blocks around
// have: they can be kept for the whole statement.
func isFixed(n node) bool {
	free := func(list ...expr) bool {
		for _, e := range list {
			if e == nil {
				continue
			}
			if _, outer := usedRanges(e); outer || isVolatile(e) || isCostly(e) {
				return false
			}
		}
		return true
	}
	switch n := n.(type) {
	case *onceNode:
		return true
	case *filterNode:
		return free(n.conditions...) && isFixed(n.child)
	case *scanNode:
		return free(n.conditions...) && !slices.ContainsFunc(n.filters, func(f scanFilter) bool { return f.outer })
	case *subqueryNode:
		return n.plan.isFixed()
	case *valuesNode:
		for _, row := range n.item.rows {
			if !free(row...) {
				return false
			}
		}
		return true
	case *joinNode:
		return isFixed(n.left) && (n.reopens || isFixed(n.right)) && free(n.leftK...) && free(n.rightK...) && free(n.conditions...) &&
			(!n.reopens || onlyReads(n.right, append(slices.Clone(n.leftR), n.rightR...)))
	}
	return false
}

// onlyReads reports that a side of a join that is opened again and again is a look-up by
// the columns of the given ranges.
func onlyReads(n node, ranges []int) bool {
	s, ok := n.(*scanNode)
	if !ok {
		return false
	}
	for _, c := range s.conditions {
		used, outer := usedRanges(c)
		if outer || !contains(ranges, used) || isVolatile(c) || isCostly(c) {
			return false
		}
	}
	return true
}
