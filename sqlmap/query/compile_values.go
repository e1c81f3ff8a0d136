package query

import (
	"slices"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

func (x *execution) array(e *arrayExpr) (evaluator, error) {
	elems, err := x.compileAll(e.elems)
	if err != nil {
		return nil, err
	}
	nested := e.nested
	return func(f *frame) (types.Value, error) {
		out := make([]types.Value, len(elems))
		for i, elem := range elems {
			v, err := elem(f)
			if err != nil {
				return v, err
			}
			out[i] = v
		}
		if nested {
			return nestArrays(out)
		}
		return types.Value{Elems: out}, nil
	}, nil
}

// nestArrays makes an array of one more dimension. NULLs and empty arrays vanish if all
// are, else they do not match.
func nestArrays(arrays []types.Value) (types.Value, error) {
	mismatch := func() (types.Value, error) {
		return types.Value{}, pgwire.Errorf(pgwire.CodeArraySubscriptError, "multidimensional arrays must have array expressions with matching dimensions")
	}
	var dims []types.Dim
	out := []types.Value{}
	empty := 0
	for i, a := range arrays {
		if a.IsNull || len(a.Elems) == 0 {
			empty++
			continue
		}
		own := dimsOf(a)
		if i > 0 && empty > 0 || dims != nil && !slices.Equal(dims, own) {
			return mismatch()
		}
		dims = own
		out = append(out, a.Elems...)
	}
	if dims == nil {
		return types.Value{Elems: out}, nil
	}
	if empty > 0 {
		return mismatch()
	}
	all := append([]types.Dim{{Length: int32(len(arrays)), Lower: 1}}, dims...)
	return types.Value{Elems: out, Shape: &types.Shape{Dims: all}}, nil
}

// dimsOf are the dimensions of an array that is not empty.
func dimsOf(v types.Value) []types.Dim {
	if v.Shape != nil && v.Shape.Dims != nil {
		return v.Shape.Dims
	}
	return []types.Dim{{Length: int32(len(v.Elems)), Lower: 1}}
}

func (x *execution) rowOf(e *rowExpr) (evaluator, error) {
	elems, err := x.compileAll(e.elems)
	if err != nil {
		return nil, err
	}
	shape := shapeOf(e.fields)
	return func(f *frame) (types.Value, error) {
		out := make([]types.Value, len(elems))
		for i, elem := range elems {
			v, err := elem(f)
			if err != nil {
				return v, err
			}
			out[i] = v
		}
		return types.Value{Elems: out, Shape: shape}, nil
	}, nil
}

// rowCompare is <, <=, > or >= between rows: the first pair that differs decides.
func (x *execution) rowCompare(e *rowCompareExpr) (evaluator, error) {
	tests, err := x.compileAll(e.tests)
	if err != nil {
		return nil, err
	}
	equals, err := x.compileAll(e.equals)
	if err != nil {
		return nil, err
	}
	orSame := e.orSame
	return func(f *frame) (types.Value, error) {
		for i := range tests {
			same, err := equals[i](f)
			if err != nil || same.IsNull {
				return same, err
			}
			if !same.IsTrue() {
				return tests[i](f)
			}
		}
		return types.OfBool(orSame), nil
	}, nil
}

func (x *execution) field(e *fieldExpr) (evaluator, error) {
	arg, err := x.compile(e.arg)
	if err != nil {
		return nil, err
	}
	index := e.index
	return func(f *frame) (types.Value, error) {
		v, err := arg(f)
		if err != nil || v.IsNull || index >= len(v.Elems) {
			return types.Null(), err
		}
		return v.Elems[index], nil
	}, nil
}

// characters are those of a name, which has 64 of them.
func characters(name types.Value) types.Value {
	elems := make([]types.Value, 64)
	for i := range elems {
		elems[i] = types.OfBytes(nil)
		if i < len(name.Bytes) {
			elems[i] = types.OfBytes(name.Bytes[i : i+1])
		}
	}
	return types.OfVector(elems)
}

func (x *execution) subscript(e *subscriptExpr) (evaluator, error) {
	arg, err := x.compile(e.arg)
	if err != nil {
		return nil, err
	}
	type pair struct{ lower, upper evaluator }
	bounds := make([]pair, len(e.subscripts))
	for i, s := range e.subscripts {
		if s.lower != nil {
			if bounds[i].lower, err = x.compile(s.lower); err != nil {
				return nil, err
			}
		}
		if s.upper != nil {
			if bounds[i].upper, err = x.compile(s.upper); err != nil {
				return nil, err
			}
		}
	}
	bound := func(eval evaluator, f *frame) (*int32, bool, error) {
		if eval == nil {
			return nil, false, nil
		}
		v, err := eval(f)
		n := int32(v.Int)
		return &n, v.IsNull, err
	}
	isName := e.arg.info().oid == types.Name
	return func(f *frame) (types.Value, error) {
		array, err := arg(f)
		if err != nil || array.IsNull {
			return types.Null(), err
		}
		if isName {
			array = characters(array)
		}
		picks := make([]sliceBound, len(bounds))
		for i, b := range bounds {
			lower, null, err := bound(b.lower, f)
			if err != nil || null {
				return types.Null(), err
			}
			upper, null, err := bound(b.upper, f)
			if err != nil || null {
				return types.Null(), err
			}
			picks[i] = sliceBound{lower, upper, e.subscripts[i].isSlice}
		}
		if e.isSlice {
			return sliceArray(array, picks), nil
		}
		return elementAt(array, picks), nil
	}, nil
}

// sliceBound is an evaluated subscript; nil: left out.
type sliceBound struct {
	lower, upper *int32
	isSlice      bool
}

func elementAt(array types.Value, picks []sliceBound) types.Value {
	dims := dimsOf(array)
	if len(picks) != len(dims) {
		return types.Null()
	}
	at := 0
	for i, d := range dims {
		k := int64(*picks[i].upper) - int64(d.Lower)
		if k < 0 || k >= int64(d.Length) {
			return types.Null()
		}
		at = at*int(d.Length) + int(k)
	}
	return array.Elems[at]
}

// sliceArray is array[a:b]…; a plain subscript among slices means 1 to it.
func sliceArray(array types.Value, picks []sliceBound) types.Value {
	empty := types.Value{Elems: []types.Value{}}
	dims := dimsOf(array)
	if len(array.Elems) == 0 || len(picks) > len(dims) {
		return empty
	}
	from, length := make([]int, len(dims)), make([]int, len(dims))
	for i, d := range dims {
		lower, upper := int64(d.Lower), int64(d.Lower)+int64(d.Length)-1
		if i < len(picks) {
			if p := picks[i]; !p.isSlice {
				lower, upper = max(lower, 1), min(upper, int64(*p.upper))
			} else {
				if p.lower != nil {
					lower = max(lower, int64(*p.lower))
				}
				if p.upper != nil {
					upper = min(upper, int64(*p.upper))
				}
			}
		}
		if upper < lower {
			return empty
		}
		from[i], length[i] = int(lower-int64(d.Lower)), int(upper-lower+1)
	}
	out := types.Value{Elems: pickElements(nil, array.Elems, dims, from, length)}
	if len(dims) > 1 {
		shape := &types.Shape{}
		for _, n := range length {
			shape.Dims = append(shape.Dims, types.Dim{Length: int32(n), Lower: 1})
		}
		out.Shape = shape
	}
	return out
}

// pickElements copies the part of an array that a slice has; at most six levels deep.
func pickElements(out, elems []types.Value, dims []types.Dim, from, length []int) []types.Value {
	if len(dims) == 1 {
		return append(out, elems[from[0]:from[0]+length[0]]...)
	}
	stride := len(elems) / int(dims[0].Length)
	for i := from[0]; i < from[0]+length[0]; i++ {
		out = pickElements(out, elems[i*stride:(i+1)*stride], dims[1:], from[1:], length[1:])
	}
	return out
}

func (x *execution) cast(e *castExpr) (evaluator, error) {
	arg, err := x.compile(e.arg)
	if err != nil {
		return nil, err
	}
	switch e.method {
	case castRelabel:
		return arg, nil
	case castText:
		return x.castText(e, arg), nil
	case castCall:
		return x.castCall(e, arg)
	case castModify:
		return x.castModify(e, arg)
	case castArray:
		return x.castArray(e, arg)
	}
	fields, err := x.compileAll(e.fields)
	if err != nil {
		return nil, err
	}
	cells := make([]*types.Value, len(e.parts))
	for i, p := range e.parts {
		cells[i] = x.cell(p)
	}
	shape := &types.Shape{}
	if t := x.env.Catalog.Type(x.base(e.oid)); t != nil {
		shape = shapeOf(t.Fields)
	}
	return notNull(arg, func(f *frame, v types.Value) (types.Value, error) {
		out := make([]types.Value, len(fields))
		for i := range fields {
			*cells[i] = v.Elems[i]
			converted, err := fields[i](f)
			if err != nil {
				return v, err
			}
			out[i] = converted
		}
		return types.Value{Elems: out, Shape: shape}, nil
	}), nil
}

func notNull(arg evaluator, then func(f *frame, v types.Value) (types.Value, error)) evaluator {
	return func(f *frame) (types.Value, error) {
		v, err := arg(f)
		if err != nil || v.IsNull {
			return v, err
		}
		return then(f, v)
	}
}

// castText converts by the output function of one type and the input function of another.
func (x *execution) castText(e *castExpr, arg evaluator) evaluator {
	from, to, style := x.base(e.arg.info().oid), x.base(e.oid), &x.env.Style
	isText := classOf(from) == keyText
	return notNull(arg, func(_ *frame, v types.Value) (types.Value, error) {
		text := v.Bytes
		if !isText {
			text = types.AppendText(nil, from, v, style)
		}
		if classOf(to) == keyText && to != types.Name {
			return types.OfBytes(text), nil
		}
		return types.ParseText(to, text, style)
	})
}

func (x *execution) castCall(e *castExpr, arg evaluator) (evaluator, error) {
	fn := e.function
	if fn.Implementation == nil || fn.Implementation.Call == nil {
		return nil, unsupported(e.at, "cast from "+x.base(e.arg.info().oid).String()+" to "+x.base(e.oid).String()+" is")
	}
	call := &schema.Call{Env: x.env, Function: fn, Types: fn.Args, Returns: fn.Returns}
	return notNull(arg, func(_ *frame, v types.Value) (types.Value, error) {
		values := make([]types.Value, len(fn.Args))
		values[0] = v
		if len(values) > 1 {
			values[1] = types.OfInt(int64(e.typmod))
		}
		if len(values) > 2 {
			values[2] = types.OfBool(e.explicit)
		}
		return fn.Implementation.Call(call, values)
	}), nil
}

// castModify makes a value fit a type modifier.
func (x *execution) castModify(e *castExpr, arg evaluator) (evaluator, error) {
	oid := x.base(e.oid)
	var elem types.OID
	if elem = oid.Elem(); elem == 0 {
		elem = oid
	}
	fit, err := x.modifier(e, elem)
	if err != nil || fit == nil {
		return arg, err
	}
	return notNull(arg, func(_ *frame, v types.Value) (types.Value, error) {
		if elem == oid {
			return fit(v)
		}
		out := make([]types.Value, len(v.Elems))
		for i := range v.Elems {
			out[i] = v.Elems[i]
			if v.Elems[i].IsNull {
				continue
			}
			modified, err := fit(v.Elems[i])
			if err != nil {
				return v, err
			}
			out[i] = modified
		}
		return types.Value{Elems: out, Shape: v.Shape}, nil
	}), nil
}

// modifier makes what fits one value of a type: the function that pg_cast names for it, else
// what package types has; nil if there is nothing to do.
func (x *execution) modifier(e *castExpr, oid types.OID) (func(v types.Value) (types.Value, error), error) {
	if fn := e.function; fn != nil && fn.Implementation.Call != nil {
		call := &schema.Call{Env: x.env, Function: fn, Types: fn.Args, Returns: fn.Returns}
		typmod, explicit := types.OfInt(int64(e.typmod)), types.OfBool(e.explicit)
		return func(v types.Value) (types.Value, error) {
			return fn.Implementation.Call(call, []types.Value{v, typmod, explicit}[:len(fn.Args)])
		}, nil
	}
	modifiers := modifiersOf(oid, e.typmod)
	if modifiers == nil {
		return nil, nil
	}
	if _, ok := types.Modify(types.Value{Bytes: []byte{'0'}}, oid, modifiers); !ok {
		return nil, unsupported(e.at, "this type modifier is")
	}
	return func(v types.Value) (types.Value, error) { return modify(v, oid, modifiers) }, nil
}

// modify applies a modifier and checks that a numeric still fits.
func modify(v types.Value, oid types.OID, modifiers []int64) (types.Value, error) {
	out, _ := types.Modify(v, oid, modifiers)
	if oid == types.Numeric && len(modifiers) == 2 {
		digits := 0
		for _, c := range out.Bytes {
			if c == '.' {
				break
			}
			if c >= '1' && c <= '9' || digits > 0 && c == '0' {
				digits++
			}
		}
		if most := modifiers[0] - modifiers[1]; int64(digits) > most && most >= 0 {
			e := pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "numeric field overflow")
			e.Detail = pgwire.Errorf("", "A field with precision %d, scale %d must round to an absolute value less than 10^%d.", modifiers[0], modifiers[1], most).Message
			return v, e
		}
	}
	return out, nil
}

