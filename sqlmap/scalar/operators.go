package scalar

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// operator compiles everything the parser calls an A_Expr.
func (c *Compiler) operator(a *pg_query.A_Expr) (*Expr, error) {
	names := Names(a.Name)
	if len(names) == 0 || len(names) == 2 && names[0] != "pg_catalog" {
		return nil, Unsupported(a.Location, "this operator is", expressionHint)
	}
	name := names[len(names)-1]
	switch a.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP, pg_query.A_Expr_Kind_AEXPR_LIKE, pg_query.A_Expr_Kind_AEXPR_ILIKE:
		return c.plainOperator(name, a)
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY, pg_query.A_Expr_Kind_AEXPR_OP_ALL:
		return c.quantified(name, a)
	case pg_query.A_Expr_Kind_AEXPR_IN:
		return c.in(name, a)
	case pg_query.A_Expr_Kind_AEXPR_BETWEEN, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN:
		return c.between(a)
	case pg_query.A_Expr_Kind_AEXPR_DISTINCT, pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return c.distinct(a)
	case pg_query.A_Expr_Kind_AEXPR_NULLIF:
		return c.nullIf(a)
	}
	return nil, Unsupported(a.Location, "this operator is", expressionHint)
}

func (c *Compiler) operands(a *pg_query.A_Expr) (left, right *Expr, err error) {
	if left, err = c.Compile(a.Lexpr); err != nil {
		return nil, nil, err
	}
	right, err = c.Compile(a.Rexpr)
	return left, right, err
}

func (c *Compiler) plainOperator(name string, a *pg_query.A_Expr) (*Expr, error) {
	if a.Lexpr == nil {
		x, err := c.Compile(a.Rexpr)
		if err != nil {
			return nil, err
		}
		return c.prefix(name, x, a.Location)
	}
	left, right, err := c.operands(a)
	if err != nil {
		return nil, err
	}
	return c.binary(name, left, right, a.Location)
}

// binary resolves an operator between two expressions.
func (c *Compiler) binary(name string, left, right *Expr, at int32) (*Expr, error) {
	switch name {
	case "=", "<>", "!=", "<", "<=", ">", ">=":
		return c.comparison(name, left, right, at)
	case "+", "-", "*", "/", "%":
		return c.arithmetic(name, left, right, at)
	case "||":
		return c.concatenation(left, right, at)
	case "~~", "!~~", "~~*", "!~~*":
		return c.like(name, left, right, at)
	case "&&", "@>", "<@":
		return c.arrayOperator(name, left, right, at)
	case "->", "->>", "?":
		return c.jsonOperator(name, left, right, at)
	case "~", "!~", "~*", "!~*", "&", "|", "#", "<<", ">>", "^", "#>", "#>>", "?|", "?&", "^@", "@@":
		return nil, Unsupported(at, "operator "+name+" is", expressionHint)
	}
	return nil, undefinedOperator(name, left, right, at)
}

func undefinedOperator(name string, left, right *Expr, at int32) error {
	e := pgwire.Errorf(pgwire.CodeUndefinedFunction, "operator does not exist: %s %s %s", left.Type, name, right.Type)
	e.Hint = "No operator matches the given name and argument types. You might need to add explicit type casts."
	return At(e, at)
}

// pair converts two operands to the type in which they can be compared; false if there is none.
func (c *Compiler) pair(left, right *Expr) (l, r *Expr, common types.OID, ok bool, err error) {
	switch wider := types.WiderNumeric(left.Type, right.Type); {
	case left.Type == types.Unknown && right.Type == types.Unknown:
		common = types.Text
	case left.Type == types.Unknown:
		common = right.Type
	case right.Type == types.Unknown, left.Type == right.Type:
		common = left.Type
	case wider != 0:
		common = wider
	case isOidPair(left.Type, right.Type):
		common = types.Int8
	case left.Type.IsText() && right.Type.IsText():
		common = types.Text
	case types.CastContext(left.Type, right.Type) == types.Implicit:
		common = right.Type
	case types.CastContext(right.Type, left.Type) == types.Implicit:
		common = left.Type
	default:
		return nil, nil, 0, false, nil
	}
	if common == types.VarChar || common == types.Name && left.Type != right.Type {
		common = types.Text
	}
	if common == types.Int8 && isOidPair(left.Type, right.Type) {
		return left, right, common, true, nil // both are in Value.Int
	}
	if l, err = c.Coerce(left, common, types.Implicit); err != nil {
		return nil, nil, 0, true, err
	}
	r, err = c.Coerce(right, common, types.Implicit)
	return l, r, common, true, err
}

