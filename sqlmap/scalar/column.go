package scalar

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// columnRef resolves a name as PostgreSQL does: column, relation.column, schema.relation.column.
func (c *Compiler) columnRef(r *pg_query.ColumnRef) (*Expr, error) {
	for _, f := range r.Fields {
		if f.GetAStar() != nil {
			return nil, errorAt(r.Location, pgwire.CodeSyntaxError, "row expansion via \"*\" is not supported here")
		}
	}
	names := Names(r.Fields)
	switch len(names) {
	case 1:
		return c.unqualified(names[0], r.Location)
	case 2, 3:
		return c.qualified(names, r.Location)
	}
	return nil, Unsupported(r.Location, "cross-database references are", "Name the column, or relation.column.")
}

func (c *Compiler) unqualified(name string, at int32) (*Expr, error) {
	var found *Expr
	for i := range c.Relations {
		for j := range c.Relations[i].Columns {
			if c.Relations[i].Columns[j].Name != name {
				continue
			}
			if found != nil {
				return nil, errorAt(at, pgwire.CodeAmbiguousColumn, "column reference \"%s\" is ambiguous", name)
			}
			found = c.column(i, j, at)
		}
	}
	if found != nil {
		return found, nil
	}
	for i := range c.Relations {
		if c.Relations[i].Name == name {
			return nil, Unsupported(at, "whole-row references are", "Name the columns, or use *.")
		}
	}
	e := pgwire.Errorf(pgwire.CodeUndefinedColumn, "column \"%s\" does not exist", name)
	e.Hint = c.nearest(name, "")
	return nil, At(e, at)
}

func (c *Compiler) qualified(names []string, at int32) (*Expr, error) {
	relation, name := names[len(names)-2], names[len(names)-1]
	for i := range c.Relations {
		r := &c.Relations[i]
		if r.Name != relation || len(names) == 3 && r.Schema != names[0] {
			continue
		}
		for j := range r.Columns {
			if r.Columns[j].Name == name {
				return c.column(i, j, at), nil
			}
		}
		e := pgwire.Errorf(pgwire.CodeUndefinedColumn, "column %s.%s does not exist", relation, name)
		e.Hint = c.nearest(name, relation)
		return nil, At(e, at)
	}
	return nil, errorAt(at, pgwire.CodeUndefinedTable, "missing FROM-clause entry for table \"%s\"", relation)
}

func (c *Compiler) column(relation, column int, at int32) *Expr {
	c.Used[relation] |= 1 << (column & 63)
	return &Expr{
		Type: c.Relations[relation].Columns[column].Type, At: at, column: column, relation: relation, usesRow: true,
		eval: func(e *Env) (types.Value, error) { return e.Rows[relation].Column(column, e) },
	}
}

// ColumnAt makes an expression for a column by its position.
func (c *Compiler) ColumnAt(column int, at int32) *Expr { return c.column(0, column, at) }

// nearest is PostgreSQL's hint for a column that may have been meant.
func (c *Compiler) nearest(name, relation string) string {
	best, hint := len(name)/2+1, ""
	for _, r := range c.Relations {
		if relation != "" && r.Name != relation {
			continue
		}
		for _, column := range r.Columns {
			if d := Distance(name, column.Name); d < best && !column.Hidden {
				best, hint = d, fmt.Sprintf("Perhaps you meant to reference the column \"%s.%s\".", r.Name, column.Name)
			}
		}
	}
	return hint
}

// Distance is Levenshtein's, for hints; names beyond PostgreSQL's length are far from all.
func Distance(a, b string) int {
	const nameBytesMax = 64
	if len(a) > nameBytesMax || len(b) > nameBytesMax {
		return nameBytesMax
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := diagonal
			if a[i] != b[j] {
				cost++
			}
			diagonal = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
