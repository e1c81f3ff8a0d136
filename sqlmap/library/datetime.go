package library

import (
	"strings"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

const (
	microsPerSecond = 1_000_000
	microsPerHour   = 3600 * microsPerSecond
	microsPerDay    = 24 * microsPerHour
)

// dates are the operators of dates, times and intervals.
func dates() []implementation {
	out := []implementation{
		pure("date_pli(date,int4)", func(a []value) (value, error) { return types.AddDays(a[0], a[1].Int) }),
		pure("integer_pl_date(int4,date)", func(a []value) (value, error) { return types.AddDays(a[1], a[0].Int) }),
		pure("date_mii(date,int4)", func(a []value) (value, error) { return types.AddDays(a[0], -a[1].Int) }),
		pure("date_mi(date,date)", func(a []value) (value, error) {
			if types.IsInfinite(types.Date, a[0]) || types.IsInfinite(types.Date, a[1]) {
				return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "cannot subtract infinite dates")
			}
			return number(a[0].Int - a[1].Int), nil
		}),
		pure("timestamp_mi(timestamp,timestamp)", func(a []value) (value, error) { return types.SubTimestamps(a[0], a[1]) }),
		pure("timestamptz_mi(timestamptz,timestamptz)", func(a []value) (value, error) { return types.SubTimestamps(a[0], a[1]) }),
		pure("interval_um(interval)", func(a []value) (value, error) { return types.IntervalMultiply(a[0], -1) }),
		pure("interval_pl(interval,interval)", func(a []value) (value, error) { return types.IntervalAdd(a[0], a[1], 1) }),
		pure("interval_mi(interval,interval)", func(a []value) (value, error) { return types.IntervalAdd(a[0], a[1], -1) }),
		pure("interval_mul(interval,float8)", func(a []value) (value, error) { return types.IntervalMultiply(a[0], a[1].Float) }),
		pure("mul_d_interval(float8,interval)", func(a []value) (value, error) { return types.IntervalMultiply(a[1], a[0].Float) }),
		pure("interval_div(interval,float8)", func(a []value) (value, error) {
			if a[1].Float == 0 {
				return value{}, types.ErrDivisionByZero()
			}
			return types.IntervalDivide(a[0], a[1].Float)
		}),
		pure("time_mi_time(time,time)", func(a []value) (value, error) { return number(a[0].Int - a[1].Int), nil }),
		pure("time_pl_interval(time,interval)", func(a []value) (value, error) { return shiftClock(a[0], a[1], 1) }),
		pure("time_mi_interval(time,interval)", func(a []value) (value, error) { return shiftClock(a[0], a[1], -1) }),
		pure("datetime_pl(date,time)", func(a []value) (value, error) {
			return number(types.DateToTimestamp(a[0], types.Timestamp, nil).Int + a[1].Int), nil
		}),
		pure("timedate_pl(time,date)", func(a []value) (value, error) {
			return number(types.DateToTimestamp(a[1], types.Timestamp, nil).Int + a[0].Int), nil
		}),
		pure("timestamp(date,time)", func(a []value) (value, error) {
			return number(types.DateToTimestamp(a[0], types.Timestamp, nil).Int + a[1].Int), nil
		}),
	}
	for name, sign := range map[string]int{"pl": 1, "mi": -1} {
		out = append(out,
			pure("timestamp_"+name+"_interval(timestamp,interval)", func(a []value) (value, error) { return types.AddInterval(a[0], a[1], sign, time.UTC) }),
			call("timestamptz_"+name+"_interval(timestamptz,interval)", func(c *schema.Call, a []value) (value, error) {
				return types.AddInterval(a[0], a[1], sign, c.Style.Zone())
			}),
			pure("date_"+name+"_interval(date,interval)", func(a []value) (value, error) {
				return types.AddInterval(types.DateToTimestamp(a[0], types.Timestamp, nil), a[1], sign, time.UTC)
			}))
	}
	return append(append(append(out, intervalSums()...), ages()...), overlaps()...)
}

