// Command pgx checks github.com/jackc/pgx against a running pgcache; see ../README.md.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

func main() {
	ctx := context.Background()
	pool, err := pgxpool.New(ctx, "")
	if err != nil {
		fmt.Println("connect:", err)
		return
	}
	defer pool.Close()
	c := check{ctx, pool}
	for _, step := range []struct {
		name string
		run  func() error
	}{
		{"connect", c.connect}, {"text", c.text}, {"binary", c.binary}, {"error", c.error}, {"transaction", c.transaction},
		{"invalidate", c.invalidate}, {"introspect", c.introspect}, {"more", c.more},
	} {
		line := "ok"
		if err := step.run(); err != nil {
			line, _, _ = strings.Cut(err.Error(), "\n")
		}
		fmt.Printf("%s: %s\n", step.name, line)
	}
}

type check struct {
	ctx  context.Context
	pool *pgxpool.Pool
}

// one runs a query that answers one value, and compares it.
func one[T comparable](c check, want T, query string, args ...any) error {
	var got T
	if err := c.pool.QueryRow(c.ctx, query, args...).Scan(&got); err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func (c check) exec(query string, args ...any) error {
	_, err := c.pool.Exec(c.ctx, query, args...)
	return err
}

func (c check) connect() error { return one(c, 1, "SELECT 1") }

func (c check) text() error {
	return errors.Join(c.exec("SELECT cache_put('pgx', $1, $2)", "text", []byte("héllo")),
		one(c, "héllo", "SELECT value_text FROM blob WHERE ns = 'pgx' AND key = $1", "text"))
}

func (c check) binary() error {
	every, got := make([]byte, 256), []byte(nil)
	for i := range every {
		every[i] = byte(i)
	}
	err := errors.Join(c.exec("SELECT cache_put('pgx', 'bytes', $1)", every),
		c.pool.QueryRow(c.ctx, "SELECT value FROM blob WHERE ns = 'pgx' AND key = 'bytes'").Scan(&got))
	if err == nil && !bytes.Equal(got, every) {
		err = fmt.Errorf("got %x", got)
	}
	return err
}

func (c check) error() error {
	err := c.exec("INSERT INTO blob (ns, key, value) VALUES ('pgx', 'text', 'again')")
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != "23505" {
		return fmt.Errorf("got %v", err)
	}
	return nil
}

func (c check) transaction() error {
	put := func(tx pgx.Tx) error {
		_, err := tx.Exec(c.ctx, "SELECT cache_put('pgx', 'tx', 'x')")
		return err
	}
	stop := errors.New("stop")
	err := pgx.BeginFunc(c.ctx, c.pool, func(tx pgx.Tx) error { return errors.Join(put(tx), stop) })
	if !errors.Is(err, stop) {
		return err
	}
	const count = "SELECT count(*) FROM blob WHERE ns = 'pgx' AND key = 'tx'"
	return errors.Join(one(c, int64(0), count), pgx.BeginFunc(c.ctx, c.pool, put), one(c, int64(1), count))
}

func (c check) invalidate() error {
	return errors.Join(c.exec("SELECT cache_put('pgx', 'tagged', 'x', tags => $1)", []string{"t"}),
		one(c, int64(1), "SELECT invalidate_tags('pgx', VARIADIC $1)", []string{"t"}))
}

// introspect loads types as pgx does for those it does not know.
func (c check) introspect() error {
	conn, err := c.pool.Acquire(c.ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Conn().LoadType(c.ctx, "blob"); err != nil {
		return fmt.Errorf("load type: %w", err)
	}
	return one(c, "bytea", "SELECT data_type FROM information_schema.columns WHERE table_name = $1 AND column_name = 'value'", "blob")
}

// pipeline sends statements of which one fails without waiting for their results: what comes
// behind a sync is not part of the failure.
func (c check) pipeline() error {
	conn, err := c.pool.Acquire(c.ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	p := conn.Conn().PgConn().StartPipeline(c.ctx)
	for _, sql := range []string{"SELECT cache_put('pgx', 'pipelined', 'x')", "SELECT 1/0", "SELECT value_text FROM blob WHERE ns = 'pgx' AND key = 'pipelined'"} {
		p.SendQueryParams(sql, nil, nil, nil, nil)
		if err := p.Sync(); err != nil {
			return err
		}
	}
	var got []string
	for range 6 {
		results, err := p.GetResults()
		var refused *pgconn.PgError
		switch r := results.(type) {
		case *pgconn.ResultReader:
			result := r.Read()
			if errors.As(result.Err, &refused) {
				got = append(got, refused.Code)
			} else if len(result.Rows) == 1 {
				got = append(got, string(result.Rows[0][0]))
			}
		default:
			if errors.As(err, &refused) {
				got = append(got, refused.Code)
			}
		}
	}
	if err := p.Close(); err != nil {
		return err
	}
	if text := strings.Join(got, " "); text != "t 22012 x" {
		return fmt.Errorf("answers %s", text)
	}
	return nil
}

func (c check) more() error {
	batch := &pgx.Batch{}
	for i := range 50 {
		batch.Queue("SELECT cache_put('pgx', $1, 'x')", fmt.Sprint("many", i))
	}
	if err := c.pool.SendBatch(c.ctx, batch).Close(); err != nil {
		return err
	}
	rows := [][]any{{"pgx", "copied1", []byte("x")}, {"pgx", "copied2", []byte("y")}}
	n, err := c.pool.CopyFrom(c.ctx, pgx.Identifier{"blob"}, []string{"ns", "key", "value"}, pgx.CopyFromRows(rows))
	if err != nil || n != 2 {
		return fmt.Errorf("copied %d, %w", n, err)
	}
	if err := c.pipeline(); err != nil {
		return fmt.Errorf("pipeline: %w", err)
	}
	return one(c, int64(52), "SELECT count(*) FROM blob WHERE ns = 'pgx' AND (key LIKE 'many%' OR key LIKE 'copied%')")
}
