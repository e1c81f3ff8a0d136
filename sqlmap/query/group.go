package query

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// groupingSetsMax is PostgreSQL's bound of expanded grouping sets.
const groupingSetsMax = 4096

// groupClause analyzes GROUP BY into the expressions and the sets of them.
func (a *analyzer) groupClause(b *block, s *pg_query.SelectStmt) error {
	if len(s.GroupClause) == 0 {
		return nil
	}
	b.isGrouped = true
	sets := [][]int{{}}
	hasSets := false
	for _, n := range s.GroupClause {
		alternatives, isSet, err := a.groupItem(b, n)
		if err != nil {
			return err
		}
		hasSets = hasSets || isSet
		var crossed [][]int
		for _, x := range sets {
			for _, y := range alternatives {
				crossed = append(crossed, unionOf(x, y))
			}
		}
		if sets = crossed; len(sets) > groupingSetsMax {
			return pgwire.Errorf(pgwire.CodeStatementTooComplex, "too many grouping sets present (maximum %d)", groupingSetsMax)
		}
	}
	if !hasSets {
		return nil
	}
	if s.GroupDistinct {
		var distinct [][]int
		for _, x := range sets {
			slices.Sort(x)
			if !slices.ContainsFunc(distinct, func(y []int) bool { return slices.Equal(x, y) }) {
				distinct = append(distinct, x)
			}
		}
		sets = distinct
	}
	b.sets = sets
	return nil
}

func unionOf(x, y []int) []int {
	out := slices.Clone(x)
	for _, i := range y {
		if !slices.Contains(out, i) {
			out = append(out, i)
		}
	}
	return out
}

// groupItem returns the grouping sets that an item of GROUP BY stands for.
func (a *analyzer) groupItem(b *block, n *pg_query.Node) (sets [][]int, isSet bool, err error) {
	g := n.GetGroupingSet()
	if g == nil {
		list, err := a.groupKeys(b, n)
		return [][]int{list}, false, err
	}
	switch g.Kind {
	case pg_query.GroupingSetKind_GROUPING_SET_EMPTY:
		return [][]int{{}}, true, nil
	case pg_query.GroupingSetKind_GROUPING_SET_ROLLUP, pg_query.GroupingSetKind_GROUPING_SET_CUBE:
		var items [][]int
		for _, c := range g.Content {
			list, err := a.groupKeys(b, c)
			if err != nil {
				return nil, true, err
			}
			items = append(items, list)
		}
		if g.Kind == pg_query.GroupingSetKind_GROUPING_SET_ROLLUP {
			return rollup(items), true, nil
		}
		if len(items) > 12 {
			return nil, true, errorAt(g.Location, pgwire.CodeTooManyColumns, "CUBE is limited to 12 elements")
		}
		return cube(items), true, nil
	}
	for _, c := range g.Content {
		inner, _, err := a.groupItem(b, c)
		if err != nil {
			return nil, true, err
		}
		sets = append(sets, inner...)
	}
	return sets, true, nil
}

func rollup(items [][]int) [][]int {
	var sets [][]int
	for n := len(items); n >= 0; n-- {
		var set []int
		for _, item := range items[:n] {
			set = unionOf(set, item)
		}
		sets = append(sets, set)
	}
	return sets
}

func cube(items [][]int) [][]int {
	var sets [][]int
	for bits := 1<<len(items) - 1; bits >= 0; bits-- {
		var set []int
		for i, item := range items {
			if bits&(1<<(len(items)-1-i)) != 0 {
				set = unionOf(set, item)
			}
		}
		sets = append(sets, set)
	}
	return sets
}

// groupKeys adds the expressions of an item of GROUP BY, of which a row makes several.
func (a *analyzer) groupKeys(b *block, n *pg_query.Node) ([]int, error) {
	if row := n.GetRowExpr(); row != nil && row.RowFormat == pg_query.CoercionForm_COERCE_IMPLICIT_CAST {
		var out []int
		for _, item := range row.Args {
			list, err := a.groupKeys(b, item)
			if err != nil {
				return nil, err
			}
			out = unionOf(out, list)
		}
		return out, nil
	}
	targets := len(b.targets)
	i, err := a.findTarget(b, n, placeGroupBy)
	if err != nil {
		return nil, err
	}
	e := b.targets[i].expr
	b.targets = b.targets[:targets] // grouping expressions need no target
	if anyExpr(e, func(e expr, depth int) bool { x, is := e.(*aggregateExpr); return is && x.level == depth }) {
		return nil, errorAt(location(e), pgwire.CodeGroupingError, "aggregate functions are not allowed in GROUP BY")
	}
	if anyExpr(e, func(e expr, depth int) bool { _, is := e.(*windowExpr); return is && depth == 0 }) {
		return nil, errorAt(location(e), pgwire.CodeWindowingError, "window functions are not allowed in GROUP BY")
	}
	if err := a.checkDistinct(e); err != nil {
		return nil, err
	}
	for i := range b.groups {
		if same(b.groups[i], e) {
			return []int{i}, nil
		}
	}
	b.groups = append(b.groups, e)
	return []int{len(b.groups) - 1}, nil
}

