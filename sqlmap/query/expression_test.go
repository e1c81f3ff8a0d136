package query_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// countedRow counts which of its columns are read.
type countedRow struct {
	values []types.Value
	reads  []int
}

func (r *countedRow) Column(i int) (types.Value, error) {
	r.reads[i]++
	return r.values[i], nil
}

func newCompiler(c *catalog.Catalog) *query.Compiler {
	path := fakeSession{}.SearchPath()
	x := query.NewCompiler(query.Options{Catalog: c, SearchPath: path, Names: c.Names(path)})
	x.SetRelations(query.Relation{Schema: "public", Name: "r", Table: c.Relation("pg_catalog", "pg_class"), Lengths: map[int]int{1: 2}, Columns: []schema.Column{
		{Name: "k", Type: types.Text, Typmod: -1}, {Name: "v", Type: types.Bytea, Typmod: -1}, {Name: "size", Type: types.Int8, Typmod: -1}}})
	return x
}

func expressionNode(t *testing.T, text string) *pg_query.Node {
	t.Helper()
	s, err := parseSelect("SELECT " + text)
	if err != nil {
		t.Fatal(err)
	}
	return s.TargetList[0].GetResTarget().Val
}

// TestExpressions evaluates each expression in two runs of one Env, with other parameters,
// rows and times, by several goroutines (Q6).
func TestExpressions(t *testing.T) {
	c := newCatalog(t)
	for _, test := range []struct{ text, first, second string }{
		{"k", "a", "b"},
		{"$1::text", "x", "y"},
		{"upper($1) || k", "Xa", "Yb"},
		{"k = ANY (ARRAY[$1, 'a'])", "t", "f"},
		{"k <> ALL (ARRAY[$1, 'a'])", "f", "t"},
		{"k = ANY (string_to_array($1, ','))", "f", "f"},
		{"length(v) + octet_length(v)", "10", "12"},
		{"v", `\x31`, `\x32`},
		{"now()", "2026-03-01 12:00:00+00", "2026-03-02 12:00:00+00"},
		{"current_date + 1", "2026-03-02", "2026-03-03"},
		{"now() + interval '1 hour'", "2026-03-01 13:00:00+00", "2026-03-02 13:00:00+00"},
		{"CASE k WHEN 'a' THEN size ELSE -size END", "5", "-6"},
		{"nullif(k, 'a')", "NULL", "b"},
		{"current_user", "tester", "tester"},
		{"xmax", "7", "8"},
		{"tableoid::int8", "1259", "1259"},
		{"1::int8", "1", "1"},
		{"'a'::varchar::text", "a", "a"},
	} {
		compiler := newCompiler(c)
		x, err := compiler.Compile(expressionNode(t, test.text))
		if err != nil {
			t.Fatalf("%s: %v", test.text, err)
		}
		evaluate := func() {
			env := query.Env{}
			for i, want := range []string{test.first, test.second} {
				env.Reset(i > 0)
				env.Env = *newEnv(c)
				env.Style.Now = env.Style.Now.Add(time.Duration(i) * 24 * time.Hour)
				env.Params = append(env.Params, types.OfText([]string{"x", "y"}[i]))
				number := int64(i)
				row := &countedRow{reads: make([]int, 4), values: []types.Value{types.OfText([]string{"a", "b"}[i]),
					types.OfText([]string{"1", "2"}[i]), types.OfInt(5 + number), types.OfInt(7 + number)}}
				env.Rows[0] = row
				v, err := x.Eval(&env)
				got := "NULL"
				if !v.IsNull {
					got = string(types.AppendText(nil, x.Type, v, &env.Style))
				}
				if err != nil || got != want {
					t.Errorf("run %d of %s: %s %v, want %s", i, test.text, got, err, want)
				}
				for column, n := range row.reads[:3] {
					if n > 0 && compiler.Used[0]&(1<<column) == 0 {
						t.Errorf("%s reads column %d, which is not noted", test.text, column)
					}
				}
				if row.reads[1] > 0 && strings.Contains(test.text, "length") {
					t.Errorf("%s reads the value", test.text)
				}
			}
		}
		var running sync.WaitGroup
		for range 2 {
			running.Go(evaluate)
		}
		running.Wait()
	}
}

// TestEnvCopies: an Env that is a copy has its own row.
func TestEnvCopies(t *testing.T) {
	c := newCatalog(t)
	x, err := newCompiler(c).Compile(expressionNode(t, "upper(k)"))
	if err != nil {
		t.Fatal(err)
	}
	env := query.Env{Env: *newEnv(c), Rows: [2]query.Row{query.Values{types.OfText("a")}}}
	if v, err := x.Eval(&env); err != nil || v.Text() != "A" {
		t.Fatal(v.Text(), err)
	}
	other := env
	other.Rows[0] = query.Values{types.OfText("b")}
	for e, want := range map[*query.Env]string{&other: "B", &env: "A"} {
		if v, err := x.Eval(e); err != nil || v.Text() != want {
			t.Error(v.Text(), err, "want", want)
		}
	}
}

// TestRefusedExpressions: what only queries have.
func TestRefusedExpressions(t *testing.T) {
	c := newCatalog(t)
	for text, want := range map[string]string{
		"(SELECT 1)":            "subqueries are not supported",
		"upper((SELECT k))":     "subqueries are not supported",
		"max(k)":                "aggregate functions are not allowed in UPDATE",
		"row_number() OVER ()":  "window functions are not allowed in UPDATE",
		"generate_series(1, 2)": "set-returning functions are not allowed in UPDATE",
		"r":                     "whole-row references are not supported",
		"ctid":                  "system column ctid here is not supported",
		"nosuch":                "column \"nosuch\" does not exist",
		"r.vv":                  "column r.vv does not exist",
		"99999::int2":           "smallint out of range",
		"k + 1":                 "operator does not exist: text + integer",
		"coalesce(k, 1)":        "COALESCE types text and integer cannot be matched",
	} {
		compiler := newCompiler(c)
		compiler.Place = query.InUpdate
		if _, err := compiler.Compile(expressionNode(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
