package library

import (
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// plumbing are the functions that pg_type, pg_aggregate and pg_amproc name and that nothing but
// curious statements calls by name: input, output and binary forms of types, orders, and the
// greater or lesser of two values.
func plumbing() []implementation {
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

// zonedClocks are the operators of times of day with a zone.
func zonedClocks() []implementation {
	shift := func(clock, by value, sign int64) (value, error) {
		v, err := shiftClock(clock, by, sign)
		v.Days = clock.Days
		return v, err
	}
	instant := func(date, clock value) value {
		return number(types.DateToTimestamp(date, types.Timestamp, nil).Int + clock.Int + int64(clock.Days)*microsPerSecond)
	}
	moved := func(clock value, west int64) value {
		v := clockModulo(clock, (int64(clock.Days)-west)*microsPerSecond)
		v.Days = int32(west)
		return v
	}
	return []implementation{
		pure("timetz_pl_interval(timetz,interval)", func(a []value) (value, error) { return shift(a[0], a[1], 1) }),
		pure("timetz_mi_interval(timetz,interval)", func(a []value) (value, error) { return shift(a[0], a[1], -1) }),
		pure("interval_pl_timetz(interval,timetz)", func(a []value) (value, error) { return shift(a[1], a[0], 1) }),
		pure("datetimetz_pl(date,timetz)", func(a []value) (value, error) { return instant(a[0], a[1]), nil }),
		pure("timestamptz(date,timetz)", func(a []value) (value, error) { return instant(a[0], a[1]), nil }),
		pure("timetzdate_pl(timetz,date)", func(a []value) (value, error) { return instant(a[1], a[0]), nil }),
		call("timestamptz(date,time)", func(c *schema.Call, a []value) (value, error) {
			return types.ToInstant(number(types.DateToTimestamp(a[0], types.Timestamp, nil).Int+a[1].Int), &c.Style), nil
		}),
		pure("timezone(interval,timetz)", func(a []value) (value, error) {
			if a[0].Months != 0 || a[0].Days != 0 {
				return value{}, invalidParameter("interval time zone \"%s\" must not include months or days", types.AppendText(nil, types.Interval, a[0], nil))
			}
			return moved(a[1], -a[0].Int/microsPerSecond), nil
		}),
		call("timezone(text,timetz)", func(c *schema.Call, a []value) (value, error) {
			zone, err := zoneNamed(a[0].Text())
			if err != nil {
				return value{}, err
			}
			_, east := c.Style.Now.In(zone).Zone()
			return moved(a[1], int64(-east)), nil
		}),
		call("timezone(timetz)", func(c *schema.Call, a []value) (value, error) {
			_, east := c.Style.Now.In(c.Style.Zone()).Zone()
			return moved(a[0], int64(-east)), nil
		}),
	}
}

// accessLists are the operators of lists of privileges.
func accessLists() []implementation {
	return []implementation{
		pure("aclcontains(aclitem[],aclitem)", func(a []value) (value, error) {
			grantee, wanted, grantor, ok := splitACL(a[1].Text())
			if !ok {
				return boolean(false), nil
			}
			for _, item := range a[0].Elems {
				g, letters, by, ok := splitACL(item.Text())
				if !ok || g != grantee || by != grantor {
					continue
				}
				contained := true
				for i := range wanted {
					contained = contained && (wanted[i] == '*' || strings.IndexByte(letters, wanted[i]) >= 0)
				}
				if contained {
					return boolean(true), nil
				}
			}
			return boolean(false), nil
		}),
		call("makeaclitem(oid,oid,text,bool)", func(c *schema.Call, a []value) (value, error) {
			grantee, _ := world(c).RoleName(c.Session, types.OID(a[0].Int))
			grantor, _ := world(c).RoleName(c.Session, types.OID(a[1].Int))
			var letters strings.Builder
			names := privilegeNames()
			for _, word := range strings.Split(a[2].Text(), ",") {
				found := false
				for letter, name := range names {
					if strings.EqualFold(strings.TrimSpace(word), name) {
						found = true
						letters.WriteByte(letter)
						if a[3].IsTrue() {
							letters.WriteByte('*')
						}
					}
				}
				if !found {
					return value{}, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "unrecognized privilege type: \"%s\"", strings.TrimSpace(word))
				}
			}
			return text(catalog.QuoteIdentifier(grantee) + "=" + letters.String() + "/" + catalog.QuoteIdentifier(grantor)), nil
		}),
	}
}

// splitACL takes an aclitem apart.
func splitACL(item string) (grantee, letters, grantor string, ok bool) {
	grantee, rest, ok1 := strings.Cut(item, "=")
	letters, grantor, ok2 := strings.Cut(rest, "/")
	return grantee, letters, grantor, ok1 && ok2
}
