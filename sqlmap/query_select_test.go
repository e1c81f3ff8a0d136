package sqlmap

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"pgcache/cache"
	"pgcache/pgwire"
)

func TestQueryLimits(t *testing.T) {
	for _, c := range []struct {
		limits QueryLimits
		sql    string
		want   string
	}{
		{QueryLimits{RowsMax: 1000}, "SELECT g FROM generate_series(1, 2000) g ORDER BY g", "max_query_rows"},
		{QueryLimits{RowsMax: 1000}, "SELECT DISTINCT g FROM generate_series(1, 2000) g", "max_query_rows"},
		{QueryLimits{RowsMax: 1000}, "SELECT g, count(*) FROM generate_series(1, 2000) g GROUP BY g", "max_query_rows"},
		{QueryLimits{RowsMax: 1000}, "SELECT count(*) FROM (SELECT g FROM generate_series(1, 2000) g) a JOIN (SELECT g FROM generate_series(1, 2000) g) b USING (g)", "max_query_rows"},
		{QueryLimits{RowsMax: 1000}, "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t) SELECT count(*) FROM t", "max_query_rows"},
		{QueryLimits{RowsMax: 1000}, "SELECT sum(g) OVER () FROM generate_series(1, 2000) g", "max_query_rows"},
		{QueryLimits{RowsMax: 1000}, "SELECT array_agg(g ORDER BY g) FROM generate_series(1, 2000) g", "max_query_rows"},
		{QueryLimits{BytesMax: 1 << 20}, "SELECT repeat('x', 100000) || g FROM generate_series(1, 20) g ORDER BY 1", "max_query_bytes"},
		{QueryLimits{BytesMax: 1 << 20}, "SELECT string_agg(repeat('x', 100000), ',') FROM generate_series(1, 20) g", "max_query_bytes"},
		{QueryLimits{WorkMax: 10_000}, "SELECT count(*) FROM generate_series(1, 1000) a, generate_series(1, 1000) b", "max_query_work"},
		{QueryLimits{WorkMax: 10_000}, "SELECT (SELECT count(*) FROM generate_series(1, 100) a WHERE a < b) FROM generate_series(1, 1000) b", "max_query_work"},
	} {
		w := newWorld(t, func(config *Config, _ *cache.Config) { config.QueryLimits = c.limits })
		got := w.simple(w.session("main"), c.sql)
		if !strings.Contains(got, "ERROR 54000: query is too expensive") || !strings.Contains(got, "raise "+c.want) {
			t.Errorf("%s:\n%s", c.sql, got)
		}
	}
}

// TestQueryLimitsLeaveRoom: what is within the bounds works, and the first rows of a sort
// need no room for the others.
func TestQueryLimitsLeaveRoom(t *testing.T) {
	w := newWorld(t, func(config *Config, _ *cache.Config) { config.QueryLimits = QueryLimits{RowsMax: 1000} })
	got := w.simple(w.session("main"), "SELECT g FROM generate_series(1, 20000) g ORDER BY g DESC LIMIT 2")
	if want := "[g:int4]\n20000\n19999\nSELECT 2\n"; got != want {
		t.Errorf("got %s", got)
	}
}

