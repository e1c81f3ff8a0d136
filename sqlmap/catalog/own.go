package catalog

import (
	"slices"
	"strings"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// Relation is a relation of schema public, as queries run on it and as the catalog
// describes it.
type Relation struct {
	schema.Relation
	// Comment is what \d+ shows; Comments are those of the columns.
	Comment  string
	Comments []string
	// NotNull are the columns that are never NULL.
	NotNull []bool
	// Count is how many rows there are; nil: unknown.
	Count func(env *schema.Env) int64
	// Bytes is how much room they take; nil: none.
	Bytes func(env *schema.Env) int64
	// Access is who may write.
	Access Access
}

// OIDs of pgcache's own objects: a block for each relation, in the order of Config, which
// only grows at its end; functions follow far behind.
const (
	blockOIDs        = 16
	ownFunctionsFrom = 4096
)

// Places in a block: those that PostgreSQL gives to a table with a TOAST table and a primary key.
const (
	blockRelation = iota
	blockArrayType
	blockRowType
	_ // the TOAST table
	_ // its index
	blockIndex
	blockConstraint
	blockRule
)

// number gives a relation its OIDs.
func (r *Relation) number(i int) {
	first := FirstOID + types.OID(i*blockOIDs)
	r.OID, r.RowType = first+blockRelation, first+blockRowType
	r.Schema = Public
	for i := range r.Columns {
		r.Columns[i].Number = int16(i + 1)
		r.Columns[i].Typmod = -1
		if r.Columns[i].Type.IsText() || r.Columns[i].Type == types.TextArray {
			r.Columns[i].Collation = defaultCollate
		}
	}
}

func (r *Relation) arrayType() types.OID  { return r.OID + blockArrayType }
func (r *Relation) indexOID() types.OID   { return r.OID + blockIndex }
func (r *Relation) constraint() types.OID { return r.OID + blockConstraint }

// kind is relkind: what is a query over other relations is a view.
func (r *Relation) kind() byte {
	if r.View != "" {
		return 'v'
	}
	return 'r'
}

// Short ways to write the values of a Row.
func text(s string) types.Value       { return types.OfText(s) }
func integer(n int) types.Value       { return types.OfInt(int64(n)) }
func oidOf(oid types.OID) types.Value { return types.OfInt(int64(oid)) }
func boolean(b bool) types.Value      { return types.OfBool(b) }
func char(c byte) types.Value         { return types.OfBytes([]byte{c}) }

// hasOwnRows names the tables that describe pgcache and that the snapshot lacks.
func hasOwnRows(name string) bool {
	return name == "pg_description" || name == "pg_shdescription" || name == "pg_database"
}

// describeOwn makes the rows of the system tables about pgcache's own objects (N3).
func (c *Catalog) describeOwn() map[string][]Row {
	rows := make(map[string][]Row)
	add := func(table string, row Row) { rows[table] = append(rows[table], row) }
	for i := range c.config.Relations {
		c.config.Relations[i].describe(c, add)
	}
	for _, f := range c.config.Functions {
		describeFunction(f, c.config.Callers[f.Name], add)
		if comment := c.config.Comments[f.Name]; comment != "" {
			add("pg_description", Row{"objoid": oidOf(f.OID), "classoid": integer(procOID), "description": text(comment)})
		}
	}
	for _, d := range []struct {
		table       string
		class, oid  types.OID
		description string
	}{
		{"pg_description", 2615, SystemOID, "system catalog schema"},
		{"pg_description", 2615, PublicOID, "the relations and functions of pgcache"},
		{"pg_shdescription", 1262, DatabaseOID, "the cache"},
		{"pg_shdescription", authidOID, OwnerOID, "owns what pgcache has"},
		{"pg_shdescription", authidOID, groupOIDsFrom, "users who may read"},
		{"pg_shdescription", authidOID, groupOIDsFrom + 1, "users who may read, write and invalidate"},
		{"pg_shdescription", authidOID, groupOIDsFrom + 2, "administrators"},
	} {
		add(d.table, Row{"objoid": oidOf(d.oid), "classoid": oidOf(d.class), "description": text(d.description)})
	}
	return rows
}

// OIDs of system tables, for pg_description and pg_depend.
const (
	classOID  = 1259
	procOID   = 1255
	authidOID = 1260
)

func (r *Relation) describe(c *Catalog, add func(string, Row)) {
	r.describeClass(add)
	r.describeType(add)
	add("pg_type", Row{"oid": oidOf(r.arrayType()), "typname": text("_" + r.Name), "typnamespace": oidOf(PublicOID), "typowner": oidOf(OwnerOID),
		"typlen": integer(-1), "typtype": char('b'), "typcategory": char('A'), "typisdefined": boolean(true), "typdelim": char(','),
		"typsubscript": oidOf(arraySubscripts), "typelem": oidOf(r.RowType), "typinput": c.proc("array_in"), "typoutput": c.proc("array_out"),
		"typreceive": c.proc("array_recv"), "typsend": c.proc("array_send"), "typanalyze": c.proc("array_typanalyze"), "typalign": char('d'), "typstorage": char('x'), "typtypmod": integer(-1)})
	for i, column := range r.Columns {
		add("pg_attribute", r.attribute(c, i, column))
		if i < len(r.Comments) && r.Comments[i] != "" {
			add("pg_description", Row{"objoid": oidOf(r.OID), "classoid": integer(classOID), "objsubid": integer(i + 1), "description": text(r.Comments[i])})
		}
	}
	if r.Comment != "" {
		add("pg_description", Row{"objoid": oidOf(r.OID), "classoid": integer(classOID), "description": text(r.Comment)})
	}
	if r.View != "" {
		add("pg_rewrite", Row{"oid": oidOf(r.OID + blockRule), "rulename": text("_RETURN"), "ev_class": oidOf(r.OID), "ev_type": char('1'),
			"ev_enabled": char('O'), "is_instead": boolean(true)})
		return
	}
	r.describeSystemColumns(add)
	if len(r.Key) > 0 {
		r.describeKey(add)
	}
}

func (r *Relation) describeType(add func(string, Row)) {
	add("pg_type", Row{"oid": oidOf(r.RowType), "typname": text(r.Name), "typnamespace": oidOf(PublicOID), "typowner": oidOf(OwnerOID),
		"typlen": integer(-1), "typtype": char('c'), "typcategory": char('C'), "typisdefined": boolean(true), "typdelim": char(','),
		"typrelid": oidOf(r.OID), "typarray": oidOf(r.arrayType()), "typinput": integer(2290), "typoutput": integer(2291),
		"typreceive": integer(2402), "typsend": integer(2403), "typalign": char('d'), "typstorage": char('x'), "typtypmod": integer(-1)})
}

// proc is the OID of a function of the snapshot.
func (c *Catalog) proc(name string) types.Value {
	if list := c.Functions(System, name); len(list) > 0 {
		return oidOf(list[0].OID)
	}
	return types.OfInt(0)
}

func (r *Relation) attribute(c *Catalog, i int, column schema.Column) Row {
	t := c.Type(column.Type)
	align, storage := char('i'), char('x')
	byValue := t.Size > 0 && t.Size <= 8
	switch {
	case t.Size == 8:
		align = char('d')
	case t.Size == 2:
		align = char('s')
	case t.Size == 1:
		align = char('c')
	}
	if t.Size > 0 {
		storage = char('p')
	}
	row := Row{"attrelid": oidOf(r.OID), "attname": text(column.Name), "atttypid": oidOf(column.Type), "attlen": integer(int(t.Size)),
		"attnum": integer(i + 1), "attcacheoff": integer(-1), "atttypmod": integer(int(column.Typmod)), "attbyval": boolean(byValue),
		"attalign": align, "attstorage": storage, "attnotnull": boolean(i < len(r.NotNull) && r.NotNull[i]), "attislocal": boolean(true),
		"attcollation": oidOf(column.Collation)}
	if t.IsArray {
		row["attndims"] = integer(1)
	}
	return row
}

// describeSystemColumns adds those that every table has before its first.
func (r *Relation) describeSystemColumns(add func(string, Row)) {
	for i, column := range []struct {
		name  string
		oid   types.OID
		size  int
		align byte
	}{{"ctid", types.Tid, 6, 's'}, {"xmin", types.Xid, 4, 'i'}, {"cmin", types.Cid, 4, 'i'}, {"xmax", types.Xid, 4, 'i'},
		{"cmax", types.Cid, 4, 'i'}, {"tableoid", types.Oid, 4, 'i'}} {
		add("pg_attribute", Row{"attrelid": oidOf(r.OID), "attname": text(column.name), "atttypid": oidOf(column.oid), "attlen": integer(column.size),
			"attnum": integer(-1 - i), "attcacheoff": integer(-1), "atttypmod": integer(-1), "attbyval": boolean(column.size == 4),
			"attalign": char(column.align), "attstorage": char('p'), "attnotnull": boolean(true), "attislocal": boolean(true)})
	}
}

// describeKey adds the primary key: an index, its columns and the constraint.
func (r *Relation) describeKey(add func(string, Row)) {
	const textOps, timestamptzOps = 3126, 3127
	var numbers, zeros, classes, collations []types.Value
	for i, at := range r.Key {
		column := r.Columns[at]
		numbers, zeros = append(numbers, integer(at+1)), append(zeros, integer(0))
		class := integer(textOps)
		if column.Type != types.Text {
			class = integer(timestamptzOps)
		}
		classes, collations = append(classes, class), append(collations, oidOf(column.Collation))
		size := -1
		if t := types.Lookup(column.Type); t != nil {
			size = int(t.Size)
		}
		add("pg_attribute", Row{"attrelid": oidOf(r.indexOID()), "attname": text(column.Name), "atttypid": oidOf(column.Type), "attlen": integer(size),
			"attnum": integer(i + 1), "attcacheoff": integer(-1), "atttypmod": integer(-1), "attalign": char('i'), "attstorage": char('x'),
			"attislocal": boolean(true), "attcollation": oidOf(column.Collation)})
	}
	name := r.Name + "_pkey"
	add("pg_index", Row{"indexrelid": oidOf(r.indexOID()), "indrelid": oidOf(r.OID), "indnatts": integer(len(r.Key)), "indnkeyatts": integer(len(r.Key)),
		"indisunique": boolean(true), "indisprimary": boolean(true), "indimmediate": boolean(true), "indisvalid": boolean(true),
		"indisready": boolean(true), "indislive": boolean(true), "indkey": types.OfVector(numbers), "indcollation": types.OfVector(collations),
		"indclass": types.OfVector(classes), "indoption": types.OfVector(zeros)})
	add("pg_constraint", Row{"oid": oidOf(r.constraint()), "conname": text(name), "connamespace": oidOf(PublicOID), "contype": char('p'),
		"convalidated": boolean(true), "conrelid": oidOf(r.OID), "conindid": oidOf(r.indexOID()), "conislocal": boolean(true),
		"connoinherit": boolean(true), "confupdtype": char(' '), "confdeltype": char(' '), "confmatchtype": char(' '), "conkey": types.OfArray(numbers)})
	add("pg_depend", Row{"classid": integer(classOID), "objid": oidOf(r.indexOID()), "refclassid": integer(2606), "refobjid": oidOf(r.constraint()), "deptype": char('i')})
}

// describeClass adds the relation and its index to pg_class. How many rows they have is not
// known here; see refreshClass.
func (r *Relation) describeClass(add func(string, Row)) {
	row := Row{"oid": oidOf(r.OID), "relname": text(r.Name), "relnamespace": oidOf(PublicOID), "reltype": oidOf(r.RowType),
		"relowner": oidOf(OwnerOID), "reltuples": types.OfFloat(-1), "relpersistence": char('p'), "relkind": char(r.kind()),
		"relnatts": integer(len(r.Columns)), "relispopulated": boolean(true), "relreplident": char('n'), "relhasindex": boolean(len(r.Key) > 0),
		"relhasrules": boolean(r.View != ""), "relacl": r.privileges()}
	if r.View == "" {
		row["relam"], row["relfilenode"], row["relreplident"] = oidOf(heapOID), oidOf(r.OID), char('d')
		row["relfrozenxid"], row["relminmxid"] = integer(3), integer(1)
	}
	add("pg_class", row)
	if len(r.Key) > 0 {
		add("pg_class", Row{"oid": oidOf(r.indexOID()), "relname": text(r.Name + "_pkey"), "relnamespace": oidOf(PublicOID),
			"relowner": oidOf(OwnerOID), "relam": oidOf(btreeOID), "relfilenode": oidOf(r.indexOID()), "reltuples": types.OfFloat(-1),
			"relpersistence": char('p'), "relkind": char('i'), "relnatts": integer(len(r.Key)), "relispopulated": boolean(true), "relreplident": char('n')})
	}
}

// refreshClass makes what fills in how many rows a relation has now, the one column of
// pg_class that changes.
func (c *Catalog) refreshClass(class *schema.Relation) refresh {
	tuples := slices.IndexFunc(class.Columns, func(column schema.Column) bool { return column.Name == "reltuples" })
	var relations []*Relation // of each row that describeClass adds
	for i := range c.config.Relations {
		r := &c.config.Relations[i]
		r.describeClass(func(string, Row) { relations = append(relations, r) })
	}
	return func(env *schema.Env, own int, row []types.Value, needed []bool) {
		if r := relations[own]; r.Count != nil && (needed == nil || needed[tuples]) {
			row[tuples] = types.OfFloat(float64(r.Count(env)))
		}
	}
}

// describeFunction adds a function or procedure of pgcache.
func describeFunction(f *schema.Function, callers Access, add func(string, Row)) {
	args, all, modes, names := []types.Value{}, []types.Value{}, []types.Value{}, []types.Value{}
	hasNames := len(f.ArgNames) > 0
	for i, arg := range f.Args {
		args, all = append(args, oidOf(arg)), append(all, oidOf(arg))
		mode := byte('i')
		if f.Variadic != 0 && i == len(f.Args)-1 {
			mode = 'v'
		}
		modes = append(modes, char(mode))
		name := ""
		if i < len(f.ArgNames) {
			name = f.ArgNames[i]
		}
		names = append(names, text(name))
	}
	outMode := byte('o')
	if f.ReturnsSet {
		outMode = 't'
	}
	for _, out := range f.Outs {
		all, modes, names = append(all, oidOf(out.Type)), append(modes, char(outMode)), append(names, text(out.Name))
		hasNames = true
	}
	row := Row{"oid": oidOf(f.OID), "proname": text(f.Name), "pronamespace": oidOf(PublicOID), "proowner": oidOf(OwnerOID), "prolang": integer(12),
		"procost": types.OfFloat(1), "provariadic": oidOf(f.Variadic), "prokind": char(f.Kind), "proisstrict": boolean(f.IsStrict),
		"proretset": boolean(f.ReturnsSet), "provolatile": char(f.Volatility), "proparallel": char('u'), "pronargs": integer(len(args)),
		"pronargdefaults": integer(len(f.Defaults)), "prorettype": oidOf(f.Returns), "proargtypes": types.OfVector(args), "prosrc": text(f.Name), "proacl": functionPrivileges(callers)}
	if hasNames {
		row["proargnames"] = types.OfArray(names)
	}
	if len(f.Outs) > 0 || f.Variadic != 0 {
		row["proallargtypes"], row["proargmodes"] = types.OfArray(all), types.OfArray(modes)
	}
	if len(f.Defaults) > 0 {
		row["proargdefaults"] = text(defaultsText(f))
	}
	if f.ReturnsSet {
		row["prorows"] = types.OfFloat(1)
	}
	add("pg_proc", row)
}

// defaultsText writes default values as defaultValues reads them.
func defaultsText(f *schema.Function) string {
	parts := make([]string, len(f.Defaults))
	for i, v := range f.Defaults {
		t := f.Args[len(f.Args)-len(f.Defaults)+i]
		if v.IsNull {
			parts[i] = "NULL::" + t.String()
			continue
		}
		parts[i] = "'" + strings.ReplaceAll(string(types.AppendText(nil, t, v, nil)), "'", "''") + "'::" + t.String()
		if t == types.Int4 || t == types.Bool {
			parts[i] = string(types.AppendText(nil, t, v, nil))
		}
	}
	return strings.Join(parts, ", ")
}

// databases is the one database there is: whatever name a client connects with.
func databases(env *schema.Env) []Row {
	return []Row{{"oid": oidOf(DatabaseOID), "datname": text(env.Session.Database()), "datdba": oidOf(OwnerOID), "encoding": integer(6), "datlocprovider": char('c'),
		"datallowconn": boolean(true), "datconnlimit": integer(-1), "datfrozenxid": integer(3), "datminmxid": integer(1), "dattablespace": oidOf(tablespaceOID),
		"datcollate": text("C"), "datctype": text("C"), "datacl": types.OfArray([]types.Value{text("=c/" + Owner), text(Owner + "=CTc/" + Owner)})}}
}
