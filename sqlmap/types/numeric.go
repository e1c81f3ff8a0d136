package types

import (
	"bytes"
	"encoding/binary"
	"math/big"
	"strconv"

	"pgcache/pgwire"
)

// zerosMax bounds how many digits an exponent may add to a numeric beyond those written,
// so that a few bytes cannot become many. PostgreSQL allows 131072 digits.
const zerosMax = 256

// isSpecial reports NaN and the infinities.
func isSpecial(text []byte) bool {
	c := text[len(text)-1]
	return c == 'N' || c == 'y'
}

// plainNumber makes the digits of 0x1F, 0o17, 0b11 and 1_000 decimal ones.
func plainNumber(s []byte) (digits []byte, ok bool) {
	if len(s) > 2 && s[0] == '0' && bytes.IndexByte([]byte("xXoObB"), s[1]) >= 0 {
		if len(s) > zerosMax {
			return nil, false
		}
		n, ok := new(big.Int).SetString(string(s), 0)
		if !ok {
			return nil, false
		}
		return n.Append(nil, 10), true
	}
	if bytes.IndexByte(s, '_') < 0 {
		return s, true
	}
	isNumber := func(i int) bool { return i >= 0 && i < len(s) && isDigit(s[i]) }
	for i, c := range s {
		if c == '_' && !(isNumber(i-1) && isNumber(i+1)) {
			return nil, false
		}
	}
	return bytes.ReplaceAll(s, []byte{'_'}, nil), true
}

// parseNumeric makes the canonical text: no leading zeros, no exponent, the scale kept.
func parseNumeric(text []byte) (Value, error) {
	s := trimSpace(text)
	sign := ""
	if len(s) > 0 && (s[0] == '-' || s[0] == '+') {
		if s[0] == '-' {
			sign = "-"
		}
		s = s[1:]
	}
	switch word := string(bytes.ToLower(clip(s))); {
	case word == "nan" && len(s) == len(trimSpace(text)):
		return OfText("NaN"), nil
	case word == "infinity", word == "inf":
		return OfText(sign + "Infinity"), nil
	}
	s, ok := plainNumber(s)
	if !ok {
		return Value{}, invalidText(Numeric, text)
	}
	mantissa, exponent := s, 0
	if e := bytes.IndexAny(s, "eE"); e >= 0 {
		n, err := strconv.Atoi(string(s[e+1:]))
		if err != nil || bytes.ContainsRune(s[e+1:], '_') {
			return Value{}, invalidText(Numeric, text)
		}
		mantissa, exponent = s[:e], n
	}
	whole, fraction, _ := bytes.Cut(mantissa, []byte{'.'})
	if len(whole)+len(fraction) == 0 || !isDigits(whole) || !isDigits(fraction) {
		return Value{}, invalidText(Numeric, text)
	}
	if exponent > zerosMax+len(fraction) || -exponent > zerosMax+len(whole) {
		return Value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value overflows numeric format")
	}
	digits := append(bytes.Clone(whole), fraction...)
	scale := len(fraction) - exponent
	if scale < 0 {
		digits = append(digits, bytes.Repeat([]byte{'0'}, -scale)...)
		scale = 0
	}
	return OfBytes(canonical(sign == "-", digits, scale)), nil
}

func isDigits(s []byte) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}

// canonical puts sign and point into a string of digits.
func canonical(isNegative bool, digits []byte, scale int) []byte {
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = append(bytes.Repeat([]byte{'0'}, missing), digits...)
	}
	whole, fraction := digits[:len(digits)-scale], digits[len(digits)-scale:]
	whole = bytes.TrimLeft(whole, "0")
	if len(whole) == 0 {
		whole = []byte{'0'}
	}
	var out []byte
	if isNegative && len(bytes.Trim(digits, "0")) > 0 {
		out = append(out, '-')
	}
	out = append(out, whole...)
	if scale > 0 {
		out = append(append(out, '.'), fraction...)
	}
	return out
}

// Signs of the binary form.
const (
	numericNegative      = 0x4000
	numericNaN           = 0xc000
	numericInfinity      = 0xd000
	numericMinusInf      = 0xf000
	numericInfinityScale = 32 // what PostgreSQL sends with them
	numericBase          = 10000
	numericGroup         = 4 // decimal digits in a base-10000 digit
)

