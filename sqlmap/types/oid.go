package types

import "strings"

// OID names a type, as on the wire.
type OID uint32

// The types of the dialect, with PostgreSQL's OIDs.
const (
	Bool        OID = 16
	Bytea       OID = 17
	Char        OID = 18
	Name        OID = 19
	Int8        OID = 20
	Int2        OID = 21
	Int4        OID = 23
	Text        OID = 25
	Oid         OID = 26
	Xid         OID = 28
	JSON        OID = 114
	Float4      OID = 700
	Float8      OID = 701
	Unknown     OID = 705
	BPChar      OID = 1042
	VarChar     OID = 1043
	Timestamp   OID = 1114
	TimestampTZ OID = 1184
	Interval    OID = 1186
	Numeric     OID = 1700
	Void        OID = 2278
	UUID        OID = 2950
	JSONB       OID = 3802

	BoolArray        OID = 1000
	ByteaArray       OID = 1001
	NameArray        OID = 1003
	Int2Array        OID = 1005
	Int4Array        OID = 1007
	TextArray        OID = 1009
	BPCharArray      OID = 1014
	VarCharArray     OID = 1015
	Int8Array        OID = 1016
	Float4Array      OID = 1021
	Float8Array      OID = 1022
	OidArray         OID = 1028
	TimestampArray   OID = 1115
	TimestampTZArray OID = 1185
	IntervalArray    OID = 1187
	NumericArray     OID = 1231
	JSONArray        OID = 199
	UUIDArray        OID = 2951
	JSONBArray       OID = 3807
)

// Category groups types as operators and functions prefer them.
type Category byte

const (
	CategoryBool     Category = 'B'
	CategoryNumeric  Category = 'N'
	CategoryString   Category = 'S'
	CategoryTime     Category = 'D'
	CategoryInterval Category = 'T'
	CategoryArray    Category = 'A'
	CategoryPseudo   Category = 'P'
	CategoryUser     Category = 'U'
)

// Type describes a type.
type Type struct {
	OID      OID
	Name     string // as PostgreSQL prints it in messages: "integer"
	Internal string // as pg_type has it: "int4"
	Size     int16  // bytes, -1: variable
	Category Category
	Array    OID // the array type over it; 0: none
	Elem     OID // of an array type; 0: not an array
}

// Lookup describes the type of an OID; nil if the dialect does not have it.
func Lookup(oid OID) *Type {
	switch oid {
	case Bool:
		return &Type{oid, "boolean", "bool", 1, CategoryBool, BoolArray, 0}
	case Bytea:
		return &Type{oid, "bytea", "bytea", -1, CategoryUser, ByteaArray, 0}
	case Char:
		return &Type{oid, `"char"`, "char", 1, CategoryString, 0, 0}
	case Name:
		return &Type{oid, "name", "name", 64, CategoryString, NameArray, 0}
	case Int8:
		return &Type{oid, "bigint", "int8", 8, CategoryNumeric, Int8Array, 0}
	case Int2:
		return &Type{oid, "smallint", "int2", 2, CategoryNumeric, Int2Array, 0}
	case Int4:
		return &Type{oid, "integer", "int4", 4, CategoryNumeric, Int4Array, 0}
	case Text:
		return &Type{oid, "text", "text", -1, CategoryString, TextArray, 0}
	case Oid:
		return &Type{oid, "oid", "oid", 4, CategoryNumeric, OidArray, 0}
	case Xid:
		return &Type{oid, "xid", "xid", 4, CategoryUser, 0, 0}
	case JSON:
		return &Type{oid, "json", "json", -1, CategoryUser, JSONArray, 0}
	case Float4:
		return &Type{oid, "real", "float4", 4, CategoryNumeric, Float4Array, 0}
	case Float8:
		return &Type{oid, "double precision", "float8", 8, CategoryNumeric, Float8Array, 0}
	case Unknown:
		return &Type{oid, "unknown", "unknown", -2, CategoryPseudo, 0, 0}
	case BPChar:
		return &Type{oid, "character", "bpchar", -1, CategoryString, BPCharArray, 0}
	case VarChar:
		return &Type{oid, "character varying", "varchar", -1, CategoryString, VarCharArray, 0}
	case Timestamp:
		return &Type{oid, "timestamp without time zone", "timestamp", 8, CategoryTime, TimestampArray, 0}
	case TimestampTZ:
		return &Type{oid, "timestamp with time zone", "timestamptz", 8, CategoryTime, TimestampTZArray, 0}
	case Interval:
		return &Type{oid, "interval", "interval", 16, CategoryInterval, IntervalArray, 0}
	case Numeric:
		return &Type{oid, "numeric", "numeric", -1, CategoryNumeric, NumericArray, 0}
	case Void:
		return &Type{oid, "void", "void", 4, CategoryPseudo, 0, 0}
	case UUID:
		return &Type{oid, "uuid", "uuid", 16, CategoryUser, UUIDArray, 0}
	case JSONB:
		return &Type{oid, "jsonb", "jsonb", -1, CategoryUser, JSONBArray, 0}
	}
	return lookupArray(oid)
}

