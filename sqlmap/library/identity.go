package library

import (
	"slices"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// identity is how an object is named for machines.
type identity struct {
	kind, schema string
	name         string // "": several objects of the kind can have the name
	full         string // with quotes, parentheses and what else tells it from others
	names, args  []string
}

// named are the system tables whose objects have a name of their own and, some, a schema.
func named() map[string]struct{ kind, column, schema string } {
	return map[string]struct{ kind, column, schema string }{
		"pg_namespace": {"schema", "nspname", ""}, "pg_authid": {"role", "rolname", ""}, "pg_language": {"language", "lanname", ""},
		"pg_extension": {"extension", "extname", ""}, "pg_database": {"database", "datname", ""}, "pg_tablespace": {"tablespace", "spcname", ""},
		"pg_am": {"access method", "amname", ""}, "pg_collation": {"collation", "collname", "collnamespace"}, "pg_conversion": {"conversion", "conname", "connamespace"},
		"pg_opclass": {"operator class", "opcname", "opcnamespace"}, "pg_opfamily": {"operator family", "opfname", "opfnamespace"},
		"pg_ts_config": {"text search configuration", "cfgname", "cfgnamespace"}, "pg_ts_dict": {"text search dictionary", "dictname", "dictnamespace"},
		"pg_ts_parser": {"text search parser", "prsname", "prsnamespace"}, "pg_ts_template": {"text search template", "tmplname", "tmplnamespace"},
		"pg_event_trigger": {"event trigger", "evtname", ""}, "pg_foreign_data_wrapper": {"foreign-data wrapper", "fdwname", ""},
		"pg_foreign_server": {"server", "srvname", ""}, "pg_publication": {"publication", "pubname", ""}, "pg_subscription": {"subscription", "subname", ""},
	}
}

// relationKind is what a relation is called, by its relkind.
func relationKind(relkind string) string {
	switch relkind {
	case "i", "I":
		return "index"
	case "v":
		return "view"
	case "S":
		return "sequence"
	case "m":
		return "materialized view"
	case "t":
		return "toast table"
	case "c":
		return "composite type"
	case "f":
		return "foreign table"
	}
	return "table"
}

// identify finds an object; false if there is none.
func identify(c *schema.Call, class, oid types.OID, column int64) (identity, bool, error) {
	table := world(c).RelationByOID(class)
	if table == nil || table.Schema != catalog.System {
		return identity{}, false, invalidParameter("unsupported object class: %d", uint32(class))
	}
	row, ok, err := world(c).FindOne(c.Env, table.Name, oid)
	if err != nil || !ok {
		return identity{kind: defaultKind(table.Name)}, false, err
	}
	if n, ok := named()[table.Name]; ok {
		id := identity{kind: n.kind, name: catalog.QuoteIdentifier(row.Text(n.column)), names: []string{row.Text(n.column)}}
		id.full = id.name
		if n.schema != "" {
			id.place(c, row.OID(n.schema))
		}
		if table.Name == "pg_opclass" || table.Name == "pg_opfamily" {
			method, _, err := world(c).FindOne(c.Env, "pg_am", row.OID(map[string]string{"pg_opclass": "opcmethod", "pg_opfamily": "opfmethod"}[table.Name]))
			id.full += " USING " + method.Text("amname")
			id.names = slices.Concat([]string{method.Text("amname")}, id.names)
			return id, true, err
		}
		return id, true, nil
	}
	switch table.Name {
	case "pg_class":
		return identifyRelation(c, row, column)
	case "pg_type":
		id := identity{kind: "type", name: catalog.QuoteIdentifier(row.Text("typname")), full: typeName(c, oid)}
		id.schema, id.names = schemaOf(c, row.OID("typnamespace")), []string{id.full}
		return id, true, nil
	case "pg_proc":
		return identifyFunction(c, row), true, nil
	case "pg_operator":
		left, right := typeName(c, row.OID("oprleft")), typeName(c, row.OID("oprright"))
		id := identity{kind: "operator", schema: schemaOf(c, row.OID("oprnamespace")), args: []string{left, right}}
		id.names = []string{id.schema, row.Text("oprname")}
		id.full = id.schema + "." + row.Text("oprname") + "(" + left + "," + right + ")"
		return id, true, nil
	case "pg_cast":
		from, to := typeName(c, row.OID("castsource")), typeName(c, row.OID("casttarget"))
		return identity{kind: "cast", full: "(" + from + " AS " + to + ")", names: []string{from}, args: []string{to}}, true, nil
	case "pg_constraint":
		return identifyPart(c, "table constraint", row.Text("conname"), row.OID("conrelid"), true)
	case "pg_rewrite":
		return identifyPart(c, "rule", row.Text("rulename"), row.OID("ev_class"), false)
	case "pg_trigger":
		return identifyPart(c, "trigger", row.Text("tgname"), row.OID("tgrelid"), false)
	}
	return identity{}, false, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "names of objects in %s are not supported", table.Name)
}

