package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// Compiler makes expressions that are no part of a query: those of statements that the
// caller plans itself, over rows that the caller has. They are typed and computed as a
// query's are, but have no subqueries and no aggregates.
type Compiler struct {
	// Place is where the expressions stand, for what may not stand there.
	Place Place
	// Used collects, by relation, which of their first 64 columns are read.
	Used [2]uint64

	analyzer  analyzer
	relations []Relation
}

// Relation is a name whose columns expressions may take.
type Relation struct {
	Schema string // empty unless a schema may qualify the name
	Name   string
	// Columns are those of the rows. One without a name cannot be referred to.
	Columns []schema.Column
	// Table is what the rows are of, nil if they have no system columns. xmax is then the
	// column behind the last.
	Table *schema.Relation
	// Lengths are the columns that have the lengths of others, which are then not read.
	Lengths map[int]int
}

// Expression is an expression of a Compiler. It is immutable and may be evaluated by any
// number of goroutines, each with an Env of its own.
type Expression struct {
	Type types.OID
	// At is the 0-based byte offset of the expression in the statement, -1 if unknown.
	At   int32
	node expr // nothing of it changes a value if bare is something else
	bare expr // node without what only gives it another type
}

// Output is a column of a select list or RETURNING.
type Output struct {
	Column
	Expr *Expression
}

// SortKey is an output to sort by.
type SortKey struct {
	Output                 int
	Descending, NullsFirst bool
}

// NewCompiler makes a Compiler of one statement.
func NewCompiler(o Options) *Compiler {
	c := &Compiler{analyzer: newAnalyzer(o)}
	c.SetRelations()
	return c
}

// SetRelations says whose columns may be named: of at most two relations.
func (c *Compiler) SetRelations(list ...Relation) {
	a := &c.analyzer
	c.relations = list
	a.scope = &scope{block: &block{groupRange: -1, windowRange: -1}}
	for rng, r := range list {
		item := &rangeItem{name: r.Name, alias: r.Name, columns: r.Columns, relation: r.Table}
		a.scope.block.ranges = append(a.scope.block.ranges, item)
		names := &scopeItem{alias: r.Name, schema: r.Schema, rng: rng}
		for i, column := range r.Columns {
			if column.Name != "" {
				names.columns = append(names.columns, scopeColumn{name: column.Name, make: func(level int, at int32) expr {
					return a.rangeColumn(item, rng, i, column, nil, level, at)
				}})
			}
		}
		a.scope.items = append(a.scope.items, names)
	}
}

// Relations are those whose columns may be named.
func (c *Compiler) Relations() []Relation { return c.relations }

// Compile compiles an expression. Its type may be unknown: see Coerce and Known.
func (c *Compiler) Compile(n *pg_query.Node) (*Expression, error) {
	return c.settled(c.analyzer.at(c.Place, n))
}

// Condition compiles an expression that must be boolean; clause names it in the error.
func (c *Compiler) Condition(n *pg_query.Node, clause string) (*Expression, error) {
	return c.settled(c.analyzer.conditionAt(n, placeWhere, clause))
}

// RowCount compiles the argument of LIMIT or OFFSET; nil if there is none.
func (c *Compiler) RowCount(n *pg_query.Node, clause string) (*Expression, error) {
	if n == nil {
		return nil, nil
	}
	return c.settled(c.analyzer.rowCount(n, clause))
}

// Outputs compiles a select list, and ORDER BY: what it sorts by and does not stand in the
// list follows behind its outputs, which are so many.
func (c *Compiler) Outputs(list, sort []*pg_query.Node) (outputs []Output, visible int, keys []SortKey, err error) {
	a := &c.analyzer
	b := &block{}
	a.scope.place = c.Place
	if b.targets, err = a.targets(list); err != nil {
		return nil, 0, nil, err
	}
	visible = len(b.targets)
	if err = a.sortClause(b, sort); err != nil {
		return nil, 0, nil, err
	}
	if err = a.knownTargets(b); err != nil {
		return nil, 0, nil, err
	}
	for _, t := range b.targets {
		x, err := c.settled(t.expr, nil)
		if err != nil {
			return nil, 0, nil, err
		}
		info := x.node.info()
		outputs = append(outputs, Output{a.describe(schema.Column{Name: t.name, Type: info.oid, Typmod: info.typmod}), x})
	}
	for _, k := range b.sort {
		keys = append(keys, SortKey{k.target, k.descending, k.nullsFirst})
	}
	return outputs, visible, keys, nil
}

