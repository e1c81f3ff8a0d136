// Command golang checks github.com/lib/pq through database/sql against a running pgcache;
// see ../README.md.
package main

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/lib/pq"
)

func main() {
	db, err := sql.Open("postgres", "")
	if err != nil {
		fmt.Println("connect:", err)
		return
	}
	c := check{db}
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

type check struct{ db *sql.DB }

// one runs a query that answers one value, and compares it.
func (c check) one(want any, query string, args ...any) error {
	var got any
	if err := c.db.QueryRow(query, args...).Scan(&got); err != nil {
		return err
	}
	if b, ok := got.([]byte); ok {
		if w, ok := want.([]byte); ok && bytes.Equal(b, w) {
			return nil
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		return fmt.Errorf("got %v, want %v", got, want)
	}
	return nil
}

func (c check) connect() error { return c.one(1, "SELECT 1") }

func (c check) text() error {
	_, err := c.db.Exec("SELECT cache_put('libpq-go', $1, $2)", "text", []byte("héllo"))
	return errors.Join(err, c.one("héllo", "SELECT value_text FROM blob WHERE ns = 'libpq-go' AND key = $1", "text"))
}

func (c check) binary() error {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	_, err := c.db.Exec("SELECT cache_put('libpq-go', 'bytes', $1)", every)
	return errors.Join(err, c.one(every, "SELECT value FROM blob WHERE ns = 'libpq-go' AND key = 'bytes'"))
}

func (c check) error() error {
	_, err := c.db.Exec("INSERT INTO blob (ns, key, value) VALUES ('libpq-go', 'text', 'again')")
	var e *pq.Error
	if !errors.As(err, &e) || e.Code != "23505" {
		return fmt.Errorf("got %v", err)
	}
	return nil
}

func (c check) transaction() error {
	for _, commit := range []bool{false, true} {
		tx, err := c.db.Begin()
		if err != nil {
			return err
		}
		if _, err := tx.Exec("SELECT cache_put('libpq-go', 'tx', 'x')"); err != nil {
			return err
		}
		end, want := tx.Rollback, 0
		if commit {
			end, want = tx.Commit, 1
		}
		if err := errors.Join(end(), c.one(want, "SELECT count(*) FROM blob WHERE ns = 'libpq-go' AND key = 'tx'")); err != nil {
			return err
		}
	}
	return nil
}

func (c check) invalidate() error {
	_, err := c.db.Exec("SELECT cache_put('libpq-go', 'tagged', 'x', tags => $1)", pq.Array([]string{"t"}))
	return errors.Join(err, c.one(1, "SELECT invalidate_tags('libpq-go', VARIADIC $1)", pq.Array([]string{"t"})))
}

func (c check) introspect() error {
	rows, err := c.db.Query("SELECT * FROM blob LIMIT 0")
	if err != nil {
		return err
	}
	defer rows.Close()
	columns, err := rows.Columns()
	if !slices.Contains(columns, "value") {
		return fmt.Errorf("columns are %v", columns)
	}
	return errors.Join(err, c.one("bytea", "SELECT data_type FROM information_schema.columns WHERE table_name = $1 AND column_name = 'value'", "blob"))
}

func (c check) more() error {
	tx, err := c.db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	s, err := tx.Prepare(pq.CopyIn("blob", "ns", "key", "value"))
	if err != nil {
		return err
	}
	for i := range 50 {
		if _, err := s.Exec("libpq-go", fmt.Sprint("copied", i), []byte("x")); err != nil {
			return err
		}
	}
	if _, err := s.Exec(); err != nil {
		return err
	}
	if err := errors.Join(s.Close(), tx.Commit()); err != nil {
		return err
	}
	return c.one(50, "SELECT count(*) FROM blob WHERE ns = 'libpq-go' AND key LIKE 'copied%'")
}
