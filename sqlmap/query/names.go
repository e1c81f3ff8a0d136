package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"
)

// TargetName is the name PostgreSQL gives a column of a select list.
func TargetName(t *pg_query.ResTarget) string {
	if t.Name != "" {
		return t.Name
	}
	if name, _ := figureName(t.Val); name != "" {
		return name
	}
	return "?column?"
}

// figureName is PostgreSQL's FigureColname. isStrong names win over those of a cast.
func figureName(n *pg_query.Node) (name string, isStrong bool) {
	switch e := n.GetNode().(type) {
	case *pg_query.Node_ColumnRef:
		names := Names(e.ColumnRef.Fields)
		return lastName(names)
	case *pg_query.Node_AIndirection:
		var names []string
		for _, f := range e.AIndirection.Indirection {
			if s := f.GetString_(); s != nil {
				names = append(names, s.Sval)
			}
		}
		if len(names) > 0 {
			return names[len(names)-1], true
		}
		return figureName(e.AIndirection.Arg)
	case *pg_query.Node_FuncCall:
		return lastName(Names(e.FuncCall.Funcname))
	case *pg_query.Node_AExpr:
		if e.AExpr.Kind == pg_query.A_Expr_Kind_AEXPR_NULLIF {
			return "nullif", true
		}
	case *pg_query.Node_TypeCast:
		if name, strong := figureName(e.TypeCast.Arg); strong {
			return name, true
		}
		name, _ := lastName(Names(e.TypeCast.TypeName.GetNames()))
		return name, false
	case *pg_query.Node_CollateClause:
		return figureName(e.CollateClause.Arg)
	case *pg_query.Node_GroupingFunc:
		return "grouping", true
	case *pg_query.Node_SubLink:
		return sublinkName(e.SubLink)
	case *pg_query.Node_CaseExpr:
		if name, strong := figureName(e.CaseExpr.Defresult); strong {
			return name, true
		}
		return "case", false
	case *pg_query.Node_AArrayExpr:
		return "array", true
	case *pg_query.Node_RowExpr:
		return "row", true
	case *pg_query.Node_CoalesceExpr:
		return "coalesce", true
	case *pg_query.Node_MinMaxExpr:
		if e.MinMaxExpr.Op == pg_query.MinMaxOp_IS_LEAST {
			return "least", true
		}
		return "greatest", true
	case *pg_query.Node_SqlvalueFunction:
		return sqlValueName(e.SqlvalueFunction.Op), true
	case *pg_query.Node_JsonObjectConstructor:
		return "json_object", true
	case *pg_query.Node_JsonArrayConstructor, *pg_query.Node_JsonArrayQueryConstructor:
		return "json_array", true
	case *pg_query.Node_JsonObjectAgg:
		return "json_objectagg", true
	case *pg_query.Node_JsonArrayAgg:
		return "json_arrayagg", true
	}
	return "", false
}

func lastName(names []string) (string, bool) {
	if len(names) == 0 || names[len(names)-1] == "*" {
		return "", false
	}
	return names[len(names)-1], true
}

func sublinkName(s *pg_query.SubLink) (string, bool) {
	switch s.SubLinkType {
	case pg_query.SubLinkType_EXISTS_SUBLINK:
		return "exists", true
	case pg_query.SubLinkType_ARRAY_SUBLINK:
		return "array", true
	case pg_query.SubLinkType_EXPR_SUBLINK:
		q := s.Subselect.GetSelectStmt()
		for q.GetLarg() != nil {
			q = q.Larg
		}
		if len(q.GetTargetList()) > 0 {
			t := q.TargetList[0].GetResTarget()
			if t.GetName() != "" {
				return t.Name, true
			}
			name, _ := figureName(t.GetVal())
			if name == "" {
				name = "?column?"
			}
			return name, true
		}
		if len(q.GetValuesLists()) > 0 {
			return "column1", true
		}
	}
	return "", false
}

func sqlValueName(op pg_query.SQLValueFunctionOp) string {
	switch op {
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_DATE:
		return "current_date"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIME_N:
		return "current_time"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_CURRENT_TIMESTAMP_N:
		return "current_timestamp"
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIME_N:
		return "localtime"
	case pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP, pg_query.SQLValueFunctionOp_SVFOP_LOCALTIMESTAMP_N:
		return "localtimestamp"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_ROLE:
		return "current_role"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_USER:
		return "current_user"
	case pg_query.SQLValueFunctionOp_SVFOP_USER:
		return "user"
	case pg_query.SQLValueFunctionOp_SVFOP_SESSION_USER:
		return "session_user"
	case pg_query.SQLValueFunctionOp_SVFOP_CURRENT_CATALOG:
		return "current_catalog"
	}
	return "current_schema"
}