// grouping analyzes GROUPING(…).
func (a *analyzer) grouping(g *pg_query.GroupingFunc) (expr, error) {
	args, err := a.exprs(g.Args)
	if err != nil {
		return nil, err
	}
	if len(args) > 31 {
		return nil, errorAt(g.Location, pgwire.CodeTooManyArguments, "GROUPING must have fewer than 32 arguments")
	}
	return &groupingExpr{typing: typing{oid: types.Int4, typmod: -1, at: g.Location}, args: args}, nil
}

// finishGroups separates the block into what happens before and after grouping, windows
// and set-returning functions: expressions above a step read the row it computes.
func (a *analyzer) finishGroups(b *block, s *pg_query.SelectStmt) error {
	b.isGrouped = b.isGrouped || a.scope.hasAggregates || b.having != nil
	if b.isGrouped {
		if err := a.groupStep(b); err != nil {
			return err
		}
	}
	if err := a.windowStep(b); err != nil {
		return err
	}
	return a.setStep(b)
}

// above are the places of the expressions that are computed after grouping.
func (b *block) above() []*expr {
	var out []*expr
	for i := range b.targets {
		out = append(out, &b.targets[i].expr)
	}
	if b.having != nil {
		out = append(out, &b.having)
	}
	for i := range b.windows {
		b.windows[i].places(func(p *expr) {
			if *p != nil {
				out = append(out, p)
			}
		})
	}
	return out
}

func (a *analyzer) groupStep(b *block) error {
	b.groupRange = len(b.ranges)
	r := &rangeItem{kind: rangeComputed, name: "group"}
	b.ranges = append(b.ranges, r)
	g := &grouper{analyzer: a, block: b}
	for _, p := range b.above() {
		visit(p, 0, g.replace)
	}
	if g.err != nil {
		return g.err
	}
	// The columns of the group's row: groups, carried, aggregates.
	for _, e := range b.groups {
		r.columns = append(r.columns, schema.Column{Type: e.info().oid, Typmod: e.info().typmod})
	}
	for _, c := range g.columns {
		switch {
		case c.aggregate >= 0:
			c.column.column = len(b.groups) + len(b.carried) + c.aggregate
		case c.carried >= 0:
			c.column.column = len(b.groups) + c.carried
		}
	}
	return nil
}

// grouper replaces what is computed by grouping with columns of the group's row.
type grouper struct {
	analyzer *analyzer
	block    *block
	columns  []groupColumn
	err      error
}

// groupColumn is a reference whose position is known only when all are.
type groupColumn struct {
	column    *columnExpr
	carried   int // -1
	aggregate int // -1
}

func (g *grouper) column(of expr, depth, column int) *columnExpr {
	info := *of.info()
	return &columnExpr{leaf: leaf{info}, level: depth, rng: g.block.groupRange, column: column}
}

func (g *grouper) replace(p *expr, depth int) bool {
	if g.err != nil {
		return false
	}
	b := g.block
	if x, ok := (*p).(*groupingExpr); ok && x.level == 0 && depth == 0 {
		g.resolveGrouping(x)
		return false
	}
	for i, e := range b.groups {
		if sameAt(e, *p, depth) {
			*p = g.column(*p, depth, i)
			return false
		}
	}
	switch x := (*p).(type) {
	case *aggregateExpr:
		if x.level != depth {
			return x.level < depth // one of an inner block has been taken care of
		}
		lowerLevels(x, depth)
		i := slices.IndexFunc(b.aggregates, func(y *aggregateExpr) bool { return same(x, y) })
		if i < 0 {
			i = len(b.aggregates)
			b.aggregates = append(b.aggregates, x)
		}
		column := g.column(x, depth, 0)
		g.columns = append(g.columns, groupColumn{column: column, carried: -1, aggregate: i})
		*p = column
		return false
	case *columnExpr:
		if x.level == depth && x.rng != b.groupRange {
			g.carry(p, x, depth)
		}
	}
	return true
}

