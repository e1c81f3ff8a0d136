package library

import (
	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// ranges are the constructors, bounds and operators of ranges.
func ranges() []implementation {
	var out []implementation
	for _, t := range []types.OID{types.Int4Range, types.Int8Range, types.NumRange, types.TsRange, types.TsTzRange, types.DateRange} {
		name, elem := types.Lookup(t).Internal, types.Lookup(t.RangeElem()).Internal
		out = append(out,
			pure(name+"("+elem+","+elem+")", func(a []value) (value, error) { return types.MakeRange(t, a[0], a[1], types.RangeLowerInclusive) }),
			pure(name+"("+elem+","+elem+",text)", func(a []value) (value, error) {
				flags := map[string]int64{"[)": types.RangeLowerInclusive, "[]": types.RangeLowerInclusive | types.RangeUpperInclusive, "()": 0, "(]": types.RangeUpperInclusive}
				f, ok := flags[a[2].Text()]
				switch {
				case a[2].IsNull:
					return value{}, pgwire.Errorf(pgwire.CodeDataException, "range constructor flags argument must not be null")
				case !ok:
					e := pgwire.Errorf(pgwire.CodeSyntaxError, "invalid range bound flags")
					e.Hint = `Valid values are "[]", "[)", "(]", and "()".`
					return value{}, e
				}
				return types.MakeRange(t, a[0], a[1], f)
			}))
	}
	bound := func(i int) func(a []value) (value, error) {
		return func(a []value) (value, error) {
			if a[0].Int&types.RangeEmpty != 0 {
				return null()
			}
			return a[0].Elems[i], nil
		}
	}
	flag := func(signature string, f int64) implementation {
		return pure(signature, func(a []value) (value, error) { return boolean(a[0].Int&f != 0), nil })
	}
	out = append(out, pure("lower(anyrange)", bound(0)), pure("upper(anyrange)", bound(1)),
		flag("isempty(anyrange)", types.RangeEmpty), flag("lower_inc(anyrange)", types.RangeLowerInclusive), flag("upper_inc(anyrange)", types.RangeUpperInclusive),
		flag("lower_inf(anyrange)", types.RangeLowerInfinite), flag("upper_inf(anyrange)", types.RangeUpperInfinite))
	return append(out, rangeOperators()...)
}

func isEmpty(v value) bool { return v.Int&types.RangeEmpty != 0 }

// rangeContains reports that all of b is in a.
func rangeContains(t types.OID, a, b value) bool {
	switch {
	case isEmpty(b):
		return true
	case isEmpty(a):
		return false
	}
	return types.CompareBounds(t, a, 0, b, 0) <= 0 && types.CompareBounds(t, a, 1, b, 1) >= 0
}

func rangeOperators() []implementation {
	two := func(name string, f func(t types.OID, a, b value) bool) implementation {
		return call(name+"(anyrange,anyrange)", func(c *schema.Call, a []value) (value, error) { return boolean(f(argumentType(c, 0), a[0], a[1])), nil })
	}
	before := func(t types.OID, a, b value) bool {
		return !isEmpty(a) && !isEmpty(b) && types.CompareBounds(t, a, 1, b, 0) < 0
	}
	element := func(t types.OID, v value) value {
		r, err := types.MakeRange(t, v, v, types.RangeLowerInclusive|types.RangeUpperInclusive)
		if err != nil {
			return value{Int: types.RangeEmpty}
		}
		return r
	}
	return []implementation{
		two("range_contains", rangeContains),
		two("range_contained_by", func(t types.OID, a, b value) bool { return rangeContains(t, b, a) }),
		two("range_before", before),
		two("range_after", func(t types.OID, a, b value) bool { return before(t, b, a) }),
		two("range_overlaps", func(t types.OID, a, b value) bool {
			return !isEmpty(a) && !isEmpty(b) && !before(t, a, b) && !before(t, b, a)
		}),
		call("range_contains_elem(anyrange,anyelement)", func(c *schema.Call, a []value) (value, error) {
			t := argumentType(c, 0)
			return boolean(!isEmpty(a[0]) && rangeContains(t, a[0], element(t, a[1]))), nil
		}),
		call("elem_contained_by_range(anyelement,anyrange)", func(c *schema.Call, a []value) (value, error) {
			t := argumentType(c, 1)
			return boolean(!isEmpty(a[1]) && rangeContains(t, a[1], element(t, a[0]))), nil
		}),
	}
}

// networks are the functions of inet and cidr.
func networks() []implementation {
	within := func(a, b value, orEqual bool) bool {
		if len(a.Bytes) != len(b.Bytes) || a.Int < b.Int || a.Int == b.Int && !orEqual {
			return false
		}
		return types.Compare(types.Inet, types.MaskNetwork(value{Int: b.Int, Bytes: a.Bytes}), types.MaskNetwork(b)) == 0
	}
	two := func(name string, f func(a, b value) bool) implementation {
		return pure(name+"(inet,inet)", func(a []value) (value, error) { return boolean(f(a[0], a[1])), nil })
	}
	return []implementation{
		pure("host(inet)", func(a []value) (value, error) { return bytesOf(types.AppendHost(nil, a[0])), nil }),
		pure("masklen(inet)", func(a []value) (value, error) { return number(a[0].Int), nil }),
		pure("family(inet)", func(a []value) (value, error) {
			if len(a[0].Bytes) == 4 {
				return number(4), nil
			}
			return number(6), nil
		}),
		pure("network(inet)", func(a []value) (value, error) { return types.MaskNetwork(a[0]), nil }),
		call("abbrev(inet)", func(c *schema.Call, a []value) (value, error) { return text(asText(c, types.Inet, a[0])), nil }),
		two("network_sub", func(a, b value) bool { return within(a, b, false) }),
		two("network_subeq", func(a, b value) bool { return within(a, b, true) }),
		two("network_sup", func(a, b value) bool { return within(b, a, false) }),
		two("network_supeq", func(a, b value) bool { return within(b, a, true) }),
		two("network_overlap", func(a, b value) bool { return within(a, b, true) || within(b, a, true) }),
	}
}
