package query

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/types"
)

// blockPlan is how a block runs.
type blockPlan struct {
	block *block
	// gates are conditions that do not depend on rows: if one fails there are none.
	gates  []expr
	source node
	// sides are the plans of a set operation.
	left, right *blockPlan
	// outer are the columns of blocks around it that the block reads.
	outer []*columnExpr
	// isRound: the block reads the rows that the last round of a recursive query around it added.
	isRound bool
}

// isFixed reports that the block has the same rows whenever it runs.
func (b *blockPlan) isFixed() bool { return len(b.outer) == 0 && !b.isRound }

// node makes the rows of FROM: each row is what the slots of its ranges hold.
type node interface {
	compile(x *execution) (opener, error)
	estimate() float64
}

// planner plans the blocks of one statement.
type planner struct {
	plans map[*block]*blockPlan
	// open are the blocks being planned, each within the one before.
	open []*blockPlan
	// recursing are the recursive queries whose second part is being planned, with how many
	// blocks were open then.
	recursing map[*cte]int
}

// rowsUnknown is how many rows something has of which nothing is known.
const rowsUnknown = 1000

func (p *planner) block(b *block) *blockPlan {
	if done := p.plans[b]; done != nil {
		return done
	}
	out := &blockPlan{block: b, outer: outerColumns(b)}
	p.plans[b] = out
	p.open = append(p.open, out)
	defer func() { p.open = p.open[:len(p.open)-1] }()
	for _, c := range b.ctes {
		p.cte(c)
	}
	for _, place := range b.expressions() {
		p.subqueries(*place)
	}
	if b.setLeft != nil {
		out.left, out.right = p.block(b.setLeft), p.block(b.setRight)
		return out
	}
	conditions := conjuncts(nil, b.where)
	var local []expr
	for _, c := range conditions {
		if ranges, _ := usedRanges(c); len(ranges) == 0 && !isVolatile(c) {
			out.gates = append(out.gates, c)
		} else {
			local = append(local, c)
		}
	}
	out.source = p.from(b, b.from, local)
	return out
}

// markRound notes that the blocks being planned read a WITH query, if that is one whose rows
// change from round to round.
func (p *planner) markRound(c *cte) {
	if from, ok := p.recursing[c]; ok {
		for _, b := range p.open[from:] {
			b.isRound = true
		}
	}
}

func (p *planner) cte(c *cte) {
	if c.isRecursive {
		p.block(c.once)
		p.recursing[c] = len(p.open)
		p.block(c.recursive)
		delete(p.recursing, c)
		return
	}
	p.block(c.block)
}

// subqueries plans the subqueries of an expression.
func (p *planner) subqueries(e expr) {
	visit(&e, 0, func(place *expr, depth int) bool {
		if s, ok := (*place).(*subqueryExpr); ok && depth == 0 {
			p.block(s.block)
		}
		return depth == 0
	})
}

// outerColumns are the columns of blocks around b that it reads, seen from outside of b:
// their level is 0 for the block that b is part of.
func outerColumns(b *block) []*columnExpr {
	var out []*columnExpr
	visitBlock(b, 0, func(p *expr, depth int) bool {
		c, ok := (*p).(*columnExpr)
		if !ok || c.level <= depth {
			return true
		}
		own := *c
		own.level -= depth + 1
		if !slices.ContainsFunc(out, func(o *columnExpr) bool { return o.level == own.level && o.rng == own.rng && o.column == own.column }) {
			out = append(out, &own)
		}
		return true
	})
	return out
}

// conjuncts splits a condition at its ANDs.
func conjuncts(list []expr, e expr) []expr {
	if e == nil {
		return list
	}
	if b, ok := e.(*boolExpr); ok && b.op == pg_query.BoolExprType_AND_EXPR {
		for _, arg := range b.args {
			list = conjuncts(list, arg)
		}
		return list
	}
	return append(list, e)
}

// unit is what joins are ordered by: a range, or an outer join with all that is in it.
type unit struct {
	item    fromItem
	members []int
	// needs are the members of other units that must come first, because it is LATERAL.
	needs []int
	conds []expr
	node  node // under conds alone, planned once
}

// from plans joins under conditions that all rows must pass.
func (p *planner) from(b *block, items []fromItem, conditions []expr) node {
	var units []*unit
	for _, item := range items {
		units, conditions = flatten(units, conditions, item)
	}
	if len(units) == 0 {
		return filtered(&onceNode{}, conditions)
	}
	all := make([]int, 0, len(units))
	for _, u := range units {
		u.members = u.item.members()
		all = append(all, u.members...)
	}
	for _, u := range units {
		u.needs = p.needs(b, u, all)
	}
	var late []expr // conditions over several units, or that are costly
	for _, c := range conditions {
		ranges, _ := usedRanges(c)
		i := slices.IndexFunc(units, func(u *unit) bool { return contains(u.members, ranges) })
		if i < 0 || isCostly(c) || isVolatile(c) || len(ranges) == 0 {
			late = append(late, c)
			continue
		}
		units[i].conds = append(units[i].conds, c)
	}
	for _, c := range late {
		for _, u := range units {
			if part := restriction(c, u.members); part != nil {
				u.conds = append(u.conds, part)
			}
		}
	}
	return p.order(b, units, late)
}

