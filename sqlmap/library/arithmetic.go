package library

import (
	"math"
	"math/bits"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// integers are the operators of int2, int4 and int8: the result has the wider type.
func integers() []implementation {
	var out []implementation
	for prefix, p := range map[string][3]string{
		"int2": {"int2", "int2", "int2"}, "int4": {"int4", "int4", "int4"}, "int8": {"int8", "int8", "int8"}, "int24": {"int2", "int4", "int4"},
		"int42": {"int4", "int2", "int4"}, "int28": {"int2", "int8", "int8"}, "int82": {"int8", "int2", "int8"}, "int48": {"int4", "int8", "int8"}, "int84": {"int8", "int4", "int8"},
	} {
		result := types.ByName(p[2])
		for name, op := range map[string]byte{"pl": '+', "mi": '-', "mul": '*', "div": '/', "mod": '%'} {
			if op == '%' && p[0] != p[1] {
				continue
			}
			out = append(out, pure(prefix+name+"("+p[0]+","+p[1]+")", func(a []value) (value, error) {
				return integerArithmetic(op, result, a[0].Int, a[1].Int)
			}))
		}
	}
	for _, t := range []string{"int2", "int4", "int8"} {
		oid := types.ByName(t)
		width := uint(types.Lookup(oid).Size) * 8
		pair := "(" + t + "," + t + ")"
		shift := func(f func(x int64, n uint) int64) func(a []value) (value, error) {
			return func(a []value) (value, error) {
				return number(truncated(oid, f(a[0].Int, uint(a[1].Int)&(width-1)))), nil
			}
		}
		out = append(out,
			pure(t+"um("+t+")", func(a []value) (value, error) { return integerArithmetic('-', oid, 0, a[0].Int) }),
			pure(t+"up("+t+")", func(a []value) (value, error) { return a[0], nil }),
			pure(t+"abs("+t+")", func(a []value) (value, error) { return integerArithmetic('|', oid, a[0].Int, 0) }),
			pure("abs("+t+")", func(a []value) (value, error) { return integerArithmetic('|', oid, a[0].Int, 0) }),
			pure("mod"+pair, func(a []value) (value, error) { return integerArithmetic('%', oid, a[0].Int, a[1].Int) }),
			pure(t+"and"+pair, func(a []value) (value, error) { return number(a[0].Int & a[1].Int), nil }),
			pure(t+"or"+pair, func(a []value) (value, error) { return number(a[0].Int | a[1].Int), nil }),
			pure(t+"xor"+pair, func(a []value) (value, error) { return number(a[0].Int ^ a[1].Int), nil }),
			pure(t+"not("+t+")", func(a []value) (value, error) { return number(^a[0].Int), nil }),
			pure(t+"shl("+t+",int4)", shift(func(x int64, n uint) int64 { return x << n })),
			pure(t+"shr("+t+",int4)", shift(func(x int64, n uint) int64 { return x >> n })))
	}
	for _, t := range []string{"int4", "int8"} {
		oid := types.ByName(t)
		out = append(out,
			pure("gcd("+t+","+t+")", func(a []value) (value, error) { return integerArithmetic('|', oid, gcd(a[0].Int, a[1].Int), 0) }),
			pure("lcm("+t+","+t+")", func(a []value) (value, error) { return lcm(oid, a[0].Int, a[1].Int) }))
		for name, base := range map[string]int{"to_hex": 16, "to_bin": 2, "to_oct": 8} {
			out = append(out, pure(name+"("+t+")", func(a []value) (value, error) { return text(unsignedText(oid, a[0].Int, base)), nil }))
		}
	}
	return out
}

// truncated keeps the bits that a type has.
func truncated(t types.OID, n int64) int64 {
	switch t {
	case types.Int2:
		return int64(int16(n))
	case types.Int4:
		return int64(int32(n))
	}
	return n
}

// integerArithmetic computes a op b; '|' is the absolute value of a.
func integerArithmetic(op byte, t types.OID, a, b int64) (value, error) {
	n, overflows := int64(0), false
	switch op {
	case '+':
		n = a + b
		overflows = (n > a) != (b > 0) && b != 0
	case '-':
		n = a - b
		overflows = (n < a) != (b > 0) && b != 0
	case '*':
		high, low := bits.Mul64(magnitude(a), magnitude(b))
		n = a * b
		overflows = high != 0 || low > 1<<63 || low == 1<<63 && (a < 0) == (b < 0)
	case '|':
		n = max(a, -a)
		overflows = a == math.MinInt64
	default:
		if b == 0 {
			return value{}, types.ErrDivisionByZero()
		}
		if b == -1 { // MinInt64 / -1 would trap
			if op == '%' {
				return number(0), nil
			}
			return integerArithmetic('-', t, 0, a)
		}
		n = a / b
		if op == '%' {
			n = a % b
		}
	}
	if overflows || n != truncated(t, n) {
		return value{}, outOfRange(t)
	}
	return number(n), nil
}

func magnitude(n int64) uint64 {
	if n < 0 {
		return -uint64(n)
	}
	return uint64(n)
}

func gcd(a, b int64) int64 {
	for b != 0 {
		if b == -1 {
			return 1
		}
		a, b = b, a%b
	}
	return a
}

func lcm(t types.OID, a, b int64) (value, error) {
	if a == 0 || b == 0 {
		return number(0), nil
	}
	v, err := integerArithmetic('*', t, a/gcd(a, b), b)
	if err != nil {
		return v, err
	}
	return integerArithmetic('|', t, v.Int, 0)
}

func unsignedText(t types.OID, n int64, base int) string {
	u := uint64(n)
	if t == types.Int4 {
		u = uint64(uint32(n))
	}
	digits := ""
	for {
		digits = string("0123456789abcdef"[u%uint64(base)]) + digits
		if u /= uint64(base); u == 0 {
			return digits
		}
	}
}

// floats are the operators of float4 and float8.
func floats() []implementation {
	var out []implementation
	for prefix, p := range map[string][3]string{"float4": {"float4", "float4", "float4"}, "float8": {"float8", "float8", "float8"},
		"float48": {"float4", "float8", "float8"}, "float84": {"float8", "float4", "float8"}} {
		isNarrow := p[2] == "float4"
		for name, op := range map[string]byte{"pl": '+', "mi": '-', "mul": '*', "div": '/'} {
			out = append(out, pure(prefix+name+"("+p[0]+","+p[1]+")", func(a []value) (value, error) { return floatArithmetic(op, isNarrow, a[0].Float, a[1].Float) }))
		}
	}
	for _, t := range []string{"float4", "float8"} {
		out = append(out,
			pure(t+"um("+t+")", func(a []value) (value, error) { return float(-a[0].Float), nil }),
			pure(t+"up("+t+")", func(a []value) (value, error) { return a[0], nil }),
			pure(t+"abs("+t+")", func(a []value) (value, error) { return float(math.Abs(a[0].Float)), nil }),
			pure("abs("+t+")", func(a []value) (value, error) { return float(math.Abs(a[0].Float)), nil }))
	}
	return out
}

func floatArithmetic(op byte, isNarrow bool, a, b float64) (value, error) {
	f := 0.0
	switch op {
	case '+':
		f = a + b
	case '-':
		f = a - b
	case '*':
		f = a * b
	default:
		if b == 0 && !math.IsNaN(a) {
			return value{}, types.ErrDivisionByZero()
		}
		f = a / b
	}
	if isNarrow {
		f = float64(float32(f))
	}
	switch {
	case math.IsInf(f, 0) && !math.IsInf(a, 0) && !math.IsInf(b, 0):
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value out of range: overflow")
	case f == 0 && (op == '*' && a != 0 && b != 0 || op == '/' && a != 0 && !math.IsInf(b, 0)):
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value out of range: underflow")
	}
	return float(f), nil
}

// numerics are the operators and functions of numeric.
func numerics() []implementation {
	var out []implementation
	for name, op := range map[string]byte{"numeric_add": '+', "numeric_sub": '-', "numeric_mul": '*', "numeric_div": '/', "numeric_mod": '%', "mod": '%'} {
		out = append(out, pure(name+"(numeric,numeric)", func(a []value) (value, error) { return types.NumericArithmetic(op, a[0], a[1]) }))
	}
	abs := func(a []value) (value, error) {
		if a[0].Bytes[0] == '-' {
			return types.NumericNegate(a[0]), nil
		}
		return a[0], nil
	}
	for _, name := range []string{"round", "floor", "ceil", "ceiling", "trunc"} {
		out = append(out, pure(name+"(numeric)", func(a []value) (value, error) { return types.NumericWhole(a[0], name), nil }))
	}
	return append(out,
		pure("numeric_uminus(numeric)", func(a []value) (value, error) { return types.NumericNegate(a[0]), nil }),
		pure("numeric_uplus(numeric)", func(a []value) (value, error) { return a[0], nil }),
		pure("numeric_abs(numeric)", abs),
		pure("abs(numeric)", abs),
		pure("round(numeric,int4)", func(a []value) (value, error) { return types.NumericRound(a[0], int(clampScale(a[1].Int))), nil }),
		pure("trunc(numeric,int4)", func(a []value) (value, error) { return types.NumericTruncate(a[0], int(clampScale(a[1].Int))), nil }),
		pure("div(numeric,numeric)", func(a []value) (value, error) {
			q, err := types.NumericArithmetic('/', a[0], a[1])
			return types.NumericWhole(q, "trunc"), err
		}),
		pure("sign(numeric)", func(a []value) (value, error) {
			switch {
			case string(a[0].Bytes) == "NaN":
				return a[0], nil
			case a[0].Bytes[0] == '-':
				return text("-1"), nil
			case strings.Trim(a[0].Text(), "0.") == "":
				return text("0"), nil
			}
			return text("1"), nil
		}),
		pure("scale(numeric)", func(a []value) (value, error) { return number(int64(scaleOf(a[0]))), nil }),
		pure("trim_scale(numeric)", func(a []value) (value, error) { return types.OfBytes(trimScale(a[0].Bytes)), nil }),
		pure("min_scale(numeric)", func(a []value) (value, error) {
			return number(int64(scaleOf(types.OfBytes(trimScale(a[0].Bytes))))), nil
		}),
		pure("factorial(int8)", factorial))
}

// clampScale bounds the number of decimals that one may ask for, as in PostgreSQL.
func clampScale(n int64) int64 { return max(-1000, min(n, 1000)) }

func scaleOf(v value) int {
	_, fraction, _ := strings.Cut(v.Text(), ".")
	return len(fraction)
}

func trimScale(b []byte) []byte {
	s := string(b)
	if strings.Contains(s, ".") {
		s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	}
	return []byte(s)
}

func factorial(a []value) (value, error) {
	const largest = 170 // more digits than arithmetic here makes
	n := a[0].Int
	if n < 0 {
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "factorial of a negative number is undefined")
	}
	if n > largest {
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value overflows numeric format")
	}
	product := text("1")
	for i := int64(2); i <= n; i++ {
		factor, err := types.Cast(number(i), types.Int8, types.Numeric, nil)
		if err != nil {
			return factor, err
		}
		if product, err = types.NumericArithmetic('*', product, factor); err != nil {
			return product, err
		}
	}
	return product, nil
}

