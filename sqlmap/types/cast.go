package types

import (
	"bytes"
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

// Cast converts a value that is not NULL. REQUIRES: pg_cast has the cast, or it is that of
// the elements of arrays or one by output and input.
func Cast(v Value, from, to OID, style *Style) (Value, error) {
	switch {
	case from == to:
		return v, nil
	case from == Unknown:
		return ParseText(to, v.Bytes, style)
	case elemOf(from) != 0 && elemOf(to) != 0 && !to.isVector():
		return castArray(v, elemOf(from), elemOf(to), style)
	case numericRank(from) != 0 && numericRank(to) != 0:
		return castNumber(v, from, to)
	case isIdentifier(from) && (isIdentifier(to) || to == Int4 || to == Int8), isIdentifier(to) && numericRank(from) != 0:
		return castIdentifier(v, from, to)
	case isTime(from) && isTime(to):
		return castTime(v, from, to, style)
	case from == Char && (to == Text || to == Int4), to == Char:
		return castOther(v, from, to, style)
	case from.IsText() && to.IsText():
		if from == BPChar && to != Name {
			return OfBytes(bytes.TrimRight(v.Bytes, " ")), nil
		}
		if to == Name {
			return OfBytes(clipName(bytes.TrimRight(v.Bytes, " "))), nil
		}
		return v, nil
	case from == Bool && to.IsText():
		return OfText(strconv.FormatBool(v.Int != 0)), nil // unlike its output function
	case to.IsText() && from != PgNodeTree:
		return ParseText(to, AppendText(nil, from, v, style), style)
	case from.IsText():
		return ParseText(to, v.Bytes, style)
	}
	return castOther(v, from, to, style)
}

// isIdentifier reports oid and the types that show it as a name.
func isIdentifier(oid OID) bool { return oid == Oid || oid.IsReg() }

// isTime reports the types of dates and times.
func isTime(oid OID) bool {
	switch oid {
	case Date, Time, TimeTZ, Timestamp, TimestampTZ, Interval:
		return true
	}
	return false
}

func castIdentifier(v Value, from, to OID) (Value, error) {
	switch {
	case to == Int4:
		return OfInt(int64(int32(v.Int))), nil
	case to == Int8, from != Int8:
		if to != Int8 {
			v.Int = int64(uint32(v.Int))
		}
		return v, nil
	case v.Int < 0 || v.Int > math.MaxUint32:
		return Value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "OID out of range")
	}
	return v, nil
}

func castTime(v Value, from, to OID, style *Style) (Value, error) {
	switch from {
	case Date:
		return DateToTimestamp(v, to, style), nil
	case Interval:
		return TimeOfDay(v), nil
	case Time:
		if to == Interval {
			return v, nil
		}
		_, east := style.now().In(style.Zone()).Zone()
		return Value{Int: v.Int, Days: int32(-east)}, nil
	case TimeTZ:
		return OfInt(v.Int), nil
	case TimestampTZ:
		switch to {
		case Time, TimeTZ:
			return TimeFromTimestamp(to, v, style), nil
		case Date:
			return TimestampToDate(ToLocal(v, style)), nil
		}
		return ToLocal(v, style), nil
	}
	switch to {
	case Date:
		return TimestampToDate(v), nil
	case Time:
		return TimeOfDay(v), nil
	}
	return ToInstant(v, style), nil
}

// castOther does the casts that no rule covers.
func castOther(v Value, from, to OID, style *Style) (Value, error) {
	switch {
	case from == Bool || from == JSONB && to == JSON || from == Cidr || from == Bit && to == VarBit || from == VarBit || from == PgNodeTree || from == Char && to == Text:
		return v, nil
	case to == Bool && from == Int4:
		return OfBool(v.Int != 0), nil
	case to == Cidr:
		return MaskNetwork(v), nil
	case from == Char:
		return OfInt(int64(firstByte(v.Bytes))), nil
	case to == Char && from == Int4:
		if v.Int < 0 || v.Int >= utf8.RuneSelf {
			return Value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "\"char\" out of range")
		}
		if v.Int == 0 {
			return OfBytes(nil), nil
		}
		return OfBytes([]byte{byte(v.Int)}), nil
	case from == Xid8:
		return OfInt(int64(uint32(v.Int))), nil
	case to == Bit:
		return intToBits(v, from), nil
	case from == Bit:
		return bitsToInt(v, to)
	case from == JSONB:
		return castJSONScalar(v, to, style)
	}
	return ParseText(to, v.Bytes, style)
}

func castJSONScalar(v Value, to OID, style *Style) (Value, error) {
	isNumber := len(v.Bytes) > 0 && (v.Bytes[0] == '-' || isDigit(v.Bytes[0]))
	if to == Bool && (string(v.Bytes) == "true" || string(v.Bytes) == "false") || to != Bool && isNumber {
		if to == Bool {
			return ParseText(to, v.Bytes, style)
		}
		n, err := parseNumeric(v.Bytes)
		if err != nil || to == Numeric {
			return n, err
		}
		return castNumber(n, Numeric, to)
	}
	kind := map[byte]string{'{': "object", '[': "array", '"': "string", 't': "boolean", 'f': "boolean", 'n': "null"}[firstByte(v.Bytes)]
	if kind == "" {
		kind = "numeric"
	}
	return Value{}, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "cannot cast jsonb %s to type %s", kind, to)
}

func castArray(v Value, from, to OID, style *Style) (Value, error) {
	out := make([]Value, len(v.Elems))
	for i, e := range v.Elems {
		if err := Interrupted(style.context(), i); err != nil {
			return Value{}, err
		}
		if e.IsNull {
			out[i] = e
			continue
		}
		var err error
		if out[i], err = Cast(e, from, to, style); err != nil {
			return Value{}, err
		}
	}
	return Value{Elems: out, Shape: v.Shape}, nil
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
	case from == Numeric && string(v.Bytes) == "NaN":
		return Value{}, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "cannot convert NaN to %s", to)
	case from == Numeric && isSpecial(v.Bytes):
		return Value{}, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "cannot convert infinity to %s", to)
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
	return modifyRare(v, oid, n)
}

// modifyRare is Modify for the types whose modifiers are rarely written.
func modifyRare(v Value, oid OID, n int64) (Value, bool) {
	switch oid {
	case Bit:
		return resizeBits(v, n), n >= 1 && n <= varcharMax
	case VarBit:
		return resizeBits(v, min(n, v.Int)), n >= 1 && n <= varcharMax
	case Time, TimeTZ:
		if n < 6 && n >= 0 {
			unit := int64(math.Pow10(6 - int(n)))
			v.Int = int64(math.RoundToEven(float64(v.Int)/float64(unit))) * unit
		}
		return v, n >= 0
	}
	return v, false
}

// varcharMax bounds what padding can cost; PostgreSQL allows 10485760.
const varcharMax = 65536
