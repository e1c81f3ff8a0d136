package schema

import "pgcache/sqlmap/types"

// Relation is something that FROM can name. It has a Source or is a View.
type Relation struct {
	OID     types.OID // in pg_class
	Schema  string
	Name    string
	RowType types.OID // of its rows as composite values; 0: none
	Columns []Column
	// Key are the columns of the primary key: GROUP BY them allows all others.
	Key []int
	// Lookup are columns by which the source finds rows without reading all of them.
	Lookup []int
	// Former are the names that columns had in earlier versions of PostgreSQL, whose
	// clients still ask for them, and the names they have now.
	Former map[string]string
	// IsRestricted: a statement of one who is no superuser may not name it (42501). Views over
	// it are for everyone.
	IsRestricted bool
	// Rows is about how many rows there are, for ordering joins; 0: unknown.
	Rows int64

	Source Source
	// View is the SELECT that a view stands for, used as a subquery.
	View string
}

// Column is a column of a relation.
type Column struct {
	Name      string
	Type      types.OID
	Typmod    int32     // -1: none
	Collation types.OID // 0: none or the default of the type
	Number    int16     // attnum; 0: position + 1
}

// Source makes the rows of a relation.
type Source interface {
	// Open begins a scan. The request is the source's to read until Close.
	Open(env *Env, r *Request) (Rows, error)
}

// Request says what a scan is for, so that it can do less.
type Request struct {
	// Columns says which columns are read; values of others may be left out.
	Columns []bool
	// Filters hold for every row that matters (all of them at once).
	Filters []Filter
}

// Comparison is what a Filter does with its column.
type Comparison uint8

// The comparisons. Values have the type of the column.
const (
	Equal    Comparison = iota // column = Values[0]
	In                         // column = any of Values
	Prefix                     // column is text that begins with Values[0]
	Overlaps                   // column is an array that shares an element with Values
	Contains                   // column is an array that has all of Values
)

// Filter is a condition on one column. No value is NULL.
type Filter struct {
	Column     int
	Comparison Comparison
	Values     []types.Value
}

// Rows is a running scan.
type Rows interface {
	// Next fills row, which has the width of the relation, with the next row (D3); false
	// at the end. What it fills row with must not change later; row itself is the caller's.
	Next(row []types.Value) (bool, error)
	Close()
}

// Table is a Source over rows made when a scan begins.
type Table func(env *Env, r *Request) ([][]types.Value, error)

// Open makes the rows.
func (t Table) Open(env *Env, r *Request) (Rows, error) {
	rows, err := t(env, r)
	return &tableRows{rows}, err
}

type tableRows struct{ rows [][]types.Value }

func (t *tableRows) Next(row []types.Value) (bool, error) {
	if len(t.rows) == 0 {
		return false, nil
	}
	copy(row, t.rows[0])
	t.rows = t.rows[1:]
	return true, nil
}

func (t *tableRows) Close() {}
