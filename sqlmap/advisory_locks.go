package sqlmap

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/advisory"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// This file has the functions of advisory locks, which are those of package advisory.

// advisoryNames are the functions that take two forms of a key.
var advisoryNames = []string{
	"pg_advisory_lock", "pg_advisory_lock_shared", "pg_advisory_xact_lock", "pg_advisory_xact_lock_shared",
	"pg_try_advisory_lock", "pg_try_advisory_lock_shared", "pg_try_advisory_xact_lock", "pg_try_advisory_xact_lock_shared",
	"pg_advisory_unlock", "pg_advisory_unlock_shared",
}

// advisoryFunctions finds one of them in both forms.
func advisoryFunctions(name string) []function {
	f := function{Name: name, IsVolatile: true, Returns: types.Bool}
	mode := advisory.Exclusive
	if strings.HasSuffix(name, "_shared") {
		mode = advisory.Share
	}
	inTransaction := strings.Contains(name, "_xact_")
	switch {
	case strings.HasPrefix(name, "pg_advisory_unlock"):
		f.Call = func(e *schema.Call, args []types.Value) (types.Value, error) {
			return sessionOf(e.Env).advisoryUnlock(advisoryKey(args), mode), nil
		}
	case strings.HasPrefix(name, "pg_try_"):
		f.Call = func(e *schema.Call, args []types.Value) (types.Value, error) {
			s := sessionOf(e.Env)
			ok, err := s.lockOwner().TryLock(advisoryKey(args), mode, s.lockDepth(inTransaction))
			return types.OfBool(ok), advisoryError(err)
		}
	default:
		f.Returns = types.Void
		f.Call = func(e *schema.Call, args []types.Value) (types.Value, error) {
			s := sessionOf(e.Env)
			err := s.lockOwner().Lock(e.Ctx, advisoryKey(args), mode, s.lockDepth(inTransaction), s.settings.lockTimeout)
			return types.Value{}, advisoryError(err)
		}
	}
	single, pair := f, f
	single.Args, pair.Args = []types.OID{types.Int8}, []types.OID{types.Int4, types.Int4}
	return []function{single, pair}
}

func advisoryKey(args []types.Value) advisory.Key {
	if len(args) == 1 {
		return advisory.Single(args[0].Int)
	}
	return advisory.Pair(int32(args[0].Int), int32(args[1].Int))
}

// lockOwner is the session as an owner of advisory locks.
func (s *session) lockOwner() *advisory.Owner {
	if s.locks == nil {
		s.locks = s.handler.locks.NewOwner(s.info.ProcessID)
	}
	return s.locks
}

// lockDepth is where a lock ends that is taken now: with the session, or with the innermost
// savepoint that is rolled back.
func (s *session) lockDepth(inTransaction bool) int {
	if !inTransaction {
		return 0
	}
	return len(s.tx.savepoints) + 1
}

// endLocks gives back what was locked since there were so many savepoints.
func (s *session) endLocks(savepoints int) {
	if s.locks != nil {
		s.locks.EndDepth(savepoints + 1)
	}
}

// unlockSession gives back what is locked until the end of the session.
func (s *session) unlockSession() {
	if s.locks != nil {
		s.locks.UnlockSession()
	}
}

func (s *session) advisoryUnlock(k advisory.Key, m advisory.Mode) types.Value {
	ok := s.lockOwner().Unlock(k, m)
	if !ok {
		s.warn(pgwire.Errorf(pgwire.CodeWarning, "you don't own a lock of type %s", m))
	}
	return types.OfBool(ok)
}

// advisoryError is an error of package advisory for the client.
func advisoryError(err error) error {
	var (
		deadlock *advisory.DeadlockError
		limit    *advisory.LimitError
	)
	switch {
	case errors.Is(err, advisory.ErrTimeout):
		return pgwire.Errorf(pgwire.CodeLockNotAvailable, "canceling statement due to lock timeout")
	case errors.As(err, &deadlock):
		e := pgwire.Errorf(pgwire.CodeDeadlockDetected, "deadlock detected")
		var lines []string
		for _, w := range deadlock.Waits {
			lines = append(lines, fmt.Sprintf("Process %d waits for %s on advisory lock [%d,%d,%d,%d]; blocked by process %d.",
				w.ProcessID, w.Mode, databaseOID, w.Key.First, w.Key.Second, lockClass(w.Key), w.BlockedBy))
		}
		e.Detail = strings.Join(lines, "\n")
		e.Hint = "Give back what is locked and try again; sessions that take locks in one order never wait for each other."
		return e
	case errors.As(err, &limit):
		e := pgwire.Errorf(pgwire.CodeOutOfMemory, "out of shared memory")
		e.Detail = fmt.Sprintf("All sessions together may hold %d advisory locks.", limit.Max)
		if limit.OfOwner {
			e.Detail = fmt.Sprintf("A session may hold %d advisory locks.", limit.Max)
		}
		e.Hint = "Unlock what is not needed any more, or lock fewer and coarser things."
		return e
	}
	return err
}

// lockClass is what PostgreSQL calls objsubid: 1 for keys of one number, 2 for pairs.
func lockClass(k advisory.Key) int64 {
	if k.IsPair {
		return 2
	}
	return 1
}

// lockRows are the rows of pg_locks. There are no other locks than advisory ones.
func lockRows(env *schema.Env) ([]catalog.Row, error) {
	var rows []catalog.Row
	for _, l := range sessionOf(env).handler.locks.Rows() {
		row := catalog.Row{
			"locktype": types.OfText("advisory"), "database": types.OfInt(databaseOID), "classid": types.OfInt(int64(l.Key.First)),
			"objid": types.OfInt(int64(l.Key.Second)), "objsubid": types.OfInt(lockClass(l.Key)), "pid": types.OfInt(int64(int32(l.ProcessID))),
			"mode": types.OfText(l.Mode.String()), "granted": types.OfBool(l.IsGranted), "fastpath": types.OfBool(false),
			"virtualtransaction": types.OfText(fmt.Sprintf("%d/0", l.ProcessID)),
		}
		if !l.WaitStart.IsZero() {
			row["waitstart"] = types.OfTime(l.WaitStart.Truncate(time.Microsecond))
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// blockingProcesses is pg_blocking_pids().
func blockingProcesses() schema.Implementation {
	return schema.Implementation{Signature: "pg_blocking_pids(int4)", Call: func(c *schema.Call, args []types.Value) (types.Value, error) {
		var out []types.Value
		for _, id := range sessionOf(c.Env).handler.locks.Blockers(uint32(args[0].Int)) {
			out = append(out, types.OfInt(int64(int32(id))))
		}
		return types.OfArray(out), nil
	}}
}
