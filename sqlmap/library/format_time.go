package library

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// timeFormats are to_char and what reads by a format.
func timeFormats() []implementation {
	out := []implementation{
		call("to_char(timestamptz,text)", func(c *schema.Call, a []value) (value, error) {
			zone := c.Style.Zone()
			t, infinite := a[0].Time()
			if infinite != 0 {
				return null()
			}
			name, offset := t.In(zone).Zone()
			return formatTime(a[1].Text(), timeFields(types.ToLocal(a[0], &c.Style)), name, offset)
		}),
		pure("to_char(timestamp,text)", func(a []value) (value, error) {
			if types.IsInfinite(types.Timestamp, a[0]) {
				return null()
			}
			return formatTime(a[1].Text(), timeFields(a[0]), "", 0)
		}),
		pure("to_char(interval,text)", func(a []value) (value, error) { return formatTime(a[1].Text(), intervalFields(a[0]), "", 0) }),
		call("to_timestamp(text,text)", func(c *schema.Call, a []value) (value, error) {
			local, offset, err := scanTime(a[0].Text(), a[1].Text())
			if err != nil {
				return value{}, err
			}
			if offset != nil {
				return number(local.Int - int64(*offset)*microsPerSecond), nil
			}
			return types.ToInstant(local, &c.Style), nil
		}),
		pure("to_date(text,text)", func(a []value) (value, error) {
			local, _, err := scanTime(a[0].Text(), a[1].Text())
			return types.TimestampToDate(local), err
		}),
		pure("to_number(text,text)", func(a []value) (value, error) { return toNumber(a[0].Text()) }),
	}
	return append(out, numberFormats()...)
}

// broken are the fields that a format may show.
type broken struct {
	year                         int
	month, day                   int
	hour, minute, second, micros int64
	days                         int64 // since 2000-01-01
	isInterval                   bool
}

func timeFields(v value) broken {
	c := civilOf(v)
	return broken{year: c.year, month: int(c.month), day: c.day, days: c.days, hour: c.micros / microsPerHour,
		minute: c.micros / (60 * microsPerSecond) % 60, second: c.micros / microsPerSecond % 60, micros: c.micros % microsPerSecond}
}

func intervalFields(v value) broken {
	return broken{year: int(v.Months / 12), month: int(v.Months % 12), day: int(v.Days), hour: v.Int / microsPerHour,
		minute: v.Int / (60 * microsPerSecond) % 60, second: v.Int / microsPerSecond % 60, micros: v.Int % microsPerSecond, isInterval: true}
}

// timePatterns are the words of a format, those that begin with another one first.
var timePatterns = []string{
	"HH24", "HH12", "HH", "MI", "SSSSS", "SSSS", "SS", "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6",
	"A.M.", "P.M.", "a.m.", "p.m.", "AM", "PM", "am", "pm", "Y,YYY", "YYYY", "YYY", "YY", "Y", "IYYY", "IYY", "IY", "IW", "IDDD", "ID", "I",
	"B.C.", "A.D.", "b.c.", "a.d.", "BC", "AD", "bc", "ad", "MONTH", "Month", "month", "MON", "Mon", "mon", "MM",
	"DAY", "Day", "day", "DY", "Dy", "dy", "DDD", "DD", "D", "WW", "W", "CC", "J", "Q", "RM", "rm", "TZH", "TZM", "tzh", "tzm", "TZ", "tz", "OF", "FX",
}

// nextPattern is the word at the beginning of a format: in capitals, in small letters, or as
// the list has it.
func nextPattern(format string) string {
	for _, p := range timePatterns {
		if strings.HasPrefix(format, p) {
			return p
		}
	}
	for _, p := range timePatterns {
		if strings.HasPrefix(format, strings.ToLower(p)) && p == strings.ToUpper(p) {
			return p
		}
	}
	return ""
}

// fieldStyle is what the prefix of a word says.
type fieldStyle struct {
	fills   bool // false: FM
	isPlain bool // TM: names as the locale has them, not padded
}