func parseBinaryNumeric(data []byte) (Value, error) {
	be := binary.BigEndian
	if len(data) < 8 {
		return Value{}, wrongLength(Numeric)
	}
	n, weight := int(be.Uint16(data)), int(int16(be.Uint16(data[2:])))
	sign, scale := be.Uint16(data[4:]), int(be.Uint16(data[6:]))
	switch sign {
	case numericNaN:
		return OfText("NaN"), nil
	case numericInfinity:
		return OfText("Infinity"), nil
	case numericMinusInf:
		return OfText("-Infinity"), nil
	case 0, numericNegative:
	default:
		return Value{}, pgwire.Errorf(pgwire.CodeInvalidBinaryRepresentation, "invalid sign in external \"numeric\" value")
	}
	if len(data) != 8+2*n {
		return Value{}, wrongLength(Numeric)
	}
	const groupsMax = zerosMax / numericGroup
	if weight > n+groupsMax || -weight > n+groupsMax || scale > numericGroup*n+zerosMax {
		return Value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value overflows numeric format")
	}
	var whole, fraction []byte
	for i := min(0, weight+1); i < max(n, weight+1); i++ {
		digit := uint16(0)
		if i >= 0 && i < n {
			digit = be.Uint16(data[8+2*i:])
		}
		if digit >= numericBase {
			return Value{}, pgwire.Errorf(pgwire.CodeInvalidBinaryRepresentation, "invalid digit in external \"numeric\" value")
		}
		group := []byte{byte('0' + digit/1000), byte('0' + digit/100%10), byte('0' + digit/10%10), byte('0' + digit%10)}
		if i <= weight {
			whole = append(whole, group...)
		} else {
			fraction = append(fraction, group...)
		}
	}
	if len(fraction) < scale {
		fraction = append(fraction, bytes.Repeat([]byte{'0'}, scale-len(fraction))...)
	}
	return OfBytes(canonical(sign == numericNegative, append(whole, fraction[:scale]...), scale)), nil
}

func appendBinaryNumeric(dst, text []byte) []byte {
	be := binary.BigEndian
	header := func(n, weight int, sign uint16, scale int) {
		dst = be.AppendUint16(dst, uint16(n))
		dst = be.AppendUint16(dst, uint16(int16(weight)))
		dst = be.AppendUint16(dst, sign)
		dst = be.AppendUint16(dst, uint16(scale))
	}
	switch string(text) {
	case "NaN":
		header(0, 0, numericNaN, 0)
		return dst
	case "Infinity":
		header(0, 0, numericInfinity, numericInfinityScale)
		return dst
	case "-Infinity":
		header(0, 0, numericMinusInf, numericInfinityScale)
		return dst
	}
	sign := uint16(0)
	if text[0] == '-' {
		sign, text = numericNegative, text[1:]
	}
	whole, fraction, _ := bytes.Cut(text, []byte{'.'})
	groups := groupDigits(whole, fraction)
	weight := (len(whole)+numericGroup-1)/numericGroup - 1
	for len(groups) > 0 && groups[0] == 0 {
		groups, weight = groups[1:], weight-1
	}
	for len(groups) > 0 && groups[len(groups)-1] == 0 {
		groups = groups[:len(groups)-1]
	}
	if len(groups) == 0 {
		weight = 0
	}
	header(len(groups), weight, sign, len(fraction))
	for _, g := range groups {
		dst = be.AppendUint16(dst, g)
	}
	return dst
}

// groupDigits cuts digits into groups of four, aligned at the point.
func groupDigits(whole, fraction []byte) []uint16 {
	digits := bytes.Repeat([]byte{'0'}, (numericGroup-len(whole)%numericGroup)%numericGroup)
	digits = append(append(digits, whole...), fraction...)
	digits = append(digits, bytes.Repeat([]byte{'0'}, (numericGroup-len(fraction)%numericGroup)%numericGroup)...)
	groups := make([]uint16, 0, len(digits)/numericGroup)
	for i := 0; i < len(digits); i += numericGroup {
		d := digits[i : i+numericGroup]
		groups = append(groups, uint16(d[0]-'0')*1000+uint16(d[1]-'0')*100+uint16(d[2]-'0')*10+uint16(d[3]-'0'))
	}
	return groups
}

// decimal is a numeric for arithmetic.
type decimal struct {
	unscaled big.Int
	scale    int
}

// decimalOf reads a canonical text; ok is false for NaN and the infinities.
func decimalOf(text []byte) (d decimal, ok bool) {
	if isSpecial(text) {
		return d, false
	}
	whole, fraction, _ := bytes.Cut(text, []byte{'.'})
	d.unscaled.SetString(string(whole)+string(fraction), 10)
	d.scale = len(fraction)
	return d, true
}

func (d *decimal) value() Value {
	digits := new(big.Int).Abs(&d.unscaled).Append(nil, 10)
	return OfBytes(canonical(d.unscaled.Sign() < 0, digits, d.scale))
}

// rescale changes the scale, rounding half away from zero.
func (d *decimal) rescale(scale int) {
	if scale >= d.scale {
		d.unscaled.Mul(&d.unscaled, powerOfTen(scale-d.scale))
	} else {
		divisor := powerOfTen(d.scale - scale)
		half := new(big.Int).Rsh(divisor, 1)
		if d.unscaled.Sign() < 0 {
			half.Neg(half)
		}
		d.unscaled.Quo(d.unscaled.Add(&d.unscaled, half), divisor)
	}
	d.scale = scale
}

