package catalog

import (
	"embed"
	"strings"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// views are the system views, one file each: what gives each column, a line each, and the
// FROM clause. They are our own, over the system tables, to the columns that PostgreSQL
// documents. Columns that a file does not name are NULL.
//
//go:embed views
var views embed.FS

// viewText makes the SELECT of a system view, "" if there is none.
func viewText(relation *schema.Relation, domains map[types.OID]string) string {
	file, err := views.ReadFile("views/" + relation.Schema + "/" + relation.Name + ".view")
	if err != nil {
		return ""
	}
	given, from := make(map[string]string), ""
	for rest := string(file); rest != ""; {
		line, after, _ := strings.Cut(rest, "\n")
		name, expression, ok := strings.Cut(line, " = ")
		if !ok || strings.HasPrefix(line, "FROM ") {
			from = rest
			break
		}
		given[name], rest = expression, after
	}
	var b strings.Builder
	for i, column := range relation.Columns {
		separator := ",\n  "
		if i == 0 {
			separator = "SELECT "
		}
		expression := given[column.Name]
		if expression == "" {
			expression = "NULL"
		}
		b.WriteString(separator + "(" + expression + ")::" + typeText(column, domains) + ` AS "` + column.Name + `"`)
	}
	return b.String() + "\n" + strings.TrimSpace(from)
}

// typeText is a column's type as SQL writes it.
func typeText(column schema.Column, domains map[types.OID]string) string {
	if name := domains[column.Type]; name != "" {
		return name
	}
	if t := types.Lookup(column.Type); t != nil {
		return t.Name
	}
	return "text" // a type without values
}

// domainNames are the domains of information_schema.
func (c *Catalog) domainNames() map[types.OID]string {
	names := make(map[types.OID]string)
	for r := c.read("pg_type"); r.next(); {
		if r.char("typtype") == 'd' {
			names[r.oid("oid")] = Information + "." + r.text("typname")
		}
	}
	return names
}
