package types

import (
	"bytes"
	"cmp"
	"math"
	"strconv"
	"unicode/utf8"

	"pgcache/pgwire"
)

// Context says who asks for a cast; each includes those before it.
type Context uint8

const (
	NoCast     Context = iota
	Explicit           // x::type
	Assignment         // storing into a column
	Implicit           // an argument of an operator or function
)

// CastContext is the most casual context in which a cast exists.
func CastContext(from, to OID) Context {
	switch {
	case from == to || from == Unknown:
		return Implicit
	case elemOf(from) != 0 && elemOf(to) != 0:
		return CastContext(elemOf(from), elemOf(to))
	case Lookup(from) == nil || Lookup(to) == nil || from == Void || to == Void || to == Unknown:
		return NoCast
	}
	if c := numericContext(from, to); c != NoCast {
		return c
	}
	switch {
	case from.IsText() && to.IsText():
		if to == Name || to == BPChar && from == Name {
			return Assignment
		}
		return Implicit
	case from == Char && to == Text:
		return Implicit
	case from == Timestamp && to == TimestampTZ:
		return Implicit
	case from == TimestampTZ && to == Timestamp, from == JSON && to == JSONB, from == JSONB && to == JSON:
		return Assignment
	case from == Int4 && to == Bool, from == Bool && to == Int4:
		return Explicit
	case to.Category() == CategoryString:
		return Assignment // by output and input
	case from.Category() == CategoryString:
		return Explicit
	case from == JSONB && (to == Bool || to.Category() == CategoryNumeric && to != Oid):
		return Explicit
	}
	return NoCast
}

// numericRank orders numeric types by what they can hold; 0: not one of them.
func numericRank(oid OID) int {
	switch oid {
	case Int2:
		return 1
	case Int4:
		return 2
	case Int8:
		return 3
	case Numeric:
		return 4
	case Float4:
		return 5
	case Float8:
		return 6
	}
	return 0
}

// WiderNumeric is the type in which two numbers are compared and added; 0 if one is not a
// number.
func WiderNumeric(a, b OID) OID {
	if numericRank(a) == 0 || numericRank(b) == 0 {
		return 0
	}
	if (a == Float4) != (b == Float4) && a != Float8 && b != Float8 {
		return Float8 // as PostgreSQL resolves float4 with anything else
	}
	if numericRank(a) > numericRank(b) {
		return a
	}
	return b
}

func numericContext(from, to OID) Context {
	a, b := numericRank(from), numericRank(to)
	switch {
	case a != 0 && b != 0 && a < b:
		return Implicit
	case a != 0 && b != 0:
		return Assignment
	case to == Oid && a != 0 && a <= 3:
		return Implicit
	case from == Oid && (to == Int4 || to == Int8):
		return Assignment
	}
	return NoCast
}

// Cast converts a value that is not NULL. REQUIRES: CastContext(from, to) != NoCast.
func Cast(v Value, from, to OID, style *Style) (Value, error) {
	switch {
	case from == to:
		return v, nil
	case from == Unknown:
		return ParseText(to, v.Bytes, style)
	case elemOf(from) != 0 && elemOf(to) != 0:
		return castArray(v, elemOf(from), elemOf(to), style)
	case numericContext(from, to) != NoCast:
		return castNumber(v, from, to)
	case from.IsText() && to.IsText():
		if to == Name {
			return OfBytes(clipName(v.Bytes)), nil
		}
		if from == BPChar {
			return OfBytes(bytes.TrimRight(v.Bytes, " ")), nil
		}
		return v, nil
	case from == Bool && to == Int4:
		return v, nil
	case from == Int4 && to == Bool:
		return OfBool(v.Int != 0), nil
	case from == Timestamp && to == TimestampTZ:
		return ToInstant(v, style), nil
	case from == TimestampTZ && to == Timestamp:
		return ToLocal(v, style), nil
	case from == JSONB && to == JSON:
		return v, nil
	case from == JSON && to == JSONB, from == JSONB && to != Text && to.Category() != CategoryString:
		return ParseText(to, v.Bytes, style)
	case from == Bool && to.Category() == CategoryString:
		return OfText(strconv.FormatBool(v.Int != 0)), nil // unlike its output function
	case to.Category() == CategoryString:
		return ParseText(to, AppendText(nil, from, v, style), style)
	default:
		return ParseText(to, v.Bytes, style)
	}
}

func castArray(v Value, from, to OID, style *Style) (Value, error) {
	out := make([]Value, len(v.Elems))
	for i, e := range v.Elems {
		if e.IsNull {
			out[i] = e
			continue
		}
		var err error
		if out[i], err = Cast(e, from, to, style); err != nil {
			return Value{}, err
		}
	}
	return Value{Elems: out}, nil
}

