package pgwire_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"pgcache/pgwire"
)

// fakeHandler understands the few statements of the transcripts, and some of its own:
// BLOCK waits to be cancelled, PANIC panics in the middle of a row, BROKEN fails with an error
// that is no *Error.
type fakeHandler struct {
	// blocked, if set, is sent to when a BLOCK begins to wait.
	blocked chan struct{}
	// closed, if set, is sent to when a session is closed.
	closed chan struct{}
	// openErr is returned by NewSession.
	openErr error
	// endErr, if set, is asked for the error of each EndCycle.
	endErr func() error
}

func (h *fakeHandler) NewSession(_ context.Context, info *pgwire.ConnInfo) (pgwire.Session, error) {
	if h.openErr != nil {
		return nil, h.openErr
	}
	s := &fakeSession{handler: h, names: info.Names, status: pgwire.TxIdle, settings: map[string]string{}}
	for _, setting := range info.Settings {
		s.settings[setting.Name] = setting.Value
	}
	return s, nil
}

type fakeSession struct {
	handler        *fakeHandler
	names          *pgwire.Names
	status         pgwire.TxStatus
	failed         bool
	settings, kept map[string]string // kept: as they were at BEGIN
	reported       *string           // the application_name; nil: nothing yet
}

func (s *fakeSession) TxStatus() pgwire.TxStatus { return s.status }

func (s *fakeSession) Close() {
	if s.handler.closed != nil {
		s.handler.closed <- struct{}{}
	}
}

func (s *fakeSession) Fail() {
	if s.status == pgwire.TxBlock {
		s.status = pgwire.TxFailed
	}
}

func (s *fakeSession) EndCycle(context.Context) error {
	if s.handler.endErr != nil {
		return s.handler.endErr()
	}
	return nil
}

func (s *fakeSession) ReportSettings(report func(name, value string)) {
	if s.reported == nil {
		report("server_version", "16.0 (fake)")
	}
	if name := s.settings["application_name"]; s.reported == nil || *s.reported != name {
		report("application_name", name)
		s.reported = &name
	}
}

var (
	setStatement   = regexp.MustCompile(`^SET application_name = '(.*)'$`)
	dealStatement  = regexp.MustCompile(`^DEALLOCATE (.*)$`)
	lineComment    = regexp.MustCompile(`--.*`)
	blankStatement = regexp.MustCompile(`^\s*$`)
)

func (s *fakeSession) split(sql string) ([]string, error) {
	var out []string
	for _, text := range strings.Split(lineComment.ReplaceAllString(sql, ""), ";") {
		if blankStatement.MatchString(text) {
			continue
		}
		text = strings.TrimSpace(text)
		if strings.HasPrefix(text, "SELEC ") {
			return nil, &pgwire.Error{Code: pgwire.CodeSyntaxError, Message: `syntax error at or near "SELEC"`, Position: strings.Index(sql, "SELEC ") + 1}
		}
		out = append(out, text)
	}
	return out, nil
}

func (s *fakeSession) Prepare(_ context.Context, sql string, _ []uint32) (pgwire.Statement, error) {
	texts, err := s.split(sql)
	if err != nil {
		return nil, err
	}
	switch len(texts) {
	case 0:
		return &fakeStatement{session: s, tag: pgwire.TagEmpty}, nil
	case 1:
		return s.plan(texts[0])
	}
	return nil, pgwire.Errorf(pgwire.CodeSyntaxError, "cannot insert multiple commands into a prepared statement")
}

func (s *fakeSession) PrepareSimple(_ context.Context, sql string) ([]pgwire.Statement, error) {
	texts, err := s.split(sql)
	var out []pgwire.Statement
	for _, text := range texts {
		statement, err := s.plan(text)
		var e *pgwire.Error
		if errors.As(err, &e) {
			statement = &fakeStatement{session: s, run: func() error { return e }, failBind: true}
		}
		if f := statement.(*fakeStatement); len(f.params) > 0 {
			return nil, &pgwire.Error{Code: pgwire.CodeUndefinedParameter, Message: "there is no parameter $1", Position: strings.Index(sql, "$1") + 1}
		}
		out = append(out, statement)
	}
	return out, err
}

func column(name string, oid uint32, size int16) []pgwire.Column {
	return []pgwire.Column{{Name: name, TypeOID: oid, TypeSize: size, TypeModifier: -1}}
}

