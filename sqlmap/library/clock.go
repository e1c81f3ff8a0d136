package library

import (
	"math"
	"strings"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// clocks tell the time and move between zones.
func clocks() []implementation {
	now := func(c *schema.Call, _ []value) (value, error) { return types.OfTime(c.Style.Now), nil }
	sleep := func(c *schema.Call, d time.Duration) (value, error) {
		const longest = 24 * time.Hour
		if d <= 0 {
			return value{}, nil
		}
		timer := time.NewTimer(min(d, longest))
		defer timer.Stop()
		select {
		case <-timer.C:
			return value{}, nil
		case <-c.Ctx.Done():
			return value{}, c.Ctx.Err()
		}
	}
	out := []implementation{
		call("now()", now), call("transaction_timestamp()", now),
		call("statement_timestamp()", func(c *schema.Call, _ []value) (value, error) { return types.OfTime(c.StatementTime), nil }),
		call("clock_timestamp()", func(c *schema.Call, _ []value) (value, error) { return types.OfTime(c.Clock()), nil }),
		call("timeofday()", func(c *schema.Call, _ []value) (value, error) {
			return text(c.Clock().In(c.Style.Zone()).Format("Mon Jan 02 15:04:05.000000 2006 MST")), nil
		}),
		call("pg_sleep(float8)", func(c *schema.Call, a []value) (value, error) {
			return sleep(c, time.Duration(min(a[0].Float, 1e9)*float64(time.Second)))
		}),
		call("pg_sleep_for(interval)", func(c *schema.Call, a []value) (value, error) {
			return sleep(c, time.Duration(min(types.IntervalMicros(a[0]), math.MaxInt64/1000)*1000))
		}),
	}
	return append(out, zones()...)
}

// zones are AT TIME ZONE: the function timezone.
func zones() []implementation {
	var out []implementation
	for _, from := range []string{"text", "interval"} {
		location := func(v value) (*time.Location, error) {
			if from == "interval" {
				return time.FixedZone("", int(v.Int/microsPerSecond)), nil
			}
			return zoneNamed(v.Text())
		}
		out = append(out,
			pure("timezone("+from+",timestamptz)", func(a []value) (value, error) {
				zone, err := location(a[0])
				return types.ToLocal(a[1], &types.Style{Location: zone}), err
			}),
			pure("timezone("+from+",timestamp)", func(a []value) (value, error) {
				zone, err := location(a[0])
				if err != nil {
					return value{}, err
				}
				return types.ToInstant(a[1], &types.Style{Location: zone}), nil
			}))
	}
	return append(out,
		call("timezone(timestamptz)", func(c *schema.Call, a []value) (value, error) { return types.ToLocal(a[0], &c.Style), nil }),
		call("timezone(timestamp)", func(c *schema.Call, a []value) (value, error) { return types.ToInstant(a[0], &c.Style), nil }))
}

// makers make dates, times and intervals of their fields.
func makers() []implementation {
	makeTimestamp := func(a []value) (value, error) {
		days, err := makeDate(a)
		if err != nil {
			return days, err
		}
		clock, err := makeTime(a[3:])
		return number(days.Int*microsPerDay + clock.Int), err
	}
	return []implementation{
		pure("make_date(int4,int4,int4)", makeDate),
		pure("make_time(int4,int4,float8)", makeTime),
		pure("make_timestamp(int4,int4,int4,int4,int4,float8)", makeTimestamp),
		call("make_timestamptz(int4,int4,int4,int4,int4,float8)", func(c *schema.Call, a []value) (value, error) {
			v, err := makeTimestamp(a)
			return types.ToInstant(v, &c.Style), err
		}),
		pure("make_timestamptz(int4,int4,int4,int4,int4,float8,text)", func(a []value) (value, error) {
			zone, err := zoneNamed(a[6].Text())
			if err != nil {
				return value{}, err
			}
			v, err := makeTimestamp(a)
			return types.ToInstant(v, &types.Style{Location: zone}), err
		}),
		pure("make_interval(int4,int4,int4,int4,int4,int4,float8)", func(a []value) (value, error) {
			months, days := a[0].Int*12+a[1].Int, a[2].Int*7+a[3].Int
			micros := float64(a[4].Int)*microsPerHour + float64(a[5].Int)*60*microsPerSecond + math.Round(a[6].Float*microsPerSecond)
			if months != int64(int32(months)) || days != int64(int32(days)) || !(math.Abs(micros) < math.MaxInt64) {
				return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "interval out of range")
			}
			return value{Months: int32(months), Days: int32(days), Int: int64(micros)}, nil
		}),
		pure("to_timestamp(float8)", func(a []value) (value, error) { return types.FromEpochSeconds(a[0].Float) }),
	}
}

func makeDate(a []value) (value, error) {
	year := int(a[0].Int)
	if year < 0 {
		year++ // there is no year 0
	}
	t := time.Date(year, time.Month(a[1].Int), int(a[2].Int), 0, 0, 0, 0, time.UTC)
	if a[0].Int == 0 || int64(t.Month()) != a[1].Int || int64(t.Day()) != a[2].Int || a[0].Int > 5874897 || a[0].Int < -4713 {
		return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "date field value out of range: %d-%02d-%02d", a[0].Int, a[1].Int, a[2].Int)
	}
	return number(types.DaysOf(year, t.Month(), t.Day())), nil
}

