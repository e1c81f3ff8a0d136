package query_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/library"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// fakeSession answers for the session of the tests.
type fakeSession struct{}

func (fakeSession) User() string                  { return "tester" }
func (fakeSession) Database() string              { return "pgcache" }
func (fakeSession) ProcessID() uint32             { return 42 }
func (fakeSession) IsSuperuser() bool             { return true }
func (fakeSession) SearchPath() []string          { return []string{"pg_catalog", "public"} }
func (fakeSession) Setting(string) (string, bool) { return "", false }

func parseSelect(sql string) (*pg_query.SelectStmt, error) {
	tree, err := pg_query.Parse(sql)
	if err != nil {
		return nil, pgwire.Errorf(pgwire.CodeSyntaxError, "%v", err)
	}
	if len(tree.Stmts) != 1 || tree.Stmts[0].Stmt.GetSelectStmt() == nil {
		return nil, pgwire.Errorf(pgwire.CodeSyntaxError, "not one SELECT")
	}
	return tree.Stmts[0].Stmt.GetSelectStmt(), nil
}

func newCatalog(t testing.TB) *catalog.Catalog {
	t.Helper()
	c, err := catalog.New(catalog.Config{Library: library.All()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newEnv(c *catalog.Catalog) *schema.Env {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	return &schema.Env{Ctx: context.Background(), Catalog: c, Session: fakeSession{}, StatementTime: now,
		Style: types.Style{Now: now, Names: c.Names(fakeSession{}.SearchPath())}, Clock: func() time.Time { return now }}
}

// run prepares and runs a SELECT and shows the columns and rows, or the error.
func run(c *catalog.Catalog, sql string, limits query.Limits) string {
	columns, rows, err := selectRows(c, sql, limits)
	if err != nil {
		return showError(err)
	}
	var out strings.Builder
	out.WriteString("[")
	for i, col := range columns {
		if i > 0 {
			out.WriteString(" | ")
		}
		fmt.Fprintf(&out, "%s:%s", col.Name, typeName(c, col.Type))
	}
	out.WriteString("]\n")
	for _, row := range rows {
		if len(row) == 0 {
			out.WriteString("()")
		}
		out.WriteString(strings.Join(row, " | ") + "\n")
	}
	return out.String()
}

func typeName(c *catalog.Catalog, oid types.OID) string {
	if t := c.Type(oid); t != nil {
		return t.Name
	}
	return "?"
}

func prepare(c *catalog.Catalog, sql string) (*query.Statement, error) {
	s, err := parseSelect(sql)
	if err != nil {
		return nil, err
	}
	path := fakeSession{}.SearchPath()
	return query.Prepare(query.Options{Catalog: c, SearchPath: path, Names: c.Names(path), NoParams: true, Parse: parseSelect}, s)
}

func selectRows(c *catalog.Catalog, sql string, limits query.Limits) ([]query.Column, [][]string, error) {
	st, err := prepare(c, sql)
	if err != nil {
		return nil, nil, err
	}
	env := newEnv(c)
	cursor, err := st.Open(env, nil, limits)
	if err != nil {
		return st.Columns, nil, err
	}
	defer cursor.Close()
	var out [][]string
	for {
		row, err := cursor.Next()
		if err != nil || row == nil {
			return st.Columns, out, err
		}
		texts := make([]string, len(row))
		for i, v := range row {
			texts[i] = "NULL"
			if !v.IsNull {
				texts[i] = string(types.AppendText(nil, st.Columns[i].Type, v, &env.Style))
			}
		}
		out = append(out, texts)
	}
}

func showError(err error) string {
	var e *pgwire.Error
	if !errors.As(err, &e) {
		return "error: " + err.Error() + "\n"
	}
	out := fmt.Sprintf("error %s: %s\n", e.Code, e.Message)
	if e.Detail != "" {
		out += "detail: " + e.Detail + "\n"
	}
	if e.Hint != "" {
		out += "hint: " + e.Hint + "\n"
	}
	if e.Position > 0 {
		out += fmt.Sprintf("position: %d\n", e.Position)
	}
	return out
}

// TestQueries runs testdata. Its results are PostgreSQL's, which a test of e2e checks.
func TestQueries(t *testing.T) {
	c := newCatalog(t)
	datadriven.Walk(t, "testdata", func(t *testing.T, path string) {
		datadriven.RunTest(t, path, func(t *testing.T, d *datadriven.TestData) string {
			var out strings.Builder
			for line := range strings.Lines(d.Input) {
				out.WriteString(run(c, strings.TrimSpace(line), query.Limits{}))
			}
			return out.String()
		})
	})
}
