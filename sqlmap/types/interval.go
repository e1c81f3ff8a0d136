package types

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"pgcache/pgwire"
)

const (
	microsPerSecond = 1_000_000
	microsPerMinute = 60 * microsPerSecond
	microsPerHour   = 60 * microsPerMinute
	microsPerDay    = 24 * microsPerHour
	daysPerMonth    = 30
)

func errIntervalRange() error {
	return pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "interval out of range")
}

// span gathers the fields of an interval; sums are checked once, at the end.
type span struct{ months, days, micros float64 }

// add adds n units; fractions flow into the next smaller field.
func (s *span) add(n float64, unit string) bool {
	switch unit {
	case "us", "usec", "usecs", "microsecond", "microseconds":
		s.micros += n
	case "ms", "msec", "msecs", "millisecond", "milliseconds":
		s.micros += n * 1000
	case "", "s", "sec", "secs", "second", "seconds":
		s.micros += math.Round(n * microsPerSecond)
	case "m", "min", "mins", "minute", "minutes":
		s.micros += math.Round(n * microsPerMinute)
	case "h", "hr", "hrs", "hour", "hours":
		s.micros += math.Round(n * microsPerHour)
	case "d", "day", "days":
		s.addDays(n)
	case "w", "week", "weeks":
		s.addDays(n * 7)
	case "mon", "mons", "month", "months":
		whole := math.Trunc(n)
		s.months += whole
		if n != whole {
			s.addDays((n - whole) * daysPerMonth)
		}
	case "y", "yr", "yrs", "year", "years":
		s.months += math.Round(n * 12)
	case "dec", "decs", "decade", "decades":
		s.months += math.Round(n * 120)
	case "c", "cent", "century", "centuries":
		s.months += math.Round(n * 1200)
	default:
		return false
	}
	return true
}

func (s *span) addDays(n float64) {
	whole := math.Trunc(n)
	s.days += whole
	s.micros += math.Round((n - whole) * microsPerDay)
}

func (s *span) value(sign float64) (Value, error) {
	months, days, micros := sign*s.months, sign*s.days, sign*s.micros
	if math.Abs(months) > math.MaxInt32 || math.Abs(days) > math.MaxInt32 || math.Abs(micros) >= math.MaxInt64 {
		return Value{}, errIntervalRange()
	}
	return Value{Months: int32(months), Days: int32(days), Int: int64(micros)}, nil
}

func invalidInterval(text []byte) error {
	return pgwire.Errorf(pgwire.CodeInvalidDatetimeFormat, "invalid input syntax for type interval: \"%s\"", clip(text))
}

// Infinite intervals have the extremes in all fields.
func infiniteInterval(sign int) Value {
	if sign > 0 {
		return Value{Months: math.MaxInt32, Days: math.MaxInt32, Int: math.MaxInt64}
	}
	return Value{Months: math.MinInt32, Days: math.MinInt32, Int: math.MinInt64}
}

// IntervalInfinity is 1 for infinity, -1 for -infinity, and 0 for other intervals.
func IntervalInfinity(v Value) int {
	switch {
	case v.Months == math.MaxInt32 && v.Days == math.MaxInt32 && v.Int == math.MaxInt64:
		return 1
	case v.Months == math.MinInt32 && v.Days == math.MinInt32 && v.Int == math.MinInt64:
		return -1
	}
	return 0
}

// parseInterval reads PostgreSQL's verbose form ("1 day 02:03:04", "5 mins ago") and ISO 8601's ("P1DT2H").
func parseInterval(text []byte) (Value, error) {
	const intervalBytesMax = 256
	trimmed := trimSpace(text)
	if len(trimmed) > intervalBytesMax {
		return Value{}, invalidInterval(text)
	}
	s := strings.ToLower(string(trimmed))
	switch s {
	case "infinity", "+infinity":
		return infiniteInterval(1), nil
	case "-infinity":
		return infiniteInterval(-1), nil
	}
	var total span
	if strings.HasPrefix(s, "p") {
		if !total.parseISO(s[1:]) {
			return Value{}, invalidInterval(text)
		}
		return total.value(1)
	}
	sign := 1.0
	if rest, isAgo := strings.CutSuffix(s, " ago"); isAgo {
		s, sign = rest, -1
	}
	s = strings.TrimSpace(strings.TrimPrefix(s, "@"))
	if s == "" {
		return Value{}, invalidInterval(text)
	}
	for s != "" {
		rest, ok := total.parseField(s)
		if !ok {
			return Value{}, invalidInterval(text)
		}
		s = strings.TrimLeft(rest, " \t\n")
	}
	return total.value(sign)
}