// intervalSums are interval + x, and the functions for + and - of timestamptz.
func intervalSums() []implementation {
	return []implementation{
		pure("interval_pl_timestamp(interval,timestamp)", func(a []value) (value, error) { return types.AddInterval(a[1], a[0], 1, time.UTC) }),
		call("interval_pl_timestamptz(interval,timestamptz)", func(c *schema.Call, a []value) (value, error) {
			return types.AddInterval(a[1], a[0], 1, c.Style.Zone())
		}),
		pure("interval_pl_date(interval,date)", func(a []value) (value, error) {
			return types.AddInterval(types.DateToTimestamp(a[1], types.Timestamp, nil), a[0], 1, time.UTC)
		}),
		pure("interval_pl_time(interval,time)", func(a []value) (value, error) { return shiftClock(a[1], a[0], 1) }),
		call("date_add(timestamptz,interval)", func(c *schema.Call, a []value) (value, error) {
			return types.AddInterval(a[0], a[1], 1, c.Style.Zone())
		}),
		call("date_subtract(timestamptz,interval)", func(c *schema.Call, a []value) (value, error) {
			return types.AddInterval(a[0], a[1], -1, c.Style.Zone())
		}),
		pure("justify_hours(interval)", func(a []value) (value, error) {
			v := a[0]
			if types.IntervalInfinity(v) != 0 {
				return v, nil
			}
			v.Days, v.Int = v.Days+int32(v.Int/microsPerDay), v.Int%microsPerDay
			return sameSigns(v), nil
		}),
		pure("justify_days(interval)", func(a []value) (value, error) {
			v := a[0]
			if types.IntervalInfinity(v) != 0 {
				return v, nil
			}
			v.Months, v.Days = v.Months+v.Days/30, v.Days%30
			return sameMonthSigns(v), nil
		}),
		pure("justify_interval(interval)", func(a []value) (value, error) {
			v := a[0]
			if types.IntervalInfinity(v) != 0 {
				return v, nil
			}
			v.Days, v.Int = v.Days+int32(v.Int/microsPerDay), v.Int%microsPerDay
			v.Months, v.Days = v.Months+v.Days/30, v.Days%30
			return sameSigns(sameMonthSigns(v)), nil
		}),
	}
}

// sameSigns gives days and time one sign.
func sameSigns(v value) value {
	switch {
	case v.Days > 0 && v.Int < 0:
		v.Days, v.Int = v.Days-1, v.Int+microsPerDay
	case v.Days < 0 && v.Int > 0:
		v.Days, v.Int = v.Days+1, v.Int-microsPerDay
	}
	return v
}

// sameMonthSigns gives months and days one sign.
func sameMonthSigns(v value) value {
	switch {
	case v.Months > 0 && (v.Days < 0 || v.Days == 0 && v.Int < 0):
		v.Months, v.Days = v.Months-1, v.Days+30
	case v.Months < 0 && (v.Days > 0 || v.Days == 0 && v.Int > 0):
		v.Months, v.Days = v.Months+1, v.Days-30
	}
	return v
}

// shiftClock adds the time of an interval to a time of day.
func shiftClock(clock, by value, sign int64) (value, error) {
	if types.IntervalInfinity(by) != 0 {
		verb := "cannot add infinite interval to time"
		if sign < 0 {
			verb = "cannot subtract infinite interval from time"
		}
		return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "%s", verb)
	}
	return clockModulo(clock, sign*by.Int), nil
}

func clockModulo(t value, micros int64) value {
	n := (t.Int + micros%microsPerDay) % microsPerDay
	if n < 0 {
		n += microsPerDay
	}
	return number(n)
}

// ages are differences in years, months and days, as a calendar counts them.
func ages() []implementation {
	midnight := func(c *schema.Call) value {
		local := c.Style.Now.In(c.Style.Zone())
		return number(types.DaysOf(local.Year(), local.Month(), local.Day()) * microsPerDay)
	}
	return []implementation{
		pure("age(timestamp,timestamp)", func(a []value) (value, error) { return age(a[0], a[1]) }),
		call("age(timestamptz,timestamptz)", func(c *schema.Call, a []value) (value, error) {
			return age(types.ToLocal(a[0], &c.Style), types.ToLocal(a[1], &c.Style))
		}),
		call("age(timestamp)", func(c *schema.Call, a []value) (value, error) { return age(midnight(c), a[0]) }),
		call("age(timestamptz)", func(c *schema.Call, a []value) (value, error) { return age(midnight(c), types.ToLocal(a[0], &c.Style)) }),
		// Every transaction of pgcache is the first: nothing grows old.
		constant("age(xid)", number(0)), constant("mxid_age(xid)", number(0)),
		pure("isfinite(date)", func(a []value) (value, error) { return boolean(!types.IsInfinite(types.Date, a[0])), nil }),
		pure("isfinite(timestamp)", func(a []value) (value, error) { return boolean(!types.IsInfinite(types.Timestamp, a[0])), nil }),
		pure("isfinite(timestamptz)", func(a []value) (value, error) { return boolean(!types.IsInfinite(types.Timestamp, a[0])), nil }),
		pure("isfinite(interval)", func(a []value) (value, error) { return boolean(types.IntervalInfinity(a[0]) == 0), nil }),
	}
}

