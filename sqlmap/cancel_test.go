package sqlmap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgcache/cache"
	"pgcache/pgwire"
)

// runCancelled runs a statement whose context has ended.
func (w *world) runCancelled(s *session, sql string) error {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	statements, err := s.PrepareSimple(context.Background(), sql)
	if err != nil {
		return err
	}
	portal, err := statements[0].Bind(context.Background(), &pgwire.BindArgs{ResultFormats: make([]pgwire.Format, len(statements[0].Columns()))}, nil)
	if err != nil {
		return err
	}
	defer portal.Close()
	reply := pgwire.NewReply(io.Discard, 0)
	_, err = portal.Execute(ctx, reply, true)
	reply.Flush()
	s.Fail()
	if err := s.EndCycle(context.Background()); err != nil {
		w.t.Fatal(err)
	}
	return err
}

// Whatever goes over many entries ends soon after it is cancelled, rows sent or not.
func TestCancelledScans(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("main")
	const entries = 5000
	for i := range entries {
		d := cache.NewDraft([]byte("x"))
		d.Tags = []string{"t"}
		if _, err := w.cache.Put(context.Background(), cache.K("ns", fmt.Sprintf("k%d", i)), &d); err != nil {
			t.Fatal(err)
		}
	}
	for _, sql := range []string{
		`SELECT key FROM blob WHERE ns = 'ns'`,
		`SELECT key FROM blob WHERE ns = 'ns' AND size > 1`,
		`SELECT count(*) FROM cache_entries`,
		`SELECT count(*) FROM cache_entries WHERE ns = 'ns' AND 't' = ANY (tags)`,
		`UPDATE blob SET priority = 1 WHERE ns = 'ns' AND key LIKE 'k%'`,
		`DELETE FROM blob WHERE ns = 'ns' AND size > 0`,
		`SELECT pg_sleep(60)`,
	} {
		if err := w.runCancelled(s, sql); !isCancelled(err) {
			t.Errorf("%s: %v", sql, err)
		}
	}
	if got := w.simple(s, `SELECT count(*) FROM cache_entries WHERE ns = 'ns' AND priority = 128`); !strings.Contains(got, fmt.Sprint(entries)) {
		t.Errorf("cancelled statements changed entries: %s", got)
	}
}

func isCancelled(err error) bool {
	var e *pgwire.Error
	return errors.Is(err, context.Canceled) || errors.As(err, &e) && e.Code == pgwire.CodeQueryCanceled
}

// A wait for another's lease ends with the statement.
func TestCancelledLeaseWait(t *testing.T) {
	w := newWorld(t, nil)
	holder, waiter := w.session("holder"), w.session("waiter")
	if got := w.simple(holder, `SELECT state FROM cache_get('ns', 'k', lease_ms => 60000)`); !strings.Contains(got, "lease") {
		t.Fatal(got)
	}
	if got := w.simple(waiter, `SET statement_timeout = 10; SELECT state FROM cache_get('ns', 'k', lease_ms => 1000, wait_ms => 60000)`); !strings.Contains(got, "57014") {
		t.Error(got)
	}
	if err := w.runCancelled(waiter, `SELECT state FROM cache_get('ns', 'k', lease_ms => 1000, wait_ms => 60000)`); !isCancelled(err) {
		t.Error(err)
	}
}
