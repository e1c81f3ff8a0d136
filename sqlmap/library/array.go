package library

import (
	"slices"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// elementType is the type of the elements of an array argument.
func elementType(c *schema.Call, i int) types.OID {
	t := argumentType(c, i)
	if e := t.Elem(); e != 0 {
		return e
	}
	if c.Catalog != nil { // an array of a type of its own, e.g. of rows
		if described := c.Catalog.Type(t); described != nil {
			return described.Elem
		}
	}
	return 0
}

func arrays() []implementation {
	bound := func(name string, of func(d types.Dim) int32) implementation {
		return pure(name+"(anyarray,int4)", func(a []value) (value, error) {
			dims := a[0].Dims()
			if a[1].Int < 1 || a[1].Int > int64(len(dims)) {
				return null()
			}
			return number(int64(of(dims[a[1].Int-1]))), nil
		})
	}
	out := []implementation{
		bound("array_length", func(d types.Dim) int32 { return d.Length }),
		bound("array_lower", func(d types.Dim) int32 { return d.Lower }),
		bound("array_upper", func(d types.Dim) int32 { return d.Lower + d.Length - 1 }),
		pure("cardinality(anyarray)", func(a []value) (value, error) { return number(int64(len(a[0].Elems))), nil }),
		pure("array_ndims(anyarray)", func(a []value) (value, error) {
			if n := len(a[0].Dims()); n > 0 {
				return number(int64(n)), nil
			}
			return null()
		}),
		call("array_dims(anyarray)", func(c *schema.Call, a []value) (value, error) {
			dims := a[0].Dims()
			if len(dims) == 0 {
				return null()
			}
			s := ""
			for _, d := range dims {
				s += "[" + asText(c, types.Int4, number(int64(d.Lower))) + ":" + asText(c, types.Int4, number(int64(d.Lower+d.Length-1))) + "]"
			}
			return text(s), nil
		}),
		call("array_to_string(anyarray,text)", func(c *schema.Call, a []value) (value, error) { return joinArray(c, a, nil) }),
		call("array_to_string(anyarray,text,text)", func(c *schema.Call, a []value) (value, error) {
			if a[0].IsNull || a[1].IsNull {
				return null()
			}
			if a[2].IsNull {
				return joinArray(c, a, nil)
			}
			return joinArray(c, a, &a[2])
		}),
		rows("unnest(anyarray)", func(_ *schema.Call, a []value) (schema.Iterator, error) { return schema.Each(a[0].Elems), nil }),
	}
	return append(append(append(out, arraySearches()...), arrayChanges()...), arraySets()...)
}

func joinArray(c *schema.Call, a []value, forNull *value) (value, error) {
	elem := elementType(c, 0)
	out, any := []byte{}, false
	for i, v := range a[0].Elems {
		if err := c.Interrupted(i); err != nil {
			return value{}, err
		}
		if v.IsNull && forNull == nil {
			continue
		}
		if any {
			out = append(out, a[1].Bytes...)
		}
		any = true
		if v.IsNull {
			out = append(out, forNull.Bytes...)
		} else {
			out = types.AppendText(out, elem, v, &c.Style)
		}
		if len(out) > resultBytesMax {
			return value{}, errTooLong()
		}
	}
	return bytesOf(out), nil
}

// same reports values that are not distinct.
func same(t types.OID, a, b value) bool {
	if a.IsNull || b.IsNull {
		return a.IsNull == b.IsNull
	}
	return types.Compare(t, a, b) == 0
}

func arraySearches() []implementation {
	position := func(c *schema.Call, a []value, from int64) (value, error) {
		if a[0].IsNull {
			return null()
		}
		dims := a[0].Dims()
		if len(dims) > 1 {
			return value{}, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "searching for elements in multidimensional arrays is not supported")
		}
		lower := int64(1)
		if len(dims) == 1 {
			lower = int64(dims[0].Lower)
		}
		for i, e := range a[0].Elems {
			if at := lower + int64(i); at >= from && same(elementType(c, 0), e, a[1]) {
				return number(at), nil
			}
		}
		return null()
	}
	const anywhere = -1 << 40
	return []implementation{
		call("array_position(anycompatiblearray,anycompatible)", func(c *schema.Call, a []value) (value, error) { return position(c, a, anywhere) }),
		call("array_position(anycompatiblearray,anycompatible,int4)", func(c *schema.Call, a []value) (value, error) {
			if a[2].IsNull && !a[0].IsNull {
				return value{}, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "initial position must not be null")
			}
			return position(c, a, a[2].Int)
		}),
		call("array_positions(anycompatiblearray,anycompatible)", func(c *schema.Call, a []value) (value, error) {
			if a[0].IsNull {
				return null()
			}
			out := []value{}
			for i, e := range a[0].Elems {
				if same(elementType(c, 0), e, a[1]) {
					out = append(out, number(int64(i+1)))
				}
			}
			return types.OfArray(out), nil
		}),
		pure("num_nulls(any)", func(a []value) (value, error) { return countNulls(a, true), nil }),
		pure("num_nonnulls(any)", func(a []value) (value, error) { return countNulls(a, false), nil }),
	}
}

func countNulls(a []value, wanted bool) value {
	n := 0
	for _, v := range a {
		if v.IsNull == wanted {
			n++
		}
	}
	return number(int64(n))
}