func makeTime(a []value) (value, error) {
	hour, minute, second := a[0].Int, a[1].Int, a[2].Float
	if hour < 0 || hour > 24 || minute < 0 || minute > 59 || !(second >= 0 && second <= 60) || hour == 24 && (minute > 0 || second > 0) {
		return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "time field value out of range: %d:%02d:%02g", hour, minute, second)
	}
	return number(hour*microsPerHour + minute*60*microsPerSecond + int64(math.Round(second*microsPerSecond))), nil
}

// series are generate_series and generate_subscripts.
func series() []implementation {
	var out []implementation
	for _, t := range []types.OID{types.Int4, types.Int8} {
		name := types.Lookup(t).Internal
		out = append(out,
			rows("generate_series("+name+","+name+")", func(_ *schema.Call, a []value) (schema.Iterator, error) {
				return integerSeries(t, a[0].Int, a[1].Int, 1)
			}),
			rows("generate_series("+name+","+name+","+name+")", func(_ *schema.Call, a []value) (schema.Iterator, error) {
				return integerSeries(t, a[0].Int, a[1].Int, a[2].Int)
			}))
	}
	subscripts := func(_ *schema.Call, a []value) (schema.Iterator, error) {
		dims := a[0].Dims()
		if a[1].Int < 1 || a[1].Int > int64(len(dims)) {
			return schema.Each(nil), nil
		}
		d := dims[a[1].Int-1]
		low, high := int64(d.Lower), int64(d.Lower+d.Length-1)
		if len(a) > 2 && a[2].IsTrue() {
			return integerSeries(types.Int4, high, low, -1)
		}
		return integerSeries(types.Int4, low, high, 1)
	}
	return append(out,
		rows("generate_subscripts(anyarray,int4)", subscripts),
		rows("generate_subscripts(anyarray,int4,bool)", subscripts),
		rows("generate_series(numeric,numeric)", func(_ *schema.Call, a []value) (schema.Iterator, error) { return numericSeries(a[0], a[1], text("1")) }),
		rows("generate_series(numeric,numeric,numeric)", func(_ *schema.Call, a []value) (schema.Iterator, error) { return numericSeries(a[0], a[1], a[2]) }),
		rows("generate_series(timestamp,timestamp,interval)", func(_ *schema.Call, a []value) (schema.Iterator, error) { return timeSeries(a, time.UTC) }),
		rows("generate_series(timestamptz,timestamptz,interval)", func(c *schema.Call, a []value) (schema.Iterator, error) { return timeSeries(a, c.Style.Zone()) }),
		rows("generate_series(timestamptz,timestamptz,interval,text)", func(_ *schema.Call, a []value) (schema.Iterator, error) {
			zone, err := zoneNamed(a[3].Text())
			if err != nil {
				return nil, err
			}
			return timeSeries(a, zone)
		}))
}

func errZeroStep() error { return invalidParameter("step size cannot equal zero") }

func integerSeries(t types.OID, next, end, step int64) (schema.Iterator, error) {
	if step == 0 {
		return nil, errZeroStep()
	}
	done := false
	return func() (value, bool, error) {
		if done || step > 0 && next > end || step < 0 && next < end {
			return value{}, false, nil
		}
		v := next
		sum := next + step
		done = (sum > next) != (step > 0) || sum != truncated(t, sum)
		next = sum
		return number(v), true, nil
	}, nil
}

func numericSeries(next, end, step value) (schema.Iterator, error) {
	for i, v := range []value{next, end, step} {
		if s := v.Text(); s == "NaN" || strings.HasSuffix(s, "Infinity") {
			return nil, invalidParameter("%s value cannot be NaN or infinity", []string{"start", "stop", "step"}[i])
		}
	}
	sign := types.Compare(types.Numeric, step, text("0"))
	if sign == 0 {
		return nil, errZeroStep()
	}
	return func() (value, bool, error) {
		if sign*types.Compare(types.Numeric, next, end) > 0 {
			return value{}, false, nil
		}
		v := next
		var err error
		next, err = types.NumericArithmetic('+', next, step)
		return v, err == nil, err
	}, nil
}

func timeSeries(a []value, zone *time.Location) (schema.Iterator, error) {
	next, end, step := a[0], a[1], a[2]
	sign := types.Compare(types.Interval, step, value{})
	if sign == 0 {
		return nil, errZeroStep()
	}
	if types.IsInfinite(types.Timestamp, next) || types.IsInfinite(types.Timestamp, end) {
		return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "infinite series are not supported")
	}
	return func() (value, bool, error) {
		if sign > 0 && next.Int > end.Int || sign < 0 && next.Int < end.Int {
			return value{}, false, nil
		}
		v := next
		var err error
		next, err = types.AddInterval(next, step, 1, zone)
		return v, err == nil, err
	}, nil
}
