package library

import (
	"math"
	"strings"
	"time"

	"pgcache/sqlmap/types"
)

// extract is a field of a date or time, as a numeric.
func extract(style *types.Style, t types.OID, field string, v value) (value, error) {
	if t == types.Interval {
		return extractInterval(field, v)
	}
	name := strings.ToLower(strings.TrimSpace(field))
	if t == types.Time || t == types.TimeTZ {
		return extractTime(t, name, v)
	}
	if types.IsInfinite(t, v) {
		return extractInfinite(t, name, v)
	}
	local := v
	switch t {
	case types.TimestampTZ:
		local = types.ToLocal(v, style)
		offset := (local.Int - v.Int) / microsPerSecond
		switch name {
		case "timezone":
			return decimal(offset, 0)
		case "timezone_hour", "timezone_h":
			return decimal(offset/3600, 0)
		case "timezone_minute", "timezone_m":
			return decimal(offset/60%60, 0)
		}
	case types.Date:
		local = types.DateToTimestamp(v, types.Timestamp, nil)
	}
	if name == "epoch" {
		const unixOf2000 = 946_684_800
		if t == types.TimestampTZ {
			local = v
		}
		if t == types.Date {
			return decimal(v.Int*86400+unixOf2000, 0)
		}
		return decimal(local.Int+unixOf2000*microsPerSecond, 6)
	}
	return extractField(t, name, civilOf(local))
}

func extractField(t types.OID, name string, c civil) (value, error) {
	if t != types.Date {
		if v, ok, err := clockField(name, c.micros); ok {
			return v, err
		}
	}
	dayOfWeek := modulo(c.days+6, 7) // Sunday is 0
	isoYear, isoWeek := time.Date(c.year, c.month, c.day, 0, 0, 0, 0, time.UTC).ISOWeek()
	year := int64(c.year)
	if year <= 0 {
		year-- // there is no year 0
	}
	switch name {
	case "dow":
		return decimal(dayOfWeek, 0)
	case "isodow":
		return decimal(modulo(dayOfWeek-1, 7)+1, 0)
	case "doy":
		return decimal(c.days-types.DaysOf(c.year, 1, 1)+1, 0)
	case "isoyear":
		return decimal(int64(isoYear), 0)
	case "julian", "j":
		const julianOf2000 = 2451545
		if t == types.Date {
			return decimal(c.days+julianOf2000, 0)
		}
		fraction, err := decimal(c.micros, 0)
		if err != nil {
			return fraction, err
		}
		part, err := types.NumericArithmetic('/', fraction, text("86400000000"))
		if err != nil {
			return part, err
		}
		day, err := decimal(c.days+julianOf2000, 0)
		if err != nil {
			return day, err
		}
		return types.NumericArithmetic('+', day, part)
	}
	switch canonicalField(name) {
	case "day":
		return decimal(int64(c.day), 0)
	case "month":
		return decimal(int64(c.month), 0)
	case "quarter":
		return decimal(int64(c.month-1)/3+1, 0)
	case "week":
		return decimal(int64(isoWeek), 0)
	case "year":
		return decimal(year, 0)
	case "decade":
		return decimal(int64(math.Floor(float64(c.year)/10)), 0)
	case "century":
		return decimal(era(c.year, 100), 0)
	case "millennium":
		return decimal(era(c.year, 1000), 0)
	}
	return value{}, errUnit(name, t)
}

// era counts centuries or millennia: the first began with the year 1.
func era(year, length int) int64 {
	if year > 0 {
		return int64((year + length - 1) / length)
	}
	return -int64((length - year) / length)
}

// clockField is a field of the time of day.
func clockField(name string, micros int64) (v value, ok bool, err error) {
	switch canonicalField(name) {
	case "microseconds":
		v, err = decimal(micros%(60*microsPerSecond), 0)
	case "milliseconds":
		v, err = decimal(micros%(60*microsPerSecond), 3)
	case "second":
		v, err = decimal(micros%(60*microsPerSecond), 6)
	case "minute":
		v, err = decimal(micros/(60*microsPerSecond)%60, 0)
	case "hour":
		v, err = decimal(micros/microsPerHour, 0)
	default:
		return v, false, nil
	}
	return v, true, err
}

func extractTime(t types.OID, name string, v value) (value, error) {
	if out, ok, err := clockField(name, v.Int); ok {
		return out, err
	}
	switch {
	case name == "epoch":
		return decimal(v.Int+int64(v.Days)*microsPerSecond, 6)
	case name == "timezone" && t == types.TimeTZ:
		return decimal(-int64(v.Days), 0)
	case name == "timezone_hour" && t == types.TimeTZ:
		return decimal(-int64(v.Days)/3600, 0)
	case name == "timezone_minute" && t == types.TimeTZ:
		return decimal(-int64(v.Days)/60%60, 0)
	}
	return value{}, errUnit(name, t)
}

// extractInfinite: what always grows is infinite, what repeats is NULL.
func extractInfinite(t types.OID, name string, v value) (value, error) {
	switch field := canonicalField(name); {
	case name == "epoch", name == "julian", name == "isoyear", field == "year", field == "decade", field == "century", field == "millennium":
		if v.Int > 0 {
			return text("Infinity"), nil
		}
		return text("-Infinity"), nil
	case field != "", name == "dow", name == "isodow", name == "doy":
		return null()
	}
	return value{}, errUnit(name, t)
}

func extractInfiniteInterval(name string, sign int) (value, error) {
	switch field := canonicalField(name); {
	case name == "epoch", field == "hour", field == "day", field == "year", field == "decade", field == "century", field == "millennium":
		if sign > 0 {
			return text("Infinity"), nil
		}
		return text("-Infinity"), nil
	case field != "":
		return null()
	}
	return value{}, errUnit(name, types.Interval)
}

func extractInterval(field string, v value) (value, error) {
	name := strings.ToLower(strings.TrimSpace(field))
	if sign := types.IntervalInfinity(v); sign != 0 {
		return extractInfiniteInterval(name, sign)
	}
	if name == "epoch" {
		// A year has 365.25 days here, a month 30.
		const quarterDays = 4
		years, months := int64(v.Months/12), int64(v.Months%12)
		seconds := (years*1461+(months*30+int64(v.Days))*quarterDays)*(86400/quarterDays)*1 + 0
		whole, err := decimal(seconds, 0)
		if err != nil {
			return whole, err
		}
		rest, err := decimal(v.Int, 6)
		if err != nil {
			return rest, err
		}
		return types.NumericArithmetic('+', whole, rest)
	}
	if out, ok, err := clockField(name, v.Int); ok {
		return out, err
	}
	switch canonicalField(name) {
	case "day":
		return decimal(int64(v.Days), 0)
	case "month":
		return decimal(int64(v.Months%12), 0)
	case "quarter":
		return decimal(int64(v.Months%12/3+1), 0)
	case "year":
		return decimal(int64(v.Months/12), 0)
	case "decade":
		return decimal(int64(v.Months/120), 0)
	case "century":
		return decimal(int64(v.Months/1200), 0)
	case "millennium":
		return decimal(int64(v.Months/12000), 0)
	}
	return value{}, errUnit(field, types.Interval)
}
