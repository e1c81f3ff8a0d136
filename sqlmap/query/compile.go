package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// compile makes the evaluator of an expression. What depends on nothing that changes while
// the statement runs is computed once.
func (x *execution) compile(e expr) (evaluator, error) {
	eval, err := x.compileNode(e)
	if err != nil {
		return nil, err
	}
	if isStable(e) {
		return x.once(eval), nil
	}
	return eval, nil
}

// isStable reports a call or cast that is the same for every row.
func isStable(e expr) bool {
	switch e.(type) {
	case *callExpr, *castExpr, *arrayExpr:
	default:
		return false
	}
	return !anyExpr(e, func(e expr, _ int) bool {
		switch e := e.(type) {
		case *columnExpr, *operand, *subqueryExpr, *aggregateExpr, *groupingExpr:
			return true
		case *callExpr:
			return e.function.Volatility == 'v' || e.function.ReturnsSet
		}
		return false
	})
}

func (x *execution) once(eval evaluator) evaluator {
	var value types.Value
	done := -1 // in which run
	return func(f *frame) (types.Value, error) {
		if done == x.runs {
			return value, nil
		}
		v, err := eval(f)
		if err == nil {
			value, done = v, x.runs
		}
		return v, err
	}
}

func (x *execution) compileNode(e expr) (evaluator, error) {
	switch e := e.(type) {
	case *constExpr:
		v := e.value
		return func(*frame) (types.Value, error) { return v, nil }, nil
	case *paramExpr:
		i := e.number - 1
		return func(*frame) (types.Value, error) { return x.params[i], nil }, nil
	case *columnExpr:
		return x.column(e), nil
	case *operand:
		cell := x.cell(e)
		return func(*frame) (types.Value, error) { return *cell, nil }, nil
	case *callExpr:
		return x.call(e)
	case *boolExpr:
		return x.boolean(e)
	case *testExpr:
		return x.test(e)
	case *caseExpr:
		return x.caseOf(e)
	case *pickExpr:
		return x.pick(e)
	case *nullIfExpr:
		return x.nullIf(e)
	case *distinctExpr:
		return x.distinct(e)
	case *anyArrayExpr:
		return x.anyArray(e)
	case *subqueryExpr:
		return x.subquery(e)
	case *arrayExpr:
		return x.array(e)
	case *rowExpr:
		return x.rowOf(e)
	case *rowCompareExpr:
		return x.rowCompare(e)
	case *fieldExpr:
		return x.field(e)
	case *subscriptExpr:
		return x.subscript(e)
	case *castExpr:
		return x.cast(e)
	case *sqlValueExpr:
		return x.sqlValue(e)
	case *groupingExpr:
		if e.block == nil {
			return nil, errorAt(e.at, pgwire.CodeGroupingError, "arguments to GROUPING must be grouping expressions of the associated query level")
		}
		return x.grouping(e, e.block), nil
	}
	return nil, pgwire.Errorf(pgwire.CodeInternalError, "unexpected expression %T", e)
}

func (x *execution) column(e *columnExpr) evaluator {
	rng, column := e.rng, e.column
	if rows := x.rows; rows != nil {
		return func(*frame) (types.Value, error) { return rows[rng].Column(column) }
	}
	if column == wholeRow {
		shape := shapeOf(e.fields)
		level := e.level
		width := len(e.fields)
		return func(f *frame) (types.Value, error) {
			row := f.up(level).slots[rng]
			if row == nil {
				return types.Null(), nil
			}
			return types.Value{Elems: row[:width:width], Shape: shape}, nil
		}
	}
	column = e.item.place(column)
	switch e.level {
	case 0:
		return func(f *frame) (types.Value, error) {
			if row := f.slots[rng]; row != nil {
				return row[column], nil
			}
			return types.Null(), nil
		}
	case 1:
		return func(f *frame) (types.Value, error) {
			if row := f.parent.slots[rng]; row != nil {
				return row[column], nil
			}
			return types.Null(), nil
		}
	}
	level := e.level
	return func(f *frame) (types.Value, error) {
		if row := f.up(level).slots[rng]; row != nil {
			return row[column], nil
		}
		return types.Null(), nil
	}
}

func shapeOf(fields []schema.Column) *types.Shape {
	s := &types.Shape{Fields: make([]types.Field, len(fields))}
	for i, c := range fields {
		s.Fields[i] = types.Field{Name: c.Name, Type: c.Type}
	}
	return s
}

