package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
)

// sample analyzes relation TABLESAMPLE method (percentage): a subquery with a condition that is
// true for some rows. There are no pages, so that SYSTEM takes rows like BERNOULLI. With
// REPEATABLE a row's content decides.
func (a *analyzer) sample(s *pg_query.RangeTableSample) (fromItem, []*scopeItem, error) {
	relation := s.Relation.GetRangeVar()
	r, _, err := a.rangeVar(relation)
	if err != nil {
		return nil, nil, err
	}
	if r.kind != rangeRelation || r.relation.View != "" {
		return nil, nil, errorAt(relation.Location, pgwire.CodeFeatureNotSupported, "TABLESAMPLE clause can only be applied to tables and materialized views")
	}
	method := Names(s.Method)
	name := method[len(method)-1]
	if name != "bernoulli" && name != "system" {
		return nil, nil, errorAt(s.Location, pgwire.CodeUndefinedObject, "tablesample method %s does not exist", name)
	}
	if len(s.Args) != 1 {
		return nil, nil, errorAt(s.Location, pgwire.CodeInvalidTablesampleArgument, "tablesample method %s requires 1 argument, not %d", name, len(s.Args))
	}
	args := s.Args
	if s.Repeatable != nil {
		row := &pg_query.TypeCast{Arg: pg_query.MakeColumnRefNode(qualified(r.alias), -1), TypeName: typeNode("pg_catalog", "text"), Location: -1}
		args = append(args[:1:1], s.Repeatable, &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: row}})
	}
	inner := &pg_query.RangeVar{Catalogname: relation.Catalogname, Schemaname: relation.Schemaname, Relname: relation.Relname, Inh: true,
		Relpersistence: relation.Relpersistence, Alias: &pg_query.Alias{Aliasname: r.alias}, Location: relation.Location}
	star := pg_query.MakeColumnRefNode([]*pg_query.Node{pg_query.MakeAStarNode()}, -1)
	query := &pg_query.SelectStmt{TargetList: []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(star, -1)},
		FromClause:  []*pg_query.Node{{Node: &pg_query.Node_RangeVar{RangeVar: inner}}},
		WhereClause: callNode(&pg_query.FuncCall{Funcname: qualified(schema.Constructs, "sample"), Args: args, Location: s.Location})}
	alias := relation.Alias
	if alias == nil {
		alias = &pg_query.Alias{Aliasname: r.alias}
	}
	return a.single(a.rangeSubselect(&pg_query.RangeSubselect{Alias: alias, Subquery: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: query}}}))
}
