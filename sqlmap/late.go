package sqlmap

import (
	"context"

	"pgcache/pgwire"
)

// late is what a statement refers to by a name that means something in a session only: a
// prepared statement, a cursor. It is looked up whenever the statement is used.
type late interface {
	// columns are the result columns now; nil without any, or if the name means nothing.
	columns(s *session) []pgwire.Column
	// endsTransaction is as for pgwire.Statement.
	endsTransaction(s *session) bool
	// bind makes a portal.
	bind(ctx context.Context, s *session, args *pgwire.BindArgs) (pgwire.Portal, error)
}

// statementOf is a plan in this session.
func (s *session) statementOf(p *plan) pgwire.Statement {
	if p.late != nil {
		return &lateStatement{s, p}
	}
	return &statement{session: s, plan: p}
}

// lateStatement implements pgwire.Statement.
type lateStatement struct {
	session *session
	plan    *plan
}

func (l *lateStatement) ParamOIDs() []uint32      { return l.plan.params }
func (l *lateStatement) Columns() []pgwire.Column { return l.plan.late.columns(l.session) }
func (l *lateStatement) EndsTransaction() bool    { return l.plan.late.endsTransaction(l.session) }

func (l *lateStatement) Bind(ctx context.Context, args *pgwire.BindArgs, _ pgwire.Portal) (pgwire.Portal, error) {
	return l.plan.late.bind(ctx, l.session, args)
}

var _ pgwire.Statement = (*lateStatement)(nil)
