package query

import (
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// Pseudo-types, and types that the rules of coercion name.
const (
	typeCString                 types.OID = 2275
	typeAny                     types.OID = 2276
	typeAnyArray                types.OID = 2277
	typeAnyElement              types.OID = 2283
	typeAnyNonArray             types.OID = 2776
	typeAnyEnum                 types.OID = 3500
	typeAnyRange                types.OID = 3831
	typeAnyMultirange           types.OID = 4537
	typeAnyCompatible           types.OID = 5077
	typeAnyCompatibleArray      types.OID = 5078
	typeAnyCompatibleNonArray   types.OID = 5079
	typeAnyCompatibleRange      types.OID = 5080
	typeAnyCompatibleMultirange types.OID = 4538
	typeRecord                  types.OID = 2249
	typeRecordArray             types.OID = 2287
	typeInt2Vector              types.OID = 22
	typeOidVector               types.OID = 30
	typeTid                     types.OID = 27
	typeCid                     types.OID = 29
	typeDate                    types.OID = 1082
	typeTime                    types.OID = 1083
	typeTimeTZ                  types.OID = 1266
	typeBit                     types.OID = 1560
	typeVarBit                  types.OID = 1562
	typeRegclass                types.OID = 2205
)

// base is the type under a domain, and its modifier.
func (a *analyzer) base(oid types.OID) types.OID {
	for range domainDepthMax {
		t := a.catalog.Type(oid)
		if t == nil || t.Kind != 'd' {
			return oid
		}
		oid = t.Base
	}
	return oid
}

// domainDepthMax bounds how deep domains over domains are followed.
const domainDepthMax = 16

func (a *analyzer) category(oid types.OID) types.Category {
	if t := a.catalog.Type(oid); t != nil {
		return t.Category
	}
	return types.CategoryPseudo
}

func (a *analyzer) isPreferred(oid types.OID) bool {
	t := a.catalog.Type(oid)
	return t != nil && t.IsPreferred
}

// element is the element type of an array, int2vector and oidvector included; 0 if it is none.
func (a *analyzer) element(oid types.OID) types.OID {
	oid = a.base(oid)
	switch oid {
	case typeInt2Vector:
		return types.Int2
	case typeOidVector:
		return types.Oid
	}
	if t := a.catalog.Type(oid); t != nil && t.IsArray {
		return t.Elem
	}
	return 0
}

func isVector(oid types.OID) bool { return oid == typeInt2Vector || oid == typeOidVector }

func (a *analyzer) arrayOf(oid types.OID) types.OID {
	if oid == typeRecord {
		return typeRecordArray
	}
	if t := a.catalog.Type(oid); t != nil {
		return t.Array
	}
	return 0
}

// isComposite reports types of rows, record excluded.
func (a *analyzer) isComposite(oid types.OID) bool {
	t := a.catalog.Type(a.base(oid))
	return t != nil && t.Kind == 'c'
}

func isPolymorphic(oid types.OID) bool {
	switch oid {
	case typeAnyElement, typeAnyArray, typeAnyNonArray, typeAnyEnum, typeAnyRange, typeAnyMultirange:
		return true
	}
	return isCompatible(oid)
}

func isCompatible(oid types.OID) bool {
	switch oid {
	case typeAnyCompatible, typeAnyCompatibleArray, typeAnyCompatibleNonArray, typeAnyCompatibleRange, typeAnyCompatibleMultirange:
		return true
	}
	return false
}

// typeName is a type as messages show it.
func (a *analyzer) typeName(oid types.OID) string {
	if t := types.Lookup(oid); t != nil {
		return t.Name
	}
	t := a.catalog.Type(oid)
	if t == nil {
		return "???"
	}
	if t.IsArray {
		return a.typeName(t.Elem) + "[]"
	}
	for _, s := range a.path {
		if s == t.Schema {
			return t.Name
		}
		if a.catalog.TypeNamed(s, t.Name) != nil {
			break
		}
	}
	return t.Schema + "." + t.Name
}

// resolveType finds the type that a TypeName names, with its modifier.
func (a *analyzer) resolveType(n *pg_query.TypeName) (types.OID, int32, error) {
	if n == nil {
		return 0, 0, unsupported(-1, "this type is")
	}
	if n.Setof || n.PctType {
		return 0, 0, unsupported(n.Location, "this type is")
	}
	names := Names(n.Names)
	t := a.findType(names)
	if t == nil {
		return 0, 0, errorAt(n.Location, pgwire.CodeUndefinedObject, "type \"%s\" does not exist", strings.Join(names, "."))
	}
	oid := t.OID
	typmod, err := a.typmod(t, n)
	if err != nil {
		return 0, 0, err
	}
	if len(n.ArrayBounds) > 0 {
		if oid = a.arrayOf(oid); oid == 0 {
			return 0, 0, errorAt(n.Location, pgwire.CodeUndefinedObject, "could not find array type for data type %s", a.typeName(t.OID))
		}
	}
	return oid, typmod, nil
}

// findType looks a type up, along the search path if no schema is named.
func (a *analyzer) findType(names []string) *schema.Type {
	switch len(names) {
	case 1:
		for _, s := range a.path {
			if t := a.catalog.TypeNamed(s, names[0]); t != nil {
				return t
			}
		}
	case 2:
		return a.catalog.TypeNamed(names[0], names[1])
	case 3:
		return a.catalog.TypeNamed(names[1], names[2])
	}
	return nil
}

// typmod computes the modifier of a type name, as PostgreSQL encodes it.
func (a *analyzer) typmod(t *schema.Type, n *pg_query.TypeName) (int32, error) {
	if len(n.Typmods) == 0 {
		return -1, nil
	}
	var values []int32
	for _, m := range n.Typmods {
		k := m.GetAConst()
		if k == nil || k.GetIval() == nil && k.Val != nil {
			return 0, errorAt(n.Location, pgwire.CodeSyntaxError, "type modifiers must be simple constants or identifiers")
		}
		values = append(values, k.GetIval().GetIval())
	}
	invalid := func(format string, args ...any) (int32, error) {
		return 0, errorAt(n.Location, pgwire.CodeInvalidParameterValue, format, args...)
	}
	first := values[0]
	switch t.OID {
	case types.VarChar, types.BPChar:
		switch {
		case len(values) != 1:
			return invalid("invalid type modifier")
		case first < 1:
			return invalid("length for type %s must be at least 1", lengthTypeName(t.OID))
		case first > charLengthMax:
			return invalid("length for type %s cannot exceed %d", lengthTypeName(t.OID), charLengthMax)
		}
		return first + 4, nil
	case types.Numeric:
		scale := int32(0)
		if len(values) > 1 {
			scale = values[1]
		}
		switch {
		case len(values) > 2:
			return invalid("invalid NUMERIC type modifier")
		case first < 1 || first > 1000:
			return invalid("NUMERIC precision %d must be between 1 and 1000", first)
		case scale < -1000 || scale > 1000:
			return invalid("NUMERIC scale %d must be between -1000 and 1000", scale)
		}
		return first<<16 | scale&0x7ff + 4, nil
	case types.Timestamp, types.TimestampTZ, typeTime, typeTimeTZ:
		if first < 0 {
			return invalid("%s(%d) precision must not be negative", strings.ToUpper(t.Name), first)
		}
		return min(first, 6), nil
	case types.Interval:
		const allFields, anyPrecision = 0x7fff, 0xffff
		precision := int32(anyPrecision)
		if len(values) > 1 {
			precision = min(values[1], 6)
		}
		if first == allFields && precision == anyPrecision {
			return -1, nil
		}
		return (first&0x7fff)<<16 | precision, nil
	case typeBit, typeVarBit:
		if first < 1 {
			return invalid("length for type %s must be at least 1", t.Name)
		}
		return first, nil
	}
	return 0, errorAt(n.Location, pgwire.CodeSyntaxError, "type modifier is not allowed for type \"%s\"", t.Name)
}

// charLengthMax is PostgreSQL's longest declared length of characters.
const charLengthMax = 10485760

func lengthTypeName(oid types.OID) string {
	if oid == types.BPChar {
		return "char"
	}
	return "varchar"
}

// Names are the strings of a list of name nodes; "*" for a star.
func Names(list []*pg_query.Node) []string {
	out := make([]string, 0, len(list))
	for _, n := range list {
		if n.GetAStar() != nil {
			out = append(out, "*")
			continue
		}
		out = append(out, n.GetString_().GetSval())
	}
	return out
}
