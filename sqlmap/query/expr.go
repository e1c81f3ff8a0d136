package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// typing is what is known of an expression before it runs.
type typing struct {
	oid    types.OID
	typmod int32 // -1: none
	at     int32 // byte offset in the statement, -1: unknown
	// fields are the columns of a record whose type has no name.
	fields []schema.Column
}

func (t *typing) info() *typing { return t }

// expr is a typed expression.
type expr interface {
	info() *typing
	// children returns the places of the direct subexpressions.
	children() []*expr
}

// leaf has no subexpressions.
type leaf struct{ typing }

func (*leaf) children() []*expr { return nil }

// constExpr is a literal.
type constExpr struct {
	leaf
	value types.Value
}

// paramExpr is $n.
type paramExpr struct {
	leaf
	number int
}

// columnExpr is a column of a range.
type columnExpr struct {
	leaf
	level  int
	rng    int // index in block.ranges
	column int // wholeRow: the row as one value
	name   string
	item   *rangeItem // the range, if it is one that narrows its rows; else nil
}

const wholeRow = -1

// callExpr calls a function, or the function of an operator.
type callExpr struct {
	typing
	function *schema.Function
	args     []expr
	argTypes []types.OID // as declared, with polymorphic types resolved
	operator *schema.Operator
	spread   bool // VARIADIC array given to VARIADIC "any"
	gathered int  // how many of the last arguments make one array; -1: none
	element  types.OID
}

func (c *callExpr) children() []*expr { return places(c.args) }

