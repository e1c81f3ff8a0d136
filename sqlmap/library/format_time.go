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
	for _, t := range []types.OID{types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric} {
		out = append(out, pure("to_char("+types.Lookup(t).Internal+",text)", func(a []value) (value, error) {
			v := a[0]
			if t != types.Numeric {
				var err error
				if v, err = types.Cast(v, t, types.Numeric, nil); err != nil {
					return v, err
				}
			}
			return formatNumber(v, a[1].Text())
		}))
	}
	return out
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
	"DAY", "Day", "day", "DY", "Dy", "dy", "DDD", "DD", "D", "WW", "W", "CC", "J", "Q", "RM", "rm", "TZH", "TZM", "TZ", "tz", "OF",
}

// nextPattern is the word at the beginning of a format, in any case where that says nothing.
func nextPattern(format string) string {
	for _, p := range timePatterns {
		if strings.HasPrefix(format, p) {
			return p
		}
	}
	for _, p := range timePatterns {
		if len(format) >= len(p) && strings.EqualFold(format[:len(p)], p) && p == strings.ToUpper(p) {
			return p
		}
	}
	return ""
}

func formatTime(format string, f broken, zone string, offset int) (value, error) {
	var out strings.Builder
	fills := true
	for format != "" && out.Len() <= resultBytesMax {
		switch {
		case strings.HasPrefix(format, "FM"), strings.HasPrefix(format, "fm"):
			fills, format = false, format[2:]
			continue
		case strings.HasPrefix(format, "FX"), strings.HasPrefix(format, "TM"):
			format = format[2:]
			continue
		case format[0] == '"':
			quoted, rest, _ := strings.Cut(format[1:], `"`)
			out.WriteString(quoted)
			format = rest
			continue
		case format[0] == '\\' && len(format) > 1:
			out.WriteByte(format[1])
			format = format[2:]
			continue
		}
		p := nextPattern(format)
		if p == "" {
			out.WriteByte(format[0])
			format = format[1:]
			continue
		}
		format = format[len(p):]
		item, n, err := formatField(p, &f, fills, zone, offset)
		if err != nil {
			return value{}, err
		}
		suffix := ""
		if len(format) >= 2 && strings.EqualFold(format[:2], "TH") && item != "" && isDigit(item[len(item)-1]) {
			if suffix = ordinal(n); format[:2] == "TH" {
				suffix = strings.ToUpper(suffix)
			}
			format = format[2:]
		}
		out.WriteString(item + suffix)
		fills = true
	}
	return bounded([]byte(out.String()))
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func ordinal(n int64) string {
	if n%100 >= 11 && n%100 <= 13 {
		return "th"
	}
	switch n % 10 {
	case 1:
		return "st"
	case 2:
		return "nd"
	case 3:
		return "rd"
	}
	return "th"
}

// formatField is the text of one word of a format, and its number if it is one.
func formatField(p string, f *broken, fills bool, zone string, offset int) (string, int64, error) {
	padded := func(n int64, width int) (string, int64, error) {
		if !fills {
			width = 0
		}
		if n < 0 {
			return fmt.Sprintf("-%0*d", width, -n), n, nil
		}
		return fmt.Sprintf("%0*d", width, n), n, nil
	}
	if s, ok := fractionField(p, f); ok {
		return s, 0, nil
	}
	switch p {
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
		n := f.hour*3600 + f.minute*60 + f.second
		return strconv.FormatInt(n, 10), n, nil
	case "AM", "PM", "am", "pm", "A.M.", "P.M.", "a.m.", "p.m.":
		return meridiem(p, f.hour), 0, nil
	case "TZ":
		return strings.ToUpper(zone), 0, nil
	case "tz":
		return strings.ToLower(zone), 0, nil
	case "TZH":
		return fmt.Sprintf("%+03d", offset/3600), 0, nil
	case "TZM":
		return fmt.Sprintf("%02d", abs(offset)/60%60), 0, nil
	case "OF":
		s := fmt.Sprintf("%+03d", offset/3600)
		if offset%3600 != 0 {
			s += fmt.Sprintf(":%02d", abs(offset)/60%60)
		}
		return s, 0, nil
	}
	if f.isInterval {
		return intervalField(p, f, padded)
	}
	return dateField(p, f, fills, padded)
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
	micros := max(f.micros, -f.micros)
	return fmt.Sprintf("%06d", micros)[:digits], true
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

func intervalField(p string, f *broken, padded func(int64, int) (string, int64, error)) (string, int64, error) {
	switch p {
	case "YYYY", "YYY", "YY", "Y":
		return padded(int64(f.year), len(p))
	case "MM":
		return padded(int64(f.month), 2)
	case "DD":
		return padded(int64(f.day), 2)
	case "DDD":
		return padded(int64((f.year*12+f.month)*30+f.day), 3)
	}
	return "", 0, pgwire.Errorf(pgwire.CodeInvalidDatetimeFormat, "invalid format specification for an interval value")
}

func dateField(p string, f *broken, fills bool, padded func(int64, int) (string, int64, error)) (string, int64, error) {
	year := f.year
	if year <= 0 {
		year = 1 - year
	}
	date := time.Date(f.year, time.Month(f.month), f.day, 0, 0, 0, 0, time.UTC)
	isoYear, isoWeek := date.ISOWeek()
	switch p {
	case "Y,YYY":
		return fmt.Sprintf("%d,%03d", year/1000, year%1000), int64(year), nil
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
		return eraName(p, f.year), 0, nil
	case "RM", "rm":
		return romanMonth(p, f.month, fills), 0, nil
	}
	return nameField(p, date, fills), 0, nil
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
