package scalar

import (
	"context"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// Row is a tuple of a relation.
type Row interface {
	// Column returns column i, counted from 0 as in the Relation.
	Column(i int, e *Env) (types.Value, error)
}

// Values is a row of values.
type Values []types.Value

// Column returns value i.
func (v Values) Column(i int, _ *Env) (types.Value, error) { return v[i], nil }

// Env is what an evaluation may look at. It belongs to one statement of one session.
type Env struct {
	Ctx     context.Context
	Params  []types.Value
	Rows    [2]Row // by position of the relation in Compiler.Relations
	Style   types.Style
	Session any // for the functions of Compiler.Functions
	// StatementTime is when the statement began; Style.Now is when its transaction did.
	StatementTime time.Time

	element types.Value // of the array that ANY or ALL is at
}

// evaluator computes an expression.
type evaluator func(e *Env) (types.Value, error)

// Expr is a compiled expression.
type Expr struct {
	Type types.OID
	// At is the 0-based byte offset of the expression in the statement, -1 if unknown.
	At int32

	eval       evaluator
	constant   *types.Value // of a literal
	param      int          // of a bare parameter, 1-based
	column     int          // of a bare column, -1: none
	relation   int
	usesRow    bool
	isVolatile bool
	fields     []types.Field // of a record, where they are known
}

// Eval computes the expression.
func (x *Expr) Eval(e *Env) (types.Value, error) { return x.eval(e) }

// Constant returns the value of a literal.
func (x *Expr) Constant() (types.Value, bool) {
	if x.constant == nil {
		return types.Value{}, false
	}
	return *x.constant, true
}

// Param is the number of a bare parameter, else 0.
func (x *Expr) Param() int { return x.param }

// Column is the position of a bare column of the first relation, else -1.
func (x *Expr) Column() int {
	if x.relation != 0 {
		return -1
	}
	return x.column
}

// UsesRow reports that the value depends on the row.
func (x *Expr) UsesRow() bool { return x.usesRow }

// IsVolatile reports that the expression has effects or may differ from one evaluation
// to the next.
func (x *Expr) IsVolatile() bool { return x.isVolatile }

// Const makes a literal.
func Const(t types.OID, v types.Value, at int32) *Expr {
	return &Expr{Type: t, At: at, constant: &v, column: -1, eval: func(*Env) (types.Value, error) { return v, nil }}
}

// derived makes an expression over others.
func derived(t types.OID, at int32, eval evaluator, from ...*Expr) *Expr {
	x := &Expr{Type: t, At: at, eval: eval, column: -1}
	for _, f := range from {
		x.usesRow = x.usesRow || f.usesRow
		x.isVolatile = x.isVolatile || f.isVolatile
	}
	return x
}

// Foreign makes an expression that is evaluated elsewhere, perhaps differently each time.
func Foreign(t types.OID, at int32, eval func(e *Env) (types.Value, error), from ...*Expr) *Expr {
	x := derived(t, at, eval, from...)
	x.isVolatile = true
	return x
}

// Relation is a name in FROM with its columns.
type Relation struct {
	Schema  string // empty unless a schema may qualify the name
	Name    string
	Columns []Column
}

// Column is a column of a relation. A hidden one is not part of *.
type Column struct {
	Name   string
	Type   types.OID
	Hidden bool
}

// Compiler compiles the expressions of one statement.
type Compiler struct {
	// Relations are those whose columns may be named, at most two.
	Relations []Relation
	Params    *Params
	// Functions are looked up before the built-in ones.
	Functions func(name string) []Function

	// FunctionNames are those that Functions knows and a hint may name.
	FunctionNames []string
	// Rewrite may give another expression for a call, one that needs less of the row; nil:
	// none. It may be nil.
	Rewrite func(function string, args []*Expr) *Expr

	// Elsewhere may compile an expression that this package does not; cause is why. It may
	// be nil.
	Elsewhere func(n *pg_query.Node, cause error) (*Expr, error)

	// Used collects, by relation, which of the first 64 columns were named.
	Used [2]uint64
}

// At sets the position of an error to a byte offset, unless it has one.
func At(err error, offset int32) error {
	if e, ok := err.(*pgwire.Error); ok && e.Position == 0 && offset >= 0 {
		e.Position = int(offset) + 1
	}
	return err
}

func errorAt(offset int32, code pgwire.Code, format string, args ...any) error {
	return At(pgwire.Errorf(code, format, args...), offset)
}

// Unsupported is the error for SQL outside the dialect.
func Unsupported(offset int32, what, hint string) error {
	e := pgwire.Errorf(pgwire.CodeFeatureNotSupported, "%s not supported", what)
	e.Hint = hint
	return At(e, offset)
}

const expressionHint = "Expressions may use constants, parameters, columns, casts, arithmetic, comparisons, CASE and the functions that the manual lists."

// Params are the types of a statement's parameters, inferred as it is compiled.
type Params struct {
	types []types.OID // 0: not known yet
	used  []bool
	none  bool // the statement may have no parameters
}

// isVoid recognises parameters declared void, which are no arguments: so pgJDBC marks
// where the result of a function belongs. PostgreSQL drops them, too.
func (p *Params) isVoid(x *Expr) bool {
	return x.param > 0 && x.param <= len(p.types) && p.types[x.param-1] == types.Void
}

// paramsMax is the greatest parameter number, as in PostgreSQL.
const paramsMax = 65535

// NewParams begins with the types the client declared; 0 and unknown are to be inferred.
func NewParams(declared []uint32) *Params {
	p := &Params{types: make([]types.OID, len(declared)), used: make([]bool, len(declared))}
	for i, oid := range declared {
		if t := types.OID(oid); t != types.Unknown {
			p.types[i] = t
		}
	}
	return p
}

// NoParams are those of a statement of a simple Query: there are none.
func NoParams() *Params { return &Params{none: true} }

// OIDs are the types of all parameters; those without a context are text.
func (p *Params) OIDs() ([]uint32, error) {
	oids := make([]uint32, len(p.types))
	for i, t := range p.types {
		if t == 0 && !p.used[i] {
			return nil, pgwire.Errorf(pgwire.CodeIndeterminateDatatype, "could not determine data type of parameter $%d", i+1)
		}
		if t == 0 {
			t = types.Text
		}
		if types.Lookup(t) == nil {
			return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "parameter $%d has type with OID %d, which is not supported", i+1, t)
		}
		oids[i] = uint32(t)
	}
	return oids, nil
}

