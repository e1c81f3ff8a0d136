package library

import (
	"math"
	"math/rand/v2"
	"strconv"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// float1 makes a function of one float8.
func float1(name string, f func(float64) float64) implementation {
	return pure(name+"(float8)", func(a []value) (value, error) {
		x := a[0].Float
		y := f(x)
		switch {
		case math.IsNaN(y) && !math.IsNaN(x):
			return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "input is out of range")
		case math.IsInf(y, 0) && !math.IsInf(x, 0):
			return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value out of range: overflow")
		}
		return float(y), nil
	})
}

func mathematics() []implementation {
	var out []implementation
	for name, f := range map[string]func(float64) float64{
		"ceil": math.Ceil, "ceiling": math.Ceil, "floor": math.Floor, "round": math.RoundToEven, "dround": math.RoundToEven, "trunc": math.Trunc, "dtrunc": math.Trunc,
		"cbrt": math.Cbrt, "exp": math.Exp, "sin": math.Sin, "cos": math.Cos, "tan": math.Tan, "asin": math.Asin, "acos": math.Acos,
		"atan": math.Atan, "sinh": math.Sinh, "cosh": math.Cosh, "tanh": math.Tanh, "asinh": math.Asinh, "acosh": math.Acosh, "atanh": math.Atanh,
		"dcbrt": math.Cbrt, "erf": math.Erf, "erfc": math.Erfc,
		"degrees": func(x float64) float64 { return x / (math.Pi / 180) }, "radians": func(x float64) float64 { return x * (math.Pi / 180) },
		"cot": func(x float64) float64 { return 1 / math.Tan(x) },
	} {
		out = append(out, float1(name, f))
	}
	for _, name := range []string{"sqrt", "dsqrt"} {
		out = append(out, pure(name+"(float8)", func(a []value) (value, error) {
			if a[0].Float < 0 {
				return value{}, errNegativeRoot()
			}
			return float(math.Sqrt(a[0].Float)), nil
		}))
	}
	for name, f := range map[string]func(float64) float64{"ln": math.Log, "log": math.Log10, "log10": math.Log10} {
		out = append(out,
			pure(name+"(float8)", func(a []value) (value, error) { return logarithm(a[0].Float, f) }),
			pure(name+"(numeric)", func(a []value) (value, error) {
				return throughFloat(func(x []float64) (value, error) { return logarithm(x[0], f) }, a...)
			}))
	}
	for _, name := range []string{"power", "pow", "dpow"} {
		out = append(out, pure(name+"(float8,float8)", func(a []value) (value, error) { return power(a[0].Float, a[1].Float) }))
	}
	for _, name := range []string{"power", "pow", "numeric_power"} {
		out = append(out, pure(name+"(numeric,numeric)", numericPower))
	}
	return append(append(out, moreMathematics()...), widthBuckets()...)
}

func moreMathematics() []implementation {
	return []implementation{
		pure("log(numeric,numeric)", func(a []value) (value, error) {
			return throughFloat(func(x []float64) (value, error) {
				if x[0] <= 0 || x[1] <= 0 {
					return logarithm(min(x[0], x[1]), math.Log)
				}
				if x[0] == 1 {
					return value{}, types.ErrDivisionByZero()
				}
				return float(math.Log(x[1]) / math.Log(x[0])), nil
			}, a...)
		}),
		pure("sqrt(numeric)", func(a []value) (value, error) {
			if a[0].Bytes[0] == '-' && len(a[0].Bytes) > 1 {
				return value{}, errNegativeRoot()
			}
			return types.NumericSqrt(a[0])
		}),
		pure("exp(numeric)", func(a []value) (value, error) {
			return throughFloat(func(x []float64) (value, error) { return float(math.Exp(x[0])), nil }, a...)
		}),
		pure("atan2(float8,float8)", func(a []value) (value, error) { return float(math.Atan2(a[0].Float, a[1].Float)), nil }),
		pure("sign(float8)", func(a []value) (value, error) {
			switch x := a[0].Float; {
			case x > 0:
				return float(1), nil
			case x < 0:
				return float(-1), nil
			default:
				return float(x), nil
			}
		}),
		constant("pi()", float(math.Pi)),
		pure("random()", func([]value) (value, error) { return float(rand.Float64()), nil }),
		pure("random(int4,int4)", randomBetween), pure("random(int8,int8)", randomBetween),
	}
}

func randomBetween(a []value) (value, error) {
	if a[0].Int > a[1].Int {
		return value{}, invalidParameter("lower bound must be less than or equal to upper bound")
	}
	return number(a[0].Int + int64(rand.Uint64N(uint64(a[1].Int-a[0].Int)+1))), nil
}

func errNegativeRoot() error {
	return pgwire.Errorf(pgwire.CodeInvalidArgumentForPower, "cannot take square root of a negative number")
}

