package query

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// aExpr analyzes everything the parser calls an A_Expr.
func (a *analyzer) aExpr(x *pg_query.A_Expr) (expr, error) {
	names := Names(x.Name)
	switch x.Kind {
	case pg_query.A_Expr_Kind_AEXPR_OP, pg_query.A_Expr_Kind_AEXPR_LIKE, pg_query.A_Expr_Kind_AEXPR_ILIKE, pg_query.A_Expr_Kind_AEXPR_SIMILAR:
		return a.plainOperator(names, x)
	case pg_query.A_Expr_Kind_AEXPR_OP_ANY, pg_query.A_Expr_Kind_AEXPR_OP_ALL:
		left, right, err := a.operands(x)
		if err != nil {
			return nil, err
		}
		return a.anyArray(names, left, right, x.Kind == pg_query.A_Expr_Kind_AEXPR_OP_ALL, x.Location)
	case pg_query.A_Expr_Kind_AEXPR_IN:
		return a.in(names, x)
	case pg_query.A_Expr_Kind_AEXPR_BETWEEN, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN,
		pg_query.A_Expr_Kind_AEXPR_BETWEEN_SYM, pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM:
		return a.between(x)
	case pg_query.A_Expr_Kind_AEXPR_DISTINCT, pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT:
		return a.distinct(x)
	case pg_query.A_Expr_Kind_AEXPR_NULLIF:
		return a.nullIf(x)
	}
	return nil, unsupported(x.Location, "this operator is")
}

func (a *analyzer) operands(x *pg_query.A_Expr) (left, right expr, err error) {
	if x.Lexpr != nil {
		if left, err = a.expr(x.Lexpr); err != nil {
			return nil, nil, err
		}
	}
	right, err = a.expr(x.Rexpr)
	return left, right, err
}

func (a *analyzer) plainOperator(names []string, x *pg_query.A_Expr) (expr, error) {
	if sub := x.Rexpr.GetSubLink(); sub != nil && sub.SubLinkType == pg_query.SubLinkType_EXPR_SUBLINK && x.Lexpr.GetRowExpr() != nil {
		// (a, b) = (SELECT …): a comparison of rows with the one row of the subquery.
		return a.rowSubquery(names, x.Lexpr, sub, x.Location)
	}
	left, right, err := a.operands(x)
	if err != nil {
		return nil, err
	}
	l, isRow := left.(*rowExpr)
	r, isRow2 := right.(*rowExpr)
	if isRow && isRow2 {
		return a.compareRows(names, l.elems, r.elems, x.Location)
	}
	return a.operator(names, left, right, x.Location)
}

// operator resolves an operator between two expressions, or before one (left nil).
func (a *analyzer) operator(names []string, left, right expr, at int32) (expr, error) {
	op, err := a.findOperator(names, left, right, at)
	if err != nil {
		return nil, err
	}
	args, declared := []expr{right}, []types.OID{op.Right}
	if left != nil {
		args, declared = []expr{left, right}, []types.OID{op.Left, op.Right}
	}
	actual := make([]types.OID, len(args))
	for i := range args {
		actual[i] = args[i].info().oid
	}
	resolved, returns, err := a.resolveGenerics(actual, declared, op.Result)
	if err != nil {
		return nil, AtOffset(err, at)
	}
	for i := range args {
		if args[i], err = a.argument(args[i], resolved[i]); err != nil {
			return nil, err
		}
	}
	if op.Function == nil {
		return nil, unsupported(at, "operator "+op.Name+" is")
	}
	out := &callExpr{typing: typing{oid: returns, typmod: -1, at: at}, function: op.Function, operator: op, args: args, argTypes: resolved, gathered: -1}
	return out, nil
}

// argument converts an argument to the type that its overload takes.
func (a *analyzer) argument(e expr, oid types.OID) (expr, error) {
	out, err := a.tryCoerce(e, oid, types.Implicit)
	if err == nil && out == nil {
		err = errorAt(location(e), pgwire.CodeCannotCoerce, "cannot cast type %s to %s", a.typeName(e.info().oid), a.typeName(oid))
	}
	return out, err
}

// operators are all overloads that a name can mean.
func (a *analyzer) operators(names []string, isPrefix bool) []*schema.Operator {
	name, schemas := names[len(names)-1], a.path
	if len(names) > 1 {
		schemas = names[len(names)-2 : len(names)-1]
	}
	if name == "!=" {
		name = "<>"
	}
	var out []*schema.Operator
	for _, s := range schemas {
		for _, op := range a.catalog.Operators(s, name) {
			if (op.Left == 0) == isPrefix {
				out = append(out, op)
			}
		}
	}
	return out
}

