package library

import (
	"strconv"
	"strings"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// scan reads a text by a format.
type scan struct {
	rest                   string
	year, month, day       int
	hour, minute, second   int
	micros                 int
	isPM, isAM, isBC       bool
	dayOfYear, julian      int
	offset                 *int
	offsetHour, offsetSign int
}

// scanTime is to_timestamp(text, format): the time on a wall clock, and the offset from
// Greenwich if the text has one.
func scanTime(s, format string) (local value, offset *int, err error) {
	p := &scan{rest: s, month: 1, day: 1}
	for format != "" {
		switch {
		case strings.HasPrefix(format, "FM"), strings.HasPrefix(format, "FX"), strings.HasPrefix(format, "TM"):
			format = format[2:]
			continue
		case format[0] == '"':
			quoted, rest, _ := strings.Cut(format[1:], `"`)
			p.rest, format = p.rest[min(len(quoted), len(p.rest)):], rest
			continue
		}
		word := nextPattern(format)
		if word == "" {
			p.skip(format[0])
			format = format[1:]
			continue
		}
		format = format[len(word):]
		if len(format) >= 2 && strings.EqualFold(format[:2], "TH") {
			format = format[2:]
		}
		isFollowedByDigits := nextPattern(format) != ""
		if err := p.field(word, isFollowedByDigits); err != nil {
			return value{}, nil, err
		}
	}
	local, err = p.value(s)
	return local, p.offset, err
}

// skip passes a separator of the format, and any in the text.
func (p *scan) skip(c byte) {
	if p.rest == "" {
		return
	}
	isSeparator := func(c byte) bool { return !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') }
	if isSeparator(c) {
		for p.rest != "" && isSeparator(p.rest[0]) && p.rest[0] != '+' && p.rest[0] != '-' {
			p.rest = p.rest[1:]
		}
		if p.rest != "" && p.rest[0] == c {
			p.rest = p.rest[1:]
		}
		return
	}
	p.rest = p.rest[1:]
}

func (p *scan) number(word string, width int) (int, error) {
	p.rest = strings.TrimLeft(p.rest, " ")
	end := 0
	for end < len(p.rest) && end < width && isDigit(p.rest[end]) {
		end++
	}
	if end == 0 {
		if p.rest == "" {
			return 0, nil
		}
		return 0, pgwire.Errorf(pgwire.CodeInvalidDatetimeFormat, "invalid value \"%s\" for \"%s\"", p.rest[:min(len(p.rest), width)], word)
	}
	n, err := strconv.Atoi(p.rest[:end])
	p.rest = p.rest[end:]
	return n, err
}

// field reads what one word of the format says.
func (p *scan) field(word string, isFollowedByDigits bool) (err error) {
	width := func(n int) int {
		if isFollowedByDigits {
			return n
		}
		return 9
	}
	switch word {
	case "HH24", "HH12", "HH":
		p.hour, err = p.number(word, width(2))
	case "MI":
		p.minute, err = p.number(word, width(2))
	case "SS":
		p.second, err = p.number(word, width(2))
	case "MS", "US", "FF1", "FF2", "FF3", "FF4", "FF5", "FF6":
		return p.fraction(word)
	case "YYYY", "IYYY":
		p.year, err = p.number(word, width(4))
	case "YYY", "YY", "Y":
		before := len(p.rest)
		p.year, err = p.number(word, len(word))
		if before-len(p.rest) < 4 {
			p.year = nearYear(p.year)
		}
	case "MM":
		p.month, err = p.number(word, width(2))
	case "DD":
		p.day, err = p.number(word, width(2))
	case "DDD":
		p.dayOfYear, err = p.number(word, width(3))
	case "J":
		p.julian, err = p.number(word, 9)
	case "AM", "PM", "am", "pm", "A.M.", "P.M.", "a.m.", "p.m.":
		return p.meridiem(len(word))
	case "TZH":
		return p.zone()
	case "TZM":
		minutes, err := p.number(word, 2)
		if p.offset != nil {
			total := *p.offset + p.offsetSign*minutes*60
			p.offset = &total
		}
		return err
	case "BC", "AD", "bc", "ad":
		p.isBC = len(p.rest) >= 2 && strings.EqualFold(p.rest[:2], "bc")
		p.rest = p.rest[min(2, len(p.rest)):]
	case "MONTH", "Month", "month", "MON", "Mon", "mon":
		return p.monthName(len(word) == 3)
	case "DAY", "Day", "day", "DY", "Dy", "dy":
		for p.rest != "" && p.rest[0]|0x20 >= 'a' && p.rest[0]|0x20 <= 'z' {
			p.rest = p.rest[1:] // says nothing new
		}
	default:
		return pgwire.Errorf(pgwire.CodeFeatureNotSupported, "formatting field \"%s\" is only supported in to_char", word)
	}
	return err
}

// nearYear completes a year of two or three digits to the one nearest to 2020.
func nearYear(year int) int {
	switch {
	case year < 70:
		return year + 2000
	case year < 100:
		return year + 1900
	case year < 520:
		return year + 2000
	case year < 1000:
		return year + 1000
	}
	return year
}

func (p *scan) fraction(word string) error {
	digits := map[string]int{"MS": 3, "US": 6, "FF1": 1, "FF2": 2, "FF3": 3, "FF4": 4, "FF5": 5, "FF6": 6}[word]
	before := p.rest
	n, err := p.number(word, digits)
	if err != nil {
		return err
	}
	for read := len(before) - len(p.rest); read < 6; read++ {
		n *= 10
	}
	p.micros = n
	return nil
}

func (p *scan) meridiem(length int) error {
	word := p.rest[:min(length, len(p.rest))]
	p.rest = p.rest[len(word):]
	switch strings.ToLower(strings.ReplaceAll(word, ".", "")) {
	case "am":
		p.isAM = true
	case "pm":
		p.isPM = true
	default:
		return pgwire.Errorf(pgwire.CodeInvalidDatetimeFormat, "invalid value \"%s\" for \"AM\"", word)
	}
	return nil
}

func (p *scan) zone() error {
	p.offsetSign = 1
	if p.rest != "" && (p.rest[0] == '-' || p.rest[0] == '+') {
		if p.rest[0] == '-' {
			p.offsetSign = -1
		}
		p.rest = p.rest[1:]
	}
	hours, err := p.number("TZH", 2)
	seconds := p.offsetSign * hours * 3600
	p.offset = &seconds
	return err
}

func (p *scan) monthName(isShort bool) error {
	for m := time.January; m <= time.December; m++ {
		name := m.String()
		if isShort {
			name = name[:3]
		}
		if len(p.rest) >= len(name) && strings.EqualFold(p.rest[:len(name)], name) {
			p.month, p.rest = int(m), p.rest[len(name):]
			return nil
		}
	}
	return pgwire.Errorf(pgwire.CodeInvalidDatetimeFormat, "invalid value \"%s\" for \"Month\"", p.rest[:min(len(p.rest), 9)])
}

func (p *scan) value(s string) (value, error) {
	if p.isPM || p.isAM {
		if p.hour < 1 || p.hour > 12 {
			e := pgwire.Errorf(pgwire.CodeInvalidDatetimeFormat, "hour \"%d\" is invalid for the 12-hour clock", p.hour)
			e.Hint = "Use the 24-hour clock, or give an hour between 1 and 12."
			return value{}, e
		}
		p.hour %= 12
		if p.isPM {
			p.hour += 12
		}
	}
	year := p.year
	if p.isBC || year == 0 {
		year = 1 - max(year, 1)
	}
	t := time.Date(year, time.Month(p.month), p.day, 0, 0, 0, 0, time.UTC)
	if int(t.Month()) != p.month || t.Day() != p.day || p.hour > 24 || p.minute > 59 || p.second > 59 {
		return value{}, pgwire.Errorf(pgwire.CodeDatetimeFieldOverflow, "date/time field value out of range: \"%s\"", s)
	}
	days := types.DaysOf(year, t.Month(), t.Day())
	const julianOf2000 = 2451545
	switch {
	case p.dayOfYear > 0:
		days = types.DaysOf(year, 1, 1) + int64(p.dayOfYear) - 1
	case p.julian > 0:
		days = int64(p.julian) - julianOf2000
	}
	micros := int64(p.hour*3600+p.minute*60+p.second)*microsPerSecond + int64(p.micros)
	return number(days*microsPerDay + micros), nil
}

// toNumber reads a number out of the text: digits, sign and decimal point.
func toNumber(s string) (value, error) {
	var digits strings.Builder
	isNegative, hasPoint := false, false
	for _, c := range s {
		switch {
		case c >= '0' && c <= '9':
			digits.WriteRune(c)
		case c == '.' && !hasPoint:
			hasPoint = true
			digits.WriteRune(c)
		case c == '-', c == '<':
			isNegative = true
		}
	}
	out := digits.String()
	if isNegative {
		out = "-" + out
	}
	return types.ParseText(types.Numeric, []byte(out), nil)
}