// restriction is what a condition of the form (a AND b) OR (c AND d) says of some ranges
// alone: (a OR c) if a and c are about them; nil if one arm says nothing. It follows from
// the condition, which has to be checked all the same.
func restriction(c expr, members []int) expr {
	or, ok := c.(*boolExpr)
	if !ok || or.op != pg_query.BoolExprType_OR_EXPR {
		return nil
	}
	var arms []expr
	for _, arm := range or.args {
		var own []expr
		for _, part := range conjuncts(nil, arm) {
			ranges, _ := usedRanges(part)
			if len(ranges) > 0 && contains(members, ranges) && !isCostly(part) && !isVolatile(part) {
				own = append(own, part)
			}
		}
		if len(own) == 0 {
			return nil
		}
		arms = append(arms, andOf(own))
	}
	return &boolExpr{typing: or.typing, op: or.op, args: arms}
}

// flatten takes inner joins apart into units and conditions.
func flatten(units []*unit, conditions []expr, item fromItem) ([]*unit, []expr) {
	if j, ok := item.(*fromJoin); ok && j.kind == pg_query.JoinType_JOIN_INNER {
		units, conditions = flatten(units, conditions, j.left)
		units, conditions = flatten(units, conditions, j.right)
		return units, conjuncts(conditions, j.on)
	}
	return append(units, &unit{item: item}), conditions
}

// needs are the ranges of other units that a unit reads.
func (p *planner) needs(b *block, u *unit, all []int) []int {
	var out []int
	for _, rng := range u.members {
		for _, other := range b.ranges[rng].reads() {
			if slices.Contains(all, other) && !slices.Contains(u.members, other) && !slices.Contains(out, other) {
				out = append(out, other)
			}
		}
	}
	u.item.conditions(func(e *expr) {
		if *e == nil {
			return
		}
		ranges, _ := usedRanges(*e)
		for _, other := range ranges {
			if slices.Contains(all, other) && !slices.Contains(u.members, other) && !slices.Contains(out, other) {
				out = append(out, other)
			}
		}
	})
	return out
}

// reads are the ranges of the same block that a range needs the rows of.
func (r *rangeItem) reads() []int {
	var out []int
	add := func(rng int) {
		if !slices.Contains(out, rng) {
			out = append(out, rng)
		}
	}
	if r.block != nil {
		for _, c := range outerColumns(r.block) {
			if c.level == 0 {
				add(c.rng)
			}
		}
	}
	for _, c := range r.calls {
		ranges, _ := usedRanges(c.expr)
		for _, rng := range ranges {
			add(rng)
		}
	}
	return out
}

func contains(all, some []int) bool {
	for _, i := range some {
		if !slices.Contains(all, i) {
			return false
		}
	}
	return true
}

// isCostly reports conditions that run subqueries.
func isCostly(e expr) bool {
	return anyExpr(e, func(e expr, _ int) bool { _, is := e.(*subqueryExpr); return is })
}

// order joins units one by one, the one that makes the fewest rows next.
func (p *planner) order(b *block, units []*unit, late []expr) node {
	var out node
	var have []int
	for len(units) > 0 {
		best, bestRows := -1, 0.0
		var bestNode node
		for i, u := range units {
			if !contains(have, u.needs) {
				continue
			}
			n := p.join(b, out, have, u, late)
			rows := n.estimate()
			if best < 0 || rows < bestRows {
				best, bestRows, bestNode = i, rows, n
			}
		}
		u := units[best]
		out, have = bestNode, append(have, u.members...)
		units = slices.Delete(units, best, best+1)
		late = slices.DeleteFunc(late, func(c expr) bool {
			ranges, _ := usedRanges(c)
			return !isCostly(c) && !isVolatile(c) && len(ranges) > 0 && contains(have, ranges)
		})
	}
	return filtered(out, late)
}

// join adds a unit to what is joined so far (out nil: nothing), with the conditions that
// then can be checked.
func (p *planner) join(b *block, out node, have []int, u *unit, late []expr) node {
	if u.node == nil {
		u.node = p.unit(b, u.item, u.conds)
	}
	if out == nil {
		return u.node
	}
	all := append(slices.Clone(have), u.members...)
	var conditions []expr
	for _, c := range late {
		ranges, _ := usedRanges(c)
		if !isCostly(c) && !isVolatile(c) && len(ranges) > 0 && contains(all, ranges) {
			conditions = append(conditions, c)
		}
	}
	return makeJoin(joinNode{kind: pg_query.JoinType_JOIN_INNER, left: out, leftR: have, right: u.node, rightR: u.members}, conditions,
		len(u.needs) > 0, p.lookup(b, u.item, u.conds))
}

// lookup plans a range again under further conditions; nil for what is not a relation.
func (p *planner) lookup(b *block, item fromItem, conditions []expr) func(keys []expr) node {
	f, ok := item.(*fromRange)
	if !ok || b.ranges[f.rng].kind != rangeRelation {
		return nil
	}
	return func(keys []expr) node { return p.rangeNode(b, f.rng, append(slices.Clone(conditions), keys...)) }
}

