package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	putStatement = `INSERT INTO blob (ns, key, value) VALUES ($1, $2, $3)
		ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value`
	getStatement = `SELECT value FROM blob WHERE ns = $1 AND key = $2`
)

// everyByte is 0..255, so that text handling of any byte shows.
func everyByte() []byte {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

// pgxModes are the ways pgx can run a statement; all must answer the same.
var pgxModes = map[string]pgx.QueryExecMode{
	"prepared":           pgx.QueryExecModeCacheStatement,
	"described":          pgx.QueryExecModeCacheDescribe,
	"describe each time": pgx.QueryExecModeDescribeExec,
	"exec":               pgx.QueryExecModeExec,
	"simple protocol":    pgx.QueryExecModeSimpleProtocol,
}

func TestPgxModes(t *testing.T) {
	s := start(t)
	for name, mode := range pgxModes {
		t.Run(name, func(t *testing.T) {
			ctx, c := testContext(t), s.connect(t)
			key := "key of " + name
			for range 3 {
				tag, err := c.Exec(ctx, putStatement, mode, "pgx", key, everyByte())
				if err != nil || tag.String() != "INSERT 0 1" {
					t.Fatalf("put: %v, %v", tag, err)
				}
				var value []byte
				if err := c.QueryRow(ctx, getStatement, mode, "pgx", key).Scan(&value); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(value, everyByte()) {
					t.Fatalf("value = %x", value)
				}
			}
			err := c.QueryRow(ctx, getStatement, mode, "pgx", "absent").Scan(new([]byte))
			if !errors.Is(err, pgx.ErrNoRows) {
				t.Errorf("absent key: %v", err)
			}
		})
	}
}

// TestPgxTypes reads every kind of column into Go types, with and without a value.
func TestPgxTypes(t *testing.T) {
	s := start(t)
	ctx, c := testContext(t), s.connect(t)
	before := time.Now().Add(-time.Second)
	_, err := c.Exec(ctx, `INSERT INTO blob (ns, key, value, metadata, tags, dependencies, version, priority, ttl_ms, idle_ttl_ms)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		"pgx", "typed", []byte("v"), map[string]string{"content-type": "text/plain"}, []string{"a", "b"}, []string{"table:users"}, int64(7), int16(200), int64(60_000), nil)
	if err != nil {
		t.Fatal(err)
	}
	var (
		metadata       map[string]string
		tags, depends  []string
		version, ttl   *int64
		idle           *int64
		priority       int16
		isStale        bool
		created, until time.Time
		tier           string
	)
	err = c.QueryRow(ctx, `SELECT metadata, tags, dependencies, version, priority, ttl_ms, idle_ttl_ms, is_stale, created_at, expires_at, tier
		FROM blob WHERE ns = $1 AND key = $2`, "pgx", "typed").
		Scan(&metadata, &tags, &depends, &version, &priority, &ttl, &idle, &isStale, &created, &until, &tier)
	if err != nil {
		t.Fatal(err)
	}
	if metadata["content-type"] != "text/plain" || fmt.Sprint(tags, depends) != "[a b] [table:users]" {
		t.Errorf("metadata %v, tags %v, dependencies %v", metadata, tags, depends)
	}
	if version == nil || *version != 7 || priority != 200 || isStale || tier != "l1" || idle != nil {
		t.Errorf("version %v, priority %d, stale %v, tier %s, idle %v", version, priority, isStale, tier, idle)
	}
	if ttl == nil || *ttl <= 0 || *ttl > 60_000 || created.Before(before) || until.Sub(created) != time.Minute {
		t.Errorf("ttl %v, created %v, until %v", ttl, created, until)
	}
}

func TestPgxNulls(t *testing.T) {
	s := start(t)
	ctx, c := testContext(t), s.connect(t)
	if _, err := c.Exec(ctx, `INSERT INTO blob (ns, key, value, version, ttl_ms) VALUES ($1, $2, $3, $4, $5)`, "pgx", "nulls", []byte{}, nil, nil); err != nil {
		t.Fatal(err)
	}
	var value []byte
	var version, ttl *int64
	var text *string
	err := c.QueryRow(ctx, `SELECT value, value_text, version, ttl_ms FROM blob WHERE ns = $1 AND key = $2`, "pgx", "nulls").Scan(&value, &text, &version, &ttl)
	if err != nil || value == nil || len(value) != 0 || text == nil || *text != "" || version != nil || ttl != nil {
		t.Errorf("%v %v %v %v, %v", value, text, version, ttl, err)
	}
	_, err = c.Exec(ctx, putStatement, "pgx", "null value", nil)
	expectCode(t, err, "23502")
}

// expectCode wants a PostgreSQL error with the SQLSTATE.
func expectCode(t *testing.T, err error, code string) {
	t.Helper()
	var e *pgconn.PgError
	if !errors.As(err, &e) || e.Code != code {
		t.Errorf("error %v, want SQLSTATE %s", err, code)
	}
}

func TestPgxErrors(t *testing.T) {
	s := start(t, "--max-blob-bytes=1MiB", "--max-namespaces=2")
	ctx, c := testContext(t), s.connect(t)
	insert := `INSERT INTO blob (ns, key, value, version) VALUES ($1, $2, $3, $4)`
	if _, err := c.Exec(ctx, insert, "one", "k", []byte("v"), int64(5)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(ctx, insert, "two", "k", []byte("v"), nil); err != nil {
		t.Fatal(err)
	}
	lower := `INSERT INTO blob (ns, key, value, version) VALUES ($1, $2, $3, $4)
		ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value, version = excluded.version`
	tests := []struct {
		name, code, sql string
		args            []any
	}{
		{"duplicate", "23505", insert, []any{"one", "k", []byte("v"), nil}},
		{"lower version", "55000", lower, []any{"one", "k", []byte("w"), int64(4)}},
		{"too large", "54000", insert, []any{"one", "large", make([]byte, 1<<20+1), nil}},
		{"too many namespaces", "53400", insert, []any{"three", "k", []byte("v"), nil}},
		{"empty key", "22023", insert, []any{"one", "", []byte("v"), nil}},
		{"null key", "23502", insert, []any{"one", nil, []byte("v"), nil}},
		{"syntax", "42601", `SELECT FROM WHERE`, nil},
		{"relation", "42P01", `SELECT * FROM nothing`, nil},
		{"column", "42703", `SELECT nothing FROM blob WHERE ns = $1 AND key = $2`, []any{"a", "b"}},
		{"function", "42883", `SELECT nothing($1::text)`, []any{"a"}},
		{"unsupported", "0A000", `CREATE TABLE t (a int)`, nil},
	}
	for _, test := range tests {
		_, err := c.Exec(ctx, test.sql, test.args...)
		t.Run(test.name, func(t *testing.T) { expectCode(t, err, test.code) })
	}
	var value []byte
	if err := c.QueryRow(ctx, getStatement, "one", "k").Scan(&value); err != nil || string(value) != "v" {
		t.Errorf("after all refusals the key holds %q, %v", value, err)
	}
}

func TestPgxBatch(t *testing.T) {
	s := start(t)
	ctx, c := testContext(t), s.connect(t)
	const n = 200
	puts, gets := &pgx.Batch{}, &pgx.Batch{}
	for i := range n {
		key := fmt.Sprint("k", i)
		puts.Queue(putStatement, "batch", key, []byte(key))
		gets.Queue(getStatement, "batch", key).QueryRow(func(row pgx.Row) error {
			var value []byte
			if err := row.Scan(&value); err != nil {
				return err
			}
			if string(value) != key {
				return fmt.Errorf("%s holds %q", key, value)
			}
			return nil
		})
	}
	if err := c.SendBatch(ctx, puts).Close(); err != nil {
		t.Fatal(err)
	}
	if err := c.SendBatch(ctx, gets).Close(); err != nil {
		t.Fatal(err)
	}
	failing := &pgx.Batch{}
	failing.Queue(putStatement, "batch", "undone", []byte("x"))
	failing.Queue(`INSERT INTO blob (ns, key, value) VALUES ($1, $2, $3)`, "batch", "k0", []byte("duplicate"))
	expectCode(t, c.SendBatch(ctx, failing).Close(), "23505")
	if err := c.QueryRow(ctx, getStatement, "batch", "undone").Scan(new([]byte)); !errors.Is(err, pgx.ErrNoRows) {
		t.Errorf("a failed batch left its first write: %v", err)
	}
}

func TestPgxTransactions(t *testing.T) {
	s := start(t)
	ctx, c, other := testContext(t), s.connect(t), s.connect(t)
	present := func(c interface {
		QueryRow(context.Context, string, ...any) pgx.Row
	}, key string) bool {
		err := c.QueryRow(ctx, getStatement, "tx", key).Scan(new([]byte))
		if err != nil && !errors.Is(err, pgx.ErrNoRows) {
			t.Fatal(err)
		}
		return err == nil
	}
	tx, err := c.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, putStatement, "tx", "committed", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if !present(tx, "committed") || present(other, "committed") {
		t.Error("before COMMIT the writer must see its write and others must not")
	}
	if err := tx.Commit(ctx); err != nil || !present(other, "committed") {
		t.Errorf("COMMIT: %v", err)
	}
	if tx, err = c.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, putStatement, "tx", "rolled back", []byte("v")); err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(ctx); err != nil || present(c, "rolled back") {
		t.Errorf("ROLLBACK: %v", err)
	}
	if tx, err = c.Begin(ctx); err != nil {
		t.Fatal(err)
	}
	_, err = tx.Exec(ctx, `SELECT * FROM nothing`)
	expectCode(t, err, "42P01")
	_, err = tx.Exec(ctx, putStatement, "tx", "failed", []byte("v"))
	expectCode(t, err, "25P02")
	if err := tx.Commit(ctx); !errors.Is(err, pgx.ErrTxCommitRollback) || present(c, "failed") {
		t.Errorf("COMMIT of a failed transaction: %v", err)
	}
}

func TestPgxPool(t *testing.T) {
	s := start(t)
	ctx := testContext(t)
	pool, err := pgxpool.New(ctx, s.url()+"&pool_max_conns=8")
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	var workers sync.WaitGroup
	for w := range 16 {
		workers.Go(func() {
			for i := range 100 {
				key := fmt.Sprintf("w%d-%d", w, i)
				if _, err := pool.Exec(ctx, putStatement, "pool", key, []byte(key)); err != nil {
					t.Error(err)
					return
				}
				var value []byte
				if err := pool.QueryRow(ctx, getStatement, "pool", key).Scan(&value); err != nil || string(value) != key {
					t.Errorf("%s holds %q, %v", key, value, err)
					return
				}
			}
		})
	}
	workers.Wait()
}

// TestPgxCancel: a cancelled context, a request to cancel while nothing runs, and one
// with a wrong key must leave the server and other connections well.
func TestPgxCancel(t *testing.T) {
	s := start(t)
	ctx, c := testContext(t), s.connect(t)
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := c.Exec(ended, `SELECT 1`); !errors.Is(err, context.Canceled) {
		t.Errorf("with an ended context: %v", err)
	}
	c = s.connect(t)
	if err := c.PgConn().CancelRequest(ctx); err != nil {
		t.Errorf("cancel request: %v", err)
	}
	if _, err := c.Exec(ctx, putStatement, "cancel", "k", []byte("v")); err != nil {
		// A request that arrives as the statement starts cancels it, as in PostgreSQL.
		expectCode(t, err, "57014")
	}
	if _, err := c.Exec(ctx, `SELECT 1`); err != nil {
		t.Errorf("after a cancel: %v", err)
	}
}

// TestLargeValues reads values around the sizes where the server changes its way of
// writing, and the largest allowed, in text and binary.
func TestLargeValues(t *testing.T) {
	s := start(t, "--data-dir", t.TempDir(), "--l1-bytes=512MiB")
	ctx, c := testContext(t), s.connect(t)
	for _, size := range []int{0, 1, 8191, 16383, 16384, 65535, 65536, 1 << 20, 5 << 20, 64 << 20} {
		value := bytes.Repeat([]byte{0xa5, 0, 0x5c, '\''}, size/4+1)[:size]
		for name, mode := range map[string]pgx.QueryExecMode{"binary": pgx.QueryExecModeCacheStatement, "text": pgx.QueryExecModeSimpleProtocol} {
			if mode == pgx.QueryExecModeSimpleProtocol && size > 256<<10 {
				continue // beyond the statement limit, as the value is part of its text
			}
			if _, err := c.Exec(ctx, putStatement, mode, "large", "k", value); err != nil {
				t.Fatalf("%d bytes in %s: %v", size, name, err)
			}
			var got []byte
			if err := c.QueryRow(ctx, getStatement, mode, "large", "k").Scan(&got); err != nil || !bytes.Equal(got, value) {
				t.Fatalf("%d bytes in %s came back as %d, %v", size, name, len(got), err)
			}
		}
	}
}