// Known are the types of the parameters so far; 0 for those that are to be inferred.
func (p *Params) Known() []uint32 {
	oids := make([]uint32, len(p.types))
	for i, t := range p.types {
		oids[i] = uint32(t)
	}
	return oids
}

// Learn gives parameter n, counted from 1, its type, unless it has one.
func (p *Params) Learn(n int, t types.OID) {
	for len(p.types) < n {
		p.types, p.used = append(p.types, 0), append(p.used, false)
	}
	p.used[n-1] = true
	if p.types[n-1] == 0 {
		p.types[n-1] = t
	}
}

// Len is how many parameters there are.
func (p *Params) Len() int { return len(p.types) }

func (p *Params) ref(n int, at int32) (*Expr, error) {
	if n < 1 || n > paramsMax || p.none {
		return nil, errorAt(at, pgwire.CodeUndefinedParameter, "there is no parameter $%d", n)
	}
	for len(p.types) < n {
		p.types, p.used = append(p.types, 0), append(p.used, false)
	}
	p.used[n-1] = true
	t := p.types[n-1]
	if t == 0 {
		t = types.Unknown
	}
	return paramExpr(n, t, at), nil
}

func paramExpr(n int, t types.OID, at int32) *Expr {
	return &Expr{Type: t, At: at, param: n, column: -1, eval: func(e *Env) (types.Value, error) { return e.Params[n-1], nil }}
}

