package sqlmap

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

const selectHint = "SELECT works as in PostgreSQL over pgcache's relations and the catalog, but for what the message names."

// source makes the rows that a SELECT starts from.
type source interface {
	// open begins; each next sets the current row of the execution.
	open(x *execution) (rowSource, error)
}

type rowSource interface {
	next(x *execution) (bool, error)
	close()
}

// selectAction is a SELECT over one source.
type selectAction struct {
	source source
	filter *query.Expression
	// outputs are the columns; those behind the first width of them are only sorted by.
	outputs []query.Output
	width   int
	// countColumns > 0: all outputs are count(*).
	countColumns  int
	sort          []query.SortKey
	limit, offset *query.Expression // int8
}

// selectStatement plans a SELECT: one that is an operation of the cache as such directly,
// every other as a query.
func (p *planner) selectStatement(s *pg_query.SelectStmt) (*plan, error) {
	switch {
	case s.IntoClause != nil:
		return nil, unsupported(-1, "SELECT INTO is", "There are no tables to create; INSERT INTO blob stores entries.")
	case len(s.LockingClause) > 0:
		return nil, unsupported(-1, "FOR UPDATE is", "Compare-and-set by version: UPDATE blob SET …, version = version + 1 WHERE ns = … AND key = … AND version = ….")
	case !isDirect(s):
		return p.queryStatement(s)
	}
	direct, err := p.directSelect(s)
	switch e, ok := err.(*pgwire.Error); {
	case err == nil:
		return direct, nil
	case ok && e.Code == pgwire.CodeFeatureNotSupported:
		p.newCompiler()
		return p.queryStatement(s)
	}
	return nil, p.refused(err)
}

// isDirect reports a SELECT over entries alone, or over a procedure of the cache.
func isDirect(s *pg_query.SelectStmt) bool {
	if s.WithClause != nil || s.Op > pg_query.SetOperation_SETOP_NONE || len(s.DistinctClause) > 0 || len(s.GroupClause) > 0 || s.HavingClause != nil ||
		len(s.WindowClause) > 0 || len(s.ValuesLists) > 0 || s.LimitOption == pg_query.LimitOption_LIMIT_OPTION_WITH_TIES || len(s.FromClause) > 1 {
		return false
	}
	if len(s.FromClause) == 0 {
		return len(s.TargetList) == 1 && isProcedureCall(s.TargetList[0].GetResTarget().GetVal())
	}
	if r := s.FromClause[0].GetRangeVar(); r != nil {
		return (r.Relname == "blob" || r.Relname == "cache_entries") && (r.Schemaname == "" || r.Schemaname == "public")
	}
	functions := s.FromClause[0].GetRangeFunction().GetFunctions()
	return len(functions) == 1 && len(functions[0].GetList().GetItems()) > 0 && isProcedureCall(functions[0].GetList().GetItems()[0])
}

func isProcedureCall(n *pg_query.Node) bool {
	f := n.GetFuncCall()
	if f == nil {
		return false
	}
	names := query.Names(f.Funcname)
	return procedures(names[len(names)-1]) != nil
}

func (p *planner) directSelect(s *pg_query.SelectStmt) (*plan, error) {
	a := &selectAction{}
	if len(s.FromClause) == 0 {
		a.source = oneRow{}
	} else if err := p.from(a, s.FromClause[0]); err != nil {
		return nil, err
	}
	blob, isBlob := a.source.(*blobSource)
	if isBlob {
		w, err := p.where(s.WhereClause)
		if err != nil {
			return nil, err
		}
		blob.where = w
		a.filter = w.filter()
	} else if s.WhereClause != nil {
		var err error
		if a.filter, err = p.compiler.Condition(s.WhereClause, "WHERE"); err != nil {
			return nil, err
		}
	}
	out, err := p.finishSelect(a, s)
	if err != nil || !isBlob {
		return out, err
	}
	p.planBlobSelect(a, blob)
	out.get = plainGet(a, blob)
	return out, nil
}

