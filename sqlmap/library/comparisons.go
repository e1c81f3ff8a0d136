package library

import (
	"bytes"
	"strings"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// tests are what comparison operators make of an order.
func tests() map[string]func(int) bool {
	return map[string]func(int) bool{
		"eq": func(c int) bool { return c == 0 }, "ne": func(c int) bool { return c != 0 },
		"lt": func(c int) bool { return c < 0 }, "le": func(c int) bool { return c <= 0 },
		"gt": func(c int) bool { return c > 0 }, "ge": func(c int) bool { return c >= 0 },
	}
}

// comparisons are the functions behind =, <>, <, <=, > and >=. PostgreSQL names them by
// their types, in several ways; % stands for eq, ne, lt, le, gt or ge.
func comparisons() []implementation {
	var out []implementation
	add := func(name, left, right string, compare func(a, b value) int) {
		for suffix, test := range tests() {
			if only := fewer(name); only != "" && !strings.Contains(only, suffix) {
				continue
			}
			out = append(out, pure(strings.Replace(name, "%", suffix, 1)+"("+left+","+right+")", func(a []value) (value, error) {
				return boolean(test(compare(a[0], a[1]))), nil
			}))
		}
		if stem, ok := strings.CutSuffix(name, "%"); ok && hasOrder(stem) {
			order := func(a []value) (value, error) { return number(int64(compare(a[0], a[1]))), nil }
			out = append(out, pure(stem+"cmp("+left+","+right+")", order))
		}
	}
	for name, t := range map[string]string{
		"int2%": "int2", "int4%": "int4", "int8%": "int8", "float4%": "float4", "float8%": "float8", "numeric_%": "numeric",
		"text%": "text", "text_%": "text", "bpchar%": "bpchar", "name%": "name", "bool%": "bool", "char%": "char", "oid%": "oid",
		"bytea%": "bytea", "timestamp_%": "timestamp", "timestamptz_%": "timestamptz", "date_%": "date", "time_%": "time", "timetz_%": "timetz",
		"interval_%": "interval", "uuid_%": "uuid", "jsonb_%": "jsonb", "network_%": "inet", "macaddr_%": "macaddr", "macaddr8_%": "macaddr8", "bit%": "bit", "varbit%": "varbit", "tid%": "tid",
		"pg_lsn_%": "pg_lsn", "xid8%": "xid8", "cid%": "cid", "oidvector%": "oidvector", "aclitem%": "aclitem",
	} {
		oid := types.ByName(t)
		if t == "char" {
			oid = types.Char
		}
		add(name, t, t, func(a, b value) int { return types.Compare(oid, a, b) })
	}
	for name, pair := range mixedComparisons() {
		left, right, common := types.ByName(pair[0]), types.ByName(pair[1]), types.ByName(pair[2])
		add(name, pair[0], pair[1], func(a, b value) int {
			x, err1 := types.Cast(a, left, common, nil)
			y, err2 := types.Cast(b, right, common, nil)
			if err1 != nil || err2 != nil {
				return 1
			}
			return types.Compare(common, x, y)
		})
	}
	for suffix, isNot := range map[string]bool{"eq": false, "neq": true} {
		out = append(out,
			pure("xid"+suffix+"int4(xid,int4)", func(a []value) (value, error) { return boolean((a[0].Int == int64(uint32(a[1].Int))) != isNot), nil }),
			pure("xid"+suffix+"(xid,xid)", func(a []value) (value, error) { return boolean((a[0].Int == a[1].Int) != isNot), nil }))
	}
	add("name%text", "name", "text", func(a, b value) int { return bytes.Compare(a.Bytes, b.Bytes) })
	add("text%name", "text", "name", func(a, b value) int { return bytes.Compare(a.Bytes, b.Bytes) })
	return append(append(out, polymorphicComparisons()...), zonedComparisons()...)
}

// fewer are the comparisons that a family has, if it does not have all.
func fewer(name string) string {
	switch name {
	case "cid%", "aclitem%":
		return "eq"
	case "text%":
		return "eq ne"
	case "text_%":
		return "lt le gt ge"
	}
	return ""
}

// hasOrder reports the families that have a function for their order.
func hasOrder(stem string) bool {
	switch stem {
	case "bytea", "bpchar", "bit", "varbit", "xid8":
		return true
	}
	return strings.HasSuffix(stem, "_") && stem != "text_"
}

// mixedComparisons are those of two types, and the type in which they are compared.
func mixedComparisons() map[string][3]string {
	return map[string][3]string{
		"int24%": {"int2", "int4", "int4"}, "int42%": {"int4", "int2", "int4"}, "int28%": {"int2", "int8", "int8"}, "int82%": {"int8", "int2", "int8"},
		"int48%": {"int4", "int8", "int8"}, "int84%": {"int8", "int4", "int8"}, "float48%": {"float4", "float8", "float8"}, "float84%": {"float8", "float4", "float8"},
		"date_%_timestamp": {"date", "timestamp", "timestamp"}, "timestamp_%_date": {"timestamp", "date", "timestamp"},
	}
}

// polymorphicComparisons are those of arrays, ranges and records, and the ~<~ family,
// which compares text by bytes: so does all of pgcache.
func polymorphicComparisons() []implementation {
	var out []implementation
	for name, argument := range map[string]string{"array_%": "anyarray", "record_%": "record", "range_%": "anyrange"} {
		for suffix, test := range tests() {
			out = append(out, call(strings.Replace(name, "%", suffix, 1)+"("+argument+","+argument+")", func(c *schema.Call, a []value) (value, error) {
				return boolean(test(types.Compare(argumentType(c, 0), a[0], a[1]))), nil
			}))
		}
	}
	for suffix, test := range tests() {
		for _, t := range []string{"text", "bpchar"} {
			if suffix == "eq" || suffix == "ne" {
				continue
			}
			oid := types.ByName(t)
			out = append(out, pure(t+"_pattern_"+suffix+"("+t+","+t+")", func(a []value) (value, error) {
				return boolean(test(types.Compare(oid, a[0], a[1]))), nil
			}))
		}
	}
	return out
}

// zonedComparisons are those of a timestamptz with what needs the session's zone.
func zonedComparisons() []implementation {
	var out []implementation
	for _, other := range []types.OID{types.Date, types.Timestamp} {
		name := types.Lookup(other).Internal
		for suffix, test := range tests() {
			out = append(out,
				call("timestamptz_"+suffix+"_"+name+"(timestamptz,"+name+")", func(c *schema.Call, a []value) (value, error) {
					b, err := types.Cast(a[1], other, types.TimestampTZ, &c.Style)
					return boolean(test(types.Compare(types.TimestampTZ, a[0], b))), err
				}),
				call(name+"_"+suffix+"_timestamptz("+name+",timestamptz)", func(c *schema.Call, a []value) (value, error) {
					b, err := types.Cast(a[0], other, types.TimestampTZ, &c.Style)
					return boolean(test(types.Compare(types.TimestampTZ, b, a[1]))), err
				}))
		}
	}
	return out
}

// larger are the functions behind max and min when an operator class is asked.
func larger() []implementation {
	var out []implementation
	for _, t := range []string{"int2", "int4", "int8", "float4", "float8", "oid"} {
		oid := types.ByName(t)
		for name, sign := range map[string]int{"larger": 1, "smaller": -1} {
			out = append(out, pure(t+name+"("+t+","+t+")", func(a []value) (value, error) {
				if sign*types.Compare(oid, a[0], a[1]) >= 0 {
					return a[0], nil
				}
				return a[1], nil
			}))
		}
	}
	return out
}