// unit plans a range or an outer join under conditions on its own rows.
func (p *planner) unit(b *block, item fromItem, conditions []expr) node {
	if f, ok := item.(*fromRange); ok {
		return p.rangeNode(b, f.rng, conditions)
	}
	j := item.(*fromJoin)
	left, right, kind := j.left, j.right, j.kind
	if kind == pg_query.JoinType_JOIN_RIGHT {
		left, right, kind = right, left, pg_query.JoinType_JOIN_LEFT
	}
	if kind == pg_query.JoinType_JOIN_INNER {
		return p.from(b, []fromItem{j}, conditions)
	}
	leftMembers, rightMembers := left.members(), right.members()
	var pushed, above []expr
	for _, c := range conditions {
		ranges, _ := usedRanges(c)
		if kind == pg_query.JoinType_JOIN_LEFT && contains(leftMembers, ranges) {
			pushed = append(pushed, c)
		} else {
			above = append(above, c)
		}
	}
	var own, on []expr
	for _, c := range conjuncts(nil, j.on) {
		ranges, _ := usedRanges(c)
		if kind == pg_query.JoinType_JOIN_LEFT && len(ranges) > 0 && contains(rightMembers, ranges) && !isCostly(c) && !isVolatile(c) {
			own = append(own, c)
		} else {
			on = append(on, c)
		}
	}
	lateral := false
	for _, rng := range rightMembers {
		for _, other := range b.ranges[rng].reads() {
			lateral = lateral || slices.Contains(leftMembers, other)
		}
	}
	n := joinNode{kind: kind, left: p.from(b, []fromItem{left}, pushed), leftR: leftMembers, right: p.from(b, []fromItem{right}, own), rightR: rightMembers}
	return filtered(makeJoin(n, on, lateral, p.lookup(b, right, own)), above)
}

// rangeNode plans one range.
func (p *planner) rangeNode(b *block, rng int, conditions []expr) node {
	r := b.ranges[rng]
	switch r.kind {
	case rangeRelation:
		return newScan(r, rng, conditions)
	case rangeSubquery:
		if p.plans[r.block] == nil {
			conditions = pushInto(r.block, rng, conditions)
			prune(r.block, r.used)
		}
		return filtered(&subqueryNode{rng: rng, item: r, plan: p.block(r.block)}, conditions)
	case rangeFunction:
		return filtered(&functionNode{rng: rng, item: r}, conditions)
	case rangeValues:
		return filtered(&valuesNode{rng: rng, item: r}, conditions)
	case rangeCTE:
		p.markRound(r.cte)
		return filtered(&cteNode{rng: rng, item: r}, conditions)
	}
	return filtered(&onceNode{}, conditions)
}

// filtered puts conditions, the cheap ones first, over a node.
func filtered(n node, conditions []expr) node {
	if len(conditions) == 0 {
		return n
	}
	sorted := slices.Clone(conditions)
	slices.SortStableFunc(sorted, func(x, y expr) int { return cost(x) - cost(y) })
	return &filterNode{child: n, conditions: sorted}
}

func cost(e expr) int {
	if isCostly(e) {
		return 1
	}
	return 0
}

// equality takes left = right apart, if it is that over types of one class of keys.
func equality(e expr) (left, right expr, ok bool) {
	c, is := e.(*callExpr)
	if !is || c.operator == nil || c.operator.Name != "=" || len(c.args) != 2 || !isComparison(c) {
		return nil, nil, false
	}
	return c.args[0], c.args[1], true
}

// isComparison reports an operator that compares two values by what package types says of
// their type: it needs no function.
func isComparison(c *callExpr) bool {
	if c.operator == nil || len(c.args) != 2 || c.operator.Result != types.Bool {
		return false
	}
	switch c.operator.Name {
	case "=", "<>", "<", "<=", ">", ">=":
		return comparesByType(c.argTypes[0], c.argTypes[1])
	}
	return false
}

func comparesByType(l, r types.OID) bool {
	class := classOf(l)
	switch {
	case class != classOf(r):
		return false
	case class == keyOwn:
		return l == r && hasPlainOrder(l)
	}
	return true
}

// hasPlainOrder reports types of class keyOwn that types.Compare orders as PostgreSQL does.
func hasPlainOrder(oid types.OID) bool {
	switch oid {
	case types.Bool, types.Char, types.Bytea, types.UUID, types.Timestamp, types.TimestampTZ, types.Interval, typeDate, typeTime,
		typeInt2Vector, typeOidVector, typeTid, typeRecord, typeAnyArray:
		return true
	}
	return oid.Elem() != 0
}

// column takes a bare column of one range apart.
func columnOf(e expr, rng int) (int, bool) {
	for {
		c, ok := e.(*castExpr)
		if !ok || c.method != castRelabel {
			break
		}
		e = c.arg
	}
	c, ok := e.(*columnExpr)
	if !ok || c.level != 0 || c.rng != rng || c.column < 0 {
		return 0, false
	}
	return c.column, true
}
