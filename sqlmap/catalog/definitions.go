package catalog

import (
	"fmt"
	"strings"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// Tuple is a row of a system table.
type Tuple struct {
	relation *schema.Relation
	values   []types.Value
}

// Get is the value of a column.
func (t Tuple) Get(column string) types.Value {
	for i := range t.relation.Columns {
		if t.relation.Columns[i].Name == column {
			return t.values[i]
		}
	}
	return types.Null()
}

// OID is the value of a column of type oid.
func (t Tuple) OID(column string) types.OID { return types.OID(t.Get(column).Int) }

// Text is the value of a column of a text type.
func (t Tuple) Text(column string) string { return t.Get(column).Text() }

// Values are those of all columns.
func (t Tuple) Values() []types.Value { return t.values }

// Find returns the rows of a system table in which a column has a value; all of them if
// the column is empty.
func (c *Catalog) Find(env *schema.Env, table, column string, v types.Value) ([]Tuple, error) {
	r := c.Relation(System, table)
	request := &schema.Request{}
	at := -1
	for i := range r.Columns {
		if r.Columns[i].Name == column {
			at = i
			request.Filters = []schema.Filter{{Column: i, Comparison: schema.Equal, Values: []types.Value{v}}}
		}
	}
	scan, err := r.Source.Open(env, request)
	if err != nil {
		return nil, err
	}
	defer scan.Close()
	var out []Tuple
	row := make([]types.Value, len(r.Columns))
	for {
		if row == nil {
			if known, ok := scan.(*systemRows); ok && known.left() == 0 {
				return out, nil
			}
			row = make([]types.Value, len(r.Columns))
		}
		ok, err := scan.Next(row)
		if err != nil || !ok {
			return out, err
		}
		if at < 0 || !row[at].IsNull && types.Compare(r.Columns[at].Type, row[at], v) == 0 {
			out = append(out, Tuple{r, row})
			row = nil
		}
	}
}

// FindOne returns the row of a system table with an OID.
func (c *Catalog) FindOne(env *schema.Env, table string, oid types.OID) (Tuple, bool, error) {
	found, err := c.Find(env, table, "oid", oidOf(oid))
	if err != nil || len(found) == 0 {
		return Tuple{}, false, err
	}
	return found[0], true, nil
}

// SchemaName is the name of a schema.
func (c *Catalog) SchemaName(oid types.OID) string { return c.relations().namespaces[oid] }

// RelationByOID finds a relation, but no index.
func (c *Catalog) RelationByOID(oid types.OID) *schema.Relation { return c.relations().byOID[oid] }

// columnNames are the names of a relation's columns by their numbers.
func (c *Catalog) columnNames(env *schema.Env, relation types.OID) (map[int64]string, error) {
	found, err := c.Find(env, "pg_attribute", "attrelid", oidOf(relation))
	names := make(map[int64]string, len(found))
	for _, a := range found {
		names[a.Get("attnum").Int] = a.Text("attname")
	}
	return names, err
}

func quotedList(numbers types.Value, names map[int64]string) string {
	parts := make([]string, len(numbers.Elems))
	for i, n := range numbers.Elems {
		parts[i] = QuoteIdentifier(names[n.Int])
	}
	return strings.Join(parts, ", ")
}

// IndexDefinition is the CREATE INDEX of an index, or the name of one of its columns.
// A pretty one names the schema of the table only where it must.
func (c *Catalog) IndexDefinition(env *schema.Env, oid types.OID, column int64, isPretty bool) (string, bool, error) {
	found, err := c.Find(env, "pg_index", "indexrelid", oidOf(oid))
	if err != nil || len(found) == 0 {
		return "", false, err
	}
	index := found[0]
	names, err := c.columnNames(env, index.OID("indrelid"))
	if err != nil {
		return "", false, err
	}
	keys := index.Get("indkey")
	if column > 0 {
		if column > int64(len(keys.Elems)) {
			return "", true, nil
		}
		return QuoteIdentifier(names[keys.Elems[column-1].Int]), true, nil
	}
	class, ok, err := c.FindOne(env, "pg_class", oid)
	if err != nil || !ok {
		return "", false, err
	}
	unique := ""
	if index.Get("indisunique").IsTrue() {
		unique = "UNIQUE "
	}
	relation := c.relations().byOID[index.OID("indrelid")]
	on := fmt.Sprint(index.OID("indrelid"))
	if relation != nil {
		if on = QuoteIdentifier(relation.Schema) + "." + QuoteIdentifier(relation.Name); isPretty {
			on, _ = c.Names(env.Session.SearchPath()).Show(types.RegClass, relation.OID)
		}
	}
	return "CREATE " + unique + "INDEX " + QuoteIdentifier(class.Text("relname")) + " ON " + on + " USING " + c.accessMethod(class.OID("relam")) +
		" (" + quotedList(keys, names) + ")", true, nil
}

func (c *Catalog) accessMethod(oid types.OID) string {
	for r := c.read("pg_am"); r.next(); {
		if r.oid("oid") == oid {
			return r.text("amname")
		}
	}
	return "btree"
}

// ConstraintDefinition is what follows CONSTRAINT name.
func (c *Catalog) ConstraintDefinition(env *schema.Env, oid types.OID) (string, bool, error) {
	k, ok, err := c.FindOne(env, "pg_constraint", oid)
	if err != nil || !ok {
		return "", false, err
	}
	names, err := c.columnNames(env, k.OID("conrelid"))
	if err != nil {
		return "", false, err
	}
	list := "(" + quotedList(k.Get("conkey"), names) + ")"
	switch k.Text("contype") {
	case "p":
		return "PRIMARY KEY " + list, true, nil
	case "u":
		return "UNIQUE " + list, true, nil
	case "c":
		return "CHECK (" + k.Text("conbin") + ")", true, nil
	}
	return "", true, nil
}

// ViewDefinition is the SELECT of a view.
func (c *Catalog) ViewDefinition(oid types.OID) (string, bool) {
	r := c.relations().byOID[oid]
	if r == nil {
		return "", false
	}
	switch {
	case r.View != "":
		return " " + strings.TrimSuffix(r.View, ";") + ";", true
	case c.relations().kinds[oid] == 'v':
		return " SELECT * FROM " + QuoteIdentifier(r.Name) + ";", true // its rows are made, not selected
	}
	return "", true
}

// defaultTexts are the default values of the last arguments, as SQL.
func (c *Catalog) defaultTexts(f *schema.Function) []string {
	if len(f.Defaults) == 0 {
		return nil
	}
	return strings.Split(defaultsText(f), ", ")
}

// FunctionArguments lists the arguments of a function as CREATE FUNCTION has them.
func (c *Catalog) FunctionArguments(f *schema.Function, withDefaults bool, path []string) string {
	var parts []string
	defaults := c.defaultTexts(f)
	for i, arg := range f.Args {
		part := ""
		if f.Variadic != 0 && i == len(f.Args)-1 {
			part = "VARIADIC "
		}
		if i < len(f.ArgNames) && f.ArgNames[i] != "" {
			part += QuoteIdentifier(f.ArgNames[i]) + " "
		}
		part += c.FormatType(arg, NoModifier, path)
		if at := i - (len(f.Args) - len(defaults)); withDefaults && at >= 0 {
			part += " DEFAULT " + defaults[at]
		}
		parts = append(parts, part)
	}
	if f.AggregateKind == 'o' || f.AggregateKind == 'h' {
		direct := strings.Join(parts[:min(f.DirectArgs, len(parts))], ", ")
		return direct + " ORDER BY " + strings.Join(parts[min(f.DirectArgs, len(parts)):], ", ")
	}
	if !f.ReturnsSet || !withDefaults || len(f.Outs) == 0 || f.Returns != types.Record {
		for _, out := range f.Outs {
			part := "OUT "
			if out.Name != "" {
				part += QuoteIdentifier(out.Name) + " "
			}
			parts = append(parts, part+c.FormatType(out.Type, NoModifier, path))
		}
	}
	return strings.Join(parts, ", ")
}

// FunctionResult is what follows RETURNS.
func (c *Catalog) FunctionResult(f *schema.Function, path []string) string {
	result := c.FormatType(f.Returns, NoModifier, path)
	if !f.ReturnsSet {
		return result
	}
	return "SETOF " + result
}

// FunctionDefinition is a CREATE FUNCTION. The code of all functions is inside pgcache.
func (c *Catalog) FunctionDefinition(f *schema.Function, path []string) string {
	kind, returns := "FUNCTION", " RETURNS "+c.FunctionResult(f, path)+"\n"
	if f.Kind == 'p' {
		kind, returns = "PROCEDURE", ""
	}
	attributes := map[byte]string{'i': " IMMUTABLE", 's': " STABLE"}[f.Volatility]
	if f.Schema == System {
		attributes += " PARALLEL SAFE"
	}
	if f.IsStrict {
		attributes += " STRICT"
	}
	if attributes != "" {
		attributes = "\n" + attributes
	}
	return "CREATE OR REPLACE " + kind + " " + QuoteIdentifier(f.Schema) + "." + QuoteIdentifier(f.Name) + "(" + c.FunctionArguments(f, true, path) + ")\n" +
		returns + " LANGUAGE internal" + attributes + "\nAS $function$" + f.Name + "$function$\n"
}

// Description is the comment on an object, or on one of its columns.
func (c *Catalog) Description(env *schema.Env, class, oid types.OID, column int64) (string, bool, error) {
	found, err := c.Find(env, "pg_description", "objoid", oidOf(oid))
	for _, d := range found {
		if (class == 0 || d.OID("classoid") == class) && d.Get("objsubid").Int == column {
			return d.Text("description"), true, err
		}
	}
	return "", false, err
}

// Size is how many bytes a relation takes; 0 for what has none.
func (c *Catalog) Size(env *schema.Env, oid types.OID) (bytes int64, exists bool) {
	for i := range c.config.Relations {
		r := &c.config.Relations[i]
		switch {
		case r.OID == oid && r.Bytes != nil:
			return r.Bytes(env), true
		case r.OID == oid, r.indexOID() == oid:
			return 0, true
		}
	}
	return 0, c.relations().byOID[oid] != nil || c.hasClass(oid)
}

func (c *Catalog) hasClass(oid types.OID) bool {
	for r := c.read("pg_class"); r.next(); {
		if r.oid("oid") == oid {
			return true
		}
	}
	return false
}

// DatabaseSize is the sum of the sizes of all relations.
func (c *Catalog) DatabaseSize(env *schema.Env) int64 {
	n := int64(0)
	for i := range c.config.Relations {
		if r := &c.config.Relations[i]; r.Bytes != nil {
			n += r.Bytes(env)
		}
	}
	return n
}
