package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// What SQL/JSON constructs by syntax becomes calls: of PostgreSQL's own functions where it has
// some, else of schema.Constructs, which have no name of their own.

// jsonConstructor analyzes JSON_OBJECT and its like.
func (a *analyzer) jsonConstructor(n any) (expr, error) {
	switch n := n.(type) {
	case *pg_query.Node_JsonObjectConstructor:
		return a.jsonObject(n.JsonObjectConstructor)
	case *pg_query.Node_JsonArrayConstructor:
		return a.jsonArray(n.JsonArrayConstructor)
	case *pg_query.Node_JsonArrayQueryConstructor:
		return a.jsonArrayQuery(n.JsonArrayQueryConstructor)
	case *pg_query.Node_JsonObjectAgg:
		return a.jsonObjectAggregate(n.JsonObjectAgg)
	case *pg_query.Node_JsonArrayAgg:
		return a.jsonArrayAggregate(n.JsonArrayAgg)
	}
	return nil, unsupported(-1, "this kind of expression is")
}

// jsonResult is RETURNING: json, jsonb, or json cast to another type.
type jsonResult struct {
	prefix   string // of the functions that make it
	typeName *pg_query.TypeName
}

func (a *analyzer) jsonReturning(output *pg_query.JsonOutput) (jsonResult, error) {
	if output == nil {
		return jsonResult{prefix: "json"}, nil
	}
	oid, _, err := a.resolveType(output.TypeName)
	switch {
	case err != nil:
		return jsonResult{}, err
	case oid == types.JSON:
		return jsonResult{prefix: "json"}, nil
	case oid == types.JSONB:
		return jsonResult{prefix: "jsonb"}, nil
	case oid == types.Bytea:
		return jsonResult{}, unsupported(output.TypeName.Location, "RETURNING bytea of a JSON constructor is")
	}
	return jsonResult{"json", output.TypeName}, nil
}

// finish casts what a constructor made.
func (r *jsonResult) finish(made *pg_query.Node, at int32) *pg_query.Node {
	if r.typeName == nil {
		return made
	}
	return &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: made, TypeName: r.typeName, Location: at}}}
}

func callNode(c *pg_query.FuncCall) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_FuncCall{FuncCall: c}}
}

func qualified(names ...string) []*pg_query.Node {
	out := make([]*pg_query.Node, len(names))
	for i, name := range names {
		out[i] = pg_query.MakeStrNode(name)
	}
	return out
}

func flagNode(b bool) *pg_query.Node {
	return &pg_query.Node{Node: &pg_query.Node_AConst{AConst: &pg_query.A_Const{Val: &pg_query.A_Const_Boolval{Boolval: &pg_query.Boolean{Boolval: b}}, Location: -1}}}
}

func typeNode(names ...string) *pg_query.TypeName {
	return &pg_query.TypeName{Names: qualified(names...), Typemod: -1, Location: -1}
}

// jsonValue is a value of a constructor: with FORMAT JSON it is JSON already.
func jsonValue(v *pg_query.JsonValueExpr) (*pg_query.Node, error) {
	format := v.Format
	if format == nil || format.FormatType != pg_query.JsonFormatType_JS_FORMAT_JSON {
		return v.RawExpr, nil
	}
	if format.Encoding == pg_query.JsonEncoding_JS_ENC_UTF16 || format.Encoding == pg_query.JsonEncoding_JS_ENC_UTF32 {
		return nil, unsupported(format.Location, "JSON in another encoding than UTF8 is")
	}
	return &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: v.RawExpr, TypeName: typeNode("pg_catalog", "json"), Location: -1}}}, nil
}

func (a *analyzer) jsonObject(o *pg_query.JsonObjectConstructor) (expr, error) {
	result, err := a.jsonReturning(o.Output)
	if err != nil {
		return nil, err
	}
	args := []*pg_query.Node{flagNode(o.AbsentOnNull), flagNode(o.Unique)}
	for _, n := range o.Exprs {
		pair := n.GetJsonKeyValue()
		value, err := jsonValue(pair.Value)
		if err != nil {
			return nil, err
		}
		args = append(args, pair.Key, value)
	}
	return a.expr(result.finish(callNode(&pg_query.FuncCall{Funcname: qualified(schema.Constructs, result.prefix+"_object"), Args: args, Location: o.Location}), o.Location))
}

