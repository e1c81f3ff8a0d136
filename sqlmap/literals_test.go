package sqlmap

import (
	"context"
	"fmt"
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
)

func TestLift(t *testing.T) {
	for _, test := range []struct{ sql, shape, values string }{
		{"SELECT value FROM blob WHERE ns = 'web' AND key = 'home'", "SELECT value FROM blob WHERE ns = ' AND key = '", "web|home"},
		{"select value from blob where ns='it''s' and key='' ;\n", "select value from blob where ns=' and key=' ", "it's|"},
		{"INSERT INTO blob (ns, key, value, ttl_ms) VALUES ('a', 'b', 'c', 60000)", "INSERT INTO blob (ns, key, value, ttl_ms) VALUES (', ', ', #)", "a|b|c|60000"},
		{"SELECT key FROM blob WHERE ns = 'a' AND key IN ('b','c') LIMIT 2", "SELECT key FROM blob WHERE ns = ' AND key IN (',') LIMIT 2", "a|b|c"},
		{"SELECT key FROM blob WHERE ns = 'a' /* trace 'x' */ AND key='b'", "SELECT key FROM blob WHERE ns = '   AND key='", "a|b"},
		{"SELECT size AS \"a'b\" FROM blob WHERE ns = 'a'", "SELECT size AS \"a'b\" FROM blob WHERE ns = '", "a"},
		{"UPDATE blob SET expires_at = now() + interval '1 day' WHERE ns = 'a'", "UPDATE blob SET expires_at = now() + interval '1 day' WHERE ns = '", "a"},
		{"UPDATE blob SET version = 5, priority = 12345678901 WHERE ns = 'a'", "UPDATE blob SET version = #, priority = 12345678901 WHERE ns = '", "5|a"},
		{"SELECT 'x'::varchar(3), cast(4 AS int) FROM blob", "SELECT '::varchar(3), cast(4 AS int) FROM blob", "x"},
	} {
		var l lifter
		if !l.lift(test.sql) {
			t.Errorf("%s: not lifted", test.sql)
			continue
		}
		var values []string
		for i := range l.literals {
			values = append(values, string(l.literals[i].appendValue(nil, test.sql)))
		}
		shape := strings.ReplaceAll(string(l.shape[1:]), "\x00", "")
		if shape != test.shape || strings.Join(values, "|") != test.values {
			t.Errorf("%s:\nshape  %s\nvalues %q", test.sql, shape, values)
		}
	}
	for _, sql := range []string{
		"", "SELECT", "SELECT 1e5", "SELECT .5 FROM blob WHERE key = 'a'", "SELECT E'a'", "SELECT U&'a'", "SELECT B'1'", "SELECT $$a$$", "SELECT 'a", "SELECT 'a''",
		"SELECT 'a' -- b", "SELECT /* /* */ */ 'a'", "SELECT $1, 'a'", "SELECT 1_000", "SELECT 0x1F", "SELECT 'a'; SELECT 'b'", "SET x = 'a'", "SELECT 1'a'", "SELECT 'a'b", "SELECT now()",
	} {
		var l lifter
		if l.lift(sql) {
			t.Errorf("%q: lifted to %q", sql, l.shape)
		}
	}
}

// TestShapesShareAPlan: texts that differ in their literals are parsed once.
func TestShapesShareAPlan(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	if err := putText(w.cache, "a", "k7", "seven"); err != nil {
		t.Fatal(err)
	}
	for i := range 10 {
		want := "SELECT 0\n"
		if i == 7 {
			want = "[value_text:text]\nseven\nSELECT 1\n"
		}
		got := w.simple(s, fmt.Sprintf("SELECT value_text FROM blob WHERE ns = 'a' AND key = 'k%d'", i))
		if !strings.HasSuffix(got, want) {
			t.Errorf("key %d: %s", i, got)
		}
	}
	n := 0
	for i := range w.handler.plans.shards {
		n += len(w.handler.plans.shards[i].byKey)
	}
	if n != 1 {
		t.Errorf("%d plans for one shape", n)
	}
}

func putText(c *cache.Cache, ns, key, value string) error {
	d := cache.NewDraft([]byte(value))
	_, err := c.Put(context.Background(), cache.Key{Namespace: []byte(ns), Name: []byte(key)}, &d)
	return err
}

// FuzzLift: a text with other literals in the same places has the same shape, and
// PostgreSQL's parser agrees that it says the same of other values.
func FuzzLift(f *testing.F) {
	for _, sql := range []string{
		"SELECT value FROM blob WHERE ns = 'a' AND key = 'b'",
		"INSERT INTO blob (ns, key, value, ttl_ms) VALUES ('a', 'b', 'it''s', 5) ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value",
		"SELECT 'a'\n'b', 'c' /* ' */ || 'd' AS \"x'y\" FROM blob WHERE tags && '{a}' AND priority > -5 LIMIT 1",
		"CALL cache_put('a', 'b', 'c', ttl_ms => 5, expires_at => timestamptz '2030-01-01')",
		"DELETE FROM blob WHERE ns='a' AND key LIKE 'a\\_%' ESCAPE '\\'",
		"UPDATE blob SET value='x'||'y'::text, priority=1+1 WHERE key=any('{a,b}')",
	} {
		f.Add(sql, "x", uint32(7))
	}
	f.Fuzz(func(t *testing.T, sql, text string, number uint32) {
		if strings.ContainsRune(sql+text, 0) || len(sql) > 2000 {
			return
		}
		var l lifter
		if !l.lift(sql) || nesting(sql) > 200 {
			return
		}
		_, err := pg_query.Parse(sql)
		if err != nil || !l.agreesWithScanner() {
			return // the shape is not kept, or kept as one that is not lifted
		}
		if _, err := pg_query.Parse(l.parametrised()); err != nil {
			return
		}
		other, values := replaceLiterals(&l, text, number)
		var m lifter
		if !m.lift(other) || string(m.shape) != string(l.shape) || !m.agreesWithScanner() {
			t.Fatalf("%q has the shape %q, %q has %q", sql, l.shape, other, m.shape)
		}
		for i := range m.literals {
			if got := string(m.literals[i].appendValue(nil, other)); got != values[i] {
				t.Errorf("%q: literal %d is %q, want %q", other, i, got, values[i])
			}
		}
		was, _ := pg_query.Fingerprint(sql)
		is, err := pg_query.Fingerprint(other)
		if err != nil || was != is {
			t.Errorf("%q and %q have one shape, but are two statements (%v)", sql, other, err)
		}
	})
}

func replaceLiterals(l *lifter, text string, number uint32) (string, []string) {
	var out strings.Builder
	var values []string
	at := 0
	for i, lit := range l.literals {
		out.WriteString(l.sql[at:lit.start])
		if value := fmt.Sprint(number % 1_000_000_000); lit.isInteger {
			values = append(values, value)
			out.WriteString(value)
		} else {
			value = strings.ToValidUTF8(text, "?")[:min(i, len(strings.ToValidUTF8(text, "?")))] + text
			values = append(values, value)
			out.WriteString("'" + strings.ReplaceAll(value, "'", "''") + "'")
		}
		at = lit.end
	}
	out.WriteString(l.sql[at:])
	return out.String(), values
}