func lookupArray(oid OID) *Type {
	elem := elemOf(oid)
	if elem == 0 {
		return nil
	}
	t := Lookup(elem)
	return &Type{oid, t.Name + "[]", "_" + t.Internal, -1, CategoryArray, 0, elem}
}

// scalars are the types that have names, in the order in which messages would list them.
var scalars = [...]OID{Bool, Bytea, Char, Name, Int8, Int2, Int4, Text, Oid, Xid, JSON, Float4, Float8, Unknown,
	BPChar, VarChar, Timestamp, TimestampTZ, Interval, Numeric, Void, UUID, JSONB}

// elemOf is the element type of an array type, or 0.
func elemOf(oid OID) OID {
	switch oid {
	case TextArray:
		return Text
	case Int8Array:
		return Int8
	case ByteaArray:
		return Bytea
	case BoolArray:
		return Bool
	case NameArray:
		return Name
	case Int2Array:
		return Int2
	case Int4Array:
		return Int4
	case BPCharArray:
		return BPChar
	case VarCharArray:
		return VarChar
	case Float4Array:
		return Float4
	case Float8Array:
		return Float8
	case OidArray:
		return Oid
	case TimestampArray:
		return Timestamp
	case TimestampTZArray:
		return TimestampTZ
	case IntervalArray:
		return Interval
	case NumericArray:
		return Numeric
	case JSONArray:
		return JSON
	case UUIDArray:
		return UUID
	case JSONBArray:
		return JSONB
	}
	return 0
}

// Elem is the element type of an array type, or 0.
func (oid OID) Elem() OID { return elemOf(oid) }

// ArrayOf is the array type over an element type, or 0.
func ArrayOf(elem OID) OID {
	if t := Lookup(elem); t != nil {
		return t.Array
	}
	return 0
}

// Category is the category of a type; CategoryPseudo for those the dialect does not have.
func (oid OID) Category() Category {
	switch oid {
	case Text, VarChar, BPChar, Name, Char:
		return CategoryString
	case Int2, Int4, Int8, Numeric, Float4, Float8, Oid:
		return CategoryNumeric
	}
	if t := Lookup(oid); t != nil {
		return t.Category
	}
	return CategoryPseudo
}

// IsText reports the types whose values are strings of characters.
func (oid OID) IsText() bool {
	return oid == Text || oid == VarChar || oid == BPChar || oid == Name
}

// String is the name that messages use.
func (oid OID) String() string {
	if t := Lookup(oid); t != nil {
		return t.Name
	}
	return "???"
}

// ByName finds a type by its internal or SQL name, e.g. "int8" or "bigint"; 0 if there is
// none. A name with [] is an array type.
func ByName(name string) OID {
	if elem, isArray := strings.CutSuffix(name, "[]"); isArray {
		return ArrayOf(ByName(elem))
	}
	switch name {
	case "int", "serial":
		return Int4
	case "float":
		return Float8
	case "decimal":
		return Numeric
	case "string":
		return 0
	}
	for _, oid := range scalars {
		if t := Lookup(oid); t.Internal == name || t.Name == name {
			return oid
		}
		if array := ArrayOf(oid); array != 0 && "_"+Lookup(oid).Internal == name {
			return array
		}
	}
	return 0
}
