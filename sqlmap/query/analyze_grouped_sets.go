package query

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/schema"
)

// groupedSetName names what a grouped set-returning function becomes; no text can name it.
const groupedSetName = "\x00set"

// groupedSet rewrites SELECT f(x), count(*) … GROUP BY 1, where f returns a set: its rows are made before
// they are grouped, as if f stood in FROM, where it is put. The statement is shared and
// stays as it is. Several such functions are left to be refused.
func (a *analyzer) groupedSet(s *pg_query.SelectStmt) *pg_query.SelectStmt {
	at := -1
	for i, n := range s.TargetList {
		val := n.GetResTarget().GetVal()
		if ref := val.GetColumnRef(); ref != nil && isStar(ref) {
			return s // it would show the function's column, too
		}
		if !a.returnsSet(val.GetFuncCall()) {
			continue
		}
		if at >= 0 {
			return s
		}
		at = i
	}
	if at < 0 || !slices.ContainsFunc(s.GroupClause, func(n *pg_query.Node) bool { return namesTarget(n, at, s.TargetList[at].GetResTarget()) }) {
		return s
	}
	target := s.TargetList[at].GetResTarget()
	str := pg_query.MakeStrNode(groupedSetName)
	call := &pg_query.Node{Node: &pg_query.Node_List{List: &pg_query.List{Items: []*pg_query.Node{target.Val, {}}}}}
	set := &pg_query.Node{Node: &pg_query.Node_RangeFunction{RangeFunction: &pg_query.RangeFunction{Lateral: true, Functions: []*pg_query.Node{call},
		Alias: &pg_query.Alias{Aliasname: groupedSetName, Colnames: []*pg_query.Node{str}}}}}
	column := &pg_query.Node{Node: &pg_query.Node_ColumnRef{ColumnRef: &pg_query.ColumnRef{Fields: []*pg_query.Node{str, str}, Location: target.Location}}}
	targets := slices.Clone(s.TargetList)
	targets[at] = &pg_query.Node{Node: &pg_query.Node_ResTarget{ResTarget: &pg_query.ResTarget{Name: TargetName(target), Val: column, Location: target.Location}}}
	return &pg_query.SelectStmt{DistinctClause: s.DistinctClause, TargetList: targets, FromClause: append(slices.Clone(s.FromClause), set),
		WhereClause: s.WhereClause, GroupClause: s.GroupClause, GroupDistinct: s.GroupDistinct, HavingClause: s.HavingClause,
		WindowClause: s.WindowClause, SortClause: s.SortClause, LimitOffset: s.LimitOffset, LimitCount: s.LimitCount, LimitOption: s.LimitOption,
		WithClause: s.WithClause, Op: s.Op}
}

// namesTarget reports a GROUP BY item that is a target by its number or its name.
func namesTarget(n *pg_query.Node, at int, target *pg_query.ResTarget) bool {
	if k := n.GetAConst(); k.GetIval() != nil {
		return int(k.GetIval().Ival) == at+1
	}
	names := Names(n.GetColumnRef().GetFields())
	return len(names) == 1 && target.Name != "" && names[0] == target.Name
}

// returnsSet reports a call of a function all of whose overloads return sets, of more than records.
func (a *analyzer) returnsSet(c *pg_query.FuncCall) bool {
	if c == nil || c.Over != nil {
		return false
	}
	names := Names(c.Funcname)
	path := a.path
	if len(names) > 1 {
		path = names[len(names)-2 : len(names)-1]
	}
	for _, s := range path {
		if list := a.catalog.Functions(s, names[len(names)-1]); len(list) > 0 {
			return !slices.ContainsFunc(list, func(f *schema.Function) bool { return !f.ReturnsSet }) &&
				slices.ContainsFunc(list, func(f *schema.Function) bool { return f.Returns != typeRecord })
		}
	}
	return false
}
