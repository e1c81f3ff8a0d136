package library

import (
	"time"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// overlaps is (start, end) OVERLAPS (start, end), where an end may be a length.
func overlaps() []implementation {
	var out []implementation
	for _, t := range []types.OID{types.Timestamp, types.TimestampTZ, types.Time} {
		name := types.Lookup(t).Internal
		for _, first := range []string{name, "interval"} {
			for _, second := range []string{name, "interval"} {
				out = append(out, call("overlaps("+name+","+first+","+name+","+second+")", func(c *schema.Call, a []value) (value, error) {
					zone := time.UTC
					if t == types.TimestampTZ {
						zone = c.Style.Zone()
					}
					ends := []value{a[1], a[3]}
					for i, kind := range []string{first, second} {
						if kind == "interval" && !a[2*i].IsNull && !ends[i].IsNull {
							end, err := types.AddInterval(a[2*i], ends[i], 1, zone)
							if err != nil {
								return end, err
							}
							ends[i] = end
						}
					}
					return overlap(t, a[0], ends[0], a[2], ends[1]), nil
				}))
			}
		}
	}
	return out
}

// overlap follows the standard's rules for NULLs: a pair with one NULL is a point.
func overlap(t types.OID, s1, e1, s2, e2 value) value {
	order := func(s, e value) (value, value) {
		if s.IsNull || !e.IsNull && types.Compare(t, s, e) > 0 {
			return e, s
		}
		return s, e
	}
	s1, e1 = order(s1, e1)
	s2, e2 = order(s2, e2)
	switch {
	case s1.IsNull || s2.IsNull:
		return types.Null()
	case types.Compare(t, s1, s2) > 0:
		s1, e1, s2, e2 = s2, e2, s1, e1
	case types.Compare(t, s1, s2) == 0:
		if e1.IsNull || e2.IsNull {
			return types.Null()
		}
		return boolean(true)
	}
	switch {
	case e1.IsNull:
		return types.Null()
	case types.Compare(t, s2, e1) < 0:
		return boolean(true)
	}
	return boolean(false)
}
