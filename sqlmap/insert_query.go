package sqlmap

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/proto"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// This file has INSERT … SELECT: its rows are those of a query.

// insertQuery plans the query and how its columns are assigned.
func (p *planner) insertQuery(a *insertAction, s *pg_query.SelectStmt, columns []int, isListed bool) error {
	out, err := p.queryStatement(typeLiterals(s, columns))
	if err != nil {
		return err
	}
	a.query = out.action.(*queryAction).statement
	found := a.query.Columns
	switch {
	case len(found) > len(columns):
		return pgwire.Errorf(pgwire.CodeSyntaxError, "INSERT has more expressions than target columns")
	case isListed && len(found) < len(columns):
		return pgwire.Errorf(pgwire.CodeSyntaxError, "INSERT has more target columns than expressions")
	}
	for i, oid := range a.query.Params {
		p.compiler.LearnParam(i+1, types.OID(oid))
	}
	relation := query.Relation{Name: "*SELECT*"}
	for _, c := range found {
		relation.Columns = append(relation.Columns, schema.Column{Name: c.Name, Type: c.Type, Typmod: -1})
	}
	table, used := p.compiler.Relations(), p.compiler.Used
	p.compiler.SetRelations(relation)
	defer func() {
		p.compiler.SetRelations(table...)
		p.compiler.Used = used
	}()
	for i := range found {
		if !blobTable[columns[i]].isWritable {
			return errReadOnlyColumn(columns[i], -1, false)
		}
		x, err := p.compiler.Assign(p.compiler.ColumnAt(i), blobTable[columns[i]].oid, blobTable[columns[i]].name)
		if err != nil {
			return err
		}
		a.assigns = append(a.assigns, assignment{columns[i], x})
	}
	return nil
}

// typeLiterals gives literals and parameters in the select list the types of the columns
// that they are for, as PostgreSQL does.
func typeLiterals(s *pg_query.SelectStmt, columns []int) *pg_query.SelectStmt {
	s = proto.Clone(s).(*pg_query.SelectStmt)
	for i, n := range s.TargetList {
		target := n.GetResTarget()
		isUntyped := target.GetVal().GetAConst().GetSval() != nil || target.GetVal().GetAConst().GetIsnull() || target.GetVal().GetParamRef() != nil
		if !isUntyped || i >= len(columns) || !blobTable[columns[i]].isWritable {
			continue
		}
		name := &pg_query.TypeName{Typemod: -1, Location: -1}
		for _, part := range []string{"pg_catalog", types.Lookup(blobTable[columns[i]].oid).Internal} {
			name.Names = append(name.Names, &pg_query.Node{Node: &pg_query.Node_String_{String_: &pg_query.String{Sval: part}}})
		}
		target.Val = &pg_query.Node{Node: &pg_query.Node_TypeCast{TypeCast: &pg_query.TypeCast{Arg: target.Val, TypeName: name, Location: -1}}}
	}
	return s
}

// queryRows reads all rows before the first is written. A transaction must hold them.
func (a *insertAction) queryRows(x *execution) ([]insertRow, error) {
	out, err := (&queryAction{a.query}).run(x)
	if err != nil {
		return nil, err
	}
	defer out.rows.close()
	var rows []insertRow
	size, most := int64(0), x.session.handler.limits.TransactionBytesMax
	found := make(query.Values, len(a.query.Columns))
	for {
		ok, err := out.rows.next(x, found)
		if err != nil || !ok {
			return rows, err
		}
		for i := range found {
			found[i] = found[i].Clone()
		}
		if size += sizeOf(found); size > most {
			e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "too many rows for one INSERT")
			e.Detail = formatLimit(size, most, "bytes", "transaction_bytes_max")
			e.Hint = "Insert part by part, by ranges of keys."
			return nil, e
		}
		x.env.Rows[0] = found
		row, err := a.evaluate(x, a.assigns, x.rowValues(false))
		if err == nil {
			err = x.session.checkDraft(&row.draft)
		}
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
}
