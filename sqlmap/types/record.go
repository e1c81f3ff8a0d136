package types

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"pgcache/pgwire"
)

// recordFieldsMax is the most columns that a record may have, as in PostgreSQL.
const recordFieldsMax = 1664

// appendQuotedField appends a part of a record or range, in quotes where it needs them.
func appendQuotedField(dst, text []byte, special string) []byte {
	if len(text) > 0 && !bytes.ContainsAny(text, special) {
		return append(dst, text...)
	}
	dst = append(dst, '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

func appendRecord(dst []byte, v Value, style *Style) []byte {
	dst = append(dst, '(')
	for i, field := range v.Elems {
		if i > 0 {
			dst = append(dst, ',')
		}
		if !field.IsNull {
			dst = appendQuotedField(dst, AppendText(nil, v.fieldType(i), field, style), "\"\\(), \t\n\v\f\r")
		}
	}
	return append(dst, ')')
}

func (v *Value) fieldType(i int) OID {
	if v.Shape == nil || i >= len(v.Shape.Fields) {
		return Text
	}
	return v.Shape.Fields[i].Type
}

func appendBinaryRecord(dst []byte, v Value) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.Elems)))
	for i, field := range v.Elems {
		dst = binary.BigEndian.AppendUint32(dst, uint32(v.fieldType(i)))
		dst = appendBinaryItem(dst, v.fieldType(i), field)
	}
	return dst
}

// parseRecord refuses: what a record is a record of, its text does not tell.
func parseRecord() (Value, error) {
	return Value{}, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "input of anonymous composite types is not implemented")
}

// parseBinaryRecord reads a record that tells its types.
func parseBinaryRecord(data []byte) (Value, error) {
	malformed := wrongLength(Record)
	if len(data) < 4 {
		return Value{}, malformed
	}
	n := int(binary.BigEndian.Uint32(data))
	data = data[4:]
	if n > recordFieldsMax || n > len(data)/8 {
		return Value{}, malformed
	}
	out := Value{Elems: make([]Value, n), Shape: &Shape{Fields: make([]Field, n)}}
	for i := range n {
		if len(data) < 8 {
			return Value{}, malformed
		}
		oid := OID(binary.BigEndian.Uint32(data))
		item, isNull, rest, ok := binaryItem(data[4:])
		if !ok || Lookup(oid) == nil || oid == Record || oid == RecordArray { // no recursion on input
			return Value{}, malformed
		}
		out.Shape.Fields[i].Type, data = oid, rest
		if isNull {
			out.Elems[i] = Null()
			continue
		}
		v, err := ParseBinary(oid, item)
		if err != nil {
			return Value{}, err
		}
		out.Elems[i] = v
	}
	if len(data) > 0 {
		return Value{}, malformed
	}
	return out, nil
}

// compareRecords orders by fields; NULLs are equal and last.
func compareRecords(a, b Value) int {
	for i := range min(len(a.Elems), len(b.Elems)) {
		x, y := a.Elems[i], b.Elems[i]
		c := 0
		switch {
		case x.IsNull || y.IsNull:
			c = cmp.Compare(rankNull(x), rankNull(y))
		case a.fieldType(i) != b.fieldType(i) && WiderNumeric(a.fieldType(i), b.fieldType(i)) != 0:
			c = compareNumbers(x, a.fieldType(i), y, b.fieldType(i))
		default:
			c = Compare(a.fieldType(i), x, y)
		}
		if c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a.Elems), len(b.Elems))
}

// compareNumbers compares numbers of two types.
func compareNumbers(a Value, from OID, b Value, to OID) int {
	wider := WiderNumeric(from, to)
	x, err1 := Cast(a, from, wider, nil)
	y, err2 := Cast(b, to, wider, nil)
	if err1 != nil || err2 != nil {
		return 0
	}
	return Compare(wider, x, y)
}