// parseField reads one "number unit" or "hh:mm:ss" at the beginning of s.
func (s *span) parseField(text string) (rest string, ok bool) {
	end := numberEnd(text)
	if end == 0 {
		return "", false
	}
	if end < len(text) && text[end] == ':' {
		return s.parseClock(text)
	}
	n, err := strconv.ParseFloat(text[:end], 64)
	if err != nil {
		return "", false
	}
	if rest, ok := s.parseYearMonth(n, text[end:]); ok {
		return rest, true
	}
	text = strings.TrimLeft(text[end:], " \t")
	if end = numberEnd(text); end > 0 && end < len(text) && text[end] == ':' {
		s.addDays(n) // days before a time need no unit
		return text, true
	}
	end = 0
	for end < len(text) && text[end] >= 'a' && text[end] <= 'z' {
		end++
	}
	return text[end:], s.add(n, text[:end]) && (end > 0 || text == "")
}

// parseYearMonth reads the -m of a y-m.
func (s *span) parseYearMonth(years float64, text string) (rest string, ok bool) {
	if len(text) < 2 || text[0] != '-' || !isDigit(text[1]) {
		return "", false
	}
	end := 1
	for end < len(text) && isDigit(text[end]) {
		end++
	}
	months, err := strconv.ParseFloat(text[1:end], 64)
	if err != nil || months > 11 {
		return "", false
	}
	s.add(years, "year")
	s.add(math.Copysign(months, years), "month")
	return text[end:], true
}

func numberEnd(text string) int {
	end := 0
	if end < len(text) && (text[end] == '-' || text[end] == '+') {
		end++
	}
	start := end
	for end < len(text) && (text[end] >= '0' && text[end] <= '9' || text[end] == '.') {
		end++
	}
	if end == start {
		return 0
	}
	return end
}

// parseClock reads [-]hh:mm[:ss[.ffffff]].
func (s *span) parseClock(text string) (rest string, ok bool) {
	end := strings.IndexAny(text, " \t")
	if end < 0 {
		end = len(text)
	}
	clock, rest := text[:end], text[end:]
	sign := 1.0
	if clock[0] == '-' || clock[0] == '+' {
		if clock[0] == '-' {
			sign = -1
		}
		clock = clock[1:]
	}
	parts := strings.Split(clock, ":")
	if len(parts) > 3 {
		return "", false
	}
	for i, unit := range []string{"h", "m", "s"}[:len(parts)] {
		n, err := strconv.ParseFloat(parts[i], 64)
		if err != nil || n < 0 || unit != "h" && n > 60 || numberEnd(parts[i]) != len(parts[i]) {
			return "", false
		}
		s.add(sign*n, unit)
	}
	return rest, true
}

// parseISO reads what follows the P of an ISO 8601 duration.
func (s *span) parseISO(text string) bool {
	isTime, any := false, false
	for text != "" {
		if text[0] == 't' {
			isTime, text = true, text[1:]
			continue
		}
		end := numberEnd(text)
		if end == 0 || end == len(text) {
			return false
		}
		n, err := strconv.ParseFloat(text[:end], 64)
		if err != nil {
			return false
		}
		unit := text[end : end+1]
		switch {
		case unit == "m" && !isTime:
			unit = "mon"
		case strings.Contains("ywd", unit) == isTime:
			return false
		}
		if !s.add(n, unit) {
			return false
		}
		text, any = text[end+1:], true
	}
	return any
}

