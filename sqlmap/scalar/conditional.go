package scalar

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// compileAll compiles a list.
func (c *Compiler) compileAll(nodes []*pg_query.Node) ([]*Expr, error) {
	list := make([]*Expr, len(nodes))
	for i, n := range nodes {
		x, err := c.Compile(n)
		if err != nil {
			return nil, err
		}
		list[i] = x
	}
	return list, nil
}

// Unify converts a list to one common type; construct names it in the error.
func (c *Compiler) Unify(list []*Expr, construct string) ([]*Expr, types.OID, error) {
	common := types.Unknown
	for _, x := range list {
		switch wider := types.WiderNumeric(common, x.Type); {
		case x.Type == types.Unknown || x.Type == common:
		case common == types.Unknown:
			common = x.Type
		case wider != 0:
			common = wider
		case types.CastContext(x.Type, common) == types.Implicit && common != types.Name:
		case types.CastContext(common, x.Type) == types.Implicit:
			common = x.Type
		default:
			return nil, 0, errorAt(x.At, pgwire.CodeDatatypeMismatch, "%s types %s and %s cannot be matched", construct, common, x.Type)
		}
	}
	if common == types.Unknown {
		common = types.Text
	}
	out := make([]*Expr, len(list))
	for i, x := range list {
		var err error
		if out[i], err = c.Coerce(x, common, types.Implicit); err != nil {
			return nil, 0, err
		}
	}
	return out, common, nil
}

func (c *Compiler) coalesce(k *pg_query.CoalesceExpr) (*Expr, error) {
	list, err := c.compileAll(k.Args)
	if err != nil {
		return nil, err
	}
	list, common, err := c.Unify(list, "COALESCE")
	if err != nil {
		return nil, err
	}
	return derived(common, k.Location, func(e *Env) (types.Value, error) {
		for _, x := range list {
			if v, err := x.eval(e); err != nil || !v.IsNull {
				return v, err
			}
		}
		return types.Null(), nil
	}, list...), nil
}

func (c *Compiler) minMax(k *pg_query.MinMaxExpr) (*Expr, error) {
	list, err := c.compileAll(k.Args)
	if err != nil {
		return nil, err
	}
	name, sign := "GREATEST", 1
	if k.Op == pg_query.MinMaxOp_IS_LEAST {
		name, sign = "LEAST", -1
	}
	list, common, err := c.Unify(list, name)
	if err != nil {
		return nil, err
	}
	return derived(common, k.Location, func(e *Env) (types.Value, error) {
		best := types.Null()
		for _, x := range list {
			v, err := x.eval(e)
			if err != nil {
				return v, err
			}
			if !v.IsNull && (best.IsNull || sign*types.Compare(common, v, best) > 0) {
				best = v
			}
		}
		return best, nil
	}, list...), nil
}

func (c *Compiler) caseExpr(k *pg_query.CaseExpr) (*Expr, error) {
	var subject *Expr
	var err error
	if k.Arg != nil {
		if subject, err = c.compileFinished(k.Arg); err != nil {
			return nil, err
		}
	}
	whens, results := make([]*Expr, len(k.Args)), make([]*Expr, len(k.Args))
	for i, n := range k.Args {
		when := n.GetCaseWhen()
		if subject == nil {
			whens[i], err = c.Condition(when.Expr, "CASE/WHEN")
		} else if whens[i], err = c.Compile(when.Expr); err == nil {
			whens[i], err = c.comparison("=", subject, whens[i], when.Location)
		}
		if err != nil {
			return nil, err
		}
		if results[i], err = c.Compile(when.Result); err != nil {
			return nil, err
		}
	}
	otherwise := Const(types.Unknown, types.Null(), k.Location)
	if k.Defresult != nil {
		if otherwise, err = c.Compile(k.Defresult); err != nil {
			return nil, err
		}
	}
	results, common, err := c.Unify(append(results, otherwise), "CASE")
	if err != nil {
		return nil, err
	}
	return derived(common, k.Location, func(e *Env) (types.Value, error) {
		for i, when := range whens {
			v, err := when.eval(e)
			if err != nil {
				return v, err
			}
			if v.IsTrue() {
				return results[i].eval(e)
			}
		}
		return results[len(whens)].eval(e)
	}, append(append([]*Expr{}, whens...), results...)...), nil
}

func (c *Compiler) array(k *pg_query.A_ArrayExpr) (*Expr, error) {
	list, err := c.compileAll(k.Elements)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		x := Const(types.Unknown, types.OfText("{}"), k.Location)
		return x, nil
	}
	list, common, err := c.Unify(list, "ARRAY")
	if err != nil {
		return nil, err
	}
	array := types.ArrayOf(common)
	if array == 0 {
		return nil, Unsupported(k.Location, "an array of "+common.String()+" is", "Use an array of text, bigint or bytea.")
	}
	return derived(array, k.Location, func(e *Env) (types.Value, error) {
		elems := make([]types.Value, len(list))
		for i, x := range list {
			var err error
			if elems[i], err = x.eval(e); err != nil {
				return types.Value{}, err
			}
		}
		return types.Value{Elems: elems}, nil
	}, list...), nil
}

// subscript is array[i].
func (c *Compiler) subscript(k *pg_query.A_Indirection) (*Expr, error) {
	x, err := c.Compile(k.Arg)
	if err != nil {
		return nil, err
	}
	for _, n := range k.Indirection {
		if field := n.GetString_(); field != nil {
			if x, err = x.field(field.Sval); err != nil {
				return nil, err
			}
			continue
		}
		indices := n.GetAIndices()
		if indices == nil || indices.IsSlice || x.Type.Elem() == 0 {
			return nil, Unsupported(x.At, "this subscript is", "Take one element of an array: tags[1].")
		}
		index, err := c.Compile(indices.Uidx)
		if err != nil {
			return nil, err
		}
		if index, err = c.Coerce(index, types.Int4, types.Assignment); err != nil {
			return nil, err
		}
		array, position := x.eval, index.eval
		x = derived(x.Type.Elem(), x.At, func(e *Env) (types.Value, error) {
			v, err := array(e)
			if err != nil || v.IsNull {
				return v, err
			}
			i, err := position(e)
			if err != nil || i.IsNull || i.Int < 1 || i.Int > int64(len(v.Elems)) {
				return types.Null(), err
			}
			return v.Elems[i.Int-1], nil
		}, x, index)
	}
	return x, nil
}

// ArrayOfOne is ARRAY[x].
func ArrayOfOne(x *Expr) *Expr {
	eval := x.eval
	return derived(types.ArrayOf(x.Type), x.At, func(e *Env) (types.Value, error) {
		v, err := eval(e)
		return types.Value{Elems: []types.Value{v}}, err
	}, x)
}
