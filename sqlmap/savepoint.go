package sqlmap

import (
	"pgcache/pgwire"
)

// savepoint is a point in a transaction that ROLLBACK TO goes back to.
type savepoint struct {
	name          string
	undo          int // len(transaction.undo) then
	invalidations int
	bytes         int64
	settings      settingsMark
	listening     listeningMark
}

// undo is how a pending key was before it changed.
type undo struct {
	key    *pendingKey
	isNew  bool // it was not pending
	before pendingKey
}

// savepointsMax bounds the savepoints of a transaction: each keeps a copy of the settings.
const savepointsMax = 1000

// requireBlock refuses what makes sense in a transaction block only.
func (s *session) requireBlock(command string) error {
	if s.status == pgwire.TxIdle {
		return pgwire.Errorf(pgwire.CodeNoActiveTransaction, "%s can only be used in transaction blocks", command)
	}
	return nil
}

// setSavepoint is SAVEPOINT. One of the same name is hidden, not replaced.
func setSavepoint(x *execution, name string) (outcome, error) {
	s := x.session
	if err := s.requireBlock("SAVEPOINT"); err != nil {
		return outcome{}, err
	}
	t := &s.tx
	if len(t.savepoints) >= savepointsMax {
		return outcome{}, tooMany("savepoints of one transaction", savepointsMax)
	}
	t.savepoints = append(t.savepoints, savepoint{
		name: name, undo: len(t.undo), invalidations: len(t.invalidations), bytes: t.bytes,
		settings: s.settings.mark(), listening: s.listening.mark(),
	})
	return outcome{tag: "SAVEPOINT"}, nil
}

// findSavepoint finds the latest savepoint of a name.
func (t *transaction) findSavepoint(name string) (int, error) {
	for i := len(t.savepoints) - 1; i >= 0; i-- {
		if t.savepoints[i].name == name {
			return i, nil
		}
	}
	return 0, pgwire.Errorf(pgwire.CodeInvalidSavepoint, "savepoint \"%s\" does not exist", name)
}

// releaseSavepoint is RELEASE: the savepoint and those after it are forgotten.
func releaseSavepoint(x *execution, name string) (outcome, error) {
	s := x.session
	if err := s.requireBlock("RELEASE SAVEPOINT"); err != nil {
		return outcome{}, err
	}
	i, err := s.tx.findSavepoint(name)
	if err != nil {
		return outcome{}, err
	}
	s.tx.savepoints = s.tx.savepoints[:i]
	if s.locks != nil {
		s.locks.MergeDepth(s.lockDepth(true))
	}
	if i == 0 {
		s.tx.undo = nil
	}
	return outcome{tag: "RELEASE"}, nil
}

// rollbackTo is ROLLBACK TO, which also ends the failed state. The savepoint stays.
func rollbackTo(x *execution, name string) (outcome, error) {
	s := x.session
	if err := s.requireBlock("ROLLBACK TO SAVEPOINT"); err != nil {
		return outcome{}, err
	}
	t := &s.tx
	i, err := t.findSavepoint(name)
	if err != nil {
		return outcome{}, err
	}
	p := &t.savepoints[i]
	for len(t.undo) > p.undo {
		u := &t.undo[len(t.undo)-1]
		if u.isNew {
			delete(t.byKey, string(appendKey(nil, u.key.key)))
			t.pending = t.pending[:len(t.pending)-1] // the last one: what came later is undone already
		} else {
			*u.key = u.before
		}
		*u = undo{}
		t.undo = t.undo[:len(t.undo)-1]
	}
	t.invalidations, t.bytes = t.invalidations[:p.invalidations], p.bytes
	t.savepoints = t.savepoints[:i+1]
	s.settings.backTo(p.settings)
	s.listening.backTo(p.listening)
	s.endLocks(i + 1)
	s.status = pgwire.TxBlock
	return outcome{tag: "ROLLBACK"}, nil
}
