package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// copyStalled begins a COPY, sends some data and then nothing.
func copyStalled(ctx context.Context, c *pgconn.PgConn) error {
	c.Frontend().Send(&pgproto3.Query{String: "COPY blob (ns, key, value) FROM STDIN"})
	c.Frontend().Send(&pgproto3.CopyData{Data: []byte("many\tnew\tx\nmany\tnext")})
	if err := c.Frontend().Flush(); err != nil {
		return err
	}
	var failed error
	for {
		message, err := c.ReceiveMessage(ctx)
		if err != nil {
			return err
		}
		switch m := message.(type) {
		case *pgproto3.ErrorResponse:
			failed = pgconn.ErrorResponseToPgError(m)
		case *pgproto3.ReadyForQuery:
			return failed
		}
	}
}

// discard takes COPY OUT as slowly as the server writes it.
type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// TestCancelByKey cancels whatever may take long, by a CancelRequest, plain and over TLS: the
// statement ends with 57014, and the connection goes on.
func TestCancelByKey(t *testing.T) {
	certs, users := certificates(t, "client"), filepath.Join(t.TempDir(), "users.yaml")
	addUser(t, users, "secret", "ops", "--role=admin")
	s := start(t, "--data-dir="+t.TempDir(), "--users-file="+users, "--tls-cert="+certs+"/server.pem", "--tls-key="+certs+"/server.key")
	url := "postgres://ops:secret@" + s.address + "/pgcache?sslmode="
	fill, err := pgx.Connect(testContext(t), url+"disable")
	if err != nil {
		t.Fatal(err)
	}
	defer fill.Close(context.Background())
	const entries = 50_000
	var lines strings.Builder
	for i := range entries {
		fmt.Fprintf(&lines, "many\tk%d\tx\t{t}\n", i)
	}
	if _, err := fill.PgConn().CopyFrom(testContext(t), strings.NewReader(lines.String()), "COPY blob (ns, key, value, tags) FROM STDIN"); err != nil {
		t.Fatal(err)
	}
	if _, err := fill.Exec(testContext(t), "SELECT state FROM cache_get('held', 'k', lease_ms => 600000)"); err != nil {
		t.Fatal(err)
	}
	copyOut := func(sql string) func(context.Context, *pgconn.PgConn) error {
		return func(ctx context.Context, c *pgconn.PgConn) error {
			_, err := c.CopyTo(ctx, discard{}, sql)
			return err
		}
	}
	exec := func(sql string) func(context.Context, *pgconn.PgConn) error {
		return func(ctx context.Context, c *pgconn.PgConn) error {
			_, err := c.Exec(ctx, sql).ReadAll()
			return err
		}
	}
	many := "SELECT a.key FROM cache_entries a, cache_entries b, cache_entries c"
	for name, run := range map[string]func(context.Context, *pgconn.PgConn) error{
		"COPY IN that waits": copyStalled,
		"COPY OUT":           copyOut("COPY (" + many + ") TO STDOUT"),
		"a join":             exec("SELECT count(*) FROM (" + many + ") x"),
		"scans":              exec(strings.Repeat("SELECT count(*) FROM blob WHERE ns = 'many' AND size > 5;", 1000)),
		"a lease":            exec("SELECT state FROM cache_get('held', 'k', lease_ms => 1000, wait_ms => 60000)"),
		"invalidations":      exec(strings.Repeat("CALL invalidate_prefix('many', 'k'); CALL invalidate_tag('many', 't');", 500)),
		"a CALL that waits":  exec("BEGIN; SELECT pg_sleep(600); CALL invalidate_namespace('many')"),
		"updates":            exec(strings.Repeat("UPDATE blob SET priority = 3 WHERE ns = 'many' AND key LIKE 'k%' AND size > 5;", 1000)),
	} {
		for _, mode := range []string{"disable", "require"} {
			t.Run(name+" sslmode="+mode, func(t *testing.T) {
				cancelOne(t, url+mode, run)
			})
		}
	}
	var count int
	if err := fill.QueryRow(testContext(t), "SELECT count(*) FROM cache_entries WHERE ns = 'many' AND priority = 128").Scan(&count); err != nil || count != entries {
		t.Errorf("%d entries of %d are as they were, %v", count, entries, err)
	}
}

// cancelOne runs a statement and cancels it until it ends.
func cancelOne(t *testing.T, url string, run func(context.Context, *pgconn.PgConn) error) {
	t.Helper()
	ctx := testContext(t)
	c, err := pgconn.Connect(ctx, url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, c) }()
	late := time.After(patience)
	for {
		if err := c.CancelRequest(ctx); err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
		select {
		case err = <-ended:
		case <-time.After(10 * time.Millisecond):
			continue // it came before the statement
		case <-late:
			t.Fatal("the statement goes on")
		}
		break
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "57014" {
		t.Fatalf("the statement ends with %v", err)
	}
	if c.TxStatus() != 'I' {
		if _, err := c.Exec(ctx, "ROLLBACK").ReadAll(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Exec(ctx, "SELECT 1").ReadAll(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// reload sends SIGHUP and waits for what the log says of it.
func (s *server) reload(t *testing.T, said string) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	s.log.wait(t, said)
}

// TestCertificateReload replaces the certificate: after SIGHUP new connections get the new one and
// those from before go on; one that is broken changes nothing and is told in the log.
func TestCertificateReload(t *testing.T) {
	before, after := certificates(t, "client"), certificates(t, "client")
	served := t.TempDir()
	put := func(from string) {
		t.Helper()
		for _, name := range []string{"server.pem", "server.key"} {
			content := []byte("broken")
			if from != "" {
				var err error
				if content, err = os.ReadFile(filepath.Join(from, name)); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(served, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	put(before)
	s := start(t, "--tls-cert="+served+"/server.pem", "--tls-key="+served+"/server.key")
	connect := func(authority string) (*pgx.Conn, error) {
		_, port := s.hostPort()
		return pgx.Connect(testContext(t), "host=localhost port="+port+" user=u dbname=pgcache sslmode=verify-full sslrootcert="+authority+"/ca.pem")
	}
	want := func(good, bad string) *pgx.Conn {
		t.Helper()
		c, err := connect(good)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close(context.Background()) })
		if other, err := connect(bad); err == nil {
			other.Close(context.Background())
			t.Error("the other certificate is served too")
		}
		return c
	}
	old := want(before, after)
	put(after)
	s.reload(t, "reloaded")
	want(after, before)
	if _, err := old.Exec(testContext(t), "SELECT 1"); err != nil {
		t.Errorf("a connection from before: %v", err)
	}
	put("")
	s.reload(t, "the certificate stays as it was")
	want(after, before)
}
