package e2e

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgcache/e2e/realpostgres"
)

// The recordings are what a real PostgreSQL answered, which the tests of other packages
// compare with: a line an answer, Go strings separated by tabs. A line may be new: what is
// asked alone. With E2E_REWRITE set the files are written anew.

// TestTypesRecording: a type and an input, then its text and binary form.
func TestTypesRecording(t *testing.T) {
	askAgain(t, "../sqlmap/types/testdata/postgres.txt", 2, func(conn *pgconn.PgConn, asked []string) []string {
		return formsOf(conn, asked[0], asked[1])
	})
}

// TestFunctionsRecording: an expression, then its value as text.
func TestFunctionsRecording(t *testing.T) {
	askAgain(t, "../sqlmap/library/testdata/postgres.txt", 1, func(conn *pgconn.PgConn, asked []string) []string {
		return []string{selectText(conn, asked[0])}
	})
}

// askAgain compares a recording with what PostgreSQL answers now. The first width strings of
// a line are what is asked.
func askAgain(t *testing.T, name string, width int, ask func(conn *pgconn.PgConn, asked []string) []string) {
	t.Helper()
	recorded, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	postgres, err := realpostgres.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Stop()
	conn, err := pgconn.Connect(context.Background(), "postgres://postgres@"+postgres.Address+"/postgres?sslmode=disable&timezone=UTC")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	needsRecordedVersion(t, conn)
	var again bytes.Buffer
	for _, line := range strings.SplitAfter(string(recorded), "\n") {
		if line == "" || line[0] == '#' {
			again.WriteString(line)
			continue
		}
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(fields) < width {
			t.Fatalf("not %d Go strings: %s", width, line)
		}
		asked := make([]string, width)
		for i := range asked {
			if asked[i], err = strconv.Unquote(fields[i]); err != nil {
				t.Fatalf("no Go string: %s", line)
			}
		}
		for i, text := range append(asked, ask(conn, asked)...) {
			if i > 0 {
				again.WriteByte('\t')
			}
			again.WriteString(strconv.Quote(text))
		}
		again.WriteByte('\n')
	}
	if os.Getenv("E2E_REWRITE") != "" {
		if err := os.WriteFile(name, again.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	then, now := strings.Split(string(recorded), "\n"), strings.Split(again.String(), "\n")
	for i := range then {
		if then[i] != now[i] {
			t.Errorf("recorded %s, PostgreSQL says %s", then[i], now[i])
		}
	}
}

// formsOf are the text and the binary form of a value, or the SQLSTATE of the error.
func formsOf(conn *pgconn.PgConn, typeName, input string) []string {
	var forms [2][]byte
	for format := range forms {
		result := conn.ExecParams(context.Background(), "SELECT $1::text::"+typeName, [][]byte{[]byte(input)}, nil, nil, []int16{int16(format)}).Read()
		var e *pgconn.PgError
		if errors.As(result.Err, &e) {
			return []string{"ERROR " + e.Code, ""}
		}
		if result.Err != nil || len(result.Rows) != 1 {
			return []string{fmt.Sprint(result.Err), ""}
		}
		forms[format] = result.Rows[0][0]
	}
	return []string{string(forms[0]), hex.EncodeToString(forms[1])}
}

// selectText is the result of SELECT expression as text.
func selectText(conn *pgconn.PgConn, expression string) string {
	result := conn.ExecParams(context.Background(), "SELECT "+expression, nil, nil, nil, nil).Read()
	var e *pgconn.PgError
	if errors.As(result.Err, &e) {
		return "ERROR " + e.Code
	}
	var rows []string
	for _, row := range result.Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = string(cell); cell == nil {
				cells[i] = "NULL"
			}
		}
		rows = append(rows, strings.Join(cells, " | "))
	}
	return strings.Join(rows, "\n")
}
