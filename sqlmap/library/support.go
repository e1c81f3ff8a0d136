package library

import (
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// supportFunctions are those that pg_type, pg_aggregate and pg_amproc name and that nothing but
// curious statements calls by name: input, output and binary forms of types, orders, and the
// greater or lesser of two values.
func supportFunctions() []implementation {
	joined := strings.Fields(`bool int2 int4 int8 float4 float8 text varchar bpchar name char bytea oid xid xid8 cid tid int2vector oidvector aclitem unknown
		regproc regprocedure regoper regoperator regclass regtype regnamespace regrole regcollation regconfig regdictionary`)
	apart := strings.Fields(`uuid json jsonb date time timetz timestamp timestamptz interval numeric bit varbit inet cidr macaddr macaddr8 pg_lsn
		pg_snapshot txid_snapshot void cstring pg_node_tree`)
	var out []implementation
	for _, t := range joined { // boolin, boolout
		out = append(out, forms(t, t)...)
	}
	for _, t := range apart { // uuid_in, uuid_out
		out = append(out, forms(t, t+"_")...)
	}
	for _, polymorphic := range []string{"array", "range", "anyarray", "anycompatiblearray", "record"} {
		argument := map[string]string{"array": "anyarray", "range": "anyrange"}[polymorphic]
		if argument == "" {
			argument = polymorphic
		}
		out = append(out,
			call(polymorphic+"_out("+argument+")", func(c *schema.Call, a []value) (value, error) { return text(asText(c, argumentType(c, 0), a[0])), nil }),
			call(polymorphic+"_send("+argument+")", func(c *schema.Call, a []value) (value, error) {
				return bytesOf(types.AppendBinary(nil, argumentType(c, 0), a[0])), nil
			}))
	}
	return append(append(out, orders()...), extremes()...)
}

// forms are the input, output and binary output functions of a type.
func forms(t, stem string) []implementation {
	oid := types.ByName(t)
	input := stem + "in(cstring)"
	switch t {
	case "char":
		oid = types.Char
	case "varchar", "bpchar", "time", "timetz", "timestamp", "timestamptz", "interval", "bit", "varbit", "numeric":
		input = stem + "in(cstring,oid,int4)"
	}
	out := []implementation{
		call(stem+"out("+t+")", func(c *schema.Call, a []value) (value, error) { return text(asText(c, oid, a[0])), nil }),
		call(input, func(c *schema.Call, a []value) (value, error) {
			if len(a) > 1 && a[2].Int >= 0 {
				return value{}, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "%s with a type modifier is not supported", input)
			}
			return types.ParseText(oid, a[0].Bytes, &c.Style)
		}),
	}
	if t == "aclitem" {
		return out
	}
	return append(out, pure(stem+"send("+t+")", func(a []value) (value, error) { return bytesOf(types.AppendBinary(nil, oid, a[0])), nil }))
}

// orders are the comparison functions of operator classes of B-trees: -1, 0 or 1.
func orders() []implementation {
	var out []implementation
	sign := func(n int) value {
		switch {
		case n < 0:
			return number(-1)
		case n > 0:
			return number(1)
		}
		return number(0)
	}
	for name, pair := range map[string][2]string{
		"btboolcmp": {"bool", "bool"}, "btint2cmp": {"int2", "int2"}, "btint4cmp": {"int4", "int4"}, "btint8cmp": {"int8", "int8"}, "btoidcmp": {"oid", "oid"},
		"btint24cmp": {"int2", "int4"}, "btint28cmp": {"int2", "int8"}, "btint42cmp": {"int4", "int2"}, "btint48cmp": {"int4", "int8"},
		"btint82cmp": {"int8", "int2"}, "btint84cmp": {"int8", "int4"}, "bttextcmp": {"text", "text"}, "btnamecmp": {"name", "name"},
		"btnametextcmp": {"name", "text"}, "bttextnamecmp": {"text", "name"}, "bttext_pattern_cmp": {"text", "text"}, "bttidcmp": {"tid", "tid"},
		"btbpchar_pattern_cmp": {"bpchar", "bpchar"}, "btoidvectorcmp": {"oidvector", "oidvector"},
		"btfloat4cmp": {"float4", "float4"}, "btfloat8cmp": {"float8", "float8"}, "btfloat48cmp": {"float4", "float8"}, "btfloat84cmp": {"float8", "float4"},
	} {
		oid := types.ByName(pair[0])
		out = append(out, pure(name+"("+pair[0]+","+pair[1]+")", func(a []value) (value, error) { return sign(types.Compare(oid, a[0], a[1])), nil }))
	}
	return append(out,
		pure("btcharcmp(char,char)", func(a []value) (value, error) { return sign(types.Compare(types.Char, a[0], a[1])), nil }),
		call("btarraycmp(anyarray,anyarray)", func(c *schema.Call, a []value) (value, error) {
			return sign(types.Compare(argumentType(c, 0), a[0], a[1])), nil
		}))
}

// extremes are the greater and the lesser of two values, by the names that max and min have for
// them.
func extremes() []implementation {
	var out []implementation
	for _, t := range strings.Fields("text bpchar date time timetz timestamp timestamptz interval numeric network tid xid8 array") {
		argument, oid, separator := t, types.ByName(t), "_"
		switch t {
		case "network":
			argument, oid = "inet", types.Inet
		case "array":
			argument = "anyarray"
		case "tid":
			separator = ""
		}
		for name, sign := range map[string]int{"larger": 1, "smaller": -1} {
			out = append(out, call(t+separator+name+"("+argument+","+argument+")", func(c *schema.Call, a []value) (value, error) {
				actual := oid
				if argument == "anyarray" {
					actual = argumentType(c, 0)
				}
				if sign*types.Compare(actual, a[0], a[1]) >= 0 {
					return a[0], nil
				}
				return a[1], nil
			}))
		}
	}
	return out
}
