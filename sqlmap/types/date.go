package types

import (
	"encoding/binary"
	"math"
	"strings"
	"time"

	"pgcache/pgwire"
)

// A date is a number of days since 2000-01-01; the extremes of int4 are the infinities.
const (
	dateInfinity      = math.MaxInt32
	dateMinusInfinity = math.MinInt32
)

// IsInfinite reports ±infinity of a date or timestamp.
func IsInfinite(oid OID, v Value) bool {
	if oid == Date {
		return v.Int == dateInfinity || v.Int == dateMinusInfinity
	}
	return v.Int == plusInfinity || v.Int == minusInfinity
}

// DateToTimestamp is midnight of a date, in a zone for timestamptz.
func DateToTimestamp(v Value, to OID, style *Style) Value {
	switch v.Int {
	case dateInfinity:
		return OfInt(plusInfinity)
	case dateMinusInfinity:
		return OfInt(minusInfinity)
	}
	local := OfInt(v.Int * microsPerDay)
	if to == TimestampTZ {
		return ToInstant(local, style)
	}
	return local
}

// TimestampToDate is the day of a timestamp without zone.
func TimestampToDate(v Value) Value {
	switch v.Int {
	case plusInfinity:
		return OfInt(dateInfinity)
	case minusInfinity:
		return OfInt(dateMinusInfinity)
	}
	return OfInt(floorDiv64(v.Int, microsPerDay))
}

func floorDiv64(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// TimeOfDay is the clock of a timestamp without zone.
func TimeOfDay(v Value) Value {
	return OfInt(v.Int - floorDiv64(v.Int, microsPerDay)*microsPerDay)
}

// AddDays is a date some days later.
func AddDays(v Value, days int64) (Value, error) {
	if IsInfinite(Date, v) {
		return v, nil
	}
	if days > math.MaxInt32 || days < math.MinInt32 || !dateInRange(v.Int+days) {
		return Value{}, errDateRange()
	}
	return OfInt(v.Int + days), nil
}

func dateInRange(days int64) bool {
	const dateMin, dateMax = -2451545, 2145031949 // 4714-11-24 BC and 5874897-12-31
	return days >= dateMin && days < dateMax
}

func errDateRange() error {
	return pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "date out of range")
}

func parseDate(text []byte, style *Style) (Value, error) {
	const dateBytesMax = 128
	trimmed := trimSpace(text)
	if len(trimmed) == 0 || len(trimmed) > dateBytesMax {
		return Value{}, invalidTime(Date, text)
	}
	if v, ok := timeWord(Timestamp, strings.ToLower(string(trimmed)), style); ok {
		return TimestampToDate(v), nil
	}
	p := timeParser{rest: string(trimmed), loc: style.Zone(), order: style.dateOrder()}
	if !p.date() || !p.clock() || !p.zone() || !p.era() || p.rest != "" {
		return Value{}, invalidTime(Date, text)
	}
	p.loc = time.UTC
	if p.month < 1 || p.month > 12 || p.day < 1 || p.day > daysIn(p.year, p.month) || p.hour > 24 || p.minute > 59 || p.second > 60 {
		return Value{}, timeOutOfRange(text)
	}
	days := DaysOf(p.year, time.Month(p.month), p.day)
	if !dateInRange(days) {
		return Value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "date out of range: \"%s\"", clip(text))
	}
	return OfInt(days), nil
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func appendDate(dst []byte, v Value) []byte {
	switch v.Int {
	case dateInfinity:
		return append(dst, "infinity"...)
	case dateMinusInfinity:
		return append(dst, "-infinity"...)
	}
	year, month, day := CivilDate(v.Int)
	isBC := year <= 0
	if isBC {
		year = 1 - year
	}
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), int(month), 2)
	dst = appendPadded(append(dst, '-'), day, 2)
	if isBC {
		dst = append(dst, " BC"...)
	}
	return dst
}

