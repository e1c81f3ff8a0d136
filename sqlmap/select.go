package sqlmap

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/scalar"
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
	source  source
	filter  *scalar.Expr
	outputs []output
	// countColumns > 0: all outputs are count(*).
	countColumns  int
	sort          []sortKey
	limit, offset *scalar.Expr // int8
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
	if err == nil || !isGap(err) {
		return direct, err
	}
	p.newCompiler()
	out, queryErr := p.queryStatement(s)
	if queryErr != nil && queryErr.Error() == err.Error() {
		return nil, err // with its hint, which names our own functions
	}
	return out, queryErr
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
	names := scalar.Names(f.Funcname)
	return procedures(names[len(names)-1]) != nil
}

// isGap reports errors for SQL that package scalar and this file do not have.
func isGap(err error) bool {
	e, ok := err.(*pgwire.Error)
	return ok && (e.Code == pgwire.CodeFeatureNotSupported || e.Code == pgwire.CodeUndefinedFunction || e.Code == pgwire.CodeUndefinedObject)
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
	if err := p.targets(a, s.TargetList); err != nil {
		return nil, err
	}
	out, err := p.finishSelect(a, s)
	if err != nil || !isBlob {
		return out, err
	}
	p.planBlobSelect(a, blob)
	out.get = plainGet(a, blob)
	return out, nil
}

// finishSelect plans ORDER BY and LIMIT.
func (p *planner) finishSelect(a *selectAction, s *pg_query.SelectStmt) (*plan, error) {
	if err := p.sortClause(a, s.SortClause); err != nil {
		return nil, err
	}
	var err error
	if a.limit, err = p.rowCount(s.LimitCount, "LIMIT"); err != nil {
		return nil, err
	}
	if a.offset, err = p.rowCount(s.LimitOffset, "OFFSET"); err != nil {
		return nil, err
	}
	out := &plan{action: a}
	out.columns = outputColumns(a.outputs)
	return out, nil
}

func (p *planner) rowCount(n *pg_query.Node, clause string) (*scalar.Expr, error) {
	if n == nil {
		return nil, nil
	}
	x, err := p.compiler.Compile(n)
	if err != nil {
		return nil, err
	}
	if x.UsesRow() {
		return nil, scalar.At(pgwire.Errorf(pgwire.CodeInvalidColumnReference, "argument of %s must not contain variables", clause), x.At)
	}
	if x.Type != types.Unknown && types.WiderNumeric(x.Type, types.Int8) == 0 {
		return nil, scalar.At(pgwire.Errorf(pgwire.CodeDatatypeMismatch, "argument of %s must be type bigint, not type %s", clause, x.Type), x.At)
	}
	return p.compiler.Coerce(x, types.Int8, types.Assignment)
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
	p.compiler.Relations = []scalar.Relation{blobRelation(alias, name == "blob")}
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
		if d := scalar.Distance(r.Relname, own.name); d < best {
			best = d
			e.Hint = "Perhaps you meant \"" + own.name + "\"."
		}
	}
	return scalar.At(e, r.Location)
}

// targets plans the select list.
func (p *planner) targets(a *selectAction, list []*pg_query.Node) error {
	counts := 0
	for _, n := range list {
		if f := n.GetResTarget().GetVal().GetFuncCall(); f != nil && isCountStar(f) {
			counts++
		}
	}
	if counts > 0 && counts < len(list) {
		return unsupported(-1, "count(*) beside other columns is", "Select count(*) alone.")
	}
	if counts > 0 {
		a.countColumns = counts
		for _, n := range list {
			a.outputs = append(a.outputs, output{targetName(n.GetResTarget()), scalar.Const(types.Int8, types.OfInt(0), -1)})
		}
		return nil
	}
	outputs, err := p.outputs(list)
	a.outputs = outputs
	return err
}

func isCountStar(f *pg_query.FuncCall) bool {
	names := scalar.Names(f.Funcname)
	return f.AggStar && names[len(names)-1] == "count" && f.AggFilter == nil && f.Over == nil
}

