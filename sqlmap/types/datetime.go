package types

import (
	"math"
	"strconv"
	"strings"
	"time"
	_ "time/tzdata" // so that TimeZone works on a machine without the database

	"pgcache/pgwire"
)

// Timestamps are microseconds since 2000-01-01 00:00 UTC.
const (
	epochUnixMicros = 946_684_800 * microsPerSecond
	plusInfinity    = math.MaxInt64
	minusInfinity   = math.MinInt64

	yearMax = 294276
	yearMin = -4713
)

// OfTime makes a timestamp.
func OfTime(t time.Time) Value {
	return OfInt(t.Unix()*microsPerSecond + int64(t.Nanosecond()/1000) - epochUnixMicros)
}

// OfUnixMilli makes a timestamp from Unix milliseconds; too late ones are infinity.
func OfUnixMilli(ms int64) Value {
	if ms > (math.MaxInt64-epochUnixMicros)/1000-1 {
		return OfInt(plusInfinity)
	}
	return OfInt(ms*1000 - epochUnixMicros)
}

// Time is the instant of a timestamp; infinite reports infinity (1) and -infinity (-1).
func (v Value) Time() (t time.Time, infinite int) {
	switch v.Int {
	case plusInfinity:
		return time.Time{}, 1
	case minusInfinity:
		return time.Time{}, -1
	}
	return timeOf(v.Int, time.UTC), 0
}

func timeOf(micros int64, loc *time.Location) time.Time {
	seconds := micros / microsPerSecond
	rest := micros % microsPerSecond
	return time.Unix(seconds+epochUnixMicros/microsPerSecond, rest*1000).In(loc)
}

// appendTimestamp writes DateStyle ISO; a nil loc leaves the zone out.
func appendTimestamp(dst []byte, micros int64, loc *time.Location) []byte {
	switch micros {
	case plusInfinity:
		return append(dst, "infinity"...)
	case minusInfinity:
		return append(dst, "-infinity"...)
	}
	t := timeOf(micros, time.UTC)
	if loc != nil {
		t = t.In(loc)
	}
	year, isBC := t.Year(), t.Year() <= 0
	if isBC {
		year = 1 - year
	}
	dst = appendPadded(dst, year, 4)
	dst = appendPadded(append(dst, '-'), int(t.Month()), 2)
	dst = appendPadded(append(dst, '-'), t.Day(), 2)
	dst = append(dst, ' ')
	clock := (t.Hour()*3600+t.Minute()*60+t.Second())*microsPerSecond + t.Nanosecond()/1000
	dst = appendClock(dst, uint64(clock))
	if loc != nil {
		_, offset := t.Zone()
		dst = appendOffset(dst, offset)
	}
	if isBC {
		dst = append(dst, " BC"...)
	}
	return dst
}

func appendOffset(dst []byte, seconds int) []byte {
	sign := byte('+')
	if seconds < 0 {
		sign, seconds = '-', -seconds
	}
	dst = appendPadded(append(dst, sign), seconds/3600, 2)
	if seconds%3600 != 0 {
		dst = appendPadded(append(dst, ':'), seconds/60%60, 2)
	}
	if seconds%60 != 0 {
		dst = appendPadded(append(dst, ':'), seconds%60, 2)
	}
	return dst
}

func invalidTime(oid OID, text []byte) error {
	return pgwire.Errorf(pgwire.CodeInvalidDatetimeFormat, "invalid input syntax for type %s: \"%s\"", oid, clip(text))
}

func timeOutOfRange(text []byte) error {
	return pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "date/time field value out of range: \"%s\"", clip(text))
}

// parseTimestamp reads ISO dates and times and PostgreSQL's words for some of them.
func parseTimestamp(oid OID, text []byte, style *Style) (Value, error) {
	const timestampBytesMax = 128
	trimmed := trimSpace(text)
	if len(trimmed) == 0 || len(trimmed) > timestampBytesMax {
		return Value{}, invalidTime(oid, text)
	}
	s := string(trimmed)
	if v, ok := timeWord(oid, strings.ToLower(s), style); ok {
		return v, nil
	}
	p := timeParser{rest: s, loc: style.Zone(), order: style.dateOrder()}
	if !p.date() || !p.clock() || !p.zone() || !p.era() || p.rest != "" {
		if p.badZone != "" {
			return Value{}, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "time zone \"%s\" not recognized", p.badZone)
		}
		return Value{}, invalidTime(oid, text)
	}
	if oid == Timestamp {
		p.loc = time.UTC // as in PostgreSQL, a zone is read and ignored
	}
	micros, ok := p.micros()
	if !ok {
		return Value{}, timeOutOfRange(text)
	}
	return OfInt(micros), nil
}

