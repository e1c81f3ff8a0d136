package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// setRows makes the rows of a set operation.
func (p *program) setRows(f *frame) (rowSource, error) {
	b := p.plan.block
	left, err := p.left.open(f)
	if err != nil {
		return nil, err
	}
	union := b.setOperation == pg_query.SetOperation_SETOP_UNION
	columns := b.columns()
	for i := range columns {
		columns[i].Type = p.x.base(columns[i].Type)
	}
	if union {
		both := &appendRows{first: left, second: func() (rowSource, error) { return p.right.open(f) }}
		if b.setAll {
			return both, nil
		}
		d := &distinctRows{x: p.x, rows: both, seen: make(map[string]bool)}
		for i, c := range columns {
			d.columns, d.types = append(d.columns, i), append(d.types, c.Type)
		}
		return d, nil
	}
	counts := make(map[string]int64)
	right, err := p.right.open(f)
	if err != nil {
		return nil, err
	}
	defer right.close()
	for {
		row, err := right.next()
		if err != nil {
			return nil, err
		}
		if row == nil {
			break
		}
		key := rowKey(nil, row, columns)
		if err := p.x.budget.keep(int64(len(key)) + mapEntryBytes); err != nil {
			return nil, err
		}
		counts[string(key)]++
	}
	return &matchRows{x: p.x, rows: left, columns: columns, counts: counts, all: b.setAll,
		intersects: b.setOperation == pg_query.SetOperation_SETOP_INTERSECT, seen: make(map[string]bool)}, nil
}

// appendRows is one source after the other.
type appendRows struct {
	first  rowSource
	second func() (rowSource, error)
}

func (r *appendRows) next() ([]types.Value, error) {
	for {
		row, err := r.first.next()
		if err != nil || row != nil || r.second == nil {
			return row, err
		}
		r.first.close()
		open := r.second
		r.second = nil
		if r.first, err = open(); err != nil {
			r.first = &keptRows{}
			return nil, err
		}
	}
}

func (r *appendRows) close() { r.first.close() }

// matchRows is INTERSECT and EXCEPT: counts are how often each row is on the right.
type matchRows struct {
	x          *execution
	rows       rowSource
	columns    []schema.Column
	counts     map[string]int64
	seen       map[string]bool
	all        bool
	intersects bool
	key        []byte
}

func (r *matchRows) next() ([]types.Value, error) {
	for {
		row, err := r.rows.next()
		if err != nil || row == nil {
			return nil, err
		}
		r.key = rowKey(r.key[:0], row, r.columns)
		n := r.counts[string(r.key)]
		if r.all && n > 0 {
			r.counts[string(r.key)] = n - 1
		}
		if (n > 0) != r.intersects || !r.all && r.seen[string(r.key)] {
			continue
		}
		if !r.all {
			if err := r.x.budget.keep(int64(len(r.key)) + mapEntryBytes); err != nil {
				return nil, err
			}
			r.seen[string(r.key)] = true
		}
		return row, nil
	}
}

func (r *matchRows) close() { r.rows.close() }
