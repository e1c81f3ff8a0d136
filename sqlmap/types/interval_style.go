package types

import "strconv"

// IntervalStyle is how intervals are shown, the parameter of this name.
type IntervalStyle uint8

const (
	IntervalPostgres IntervalStyle = iota
	IntervalPostgresVerbose
	IntervalSQLStandard
	IntervalISO8601
)

// intervalFields are the parts of an interval as PostgreSQL shows them; each has its sign.
type intervalFields struct{ year, month, day, hour, minute, micros int64 }

func fieldsOf(v Value) intervalFields {
	return intervalFields{
		year: int64(v.Months / 12), month: int64(v.Months % 12), day: int64(v.Days),
		hour: v.Int / microsPerHour, minute: v.Int / microsPerMinute % 60, micros: v.Int % microsPerMinute,
	}
}

func (f *intervalFields) list() []int64 {
	return []int64{f.year, f.month, f.day, f.hour, f.minute, f.micros}
}

func appendIntervalStyled(dst []byte, v Value, style IntervalStyle) []byte {
	f := fieldsOf(v)
	if IntervalInfinity(v) != 0 {
		style = IntervalPostgres // all styles write it the same
	}
	switch style {
	case IntervalPostgresVerbose:
		return f.appendVerbose(dst)
	case IntervalSQLStandard:
		return f.appendSQL(dst)
	case IntervalISO8601:
		return f.appendISO(dst)
	}
	return appendInterval(dst, v)
}

// appendSeconds writes the seconds of a minute without their sign.
func appendSeconds(dst []byte, micros int64, width int) []byte {
	m := absolute(micros)
	return appendFraction(appendPadded(dst, int(m/microsPerSecond), width), int(m%microsPerSecond))
}

func (f *intervalFields) appendISO(dst []byte) []byte {
	part := func(n int64, unit byte) {
		if n != 0 {
			dst = append(strconv.AppendInt(dst, n, 10), unit)
		}
	}
	if *f == (intervalFields{}) {
		return append(dst, "PT0S"...)
	}
	dst = append(dst, 'P')
	part(f.year, 'Y')
	part(f.month, 'M')
	part(f.day, 'D')
	if f.hour != 0 || f.minute != 0 || f.micros != 0 {
		dst = append(dst, 'T')
	}
	part(f.hour, 'H')
	part(f.minute, 'M')
	if f.micros != 0 {
		if f.micros < 0 {
			dst = append(dst, '-')
		}
		dst = append(appendSeconds(dst, f.micros, 1), 'S')
	}
	return dst
}

// appendVerbose writes the first field without its sign and the others relative to it.
func (f *intervalFields) appendVerbose(dst []byte) []byte {
	dst = append(dst, '@')
	isFirst, isBefore := true, false
	sign := func(n int64) int64 { // the field's as it is shown
		if isFirst {
			isFirst, isBefore = false, n < 0
		}
		if isBefore {
			return -n
		}
		return n
	}
	for i, unit := range []string{"year", "mon", "day", "hour", "min"} {
		n := f.list()[i]
		if n == 0 {
			continue
		}
		n = sign(n)
		dst = append(append(strconv.AppendInt(append(dst, ' '), n, 10), ' '), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
	}
	if f.micros != 0 {
		dst = append(dst, ' ')
		if sign(f.micros) < 0 {
			dst = append(dst, '-')
		}
		dst = append(appendSeconds(dst, f.micros, 1), " sec"...)
		if absolute(f.micros) != microsPerSecond {
			dst = append(dst, 's')
		}
	}
	if isFirst {
		dst = append(dst, " 0"...)
	}
	if isBefore {
		dst = append(dst, " ago"...)
	}
	return dst
}

// appendSQL writes what the SQL standard knows, and else all parts with their signs.
func (f *intervalFields) appendSQL(dst []byte) []byte {
	hasNegative, hasPositive := false, false
	for _, n := range f.list() {
		hasNegative, hasPositive = hasNegative || n < 0, hasPositive || n > 0
	}
	hasMonths := f.year != 0 || f.month != 0
	hasTime := f.day != 0 || f.hour != 0 || f.minute != 0 || f.micros != 0
	number := func(n int64) { dst = strconv.AppendUint(dst, absolute(n), 10) }
	signed := func(negative bool) {
		if negative {
			dst = append(dst, '-')
		} else {
			dst = append(dst, '+')
		}
	}
	clock := func() {
		number(f.hour)
		dst = appendPadded(append(dst, ':'), int(absolute(f.minute)), 2)
		dst = appendSeconds(append(dst, ':'), f.micros, 2)
	}
	switch {
	case !hasNegative && !hasPositive:
		return append(dst, '0')
	case hasNegative && hasPositive || hasMonths && hasTime:
		signed(f.year < 0 || f.month < 0)
		number(f.year)
		dst = append(dst, '-')
		number(f.month)
		dst = append(dst, ' ')
		signed(f.day < 0)
		number(f.day)
		dst = append(dst, ' ')
		signed(f.hour < 0 || f.minute < 0 || f.micros < 0)
		clock()
		return dst
	case hasNegative:
		dst = append(dst, '-')
	}
	switch {
	case hasMonths:
		number(f.year)
		dst = append(dst, '-')
		number(f.month)
	case f.day != 0:
		number(f.day)
		dst = append(dst, ' ')
		clock()
	default:
		clock()
	}
	return dst
}
