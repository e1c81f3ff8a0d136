package pgwire_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pgcache/pgwire/wiretest"
)

// A driver of the wild, in all the ways it can ask.
func TestPgx(t *testing.T) {
	value := bytes.Repeat([]byte("v"), 50_000)
	server := startServer(t, wiretest.ConstantHandler(valueColumn, [][]byte{value}), nil)
	ctx := context.Background()
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec"} {
		for _, protocol := range []string{"3.0", "3.2"} {
			conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://u@%s/d?default_query_exec_mode=%s&max_protocol_version=%s", server.address, mode, protocol))
			if err != nil {
				t.Fatal(err)
			}
			var batch pgx.Batch
			for range 20 {
				batch.Queue("SELECT value FROM blob WHERE key = $1", "k").QueryRow(func(row pgx.Row) error {
					var got []byte
					if err := row.Scan(&got); err != nil {
						return err
					}
					if mode != "exec" && !bytes.Equal(got, value) { // exec asks for text, and gets what we send
						return fmt.Errorf("got %d bytes", len(got))
					}
					return nil
				})
			}
			if err := conn.SendBatch(ctx, &batch).Close(); err != nil && mode != "exec" {
				t.Errorf("%s: %v", mode, err)
			}
			if err := conn.Close(ctx); err != nil {
				t.Errorf("%s: close: %v", mode, err)
			}
		}
	}
}

// A context that ends cancels the statement by a CancelRequest, with short keys and long ones.
func TestPgxCancel(t *testing.T) {
	handler := &fakeHandler{blocked: make(chan struct{})}
	server := startServer(t, handler, nil)
	for _, protocol := range []string{"3.0", "3.2"} {
		config, err := pgconn.ParseConfig(fmt.Sprintf("postgres://u@%s/d?max_protocol_version=%s", server.address, protocol))
		if err != nil {
			t.Fatal(err)
		}
		conn, err := pgconn.ConnectConfig(context.Background(), config)
		if err != nil {
			t.Fatal(err)
		}
		failed := make(chan error)
		go func() {
			_, err := conn.Exec(context.Background(), "BLOCK").ReadAll()
			failed <- err
		}()
		<-handler.blocked
		if err := conn.CancelRequest(context.Background()); err != nil {
			t.Errorf("%s: %v", protocol, err)
		}
		var e *pgconn.PgError
		if err := <-failed; !errors.As(err, &e) || e.Code != "57014" {
			t.Errorf("%s: %v", protocol, err)
		}
		if _, err := conn.Exec(context.Background(), "SELECT 1").ReadAll(); err != nil {
			t.Errorf("%s: the next statement: %v", protocol, err)
		}
		conn.Close(context.Background())
	}
}