// isOidPair reports an oid or xid beside an integer.
func isOidPair(a, b types.OID) bool {
	isInt := func(t types.OID) bool { return t == types.Int2 || t == types.Int4 || t == types.Int8 }
	isOid := func(t types.OID) bool { return t == types.Oid || t == types.Xid }
	return isOid(a) && isInt(b) || isInt(a) && isOid(b)
}

func (c *Compiler) comparison(name string, left, right *Expr, at int32) (*Expr, error) {
	l, r, common, ok, err := c.pair(left, right)
	if err != nil {
		return nil, err
	}
	if !ok || !isComparable(common, name) {
		return nil, undefinedOperator(name, left, right, at)
	}
	test := comparisonTest(name)
	return derived(types.Bool, at, strict(l, r, func(_ *Env, a, b types.Value) (types.Value, error) {
		return types.OfBool(test(types.Compare(common, a, b))), nil
	}), l, r), nil
}

func isComparable(t types.OID, operator string) bool {
	switch t {
	case types.JSON, types.Void:
		return false
	case types.Xid:
		return operator == "=" || operator == "<>" || operator == "!="
	}
	return true
}

func comparisonTest(name string) func(int) bool {
	switch name {
	case "=":
		return func(c int) bool { return c == 0 }
	case "<":
		return func(c int) bool { return c < 0 }
	case "<=":
		return func(c int) bool { return c <= 0 }
	case ">":
		return func(c int) bool { return c > 0 }
	case ">=":
		return func(c int) bool { return c >= 0 }
	}
	return func(c int) bool { return c != 0 }
}

// strict evaluates f unless an operand is NULL.
func strict(left, right *Expr, f func(e *Env, a, b types.Value) (types.Value, error)) evaluator {
	return func(e *Env) (types.Value, error) {
		a, err := left.eval(e)
		if err != nil || a.IsNull {
			return a, err
		}
		b, err := right.eval(e)
		if err != nil || b.IsNull {
			return b, err
		}
		return f(e, a, b)
	}
}

func (c *Compiler) between(a *pg_query.A_Expr) (*Expr, error) {
	bounds := a.Rexpr.GetList().GetItems()
	if len(bounds) != 2 {
		return nil, Unsupported(a.Location, "this BETWEEN is", "Write BETWEEN x AND y.")
	}
	parts := make([]*Expr, 2)
	operators := []string{">=", "<="}
	isNot := a.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN
	if isNot {
		operators = []string{"<", ">"}
	}
	for i, bound := range bounds {
		x, err := c.Compile(a.Lexpr)
		if err != nil {
			return nil, err
		}
		y, err := c.Compile(bound)
		if err != nil {
			return nil, err
		}
		if parts[i], err = c.comparison(operators[i], x, y, a.Location); err != nil {
			return nil, err
		}
	}
	return logical(isNot, parts, a.Location), nil
}

