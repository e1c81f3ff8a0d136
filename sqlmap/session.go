package sqlmap

import (
	"context"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/advisory"
	"pgcache/sqlmap/query"
)

// session is one client's conversation. It implements pgwire.Session.
type session struct {
	handler  *Handler
	info     *pgwire.ConnInfo
	grants   grants
	settings sessionSettings
	notices  []*pgwire.Error // of the beginning, until Greet sends them
	warnings []*pgwire.Error // of the running statement's functions

	status pgwire.TxStatus
	tx     transaction
	// statementTime is when the last statement began.
	statementTime time.Time
	scratch       []byte // for keys of the plan cache

	leases *cache.LeaseHolder // made when the first is asked for
	locks  *advisory.Owner    // too

	listening listening
	// heldCursors are those WITH HOLD that the transaction has declared.
	heldCursors []string

	own     *querySession // what statements know of the session; made when first needed
	single  *singleRow    // made when first needed
	lifting *lifting      // made when first needed
}

// Prepare plans one statement.
func (s *session) Prepare(_ context.Context, sql string, paramOIDs []uint32) (pgwire.Statement, error) {
	plans, err := s.plansOf(sql, paramOIDs, false)
	if err != nil {
		return nil, err
	}
	switch len(plans) {
	case 0:
		return &statement{session: s, plan: emptyPlan()}, nil
	case 1:
		return s.statementOf(plans[0]), nil
	}
	return nil, pgwire.Errorf(pgwire.CodeSyntaxError, "cannot insert multiple commands into a prepared statement")
}

// PrepareSimple plans the statements of a simple Query.
func (s *session) PrepareSimple(_ context.Context, sql string) ([]pgwire.Statement, error) {
	if lifted, err := s.lifted(sql); lifted != nil || err != nil {
		return lifted, err
	}
	plans, err := s.plansOf(sql, nil, true)
	if err != nil {
		return nil, err
	}
	statements := make([]pgwire.Statement, len(plans))
	for i, p := range plans {
		statements[i] = s.statementOf(p)
	}
	return statements, nil
}

// plansOf finds or makes the plans of a text. In a simple Query a statement that cannot be
// planned fails when it is its turn, as in PostgreSQL: those before it run.
func (s *session) plansOf(sql string, paramOIDs []uint32, isSimple bool) ([]*plan, error) {
	s.scratch = appendPlanKey(s.scratch[:0], sql, paramOIDs, isSimple)
	if path := s.settings.ownPath; path != "" {
		s.scratch = append(append(s.scratch, 0, 'p'), path...)
	}
	defer s.trimScratch()
	if plans, ok := s.handler.plans.find(s.scratch); ok {
		return plans, nil
	}
	stmts, err := s.handler.parse(sql)
	if err != nil {
		return nil, err
	}
	if !isSimple && len(stmts) > 1 {
		return make([]*plan, len(stmts)), nil // refused by Prepare
	}
	plans := make([]*plan, 0, len(stmts))
	for _, stmt := range stmts {
		p, err := newPlan(s, sql, stmt.Stmt, paramOIDs, isSimple)
		if err != nil && len(stmts) == 1 {
			return nil, err
		}
		if err != nil {
			p = &plan{failure: err}
		}
		plans = append(plans, p)
	}
	s.handler.plans.put(s.scratch, plans)
	return plans, nil
}

// scratchBytesMax is how much of a long text's memory a session keeps.
const scratchBytesMax = 4096

func (s *session) trimScratch() {
	if cap(s.scratch) > scratchBytesMax {
		s.scratch = nil
	}
}

// TxStatus is reported with ReadyForQuery.
func (s *session) TxStatus() pgwire.TxStatus { return s.status }

// Fail notes that a statement of the transaction failed. What it can still go back to, it
// keeps.
func (s *session) Fail() {
	if len(s.tx.savepoints) == 0 || s.status == pgwire.TxIdle {
		s.tx.drop()
	}
	s.endLocks(len(s.tx.savepoints))
	if s.status == pgwire.TxBlock {
		s.status = pgwire.TxFailed
	} else if s.status == pgwire.TxIdle {
		s.tx.hasFailed = true
	}
}

// EndCycle ends the implicit transaction.
func (s *session) EndCycle(ctx context.Context) error {
	if s.status != pgwire.TxIdle {
		return nil
	}
	if !s.tx.isOpen && !s.tx.hasFailed {
		s.endLocks(0)
		return nil
	}
	if s.tx.hasFailed {
		s.endTransaction(false)
		return nil
	}
	return s.commit(ctx)
}

// commit makes what is pending visible and ends the transaction, whatever comes of it.
func (s *session) commit(ctx context.Context) error {
	err := s.tx.apply(ctx, s.handler.cache)
	s.endTransaction(err == nil)
	return err
}

