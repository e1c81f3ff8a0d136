package sqlmap

import (
	"context"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"pgcache/pgwire"
	"pgcache/sqlmap/advisory"
)

// locker is a session of its own process ID.
func (w *world) locker(processID uint32) *session {
	w.t.Helper()
	info := &pgwire.ConnInfo{User: "me", Identity: pgwire.Identity{Role: pgwire.RoleReadOnly}, ProcessID: processID, Database: "db", Started: clockStart, Names: pgwire.NewNames(pgwire.Limits{})}
	s, err := w.handler.NewSession(context.Background(), info)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(s.(*session).Close)
	return s.(*session)
}

// waits runs a statement that waits, and returns when it does; the channel has its answer.
func (w *world) waits(s *session, sql string) <-chan string {
	done := make(chan string, 1)
	go func() { done <- w.simple(s, sql) }()
	for !w.handler.locks.Waiting()[s.info.ProcessID] {
		runtime.Gosched()
	}
	return done
}

func (w *world) wants(got string, want ...string) {
	w.t.Helper()
	for _, part := range want {
		if !strings.Contains(got, part) {
			w.t.Errorf("%q is not in %s", part, got)
		}
	}
}

const lockList = `SELECT string_agg(format('%s %s %s', objid, mode, granted), ', ' ORDER BY objid, pid, mode) FROM pg_locks`

func TestAdvisoryLocks(t *testing.T) {
	w := newWorld(t, nil)
	a, b := w.locker(1), w.locker(2)
	w.wants(w.simple(a, `SELECT pg_advisory_lock(1), pg_advisory_lock(2)`), "SELECT 1")
	done := w.waits(b, `BEGIN; SELECT pg_advisory_xact_lock(1)`)
	w.wants(w.answer(a, lockList), "1 ExclusiveLock t, 1 ExclusiveLock f, 2 ExclusiveLock t")
	w.wants(w.answer(a, `SELECT pg_blocking_pids(2), pg_blocking_pids(1)`), "{1} | {}")
	w.simple(a, `SELECT pg_advisory_unlock(1)`)
	w.wants(<-done, "SELECT 1")
	// Now each waits for the other.
	done = w.waits(b, `SELECT pg_advisory_lock(2)`)
	w.wants(w.simple(a, `SELECT pg_advisory_lock(1)`), "40P01: deadlock detected", "Process 1 waits for ExclusiveLock on advisory lock [5,0,1,1]; blocked by process 2.",
		"Process 2 waits for ExclusiveLock on advisory lock [5,0,2,1]; blocked by process 1.")
	w.simple(a, `SELECT pg_advisory_unlock_all()`)
	w.wants(<-done, "SELECT 1")
	w.simple(b, `COMMIT`)
	w.wants(w.answer(a, lockList), "2 ExclusiveLock t")
	w.wants(w.simple(a, `SET lock_timeout = 1; SELECT pg_advisory_lock(2)`), "55P03: canceling statement due to lock timeout")
	w.wants(w.simple(a, `SET lock_timeout = 0; SET statement_timeout = 1; SELECT pg_advisory_lock(2)`), "57014: canceling statement due to statement timeout")
	w.simple(a, `RESET statement_timeout`)
	if err := w.runCancelled(a, `SELECT pg_advisory_lock(2)`); !isCancelled(err) {
		t.Error(err)
	}
	w.wants(w.answer(a, lockList), "2 ExclusiveLock t")
	w.simple(b, `DISCARD ALL`)
	w.wants(w.answer(a, lockList), "∅")
}

// What a transaction locks is given back where the transaction goes back to.
func TestAdvisoryLocksOfTransactions(t *testing.T) {
	w := newWorld(t, nil)
	s := w.locker(1)
	for _, step := range []struct{ sql, left string }{
		{`SELECT pg_advisory_xact_lock(1)`, "∅"}, // the statement was all of its transaction
		{`SELECT pg_advisory_xact_lock(1); SELECT 1/0`, "∅"},
		{`BEGIN; SELECT pg_advisory_xact_lock(1); SAVEPOINT a; SELECT pg_advisory_xact_lock(2), pg_advisory_lock(2); SAVEPOINT b; SELECT pg_advisory_xact_lock(3)`,
			"1 ExclusiveLock t, 2 ExclusiveLock t, 3 ExclusiveLock t"},
		{`RELEASE b`, "1 ExclusiveLock t, 2 ExclusiveLock t, 3 ExclusiveLock t"},
		{`SELECT pg_advisory_unlock(3)`, "1 ExclusiveLock t, 2 ExclusiveLock t, 3 ExclusiveLock t"}, // it is the transaction's
		{`ROLLBACK TO a`, "1 ExclusiveLock t, 2 ExclusiveLock t"},
		{`SELECT pg_advisory_xact_lock(4)`, "1 ExclusiveLock t, 2 ExclusiveLock t, 4 ExclusiveLock t"},
		{`SELECT 1/0; `, "1 ExclusiveLock t, 2 ExclusiveLock t"},
		{`ROLLBACK TO a; COMMIT`, "2 ExclusiveLock t"},
		{`SELECT pg_advisory_unlock(2); BEGIN; SELECT pg_advisory_xact_lock_shared(1, -1); ROLLBACK`, "∅"},
	} {
		w.simple(s, step.sql)
		other := w.locker(2)
		if got := w.answer(other, lockList); !strings.HasPrefix(got, step.left+"\n") {
			t.Errorf("after %s: %s, want %s", step.sql, got, step.left)
		}
	}
}

func TestAdvisoryLockLimit(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.locks = advisory.New(advisory.Limits{OwnerMax: 10}, w.now)
	s := w.locker(1)
	w.wants(w.simple(s, `SELECT pg_advisory_lock(i) FROM generate_series(1, 100) i`), "53200: out of shared memory", "A session may hold 10 advisory locks.")
	w.wants(w.answer(s, `SELECT count(*) FROM pg_locks`), "10\n") // as in PostgreSQL, a session keeps what it has
	s.Close()
	w.wants(w.answer(w.locker(2), `SELECT count(*) FROM pg_locks`), fmt.Sprint(0))
}
