package schema

import (
	"context"
	"time"

	"pgcache/sqlmap/types"
)

// Session is what functions and I/O may ask about the one who queries.
type Session interface {
	User() string // current_user
	IsSuperuser() bool
	Database() string // current_database()
	ProcessID() uint32
	// SearchPath are the schemas to look names up in, pg_catalog included, in order;
	// without those that do not exist.
	SearchPath() []string
	// Setting is the value of a run-time parameter as SHOW prints it.
	Setting(name string) (string, bool)
}

// Env is what an execution gives to functions and sources. It belongs to one statement.
type Env struct {
	Ctx     context.Context
	Style   types.Style // texts, time zone, transaction time (Now), names of reg* types
	Catalog Catalog
	Session Session
	// StatementTime is when the statement began; Style.Now is when its transaction did.
	StatementTime time.Time
	// Clock is the wall clock, for clock_timestamp().
	Clock func() time.Time
	// Charge takes memory out of the statement's budget; the error is 54000.
	Charge func(bytes int64) error
}

// SetContext gives a statement that goes on the context of the request that it goes on for.
func (e *Env) SetContext(ctx context.Context) { e.Ctx, e.Style.Ctx = ctx, ctx }

// Interrupted is the error of a statement that has ended, asked for once in many steps.
func (e *Env) Interrupted(step int) error { return types.Interrupted(e.Ctx, step) }

// Call is one place in a statement where a function is called.
type Call struct {
	*Env
	Function *Function
	// Types are the actual types of the arguments, Returns that of the result: what
	// polymorphic functions need to know. A literal of unknown type comes as text.
	Types   []types.OID
	Returns types.OID
	// Columns are those of a record that the statement defines: AS t(a int, b text).
	Columns []Column
	// SpreadsArray says that the last argument of a VARIADIC "any" function was written
	// as VARIADIC array, and comes as that array.
	SpreadsArray bool
	// Collation of the arguments; 0: default.
	Collation types.OID
	// Memo is where a function may keep what is costly to make, from one row to the next.
	Memo any
}

// Row makes a row of the OUT columns of the function that is called.
func (c *Call) Row(columns ...types.Value) types.Value {
	shape := &types.Shape{Fields: make([]types.Field, len(columns))}
	for i, column := range c.Function.Outs {
		shape.Fields[i] = types.Field{Name: column.Name, Type: column.Type}
	}
	return types.OfRecord(shape, columns)
}

// Constructs is the schema of functions that stand for constructs of the language. No name in a
// statement reaches it.
const Constructs = ""

// Implementation is the code of one function or aggregate. Exactly one of Call, Rows and
// Aggregate is set.
//
// A strict function is not called with NULLs. The arguments of VARIADIC functions come
// gathered in one array, those of VARIADIC "any" one by one.
type Implementation struct {
	Signature string
	// Construct describes a function of schema Constructs, which pg_proc does not have.
	Construct *Function

	Call func(c *Call, args []types.Value) (types.Value, error)
	// Rows makes the rows of a set-returning function. A row of several columns is one
	// value with the columns as its Elems.
	Rows func(c *Call, args []types.Value) (Iterator, error)
	// Aggregate begins a group. direct are the direct arguments of an ordered-set aggregate,
	// whose other arguments then come in order.
	Aggregate func(c *Call, direct []types.Value) (Accumulator, error)
	// SkipsNulls says that the aggregate does not look at rows with a NULL argument.
	SkipsNulls bool
}

// Iterator returns one value after the other; ok is false at the end.
type Iterator func() (v types.Value, ok bool, err error)

// Accumulator is an aggregate over one group.
type Accumulator interface {
	Add(args []types.Value) error
	// Result may be called several times, with more added in between.
	Result() (types.Value, error)
}

// Each iterates over values.
func Each(values []types.Value) Iterator {
	return func() (types.Value, bool, error) {
		if len(values) == 0 {
			return types.Value{}, false, nil
		}
		v := values[0]
		values = values[1:]
		return v, true, nil
	}
}
