package scalar

import (
	"bytes"
	"math"
	"math/bits"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

func (c *Compiler) prefix(name string, x *Expr, at int32) (*Expr, error) {
	if x.Type == types.Unknown {
		var err error
		if x, err = c.Coerce(x, types.Float8, types.Implicit); err != nil { // as PostgreSQL prefers
			return nil, err
		}
	}
	if name != "-" && name != "+" || types.WiderNumeric(x.Type, x.Type) == 0 && x.Type != types.Interval {
		e := pgwire.Errorf(pgwire.CodeUndefinedFunction, "operator does not exist: %s %s", name, x.Type)
		e.Hint = "No operator matches the given name and argument type. You might need to add an explicit type cast."
		return nil, At(e, at)
	}
	if name == "+" {
		return x, nil
	}
	eval, t := x.eval, x.Type
	negated := derived(t, at, func(e *Env) (types.Value, error) {
		v, err := eval(e)
		if err != nil || v.IsNull {
			return v, err
		}
		return negate(t, v)
	}, x)
	if k, isConstant := x.Constant(); isConstant && !k.IsNull {
		v, err := negate(t, k)
		return Const(t, v, at), At(err, at)
	}
	return negated, nil
}

func negate(t types.OID, v types.Value) (types.Value, error) {
	switch t {
	case types.Numeric:
		return types.NumericNegate(v), nil
	case types.Float4, types.Float8:
		return types.OfFloat(-v.Float), nil
	case types.Interval:
		return types.IntervalAdd(types.Value{}, v, -1)
	}
	return integerArithmetic('-', t, 0, v.Int)
}

// arithmetic resolves + - * / and %.
func (c *Compiler) arithmetic(name string, left, right *Expr, at int32) (*Expr, error) {
	op := name[0]
	if x, handled, err := c.timeArithmetic(op, left, right, at); handled || err != nil {
		return x, err
	}
	if left.Type == types.Unknown && right.Type == types.Unknown {
		e := pgwire.Errorf(pgwire.CodeAmbiguousFunction, "operator is not unique: unknown %s unknown", name)
		e.Hint = "Could not choose a best candidate operator. You might need to add explicit type casts."
		return nil, At(e, at)
	}
	l, r, common, ok, err := c.pair(left, right)
	if err != nil {
		return nil, err
	}
	isFloat := common == types.Float4 || common == types.Float8
	if !ok || types.WiderNumeric(common, common) == 0 || op == '%' && isFloat {
		return nil, undefinedOperator(name, left, right, at)
	}
	return derived(common, at, strict(l, r, func(_ *Env, a, b types.Value) (types.Value, error) {
		switch {
		case common == types.Numeric:
			return types.NumericArithmetic(op, a, b)
		case isFloat:
			return floatArithmetic(op, common, a.Float, b.Float)
		}
		return integerArithmetic(op, common, a.Int, b.Int)
	}), l, r), nil
}

func integerArithmetic(op byte, t types.OID, a, b int64) (types.Value, error) {
	out, overflow := int64(0), false
	switch op {
	case '+':
		out = a + b
		overflow = (out > a) != (b > 0) && b != 0
	case '-':
		out = a - b
		overflow = (out < a) != (b > 0) && b != 0
	case '*':
		out, overflow = multiply(a, b)
	default:
		if b == 0 {
			return types.Value{}, types.ErrDivisionByZero()
		}
		if b == -1 { // the one quotient that can overflow
			if op == '%' {
				return types.OfInt(0), nil
			}
			return integerArithmetic('-', t, 0, a)
		}
		if op == '/' {
			out = a / b
		} else {
			out = a % b
		}
	}
	switch t {
	case types.Int2:
		overflow = overflow || out != int64(int16(out))
	case types.Int4:
		overflow = overflow || out != int64(int32(out))
	}
	if overflow {
		return types.Value{}, outOfRange(t)
	}
	return types.OfInt(out), nil
}

func outOfRange(t types.OID) error {
	return pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "%s out of range", t)
}

func multiply(a, b int64) (out int64, overflow bool) {
	out = a * b
	high, low := bits.Mul64(magnitude(a), magnitude(b))
	limit := uint64(math.MaxInt64)
	if (a < 0) != (b < 0) {
		limit++
	}
	return out, high != 0 || low > limit
}

