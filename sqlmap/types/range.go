package types

import (
	"bytes"

	"pgcache/pgwire"
)

// Flags of a range, as in its binary form.
const (
	RangeEmpty          = 0x01
	RangeLowerInclusive = 0x02
	RangeUpperInclusive = 0x04
	RangeLowerInfinite  = 0x08
	RangeUpperInfinite  = 0x10
)

func malformedRange(text []byte, detail string) error {
	e := pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "malformed range literal: \"%s\"", clip(text))
	e.Detail = detail
	return e
}

func parseRange(oid OID, text []byte, style *Style) (Value, error) {
	s := trimSpace(text)
	if bytes.EqualFold(s, []byte("empty")) {
		return Value{Int: RangeEmpty}, nil
	}
	if len(s) == 0 || s[0] != '[' && s[0] != '(' {
		return Value{}, malformedRange(text, "Missing left parenthesis or bracket.")
	}
	flags := int64(0)
	if s[0] == '[' {
		flags |= RangeLowerInclusive
	}
	lower, hasLower, rest, ok := rangeBound(s[1:])
	if !ok || len(rest) == 0 || rest[0] != ',' {
		return Value{}, malformedRange(text, "Missing comma after lower bound.")
	}
	upper, hasUpper, rest, ok := rangeBound(rest[1:])
	if !ok || len(rest) != 1 || rest[0] != ']' && rest[0] != ')' {
		return Value{}, malformedRange(text, "Missing right parenthesis or bracket.")
	}
	if rest[0] == ']' {
		flags |= RangeUpperInclusive
	}
	bounds := []Value{Null(), Null()}
	for i, b := range []struct {
		text  []byte
		given bool
	}{{lower, hasLower}, {upper, hasUpper}} {
		if !b.given {
			continue
		}
		var err error
		if bounds[i], err = ParseText(rangeElem(oid), b.text, style); err != nil {
			return Value{}, err
		}
	}
	return MakeRange(oid, bounds[0], bounds[1], flags)
}

// rangeBound reads a bound; rest begins with what ended it.
func rangeBound(s []byte) (bound []byte, given bool, rest []byte, ok bool) {
	var out []byte
	inQuotes := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case !inQuotes && (c == ',' || c == ']' || c == ')'):
			return out, given, s[i:], true
		case !inQuotes && (c == '[' || c == '('):
			return nil, false, nil, false
		case c == '\\' && i+1 < len(s):
			i++
			out, given = append(out, s[i]), true
		case c == '"' && inQuotes && i+1 < len(s) && s[i+1] == '"':
			i++
			out = append(out, '"')
		case c == '"':
			inQuotes, given = !inQuotes, true
		default:
			out, given = append(out, c), true
		}
	}
	return nil, false, nil, false
}

// MakeRange makes a range in its canonical form; a NULL bound is infinite.
func MakeRange(oid OID, lower, upper Value, flags int64) (Value, error) {
	flags &= RangeLowerInclusive | RangeUpperInclusive
	elem := rangeElem(oid)
	if lower.IsNull {
		flags = flags&^RangeLowerInclusive | RangeLowerInfinite
	}
	if upper.IsNull {
		flags = flags&^RangeUpperInclusive | RangeUpperInfinite
	}
	isDiscrete := elem == Int4 || elem == Int8 || elem == Date
	if !lower.IsNull && !upper.IsNull {
		c := Compare(elem, lower, upper)
		if c > 0 {
			return Value{}, pgwire.Errorf(pgwire.CodeDataException, "range lower bound must be less than or equal to range upper bound")
		}
		if c == 0 && flags&RangeLowerInclusive&(flags>>1) == 0 {
			return Value{Int: RangeEmpty}, nil
		}
	}
	if isDiscrete {
		var err error
		if !lower.IsNull && flags&RangeLowerInclusive == 0 {
			if lower, err = nextDiscrete(elem, lower); err != nil {
				return Value{}, err
			}
			flags |= RangeLowerInclusive
		}
		if !upper.IsNull && flags&RangeUpperInclusive != 0 {
			if upper, err = nextDiscrete(elem, upper); err != nil {
				return Value{}, err
			}
			flags &^= RangeUpperInclusive
		}
		if !lower.IsNull && !upper.IsNull && lower.Int >= upper.Int {
			return Value{Int: RangeEmpty}, nil
		}
	}
	return Value{Int: flags, Elems: []Value{lower, upper}}, nil
}