// outputs plans a list of result columns, of SELECT or RETURNING.
func (p *planner) outputs(list []*pg_query.Node) ([]output, error) {
	var outputs []output
	for _, n := range list {
		target := n.GetResTarget()
		if target == nil {
			return nil, unsupported(-1, "this select list is", selectHint)
		}
		if ref := target.Val.GetColumnRef(); ref != nil && ref.Fields[len(ref.Fields)-1].GetAStar() != nil {
			star, err := p.star(ref)
			if err != nil {
				return nil, err
			}
			outputs = append(outputs, star...)
			continue
		}
		x, err := p.compiler.Compile(target.Val)
		if err != nil {
			return nil, err
		}
		if x, err = p.compiler.Finish(x); err != nil {
			return nil, err
		}
		outputs = append(outputs, output{targetName(target), x})
	}
	return outputs, nil
}

// star is * or relation.*.
func (p *planner) star(ref *pg_query.ColumnRef) ([]output, error) {
	if len(p.compiler.Relations) == 0 {
		return nil, scalar.At(pgwire.Errorf(pgwire.CodeSyntaxError, "SELECT * with no tables specified is not valid"), ref.Location)
	}
	relation := &p.compiler.Relations[0]
	if names := scalar.Names(ref.Fields); len(names) > 1 && names[len(names)-2] != relation.Name {
		return nil, scalar.At(pgwire.Errorf(pgwire.CodeUndefinedTable, "missing FROM-clause entry for table \"%s\"", names[len(names)-2]), ref.Location)
	}
	var outputs []output
	for i, c := range relation.Columns {
		if !c.Hidden {
			outputs = append(outputs, output{c.Name, p.compiler.ColumnAt(i, ref.Location)})
		}
	}
	return outputs, nil
}

// targetName is the name PostgreSQL gives a result column.
func targetName(target *pg_query.ResTarget) string {
	if target.Name != "" {
		return target.Name
	}
	if name, _ := expressionName(target.Val); name != "" {
		return name
	}
	return "?column?"
}

// expressionName is PostgreSQL's FigureColname. isStrong names win over those of a cast.
func expressionName(n *pg_query.Node) (name string, isStrong bool) {
	for {
		switch e := n.GetNode().(type) {
		case *pg_query.Node_ColumnRef:
			names := scalar.Names(e.ColumnRef.Fields)
			return names[len(names)-1], true
		case *pg_query.Node_FuncCall:
			names := scalar.Names(e.FuncCall.Funcname)
			return names[len(names)-1], true
		case *pg_query.Node_TypeCast:
			if name, strong := expressionName(e.TypeCast.Arg); strong {
				return name, true
			}
			names := scalar.Names(e.TypeCast.TypeName.Names)
			return names[len(names)-1], false
		case *pg_query.Node_CollateClause:
			n = e.CollateClause.Arg
		case *pg_query.Node_AIndirection:
			n = e.AIndirection.Arg
		case *pg_query.Node_CaseExpr:
			if name, strong := expressionName(e.CaseExpr.Defresult); strong {
				return name, true
			}
			return "case", false
		case *pg_query.Node_CoalesceExpr:
			return "coalesce", true
		case *pg_query.Node_MinMaxExpr:
			if e.MinMaxExpr.Op == pg_query.MinMaxOp_IS_LEAST {
				return "least", true
			}
			return "greatest", true
		case *pg_query.Node_AArrayExpr:
			return "array", true
		case *pg_query.Node_AExpr:
			if e.AExpr.Kind == pg_query.A_Expr_Kind_AEXPR_NULLIF {
				return "nullif", true
			}
			return "", false
		case *pg_query.Node_SqlvalueFunction:
			return valueFunctionName(e.SqlvalueFunction.Op), true
		default:
			return "", false
		}
	}
}

func valueFunctionName(op pg_query.SQLValueFunctionOp) string {
	switch op {
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		return "current_timestamp"
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		return "localtimestamp"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE:
		return "current_role"
	case pg_query.SQLValueFunctionOp_SVFOP_USER:
		return "user"
	case pg_query.SQLValueFunctionOp_SVFOP_SESSION_USER:
		return "session_user"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		return "current_catalog"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		return "current_schema"
	}
	return "current_user"
}