func (a *analyzer) jsonArray(c *pg_query.JsonArrayConstructor) (expr, error) {
	result, err := a.jsonReturning(c.Output)
	if err != nil {
		return nil, err
	}
	args := []*pg_query.Node{flagNode(c.AbsentOnNull)}
	for _, n := range c.Exprs {
		value, err := jsonValue(n.GetJsonValueExpr())
		if err != nil {
			return nil, err
		}
		args = append(args, value)
	}
	return a.expr(result.finish(callNode(&pg_query.FuncCall{Funcname: qualified(schema.Constructs, result.prefix+"_array"), Args: args, Location: c.Location}), c.Location))
}

// jsonArrayQuery is JSON_ARRAY(SELECT …): the aggregate of its one column.
func (a *analyzer) jsonArrayQuery(c *pg_query.JsonArrayQueryConstructor) (expr, error) {
	const column = "a"
	value := &pg_query.JsonValueExpr{RawExpr: pg_query.MakeColumnRefNode(qualified("q", column), -1), Format: c.Format}
	aggregate := &pg_query.Node{Node: &pg_query.Node_JsonArrayAgg{JsonArrayAgg: &pg_query.JsonArrayAgg{
		Constructor: &pg_query.JsonAggConstructor{Output: c.Output, Location: c.Location}, Arg: value, AbsentOnNull: c.AbsentOnNull}}}
	from := &pg_query.Node{Node: &pg_query.Node_RangeSubselect{RangeSubselect: &pg_query.RangeSubselect{Subquery: c.Query,
		Alias: &pg_query.Alias{Aliasname: "q", Colnames: qualified(column)}}}}
	query := &pg_query.SelectStmt{TargetList: []*pg_query.Node{pg_query.MakeResTargetNodeWithVal(aggregate, -1)}, FromClause: []*pg_query.Node{from}}
	if n := len(c.Query.GetSelectStmt().GetTargetList()); n > 1 {
		return nil, errorAt(c.Location, pgwire.CodeSyntaxError, "subquery must return only one column")
	}
	return a.sublink(&pg_query.SubLink{SubLinkType: pg_query.SubLinkType_EXPR_SUBLINK, Location: c.Location,
		Subselect: &pg_query.Node{Node: &pg_query.Node_SelectStmt{SelectStmt: query}}})
}

// jsonAggregate calls name, with the decorations of the constructor.
func (a *analyzer) jsonAggregate(name string, c *pg_query.JsonAggConstructor, args ...*pg_query.Node) (expr, error) {
	result, err := a.jsonReturning(c.Output)
	if err != nil {
		return nil, err
	}
	return a.expr(result.finish(callNode(&pg_query.FuncCall{Funcname: qualified("pg_catalog", result.prefix+name), Args: args, AggFilter: c.AggFilter,
		AggOrder: c.AggOrder, Over: c.Over, Location: c.Location}), c.Location))
}

func (a *analyzer) jsonArrayAggregate(g *pg_query.JsonArrayAgg) (expr, error) {
	value, err := jsonValue(g.Arg)
	if err != nil {
		return nil, err
	}
	name := "_agg"
	if g.AbsentOnNull {
		name = "_agg_strict"
	}
	return a.jsonAggregate(name, g.Constructor, value)
}

func (a *analyzer) jsonObjectAggregate(g *pg_query.JsonObjectAgg) (expr, error) {
	value, err := jsonValue(g.Arg.Value)
	if err != nil {
		return nil, err
	}
	name := "_object_agg"
	if g.Unique {
		name += "_unique"
	}
	if g.AbsentOnNull {
		name += "_strict"
	}
	return a.jsonAggregate(name, g.Constructor, g.Arg.Key, value)
}

// isJSON is IS JSON.
func (a *analyzer) isJSON(p *pg_query.JsonIsPredicate) (expr, error) {
	kind := map[pg_query.JsonValueType]string{pg_query.JsonValueType_JS_TYPE_ARRAY: "array", pg_query.JsonValueType_JS_TYPE_OBJECT: "object",
		pg_query.JsonValueType_JS_TYPE_SCALAR: "scalar"}[p.ItemType]
	e, err := a.funcCall(&pg_query.FuncCall{Funcname: qualified(schema.Constructs, "is_json"),
		Args: []*pg_query.Node{pg_query.MakeAConstStrNode(kind, -1), flagNode(p.UniqueKeys), p.Expr}, Location: p.Location})
	if err != nil {
		return nil, err
	}
	arg := e.(*callExpr).args[2].info()
	switch t := a.catalog.Type(arg.oid); {
	case arg.oid == types.JSON, arg.oid == types.JSONB, arg.oid == types.Bytea, t != nil && t.Category == 'S':
		return e, nil
	}
	return nil, errorAt(-1, pgwire.CodeDatatypeMismatch, "cannot use type %s in IS JSON predicate", a.typeName(arg.oid))
}
