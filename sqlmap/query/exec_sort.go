package query

import (
	"container/heap"
	"slices"

	"pgcache/sqlmap/types"
)

// compareRows orders rows by keys.
func compareRows(keys []rowOrder, a, b []types.Value) int {
	for i := range keys {
		k := &keys[i]
		x, y := a[k.column], b[k.column]
		switch {
		case x.IsNull && y.IsNull:
			continue
		case x.IsNull || y.IsNull:
			if x.IsNull == k.nullsFirst {
				return -1
			}
			return 1
		}
		if c := k.compare(x, y); c != 0 {
			if k.descending {
				return -c
			}
			return c
		}
	}
	return 0
}

// numbered is a row with its place in the input, which decides between equals.
type numbered struct {
	row    []types.Value
	number int64
	bytes  int64
}

// topRows is a heap with the last of the rows to keep on top.
type topRows struct {
	keys []rowOrder
	rows []numbered
}

func (t *topRows) Len() int { return len(t.rows) }
func (t *topRows) Less(i, j int) bool {
	a, b := t.rows[i], t.rows[j]
	if c := compareRows(t.keys, a.row, b.row); c != 0 {
		return c > 0
	}
	return a.number > b.number
}
func (t *topRows) Swap(i, j int) { t.rows[i], t.rows[j] = t.rows[j], t.rows[i] }
func (t *topRows) Push(x any)    { t.rows = append(t.rows, x.(numbered)) }
func (t *topRows) Pop() any {
	last := t.rows[len(t.rows)-1]
	t.rows = t.rows[:len(t.rows)-1]
	return last
}

// sort reads and orders rows; if most is not negative, only the first so many are kept.
func (x *execution) sort(rows rowSource, keys []rowOrder, most int64) ([][]types.Value, error) {
	defer rows.close()
	top := &topRows{keys: keys}
	for number := int64(0); ; number++ {
		row, err := rows.next()
		if err != nil {
			return nil, err
		}
		if row == nil {
			break
		}
		n := numbered{row: row, number: number, bytes: rowBytes(row)}
		if most >= 0 && int64(len(top.rows)) >= most {
			if most == 0 || compareRows(keys, row, top.rows[0].row) >= 0 {
				continue
			}
			x.budget.release(1, top.rows[0].bytes)
			top.rows[0] = n
			heap.Fix(top, 0)
		} else if top.rows = append(top.rows, n); int64(len(top.rows)) == most {
			heap.Init(top)
		}
		if err := x.budget.keep(n.bytes); err != nil {
			return nil, err
		}
	}
	if err := x.budget.check(); err != nil {
		return nil, err
	}
	slices.SortFunc(top.rows, func(a, b numbered) int {
		if c := compareRows(keys, a.row, b.row); c != 0 {
			return c
		}
		return int(a.number - b.number)
	})
	out := make([][]types.Value, len(top.rows))
	for i, n := range top.rows {
		out[i] = n.row
	}
	return out, nil
}
