package sqlmap

import (
	"context"
	"errors"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// statement is a plan in a session. It implements pgwire.Statement.
type statement struct {
	session *session
	plan    *plan
}

func (s *statement) ParamOIDs() []uint32      { return s.plan.params }
func (s *statement) Columns() []pgwire.Column { return s.plan.columns }
func (s *statement) EndsTransaction() bool    { return s.plan.endsTransaction }

// Bind makes a portal. The parameters of all but the plain get are decoded now, so that
// bad ones are refused here, as in PostgreSQL.
func (s *statement) Bind(_ context.Context, args *pgwire.BindArgs, recycle pgwire.Portal) (pgwire.Portal, error) {
	if s.plan.get != nil {
		return s.bindGet(args, recycle)
	}
	return s.bindAny(args, recycle)
}

// bindAny is Bind of all plans that have an action.
func (s *statement) bindAny(args *pgwire.BindArgs, recycle pgwire.Portal) (pgwire.Portal, error) {
	x, _ := recycle.(*execution)
	if x == nil {
		x = &execution{}
	}
	x.env.Reset(x.plan == s.plan)
	*x = execution{session: s.session, plan: s.plan, columns: s.plan.columns, formats: args.ResultFormats, values: x.values[:0], env: x.env}
	if s.plan.failure != nil {
		return nil, s.plan.failure
	}
	s.session.env(context.Background(), &x.env)
	for i, raw := range args.Params {
		v, err := decodeParam(types.OID(s.plan.params[i]), raw, args.ParamFormats[i], &x.env.Style)
		if err != nil {
			return nil, paramError(err, i)
		}
		x.env.Params = append(x.env.Params, v)
	}
	return x, nil
}

func decodeParam(oid types.OID, raw []byte, format pgwire.Format, style *types.Style) (types.Value, error) {
	switch {
	case raw == nil:
		return types.Null(), nil
	case format == pgwire.Binary:
		return types.ParseBinary(oid, raw)
	}
	return types.ParseText(oid, raw, style)
}

// paramError says which parameter an error is about.
func paramError(err error, i int) error {
	var e *pgwire.Error
	if errors.As(err, &e) && e.Where == "" {
		e.Where = "unnamed portal parameter $" + string(types.AppendText(nil, types.Int4, types.OfInt(int64(i+1)), nil))
	}
	return err
}

// execution is a portal: one run of a plan.
type execution struct {
	session *session
	plan    *plan
	columns []pgwire.Column
	formats []pgwire.Format
	env     query.Env
	isAlone bool
	reply   *pgwire.Reply

	started bool
	runs    int       // calls of Execute so far
	trace   *runTrace // of EXPLAIN ANALYZE; else nil
	// rowsWanted is how many rows of its source a SELECT will probably read; 0: all.
	rowsWanted int64
	out        outcome
	sent       int64         // rows, by Execute
	fetched    int64         // rows, by FETCH
	cursor     *cursorPortal // made when FETCH reads from the portal
	values     []types.Value
}

var (
	errStatementTimeout = errors.New("statement timeout")
	errTransactionTime  = errors.New("transaction timeout")
)

// Execute runs the plan, or goes on sending its rows.
func (x *execution) Execute(ctx context.Context, r *pgwire.Reply, isAlone bool) (pgwire.Completion, error) {
	slow := &x.session.handler.slow
	if !slow.isOn() {
		return x.executeTimed(ctx, r, isAlone)
	}
	s, p, started := x.session, x.plan, time.Now()
	done, err := x.executeTimed(ctx, r, isAlone)
	slow.note(s, p, started, done, err)
	return done, err
}

func (x *execution) executeTimed(ctx context.Context, r *pgwire.Reply, isAlone bool) (pgwire.Completion, error) {
	if x.plan.isEmpty {
		return pgwire.Completion{Tag: pgwire.TagEmpty}, nil
	}
	if timeout, cause := x.session.timeLimit(); timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, timeout, cause)
		defer cancel()
		ctx = limited
	}
	done, err := x.execute(ctx, r, isAlone)
	if err != nil {
		err = x.session.statementError(ctx, err)
		if x.plan.isLifted {
			err = x.session.asWritten(err)
		}
		return done, err
	}
	return done, nil
}

