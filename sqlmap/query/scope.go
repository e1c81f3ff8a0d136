package query

import (
	"fmt"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// place says where an expression stands, for what may not stand there.
type place uint8

const (
	placeSelect place = iota
	placeFrom         // a function's arguments, or a lateral subquery's
	placeOn
	placeWhere
	placeGroupBy
	placeHaving
	placeOrderBy
	placeWindow
	placeLimit
	placeFilter
	placeValues
	placeAggregate
	placeUpdate
	placeReturning
	placeCall
	placeExecute
)

// Place is where an expression outside of a query stands.
type Place = place

// The places of expressions outside of queries.
const (
	InSelect    = placeSelect
	InValues    = placeValues
	InUpdate    = placeUpdate
	InReturning = placeReturning
	InCall      = placeCall
	InExecute   = placeExecute
)

// String is how messages name the place.
func (p place) String() string {
	switch p {
	case placeFrom:
		return "functions in FROM"
	case placeOn:
		return "JOIN conditions"
	case placeWhere:
		return "WHERE"
	case placeGroupBy:
		return "GROUP BY"
	case placeHaving:
		return "HAVING"
	case placeOrderBy:
		return "ORDER BY"
	case placeWindow:
		return "window definitions"
	case placeLimit:
		return "LIMIT"
	case placeFilter:
		return "FILTER"
	case placeValues:
		return "VALUES"
	case placeUpdate:
		return "UPDATE"
	case placeReturning:
		return "RETURNING"
	case placeCall:
		return "CALL arguments"
	case placeExecute:
		return "EXECUTE parameters"
	}
	return "SELECT"
}

// scope is what names mean while one block is analyzed.
type scope struct {
	parent *scope
	block  *block
	items  []*scopeItem
	// shadow are items that are there but not to be seen from where the analysis is.
	shadow     []*scopeItem
	place      place
	ctes       []*cte
	windowDefs []*pg_query.WindowDef
	// hasAggregates says that the block is grouped, if only for an aggregate.
	hasAggregates bool
}

// scopeItem is a name that FROM makes.
type scopeItem struct {
	alias   string
	schema  string // may qualify the name; empty if there is an alias
	rng     int    // -1: a join
	columns []scopeColumn
	hidden  bool // columns may not be named without the alias
	unnamed bool // the alias may not be named, as that of a join without one
	// forbidden items may not be named, because of the kind of join.
	forbidden bool
}

// scopeColumn is a column that may be named.
type scopeColumn struct {
	name   string
	info   typing
	make   func(level int, at int32) expr
	hidden bool // of a join's sides: merged by USING
}

// find looks a column up in one scope: how many there are, and the first.
func (s *scope) find(name string) (found *scopeColumn, n int) {
	for _, item := range s.items {
		if item.hidden {
			continue
		}
		for i := range item.columns {
			if c := &item.columns[i]; c.name == name && !c.hidden {
				if n++; found == nil {
					found = c
				}
			}
		}
	}
	return found, n
}

// columnRef resolves a name as PostgreSQL does.
func (a *analyzer) columnRef(r *pg_query.ColumnRef) (expr, error) {
	names := Names(r.Fields)
	if names[len(names)-1] == "*" {
		if len(names) == 1 {
			return nil, errorAt(r.Location, pgwire.CodeSyntaxError, "invalid use of \"*\"")
		}
		// As an argument, t.* is the row.
		item, level := a.findItem(names[:len(names)-1])
		if item == nil {
			return nil, a.missingFrom(names[len(names)-2], r.Location)
		}
		return a.rowOf(item, level, r.Location), nil
	}
	switch len(names) {
	case 1:
		return a.unqualified(names[0], r.Location)
	case 2, 3, 4:
		if len(names) == 4 {
			names = names[1:] // the catalog
		}
		return a.qualified(names, r.Location)
	}
	return nil, errorAt(r.Location, pgwire.CodeSyntaxError, "improper qualified name (too many dotted names)")
}

func (a *analyzer) unqualified(name string, at int32) (expr, error) {
	level := 0
	for s := a.scope; s != nil; s = s.parent {
		found, n := s.find(name)
		if n > 1 {
			return nil, errorAt(at, pgwire.CodeAmbiguousColumn, "column reference \"%s\" is ambiguous", name)
		}
		if found != nil {
			if item := s.forbiddenItem(found); item != nil {
				return nil, a.invalidReference(item, at)
			}
			return found.make(level, at), nil
		}
		level++
	}
	if item, level := a.findItem([]string{name}); item != nil {
		return a.rowOf(item, level, at), nil
	}
	if e := a.systemColumn(name, at); e != nil {
		return e, nil
	}
	return nil, a.undefinedColumn(name, at)
}

// undefinedColumn tells of a column that is there but out of sight, or of one like it.
func (a *analyzer) undefinedColumn(name string, at int32) error {
	e := errorAt(at, pgwire.CodeUndefinedColumn, "column \"%s\" does not exist", name)
	e.Hint = a.nearest(name, "")
	for s := a.scope; s != nil; s = s.parent {
		for _, item := range s.shadow {
			for i := range item.columns {
				if item.columns[i].name == name {
					e.Detail = fmt.Sprintf("There is a column named \"%s\" in table \"%s\", but it cannot be referenced from this part of the query.", name, item.alias)
					e.Hint = "To reference that column, you must mark this subquery with LATERAL."
				}
			}
		}
	}
	return e
}

// forbiddenItem is the item of a column that may not be named because of the kind of join.
func (s *scope) forbiddenItem(c *scopeColumn) *scopeItem {
	for _, item := range s.items {
		for i := range item.columns {
			if item.forbidden && &item.columns[i] == c {
				return item
			}
		}
	}
	return nil
}

// systemColumn finds tableoid and its like in the innermost scope that has one relation.
func (a *analyzer) systemColumn(name string, at int32) expr {
	if systemColumnIndex(name) < 0 {
		return nil
	}
	level := 0
	for s := a.scope; s != nil; s = s.parent {
		for _, item := range s.items {
			if item.rng >= 0 && s.block.ranges[item.rng].relation != nil && !item.hidden {
				return a.systemColumnOf(s, item, level, name, at)
			}
		}
		level++
	}
	return nil
}

// systemColumns are the columns that every relation has besides its own.
var systemColumns = []schema.Column{
	{Name: "tableoid", Type: types.Oid, Typmod: -1},
	{Name: "ctid", Type: typeTid, Typmod: -1},
	{Name: "xmin", Type: types.Xid, Typmod: -1},
	{Name: "cmin", Type: typeCid, Typmod: -1},
	{Name: "xmax", Type: types.Xid, Typmod: -1},
	{Name: "cmax", Type: typeCid, Typmod: -1},
}

func systemColumnIndex(name string) int {
	for i := range systemColumns {
		if systemColumns[i].Name == name {
			return i
		}
	}
	return -1
}

func (a *analyzer) systemColumnOf(s *scope, item *scopeItem, level int, name string, at int32) expr {
	i := systemColumnIndex(name)
	if i < 0 || item.rng < 0 {
		return nil
	}
	r := s.block.ranges[item.rng]
	if r.relation == nil || r.relation.Source == nil {
		return nil
	}
	return a.rangeColumn(r, item.rng, len(r.columns)+i, systemColumns[i], nil, level, at)
}

// rangeColumn makes a reference to a column, which is then read.
func (a *analyzer) rangeColumn(r *rangeItem, rng, column int, c schema.Column, fields []schema.Column, level int, at int32) expr {
	for len(r.used) <= column {
		r.used = append(r.used, false)
	}
	r.used[column] = true
	return &columnExpr{leaf: leaf{typing{oid: c.Type, typmod: c.Typmod, at: at, fields: fields}}, level: level, rng: rng, column: column, name: c.Name, item: r}
}

// findItem finds a name of FROM, qualified or not, and its level.
func (a *analyzer) findItem(names []string) (*scopeItem, int) {
	name, level := names[len(names)-1], 0
	for s := a.scope; s != nil; s = s.parent {
		for _, item := range s.items {
			if item.unnamed || item.alias != name || len(names) > 1 && item.schema != names[len(names)-2] {
				continue
			}
			return item, level
		}
		level++
	}
	return nil, 0
}

func (a *analyzer) scopeAt(level int) *scope {
	s := a.scope
	for range level {
		s = s.parent
	}
	return s
}

func (a *analyzer) qualified(names []string, at int32) (expr, error) {
	relation, name := names[:len(names)-1], names[len(names)-1]
	item, level := a.findItem(relation)
	if item == nil {
		// It may be column.field, of a composite column.
		return nil, a.missingFrom(relation[len(relation)-1], at)
	}
	if item.forbidden {
		return nil, a.invalidReference(item, at)
	}
	var found *scopeColumn
	for i := range item.columns {
		if c := &item.columns[i]; c.name == name {
			if found != nil {
				return nil, errorAt(at, pgwire.CodeAmbiguousColumn, "column reference \"%s\" is ambiguous", name)
			}
			found = c
		}
	}
	if found != nil {
		return found.make(level, at), nil
	}
	if e := a.systemColumnOf(a.scopeAt(level), item, level, name, at); e != nil {
		return e, nil
	}
	if now := a.scopeAt(level).formerName(item, name); now != "" {
		return a.qualified(append(slices.Clone(relation), now), at)
	}
	e := errorAt(at, pgwire.CodeUndefinedColumn, "column %s.%s does not exist", item.alias, name)
	e.Hint = a.nearest(name, item.alias)
	return nil, e
}

// formerName is what a column is called today that had another name before.
func (s *scope) formerName(item *scopeItem, name string) string {
	if item.rng < 0 {
		return ""
	}
	if r := s.block.ranges[item.rng].relation; r != nil {
		return r.Former[name]
	}
	return ""
}

func (a *analyzer) missingFrom(name string, at int32) error {
	for s := a.scope; s != nil; s = s.parent {
		for _, item := range s.shadow {
			if item.alias == name {
				return a.invalidReference(item, at)
			}
		}
		for _, item := range s.items {
			if item.rng >= 0 && item.schema == "" && s.block.ranges[item.rng].name == name && item.alias != name {
				e := errorAt(at, pgwire.CodeUndefinedTable, "invalid reference to FROM-clause entry for table \"%s\"", name)
				e.Hint = fmt.Sprintf("Perhaps you meant to reference the table alias \"%s\".", item.alias)
				return e
			}
		}
	}
	return errorAt(at, pgwire.CodeUndefinedTable, "missing FROM-clause entry for table \"%s\"", name)
}

func (a *analyzer) invalidReference(item *scopeItem, at int32) error {
	e := errorAt(at, pgwire.CodeUndefinedTable, "invalid reference to FROM-clause entry for table \"%s\"", item.alias)
	if item.forbidden {
		e.Detail = "The combining JOIN type must be INNER or LEFT for a LATERAL reference."
		e.Code = pgwire.CodeInvalidColumnReference
	} else {
		e.Detail = fmt.Sprintf("There is an entry for table \"%s\", but it cannot be referenced from this part of the query.", item.alias)
		e.Hint = "To reference that table, you must mark this subquery with LATERAL."
	}
	return e
}

// rowOf is a reference to a whole row.
func (a *analyzer) rowOf(item *scopeItem, level int, at int32) expr {
	if item.rng < 0 {
		row := &rowExpr{typing: typing{oid: typeRecord, typmod: -1, at: at}}
		for _, c := range item.columns {
			e := c.make(level, at)
			row.elems = append(row.elems, e)
			row.fields = append(row.fields, schema.Column{Name: c.name, Type: e.info().oid, Typmod: e.info().typmod})
		}
		return row
	}
	r := a.scopeAt(level).block.ranges[item.rng]
	if r.kind == rangeFunction && len(r.calls) == 1 && !r.calls[0].spreads && len(r.columns) == 1 && !r.ordinality {
		return item.columns[0].make(level, at) // a function's one value is its row
	}
	for i := range r.columns {
		if r.used == nil || len(r.used) <= i || !r.used[i] {
			a.rangeColumn(r, item.rng, i, r.columns[i], nil, level, at)
		}
	}
	oid := r.rowType
	if oid == 0 {
		oid = typeRecord
	}
	return &columnExpr{leaf: leaf{typing{oid: oid, typmod: -1, at: at, fields: r.columns}}, level: level, rng: item.rng, column: wholeRow, name: item.alias}
}

// nearest is PostgreSQL's hint for a column that may have been meant.
func (a *analyzer) nearest(name, alias string) string {
	best, hint := len(name)/2+1, ""
	for s := a.scope; s != nil; s = s.parent {
		for _, item := range s.items {
			if alias != "" && item.alias != alias || item.unnamed {
				continue
			}
			for _, c := range item.columns {
				if d := Distance(name, c.name); d < best {
					best, hint = d, fmt.Sprintf("Perhaps you meant to reference the column \"%s.%s\".", item.alias, c.name)
				}
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
