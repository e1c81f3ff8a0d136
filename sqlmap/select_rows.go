package sqlmap

import (
	"math"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/scalar"
	"pgcache/sqlmap/types"
)

// This file runs a planned SELECT: filter, sort, limit and projection over one source.

// sortKey is a column of ORDER BY: an output, or an expression over the row.
type sortKey struct {
	output       int // -1: expr
	expr         *scalar.Expr
	oid          types.OID
	isDescending bool
	nullsFirst   bool
}

// sortBytesMax bounds what ORDER BY keeps in memory.
const sortBytesMax = 64 << 20

func (p *planner) sortClause(a *selectAction, list []*pg_query.Node) error {
	for _, n := range list {
		by := n.GetSortBy()
		if by.SortbyDir == pg_query.SortByDir_SORTBY_USING {
			return unsupported(by.Location, "ORDER BY … USING is", "Use ASC or DESC.")
		}
		key := sortKey{output: -1, isDescending: by.SortbyDir == pg_query.SortByDir_SORTBY_DESC}
		key.nullsFirst = key.isDescending
		if by.SortbyNulls > pg_query.SortByNulls_SORTBY_NULLS_DEFAULT {
			key.nullsFirst = by.SortbyNulls == pg_query.SortByNulls_SORTBY_NULLS_FIRST
		}
		if err := p.sortTarget(a, &key, by.Node); err != nil {
			return err
		}
		if a.countColumns > 0 {
			continue // one row is sorted
		}
		a.sort = append(a.sort, key)
	}
	return nil
}

// sortTarget finds what a key sorts by: an output by number or name, else an expression.
func (p *planner) sortTarget(a *selectAction, key *sortKey, n *pg_query.Node) error {
	if k := n.GetAConst(); k != nil && k.GetIval() != nil {
		i := int(k.GetIval().Ival)
		if i < 1 || i > len(a.outputs) {
			return scalar.At(pgwire.Errorf(pgwire.CodeInvalidColumnReference, "ORDER BY position %d is not in select list", i), k.Location)
		}
		key.output, key.oid = i-1, a.outputs[i-1].expr.Type
		return nil
	}
	if ref := n.GetColumnRef(); ref != nil && len(ref.Fields) == 1 {
		name := ref.Fields[0].GetString_().GetSval()
		for i, o := range a.outputs {
			if o.name == name {
				key.output, key.oid = i, o.expr.Type
				return nil
			}
		}
	}
	x, err := p.compiler.Compile(n)
	if err != nil {
		return err
	}
	if x, err = p.compiler.Finish(x); err != nil {
		return err
	}
	key.expr, key.oid = x, x.Type
	return nil
}

// run opens the source; sorting happens now, everything else as rows are asked for.
func (a *selectAction) run(x *execution) (outcome, error) {
	limit, err := evalCount(x, a.limit, "LIMIT")
	if err != nil {
		return outcome{}, err
	}
	offset, err := evalCount(x, a.offset, "OFFSET")
	if err != nil {
		return outcome{}, err
	}
	offset = max(offset, 0)
	x.rowsWanted = 0
	if limit >= 0 && limit < math.MaxInt64-offset && len(a.sort) == 0 {
		x.rowsWanted = limit + offset
	}
	rows, err := a.source.open(x)
	if err != nil {
		return outcome{}, err
	}
	c := &selectCursor{action: a, rows: rows, limit: limit, skip: offset}
	switch {
	case a.countColumns > 0:
		return c.count(x)
	case len(a.sort) > 0:
		return c.sorted(x)
	}
	return outcome{rows: c}, nil
}

// evalCount evaluates LIMIT or OFFSET; -1: none.
func evalCount(x *execution, e *scalar.Expr, clause string) (int64, error) {
	if e == nil {
		return -1, nil
	}
	v, err := e.Eval(&x.env)
	switch {
	case err != nil:
		return 0, err
	case v.IsNull:
		return -1, nil
	case v.Int < 0:
		return 0, pgwire.Errorf(pgwire.CodeInvalidRowCount, "%s must not be negative", clause)
	}
	return v.Int, nil
}

// selectCursor makes the rows of an unsorted SELECT.
type selectCursor struct {
	action *selectAction
	rows   rowSource
	limit  int64 // -1: none
	skip   int64
}

// nextRow moves to the next row that passes the filter.
func (c *selectCursor) nextRow(x *execution) (bool, error) {
	for {
		ok, err := c.rows.next(x)
		if err != nil || !ok {
			return false, err
		}
		if c.action.filter == nil {
			return true, nil
		}
		v, err := c.action.filter.Eval(&x.env)
		if err != nil || v.IsTrue() {
			return true, err
		}
		x.trace.filter()
	}
}

