package query

import (
	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// compile of a subquery in FROM. One that does not depend on anything outside of it and is
// opened again runs once.
func (n *subqueryNode) compile(x *execution) (opener, error) {
	p, err := x.program(n.plan)
	if err != nil {
		return nil, err
	}
	var kept [][]types.Value
	opens := 0
	return func(f *frame) (iterator, error) {
		if kept != nil {
			return &listRows{x: x, frame: f, rng: n.rng, rows: kept}, nil
		}
		rows, err := p.open(f)
		if err != nil {
			return nil, err
		}
		if opens++; opens > 1 && n.plan.isFixed() {
			if kept, err = x.collect(rows); err != nil {
				return nil, err
			}
			if kept == nil {
				kept = [][]types.Value{}
			}
			return &listRows{x: x, frame: f, rng: n.rng, rows: kept}, nil
		}
		return &subqueryRows{x: x, frame: f, rng: n.rng, rows: rows}, nil
	}, nil
}

type subqueryRows struct {
	x     *execution
	frame *frame
	rng   int
	rows  rowSource
}

func (s *subqueryRows) next() (bool, error) {
	row, err := s.rows.next()
	if err != nil || row == nil {
		return false, err
	}
	s.frame.slots[s.rng] = row
	return true, s.x.budget.step()
}

func (s *subqueryRows) close() { s.rows.close() }

// collect keeps all rows of a block.
func (x *execution) collect(rows rowSource) ([][]types.Value, error) {
	defer rows.close()
	var out [][]types.Value
	for {
		row, err := rows.next()
		if err != nil || row == nil {
			return out, err
		}
		if err := x.budget.step(); err != nil {
			return nil, err
		}
		if err := x.budget.keep(rowBytes(row)); err != nil {
			return nil, err
		}
		out = append(out, row)
	}
}

func (n *valuesNode) compile(x *execution) (opener, error) {
	rows := make([][]evaluator, len(n.item.rows))
	for i, r := range n.item.rows {
		var err error
		if rows[i], err = x.compileAll(r); err != nil {
			return nil, err
		}
	}
	return func(f *frame) (iterator, error) { return &valuesRows{x: x, frame: f, rng: n.rng, rows: rows}, nil }, nil
}

type valuesRows struct {
	x     *execution
	frame *frame
	rng   int
	rows  [][]evaluator
}

func (r *valuesRows) next() (bool, error) {
	if len(r.rows) == 0 {
		return false, nil
	}
	row := r.x.row(len(r.rows[0]))
	for i, eval := range r.rows[0] {
		v, err := eval(r.frame)
		if err != nil {
			return false, err
		}
		row[i] = v
	}
	r.rows = r.rows[1:]
	r.frame.slots[r.rng] = row
	return true, r.x.budget.step()
}

func (*valuesRows) close() {}

// setMaker begins the rows of a function call: each is what the call makes, spread over
// columns or as one value.
type setMaker func(f *frame) (schema.Iterator, error)

// compileSet makes the rows of an expression in FROM or of a set-returning function.
func (x *execution) compileSet(e expr) (setMaker, error) {
	c, ok := e.(*callExpr)
	if !ok || !c.function.ReturnsSet {
		eval, err := x.compile(e)
		if err != nil {
			return nil, err
		}
		return func(f *frame) (schema.Iterator, error) {
			v, err := eval(f)
			return schema.Each([]types.Value{v}), err
		}, nil
	}
	impl := c.function.Implementation
	if impl == nil || impl.Rows == nil {
		return nil, unsupported(c.at, "function "+c.function.Name+" is")
	}
	args, err := x.compileAll(c.args)
	if err != nil {
		return nil, err
	}
	bind, site, strict := x.binder(c, args), x.site(c), c.function.IsStrict
	var shape *types.Shape // of records of several columns
	if len(c.fields) > 1 {
		shape = shapeOf(c.fields)
	}
	return func(f *frame) (schema.Iterator, error) {
		values, isNull, err := bind(f)
		if err != nil || isNull && strict {
			return schema.Each(nil), err
		}
		it, err := impl.Rows(site, values)
		if err != nil || shape == nil {
			return it, err
		}
		return func() (types.Value, bool, error) {
			v, ok, err := it()
			if v.Shape == nil {
				v.Shape = shape
			}
			return v, ok, err
		}, nil
	}, nil
}

func (n *functionNode) compile(x *execution) (opener, error) {
	makers := make([]setMaker, len(n.item.calls))
	for i, c := range n.item.calls {
		var err error
		if makers[i], err = x.compileSet(c.expr); err != nil {
			return nil, err
		}
	}
	return func(f *frame) (iterator, error) {
		r := &functionRows{x: x, frame: f, node: n}
		for _, make := range makers {
			it, err := make(f)
			if err != nil {
				return nil, err
			}
			r.sets = append(r.sets, it)
		}
		return r, nil
	}, nil
}

// functionRows steps through several functions at once; those that have ended give NULLs.
type functionRows struct {
	x     *execution
	frame *frame
	node  *functionNode
	sets  []schema.Iterator
	count int64
}

func (r *functionRows) next() (bool, error) {
	if err := r.x.budget.step(); err != nil {
		return false, err
	}
	item := r.node.item
	row := r.x.row(len(item.columns))
	at, more := 0, false
	for i, c := range item.calls {
		width := len(c.columns)
		v, ok, err := types.Null(), false, error(nil)
		if r.sets[i] != nil {
			if v, ok, err = r.sets[i](); err != nil {
				return false, err
			}
		}
		if !ok {
			r.sets[i], v = nil, types.Null()
		}
		more = more || ok
		if err := spread(row[at:at+width], c, v); err != nil {
			return false, err
		}
		at += width
	}
	if !more {
		return false, nil
	}
	r.count++
	if item.ordinality {
		row[at] = types.OfInt(r.count)
	}
	r.frame.slots[r.node.rng] = row
	return true, nil
}

// spread puts a value into the columns of its call.
func spread(out []types.Value, c rangeCall, v types.Value) error {
	switch {
	case !c.spreads:
		out[0] = v
	case v.IsNull:
		for i := range out {
			out[i] = types.Null()
		}
	case len(v.Elems) < len(out):
		e := pgwire.Errorf(pgwire.CodeDatatypeMismatch, "function return row and query-specified return row do not match")
		e.Detail = pgwire.Errorf("", "Returned row contains %d attributes, but query expects %d.", len(v.Elems), len(out)).Message
		return e
	default:
		copy(out, v.Elems)
	}
	return nil
}

func (*functionRows) close() {}

// cteRows is the state of a WITH query in the frame of the block that defines it.
type cteRows struct {
	rows [][]types.Value
	done bool
	// working is what the recursive part reads.
	working [][]types.Value
	busy    bool
}

func (n *cteNode) compile(x *execution) (opener, error) {
	c, level := n.item.cte, n.item.cteLevel
	return func(f *frame) (iterator, error) {
		rows, err := x.cte(f.up(level), c)
		if err != nil {
			return nil, err
		}
		return &listRows{x: x, frame: f, rng: n.rng, rows: rows}, nil
	}, nil
}

// cte returns the rows of a WITH query, which is run when it is first read. Within its own
// recursive part it is the rows of the round before.
func (x *execution) cte(f *frame, c *cte) ([][]types.Value, error) {
	if f.ctes == nil {
		f.ctes = make(map[*cte]*cteRows)
	}
	state := f.ctes[c]
	if state == nil {
		state = &cteRows{}
		f.ctes[c] = state
	}
	switch {
	case state.busy:
		return state.working, nil
	case state.done:
		return state.rows, nil
	}
	state.busy = true
	var err error
	if c.isRecursive {
		state.rows, err = x.recurse(f, c, state)
	} else {
		state.rows, err = x.run(f, c.block)
	}
	state.busy, state.done, state.working = false, err == nil, nil
	return state.rows, err
}

// run collects the rows of a block.
func (x *execution) run(f *frame, b *block) ([][]types.Value, error) {
	p, err := x.program(x.plans[b])
	if err != nil {
		return nil, err
	}
	rows, err := p.open(f)
	if err != nil {
		return nil, err
	}
	return x.collect(rows)
}

// recurse runs a recursive query: the second part again and again, over the rows that the
// round before has added.
func (x *execution) recurse(f *frame, c *cte, state *cteRows) ([][]types.Value, error) {
	inner := &frame{parent: f, slots: make([][]types.Value, len(c.block.ranges))}
	rows, err := x.run(inner, c.once)
	if err != nil {
		return nil, err
	}
	seen := make(map[string]bool)
	fresh := func(rows [][]types.Value) ([][]types.Value, error) {
		if !c.isDistinct {
			return rows, nil
		}
		var out [][]types.Value
		for _, row := range rows {
			key := rowKey(nil, row, c.columns)
			if seen[string(key)] {
				continue
			}
			if err := x.budget.charge(int64(len(key)) + mapEntryBytes); err != nil {
				return nil, err
			}
			seen[string(key)] = true
			out = append(out, row)
		}
		return out, nil
	}
	if rows, err = fresh(rows); err != nil {
		return nil, err
	}
	all := rows
	for len(rows) > 0 {
		state.working = rows
		if rows, err = x.run(inner, c.recursive); err != nil {
			return nil, err
		}
		if rows, err = fresh(rows); err != nil {
			return nil, err
		}
		all = append(all, rows...)
	}
	return all, nil
}

// mapEntryBytes is about what an entry of a map costs besides its key.
const mapEntryBytes = 64

// rowKey is a key of all columns of a row.
func rowKey(dst []byte, row []types.Value, columns []schema.Column) []byte {
	for i, c := range columns {
		dst = appendKey(dst, c.Type, row[i])
	}
	return dst
}
