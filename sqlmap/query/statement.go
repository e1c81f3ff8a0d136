package query

import (
	"context"
	"slices"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// Options are what a statement is prepared with.
type Options struct {
	Catalog schema.Catalog
	// SearchPath are the schemas to look names up in, pg_catalog included.
	SearchPath []string
	// Names are those of regclass and its like, found along SearchPath.
	Names types.Names
	// ParamOIDs are the types that the client has declared; 0: to be inferred.
	ParamOIDs []uint32
	// NoParams says that there can be none: the simple protocol.
	NoParams bool
	// Parse parses the text of views. It bounds the depth of the tree.
	Parse func(sql string) (*pg_query.SelectStmt, error)
}

// Statement is a planned SELECT.
type Statement struct {
	Columns []Column
	// Params are the types of the parameters.
	Params []uint32

	catalog    schema.Catalog
	plans      map[*block]*blockPlan
	root       *blockPlan
	restricted *schema.Relation // for superusers only; nil: none is
}

// Column describes a column of the result. Type is that of the wire: of a domain, the type
// under it.
type Column struct {
	Name   string
	Type   types.OID
	Size   int16
	Typmod int32
}

// describe is a column as the wire has it.
func (a *analyzer) describe(c schema.Column) Column {
	column := Column{Name: c.Name, Type: a.base(c.Type), Size: -1, Typmod: c.Typmod}
	if t := a.catalog.Type(c.Type); t != nil {
		column.Size = t.Size
		if t.Kind == 'd' && column.Typmod < 0 {
			column.Typmod = t.BaseTypmod
		}
	}
	return column
}

func newAnalyzer(o Options) analyzer {
	return analyzer{catalog: o.Catalog, path: o.SearchPath, names: o.Names, params: newParams(o.ParamOIDs, o.NoParams), parse: o.Parse}
}

// Prepare analyzes and plans a SELECT.
func Prepare(o Options, s *pg_query.SelectStmt) (*Statement, error) {
	a := newAnalyzer(o)
	b, err := a.selectStatement(s, false)
	if err != nil {
		return nil, err
	}
	out := &Statement{catalog: o.Catalog, restricted: a.restricted}
	if out.Params, err = a.params.oids(); err != nil {
		return nil, err
	}
	for _, c := range b.columns() {
		out.Columns = append(out.Columns, a.describe(c))
	}
	p := &planner{plans: make(map[*block]*blockPlan), recursing: make(map[*cte]int)}
	out.root = p.block(b)
	out.plans = p.plans
	return out, nil
}

// Cursor makes the rows of a running statement. It belongs to one goroutine.
type Cursor struct {
	x    *execution
	rows rowSource
}

// Open begins to run the statement. The parameters have the types of Params.
func (s *Statement) Open(env *schema.Env, params []types.Value, limits Limits) (*Cursor, error) {
	if len(params) != len(s.Params) {
		return nil, pgwire.Errorf(pgwire.CodeInternalError, "statement has %d parameters, %d given", len(s.Params), len(params))
	}
	if r := s.restricted; r != nil && !env.Session.IsSuperuser() {
		kind := "table"
		if r.View != "" {
			kind = "view"
		}
		return nil, pgwire.Errorf(pgwire.CodeInsufficientPrivilege, "permission denied for %s %s", kind, r.Name)
	}
	now := env.Clock
	if now == nil {
		now = time.Now
	}
	x := &execution{env: env, params: slices.Clone(params), plans: s.plans,
		budget:   &budget{limits: limits.withDefaults(), ctx: env.Ctx, now: now, began: now()},
		programs: make(map[*blockPlan]*program), cells: make(map[*operand]*types.Value),
		indexes: make(map[*scanNode]*scanIndex), opens: make(map[*scanNode]int)}
	x.base = (&analyzer{catalog: s.catalog}).base
	env.Charge = x.budget.charge
	p, err := x.program(s.root)
	if err != nil {
		return nil, err
	}
	rows, err := p.open(nil)
	if err != nil {
		return nil, err
	}
	return &Cursor{x: x, rows: rows}, nil
}

// Next returns the next row, nil at the end. It stays as it is.
func (c *Cursor) Next() ([]types.Value, error) { return c.rows.next() }

// Resume goes on after the client had asked for no more rows for a while, whose time does
// not count.
func (c *Cursor) Resume(ctx context.Context) {
	b := c.x.budget
	c.x.env.SetContext(ctx)
	b.ctx = ctx
	b.began = b.now().Add(-b.used)
}

// Close ends the statement.
func (c *Cursor) Close() { c.rows.close() }
