package sqlmap

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgcache/cache"
	"pgcache/pgwire"
)

// caseStatements are the statements of testdata/sql.
func caseStatements(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../testdata/sql/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal("no cases", err)
	}
	var statements []string
	for _, name := range files {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range strings.Split(string(content), "\n\n") {
			input, _, isCase := strings.Cut(block, "\n----")
			command, input, _ := strings.Cut(input, "\n")
			switch {
			case !isCase:
			case strings.HasPrefix(command, "lines"):
				statements = append(statements, strings.Split(input, "\n")...)
			case strings.HasPrefix(command, "query"), strings.HasPrefix(command, "prepared"):
				statements = append(statements, input)
			}
		}
	}
	return statements
}

// fuzzWorld has some entries and a session.
func fuzzWorld(t testing.TB) (*world, *session) {
	w := newWorld(t, func(c *Config, cacheConfig *cache.Config) {
		c.Limits.TransactionBytesMax = 64 << 10
		cacheConfig.L1BytesMax = 1 << 20
	})
	s := w.session("main")
	w.simple(s, "INSERT INTO blob (ns, key, value, tags, metadata, version, ttl_ms) VALUES ('web', 'a', '1', '{t}', '{\"m\": \"x\"}', 1, 1000), ('web', 'b', 'two', NULL, NULL, NULL, NULL)")
	return w, s
}

// runAny runs a statement in both protocols: whatever it is, it ends with a tag or with an
// error for clients, and the session goes on.
func runAny(t *testing.T, sql string) {
	if lower := strings.ToLower(sql); strings.Contains(lower, "pg_sleep") || strings.Contains(lower, "wait_ms") {
		return // they wait
	}
	w, s := fuzzWorld(t)
	for _, got := range []string{w.simple(s, sql), w.prepared(s, sql)} {
		if strings.Contains(got, "not for clients") || strings.Contains(got, "XX000") {
			t.Errorf("%q: %s", sql, got)
		}
	}
	if s.TxStatus() != pgwire.TxIdle {
		w.simple(s, "ROLLBACK")
	}
	if got := w.simple(s, "SELECT 1 AS n"); got != "[n:int4]\n1\nSELECT 1\n" && !strings.Contains(sql, "extra_float") {
		t.Errorf("after %q: %s", sql, got)
	}
	s.Close()
}

func FuzzStatement(f *testing.F) {
	for _, sql := range caseStatements(f) {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if strings.ContainsRune(sql, 0) {
			return // pgwire refuses it
		}
		runAny(t, sql)
	})
}

