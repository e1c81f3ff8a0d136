package library

import (
	"fmt"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// picture is what a number format asks for.
type picture struct {
	integer, fraction  string // the digit places: 9, 0 and G
	fills              bool   // false: FM
	sign               string // S before, SG, MI, PL, PR
	signAfter          bool
	prefix, suffix     string // literals
	exponent           bool
	hasPoint, isLocale bool
}

// pictureBytesMax bounds the formats of numbers; reading one takes time by the square of it.
const pictureBytesMax = 4096

// formatNumber is to_char(number, format).
func formatNumber(v value, format string) (value, error) {
	if len(format) > pictureBytesMax {
		e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "number format is too long")
		e.Detail = fmt.Sprintf("It has %d bytes; the limit is %d.", len(format), pictureBytesMax)
		return value{}, e
	}
	p, err := parsePicture(format)
	if err != nil {
		return value{}, err
	}
	if p.exponent {
		return formatExponent(v, p)
	}
	places := strings.Count(p.fraction, "9") + strings.Count(p.fraction, "0")
	rounded := types.NumericRound(v, places).Text()
	isNegative := strings.HasPrefix(rounded, "-")
	whole, fraction, _ := strings.Cut(strings.TrimPrefix(rounded, "-"), ".")
	if whole == "NaN" || strings.HasSuffix(whole, "Infinity") {
		return text(strings.Repeat("#", len(p.integer)+places)), nil
	}
	digits := p.placeInteger(whole, isNegative)
	if p.hasPoint {
		digits += "." + p.placeFraction(fraction)
		if !p.fills {
			digits = trimOptionalZeros(digits, p.fraction)
		}
	}
	return text(p.prefix + p.placeSign(digits, isNegative) + p.suffix), nil
}

func parsePicture(format string) (*picture, error) {
	p := &picture{fills: true}
	for rest := format; rest != ""; {
		upper := strings.ToUpper(rest)
		n := 1
		switch c := upper[0]; {
		case strings.HasPrefix(upper, "FM"):
			p.fills, n = false, 2
		case strings.HasPrefix(upper, "EEEE"):
			p.exponent, n = true, 4
		case strings.HasPrefix(upper, "MI"), strings.HasPrefix(upper, "PL"), strings.HasPrefix(upper, "SG"), strings.HasPrefix(upper, "PR"):
			p.sign, n = upper[:2], 2
			p.signAfter = p.integer != ""
		case strings.HasPrefix(upper, "TH"), strings.HasPrefix(upper, "RN"):
			return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "number format \"%s\" is not supported", upper[:2])
		case c == '9' || c == '0':
			if p.hasPoint {
				p.fraction += upper[:1]
			} else {
				p.integer += upper[:1]
			}
		case c == '.' || c == 'D':
			p.hasPoint = true
		case c == ',' || c == 'G':
			p.integer += "G"
		case c == 'S':
			p.sign, p.signAfter = "S", p.integer != "" || p.hasPoint
		case c == 'V':
			return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "number format \"V\" is not supported")
		case c == 'L':
			p.isLocale = true // the currency symbol of locale C is empty
		case c == '"':
			quoted, _, _ := strings.Cut(rest[1:], `"`)
			p.literal(quoted)
			n = min(len(quoted)+2, len(rest))
		default:
			p.literal(rest[:1])
		}
		rest = rest[n:]
	}
	return p, nil
}

func (p *picture) literal(s string) {
	if p.integer == "" && p.fraction == "" {
		p.prefix += s
	} else {
		p.suffix += s
	}
}

// placeInteger puts digits into the places before the point; # everywhere if they do not fit.
func (p *picture) placeInteger(whole string, isNegative bool) string {
	places := strings.ReplaceAll(p.integer, "G", "")
	if len(strings.TrimLeft(whole, "0")) > len(places) {
		return strings.NewReplacer("9", "#", "0", "#", "G", ",").Replace(p.integer)
	}
	whole = strings.TrimLeft(whole, "0")
	firstZero := strings.IndexByte(places, '0')
	significant := len(places) - len(whole)
	if firstZero >= 0 {
		significant = min(significant, firstZero)
	}
	if significant == len(places) && len(places) > 0 && !p.hasPoint {
		significant-- // a zero shows
	}
	var out strings.Builder
	at := 0
	for _, c := range p.integer {
		if c == 'G' {
			if at > significant {
				out.WriteByte(',')
			} else if p.fills {
				out.WriteByte(' ')
			}
			continue
		}
		digit := at - (len(places) - len(whole))
		switch {
		case digit >= 0:
			out.WriteByte(whole[digit])
		case at >= significant:
			out.WriteByte('0')
		case p.fills:
			out.WriteByte(' ')
		}
		at++
	}
	return out.String()
}

func (p *picture) placeFraction(fraction string) string {
	return fraction + strings.Repeat("0", max(0, len(p.fraction)-len(fraction)))
}

// trimOptionalZeros cuts zeros at the end where the format has 9.
func trimOptionalZeros(digits, places string) string {
	kept := strings.LastIndexByte(places, '0') + 1
	for cut := len(places); cut > kept && strings.HasSuffix(digits, "0"); cut-- {
		digits = digits[:len(digits)-1]
	}
	return digits
}

// placeSign puts the sign where the format has it: before the first digit by default.
func (p *picture) placeSign(digits string, isNegative bool) string {
	blanks := digits[:len(digits)-len(strings.TrimLeft(digits, " "))]
	shown := digits[len(blanks):]
	mark := func(plus, minus string) string {
		if isNegative {
			return minus
		}
		return plus
	}
	switch p.sign {
	case "S", "SG":
		if p.signAfter {
			return digits + mark("+", "-")
		}
		return blanks + mark("+", "-") + shown
	case "MI":
		if p.signAfter {
			return digits + strings.TrimRight(mark(" ", "-"), map[bool]string{true: "", false: " "}[p.fills])
		}
		return strings.TrimRight(mark(" ", "-"), map[bool]string{true: "", false: " "}[p.fills]) + digits
	case "PL":
		if p.signAfter {
			return p.plain(blanks, shown, isNegative) + mark("+", " ")
		}
		return mark("+", " ") + p.plain(blanks, shown, isNegative)
	case "PR":
		if isNegative {
			return blanks + "<" + shown + ">"
		}
		if p.fills {
			return blanks + " " + shown + " "
		}
		return shown
	}
	return p.plain(blanks, shown, isNegative)
}

func (p *picture) plain(blanks, shown string, isNegative bool) string {
	switch {
	case isNegative:
		return blanks + "-" + shown
	case p.fills:
		return blanks + " " + shown
	}
	return shown
}

func formatExponent(v value, p *picture) (value, error) {
	f, err := types.Cast(v, types.Numeric, types.Float8, nil)
	if err != nil {
		return f, err
	}
	s := formatE(f.Float, len(p.fraction))
	if !strings.HasPrefix(s, "-") && p.fills {
		s = " " + s
	}
	return text(s), nil
}
