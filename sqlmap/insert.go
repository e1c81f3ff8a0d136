package sqlmap

import (
	"fmt"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

const insertHint = "Write INSERT INTO blob (ns, key, value, …) VALUES (…) [ON CONFLICT (ns, key) DO NOTHING | DO UPDATE SET …]."

// insertAction is INSERT.
type insertAction struct {
	rows [][]assignment
	// query makes the rows instead; assigns has how its columns are assigned.
	query     *query.Statement
	assigns   []assignment
	given     uint64 // columns of the rows
	conflict  pg_query.OnConflictAction
	set       []assignment
	setGiven  uint64
	filter    *query.Expression
	needValue bool
	returning []query.Output
}

func (p *planner) insertStatement(s *pg_query.InsertStmt) (*plan, error) {
	if s.WithClause != nil {
		return nil, unsupported(s.WithClause.Location, "WITH is", insertHint)
	}
	if err := p.writeTarget(s.Relation); err != nil {
		return nil, err
	}
	a := &insertAction{}
	if err := p.insertRows(a, s); err != nil {
		return nil, err
	}
	if err := p.onConflict(a, s.OnConflictClause); err != nil {
		return nil, err
	}
	a.needValue = p.compiler.Used[0]&valueColumns != 0
	p.compiler.SetRelations(p.compiler.Relations()[0])
	var err error
	if a.returning, err = p.returningClause(s.ReturningList); err != nil {
		return nil, err
	}
	out := &plan{action: a, writes: "INSERT"}
	if a.returning != nil {
		out.columns = outputColumns(a.returning)
	}
	return out, nil
}

// insertRows plans VALUES.
func (p *planner) insertRows(a *insertAction, s *pg_query.InsertStmt) error {
	columns, err := insertColumns(s)
	if err != nil {
		return err
	}
	for _, c := range columns {
		a.given |= 1 << c
	}
	values := s.SelectStmt.GetSelectStmt()
	if values == nil {
		a.given, a.rows = 0, [][]assignment{nil} // DEFAULT VALUES
		return nil
	}
	if len(values.ValuesLists) == 0 {
		return p.insertQuery(a, values, columns, len(s.Cols) > 0)
	}
	if len(values.SortClause) > 0 || values.LimitCount != nil || values.LimitOffset != nil || values.WithClause != nil {
		return unsupported(s.Relation.Location, "this VALUES is", insertHint)
	}
	table := p.compiler.Relations()
	p.compiler.SetRelations() // the rows may not refer to it
	p.compiler.Place = query.InValues
	defer func() { p.compiler.SetRelations(table...) }()
	for _, n := range values.ValuesLists {
		items := n.GetList().GetItems()
		if len(items) > len(columns) {
			return pgwire.Errorf(pgwire.CodeSyntaxError, "INSERT has more expressions than target columns")
		}
		if len(s.Cols) > 0 && len(items) < len(columns) {
			return pgwire.Errorf(pgwire.CodeSyntaxError, "INSERT has more target columns than expressions")
		}
		var row []assignment
		for i, item := range items {
			x, err := p.assign(columns[i], item, s.Relation.Location, false)
			if err != nil {
				return err
			}
			row = append(row, assignment{columns[i], x})
		}
		if len(a.rows) > 0 && len(row) != len(a.rows[0]) {
			return pgwire.Errorf(pgwire.CodeSyntaxError, "VALUES lists must all be the same length")
		}
		a.rows = append(a.rows, row)
	}
	return nil
}

// insertColumns are the columns of VALUES.
func insertColumns(s *pg_query.InsertStmt) ([]int, error) {
	var columns []int
	if len(s.Cols) == 0 {
		return []int{colNS, colKey, colValue}, nil // all that can be given by position without value_text
	}
	for _, n := range s.Cols {
		c, err := targetColumn(n.GetResTarget())
		if err != nil {
			return nil, err
		}
		columns = append(columns, c)
	}
	return columns, checkColumns(columns, s.Cols[0].GetResTarget().GetLocation())
}

// onConflict plans ON CONFLICT.
func (p *planner) onConflict(a *insertAction, c *pg_query.OnConflictClause) error {
	if c == nil {
		return nil
	}
	a.conflict = c.Action
	if c.Infer != nil {
		if err := checkInference(c.Infer); err != nil {
			return err
		}
	} else if c.Action == pg_query.OnConflictAction_ONCONFLICT_UPDATE {
		e := pgwire.Errorf(pgwire.CodeSyntaxError, "ON CONFLICT DO UPDATE requires inference specification or constraint name")
		e.Hint = "For example, ON CONFLICT (ns, key)."
		return query.AtOffset(e, c.Location)
	}
	if c.Action != pg_query.OnConflictAction_ONCONFLICT_UPDATE {
		return nil
	}
	p.compiler.SetRelations(p.compiler.Relations()[0], query.Relation{Name: "excluded", Columns: blobTableColumns()})
	var err error
	if a.set, a.setGiven, err = p.setClause(c.TargetList); err != nil {
		return err
	}
	if c.WhereClause != nil {
		a.filter, err = p.compiler.Condition(c.WhereClause, "WHERE")
	}
	return err
}

// checkInference accepts (ns, key) in any order, and the constraint's name.
func checkInference(i *pg_query.InferClause) error {
	if i.Conname != "" {
		if i.Conname == "blob_pkey" {
			return nil
		}
		e := pgwire.Errorf(pgwire.CodeUndefinedObject, "constraint \"%s\" for table \"blob\" does not exist", i.Conname)
		return query.AtOffset(e, i.Location)
	}
	names := map[string]bool{}
	for _, n := range i.IndexElems {
		names[n.GetIndexElem().GetName()] = true
	}
	if len(names) != 2 || !names["ns"] || !names["key"] || i.WhereClause != nil {
		e := pgwire.Errorf(pgwire.CodeInvalidColumnReference, "there is no unique or exclusion constraint matching the ON CONFLICT specification")
		e.Hint = "The one unique constraint is (ns, key)."
		return query.AtOffset(e, i.Location)
	}
	return nil
}

func (a *insertAction) run(x *execution) (outcome, error) {
	if x.isAlone && (len(a.rows) > 1 || a.query != nil) {
		return x.atomically(a.run)
	}
	w := &writer{x: x, needValue: a.needValue, returning: a.returning}
	count := int64(0)
	if x.session.single == nil {
		x.session.single = &singleRow{}
	}
	defer x.session.single.clear()
	rows, err := a.evaluateAll(x)
	if err != nil {
		return outcome{}, err
	}
	var written map[string]struct{}
	if len(rows) > 1 {
		written = make(map[string]struct{}, len(rows))
	}
	for i := range rows {
		row := &rows[i]
		if a.conflict == pg_query.OnConflictAction_ONCONFLICT_UPDATE && len(rows) > 1 {
			name := string(appendKey(nil, row.key))
			if _, twice := written[name]; twice {
				e := pgwire.Errorf(pgwire.CodeCardinalityViolation, "ON CONFLICT DO UPDATE command cannot affect row a second time")
				e.Hint = "Ensure that no rows proposed for insertion within the same command have duplicate constrained values."
				return outcome{}, e
			}
			written[name] = struct{}{}
		}
		result, err := w.run(a.change(row, w.isBuffered()))
		if err != nil {
			return outcome{}, err
		}
		if result.Verdict == cache.Write {
			x.trace.write(int64(len(row.draft.Value)))
			count++
		}
	}
	return w.outcome("INSERT 0", count), nil
}

// evaluateAll computes and checks all rows before the first is written, so that one that
// cannot be stored changes nothing.
func (a *insertAction) evaluateAll(x *execution) ([]insertRow, error) {
	if a.query != nil {
		return a.queryRows(x)
	}
	rows := x.session.single.rows[:]
	if len(a.rows) > 1 || !x.isAlone {
		rows = make([]insertRow, len(a.rows))
	}
	for i := range a.rows {
		var err error
		if rows[i], err = a.evaluate(x, a.rows[i], x.rowValues(len(rows) == 1)); err != nil {
			return nil, err
		}
		if len(rows) == 1 {
			break // the write itself tells
		}
		if err := x.session.checkDraft(&rows[i].draft); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// insertRow is one row to insert, evaluated.
type insertRow struct {
	key    cache.Key
	draft  cache.Draft
	values query.Values // as excluded sees it
}

// singleRow is a session's memory for an INSERT of one row that is written at once, which
// needs it no longer than it runs.
type singleRow struct {
	rows   [1]insertRow
	values query.Values
}

// clear forgets a row, which refers to the client's message.
func (r *singleRow) clear() {
	r.rows[0] = insertRow{}
	clear(r.values)
}

// rowValues is memory for the values of a row, all NULL.
func (x *execution) rowValues(isSingle bool) query.Values {
	values := x.session.single.values
	if values == nil || !isSingle || !x.isAlone {
		values = make(query.Values, blobColumns)
		if isSingle && x.isAlone {
			x.session.single.values = values
		}
	}
	for i := range values {
		values[i] = types.Null()
	}
	return values
}

// evaluate computes a row into values and checks it.
func (a *insertAction) evaluate(x *execution, row []assignment, values query.Values) (insertRow, error) {
	given := uint64(0)
	for _, s := range row {
		given |= 1 << s.column
		if s.expr == nil {
			if s.column == colNS {
				given &^= 1 << colNS
			}
			continue
		}
		v, err := s.expr.Eval(&x.env)
		if err != nil {
			return insertRow{}, err
		}
		values[s.column] = v
	}
	return newInsertRow(x, values, given)
}

// newInsertRow fills in defaults, checks a row and makes its draft.
func newInsertRow(x *execution, values query.Values, given uint64) (insertRow, error) {
	if namespace := x.session.settings.namespace; given&(1<<colNS) == 0 && namespace != "" {
		values[colNS] = types.OfText(namespace)
	}
	row := insertRow{draft: cache.NewDraft(nil), values: values}
	payload := colValue
	if given&(1<<colValueText) != 0 {
		payload = colValueText
	}
	for _, c := range []int{colNS, colKey, payload} {
		if values[c].IsNull {
			return row, withFailingRow(errNullColumn(c), values)
		}
	}
	row.key = cache.Key{Namespace: values[colNS].Bytes, Name: values[colKey].Bytes}
	for c := range values {
		if given&(1<<c) == 0 || c == colNS || c == colKey || !blobTable[c].isWritable {
			continue
		}
		if err := setColumn(&row.draft, c, values[c], given); err != nil {
			return row, err
		}
	}
	if err := x.session.checkKey(row.key); err != nil {
		return row, err
	}
	values[colValue], values[colValueText] = values[payload], values[payload]
	values[colPriority] = types.OfInt(int64(row.draft.Priority))
	values[colJitter] = types.OfInt(int64(row.draft.JitterPct))
	values[colL1Admission] = types.OfText(admissionName(row.draft.Admission))
	values[colSize] = types.OfInt(int64(len(row.draft.Value)))
	return row, nil
}

// withFailingRow names the row by its key; PostgreSQL would show all of it.
func withFailingRow(err error, values query.Values) error {
	if e, ok := err.(*pgwire.Error); ok && !values[colNS].IsNull && !values[colKey].IsNull {
		e.Detail = fmt.Sprintf("Failing row has (ns, key)=(%s, %s).", values[colNS].Bytes, values[colKey].Bytes)
	}
	return err
}

func errDuplicate(k cache.Key) error {
	e := pgwire.Errorf(pgwire.CodeUniqueViolation, "duplicate key value violates unique constraint \"blob_pkey\"")
	e.Detail = fmt.Sprintf("Key (ns, key)=(%s, %s) already exists.", k.Namespace, k.Name)
	e.Table, e.Constraint = "blob", "blob_pkey"
	return e
}

// change is the write of one row; unless it is buffered, it is over before the row is.
func (a *insertAction) change(row *insertRow, isBuffered bool) change {
	r, values := row, row.values
	size := int64(0)
	if isBuffered {
		held := *row
		r = &held
		values = make(query.Values, len(row.values))
		for i, v := range row.values {
			if i == colValueText {
				values[i] = values[colValue] // the same bytes
				continue
			}
			values[i] = v.Clone()
			size += int64(len(v.Bytes))
		}
		r.key = cache.Key{Namespace: values[colNS].Bytes, Name: values[colKey].Bytes}
		r.draft.Value = values[colValue].Bytes
	}
	return change{
		key:   r.key,
		bytes: size,
		value: r.draft.Value,
		apply: func(e *query.Env, old query.Row, d *cache.Draft) (cache.Verdict, error) {
			switch {
			case old == nil:
				*d = r.draft
				return cache.Write, nil
			case a.conflict == pg_query.OnConflictAction_ONCONFLICT_NOTHING:
				return cache.Leave, nil
			case a.conflict != pg_query.OnConflictAction_ONCONFLICT_UPDATE:
				return cache.Leave, errDuplicate(r.key)
			}
			e.Rows = [2]query.Row{old, values}
			if a.filter != nil {
				v, err := a.filter.Eval(e)
				if err != nil || !v.IsTrue() {
					return cache.Leave, err
				}
			}
			if d.Lease == 0 {
				d.Lease = r.draft.Lease // of the row, whichever way it is written
			}
			return cache.Write, applySet(e, a.set, a.setGiven, d)
		},
	}
}