// Coerce converts x to a type as the context allows.
func (c *Compiler) Coerce(x *Expression, to types.OID, context types.Context) (*Expression, error) {
	return folded(c.analyzer.coerce(x.node, to, -1, context))
}

// TryCoerce is Coerce, but nil if there is no such cast.
func (c *Compiler) TryCoerce(x *Expression, to types.OID, context types.Context) (*Expression, error) {
	e, err := c.analyzer.tryCoerce(x.node, to, context)
	if e == nil {
		return nil, err
	}
	return folded(e, err)
}

// Assign converts x for storing it into a column.
func (c *Compiler) Assign(x *Expression, to types.OID, column string) (*Expression, error) {
	out, err := c.TryCoerce(x, to, types.Assignment)
	if err == nil && out == nil {
		e := errorAt(location(x.node), pgwire.CodeDatatypeMismatch, "column \"%s\" is of type %s but expression is of type %s",
			column, c.analyzer.typeName(to), c.analyzer.typeName(x.Type))
		e.Hint = "You will need to rewrite or cast the expression."
		return nil, e
	}
	return out, err
}

// ColumnAt is the column of the first relation at a position.
func (c *Compiler) ColumnAt(column int) *Expression {
	item := c.analyzer.scope.items[0].rng
	r := c.analyzer.scope.block.ranges[item]
	c.Used[0] |= 1 << column
	return newExpression(c.analyzer.rangeColumn(r, item, column, r.columns[column], nil, 0, -1))
}

// TypeOf is the type that a name stands for.
func (c *Compiler) TypeOf(n *pg_query.TypeName) (types.OID, error) {
	oid, _, err := c.analyzer.resolveType(n)
	return oid, err
}

// ParamOIDs are the types of all parameters; those without a context are text.
func (c *Compiler) ParamOIDs() ([]uint32, error) { return c.analyzer.params.oids() }

// LearnParam gives parameter n, counted from 1, its type, unless it has one.
func (c *Compiler) LearnParam(n int, oid types.OID) { c.analyzer.params.learn(n, oid) }

// And joins conditions; nil if there are none.
func And(conditions []*Expression) *Expression {
	var list []expr
	for _, x := range conditions {
		list = append(list, x.node)
	}
	if e := andOf(list); e != nil {
		return newExpression(e)
	}
	return nil
}

// ArrayOfOne is ARRAY[x].
func ArrayOfOne(x *Expression) *Expression {
	return newExpression(&arrayExpr{typing: typing{oid: types.ArrayOf(x.Type), typmod: -1, at: x.At}, elems: []expr{x.node}})
}

// folded is the expression with its casts of literals done.
func folded(e expr, err error) (*Expression, error) {
	if err == nil {
		e, err = fold(e)
	}
	if err != nil {
		return nil, err
	}
	return newExpression(e), nil
}

func newExpression(e expr) *Expression {
	x := &Expression{Type: e.info().oid, At: location(e), node: e, bare: e}
	for {
		k, ok := x.bare.(*castExpr)
		if !ok || k.method != castRelabel {
			return x
		}
		x.bare = k.arg
	}
}

// fold casts a literal now, unless what it means depends on the session.
func fold(e expr) (expr, error) {
	k, ok := e.(*castExpr)
	if !ok || k.method != castCall && k.method != castRelabel {
		return e, nil
	}
	arg, err := fold(k.arg)
	literal, ok := arg.(*constExpr)
	if err != nil || !ok {
		return e, err
	}
	v := literal.value
	if !v.IsNull && k.method == castCall {
		f := k.function
		if isOfSession(literal.oid) || isOfSession(k.oid) || len(f.Args) != 1 || f.Implementation == nil || f.Implementation.Call == nil {
			return e, nil
		}
		c := &schema.Call{Env: &schema.Env{}, Function: f, Types: f.Args, Returns: f.Returns}
		if v, err = f.Implementation.Call(c, []types.Value{v}); err != nil {
			return nil, AtOffset(err, literal.at)
		}
	}
	return constantOf(k.oid, v, k.at), nil
}

