package sqlmap

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// clockStart is what the clock of tests shows at first.
var clockStart = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// world is a cache with a handler and sessions by name, on a clock that a test moves.
type world struct {
	t        testing.TB
	passed   atomic.Int64 // ns since clockStart; others read the clock, too
	cache    *cache.Cache
	handler  *Handler
	sessions map[string]*session
	copyData string // for the next COPY FROM STDIN
	forms    forms
}

func (w *world) now() time.Time { return clockStart.Add(time.Duration(w.passed.Load())) }

func newWorld(t testing.TB, change func(*Config, *cache.Config)) *world {
	t.Helper()
	w := &world{t: t, sessions: map[string]*session{}}
	cacheConfig := cache.Config{L1BytesMax: 16 << 20, Now: w.now, Random: func() uint64 { return 0 }}
	config := Config{Version: "0.1.0", Now: w.now, Settings: []SettingRow{
		{Name: "l1_bytes", Value: "16777216", Unit: "bytes", Source: "default", Description: "Memory for entries."},
		{Name: "listen", Value: "127.0.0.1:7432", Unit: "", Source: "flag", Description: "Address to listen on."},
	}}
	if change != nil {
		change(&config, &cacheConfig)
	}
	var err error
	if w.cache, err = cache.Open(cacheConfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.cache.Close(context.Background()) })
	config.Cache = w.cache
	if w.handler, err = New(config); err != nil {
		t.Fatal(err)
	}
	return w
}

// session finds or begins a session.
func (w *world) session(name string) *session {
	if s := w.sessions[name]; s != nil {
		return s
	}
	s, err := w.handler.NewSession(context.Background(), &pgwire.ConnInfo{Identity: pgwire.Identity{Role: pgwire.RoleAdmin}, ProcessID: 7, User: "me", Database: "db", Started: clockStart, Names: pgwire.NewNames(pgwire.Limits{})})
	if err != nil {
		w.t.Fatal(err)
	}
	w.sessions[name] = s.(*session)
	return s.(*session)
}

// transcript is what a client saw.
type transcript struct {
	strings.Builder
	columns []pgwire.Column
	style   *types.Style // rows are binary, and shown as this says
}

func (t *transcript) error(kind string, e *pgwire.Error) {
	if e.Severity != "" {
		kind = string(e.Severity)
	}
	fmt.Fprintf(t, "%s %s: %s", kind, e.Code, e.Message)
	if e.Position > 0 {
		fmt.Fprintf(t, " (at %d)", e.Position)
	}
	t.WriteByte('\n')
	for _, field := range []struct{ name, text string }{{"DETAIL", e.Detail}, {"HINT", e.Hint}, {"CONSTRAINT", e.Constraint}, {"CONTEXT", copyWhere(e.Where)}} {
		if field.text != "" {
			fmt.Fprintf(t, "  %s: %s\n", field.name, field.text)
		}
	}
}

// copyWhere is the context of an error, if it is about a COPY.
func copyWhere(where string) string {
	if strings.HasPrefix(where, "COPY ") {
		return where
	}
	return ""
}

// NextCopyData gives COPY FROM STDIN what the test has for it, a few bytes at a time.
func (w *world) NextCopyData(context.Context) ([]byte, error) {
	if w.copyData == "" {
		return nil, io.EOF
	}
	piece := w.copyData[:min(7, len(w.copyData))]
	w.copyData = w.copyData[len(piece):]
	return []byte(piece), nil
}

// wire reads what a portal has sent: rows as text, and notices.
func (t *transcript) wire(sent []byte) {
	for len(sent) >= 5 {
		kind, size := sent[0], int(binary.BigEndian.Uint32(sent[1:]))
		body := sent[5 : size+1]
		sent = sent[size+1:]
		switch kind {
		case 'D':
			t.row(body)
		case 'd':
			if bytes.IndexByte(body, 0) >= 0 {
				fmt.Fprintf(t, "> %x\n", body)
			} else {
				fmt.Fprintf(t, "> %s", body)
			}
		case 'N':
			fields := map[byte]string{}
			for _, f := range bytes.Split(bytes.TrimRight(body, "\x00"), []byte{0}) {
				fields[f[0]] = string(f[1:])
			}
			fmt.Fprintf(t, "%s %s: %s\n", fields['S'], fields['C'], fields['M'])
		}
	}
}

