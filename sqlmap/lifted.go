package sqlmap

import (
	"context"
	"errors"
	"slices"
	"strconv"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// liftedStatement is a statement of a simple Query whose literals were lifted out of its
// text: the plan of its shape, with the literals as parameters. A session has one, since a
// Query of one statement is over before the next begins.
type liftedStatement struct {
	statement
	sql    string
	args   pgwire.BindArgs
	values []byte // what args.Params point into
	result [1]pgwire.Statement
}

// ParamOIDs: to the client there are no parameters.
func (l *liftedStatement) ParamOIDs() []uint32 { return nil }

// Bind binds the literals. What is wrong with one of them the text itself tells better.
func (l *liftedStatement) Bind(ctx context.Context, args *pgwire.BindArgs, recycle pgwire.Portal) (pgwire.Portal, error) {
	l.args.ResultFormats = args.ResultFormats
	p, err := l.statement.Bind(ctx, &l.args, recycle)
	if err == nil {
		return p, nil
	}
	plans, err := l.session.plansOf(l.sql, nil, true)
	if err != nil {
		return nil, err // with the position
	}
	return (&statement{session: l.session, plan: plans[0]}).Bind(ctx, args, recycle)
}

// lifting is what a session needs for simple Queries.
type lifting struct {
	lifter    lifter
	statement liftedStatement
}

// asWritten is the error of a lifted statement as its text would have failed: where a
// literal is at fault, when it is planned.
func (s *session) asWritten(err error) error {
	if _, planErr := s.plansOf(s.lifting.statement.sql, nil, true); planErr != nil {
		return planErr
	}
	if e := (*pgwire.Error)(nil); errors.As(err, &e) {
		e.Position = 0
	}
	return err
}

// lifted finds or makes the plan of the shape of a text. It returns nil for a text that
// has to be planned as it is.
func (s *session) lifted(sql string) ([]pgwire.Statement, error) {
	if s.lifting == nil {
		s.lifting = &lifting{}
	}
	l := &s.lifting.lifter
	if len(sql) > s.handler.limits.StatementBytesMax || !l.lift(sql) {
		return nil, nil
	}
	defer l.trim()
	plans, known := s.handler.plans.find(l.shape)
	if !known {
		var err error
		if plans, err = s.planShape(l, sql); err != nil {
			return nil, err
		}
	}
	if len(plans) == 0 {
		return nil, nil
	}
	out := &s.lifting.statement
	if cap(out.values) > scratchBytesMax {
		out.values = nil
	}
	out.statement, out.sql = statement{session: s, plan: plans[0]}, sql
	out.args.Params, out.args.ParamFormats, out.values = out.args.Params[:0], out.args.ParamFormats[:0], out.values[:0]
	out.values = slices.Grow(out.values, len(sql)) // so that it is not moved
	for i := range l.literals {
		start := len(out.values)
		out.values = l.literals[i].appendValue(out.values, sql)
		out.args.Params = append(out.args.Params, out.values[start:len(out.values):len(out.values)])
		out.args.ParamFormats = append(out.args.ParamFormats, pgwire.Text)
	}
	out.result[0] = out
	return out.result[:], nil
}

// trim gives back what a long text needed.
func (l *lifter) trim() {
	if cap(l.shape) > scratchBytesMax {
		l.shape = nil
	}
	if cap(l.literals) > literalsMax/4 {
		l.literals = nil
	}
	l.sql = ""
}

// planShape plans the shape of a text and keeps the plan; none if the shape cannot stand
// for the text. The error is that of the text.
func (s *session) planShape(l *lifter, sql string) ([]*plan, error) {
	stmts, err := s.handler.parse(sql)
	if err != nil {
		return nil, err
	}
	var plans []*plan
	if len(stmts) == 1 && isLiftable(stmts[0].Stmt) && l.agreesWithScanner() {
		asWritten, err := newPlan(s, sql, stmts[0].Stmt, nil, true)
		if err != nil {
			return nil, err
		}
		if p := s.planParametrised(l); p != nil && slices.Equal(p.columns, asWritten.columns) {
			p.isLifted = true
			plans = []*plan{p}
		}
	}
	s.handler.plans.put(l.shape, plans)
	return plans, nil
}

// planParametrised plans the text with parameters in place of its literals, typed as the
// literals are; nil if there is no such plan.
func (s *session) planParametrised(l *lifter) *plan {
	sql := l.parametrised()
	stmts, err := s.handler.parse(sql)
	if err != nil || len(stmts) != 1 {
		return nil // a place where the grammar has literals only
	}
	declared := make([]uint32, len(l.literals))
	for i := range l.literals {
		declared[i] = uint32(types.Unknown)
		if l.literals[i].isInteger {
			declared[i] = uint32(types.Int4)
		}
	}
	p, err := newPlan(s, sql, stmts[0].Stmt, declared, false)
	if err != nil || len(p.params) != len(l.literals) {
		return nil
	}
	return p
}

// agreesWithScanner reports that PostgreSQL's own scanner finds the literals in the same
// places. Where it does for one text of a shape it does for all: they differ only in
// what is between the quotes, and in digits.
func (l *lifter) agreesWithScanner() bool {
	scanned, err := pg_query.Scan(l.sql)
	if err != nil {
		return false
	}
	next := 0
	for _, token := range scanned.Tokens {
		if next == len(l.literals) {
			break
		}
		want := l.literals[next]
		if int(token.Start) < want.start {
			continue
		}
		kind := pg_query.Token_SCONST
		if want.isInteger {
			kind = pg_query.Token_ICONST
		}
		if int(token.Start) != want.start || int(token.End) != want.end || token.Token != kind {
			return false
		}
		next++
	}
	return next == len(l.literals)
}

// isLiftable reports the statements in which a constant means the same as a parameter:
// those on entries. What a SELECT on other relations means may depend on its constants.
func isLiftable(n *pg_query.Node) bool {
	switch n := n.Node.(type) {
	case *pg_query.Node_InsertStmt, *pg_query.Node_UpdateStmt, *pg_query.Node_DeleteStmt, *pg_query.Node_CallStmt:
		return true
	case *pg_query.Node_SelectStmt:
		s := n.SelectStmt
		if s.WithClause != nil || s.Op != pg_query.SetOperation_SETOP_NONE || len(s.ValuesLists) > 0 || len(s.GroupClause) > 0 || len(s.FromClause) > 1 {
			return false
		}
		if len(s.FromClause) == 0 {
			return len(s.TargetList) == 1 && s.TargetList[0].GetResTarget().GetVal().GetFuncCall() != nil
		}
		r := s.FromClause[0].GetRangeVar()
		return r != nil && (r.Relname == "blob" || r.Relname == "cache_entries") || s.FromClause[0].GetRangeFunction() != nil
	}
	return false
}

func parameter(n int) string { return "$" + strconv.Itoa(n) }
