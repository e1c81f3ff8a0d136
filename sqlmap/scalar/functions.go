package scalar

import (
	"fmt"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// Pseudo-types of function arguments.
const (
	// AnyArray takes any array.
	AnyArray types.OID = 2277
	// AnyAsText takes anything and gets its text.
	AnyAsText types.OID = 2276
)

// Function is one overload of a function.
type Function struct {
	Name string
	Args []types.OID
	// ArgNames are needed for named notation only.
	ArgNames []string
	// Optional is how many of the last arguments may be left out; they are then NULL.
	Optional int
	// IsVariadic says that the last argument, an array, may be written as any number of
	// elements.
	IsVariadic bool
	// ElementsAsText says that these elements may be of any type, and come as its text.
	ElementsAsText bool
	Returns        types.OID
	// Outs are the columns of a function that returns a record.
	Outs []types.Field
	// OnNull calls the function with NULL arguments, too; else the result is NULL.
	OnNull bool
	// IsVolatile functions have effects or give another result each time.
	IsVolatile bool
	Call       func(e *Env, args []types.Value) (types.Value, error)
}

// signature is how messages show the function.
func (f *Function) signature() string {
	parts := make([]string, len(f.Args))
	for i, t := range f.Args {
		if i < len(f.ArgNames) {
			parts[i] = f.ArgNames[i] + " "
		}
		parts[i] += t.String()
		if f.IsVariadic && i == len(f.Args)-1 {
			parts[i] = "VARIADIC " + parts[i]
		}
		if i >= len(f.Args)-f.Optional {
			parts[i] = "[" + parts[i] + "]"
		}
	}
	return f.Name + "(" + strings.Join(parts, ", ") + ")"
}

// call compiles a function call.
func (c *Compiler) call(k *pg_query.FuncCall) (*Expr, error) {
	x, _, err := c.Call(k)
	return x, err
}

// Call compiles a function call and tells which function it resolved to.
func (c *Compiler) Call(k *pg_query.FuncCall) (*Expr, *Function, error) {
	names := Names(k.Funcname)
	name := names[len(names)-1]
	switch {
	case k.Over != nil:
		return nil, nil, Unsupported(k.Location, "window functions are", expressionHint)
	case k.AggStar || k.AggDistinct || k.AggFilter != nil || len(k.AggOrder) > 0 || isAggregate(name):
		return nil, nil, Unsupported(k.Location, "aggregate function "+name+" here is", "count(*) may stand alone in the select list.")
	}
	used := c.Used
	args, argNames, err := c.arguments(k)
	if err != nil {
		return nil, nil, err
	}
	if c.Rewrite != nil && len(names) == 1 {
		if x := c.rewrite(name, args, used); x != nil {
			return x, &Function{Name: name, Returns: x.Type}, nil
		}
	}
	var candidates []Function
	if len(names) == 1 || names[0] == "public" || names[0] == "pg_catalog" {
		candidates = c.lookup(name)
	}
	f, args, err := c.choose(candidates, name, k, args, argNames)
	if err != nil {
		return nil, nil, err
	}
	return c.apply(f, args, k), f, nil
}

// rewrite asks Rewrite. used is what was used before the arguments were compiled.
func (c *Compiler) rewrite(name string, args []*Expr, used [2]uint64) *Expr {
	after := c.Used
	c.Used = used
	x := c.Rewrite(name, args)
	if x == nil {
		c.Used = after
	}
	return x
}

func isAggregate(name string) bool {
	switch name {
	case "count", "sum", "avg", "min", "max", "array_agg", "string_agg", "jsonb_agg", "json_agg", "bool_and", "bool_or", "every":
		return true
	}
	return false
}

func (c *Compiler) lookup(name string) []Function {
	if c.Functions != nil {
		if list := c.Functions(name); list != nil {
			return list
		}
	}
	return library(name)
}

// arguments compiles the arguments; names has "" for positional ones.
func (c *Compiler) arguments(k *pg_query.FuncCall) (args []*Expr, names []string, err error) {
	for _, n := range k.Args {
		name := ""
		if named := n.GetNamedArgExpr(); named != nil {
			name, n = named.Name, named.Arg
		} else if len(names) > 0 && names[len(names)-1] != "" {
			return nil, nil, errorAt(k.Location, pgwire.CodeSyntaxError, "positional argument cannot follow named argument")
		}
		x, err := c.Compile(n)
		if err != nil {
			return nil, nil, err
		}
		if c.Params.isVoid(x) {
			continue
		}
		args, names = append(args, x), append(names, name)
	}
	return args, names, nil
}

// choose finds the best overload and puts the arguments into its order; missing ones are nil.
func (c *Compiler) choose(candidates []Function, name string, k *pg_query.FuncCall, args []*Expr, names []string) (*Function, []*Expr, error) {
	var best *Function
	var bestArgs []*Expr
	bestScore, isTie := -1, false
	for i := range candidates {
		f := &candidates[i]
		placed, ok := f.place(args, names, k.FuncVariadic)
		if !ok {
			continue
		}
		score, ok := f.score(placed, k.FuncVariadic)
		if !ok {
			continue
		}
		isTie = score == bestScore
		if score > bestScore {
			best, bestArgs, bestScore = f, placed, score
		}
	}
	if best == nil {
		return nil, nil, c.undefinedFunction(candidates, name, k, args, names)
	}
	if isTie {
		e := pgwire.Errorf(pgwire.CodeAmbiguousFunction, "function %s(%s) is not unique", name, describe(args, names))
		e.Hint = "Could not choose a best candidate function. You might need to add explicit type casts."
		return nil, nil, At(e, k.Location)
	}
	for i, x := range bestArgs {
		if x == nil {
			continue
		}
		var err error
		if bestArgs[i], err = c.convert(x, best.argument(i, len(bestArgs), k.FuncVariadic)); err != nil {
			return nil, nil, err
		}
	}
	return best, bestArgs, nil
}

func (c *Compiler) convert(x *Expr, to types.OID) (*Expr, error) {
	switch to {
	case AnyAsText:
		if x.Type == types.Unknown || x.Type == types.Text {
			return c.Coerce(x, types.Text, types.Implicit)
		}
		return derived(types.Text, x.At, func(e *Env) (types.Value, error) {
			v, err := x.eval(e)
			if err != nil || v.IsNull {
				return v, err
			}
			return types.OfBytes(types.AppendText(nil, x.Type, v, &e.Style)), nil
		}, x), nil
	case AnyArray:
		if x.Type == types.Unknown {
			return c.Coerce(x, types.TextArray, types.Implicit)
		}
		return x, nil
	}
	return c.Coerce(x, to, types.Implicit)
}

// place puts arguments into the order of f.
func (f *Function) place(args []*Expr, names []string, asArray bool) ([]*Expr, bool) {
	if f.IsVariadic && !asArray {
		return args, len(args) >= len(f.Args) && (len(names) == 0 || names[len(names)-1] == "")
	}
	if asArray && !f.IsVariadic || len(args) > len(f.Args) {
		return nil, false
	}
	placed := make([]*Expr, len(f.Args))
	for i, x := range args {
		at := i
		if names[i] != "" {
			at = -1
			for j, name := range f.ArgNames {
				if name == names[i] {
					at = j
				}
			}
		}
		if at < 0 || placed[at] != nil {
			return nil, false
		}
		placed[at] = x
	}
	for i, x := range placed {
		if x == nil && i < len(f.Args)-f.Optional {
			return nil, false
		}
	}
	return placed, true
}

// argument is the type of the i-th of n arguments.
func (f *Function) argument(i, n int, asArray bool) types.OID {
	last := len(f.Args) - 1
	if f.IsVariadic && !asArray && i >= last {
		if f.ElementsAsText {
			return AnyAsText
		}
		return f.Args[last].Elem()
	}
	return f.Args[i]
}

// score says how well the arguments suit: exact types first, then strings for unknown ones.
func (f *Function) score(args []*Expr, asArray bool) (int, bool) {
	total := 0
	for i, x := range args {
		if x == nil {
			continue
		}
		switch want := f.argument(i, len(args), asArray); {
		case x.Type == want:
			total += 1000
		case want == AnyAsText:
			if x.Type == types.Void {
				return 0, false
			}
		case want == AnyArray:
			if x.Type.Elem() == 0 && x.Type != types.Unknown {
				return 0, false
			}
		case x.Type == types.Unknown:
			if want == types.Text {
				total += 10
			}
		case types.CastContext(x.Type, want) != types.Implicit:
			return 0, false
		case want == types.Float8 || want == types.Text:
			total++ // the preferred types of their categories
		}
	}
	return total, true
}

func describe(args []*Expr, names []string) string {
	parts := make([]string, len(args))
	for i, x := range args {
		parts[i] = x.Type.String()
		if names[i] != "" {
			parts[i] = names[i] + " => " + parts[i]
		}
	}
	return strings.Join(parts, ", ")
}

func (c *Compiler) undefinedFunction(candidates []Function, name string, k *pg_query.FuncCall, args []*Expr, names []string) error {
	full := strings.Join(Names(k.Funcname), ".")
	e := pgwire.Errorf(pgwire.CodeUndefinedFunction, "function %s(%s) does not exist", full, describe(args, names))
	e.Hint = "No function matches the given name and argument types. You might need to add explicit type casts."
	if len(candidates) > 0 {
		signatures := make([]string, len(candidates))
		for i := range candidates {
			signatures[i] = candidates[i].signature()
		}
		e.Hint = fmt.Sprintf("There is %s.", strings.Join(signatures, " and "))
	} else if near := c.nearestFunction(name); near != "" {
		e.Hint = fmt.Sprintf("Perhaps you meant the function \"%s\".", near)
	}
	return At(e, k.Location)
}

func (c *Compiler) nearestFunction(name string) string {
	best, nearest := len(name)/3+1, ""
	for _, known := range c.FunctionNames {
		if d := Distance(name, known); d < best {
			best, nearest = d, known
		}
	}
	return nearest
}

// apply makes the call. args has a nil for each argument left out.
func (c *Compiler) apply(f *Function, args []*Expr, k *pg_query.FuncCall) *Expr {
	fixed := len(f.Args)
	gathers := f.IsVariadic && !k.FuncVariadic
	if gathers {
		fixed--
	}
	run, onNull := f.Call, f.OnNull
	var given []*Expr
	for _, x := range args {
		if x != nil {
			given = append(given, x)
		}
	}
	out := derived(f.Returns, k.Location, func(e *Env) (types.Value, error) {
		values := make([]types.Value, len(f.Args))
		var rest []types.Value
		for i, x := range args {
			v := types.Null()
			if x != nil {
				var err error
				if v, err = x.eval(e); err != nil {
					return v, err
				}
			}
			if i >= fixed {
				rest = append(rest, v)
				continue
			}
			if v.IsNull && !onNull {
				return v, nil
			}
			values[i] = v
		}
		if gathers {
			values[fixed] = types.Value{Elems: rest}
		}
		return run(e, values)
	}, given...)
	out.isVolatile = out.isVolatile || f.IsVolatile
	out.fields = f.Outs
	return out
}

// field is (record).name.
func (x *Expr) field(name string) (*Expr, error) {
	for i := range x.fields {
		if x.fields[i].Name != name {
			continue
		}
		return derived(x.fields[i].Type, x.At, func(e *Env) (types.Value, error) {
			v, err := x.eval(e)
			if err != nil || v.IsNull {
				return types.Null(), err
			}
			return v.Elems[i], nil
		}, x), nil
	}
	if x.fields == nil {
		return nil, errorAt(x.At, pgwire.CodeWrongObjectType, "column notation .%s applied to type %s, which is not a composite type", name, x.Type)
	}
	return nil, errorAt(x.At, pgwire.CodeUndefinedColumn, "could not identify column \"%s\" in record data type", name)
}

// valueFunction is CURRENT_USER and its like, which are functions without parentheses.
func (c *Compiler) valueFunction(k *pg_query.SQLValueFunction) (*Expr, error) {
	name := ""
	switch k.Op {
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		name = "now"
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		name = "localtimestamp"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_USER,
		pg_query.SQLValueFunctionOp_SVFOP_USER:
		name = "current_user"
	case pg_query.SQLValueFunctionOp_SVFOP_SESSION_USER:
		name = "session_user"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		name = "current_database"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
		name = "current_schema"
	default:
		return nil, Unsupported(k.Location, "this function is", "Use now() and timestamptz.")
	}
	for _, f := range c.lookup(name) {
		if len(f.Args) == 0 {
			return c.apply(&f, nil, &pg_query.FuncCall{Location: k.Location}), nil
		}
	}
	return nil, Unsupported(k.Location, "this function is", expressionHint)
}
