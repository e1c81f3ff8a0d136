package schema

import "pgcache/sqlmap/types"

// Catalog resolves names and OIDs. Names are exact: case was folded by the parser, and the
// search path is applied by the caller, schema by schema. A nil result means there is none.
type Catalog interface {
	HasSchema(schema string) bool
	Relation(schema, name string) *Relation
	// RelationNames lists the relations of a schema, for hints.
	RelationNames(schema string) []string

	Type(oid types.OID) *Type
	TypeNamed(schema, name string) *Type

	// Functions are all overloads of a name, aggregates and window functions included.
	Functions(schema, name string) []*Function
	// FunctionByOID finds the function of an operator, cast or regproc.
	FunctionByOID(oid types.OID) *Function
	// Operators are all overloads of a name, prefix operators (Left 0) included.
	Operators(schema, name string) []*Operator
	Cast(from, to types.OID) *Cast
	// Collation is the OID of a collation, 0 if there is none.
	Collation(schema, name string) types.OID
}

// Type is a row of pg_type.
type Type struct {
	OID         types.OID
	Schema      string
	Name        string // as pg_type has it: "int4", "_text"
	Size        int16
	Kind        byte // b base, c composite, d domain, e enum, p pseudo, r range, m multirange
	Category    types.Category
	IsPreferred bool
	Elem        types.OID // typelem: of arrays, int2vector, oidvector, name, point, …
	IsArray     bool      // a true array: typsubscript is array_subscript_handler
	Array       types.OID
	Relation    types.OID // of composite types
	Fields      []Column  // of composite types
	Base        types.OID // of domains
	BaseTypmod  int32
	Collation   types.OID
}

// Function is a row of pg_proc and the code for it.
type Function struct {
	OID      types.OID
	Schema   string
	Name     string
	Kind     byte        // f function, p procedure, a aggregate, w window
	Args     []types.OID // IN, INOUT and VARIADIC
	ArgNames []string    // of Args; nil or "": no name
	// Defaults are the values of the last arguments, for those that may be left out.
	Defaults []types.Value
	Variadic types.OID // element type of the last argument, "any" for VARIADIC "any"; 0: not variadic
	Returns  types.OID
	// Outs are the OUT, INOUT and TABLE columns of a function that returns record.
	Outs       []Column
	ReturnsSet bool
	IsStrict   bool
	Volatility byte // i immutable, s stable, v volatile

	AggregateKind byte // n normal, o ordered-set, h hypothetical-set
	DirectArgs    int  // of ordered-set aggregates

	Implementation *Implementation // nil: not supported
}

// Operator is a row of pg_operator.
type Operator struct {
	OID      types.OID
	Schema   string
	Name     string
	Left     types.OID // 0: prefix operator
	Right    types.OID
	Result   types.OID
	Function *Function
	// Commutator and Negator are OIDs, 0 if there is none.
	Commutator, Negator types.OID
	CanHash             bool
}

// CastMethod says how a cast is done.
type CastMethod byte

// The cast methods, as in pg_cast.
const (
	CastByFunction CastMethod = 'f'
	CastByText     CastMethod = 'i' // output and input functions
	CastBinary     CastMethod = 'b' // nothing to do
)

// Cast is a row of pg_cast. Domains, arrays by element and casts from and to text by I/O
// have no rows; the query adds them.
type Cast struct {
	From, To types.OID
	Context  types.Context
	Method   CastMethod
	Function *Function // of CastByFunction; it takes (value[, typmod int4[, isExplicit bool]])
}
