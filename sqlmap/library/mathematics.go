package library

import (
	"math"
	"math/big"
	"math/rand/v2"
	"sort"
	"strconv"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
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
				if name == "ln" {
					return numericLog(a[0], nil)
				}
				return numericLog(a[0], newBig(10))
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
			base, ok := bigOf(a[0])
			switch {
			case !ok:
				return a[0], nil
			case base.Sign() <= 0:
				return numericLog(a[0], nil) // which refuses it
			case base.Cmp(newBig(1)) == 0:
				return value{}, types.ErrDivisionByZero()
			}
			return numericLog(a[1], base)
		}),
		pure("sqrt(numeric)", func(a []value) (value, error) {
			if a[0].Bytes[0] == '-' && len(a[0].Bytes) > 1 {
				return value{}, errNegativeRoot()
			}
			return types.NumericSqrt(a[0])
		}),
		pure("exp(numeric)", func(a []value) (value, error) { return numericExp(a[0]) }),
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

// precision is how many bits the logarithms and powers of numerics are computed with.
const precision = 320

// bigOf is a finite numeric as a number to compute with.
func bigOf(v value) (f *big.Float, ok bool) {
	f, _, err := big.ParseFloat(v.Text(), 10, precision, big.ToNearestEven)
	return f, err == nil && !f.IsInf()
}

func newBig(f float64) *big.Float { return big.NewFloat(f).SetPrec(precision) }

// bigExp is e to the x, by its series, for a sixteenth of a thousandth of x.
func bigExp(x *big.Float) *big.Float {
	const halvings = 16
	small := new(big.Float).SetMantExp(new(big.Float).SetPrec(precision).Set(x), -halvings)
	sum, term := newBig(1), newBig(1)
	for n := 1.0; n < 100 && (n < 3 || term.Sign() != 0 && term.MantExp(nil) > sum.MantExp(nil)-precision); n++ {
		term.Quo(term.Mul(term, small), newBig(n))
		sum.Add(sum, term)
	}
	for range halvings {
		sum.Mul(sum, sum)
	}
	return sum
}

// bigLog is the natural logarithm of x > 0, by Newton's method from the float64.
func bigLog(x *big.Float) *big.Float {
	mantissa := new(big.Float)
	exponent := x.MantExp(mantissa)
	near, _ := mantissa.Float64()
	ln := func(m *big.Float, start float64) *big.Float {
		y := newBig(start)
		for range 4 { // each step doubles the digits
			e := bigExp(y)
			step := new(big.Float).SetPrec(precision).Quo(new(big.Float).SetPrec(precision).Sub(m, e), new(big.Float).SetPrec(precision).Add(m, e))
			y.Add(y, step.Mul(step, newBig(2)))
		}
		return y
	}
	out := ln(mantissa.SetPrec(precision), math.Log(near))
	return out.Add(out, new(big.Float).SetPrec(precision).Mul(ln(newBig(2), math.Ln2), newBig(float64(exponent))))
}

// rounded is a numeric with a number of decimals.
func rounded(f *big.Float, decimals int) (value, error) {
	const digitsMax = 1000
	if f.MantExp(nil) > digitsMax*3 {
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value overflows numeric format")
	}
	v, err := types.ParseText(types.Numeric, []byte(f.Text('f', min(max(decimals, 0), digitsMax))), nil)
	return v, err
}

// significantDigits is what PostgreSQL gives at least to results of numerics.
const significantDigits = 16

// decimalWeight is how many digits are before the point, cut towards zero: of 1024 it is 3.
func decimalWeight(f *big.Float) int {
	if f.Sign() == 0 {
		return 0
	}
	mantissa := new(big.Float)
	exponent := f.MantExp(mantissa)
	m, _ := mantissa.Float64()
	return int((math.Log(math.Abs(m)) + float64(exponent)*math.Ln2) / math.Ln10)
}

// numericLog is the logarithm of a numeric in a base; nil: the natural one.
func numericLog(v value, base *big.Float) (value, error) {
	x, ok := bigOf(v)
	if !ok {
		return v, nil // NaN and infinity
	}
	if x.Sign() <= 0 {
		f, _ := x.Float64()
		return logarithm(f, math.Log)
	}
	out := bigLog(x)
	if base != nil {
		out.Quo(out, bigLog(base))
		return rounded(out, max(significantDigits-decimalWeight(out), scaleOf(v)))
	}
	whole := 0
	if out.Sign() != 0 {
		approximate, _ := out.Float64()
		whole = int(math.Floor(math.Log10(math.Abs(approximate)))) + 1
	}
	return rounded(out, max(significantDigits-whole, scaleOf(v)))
}

func numericExp(v value) (value, error) {
	x, ok := bigOf(v)
	if !ok {
		return v, nil
	}
	const exponentMax = 2000
	if f, _ := x.Float64(); f > exponentMax {
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value overflows numeric format")
	} else if f < -exponentMax {
		return rounded(newBig(0), significantDigits)
	}
	out := bigExp(x)
	return rounded(out, max(significantDigits-decimalWeight(out), scaleOf(v)))
}

func numericPower(a []value) (value, error) {
	x, ok1 := bigOf(a[0])
	y, ok2 := bigOf(a[1])
	if !ok1 || !ok2 {
		return throughFloat(func(x []float64) (value, error) { return power(x[0], x[1]) }, a...)
	}
	exponent, _ := y.Float64()
	isWhole := y.IsInt()
	if x.Sign() == 0 || x.Sign() < 0 && !isWhole {
		base, _ := x.Float64()
		if v, err := power(base, exponent); err != nil || x.Sign() < 0 {
			return v, err
		}
		if exponent == 0 {
			return rounded(newBig(1), significantDigits)
		}
		return rounded(newBig(0), max(significantDigits, scaleOf(a[0])))
	}
	magnitude := new(big.Float).SetPrec(precision).Abs(x)
	product := bigLog(magnitude)
	product.Mul(product, y)
	const exponentMax = 2000
	if f, _ := product.Float64(); f > exponentMax {
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value overflows numeric format")
	} else if f < -exponentMax {
		return rounded(newBig(0), significantDigits)
	}
	out := bigExp(product)
	if whole, _ := y.Int(nil); x.Sign() < 0 && whole.Bit(0) == 1 {
		out.Neg(out)
	}
	return rounded(out, max(significantDigits-decimalWeight(out), scaleOf(a[0]), scaleOf(a[1])))
}

// throughFloat computes with NaN and the infinities, which float8 has too.
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
	if err != nil {
		return value{}, err
	}
	return types.Cast(v, types.Float8, types.Numeric, nil)
}

// widthBuckets number equal parts of a range from 1; 0 and count+1 are outside.
func widthBuckets() []implementation {
	return []implementation{
		call("width_bucket(anycompatible,anycompatiblearray)", func(c *schema.Call, a []value) (value, error) {
			t := argumentType(c, 0)
			for _, bound := range a[1].Elems {
				if bound.IsNull {
					return value{}, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "thresholds array must not contain NULLs")
				}
			}
			// How many bounds, which are sorted, are not greater.
			return number(int64(sort.Search(len(a[1].Elems), func(i int) bool { return types.Compare(t, a[1].Elems[i], a[0]) > 0 }))), nil
		}),
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