func timeWord(oid OID, word string, style *Style) (Value, bool) {
	var now time.Time
	if style != nil {
		now = style.Now
	}
	local := now.In(style.Zone())
	midnight := func(days int) (Value, bool) {
		t := time.Date(local.Year(), local.Month(), local.Day()+days, 0, 0, 0, 0, local.Location())
		return wallValue(oid, t), true
	}
	switch word {
	case "infinity":
		return OfInt(plusInfinity), true
	case "-infinity":
		return OfInt(minusInfinity), true
	case "epoch":
		return OfInt(-epochUnixMicros), true
	case "now":
		return wallValue(oid, local), true
	case "today":
		return midnight(0)
	case "tomorrow":
		return midnight(1)
	case "yesterday":
		return midnight(-1)
	}
	return Value{}, false
}

// wallValue is an instant, or for timestamp what a clock on the wall shows then.
func wallValue(oid OID, t time.Time) Value {
	if oid == Timestamp {
		_, offset := t.Zone()
		return OfInt(OfTime(t).Int + int64(offset)*microsPerSecond)
	}
	return OfTime(t)
}

// timeParser reads a date and a time from the beginning of rest.
type timeParser struct {
	rest                                                string
	year, month, day, hour, minute, second, fraction, _ int
	loc                                                 *time.Location
	order                                               DateOrder
	badZone                                             string
	hasClock, hasMeridiem                               bool
}

// number reads up to width digits.
func (p *timeParser) number(width int) (n, digits int) {
	for digits < len(p.rest) && digits < width && p.rest[digits] >= '0' && p.rest[digits] <= '9' {
		n = n*10 + int(p.rest[digits]-'0')
		digits++
	}
	p.rest = p.rest[digits:]
	return n, digits
}

func (p *timeParser) take(c byte) bool {
	if p.rest != "" && p.rest[0] == c {
		p.rest = p.rest[1:]
		return true
	}
	return false
}

func (p *timeParser) spaces() { p.rest = strings.TrimLeft(p.rest, " \t") }

// yearDigitsMax is how many digits the last year of a date has.
const yearDigitsMax = 7

// date reads 2026-01-31, 20260131, 1/31/2026, Jan 31, 2026 or 31 Jan 2026.
func (p *timeParser) date() bool {
	if p.rest != "" && !isDigit(p.rest[0]) {
		return p.monthName() && p.dayAndYear()
	}
	var ok [3]int
	p.year, ok[0] = p.number(yearDigitsMax)
	if ok[0] == yearDigitsMax && !strings.HasPrefix(p.rest, "-") { // the 7 digits yyyymmd, and one more
		last, digits := p.number(1)
		p.day, p.month, p.year = p.year%10*10+last, p.year/10%100, p.year/1000
		return digits == 1
	}
	if ok[0] > 0 && ok[0] < 3 {
		return p.shortDate()
	}
	if ok[0] < 3 || !p.take('-') && !p.take('/') {
		return false
	}
	if p.rest != "" && !isDigit(p.rest[0]) {
		if !p.monthName() {
			return false
		}
	} else if p.month, ok[1] = p.number(2); ok[1] == 0 {
		return false
	}
	if !p.take('-') && !p.take('/') {
		return false
	}
	p.day, ok[2] = p.number(2)
	return ok[2] > 0
}

// shortDate reads a date that begins with one or two digits; of what, DateStyle says.
func (p *timeParser) shortDate() bool {
	first, second, digits := p.year, 0, 0
	separator := byte(' ')
	for _, c := range []byte("/-.") {
		if p.take(c) {
			separator = c
		}
	}
	p.spaces()
	isNamed := p.rest != "" && !isDigit(p.rest[0])
	if isNamed {
		if p.day = first; p.order == OrderYMD || !p.monthName() {
			return false
		}
	} else if separator == ' ' {
		return false
	} else if second, digits = p.number(2); digits == 0 {
		return false
	}
	p.take(separator)
	p.spaces()
	switch {
	case isNamed:
	case p.order == OrderYMD:
		p.year, p.month = inCentury(first), second
		p.day, digits = p.number(2)
		return digits > 0
	case p.order == OrderDMY:
		p.day, p.month = first, second
	default:
		p.month, p.day = first, second
	}
	return p.yearNumber()
}

// dayAndYear reads what follows the name of a month.
func (p *timeParser) dayAndYear() bool {
	digits := 0
	p.spaces()
	p.take('-')
	if p.day, digits = p.number(2); digits == 0 {
		return false
	}
	if !p.take(',') {
		p.take('-')
	}
	p.spaces()
	return p.yearNumber()
}

// yearNumber reads a year.
func (p *timeParser) yearNumber() bool {
	digits := 0
	p.year, digits = p.number(yearDigitsMax)
	if digits == 1 || digits == 2 {
		p.year = inCentury(p.year)
	}
	return digits > 0
}