func places(list []expr) []*expr {
	out := make([]*expr, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}

// aggregateExpr is a call of an aggregate.
type aggregateExpr struct {
	typing
	function *schema.Function
	direct   []expr
	args     []expr
	argTypes []types.OID
	distinct bool
	order    []orderKey
	filter   expr
	star     bool
	spread   bool
	level    int // of the block whose rows it aggregates
}

func (a *aggregateExpr) children() []*expr {
	out := append(places(a.direct), places(a.args)...)
	for i := range a.order {
		out = append(out, &a.order[i].expr)
	}
	if a.filter != nil {
		out = append(out, &a.filter)
	}
	return out
}

// orderKey is an expression to sort by.
type orderKey struct {
	expr       expr
	descending bool
	nullsFirst bool
}

// windowExpr is a call of a window function, or of an aggregate as one.
type windowExpr struct {
	typing
	function *schema.Function
	args     []expr
	argTypes []types.OID
	filter   expr
	star     bool
	window   int // in block.windows
}

func (w *windowExpr) children() []*expr {
	out := places(w.args)
	if w.filter != nil {
		out = append(out, &w.filter)
	}
	return out
}

// boolExpr is AND, OR or NOT.
type boolExpr struct {
	typing
	op   pg_query.BoolExprType
	args []expr
}

func (b *boolExpr) children() []*expr { return places(b.args) }

// testKind is what an IS test asks.
type testKind uint8

const (
	isNull testKind = iota
	isNotNull
	isTrue
	isNotTrue
	isFalse
	isNotFalse
	isUnknown
	isNotUnknown
)

// testExpr is x IS [NOT] NULL, TRUE, FALSE or UNKNOWN.
type testExpr struct {
	typing
	arg  expr
	kind testKind
	rows bool // NULL test of a record: of all its fields
}

func (t *testExpr) children() []*expr { return []*expr{&t.arg} }

// caseExpr is CASE; of the form with an argument, the conditions compare with value.
type caseExpr struct {
	typing
	arg        expr
	value      *operand
	conditions []expr
	results    []expr
	otherwise  expr
}

func (c *caseExpr) children() []*expr {
	out := append(places(c.conditions), places(c.results)...)
	if c.arg != nil {
		out = append(out, &c.arg)
	}
	return append(out, &c.otherwise)
}

// pickKind tells the expressions that pick one of their arguments.
type pickKind uint8

const (
	pickCoalesce pickKind = iota
	pickGreatest
	pickLeast
)

// pickExpr is COALESCE, GREATEST or LEAST.
type pickExpr struct {
	typing
	kind pickKind
	args []expr
}

func (p *pickExpr) children() []*expr { return places(p.args) }

// nullIfExpr is NULLIF(left, right); equal compares the operands l and r.
type nullIfExpr struct {
	typing
	left, right expr
	l, r        *operand
	equal       expr
}

func (n *nullIfExpr) children() []*expr { return []*expr{&n.left, &n.right, &n.equal} }

// distinctExpr is left IS [NOT] DISTINCT FROM right; equal compares the operands l and r,
// neither of which is NULL then.
type distinctExpr struct {
	typing
	left, right expr
	l, r        *operand
	equal       expr
	not         bool
}

func (d *distinctExpr) children() []*expr { return []*expr{&d.left, &d.right, &d.equal} }

// operand stands for a value that the expression around it supplies: an element of ANY's
// array, a column of a subquery compared with.
type operand struct{ leaf }

// anyArrayExpr is left op ANY (array) or ALL; test compares the operands l and element.
type anyArrayExpr struct {
	typing
	left, array expr
	l, element  *operand
	test        expr
	all         bool
}

func (a *anyArrayExpr) children() []*expr { return []*expr{&a.left, &a.array, &a.test} }

// subqueryKind tells the uses of a subquery in an expression.
type subqueryKind uint8

const (
	subqueryScalar subqueryKind = iota
	subqueryExists
	subqueryAny
	subqueryAll
	subqueryArray
	subqueryRow // (a, b) op (SELECT …)
)

// subqueryExpr is a subquery in an expression. For ANY and ALL, test compares the left
// operands with the columns of a row, which come as operands.
type subqueryExpr struct {
	typing
	kind    subqueryKind
	block   *block
	left    []expr
	l       []*operand
	columns []*operand
	test    expr
}

func (s *subqueryExpr) children() []*expr {
	out := places(s.left)
	if s.test != nil {
		out = append(out, &s.test)
	}
	return out
}

// arrayExpr is ARRAY[…].
type arrayExpr struct {
	typing
	elems  []expr
	nested bool // elems are arrays
}

func (a *arrayExpr) children() []*expr { return places(a.elems) }

// rowExpr is ROW(…).
type rowExpr struct {
	typing
	elems []expr
}

func (r *rowExpr) children() []*expr { return places(r.elems) }

// rowCompareExpr is (a, b) < (c, d): equal and test are the comparisons by column.
type rowCompareExpr struct {
	typing
	tests  []expr // strict comparison of each pair
	equals []expr
	orSame bool // <= and >=
}

func (r *rowCompareExpr) children() []*expr { return append(places(r.tests), places(r.equals)...) }

// fieldExpr is (record).field.
type fieldExpr struct {
	typing
	arg   expr
	index int
}

func (f *fieldExpr) children() []*expr { return []*expr{&f.arg} }

// subscript is one [i] or [lower:upper].
type subscript struct {
	lower, upper expr // nil: left out
	isSlice      bool
}

// subscriptExpr is array[…]….
type subscriptExpr struct {
	typing
	arg        expr
	subscripts []subscript
	isSlice    bool
}

func (s *subscriptExpr) children() []*expr {
	out := []*expr{&s.arg}
	for i := range s.subscripts {
		if s.subscripts[i].lower != nil {
			out = append(out, &s.subscripts[i].lower)
		}
		if s.subscripts[i].upper != nil {
			out = append(out, &s.subscripts[i].upper)
		}
	}
	return out
}

// castMethod says how a castExpr converts.
type castMethod uint8

const (
	castRelabel castMethod = iota // the same value under another type
	castText                      // by output and input
	castCall                      // by a function
	castArray                     // by element
	castRow                       // a record by field
	castModify                    // apply a type modifier
)

// castExpr converts a value to another type.
type castExpr struct {
	typing
	arg      expr
	method   castMethod
	function *schema.Function
	element  *operand // of castArray
	convert  expr     // of castArray: the conversion of element
	fields   []expr   // of castRow: conversions of the fields
	parts    []*operand
	explicit bool
}

func (c *castExpr) children() []*expr {
	out := []*expr{&c.arg}
	if c.convert != nil {
		out = append(out, &c.convert)
	}
	return append(out, places(c.fields)...)
}

// groupingExpr is GROUPING(…): a bit for each expression that the grouping set leaves out.
type groupingExpr struct {
	typing
	args  []expr
	level int
	refs  []int // of block.groups
	block *block
}

func (g *groupingExpr) children() []*expr { return places(g.args) }

// sqlValueExpr is CURRENT_DATE and its like.
type sqlValueExpr struct {
	leaf
	op pg_query.SQLValueFunctionOp
}