func age(a, b value) (value, error) {
	if types.IsInfinite(types.Timestamp, a) || types.IsInfinite(types.Timestamp, b) {
		return types.SubTimestamps(a, b)
	}
	sign := 1
	if a.Int < b.Int {
		a, b, sign = b, a, -1
	}
	x, y := civilOf(a), civilOf(b)
	months := (x.year-y.year)*12 + int(x.month) - int(y.month)
	days, micros := x.day-y.day, x.micros-y.micros
	if micros < 0 {
		micros += microsPerDay
		days--
	}
	for days < 0 { // the length of the month in which the earlier one is
		days += time.Date(y.year, y.month+1, 0, 0, 0, 0, 0, time.UTC).Day()
		months--
	}
	return value{Months: int32(sign * months), Days: int32(sign * days), Int: int64(sign) * micros}, nil
}

// civil are the fields of a timestamp.
type civil struct {
	year   int
	month  time.Month
	day    int
	micros int64 // since midnight
	days   int64 // since 2000-01-01
}

func civilOf(v value) civil {
	day := types.TimestampToDate(v).Int
	out := civil{days: day, micros: types.TimeOfDay(v).Int}
	out.year, out.month, out.day = types.CivilDate(day)
	return out
}

func (c civil) timestamp() value {
	return number(types.DaysOf(c.year, c.month, c.day)*microsPerDay + c.micros)
}

// truncate is date_trunc on a timestamp without zone.
func truncate(field string, v value) (value, error) {
	if types.IsInfinite(types.Timestamp, v) {
		return v, nil
	}
	c := civilOf(v)
	switch canonicalField(field) {
	case "microseconds":
		return v, nil
	case "milliseconds":
		return number(v.Int - modulo(v.Int, 1000)), nil
	case "second":
		return number(v.Int - modulo(v.Int, microsPerSecond)), nil
	case "minute":
		return number(v.Int - modulo(v.Int, 60*microsPerSecond)), nil
	case "hour":
		return number(v.Int - modulo(v.Int, microsPerHour)), nil
	}
	c.micros = 0
	switch canonicalField(field) {
	case "day":
	case "week":
		return number((c.days - modulo(c.days+5, 7)) * microsPerDay), nil // 2000-01-01 was a Saturday
	case "month":
		c.day = 1
	case "quarter":
		c.month, c.day = (c.month-1)/3*3+1, 1
	case "year":
		c.month, c.day = 1, 1
	case "decade":
		c.year, c.month, c.day = c.year-int(modulo(int64(c.year), 10)), 1, 1
	case "century":
		c.year, c.month, c.day = c.year-int(modulo(int64(c.year-1), 100)), 1, 1
	case "millennium":
		c.year, c.month, c.day = c.year-int(modulo(int64(c.year-1), 1000)), 1, 1
	default:
		return value{}, errUnit(field, types.Timestamp)
	}
	return c.timestamp(), nil
}

func modulo(a, b int64) int64 {
	if m := a % b; m < 0 {
		return m + b
	} else {
		return m
	}
}

func errUnit(field string, t types.OID) error {
	return invalidParameter("unit \"%s\" not recognized for type %s", field, t)
}

// canonicalField is the one name of a field of a date or time; "" if there is none.
func canonicalField(name string) string {
	switch strings.ToLower(strings.TrimSpace(name)) {
	case "us", "usec", "usecs", "microsecond", "microseconds", "microsecon":
		return "microseconds"
	case "ms", "msec", "msecs", "millisecond", "milliseconds", "millisecon":
		return "milliseconds"
	case "s", "sec", "secs", "second", "seconds":
		return "second"
	case "m", "min", "mins", "minute", "minutes":
		return "minute"
	case "h", "hr", "hrs", "hour", "hours":
		return "hour"
	case "d", "day", "days":
		return "day"
	case "w", "week", "weeks":
		return "week"
	case "mon", "mons", "month", "months":
		return "month"
	case "qtr", "quarter", "quarters":
		return "quarter"
	case "y", "yr", "yrs", "year", "years":
		return "year"
	case "dec", "decs", "decade", "decades":
		return "decade"
	case "c", "cent", "century", "centuries":
		return "century"
	case "mil", "mils", "millennium", "millennia":
		return "millennium"
	}
	return ""
}

