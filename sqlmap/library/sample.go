package library

import (
	"math"
	"math/rand/v2"

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
