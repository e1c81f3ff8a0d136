package sqlmap

import (
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// assignment is column = expression. A nil expr is DEFAULT.
type assignment struct {
	column int
	expr   *query.Expression
}

// writeTarget checks the relation of a write and makes it the compiler's first.
func (p *planner) writeTarget(r *pg_query.RangeVar) error {
	name, alias, err := relationName(r)
	if err != nil {
		return err
	}
	switch name {
	case "blob":
		p.compiler.SetRelations(p.blobRelation(name, alias))
		return nil
	case "cache_entries":
		return unsupported(r.Location, "writing to cache_entries is", "Write to blob, which has the same rows.")
	}
	if findRelation(name) != nil {
		return unsupported(r.Location, "writing to "+name+" is", "Only blob can be written, and with UPDATE the limits in cache_namespaces.")
	}
	return undefinedRelation(r)
}

// targetColumn finds a column that a write may name.
func targetColumn(target *pg_query.ResTarget) (int, error) {
	c := findBlobColumn(target.Name)
	switch {
	case len(target.Indirection) > 0:
		return 0, unsupported(target.Location, "assigning to a part of a column is", "Assign the whole column, e.g. tags = array_append(tags, 'new').")
	case c < 0:
		e := pgwire.Errorf(pgwire.CodeUndefinedColumn, "column \"%s\" of relation \"blob\" does not exist", target.Name)
		return 0, query.AtOffset(e, target.Location)
	}
	return c, nil
}

// errReadOnlyColumn is PostgreSQL's error for generated columns, which ours are like.
func errReadOnlyColumn(column int, at int32, isUpdate bool) error {
	name := blobTable[column].name
	e := pgwire.Errorf(pgwire.CodeGeneratedAlways, "cannot insert a non-DEFAULT value into column \"%s\"", name)
	if isUpdate {
		e = pgwire.Errorf(pgwire.CodeGeneratedAlways, "column \"%s\" can only be updated to DEFAULT", name)
	}
	e.Detail = "Column \"" + name + "\" is computed by the cache."
	e.Table, e.Column = "blob", name
	return query.AtOffset(e, at)
}

// assign compiles the value of a column. It returns a nil expression for DEFAULT.
func (p *planner) assign(column int, n *pg_query.Node, at int32, isUpdate bool) (*query.Expression, error) {
	if n.GetSetToDefault() != nil {
		return nil, nil
	}
	if !blobTable[column].isWritable {
		return nil, errReadOnlyColumn(column, at, isUpdate)
	}
	x, err := p.compiler.Compile(n)
	if err != nil {
		return nil, err
	}
	return p.compiler.Assign(x, blobTable[column].oid, blobTable[column].name)
}

// checkColumns refuses a column given twice, and value beside value_text.
func checkColumns(columns []int, at int32) error {
	seen := uint64(0)
	for _, c := range columns {
		if seen&(1<<c) != 0 {
			e := pgwire.Errorf(pgwire.CodeDuplicateColumn, "column \"%s\" specified more than once", blobTable[c].name)
			return query.AtOffset(e, at)
		}
		seen |= 1 << c
	}
	if seen&valueColumns == valueColumns {
		return query.AtOffset(errBothPayloads(), at)
	}
	return nil
}

func errBothPayloads() error {
	return pgwire.Errorf(pgwire.CodeSyntaxError, "value and value_text are the same payload: give one of them")
}

// setClause plans SET of UPDATE and DO UPDATE.
func (p *planner) setClause(list []*pg_query.Node) (set []assignment, given uint64, err error) {
	p.compiler.Place = query.InUpdate
	var columns []int
	for _, n := range list {
		target := n.GetResTarget()
		c, err := targetColumn(target)
		if err != nil {
			return nil, 0, err
		}
		val, err := assignedValue(target)
		if err != nil {
			return nil, 0, err
		}
		if isSelfAssignment(c, val) {
			continue
		}
		if c == colNS || c == colKey {
			return nil, 0, unsupported(target.Location, "changing ns or key is", "Insert the entry under the new key and delete the old one.")
		}
		x, err := p.assign(c, val, target.Location, true)
		if err != nil {
			return nil, 0, err
		}
		columns = append(columns, c)
		given |= 1 << c
		if blobTable[c].isWritable {
			set = append(set, assignment{c, x})
		}
	}
	for i, c := range columns {
		if slices.Contains(columns[:i], c) {
			return nil, 0, pgwire.Errorf(pgwire.CodeSyntaxError, "multiple assignments to same column \"%s\"", blobTable[c].name)
		}
	}
	return set, given, checkColumns(columns, list[0].GetResTarget().GetLocation())
}

// assignedValue is what a target of SET is assigned: of (a, b) = (x, y) its part.
func assignedValue(target *pg_query.ResTarget) (*pg_query.Node, error) {
	m := target.Val.GetMultiAssignRef()
	if m == nil {
		return target.Val, nil
	}
	row := m.Source.GetRowExpr()
	if row == nil {
		e := pgwire.Errorf(pgwire.CodeFeatureNotSupported, "source for a multiple-column UPDATE item must be a sub-SELECT or ROW() expression")
		e.Hint = "Write a row of values: SET (a, b) = (x, y)."
		return nil, query.AtOffset(e, target.Location)
	}
	if len(row.Args) != int(m.Ncolumns) {
		return nil, query.AtOffset(pgwire.Errorf(pgwire.CodeSyntaxError, "number of columns does not match number of values"), row.Location)
	}
	return row.Args[m.Colno-1], nil
}

// isSelfAssignment recognises ns = excluded.ns and key = excluded.key, with which mappers
// set all columns: the row that conflicts has the same.
func isSelfAssignment(column int, n *pg_query.Node) bool {
	if column != colNS && column != colKey || n.GetColumnRef() == nil {
		return false
	}
	names := query.Names(n.GetColumnRef().Fields)
	return len(names) == 2 && (names[0] == "excluded" || names[0] == "blob") && names[1] == blobTable[column].name
}

// applySet evaluates assignments into a draft. The rows in e are the old ones.
func applySet(e *query.Env, set []assignment, given uint64, d *cache.Draft) error {
	out := *d
	if given&(1<<colVersion) == 0 {
		out.HasVersion = false // the entry keeps its version, whatever else changes
	}
	for _, s := range set {
		v := types.Null()
		if s.expr != nil {
			var err error
			if v, err = s.expr.Eval(e); err != nil {
				return err
			}
		}
		if err := setColumn(&out, s.column, v, given); err != nil {
			return err
		}
	}
	*d = out
	return nil
}

// writer runs the changes of one statement.
type writer struct {
	x         *execution
	needValue bool
	returning []query.Output
	rows      [][]types.Value
	env       *query.Env // of buffered changes, made when first needed
	envBytes  int64
	old       entryRow // what the change at hand looks at
}

// isBuffered reports that changes become pending instead of happening.
func (w *writer) isBuffered() bool { return !w.x.isAlone }

// changeEnv is what changes are applied with.
func (w *writer) changeEnv() *query.Env {
	if !w.isBuffered() {
		return &w.x.env
	}
	if w.env == nil {
		w.env, w.envBytes = cloneEnv(&w.x.env)
	}
	return w.env
}

// run makes or buffers a change and returns what it did.
func (w *writer) run(c change) (cache.Result, error) {
	s, x := w.x.session, w.x
	c.env, c.needValue = w.changeEnv(), w.needValue
	if w.isBuffered() {
		c.bytes += w.envBytes
		w.envBytes = 0 // shared by the statement's changes
		result, row, err := s.buffer(x.env.Ctx, c)
		if err == nil && row != nil {
			err = w.returnRow(row)
		}
		return result, err
	}
	options := cache.UpdateOptions{NeedValue: c.needValue}
	if w.returning != nil {
		options.Out = new(cache.Hit)
		defer options.Out.Release()
	}
	result, err := s.handler.cache.Update(x.env.Ctx, c.key, options, func(hit *cache.Hit, d *cache.Draft) (cache.Verdict, error) {
		if hit == nil {
			return c.apply(c.env, nil, d)
		}
		w.old = entryRow{key: c.key, hit: hit}
		return c.apply(c.env, &w.old, d)
	})
	if err != nil || result.Verdict == cache.Leave || w.returning == nil {
		return result, err
	}
	return result, w.returnRow(&entryRow{key: c.key, hit: options.Out, isReplaced: result.Existed})
}

// returnRow evaluates RETURNING for a row that was written.
func (w *writer) returnRow(row query.Row) error {
	values, err := w.returned(row)
	if err == nil && values != nil {
		w.rows = append(w.rows, values)
	}
	return err
}

// returned is what RETURNING makes of a row; nil without one.
func (w *writer) returned(row query.Row) ([]types.Value, error) {
	if w.returning == nil {
		return nil, nil
	}
	w.x.env.Rows = [2]query.Row{row}
	values := make([]types.Value, len(w.returning))
	if err := evaluate(w.x, w.returning, values); err != nil {
		return nil, err
	}
	for i := range values {
		values[i] = values[i].Clone()
	}
	return values, nil
}

// outcome is how the statement ended.
func (w *writer) outcome(tag string, count int64) outcome {
	o := outcome{tag: tag, count: count, counted: true}
	if w.returning != nil {
		o.rows = &rowList{w.rows}
	}
	return o
}

// returningClause plans RETURNING; nil without one.
func (p *planner) returningClause(list []*pg_query.Node) ([]query.Output, error) {
	if len(list) == 0 {
		return nil, nil
	}
	p.compiler.Place = query.InReturning
	outputs, _, _, err := p.compiler.Outputs(list, nil)
	return outputs, err
}