// plan makes a statement of a text. What is not known has no such column.
func (s *fakeSession) plan(text string) (pgwire.Statement, error) {
	f := &fakeStatement{session: s, tag: text}
	one := binary.BigEndian.AppendUint32(nil, 1)
	switch {
	case text == "SELECT 1":
		f.columns, f.rows = column("?column?", 23, 4), []fakeValue{{"1", one}}
	case text == "SELECT 'x'::bytea":
		f.columns, f.rows = column("bytea", 17, -1), []fakeValue{{`\x78`, []byte("x")}}
	case text == "SELECT $1::text":
		f.columns, f.params = column("text", 25, -1), []uint32{25}
	case text == "VALUES (1),(2),(3)":
		f.columns = column("column1", 23, 4)
		for i := range uint32(3) {
			f.rows = append(f.rows, fakeValue{fmt.Sprint(i + 1), binary.BigEndian.AppendUint32(nil, i+1)})
		}
	case strings.HasPrefix(text, "COPY "):
		f.special = text
	case strings.HasPrefix(text, "SELECT repeat"):
		f.columns = column("repeat", 17, -1)
		var n int
		fmt.Sscanf(text, "SELECT repeat %d", &n)
		f.rows = []fakeValue{{strings.Repeat("r", n), nil}}
	case text == "BEGIN", text == "COMMIT", text == "ROLLBACK":
		f.notice, f.ends = s.transactionNotice(text), text != "BEGIN"
		f.run = func() error { return s.transaction(f) }
	case setStatement.MatchString(text):
		f.tag = "SET"
		f.run = func() error { s.settings["application_name"] = setStatement.FindStringSubmatch(text)[1]; return nil }
	case text == "SHOW application_name":
		f.tag = "SHOW"
		f.columns, f.show = column("application_name", 25, -1), true
	case dealStatement.MatchString(text), text == "DISCARD ALL":
		f.run = func() error { return s.drop(f, text) }
	case text == "BLOCK", text == "PANIC", text == "BROKEN":
		f.columns, f.special = column("c", 25, -1), text
	default:
		position := strings.Index(text, "nosuch") + 1
		return nil, &pgwire.Error{Code: pgwire.CodeUndefinedColumn, Message: `column "nosuch" does not exist`, Position: position}
	}
	return f, nil
}

// transactionNotice gives the warning, if any, when the statement runs.
func (s *fakeSession) transactionNotice(text string) func() *pgwire.Error {
	return func() *pgwire.Error {
		warning := func(code pgwire.Code, message string) *pgwire.Error {
			return &pgwire.Error{Severity: pgwire.SeverityWarning, Code: code, Message: message}
		}
		switch {
		case text == "BEGIN" && s.status != pgwire.TxIdle:
			return warning(pgwire.CodeActiveTransaction, "there is already a transaction in progress")
		case text != "BEGIN" && s.status == pgwire.TxIdle:
			return warning(pgwire.CodeNoActiveTransaction, "there is no transaction in progress")
		}
		return nil
	}
}

func (s *fakeSession) transaction(f *fakeStatement) error {
	text := f.tag
	if text == "BEGIN" {
		if s.status == pgwire.TxIdle {
			s.kept = map[string]string{"application_name": s.settings["application_name"]}
		}
		s.status = pgwire.TxBlock
		return nil
	}
	if s.status == pgwire.TxFailed {
		f.tag = "ROLLBACK"
	}
	if s.status != pgwire.TxIdle && f.tag == "ROLLBACK" {
		s.settings = s.kept
	}
	s.status = pgwire.TxIdle
	return nil
}

func (s *fakeSession) drop(f *fakeStatement, text string) error {
	switch text {
	case "DISCARD ALL":
		if s.status != pgwire.TxIdle {
			return pgwire.Errorf(pgwire.CodeActiveTransaction, "DISCARD ALL cannot run inside a transaction block")
		}
		s.names.DropAllStatements()
		s.names.DropAllPortals()
		s.settings["application_name"] = ""
	case "DEALLOCATE ALL":
		f.tag = "DEALLOCATE ALL"
		s.names.DropAllStatements()
	default:
		name := dealStatement.FindStringSubmatch(text)[1]
		f.tag = "DEALLOCATE"
		if !s.names.DropStatement(name) {
			return pgwire.Errorf(pgwire.CodeInvalidStatementName, "prepared statement %q does not exist", name)
		}
	}
	return nil
}

type fakeValue struct {
	text   string
	binary []byte
}

type fakeStatement struct {
	session  *fakeSession
	tag      string
	columns  []pgwire.Column
	rows     []fakeValue
	params   []uint32
	ends     bool
	show     bool
	special  string
	failBind bool
	notice   func() *pgwire.Error
	run      func() error
}

func (f *fakeStatement) ParamOIDs() []uint32      { return f.params }
func (f *fakeStatement) Columns() []pgwire.Column { return f.columns }
func (f *fakeStatement) EndsTransaction() bool    { return f.ends }

