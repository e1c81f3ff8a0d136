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
	if p == nil || p.execution.rows != &e.Rows { // of the Env that this one is a copy of
		p = e.newPrograms()
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

func (e *Env) newPrograms() *programs {
	now := e.Clock
	if now == nil {
		now = time.Now
	}
	b := &budget{limits: e.Limits.withDefaults(), ctx: e.Ctx, now: now, began: now()}
	e.Charge = b.charge
	e.programs = &programs{list: make(map[*Expression]evaluator), execution: execution{env: &e.Env, params: e.Params, rows: &e.Rows,
		budget: b, cells: make(map[*operand]*types.Value), base: (&analyzer{catalog: e.Catalog}).base}}
	return e.programs
}