// defaultKind is what an object would be that is not there.
func defaultKind(table string) string {
	switch table {
	case "pg_class":
		return "relation"
	case "pg_proc":
		return "routine"
	case "pg_constraint":
		return "constraint"
	case "pg_rewrite":
		return "rule"
	}
	if n, ok := named()[table]; ok {
		return n.kind
	}
	return strings.TrimPrefix(table, "pg_")
}

// place puts an object into its schema.
func (id *identity) place(c *schema.Call, namespace types.OID) {
	name := schemaOf(c, namespace)
	id.schema = name
	id.full = catalog.QuoteIdentifier(name) + "." + id.full
	id.names = slices.Concat([]string{name}, id.names)
}

func schemaOf(c *schema.Call, namespace types.OID) string {
	row, _, _ := world(c).FindOne(c.Env, "pg_namespace", namespace) // a snapshot's table: no errors
	return row.Text("nspname")
}

// typeName is a type with its schema, unless SQL has a name of its own for it.
func typeName(c *schema.Call, oid types.OID) string {
	t := c.Catalog.Type(oid)
	if t != nil && t.IsArray {
		return typeName(c, t.Elem) + "[]"
	}
	switch oid {
	case types.Bit, types.Bool, types.BPChar, types.Float4, types.Float8, types.Int2, types.Int4, types.Int8, types.Numeric, types.Interval,
		types.Time, types.TimeTZ, types.Timestamp, types.TimestampTZ, types.VarBit, types.VarChar, 0:
		return world(c).FormatType(oid, catalog.NoModifier, nil)
	}
	if t == nil {
		return "???"
	}
	return catalog.QuoteIdentifier(t.Schema) + "." + catalog.QuoteIdentifier(t.Name)
}

func identifyRelation(c *schema.Call, row catalog.Tuple, column int64) (identity, bool, error) {
	id := identity{kind: relationKind(row.Text("relkind")), name: catalog.QuoteIdentifier(row.Text("relname")), names: []string{row.Text("relname")}}
	id.full = id.name
	id.place(c, row.OID("relnamespace"))
	if column == 0 {
		return id, true, nil
	}
	attributes, err := world(c).Find(c.Env, "pg_attribute", "attrelid", row.Get("oid"))
	for _, a := range attributes {
		if a.Get("attnum").Int == column {
			id.kind += " column"
			id.full += "." + catalog.QuoteIdentifier(a.Text("attname"))
			id.names = append(id.names, a.Text("attname"))
			return id, true, err
		}
	}
	return identity{kind: id.kind + " column"}, false, err
}

