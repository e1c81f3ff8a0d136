package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// TestPsqlCopy exports and loads with psql's \\copy.
func TestPsqlCopy(t *testing.T) {
	s := start(t)
	dir := t.TempDir()
	data := filepath.Join(dir, "in.csv")
	if err := os.WriteFile(data, []byte("key,value_text\na,\"one, two\"\nb,\"x\ny\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, dump := filepath.Join(dir, "out.txt"), filepath.Join(dir, "dump.bin")
	for _, step := range []struct{ script, want string }{
		{"SET pgcache.namespace = 'csv';\n\\copy blob (key, value_text) from '" + data + "' with (format csv, header match)", "SET\nCOPY 2\n"},
		{"SELECT key, size FROM blob WHERE ns = 'csv' ORDER BY key;", "a|8\nb|3\n"},
		{"\\copy (select ns, count(*) from blob group by ns) to '" + out + "'", "COPY 1\n"},
		{"\\copy blob to '" + dump + "' binary", "COPY 2\n"},
		{"TRUNCATE blob;\n\\copy blob from '" + dump + "' binary\nSELECT value_text FROM blob WHERE ns = 'csv' AND key = 'a';", "TRUNCATE TABLE\nCOPY 2\none, two\n"},
		{"COPY blob (ns, key, value) FROM STDIN;\nn\tk\tv\n\\.\nSELECT value_text FROM blob WHERE ns = 'n' AND key = 'k';", "COPY 1\nv\n"},
	} {
		stdout, stderr := s.psql(t, step.script, "-A", "-t")
		if stdout != step.want || stderr != "" {
			t.Errorf("%s\nshows %q %q, want %q", step.script, stdout, stderr, step.want)
		}
	}
	if got, err := os.ReadFile(out); err != nil || string(got) != "csv\t2\n" {
		t.Errorf("%q, %v", got, err)
	}
	_, stderr := s.psql(t, "COPY blob (ns, key, value, ttl_ms) FROM STDIN;\nn\tx\tv\t1\nn\ty\tv\tsoon\n\\.\n")
	if !strings.Contains(stderr, "CONTEXT:  COPY blob, line 2, column ttl_ms: \"soon\"") {
		t.Errorf("%s", stderr)
	}
}

// TestPgxCopyFrom loads by the binary protocol, more than one block holds when there is a disk.
func TestPgxCopyFrom(t *testing.T) {
	ctx := context.Background()
	s := start(t, "--data-dir="+t.TempDir())
	conn, err := pgx.Connect(ctx, s.url())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(ctx)
	const rows = 60_000
	value := bytes.Repeat([]byte("v"), 300)
	load := func(ns string, bad int) (int64, error) {
		i := 0
		return conn.CopyFrom(ctx, pgx.Identifier{"blob"}, []string{"ns", "key", "value", "tags", "ttl_ms"}, pgx.CopyFromFunc(func() ([]any, error) {
			if i++; i > rows {
				return nil, nil
			}
			ttl := int64(3_600_000)
			if i == bad {
				ttl = -1
			}
			return []any{ns, fmt.Sprint("key", i), value, []string{"loaded"}, ttl}, nil
		}))
	}
	count := func(ns string) (n int64) {
		if err := conn.QueryRow(ctx, "SELECT count(*) FROM blob WHERE ns = $1", ns).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	n, err := load("good", 0)
	if err != nil || n != rows || count("good") != rows {
		t.Errorf("%d, %v; %d there", n, err, count("good"))
	}
	var e *pgconn.PgError
	n, err = load("bad", rows-10)
	if !errors.As(err, &e) || e.Where != fmt.Sprintf("COPY blob, line %d", rows-10) || count("bad") != 0 {
		t.Errorf("%d, %v; %d there", n, err, count("bad"))
	}
	if n, err = load("bad", 0); err != nil || n != rows {
		t.Errorf("after an aborted load: %d, %v", n, err)
	}
	n, err = load("good", 0)
	if !errors.As(err, &e) || e.Code != "23505" || count("good") != rows {
		t.Errorf("loaded twice: %d, %v", n, err)
	}
}
