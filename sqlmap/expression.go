package sqlmap

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/scalar"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// This file lets the expressions of writes use all that package query knows: what package
// scalar does not compile becomes a query of one row, whose columns come in as parameters.

// elsewhere compiles an expression that package scalar does not have, and returns its error
// where package query does not have it either.
func (p *planner) elsewhere(n *pg_query.Node, cause error) (*scalar.Expr, error) {
	if !isGap(cause) || p.hasFailedElsewhere || n.GetColumnRef() != nil || !p.isExpressionOfARow(n) {
		return nil, cause
	}
	defer func(f func(*pg_query.Node, error) (*scalar.Expr, error)) { p.compiler.Elsewhere = f }(p.compiler.Elsewhere)
	p.compiler.Elsewhere = nil
	params := p.compiler.Params
	expression := proto.Clone(n).(*pg_query.Node)
	base := params.Len()
	var columns []*scalar.Expr
	var oids []uint32
	used := map[int]bool{}
	var failure error
	walkNodes(expression, func(n *pg_query.Node) {
		if ref := n.GetParamRef(); ref != nil {
			used[int(ref.Number)] = true
		}
		if n.GetColumnRef() == nil || failure != nil {
			return
		}
		x, err := p.compiler.Compile(n)
		if err != nil {
			failure = err
			return
		}
		columns = append(columns, x)
		oids = append(oids, uint32(x.Type))
		n.Node = &pg_query.Node_ParamRef{ParamRef: &pg_query.ParamRef{Number: int32(base + len(columns)), Location: x.At}}
	})
	if failure != nil {
		return nil, failure
	}
	statement := &pg_query.SelectStmt{Op: pg_query.SetOperation_SETOP_NONE, LimitOption: pg_query.LimitOption_LIMIT_OPTION_DEFAULT,
		TargetList: []*pg_query.Node{{Node: &pg_query.Node_ResTarget{ResTarget: &pg_query.ResTarget{Val: expression}}}}}
	options := query.Options{Catalog: p.handler.catalog, SearchPath: p.path, ParamOIDs: append(params.Known(), oids...), Parse: p.handler.parseView}
	st, err := query.Prepare(options, statement)
	if err != nil {
		p.hasFailedElsewhere = true // and so will what is around it
		if isGap(err) {
			return nil, cause
		}
		return nil, err
	}
	for i := range base {
		if used[i+1] {
			params.Learn(i+1, types.OID(st.Params[i]))
		}
	}
	return p.queryExpression(st, base, columns, cause), nil
}

// queryExpression runs a query of one row and column.
func (p *planner) queryExpression(st *query.Statement, base int, columns []*scalar.Expr, cause error) *scalar.Expr {
	at := int32(-1)
	if e, ok := cause.(*pgwire.Error); ok {
		at = int32(e.Position) - 1
	}
	path := p.path
	eval := func(e *scalar.Env) (types.Value, error) {
		s := e.Session.(*session)
		params := make([]types.Value, base+len(columns))
		copy(params, e.Params[:min(base, len(e.Params))])
		for i, x := range columns {
			var err error
			if params[base+i], err = x.Eval(e); err != nil {
				return types.Value{}, err
			}
		}
		env := &schema.Env{Ctx: e.Ctx, Style: e.Style, Catalog: s.handler.catalog, StatementTime: e.StatementTime,
			Session: &querySession{session: s, path: path}, Clock: s.handler.config.Now}
		env.Style.Names = s.handler.catalog.SessionNames(env.Session)
		cursor, err := st.Open(env, params, s.handler.config.QueryLimits)
		if err != nil {
			return types.Value{}, err
		}
		defer cursor.Close()
		row, err := cursor.Next()
		if err != nil || len(row) != 1 {
			return types.Null(), err
		}
		return row[0], nil
	}
	// It is not known to be the same each time.
	return scalar.Foreign(st.Columns[0].Type, at, eval, columns...)
}

// isExpressionOfARow refuses what is about more than one row: aggregates, window and
// set-returning functions, subqueries. They are not allowed where writes have expressions,
// or not supported.
func (p *planner) isExpressionOfARow(n *pg_query.Node) bool {
	ok := true
	walkNodes(n, func(n *pg_query.Node) {
		switch n := n.Node.(type) {
		case *pg_query.Node_SubLink, *pg_query.Node_SelectStmt, *pg_query.Node_SetToDefault, *pg_query.Node_AStar:
			ok = false
		case *pg_query.Node_FuncCall:
			names := scalar.Names(n.FuncCall.Funcname)
			if n.FuncCall.Over != nil || functions(names[len(names)-1]) != nil {
				ok = false
			}
			for _, s := range p.path {
				for _, f := range p.handler.catalog.Functions(s, names[len(names)-1]) {
					ok = ok && f.Kind == 'f' && !f.ReturnsSet
				}
			}
		}
	})
	return ok
}

// walkNodes visits a tree, parents first.
func walkNodes(n *pg_query.Node, visit func(*pg_query.Node)) { walkMessage(n.ProtoReflect(), visit) }

func walkMessage(m protoreflect.Message, visit func(*pg_query.Node)) {
	if n, ok := m.Interface().(*pg_query.Node); ok {
		visit(n)
	}
	m.Range(func(field protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case field.Kind() != protoreflect.MessageKind:
		case field.IsList():
			for i := range v.List().Len() {
				walkMessage(v.List().Get(i).Message(), visit)
			}
		default:
			walkMessage(v.Message(), visit)
		}
		return true
	})
}
