package scalar

import (
	"slices"

	"pgcache/sqlmap/types"
)

// appendArrays is array || array, array || element and element || array. A literal beside
// an array is an array.
func (c *Compiler) appendArrays(left, right *Expr, at int32) (*Expr, error) {
	array := left.Type
	if array.Elem() == 0 {
		array = right.Type
	}
	isElement := func(x *Expr) bool { return x.Type != types.Unknown && x.Type.Elem() == 0 }
	operands := [2]*Expr{left, right}
	elements := [2]bool{isElement(left), isElement(right)}
	for i, x := range operands {
		to := array
		if elements[i] {
			to = array.Elem()
		}
		if x.Type != to && x.Type != types.Unknown && types.CastContext(x.Type, to) != types.Implicit {
			return nil, undefinedOperator("||", left, right, at)
		}
		var err error
		if operands[i], err = c.Coerce(x, to, types.Implicit); err != nil {
			return nil, err
		}
	}
	return derived(array, at, func(e *Env) (types.Value, error) {
		var parts [2]types.Value
		for i, x := range operands {
			v, err := x.eval(e)
			if err != nil {
				return v, err
			}
			if elements[i] {
				v = types.Value{Elems: []types.Value{v}}
			}
			parts[i] = v
		}
		switch {
		case parts[0].IsNull:
			return parts[1], nil
		case parts[1].IsNull:
			return parts[0], nil
		}
		return types.Value{Elems: slices.Concat(parts[0].Elems, parts[1].Elems)}, nil
	}, operands[0], operands[1]), nil
}

// arrayOperator is && (overlaps), @> (contains) and <@ (is contained).
func (c *Compiler) arrayOperator(name string, left, right *Expr, at int32) (*Expr, error) {
	if left.Type == types.JSONB || right.Type == types.JSONB {
		return nil, Unsupported(at, "operator "+name+" on jsonb is", "Compare one member: metadata ->> 'content-type' = 'text/html'.")
	}
	l, r, common, ok, err := c.pair(left, right)
	if err != nil {
		return nil, err
	}
	if !ok || common.Elem() == 0 {
		return nil, undefinedOperator(name, left, right, at)
	}
	elem := common.Elem()
	return derived(types.Bool, at, strict(l, r, func(_ *Env, a, b types.Value) (types.Value, error) {
		switch name {
		case "&&":
			return types.OfBool(slices.ContainsFunc(a.Elems, func(v types.Value) bool { return holds(elem, b.Elems, v) })), nil
		case "<@":
			a, b = b, a
		}
		return types.OfBool(!slices.ContainsFunc(b.Elems, func(v types.Value) bool { return !holds(elem, a.Elems, v) })), nil
	}), l, r), nil
}

func holds(elem types.OID, list []types.Value, v types.Value) bool {
	return !v.IsNull && slices.ContainsFunc(list, func(x types.Value) bool { return !x.IsNull && types.Compare(elem, x, v) == 0 })
}

// jsonOperator is -> and ->> (member or item) and ? (has the key).
func (c *Compiler) jsonOperator(name string, left, right *Expr, at int32) (*Expr, error) {
	if left.Type != types.JSON && left.Type != types.JSONB || name == "?" && left.Type == types.JSON {
		return nil, undefinedOperator(name, left, right, at)
	}
	isIndex := right.Type == types.Int2 || right.Type == types.Int4
	if !isIndex {
		if right.Type != types.Unknown && !right.Type.IsText() || name == "?" && isIndex {
			return nil, undefinedOperator(name, left, right, at)
		}
		var err error
		if right, err = c.Coerce(right, types.Text, types.Implicit); err != nil {
			return nil, err
		}
	}
	result := left.Type
	switch name {
	case "->>":
		result = types.Text
	case "?":
		result = types.Bool
	}
	return derived(result, at, strict(left, right, func(_ *Env, a, b types.Value) (types.Value, error) {
		switch {
		case name == "?":
			return types.OfBool(types.JSONHasKey(a, b.Text())), nil
		case isIndex:
			return types.JSONItem(a, b.Int, name == "->>"), nil
		}
		return types.JSONMember(a, b.Text(), name == "->>"), nil
	}), left, right), nil
}