// appendInterval writes IntervalStyle "postgres".
func appendInterval(dst []byte, v Value) []byte {
	switch IntervalInfinity(v) {
	case 1:
		return append(dst, "infinity"...)
	case -1:
		return append(dst, "-infinity"...)
	}
	start := len(dst)
	isNegative := false // whether the field before was
	field := func(n int64, unit string) {
		if n == 0 {
			return
		}
		if len(dst) > start {
			dst = append(dst, ' ')
		}
		if isNegative && n > 0 {
			dst = append(dst, '+')
		}
		isNegative = n < 0
		dst = append(append(strconv.AppendInt(dst, n, 10), ' '), unit...)
		if n != 1 {
			dst = append(dst, 's')
		}
	}
	field(int64(v.Months/12), "year")
	field(int64(v.Months%12), "mon")
	field(int64(v.Days), "day")
	if v.Int == 0 && len(dst) > start {
		return dst
	}
	if len(dst) > start {
		dst = append(dst, ' ')
	}
	if v.Int < 0 {
		dst = append(dst, '-')
	} else if isNegative {
		dst = append(dst, '+')
	}
	return appendClock(dst, absolute(v.Int))
}

func absolute(i int64) uint64 {
	if i < 0 {
		return -uint64(i)
	}
	return uint64(i)
}

// appendClock writes hh:mm:ss and the fraction, if any.
func appendClock(dst []byte, micros uint64) []byte {
	dst = appendPadded(dst, int(micros/microsPerHour), 2)
	dst = appendPadded(append(dst, ':'), int(micros/microsPerMinute%60), 2)
	dst = appendPadded(append(dst, ':'), int(micros/microsPerSecond%60), 2)
	return appendFraction(dst, int(micros%microsPerSecond))
}

func appendFraction(dst []byte, micros int) []byte {
	if micros == 0 {
		return dst
	}
	dst = appendPadded(append(dst, '.'), micros, 6)
	return bytes.TrimRight(dst, "0")
}

func appendPadded(dst []byte, n, width int) []byte {
	digits := 1
	for limit := 10; digits < width; limit *= 10 {
		if n < limit {
			dst = append(dst, '0')
		}
		digits++
	}
	return strconv.AppendInt(dst, int64(n), 10)
}

// IntervalMicros is the length of an interval for comparisons: a month has 30 days.
func IntervalMicros(v Value) int64 {
	switch IntervalInfinity(v) {
	case 1:
		return math.MaxInt64
	case -1:
		return math.MinInt64
	}
	days := int64(v.Months)*daysPerMonth + int64(v.Days)
	const daysMax = math.MaxInt64 / microsPerDay
	if days >= daysMax {
		return math.MaxInt64
	}
	if days <= -daysMax {
		return math.MinInt64
	}
	sum := days*microsPerDay + v.Int
	switch {
	case v.Int > 0 && days > 0 && sum < 0:
		return math.MaxInt64
	case v.Int < 0 && days < 0 && sum > 0:
		return math.MinInt64
	}
	return sum
}

// IntervalAdd is a + sign·b.
func IntervalAdd(a, b Value, sign int64) (Value, error) {
	infiniteA, infiniteB := IntervalInfinity(a), IntervalInfinity(b)*int(sign)
	switch {
	case infiniteA*infiniteB < 0:
		return Value{}, errIntervalRange()
	case infiniteA+infiniteB != 0:
		return infiniteInterval(infiniteA + infiniteB), nil
	}
	s := span{float64(a.Months) + float64(sign)*float64(b.Months), float64(a.Days) + float64(sign)*float64(b.Days), 0}
	out, err := s.value(1)
	if err != nil {
		return out, err
	}
	out.Int = a.Int + sign*b.Int
	if (b.Int*sign > 0) != (out.Int > a.Int) && b.Int != 0 {
		return Value{}, errIntervalRange()
	}
	return out, nil
}

// IntervalMultiply is v · factor.
func IntervalMultiply(v Value, factor float64) (Value, error) {
	infinite := IntervalInfinity(v)
	switch {
	case math.IsNaN(factor), infinite != 0 && factor == 0:
		return Value{}, errIntervalRange()
	case infinite == 0 && math.IsInf(factor, 0):
		if infinite = int(max(-1, min(1, IntervalMicros(v)))); infinite == 0 {
			return Value{}, errIntervalRange()
		}
		fallthrough
	case infinite != 0:
		if factor < 0 {
			infinite = -infinite
		}
		return infiniteInterval(infinite), nil
	}
	var s span
	s.add(float64(v.Months)*factor, "mon")
	s.addDays(float64(v.Days) * factor)
	s.micros += math.Round(float64(v.Int) * factor)
	return s.value(1)
}