// timePrefix takes FM or TM from the beginning of a format.
func timePrefix(format string) (fieldStyle, string) {
	switch {
	case strings.HasPrefix(format, "FM"), strings.HasPrefix(format, "fm"):
		return fieldStyle{}, format[2:]
	case strings.HasPrefix(format, "TM"), strings.HasPrefix(format, "tm"):
		return fieldStyle{fills: true, isPlain: true}, format[2:]
	}
	return fieldStyle{fills: true}, format
}

// timeSuffix takes TH, th or SP, which does nothing, from the beginning of what follows a word.
func timeSuffix(format string) (suffix, rest string) {
	for _, s := range []string{"TH", "th", "SP"} {
		if strings.HasPrefix(format, s) {
			return s, format[len(s):]
		}
	}
	return "", format
}

func formatTime(format string, f broken, zone string, offset int) (value, error) {
	var out strings.Builder
	for format != "" && out.Len() <= resultBytesMax {
		style, rest := timePrefix(format)
		p := nextPattern(rest)
		if p == "" {
			if format = rest; rest != "" {
				var literal string
				literal, format = literalOf(rest)
				out.WriteString(literal)
			}
			continue
		}
		item, isNumber, err := formatField(p, &f, style, zone, offset)
		if err != nil {
			return value{}, err
		}
		out.WriteString(item)
		var suffix string
		if suffix, format = timeSuffix(rest[len(p):]); isNumber && suffix != "" && suffix != "SP" && item != "" {
			out.WriteString(ordinalOf(item, suffix))
		}
	}
	return bounded([]byte(out.String()))
}

// ordinalOf is what follows the text of a number: st, nd, rd or th, in capitals as the suffix.
func ordinalOf(number, suffix string) string {
	ending := "th"
	if last := len(number) - 1; last == 0 || number[last-1] != '1' {
		switch number[last] {
		case '1':
			ending = "st"
		case '2':
			ending = "nd"
		case '3':
			ending = "rd"
		}
	}
	if suffix == "TH" {
		return strings.ToUpper(ending)
	}
	return ending
}

// formatField is the text of one word of a format, and whether it is a number.
func formatField(p string, f *broken, style fieldStyle, zone string, offset int) (string, bool, error) {
	padded := func(n int64, width int) (string, bool, error) { return padNumber(n, width, style.fills), true, nil }
	if s, ok := fractionField(p, f); ok {
		return s, true, nil
	}
	switch p {
	case "FX":
		return "", false, nil // for reading
	case "HH24":
		return padded(f.hour, 2)
	case "HH12", "HH":
		if f.isInterval {
			return padded(f.hour%12+12*b2i(f.hour%12 == 0 && f.hour != 0 || f.hour == 0), 2)
		}
		return padded((f.hour+11)%12+1, 2)
	case "MI":
		return padded(f.minute, 2)
	case "SS":
		return padded(f.second, 2)
	case "SSSS", "SSSSS":
		return strconv.FormatInt(f.hour*3600+f.minute*60+f.second, 10), true, nil
	case "AM", "PM", "am", "pm", "A.M.", "P.M.", "a.m.", "p.m.":
		return meridiem(p, f.hour), false, nil
	}
	if f.isInterval {
		return intervalField(p, f, style)
	}
	if s, ok := zoneField(p, zone, offset, style.fills); ok {
		return s, false, nil
	}
	return dateField(p, f, style)
}

// padNumber writes a number with zeros before it, which a sign does not count among.
func padNumber(n int64, width int, fills bool) string {
	switch {
	case !fills:
		return strconv.FormatInt(n, 10)
	case n < 0:
		return fmt.Sprintf("-%0*d", width, -n)
	}
	return fmt.Sprintf("%0*d", width, n)
}

// zoneField is a word about the time zone.
func zoneField(p, zone string, offset int, fills bool) (string, bool) {
	switch p {
	case "TZ":
		return strings.ToUpper(zone), true
	case "tz":
		return strings.ToLower(zone), true
	case "TZH", "tzh":
		return zoneHours(offset, true), true
	case "TZM", "tzm":
		return fmt.Sprintf("%02d", abs(offset)/60%60), true
	case "OF":
		s := zoneHours(offset, fills)
		if offset%3600 != 0 {
			s += fmt.Sprintf(":%02d", abs(offset)/60%60)
		}
		return s, true
	}
	return "", false
}