func identifyFunction(c *schema.Call, row catalog.Tuple) identity {
	kind := map[string]string{"a": "aggregate", "p": "procedure"}[row.Text("prokind")]
	if kind == "" {
		kind = "function"
	}
	id := identity{kind: kind, schema: schemaOf(c, row.OID("pronamespace"))}
	for _, arg := range row.Get("proargtypes").Elems {
		id.args = append(id.args, typeName(c, types.OID(arg.Int)))
	}
	id.names = []string{id.schema, row.Text("proname")}
	id.full = catalog.QuoteIdentifier(id.schema) + "." + catalog.QuoteIdentifier(row.Text("proname")) + "(" + strings.Join(id.args, ",") + ")"
	return id
}

// identifyPart names what belongs to a relation.
func identifyPart(c *schema.Call, kind, name string, relation types.OID, hasSchema bool) (identity, bool, error) {
	row, ok, err := world(c).FindOne(c.Env, "pg_class", relation)
	if err != nil || !ok {
		return identity{kind: kind}, false, err
	}
	whole, _, err := identifyRelation(c, row, 0)
	id := identity{kind: kind, full: catalog.QuoteIdentifier(name) + " on " + whole.full, names: append(whole.names, name)}
	if hasSchema {
		id.schema = whole.schema
	}
	return id, true, err
}

// identities are the functions that name objects for machines and find them by such names.
func identities() []implementation {
	orNull := func(s string) value {
		if s == "" {
			return types.Null()
		}
		return text(s)
	}
	return []implementation{
		call("pg_identify_object(oid,oid,int4)", func(c *schema.Call, a []value) (value, error) {
			id, ok, err := identify(c, types.OID(a[0].Int), types.OID(a[1].Int), a[2].Int)
			if err != nil || !ok {
				return c.Row(text(id.kind), types.Null(), types.Null(), types.Null()), err
			}
			return c.Row(text(id.kind), orNull(id.schema), orNull(id.name), text(id.full)), nil
		}),
		call("pg_identify_object_as_address(oid,oid,int4)", func(c *schema.Call, a []value) (value, error) {
			id, ok, err := identify(c, types.OID(a[0].Int), types.OID(a[1].Int), a[2].Int)
			if err != nil || !ok {
				return c.Row(text(id.kind), types.Null(), types.Null()), err
			}
			return c.Row(text(id.kind), types.OfTexts(id.names), types.OfTexts(id.args)), nil
		}),
		call("pg_get_object_address(text,text[],text[])", objectAddress),
		call("pg_describe_object(oid,oid,int4)", describeObject),
	}
}

// describeObject names an object in English.
func describeObject(c *schema.Call, a []value) (value, error) {
	class, oid := types.OID(a[0].Int), types.OID(a[1].Int)
	if class == 0 && oid == 0 {
		return null()
	}
	id, ok, err := identify(c, class, oid, a[2].Int)
	if err != nil || !ok {
		return types.Null(), err
	}
	table := world(c).RelationByOID(class).Name
	show := func(reg types.OID, oid types.OID) string {
		name, _ := world(c).Names(c.Session.SearchPath()).Show(reg, oid)
		return name
	}
	last := id.names[len(id.names)-1]
	switch table {
	case "pg_class":
		if kind, isColumn := strings.CutSuffix(id.kind, " column"); isColumn {
			return text("column " + catalog.QuoteIdentifier(last) + " of " + kind + " " + show(types.RegClass, oid)), nil
		}
		return text(id.kind + " " + show(types.RegClass, oid)), nil
	case "pg_type":
		return text("type " + show(types.RegType, oid)), nil
	case "pg_proc":
		return text("function " + show(types.RegProcedure, oid)), nil
	case "pg_operator":
		return text("operator " + show(types.RegOperator, oid)), nil
	case "pg_cast":
		return text("cast from " + id.names[0] + " to " + id.args[0]), nil
	case "pg_constraint", "pg_rewrite", "pg_trigger":
		row, _, err := world(c).FindOne(c.Env, table, oid)
		relation := row.OID(map[string]string{"pg_constraint": "conrelid", "pg_rewrite": "ev_class", "pg_trigger": "tgrelid"}[table])
		class, _, _ := world(c).FindOne(c.Env, "pg_class", relation)
		return text(strings.TrimPrefix(id.kind, "table ") + " " + last + " on " + relationKind(class.Text("relkind")) + " " + show(types.RegClass, relation)), err
	case "pg_opclass", "pg_opfamily":
		return text(id.kind + " " + last + " for access method " + id.names[0]), nil
	case "pg_collation":
		return text(id.kind + " " + id.name), nil
	}
	return text(id.kind + " " + last), nil
}

