package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
)

// with analyzes WITH.
func (a *analyzer) with(w *pg_query.WithClause) error {
	seen := make(map[string]bool)
	for _, n := range w.Ctes {
		c := n.GetCommonTableExpr()
		if seen[c.Ctename] {
			return errorAt(c.Location, pgwire.CodeDuplicateAlias, "WITH query name \"%s\" specified more than once", c.Ctename)
		}
		seen[c.Ctename] = true
		s := c.Ctequery.GetSelectStmt()
		switch {
		case s == nil:
			return unsupported(c.Location, "a WITH query that changes data is")
		case c.SearchClause != nil || c.CycleClause != nil:
			return unsupported(c.Location, "SEARCH and CYCLE are")
		}
		if err := a.cte(w, c, s); err != nil {
			return err
		}
	}
	return nil
}

func (a *analyzer) cte(w *pg_query.WithClause, c *pg_query.CommonTableExpr, s *pg_query.SelectStmt) error {
	out := &cte{name: c.Ctename}
	scope := a.scope
	isSelf := w.Recursive && s.Op == pg_query.SetOperation_SETOP_UNION && mentions(s.Rarg, c.Ctename)
	if isSelf {
		if err := a.recursive(out, c, s); err != nil {
			return err
		}
	} else {
		b, err := a.selectStatement(s, false)
		if err != nil {
			return err
		}
		out.block = b
		out.columns, out.fields = b.columnsAndFields()
		if err := out.rename(c); err != nil {
			return err
		}
		scope.ctes = append(scope.ctes, out)
	}
	scope.block.ctes = append(scope.block.ctes, out)
	return nil
}

// rename applies the column names of WITH name (columns…).
func (c *cte) rename(def *pg_query.CommonTableExpr) error {
	names := Names(def.Aliascolnames)
	if len(names) > len(c.columns) {
		return errorAt(def.Location, pgwire.CodeInvalidColumnReference, "WITH query \"%s\" has %d columns available but %d columns specified",
			c.name, len(c.columns), len(names))
	}
	for i, name := range names {
		c.columns[i].Name = name
	}
	return nil
}

// recursive analyzes a query that refers to itself.
func (a *analyzer) recursive(out *cte, c *pg_query.CommonTableExpr, s *pg_query.SelectStmt) error {
	if len(s.SortClause) > 0 || s.LimitCount != nil || s.LimitOffset != nil || s.WithClause != nil {
		return unsupported(c.Location, "ORDER BY, LIMIT or WITH in a recursive query is")
	}
	b := &block{groupRange: -1, windowRange: -1, setOperation: s.Op, setAll: s.All}
	out.isRecursive, out.isDistinct, out.block = true, !s.All, b
	scope := a.push(b)
	defer a.pop()
	var err error
	if out.once, err = a.selectStatement(s.Larg, false); err != nil {
		return err
	}
	out.columns, out.fields = out.once.columnsAndFields()
	if err := out.rename(c); err != nil {
		return err
	}
	scope.parent.ctes = append(scope.parent.ctes, out)
	if out.recursive, err = a.selectStatement(s.Rarg, true); err != nil {
		return err
	}
	b.setLeft, b.setRight = out.once, out.recursive
	before := append([]schema.Column(nil), out.columns...)
	if err := a.matchSides(b, "UNION"); err != nil {
		return err
	}
	for i, col := range b.columns() {
		if col.Type != before[i].Type {
			e := errorAt(location(out.once.targets[visibleTargets(out.once)[i]].expr), pgwire.CodeDatatypeMismatch, "recursive query \"%s\" column %d has type %s in non-recursive term but type %s overall",
				c.Ctename, i+1, a.typeName(before[i].Type), a.typeName(col.Type))
			e.Hint = "Cast the output of the non-recursive term to the correct type."
			return e
		}
	}
	return nil
}

// mentions reports whether a query's tree names a relation.
func mentions(s *pg_query.SelectStmt, name string) bool {
	found := false
	eachNode(s.ProtoReflect(), func(v *pg_query.RangeVar) {
		found = found || v.Schemaname == "" && v.Relname == name
	})
	return found
}

// cteReference makes a range of a WITH query that is in scope; nil if there is none.
func (a *analyzer) cteReference(name string) *rangeItem {
	level := 0
	for s := a.scope; s != nil; s = s.parent {
		for i := len(s.ctes) - 1; i >= 0; i-- {
			if c := s.ctes[i]; c.name == name {
				return &rangeItem{kind: rangeCTE, name: name, alias: name, cte: c, cteLevel: level, columns: c.columns, fields: c.fields}
			}
		}
		level++
	}
	return nil
}
