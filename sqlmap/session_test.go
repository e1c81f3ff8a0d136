package sqlmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"testing"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// getBench is a prepared get and the arguments for it.
func getBench(t testing.TB, w *world, value []byte) (*session, pgwire.Statement, *pgwire.BindArgs) {
	t.Helper()
	ctx := context.Background()
	d := cache.NewDraft(value)
	if _, err := w.cache.Put(ctx, cache.K("bench", "key"), &d); err != nil {
		t.Fatal(err)
	}
	s := w.session("main")
	statement, err := s.Prepare(ctx, "SELECT value FROM blob WHERE ns = $1 AND key = $2", nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, statement, &pgwire.BindArgs{
		Params:        [][]byte{[]byte("bench"), []byte("key")},
		ParamFormats:  []pgwire.Format{pgwire.Text, pgwire.Binary},
		ResultFormats: []pgwire.Format{pgwire.Binary},
	}
}

func TestPreparedGetAllocatesNothing(t *testing.T) {
	w := newWorld(t, nil)
	_, statement, args := getBench(t, w, make([]byte, 1024))
	ctx := context.Background()
	reply := pgwire.NewReply(io.Discard, 0)
	var portal pgwire.Portal
	run := func() {
		var err error
		if portal, err = statement.Bind(ctx, args, portal); err != nil {
			t.Fatal(err)
		}
		done, err := portal.Execute(ctx, reply, true)
		if err != nil || done.Rows != 1 {
			t.Fatal(done, err)
		}
		portal.Close()
		reply.Flush()
	}
	run()
	if allocs := testing.AllocsPerRun(200, run); allocs > 0 {
		t.Errorf("a prepared get allocates %v times", allocs)
	}
}

func BenchmarkPreparedGet(b *testing.B) {
	w := newWorld(b, nil)
	_, statement, args := getBench(b, w, make([]byte, 1024))
	ctx := context.Background()
	reply := pgwire.NewReply(io.Discard, 0)
	var portal pgwire.Portal
	for b.Loop() {
		portal, _ = statement.Bind(ctx, args, portal)
		portal.Execute(ctx, reply, true)
		portal.Close()
		reply.Flush()
	}
}

func BenchmarkPrepareKnownText(b *testing.B) {
	w := newWorld(b, nil)
	s := w.session("main")
	for b.Loop() {
		s.Prepare(context.Background(), "SELECT value FROM blob WHERE ns = $1 AND key = $2", []uint32{25, 25})
	}
}

func BenchmarkSimpleGetNewText(b *testing.B) {
	w := newWorld(b, nil)
	s := w.session("main")
	i := 0
	for b.Loop() {
		i++
		if _, err := s.PrepareSimple(context.Background(), fmt.Sprintf("SELECT value FROM blob WHERE ns = 'bench' AND key = 'k%d'", i)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPreparedUpsert(b *testing.B) {
	benchmarkWrite(b, "INSERT INTO blob (ns, key, value) VALUES ($1, $2, $3) ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value")
}

// BenchmarkPreparedUpsertComputed has expressions that are more than parameters and columns.
func BenchmarkPreparedUpsertComputed(b *testing.B) {
	benchmarkWrite(b, "INSERT INTO blob (ns, key, value, expires_at) VALUES ($1, $2, $3, now() + interval '5 min') "+
		"ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value, version = coalesce(blob.version, 0) + 1")
}

func benchmarkWrite(b *testing.B, sql string) {
	w := newWorld(b, nil)
	ctx := context.Background()
	statement, err := w.session("main").Prepare(ctx, sql, nil)
	if err != nil {
		b.Fatal(err)
	}
	args := &pgwire.BindArgs{Params: [][]byte{[]byte("bench"), []byte("key"), make([]byte, 1024)}, ParamFormats: []pgwire.Format{0, 0, 1}}
	reply := pgwire.NewReply(io.Discard, 0)
	var portal pgwire.Portal
	for b.Loop() {
		portal, _ = statement.Bind(ctx, args, portal)
		if _, err := portal.Execute(ctx, reply, true); err != nil {
			b.Fatal(err)
		}
		portal.Close()
	}
}

func TestPortalSuspends(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	w.simple(s, "INSERT INTO blob (ns, key, value) VALUES ('a', '1', ''), ('a', '2', ''), ('a', '3', '')")
	ctx := context.Background()
	statement, err := s.Prepare(ctx, "SELECT key FROM blob WHERE ns = 'a' AND key IN ('1', '2', '3')", nil)
	if err != nil {
		t.Fatal(err)
	}
	portal, err := statement.Bind(ctx, &pgwire.BindArgs{ResultFormats: []pgwire.Format{pgwire.Text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer portal.Close()
	var got []string
	for range 2 {
		var sent bytes.Buffer
		reply := pgwire.NewReply(&sent, 2)
		done, err := portal.Execute(ctx, reply, false)
		reply.Flush()
		if err != nil {
			t.Fatal(err)
		}
		var rows transcript
		rows.wire(sent.Bytes())
		got = append(got, fmt.Sprintf("%q %v", rows.String(), done.Suspended))
	}
	if want := `"1\n2\n" true "3\n" false`; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestStatementTimeout(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	w.simple(s, "SET statement_timeout = 1")
	if got := w.simple(s, "SELECT pg_sleep(60)"); !strings.Contains(got, "57014: canceling statement due to statement timeout") {
		t.Error(got)
	}
	if got := w.simple(s, "SET statement_timeout = 0; SELECT 1"); !strings.HasSuffix(got, "1\nSELECT 1\n") {
		t.Error(got)
	}
}

func TestCancelledStatement(t *testing.T) {
	w := newWorld(t, nil)
	statements, err := w.session("main").PrepareSimple(context.Background(), "SELECT pg_sleep(60)")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	portal, err := statements[0].Bind(ctx, &pgwire.BindArgs{ResultFormats: []pgwire.Format{pgwire.Text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer portal.Close()
	if _, err := portal.Execute(ctx, pgwire.NewReply(io.Discard, 0), true); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want what pgwire turns into 57014", err)
	}
}

func TestReportedSettings(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	report := func() map[string]string {
		got := map[string]string{}
		s.ReportSettings(func(name, value string) { got[name] = value })
		return got
	}
	want := map[string]string{
		"application_name": "", "client_encoding": "UTF8", "DateStyle": "ISO, MDY", "default_transaction_read_only": "off",
		"in_hot_standby": "off", "integer_datetimes": "on", "IntervalStyle": "postgres", "is_superuser": "on",
		"scram_iterations": "4096", "search_path": `"$user", public`, "server_encoding": "UTF8",
		"server_version": "17.12 (pgcache 0.1.0)", "session_authorization": "me", "standard_conforming_strings": "on", "TimeZone": "UTC",
	}
	if got := report(); !maps.Equal(got, want) {
		t.Errorf("at first: %v, want %v", got, want)
	}
	for _, step := range []struct {
		sql  string
		want map[string]string
	}{
		{"SELECT 1", map[string]string{}},
		{"SET application_name = 'x'; SET TimeZone = 'Europe/Berlin'", map[string]string{"application_name": "x", "TimeZone": "Europe/Berlin"}},
		{"SET application_name = 'y'; SET application_name = 'x'", map[string]string{}},
		{"BEGIN; SET application_name = 'z'; ROLLBACK", map[string]string{}},
		{"SET application_name = 'failed'; SELECT 1/0", map[string]string{}},
	} {
		w.simple(s, step.sql)
		if got := report(); !maps.Equal(got, step.want) {
			t.Errorf("after %s: %v, want %v", step.sql, got, step.want)
		}
	}
}

func TestStartupSettings(t *testing.T) {
	w := newWorld(t, nil)
	start := func(settings ...pgwire.Setting) (*session, error) {
		s, err := w.handler.NewSession(context.Background(), &pgwire.ConnInfo{Identity: pgwire.Identity{Role: pgwire.RoleAdmin}, User: "u", Names: pgwire.NewNames(pgwire.Limits{}), Settings: settings})
		if err != nil {
			return nil, err
		}
		return s.(*session), nil
	}
	s, err := start(pgwire.Setting{Name: "application_name", Value: "app"}, pgwire.Setting{Name: "who_knows", Value: "x"}, pgwire.Setting{Name: "EXTRA_FLOAT_DIGITS", Value: "2"})
	if err != nil {
		t.Fatal(err)
	}
	var greeting strings.Builder
	reply := pgwire.NewReply(&greeting, 0)
	s.Greet(reply)
	reply.Flush()
	if got := greeting.String(); !strings.Contains(got, "WARNING") || !strings.Contains(got, `unrecognized configuration parameter "who_knows"`) {
		t.Errorf("the greeting is %q", got)
	}
	if got := w.simple(s, "SHOW application_name"); !strings.Contains(got, "app") || strings.Contains(got, "who_knows") {
		t.Error(got)
	}
	if got := w.simple(s, "SET application_name = 'other'; RESET application_name; SHOW application_name"); !strings.Contains(got, "app\n") {
		t.Error(got)
	}
	for _, bad := range []pgwire.Setting{{Name: "client_encoding", Value: "LATIN1"}, {Name: "server_version", Value: "9"}} {
		var e *pgwire.Error
		if _, err := start(bad); !errors.As(err, &e) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

func TestPlanCacheIsBounded(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *cache.Config) { c.Limits.PlanCacheEntries = 64 })
	s := w.session("main")
	ctx := context.Background()
	hot := "SELECT value FROM blob WHERE ns = $1 AND key = $2"
	entries := func() (n int, size int64) {
		for i := range w.handler.plans.shards {
			n += len(w.handler.plans.shards[i].byKey)
			size += w.handler.plans.shards[i].bytes
		}
		return n, size
	}
	for i := range 1000 {
		if _, err := s.PrepareSimple(ctx, fmt.Sprintf("SELECT %d", i)); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Prepare(ctx, hot, nil); err != nil {
			t.Fatal(err)
		}
	}
	n, size := entries()
	if n > 64 || n < 32 || size < int64(n)*planBytesFixed {
		t.Errorf("%d entries of %d bytes, limit 64", n, size)
	}
	if _, ok := w.handler.plans.find(appendPlanKey(nil, hot, nil, false)); !ok {
		t.Error("a plan in use was displaced by plans used once")
	}
}

func TestPlansAreShared(t *testing.T) {
	w := newWorld(t, nil)
	ctx := context.Background()
	first, _ := w.session("a").Prepare(ctx, "SELECT 1", nil)
	second, _ := w.session("b").Prepare(ctx, "SELECT 1", nil)
	if first.(*statement).plan != second.(*statement).plan {
		t.Error("two sessions have two plans for one text")
	}
	typed, _ := w.session("b").Prepare(ctx, "SELECT $1", []uint32{uint32(types.Int8)})
	untyped, _ := w.session("b").Prepare(ctx, "SELECT $1", nil)
	if typed.ParamOIDs()[0] != uint32(types.Int8) || untyped.ParamOIDs()[0] != uint32(types.Text) {
		t.Error("declared types must be a part of the key")
	}
}

func TestTransactionLimit(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *cache.Config) { c.Limits.TransactionBytesMax = 16_000 })
	s := w.session("main")
	value := strings.Repeat("x", 3000)
	insert := "INSERT INTO blob (ns, key, value) VALUES ('t', '%d', '" + value + "')"
	w.simple(s, "BEGIN")
	var got string
	for i := range 3 {
		got = w.simple(s, fmt.Sprintf(insert, i))
	}
	if !strings.Contains(got, "54000: transaction is too large") || s.TxStatus() != pgwire.TxFailed {
		t.Error(got)
	}
	w.simple(s, "ROLLBACK")
	for i := range 10 {
		if got := w.simple(s, fmt.Sprintf(insert, i)); got != "INSERT 0 1\n" {
			t.Error(got)
		}
	}
}

// TestDeclaredTypes: what drivers declare for our columns is honoured.
// TestPlainGets: which SELECTs have the portal that allocates nothing (S6).
func TestPlainGets(t *testing.T) {
	s := newWorld(t, nil).session("main")
	for sql, want := range map[string]bool{
		"SELECT value FROM blob WHERE ns = $1 AND key = $2":                       true,
		"SELECT * FROM cache_entries WHERE key = $2 AND ns = $1":                  true,
		"SELECT octet_length(b.value) FROM blob b WHERE ns = $1 AND b.key = $2":   true,
		"SELECT value FROM blob WHERE ns = 'web' AND key = $1":                    true,
		"SELECT value FROM blob WHERE ns = $1 AND key = $2 LIMIT 1":               true,
		"SELECT value FROM blob WHERE ns = $1 AND key = $2 AND version = 1":       false,
		"SELECT upper(value_text) FROM blob WHERE ns = $1 AND key = $2":           false,
		"SELECT value FROM blob WHERE ns = $1 AND key = upper($2)":                false,
		"SELECT value FROM blob WHERE ns = $1 AND key IN ($2, 'other')":           false,
		"SELECT value FROM blob WHERE ns = $1 AND key = $2 LIMIT 0":               false,
		"SELECT value FROM blob WHERE ns = $1 AND key = $2 ORDER BY key OFFSET 1": false,
	} {
		for _, declared := range [][]uint32{nil, {uint32(types.VarChar), uint32(types.VarChar)}, {uint32(types.Text), uint32(types.Text)}} {
			got, err := s.Prepare(context.Background(), sql, declared[:min(len(declared), strings.Count(sql, "$"))])
			if err != nil {
				t.Fatal(err)
			}
			if isPlain := got.(*statement).plan.get != nil; isPlain != want {
				t.Errorf("%s with %d is a plain get: %v", sql, declared, isPlain)
			}
		}
	}
}

func TestDeclaredTypes(t *testing.T) {
	w := newWorld(t, nil)
	ctx := context.Background()
	s := w.session("main")
	for _, test := range []struct {
		sql      string
		declared []types.OID
		want     []types.OID
	}{
		{"SELECT value FROM blob WHERE ns = $1 AND key = $2", []types.OID{types.VarChar, 0}, []types.OID{types.VarChar, types.Text}},
		{"INSERT INTO blob (ns, key, value, ttl_ms, version) VALUES ($1, $2, $3, $4, $5)", []types.OID{types.Text, types.Text, types.Bytea, types.Int4, types.Unknown},
			[]types.OID{types.Text, types.Text, types.Bytea, types.Int4, types.Int8}},
		{"INSERT INTO blob (ns, key, value, tags, metadata) VALUES ($1, $2, $3, $4, $5)", []types.OID{0, 0, 0, types.VarCharArray, types.JSON},
			[]types.OID{types.Text, types.Text, types.Bytea, types.VarCharArray, types.JSON}},
		{"SELECT key FROM blob WHERE ns = $1 AND key = ANY($2)", []types.OID{0, types.VarCharArray}, []types.OID{types.Text, types.VarCharArray}},
		{"SELECT 1", []types.OID{types.Int8}, []types.OID{types.Int8}},
	} {
		declared := make([]uint32, len(test.declared))
		for i, oid := range test.declared {
			declared[i] = uint32(oid)
		}
		statement, err := s.Prepare(ctx, test.sql, declared)
		if err != nil {
			t.Errorf("%s: %v", test.sql, err)
			continue
		}
		for i, oid := range statement.ParamOIDs() {
			if oid != uint32(test.want[i]) {
				t.Errorf("%s: $%d is %s, want %s", test.sql, i+1, types.OID(oid), test.want[i])
			}
		}
	}
}

// TestVoidParameterIsNoArgument: pgJDBC's {? = call f(?)}.
func TestVoidParameterIsNoArgument(t *testing.T) {
	s := newWorld(t, nil).session("main")
	for _, sql := range []string{"SELECT * FROM invalidate_key($1, $2, $3)", "SELECT count(*) FROM generate_series($1, $2, $3)"} {
		oids := []uint32{uint32(types.Void), uint32(types.Text), uint32(types.Text)}
		if strings.Contains(sql, "generate") {
			oids = []uint32{uint32(types.Void), uint32(types.Int4), uint32(types.Int4)}
		}
		if _, err := s.Prepare(context.Background(), sql, oids); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
}

func TestSlowLog(t *testing.T) {
	w := newWorld(t, func(c *Config, _ *cache.Config) { c.SlowLog = 1 })
	s := w.session("main")
	long := strings.Repeat("x", 2*slowTextBytesMax)
	w.simple(s, "INSERT INTO blob (ns, key, value) VALUES ('a', 'secret', 'v')")
	w.simple(s, "SELECT value FROM blob WHERE ns = 'a' AND key = 'secret'")
	w.simple(s, "SELECT '"+long+"' || 'é' FROM nothing")
	w.simple(s, "SELECT 1 / 0 AS \""+long[:60]+"\", '"+long+"'")
	rows := slowLogRows(s)
	if len(rows) != 3 { // what cannot be planned takes no time
		t.Fatalf("%d rows", len(rows))
	}
	for _, row := range rows {
		text := row[6].Text()
		if len(text) > slowTextBytesMax || row[1].Float < 0 {
			t.Errorf("%d bytes of text, %v ms", len(text), row[1].Float)
		}
	}
	if got := rows[0][5]; got.IsNull || got.Text() != "22012" {
		t.Errorf("SQLSTATE %v", got)
	}
	if text := rows[1][6].Text(); !strings.HasPrefix(text, "SELECT value FROM blob WHERE") || strings.Contains(text, "secret") {
		t.Errorf("a statement is shown as %q", text)
	}
	for i := range 3 * slowStatementsMax {
		w.simple(s, fmt.Sprintf("SELECT %d", i))
	}
	if rows = slowLogRows(s); len(rows) != slowStatementsMax {
		t.Errorf("%d rows", len(rows))
	}
	other, err := w.handler.NewSession(context.Background(), &pgwire.ConnInfo{Identity: pgwire.Identity{Role: pgwire.RoleReadOnly}, User: "other", Names: &pgwire.Names{}})
	if err != nil {
		t.Fatal(err)
	}
	if rows := slowLogRows(other.(*session)); len(rows) != 0 {
		t.Errorf("a user who is no administrator sees %d statements of others", len(rows))
	}
}
