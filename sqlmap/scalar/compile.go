package scalar

import (
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// Compile compiles an expression. Its type may be unknown: see Coerce and Finish.
func (c *Compiler) Compile(n *pg_query.Node) (*Expr, error) {
	x, err := c.compile(n)
	if err != nil && c.Elsewhere != nil && n != nil {
		return c.Elsewhere(n, err)
	}
	return x, err
}

func (c *Compiler) compile(n *pg_query.Node) (*Expr, error) {
	if n == nil {
		return nil, Unsupported(-1, "an empty expression is", expressionHint)
	}
	switch n := n.Node.(type) {
	case *pg_query.Node_AConst:
		return literal(n.AConst)
	case *pg_query.Node_ParamRef:
		return c.Params.ref(int(n.ParamRef.Number), n.ParamRef.Location)
	case *pg_query.Node_ColumnRef:
		return c.columnRef(n.ColumnRef)
	case *pg_query.Node_AExpr:
		return c.operator(n.AExpr)
	case *pg_query.Node_BoolExpr:
		return c.boolean(n.BoolExpr)
	case *pg_query.Node_NullTest:
		return c.nullTest(n.NullTest)
	case *pg_query.Node_BooleanTest:
		return c.booleanTest(n.BooleanTest)
	case *pg_query.Node_TypeCast:
		return c.typeCast(n.TypeCast)
	case *pg_query.Node_FuncCall:
		return c.call(n.FuncCall)
	case *pg_query.Node_CaseExpr:
		return c.caseExpr(n.CaseExpr)
	case *pg_query.Node_CoalesceExpr:
		return c.coalesce(n.CoalesceExpr)
	case *pg_query.Node_MinMaxExpr:
		return c.minMax(n.MinMaxExpr)
	case *pg_query.Node_SqlvalueFunction:
		return c.valueFunction(n.SqlvalueFunction)
	case *pg_query.Node_AArrayExpr:
		return c.array(n.AArrayExpr)
	case *pg_query.Node_AIndirection:
		return c.subscript(n.AIndirection)
	case *pg_query.Node_CollateClause:
		return c.collate(n.CollateClause)
	case *pg_query.Node_SubLink:
		return nil, Unsupported(n.SubLink.Location, "subqueries are", "Run the subquery first and pass its result as a parameter.")
	case *pg_query.Node_RowExpr:
		return nil, Unsupported(n.RowExpr.Location, "row expressions are", "Compare each column by itself, joined with AND.")
	case *pg_query.Node_SetToDefault:
		return nil, errorAt(n.SetToDefault.Location, pgwire.CodeSyntaxError, "DEFAULT is not allowed in this context")
	case *pg_query.Node_NamedArgExpr:
		return nil, errorAt(n.NamedArgExpr.Location, pgwire.CodeSyntaxError, "a named argument is not allowed in this context")
	}
	return nil, Unsupported(-1, "this kind of expression is", expressionHint)
}

func literal(k *pg_query.A_Const) (*Expr, error) {
	if k.Isnull {
		return Const(types.Unknown, types.Null(), k.Location), nil
	}
	switch v := k.Val.(type) {
	case *pg_query.A_Const_Ival:
		return Const(types.Int4, types.OfInt(int64(v.Ival.Ival)), k.Location), nil
	case *pg_query.A_Const_Fval:
		text := v.Fval.Fval
		if i, err := strconv.ParseInt(text, 0, 64); err == nil {
			if i == int64(int32(i)) {
				return Const(types.Int4, types.OfInt(i), k.Location), nil
			}
			return Const(types.Int8, types.OfInt(i), k.Location), nil
		}
		value, err := types.ParseText(types.Numeric, []byte(text), nil)
		return Const(types.Numeric, value, k.Location), At(err, k.Location)
	case *pg_query.A_Const_Boolval:
		return Const(types.Bool, types.OfBool(v.Boolval.Boolval), k.Location), nil
	case *pg_query.A_Const_Sval:
		return Const(types.Unknown, types.OfText(v.Sval.Sval), k.Location), nil
	}
	return nil, Unsupported(k.Location, "bit strings are", "Write the value as a bytea: '\\x…'.")
}

// Names joins the strings of a list of name nodes.
func Names(list []*pg_query.Node) []string {
	names := make([]string, 0, len(list))
	for _, n := range list {
		names = append(names, n.GetString_().GetSval())
	}
	return names
}

func (c *Compiler) typeCast(k *pg_query.TypeCast) (*Expr, error) {
	to, modifiers, err := TypeOf(k.TypeName)
	if err != nil {
		return nil, err
	}
	x, err := c.Compile(k.Arg)
	if err != nil {
		return nil, err
	}
	at := k.Location
	if at < 0 {
		at = x.At
	}
	// A cast of a parameter or literal says what it is; the result is no bare parameter of
	// another type, so both stay what they are.
	if x.Type != types.Unknown && types.CastContext(x.Type, to) == types.NoCast {
		return nil, errorAt(at, pgwire.CodeCannotCoerce, "cannot cast type %s to %s", x.Type, to)
	}
	x, err = c.Coerce(x, to, types.Explicit)
	if err != nil || len(modifiers) == 0 {
		return x, err
	}
	if _, ok := types.Modify(types.Value{Bytes: []byte{'0'}}, to, modifiers); !ok {
		return nil, Unsupported(k.TypeName.Location, "this type modifier is", "Leave out what stands in parentheses after the type.")
	}
	eval := x.eval
	return derived(to, at, func(e *Env) (types.Value, error) {
		v, err := eval(e)
		if err != nil || v.IsNull {
			return v, err
		}
		v, _ = types.Modify(v, to, modifiers)
		return v, nil
	}, x), nil
}

// TypeOf resolves the name of a type and its modifiers.
func TypeOf(n *pg_query.TypeName) (types.OID, []int64, error) {
	names := Names(n.Names)
	if len(names) == 0 || n.Setof || n.PctType {
		return 0, nil, Unsupported(n.Location, "this type is", "Use a type of the manual's table.")
	}
	name := names[len(names)-1]
	oid := types.OID(0)
	if len(names) == 1 || names[0] == "pg_catalog" {
		if len(names) == 2 && name == "char" {
			name = `"char"` // as the parser hands out "char"
		}
		oid = types.ByName(name)
	}
	switch {
	case oid == 0 && isKnownType(name):
		return 0, nil, Unsupported(n.Location, "type "+name+" is", "Use text, or a type of the manual's table.")
	case oid == 0:
		return 0, nil, errorAt(n.Location, pgwire.CodeUndefinedObject, "type \"%s\" does not exist", name)
	}
	for range n.ArrayBounds {
		if oid = types.ArrayOf(oid); oid == 0 {
			return 0, nil, Unsupported(n.Location, "this array type is", "Use an array of one dimension.")
		}
	}
	var modifiers []int64
	for _, m := range n.Typmods {
		k := m.GetAConst()
		if k.GetIval() == nil {
			return 0, nil, Unsupported(n.Location, "this type modifier is", "Leave out what stands in parentheses after the type.")
		}
		modifiers = append(modifiers, int64(k.GetIval().Ival))
	}
	if oid == types.BPChar && len(modifiers) > 0 && (modifiers[0] < 1 || modifiers[0] > varcharMax) {
		return 0, nil, errorAt(n.Location, pgwire.CodeInvalidParameterValue, "length for type character must be between 1 and %d", varcharMax)
	}
	if oid == types.Interval && len(modifiers) > 0 {
		return 0, nil, Unsupported(n.Location, "this type modifier is", "Write the unit inside the text: interval '5 min'.")
	}
	return oid, modifiers, nil
}

// varcharMax bounds what padding to character(n) can cost; PostgreSQL allows 10485760.
const varcharMax = 65536

// isKnownType names types that PostgreSQL has and the dialect does not.
func isKnownType(name string) bool {
	switch name {
	case "date", "time", "timetz", "money", "bit", "varbit", "inet", "cidr", "macaddr", "point", "line", "box", "path",
		"polygon", "circle", "lseg", "xml", "tsvector", "tsquery", "regclass", "regtype", "regproc", "regnamespace",
		"regrole", "regprocedure", "regoper", "regoperator", "xid8", "cid", "tid", "pg_lsn", "int4range", "int8range",
		"numrange", "tsrange", "tstzrange", "daterange", "int2vector", "oidvector", "record", "refcursor", "jsonpath", "bigserial", "smallserial":
		return true
	}
	return false
}

func (c *Compiler) collate(k *pg_query.CollateClause) (*Expr, error) {
	names := Names(k.Collname)
	switch name := names[len(names)-1]; name {
	case "C", "POSIX", "default", "ucs_basic":
		return c.Compile(k.Arg)
	default:
		return nil, Unsupported(k.Location, "collation \""+name+"\" is", `Text is compared by bytes, which is COLLATE "C".`)
	}
}

func (c *Compiler) boolean(b *pg_query.BoolExpr) (*Expr, error) {
	args := make([]*Expr, len(b.Args))
	for i, n := range b.Args {
		x, err := c.Condition(n, map[pg_query.BoolExprType]string{
			pg_query.BoolExprType_AND_EXPR: "AND", pg_query.BoolExprType_OR_EXPR: "OR", pg_query.BoolExprType_NOT_EXPR: "NOT"}[b.Boolop])
		if err != nil {
			return nil, err
		}
		args[i] = x
	}
	if b.Boolop == pg_query.BoolExprType_NOT_EXPR {
		arg := args[0].eval
		return derived(types.Bool, b.Location, func(e *Env) (types.Value, error) {
			v, err := arg(e)
			if err != nil || v.IsNull {
				return v, err
			}
			return types.OfBool(v.Int == 0), nil
		}, args...), nil
	}
	return logical(b.Boolop == pg_query.BoolExprType_OR_EXPR, args, b.Location), nil
}

// And joins conditions; nil if there are none.
func And(conditions []*Expr) *Expr {
	switch len(conditions) {
	case 0:
		return nil
	case 1:
		return conditions[0]
	}
	return logical(false, conditions, conditions[0].At)
}

// logical is AND, or OR: it ends at the first argument that decides.
func logical(isOr bool, args []*Expr, at int32) *Expr {
	return derived(types.Bool, at, func(e *Env) (types.Value, error) {
		result := types.OfBool(!isOr)
		for _, x := range args {
			v, err := x.eval(e)
			switch {
			case err != nil:
				return v, err
			case v.IsNull:
				result = types.Null()
			case (v.Int != 0) == isOr:
				return v, nil
			}
		}
		return result, nil
	}, args...)
}

func (c *Compiler) nullTest(t *pg_query.NullTest) (*Expr, error) {
	x, err := c.compileFinished(t.Arg)
	if err != nil {
		return nil, err
	}
	want, eval := t.Nulltesttype == pg_query.NullTestType_IS_NULL, x.eval
	return derived(types.Bool, t.Location, func(e *Env) (types.Value, error) {
		v, err := eval(e)
		return types.OfBool(v.IsNull == want), err
	}, x), nil
}

// compileFinished compiles an expression whose context says nothing about its type.
func (c *Compiler) compileFinished(n *pg_query.Node) (*Expr, error) {
	x, err := c.Compile(n)
	if err != nil {
		return nil, err
	}
	return c.Finish(x)
}

func (c *Compiler) booleanTest(t *pg_query.BooleanTest) (*Expr, error) {
	x, err := c.Condition(t.Arg, "IS")
	if err != nil {
		return nil, err
	}
	eval := x.eval
	return derived(types.Bool, t.Location, func(e *Env) (types.Value, error) {
		v, err := eval(e)
		if err != nil {
			return v, err
		}
		isTrue := v.IsTrue()
		switch t.Booltesttype {
		case pg_query.BoolTestType_IS_TRUE:
			return types.OfBool(isTrue), nil
		case pg_query.BoolTestType_IS_NOT_TRUE:
			return types.OfBool(!isTrue), nil
		case pg_query.BoolTestType_IS_FALSE:
			return types.OfBool(!v.IsNull && !isTrue), nil
		case pg_query.BoolTestType_IS_NOT_FALSE:
			return types.OfBool(v.IsNull || isTrue), nil
		case pg_query.BoolTestType_IS_UNKNOWN:
			return types.OfBool(v.IsNull), nil
		}
		return types.OfBool(!v.IsNull), nil
	}, x), nil
}
