package library

import (
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// trueTypes are the functions of information_schema that tell a column's type, of a domain the
// type that it is over, from rows of pg_attribute and pg_type.
func trueTypes() []implementation {
	of := func(signature, ofColumn, ofDomain string) implementation {
		return call("information_schema."+signature, func(c *schema.Call, a []value) (value, error) {
			if kind := fieldOf(c, a, 1, "typtype"); kind.Text() == "d" {
				return fieldOf(c, a, 1, ofDomain), nil
			}
			return fieldOf(c, a, 0, ofColumn), nil
		})
	}
	return []implementation{
		of("_pg_truetypid(pg_attribute,pg_type)", "atttypid", "typbasetype"),
		of("_pg_truetypmod(pg_attribute,pg_type)", "atttypmod", "typtypmod"),
	}
}

// fieldOf is a column of an argument that is a row.
func fieldOf(c *schema.Call, a []value, i int, name string) value {
	if t := c.Catalog.Type(c.Types[i]); t != nil {
		for at, column := range t.Fields {
			if column.Name == name && at < len(a[i].Elems) {
				return a[i].Elems[at]
			}
		}
	}
	return types.Null()
}