func (t *transcript) row(body []byte) {
	n := int(binary.BigEndian.Uint16(body))
	body = body[2:]
	for i := range n {
		if i > 0 {
			t.WriteString(" | ")
		}
		size := int32(binary.BigEndian.Uint32(body))
		body = body[4:]
		if size < 0 {
			t.WriteString("∅")
			continue
		}
		t.field(i, body[:size])
		body = body[size:]
	}
	t.WriteByte('\n')
}

func (t *transcript) field(i int, raw []byte) {
	if t.style != nil && len(raw) > 0 { // what is empty, void for one, shows as such
		oid := types.OID(t.columns[i].TypeOID)
		v, err := types.ParseBinary(oid, raw)
		switch {
		case errors.Is(err, types.ErrNoInput): // that of a record is not read, for one
			raw = fmt.Appendf(nil, "%x", raw)
		case err != nil:
			raw = fmt.Appendf(nil, "%x: %v", raw, err)
		default:
			raw = types.AppendText(nil, oid, v, t.style)
		}
	}
	t.Write(raw)
}

// failed shows an error and tells the session.
func (t *transcript) failed(s *session, err error) {
	var e *pgwire.Error
	switch {
	case errors.As(err, &e):
		t.error("ERROR", e)
	default:
		fmt.Fprintf(t, "not for clients: %v\n", err)
	}
	s.Fail()
}

// simple runs a text as a Query message, or as w.forms says.
func (w *world) simple(s *session, sql string) string {
	if out, ok := w.extended(s, sql); ok {
		return out
	}
	var t transcript
	ctx := context.Background()
	statements, err := s.PrepareSimple(ctx, sql)
	if err != nil {
		t.failed(s, err)
	}
	for _, statement := range statements {
		if !w.runStatement(&t, s, statement, nil, len(statements) == 1) {
			break
		}
	}
	w.endCycle(&t, s)
	return t.String()
}

// endCycle does what the server does before ReadyForQuery.
func (w *world) endCycle(t *transcript, s *session) {
	if err := s.EndCycle(context.Background()); err != nil {
		t.failed(s, err)
	}
	if s.TxStatus() == pgwire.TxIdle {
		s.info.Names.EndTransaction()
	}
}

// runStatement binds and executes one statement with parameters as text.
func (w *world) runStatement(t *transcript, s *session, statement pgwire.Statement, params []string, isAlone bool) bool {
	ctx := context.Background()
	if s.TxStatus() == pgwire.TxFailed && !statement.EndsTransaction() {
		t.WriteString("ERROR 25P02: current transaction is aborted\n")
		return false
	}
	portal, err := statement.Bind(ctx, w.bindArgs(t, s, statement, params), nil)
	if err != nil {
		t.failed(s, err)
		return false
	}
	defer portal.Close()
	var sent bytes.Buffer
	reply := pgwire.NewReply(&sent, 0)
	reply.SetCopySource(w)
	done, err := portal.Execute(ctx, reply, isAlone && s.TxStatus() == pgwire.TxIdle)
	reply.Flush()
	if err == nil && statement.Columns() != nil {
		t.head(statement.Columns())
	}
	t.wire(sent.Bytes())
	if err != nil {
		t.failed(s, err)
		return false
	}
	if done.HasRows {
		fmt.Fprintf(t, "%s %d\n", done.Tag, done.Rows)
	} else {
		fmt.Fprintf(t, "%s\n", done.Tag)
	}
	return true
}

// bindArgs are parameters, given as text, and formats of results, as w.forms says.
func (w *world) bindArgs(t *transcript, s *session, statement pgwire.Statement, params []string) *pgwire.BindArgs {
	args := &pgwire.BindArgs{ResultFormats: make([]pgwire.Format, len(statement.Columns()))}
	var env query.Env
	s.env(context.Background(), &env)
	style := env.Style
	if w.forms.binary {
		t.columns, t.style = statement.Columns(), &style
		for i := range args.ResultFormats {
			args.ResultFormats[i] = pgwire.Binary
		}
	}
	for i, p := range params {
		raw, format := []byte(p), pgwire.Text
		if oid := types.OID(statement.ParamOIDs()[i]); w.forms.binary {
			if v, err := types.ParseText(oid, raw, &style); err == nil && p != "NULL" {
				raw, format = types.AppendBinary([]byte{}, oid, v), pgwire.Binary
			}
		}
		if p == "NULL" {
			raw = nil
		}
		args.Params, args.ParamFormats = append(args.Params, raw), append(args.ParamFormats, format)
	}
	return args
}