func arrayChanges() []implementation {
	return []implementation{
		pure("array_append(anycompatiblearray,anycompatible)", func(a []value) (value, error) { return joinElements(a[0].Elems, a[1:]) }),
		pure("array_prepend(anycompatible,anycompatiblearray)", func(a []value) (value, error) { return joinElements(a[:1], a[1].Elems) }),
		pure("array_cat(anycompatiblearray,anycompatiblearray)", func(a []value) (value, error) {
			switch {
			case a[0].IsNull || len(a[0].Elems) == 0 && !a[1].IsNull:
				return a[1], nil
			case a[1].IsNull || len(a[1].Elems) == 0:
				return a[0], nil
			}
			return catArrays(a[0], a[1])
		}),
		call("array_remove(anycompatiblearray,anycompatible)", func(c *schema.Call, a []value) (value, error) {
			if a[0].IsNull {
				return null()
			}
			kept := []value{}
			for _, e := range a[0].Elems {
				if !same(elementType(c, 0), e, a[1]) {
					kept = append(kept, e)
				}
			}
			return types.OfArray(kept), nil
		}),
		call("array_replace(anycompatiblearray,anycompatible,anycompatible)", func(c *schema.Call, a []value) (value, error) {
			if a[0].IsNull {
				return null()
			}
			out := slices.Clone(a[0].Elems)
			for i := range out {
				if same(elementType(c, 0), out[i], a[1]) {
					out[i] = a[2]
				}
			}
			return value{Elems: out, Shape: a[0].Shape}, nil
		}),
		call("array_fill(anyelement,int4[])", func(c *schema.Call, a []value) (value, error) { return fillArray(c, a[0], a[1]) }),
		pure("trim_array(anyarray,int4)", func(a []value) (value, error) {
			n := a[1].Int
			if n < 0 || n > int64(len(a[0].Elems)) {
				return value{}, pgwire.Errorf(pgwire.CodeArraySubscriptError, "number of elements to trim must be between 0 and %d", len(a[0].Elems))
			}
			return types.OfArray(a[0].Elems[:int64(len(a[0].Elems))-n]), nil
		}),
	}
}

func joinElements(a, b []value) (value, error) {
	if n := len(a) + len(b); n*16 > resultBytesMax {
		return value{}, errTooLong()
	}
	return types.OfArray(slices.Concat(a, b)), nil
}

// catArrays joins along the first dimension; an array of one dimension less is one row.
func catArrays(a, b value) (value, error) {
	x, y := slices.Clone(a.Dims()), slices.Clone(b.Dims())
	one := types.Dim{Length: 1, Lower: 1}
	switch {
	case len(x) == len(y)+1:
		y = append([]types.Dim{one}, y...)
	case len(y) == len(x)+1:
		x = append([]types.Dim{one}, x...)
	}
	mismatch := len(x) != len(y)
	for i := 1; i < len(x) && !mismatch; i++ {
		mismatch = x[i].Length != y[i].Length
	}
	if mismatch {
		return value{}, pgwire.Errorf(pgwire.CodeArraySubscriptError, "cannot concatenate incompatible arrays")
	}
	out, err := joinElements(a.Elems, b.Elems)
	if x[0].Length += y[0].Length; len(x) > 1 || x[0].Lower != 1 {
		out.Shape = &types.Shape{Dims: x}
	}
	return out, err
}

func fillArray(c *schema.Call, v, lengths value) (value, error) {
	if lengths.IsNull {
		return value{}, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "dimension array or low bound array cannot be null")
	}
	n := int64(1)
	shape := &types.Shape{}
	for _, l := range lengths.Elems {
		if l.IsNull {
			return value{}, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "dimension values cannot be null")
		}
		if n *= l.Int; l.Int < 0 || n*16 > resultBytesMax || len(shape.Dims) == 6 {
			return value{}, errTooLong()
		}
		shape.Dims = append(shape.Dims, types.Dim{Length: int32(l.Int), Lower: 1})
	}
	if len(shape.Dims) == 0 {
		n = 0
	}
	if err := c.Charge(n * 96); err != nil {
		return value{}, err
	}
	out := value{Elems: make([]value, n)}
	for i := range out.Elems {
		out.Elems[i] = v
	}
	if len(shape.Dims) > 1 {
		out.Shape = shape
	}
	return out, nil
}

// arraySets are &&, @> and <@.
func arraySets() []implementation {
	holds := func(t types.OID, list []value, v value) bool {
		return !v.IsNull && slices.ContainsFunc(list, func(x value) bool { return !x.IsNull && types.Compare(t, x, v) == 0 })
	}
	// search looks in all for the elements of part until one is found, or is not.
	search := func(c *schema.Call, all, part value, isFound bool) (bool, error) {
		t := elementType(c, 0)
		for _, v := range part.Elems {
			if err := c.Interrupted(0); err != nil {
				return false, err
			}
			if holds(t, all.Elems, v) == isFound {
				return true, nil
			}
		}
		return false, nil
	}
	contains := func(c *schema.Call, all, part value) (value, error) {
		isMissing, err := search(c, all, part, false)
		return boolean(!isMissing), err
	}
	return []implementation{
		call("arrayoverlap(anyarray,anyarray)", func(c *schema.Call, a []value) (value, error) {
			overlaps, err := search(c, a[1], a[0], true)
			return boolean(overlaps), err
		}),
		call("arraycontains(anyarray,anyarray)", func(c *schema.Call, a []value) (value, error) { return contains(c, a[0], a[1]) }),
		call("arraycontained(anyarray,anyarray)", func(c *schema.Call, a []value) (value, error) { return contains(c, a[1], a[0]) }),
	}
}