// in is x IN (list); the operator is = or <>.
func (c *Compiler) in(name string, a *pg_query.A_Expr) (*Expr, error) {
	if a.Rexpr.GetList() == nil {
		return nil, Unsupported(a.Location, "this IN is", "Write IN (a, b, c), or = ANY ($1) with an array.")
	}
	left, err := c.Compile(a.Lexpr)
	if err != nil {
		return nil, err
	}
	items, err := c.compileAll(a.Rexpr.GetList().Items)
	if err != nil {
		return nil, err
	}
	list, common, err := c.Unify(append([]*Expr{left}, items...), "IN")
	if err != nil {
		return nil, err
	}
	if !isComparable(common, name) {
		return nil, undefinedOperator(name, left, items[0], a.Location)
	}
	isNot := name == "<>"
	return derived(types.Bool, a.Location, func(e *Env) (types.Value, error) {
		x, err := list[0].eval(e)
		if err != nil || x.IsNull {
			return x, err
		}
		result := types.OfBool(isNot)
		for _, item := range list[1:] {
			v, err := item.eval(e)
			switch {
			case err != nil:
				return v, err
			case v.IsNull:
				result = v
			case types.Compare(common, x, v) == 0:
				return types.OfBool(!isNot), nil
			}
		}
		return result, nil
	}, list...), nil
}

// quantified is x op ANY (array) and x op ALL (array).
func (c *Compiler) quantified(name string, a *pg_query.A_Expr) (*Expr, error) {
	left, right, err := c.operands(a)
	if err != nil {
		return nil, err
	}
	if right.Type == types.Unknown {
		elem := left.Type
		if elem == types.Unknown || elem == types.VarChar || elem == types.Name {
			elem = types.Text
		}
		if right, err = c.Coerce(right, types.ArrayOf(elem), types.Implicit); err != nil {
			return nil, err
		}
	}
	elem := right.Type.Elem()
	if elem == 0 {
		return nil, errorAt(a.Location, pgwire.CodeWrongObjectType, "op ANY/ALL (array) requires array on right side")
	}
	element := derived(elem, right.At, func(e *Env) (types.Value, error) { return e.element, nil })
	test, err := c.binary(name, left, element, a.Location)
	if err != nil {
		return nil, err
	}
	if test.Type != types.Bool {
		return nil, errorAt(a.Location, pgwire.CodeWrongObjectType, "op ANY/ALL (array) requires operator to yield boolean")
	}
	isAny := a.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ANY
	return derived(types.Bool, a.Location, func(e *Env) (types.Value, error) {
		array, err := right.eval(e)
		if err != nil || array.IsNull {
			return array, err
		}
		result := types.OfBool(!isAny)
		// The left side is evaluated for each element, with the same Env: it cannot contain
		// another element without its own loop inside.
		outer := e.element
		defer func() { e.element = outer }()
		for i := range array.Elems {
			e.element = array.Elems[i]
			v, err := test.eval(e)
			switch {
			case err != nil:
				return v, err
			case v.IsNull:
				result = v
			case (v.Int != 0) == isAny:
				return types.OfBool(isAny), nil
			}
		}
		return result, nil
	}, left, right), nil
}

func (c *Compiler) distinct(a *pg_query.A_Expr) (*Expr, error) {
	left, right, err := c.operands(a)
	if err != nil {
		return nil, err
	}
	l, r, common, ok, err := c.pair(left, right)
	if err != nil {
		return nil, err
	}
	if !ok || !isComparable(common, "=") {
		return nil, undefinedOperator("=", left, right, a.Location)
	}
	isNot := a.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT
	return derived(types.Bool, a.Location, func(e *Env) (types.Value, error) {
		x, err := l.eval(e)
		if err != nil {
			return x, err
		}
		y, err := r.eval(e)
		if err != nil {
			return y, err
		}
		isSame := x.IsNull && y.IsNull || !x.IsNull && !y.IsNull && types.Compare(common, x, y) == 0
		return types.OfBool(isSame == isNot), nil
	}, l, r), nil
}

func (c *Compiler) nullIf(a *pg_query.A_Expr) (*Expr, error) {
	left, right, err := c.operands(a)
	if err != nil {
		return nil, err
	}
	equal, err := c.comparison("=", left, right, a.Location)
	if err != nil {
		return nil, err
	}
	if left, err = c.Finish(left); err != nil {
		return nil, err
	}
	return derived(left.Type, a.Location, func(e *Env) (types.Value, error) {
		same, err := equal.eval(e)
		if err != nil || same.IsTrue() {
			return types.Null(), err
		}
		return left.eval(e)
	}, left, equal), nil
}
