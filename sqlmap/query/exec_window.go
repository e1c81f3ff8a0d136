package query

import (
	"slices"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// windowProgram is the compiled window functions of a block.
type windowProgram struct {
	x       *execution
	block   *block
	windows []*windowSpec // those that are called
}

// windowSpec is a compiled window with its calls.
type windowSpec struct {
	window    *window
	partition []evaluator
	keys      []rowOrder // partition first, then order
	order     []evaluator
	start     boundProgram
	end       boundProgram
	calls     []*windowProgramCall
}

// boundProgram is an end of the frame.
type boundProgram struct {
	offset    evaluator
	limit     evaluator
	value, by *types.Value
}

// windowProgramCall is a compiled call.
type windowProgramCall struct {
	column    int
	name      string
	args      []evaluator
	filter    evaluator
	aggregate *schema.Implementation // nil: a window function
	call      *schema.Call
}

func (x *execution) compileWindows(b *block) (*windowProgram, error) {
	p := &windowProgram{x: x, block: b}
	specs := make(map[int]*windowSpec)
	for i, w := range b.windowCalls {
		spec := specs[w.window]
		if spec == nil {
			var err error
			if spec, err = x.compileWindow(&b.windows[w.window]); err != nil {
				return nil, err
			}
			specs[w.window] = spec
			p.windows = append(p.windows, spec)
		}
		c := &windowProgramCall{column: i, name: w.function.Name}
		var err error
		if c.args, err = x.compileAll(w.args); err != nil {
			return nil, err
		}
		if w.filter != nil {
			if c.filter, err = x.compile(w.filter); err != nil {
				return nil, err
			}
		}
		if w.function.Kind == 'a' {
			c.aggregate = w.function.Implementation
			c.call = &schema.Call{Env: x.env, Function: w.function, Types: w.argTypes, Returns: w.oid}
		}
		spec.calls = append(spec.calls, c)
	}
	return p, nil
}

func (x *execution) compileWindow(w *window) (*windowSpec, error) {
	spec := &windowSpec{window: w}
	var err error
	if spec.partition, err = x.compileAll(w.partition); err != nil {
		return nil, err
	}
	for i, e := range w.partition {
		spec.keys = append(spec.keys, rowOrder{column: i, compare: comparer(x.base(e.info().oid))})
	}
	for i, k := range w.order {
		eval, err := x.compile(k.expr)
		if err != nil {
			return nil, err
		}
		spec.order = append(spec.order, eval)
		spec.keys = append(spec.keys, rowOrder{column: len(w.partition) + i, compare: comparer(x.base(k.expr.info().oid)),
			descending: k.descending, nullsFirst: k.nullsFirst})
	}
	if spec.start, err = x.compileBound(&w.start); err != nil {
		return nil, err
	}
	spec.end, err = x.compileBound(&w.end)
	return spec, err
}

func (x *execution) compileBound(b *frameBound) (out boundProgram, err error) {
	if b.offset == nil {
		return out, nil
	}
	if out.offset, err = x.compile(b.offset); err != nil || b.limit == nil {
		return out, err
	}
	out.value, out.by = x.cell(b.value), x.cell(b.by)
	out.limit, err = x.compile(b.limit)
	return out, err
}

// windowRow is a row of the block with the keys of the window at work and the results.
type windowRow struct {
	saved   tuple
	keys    []types.Value
	results []types.Value
}

// run computes all windows; the rows come out in the order of the last.
func (p *windowProgram) run(f *frame, rows iterator, live []int) (iterator, error) {
	defer rows.close()
	var all []*windowRow
	for {
		ok, err := rows.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		saved, err := p.x.save(f, live)
		if err != nil {
			return nil, err
		}
		all = append(all, &windowRow{saved: saved, results: make([]types.Value, len(p.block.windowCalls))})
	}
	for _, spec := range p.windows {
		if err := p.compute(f, spec, all, live); err != nil {
			return nil, err
		}
	}
	return &windowRows{x: p.x, frame: f, rows: all, live: live, rng: p.block.windowRange}, nil
}

type windowRows struct {
	x     *execution
	frame *frame
	rows  []*windowRow
	live  []int
	rng   int
}

func (r *windowRows) next() (bool, error) {
	if len(r.rows) == 0 {
		return false, nil
	}
	row := r.rows[0]
	r.rows = r.rows[1:]
	row.saved.restore(r.frame, r.live)
	r.frame.slots[r.rng] = row.results
	return true, r.x.budget.step()
}

func (*windowRows) close() {}

// compute sorts the rows for one window and computes its calls, partition by partition.
func (p *windowProgram) compute(f *frame, spec *windowSpec, all []*windowRow, live []int) error {
	for _, row := range all {
		if err := p.x.budget.step(); err != nil {
			return err
		}
		row.saved.restore(f, live)
		keys, err := evaluateAll(append(slices.Clone(spec.partition), spec.order...), f)
		if err != nil {
			return err
		}
		row.keys = keys
	}
	if err := p.x.budget.check(); err != nil {
		return err
	}
	slices.SortStableFunc(all, func(a, b *windowRow) int { return compareRows(spec.keys, a.keys, b.keys) })
	partition := spec.keys[:len(spec.partition)]
	for start := 0; start < len(all); {
		end := start + 1
		for end < len(all) && compareRows(partition, all[start].keys, all[end].keys) == 0 {
			end++
		}
		part := &partitionRun{program: p, spec: spec, frame: f, live: live, rows: all[start:end]}
		part.findPeers()
		for _, c := range spec.calls {
			if err := part.call(c); err != nil {
				return err
			}
		}
		start = end
	}
	return nil
}

// partitionRun computes one partition. Peers are rows that the order does not tell apart.
type partitionRun struct {
	program *windowProgram
	spec    *windowSpec
	frame   *frame
	live    []int
	rows    []*windowRow
	group   []int // of each row: the number of its peer group
	starts  []int // of each peer group: its first row; one more for the end
}

func (r *partitionRun) findPeers() {
	order := r.spec.keys[len(r.spec.partition):]
	r.group = make([]int, len(r.rows))
	for i := range r.rows {
		if i == 0 || compareRows(order, r.rows[i-1].keys, r.rows[i].keys) != 0 {
			r.starts = append(r.starts, i)
		}
		r.group[i] = len(r.starts) - 1
	}
	r.starts = append(r.starts, len(r.rows))
}

func (r *partitionRun) at(i int) { r.rows[i].saved.restore(r.frame, r.live) }

func (r *partitionRun) call(c *windowProgramCall) error {
	if c.aggregate != nil {
		return r.aggregate(c)
	}
	for i := range r.rows {
		if err := r.program.x.budget.step(); err != nil {
			return err
		}
		v, err := r.function(c, i)
		if err != nil {
			return err
		}
		r.rows[i].results[c.column] = v
	}
	return nil
}

// function computes a window function for one row.
func (r *partitionRun) function(c *windowProgramCall, i int) (types.Value, error) {
	n := len(r.rows)
	switch c.name {
	case "row_number":
		return types.OfInt(int64(i + 1)), nil
	case "rank":
		return types.OfInt(int64(r.starts[r.group[i]] + 1)), nil
	case "dense_rank":
		return types.OfInt(int64(r.group[i] + 1)), nil
	case "percent_rank":
		if n == 1 {
			return types.OfFloat(0), nil
		}
		return types.OfFloat(float64(r.starts[r.group[i]]) / float64(n-1)), nil
	case "cume_dist":
		return types.OfFloat(float64(r.starts[r.group[i]+1]) / float64(n)), nil
	case "ntile":
		return r.ntile(c, i)
	case "lag", "lead":
		return r.neighbour(c, i)
	}
	return r.frameValue(c, i)
}

func (r *partitionRun) ntile(c *windowProgramCall, i int) (types.Value, error) {
	r.at(0)
	v, err := c.args[0](r.frame)
	switch {
	case err != nil || v.IsNull:
		return types.Null(), err
	case v.Int <= 0:
		return v, pgwire.Errorf(pgwire.CodeInvalidNtile, "argument of ntile must be greater than zero")
	}
	n, buckets := int64(len(r.rows)), v.Int
	size, larger := n/buckets, n%buckets
	at := int64(i)
	if at < larger*(size+1) {
		return types.OfInt(at/(size+1) + 1), nil
	}
	return types.OfInt(larger + (at-larger*(size+1))/size + 1), nil
}

// neighbour is lag and lead.
func (r *partitionRun) neighbour(c *windowProgramCall, i int) (types.Value, error) {
	r.at(i)
	offset := int64(1)
	if len(c.args) > 1 {
		v, err := c.args[1](r.frame)
		if err != nil || v.IsNull {
			return types.Null(), err
		}
		offset = v.Int
	}
	if c.name == "lag" {
		offset = -offset
	}
	if at := int64(i) + offset; at >= 0 && at < int64(len(r.rows)) {
		r.at(int(at))
		return c.args[0](r.frame)
	}
	if len(c.args) > 2 {
		return c.args[2](r.frame)
	}
	return types.Null(), nil
}

// frameValue is first_value, last_value and nth_value.
func (r *partitionRun) frameValue(c *windowProgramCall, i int) (types.Value, error) {
	r.at(i)
	nth := int64(1)
	if c.name == "nth_value" {
		v, err := c.args[1](r.frame)
		switch {
		case err != nil || v.IsNull:
			return types.Null(), err
		case v.Int <= 0:
			return v, pgwire.Errorf(pgwire.CodeInvalidNthValue, "argument of nth_value must be greater than zero")
		}
		nth = v.Int
	}
	start, end, err := r.bounds(i)
	if err != nil {
		return types.Null(), err
	}
	pick := -1
	if c.name == "last_value" {
		for j := end - 1; j >= start && pick < 0; j-- {
			if !r.isExcluded(i, j) {
				pick = j
			}
		}
	} else {
		for j := start; j < end && pick < 0; j++ {
			if r.isExcluded(i, j) {
				continue
			}
			if nth--; nth == 0 {
				pick = j
			}
			if err := r.program.x.budget.step(); err != nil {
				return types.Null(), err
			}
		}
	}
	if pick < 0 {
		return types.Null(), nil
	}
	r.at(pick)
	return c.args[0](r.frame)
}

func (r *partitionRun) isExcluded(i, j int) bool {
	switch r.spec.window.exclude {
	case excludeCurrent:
		return i == j
	case excludeGroup:
		return r.group[i] == r.group[j]
	case excludeTies:
		return i != j && r.group[i] == r.group[j]
	}
	return false
}

// bounds are the first row of the frame of row i and the one behind its last.
func (r *partitionRun) bounds(i int) (start, end int, err error) {
	w := r.spec.window
	if start, err = r.bound(i, &w.start, &r.spec.start, true); err != nil {
		return 0, 0, err
	}
	end, err = r.bound(i, &w.end, &r.spec.end, false)
	return start, end, err
}

func (r *partitionRun) bound(i int, b *frameBound, p *boundProgram, isStart bool) (int, error) {
	n := len(r.rows)
	switch b.kind {
	case unboundedPreceding:
		return 0, nil
	case unboundedFollowing:
		return n, nil
	case currentRow:
		switch {
		case r.spec.window.mode == frameRows && isStart:
			return i, nil
		case r.spec.window.mode == frameRows:
			return i + 1, nil
		case isStart:
			return r.starts[r.group[i]], nil
		}
		return r.starts[r.group[i]+1], nil
	}
	r.at(i)
	v, err := p.offset(r.frame)
	if err != nil {
		return 0, err
	}
	side := "ending"
	if isStart {
		side = "starting"
	}
	if v.IsNull {
		return 0, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "frame %s offset must not be null", side)
	}
	if r.spec.window.mode == frameRange {
		return r.rangeBound(i, b, p, v, isStart)
	}
	if v.Int < 0 {
		return 0, pgwire.Errorf(pgwire.CodeInvalidFrameOffset, "frame %s offset must not be negative", side)
	}
	offset := int(min(v.Int, int64(n)+1))
	if b.kind == offsetPreceding {
		offset = -offset
	}
	if r.spec.window.mode == frameRows {
		if !isStart {
			offset++
		}
		return min(max(i+offset, 0), n), nil
	}
	group := r.group[i] + offset
	if !isStart {
		group++
	}
	return r.starts[min(max(group, 0), len(r.starts)-1)], nil
}