func logarithm(x float64, f func(float64) float64) (value, error) {
	switch {
	case x == 0:
		return value{}, pgwire.Errorf(pgwire.CodeInvalidArgumentForLogarithm, "cannot take logarithm of zero")
	case x < 0:
		return value{}, pgwire.Errorf(pgwire.CodeInvalidArgumentForLogarithm, "cannot take logarithm of a negative number")
	}
	return float(f(x)), nil
}

func power(x, y float64) (value, error) {
	switch {
	case x == 0 && y < 0:
		return value{}, pgwire.Errorf(pgwire.CodeInvalidArgumentForPower, "zero raised to a negative power is undefined")
	case x < 0 && y != math.Trunc(y) && !math.IsInf(y, 0):
		return value{}, pgwire.Errorf(pgwire.CodeInvalidArgumentForPower, "a negative number raised to a non-integer power yields a complex result")
	}
	f := math.Pow(x, y)
	if math.IsInf(f, 0) && !math.IsInf(x, 0) && !math.IsInf(y, 0) {
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value out of range: overflow")
	}
	return float(f), nil
}

// throughFloat computes a transcendental function of numerics in float8, and gives the
// result PostgreSQL's 16 significant digits. Digits beyond the 15th may differ from it.
func throughFloat(f func(x []float64) (value, error), a ...value) (value, error) {
	x := make([]float64, len(a))
	for i := range a {
		v, err := types.Cast(a[i], types.Numeric, types.Float8, nil)
		if err != nil {
			return v, err
		}
		x[i] = v.Float
	}
	v, err := f(x)
	if err != nil || math.IsNaN(v.Float) || math.IsInf(v.Float, 0) {
		out, castErr := types.Cast(v, types.Float8, types.Numeric, nil)
		if err == nil {
			err = castErr
		}
		return out, err
	}
	return significant(v.Float)
}

// significant is a numeric with at least 16 significant digits.
func significant(f float64) (value, error) {
	const digits = 16
	v, err := types.ParseText(types.Numeric, types.AppendText(nil, types.Float8, float(f), nil), nil)
	if err != nil {
		return v, err
	}
	whole := 0
	if f != 0 {
		whole = int(math.Floor(math.Log10(math.Abs(f)))) + 1
	}
	return types.NumericRound(v, max(0, digits-whole)), nil
}

// numericPower is exact for small whole exponents.
func numericPower(a []value) (value, error) {
	const exactExponentMax = 64
	exponent, err := types.Cast(a[1], types.Numeric, types.Float8, nil)
	if err != nil {
		return value{}, err
	}
	n := exponent.Float
	if n != math.Trunc(n) || n < 0 || n > exactExponentMax {
		return throughFloat(func(x []float64) (value, error) { return power(x[0], x[1]) }, a...)
	}
	product := text("1")
	for range int(n) {
		if product, err = types.NumericArithmetic('*', product, a[0]); err != nil {
			return product, err
		}
	}
	base, err := types.Cast(product, types.Numeric, types.Float8, nil)
	if err != nil {
		return product, err
	}
	whole := 0
	if base.Float != 0 {
		whole = int(math.Floor(math.Log10(math.Abs(base.Float)))) + 1
	}
	const digits = 16
	return types.NumericRound(product, max(digits-whole, scaleOf(a[0]), 0)), nil
}

// widthBuckets number equal parts of a range from 1; 0 and count+1 are outside.
func widthBuckets() []implementation {
	return []implementation{
		pure("width_bucket(float8,float8,float8,int4)", func(a []value) (value, error) {
			return widthBucket(a[0].Float, a[1].Float, a[2].Float, a[3].Int)
		}),
		pure("width_bucket(numeric,numeric,numeric,int4)", func(a []value) (value, error) {
			var x [3]float64
			for i := range x {
				v, err := types.Cast(a[i], types.Numeric, types.Float8, nil)
				if err != nil {
					return v, err
				}
				x[i] = v.Float
			}
			return widthBucket(x[0], x[1], x[2], a[3].Int)
		}),
	}
}

func widthBucket(x, low, high float64, count int64) (value, error) {
	invalid := func(message string) (value, error) {
		return value{}, pgwire.Errorf(pgwire.CodeInvalidWidthBucket, "%s", message)
	}
	switch {
	case count <= 0:
		return invalid("count must be greater than zero")
	case math.IsNaN(x) || math.IsNaN(low) || math.IsNaN(high):
		return invalid("operand, lower bound, and upper bound cannot be NaN")
	case math.IsInf(low, 0) || math.IsInf(high, 0):
		return invalid("lower and upper bounds must be finite")
	case low == high:
		return invalid("lower bound cannot equal upper bound")
	}
	if low > high {
		x, low, high = -x, -low, -high
		if x == low {
			return number(1), nil
		}
	}
	switch {
	case x < low:
		return number(0), nil
	case x >= high:
		return number(count + 1), nil
	}
	return number(min(int64(float64(count)*(x-low)/(high-low))+1, count)), nil
}

// formatE writes a number with an exponent of at least two digits.
func formatE(f float64, digits int) string { return strconv.FormatFloat(f, 'e', digits, 64) }