// objectAddress finds an object by its kind and names.
func objectAddress(c *schema.Call, a []value) (value, error) {
	kind, names := a[0].Text(), stringsOf(a[1])
	quoted := make([]string, len(names))
	for i, name := range names {
		quoted[i] = catalog.QuoteIdentifier(name)
	}
	lookUp := world(c).Names(c.Session.SearchPath())
	address := func(table string, reg types.OID, name string, column int64) (value, error) {
		oid, err := lookUp.Find(reg, name)
		class := world(c).Relation(catalog.System, table)
		return c.Row(number(int64(class.OID)), number(int64(oid)), number(column)), err
	}
	name, isColumn := strings.CutSuffix(kind, " column")
	switch name {
	case "table", "view", "index", "sequence", "materialized view", "foreign table":
		if !isColumn {
			return address("pg_class", types.RegClass, strings.Join(quoted, "."), 0)
		}
		if len(names) < 2 {
			return value{}, invalidParameter("column name must be qualified")
		}
		oid, err := lookUp.Find(types.RegClass, strings.Join(quoted[:len(quoted)-1], "."))
		if err != nil {
			return value{}, err
		}
		attributes, err := world(c).Find(c.Env, "pg_attribute", "attrelid", number(int64(oid)))
		for _, t := range attributes {
			if t.Text("attname") == names[len(names)-1] {
				return c.Row(number(classOfRelations), number(int64(oid)), t.Get("attnum")), nil
			}
		}
		if err == nil {
			err = pgwire.Errorf(pgwire.CodeUndefinedColumn, "column \"%s\" of relation \"%s\" does not exist", names[len(names)-1], names[len(names)-2])
		}
		return value{}, err
	case "type", "domain":
		return address("pg_type", types.RegType, strings.Join(names, "."), 0)
	case "function", "aggregate", "procedure", "routine":
		return address("pg_proc", types.RegProcedure, strings.Join(quoted, ".")+"("+strings.Join(stringsOf(a[2]), ",")+")", 0)
	}
	for table, n := range named() {
		if n.kind != kind {
			continue
		}
		if n.schema == "" && len(names) != 1 {
			return value{}, invalidParameter("name list length must be exactly 1")
		}
		return addressOfNamed(c, table, n.column, names)
	}
	return value{}, invalidParameter("unrecognized object type \"%s\"", kind)
}

// addressOfNamed finds an object by its name alone.
func addressOfNamed(c *schema.Call, table, column string, names []string) (value, error) {
	if len(names) == 0 {
		return value{}, invalidParameter("name list length must be at least 1")
	}
	last := names[len(names)-1]
	found, err := world(c).Find(c.Env, table, "", value{})
	for _, t := range found {
		if t.Text(column) == last {
			return c.Row(number(int64(world(c).Relation(catalog.System, table).OID)), t.Get("oid"), number(0)), nil
		}
	}
	if err == nil {
		err = pgwire.Errorf(pgwire.CodeUndefinedObject, "%s \"%s\" does not exist", named()[table].kind, last)
	}
	return value{}, err
}

// stringsOf are the elements of a text[].
func stringsOf(v value) []string {
	out := make([]string, len(v.Elems))
	for i, e := range v.Elems {
		out[i] = e.Text()
	}
	return out
}