// CivilDate are year, month and day of a number of days since 2000-01-01; years before
// Christ are 0 and below.
func CivilDate(days int64) (year int, month time.Month, day int) {
	return time.Unix(days*86400+epochUnixMicros/microsPerSecond, 0).UTC().Date()
}

// DaysOf is the date of year, month and day.
func DaysOf(year int, month time.Month, day int) int64 {
	t := time.Date(year, month, day, 0, 0, 0, 0, time.UTC)
	return floorDiv64(t.Unix()-epochUnixMicros/microsPerSecond, 86400)
}

// parseClockTime reads a time, or the time of a timestamp.
func parseClockTime(oid OID, text []byte, style *Style) (Value, error) {
	const timeBytesMax = 128
	trimmed := trimSpace(text)
	if len(trimmed) == 0 || len(trimmed) > timeBytesMax {
		return Value{}, invalidTime(oid, text)
	}
	s := string(trimmed)
	if strings.EqualFold(s, "now") {
		now, _ := timeWord(TimestampTZ, "now", style)
		return TimeFromTimestamp(oid, now, style), nil
	}
	if strings.EqualFold(s, "allballs") {
		return Value{}, nil
	}
	p := timeParser{rest: s, loc: style.Zone(), order: style.dateOrder()}
	if !p.clockOnly() {
		p = timeParser{rest: s, loc: style.Zone(), order: style.dateOrder()}
		if !p.date() || !p.clock() || !p.hasClock {
			return Value{}, invalidTime(oid, text)
		}
	}
	if !p.zone() || p.rest != "" {
		return Value{}, invalidTime(oid, text)
	}
	micros := int64(p.hour*3600+p.minute*60+p.second)*microsPerSecond + int64(p.fraction)
	if p.minute > 59 || p.second > 60 || micros > microsPerDay {
		return Value{}, timeOutOfRange(text)
	}
	v := OfInt(micros)
	if oid == TimeTZ {
		_, east := style.now().In(p.loc).Zone()
		v.Days = int32(-east)
	}
	return v, nil
}

// TimeFromTimestamp is the time of day of an instant, in the session's zone.
func TimeFromTimestamp(oid OID, v Value, style *Style) Value {
	out := TimeOfDay(ToLocal(v, style))
	if oid == TimeTZ {
		_, east := timeOf(v.Int, style.Zone()).Zone()
		out.Days = int32(-east)
	}
	return out
}

func appendTimeTZ(dst []byte, v Value) []byte {
	return appendOffset(appendClock(dst, uint64(v.Int)), -int(v.Days))
}

func parseBinaryTimeTZ(data []byte) (Value, error) {
	if len(data) != 12 {
		return Value{}, wrongLength(TimeTZ)
	}
	v := Value{Int: int64(binary.BigEndian.Uint64(data)), Days: int32(binary.BigEndian.Uint32(data[8:]))}
	if v.Int < 0 || v.Int > microsPerDay {
		return Value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "time out of range")
	}
	const zoneSecondsMax = 16 * 3600
	if v.Days <= -zoneSecondsMax || v.Days >= zoneSecondsMax {
		return Value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "time zone displacement out of range")
	}
	return v, nil
}

func parseBinaryDate(data []byte) (Value, error) {
	if len(data) != 4 {
		return Value{}, wrongLength(Date)
	}
	v := OfInt(int64(int32(binary.BigEndian.Uint32(data))))
	if !IsInfinite(Date, v) && !dateInRange(v.Int) {
		return Value{}, errDateRange()
	}
	return v, nil
}

func parseBinaryTime(data []byte) (Value, error) {
	if len(data) != 8 {
		return Value{}, wrongLength(Time)
	}
	v := OfInt(int64(binary.BigEndian.Uint64(data)))
	if v.Int < 0 || v.Int > microsPerDay {
		return Value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "time out of range")
	}
	return v, nil
}
