package scalar

import (
	"math"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

func clockFunction(name string, returns types.OID, f func(e *Env) types.Value) []Function {
	return []Function{{Name: name, Returns: returns, Call: func(e *Env, _ []types.Value) (types.Value, error) { return f(e), nil }}}
}

func timeFunction(name string) []Function {
	switch name {
	case "now", "transaction_timestamp":
		return clockFunction(name, types.TimestampTZ, func(e *Env) types.Value { return types.OfTime(e.Style.Now) })
	case "localtimestamp":
		return clockFunction(name, types.Timestamp, func(e *Env) types.Value { return types.ToLocal(types.OfTime(e.Style.Now), &e.Style) })
	case "statement_timestamp":
		return clockFunction(name, types.TimestampTZ, func(e *Env) types.Value { return types.OfTime(e.StatementTime) })
	case "clock_timestamp":
		list := clockFunction(name, types.TimestampTZ, func(*Env) types.Value { return types.OfTime(time.Now()) })
		list[0].IsVolatile = true
		return list
	case "to_timestamp":
		return []Function{function1(name, types.Float8, types.TimestampTZ, func(v types.Value) (types.Value, error) {
			return types.FromEpochSeconds(v.Float)
		})}
	case "make_interval":
		return []Function{{Name: name, ArgNames: []string{"years", "months", "weeks", "days", "hours", "mins", "secs"}, Optional: 7, OnNull: true,
			Args:    []types.OID{integer, integer, integer, integer, integer, integer, types.Float8},
			Returns: types.Interval, Call: func(_ *Env, args []types.Value) (types.Value, error) { return makeInterval(args) }}}
	case "pg_sleep":
		return []Function{{Name: name, Args: []types.OID{types.Float8}, Returns: types.Void, IsVolatile: true, Call: sleep}}
	}
	return nil
}

func makeInterval(args []types.Value) (types.Value, error) {
	micros := (float64(args[4].Int)*3600+float64(args[5].Int)*60+args[6].Float)*1e6 + 0
	months, days := args[0].Int*12+args[1].Int, args[2].Int*7+args[3].Int
	if math.Abs(micros) > math.MaxInt64/2 || months != int64(int32(months)) || days != int64(int32(days)) || math.IsNaN(micros) {
		return types.Value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "interval out of range")
	}
	return types.Value{Int: int64(math.Round(micros)), Days: int32(days), Months: int32(months)}, nil
}

// epochNumeric keeps the microseconds that a float8 would round.
func epochNumeric(t types.OID, v, seconds types.Value) (types.Value, error) {
	if t == types.Interval && v.Months != 0 || math.IsInf(seconds.Float, 0) {
		return types.Cast(seconds, types.Float8, types.Numeric, nil)
	}
	const microsOf2000 = 946_684_800_000_000
	micros := v.Int + microsOf2000
	if t == types.Interval {
		micros = types.IntervalMicros(v)
	}
	million := types.OfText("1000000")
	whole, err := types.Cast(types.OfInt(micros), types.Int8, types.Numeric, nil)
	if err != nil {
		return whole, err
	}
	quotient, err := types.NumericArithmetic('/', whole, million)
	return types.NumericRound(quotient, 6), err
}

// sleep waits, or until the statement is cancelled. It is what tests of cancellation use.
func sleep(e *Env, args []types.Value) (types.Value, error) {
	const secondsMax = 24 * 3600
	seconds := args[0].Float
	if !(seconds > 0) {
		return types.Value{}, nil
	}
	timer := time.NewTimer(time.Duration(min(seconds, secondsMax) * float64(time.Second)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return types.Value{}, nil
	case <-e.Ctx.Done():
		return types.Value{}, e.Ctx.Err()
	}
}

func numberFunction(name string) []Function {
	switch name {
	case "abs":
		var list []Function
		for _, t := range []types.OID{types.Int2, integer, types.Int8, types.Numeric, types.Float8} {
			list = append(list, function1(name, t, t, func(v types.Value) (types.Value, error) {
				if v.Int < 0 || v.Float < 0 || len(v.Bytes) > 0 && v.Bytes[0] == '-' {
					return negate(t, v)
				}
				return v, nil
			}))
		}
		return list
	case "round", "floor", "ceil", "ceiling", "trunc":
		return roundFunctions(name)
	case "mod":
		var list []Function
		for _, t := range []types.OID{types.Int2, integer, types.Int8} {
			list = append(list, pure(name, []types.OID{t, t}, t, func(args []types.Value) (types.Value, error) {
				return integerArithmetic('%', t, args[0].Int, args[1].Int)
			}))
		}
		return list
	}
	return nil
}

func roundFunctions(name string) []Function {
	float := math.RoundToEven
	switch name {
	case "floor":
		float = math.Floor
	case "ceil", "ceiling":
		float = math.Ceil
	case "trunc":
		float = math.Trunc
	}
	list := []Function{function1(name, types.Float8, types.Float8, func(v types.Value) (types.Value, error) { return types.OfFloat(float(v.Float)), nil })}
	list = append(list, function1(name, types.Numeric, types.Numeric, func(v types.Value) (types.Value, error) {
		return types.NumericWhole(v, name), nil
	}))
	if name == "round" {
		list = append(list,
			pure(name, []types.OID{types.Numeric, integer}, types.Numeric, func(args []types.Value) (types.Value, error) {
				return types.NumericRound(args[0], int(args[1].Int)), nil
			}))
	}
	return list
}