func magnitude(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

func floatArithmetic(op byte, t types.OID, a, b float64) (types.Value, error) {
	var out float64
	switch op {
	case '+':
		out = a + b
	case '-':
		out = a - b
	case '*':
		out = a * b
	case '/':
		if b == 0 && !math.IsNaN(a) {
			return types.Value{}, types.ErrDivisionByZero()
		}
		out = a / b
	}
	if t == types.Float4 {
		out = float64(float32(out))
	}
	if math.IsInf(out, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0) {
		return types.Value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value out of range: overflow")
	}
	return types.OfFloat(out), nil
}

func isTimestamp(t types.OID) bool { return t == types.Timestamp || t == types.TimestampTZ }

// timeArithmetic handles timestamps and intervals.
func (c *Compiler) timeArithmetic(op byte, left, right *Expr, at int32) (x *Expr, handled bool, err error) {
	to := func(x **Expr, t types.OID) {
		if err == nil && (*x).Type != t {
			*x, err = c.Coerce(*x, t, types.Implicit)
		}
	}
	switch {
	case op == '+' && (right.Type == types.Interval || right.Type == types.Unknown) && isTimestamp(left.Type):
		to(&right, types.Interval)
		return addInterval(left, right, 1, at), true, err
	case op == '+' && (left.Type == types.Interval || left.Type == types.Unknown) && isTimestamp(right.Type):
		to(&left, types.Interval)
		return addInterval(right, left, 1, at), true, err
	case op == '-' && right.Type == types.Interval && isTimestamp(left.Type):
		return addInterval(left, right, -1, at), true, nil
	case op == '-' && (isTimestamp(left.Type) || isTimestamp(right.Type)):
		return c.subtractTimestamps(left, right, at)
	case (op == '+' || op == '-') && (left.Type == types.Interval || right.Type == types.Interval):
		if left.Type != types.Interval && left.Type != types.Unknown || right.Type != types.Interval && right.Type != types.Unknown {
			return nil, false, nil
		}
		to(&left, types.Interval)
		to(&right, types.Interval)
		sign := int64(1)
		if op == '-' {
			sign = -1
		}
		return derived(types.Interval, at, strict(left, right, func(_ *Env, a, b types.Value) (types.Value, error) {
			return types.IntervalAdd(a, b, sign)
		}), left, right), true, err
	case op == '*' || op == '/':
		if op == '*' && right.Type == types.Interval {
			left, right = right, left
		}
		if left.Type != types.Interval || right.Type != types.Unknown && types.WiderNumeric(right.Type, right.Type) == 0 {
			return nil, false, nil
		}
		to(&right, types.Float8)
		return scaleInterval(op, left, right, at), true, err
	}
	return nil, false, nil
}

func addInterval(t, interval *Expr, sign int, at int32) *Expr {
	return derived(t.Type, at, strict(t, interval, func(e *Env, a, b types.Value) (types.Value, error) {
		if t.Type == types.Timestamp {
			return types.AddInterval(a, b, sign, time.UTC)
		}
		return types.AddInterval(a, b, sign, e.Style.Zone())
	}), t, interval)
}

func (c *Compiler) subtractTimestamps(left, right *Expr, at int32) (*Expr, bool, error) {
	l, r, common, ok, err := c.pair(left, right)
	if err != nil || !ok || !isTimestamp(common) {
		return nil, false, err
	}
	return derived(types.Interval, at, strict(l, r, func(_ *Env, a, b types.Value) (types.Value, error) {
		return types.SubTimestamps(a, b)
	}), l, r), true, nil
}

func scaleInterval(op byte, interval, factor *Expr, at int32) *Expr {
	return derived(types.Interval, at, strict(interval, factor, func(_ *Env, a, b types.Value) (types.Value, error) {
		if op == '/' {
			if b.Float == 0 {
				return types.Value{}, types.ErrDivisionByZero()
			}
			return types.IntervalMultiply(a, 1/b.Float)
		}
		return types.IntervalMultiply(a, b.Float)
	}), interval, factor)
}

// concatenation is ||: texts, arrays, bytea and JSON objects.
func (c *Compiler) concatenation(left, right *Expr, at int32) (*Expr, error) {
	switch {
	case left.Type.Elem() != 0 || right.Type.Elem() != 0:
		return c.appendArrays(left, right, at)
	case left.Type == types.Bytea && (right.Type == types.Bytea || right.Type == types.Unknown),
		right.Type == types.Bytea && left.Type == types.Unknown:
		return c.joinBytes(types.Bytea, left, right, at)
	case left.Type == types.JSONB && (right.Type == types.JSONB || right.Type == types.Unknown),
		right.Type == types.JSONB && left.Type == types.Unknown:
		return c.mergeJSON(left, right, at)
	}
	isText := func(t types.OID) bool { return t.IsText() || t == types.Unknown }
	if !isText(left.Type) && !isText(right.Type) {
		return nil, undefinedOperator("||", left, right, at)
	}
	return c.joinBytes(types.Text, left, right, at)
}

func (c *Compiler) joinBytes(t types.OID, left, right *Expr, at int32) (*Expr, error) {
	l, err := c.Coerce(left, t, types.Assignment)
	if err != nil {
		return nil, err
	}
	r, err := c.Coerce(right, t, types.Assignment)
	if err != nil {
		return nil, err
	}
	return derived(t, at, strict(l, r, func(_ *Env, a, b types.Value) (types.Value, error) {
		if len(a.Bytes)+len(b.Bytes) > resultBytesMax {
			return types.Value{}, errResultTooLong()
		}
		return types.OfBytes(append(bytes.Clone(a.Bytes), b.Bytes...)), nil
	}), l, r), nil
}

// resultBytesMax bounds what one function makes of its arguments; it is beyond any value
// the cache takes.
const resultBytesMax = 256 << 20

func errResultTooLong() error {
	e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "result of an expression is too long")
	e.Detail = "The limit is 256 MB."
	return e
}

func (c *Compiler) mergeJSON(left, right *Expr, at int32) (*Expr, error) {
	l, err := c.Coerce(left, types.JSONB, types.Implicit)
	if err != nil {
		return nil, err
	}
	r, err := c.Coerce(right, types.JSONB, types.Implicit)
	if err != nil {
		return nil, err
	}
	return derived(types.JSONB, at, strict(l, r, func(_ *Env, a, b types.Value) (types.Value, error) {
		return types.JSONConcat(a, b)
	}), l, r), nil
}