func TestCancelledQuery(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	statements, err := s.PrepareSimple(context.Background(), "SELECT count(*) FROM generate_series(1, 100000) a, generate_series(1, 100000) b")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	portal, err := statements[0].Bind(ctx, &pgwire.BindArgs{ResultFormats: []pgwire.Format{pgwire.Text}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer portal.Close()
	done := make(chan error)
	go func() {
		_, err := portal.Execute(ctx, pgwire.NewReply(io.Discard, 0), true)
		done <- err
	}()
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want what pgwire turns into 57014", err)
	}
}

func TestQueryPortalSuspends(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	ctx := context.Background()
	statement, err := s.Prepare(ctx, "SELECT g, 'x' || g FROM generate_series(1, $1) g", nil)
	if err != nil {
		t.Fatal(err)
	}
	args := &pgwire.BindArgs{Params: [][]byte{{0, 0, 0, 3}}, ParamFormats: []pgwire.Format{pgwire.Binary}, ResultFormats: []pgwire.Format{pgwire.Binary, pgwire.Text}}
	portal, err := statement.Bind(ctx, args, nil)
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
	if want := `"\x00\x00\x00\x01 | x1\n\x00\x00\x00\x02 | x2\n" true "\x00\x00\x00\x03 | x3\n" false`; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestGapsAreCountedAndLoggedOnce(t *testing.T) {
	var log bytes.Buffer
	w := newWorld(t, func(config *Config, _ *cache.Config) { config.Logger = slog.New(slog.NewTextHandler(&log, nil)) })
	s := w.session("main")
	for range 3 {
		w.simple(s, "SELECT nosuch_function(1)")
		w.simple(s, "SELECT xmlelement(name a)")
	}
	w.simple(s, "SELECT nosuch FROM pg_class") // the client's own mistake
	if got := w.simple(s, "SELECT query_gaps FROM cache_stats"); got != "[query_gaps:int8]\n6\nSELECT 1\n" {
		t.Error(got)
	}
	if n := strings.Count(log.String(), "nosuch_function"); n != 1 || !strings.Contains(log.String(), "XML") {
		t.Errorf("logged %d times:\n%s", n, log.String())
	}
}

// TestQueriesOfLimitedUsers: a join reaches no further than the user's namespaces.
func TestQueriesOfLimitedUsers(t *testing.T) {
	w := newWorld(t, nil)
	w.simple(w.session("main"), "INSERT INTO blob (ns, key, value) VALUES ('mine', 'a', 'x'), ('theirs', 'a', 'y')")
	info := &pgwire.ConnInfo{Identity: pgwire.Identity{Role: pgwire.RoleReadOnly, Namespaces: []string{"mine"}}, User: "limited", Database: "db",
		Started: clockStart, Names: pgwire.NewNames(pgwire.Limits{})}
	made, err := w.handler.NewSession(context.Background(), info)
	if err != nil {
		t.Fatal(err)
	}
	s := made.(*session)
	for _, c := range []struct{ sql, want string }{
		{"SELECT n.ns, b.key FROM cache_namespaces n JOIN blob b ON b.ns = n.ns WHERE b.ns = 'mine'", "mine | a\n"},
		{"SELECT n.ns FROM cache_namespaces n, (SELECT 1) x", "[ns:text]\nmine\nSELECT 1\n"},
		{"SELECT count(*) FROM blob a, cache_entries b", "ERROR 42501: permission denied"},
		{"SELECT b.key FROM (SELECT 1) x, blob b WHERE b.ns = 'theirs'", "ERROR 42501: permission denied"},
		{"SELECT b.key FROM (SELECT 1) x, blob b WHERE b.ns = 'theirs' AND b.key = 'a'", "ERROR 42501: permission denied"},
		{"SELECT cache_put('mine', x, 'v') FROM (VALUES ('k')) v(x)", "ERROR 25006"},
	} {
		if got := w.simple(s, c.sql); !strings.Contains(got, c.want) {
			t.Errorf("%s:\n%s", c.sql, got)
		}
	}
}

func BenchmarkQueryConstant(b *testing.B) { benchmarkQuery(b, "SELECT 1") }

func BenchmarkQueryJoin(b *testing.B) {
	benchmarkQuery(b, "SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.oid = 'blob'::regclass AND a.attnum > 0")
}

func benchmarkQuery(b *testing.B, sql string) {
	w := newWorld(b, nil)
	s := w.session("main")
	ctx := context.Background()
	statement, err := s.Prepare(ctx, sql, nil)
	if err != nil {
		b.Fatal(err)
	}
	args := &pgwire.BindArgs{ResultFormats: make([]pgwire.Format, len(statement.Columns()))}
	b.ReportAllocs()
	for b.Loop() {
		portal, err := statement.Bind(ctx, args, nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := portal.Execute(ctx, pgwire.NewReply(io.Discard, 0), true); err != nil {
			b.Fatal(err)
		}
		portal.Close()
	}
}

// TestEverythingHasAComment: \\d+ and \\df+ tell what each column and procedure is.
func TestEverythingHasAComment(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	for _, sql := range []string{
		`SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL`,
		`SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r' AND obj_description(oid, 'pg_class') IS NULL`,
		`SELECT proname FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND obj_description(oid, 'pg_proc') IS NULL`,
	} {
		if got := w.answer(s, sql); got != "SELECT 0\n" {
			t.Errorf("no comment: %s", got)
		}
	}
	named := make(map[string]bool)
	for _, own := range ownRelations {
		for _, c := range describeRelation(own.name, "", 0).Columns {
			named[own.name+"."+c.Name] = true
		}
	}
	for _, name := range procedureNames {
		named[name+"()"] = true
	}
	for name := range comments() {
		if !named[name] {
			t.Errorf("a comment on %s, which does not exist", name)
		}
	}
}
