package query

import (
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// expr analyzes an expression. Literals and parameters may still be unknown.
func (a *analyzer) expr(n *pg_query.Node) (expr, error) {
	switch n := n.GetNode().(type) {
	case *pg_query.Node_AConst:
		return a.constant(n.AConst)
	case *pg_query.Node_ParamRef:
		return a.params.reference(int(n.ParamRef.Number), n.ParamRef.Location)
	case *pg_query.Node_ColumnRef:
		return a.columnRef(n.ColumnRef)
	case *pg_query.Node_AExpr:
		return a.aExpr(n.AExpr)
	case *pg_query.Node_BoolExpr:
		return a.boolean(n.BoolExpr)
	case *pg_query.Node_NullTest:
		return a.nullTest(n.NullTest)
	case *pg_query.Node_BooleanTest:
		return a.booleanTest(n.BooleanTest)
	case *pg_query.Node_TypeCast:
		return a.typeCast(n.TypeCast)
	case *pg_query.Node_FuncCall:
		return a.funcCall(n.FuncCall)
	case *pg_query.Node_CaseExpr:
		return a.caseOf(n.CaseExpr)
	case *pg_query.Node_CoalesceExpr:
		return a.pick(n.CoalesceExpr.Args, pickCoalesce, "COALESCE", n.CoalesceExpr.Location)
	case *pg_query.Node_MinMaxExpr:
		if n.MinMaxExpr.Op == pg_query.MinMaxOp_IS_LEAST {
			return a.pick(n.MinMaxExpr.Args, pickLeast, "LEAST", n.MinMaxExpr.Location)
		}
		return a.pick(n.MinMaxExpr.Args, pickGreatest, "GREATEST", n.MinMaxExpr.Location)
	case *pg_query.Node_SubLink:
		return a.sublink(n.SubLink)
	case *pg_query.Node_AArrayExpr:
		return a.array(n.AArrayExpr, 0)
	case *pg_query.Node_AIndirection:
		return a.indirection(n.AIndirection)
	case *pg_query.Node_RowExpr:
		return a.row(n.RowExpr)
	case *pg_query.Node_CollateClause:
		return a.collate(n.CollateClause)
	case *pg_query.Node_SqlvalueFunction:
		return a.sqlValue(n.SqlvalueFunction)
	case *pg_query.Node_GroupingFunc:
		return a.grouping(n.GroupingFunc)
	case *pg_query.Node_SetToDefault:
		return nil, errorAt(n.SetToDefault.Location, pgwire.CodeSyntaxError, "DEFAULT is not allowed in this context")
	case *pg_query.Node_NamedArgExpr:
		return nil, errorAt(n.NamedArgExpr.Location, pgwire.CodeSyntaxError, "a named argument is not allowed in this context")
	case *pg_query.Node_XmlExpr:
		return nil, unsupported(n.XmlExpr.Location, "XML is")
	case *pg_query.Node_XmlSerialize:
		return nil, unsupported(n.XmlSerialize.Location, "XML is")
	case *pg_query.Node_CurrentOfExpr:
		return nil, unsupported(-1, "WHERE CURRENT OF is")
	case *pg_query.Node_JsonIsPredicate:
		return a.isJSON(n.JsonIsPredicate)
	}
	return a.jsonConstructor(n.GetNode())
}

// knownExpr analyzes an expression whose context says nothing about its type.
func (a *analyzer) knownExpr(n *pg_query.Node) (expr, error) {
	e, err := a.expr(n)
	if err != nil {
		return nil, err
	}
	return a.known(e)
}

func (a *analyzer) exprs(list []*pg_query.Node) ([]expr, error) {
	out := make([]expr, len(list))
	for i, n := range list {
		e, err := a.expr(n)
		if err != nil {
			return nil, err
		}
		out[i] = e
	}
	return out, nil
}

func constantOf(oid types.OID, v types.Value, at int32) *constExpr {
	return &constExpr{leaf: leaf{typing{oid: oid, typmod: -1, at: at}}, value: v}
}

func (a *analyzer) constant(k *pg_query.A_Const) (expr, error) {
	at := k.Location
	if k.Isnull {
		return constantOf(types.Unknown, types.Null(), at), nil
	}
	switch v := k.Val.(type) {
	case nil:
		return constantOf(types.Int4, types.OfInt(0), at), nil // an integer 0 has no field
	case *pg_query.A_Const_Ival:
		return constantOf(types.Int4, types.OfInt(int64(v.Ival.Ival)), at), nil
	case *pg_query.A_Const_Fval:
		return floatConstant(v.Fval.Fval, at)
	case *pg_query.A_Const_Boolval:
		return constantOf(types.Bool, types.OfBool(v.Boolval.Boolval), at), nil
	case *pg_query.A_Const_Sval:
		return constantOf(types.Unknown, types.OfText(v.Sval.Sval), at), nil
	case *pg_query.A_Const_Bsval:
		b, err := types.ParseText(typeBit, []byte(v.Bsval.Bsval), nil)
		return constantOf(typeBit, b, at), AtOffset(err, at)
	}
	return nil, unsupported(at, "this constant is")
}

// floatConstant is a number that the scanner did not take for an int4.
func floatConstant(text string, at int32) (expr, error) {
	if i, err := strconv.ParseInt(text, 0, 64); err == nil {
		if i == int64(int32(i)) {
			return constantOf(types.Int4, types.OfInt(i), at), nil
		}
		return constantOf(types.Int8, types.OfInt(i), at), nil
	}
	v, err := types.ParseText(types.Numeric, []byte(text), nil)
	return constantOf(types.Numeric, v, at), AtOffset(err, at)
}

func (a *analyzer) boolean(b *pg_query.BoolExpr) (expr, error) {
	name := "AND"
	switch b.Boolop {
	case pg_query.BoolExprType_OR_EXPR:
		name = "OR"
	case pg_query.BoolExprType_NOT_EXPR:
		name = "NOT"
	}
	out := &boolExpr{typing: typing{oid: types.Bool, typmod: -1, at: b.Location}, op: b.Boolop}
	for _, n := range b.Args {
		e, err := a.expr(n)
		if err != nil {
			return nil, err
		}
		if e, err = a.condition(e, name); err != nil {
			return nil, err
		}
		out.args = append(out.args, e)
	}
	return out, nil
}

func (a *analyzer) nullTest(t *pg_query.NullTest) (expr, error) {
	e, err := a.knownExpr(t.Arg)
	if err != nil {
		return nil, err
	}
	kind := isNotNull
	if t.Nulltesttype == pg_query.NullTestType_IS_NULL {
		kind = isNull
	}
	isRow := e.info().oid == typeRecord || a.isComposite(e.info().oid)
	return &testExpr{typing: typing{oid: types.Bool, typmod: -1, at: t.Location}, arg: e, kind: kind, rows: isRow}, nil
}

func (a *analyzer) booleanTest(t *pg_query.BooleanTest) (expr, error) {
	kind, name := isTrue, "IS TRUE"
	switch t.Booltesttype {
	case pg_query.BoolTestType_IS_NOT_TRUE:
		kind, name = isNotTrue, "IS NOT TRUE"
	case pg_query.BoolTestType_IS_FALSE:
		kind, name = isFalse, "IS FALSE"
	case pg_query.BoolTestType_IS_NOT_FALSE:
		kind, name = isNotFalse, "IS NOT FALSE"
	case pg_query.BoolTestType_IS_UNKNOWN:
		kind, name = isUnknown, "IS UNKNOWN"
	case pg_query.BoolTestType_IS_NOT_UNKNOWN:
		kind, name = isNotUnknown, "IS NOT UNKNOWN"
	}
	e, err := a.expr(t.Arg)
	if err != nil {
		return nil, err
	}
	if e, err = a.condition(e, name); err != nil {
		return nil, err
	}
	return &testExpr{typing: typing{oid: types.Bool, typmod: -1, at: t.Location}, arg: e, kind: kind}, nil
}

func (a *analyzer) typeCast(k *pg_query.TypeCast) (expr, error) {
	oid, typmod, err := a.resolveType(k.TypeName)
	if err != nil {
		return nil, err
	}
	var e expr
	if list := k.Arg.GetAArrayExpr(); list != nil && a.element(oid) != 0 {
		e, err = a.array(list, a.element(oid)) // ARRAY[]::int[] gets its type from here
	} else {
		e, err = a.expr(k.Arg)
	}
	if err != nil {
		return nil, err
	}
	at := k.Location
	if at < 0 {
		at = e.info().at
	}
	if k, ok := e.(*constExpr); ok && k.oid == types.Unknown && oid == types.Interval && !k.value.IsNull {
		e = withUnit(k, typmod)
	}
	out, err := a.tryCoerce(e, oid, types.Explicit)
	if err != nil {
		return nil, AtOffset(err, at)
	}
	if out == nil {
		return nil, errorAt(at, pgwire.CodeCannotCoerce, "cannot cast type %s to %s", a.typeName(e.info().oid), a.typeName(oid))
	}
	return a.applyTypmod(out, typmod, types.Explicit), nil
}

func (a *analyzer) caseOf(c *pg_query.CaseExpr) (expr, error) {
	out := &caseExpr{typing: typing{typmod: -1, at: c.Location}}
	if c.Arg != nil {
		arg, err := a.knownExpr(c.Arg)
		if err != nil {
			return nil, err
		}
		out.arg, out.value = arg, a.operand(arg.info().oid, arg.info().at)
	}
	for _, n := range c.Args {
		when := n.GetCaseWhen()
		condition, err := a.expr(when.Expr)
		if err == nil && out.arg != nil {
			condition, err = a.operator([]string{"="}, out.value, condition, when.Location)
		}
		if err == nil {
			condition, err = a.condition(condition, "CASE/WHEN")
		}
		if err != nil {
			return nil, err
		}
		result, err := a.expr(when.Result)
		if err != nil {
			return nil, err
		}
		out.conditions, out.results = append(out.conditions, condition), append(out.results, result)
	}
	var otherwise expr = constantOf(types.Unknown, types.Null(), -1)
	if c.Defresult != nil {
		var err error
		if otherwise, err = a.expr(c.Defresult); err != nil {
			return nil, err
		}
	}
	// The ELSE comes first in choosing the type, as in PostgreSQL.
	all, common, err := a.unify(append([]expr{otherwise}, out.results...), "CASE")
	if err != nil {
		return nil, err
	}
	out.otherwise, out.results, out.oid, out.typmod = all[0], all[1:], common, commonTypmod(all)
	out.typing.fields = firstFields(all)
	return out, nil
}

func firstFields(list []expr) []schema.Column {
	for _, e := range list {
		if f := e.info().fields; f != nil {
			return f
		}
	}
	return nil
}

func (a *analyzer) pick(list []*pg_query.Node, kind pickKind, name string, at int32) (expr, error) {
	args, err := a.exprs(list)
	if err != nil {
		return nil, err
	}
	unified, common, err := a.unify(args, name)
	if err != nil {
		return nil, err
	}
	out := &pickExpr{typing: typing{oid: common, typmod: commonTypmod(unified), at: at, fields: firstFields(unified)}, kind: kind, args: unified}
	if kind != pickCoalesce && !a.isSortable(common) {
		return nil, errorAt(at, pgwire.CodeUndefinedFunction, "could not identify a comparison function for type %s", a.typeName(common))
	}
	return out, nil
}

// array analyzes ARRAY[…]; elem is the element type a cast around it asks for, 0: none.
func (a *analyzer) array(k *pg_query.A_ArrayExpr, elem types.OID) (expr, error) {
	out := &arrayExpr{typing: typing{typmod: -1, at: k.Location}}
	for _, n := range k.Elements {
		var e expr
		var err error
		if inner := n.GetAArrayExpr(); inner != nil {
			e, err = a.array(inner, elem)
			out.nested = true
		} else {
			e, err = a.expr(n)
		}
		if err != nil {
			return nil, err
		}
		out.elems = append(out.elems, e)
	}
	if len(out.elems) == 0 && elem == 0 {
		e := errorAt(k.Location, pgwire.CodeIndeterminateDatatype, "cannot determine type of empty array")
		e.Hint = "Explicitly cast to the desired type, for example ARRAY[]::integer[]."
		return nil, e
	}
	if elem != 0 {
		return a.arrayAs(out, elem)
	}
	unified, common, err := a.unify(out.elems, "ARRAY")
	if err != nil {
		return nil, err
	}
	out.elems = unified
	if a.element(common) != 0 {
		out.oid, out.nested = common, true
	} else if out.oid = a.arrayOf(common); out.oid == 0 {
		return nil, errorAt(k.Location, pgwire.CodeUndefinedObject, "could not find array type for data type %s", a.typeName(common))
	}
	return out, nil
}

// arrayAs converts the elements to the type that a cast asks for.
func (a *analyzer) arrayAs(out *arrayExpr, elem types.OID) (expr, error) {
	out.oid = a.arrayOf(elem)
	for i, e := range out.elems {
		want := elem
		if e.info().oid == out.oid || a.element(e.info().oid) != 0 {
			want, out.nested = out.oid, true
		}
		converted, err := a.coerce(e, want, -1, types.Explicit)
		if err != nil {
			return nil, err
		}
		out.elems[i] = converted
	}
	return out, nil
}

func (a *analyzer) row(r *pg_query.RowExpr) (expr, error) {
	out := &rowExpr{typing: typing{oid: typeRecord, typmod: -1, at: r.Location}}
	for _, n := range r.Args {
		if ref := n.GetColumnRef(); ref != nil && isStar(ref) {
			star, err := a.star(ref)
			if err != nil {
				return nil, err
			}
			for _, t := range star {
				out.elems = append(out.elems, t.expr)
			}
			continue
		}
		e, err := a.expr(n) // unknown literals stay: a comparison of rows types them
		if err != nil {
			return nil, err
		}
		out.elems = append(out.elems, e)
	}
	out.nameFields()
	return out, nil
}

func (r *rowExpr) nameFields() {
	r.fields = nil
	for i, e := range r.elems {
		info := e.info()
		oid := info.oid
		if oid == types.Unknown {
			oid = types.Text
		}
		r.fields = append(r.fields, schema.Column{Name: "f" + strconv.Itoa(i+1), Type: oid, Typmod: info.typmod})
	}
}

// indirection is subscripts and fields.
func (a *analyzer) indirection(ind *pg_query.A_Indirection) (expr, error) {
	e, err := a.knownExpr(ind.Arg)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(ind.Indirection); {
		n := ind.Indirection[i]
		switch {
		case n.GetAIndices() != nil:
			j := i
			for j < len(ind.Indirection) && ind.Indirection[j].GetAIndices() != nil {
				j++
			}
			if e, err = a.subscripts(e, ind.Indirection[i:j]); err != nil {
				return nil, err
			}
			i = j
		case n.GetString_() != nil:
			if e, err = a.field(e, n.GetString_().Sval); err != nil {
				return nil, err
			}
			i++
		default:
			return nil, errorAt(location(e), pgwire.CodeSyntaxError, "row expansion via \"*\" is not supported here")
		}
	}
	return e, nil
}

func (a *analyzer) field(e expr, name string) (expr, error) {
	fields := a.fields(e)
	for i, f := range fields {
		if f.Name == name {
			return fieldOf(e, i, f), nil
		}
	}
	info := e.info()
	switch {
	case info.oid == typeRecord:
		return nil, errorAt(info.at, pgwire.CodeUndefinedColumn, "could not identify column \"%s\" in record data type", name)
	case fields == nil:
		return nil, errorAt(info.at, pgwire.CodeWrongObjectType, "column notation .%s applied to type %s, which is not a composite type", name, a.typeName(info.oid))
	}
	return nil, errorAt(info.at, pgwire.CodeUndefinedColumn, "column \"%s\" not found in data type %s", name, a.typeName(info.oid))
}

func (a *analyzer) subscripts(e expr, list []*pg_query.Node) (expr, error) {
	info := e.info()
	elem := a.element(info.oid)
	switch {
	case info.oid == types.JSONB:
		return a.jsonSubscripts(e, list)
	case info.oid == types.Name:
		elem = types.Char // its characters count from 0
	case elem == 0:
		return nil, errorAt(info.at, pgwire.CodeDatatypeMismatch, "cannot subscript type %s because it does not support subscripting", a.typeName(info.oid))
	}
	out := &subscriptExpr{typing: typing{oid: elem, typmod: info.typmod, at: info.at}, arg: e}
	for _, n := range list {
		index := n.GetAIndices()
		s := subscript{isSlice: index.IsSlice}
		out.isSlice = out.isSlice || index.IsSlice
		for _, bound := range []struct {
			node *pg_query.Node
			to   *expr
		}{{index.Lidx, &s.lower}, {index.Uidx, &s.upper}} {
			if bound.node == nil {
				continue
			}
			x, err := a.expr(bound.node)
			if err != nil {
				return nil, err
			}
			converted, err := a.tryCoerce(x, types.Int4, types.Assignment)
			if err == nil && converted == nil {
				err = errorAt(location(x), pgwire.CodeDatatypeMismatch, "array subscript must have type integer")
			}
			if err != nil {
				return nil, err
			}
			*bound.to = converted
		}
		out.subscripts = append(out.subscripts, s)
	}
	if len(list) > arrayDimensionsMax {
		return nil, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", len(list), arrayDimensionsMax)
	}
	if out.isSlice && info.oid == types.Name {
		return nil, errorAt(info.at, pgwire.CodeFeatureNotSupported, "slices of fixed-length arrays not implemented")
	}
	if out.isSlice {
		out.oid = a.base(info.oid)
		if isVector(out.oid) {
			out.oid = a.arrayOf(elem)
		}
	}
	return out, nil
}

// arrayDimensionsMax is PostgreSQL's.
const arrayDimensionsMax = 6

// jsonSubscripts is jsonb['a'][0], which is the operator -> again and again.
func (a *analyzer) jsonSubscripts(e expr, list []*pg_query.Node) (expr, error) {
	for _, n := range list {
		index := n.GetAIndices()
		if index.IsSlice {
			return nil, errorAt(location(e), pgwire.CodeDatatypeMismatch, "jsonb subscript does not support slices")
		}
		x, err := a.expr(index.Uidx)
		if err != nil {
			return nil, err
		}
		if e, err = a.operator([]string{"->"}, e, x, e.info().at); err != nil {
			return nil, err
		}
	}
	return e, nil
}

func (a *analyzer) collate(k *pg_query.CollateClause) (expr, error) {
	names := Names(k.Collname)
	e, err := a.expr(k.Arg)
	if err != nil {
		return nil, err
	}
	if e, err = a.known(e); err != nil {
		return nil, err
	}
	if a.category(e.info().oid) != types.CategoryString && a.category(a.element(e.info().oid)) != types.CategoryString {
		return nil, errorAt(k.Location, pgwire.CodeDatatypeMismatch, "collations are not supported by type %s", a.typeName(e.info().oid))
	}
	switch name := names[len(names)-1]; name {
	case "C", "POSIX", "default", "ucs_basic", "C.UTF-8", "C.utf8", "pg_c_utf8":
		return e, nil // text is compared by bytes
	default:
		schemas := a.path
		if len(names) == 2 {
			schemas = names[:1]
		}
		for _, s := range schemas {
			if a.catalog.Collation(s, name) != 0 {
				return nil, unsupported(k.Location, "collation \""+name+"\" is")
			}
		}
		return nil, errorAt(k.Location, pgwire.CodeUndefinedObject, "collation \"%s\" for encoding \"UTF8\" does not exist", name)
	}
}

func (a *analyzer) sqlValue(k *pg_query.SQLValueFunction) (expr, error) {
	out := &sqlValueExpr{leaf: leaf{typing{oid: types.Name, typmod: -1, at: k.Location}}, op: k.Op}
	switch k.Op {
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		out.oid = typeDate
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:
		out.oid = typeTimeTZ
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		out.oid = types.TimestampTZ
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		out.oid = typeTime
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		out.oid = types.Timestamp
	}
	switch k.Op {
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N,
		pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME_N, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		return a.applyTypmod(out, min(k.Typmod, 6), types.Explicit), nil
	}
	return out, nil
}