func zoneHours(offset int, fills bool) string {
	sign := "+"
	if offset < 0 {
		sign = "-"
	}
	return sign + padNumber(int64(abs(offset)/3600), 2, fills)
}

func b2i(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func abs(n int) int { return max(n, -n) }

func fractionField(p string, f *broken) (string, bool) {
	digits := map[string]int{"MS": 3, "US": 6, "FF1": 1, "FF2": 2, "FF3": 3, "FF4": 4, "FF5": 5, "FF6": 6}[p]
	if digits == 0 {
		return "", false
	}
	return fmt.Sprintf("%0*d", digits, f.micros/int64(math.Pow10(6-digits))), true
}

func meridiem(p string, hour int64) string {
	letter := "a"
	if hour%24 >= 12 {
		letter = "p"
	}
	s := letter + "m"
	if strings.Contains(p, ".") {
		s = letter + ".m."
	}
	if p == strings.ToUpper(p) {
		return strings.ToUpper(s)
	}
	return s
}

// intervalField is a word about the days, months and years of an interval, taken as those of a date.
func intervalField(p string, f *broken, style fieldStyle) (string, bool, error) {
	padded := func(n int64, width int) (string, bool, error) { return padNumber(n, width, style.fills), true, nil }
	plain := func(n, width int) (string, bool, error) {
		if !style.fills {
			width = 0
		}
		return fmt.Sprintf("%0*d", width, n), true, nil // where the sign does count
	}
	julian := julianDay(f.year, f.month, f.day)
	allDays := (f.year*12+f.month)*30 + f.day
	switch p {
	case "Y,YYY":
		return fmt.Sprintf("%d,%03d", f.year/1000, f.year%1000), true, nil
	case "YYYY", "YYY", "YY", "Y":
		year := f.year
		if len(p) < 4 {
			year %= int(math.Pow10(len(p)))
		}
		return padded(int64(year), len(p))
	case "IYYY", "IYY", "IY", "I":
		year, _ := isoWeekOf(julian)
		if len(p) < 4 {
			year %= int(math.Pow10(len(p)))
		}
		if f.year < 0 {
			return padded(int64(year), len(p))
		}
		return plain(year, len(p))
	case "MM":
		return padded(int64(f.month), 2)
	case "DD":
		return plain(f.day, 2)
	case "DDD":
		return plain(allDays, 3)
	case "IDDD":
		return plain(isoDayOfYear(julian), 3)
	case "J":
		return strconv.Itoa(julian), true, nil
	case "Q":
		if f.month == 0 {
			return "", true, nil
		}
		return plain((f.month-1)/3+1, 0)
	case "W":
		return plain((f.day-1)/7+1, 0)
	case "WW":
		return plain((allDays-1)/7+1, 2)
	case "IW":
		_, week := isoWeekOf(julian)
		return plain(week, 2)
	case "CC":
		return plain(f.year/100, 2)
	case "RM", "rm":
		switch {
		case f.month == 0 && f.year == 0:
			return "", false, nil
		case f.month == 0 && f.year < 0:
			return romanMonth(p, 1, style.fills), false, nil
		}
		return romanMonth(p, (f.month+11)%12+1+int(b2i(f.month < 0)), style.fills), false, nil
	}
	return "", false, pgwire.Errorf(pgwire.CodeInvalidDatetimeFormat, "invalid format specification for an interval value")
}

// julianDay is the number of a day, whose parts may be out of their ranges as an interval's are.
// It is Fliegel and van Flandern's formula.
func julianDay(year, month, day int) int {
	if month > 2 {
		month, year = month+1, year+4800
	} else {
		month, year = month+13, year+4799
	}
	century := year / 100
	return year*365 - 32167 + year/4 - century + century/4 + 7834*month/256 + day
}

// weekdayOf is 0 on Monday.
func weekdayOf(julian int) int { return ((julian % 7) + 7) % 7 }

// dayOf is the day with a number.
func dayOf(julian int) time.Time {
	const julianOf2000 = 2451545
	return time.Date(2000, 1, 1+julian-julianOf2000, 0, 0, 0, 0, time.UTC)
}

func isoWeekOf(julian int) (year, week int) { return dayOf(julian).ISOWeek() }

func isoDayOfYear(julian int) int {
	_, week := isoWeekOf(julian)
	return (week-1)*7 + weekdayOf(julian) + 1
}

func dateField(p string, f *broken, style fieldStyle) (string, bool, error) {
	padded := func(n int64, width int) (string, bool, error) { return padNumber(n, width, style.fills), true, nil }
	year := yearOfEra(f.year)
	date := time.Date(f.year, time.Month(f.month), f.day, 0, 0, 0, 0, time.UTC)
	isoYear, isoWeek := date.ISOWeek()
	isoYear = yearOfEra(isoYear)
	switch p {
	case "Y,YYY":
		return fmt.Sprintf("%d,%03d", year/1000, year%1000), true, nil
	case "YYYY":
		return padded(int64(year), 4)
	case "YYY", "YY", "Y":
		return padded(int64(year)%int64(math.Pow10(len(p))), len(p))
	case "IYYY":
		return padded(int64(isoYear), 4)
	case "IYY", "IY", "I":
		return padded(int64(isoYear)%int64(math.Pow10(len(p))), len(p))
	case "IW":
		return padded(int64(isoWeek), 2)
	case "ID":
		return padded(int64((date.Weekday()+6)%7+1), 1)
	case "D":
		return padded(int64(date.Weekday()+1), 1)
	case "DD":
		return padded(int64(f.day), 2)
	case "DDD":
		return padded(int64(date.YearDay()), 3)
	case "IDDD":
		return padded(int64((isoWeek-1)*7+int((date.Weekday()+6)%7+1)), 3)
	case "MM":
		return padded(int64(f.month), 2)
	case "WW":
		return padded(int64((date.YearDay()-1)/7+1), 2)
	case "W":
		return padded(int64((f.day-1)/7+1), 1)
	case "Q":
		return padded(int64((f.month-1)/3+1), 1)
	case "CC":
		return padded(era(f.year, 100), 2)
	case "J":
		const julianOf2000 = 2451545
		return padded(f.days+julianOf2000, 0)
	case "BC", "AD", "bc", "ad", "B.C.", "A.D.", "b.c.", "a.d.":
		return eraName(p, f.year), false, nil
	case "RM", "rm":
		return romanMonth(p, f.month, style.fills), false, nil
	}
	return nameField(p, date, style.fills && !style.isPlain), false, nil
}

// yearOfEra counts back before the year 1.
func yearOfEra(year int) int {
	if year <= 0 {
		return 1 - year
	}
	return year
}

func eraName(p string, year int) string {
	s := "ad"
	if year <= 0 {
		s = "bc"
	}
	if strings.Contains(p, ".") {
		s = s[:1] + "." + s[1:] + "."
	}
	if p == strings.ToUpper(p) {
		return strings.ToUpper(s)
	}
	return s
}

func romanMonth(p string, month int, fills bool) string {
	s := []string{"I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"}[month-1]
	if p == "rm" {
		s = strings.ToLower(s)
	}
	if fills {
		return fmt.Sprintf("%-4s", s)
	}
	return s
}

// nameField is the name of a month or day, in the case of its word; full names are padded.
func nameField(p string, date time.Time, fills bool) string {
	name := date.Month().String()
	if p[0]|0x20 == 'd' {
		name = date.Weekday().String()
	}
	isShort := len(p) == 2 || strings.EqualFold(p, "mon")
	if isShort {
		name = name[:3]
	}
	switch p {
	case strings.ToUpper(p):
		name = strings.ToUpper(name)
	case strings.ToLower(p):
		name = strings.ToLower(name)
	}
	if fills && !isShort {
		return fmt.Sprintf("%-9s", name)
	}
	return name
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