// finishSelect plans the select list, ORDER BY and LIMIT.
func (p *planner) finishSelect(a *selectAction, s *pg_query.SelectStmt) (*plan, error) {
	if err := p.targets(a, s); err != nil {
		return nil, err
	}
	var err error
	if a.limit, err = p.compiler.RowCount(s.LimitCount, "LIMIT"); err != nil {
		return nil, err
	}
	if a.offset, err = p.compiler.RowCount(s.LimitOffset, "OFFSET"); err != nil {
		return nil, err
	}
	return &plan{action: a, columns: outputColumns(a.outputs[:a.width])}, nil
}

// from plans the one item of FROM.
func (p *planner) from(a *selectAction, n *pg_query.Node) error {
	switch item := n.Node.(type) {
	case *pg_query.Node_RangeVar:
		return p.fromRelation(a, item.RangeVar)
	case *pg_query.Node_RangeFunction:
		return p.fromFunction(a, item.RangeFunction)
	case *pg_query.Node_JoinExpr:
		return unsupported(-1, "joins are", selectHint)
	case *pg_query.Node_RangeSubselect:
		return unsupported(-1, "subqueries in FROM are", selectHint)
	}
	return unsupported(-1, "this FROM is", selectHint)
}

func (p *planner) fromRelation(a *selectAction, r *pg_query.RangeVar) error {
	name, alias, err := relationName(r)
	if err != nil {
		return err
	}
	p.compiler.SetRelations(p.blobRelation(name, alias))
	a.source = &blobSource{}
	return nil
}

// relationName checks how a relation is named and returns its name and alias.
func relationName(r *pg_query.RangeVar) (name, alias string, err error) {
	alias = r.Relname
	if r.Alias != nil {
		alias = r.Alias.Aliasname
		if len(r.Alias.Colnames) > 0 {
			return "", "", unsupported(r.Location, "column aliases in FROM are", "Give aliases in the select list: SELECT key AS k.")
		}
	}
	if r.Schemaname != "" && r.Schemaname != "public" {
		return "", "", undefinedRelation(r)
	}
	return r.Relname, alias, nil
}

// undefinedRelation is the error for the target of a write.
func undefinedRelation(r *pg_query.RangeVar) error {
	full := r.Relname
	if r.Schemaname != "" {
		full = r.Schemaname + "." + full
	}
	e := pgwire.Errorf(pgwire.CodeUndefinedTable, "relation \"%s\" does not exist", full)
	best := len(r.Relname)/2 + 1
	for _, own := range ownRelations {
		if d := query.Distance(r.Relname, own.name); d < best {
			best = d
			e.Hint = "Perhaps you meant \"" + own.name + "\"."
		}
	}
	return query.AtOffset(e, r.Location)
}

// targets plans the select list and ORDER BY.
func (p *planner) targets(a *selectAction, s *pg_query.SelectStmt) (err error) {
	counts := 0
	for _, n := range s.TargetList {
		if f := n.GetResTarget().GetVal().GetFuncCall(); f != nil && isCountStar(f) {
			counts++
		}
	}
	switch {
	case counts == 0:
		p.compiler.Place = query.InSelect
		a.outputs, a.width, a.sort, err = p.compiler.Outputs(s.TargetList, s.SortClause)
		return err
	case counts < len(s.TargetList):
		return unsupported(-1, "count(*) beside other columns is", "Select count(*) alone.")
	case len(s.SortClause) > 0:
		return unsupported(-1, "ORDER BY of one row is", "Leave it out.")
	}
	a.countColumns, a.width = counts, counts
	for _, n := range s.TargetList {
		size := types.Lookup(types.Int8).Size
		a.outputs = append(a.outputs, query.Output{Column: query.Column{Name: query.TargetName(n.GetResTarget()), Type: types.Int8, Size: size, Typmod: -1}})
	}
	return nil
}

func isCountStar(f *pg_query.FuncCall) bool {
	names := query.Names(f.Funcname)
	return f.AggStar && names[len(names)-1] == "count" && f.AggFilter == nil && f.Over == nil
}
