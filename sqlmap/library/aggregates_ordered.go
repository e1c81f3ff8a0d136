package library

import (
	"math"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// orderedSets are the aggregates WITHIN GROUP (ORDER BY …): their arguments come in order.
func orderedSets() []implementation {
	var out []implementation
	for _, t := range []types.OID{types.Float8, types.Interval} {
		name := types.Lookup(t).Internal
		out = append(out,
			orderedSet("percentile_cont(float8,"+name+")", func(c *schema.Call, direct, sorted []value) (value, error) {
				return fractions(direct[0], func(f float64) (value, error) { return interpolate(t, sorted, f) })
			}),
			orderedSet("percentile_cont(float8[],"+name+")", func(c *schema.Call, direct, sorted []value) (value, error) {
				return arrayOfFractions(direct[0], sorted, func(f float64) (value, error) { return interpolate(t, sorted, f) })
			}))
	}
	discrete := func(sorted []value) func(f float64) (value, error) {
		return func(f float64) (value, error) {
			return sorted[max(int(math.Ceil(f*float64(len(sorted)))), 1)-1], nil
		}
	}
	return append(append(out,
		orderedSet("percentile_disc(float8,anyelement)", func(_ *schema.Call, direct, sorted []value) (value, error) {
			return fractions(direct[0], discrete(sorted))
		}),
		orderedSet("percentile_disc(float8[],anyelement)", func(_ *schema.Call, direct, sorted []value) (value, error) {
			return arrayOfFractions(direct[0], sorted, discrete(sorted))
		}),
		orderedSet("mode(anyelement)", func(c *schema.Call, _, sorted []value) (value, error) {
			return mode(argumentType(c, len(c.Types)-1), sorted), nil
		}),
	), hypotheticals()...)
}

// orderedSet makes an aggregate of the sorted values that are not NULL; NULL without any.
func orderedSet(signature string, f func(c *schema.Call, direct, sorted []value) (value, error)) implementation {
	return implementation{Signature: signature, SkipsNulls: true, Aggregate: func(c *schema.Call, direct []value) (schema.Accumulator, error) {
		var sorted []value
		return &accumulator{func(a []value) error {
			sorted = append(sorted, a[0])
			return c.Charge(a[0].Size())
		}, func() (value, error) {
			if len(sorted) == 0 {
				return null()
			}
			return f(c, direct, sorted)
		}}, nil
	}}
}

func fractions(v value, f func(float64) (value, error)) (value, error) {
	if v.IsNull {
		return v, nil
	}
	if !(v.Float >= 0 && v.Float <= 1) {
		return value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "percentile value %g is not between 0 and 1", v.Float)
	}
	return f(v.Float)
}

func arrayOfFractions(list value, sorted []value, f func(float64) (value, error)) (value, error) {
	if list.IsNull {
		return list, nil
	}
	out := make([]value, len(list.Elems))
	for i, v := range list.Elems {
		var err error
		if out[i], err = fractions(v, f); err != nil {
			return value{}, err
		}
	}
	return value{Elems: out, Shape: list.Shape}, nil
}

func interpolate(t types.OID, sorted []value, fraction float64) (value, error) {
	at := fraction * float64(len(sorted)-1)
	low, high := sorted[int(math.Floor(at))], sorted[int(math.Ceil(at))]
	part := at - math.Floor(at)
	if part == 0 {
		return low, nil
	}
	if t == types.Float8 {
		return float(low.Float + part*(high.Float-low.Float)), nil
	}
	difference, err := types.IntervalAdd(high, low, -1)
	if err != nil {
		return value{}, err
	}
	if difference, err = types.IntervalMultiply(difference, part); err != nil {
		return value{}, err
	}
	return types.IntervalAdd(low, difference, 1)
}

// mode is the most frequent value; of several the first.
func mode(t types.OID, sorted []value) value {
	best, bestCount, count := sorted[0], 0, 0
	for i, v := range sorted {
		if i > 0 && types.Compare(t, v, sorted[i-1]) == 0 {
			count++
		} else {
			count = 1
		}
		if count > bestCount {
			best, bestCount = v, count
		}
	}
	return best
}

// hypotheticals are the ranks that a row would have: of one argument.
func hypotheticals() []implementation {
	rank := func(name string, f func(before, same, distinctBefore, n float64) value) implementation {
		return implementation{Signature: name + "(any)", Aggregate: func(c *schema.Call, direct []value) (schema.Accumulator, error) {
			if len(direct) != 1 {
				return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "%s of several columns is not supported", name)
			}
			t := argumentType(c, len(c.Types)-1)
			var before, equal, distinct, n float64
			last := types.Null()
			seen := false
			return &accumulator{func(a []value) error {
				n++
				switch {
				case same(t, a[0], direct[0]):
					equal++
					seen = true
				case !seen && equal == 0 && isBefore(t, a[0], direct[0]):
					if before == 0 || !same(t, a[0], last) {
						distinct++
					}
					before++
				}
				last = a[0]
				return nil
			}, func() (value, error) { return f(before, equal, distinct, n), nil }}, nil
		}}
	}
	return []implementation{
		rank("rank", func(before, _, _, _ float64) value { return number(int64(before) + 1) }),
		rank("dense_rank", func(_, _, distinct, _ float64) value { return number(int64(distinct) + 1) }),
		rank("percent_rank", func(before, _, _, n float64) value {
			if n == 0 {
				return float(0)
			}
			return float(before / n)
		}),
		rank("cume_dist", func(before, equal, _, n float64) value { return float((before + equal + 1) / (n + 1)) }),
	}
}

