package query

import (
	"slices"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// rowSource makes the rows of a block; nil at the end.
type rowSource interface {
	next() ([]types.Value, error)
	close()
}

// program is a compiled block.
type program struct {
	x     *execution
	plan  *blockPlan
	gates []evaluator
	from  opener

	group   *groupProgram
	having  evaluator
	windows *windowProgram
	sets    [][]setMaker

	targets       []evaluator
	keys          []rowOrder // of ORDER BY
	width         int        // of what is seen: junk stands behind
	visible       []int
	limit, offset evaluator

	left, right *program
	fixed       bool // nothing outside of the block is read
}

// program compiles a block, once.
func (x *execution) program(plan *blockPlan) (*program, error) {
	if p := x.programs[plan]; p != nil {
		return p, nil
	}
	p := &program{x: x, plan: plan, fixed: plan.isFixed()}
	x.programs[plan] = p
	b := plan.block
	var err error
	if plan.left != nil {
		if p.left, err = x.program(plan.left); err != nil {
			return nil, err
		}
		if p.right, err = x.program(plan.right); err != nil {
			return nil, err
		}
	} else if err = p.compileSource(); err != nil {
		return nil, err
	}
	exprs := make([]expr, len(b.targets))
	for i, t := range b.targets {
		exprs[i] = t.expr
	}
	if p.targets, err = x.compileAll(exprs); err != nil {
		return nil, err
	}
	p.visible = visibleTargets(b)
	p.width = len(p.visible)
	p.keys = p.sortKeys()
	if b.limit != nil {
		if p.limit, err = x.compile(b.limit); err != nil {
			return nil, err
		}
	}
	if b.offset != nil {
		p.offset, err = x.compile(b.offset)
	}
	return p, err
}

// compileSource compiles what comes before the select list.
func (p *program) compileSource() (err error) {
	x, b := p.x, p.plan.block
	if p.gates, err = x.compileAll(p.plan.gates); err != nil {
		return err
	}
	if p.from, err = p.plan.source.compile(x); err != nil {
		return err
	}
	if b.isGrouped {
		if p.group, err = x.compileGroup(b); err != nil {
			return err
		}
		if b.having != nil {
			if p.having, err = x.compile(b.having); err != nil {
				return err
			}
		}
	}
	if len(b.windowCalls) > 0 {
		if p.windows, err = x.compileWindows(b); err != nil {
			return err
		}
	}
	for _, level := range b.setCalls {
		var makers []setMaker
		for _, c := range level {
			m, err := x.compileSet(c)
			if err != nil {
				return err
			}
			makers = append(makers, m)
		}
		p.sets = append(p.sets, makers)
	}
	return nil
}

// rowOrder is a column of a row to sort by.
type rowOrder struct {
	column     int
	compare    func(a, b types.Value) int
	descending bool
	nullsFirst bool
}

// sortKeys are those of ORDER BY, and behind them those of DISTINCT ON that are not there.
func (p *program) sortKeys() []rowOrder {
	b := p.plan.block
	var out []rowOrder
	add := func(target int, descending, nullsFirst bool) {
		oid := p.x.base(b.targets[target].expr.info().oid)
		out = append(out, rowOrder{column: target, compare: comparer(oid), descending: descending, nullsFirst: nullsFirst})
	}
	for _, k := range b.sort {
		add(k.target, k.descending, k.nullsFirst)
	}
	if b.isDistinct && len(b.distinctOn) < len(p.visible) {
		for _, t := range b.distinctOn {
			if !slices.ContainsFunc(b.sort, func(k sortKey) bool { return k.target == t }) {
				add(t, false, false)
			}
		}
	}
	return out
}

// open begins to run the block; parent is the frame of the block around it.
func (p *program) open(parent *frame) (rowSource, error) {
	b := p.plan.block
	f := &frame{parent: parent, slots: make([][]types.Value, len(b.ranges))}
	limit, err := p.count(p.limit, f, "LIMIT")
	if err != nil {
		return nil, err
	}
	offset, err := p.count(p.offset, f, "OFFSET")
	if err != nil {
		return nil, err
	}
	rows, err := p.rows(f)
	if err != nil {
		return nil, err
	}
	if rows, err = p.arrange(rows, limit, max(offset, 0)); err != nil {
		return nil, err
	}
	if limit >= 0 || offset > 0 {
		rows = &limitRows{rows: rows, limit: limit, skip: max(offset, 0), keys: p.tieKeys()}
	}
	if p.width < len(b.targets) {
		rows = &trimRows{rows: rows, x: p.x, visible: p.visible}
	}
	return rows, nil
}

func (p *program) tieKeys() []rowOrder {
	if p.plan.block.withTies {
		return p.keys
	}
	return nil
}

// count evaluates LIMIT or OFFSET; -1: none.
func (p *program) count(eval evaluator, f *frame, clause string) (int64, error) {
	if eval == nil {
		return -1, nil
	}
	v, err := eval(f)
	switch {
	case err != nil:
		return 0, err
	case v.IsNull:
		return -1, nil
	case v.Int < 0 && clause == "LIMIT":
		return 0, pgwire.Errorf(pgwire.CodeInvalidRowCount, "LIMIT must not be negative")
	case v.Int < 0:
		return 0, pgwire.Errorf(pgwire.CodeInvalidOffset, "OFFSET must not be negative")
	}
	return v.Int, nil
}

// rows makes the rows before DISTINCT, ORDER BY and LIMIT.
func (p *program) rows(f *frame) (rowSource, error) {
	if p.left != nil {
		return p.setRows(f)
	}
	for _, gate := range p.gates {
		v, err := gate(f)
		if err != nil {
			return nil, err
		}
		if !v.IsTrue() {
			return p.above(f, &noRows{})
		}
	}
	rows, err := p.from(f)
	if err != nil {
		return nil, err
	}
	return p.above(f, rows)
}

// above puts grouping, windows and the select list over the rows of FROM.
func (p *program) above(f *frame, rows iterator) (rowSource, error) {
	b := p.plan.block
	live := liveRanges(b)
	if p.group != nil {
		groups, err := p.group.run(f, rows)
		if err != nil {
			return nil, err
		}
		rows, live = &listRows{x: p.x, frame: f, rng: b.groupRange, rows: groups}, []int{b.groupRange}
		if p.having != nil {
			rows = &filterRows{rows: rows, conditions: []evaluator{p.having}, frame: f}
		}
	}
	if p.windows != nil {
		windowed, err := p.windows.run(f, rows, live)
		if err != nil {
			return nil, err
		}
		rows = windowed
	}
	for i, level := range p.sets {
		rows = &setRows{x: p.x, frame: f, rows: rows, makers: level, rng: b.setRanges[i]}
	}
	return &projectRows{program: p, frame: f, rows: rows}, nil
}

// liveRanges are the ranges of FROM.
func liveRanges(b *block) []int {
	var out []int
	for _, item := range b.from {
		out = append(out, item.members()...)
	}
	return out
}

// projectRows computes the select list.
type projectRows struct {
	program *program
	frame   *frame
	rows    iterator
}

func (r *projectRows) next() ([]types.Value, error) {
	ok, err := r.rows.next()
	if err != nil || !ok {
		return nil, err
	}
	p := r.program
	if err := p.x.budget.step(); err != nil {
		return nil, err
	}
	row := p.x.row(len(p.targets))
	if row == nil {
		row = []types.Value{} // a row without columns is one
	}
	for i, eval := range p.targets {
		v, err := eval(r.frame)
		if err != nil {
			return nil, err
		}
		row[i] = v
	}
	return row, nil
}

func (r *projectRows) close() { r.rows.close() }

// setRows steps through set-returning functions of the select list in lock-step: there are
// as many rows as the longest makes, the others give NULL.
type setRows struct {
	x      *execution
	frame  *frame
	rows   iterator
	makers []setMaker
	rng    int
	sets   []schema.Iterator
}

func (r *setRows) next() (bool, error) {
	for {
		if err := r.x.budget.step(); err != nil {
			return false, err
		}
		if r.sets == nil {
			ok, err := r.rows.next()
			if err != nil || !ok {
				return false, err
			}
			for _, make := range r.makers {
				it, err := make(r.frame)
				if err != nil {
					return false, err
				}
				r.sets = append(r.sets, it)
			}
		}
		row := r.x.row(len(r.makers))
		more := false
		for i := range r.sets {
			row[i] = types.Null()
			if r.sets[i] == nil {
				continue
			}
			v, ok, err := r.sets[i]()
			switch {
			case err != nil:
				return false, err
			case ok:
				row[i], more = v, true
			default:
				r.sets[i] = nil
			}
		}
		if more {
			r.frame.slots[r.rng] = row
			return true, nil
		}
		r.sets = nil
	}
}

func (r *setRows) close() { r.rows.close() }

// arrange applies ORDER BY and DISTINCT. limit and offset bound what a sort must keep.
func (p *program) arrange(rows rowSource, limit, offset int64) (rowSource, error) {
	b := p.plan.block
	isOn := b.isDistinct && len(b.distinctOn) < len(p.visible) || b.isDistinct && len(p.visible) < len(b.targets)
	if b.isDistinct && !isOn {
		rows = p.distinct(rows)
	}
	if len(p.keys) > 0 {
		most := int64(-1)
		if limit >= 0 && !b.withTies && !isOn && limit < 1<<31 && offset < 1<<31 {
			most = limit + offset
		}
		sorted, err := p.x.sort(rows, p.keys, most)
		if err != nil {
			return nil, err
		}
		rows = &keptRows{x: p.x, rows: sorted}
	}
	if isOn {
		rows = p.distinct(rows)
	}
	return rows, nil
}

func (p *program) distinct(rows rowSource) rowSource {
	b := p.plan.block
	d := &distinctRows{x: p.x, rows: rows, seen: make(map[string]bool)}
	for _, t := range b.distinctOn {
		d.columns = append(d.columns, t)
		d.types = append(d.types, p.x.base(b.targets[t].expr.info().oid))
	}
	return d
}

// distinctRows passes the first row of each key.
type distinctRows struct {
	x       *execution
	rows    rowSource
	columns []int
	types   []types.OID
	seen    map[string]bool
	key     []byte
}

func (r *distinctRows) next() ([]types.Value, error) {
	for {
		row, err := r.rows.next()
		if err != nil || row == nil {
			return nil, err
		}
		r.key = r.key[:0]
		for i, c := range r.columns {
			r.key = appendKey(r.key, r.types[i], row[c])
		}
		if r.seen[string(r.key)] {
			continue
		}
		if err := r.x.budget.keep(int64(len(r.key)) + mapEntryBytes); err != nil {
			return nil, err
		}
		r.seen[string(r.key)] = true
		return row, nil
	}
}

func (r *distinctRows) close() { r.rows.close() }

// keptRows are rows that are there.
type keptRows struct {
	x    *execution
	rows [][]types.Value
}

func (r *keptRows) next() ([]types.Value, error) {
	if len(r.rows) == 0 {
		return nil, nil
	}
	row := r.rows[0]
	r.rows = r.rows[1:]
	return row, r.x.budget.step()
}

func (*keptRows) close() {}

// limitRows is LIMIT and OFFSET. With keys, it goes on while rows tie with the last.
type limitRows struct {
	rows  rowSource
	limit int64 // -1: none
	skip  int64
	keys  []rowOrder
	last  []types.Value
}

func (r *limitRows) next() ([]types.Value, error) {
	for {
		if r.limit == 0 && (r.last == nil || r.keys == nil) {
			return nil, nil
		}
		row, err := r.rows.next()
		if err != nil || row == nil {
			return nil, err
		}
		if r.skip > 0 {
			r.skip--
			continue
		}
		if r.limit == 0 {
			if compareRows(r.keys, row, r.last) != 0 {
				r.last = nil
				return nil, nil
			}
			return row, nil
		}
		if r.limit > 0 {
			r.limit--
		}
		r.last = row
		return row, nil
	}
}

func (r *limitRows) close() { r.rows.close() }

// trimRows takes junk columns away.
type trimRows struct {
	rows    rowSource
	x       *execution
	visible []int
}

func (r *trimRows) next() ([]types.Value, error) {
	row, err := r.rows.next()
	if err != nil || row == nil {
		return nil, err
	}
	out := r.x.row(len(r.visible))
	if out == nil {
		out = []types.Value{}
	}
	for i, c := range r.visible {
		out[i] = row[c]
	}
	return out, nil
}

func (r *trimRows) close() { r.rows.close() }
