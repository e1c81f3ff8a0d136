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
	rows      Rows            // nil: the server adds none
	own       [][]types.Value
	ownOnce   sync.Once
	indexes   []index
}

// index finds the rows of the snapshot by the value of a column.
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

// extra are the rows that are not the snapshot's.
func (s *systemTable) extra(env *schema.Env) ([][]types.Value, error) {
	s.ownOnce.Do(func() {
		for _, row := range s.catalog.own()[s.relation.Name] {
			s.own = append(s.own, s.complete(row))
		}
	})
	if s.rows == nil {
		return s.own, nil
	}
	live, err := s.rows(env)
	if err != nil {
		return nil, err
	}
	out := slices.Clone(s.own)
	for _, row := range live {
		out = append(out, s.complete(row))
	}
	return out, nil
}

// Open begins a scan.
func (s *systemTable) Open(env *schema.Env, r *schema.Request) (schema.Rows, error) {
	extra, err := s.extra(env)
	if err != nil {
		return nil, err
	}
	scan := &systemRows{table: s, needed: r.Columns, extra: s.matching(extra, r.Filters)}
	if s.table == nil {
		return scan, nil
	}
	scan.length = s.table.Len()
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

// find are the rows of the snapshot that a filter lets through; ok is false if there is no
// index for it.
func (s *systemTable) find(f schema.Filter) (found []int32, ok bool) {
	if f.Comparison != schema.Equal && f.Comparison != schema.In || !isIndexable(s.relation.Columns[f.Column].Type) || s.positions[f.Column] < 0 {
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
	at := s.positions[column]
	isText := s.relation.Columns[column].Type == types.Name
	if isText {
		x.byText = make(map[string][]int32, s.table.Len())
	} else {
		x.byInt = make(map[int64][]int32, s.table.Len())
	}
	for row := range s.table.Len() {
		v := s.table.Value(row, at)
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
	needed []bool
	found  []int32 // rows of the snapshot; nil: all
	length int
	next   int
	extra  [][]types.Value
}

// Next fills row.
func (r *systemRows) Next(row []types.Value) (bool, error) {
	if r.next >= r.length {
		if len(r.extra) == 0 {
			return false, nil
		}
		copy(row, r.extra[0])
		r.extra = r.extra[1:]
		return true, nil
	}
	at := r.next
	if r.found != nil {
		at = int(r.found[r.next])
	}
	r.next++
	for i, position := range r.table.positions {
		switch {
		case r.needed != nil && !r.needed[i]:
		case position < 0:
			row[i] = types.Null()
		default:
			row[i] = r.table.table.Value(at, position)
		}
	}
	return true, nil
}

// Close ends the scan.
func (r *systemRows) Close() {}