// inZone does something to what a wall clock in the session's zone shows.
func inZone(style *types.Style, v value, f func(local value) (value, error)) (value, error) {
	local, err := f(types.ToLocal(v, style))
	if err != nil {
		return local, err
	}
	return types.ToInstant(local, style), nil
}

func dateParts() []implementation {
	out := []implementation{
		pure("date_trunc(text,timestamp)", func(a []value) (value, error) { return truncate(a[0].Text(), a[1]) }),
		call("date_trunc(text,timestamptz)", func(c *schema.Call, a []value) (value, error) {
			return inZone(&c.Style, a[1], func(local value) (value, error) { return truncate(a[0].Text(), local) })
		}),
		call("date_trunc(text,timestamptz,text)", func(c *schema.Call, a []value) (value, error) {
			zone, err := zoneNamed(a[2].Text())
			if err != nil {
				return value{}, err
			}
			return inZone(&types.Style{Location: zone}, a[1], func(local value) (value, error) { return truncate(a[0].Text(), local) })
		}),
		pure("date_trunc(text,interval)", truncateInterval),
		pure("date_bin(interval,timestamp,timestamp)", dateBin),
		pure("date_bin(interval,timestamptz,timestamptz)", dateBin),
	}
	for _, t := range []types.OID{types.Timestamp, types.TimestampTZ, types.Date, types.Time, types.TimeTZ, types.Interval} {
		name := types.Lookup(t).Internal
		out = append(out,
			call("extract(text,"+name+")", func(c *schema.Call, a []value) (value, error) { return extract(&c.Style, t, a[0].Text(), a[1]) }),
			call("date_part(text,"+name+")", func(c *schema.Call, a []value) (value, error) {
				v, err := extract(&c.Style, t, a[0].Text(), a[1])
				if err != nil || v.IsNull {
					return v, err
				}
				return types.Cast(v, types.Numeric, types.Float8, nil)
			}))
	}
	return out
}

func zoneNamed(name string) (*time.Location, error) {
	zone, err := types.ZoneOf(name)
	if err != nil {
		return nil, invalidParameter("time zone \"%s\" not recognized", name)
	}
	return zone, nil
}

func truncateInterval(a []value) (value, error) {
	v := a[1]
	months := func(n int32) (value, error) { return value{Months: v.Months / n * n}, nil }
	micros := func(n int64) (value, error) {
		v.Int = v.Int / n * n
		return v, nil
	}
	field := canonicalField(a[0].Text())
	if field != "" && types.IntervalInfinity(v) != 0 {
		return v, nil
	}
	switch field {
	case "microseconds":
		return v, nil
	case "milliseconds":
		return micros(1000)
	case "second":
		return micros(microsPerSecond)
	case "minute":
		return micros(60 * microsPerSecond)
	case "hour":
		return micros(microsPerHour)
	case "day":
		return value{Months: v.Months, Days: v.Days}, nil
	case "month":
		return months(1)
	case "quarter":
		return months(3)
	case "year":
		return months(12)
	case "decade":
		return months(120)
	case "century":
		return months(1200)
	case "millennium":
		return months(12000)
	}
	return value{}, errUnit(a[0].Text(), types.Interval)
}

// dateBin is the beginning of the bin in which a time is; bins have one width.
func dateBin(a []value) (value, error) {
	stride := a[0]
	if types.IntervalInfinity(stride) != 0 {
		return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "timestamps cannot be binned into infinite intervals")
	}
	if stride.Months != 0 {
		return value{}, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "timestamps cannot be binned into intervals containing months or years")
	}
	width := int64(stride.Days)*microsPerDay + stride.Int
	if width <= 0 {
		return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "stride must be greater than zero")
	}
	if types.IsInfinite(types.Timestamp, a[1]) {
		return a[1], nil
	}
	if types.IsInfinite(types.Timestamp, a[2]) {
		return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "origin out of range")
	}
	return number(a[1].Int - modulo(a[1].Int-a[2].Int, width)), nil
}

// decimal is a numeric of micros / 10^places.
func decimal(n int64, places int) (value, error) {
	v, err := types.Cast(number(n), types.Int8, types.Numeric, nil)
	if err != nil || places == 0 {
		return v, err
	}
	divisor := text("1" + strings.Repeat("0", places))
	q, err := types.NumericArithmetic('/', v, divisor)
	return types.NumericRound(q, places), err
}