// timeLimit is how long a statement may run, and the cause of its end then; 0: for ever.
func (s *session) timeLimit() (time.Duration, error) {
	timeout := s.settings.statementTimeout
	if left := s.transactionTimeLeft(); left > 0 && (timeout == 0 || left <= timeout) {
		return left, errTransactionTime
	}
	return timeout, errStatementTimeout
}

// statementError is the error that the client gets.
func (s *session) statementError(ctx context.Context, err error) error {
	isContext := errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled)
	if isContext && context.Cause(ctx) == errStatementTimeout {
		return pgwire.Errorf(pgwire.CodeQueryCanceled, "canceling statement due to statement timeout")
	}
	if isContext && context.Cause(ctx) == errTransactionTime {
		return errTransactionTimeout()
	}
	return wireError(err)
}

func (x *execution) execute(ctx context.Context, r *pgwire.Reply, isAlone bool) (pgwire.Completion, error) {
	x.reply = r
	x.runs++
	defer func() {
		x.session.sendWarnings(r)
		x.reply = nil
	}()
	if x.started {
		x.env.SetContext(ctx)
		return x.send(r)
	}
	if err := x.start(ctx, isAlone); err != nil {
		return pgwire.Completion{}, err
	}
	if x.out.rows == nil {
		return pgwire.Completion{Tag: x.out.tag, Rows: x.out.count, HasRows: x.out.counted}, nil
	}
	return x.send(r)
}

// start does what comes before the first row.
func (x *execution) start(ctx context.Context, isAlone bool) (err error) {
	x.started, x.isAlone = true, isAlone && x.session.status == pgwire.TxIdle && !x.session.tx.isOpen
	x.session.beginStatement(x.isAlone || x.plan.endsTransaction)
	x.session.env(ctx, &x.env)
	if x.plan.writes != "" {
		if err := x.session.checkWritable(x.plan.writes); err != nil {
			return err
		}
	}
	x.out, err = x.plan.action.run(x)
	return err
}

// send sends rows until there are no more or the client wants no more.
func (x *execution) send(r *pgwire.Reply) (pgwire.Completion, error) {
	if len(x.values) != len(x.columns) {
		x.values = make([]types.Value, len(x.columns))
	}
	for !r.Full() {
		if x.sent&1023 == 1023 {
			if err := x.env.Ctx.Err(); err != nil {
				return pgwire.Completion{}, err
			}
		}
		ok, err := x.out.rows.next(x, x.values)
		if err != nil {
			return pgwire.Completion{}, err
		}
		if !ok {
			switch {
			case x.out.tag == "":
				return pgwire.Completion{Tag: "SELECT", Rows: x.sent, HasRows: true}, nil
			case x.out.countsRows:
				return pgwire.Completion{Tag: x.out.tag, Rows: x.sent, HasRows: true}, nil
			}
			return pgwire.Completion{Tag: x.out.tag, Rows: x.out.count, HasRows: x.out.counted}, nil
		}
		if len(x.session.warnings) > 0 {
			x.session.sendWarnings(r)
		}
		r.StartRow(len(x.values))
		for i, v := range x.values {
			appendField(r, types.OID(x.columns[i].TypeOID), v, x.formats[i], &x.env.Style)
		}
		r.EndRow()
		x.sent++
	}
	return pgwire.Completion{Suspended: true}, nil
}

// appendField appends one field of a row. Bytes of a value stay valid until EndRow.
func appendField(r *pgwire.Reply, oid types.OID, v types.Value, format pgwire.Format, style *types.Style) {
	switch {
	case v.IsNull:
		r.Null()
	case oid == types.Text || oid == types.Bytea && format == pgwire.Binary:
		r.Large(v.Bytes)
	case format == pgwire.Binary:
		r.EndField(types.AppendBinary(r.BeginField(), oid, v))
	default:
		r.EndField(types.AppendText(r.BeginField(), oid, v, style))
	}
}

// notice sends a notice or warning.
func (x *execution) notice(e *pgwire.Error) { x.reply.Notice(e) }

// Close releases what the portal holds.
func (x *execution) Close() {
	if x.out.rows != nil {
		x.out.rows.close()
	}
	clear(x.values)
	x.env.Reset(true)
	*x = execution{plan: x.plan, values: x.values[:0], env: x.env}
}

var (
	_ pgwire.Statement = (*statement)(nil)
	_ pgwire.Portal    = (*execution)(nil)
)
