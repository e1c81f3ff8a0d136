package sqlmap

import (
	"context"
	"math"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// This file has DECLARE, FETCH, MOVE and CLOSE. A cursor is a portal under its name among
// those of the protocol.

// Options of DECLARE, as PostgreSQL's parser numbers them.
const (
	cursorBinary = 0x0001
	cursorScroll = 0x0002
	cursorHold   = 0x0020
)

// declareStatement is DECLARE name CURSOR FOR query. The query's parameters are those of
// the statement.
func (p *planner) declareStatement(n *pg_query.DeclareCursorStmt) (*plan, error) {
	query, err := p.plan(n.Query)
	if err != nil {
		return nil, err
	}
	name, sql, options := n.Portalname, p.sql, n.Options
	out := simple(func(x *execution) (outcome, error) {
		return outcome{tag: "DECLARE CURSOR"}, declare(x, name, sql, query, options)
	})
	out.ownParams = query.ownParams
	return out, nil
}

func declare(x *execution, name, sql string, query *plan, options int32) error {
	s := x.session
	isHeld := options&cursorHold != 0
	if x.isAlone && !isHeld {
		return pgwire.Errorf(pgwire.CodeNoActiveTransaction, "DECLARE CURSOR can only be used in transaction blocks")
	}
	c := &cursorPortal{rows: &execution{session: s, plan: query, columns: query.columns, started: true}}
	format := pgwire.Text
	if options&cursorBinary != 0 {
		format = pgwire.Binary
	}
	c.rows.formats = slices.Repeat([]pgwire.Format{format}, len(query.columns))
	c.isBinary = format == pgwire.Binary
	if options&cursorScroll != 0 {
		c.passed = &rowBuffer{}
	}
	for _, v := range x.env.Params {
		c.rows.env.Params = append(c.rows.env.Params, v.Clone())
	}
	s.env(x.env.Ctx, &c.rows.env)
	var err error
	if c.rows.out, err = query.action.run(c.rows); err != nil {
		return err
	}
	if err := s.info.Names.PutPortal(name, &statement{session: s, plan: query}, c, pgwire.Source{SQL: sql, At: s.statementTime}, isHeld); err != nil {
		c.Close()
		return err
	}
	if isHeld && s.tx.isOpen {
		s.heldCursors = append(s.heldCursors, name)
	}
	return nil
}

// dropHeldCursors closes the cursors WITH HOLD of a transaction that is rolled back.
func (s *session) dropHeldCursors(isCommit bool) {
	for _, name := range s.heldCursors {
		if !isCommit {
			s.info.Names.DropPortal(name)
		}
	}
	s.heldCursors = nil
}

// cursorPortal is a cursor: a query and a place in its rows.
type cursorPortal struct {
	rows     *execution
	isBinary bool
	at       int64      // the number of the current row; 0 before the first
	isRead   bool       // to its end
	passed   *rowBuffer // with SCROLL, the rows read so far
}

// Execute is the protocol's: it goes on with the rows, as FETCH FORWARD does.
func (c *cursorPortal) Execute(ctx context.Context, r *pgwire.Reply, _ bool) (pgwire.Completion, error) {
	x := &execution{session: c.rows.session, plan: c.rows.plan, columns: c.rows.columns, formats: c.rows.formats, started: true}
	x.session.env(ctx, &x.env)
	x.out.rows = &fetchRows{cursor: c, step: 1, left: math.MaxInt64}
	return x.Execute(ctx, r, false)
}

// Close ends the query.
func (c *cursorPortal) Close() { c.rows.Close() }

// rowBuffer keeps the rows that a scrolling cursor has passed.
type rowBuffer struct {
	rows  [][]types.Value
	bytes int64
}

// scrollBytesMax bounds a rowBuffer.
const scrollBytesMax = 64 << 20

// read reads the next row of the query; false at its end.
func (c *cursorPortal) read(x *execution) ([]types.Value, bool, error) {
	if c.isRead {
		return nil, false, nil
	}
	if !c.rows.started { // a portal of the protocol's
		c.rows.reply = x.reply
		if err := c.rows.start(x.env.Ctx, false); err != nil {
			return nil, false, err
		}
		c.rows.reply = nil
	}
	c.rows.env.SetContext(x.env.Ctx)
	if c.rows.out.rows == nil {
		c.isRead = true
		return nil, false, nil
	}
	if len(c.rows.values) != len(c.rows.columns) {
		c.rows.values = make([]types.Value, len(c.rows.columns))
	}
	ok, err := c.rows.out.rows.next(c.rows, c.rows.values)
	if c.isRead = err == nil && !ok; ok && err == nil {
		c.rows.fetched++
	}
	return c.rows.values, ok && err == nil, err
}

// row goes to a row by its number and returns it; false if there is none: the cursor is
// then before the first or after the last. Without SCROLL it must lie ahead.
func (c *cursorPortal) row(x *execution, number int64) ([]types.Value, bool, error) {
	if c.passed != nil {
		return c.passedRow(x, number)
	}
	for !c.isRead {
		values, ok, err := c.read(x)
		if err != nil {
			return nil, false, err
		}
		if c.at++; !ok || c.at >= number {
			return values, ok, nil
		}
	}
	return nil, false, nil
}

func (c *cursorPortal) passedRow(x *execution, number int64) ([]types.Value, bool, error) {
	b := c.passed
	for int64(len(b.rows)) < number && !c.isRead {
		values, ok, err := c.read(x)
		if err != nil {
			return nil, false, err
		}
		if !ok {
			break
		}
		row := make([]types.Value, len(values))
		for i := range values {
			row[i] = values[i].Clone()
		}
		if b.bytes += sizeOf(row); b.bytes > scrollBytesMax {
			e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "too many rows for a cursor that scrolls")
			e.Detail = formatLimit(b.bytes, scrollBytesMax, "bytes", "")
			e.Hint = "Declare it with NO SCROLL."
			return nil, false, e
		}
		b.rows = append(b.rows, row)
	}
	c.at = min(number, int64(len(b.rows))+1)
	if number < 1 || c.at < number || c.at > int64(len(b.rows)) {
		return nil, false, nil
	}
	return b.rows[number-1], true, nil
}