// settled makes an expression of what was analyzed: it refuses what only queries have, and
// notes what is read.
func (c *Compiler) settled(e expr, err error) (*Expression, error) {
	if err != nil {
		return nil, err
	}
	visit(&e, 0, func(p *expr, _ int) bool {
		if err == nil {
			c.replaceLength(p)
			err = c.settle(p)
		}
		return err == nil
	})
	return folded(e, err)
}

func (c *Compiler) settle(p *expr) error {
	refuse := func(what, hint string) error {
		e := unsupported(location(*p), what)
		e.Hint = hint
		return e
	}
	switch x := (*p).(type) {
	case *subqueryExpr:
		return refuse("subqueries are", "Run the subquery first and pass its result as a parameter.")
	case *aggregateExpr:
		return refuse("aggregate function "+x.function.Name+" here is", "count(*) may stand alone in the select list.")
	case *windowExpr, *groupingExpr:
		return refuse("window functions are", "")
	case *callExpr:
		if x.function.ReturnsSet {
			return refuse("a set-returning function here is", "")
		}
	case *columnExpr:
		return c.settleColumn(p, x, refuse)
	}
	return nil
}

func (c *Compiler) settleColumn(p *expr, x *columnExpr, refuse func(what, hint string) error) error {
	if x.column == wholeRow {
		return refuse("whole-row references are", "Name the columns, or use *.")
	}
	r := &c.relations[x.rng]
	if system := x.column - len(r.Columns); system >= 0 {
		switch x.name {
		case "ctid":
			return refuse("system column ctid here is", "")
		case "xmax":
			x.column = len(r.Columns)
		default:
			values := make([]types.Value, len(systemColumns))
			systemValues(values, r.Table, 1)
			*p = constantOf(x.oid, values[system], x.at)
			return nil
		}
	}
	c.Used[x.rng] |= 1 << (x.column & 63)
	return nil
}

// replaceLength makes of length(column) the column that has it.
func (c *Compiler) replaceLength(p *expr) {
	call, ok := (*p).(*callExpr)
	if !ok || len(call.args) != 1 || call.function.Name != "length" && call.function.Name != "octet_length" {
		return
	}
	column, ok := call.args[0].(*columnExpr)
	if !ok || column.oid != types.Bytea || column.rng >= len(c.relations) {
		return
	}
	if at, ok := c.relations[column.rng].Lengths[column.column]; ok {
		// Its type is that of the function: what has a length is shorter than 2 GiB.
		*p = &columnExpr{leaf: leaf{typing{oid: call.oid, typmod: -1, at: call.at}}, rng: column.rng, column: at, name: c.relations[column.rng].Columns[at].Name}
	}
}

// Constant is the value of a literal.
func (x *Expression) Constant() (types.Value, bool) {
	if k, ok := x.bare.(*constExpr); ok {
		return k.value, true
	}
	return types.Value{}, false
}

// Param is the number of a bare parameter and its type, else 0.
func (x *Expression) Param() (int, types.OID) {
	if p, ok := x.bare.(*paramExpr); ok {
		return p.number, p.oid
	}
	return 0, 0
}

// Column is the position of a bare column of the first relation, else -1.
func (x *Expression) Column() int {
	if k, ok := x.bare.(*columnExpr); ok && k.rng == 0 {
		return k.column
	}
	return -1
}

// UsesRow reports that the value depends on the row.
func (x *Expression) UsesRow() bool {
	ranges, _ := usedRanges(x.node)
	return len(ranges) > 0
}

// IsVolatile reports that the expression has effects or may differ from one evaluation
// to the next.
func (x *Expression) IsVolatile() bool { return isVolatile(x.node) }

// Function is the function that a call resolved to; nil if the expression is no call.
func (x *Expression) Function() *schema.Function {
	if k, ok := x.node.(*callExpr); ok {
		return k.function
	}
	return nil
}
