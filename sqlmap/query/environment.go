package query

import (
	"time"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// Row is a tuple whose columns are made when they are asked for. Its values are borrowed:
// they stay as long as the row is the current one.
type Row interface {
	Column(i int) (types.Value, error)
}

// Values is a row of values.
type Values []types.Value

// Column returns value i.
func (v Values) Column(i int) (types.Value, error) { return v[i], nil }

// Env is what the expressions of a statement see. It belongs to one run of the statement.
type Env struct {
	schema.Env
	Params []types.Value
	Rows   [2]Row // by position of the relation in the Compiler
	Limits Limits

	programs *programs
}

// programs are the evaluators of expressions, made when they are first needed: literals,
// parameters and columns need none.
type programs struct {
	execution execution
	list      map[*Expression]evaluator
	isStale   bool // made for an earlier run of the statement
}

// programsKeptMax is how many evaluators are kept from one run to the next.
const programsKeptMax = 64

// Reset makes an Env ready for another run. It keeps what was made for the statement if it
// is the same again.
func (e *Env) Reset(isSame bool) {
	params, p := e.Params, e.programs
	clear(params)
	*e = Env{Params: params[:0]}
	if isSame && p != nil && len(p.list) <= programsKeptMax {
		p.execution.params, p.isStale = nil, true
		for _, cell := range p.execution.cells {
			*cell = types.Value{}
		}
		e.programs = p
	}
}

// Eval computes the expression.
func (x *Expression) Eval(e *Env) (types.Value, error) {
	switch k := x.bare.(type) {
	case *constExpr:
		return k.value, nil
	case *paramExpr:
		return e.Params[k.number-1], nil
	case *columnExpr:
		return e.Rows[k.rng].Column(k.column)
	}
	p := e.programs
	if p == nil || p.isStale || p.execution.rows != &e.Rows {
		p = e.begin()
	}
	eval := p.list[x]
	if eval == nil {
		var err error
		if eval, err = p.execution.compile(x.node); err != nil {
			return types.Value{}, err
		}
		p.list[x] = eval
	}
	return eval(nil)
}

// begin makes programs for a run, or takes those of the run before. Those of an Env that
// this one is a copy of are not its own.
func (e *Env) begin() *programs {
	p := e.programs
	if p == nil || p.execution.rows != &e.Rows {
		p = &programs{list: make(map[*Expression]evaluator), execution: execution{env: &e.Env, rows: &e.Rows, budget: &budget{},
			cells: make(map[*operand]*types.Value), base: (&analyzer{catalog: e.Catalog}).base}}
		e.programs = p
	}
	now := e.Clock
	if now == nil {
		now = time.Now
	}
	x := &p.execution
	*x.budget = budget{limits: e.Limits.withDefaults(), ctx: e.Ctx, now: now, began: now()}
	x.params, e.Charge, p.isStale = e.Params, x.budget.charge, false
	x.runs++
	return p
}