// findOperator is PostgreSQL's oper().
func (a *analyzer) findOperator(names []string, left, right expr, at int32) (*schema.Operator, error) {
	list := a.operators(names, left == nil)
	l, r := types.OID(0), right.info().oid
	if left != nil {
		l = left.info().oid
	}
	if op := a.exactOperator(list, l, r); op != nil {
		return op, nil
	}
	actual := []types.OID{r}
	candidates := make([]candidate, len(list))
	for i, op := range list {
		candidates[i] = candidate{args: []types.OID{op.Right}, index: i}
		if left != nil {
			candidates[i].args = []types.OID{op.Left, op.Right}
		}
	}
	if left != nil {
		actual = []types.OID{l, r}
	}
	matched := a.matching(actual, candidates)
	switch len(matched) {
	case 0:
		return nil, a.undefinedOperator(names, left, right, at)
	case 1:
		return list[matched[0].index], nil
	}
	if best, ok := a.selectCandidate(actual, matched); ok {
		return list[best.index], nil
	}
	e := errorAt(at, pgwire.CodeAmbiguousFunction, "operator is not unique: %s", a.operatorText(names, left, right))
	e.Hint = "Could not choose a best candidate operator. You might need to add explicit type casts."
	return nil, e
}

// exactOperator finds an overload of just these types, an unknown side being what the
// other is.
func (a *analyzer) exactOperator(list []*schema.Operator, l, r types.OID) *schema.Operator {
	if l == types.Unknown && r != types.Unknown {
		l = r
	} else if r == types.Unknown && l != types.Unknown && l != 0 {
		r = l
	}
	find := func(l, r types.OID) *schema.Operator {
		for _, op := range list {
			if op.Left == l && op.Right == r {
				return op
			}
		}
		return nil
	}
	if op := find(l, r); op != nil {
		return op
	}
	if bl, br := a.base(l), a.base(r); bl != l || br != r {
		return find(bl, br)
	}
	return nil
}

func (a *analyzer) operatorText(names []string, left, right expr) string {
	text := strings.Join(names, ".") + " " + a.typeName(right.info().oid)
	if left != nil {
		text = a.typeName(left.info().oid) + " " + text
	}
	return text
}

func (a *analyzer) undefinedOperator(names []string, left, right expr, at int32) error {
	e := errorAt(at, pgwire.CodeUndefinedFunction, "operator does not exist: %s", a.operatorText(names, left, right))
	e.Hint = "No operator matches the given name and argument types. You might need to add explicit type casts."
	if left == nil {
		e.Hint = "No operator matches the given name and argument type. You might need to add an explicit type cast."
	}
	return e
}

// anyArray is left op ANY (array).
func (a *analyzer) anyArray(names []string, left, array expr, all bool, at int32) (expr, error) {
	elem := types.OID(types.Unknown)
	if array.info().oid != types.Unknown {
		if elem = a.element(array.info().oid); elem == 0 {
			return nil, errorAt(at, pgwire.CodeWrongObjectType, "op ANY/ALL (array) requires array on right side")
		}
	}
	lhs, element := expr(a.operand(left.info().oid, left.info().at)), expr(a.operand(elem, array.info().at))
	if left.info().oid == types.Unknown {
		lhs = left
	}
	op, err := a.findOperator(names, lhs, element, at)
	if err != nil {
		return nil, err
	}
	resolved, returns, err := a.resolveGenerics([]types.OID{lhs.info().oid, elem}, []types.OID{op.Left, op.Right}, op.Result)
	if err != nil {
		return nil, AtOffset(err, at)
	}
	if returns != types.Bool {
		return nil, errorAt(at, pgwire.CodeWrongObjectType, "op ANY/ALL (array) requires operator to yield boolean")
	}
	if left, err = a.argument(left, resolved[0]); err != nil {
		return nil, err
	}
	arrayType := array.info().oid
	if target := a.arrayOf(resolved[1]); a.element(arrayType) != 0 && elem != resolved[1] || arrayType == types.Unknown {
		if target == 0 {
			return nil, errorAt(at, pgwire.CodeUndefinedObject, "could not find array type for data type %s", a.typeName(resolved[1]))
		}
		if array, err = a.argument(array, target); err != nil {
			return nil, err
		}
		elem = resolved[1]
	}
	out := &anyArrayExpr{typing: typing{oid: types.Bool, typmod: -1, at: at}, left: left, array: array, all: all}
	out.l, out.element = a.operand(left.info().oid, left.info().at), a.operand(elem, array.info().at)
	out.test, err = a.operator(names, out.l, out.element, at)
	return out, err
}

