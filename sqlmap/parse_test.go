package sqlmap

import (
	"context"
	"errors"
	"strings"
	"testing"

	"pgcache/pgwire"
)

// nested makes statements of a depth, each of another kind.
func nested(n int) map[string]string {
	repeat := strings.Repeat
	return map[string]string{
		"plus":             "SELECT 1" + repeat("+1", n),
		"parentheses":      "SELECT " + repeat("(", n) + "1" + repeat(")", n),
		"not":              "SELECT " + repeat("NOT ", n) + "true",
		"minus":            "SELECT " + repeat("- ", n) + "1",
		"subqueries":       "SELECT " + repeat("(SELECT ", n) + "1" + repeat(")", n),
		"from":             "SELECT * FROM " + repeat("(SELECT * FROM ", n) + "blob" + repeat(") a", n),
		"union":            "SELECT 1" + repeat(" UNION SELECT 1", n),
		"union of commas":  "SELECT 1, 2" + repeat(" UNION SELECT 1, 2", n),
		"values and union": "VALUES (1), (2)" + repeat(" UNION VALUES (1), (2)", n),
		"casts":            "SELECT 1" + repeat("::int", n),
		"subscripts":       "SELECT a" + repeat("[1]", n),
		"joins":            "SELECT * FROM a" + repeat(" CROSS JOIN b", n),
		"joins of commas":  "SELECT * FROM a" + repeat(", b CROSS JOIN c", n),
		"case":             "SELECT " + repeat("CASE WHEN ", n) + "true" + repeat(" THEN 1 END", n),
		"calls":            "SELECT " + repeat("f(1, ", n) + "1" + repeat(")", n),
		"named calls":      "SELECT " + repeat("f(a => ", n) + "1" + repeat(")", n),
		"arrays":           "SELECT " + repeat("ARRAY[", n) + "1" + repeat("]", n),
		"is null":          "SELECT 1" + repeat(" IS NULL", n),
		"between":          "SELECT 1" + repeat(" BETWEEN 1 AND 2", n),
		"or":               "SELECT true" + repeat(" OR (true AND false)", n),
		"hidden in E":      `SELECT E'\'', 1` + repeat("+1", n) + ", E'\\''",
		"hidden by E":      "SELECT E'a'\n'\\'', 1" + repeat("+1", n) + ", '\\'",
		"hidden by dollar": "SELECT a$b$" + repeat("+1", n) + ", $b$",
		"hidden by words":  "SELECT e'x', re'y'" + repeat("+1", n),
		"explain":          repeat("EXPLAIN ", n) + "SELECT 1",
		"qualified":        "SELECT a" + repeat(".a", n),
		"objects":          "SELECT '" + repeat("[", n) + repeat("]", n) + "'::jsonb",
		"array literal":    "SELECT '" + repeat("{", n) + repeat("}", n) + "'::text[]",
	}
}

// TestNestingIsBounded is about the process: the parser's stack has no guard of its own.
func TestNestingIsBounded(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	for _, n := range []int{500, nestingMax / 4, nestingMax / 2, nestingMax - 100, nestingMax + 100, 60_000} {
		for name, sql := range nested(n) {
			_, err := s.PrepareSimple(context.Background(), sql)
			var e *pgwire.Error
			if err != nil && !errors.As(err, &e) {
				t.Errorf("%s at depth %d: %v", name, n, err)
			}
		}
	}
}

func TestNestingOfOrdinaryStatements(t *testing.T) {
	for _, test := range []struct {
		sql string
		max int
	}{
		{"SELECT value FROM blob WHERE ns = $1 AND key = $2", 20},
		{"INSERT INTO blob (ns, key, value) VALUES " + strings.Repeat("('a', 'b', 'c'), ", 5000) + "('a', 'b', 'c')", 30},
		{"SELECT key FROM blob WHERE ns = 'a' AND key IN (" + strings.Repeat("'k', ", 20000) + "'k')", 30},
		{"SELECT '" + strings.Repeat("a+b (", 5000) + "'", 10},
		{"SELECT $$" + strings.Repeat("a+b (", 5000) + "$$", 10},
		{"SELECT 1 -- " + strings.Repeat("a+b (", 5000), 10},
		{"SELECT /* /* " + strings.Repeat("a+b (", 5000) + "*/ */ 1", 10},
		{strings.Repeat("SELECT 1;", 5000), 10},
	} {
		if got := nesting(test.sql); got > test.max {
			t.Errorf("nesting of %.60s… is %d", test.sql, got)
		}
	}
}

func TestStatementTooLong(t *testing.T) {
	w := newWorld(t, nil)
	_, err := w.session("main").Prepare(context.Background(), "SELECT '"+strings.Repeat("x", statementBytesMaxDefault)+"'", nil)
	var e *pgwire.Error
	if !errors.As(err, &e) || e.Code != pgwire.CodeProgramLimitExceeded || e.Detail == "" {
		t.Errorf("%v", err)
	}
}

// FuzzPlan: whatever the text, planning ends in a plan or an error with a SQLSTATE, and
// running the plan does, too.
func FuzzPlan(f *testing.F) {
	for _, sql := range []string{
		"SELECT value FROM blob WHERE ns = 'a' AND key = 'b'",
		"SELECT * FROM blob WHERE ns = 'a' AND key = ANY ('{a,b}') ORDER BY key LIMIT 1",
		"INSERT INTO blob (ns, key, value, tags) VALUES ('a', 'b', 'c', '{x}') ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value || blob.value WHERE blob.version < 3 RETURNING *, xmax = 0",
		"UPDATE blob SET version = version + 1, ttl_ms = 5 WHERE ns = 'a' AND key = 'b' AND version = 1",
		"DELETE FROM blob WHERE ns = 'a' AND tags && ARRAY['x']",
		"BEGIN; INSERT INTO blob VALUES ('a', 'c', 'd'); COMMIT",
		"CALL invalidate_tags('a', VARIADIC ARRAY['b'])",
		"SELECT count(*) FROM cache_stats WHERE hits > 0",
		"SELECT CASE WHEN 1 = ANY ('{1}') THEN now() - interval '1 day' END, '{}'::jsonb -> 'a', (ARRAY[1,2])[1]",
		"SET TIME ZONE INTERVAL '1:00' HOUR TO MINUTE; SHOW ALL; RESET ALL; DISCARD ALL",
		"VALUES (1, 'a'), (2, NULL) ORDER BY 1",
		"SELECT $1::int8[], $2",
	} {
		f.Add(sql)
	}
	w := newWorld(f, nil)
	s := w.session("main")
	f.Fuzz(func(t *testing.T, sql string) {
		if strings.Contains(sql, "pg_sleep") || strings.IndexByte(sql, 0) >= 0 {
			return
		}
		_, err := s.Prepare(context.Background(), sql, []uint32{0, 25})
		checkClientError(t, sql, err)
		if out := w.simple(s, sql); strings.Contains(out, "not for clients") {
			t.Errorf("%q: %s", sql, out)
		}
		w.simple(s, "ROLLBACK")
	})
}

func checkClientError(t *testing.T, sql string, err error) {
	t.Helper()
	var e *pgwire.Error
	if err != nil && (!errors.As(err, &e) || len(e.Code) != 5 || e.Message == "") {
		t.Errorf("%q: %v", sql, err)
	}
	if e != nil && e.Code == pgwire.CodeFeatureNotSupported && e.Hint == "" {
		t.Errorf("%q: 0A000 without a hint: %v", sql, err)
	}
}
