package library

import (
	"math/big"
	"math/rand/v2"
	"strings"

	"pgcache/sqlmap/types"
)

// wholes are the functions of numerics that work on their digits as whole numbers, and chance.
func wholes() []implementation {
	return []implementation{
		pure("random_normal(float8,float8)", func(a []value) (value, error) { return float(rand.NormFloat64()*a[1].Float + a[0].Float), nil }),
		pure("random(numeric,numeric)", randomNumeric),
		pure("gcd(numeric,numeric)", func(a []value) (value, error) { return commonDivisor(a, false) }),
		pure("lcm(numeric,numeric)", func(a []value) (value, error) { return commonDivisor(a, true) }),
	}
}

// digitsOf are the digits of two numerics with as many decimals each; not ok: one is not finite.
func digitsOf(a, b value) (x, y *big.Int, scale int, ok bool) {
	scale = max(types.NumericScale(a), types.NumericScale(b))
	of := func(v value) (*big.Int, bool) {
		return new(big.Int).SetString(strings.Replace(types.NumericRound(v, scale).Text(), ".", "", 1), 10)
	}
	x, ok1 := of(a)
	y, ok2 := of(b)
	return x, y, scale, ok1 && ok2
}

// pointed is a whole number with its last digits behind the point.
func pointed(n *big.Int, scale int) value {
	digits, sign := new(big.Int).Abs(n).String(), ""
	if n.Sign() < 0 {
		sign = "-"
	}
	if scale == 0 {
		return text(sign + digits)
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	return text(sign + digits[:len(digits)-scale] + "." + digits[len(digits)-scale:])
}

// randomNumeric is a number between two with as many decimals as the one that has more.
func randomNumeric(a []value) (value, error) {
	if types.Compare(types.Numeric, a[0], a[1]) > 0 {
		return value{}, invalidParameter("lower bound must be less than or equal to upper bound")
	}
	low, high, scale, ok := digitsOf(a[0], a[1])
	if !ok {
		return value{}, invalidParameter("lower and upper bound must be finite")
	}
	width := new(big.Int).Add(new(big.Int).Sub(high, low), big.NewInt(1))
	random := make([]byte, len(width.Bytes())+8)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	return pointed(new(big.Int).Add(new(big.Int).Mod(new(big.Int).SetBytes(random), width), low), scale), nil
}

// commonDivisor is the greatest common divisor of two numerics, or the least common multiple.
func commonDivisor(a []value, isMultiple bool) (value, error) {
	x, y, scale, ok := digitsOf(a[0], a[1])
	if !ok {
		return text("NaN"), nil
	}
	n := new(big.Int).GCD(nil, nil, x.Abs(x), y.Abs(y))
	if isMultiple && n.Sign() != 0 {
		n.Mul(new(big.Int).Quo(x, n), y)
	}
	return pointed(n, scale), nil
}
