package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgcache/e2e/realpostgres"
)

// TestQueriesOnPostgres runs the cases of package query on a real PostgreSQL: their results
// are its results. With E2E_REWRITE set it records them anew.
func TestQueriesOnPostgres(t *testing.T) {
	postgres, err := realpostgres.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Stop()
	ctx := context.Background()
	conn, err := pgconn.Connect(ctx, "postgres://postgres@"+postgres.Address+"/postgres?sslmode=disable&timezone=UTC")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	needsRecordedVersion(t, conn)
	listed, err := conn.Exec(ctx, "SELECT oid, typname FROM pg_type").ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	names := make(map[string]string)
	for _, row := range listed[0].Rows {
		names[string(row[0])] = string(row[1])
	}
	files, err := filepath.Glob("../sqlmap/query/testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, name := range files {
		recorded, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		again := runAgain(string(recorded), func(out *strings.Builder, sql string) { showQuery(out, conn, names, sql) })
		if os.Getenv("E2E_REWRITE") != "" {
			if err := os.WriteFile(name, []byte(again), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		then, now := strings.Split(string(recorded), "\n"), strings.Split(again, "\n")
		for i := range min(len(then), len(now)) {
			if then[i] != now[i] {
				t.Errorf("%s:%d: recorded is\n%s\nPostgreSQL says\n%s", name, i+1, then[i], now[i])
			}
		}
		if len(then) != len(now) {
			t.Errorf("%s: %d lines are recorded, PostgreSQL makes %d", name, len(then), len(now))
		}
	}
}

// needsRecordedVersion fails on another PostgreSQL than recordings were made with.
func needsRecordedVersion(t *testing.T, conn *pgconn.PgConn) {
	t.Helper()
	const recorded = "17"
	if got := conn.ParameterStatus("server_version"); !strings.HasPrefix(got, recorded+".") {
		t.Fatalf("recorded with PostgreSQL %s, this is %s; make deps installs the other", recorded, got)
	}
}

// runAgain runs the statements of a file of cases: blocks of a command, a line a statement,
// ---- and the results up to an empty line.
func runAgain(text string, run func(out *strings.Builder, sql string)) string {
	var out, results strings.Builder
	inInput, inResults := false, false
	for _, line := range strings.Split(strings.TrimRight(text, "\n"), "\n") {
		switch {
		case line == "----":
			inInput, inResults = false, true
			out.WriteString("----\n" + results.String())
			results.Reset()
			continue
		case inResults && line != "":
			continue
		case line == "run":
			inInput = true
		case inInput:
			run(&results, line)
		}
		inResults = false
		out.WriteString(line + "\n")
	}
	return out.String()
}

// showQuery runs a statement and shows its columns with their types, and its rows, or the error.
func showQuery(out *strings.Builder, conn *pgconn.PgConn, typeNames map[string]string, sql string) {
	var rows strings.Builder
	results := conn.Exec(context.Background(), sql)
	for results.NextResult() {
		r := results.ResultReader()
		for i, f := range r.FieldDescriptions() {
			fmt.Fprintf(&rows, "%s%s:%s", separator(i), f.Name, typeNames[fmt.Sprint(f.DataTypeOID)])
		}
		rows.WriteString("]\n")
		for r.NextRow() {
			for i, v := range r.Values() {
				text := "NULL"
				if v != nil {
					text = string(v)
				}
				rows.WriteString(separator(i) + text)
			}
			if len(r.Values()) == 0 {
				rows.WriteString("()")
			}
			rows.WriteString("\n")
		}
	}
	var e *pgconn.PgError
	if err := results.Close(); !errors.As(err, &e) {
		out.WriteString("[" + rows.String())
		return
	}
	fmt.Fprintf(out, "error %s: %s\n", e.Code, e.Message)
	for _, part := range []struct{ name, text string }{{"detail", e.Detail}, {"hint", e.Hint}} {
		if part.text != "" {
			fmt.Fprintf(out, "%s: %s\n", part.name, part.text)
		}
	}
	if e.Position > 0 {
		fmt.Fprintf(out, "position: %d\n", e.Position)
	}
}

func separator(i int) string {
	if i == 0 {
		return ""
	}
	return " | "
}
