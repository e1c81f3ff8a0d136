package catalog

import (
	"slices"
	"sync"

	"pgcache/sqlmap/catalog/snapshot"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// systemTable is the source of a table of pg_catalog: rows of the snapshot, rows about
// pgcache's own objects, and rows that the server makes.
type systemTable struct {
	catalog   *Catalog
	relation  *schema.Relation
	notNull   []bool
	table     *snapshot.Table // nil: none of the snapshot
	positions []int           // of each column in the table, -1: not there
	rows      Rows            // live ones; nil: the server adds none
	own       [][]types.Value // rows about pgcache's own objects
	ownOnce   sync.Once
	refresh   refresh // nil: these rows do not change
	indexes   []index
}

// refresh brings up to date what changes of a copy of a row of own. needed are the columns that
// are read, nil: all.
type refresh func(env *schema.Env, own int, row []types.Value, needed []bool)

// index finds rows, live ones left out, by the value of a column.
type index struct {
	once   sync.Once
	byInt  map[int64][]int32
	byText map[string][]int32
}

// isIndexable reports the types of columns that have an index.
func isIndexable(t types.OID) bool {
	switch t {
	case types.Oid, types.Name, types.RegProc:
		return true
	}
	return false
}

// complete makes a row of what is given.
func (s *systemTable) complete(given Row) []types.Value {
	row := make([]types.Value, len(s.relation.Columns))
	for i, column := range s.relation.Columns {
		v, ok := given[column.Name]
		switch {
		case ok:
			row[i] = v
		case i >= len(s.notNull) || !s.notNull[i]:
			row[i] = types.Null()
		}
	}
	return row
}

// ownRows are the rows about pgcache's own objects.
func (s *systemTable) ownRows() [][]types.Value {
	s.ownOnce.Do(func() {
		for _, row := range s.catalog.own()[s.relation.Name] {
			s.own = append(s.own, s.complete(row))
		}
	})
	return s.own
}

// stored is the number of rows in the snapshot.
func (s *systemTable) stored() int {
	if s.table == nil {
		return 0
	}
	return s.table.Len()
}

// value is a column of a row: of the snapshot, or behind these of pgcache's own.
func (s *systemTable) value(row, column int) types.Value {
	switch position := s.positions[column]; {
	case row >= s.stored():
		return s.own[row-s.stored()][column]
	case position < 0:
		return types.Null()
	default:
		return s.table.Value(row, position)
	}
}

// Open begins a scan.
func (s *systemTable) Open(env *schema.Env, r *schema.Request) (schema.Rows, error) {
	scan := &systemRows{table: s, env: env, needed: r.Columns, length: s.stored() + len(s.ownRows())}
	if s.rows != nil {
		live, err := s.rows(env)
		if err != nil {
			return nil, err
		}
		for _, row := range live {
			scan.live = append(scan.live, s.complete(row))
		}
		scan.live = s.matching(scan.live, r.Filters)
	}
	for _, f := range r.Filters {
		if found, ok := s.find(f); ok && (scan.found == nil || len(found) < len(scan.found)) {
			scan.found = found
			scan.length = len(found)
			if found == nil {
				scan.found = []int32{}
			}
		}
	}
	return scan, nil
}

// matching leaves out rows that an equality excludes.
func (s *systemTable) matching(rows [][]types.Value, filters []schema.Filter) [][]types.Value {
	for _, f := range filters {
		if f.Comparison != schema.Equal && f.Comparison != schema.In || !isIndexable(s.relation.Columns[f.Column].Type) {
			continue
		}
		t := s.relation.Columns[f.Column].Type
		var kept [][]types.Value
		for _, row := range rows {
			v := row[f.Column]
			if !v.IsNull && slices.ContainsFunc(f.Values, func(w types.Value) bool { return types.Compare(t, v, w) == 0 }) {
				kept = append(kept, row)
			}
		}
		rows = kept
	}
	return rows
}

// find are the rows that a filter lets through, live ones left out; ok is false if there is no
// index for it.
func (s *systemTable) find(f schema.Filter) (found []int32, ok bool) {
	if f.Comparison != schema.Equal && f.Comparison != schema.In || !isIndexable(s.relation.Columns[f.Column].Type) {
		return nil, false
	}
	x := &s.indexes[f.Column]
	x.once.Do(func() { s.build(x, f.Column) })
	for i, v := range f.Values {
		if slices.ContainsFunc(f.Values[:i], func(w types.Value) bool { return types.Compare(s.relation.Columns[f.Column].Type, v, w) == 0 }) {
			continue
		}
		if x.byText != nil {
			found = append(found, x.byText[string(v.Bytes)]...)
		} else {
			found = append(found, x.byInt[v.Int]...)
		}
	}
	return found, true
}

func (s *systemTable) build(x *index, column int) {
	rows := s.stored() + len(s.own)
	isText := s.relation.Columns[column].Type == types.Name
	if isText {
		x.byText = make(map[string][]int32, rows)
	} else {
		x.byInt = make(map[int64][]int32, rows)
	}
	for row := range rows {
		v := s.value(row, column)
		switch {
		case v.IsNull:
		case isText:
			x.byText[string(v.Bytes)] = append(x.byText[string(v.Bytes)], int32(row))
		default:
			x.byInt[v.Int] = append(x.byInt[v.Int], int32(row))
		}
	}
}

// systemRows is a scan of a systemTable.
type systemRows struct {
	table  *systemTable
	env    *schema.Env
	needed []bool
	found  []int32 // rows; nil: all
	length int
	next   int
	live   [][]types.Value
}

// left is how many rows are to come.
func (r *systemRows) left() int { return r.length - r.next + len(r.live) }

// Next fills row.
func (r *systemRows) Next(row []types.Value) (bool, error) {
	if r.next >= r.length {
		if len(r.live) == 0 {
			return false, nil
		}
		copy(row, r.live[0])
		r.live = r.live[1:]
		return true, nil
	}
	at := r.next
	if r.found != nil {
		at = int(r.found[r.next])
	}
	r.next++
	for i := range r.table.positions {
		if r.needed == nil || r.needed[i] {
			row[i] = r.table.value(at, i)
		}
	}
	if r.table.refresh != nil && at >= r.table.stored() {
		r.table.refresh(r.env, at-r.table.stored(), row, r.needed)
	}
	return true, nil
}

// Close ends the scan.
func (r *systemRows) Close() {}