// lowerLevels makes the aggregate of an outer block, found inside a subquery, one of that
// block's own expressions.
func lowerLevels(x *aggregateExpr, by int) {
	if by == 0 {
		return
	}
	x.level -= by
	for _, p := range x.children() {
		visit(p, 0, func(p *expr, depth int) bool {
			if c, ok := (*p).(*columnExpr); ok && c.level >= depth+by {
				c.level -= by
			}
			return true
		})
	}
}

// carry takes a column that depends on the groups along with them, or refuses it.
func (g *grouper) carry(p *expr, x *columnExpr, depth int) {
	b := g.block
	r := b.ranges[x.rng]
	name := x.name
	if r.alias != "" {
		name = r.alias + "." + name
	}
	if !g.dependsOnKey(r, x.rng) {
		if depth > 0 {
			g.err = errorAt(x.at, pgwire.CodeGroupingError, "subquery uses ungrouped column \"%s\" from outer query", name)
		} else {
			g.err = errorAt(x.at, pgwire.CodeGroupingError, "column \"%s\" must appear in the GROUP BY clause or be used in an aggregate function", name)
		}
		return
	}
	i := slices.IndexFunc(b.carried, func(e expr) bool { return sameAt(e, x, depth) })
	if i < 0 {
		i = len(b.carried)
		own := *x
		own.level = 0
		b.carried = append(b.carried, &own)
	}
	column := g.column(x, depth, 0)
	column.name = x.name
	g.columns = append(g.columns, groupColumn{column: column, carried: i, aggregate: -1})
	*p = column
}

// dependsOnKey reports whether the primary key of a range is grouped by.
func (g *grouper) dependsOnKey(r *rangeItem, rng int) bool {
	if r.relation == nil || len(r.relation.Key) == 0 || g.block.sets != nil {
		return false
	}
	for _, k := range r.relation.Key {
		if !slices.ContainsFunc(g.block.groups, func(e expr) bool {
			c, ok := e.(*columnExpr)
			return ok && c.level == 0 && c.rng == rng && c.column == k
		}) {
			return false
		}
	}
	return true
}

func (g *grouper) resolveGrouping(x *groupingExpr) {
	for _, arg := range x.args {
		i := slices.IndexFunc(g.block.groups, func(e expr) bool { return same(e, arg) })
		if i < 0 {
			g.err = errorAt(location(arg), pgwire.CodeGroupingError, "arguments to GROUPING must be grouping expressions of the associated query level")
			return
		}
		x.refs = append(x.refs, i)
	}
	x.args, x.block = nil, g.block
}

// windowStep replaces calls of window functions with columns of the window's row.
func (a *analyzer) windowStep(b *block) error {
	r := &rangeItem{kind: rangeComputed, name: "window"}
	rng := len(b.ranges)
	for i := range b.targets {
		visit(&b.targets[i].expr, 0, func(p *expr, depth int) bool {
			w, ok := (*p).(*windowExpr)
			if !ok || depth > 0 {
				return depth == 0
			}
			info := *w.info()
			*p = &columnExpr{leaf: leaf{info}, rng: rng, column: len(b.windowCalls)}
			b.windowCalls = append(b.windowCalls, w)
			r.columns = append(r.columns, schema.Column{Type: info.oid, Typmod: -1})
			return false
		})
	}
	if len(b.windowCalls) > 0 {
		b.windowRange = rng
		b.ranges = append(b.ranges, r)
	}
	return nil
}

// setStep replaces set-returning functions of the select list with columns of rows that
// are made one after the other, the innermost functions first.
func (a *analyzer) setStep(b *block) error {
	for i := range b.targets {
		a.extractSets(b, &b.targets[i].expr)
	}
	return nil
}

// extractSets returns how many levels of set-returning functions were below p.
func (a *analyzer) extractSets(b *block, p *expr) int {
	level := 0
	for _, child := range (*p).children() {
		level = max(level, a.extractSets(b, child))
	}
	c, ok := (*p).(*callExpr)
	if !ok || !c.function.ReturnsSet {
		return level
	}
	for len(b.setCalls) <= level {
		b.setCalls = append(b.setCalls, nil)
		b.setRanges = append(b.setRanges, len(b.ranges))
		b.ranges = append(b.ranges, &rangeItem{kind: rangeComputed, name: "set"})
	}
	info := *c.info()
	for i, other := range b.setCalls[level] {
		if c == other {
			*p = &columnExpr{leaf: leaf{info}, rng: b.setRanges[level], column: i}
			return level + 1
		}
	}
	*p = &columnExpr{leaf: leaf{info}, rng: b.setRanges[level], column: len(b.setCalls[level])}
	r := b.ranges[b.setRanges[level]]
	r.columns = append(r.columns, schema.Column{Type: info.oid, Typmod: -1})
	b.setCalls[level] = append(b.setCalls[level], c)
	return level + 1
}
