package library

import (
	"math"
	"math/big"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// accumulator is an aggregate made of two functions.
type accumulator struct {
	add    func(a []value) error
	result func() (value, error)
}

func (x *accumulator) Add(a []value) error    { return x.add(a) }
func (x *accumulator) Result() (value, error) { return x.result() }

// aggregate makes an aggregate that skips NULLs.
func aggregate(signature string, begin func(c *schema.Call) accumulator) implementation {
	return implementation{Signature: signature, SkipsNulls: true, Aggregate: func(c *schema.Call, _ []value) (schema.Accumulator, error) {
		x := begin(c)
		return &x, nil
	}}
}

// aggregateAll makes an aggregate that sees NULLs.
func aggregateAll(signature string, begin func(c *schema.Call) accumulator) implementation {
	out := aggregate(signature, begin)
	out.SkipsNulls = false
	return out
}

func aggregates() []implementation {
	count := func(*schema.Call) accumulator {
		n := int64(0)
		return accumulator{func([]value) error { n++; return nil }, func() (value, error) { return number(n), nil }}
	}
	out := []implementation{aggregateAll("count()", count), aggregate("count(any)", count),
		aggregate("any_value(anyelement)", func(*schema.Call) accumulator { return best(func(_, _ value) bool { return false }) })}
	for _, t := range []string{"int2", "int4", "int8", "oid", "float4", "float8", "date", "time", "timetz", "timestamp", "timestamptz", "interval",
		"text", "numeric", "bpchar", "tid", "inet", "pg_lsn", "xid8", "anyarray"} {
		for name, sign := range map[string]int{"max": 1, "min": -1} {
			out = append(out, aggregate(name+"("+t+")", func(c *schema.Call) accumulator {
				oid := argumentType(c, 0)
				return best(func(v, than value) bool { return sign*types.Compare(oid, v, than) > 0 })
			}))
		}
	}
	for name, unit := range map[string]bool{"bool_and": true, "every": true, "bool_or": false} {
		out = append(out, aggregate(name+"(bool)", func(*schema.Call) accumulator {
			return folding(func(a, b value) (value, error) {
				if b.IsTrue() == unit {
					return a, nil
				}
				return b, nil
			})
		}))
	}
	for name, f := range map[string]func(a, b int64) int64{"bit_and": func(a, b int64) int64 { return a & b }, "bit_or": func(a, b int64) int64 { return a | b }, "bit_xor": func(a, b int64) int64 { return a ^ b }} {
		for _, t := range []string{"int2", "int4", "int8"} {
			out = append(out, aggregate(name+"("+t+")", func(*schema.Call) accumulator {
				return folding(func(a, b value) (value, error) { return number(f(a.Int, b.Int)), nil })
			}))
		}
	}
	return append(append(out, sums()...), averages()...)
}

// best keeps one of the values; NULL without any.
func best(isBetter func(v, than value) bool) accumulator {
	return folding(func(a, b value) (value, error) {
		if isBetter(b, a) {
			return b, nil
		}
		return a, nil
	})
}

// folding combines values one after the other; NULL without any.
func folding(f func(a, b value) (value, error)) accumulator {
	state := types.Null()
	return accumulator{func(a []value) (err error) {
		if state.IsNull {
			state = a[0]
			return nil
		}
		state, err = f(state, a[0])
		return err
	}, func() (value, error) { return state, nil }}
}

// wholeSum adds integers without overflow.
type wholeSum struct {
	n     int64
	small int64
	big   *big.Int
}

func (s *wholeSum) add(v int64) {
	s.n++
	if s.big == nil {
		sum := s.small + v
		if v == 0 || (sum > s.small) == (v > 0) {
			s.small = sum
			return
		}
		s.big = big.NewInt(s.small)
	}
	s.big.Add(s.big, big.NewInt(v))
}

func (s *wholeSum) numeric() value {
	if s.big != nil {
		return text(s.big.String())
	}
	return text(big.NewInt(s.small).String())
}

func sums() []implementation {
	out := []implementation{
		aggregate("sum(numeric)", func(*schema.Call) accumulator {
			return folding(func(a, b value) (value, error) { return types.NumericArithmetic('+', a, b) })
		}),
		aggregate("sum(interval)", func(*schema.Call) accumulator {
			return folding(func(a, b value) (value, error) { return types.IntervalAdd(a, b, 1) })
		}),
	}
	for _, t := range []string{"int2", "int4", "int8"} {
		out = append(out, aggregate("sum("+t+")", func(*schema.Call) accumulator {
			var s wholeSum
			return accumulator{func(a []value) error { s.add(a[0].Int); return nil }, func() (value, error) {
				switch {
				case s.n == 0:
					return null()
				case t == "int8":
					return s.numeric(), nil
				case s.big != nil:
					return value{}, outOfRange(types.Int8)
				}
				return number(s.small), nil
			}}
		}))
	}
	for _, t := range []string{"float4", "float8"} {
		out = append(out, aggregate("sum("+t+")", func(*schema.Call) accumulator {
			return folding(func(a, b value) (value, error) { return floatArithmetic('+', t == "float4", a.Float, b.Float) })
		}))
	}
	return out
}

func averages() []implementation {
	var out []implementation
	for _, t := range []string{"int2", "int4", "int8"} {
		out = append(out, aggregate("avg("+t+")", func(*schema.Call) accumulator {
			var s wholeSum
			return accumulator{func(a []value) error { s.add(a[0].Int); return nil }, func() (value, error) {
				if s.n == 0 {
					return null()
				}
				return types.NumericArithmetic('/', s.numeric(), text(big.NewInt(s.n).String()))
			}}
		}))
	}
	for _, t := range []string{"float4", "float8"} {
		out = append(out, aggregate("avg("+t+")", func(*schema.Call) accumulator {
			n, sum := 0.0, 0.0
			return accumulator{func(a []value) error { n++; sum += a[0].Float; return nil }, func() (value, error) {
				if n == 0 {
					return null()
				}
				return float(sum / n), nil
			}}
		}))
	}
	average := func(add func(a, b value) (value, error), divide func(sum value, n int64) (value, error)) func(*schema.Call) accumulator {
		return func(*schema.Call) accumulator {
			n, sum := int64(0), folding(add)
			return accumulator{func(a []value) error { n++; return sum.add(a) }, func() (value, error) {
				v, err := sum.result()
				if err != nil || v.IsNull {
					return v, err
				}
				return divide(v, n)
			}}
		}
	}
	return append(out,
		aggregate("avg(numeric)", average(func(a, b value) (value, error) { return types.NumericArithmetic('+', a, b) },
			func(sum value, n int64) (value, error) {
				return types.NumericArithmetic('/', sum, text(big.NewInt(n).String()))
			})),
		aggregate("avg(interval)", average(func(a, b value) (value, error) { return types.IntervalAdd(a, b, 1) },
			func(sum value, n int64) (value, error) { return types.IntervalDivide(sum, float64(n)) })))
}

// moments are what variances and regressions are made of: sums of squared distances from
// the mean, kept as Youngs and Cramer do, so that large means lose no digits.
type moments struct{ n, sumX, sumY, sxx, syy, sxy float64 }

func (m *moments) add(x, y float64) {
	m.n++
	m.sumX += x
	m.sumY += y
	if m.n > 1 {
		dx, dy := x*m.n-m.sumX, y*m.n-m.sumY
		scale := 1 / (m.n * (m.n - 1))
		m.sxx += dx * dx * scale
		m.syy += dy * dy * scale
		m.sxy += dx * dy * scale
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		m.sxx, m.sxy = math.NaN(), math.NaN()
	}
	if math.IsNaN(y) || math.IsInf(y, 0) {
		m.syy, m.sxy = math.NaN(), math.NaN()
	}
}

// statistics are the variances, deviations and regressions.
func statistics() []implementation {
	var out []implementation
	for name, how := range map[string]struct{ isSample, isRoot bool }{
		"variance": {true, false}, "var_samp": {true, false}, "var_pop": {}, "stddev": {true, true}, "stddev_samp": {true, true}, "stddev_pop": {false, true},
	} {
		for _, t := range []string{"float4", "float8"} {
			out = append(out, aggregate(name+"("+t+")", func(*schema.Call) accumulator {
				var m moments
				return accumulator{func(a []value) error { m.add(a[0].Float, 0); return nil }, func() (value, error) {
					n := m.n
					if how.isSample {
						n--
					}
					if n <= 0 {
						return null()
					}
					v := m.sxx / n
					if how.isRoot {
						v = math.Sqrt(v)
					}
					return float(v), nil
				}}
			}))
		}
		for _, t := range []types.OID{types.Int2, types.Int4, types.Int8, types.Numeric} {
			out = append(out, aggregate(name+"("+types.Lookup(t).Internal+")", func(*schema.Call) accumulator {
				s := &numericMoments{of: t}
				return accumulator{s.add, func() (value, error) { return s.variance(how.isSample, how.isRoot) }}
			}))
		}
	}
	return append(out, regressions()...)
}

// numericMoments are the sums for an exact variance.
type numericMoments struct {
	of              types.OID
	n               int64
	sum, sumSquares value
}

func (s *numericMoments) add(a []value) error {
	v, err := types.Cast(a[0], s.of, types.Numeric, nil)
	if err != nil {
		return err
	}
	square, err := types.NumericArithmetic('*', v, v)
	if err != nil {
		return err
	}
	if s.n++; s.n == 1 {
		s.sum, s.sumSquares = v, square
		return nil
	}
	if s.sum, err = types.NumericArithmetic('+', s.sum, v); err != nil {
		return err
	}
	s.sumSquares, err = types.NumericArithmetic('+', s.sumSquares, square)
	return err
}

func (s *numericMoments) variance(isSample, isRoot bool) (value, error) {
	divisor := s.n
	if isSample {
		divisor--
	}
	if divisor <= 0 {
		return null()
	}
	n := text(big.NewInt(s.n).String())
	product, err := types.NumericArithmetic('*', n, s.sumSquares)
	if err != nil {
		return product, err
	}
	square, err := types.NumericArithmetic('*', s.sum, s.sum)
	if err != nil {
		return square, err
	}
	top, err := types.NumericArithmetic('-', product, square)
	if err != nil {
		return top, err
	}
	if types.Compare(types.Numeric, top, text("0")) <= 0 {
		return text("0"), nil
	}
	bottom := text(new(big.Int).Mul(big.NewInt(s.n), big.NewInt(divisor)).String())
	v, err := types.NumericArithmetic('/', top, bottom)
	if err != nil || !isRoot {
		return v, err
	}
	return types.NumericSqrtTo(v, types.NumericScale(v)), nil
}

func regressions() []implementation {
	var out []implementation
	for name, f := range map[string]func(m *moments) (float64, bool){
		"covar_pop":  func(m *moments) (float64, bool) { return m.sxy / m.n, m.n >= 1 },
		"covar_samp": func(m *moments) (float64, bool) { return m.sxy / (m.n - 1), m.n >= 2 },
		"corr": func(m *moments) (float64, bool) {
			return m.sxy / math.Sqrt(m.sxx*m.syy), m.n >= 1 && m.sxx != 0 && m.syy != 0
		},
		"regr_avgx":      func(m *moments) (float64, bool) { return m.sumX / m.n, m.n >= 1 },
		"regr_avgy":      func(m *moments) (float64, bool) { return m.sumY / m.n, m.n >= 1 },
		"regr_sxx":       func(m *moments) (float64, bool) { return m.sxx, m.n >= 1 },
		"regr_syy":       func(m *moments) (float64, bool) { return m.syy, m.n >= 1 },
		"regr_sxy":       func(m *moments) (float64, bool) { return m.sxy, m.n >= 1 },
		"regr_slope":     func(m *moments) (float64, bool) { return m.sxy / m.sxx, m.n >= 1 && m.sxx != 0 },
		"regr_intercept": func(m *moments) (float64, bool) { return (m.sumY - m.sumX*m.sxy/m.sxx) / m.n, m.n >= 1 && m.sxx != 0 },
		"regr_r2": func(m *moments) (float64, bool) {
			if m.syy == 0 {
				return 1, m.n >= 1 && m.sxx != 0
			}
			return m.sxy * m.sxy / (m.sxx * m.syy), m.n >= 1 && m.sxx != 0
		},
	} {
		out = append(out, aggregate(name+"(float8,float8)", func(*schema.Call) accumulator {
			var m moments
			return accumulator{func(a []value) error { m.add(a[1].Float, a[0].Float); return nil }, func() (value, error) {
				v, ok := f(&m)
				if !ok {
					return null()
				}
				return float(v), nil
			}}
		}))
	}
	return append(out, aggregate("regr_count(float8,float8)", func(*schema.Call) accumulator {
		n := int64(0)
		return accumulator{func([]value) error { n++; return nil }, func() (value, error) { return number(n), nil }}
	}))
}
