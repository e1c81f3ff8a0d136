package library

import (
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// records are functions over values of any type.
func records() []implementation {
	return []implementation{
		call("pg_typeof(any)", func(c *schema.Call, _ []value) (value, error) { return number(int64(argumentType(c, 0))), nil }),
		call("pg_column_size(any)", func(c *schema.Call, a []value) (value, error) {
			t := argumentType(c, 0)
			size := len(types.AppendBinary(nil, t, a[0]))
			const header = 4 // of a value of any length
			if described := types.Lookup(t); described != nil && described.Size < 0 {
				size += header
			}
			return number(int64(size)), nil
		}),
		call("pg_collation_for(any)", func(c *schema.Call, _ []value) (value, error) {
			if !argumentType(c, 0).IsText() {
				return null()
			}
			return text(`"default"`), nil
		}),
	}
}
