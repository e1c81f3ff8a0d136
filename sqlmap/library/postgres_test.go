package library_test

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/library"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// known are expressions for which we differ from PostgreSQL, with the reason.
var known = map[string]string{
	"lower('ÄÖ'), upper('straße'), initcap('élan vital')": "letters beyond ASCII have cases here, whatever the locale",
	"to_tsvector('a')": "text search is not there",
	`'A' ~* 'a', 'É' ~* 'é', 'ab' !~ 'b', 'aB' !~* 'b', 'aB' ~* '(?c)b'`: "letters beyond ASCII have cases here, whatever the locale",
}

type session struct{}

func (session) User() string                  { return "postgres" }
func (session) Database() string              { return "postgres" }
func (session) ProcessID() uint32             { return 1 }
func (session) IsSuperuser() bool             { return true }
func (session) SearchPath() []string          { return []string{"pg_catalog", "public"} }
func (session) Setting(string) (string, bool) { return "", false }

// TestAsPostgres compares results with what PostgreSQL answered to the same expressions.
func TestAsPostgres(t *testing.T) {
	c, err := catalog.New(catalog.Config{Library: library.All()})
	if err != nil {
		t.Fatal(err)
	}
	recorded, err := os.ReadFile("testdata/postgres.txt")
	if err != nil {
		t.Fatal(err)
	}
	used := make(map[string]bool)
	for line := range strings.Lines(string(recorded)) {
		if line[0] == '#' {
			continue
		}
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		expression, err1 := strconv.Unquote(fields[0])
		want, err2 := strconv.Unquote(fields[1])
		if err1 != nil || err2 != nil {
			t.Fatalf("not two Go strings: %s", line)
		}
		got := evaluate(c, expression)
		if strings.HasPrefix(want, "ERROR") {
			got = strings.Join(strings.Fields(got)[:min(2, len(strings.Fields(got)))], " ")
		}
		if known[expression] != "" {
			used[expression] = true
			continue
		}
		if got != want {
			t.Errorf("SELECT %s\n  is   %q\n  want %q", expression, got, want)
		}
	}
	for expression := range known {
		if !used[expression] {
			t.Errorf("known has %s, which is not recorded", expression)
		}
	}
}

func evaluate(c *catalog.Catalog, expression string) string {
	rows, err := rowsOf(c, "SELECT "+expression)
	var e *pgwire.Error
	switch {
	case errors.As(err, &e):
		return "ERROR " + string(e.Code) + " " + e.Message
	case err != nil:
		return "ERROR " + err.Error()
	}
	return strings.Join(rows, "\n")
}

func parse(sql string) (*pg_query.SelectStmt, error) {
	tree, err := pg_query.Parse(sql)
	if err != nil {
		return nil, err
	}
	return tree.Stmts[0].Stmt.GetSelectStmt(), nil
}

func rowsOf(c *catalog.Catalog, sql string) ([]string, error) {
	tree, err := parse(sql)
	if err != nil {
		return nil, err
	}
	st, err := query.Prepare(query.Options{Catalog: c, SearchPath: session{}.SearchPath(), Parse: parse}, tree)
	if err != nil {
		return nil, err
	}
	now := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	env := &schema.Env{Ctx: context.Background(), Catalog: c, Session: session{}, StatementTime: now, Clock: func() time.Time { return now },
		Style: types.Style{Now: now, Names: c.Names(session{}.SearchPath())}}
	cursor, err := st.Open(env, nil, query.Limits{})
	if err != nil {
		return nil, err
	}
	defer cursor.Close()
	var rows []string
	for {
		row, err := cursor.Next()
		if err != nil || row == nil {
			return rows, err
		}
		cells := make([]string, len(row))
		for i, v := range row {
			if cells[i] = "NULL"; !v.IsNull {
				cells[i] = string(types.AppendText(nil, st.Columns[i].Type, v, &env.Style))
			}
		}
		rows = append(rows, strings.Join(cells, " | "))
	}
}