func castNumber(v Value, from, to OID) (Value, error) {
	switch {
	case to == Numeric && (from == Float4 || from == Float8):
		bits := 64
		if from == Float4 {
			bits = 32
		}
		const digits = 15 // as PostgreSQL converts; 6 for float4
		precision := digits
		if bits == 32 {
			precision = 6
		}
		return parseNumeric(strconv.AppendFloat(nil, v.Float, 'g', precision, bits))
	case to == Numeric:
		return OfBytes(strconv.AppendInt(nil, v.Int, 10)), nil
	case to == Float4 || to == Float8:
		return castFloat(v, from, to)
	case from == Numeric:
		rounded := NumericRound(v, 0)
		i, err := strconv.ParseInt(string(rounded.Bytes), 10, 64)
		if err != nil || !intFits(to, i) {
			return Value{}, outOfRange(to)
		}
		return OfInt(i), nil
	case from == Float4 || from == Float8:
		f := math.RoundToEven(v.Float)
		if math.IsNaN(f) || f < math.MinInt64 || f >= -math.MinInt64 || !intFits(to, int64(f)) {
			return Value{}, outOfRange(to)
		}
		return OfInt(int64(f)), nil
	}
	if to == Oid && from != Int8 {
		return OfInt(int64(uint32(v.Int))), nil
	}
	if !intFits(to, v.Int) {
		return Value{}, outOfRange(to)
	}
	return v, nil
}

func castFloat(v Value, from, to OID) (Value, error) {
	f := v.Float
	switch from {
	case Int2, Int4, Int8:
		f = float64(v.Int)
	case Numeric:
		parsed, err := parseFloat(Float8, v.Bytes)
		if err != nil {
			return Value{}, err
		}
		f = parsed.Float
	}
	if to == Float4 {
		narrow := float64(float32(f))
		if math.IsInf(narrow, 0) && !math.IsInf(f, 0) {
			return Value{}, outOfRange(to)
		}
		f = narrow
	}
	return OfFloat(f), nil
}

func outOfRange(to OID) error {
	return pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "%s out of range", to)
}

// Modify applies a type modifier given as in varchar(n): an explicit cast truncates.
// ok is false for modifiers the dialect does not have.
func Modify(v Value, oid OID, modifiers []int64) (Value, bool) {
	if len(modifiers) == 0 {
		return v, true
	}
	n := modifiers[0]
	switch oid {
	case VarChar, BPChar:
		text := v.Bytes
		for i := int64(0); len(text) > 0; i++ {
			if i == n {
				return OfBytes(v.Bytes[:len(v.Bytes)-len(text)]), true
			}
			_, size := utf8.DecodeRune(text)
			text = text[size:]
		}
		if missing := n - int64(utf8.RuneCount(v.Bytes)); oid == BPChar && missing > 0 {
			return OfBytes(append(bytes.Clone(v.Bytes), bytes.Repeat([]byte{' '}, int(missing))...)), true
		}
		return v, true
	case Numeric:
		scale := int64(0)
		if len(modifiers) > 1 {
			scale = modifiers[1]
		}
		return NumericRound(v, int(scale)), scale >= 0 && scale <= 1000
	case Timestamp, TimestampTZ:
		if v.Int == plusInfinity || v.Int == minusInfinity || n >= 6 {
			return v, true
		}
		unit := int64(math.Pow10(6 - int(n)))
		return OfInt(int64(math.RoundToEven(float64(v.Int)/float64(unit))) * unit), true
	}
	return v, false
}

// Compare orders two values of one type that are not NULL.
func Compare(oid OID, a, b Value) int {
	switch oid {
	case Float4, Float8:
		return compareFloat(a.Float, b.Float)
	case Numeric:
		return compareNumeric(a.Bytes, b.Bytes)
	case Interval:
		return cmp.Compare(IntervalMicros(a), IntervalMicros(b))
	case BPChar:
		return bytes.Compare(bytes.TrimRight(a.Bytes, " "), bytes.TrimRight(b.Bytes, " "))
	case Text, VarChar, Name, Char, Bytea, UUID, JSONB, JSON:
		return bytes.Compare(a.Bytes, b.Bytes)
	}
	if elem := elemOf(oid); elem != 0 {
		return compareArrays(elem, a, b)
	}
	return cmp.Compare(a.Int, b.Int)
}

// compareFloat orders NaN above all and equal to itself.
func compareFloat(a, b float64) int {
	switch {
	case math.IsNaN(a) && math.IsNaN(b):
		return 0
	case math.IsNaN(a):
		return 1
	case math.IsNaN(b):
		return -1
	}
	return cmp.Compare(a, b)
}

// compareArrays orders by elements, then by length; in arrays NULLs are equal and last.
func compareArrays(elem OID, a, b Value) int {
	for i := range min(len(a.Elems), len(b.Elems)) {
		x, y := a.Elems[i], b.Elems[i]
		c := 0
		switch {
		case x.IsNull || y.IsNull:
			c = cmp.Compare(rankNull(x), rankNull(y))
		default:
			c = Compare(elem, x, y)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a.Elems), len(b.Elems))
}

func rankNull(v Value) int {
	if v.IsNull {
		return 1
	}
	return 0
}