// bitOperators are those of bit strings.
func bitOperators() []implementation {
	combine := func(name string, f func(a, b byte) byte) implementation {
		return pure(name+"(bit,bit)", func(a []value) (value, error) {
			if a[0].Int != a[1].Int {
				return value{}, pgwire.Errorf(pgwire.CodeStringDataLengthMismatch, "cannot %s bit strings of different sizes", strings.ToUpper(strings.TrimPrefix(name, "bit")))
			}
			out := value{Int: a[0].Int, Bytes: make([]byte, len(a[0].Bytes))}
			for i := range out.Bytes {
				out.Bytes[i] = f(a[0].Bytes[i], a[1].Bytes[i])
			}
			return out, nil
		})
	}
	return []implementation{
		combine("bitand", func(a, b byte) byte { return a & b }),
		combine("bitor", func(a, b byte) byte { return a | b }),
		combine("bitxor", func(a, b byte) byte { return a ^ b }),
		pure("length(bit)", func(a []value) (value, error) { return number(a[0].Int), nil }),
		pure("bit_length(bit)", func(a []value) (value, error) { return number(a[0].Int), nil }),
		pure("get_bit(bit,int4)", func(a []value) (value, error) {
			i := a[1].Int
			if i < 0 || i >= a[0].Int {
				return value{}, pgwire.Errorf(pgwire.CodeArraySubscriptError, "bit index %d out of valid range (0..%d)", i, a[0].Int-1)
			}
			return number(int64(a[0].Bytes[i/8] >> (7 - i%8) & 1)), nil
		}),
		pure("bit_count(bytea)", func(a []value) (value, error) {
			n := 0
			for _, b := range a[0].Bytes {
				n += bits.OnesCount8(b)
			}
			return number(int64(n)), nil
		}),
	}
}