func powerOfTen(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// NumericArithmetic computes a op b for + - * / and %.
func NumericArithmetic(op byte, a, b Value) (Value, error) {
	x, ok1 := decimalOf(a.Bytes)
	y, ok2 := decimalOf(b.Bytes)
	if !ok1 || !ok2 {
		return OfText("NaN"), nil // divergence: PostgreSQL computes with infinities
	}
	if (op == '/' || op == '%') && y.unscaled.Sign() == 0 {
		return Value{}, ErrDivisionByZero()
	}
	var out decimal
	switch op {
	case '*':
		out.unscaled.Mul(&x.unscaled, &y.unscaled)
		out.scale = x.scale + y.scale
	case '/':
		out.scale = divisionScale(&x, &y)
		x.rescale(out.scale + y.scale + 1)
		out.unscaled.Quo(&x.unscaled, &y.unscaled)
		wanted := out.scale
		out.scale = wanted + 1
		out.rescale(wanted)
	default:
		out.scale = max(x.scale, y.scale)
		x.rescale(out.scale)
		y.rescale(out.scale)
		switch op {
		case '+':
			out.unscaled.Add(&x.unscaled, &y.unscaled)
		case '-':
			out.unscaled.Sub(&x.unscaled, &y.unscaled)
		default:
			out.unscaled.Rem(&x.unscaled, &y.unscaled)
		}
	}
	const digitsMax = 2000 // arithmetic on client input stays cheap
	if out.unscaled.BitLen() > digitsMax*10/3 {
		return Value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value overflows numeric format")
	}
	return out.value(), nil
}

// divisionScale is PostgreSQL's select_div_scale: at least 16 significant digits.
func divisionScale(x, y *decimal) int {
	const significantDigitsMin = 16
	weight1, first1 := leading(x)
	weight2, first2 := leading(y)
	weight := weight1 - weight2
	if first1 <= first2 {
		weight--
	}
	return max(significantDigitsMin-weight*numericGroup, x.scale, y.scale)
}

// leading is the weight and value of the first base-10000 digit.
func leading(d *decimal) (weight int, digit uint16) {
	text := d.value().Bytes
	whole, fraction, _ := bytes.Cut(bytes.TrimPrefix(text, []byte{'-'}), []byte{'.'})
	weight = (len(whole)+numericGroup-1)/numericGroup - 1
	for _, g := range groupDigits(whole, fraction) {
		if g != 0 {
			return weight, g
		}
		weight--
	}
	return 0, 0
}

// ErrDivisionByZero is PostgreSQL's answer to x / 0.
func ErrDivisionByZero() error {
	return pgwire.Errorf(pgwire.CodeDivisionByZero, "division by zero")
}

// compareNumeric orders numerics; NaN is the greatest.
func compareNumeric(a, b []byte) int {
	x, ok1 := decimalOf(a)
	y, ok2 := decimalOf(b)
	if ok1 && ok2 {
		scale := max(x.scale, y.scale)
		x.rescale(scale)
		y.rescale(scale)
		return x.unscaled.Cmp(&y.unscaled)
	}
	return specialRank(a, ok1) - specialRank(b, ok2)
}

func specialRank(text []byte, isFinite bool) int {
	switch {
	case isFinite:
		return 0
	case text[0] == '-':
		return -1
	case text[0] == 'I':
		return 1
	}
	return 2
}

// NumericNegate is -v.
func NumericNegate(v Value) Value {
	switch {
	case string(v.Bytes) == "NaN":
		return v
	case v.Bytes[0] == '-':
		return OfBytes(v.Bytes[1:])
	case len(bytes.Trim(v.Bytes, "0.")) == 0:
		return v
	}
	return OfBytes(append([]byte{'-'}, v.Bytes...))
}

// NumericRound rounds to a number of decimals.
func NumericRound(v Value, scale int) Value {
	d, ok := decimalOf(v.Bytes)
	if !ok {
		return v
	}
	roundDecimal(&d, max(-zerosMax, min(scale, d.scale+zerosMax)))
	return d.value()
}

// NumericWhole makes v whole by "round", "floor", "ceil" ("ceiling") or "trunc".
func NumericWhole(v Value, how string) Value {
	d, ok := decimalOf(v.Bytes)
	if !ok || how == "round" {
		return NumericRound(v, 0)
	}
	rest := new(big.Int)
	d.unscaled.QuoRem(&d.unscaled, powerOfTen(d.scale), rest)
	d.scale = 0
	switch {
	case how == "floor" && rest.Sign() < 0:
		d.unscaled.Sub(&d.unscaled, big.NewInt(1))
	case (how == "ceil" || how == "ceiling") && rest.Sign() > 0:
		d.unscaled.Add(&d.unscaled, big.NewInt(1))
	}
	return d.value()
}