// in is x IN (…).
func (a *analyzer) in(names []string, x *pg_query.A_Expr) (expr, error) {
	left, err := a.expr(x.Lexpr)
	if err != nil {
		return nil, err
	}
	items, err := a.exprs(x.Rexpr.GetList().GetItems())
	if err != nil {
		return nil, err
	}
	negated := names[len(names)-1] == "<>"
	var constants, others []expr
	for _, e := range items {
		if ranges, outer := usedRanges(e); len(ranges) > 0 || outer {
			others = append(others, e)
		} else {
			constants = append(constants, e)
		}
	}
	if len(constants) > 1 && left.info().oid != typeRecord {
		if e, ok, err := a.inArray(names, left, constants, negated, x.Location); err != nil {
			return nil, err
		} else if ok {
			if len(others) == 0 {
				return e, nil
			}
			return a.inChain(names, left, others, e, negated, x.Location)
		}
	}
	return a.inChain(names, left, items, nil, negated, x.Location)
}

// inArray makes = ANY (ARRAY[…]) of a list whose items have a common type.
func (a *analyzer) inArray(names []string, left expr, items []expr, negated bool, at int32) (expr, bool, error) {
	common, err := a.commonType(append([]expr{left}, items...), "")
	if err != nil || common == 0 || common == typeRecord {
		return nil, false, err
	}
	array := a.arrayOf(common)
	if array == 0 {
		return nil, false, nil
	}
	out := &arrayExpr{typing: typing{oid: array, typmod: -1, at: at}}
	for _, e := range items {
		converted, err := a.tryCoerce(e, common, types.Implicit)
		if err != nil {
			return nil, false, err
		}
		if converted == nil {
			return nil, false, nil
		}
		out.elems = append(out.elems, converted)
	}
	e, err := a.anyArray(names, left, out, negated, at)
	return e, err == nil, err
}

// inChain makes comparisons joined by OR, or AND for NOT IN.
func (a *analyzer) inChain(names []string, left expr, items []expr, first expr, negated bool, at int32) (expr, error) {
	var tests []expr
	if first != nil {
		tests = append(tests, first)
	}
	for _, e := range items {
		l, isRow := left.(*rowExpr)
		r, isRow2 := e.(*rowExpr)
		var test expr
		var err error
		if isRow && isRow2 {
			test, err = a.compareRows(names, l.elems, r.elems, at)
		} else {
			test, err = a.operator(names, left, e, at)
		}
		if err == nil {
			test, err = a.condition(test, "IN")
		}
		if err != nil {
			return nil, err
		}
		tests = append(tests, test)
	}
	if len(tests) == 1 {
		return tests[0], nil
	}
	op := pg_query.BoolExprType_OR_EXPR
	if negated {
		op = pg_query.BoolExprType_AND_EXPR
	}
	return &boolExpr{typing: typing{oid: types.Bool, typmod: -1, at: at}, op: op, args: tests}, nil
}

func (a *analyzer) between(x *pg_query.A_Expr) (expr, error) {
	e, err := a.expr(x.Lexpr)
	if err != nil {
		return nil, err
	}
	bounds, err := a.exprs(x.Rexpr.GetList().GetItems())
	if err != nil {
		return nil, err
	}
	if len(bounds) != 2 {
		return nil, unsupported(x.Location, "this BETWEEN is")
	}
	negated := x.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN || x.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN_SYM
	inside := func(low, high expr) (expr, error) {
		lowOp, highOp, op := ">=", "<=", pg_query.BoolExprType_AND_EXPR
		if negated {
			lowOp, highOp, op = "<", ">", pg_query.BoolExprType_OR_EXPR
		}
		l, err := a.operator([]string{lowOp}, e, low, x.Location)
		if err != nil {
			return nil, err
		}
		h, err := a.operator([]string{highOp}, e, high, x.Location)
		return &boolExpr{typing: typing{oid: types.Bool, typmod: -1, at: x.Location}, op: op, args: []expr{l, h}}, err
	}
	out, err := inside(bounds[0], bounds[1])
	if err != nil || x.Kind == pg_query.A_Expr_Kind_AEXPR_BETWEEN || x.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_BETWEEN {
		return out, err
	}
	swapped, err := inside(bounds[1], bounds[0])
	op := pg_query.BoolExprType_OR_EXPR
	if negated {
		op = pg_query.BoolExprType_AND_EXPR
	}
	return &boolExpr{typing: typing{oid: types.Bool, typmod: -1, at: x.Location}, op: op, args: []expr{out, swapped}}, err
}

