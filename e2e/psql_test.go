package e2e

import (
	"regexp"
	"strings"
	"testing"
)

// psql runs a script as a user would type it and returns what it shows. Numbers that
// depend on time are replaced by N.
func (s *server) psql(t *testing.T, script string, flags ...string) (stdout, stderr string) {
	t.Helper()
	host, port := s.hostPort()
	args := append([]string{"-X", "-h", host, "-p", port, "-U", "pgcache", "-d", "pgcache"}, flags...)
	stdout, stderr, _ = run(t, script, "psql", args...)
	return stdout, stderr
}

// tour is the README's, statement by statement, with what psql shows.
var tour = []struct{ statement, shows string }{
	{
		`INSERT INTO blob (ns, key, value, tags, ttl_ms) VALUES ('web', 'home', 'hello', '{page}', 60000)
  ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value, tags = excluded.tags, ttl_ms = excluded.ttl_ms;`,
		"INSERT 0 1\n",
	},
	{
		`SELECT value, value_text, metadata, tags, ttl_ms, tier FROM blob WHERE ns = 'web' AND key = 'home';`,
		`    value     | value_text | metadata |  tags  | ttl_ms | tier 
--------------+------------+----------+--------+--------+------
 \x68656c6c6f | hello      |          | {page} |  N | l1
(1 row)

`,
	},
	{
		`CALL invalidate_tags('web', 'page');`,
		` invalidated 
-------------
           1
(1 row)

`,
	},
	{
		`SELECT value FROM blob WHERE ns = 'web' AND key = 'home';`,
		` value 
-------
(0 rows)

`,
	},
}

func TestPsqlTour(t *testing.T) {
	s := start(t)
	ttl := regexp.MustCompile(`\| +\d{5} \|`)
	for _, step := range tour {
		stdout, stderr := s.psql(t, step.statement)
		got := ttl.ReplaceAllString(stdout, "|  N |")
		if got != step.shows || stderr != "" {
			t.Errorf("%s\nshows\n%s%s\nwant\n%s", step.statement, got, stderr, step.shows)
		}
	}
	stdout, stderr := s.psql(t, `SELECT * FROM cache_stats;`, "-x", "-A", "-t")
	if stderr != "" {
		t.Fatal(stderr)
	}
	stats := make(map[string]string)
	for _, line := range strings.Split(stdout, "\n") {
		name, value, _ := strings.Cut(line, "|")
		stats[name] = value
	}
	for name, want := range map[string]string{"hits": "1", "misses": "1", "insertions": "1", "invalidations": "1", "namespaces": "1"} {
		if stats[name] != want {
			t.Errorf("cache_stats.%s = %q, want %s", name, stats[name], want)
		}
	}
}

func TestPsqlStatements(t *testing.T) {
	s := start(t)
	tests := []struct{ name, script, want string }{
		{"literals with quotes", `INSERT INTO blob (ns, key, value) VALUES ('it''s', 'a"b', 'x');
			SELECT ns, key, value_text FROM blob WHERE ns = 'it''s' AND key = 'a"b';`, "INSERT 0 1\nit's|a\"b|x\n"},
		{"bytes", `INSERT INTO blob (ns, key, value) VALUES ('web', 'bytes', '\x00ff');
			SELECT value, value_text IS NULL, size FROM blob WHERE ns = 'web' AND key = 'bytes';`, "INSERT 0 1\n\\x00ff|t|2\n"},
		{"several statements at once", "BEGIN\\; INSERT INTO blob (ns, key, value) VALUES ('web', 'tx', 'y')\\; COMMIT;\nSELECT value_text FROM blob WHERE ns='web' AND key='tx';\n", "BEGIN\nINSERT 0 1\nCOMMIT\ny\n"},
		{"update and delete tags", `UPDATE blob SET ttl_ms = 1000000 WHERE ns='web' AND key='tx';
			UPDATE blob SET ttl_ms = 1000000 WHERE ns='web' AND key='absent';
			DELETE FROM blob WHERE ns='web' AND key='tx';
			DELETE FROM blob WHERE ns='web' AND key='tx';`, "UPDATE 1\nUPDATE 0\nDELETE 1\nDELETE 0\n"},
		{"settings", `SHOW server_encoding; SET application_name = 'e2e'; SHOW application_name;`, "UTF8\nSET\ne2e\n"},
		{"our settings", `SELECT value, unit, source FROM cache_settings WHERE name = 'l1_bytes';`, "268435456|bytes|default\n"},
		{"empty", `;`, ""},
		{"conninfo", `SELECT 1;`, "1\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr := s.psql(t, test.script, "-A", "-t")
			if stdout != test.want || stderr != "" {
				t.Errorf("shows %q %q, want %q", stdout, stderr, test.want)
			}
		})
	}
}

func TestPsqlErrors(t *testing.T) {
	s := start(t)
	tests := []struct {
		script string
		want   []string
	}{
		{`SELEC 1;`, []string{"ERROR:  42601: syntax error at or near \"SELEC\"", "LINE 1: SELEC 1;", "\n        ^"}},
		{`SELECT value FROM blobs WHERE ns='a' AND key='b';`, []string{`ERROR:  42P01: relation "blobs" does not exist`}},
		{`SELECT valeu FROM blob WHERE ns='a' AND key='b';`, []string{`ERROR:  42703: column "valeu" does not exist`, "HINT:", "value"}},
		{`SELECT * FROM blob FOR UPDATE;`, []string{"ERROR:  0A000", "HINT:"}},
		{`CREATE TABLE t (a int);`, []string{"ERROR:  0A000", "HINT:"}},
		{`INSERT INTO blob (ns, key, value) VALUES ('a', 'dup', 'x'), ('a', 'dup', 'x');`, []string{"ERROR:  23505: duplicate key value violates unique constraint \"blob_pkey\"", "Key (ns, key)=(a, dup) already exists."}},
		{`INSERT INTO blob (ns, key) VALUES ('a', 'b');`, []string{"ERROR:  23502"}},
		{`INSERT INTO blob (ns, key, value) VALUES ('a', '', 'x');`, []string{"ERROR:  22023"}},
	}
	for _, test := range tests {
		stdout, stderr := s.psql(t, "\\set VERBOSITY verbose\n"+test.script)
		for _, want := range test.want {
			if !strings.Contains(stderr, want) {
				t.Errorf("%s\nshows\n%s%s\nwhich lacks %q", test.script, stdout, stderr, want)
			}
		}
	}
}