func (s *session) endTransaction(isCommit bool) {
	s.tx.drop()
	s.dropHeldCursors(isCommit)
	s.tx.isOpen, s.tx.hasFailed = false, false
	s.settings.end(isCommit)
	s.status = pgwire.TxIdle
	s.endLocks(0)
	s.endListening(isCommit)
}

// openTransaction begins a transaction, unless one is open.
func (s *session) openTransaction() {
	if s.tx.isOpen {
		return
	}
	s.tx.isOpen, s.tx.began = true, s.statementTime
	s.settings.begin()
}

// beginStatement is called before every statement but the plain get.
func (s *session) beginStatement(isAlone bool) {
	s.statementTime = s.handler.config.Now()
	if !isAlone && !s.tx.isOpen {
		s.openTransaction()
	}
}

// now is when the transaction began, which is the statement's beginning outside of one.
func (s *session) now() time.Time {
	if s.tx.isOpen {
		return s.tx.began
	}
	return s.statementTime
}

// env is what the session gives an execution.
func (s *session) env(ctx context.Context, e *query.Env) {
	if s.settings.ownDurability {
		ctx = cache.WithDurability(ctx, s.settings.durability)
	}
	h := s.handler
	if s.own == nil || s.own.setting != s.settings.ownPath {
		path := s.searchPath()
		s.own = &querySession{session: s, path: path, setting: s.settings.ownPath}
		s.own.names = h.catalog.SessionNames(s.own)
	}
	s.own.roles = nil
	e.Ctx, e.Session, e.Catalog, e.Clock, e.Limits = ctx, s.own, h.catalog, h.config.Now, h.config.QueryLimits
	e.Style = s.settings.style(s.now())
	e.Style.Names, e.Style.Ctx = s.own.names, ctx
	e.StatementTime = s.statementTime
}

// checkWritable refuses writes to users who may only read and in read-only transactions.
func (s *session) checkWritable(command string) error {
	if err := s.grants.checkWrite(command); err != nil {
		return err
	}
	if s.settings.isReadOnly() {
		return pgwire.Errorf(pgwire.CodeReadOnlyTransaction, "cannot execute %s in a read-only transaction", command)
	}
	return nil
}

// IdleTimeout is how long the client may be idle in the state the session is in.
func (s *session) IdleTimeout() time.Duration {
	if s.status == pgwire.TxIdle {
		return s.settings.idleTimeout
	}
	idle := s.settings.idleInBlock
	if left := s.transactionTimeLeft(); left > 0 && (idle == 0 || left < idle) {
		return left
	}
	return idle
}

// IdleError ends the session when its client was idle for so long.
func (s *session) IdleError() *pgwire.Error {
	const oneMoment = time.Millisecond // by which clocks may differ
	switch left := s.transactionTimeLeft(); {
	case s.status == pgwire.TxIdle:
		return pgwire.Errorf(pgwire.CodeIdleSessionTimeout, "terminating connection due to idle-session timeout")
	case left > 0 && left < oneMoment:
		return errTransactionTimeout()
	}
	return pgwire.Errorf(pgwire.CodeIdleInTransactionSessionTimeout, "terminating connection due to idle-in-transaction timeout")
}

// transactionTimeLeft is what is left of the transaction's time, at least a moment; 0: it has
// for ever.
func (s *session) transactionTimeLeft() time.Duration {
	timeout := s.settings.transactionTimeout
	if timeout == 0 || !s.tx.isOpen {
		return timeout
	}
	return max(timeout-s.handler.config.Now().Sub(s.tx.began), time.Nanosecond)
}

func errTransactionTimeout() *pgwire.Error {
	return &pgwire.Error{Severity: pgwire.SeverityFatal, Code: pgwire.CodeTransactionTimeout, Message: "terminating connection due to transaction timeout"}
}

// Greet tells what was ignored of the startup packet.
func (s *session) Greet(r *pgwire.Reply) {
	for _, n := range s.notices {
		r.Notice(n)
	}
	s.notices = nil
}

// warningsMax bounds the warnings of functions before one row.
const warningsMax = 100

// warn keeps a warning of a function until the next row is sent.
func (s *session) warn(e *pgwire.Error) {
	if e.Severity = pgwire.SeverityWarning; len(s.warnings) < warningsMax {
		s.warnings = append(s.warnings, e)
	}
}

func (s *session) sendWarnings(r *pgwire.Reply) {
	for _, w := range s.warnings {
		r.Notice(w)
	}
	s.warnings = s.warnings[:0]
}

// ReportSettings reports settings as ParameterStatus.
func (s *session) ReportSettings(report func(name, value string)) { s.settings.report(report) }

// Close ends the session. What a transaction had pending is dropped, leases go back.
func (s *session) Close() {
	s.tx.drop()
	if s.leases != nil {
		s.leases.Close()
	}
	if s.locks != nil {
		s.locks.Close()
	}
	s.endListening(false)
	s.applyListening(listenChange{stop: true})
}

var (
	_ pgwire.Session = (*session)(nil)
	_ pgwire.Idler   = (*session)(nil)
)
