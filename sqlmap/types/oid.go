package types

import "strings"

// OID names a type, as on the wire.
type OID uint32

// The types that values can have, with PostgreSQL's OIDs.
const (
	Bool          OID = 16
	Bytea         OID = 17
	Char          OID = 18
	Name          OID = 19
	Int8          OID = 20
	Int2          OID = 21
	Int2Vector    OID = 22
	Int4          OID = 23
	RegProc       OID = 24
	Text          OID = 25
	Oid           OID = 26
	Tid           OID = 27
	Xid           OID = 28
	Cid           OID = 29
	OidVector     OID = 30
	JSON          OID = 114
	XML           OID = 142
	PgNodeTree    OID = 194
	Cidr          OID = 650
	Float4        OID = 700
	Float8        OID = 701
	Unknown       OID = 705
	MacAddr8      OID = 774
	MacAddr       OID = 829
	Inet          OID = 869
	AclItem       OID = 1033
	BPChar        OID = 1042
	VarChar       OID = 1043
	Date          OID = 1082
	Time          OID = 1083
	Timestamp     OID = 1114
	TimestampTZ   OID = 1184
	Interval      OID = 1186
	TimeTZ        OID = 1266
	Bit           OID = 1560
	VarBit        OID = 1562
	Numeric       OID = 1700
	RegProcedure  OID = 2202
	RegOper       OID = 2203
	RegOperator   OID = 2204
	RegClass      OID = 2205
	RegType       OID = 2206
	Record        OID = 2249
	Cstring       OID = 2275
	Void          OID = 2278
	UUID          OID = 2950
	TxidSnapshot  OID = 2970
	PgLSN         OID = 3220
	RegConfig     OID = 3734
	RegDictionary OID = 3769
	JSONB         OID = 3802
	Int4Range     OID = 3904
	NumRange      OID = 3906
	TsRange       OID = 3908
	TsTzRange     OID = 3910
	DateRange     OID = 3912
	Int8Range     OID = 3926
	RegNamespace  OID = 4089
	RegRole       OID = 4096
	RegCollation  OID = 4191
	PgSnapshot    OID = 5038
	Xid8          OID = 5069

	BoolArray        OID = 1000
	ByteaArray       OID = 1001
	CharArray        OID = 1002
	NameArray        OID = 1003
	Int2Array        OID = 1005
	Int2VectorArray  OID = 1006
	Int4Array        OID = 1007
	RegProcArray     OID = 1008
	TextArray        OID = 1009
	OidVectorArray   OID = 1013
	BPCharArray      OID = 1014
	VarCharArray     OID = 1015
	Int8Array        OID = 1016
	Float4Array      OID = 1021
	Float8Array      OID = 1022
	OidArray         OID = 1028
	AclItemArray     OID = 1034
	TimestampArray   OID = 1115
	DateArray        OID = 1182
	TimestampTZArray OID = 1185
	IntervalArray    OID = 1187
	NumericArray     OID = 1231
	JSONArray        OID = 199
	RegClassArray    OID = 2210
	RegTypeArray     OID = 2211
	RecordArray      OID = 2287
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
	CategoryNetwork  Category = 'I'
	CategoryBits     Category = 'V'
	CategoryRange    Category = 'R'
	CategoryPseudo   Category = 'P'
	CategoryUser     Category = 'U'
	CategoryInternal Category = 'Z'
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

// scalarTypes are the types that are no arrays, in the order in which messages would list
// them. int2vector and oidvector are arrays that pg_type does not name as such.
func scalarTypes() []Type {
	return []Type{
		{Bool, "boolean", "bool", 1, CategoryBool, BoolArray, 0},
		{Bytea, "bytea", "bytea", -1, CategoryUser, ByteaArray, 0},
		{Char, `"char"`, "char", 1, CategoryInternal, CharArray, 0},
		{Name, "name", "name", 64, CategoryString, NameArray, 0},
		{Int8, "bigint", "int8", 8, CategoryNumeric, Int8Array, 0},
		{Int2, "smallint", "int2", 2, CategoryNumeric, Int2Array, 0},
		{Int2Vector, "int2vector", "int2vector", -1, CategoryArray, Int2VectorArray, Int2},
		{Int4, "integer", "int4", 4, CategoryNumeric, Int4Array, 0},
		{RegProc, "regproc", "regproc", 4, CategoryNumeric, RegProcArray, 0},
		{Text, "text", "text", -1, CategoryString, TextArray, 0},
		{Oid, "oid", "oid", 4, CategoryNumeric, OidArray, 0},
		{Tid, "tid", "tid", 6, CategoryUser, 1010, 0},
		{Xid, "xid", "xid", 4, CategoryUser, 1011, 0},
		{Cid, "cid", "cid", 4, CategoryUser, 1012, 0},
		{OidVector, "oidvector", "oidvector", -1, CategoryArray, OidVectorArray, Oid},
		{JSON, "json", "json", -1, CategoryUser, JSONArray, 0},
		{XML, "xml", "xml", -1, CategoryUser, 143, 0},
		{PgNodeTree, "pg_node_tree", "pg_node_tree", -1, CategoryInternal, 0, 0},
		{Cidr, "cidr", "cidr", -1, CategoryNetwork, 651, 0},
		{Float4, "real", "float4", 4, CategoryNumeric, Float4Array, 0},
		{Float8, "double precision", "float8", 8, CategoryNumeric, Float8Array, 0},
		{Unknown, "unknown", "unknown", -2, CategoryPseudo, 0, 0},
		{MacAddr8, "macaddr8", "macaddr8", 8, CategoryUser, 775, 0},
		{MacAddr, "macaddr", "macaddr", 6, CategoryUser, 1040, 0},
		{Inet, "inet", "inet", -1, CategoryNetwork, 1041, 0},
		{AclItem, "aclitem", "aclitem", 16, CategoryUser, AclItemArray, 0},
		{BPChar, "character", "bpchar", -1, CategoryString, BPCharArray, 0},
		{VarChar, "character varying", "varchar", -1, CategoryString, VarCharArray, 0},
		{Date, "date", "date", 4, CategoryTime, DateArray, 0},
		{Time, "time without time zone", "time", 8, CategoryTime, 1183, 0},
		{Timestamp, "timestamp without time zone", "timestamp", 8, CategoryTime, TimestampArray, 0},
		{TimestampTZ, "timestamp with time zone", "timestamptz", 8, CategoryTime, TimestampTZArray, 0},
		{Interval, "interval", "interval", 16, CategoryInterval, IntervalArray, 0},
		{TimeTZ, "time with time zone", "timetz", 12, CategoryTime, 1270, 0},
		{Bit, "bit", "bit", -1, CategoryBits, 1561, 0},
		{VarBit, "bit varying", "varbit", -1, CategoryBits, 1563, 0},
		{Numeric, "numeric", "numeric", -1, CategoryNumeric, NumericArray, 0},
		{RegProcedure, "regprocedure", "regprocedure", 4, CategoryNumeric, 2207, 0},
		{RegOper, "regoper", "regoper", 4, CategoryNumeric, 2208, 0},
		{RegOperator, "regoperator", "regoperator", 4, CategoryNumeric, 2209, 0},
		{RegClass, "regclass", "regclass", 4, CategoryNumeric, RegClassArray, 0},
		{RegType, "regtype", "regtype", 4, CategoryNumeric, RegTypeArray, 0},
		{Record, "record", "record", -1, CategoryPseudo, RecordArray, 0},
		{Cstring, "cstring", "cstring", -2, CategoryPseudo, 1263, 0},
		{Void, "void", "void", 4, CategoryPseudo, 0, 0},
		{UUID, "uuid", "uuid", 16, CategoryUser, UUIDArray, 0},
		{TxidSnapshot, "txid_snapshot", "txid_snapshot", -1, CategoryUser, 2949, 0},
		{PgLSN, "pg_lsn", "pg_lsn", 8, CategoryUser, 3221, 0},
		{RegConfig, "regconfig", "regconfig", 4, CategoryNumeric, 3735, 0},
		{RegDictionary, "regdictionary", "regdictionary", 4, CategoryNumeric, 3770, 0},
		{JSONB, "jsonb", "jsonb", -1, CategoryUser, JSONBArray, 0},
		{Int4Range, "int4range", "int4range", -1, CategoryRange, 3905, 0},
		{NumRange, "numrange", "numrange", -1, CategoryRange, 3907, 0},
		{TsRange, "tsrange", "tsrange", -1, CategoryRange, 3909, 0},
		{TsTzRange, "tstzrange", "tstzrange", -1, CategoryRange, 3911, 0},
		{DateRange, "daterange", "daterange", -1, CategoryRange, 3913, 0},
		{Int8Range, "int8range", "int8range", -1, CategoryRange, 3927, 0},
		{RegNamespace, "regnamespace", "regnamespace", 4, CategoryNumeric, 4090, 0},
		{RegRole, "regrole", "regrole", 4, CategoryNumeric, 4097, 0},
		{RegCollation, "regcollation", "regcollation", 4, CategoryNumeric, 4192, 0},
		{PgSnapshot, "pg_snapshot", "pg_snapshot", -1, CategoryUser, 5039, 0},
		{Xid8, "xid8", "xid8", 8, CategoryUser, 271, 0},
	}
}

// registry finds types by OID and by name. It is made once and never changes.
type registry struct {
	byOID  map[OID]*Type
	byName map[string]OID
}

var typeTable = newRegistry()

func newRegistry() *registry {
	r := &registry{byOID: make(map[OID]*Type), byName: map[string]OID{
		"int": Int4, "serial": Int4, "float": Float8, "decimal": Numeric, "char varying": VarChar, "char": Char,
	}}
	for _, t := range scalarTypes() {
		r.byOID[t.OID] = &t
		for _, name := range []string{t.Internal, t.Name} {
			r.byName[name] = t.OID
		}
		if t.Array == 0 {
			continue
		}
		array := &Type{t.Array, t.Name + "[]", "_" + t.Internal, -1, CategoryArray, 0, t.OID}
		if t.OID == Record {
			array.Category = CategoryPseudo
		}
		r.byOID[array.OID] = array
		r.byName[array.Internal] = array.OID
	}
	return r
}

// Lookup describes the type of an OID; nil if no value can have it. The Type must not be
// changed.
func Lookup(oid OID) *Type { return typeTable.byOID[oid] }

// elemOf is the element type of an array type, or 0.
func elemOf(oid OID) OID {
	if t := typeTable.byOID[oid]; t != nil {
		return t.Elem
	}
	return 0
}

// Elem is the element type of an array type, or 0.
func (oid OID) Elem() OID { return elemOf(oid) }

// isVector reports the arrays whose text has no braces and whose subscripts start at 0.
func (oid OID) isVector() bool { return oid == Int2Vector || oid == OidVector }

// ArrayOf is the array type over an element type, or 0.
func ArrayOf(elem OID) OID {
	if t := Lookup(elem); t != nil {
		return t.Array
	}
	return 0
}

// Category is the category of a type; CategoryPseudo for those the dialect does not have.
func (oid OID) Category() Category {
	if t := Lookup(oid); t != nil {
		return t.Category
	}
	return CategoryPseudo
}

// IsText reports the types whose values are strings of characters.
func (oid OID) IsText() bool {
	return oid == Text || oid == VarChar || oid == BPChar || oid == Name
}

// IsReg reports the types whose values are OIDs of catalog rows, shown by name.
func (oid OID) IsReg() bool {
	switch oid {
	case RegProc, RegProcedure, RegOper, RegOperator, RegClass, RegType, RegConfig, RegDictionary, RegNamespace, RegRole, RegCollation:
		return true
	}
	return false
}

// rangeElem is what a range type is a range of, or 0.
func rangeElem(oid OID) OID {
	switch oid {
	case Int4Range:
		return Int4
	case Int8Range:
		return Int8
	case NumRange:
		return Numeric
	case TsRange:
		return Timestamp
	case TsTzRange:
		return TimestampTZ
	case DateRange:
		return Date
	}
	return 0
}

// RangeElem is what a range type is a range of, or 0.
func (oid OID) RangeElem() OID { return rangeElem(oid) }

// RangeOf is the range type over a type, or 0.
func RangeOf(elem OID) OID {
	for _, oid := range []OID{Int4Range, Int8Range, NumRange, TsRange, TsTzRange, DateRange} {
		if rangeElem(oid) == elem {
			return oid
		}
	}
	return 0
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
	return typeTable.byName[name]
}