// fetchStatement is FETCH and MOVE.
type fetchStatement struct {
	name      string
	isMove    bool
	direction pg_query.FetchDirection
	count     int64
}

func (f *fetchStatement) find(s *session) (*cursorPortal, error) {
	portal, ok := s.info.Names.Portal(f.name)
	if !ok || f.name == "" {
		return nil, pgwire.Errorf(pgwire.CodeInvalidCursorName, "cursor \"%s\" does not exist", f.name)
	}
	switch portal := portal.(type) {
	case *cursorPortal:
		return portal, nil
	case *getPortal:
		return portal.asCursor()
	case *execution:
		if portal.columns != nil {
			return portal.asCursor(), nil
		}
	}
	return nil, pgwire.Errorf(pgwire.CodeObjectNotInPrerequisiteState, "portal \"%s\" returns no rows", f.name)
}

// asCursor lets FETCH and MOVE read from a portal that the protocol has bound. They and the
// protocol's Execute go on where the other has stopped.
func (x *execution) asCursor() *cursorPortal {
	if x.cursor == nil {
		x.cursor = &cursorPortal{rows: x}
	}
	x.cursor.at = x.sent + x.fetched
	return x.cursor
}

// asCursor is as for an execution, which takes the portal's place.
func (p *getPortal) asCursor() (*cursorPortal, error) {
	if p.fetched == nil {
		bound, err := (&statement{session: p.session, plan: p.plan}).bindAny(p.args, nil)
		if err != nil {
			return nil, err
		}
		p.fetched = bound.(*execution)
		if p.done { // what there was, Execute has sent
			p.fetched.started, p.fetched.out.rows, p.fetched.sent = true, &rowList{}, 1
		}
	}
	return p.fetched.asCursor(), nil
}

func (f *fetchStatement) columns(s *session) []pgwire.Column {
	c, err := f.find(s)
	if err != nil || f.isMove {
		return nil
	}
	return c.rows.columns
}

func (f *fetchStatement) endsTransaction(*session) bool { return false }

func (f *fetchStatement) bind(_ context.Context, s *session, args *pgwire.BindArgs) (pgwire.Portal, error) {
	c, err := f.find(s)
	if err != nil {
		return nil, err
	}
	x := &execution{session: s, formats: args.ResultFormats, columns: f.columns(s)}
	if c.isBinary {
		x.formats = c.rows.formats
	}
	x.plan = &plan{action: actionFunc(func(x *execution) (outcome, error) { return f.run(x, c) })}
	return x, nil
}

