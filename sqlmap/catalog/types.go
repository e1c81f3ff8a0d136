package catalog

import (
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// typeIndex finds types.
type typeIndex struct {
	byOID  map[types.OID]*schema.Type
	byName map[[2]string]*schema.Type
}

func (x *typeIndex) add(t *schema.Type) {
	x.byOID[t.OID] = t
	x.byName[[2]string{t.Schema, t.Name}] = t
}

func (c *Catalog) indexTypes() *typeIndex {
	relations := c.relations()
	x := &typeIndex{byOID: make(map[types.OID]*schema.Type), byName: make(map[[2]string]*schema.Type)}
	for r := c.read("pg_type"); r.next(); {
		t := &schema.Type{OID: r.oid("oid"), Schema: relations.namespaces[r.oid("typnamespace")], Name: r.text("typname"),
			Size: int16(r.int("typlen")), Kind: r.char("typtype"), Category: types.Category(r.char("typcategory")),
			IsPreferred: r.bool("typispreferred"), Elem: r.oid("typelem"), Array: r.oid("typarray"),
			Relation: r.oid("typrelid"), Base: r.oid("typbasetype"), BaseTypmod: int32(r.int("typtypmod")), Collation: r.oid("typcollation")}
		t.IsArray = t.Elem != 0 && r.oid("typsubscript") == arraySubscripts
		if relation := relations.byOID[t.Relation]; relation != nil {
			t.Fields = relation.Columns
		}
		x.add(t)
	}
	for i := range c.config.Relations {
		own := &c.config.Relations[i]
		x.add(&schema.Type{OID: own.RowType, Schema: Public, Name: own.Name, Size: -1, Kind: 'c', Category: 'C',
			Array: own.arrayType(), Relation: own.OID, Fields: own.Columns})
		x.add(&schema.Type{OID: own.arrayType(), Schema: Public, Name: "_" + own.Name, Size: -1, Kind: 'b', Category: types.CategoryArray,
			Elem: own.RowType, IsArray: true})
	}
	return x
}

// arraySubscripts is array_subscript_handler, which says that a type is a true array.
const arraySubscripts types.OID = 6179

// Type describes the type of an OID.
func (c *Catalog) Type(oid types.OID) *schema.Type { return c.types().byOID[oid] }

// TypeNamed finds a type by its name in pg_type.
func (c *Catalog) TypeNamed(schemaName, name string) *schema.Type {
	return c.types().byName[[2]string{schemaName, name}]
}

// Collation finds a collation.
func (c *Catalog) Collation(schemaName, name string) types.OID {
	r := c.read("pg_collation")
	for r.next() {
		if r.text("collname") == name && c.relations().namespaces[r.oid("collnamespace")] == schemaName {
			return r.oid("oid")
		}
	}
	return 0
}

func (c *Catalog) indexCasts() map[[2]types.OID]*schema.Cast {
	casts := make(map[[2]types.OID]*schema.Cast)
	for r := c.read("pg_cast"); r.next(); {
		k := &schema.Cast{From: r.oid("castsource"), To: r.oid("casttarget"), Method: schema.CastMethod(r.char("castmethod")), Context: types.Explicit}
		switch r.char("castcontext") {
		case 'a':
			k.Context = types.Assignment
		case 'i':
			k.Context = types.Implicit
		}
		k.Function = c.FunctionByOID(r.oid("castfunc"))
		casts[[2]types.OID{k.From, k.To}] = k
	}
	return casts
}

// Cast finds a row of pg_cast.
func (c *Catalog) Cast(from, to types.OID) *schema.Cast { return c.casts()[[2]types.OID{from, to}] }
