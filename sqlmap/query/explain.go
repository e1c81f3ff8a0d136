package query

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/types"
)

// Step is a step of a plan, for EXPLAIN.
type Step struct {
	Kind     string // as PostgreSQL calls it, where it has the like
	Relation string
	Details  []Detail
	Children []*Step
}

// Detail is a property of a step.
type Detail struct{ Name, Value string }

func (s *Step) detail(name, value string) {
	if value != "" {
		s.Details = append(s.Details, Detail{name, value})
	}
}

// Explain describes how the statement runs.
func (s *Statement) Explain() *Step {
	e := &explainer{plans: s.plans}
	return e.block(s.root)
}

// explainer describes the plans of one statement.
type explainer struct {
	plans map[*block]*blockPlan
	// scopes are the blocks around the one that is described, innermost last.
	scopes []*block
}

func (e *explainer) block(p *blockPlan) *Step {
	b := p.block
	e.scopes = append(e.scopes, b)
	defer func() { e.scopes = e.scopes[:len(e.scopes)-1] }()
	var out *Step
	if p.left != nil {
		out = &Step{Kind: setStep(b), Children: []*Step{e.block(p.left), e.block(p.right)}}
	} else {
		out = e.node(p.source)
		if len(p.gates) > 0 {
			out = &Step{Kind: "Result", Children: []*Step{out}}
			out.detail("One-Time Filter", e.conditions(p.gates))
		}
	}
	over := func(kind string) *Step {
		out = &Step{Kind: kind, Children: []*Step{out}}
		return out
	}
	if b.isGrouped {
		e.group(b, over("Aggregate"))
	}
	if len(b.windowCalls) > 0 {
		over("WindowAgg")
	}
	if len(b.setCalls) > 0 {
		over("ProjectSet")
	}
	if b.isDistinct {
		over("Unique")
	}
	if len(b.sort) > 0 {
		keys := make([]string, len(b.sort))
		for i, k := range b.sort {
			if keys[i] = e.text(b.targets[k.target].expr); k.descending {
				keys[i] += " DESC"
			}
		}
		over("Sort").detail("Sort Key", strings.Join(keys, ", "))
	}
	if b.limit != nil || b.offset != nil {
		over("Limit")
	}
	for _, c := range b.ctes {
		e.cte(c, out)
	}
	e.subplans(b, out)
	return out
}

func setStep(b *block) string {
	kind := "Append"
	switch {
	case b.setOperation == pg_query.SetOperation_SETOP_INTERSECT:
		kind = "HashSetOp Intersect"
	case b.setOperation == pg_query.SetOperation_SETOP_EXCEPT:
		kind = "HashSetOp Except"
	case !b.setAll:
		kind = "Unique Append"
	}
	return kind
}

func (e *explainer) group(b *block, s *Step) {
	keys := make([]string, len(b.groups))
	for i, k := range b.groups {
		keys[i] = e.text(k)
	}
	s.detail("Group Key", strings.Join(keys, ", "))
	if len(b.groups) > 0 {
		s.Kind = "HashAggregate"
	}
	if b.having != nil {
		s.detail("Filter", e.text(b.having))
	}
}

func (e *explainer) cte(c *cte, under *Step) {
	var s *Step
	if c.isRecursive {
		e.scopes = append(e.scopes, c.block)
		s = &Step{Kind: "Recursive Union", Children: []*Step{e.block(e.plans[c.once]), e.block(e.plans[c.recursive])}}
		e.scopes = e.scopes[:len(e.scopes)-1]
	} else {
		s = e.block(e.plans[c.block])
	}
	under.Children = append(under.Children, &Step{Kind: "CTE", Relation: c.name, Children: []*Step{s}})
}

// subplans adds the subqueries of a block's own expressions.
func (e *explainer) subplans(b *block, under *Step) {
	for _, place := range b.expressions() {
		visit(place, 0, func(p *expr, depth int) bool {
			if s, ok := (*p).(*subqueryExpr); ok && depth == 0 {
				plan := e.plans[s.block]
				kind := "SubPlan"
				if plan.isFixed() {
					kind = "InitPlan"
				}
				under.Children = append(under.Children, &Step{Kind: kind, Children: []*Step{e.block(plan)}})
			}
			return depth == 0
		})
	}
}

func (e *explainer) node(n node) *Step {
	switch n := n.(type) {
	case *filterNode:
		s := e.node(n.child)
		s.detail("Filter", e.conditions(n.conditions))
		return s
	case *scanNode:
		return e.scan(n)
	case *subqueryNode:
		return &Step{Kind: "Subquery Scan", Relation: n.item.alias, Children: []*Step{e.block(n.plan)}}
	case *functionNode:
		return &Step{Kind: "Function Scan", Relation: n.item.name}
	case *valuesNode:
		return &Step{Kind: "Values Scan"}
	case *cteNode:
		return &Step{Kind: "CTE Scan", Relation: n.item.name}
	case *joinNode:
		return e.join(n)
	}
	return &Step{Kind: "Result"}
}