func (f *fetchStatement) run(x *execution, c *cursorPortal) (outcome, error) {
	c.rows.runs++
	rows, err := f.rows(x, c)
	if err != nil {
		return outcome{}, err
	}
	if !f.isMove {
		return outcome{tag: "FETCH", rows: rows, countsRows: true}, nil
	}
	n := int64(0)
	for {
		ok, err := rows.next(x, nil)
		if err != nil {
			return outcome{}, err
		}
		if !ok {
			return outcome{tag: "MOVE", count: n, counted: true}, nil
		}
		if n++; n&1023 == 0 && x.env.Ctx.Err() != nil {
			return outcome{}, x.env.Ctx.Err()
		}
	}
}

// rows are those that FETCH asks for.
func (f *fetchStatement) rows(x *execution, c *cursorPortal) (*fetchRows, error) {
	direction, count := f.direction, f.count
	if count < 0 && direction != pg_query.FetchDirection_FETCH_ABSOLUTE && direction != pg_query.FetchDirection_FETCH_RELATIVE {
		count = -max(count, -math.MaxInt64)
		if direction == pg_query.FetchDirection_FETCH_FORWARD {
			direction = pg_query.FetchDirection_FETCH_BACKWARD
		} else {
			direction = pg_query.FetchDirection_FETCH_FORWARD
		}
	}
	switch direction {
	case pg_query.FetchDirection_FETCH_FORWARD, pg_query.FetchDirection_FETCH_BACKWARD:
		if count == 0 {
			return c.single(c.at)
		}
		if direction == pg_query.FetchDirection_FETCH_FORWARD {
			return &fetchRows{cursor: c, step: 1, left: count}, nil
		}
		return &fetchRows{cursor: c, step: -1, left: count}, c.checkScroll()
	case pg_query.FetchDirection_FETCH_RELATIVE:
		return c.single(c.at + count)
	}
	if count < 0 { // from the end
		if err := c.checkScroll(); err != nil {
			return nil, err
		}
		if _, _, err := c.row(x, math.MaxInt64); err != nil {
			return nil, err
		}
		count = max(int64(len(c.passed.rows))+1+count, 0)
	}
	return c.single(count)
}

func (c *cursorPortal) checkScroll() error {
	if c.passed != nil {
		return nil
	}
	e := pgwire.Errorf(pgwire.CodeObjectNotInPrerequisiteState, "cursor can only scan forward")
	e.Hint = "Declare it with SCROLL option to enable backward scan."
	return e
}

// single is one row by its number.
func (c *cursorPortal) single(number int64) (*fetchRows, error) {
	if number <= c.at {
		if err := c.checkScroll(); err != nil {
			return nil, err
		}
	}
	return &fetchRows{cursor: c, target: max(number, 0), isSingle: true, left: 1}, nil
}

// fetchRows makes the rows of one FETCH.
type fetchRows struct {
	cursor   *cursorPortal
	step     int64
	target   int64 // of a single row
	isSingle bool
	left     int64
}

func (f *fetchRows) next(x *execution, out []types.Value) (bool, error) {
	if f.left == 0 {
		return false, nil
	}
	f.left--
	c := f.cursor
	if !f.isSingle {
		f.target = c.at + f.step
	}
	values, ok, err := c.row(x, max(f.target, 0))
	if err != nil || !ok {
		f.left = 0
		return false, err
	}
	copy(out, values)
	return true, nil
}

func (f *fetchRows) close() {}

// closeCursor is CLOSE; an empty name is ALL.
func closeCursor(x *execution, name string) (outcome, error) {
	names := x.session.info.Names
	if name == "" {
		names.DropAllPortals()
		return outcome{tag: "CLOSE CURSOR ALL"}, nil
	}
	if !names.DropPortal(name) {
		return outcome{}, pgwire.Errorf(pgwire.CodeInvalidCursorName, "cursor \"%s\" does not exist", name)
	}
	return outcome{tag: "CLOSE CURSOR"}, nil
}

var (
	_ pgwire.Portal = (*cursorPortal)(nil)
	_ late          = (*fetchStatement)(nil)
	_ late          = (*executeStatement)(nil)
)
