package wiretest

import (
	"context"

	"pgcache/pgwire"
)

// ConstantHandler answers every statement with one row of the same fields. Its statements
// take the parameters the client declares, or one text parameter if the text has a $1; its
// fields are sent as they are, whatever format was asked for.
func ConstantHandler(columns []pgwire.Column, row [][]byte) pgwire.Handler {
	return constantHandler{&constantStatement{columns: columns, row: row}}
}

type constantHandler struct{ statement *constantStatement }

func (h constantHandler) NewSession(context.Context, *pgwire.ConnInfo) (pgwire.Session, error) {
	return &constantSession{
		withParam: &constantStatement{columns: h.statement.columns, row: h.statement.row, params: []uint32{textOID}},
		without:   []pgwire.Statement{h.statement},
	}, nil
}

const textOID = 25

type constantSession struct {
	withParam *constantStatement
	without   []pgwire.Statement
	reported  bool
}

func (s *constantSession) Prepare(_ context.Context, sql string, _ []uint32) (pgwire.Statement, error) {
	for i := 0; i+1 < len(sql); i++ {
		if sql[i] == '$' && sql[i+1] == '1' {
			return s.withParam, nil
		}
	}
	return s.without[0], nil
}

func (s *constantSession) PrepareSimple(context.Context, string) ([]pgwire.Statement, error) {
	return s.without, nil
}

func (s *constantSession) TxStatus() pgwire.TxStatus      { return pgwire.TxIdle }
func (s *constantSession) Fail()                          {}
func (s *constantSession) EndCycle(context.Context) error { return nil }
func (s *constantSession) Close()                         {}

func (s *constantSession) ReportSettings(report func(name, value string)) {
	if s.reported {
		return
	}
	s.reported = true
	report("client_encoding", "UTF8")
	report("DateStyle", "ISO, MDY")
	report("integer_datetimes", "on")
	report("server_version", "16.0 (constant)")
	report("standard_conforming_strings", "on")
}

type constantStatement struct {
	columns []pgwire.Column
	row     [][]byte
	params  []uint32
}

func (s *constantStatement) ParamOIDs() []uint32      { return s.params }
func (s *constantStatement) Columns() []pgwire.Column { return s.columns }
func (s *constantStatement) EndsTransaction() bool    { return false }

func (s *constantStatement) Bind(_ context.Context, _ *pgwire.BindArgs, recycle pgwire.Portal) (pgwire.Portal, error) {
	p, ok := recycle.(*constantPortal)
	if !ok {
		p = &constantPortal{}
	}
	p.row = s.row
	return p, nil
}

type constantPortal struct{ row [][]byte }

func (p *constantPortal) Execute(_ context.Context, r *pgwire.Reply, _ bool) (pgwire.Completion, error) {
	r.StartRow(len(p.row))
	for _, field := range p.row {
		if field == nil {
			r.Null()
		} else {
			r.Large(field)
		}
	}
	r.EndRow()
	return pgwire.Completion{Tag: "SELECT", Rows: 1, HasRows: true}, nil
}

func (p *constantPortal) Close() {}

// IsQuick says so: it is the baseline.
func (p *constantPortal) IsQuick() bool { return true }
