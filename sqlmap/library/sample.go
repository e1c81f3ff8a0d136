package library

import (
	"math"
	"math/rand/v2"
	"slices"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// samples are TABLESAMPLE: whether a row is in, by chance or by its content and a seed.
func samples() []implementation {
	describe := func(args ...types.OID) *schema.Function {
		return &schema.Function{Name: "sample", Args: args, Returns: types.Bool, Volatility: 'v'}
	}
	return []implementation{
		{Construct: describe(types.Float4), Call: func(_ *schema.Call, a []value) (value, error) {
			percentage, err := samplePercentage(a[0])
			return boolean(100*rand.Float64() < percentage), err
		}},
		{Construct: describe(types.Float4, types.Float8, types.Text), Call: func(_ *schema.Call, a []value) (value, error) {
			percentage, err := samplePercentage(a[0])
			if a[1].IsNull {
				return value{}, pgwire.Errorf(pgwire.CodeInvalidTablesampleRepeat, "TABLESAMPLE REPEATABLE parameter cannot be null")
			}
			lot := hashBytes(a[2].Bytes, math.Float64bits(a[1].Float))
			return boolean(100*float64(lot>>11)/(1<<53) < percentage), err
		}},
	}
}

func samplePercentage(v value) (float64, error) {
	switch {
	case v.IsNull:
		return 0, pgwire.Errorf(pgwire.CodeInvalidTablesampleArgument, "TABLESAMPLE parameter cannot be null")
	case !(v.Float >= 0 && v.Float <= 100):
		return 0, pgwire.Errorf(pgwire.CodeInvalidTablesampleArgument, "sample percentage must be between 0 and 100")
	}
	return v.Float, nil
}

// arraySamples are elements of arrays by chance.
func arraySamples() []implementation {
	return []implementation{
		call("array_shuffle(anyarray)", func(_ *schema.Call, a []value) (value, error) { return sampleOf(a[0], firstLength(a[0])) }),
		call("array_sample(anyarray,int4)", func(_ *schema.Call, a []value) (value, error) {
			if n := firstLength(a[0]); a[1].Int < 0 || a[1].Int > n {
				return value{}, invalidParameter("sample size must be between 0 and %d", n)
			}
			return sampleOf(a[0], a[1].Int)
		}),
	}
}

// firstLength is the length of an array's first dimension.
func firstLength(v value) int64 {
	if dims := v.Dims(); len(dims) > 0 {
		return int64(dims[0].Length)
	}
	return 0
}

// sampleOf are n of an array's elements, or of its slices, in any order.
func sampleOf(v value, n int64) (value, error) {
	length := firstLength(v)
	if length == 0 || n == 0 {
		return types.OfArray(nil), nil
	}
	size := len(v.Elems) / int(length)
	order := rand.Perm(int(length))[:n]
	var elems []value
	for _, i := range order {
		elems = append(elems, v.Elems[i*size:(i+1)*size]...)
	}
	dims := slices.Clone(v.Dims())
	dims[0] = types.Dim{Length: int32(n), Lower: dims[0].Lower}
	return value{Elems: elems, Shape: &types.Shape{Dims: dims}}, nil
}
