package types

import (
	"bytes"

	"pgcache/pgwire"
)

// Value is a value of some type. Which fields count depends on the type:
//
//	bool, integers, oid, reg…, xid  Int
//	xid8, pg_lsn                    Int, read as unsigned
//	tid                             Int, block<<16 | item
//	date                            Int, days since 2000-01-01; ±infinity are the extremes of int4
//	time, timetz                    Int (microseconds since midnight), Days (seconds west of Greenwich)
//	timestamp, timestamptz          Int, microseconds since 2000-01-01; ±infinity are the extremes
//	interval                        Int (microseconds), Days, Months
//	float4, float8                  Float
//	text types, "char", json, jsonb Bytes, the text; so xml, aclitem and pg_node_tree
//	numeric                         Bytes, the canonical text
//	bytea, uuid                     Bytes
//	bit, varbit                     Int (how many), Bytes (packed)
//	pg_snapshot, txid_snapshot      Bytes, the canonical text
//	macaddr, macaddr8               Bytes (6 or 8)
//	inet, cidr                      Int (length of the prefix), Bytes (4 or 16)
//	ranges                          Int (flags), Elems (lower and upper bound)
//	arrays                          Elems, row by row, and Shape unless of one dimension from 1
//	records, composite types        Elems, and Shape
type Value struct {
	IsNull       bool
	Int          int64
	Float        float64
	Bytes        []byte
	Elems        []Value
	Days, Months int32
	Shape        *Shape
}

// Shape is what an array or a record tells besides its elements. It is immutable.
type Shape struct {
	// Dims are the dimensions of an array; nil: one dimension with the lower bound 1, or
	// an empty array.
	Dims []Dim
	// Fields are the columns of a record. The type of a record value is its own: Fields
	// are there even where the static type is just record.
	Fields []Field
}

// Dim is a dimension of an array.
type Dim struct{ Length, Lower int32 }

// Field is a column of a record.
type Field struct {
	Name string
	Type OID
}

// OfRecord makes a record.
func OfRecord(shape *Shape, fields []Value) Value { return Value{Elems: fields, Shape: shape} }

// OfArray makes an array of one dimension.
func OfArray(elems []Value) Value { return Value{Elems: elems} }

// OfVector makes an int2vector or oidvector, whose subscripts start at 0.
func OfVector(elems []Value) Value {
	return Value{Elems: elems, Shape: &Shape{Dims: []Dim{{Length: int32(len(elems)), Lower: 0}}}}
}

// Dims are the dimensions of an array; none if it is empty.
func (v *Value) Dims() []Dim {
	switch {
	case len(v.Elems) == 0:
		return nil
	case v.Shape != nil && len(v.Shape.Dims) > 0:
		return v.Shape.Dims
	}
	return []Dim{{Length: int32(len(v.Elems)), Lower: 1}}
}

// Null is NULL.
func Null() Value { return Value{IsNull: true} }

// OfInt makes an integer.
func OfInt(i int64) Value { return Value{Int: i} }

// OfBool makes a boolean.
func OfBool(b bool) Value {
	if b {
		return Value{Int: 1}
	}
	return Value{}
}

// OfText makes a value of a text type, or a numeric from its canonical text.
func OfText(s string) Value { return Value{Bytes: []byte(s)} }

// OfBytes makes a value over b, which is not copied.
func OfBytes(b []byte) Value { return Value{Bytes: b} }

// OfFloat makes a floating point number.
func OfFloat(f float64) Value { return Value{Float: f} }

// OfTexts makes an array of texts.
func OfTexts(texts []string) Value {
	elems := make([]Value, len(texts))
	for i, s := range texts {
		elems[i] = OfText(s)
	}
	return Value{Elems: elems}
}

// IsTrue reports the boolean true; NULL is not.
func (v Value) IsTrue() bool { return !v.IsNull && v.Int != 0 }

// Text is the string of a text value; it copies.
func (v Value) Text() string { return string(v.Bytes) }

// Size is about how many bytes of memory the value holds.
func (v Value) Size() int64 {
	const fixed = 96 // the struct
	n := int64(fixed + len(v.Bytes))
	for i := range v.Elems {
		n += v.Elems[i].Size()
	}
	return n
}

// Clone is a copy that shares no memory with v.
func (v Value) Clone() Value {
	v.Bytes = bytes.Clone(v.Bytes)
	if v.Elems != nil {
		elems := make([]Value, len(v.Elems))
		for i := range elems {
			elems[i] = v.Elems[i].Clone()
		}
		v.Elems = elems
	}
	return v
}

// Format is an output format code of the protocol.
type Format = pgwire.Format