// isBefore reports that v sorts before w, NULLs last.
func isBefore(t types.OID, v, w value) bool {
	if v.IsNull || w.IsNull {
		return !v.IsNull
	}
	return types.Compare(t, v, w) < 0
}

// collections gather values: arrays, texts and JSON.
func collections() []implementation {
	out := []implementation{
		aggregateAll("array_agg(anynonarray)", gather),
		aggregateAll("array_agg(anyarray)", gatherArrays),
		joining("string_agg(text,text)"), joining("string_agg(bytea,bytea)"),
	}
	for name, t := range jsonKinds() {
		out = append(out, jsonArrayAggregate(name+"_agg(anyelement)", t, false), jsonArrayAggregate(name+"_agg_strict(anyelement)", t, true),
			jsonObjectAggregate(name+"_object_agg(any,any)", t, false, false), jsonObjectAggregate(name+"_object_agg_strict(any,any)", t, true, false),
			jsonObjectAggregate(name+"_object_agg_unique(any,any)", t, false, true), jsonObjectAggregate(name+"_object_agg_unique_strict(any,any)", t, true, true))
	}
	return out
}

func gather(c *schema.Call) accumulator {
	var elems []value
	return accumulator{func(a []value) error {
		elems = append(elems, a[0])
		return c.Charge(a[0].Size())
	}, func() (value, error) {
		if elems == nil {
			return null()
		}
		return types.OfArray(elems[:len(elems):len(elems)]), nil
	}}
}

// gatherArrays makes an array of arrays, which must be alike.
func gatherArrays(c *schema.Call) accumulator {
	var elems []value
	var dims []types.Dim
	n := int32(0)
	return accumulator{func(a []value) error {
		if a[0].IsNull {
			return pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "cannot accumulate null arrays")
		}
		d := a[0].Dims()
		if len(d) == 0 {
			return pgwire.Errorf(pgwire.CodeArraySubscriptError, "cannot accumulate empty arrays")
		}
		if n > 0 && len(d) != len(dims) {
			return pgwire.Errorf(pgwire.CodeArraySubscriptError, "cannot accumulate arrays of different dimensionality")
		}
		for i := range d {
			if n > 0 && d[i].Length != dims[i].Length {
				return pgwire.Errorf(pgwire.CodeArraySubscriptError, "cannot accumulate arrays of different dimensionality")
			}
		}
		n++
		dims, elems = d, append(elems, a[0].Elems...)
		return c.Charge(a[0].Size())
	}, func() (value, error) {
		if n == 0 {
			return null()
		}
		shape := &types.Shape{Dims: append([]types.Dim{{Length: n, Lower: 1}}, dims...)}
		return value{Elems: elems[:len(elems):len(elems)], Shape: shape}, nil
	}}
}

func joining(signature string) implementation {
	return aggregateAll(signature, func(c *schema.Call) accumulator {
		var out []byte
		any := false
		return accumulator{func(a []value) error {
			if a[0].IsNull {
				return nil
			}
			if any {
				out = append(out, a[1].Bytes...)
			}
			out, any = append(out, a[0].Bytes...), true
			if len(out) > resultBytesMax {
				return errTooLong()
			}
			return c.Charge(int64(len(a[0].Bytes)))
		}, func() (value, error) {
			if !any {
				return null()
			}
			return bytesOf(append([]byte{}, out...)), nil
		}}
	})
}

func jsonArrayAggregate(signature string, t types.OID, skipsNulls bool) implementation {
	return aggregateAll(signature, func(c *schema.Call) accumulator {
		of := argumentType(c, 0)
		isStructured := types.Lookup(of) == nil || of == types.Record || of.Elem() != 0
		var out []byte
		return accumulator{func(a []value) (err error) {
			if out == nil {
				out = []byte{'['}
			}
			if skipsNulls && a[0].IsNull {
				return nil
			}
			if len(out) > 1 {
				if out = append(out, ", "...); isStructured && !a[0].IsNull {
					out = append(out, "\n "...)
				}
			}
			before := len(out)
			if out, err = appendJSON(out, c, of, a[0], 0); err != nil {
				return err
			}
			return chargeJSON(c, out, before)
		}, func() (value, error) {
			if out == nil {
				return null()
			}
			return finishJSON(c, t, append(append([]byte{}, out...), ']'), nil)
		}}
	})
}

func chargeJSON(c *schema.Call, out []byte, before int) error {
	if len(out) > resultBytesMax {
		return errTooLong()
	}
	return c.Charge(int64(len(out) - before))
}

func jsonObjectAggregate(signature string, t types.OID, skipsNulls, isUnique bool) implementation {
	return aggregateAll(signature, func(c *schema.Call) accumulator {
		var out []byte
		keys := make(jsonKeys)
		return accumulator{func(a []value) (err error) {
			if a[0].IsNull {
				return pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "null value not allowed for object key")
			}
			key := types.AppendText(nil, argumentType(c, 0), a[0], &c.Style)
			if isUnique {
				if err := keys.add(c, key); err != nil {
					return err
				}
			}
			if out == nil {
				out = []byte("{ ") // also of rows that are skipped
			} else if len(out) > len("{ ") {
				out = append(out, ", "...)
			}
			if skipsNulls && a[1].IsNull {
				return nil
			}
			before := len(out)
			out = append(types.AppendJSONString(out, key), " : "...)
			if out, err = appendJSON(out, c, argumentType(c, 1), a[1], 0); err != nil {
				return err
			}
			return chargeJSON(c, out, before)
		}, func() (value, error) {
			if out == nil {
				return null()
			}
			return finishJSON(c, t, append(append([]byte{}, out...), " }"...), nil)
		}}
	})
}
