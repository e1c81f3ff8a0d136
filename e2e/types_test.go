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

// TestTypesRecording asks a real PostgreSQL again for the forms that the tests of package
// types compare with. A line may be new: a type and an input alone. With E2E_REWRITE set
// the file is written anew.
func TestTypesRecording(t *testing.T) {
	const name = "../sqlmap/types/testdata/postgres.txt"
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
		typeName, err1 := strconv.Unquote(fields[0])
		input, err2 := strconv.Unquote(fields[1])
		if err1 != nil || err2 != nil {
			t.Fatalf("not two Go strings: %s", line)
		}
		output, binary := ask(conn, typeName, input)
		fmt.Fprintf(&again, "%q\t%q\t%q\t%q\n", typeName, input, output, binary)
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

// ask returns the text and the binary form of a value, or the SQLSTATE of the error.
func ask(conn *pgconn.PgConn, typeName, input string) (output, binary string) {
	var forms [2][]byte
	for format := range forms {
		result := conn.ExecParams(context.Background(), "SELECT $1::text::"+typeName, [][]byte{[]byte(input)}, nil, nil, []int16{int16(format)}).Read()
		var e *pgconn.PgError
		if errors.As(result.Err, &e) {
			return "ERROR " + e.Code, ""
		}
		if result.Err != nil || len(result.Rows) != 1 {
			return fmt.Sprint(result.Err), ""
		}
		forms[format] = result.Rows[0][0]
	}
	return string(forms[0]), hex.EncodeToString(forms[1])
}