func (t *transcript) head(columns []pgwire.Column) {
	parts := make([]string, len(columns))
	for i, c := range columns {
		parts[i] = c.Name + ":" + typeName(c.TypeOID)
	}
	fmt.Fprintf(t, "[%s]\n", strings.Join(parts, ", "))
}

func typeName(oid uint32) string {
	if t := types.Lookup(types.OID(oid)); t != nil {
		return t.Internal
	}
	return fmt.Sprint(oid) // one that only the catalog has
}

// prepared runs a text as Parse, Bind, Execute, Sync. A first line that begins with
// "-- with" has the parameters, separated by |.
func (w *world) prepared(s *session, sql string) string {
	var t transcript
	var params []string
	if rest, ok := strings.CutPrefix(sql, "-- with "); ok {
		var line string
		line, sql, _ = strings.Cut(rest, "\n")
		params = strings.Split(line, " | ")
	}
	ctx := context.Background()
	statement, err := s.Prepare(ctx, sql, nil)
	if err != nil {
		t.failed(s, err)
	} else {
		names := make([]string, len(statement.ParamOIDs()))
		for i, oid := range statement.ParamOIDs() {
			names[i] = typeName(oid)
		}
		fmt.Fprintf(&t, "(%s)\n", strings.Join(names, ", "))
		for len(params) < len(names) {
			params = append(params, "NULL")
		}
		w.runStatement(&t, s, statement, params, true)
	}
	w.endCycle(&t, s)
	return t.String()
}

// TestSQL runs testdata/sql. Commands:
//
//	query [session=name]                a simple Query; each block is one message
//	prepared [session=name]             Parse, Bind, Execute, Sync; parameters in "-- with a | b"
//	lines [session=name]                each line is a Query of its own
//	advance ms=1000                     moves the clock
//	copy [session=name]                 a Query of COPY FROM STDIN, and its data, "hex …" if binary
//	close session=name                  the client goes away
func TestSQL(t *testing.T) {
	datadriven.Walk(t, "../testdata/sql", func(t *testing.T, path string) {
		runSQL(t, path, newWorld(t, func(c *Config, _ *cache.Config) { c.Limits.TransactionBytesMax = 64 << 10 }))
	})
}

// TestSQLWithDiskTier runs the files that do not show which tier an entry is in.
func TestSQLWithDiskTier(t *testing.T) {
	for _, path := range []string{"../testdata/sql/scans.txt"} {
		t.Run(path, func(t *testing.T) {
			runSQL(t, path, withTier(t))
		})
	}
}

func runSQL(t *testing.T, path string, w *world) {
	datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
		return w.forms.sameAs(d.Expected, w.runCommand(t, d))
	})
}

// runCommand runs one block of a file.
func (w *world) runCommand(t *testing.T, d *datadriven.TestData) string {
	s := w.session("main")
	if arg, ok := d.Arg("session"); ok {
		s = w.session(arg.Vals[0])
	}
	switch d.Cmd {
	case "query":
		return w.simple(s, d.Input)
	case "lines":
		var out strings.Builder
		for _, line := range strings.Split(d.Input, "\n") {
			out.WriteString(w.simple(s, line))
		}
		return out.String()
	case "prepared":
		return w.prepared(s, d.Input)
	case "copy":
		var sql string
		sql, w.copyData, _ = strings.Cut(d.Input, "\n")
		if data, ok := strings.CutPrefix(w.copyData, "hex "); ok {
			raw, err := hex.DecodeString(strings.ReplaceAll(data, " ", ""))
			if err != nil {
				t.Fatal(err)
			}
			w.copyData = string(raw)
		} else {
			w.copyData += "\n"
		}
		return w.simple(s, sql)
	case "close":
		s.Close()
		delete(w.sessions, d.CmdArgs[0].Vals[0])
		return ""
	case "advance":
		var ms int
		d.ScanArgs(t, "ms", &ms)
		w.passed.Add(int64(time.Duration(ms) * time.Millisecond))
		return ""
	}
	t.Fatalf("unknown command %s", d.Cmd)
	return ""
}
