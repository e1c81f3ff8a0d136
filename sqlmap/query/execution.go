package query

import (
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// execution is one run of a statement. It belongs to one goroutine.
type execution struct {
	env    *schema.Env
	params []types.Value
	runs   int // of the expressions outside of a query that are compiled
	// rows has the rows of expressions outside of a query, which have no frame.
	rows     *[2]Row
	budget   *budget
	plans    map[*block]*blockPlan
	programs map[*blockPlan]*program
	cells    map[*operand]*types.Value
	indexes  map[*scanNode]*scanIndex
	opens    map[*scanNode]int
	chunk    []types.Value
	spare    []types.Value // a row given back
	// chunkValues is how long the last chunk was.
	chunkValues int
	base        func(types.OID) types.OID
}

// frame is where a running block keeps its current rows.
type frame struct {
	slots  [][]types.Value // nil: a row of NULLs, as outer joins make
	parent *frame
	ctes   map[*cte]*cteRows
}

// up is the frame some levels further out.
func (f *frame) up(level int) *frame {
	for range level {
		f = f.parent
	}
	return f
}

// evaluator computes an expression over the rows of a frame.
type evaluator func(f *frame) (types.Value, error)

// opener begins to make the rows of a node.
type opener func(f *frame) (iterator, error)

// iterator moves to the next row, which is then in the slots of the frame.
type iterator interface {
	next() (bool, error)
	close()
}

// Rows come from chunks of so many values, more from one to the next.
const (
	chunkValuesFirst = 16
	chunkValuesMax   = 256
)

// row allocates a row. A chunk is kept as long as any of its rows is.
func (x *execution) row(width int) []types.Value {
	if width == 0 {
		return []types.Value{} // which is not nil: a row of NULLs is
	}
	if len(x.spare) == width {
		out := x.spare
		x.spare = nil
		return out
	}
	if width > chunkValuesMax/4 {
		return make([]types.Value, width)
	}
	if len(x.chunk) < width {
		x.chunkValues = min(max(2*x.chunkValues, chunkValuesFirst, 2*width), chunkValuesMax)
		x.chunk = make([]types.Value, x.chunkValues)
	}
	out := x.chunk[:width:width]
	x.chunk = x.chunk[width:]
	return out
}

// cell is where the value of an operand is.
func (x *execution) cell(o *operand) *types.Value {
	c := x.cells[o]
	if c == nil {
		c = new(types.Value)
		x.cells[o] = c
	}
	return c
}

// rowBytes is about how much memory a row takes.
func rowBytes(row []types.Value) int64 {
	n := int64(24)
	for i := range row {
		n += row[i].Size()
	}
	return n
}

func (x *execution) compileAll(list []expr) ([]evaluator, error) {
	out := make([]evaluator, len(list))
	for i, e := range list {
		var err error
		if out[i], err = x.compile(e); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// passes reports whether all conditions are true.
func passes(conditions []evaluator, f *frame) (bool, error) {
	for _, c := range conditions {
		v, err := c(f)
		if err != nil || !v.IsTrue() {
			return false, err
		}
	}
	return true, nil
}