func (c *selectCursor) next(x *execution, out []types.Value) (bool, error) {
	for c.limit != 0 {
		ok, err := c.nextRow(x)
		if err != nil || !ok {
			return false, err
		}
		if c.skip > 0 {
			c.skip--
			continue
		}
		if c.limit > 0 {
			c.limit--
		}
		return true, evaluate(x, c.action.outputs, out)
	}
	return false, nil
}

func (c *selectCursor) close() { c.rows.close() }

// count is SELECT count(*).
func (c *selectCursor) count(x *execution) (outcome, error) {
	defer c.close()
	n := int64(0)
	for {
		ok, err := c.nextRow(x)
		if err != nil {
			return outcome{}, err
		}
		if !ok {
			break
		}
		n++
	}
	if c.limit == 0 || c.skip > 0 {
		return outcome{rows: &rowList{}}, nil
	}
	row := make([]types.Value, c.action.countColumns)
	for i := range row {
		row[i] = types.OfInt(n)
	}
	return outcome{rows: &rowList{[][]types.Value{row}}}, nil
}

// sorted reads and sorts all rows.
func (c *selectCursor) sorted(x *execution) (outcome, error) {
	defer c.close()
	width := len(c.action.outputs)
	var rows [][]types.Value
	size := int64(0)
	sort := func() {
		slices.SortStableFunc(rows, func(a, b []types.Value) int { return compareRows(c.action.sort, a[width:], b[width:]) })
	}
	keep, most := c.rowsKept()
	for {
		ok, err := c.nextRow(x)
		if err != nil {
			return outcome{}, err
		}
		if !ok {
			break
		}
		row := make([]types.Value, width+len(c.action.sort))
		if err := evaluate(x, c.action.outputs, row[:width]); err != nil {
			return outcome{}, err
		}
		for i, key := range c.action.sort {
			if key.expr == nil {
				row[width+i] = row[key.output]
			} else if row[width+i], err = key.expr.Eval(&x.env); err != nil {
				return outcome{}, err
			}
		}
		for i := range row {
			row[i] = row[i].Clone() // the source's memory ends with its row
		}
		size += sizeOf(row)
		if size > sortBytesMax {
			e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "too much to sort")
			e.Detail = formatLimit(size, sortBytesMax, "bytes", "")
			e.Hint = "Leave out ORDER BY, or the value."
			return outcome{}, e
		}
		rows = append(rows, row)
		if len(rows) >= most {
			sort()
			for _, row := range rows[keep:] {
				size -= sizeOf(row)
			}
			clear(rows[keep:])
			rows = rows[:keep]
		}
	}
	sort()
	rows = rows[min(c.skip, int64(len(rows))):]
	if c.limit >= 0 {
		rows = rows[:min(c.limit, int64(len(rows)))]
	}
	return outcome{rows: &rowList{rows}}, nil
}

// rowsKept is how many rows a sort with LIMIT needs, and how many it may gather before it
// drops the others.
func (c *selectCursor) rowsKept() (keep, most int) {
	const spare = 1024
	if c.limit < 0 || c.limit+c.skip < 0 || c.limit+c.skip > math.MaxInt32/2 {
		return 0, math.MaxInt
	}
	keep = int(c.limit + c.skip)
	return keep, 2*keep + spare
}

func sizeOf(row []types.Value) int64 {
	size := int64(0)
	for i := range row {
		size += row[i].Size()
	}
	return size
}

func compareRows(keys []sortKey, a, b []types.Value) int {
	for i := range keys {
		x, y := a[i], b[i]
		sign := 1
		switch {
		case x.IsNull && y.IsNull:
			continue
		case x.IsNull || y.IsNull:
			if x.IsNull == keys[i].nullsFirst {
				return -1
			}
			return 1
		case keys[i].isDescending:
			sign = -1
		}
		if c := sign * types.Compare(keys[i].oid, x, y); c != 0 {
			return c
		}
	}
	return 0
}

// oneRow is the source of a SELECT without FROM.
type oneRow struct{}

type onceSource struct{ done bool }

func (oneRow) open(*execution) (rowSource, error) { return &onceSource{}, nil }

func (s *onceSource) next(*execution) (bool, error) {
	more := !s.done
	s.done = true
	return more, nil
}

func (s *onceSource) close() {}