// rangeBound finds the end of a frame by value: the order column plus or minus an offset.
func (r *partitionRun) rangeBound(i int, b *frameBound, p *boundProgram, offset types.Value, isStart bool) (int, error) {
	column := len(r.spec.partition)
	key := &r.spec.keys[column]
	own := r.rows[i].keys[column]
	if own.IsNull {
		if isStart {
			return r.starts[r.group[i]], nil
		}
		return r.starts[r.group[i]+1], nil
	}
	if offset.Int < 0 || offset.Float < 0 || len(offset.Bytes) > 0 && offset.Bytes[0] == '-' || offset.Days < 0 || offset.Months < 0 {
		return 0, pgwire.Errorf(pgwire.CodeInvalidFrameOffset, "invalid preceding or following size in window function")
	}
	*p.value, *p.by = own, offset
	limit, err := p.limit(r.frame)
	if err != nil {
		return 0, err
	}
	probe := []types.Value{limit}
	compare := []rowOrder{{compare: key.compare, descending: key.descending, nullsFirst: key.nullsFirst}}
	at, _ := slices.BinarySearchFunc(r.rows, probe, func(row *windowRow, probe []types.Value) int {
		c := compareRows(compare, row.keys[column:column+1], probe)
		if c == 0 && !isStart {
			return -1
		}
		return c
	})
	return at, nil
}