// modifiersOf decodes a modifier as it stands in parentheses; nil: nothing to do.
func modifiersOf(oid types.OID, typmod int32) []int64 {
	switch oid {
	case types.VarChar, types.BPChar:
		return []int64{int64(typmod - 4)}
	case types.Numeric:
		scale := int64((typmod - 4) & 0x7ff)
		return []int64{int64((typmod - 4) >> 16 & 0xffff), (scale ^ 1024) - 1024}
	case types.Timestamp, types.TimestampTZ, typeTime, typeTimeTZ, typeBit, typeVarBit:
		return []int64{int64(typmod)}
	case types.Interval:
		return []int64{int64(typmod)}
	}
	return nil
}

func (x *execution) castArray(e *castExpr, arg evaluator) (evaluator, error) {
	convert, err := x.compile(e.convert)
	if err != nil {
		return nil, err
	}
	cell := x.cell(e.element)
	return notNull(arg, func(f *frame, v types.Value) (types.Value, error) {
		out := make([]types.Value, len(v.Elems))
		for i := range v.Elems {
			*cell = v.Elems[i]
			converted, err := convert(f)
			if err != nil {
				return v, err
			}
			out[i] = converted
		}
		return types.Value{Elems: out, Shape: v.Shape}, nil
	}), nil
}

// sqlValue computes CURRENT_DATE and its like.
func (x *execution) sqlValue(e *sqlValueExpr) (evaluator, error) {
	return func(*frame) (types.Value, error) {
		session, style := x.env.Session, &x.env.Style
		switch e.op {
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_USER,
			pg_query.SQLValueFunctionOp_SVFOP_USER, pg_query.SQLValueFunctionOp_SVFOP_SESSION_USER:
			return types.OfText(session.User()), nil
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
			return types.OfText(session.Database()), nil
		case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_SCHEMA:
			for _, s := range session.SearchPath() {
				if s != "pg_catalog" {
					return types.OfText(s), nil
				}
			}
			return types.Null(), nil
		}
		text := style.Now.Truncate(time.Microsecond).In(style.Zone()).Format(time.RFC3339Nano)
		switch e.oid {
		case types.TimestampTZ:
			return types.OfTime(style.Now), nil
		case types.Timestamp:
			return types.ToLocal(types.OfTime(style.Now), style), nil
		case typeDate:
			text = text[:10]
		case typeTime, typeTimeTZ:
			text = text[11:]
		}
		return types.ParseText(e.oid, []byte(text), style)
	}, nil
}
