package query

import (
	"slices"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// groupProgram is compiled grouping.
type groupProgram struct {
	x          *execution
	block      *block
	groups     []evaluator
	types      []types.OID
	carried    []evaluator
	aggregates []*aggregateProgram
}

// aggregateProgram is a compiled call of an aggregate.
type aggregateProgram struct {
	x        *execution
	call     *schema.Call
	impl     *schema.Implementation
	direct   []evaluator
	args     []evaluator
	argTypes []types.OID
	filter   evaluator
	keys     []rowOrder
	order    []evaluator
	distinct bool
	ordered  bool // ordered-set: the arguments are what is sorted by
}

func (x *execution) compileGroup(b *block) (*groupProgram, error) {
	g := &groupProgram{x: x, block: b}
	var err error
	if g.groups, err = x.compileAll(b.groups); err != nil {
		return nil, err
	}
	for _, e := range b.groups {
		g.types = append(g.types, x.base(e.info().oid))
	}
	if g.carried, err = x.compileAll(b.carried); err != nil {
		return nil, err
	}
	for _, a := range b.aggregates {
		p, err := x.compileAggregate(a)
		if err != nil {
			return nil, err
		}
		g.aggregates = append(g.aggregates, p)
	}
	return g, nil
}

func (x *execution) compileAggregate(a *aggregateExpr) (*aggregateProgram, error) {
	p := &aggregateProgram{x: x, impl: a.function.Implementation, distinct: a.distinct, ordered: a.function.AggregateKind != 'n',
		call: &schema.Call{Env: x.env, Function: a.function, Types: a.argTypes, Returns: a.oid, SpreadsArray: a.spread}}
	var err error
	if p.direct, err = x.compileAll(a.direct); err != nil {
		return nil, err
	}
	if p.args, err = x.compileAll(a.args); err != nil {
		return nil, err
	}
	for _, e := range a.args {
		p.argTypes = append(p.argTypes, x.base(e.info().oid))
	}
	if a.filter != nil {
		if p.filter, err = x.compile(a.filter); err != nil {
			return nil, err
		}
	}
	for i, k := range a.order {
		eval, err := x.compile(k.expr)
		if err != nil {
			return nil, err
		}
		p.order = append(p.order, eval)
		p.keys = append(p.keys, rowOrder{column: len(p.args) + i, compare: comparer(x.base(k.expr.info().oid)), descending: k.descending, nullsFirst: k.nullsFirst})
	}
	for i, oid := range p.argTypes {
		if p.distinct { // DISTINCT sorts, by what ORDER BY leaves open
			p.keys = append(p.keys, rowOrder{column: i, compare: comparer(oid)})
		}
	}
	return p, nil
}

// aggregation is an aggregate over one group.
type aggregation struct {
	program     *aggregateProgram
	accumulator schema.Accumulator
	seen        map[string]bool
	rows        [][]types.Value // to be sorted first
}

func (p *aggregateProgram) begin(f *frame) (*aggregation, error) {
	direct := make([]types.Value, len(p.direct))
	for i, eval := range p.direct {
		v, err := eval(f)
		if err != nil {
			return nil, err
		}
		direct[i] = v
	}
	accumulator, err := p.impl.Aggregate(p.call, direct)
	a := &aggregation{program: p, accumulator: accumulator}
	if p.distinct {
		a.seen = make(map[string]bool)
	}
	return a, err
}

// add takes the row of the frame.
func (a *aggregation) add(f *frame) error {
	p := a.program
	if p.filter != nil {
		v, err := p.filter(f)
		if err != nil || !v.IsTrue() {
			return err
		}
	}
	row := make([]types.Value, len(p.args), len(p.args)+len(p.order))
	for i, eval := range p.args {
		v, err := eval(f)
		if err != nil {
			return err
		}
		if v.IsNull && p.impl.SkipsNulls {
			return nil
		}
		row[i] = v
	}
	if len(p.keys) == 0 {
		return a.take(row)
	}
	for _, eval := range p.order {
		v, err := eval(f)
		if err != nil {
			return err
		}
		row = append(row, v)
	}
	a.rows = append(a.rows, row)
	return p.x.budget.keep(rowBytes(row))
}

// take gives the aggregate a row of arguments, unless DISTINCT has seen it.
func (a *aggregation) take(row []types.Value) error {
	p := a.program
	args := row[:len(p.args)]
	if a.seen != nil {
		var key []byte
		for i, v := range args {
			key = appendKey(key, p.argTypes[i], v)
		}
		if a.seen[string(key)] {
			return nil
		}
		if err := p.x.budget.keep(int64(len(key)) + mapEntryBytes); err != nil {
			return err
		}
		a.seen[string(key)] = true
	}
	return a.accumulator.Add(args)
}

func (a *aggregation) result() (types.Value, error) {
	if len(a.rows) > 0 {
		if err := a.program.x.budget.check(); err != nil {
			return types.Value{}, err
		}
		slices.SortStableFunc(a.rows, func(x, y []types.Value) int { return compareRows(a.program.keys, x, y) })
		for _, row := range a.rows {
			if err := a.take(row); err != nil {
				return types.Value{}, err
			}
		}
		a.rows = nil
	}
	return a.accumulator.Result()
}

// groupState is one group.
type groupState struct {
	set     int
	keys    []types.Value
	carried []types.Value
	states  []*aggregation
}

func (g *groupProgram) begin(f *frame, set int) (*groupState, error) {
	s := &groupState{set: set}
	for _, p := range g.aggregates {
		a, err := p.begin(f)
		if err != nil {
			return nil, err
		}
		s.states = append(s.states, a)
	}
	return s, nil
}

// run reads all rows and returns one a group: groups, carried columns, aggregates, and the
// number of the grouping set.
func (g *groupProgram) run(f *frame, rows iterator) ([][]types.Value, error) {
	defer rows.close()
	sets := g.block.sets
	if sets == nil {
		all := make([]int, len(g.groups))
		for i := range all {
			all[i] = i
		}
		sets = [][]int{all}
	}
	tables := make([]map[string]*groupState, len(sets))
	lists := make([][]*groupState, len(sets))
	for i, set := range sets {
		tables[i] = make(map[string]*groupState)
		if len(set) > 0 {
			continue
		}
		s, err := g.begin(f, i) // the group of everything is there without rows, too
		if err != nil {
			return nil, err
		}
		s.keys = slices.Repeat([]types.Value{types.Null()}, len(g.groups))
		tables[i][""], lists[i] = s, []*groupState{s}
	}
	values := make([]types.Value, len(g.groups))
	for {
		ok, err := rows.next()
		if err != nil {
			return nil, err
		}
		if !ok {
			break
		}
		for i, eval := range g.groups {
			if values[i], err = eval(f); err != nil {
				return nil, err
			}
		}
		for i, set := range sets {
			s, err := g.find(f, tables[i], set, i, values)
			if err != nil {
				return nil, err
			}
			if s.carried == nil && len(g.carried) > 0 {
				if s.carried, err = evaluateAll(g.carried, f); err != nil {
					return nil, err
				}
			}
			if len(lists[i]) < len(tables[i]) {
				lists[i] = append(lists[i], s)
			}
			for _, a := range s.states {
				if err := a.add(f); err != nil {
					return nil, err
				}
			}
		}
	}
	return g.finish(lists)
}

func evaluateAll(evals []evaluator, f *frame) ([]types.Value, error) {
	out := make([]types.Value, len(evals))
	for i, eval := range evals {
		v, err := eval(f)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// find finds or begins the group of a row.
func (g *groupProgram) find(f *frame, table map[string]*groupState, set []int, number int, values []types.Value) (*groupState, error) {
	if err := g.x.budget.step(); err != nil {
		return nil, err
	}
	var key []byte
	for _, i := range set {
		key = appendKey(key, g.types[i], values[i])
	}
	if s := table[string(key)]; s != nil {
		return s, nil
	}
	s, err := g.begin(f, number)
	if err != nil {
		return nil, err
	}
	s.keys = slices.Repeat([]types.Value{types.Null()}, len(g.groups))
	for _, i := range set {
		s.keys[i] = values[i]
	}
	table[string(key)] = s
	return s, g.x.budget.keep(rowBytes(s.keys) + int64(len(key)) + mapEntryBytes*int64(1+len(s.states)))
}

func (g *groupProgram) finish(lists [][]*groupState) ([][]types.Value, error) {
	var out [][]types.Value
	for _, list := range lists {
		for _, s := range list {
			if err := g.x.budget.step(); err != nil {
				return nil, err
			}
			row := append(make([]types.Value, 0, len(s.keys)+len(g.carried)+len(s.states)+1), s.keys...)
			if s.carried == nil {
				s.carried = slices.Repeat([]types.Value{types.Null()}, len(g.carried))
			}
			row = append(row, s.carried...)
			for _, a := range s.states {
				v, err := a.result()
				if err != nil {
					return nil, err
				}
				row = append(row, v)
			}
			out = append(out, append(row, types.OfInt(int64(s.set))))
		}
	}
	return out, nil
}

// grouping is GROUPING(…): bits for the expressions that the row's grouping set leaves out.
func (x *execution) grouping(e *groupingExpr, b *block) evaluator {
	masks := []int64{0}
	if b.sets != nil {
		masks = masks[:0]
	}
	for _, set := range b.sets {
		mask := int64(0)
		for _, ref := range e.refs {
			mask <<= 1
			if !slices.Contains(set, ref) {
				mask |= 1
			}
		}
		masks = append(masks, mask)
	}
	rng := b.groupRange
	return func(f *frame) (types.Value, error) {
		row := f.slots[rng]
		return types.OfInt(masks[row[len(row)-1].Int]), nil
	}
}
