package types

import (
	"bytes"
	"cmp"
	"hash/maphash"
	"math"
	"slices"
)

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
	case Text, VarChar, Name, Char, Bytea, UUID, JSON, XML, Cstring, AclItem, PgNodeTree:
		return bytes.Compare(a.Bytes, b.Bytes)
	case JSONB:
		return compareJSON(a.Bytes, b.Bytes)
	case Bool, Int2, Int4, Int8, Oid, Xid, Timestamp, TimestampTZ, Date, Time:
		return cmp.Compare(a.Int, b.Int)
	}
	return compareRare(oid, a, b)
}

// compareRare is Compare for the types that are mostly the catalog's.
func compareRare(oid OID, a, b Value) int {
	switch oid {
	case Inet, Cidr:
		return compareNetworks(a, b)
	case Bit, VarBit:
		return compareBits(a, b)
	case PgSnapshot, TxidSnapshot, MacAddr, MacAddr8:
		return bytes.Compare(a.Bytes, b.Bytes)
	case Xid8, PgLSN:
		return cmp.Compare(uint64(a.Int), uint64(b.Int))
	case TimeTZ:
		x, y := a.Int+int64(a.Days)*microsPerSecond, b.Int+int64(b.Days)*microsPerSecond
		if x != y {
			return cmp.Compare(x, y)
		}
		return cmp.Compare(a.Days, b.Days)
	case OidVector:
		if len(a.Elems) != len(b.Elems) {
			return len(a.Elems) - len(b.Elems)
		}
	}
	switch elem := elemOf(oid); {
	case elem != 0:
		return compareArrays(elem, a, b)
	case rangeElem(oid) != 0:
		return compareRanges(oid, a, b)
	case a.Elems != nil || b.Elems != nil:
		return compareRecords(a, b)
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
	if c := cmp.Compare(len(a.Elems), len(b.Elems)); c != 0 {
		return c
	}
	return slices.CompareFunc(a.Dims(), b.Dims(), func(x, y Dim) int {
		return cmp.Or(cmp.Compare(x.Length, y.Length), cmp.Compare(x.Lower, y.Lower))
	})
}

func rankNull(v Value) int {
	if v.IsNull {
		return 1
	}
	return 0
}

// Hash adds a value that is not NULL to a hash: values that Compare as equal, of one type,
// hash alike.
func Hash(h *maphash.Hash, oid OID, v Value) {
	switch oid {
	case Float4, Float8:
		f := v.Float
		if f == 0 || math.IsNaN(f) {
			f = math.Abs(f) // -0 is 0
		}
		if math.IsNaN(f) {
			f = math.NaN()
		}
		maphash.WriteComparable(h, math.Float64bits(f))
		return
	case Numeric:
		_, _ = h.Write(trimScale(v.Bytes))
		_ = h.WriteByte(0)
		return
	case BPChar:
		_, _ = h.Write(bytes.TrimRight(v.Bytes, " "))
		_ = h.WriteByte(0)
		return
	case Interval:
		maphash.WriteComparable(h, IntervalMicros(v))
		return
	case JSONB:
		hashJSON(h, v.Bytes)
		return
	}
	if len(v.Elems) == 0 {
		_, _ = h.Write(v.Bytes)
		maphash.WriteComparable(h, v.Int+int64(len(v.Bytes))<<32)
		return
	}
	for i, e := range v.Elems {
		t := elemOf(oid)
		if t == 0 {
			if t = rangeElem(oid); t == 0 {
				t = hashType(v.fieldType(i))
			}
		}
		if e.IsNull {
			_ = h.WriteByte(1)
			continue
		}
		_ = h.WriteByte(2)
		if t == 0 { // a number of a record, comparable with others
			n, _ := Cast(e, v.fieldType(i), Float8, nil)
			Hash(h, Float8, n)
			continue
		}
		Hash(h, t, e)
	}
}

// hashJSON hashes a text without the zeros that end fractions: 1.0 equals 1.
func hashJSON(h *maphash.Hash, text []byte) {
	for len(text) > 0 {
		point := bytes.IndexByte(text, '.')
		if point < 0 {
			break
		}
		end := point + 1
		for end < len(text) && isDigit(text[end]) {
			end++
		}
		_, _ = h.Write(trimScale(text[:end]))
		text = text[end:]
	}
	_, _ = h.Write(text)
}

// hashType is 0 for the numbers, which are compared across types in records.
func hashType(t OID) OID {
	if numericRank(t) != 0 {
		return 0
	}
	return t
}

// trimScale cuts the zeros at the end of the fraction.
func trimScale(text []byte) []byte {
	if bytes.IndexByte(text, '.') < 0 {
		return text
	}
	return bytes.TrimRight(bytes.TrimRight(text, "0"), ".")
}
