package sqlmap

import (
	"math"
	"slices"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// This file runs a planned SELECT: filter, sort, limit and projection over one source.

// sortBytesMax bounds what ORDER BY keeps in memory.
const sortBytesMax = 64 << 20

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
func evalCount(x *execution, e *query.Expression, clause string) (int64, error) {
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
		return true, evaluate(x, c.action.outputs[:c.action.width], out)
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
	keys, oids := c.action.sort, make([]types.OID, len(c.action.sort))
	for i, key := range keys {
		oids[i] = c.action.outputs[key.Output].Expr.Type
	}
	var rows [][]types.Value
	size := int64(0)
	sort := func() {
		slices.SortStableFunc(rows, func(a, b []types.Value) int { return compareRows(keys, oids, a, b) })
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
		row := make([]types.Value, len(c.action.outputs))
		if err := evaluate(x, c.action.outputs, row); err != nil {
			return outcome{}, err
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

func compareRows(keys []query.SortKey, oids []types.OID, a, b []types.Value) int {
	for i, key := range keys {
		x, y := a[key.Output], b[key.Output]
		sign := 1
		switch {
		case x.IsNull && y.IsNull:
			continue
		case x.IsNull || y.IsNull:
			if x.IsNull == key.NullsFirst {
				return -1
			}
			return 1
		case key.Descending:
			sign = -1
		}
		if c := sign * types.Compare(oids[i], x, y); c != 0 {
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
