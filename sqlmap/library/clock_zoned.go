package library

import (
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// zonedClocks are the operators of times of day with a zone, and of times in a given one.
func zonedClocks() []implementation {
	inZone := func(sign int) func(a []value) (value, error) {
		return func(a []value) (value, error) {
			zone, err := zoneNamed(a[2].Text())
			if err != nil {
				return value{}, err
			}
			return types.AddInterval(a[0], a[1], sign, zone)
		}
	}
	shift := func(clock, by value, sign int64) (value, error) {
		v, err := shiftClock(clock, by, sign)
		v.Days = clock.Days
		return v, err
	}
	instant := func(date, clock value) value {
		return number(types.DateToTimestamp(date, types.Timestamp, nil).Int + clock.Int + int64(clock.Days)*microsPerSecond)
	}
	moved := func(clock value, west int64) value {
		v := clockModulo(clock, (int64(clock.Days)-west)*microsPerSecond)
		v.Days = int32(west)
		return v
	}
	return []implementation{
		pure("date_add(timestamptz,interval,text)", inZone(1)), pure("date_subtract(timestamptz,interval,text)", inZone(-1)),
		pure("timetz_pl_interval(timetz,interval)", func(a []value) (value, error) { return shift(a[0], a[1], 1) }),
		pure("timetz_mi_interval(timetz,interval)", func(a []value) (value, error) { return shift(a[0], a[1], -1) }),
		pure("interval_pl_timetz(interval,timetz)", func(a []value) (value, error) { return shift(a[1], a[0], 1) }),
		pure("datetimetz_pl(date,timetz)", func(a []value) (value, error) { return instant(a[0], a[1]), nil }),
		pure("timestamptz(date,timetz)", func(a []value) (value, error) { return instant(a[0], a[1]), nil }),
		pure("timetzdate_pl(timetz,date)", func(a []value) (value, error) { return instant(a[1], a[0]), nil }),
		call("timestamptz(date,time)", func(c *schema.Call, a []value) (value, error) {
			return types.ToInstant(number(types.DateToTimestamp(a[0], types.Timestamp, nil).Int+a[1].Int), &c.Style), nil
		}),
		pure("timezone(interval,timetz)", func(a []value) (value, error) {
			if a[0].Months != 0 || a[0].Days != 0 {
				return value{}, invalidParameter("interval time zone \"%s\" must not include months or days", types.AppendText(nil, types.Interval, a[0], nil))
			}
			return moved(a[1], -a[0].Int/microsPerSecond), nil
		}),
		call("timezone(text,timetz)", func(c *schema.Call, a []value) (value, error) {
			zone, err := zoneNamed(a[0].Text())
			if err != nil {
				return value{}, err
			}
			_, east := c.Style.Now.In(zone).Zone()
			return moved(a[1], int64(-east)), nil
		}),
		call("timezone(timetz)", func(c *schema.Call, a []value) (value, error) {
			_, east := c.Style.Now.In(c.Style.Zone()).Zone()
			return moved(a[0], int64(-east)), nil
		}),
	}
}
