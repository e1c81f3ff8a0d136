package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"pgcache/e2e/realpostgres"
)

// TestFunctionsRecording asks a real PostgreSQL again for the results that the tests of
// package library compare with. A line may be new: an expression alone. With E2E_REWRITE set
// the file is written anew.
func TestFunctionsRecording(t *testing.T) {
	const name = "../sqlmap/library/testdata/postgres.txt"
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
		expression, err := strconv.Unquote(strings.Split(strings.TrimSuffix(line, "\n"), "\t")[0])
		if err != nil {
			t.Fatalf("no Go string: %s", line)
		}
		fmt.Fprintf(&again, "%q\t%q\n", expression, selectText(conn, expression))
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