// call compiles a function call or an operator.
func (x *execution) call(e *callExpr) (evaluator, error) {
	args, err := x.compileAll(e.args)
	if err != nil {
		return nil, err
	}
	if isComparison(e) {
		return comparison(e, args), nil
	}
	if e.function.ReturnsSet {
		return nil, unsupported(e.at, "a set-returning function here is")
	}
	impl := e.function.Implementation
	if impl == nil || impl.Call == nil {
		return nil, unsupported(e.at, "function "+e.function.Name+" is")
	}
	run, strict := impl.Call, e.function.IsStrict
	bind, c := x.binder(e, args), x.site(e)
	return func(f *frame) (types.Value, error) {
		values, isNull, err := bind(f)
		if err != nil || isNull && strict {
			return types.Null(), err
		}
		return run(c, values)
	}, nil
}

// site describes the place of a call to the function.
func (x *execution) site(e *callExpr) *schema.Call {
	return &schema.Call{Env: x.env, Function: e.function, Types: e.argTypes, Returns: e.oid, SpreadsArray: e.spread, Columns: e.fields}
}

// binder evaluates arguments, gathering those of VARIADIC. The values are reused by the
// next call of the binder.
func (x *execution) binder(e *callExpr, args []evaluator) func(f *frame) ([]types.Value, bool, error) {
	fixed := len(args)
	if e.gathered >= 0 {
		fixed -= e.gathered
	}
	return func(f *frame) ([]types.Value, bool, error) {
		values := make([]types.Value, fixed, fixed+1)
		isNull := false
		for i, arg := range args[:fixed] {
			v, err := arg(f)
			if err != nil {
				return nil, false, err
			}
			values[i] = v
			isNull = isNull || v.IsNull
		}
		if e.gathered >= 0 {
			rest := make([]types.Value, e.gathered)
			for i, arg := range args[fixed:] {
				v, err := arg(f)
				if err != nil {
					return nil, false, err
				}
				rest[i] = v
			}
			values = append(values, types.Value{Elems: rest})
		}
		return values, isNull, nil
	}
}

// comparison compares by what package types says of the type.
func comparison(e *callExpr, args []evaluator) evaluator {
	left, right := args[0], args[1]
	compare := comparer(e.argTypes[0])
	decide := decider(e.operator.Name)
	return func(f *frame) (types.Value, error) {
		l, err := left(f)
		if err != nil || l.IsNull {
			return types.Null(), err
		}
		r, err := right(f)
		if err != nil || r.IsNull {
			return types.Null(), err
		}
		return types.OfBool(decide(compare(l, r))), nil
	}
}

func decider(name string) func(c int) bool {
	switch name {
	case "=":
		return func(c int) bool { return c == 0 }
	case "<>":
		return func(c int) bool { return c != 0 }
	case "<":
		return func(c int) bool { return c < 0 }
	case "<=":
		return func(c int) bool { return c <= 0 }
	case ">":
		return func(c int) bool { return c > 0 }
	}
	return func(c int) bool { return c >= 0 }
}

// comparer orders two values of a type that are not NULL.
func comparer(oid types.OID) func(a, b types.Value) int {
	switch classOf(oid) {
	case keyInt:
		return func(a, b types.Value) int {
			switch {
			case a.Int < b.Int:
				return -1
			case a.Int > b.Int:
				return 1
			}
			return 0
		}
	case keyText:
		oid = types.Text
	case keyFloat:
		oid = types.Float8
	}
	if oid == typeRecord {
		return compareRecords
	}
	return func(a, b types.Value) int {
		if a.Shape != nil && a.Shape.Fields != nil {
			return compareRecords(a, b)
		}
		return types.Compare(oid, a, b)
	}
}

// compareRecords orders rows field by field, NULLs last.
func compareRecords(a, b types.Value) int {
	for i := range min(len(a.Elems), len(b.Elems)) {
		x, y := a.Elems[i], b.Elems[i]
		switch {
		case x.IsNull && y.IsNull:
			continue
		case x.IsNull:
			return 1
		case y.IsNull:
			return -1
		}
		oid := types.OID(types.Text)
		if a.Shape != nil && i < len(a.Shape.Fields) {
			oid = a.Shape.Fields[i].Type
		}
		if c := comparer(oid)(x, y); c != 0 {
			return c
		}
	}
	return len(a.Elems) - len(b.Elems)
}