func nextDiscrete(elem OID, v Value) (Value, error) {
	if elem == Date {
		return AddDays(v, 1)
	}
	if v.Int+1 < v.Int || !intFits(elem, v.Int+1) {
		return Value{}, outOfRange(elem)
	}
	return OfInt(v.Int + 1), nil
}

func appendRange(dst []byte, oid OID, v Value, style *Style) []byte {
	if v.Int&RangeEmpty != 0 {
		return append(dst, "empty"...)
	}
	open, end := byte('('), byte(')')
	if v.Int&RangeLowerInclusive != 0 {
		open = '['
	}
	if v.Int&RangeUpperInclusive != 0 {
		end = ']'
	}
	dst = append(dst, open)
	for i, b := range v.Elems {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !b.IsNull {
			dst = appendQuotedField(dst, AppendText(nil, rangeElem(oid), b, style), "()[],\"\\ \t\n\v\f\r")
		}
	}
	return append(dst, end)
}

func parseBinaryRange(oid OID, data []byte) (Value, error) {
	if len(data) == 0 {
		return Value{}, wrongLength(oid)
	}
	flags := int64(data[0])
	data = data[1:]
	if flags&RangeEmpty != 0 {
		if len(data) > 0 {
			return Value{}, wrongLength(oid)
		}
		return Value{Int: RangeEmpty}, nil
	}
	bounds := []Value{Null(), Null()}
	for i, infinite := range []int64{RangeLowerInfinite, RangeUpperInfinite} {
		if flags&infinite != 0 {
			continue
		}
		item, isNull, rest, ok := binaryItem(data)
		if !ok || isNull {
			return Value{}, wrongLength(oid)
		}
		v, err := ParseBinary(rangeElem(oid), item)
		if err != nil {
			return Value{}, err
		}
		bounds[i], data = v, rest
	}
	if len(data) > 0 {
		return Value{}, wrongLength(oid)
	}
	return MakeRange(oid, bounds[0], bounds[1], flags)
}

func appendBinaryRange(dst []byte, oid OID, v Value) []byte {
	dst = append(dst, byte(v.Int))
	for _, b := range v.Elems {
		if !b.IsNull {
			dst = appendBinaryItem(dst, rangeElem(oid), b)
		}
	}
	return dst
}

// compareRanges orders the empty range first, then by lower and upper bound.
func compareRanges(oid OID, a, b Value) int {
	emptyA, emptyB := a.Int&RangeEmpty != 0, b.Int&RangeEmpty != 0
	switch {
	case emptyA && emptyB:
		return 0
	case emptyA:
		return -1
	case emptyB:
		return 1
	}
	if c := CompareBounds(oid, a, 0, b, 0); c != 0 {
		return c
	}
	return CompareBounds(oid, a, 1, b, 1)
}

// CompareBounds orders bound i of a and bound j of b (0 lower, 1 upper); neither is empty.
func CompareBounds(oid OID, a Value, i int, b Value, j int) int {
	x, y := a.Elems[i], b.Elems[j]
	switch {
	case x.IsNull && y.IsNull && i == j:
		return 0
	case x.IsNull:
		return 2*i - 1
	case y.IsNull:
		return 1 - 2*j
	}
	if c := Compare(rangeElem(oid), x, y); c != 0 {
		return c
	}
	return boundRank(a, i) - boundRank(b, j)
}

// boundRank places a bound before, at or after its value.
func boundRank(v Value, i int) int {
	switch {
	case i == 0 && v.Int&RangeLowerInclusive == 0:
		return 1
	case i == 1 && v.Int&RangeUpperInclusive == 0:
		return -1
	}
	return 0
}