func (f *fakeStatement) Bind(_ context.Context, args *pgwire.BindArgs, _ pgwire.Portal) (pgwire.Portal, error) {
	if f.failBind {
		return nil, f.run()
	}
	p := &fakePortal{statement: f, args: args, rows: f.rows}
	if len(f.params) > 0 {
		value := args.Params[0]
		if args.ParamFormats[0] == pgwire.Binary && strings.Contains(string(value), "\xff") {
			return nil, pgwire.Errorf(pgwire.CodeCharacterNotInRepertoire, `invalid byte sequence for encoding "UTF8": 0xff`)
		}
		p.rows = []fakeValue{{string(value), value}}
		p.null = value == nil
	}
	if f.show {
		p.rows = []fakeValue{{f.session.settings["application_name"], nil}}
	}
	return p, nil
}

type fakePortal struct {
	statement *fakeStatement
	args      *pgwire.BindArgs
	rows      []fakeValue
	null      bool
	closed    bool
}

func (p *fakePortal) Execute(ctx context.Context, r *pgwire.Reply, _ bool) (pgwire.Completion, error) {
	f := p.statement
	if strings.HasPrefix(f.special, "COPY") {
		return copyFake(ctx, r, f.special)
	}
	switch f.special {
	case "BLOCK":
		done := ctx.Done()
		if f.session.handler.blocked != nil {
			f.session.handler.blocked <- struct{}{}
		}
		<-done
		return pgwire.Completion{}, fmt.Errorf("blocked: %w", ctx.Err())
	case "PANIC":
		r.StartRow(2)
		r.Bytes([]byte("half"))
		panic("at the disco")
	case "BROKEN":
		return pgwire.Completion{}, errors.New("secret")
	}
	if f.notice != nil {
		if notice := f.notice(); notice != nil {
			r.Notice(notice)
		}
	}
	if f.run != nil {
		if err := f.run(); err != nil {
			return pgwire.Completion{}, err
		}
	}
	done := pgwire.Completion{Tag: f.tag}
	for ; len(p.rows) > 0; p.rows = p.rows[1:] {
		if r.Full() {
			return pgwire.Completion{Suspended: true}, nil
		}
		p.row(r, p.rows[0])
		done.Rows++
	}
	if f.columns != nil && !f.show {
		done.Tag, done.HasRows = "SELECT", true
	}
	return done, nil
}

// copyFake counts the lines it gets, or sends three; a line that says bad is one, one that
// says end is the last it looks at, and one that says panic is just that.
func copyFake(ctx context.Context, r *pgwire.Reply, text string) (pgwire.Completion, error) {
	done := pgwire.Completion{Tag: "COPY", HasRows: true}
	if strings.HasPrefix(text, "COPY (SELECT 1/") {
		r.BeginCopyOut(pgwire.Text, []pgwire.Format{pgwire.Text})
		r.EndCopyData(append(r.BeginCopyData(), "1\n"...))
		return done, pgwire.Errorf(pgwire.CodeDivisionByZero, "division by zero")
	}
	if strings.Contains(text, "TO STDOUT") {
		r.BeginCopyOut(pgwire.Text, []pgwire.Format{pgwire.Text})
		for ; done.Rows < 3; done.Rows++ {
			r.EndCopyData(fmt.Appendln(r.BeginCopyData(), done.Rows+1))
		}
		r.EndCopyOut()
		return done, nil
	}
	in, rest := r.CopyIn(ctx, pgwire.Text, make([]pgwire.Format, 3)), ""
	for {
		data, err := in.Next()
		if err == io.EOF {
			return done, nil
		}
		if err != nil {
			return done, fmt.Errorf("copy: %w", err)
		}
		lines := strings.Split(rest+string(data), "\n")
		rest = lines[len(lines)-1]
		for _, line := range lines[:len(lines)-1] {
			switch line {
			case "bad":
				return done, pgwire.Errorf(pgwire.CodeBadCopyFileFormat, "missing data for column %q", "key")
			case `\.`:
				return done, nil
			case "panic":
				panic("in a copy")
			}
			done.Rows++
		}
	}
}

func (p *fakePortal) row(r *pgwire.Reply, value fakeValue) {
	r.StartRow(1)
	switch {
	case p.null:
		r.Null()
	case p.args.ResultFormats[0] == pgwire.Binary:
		r.Bytes(value.binary)
	default:
		r.Large([]byte(value.text))
	}
	r.EndRow()
}

func (p *fakePortal) Close() {
	if p.closed {
		panic("portal closed twice")
	}
	p.closed = true
}
