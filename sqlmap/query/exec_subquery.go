package query

import (
	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// memo keeps the results of a subquery by what it reads of the blocks around it.
type memo struct {
	x       *execution
	columns []evaluator
	types   []types.OID
	byKey   map[string]any
	key     []byte
	isRound bool // the results change from one round of a recursive query to the next
}

// memoEntriesMax bounds how many results of a subquery are kept.
const memoEntriesMax = 10_000

func (x *execution) newMemo(plan *blockPlan) *memo {
	m := &memo{x: x, byKey: make(map[string]any), isRound: plan.isRound}
	for _, c := range plan.outer {
		m.columns = append(m.columns, x.column(c))
		oid := x.base(c.oid)
		m.types = append(m.types, oid)
	}
	return m
}

// find returns the result for the rows that the frames hold now, made if it is not there.
func (m *memo) find(f *frame, make func() (any, int64, error)) (any, error) {
	m.key = m.key[:0]
	for i, c := range m.columns {
		v, err := c(f)
		if err != nil {
			return nil, err
		}
		m.key = appendKey(m.key, m.types[i], v)
	}
	if v, ok := m.byKey[string(m.key)]; ok {
		return v, nil
	}
	key := string(m.key)
	v, bytes, err := make()
	if err != nil || m.isRound {
		return v, err
	}
	if len(m.byKey) < memoEntriesMax {
		m.byKey[key] = v
		err = m.x.budget.charge(bytes + int64(len(key)) + mapEntryBytes)
	}
	return v, err
}

func (x *execution) subquery(e *subqueryExpr) (evaluator, error) {
	plan := x.plans[e.block]
	p, err := x.program(plan)
	if err != nil {
		return nil, err
	}
	volatile := false
	visitBlock(e.block, 0, func(p *expr, _ int) bool {
		c, ok := (*p).(*callExpr)
		volatile = volatile || ok && c.function.Volatility == 'v'
		return !volatile
	})
	m := x.newMemo(plan)
	var made func(f *frame) (any, int64, error)
	switch e.kind {
	case subqueryExists:
		made = func(f *frame) (any, int64, error) { return x.exists(p, f) }
	case subqueryArray:
		made = func(f *frame) (any, int64, error) { return x.arrayOf(p, f) }
	case subqueryScalar:
		made = func(f *frame) (any, int64, error) { return x.scalar(p, f) }
	default:
		return x.quantified(e, p, m, volatile)
	}
	return func(f *frame) (types.Value, error) {
		if volatile {
			v, _, err := made(f)
			if err != nil {
				return types.Value{}, err
			}
			return v.(types.Value), nil
		}
		v, err := m.find(f, func() (any, int64, error) { return made(f) })
		if err != nil {
			return types.Value{}, err
		}
		return v.(types.Value), nil
	}, nil
}

func (x *execution) exists(p *program, f *frame) (any, int64, error) {
	rows, err := p.open(f)
	if err != nil {
		return nil, 0, err
	}
	defer rows.close()
	row, err := rows.next()
	return types.OfBool(row != nil), 0, err
}

func (x *execution) scalar(p *program, f *frame) (any, int64, error) {
	rows, err := p.open(f)
	if err != nil {
		return nil, 0, err
	}
	defer rows.close()
	row, err := rows.next()
	if err != nil || row == nil {
		return types.Null(), 0, err
	}
	v := row[0]
	if row, err = rows.next(); err == nil && row != nil {
		err = pgwire.Errorf(pgwire.CodeCardinalityViolation, "more than one row returned by a subquery used as an expression")
	}
	return v, v.Size(), err
}

func (x *execution) arrayOf(p *program, f *frame) (any, int64, error) {
	rows, err := p.open(f)
	if err != nil {
		return nil, 0, err
	}
	all, err := x.collect(rows)
	if err != nil {
		return nil, 0, err
	}
	out := types.Value{Elems: make([]types.Value, len(all))}
	for i, row := range all {
		out.Elems[i] = row[0]
	}
	b := p.plan.block
	if oid := x.base(b.targets[visibleTargets(b)[0]].expr.info().oid); x.isArray(oid) {
		if out, err = nestArrays(out.Elems); err != nil {
			return nil, 0, err
		}
	}
	return out, out.Size(), nil
}

func (x *execution) isArray(oid types.OID) bool {
	t := x.env.Catalog.Type(oid)
	return t != nil && t.IsArray
}

// answers is what a subquery of ANY or ALL has returned: rows, and for comparisons by = a
// table of them.
type answers struct {
	rows [][]types.Value
	set  members
}

// quantified is left op ANY or ALL (SELECT …).
func (x *execution) quantified(e *subqueryExpr, p *program, m *memo, volatile bool) (evaluator, error) {
	left, err := x.compileAll(e.left)
	if err != nil {
		return nil, err
	}
	test, err := x.compile(e.test)
	if err != nil {
		return nil, err
	}
	all := e.kind == subqueryAll
	oid, hashable := hashableTest(e)
	cells, columns := make([]*types.Value, len(e.l)), make([]*types.Value, len(e.columns))
	for i := range e.l {
		cells[i], columns[i] = x.cell(e.l[i]), x.cell(e.columns[i])
	}
	collect := func(f *frame) (any, int64, error) {
		rows, err := p.open(f)
		if err != nil {
			return nil, 0, err
		}
		a := &answers{}
		if a.rows, err = x.collect(rows); err != nil || !hashable {
			return a, 0, err
		}
		a.set = newMembers(oid, len(a.rows))
		for _, row := range a.rows {
			a.set.add(row[0])
		}
		return a, mapEntryBytes * int64(len(a.set.table)), nil
	}
	return func(f *frame) (types.Value, error) {
		var found any
		var err error
		if volatile {
			found, _, err = collect(f)
		} else {
			found, err = m.find(f, func() (any, int64, error) { return collect(f) })
		}
		if err != nil {
			return types.Value{}, err
		}
		for i, eval := range left {
			if *cells[i], err = eval(f); err != nil {
				return types.Value{}, err
			}
		}
		a := found.(*answers)
		if e.kind == subqueryRow {
			switch len(a.rows) {
			case 0:
				return types.Null(), nil
			case 1:
			default:
				return types.Value{}, pgwire.Errorf(pgwire.CodeCardinalityViolation, "more than one row returned by a subquery used as an expression")
			}
		}
		if hashable {
			return a.set.compare(oid, *cells[0], all), nil
		}
		return a.compare(x, columns, test, all, f)
	}, nil
}

// hashableTest reports a test left = column of one column, or <> for ALL, and the type.
func hashableTest(e *subqueryExpr) (types.OID, bool) {
	c, ok := e.test.(*callExpr)
	if !ok || len(e.columns) != 1 || !isComparison(c) {
		return 0, false
	}
	l, ok1 := bare(c.args[0])
	r, ok2 := bare(c.args[1])
	if !ok1 || !ok2 || l != e.l[0] || r != e.columns[0] {
		return 0, false
	}
	name := c.operator.Name
	return c.argTypes[1], name == "=" && e.kind == subqueryAny || name == "<>" && e.kind == subqueryAll
}

// bare is the operand under conversions that do not change its key.
func bare(e expr) (*operand, bool) {
	if c, ok := e.(*castExpr); ok && c.method == castRelabel {
		e = c.arg
	}
	o, ok := e.(*operand)
	return o, ok
}

func (a *answers) compare(x *execution, columns []*types.Value, test evaluator, all bool, f *frame) (types.Value, error) {
	result := types.OfBool(all)
	for _, row := range a.rows {
		if err := x.budget.step(); err != nil {
			return types.Value{}, err
		}
		for i := range columns {
			*columns[i] = row[i]
		}
		v, err := test(f)
		switch {
		case err != nil:
			return v, err
		case v.IsNull:
			result = types.Null()
		case v.IsTrue() != all:
			return v, nil
		}
	}
	return result, nil
}
