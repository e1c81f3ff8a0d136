package sqlmap

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// plan is what a statement means. It is immutable (S3).
type plan struct {
	params  []uint32
	columns []pgwire.Column
	action  action
	// get is set instead of action for the plain get, which has its own portal.
	get *getPlan
	// late is set instead of action for a statement whose meaning the session tells.
	late late
	// failure is the error of a statement that cannot be planned, raised when it runs.
	failure error

	text            string // for the slow log, cut
	writes          string // the command, if it changes the cache; for read-only transactions
	endsTransaction bool
	isEmpty         bool
	// ownParams are the types of the parameters of a plan that inferred them by itself.
	ownParams []uint32
	isLifted  bool // made for the shape of a text: positions in it are not those of the text
}

// action runs a plan.
type action interface {
	// run does the work that comes before the first row.
	run(x *execution) (outcome, error)
}

// outcome is what an action's run has done.
type outcome struct {
	tag     string
	count   int64 // of rows written, for the tag
	counted bool  // the tag has a count
	// rows are what is sent; nil for none. If tag is empty it is "SELECT" and counts them.
	rows cursor
	// countsRows: the tag has the number of rows sent.
	countsRows bool
}

// cursor makes rows, one after the other.
type cursor interface {
	// next puts the next row into out; false at the end. The values are valid until the
	// next call.
	next(x *execution, out []types.Value) (bool, error)
	close()
}

func emptyPlan() *plan { return &plan{isEmpty: true} }

// planner makes the plan of one statement.
type planner struct {
	handler  *Handler
	sql      string
	compiler *query.Compiler
	// declared are the parameter types that the client has given, path the schemas to look
	// names up in.
	declared []uint32
	isSimple bool
	path     []string
	names    types.Names // of regclass and its like, along path
	// conditions collects what EXPLAIN shows; nil without one.
	conditions *conditionTexts
}

// newPlan plans a statement of a session.
func newPlan(s *session, sql string, stmt *pg_query.Node, paramOIDs []uint32, isSimple bool) (*plan, error) {
	p := &planner{handler: s.handler, sql: sql, declared: paramOIDs, isSimple: isSimple, path: s.searchPath()}
	p.names = s.handler.catalog.SessionNames(&querySession{session: s, path: p.path})
	out, err := p.finish(stmt)
	return out, position(sql, err)
}

// finish plans a statement with the types of its parameters. Positions of errors are in bytes.
func (p *planner) finish(stmt *pg_query.Node) (*plan, error) {
	p.newCompiler()
	out, err := p.plan(stmt)
	if err != nil {
		return nil, err
	}
	out.text = clipText(p.sql)
	if out.ownParams != nil {
		out.params = out.ownParams
		return out, nil
	}
	if out.params, err = p.compiler.ParamOIDs(); err != nil {
		return nil, err
	}
	for i, oid := range out.params {
		if types.Lookup(types.OID(oid)) == nil {
			return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "parameter $%d has type with OID %d, which is not supported", i+1, oid)
		}
	}
	return out, nil
}

// newCompiler forgets what was inferred of parameters.
func (p *planner) newCompiler() {
	o := p.queryOptions()
	if !slices.Contains(o.SearchPath, catalog.Public) { // the cache's own functions are always found
		o.SearchPath = append(slices.Clone(o.SearchPath), catalog.Public)
	}
	p.compiler = query.NewCompiler(o)
}

func (p *planner) plan(stmt *pg_query.Node) (*plan, error) {
	switch n := stmt.GetNode().(type) {
	case *pg_query.Node_SelectStmt:
		return p.selectStatement(n.SelectStmt)
	case *pg_query.Node_InsertStmt:
		out, err := p.insertStatement(n.InsertStmt)
		return out, withHint(err, expressionHint)
	case *pg_query.Node_UpdateStmt:
		out, err := p.updateStatement(n.UpdateStmt)
		return out, withHint(err, expressionHint)
	case *pg_query.Node_DeleteStmt:
		out, err := p.deleteStatement(n.DeleteStmt)
		return out, withHint(err, expressionHint)
	case *pg_query.Node_TruncateStmt:
		return p.truncateStatement(n.TruncateStmt)
	case *pg_query.Node_CallStmt:
		return p.callStatement(n.CallStmt)
	}
	return p.utilityStatement(stmt)
}

// unsupported is the error for a statement outside the dialect (S1).
func unsupported(at int32, what string, hint string) error {
	e := pgwire.Errorf(pgwire.CodeFeatureNotSupported, "%s not supported", what)
	e.Hint = hint
	return query.AtOffset(e, at)
}

const expressionHint = "Expressions may use constants, parameters, columns, and the functions, operators and casts that the manual lists."

// outputColumns describes results for the wire.
func outputColumns(outputs []query.Output) []pgwire.Column {
	columns := make([]pgwire.Column, len(outputs))
	for i := range outputs {
		columns[i] = wireColumn(&outputs[i].Column)
	}
	return columns
}

func wireColumn(c *query.Column) pgwire.Column {
	return pgwire.Column{Name: c.Name, TypeOID: uint32(c.Type), TypeSize: c.Size, TypeModifier: c.Typmod}
}

func column(name string, oid types.OID) pgwire.Column {
	size := int16(-1)
	if t := types.Lookup(oid); t != nil {
		size = t.Size
	}
	return pgwire.Column{Name: name, TypeOID: uint32(oid), TypeSize: size, TypeModifier: -1}
}

// evaluate computes the outputs of the current row.
func evaluate(x *execution, outputs []query.Output, out []types.Value) error {
	for i := range outputs {
		v, err := outputs[i].Expr.Eval(&x.env)
		if err != nil {
			return err
		}
		out[i] = v
	}
	return nil
}

// rowList is a cursor over rows that are there.
type rowList struct{ rows [][]types.Value }

func (l *rowList) next(_ *execution, out []types.Value) (bool, error) {
	if len(l.rows) == 0 {
		return false, nil
	}
	copy(out, l.rows[0])
	l.rows = l.rows[1:]
	return true, nil
}

func (l *rowList) close() {}