// resolve gives a parameter that is still unknown its type.
func (p *Params) resolve(x *Expr, t types.OID) (*Expr, error) {
	switch known := p.types[x.param-1]; known {
	case 0:
		p.types[x.param-1] = t
	case t:
	default:
		e := pgwire.Errorf(pgwire.CodeAmbiguousParameter, "inconsistent types deduced for parameter $%d", x.param)
		e.Detail = known.String() + " versus " + t.String()
		return nil, At(e, x.At)
	}
	return paramExpr(x.param, t, x.At), nil
}

// Coerce converts x to a type as the context allows. The error for a missing cast has no
// text of its own context; see Assign for columns.
func (c *Compiler) Coerce(x *Expr, to types.OID, context types.Context) (*Expr, error) {
	switch {
	case x.Type == to:
		return x, nil
	case x.Type == types.Unknown && x.param > 0:
		return c.Params.resolve(x, to)
	case x.Type == types.Unknown && x.constant != nil:
		return coerceLiteral(x, to)
	case types.CastContext(x.Type, to) < context:
		return nil, errorAt(x.At, pgwire.CodeCannotCoerce, "cannot cast type %s to %s", x.Type, to)
	}
	from, eval := x.Type, x.eval
	if x.constant != nil && !dependsOnSession(from) && !dependsOnSession(to) {
		if x.constant.IsNull {
			return Const(to, types.Null(), x.At), nil
		}
		v, err := types.Cast(*x.constant, from, to, nil)
		return Const(to, v, x.At), At(err, x.At)
	}
	out := derived(to, x.At, func(e *Env) (types.Value, error) {
		v, err := eval(e)
		if err != nil || v.IsNull {
			return v, err
		}
		return types.Cast(v, from, to, &e.Style)
	}, x)
	return out, nil
}

// coerceLiteral reads a literal now, unless what it means depends on the session.
func coerceLiteral(x *Expr, to types.OID) (*Expr, error) {
	literal := *x.constant
	if literal.IsNull {
		return Const(to, literal, x.At), nil
	}
	if dependsOnSession(to) && to != types.Bytea {
		if err := types.CheckText(to, literal.Bytes); err != nil {
			return nil, At(err, x.At)
		}
		return derived(to, x.At, func(e *Env) (types.Value, error) { return types.ParseText(to, literal.Bytes, &e.Style) }), nil
	}
	v, err := types.ParseText(to, literal.Bytes, nil)
	if err != nil {
		return nil, At(err, x.At)
	}
	return Const(to, v, x.At), nil
}

// dependsOnSession reports types whose text depends on settings and the time.
func dependsOnSession(t types.OID) bool {
	if e := t.Elem(); e != 0 {
		t = e
	}
	switch t {
	case types.TimestampTZ, types.Timestamp, types.Date, types.Time, types.TimeTZ, types.Bytea, types.TsRange, types.TsTzRange, types.DateRange:
		return true
	}
	return false
}

// Assign converts x for storing it into a column.
func (c *Compiler) Assign(x *Expr, to types.OID, column string) (*Expr, error) {
	if x.Type != to && x.Type != types.Unknown && types.CastContext(x.Type, to) < types.Assignment {
		e := pgwire.Errorf(pgwire.CodeDatatypeMismatch, "column \"%s\" is of type %s but expression is of type %s", column, to, x.Type)
		e.Hint = "You will need to rewrite or cast the expression."
		return nil, At(e, x.At)
	}
	return c.Coerce(x, to, types.Assignment)
}

// Finish makes of what is still unknown a text, as PostgreSQL does for result columns.
func (c *Compiler) Finish(x *Expr) (*Expr, error) {
	if x.Type == types.Unknown {
		return c.Coerce(x, types.Text, types.Implicit)
	}
	return x, nil
}

// Condition compiles an expression that must be boolean; clause names it in the error.
func (c *Compiler) Condition(n *pg_query.Node, clause string) (*Expr, error) {
	x, err := c.Compile(n)
	if err != nil {
		return nil, err
	}
	if x.Type != types.Bool && x.Type != types.Unknown {
		return nil, errorAt(x.At, pgwire.CodeDatatypeMismatch, "argument of %s must be type boolean, not type %s", clause, x.Type)
	}
	return c.Coerce(x, types.Bool, types.Implicit)
}