// aggregate computes an aggregate over the frame of each row. A frame that only grows is
// added to; others are added up anew.
func (r *partitionRun) aggregate(c *windowProgramCall) error {
	var running schema.Accumulator
	from, to := -1, -1
	var result types.Value
	for i := range r.rows {
		start, end, err := r.bounds(i)
		if err != nil {
			return err
		}
		end = max(end, start)
		plain := r.spec.window.exclude == excludeNothing
		if running == nil || !plain || start != from || end < to {
			if running, err = c.aggregate.Aggregate(c.call, nil); err != nil {
				return err
			}
			from, to = start, start
		} else if end == to {
			r.rows[i].results[c.column] = result
			continue
		}
		for j := to; j < end; j++ {
			if err := r.program.x.budget.step(); err != nil {
				return err
			}
			if !plain && r.isExcluded(i, j) {
				continue
			}
			if err := r.add(c, running, j); err != nil {
				return err
			}
		}
		to = end
		if result, err = running.Result(); err != nil {
			return err
		}
		r.rows[i].results[c.column] = result
	}
	return nil
}

func (r *partitionRun) add(c *windowProgramCall, to schema.Accumulator, i int) error {
	r.at(i)
	if c.filter != nil {
		v, err := c.filter(r.frame)
		if err != nil || !v.IsTrue() {
			return err
		}
	}
	args, err := evaluateAll(c.args, r.frame)
	if err != nil {
		return err
	}
	for _, v := range args {
		if v.IsNull && c.aggregate.SkipsNulls {
			return nil
		}
	}
	return to.Add(args)
}