func (x *execution) boolean(e *boolExpr) (evaluator, error) {
	args, err := x.compileAll(e.args)
	if err != nil {
		return nil, err
	}
	if e.op == pg_query.BoolExprType_NOT_EXPR {
		arg := args[0]
		return func(f *frame) (types.Value, error) {
			v, err := arg(f)
			if err != nil || v.IsNull {
				return v, err
			}
			return types.OfBool(v.Int == 0), nil
		}, nil
	}
	isOr := e.op == pg_query.BoolExprType_OR_EXPR
	return func(f *frame) (types.Value, error) {
		result := types.OfBool(!isOr)
		for _, arg := range args {
			v, err := arg(f)
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
	}, nil
}

func (x *execution) test(e *testExpr) (evaluator, error) {
	arg, err := x.compile(e.arg)
	if err != nil {
		return nil, err
	}
	kind, rows := e.kind, e.rows
	return func(f *frame) (types.Value, error) {
		v, err := arg(f)
		if err != nil {
			return v, err
		}
		result := false
		switch kind {
		case isNull:
			result = v.IsNull || rows && allFields(v, true)
		case isNotNull:
			result = !v.IsNull && (!rows || allFields(v, false))
		case isTrue:
			result = v.IsTrue()
		case isNotTrue:
			result = !v.IsTrue()
		case isFalse:
			result = !v.IsNull && v.Int == 0
		case isNotFalse:
			result = v.IsNull || v.Int != 0
		case isUnknown:
			result = v.IsNull
		case isNotUnknown:
			result = !v.IsNull
		}
		return types.OfBool(result), nil
	}, nil
}

// allFields reports whether all fields of a row are NULL, or none is.
func allFields(v types.Value, null bool) bool {
	for i := range v.Elems {
		if v.Elems[i].IsNull != null {
			return false
		}
	}
	return true
}

func (x *execution) caseOf(e *caseExpr) (evaluator, error) {
	conditions, err := x.compileAll(e.conditions)
	if err != nil {
		return nil, err
	}
	results, err := x.compileAll(e.results)
	if err != nil {
		return nil, err
	}
	otherwise, err := x.compile(e.otherwise)
	if err != nil {
		return nil, err
	}
	var arg evaluator
	var cell *types.Value
	if e.arg != nil {
		if arg, err = x.compile(e.arg); err != nil {
			return nil, err
		}
		cell = x.cell(e.value)
	}
	return func(f *frame) (types.Value, error) {
		if arg != nil {
			v, err := arg(f)
			if err != nil {
				return v, err
			}
			*cell = v
		}
		for i, c := range conditions {
			v, err := c(f)
			if err != nil {
				return v, err
			}
			if v.IsTrue() {
				return results[i](f)
			}
		}
		return otherwise(f)
	}, nil
}

func (x *execution) pick(e *pickExpr) (evaluator, error) {
	args, err := x.compileAll(e.args)
	if err != nil {
		return nil, err
	}
	if e.kind == pickCoalesce {
		return func(f *frame) (types.Value, error) {
			for _, arg := range args {
				v, err := arg(f)
				if err != nil || !v.IsNull {
					return v, err
				}
			}
			return types.Null(), nil
		}, nil
	}
	compare, sign := comparer(x.base(e.oid)), 1
	if e.kind == pickLeast {
		sign = -1
	}
	return func(f *frame) (types.Value, error) {
		best := types.Null()
		for _, arg := range args {
			v, err := arg(f)
			if err != nil {
				return v, err
			}
			if !v.IsNull && (best.IsNull || sign*compare(v, best) > 0) {
				best = v
			}
		}
		return best, nil
	}, nil
}

func (x *execution) nullIf(e *nullIfExpr) (evaluator, error) {
	evals, err := x.compileAll([]expr{e.left, e.right, e.equal})
	if err != nil {
		return nil, err
	}
	l, r := x.cell(e.l), x.cell(e.r)
	return func(f *frame) (types.Value, error) {
		left, err := evals[0](f)
		if err != nil || left.IsNull {
			return left, err
		}
		right, err := evals[1](f)
		if err != nil || right.IsNull {
			return left, err
		}
		*l, *r = left, right
		equal, err := evals[2](f)
		if err != nil || equal.IsTrue() {
			return types.Null(), err
		}
		return left, nil
	}, nil
}

func (x *execution) distinct(e *distinctExpr) (evaluator, error) {
	evals, err := x.compileAll([]expr{e.left, e.right, e.equal})
	if err != nil {
		return nil, err
	}
	l, r, not := x.cell(e.l), x.cell(e.r), e.not
	return func(f *frame) (types.Value, error) {
		left, err := evals[0](f)
		if err != nil {
			return left, err
		}
		right, err := evals[1](f)
		if err != nil {
			return right, err
		}
		if left.IsNull || right.IsNull {
			return types.OfBool((left.IsNull != right.IsNull) != not), nil
		}
		*l, *r = left, right
		equal, err := evals[2](f)
		return types.OfBool(!equal.IsTrue() != not), err
	}, nil
}
