package query

import (
	"bytes"
	"encoding/binary"
	"math"

	"pgcache/sqlmap/types"
)

// keyClass groups types whose values are equal exactly if their keys are.
type keyClass uint8

const (
	keyNone keyClass = iota
	keyInt
	keyFloat
	keyNumeric
	keyText
	keyPadded // bpchar
	keyOwn    // comparable with the same type only
)

// classOf tells how values of a type are compared by keys. The type is no domain.
func classOf(oid types.OID) keyClass {
	switch oid {
	case types.Bool:
		return keyOwn
	case types.Int2, types.Int4, types.Int8, types.Oid, types.Xid, typeCid:
		return keyInt
	case types.Float4, types.Float8:
		return keyFloat
	case types.Numeric:
		return keyNumeric
	case types.Text, types.VarChar, types.Name, types.Unknown:
		return keyText
	case types.BPChar:
		return keyPadded
	}
	if isRegType(oid) {
		return keyInt
	}
	return keyOwn
}

// appendKey appends an encoding of v that is the same exactly for equal values of types of
// the same class, and that no other value's encoding begins with.
func appendKey(dst []byte, oid types.OID, v types.Value) []byte {
	if v.IsNull {
		return append(dst, 0)
	}
	dst = append(dst, 1)
	switch classOf(oid) {
	case keyInt:
		return binary.BigEndian.AppendUint64(dst, uint64(v.Int))
	case keyFloat:
		f := v.Float
		if f == 0 {
			f = 0 // no negative zero
		}
		if math.IsNaN(f) {
			f = math.NaN()
		}
		return binary.BigEndian.AppendUint64(dst, math.Float64bits(f))
	case keyNumeric:
		return appendBytesKey(dst, shortNumeric(v.Bytes))
	case keyText:
		return appendBytesKey(dst, v.Bytes)
	case keyPadded:
		return appendBytesKey(dst, bytes.TrimRight(v.Bytes, " "))
	}
	return appendOwnKey(dst, oid, v)
}

func appendOwnKey(dst []byte, oid types.OID, v types.Value) []byte {
	if v.Elems != nil {
		dst = binary.AppendUvarint(dst, uint64(len(v.Elems)))
		elem := oid.Elem()
		for i, e := range v.Elems {
			t := elem
			if v.Shape != nil && i < len(v.Shape.Fields) {
				t = v.Shape.Fields[i].Type
			}
			dst = appendKey(dst, t, e)
		}
		return dst
	}
	if oid == types.Interval {
		return binary.BigEndian.AppendUint64(dst, uint64(types.IntervalMicros(v)))
	}
	dst = binary.BigEndian.AppendUint64(dst, uint64(v.Int))
	dst = binary.BigEndian.AppendUint64(dst, math.Float64bits(v.Float))
	dst = binary.BigEndian.AppendUint64(dst, uint64(uint32(v.Days))<<32|uint64(uint32(v.Months)))
	return appendBytesKey(dst, v.Bytes)
}

func appendBytesKey(dst, b []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(b)))
	return append(dst, b...)
}

// shortNumeric is a numeric's text without zeros that do not count.
func shortNumeric(b []byte) []byte {
	if bytes.IndexByte(b, '.') < 0 {
		return b
	}
	b = bytes.TrimRight(b, "0")
	b = bytes.TrimSuffix(b, []byte("."))
	if string(b) == "-0" || len(b) == 0 {
		return []byte("0")
	}
	return b
}