func (e *explainer) scan(n *scanNode) *Step {
	s := &Step{Kind: "Scan", Relation: n.item.relation.Name}
	if n.item.alias != s.Relation {
		s.Relation += " " + n.item.alias
	}
	var filters []string
	for _, f := range n.filters {
		filters = append(filters, n.item.columns[f.column].Name)
	}
	s.detail("Narrowed By", strings.Join(filters, ", "))
	s.detail("Filter", e.conditions(n.conditions))
	return s
}

func (e *explainer) join(n *joinNode) *Step {
	s := &Step{Kind: "Nested Loop", Children: []*Step{e.node(n.left), e.node(n.right)}}
	if len(n.leftK) > 0 {
		s.Kind = "Hash"
	}
	switch n.kind {
	case pg_query.JoinType_JOIN_LEFT:
		s.Kind += " Left"
	case pg_query.JoinType_JOIN_FULL:
		s.Kind += " Full"
	}
	if s.Kind != "Nested Loop" {
		s.Kind += " Join"
	}
	keys := make([]string, len(n.leftK))
	for i := range n.leftK {
		keys[i] = "(" + e.text(n.leftK[i]) + " = " + e.text(n.rightK[i]) + ")"
	}
	s.detail("Hash Cond", strings.Join(keys, " AND "))
	s.detail("Join Filter", e.conditions(n.conditions))
	return s
}

func (e *explainer) conditions(list []expr) string {
	texts := make([]string, len(list))
	for i, c := range list {
		texts[i] = e.text(c)
	}
	return strings.Join(texts, " AND ")
}

func (e *explainer) texts(list []expr, separator string) string {
	texts := make([]string, len(list))
	for i, x := range list {
		texts[i] = e.text(x)
	}
	return strings.Join(texts, separator)
}

// text shows an expression, in short.
func (e *explainer) text(x expr) string {
	switch x := x.(type) {
	case *constExpr:
		return constantText(x)
	case *paramExpr:
		return "$" + string(types.AppendText(nil, types.Int4, types.OfInt(int64(x.number)), nil))
	case *columnExpr:
		return e.column(x)
	case *callExpr:
		if x.operator != nil && len(x.args) == 2 {
			return "(" + e.text(x.args[0]) + " " + x.operator.Name + " " + e.text(x.args[1]) + ")"
		}
		if x.operator != nil {
			return x.operator.Name + e.text(x.args[0])
		}
		return x.function.Name + "(" + e.texts(x.args, ", ") + ")"
	case *aggregateExpr:
		if x.star {
			return x.function.Name + "(*)"
		}
		return x.function.Name + "(" + e.texts(x.args, ", ") + ")"
	case *boolExpr:
		switch x.op {
		case pg_query.BoolExprType_NOT_EXPR:
			return "(NOT " + e.text(x.args[0]) + ")"
		case pg_query.BoolExprType_OR_EXPR:
			return "(" + e.texts(x.args, " OR ") + ")"
		}
		return "(" + e.texts(x.args, " AND ") + ")"
	case *testExpr:
		tests := [...]string{"IS NULL", "IS NOT NULL", "IS TRUE", "IS NOT TRUE", "IS FALSE", "IS NOT FALSE", "IS UNKNOWN", "IS NOT UNKNOWN"}
		return "(" + e.text(x.arg) + " " + tests[x.kind] + ")"
	case *castExpr:
		return e.text(x.arg)
	case *anyArrayExpr:
		if test, ok := x.test.(*callExpr); ok && test.operator != nil {
			return "(" + e.text(x.left) + " " + test.operator.Name + map[bool]string{false: " ANY (", true: " ALL ("}[x.all] + e.text(x.array) + "))"
		}
	case *arrayExpr:
		return "ARRAY[" + e.texts(x.elems, ", ") + "]"
	case *subqueryExpr:
		return "(SubPlan)"
	case *caseExpr:
		return "CASE"
	case *pickExpr:
		return [...]string{"COALESCE", "GREATEST", "LEAST"}[x.kind] + "(" + e.texts(x.args, ", ") + ")"
	}
	return "…"
}

func constantText(x *constExpr) string {
	const shown = 40 // bytes
	if x.value.IsNull {
		return "NULL"
	}
	text := string(types.AppendText(nil, x.oid, x.value, nil))
	if len(text) > shown {
		text = strings.ToValidUTF8(text[:shown], "") + "…"
	}
	if x.oid.Category() == types.CategoryNumeric || x.oid == types.Bool {
		return text
	}
	return "'" + text + "'"
}

// column shows a column with the alias of its range; one that a block computes as what it
// is computed from.
func (e *explainer) column(c *columnExpr) string {
	at := len(e.scopes) - 1 - c.level
	if at < 0 || c.rng >= len(e.scopes[at].ranges) {
		return c.name
	}
	b := e.scopes[at]
	r := b.ranges[c.rng]
	switch {
	case c.rng == b.groupRange && b.isGrouped && c.column < len(b.groups):
		return e.text(b.groups[c.column])
	case c.rng == b.groupRange && b.isGrouped && c.column >= len(b.groups)+len(b.carried):
		return e.text(b.aggregates[c.column-len(b.groups)-len(b.carried)])
	case r.alias == "" && c.name == "":
		return r.name
	case c.column == wholeRow:
		return r.alias + ".*"
	case r.alias == "":
		return c.name
	}
	return r.alias + "." + c.name
}
