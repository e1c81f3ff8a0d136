package library

import (
	"math"
	"strconv"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// numberFormats are to_char of the types of numbers, which round and overflow each in their way.
func numberFormats() []implementation {
	format := func(t string, f func(p *picture, v value) (string, error)) implementation {
		return pure("to_char("+t+",text)", func(a []value) (value, error) {
			p, err := parsePicture(a[1].Text())
			if err != nil {
				return value{}, err
			}
			s, err := f(p, a[0])
			return text(s), err
		})
	}
	return []implementation{
		format("int4", func(p *picture, v value) (string, error) { return p.ofInteger(v.Int) }),
		format("int8", func(p *picture, v value) (string, error) { return p.ofInteger(v.Int) }),
		format("float4", func(p *picture, v value) (string, error) { return p.ofFloat(v.Float, 6) }),
		format("float8", func(p *picture, v value) (string, error) { return p.ofFloat(v.Float, 15) }),
		format("numeric", func(p *picture, v value) (string, error) { return p.ofNumeric(v) }),
	}
}

// signed takes the sign from a number.
func signed(s string) (digits string, sign byte) {
	if digits, ok := strings.CutPrefix(s, "-"); ok {
		return digits, '-'
	}
	return s, '+'
}

func (p *picture) ofInteger(n int64) (string, error) {
	switch {
	case p.isRoman:
		if _, err := types.Cast(types.OfInt(n), types.Int8, types.Int4, nil); err != nil {
			return "", err
		}
		return p.writeRoman(roman(n)), nil
	case p.hasExponent:
		return plusAsBlank(exponential(float64(n), p.post)), nil
	case p.isMultiplied:
		scaled, err := types.ParseText(types.Int8, []byte(strconv.FormatInt(n, 10)+strings.Repeat("0", p.multiplier)), nil)
		if err != nil {
			return "", pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "bigint out of range")
		}
		n = scaled.Int
	}
	pre := p.pre + p.multiplierPlaces()
	digits, sign := signed(strconv.FormatInt(n, 10))
	if p.post > 0 {
		digits += "." + strings.Repeat("0", p.post)
	}
	return p.write(p.fit(digits, sign, pre))
}

// ofFloat shows no more digits than a type keeps.
func (p *picture) ofFloat(f float64, digitsMax int) (string, error) {
	isFinite := !math.IsNaN(f) && !math.IsInf(f, 0)
	switch {
	case p.isRoman:
		if f = math.RoundToEven(f); !isFinite || f < 1 || f > math.MaxInt32 {
			f = 0
		}
		return p.writeRoman(roman(int64(f))), nil
	case p.hasExponent && !isFinite:
		return p.exponentMisfit(), nil
	case p.hasExponent:
		return plusAsBlank(exponential(f, p.post)), nil
	}
	pre := p.pre + p.multiplierPlaces()
	if p.isMultiplied {
		f *= math.Pow(10, float64(p.multiplier))
	}
	post, s := p.post, "NaN"
	switch {
	case math.IsInf(f, 0):
		s = map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0]
	case isFinite:
		whole := len(strconv.FormatFloat(math.Abs(f), 'f', 0, 64))
		post = max(0, min(post, digitsMax-whole))
		s = strconv.FormatFloat(f, 'f', post, 64)
	}
	digits, sign := signed(s)
	shown := *p
	shown.post = post
	return shown.write(shown.fit(digits, sign, pre))
}

func (p *picture) ofNumeric(v value) (string, error) {
	s := v.Text()
	isFinite := s != "NaN" && !strings.HasSuffix(s, "Infinity")
	switch {
	case p.isRoman:
		n, err := types.Cast(v, types.Numeric, types.Int4, nil)
		if err != nil {
			return "", err
		}
		return p.writeRoman(roman(n.Int)), nil
	case p.hasExponent && !isFinite:
		return p.exponentMisfit(), nil
	case p.hasExponent:
		return plusAsBlank(exponentialText(s, p.post)), nil
	}
	pre := p.pre + p.multiplierPlaces()
	if isFinite {
		if p.isMultiplied {
			s = shifted(s, p.multiplier)
		}
		rounded, err := types.ParseText(types.Numeric, []byte(s), nil)
		if err != nil {
			return "", err
		}
		s = types.NumericRound(rounded, p.post).Text()
	}
	digits, sign := signed(s)
	return p.write(p.fit(digits, sign, pre))
}

// shifted moves the point of a number to the right.
func shifted(s string, places int) string {
	whole, fraction, _ := strings.Cut(s, ".")
	fraction += strings.Repeat("0", max(0, places-len(fraction)))
	return whole + fraction[:places] + "." + fraction[places:] + "0"
}

func plusAsBlank(s string) string {
	if strings.HasPrefix(s, "-") {
		return s
	}
	return " " + s
}

// exponential writes a float with an exponent of two digits at least.
func exponential(f float64, post int) string { return formatE(f, post) }

// exponentialText writes a numeric with an exponent, rounded in decimal.
func exponentialText(s string, post int) string {
	digits, sign := signed(s)
	whole, fraction, _ := strings.Cut(digits, ".")
	all := strings.TrimLeft(whole+fraction, "0")
	exponent := len(whole) - 1 - (len(whole+fraction) - len(all))
	if all == "" {
		all, exponent = "0", 0
	}
	mantissa, _ := types.ParseText(types.Numeric, []byte(all[:1]+"."+all[1:]+"0"), nil)
	out := types.NumericRound(mantissa, post).Text()
	if sign == '-' {
		out = "-" + out
	}
	mark := "+"
	if exponent < 0 {
		mark, exponent = "-", -exponent
	}
	if exponent < 10 {
		mark += "0"
	}
	return out + "e" + mark + strconv.Itoa(exponent)
}