// inCentury is the year that one or two digits mean; those from 70 are in the last century.
func inCentury(year int) int {
	if year >= 70 {
		return year + 1900
	}
	return year + 2000
}

// monthName reads the English name of a month or its first three letters.
func (p *timeParser) monthName() bool {
	end := 0
	for end < len(p.rest) && (p.rest[end]|0x20 >= 'a' && p.rest[end]|0x20 <= 'z') {
		end++
	}
	word := strings.ToLower(p.rest[:end])
	for m := time.January; m <= time.December; m++ {
		name := strings.ToLower(m.String())
		if word == name || word == name[:3] || word == "sept" && m == time.September {
			p.month, p.rest = int(m), p.rest[end:]
			return true
		}
	}
	return false
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (p *timeParser) clock() bool {
	if p.rest == "" {
		return true
	}
	if !p.take('T') && !p.take('t') {
		before := len(p.rest)
		if p.spaces(); len(p.rest) == before {
			return true // perhaps a zone follows at once
		}
	}
	if p.rest == "" || !isDigit(p.rest[0]) {
		return true
	}
	return p.clockOnly()
}

// clockOnly reads hh:mm[:ss[.ffffff]] [am|pm].
func (p *timeParser) clockOnly() bool {
	p.hasClock = true
	var digits int
	if p.hour, digits = p.number(2); digits == 0 {
		return false
	}
	if len(p.rest) >= 4 && isDigit(p.rest[0]) { // hhmmss
		p.minute, _ = p.number(2)
		p.second, digits = p.number(2)
		return digits == 2
	}
	if !p.take(':') {
		return p.meridiem() && p.hasMeridiem
	}
	if p.minute, digits = p.number(2); digits != 2 {
		return false
	}
	if !p.take(':') {
		return p.meridiem()
	}
	if p.second, digits = p.number(2); digits == 0 {
		return false
	}
	if p.take('.') {
		text := p.rest
		_, digits = p.number(len(p.rest))
		f, err := strconv.ParseFloat("0."+text[:digits]+"0", 64)
		p.fraction = int(math.Round(f * microsPerSecond))
		if err != nil {
			return false
		}
	}
	return p.meridiem()
}

// meridiem reads an optional am or pm.
func (p *timeParser) meridiem() bool {
	rest := strings.TrimLeft(p.rest, " ")
	if len(rest) < 2 || rest[1]|0x20 != 'm' || rest[0]|0x20 != 'a' && rest[0]|0x20 != 'p' {
		return true
	}
	if len(rest) > 2 && rest[2] != ' ' && rest[2] != '+' && rest[2] != '-' {
		return true // the name of a zone
	}
	if p.hour < 1 || p.hour > 12 {
		return false
	}
	p.hasMeridiem = true
	p.hour %= 12
	if rest[0]|0x20 == 'p' {
		p.hour += 12
	}
	p.rest = rest[2:]
	return true
}

// zone reads an optional offset or zone name.
func (p *timeParser) zone() bool {
	p.spaces()
	if p.rest == "" || strings.EqualFold(p.rest, "BC") || strings.EqualFold(p.rest, "AD") {
		return true
	}
	if p.rest[0] == '+' || p.rest[0] == '-' {
		return p.offset()
	}
	name, _, _ := strings.Cut(p.rest, " ")
	p.rest = p.rest[len(name):]
	loc, err := ZoneOf(name)
	if err != nil {
		p.badZone = name
		return false
	}
	p.loc = loc
	return true
}

func (p *timeParser) offset() bool {
	sign := 1
	if p.rest[0] == '-' {
		sign = -1
	}
	p.rest = p.rest[1:]
	hours, digits := p.number(2)
	if digits == 0 {
		return false
	}
	seconds := hours * 3600
	for _, unit := range []int{60, 1} {
		if !p.take(':') && (p.rest == "" || p.rest[0] < '0' || p.rest[0] > '9') {
			break
		}
		n, digits := p.number(2)
		if digits != 2 || n > 59 {
			return false
		}
		seconds += n * unit
	}
	p.loc = time.FixedZone("", sign*seconds)
	return hours < 16
}

func (p *timeParser) era() bool {
	p.spaces()
	switch {
	case strings.EqualFold(p.rest, "BC"):
		p.year = 1 - p.year
		p.rest = ""
	case strings.EqualFold(p.rest, "AD"):
		p.rest = ""
	}
	return true
}

func (p *timeParser) micros() (int64, bool) {
	if p.month < 1 || p.month > 12 || p.day < 1 || p.hour > 24 || p.minute > 59 || p.second > 60 ||
		p.hour == 24 && p.minute+p.second+p.fraction > 0 || p.year < yearMin || p.year > yearMax {
		return 0, false
	}
	if p.day > time.Date(p.year, time.Month(p.month)+1, 0, 0, 0, 0, 0, time.UTC).Day() {
		return 0, false
	}
	t := time.Date(p.year, time.Month(p.month), p.day, p.hour, p.minute, p.second, 0, p.loc)
	return OfTime(t).Int + int64(p.fraction), true
}

// AddInterval is t + sign·v: months and days by the calendar of loc, the rest by the clock.
func AddInterval(t, v Value, sign int, loc *time.Location) (Value, error) {
	if infinite := IntervalInfinity(v) * sign; infinite != 0 {
		if t.Int == plusInfinity && infinite < 0 || t.Int == minusInfinity && infinite > 0 {
			return Value{}, errTimestampRange()
		}
		if t = OfInt(plusInfinity); infinite < 0 {
			t = OfInt(minusInfinity)
		}
		return t, nil
	}
	if t.Int == plusInfinity || t.Int == minusInfinity {
		return t, nil
	}
	out := t.Int
	if v.Months != 0 || v.Days != 0 {
		at := timeOf(out, loc)
		year, month, day := at.Date()
		months := year*12 + int(month) - 1 + sign*int(v.Months)
		year, month = floorDiv(months, 12), time.Month(months-floorDiv(months, 12)*12+1)
		if year > yearMax || year < yearMin {
			return Value{}, errTimestampRange()
		}
		day = min(day, time.Date(year, month+1, 0, 0, 0, 0, 0, time.UTC).Day())
		moved := time.Date(year, month, day+sign*int(v.Days), at.Hour(), at.Minute(), at.Second(), at.Nanosecond(), loc)
		if moved.Year() > yearMax || moved.Year() < yearMin {
			return Value{}, errTimestampRange()
		}
		out = OfTime(moved).Int
	}
	sum := out + int64(sign)*v.Int
	if v.Int != 0 && (int64(sign)*v.Int > 0) != (sum > out) {
		return Value{}, errTimestampRange()
	}
	if year := timeOf(sum, time.UTC).Year(); year > yearMax || year < yearMin {
		return Value{}, errTimestampRange()
	}
	return OfInt(sum), nil
}

func floorDiv(a, b int) int {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

func errTimestampRange() error {
	return pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "timestamp out of range")
}

// SubTimestamps is a - b in days and time.
func SubTimestamps(a, b Value) (Value, error) {
	_, infiniteA := a.Time()
	_, infiniteB := b.Time()
	switch {
	case infiniteA != 0 && infiniteA == infiniteB:
		return Value{}, errIntervalRange()
	case infiniteA != 0:
		return infiniteInterval(infiniteA), nil
	case infiniteB != 0:
		return infiniteInterval(-infiniteB), nil
	}
	d := a.Int - b.Int
	return Value{Days: int32(d / microsPerDay), Int: d % microsPerDay}, nil
}

// EpochSeconds is the Unix time of a timestamp, or the length of an interval, in seconds.
func EpochSeconds(oid OID, v Value) float64 {
	if oid == Interval {
		if infinite := IntervalInfinity(v); infinite != 0 {
			return math.Inf(infinite)
		}
		const secondsPerYear = 365.25 * 24 * 3600
		years, months := v.Months/12, v.Months%12
		return float64(years)*secondsPerYear + (float64(months)*daysPerMonth+float64(v.Days))*86400 + float64(v.Int)/microsPerSecond
	}
	switch v.Int {
	case plusInfinity:
		return math.Inf(1)
	case minusInfinity:
		return math.Inf(-1)
	}
	return float64(v.Int)/microsPerSecond + epochUnixMicros/microsPerSecond
}

// FromEpochSeconds is the timestamp of a Unix time.
func FromEpochSeconds(seconds float64) (Value, error) {
	switch {
	case math.IsInf(seconds, 1):
		return OfInt(plusInfinity), nil
	case math.IsInf(seconds, -1):
		return OfInt(minusInfinity), nil
	}
	const secondsMax = 9.2e12 // year 294 000
	if math.IsNaN(seconds) || math.Abs(seconds) > secondsMax {
		return Value{}, errTimestampRange()
	}
	return OfInt(int64(math.Round(seconds*microsPerSecond)) - epochUnixMicros), nil
}

// ToLocal and ToInstant convert between timestamptz and timestamp in a zone.
func ToLocal(v Value, style *Style) Value {
	if _, infinite := v.Time(); infinite != 0 {
		return v
	}
	return wallValue(Timestamp, timeOf(v.Int, style.Zone()))
}

func ToInstant(v Value, style *Style) Value {
	t, infinite := v.Time()
	if infinite != 0 {
		return v
	}
	return OfTime(time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), style.Zone()))
}