// equality makes left = right over operands standing for two expressions. An unknown side
// gets its type from the comparison, so both are returned converted.
func (a *analyzer) equality(left, right expr, at int32) (l, r *operand, equal, newLeft, newRight expr, err error) {
	pair := []expr{left, right}
	for i, other := range []expr{right, left} {
		if pair[i].info().oid != types.Unknown {
			continue
		}
		target := other.info().oid
		if target == types.Unknown {
			target = types.Text
		}
		if pair[i], err = a.argument(pair[i], a.base(target)); err != nil {
			return nil, nil, nil, nil, nil, err
		}
	}
	l, r = a.operand(pair[0].info().oid, pair[0].info().at), a.operand(pair[1].info().oid, pair[1].info().at)
	equal, err = a.operator([]string{"="}, l, r, at)
	return l, r, equal, pair[0], pair[1], err
}

func (a *analyzer) distinct(x *pg_query.A_Expr) (expr, error) {
	left, right, err := a.operands(x)
	if err != nil {
		return nil, err
	}
	not := x.Kind == pg_query.A_Expr_Kind_AEXPR_NOT_DISTINCT
	out := &distinctExpr{typing: typing{oid: types.Bool, typmod: -1, at: x.Location}, not: not}
	if isNullLiteral(left) || isNullLiteral(right) {
		arg, kind := left, isNotNull
		if isNullLiteral(left) {
			arg = right
		}
		if not {
			kind = isNull
		}
		if arg, err = a.known(arg); err != nil {
			return nil, err
		}
		return &testExpr{typing: out.typing, arg: arg, kind: kind}, nil
	}
	out.l, out.r, out.equal, out.left, out.right, err = a.equality(left, right, x.Location)
	return out, err
}

func isNullLiteral(e expr) bool {
	k, ok := e.(*constExpr)
	return ok && k.value.IsNull && k.oid == types.Unknown
}

func (a *analyzer) nullIf(x *pg_query.A_Expr) (expr, error) {
	left, right, err := a.operands(x)
	if err != nil {
		return nil, err
	}
	out := &nullIfExpr{typing: typing{typmod: -1, at: x.Location}}
	// The result has the type in which the two are compared.
	for range 2 {
		if out.l, out.r, out.equal, out.left, out.right, err = a.equality(left, right, x.Location); err != nil {
			return nil, err
		}
		if left, err = a.argument(out.left, out.equal.(*callExpr).argTypes[0]); err != nil {
			return nil, err
		}
		right = out.right
	}
	out.oid = out.left.info().oid
	return out, nil
}

// compareRows is (a, b) op (c, d).
func (a *analyzer) compareRows(names []string, left, right []expr, at int32) (expr, error) {
	if len(left) != len(right) {
		return nil, errorAt(at, pgwire.CodeSyntaxError, "unequal number of entries in row expressions")
	}
	if len(left) == 0 {
		return nil, errorAt(at, pgwire.CodeFeatureNotSupported, "cannot compare rows of zero length")
	}
	name := names[len(names)-1]
	each := func(op string) ([]expr, error) {
		out := make([]expr, len(left))
		for i := range left {
			e, err := a.operator([]string{op}, left[i], right[i], at)
			if err != nil {
				return nil, err
			}
			out[i] = e
		}
		return out, nil
	}
	typed := typing{oid: types.Bool, typmod: -1, at: at}
	switch name {
	case "=", "<>", "!=":
		tests, err := each(name)
		if err != nil || len(tests) == 1 {
			return first(tests), err
		}
		op := pg_query.BoolExprType_AND_EXPR
		if name != "=" {
			op = pg_query.BoolExprType_OR_EXPR
		}
		return &boolExpr{typing: typed, op: op, args: tests}, nil
	case "<", "<=", ">", ">=":
		tests, err := each(name[:1])
		if err != nil {
			return nil, err
		}
		equals, err := each("=")
		return &rowCompareExpr{typing: typed, tests: tests, equals: equals, orSame: len(name) == 2}, err
	}
	return nil, unsupported(at, "operator "+name+" between rows is")
}

func first(list []expr) expr {
	if len(list) == 0 {
		return nil
	}
	return list[0]
}