// grammar has, for each word in angle brackets, what it may stand for. The first choice ends
// the recursion.
var grammar = map[string][]string{
	"statement": {"<select>", "<insert>", "<update>", "<delete>", "<call>", "EXPLAIN <explainable>", "EXPLAIN (ANALYZE, FORMAT JSON) <explainable>",
		"PREPARE p AS <explainable>; EXECUTE p(<expr>)", "BEGIN; DECLARE c <scroll> CURSOR FOR <select>; FETCH <direction> FROM c; <statement>; COMMIT",
		"BEGIN; <insert>; <statement>; <select>; <end>", "<statement>; <statement>", "SET <setting> = <literal>", "SHOW <setting>", "RESET <setting>",
		"TRUNCATE blob", "VALUES (<expr>, <expr>)", "COPY blob TO STDOUT", "LISTEN c", "NOTIFY c, 'x'", "DISCARD ALL", "SAVEPOINT a"},
	"explainable": {"<select>", "<insert>", "<update>", "<delete>"},
	"scroll":      {"", "SCROLL", "NO SCROLL", "BINARY"},
	"direction":   {"NEXT", "ALL", "PRIOR", "ABSOLUTE <int>", "RELATIVE <int>", "FORWARD <int>", "LAST", "BACKWARD ALL"},
	"end":         {"COMMIT", "ROLLBACK"},
	"setting":     {"pgcache.namespace", "TimeZone", "bytea_output", "statement_timeout", "nosuch", "a.b"},
	"select":      {"SELECT <outputs> FROM <relation> <where> <order> <limit>", "SELECT <outputs>", "SELECT <outputs> FROM <function> AS f", "SELECT count(*) FROM <relation> <where>"},
	"relation":    {"blob", "cache_entries", "blob b", "cache_stats", "cache_namespaces", "cache_settings", "public.blob", "nosuch"},
	"outputs":     {"*", "<expr>", "<expr> AS x, <outputs>", "<column>", "b.*"},
	"where":       {"", "WHERE <condition>", "WHERE ns = <expr> AND key = <expr>", "WHERE ns = 'web' AND <condition>"},
	"order":       {"", "ORDER BY key", "ORDER BY ns DESC, key DESC", "ORDER BY <expr>", "ORDER BY 1", "ORDER BY size DESC NULLS FIRST, key"},
	"limit":       {"", "LIMIT <expr>", "LIMIT 2 OFFSET <expr>", "OFFSET 1"},
	"condition": {"<expr>", "key = <expr>", "key IN (<expr>, <expr>)", "key = ANY (<expr>)", "key LIKE <expr>", "key <compare> <expr>", "key BETWEEN <expr> AND <expr>",
		"tags && <expr>", "<expr> = ANY (tags)", "dependencies @> <expr>", "<condition> AND <condition>", "<condition> OR <condition>", "NOT <condition>",
		"<column> IS NULL", "<expr> <compare> <expr>", "starts_with(key, <expr>)", "ns = <expr>"},
	"compare": {"=", "<", ">=", "<>", "LIKE", "IS DISTINCT FROM", "~", "&&"},
	"insert": {"INSERT INTO blob (ns, key, value) VALUES (<expr>, <expr>, <expr>) <conflict> <returning>",
		"INSERT INTO blob (ns, key, <column>, value) VALUES ('web', <expr>, <expr>, <expr>), (DEFAULT, 'k', DEFAULT, 'v') <conflict> <returning>",
		"INSERT INTO blob SELECT <outputs>", "INSERT INTO blob DEFAULT VALUES"},
	"conflict":  {"", "ON CONFLICT DO NOTHING", "ON CONFLICT (ns, key) DO UPDATE SET <column> = <expr>", "ON CONFLICT (ns, key) DO UPDATE SET value = excluded.<column> WHERE blob.version < <expr>", "ON CONFLICT (<column>) DO NOTHING"},
	"returning": {"", "RETURNING *", "RETURNING <expr>, xmax = 0 AS inserted"},
	"update":    {"UPDATE blob SET <column> = <expr> <where> <returning>", "UPDATE blob SET <column> = <expr>, <column> = DEFAULT <where>", "UPDATE blob SET (value, version) = (<expr>, <expr>) <where>", "UPDATE cache_namespaces SET default_ttl_ms = <expr> WHERE ns = <expr>"},
	"delete":    {"DELETE FROM blob <where> <returning>", "DELETE FROM cache_entries <where>", "DELETE FROM blob USING blob b <where>"},
	"call":      {"CALL <function>", "SELECT <function>"},
	"function": {"cache_put(<expr>, <expr>, <expr>)", "cache_put('web', 'k', <expr>, <column> => <expr>)", "cache_touch(<expr>, <expr>, <expr>)", "cache_incr('web', 'a', <expr>)",
		"cache_exists(<expr>, <expr>)", "cache_get('web', <expr>, lease_ms => <expr>)", "cache_release('web', 'k', <expr>)", "invalidate_key(<expr>, <expr>)", "invalidate_prefix('web', <expr>)",
		"invalidate_tags('web', <expr>, <expr>)", "invalidate_tags('web', VARIADIC <expr>)", "invalidate_dependencies(NULL, <expr>)", "invalidate_namespace(<expr>)", "cache_channel(<expr>)", "nosuch(<expr>)"},
	"column": {"key", "value", "value_text", "metadata", "tags", "dependencies", "version", "priority", "l1_admission", "ttl_ms", "expires_at", "idle_ttl_ms",
		"stale_ttl_ms", "jitter_pct", "is_stale", "size", "tier", "created_at", "lease", "xmax", "ns", "nosuch"},
	"int": {"0", "1", "-1", "2147483647", "-9223372036854775808", "99999999999999999999"},
	"literal": {"'web'", "'a'", "<int>", "NULL", "1.5", "true", "'{t,u}'", "'\\x00ff'", "'{\"a\": \"b\"}'", "'2026-01-01'", "''", "'%'", "'\\'", "'\u00e9'", "1e300", "DEFAULT", "'NaN'",
		"ARRAY['t']", "ARRAY[]::text[]", "B'101'", "interval '1 month'"},
	"expr": {"<literal>", "<literal>", "<column>", "blob.<column>", "excluded.<column>", "$1", "<expr> <operator> <expr>", "(<expr>)::<type>", "<builtin>", "<function>",
		"CASE WHEN <condition> THEN <expr> ELSE <expr> END", "ARRAY[<expr>, <expr>]", "coalesce(<expr>, <expr>)", "greatest(<expr>, <expr>)", "(<expr>)[<expr>]", "-<expr>",
		"(SELECT <expr>)", "ROW(<expr>, <expr>)", "EXISTS (<select>)", "<expr> COLLATE \"C\"", "<expr> AT TIME ZONE <expr>", "nullif(<expr>, <expr>)", "(<function>).value"},
	"operator": {"+", "-", "*", "/", "%", "||", "->", "->>", "?", "@>", "&", "^", "#>", "<<", "AND"},
	"type":     {"text", "bytea", "int8", "int2", "numeric", "numeric(3,1)", "float8", "bool", "timestamptz", "interval", "jsonb", "text[]", "uuid", "varchar(2)", "char(3)", "nosuch", "date", "regclass"},
	"builtin": {"now()", "now() + interval '5 min'", "convert_to(<expr>, 'UTF8')", "convert_from(<expr>, <expr>)", "encode(<expr>, 'hex')", "decode(<expr>, <expr>)", "md5(<expr>)",
		"sha256(<expr>)", "length(<expr>)", "octet_length(<expr>)", "substring(<expr> FROM <expr> FOR <expr>)", "upper(<expr>)", "jsonb_build_object(<expr>, <expr>)", "to_timestamp(<expr>)",
		"extract(epoch FROM <expr>)", "replace(<expr>, <expr>, <expr>)", "current_setting(<expr>)", "set_config(<expr>, <expr>, <expr>)", "version()", "array_length(<expr>, 1)",
		"round(<expr>, 2)", "position(<expr> IN <expr>)", "trim(<expr>)", "concat(<expr>, <expr>)", "make_interval(secs => <expr>)", "left(<expr>, <expr>)", "repeat(<expr>, <expr>)"},
}

// grow makes a statement, choosing by the bytes of a seed; when they are used up, the first
// choice is taken.
func grow(seed []byte) string {
	const depthMax, bytesMax = 40, 8192
	var out strings.Builder
	var expand func(template string, depth int)
	expand = func(template string, depth int) {
		for template != "" && out.Len() < bytesMax {
			before, rest, found := strings.Cut(template, "<")
			out.WriteString(before)
			if !found {
				return
			}
			word, after, _ := strings.Cut(rest, ">")
			choices, known := grammar[word]
			if !known { // an operator
				out.WriteString("<")
				template = rest
				continue
			}
			choice := 0
			if len(seed) > 0 && depth < depthMax {
				choice = int(seed[0]) % len(choices)
				seed = seed[1:]
			}
			expand(choices[choice], depth+1)
			template = after
		}
	}
	expand("<statement>", 0)
	return out.String()
}

func FuzzGrownStatement(f *testing.F) {
	for i := range 200 {
		seed := make([]byte, 24)
		for j := range seed {
			seed[j] = byte((i*31 + j*j*7 + i*j*13) >> 1)
		}
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed []byte) { runAny(t, grow(seed)) })
}
