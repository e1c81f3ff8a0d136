package l2

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// A store whose disk is full or fails keeps the cache above it going: puts are rejected,
// so that their entries live in memory only, older records of their keys are hidden by
// marks, and what must be durable fails with an error. Nobody waits for such a disk longer
// than Config.StallAfter.
//
//	low space      the floor of free space: puts are rejected, deletes are written
//	log waits      Pebble's log or manifest met a full disk: nothing can be written, guardFS waits
//	stalled        a commit takes longer than StallAfter: nothing can be written for now
//	files failing  payload files cannot be written: their puts are rejected for a while
//	broken         Pebble met an error it does not survive: no writes until it is opened again (Tier), or a restart
type health struct {
	committingSince atomic.Int64 // Unix ns; 0: no commit is under way
	logWaits        atomic.Int64 // operations on Pebble's log and manifest that wait for disk space
	lockers         atomic.Int64 // of Pebble's flushes and compactions, which may die with its lock held
	lowSpace        atomic.Bool
	blind           atomic.Bool   // broken, and nothing may be read any more
	blinded         chan struct{} // closed then
	files           breaker
	background      atomic.Pointer[backgroundFailure]
	logged          string // the reason that was logged last; the maintainer's own
}

// backgroundFailure is the latest failure of Pebble's flushes and compactions.
type backgroundFailure struct {
	text string
	at   time.Time
}

// backgroundFailureFor is for how long a failure counts: Pebble tries again at once.
const backgroundFailureFor = 5 * time.Second

// ErrStalled: a write waited for the disk for Config.StallAfter.
var ErrStalled = errors.New("l2: the disk does not complete writes")

// unwritable says why nothing can be committed at the moment; nil: it can.
func (s *Store) unwritable() error {
	if err := s.degradedError(); err != nil {
		return err
	}
	if s.health.logWaits.Load() > 0 {
		return ErrDiskFull
	}
	since := s.health.committingSince.Load()
	if since != 0 && s.cfg.Now().UnixNano()-since > int64(s.cfg.StallAfter) {
		return ErrStalled
	}
	return nil
}

// degradedReason says in words why puts are rejected or fail; empty: they are not.
func (s *Store) degradedReason() string {
	if err := s.unwritable(); err != nil {
		return err.Error()
	}
	if s.health.lowSpace.Load() {
		return "l2: free disk space is below the floor (l2_free_bytes_min)"
	}
	now := s.cfg.Now()
	if reason := s.health.files.reason(now); reason != "" {
		return "l2: payload files cannot be written: " + reason
	}
	if f := s.health.background.Load(); f != nil && now.Sub(f.at) < backgroundFailureFor {
		return "l2: the disk fails in the background: " + f.text
	}
	return ""
}

// logHealth logs when the store becomes degraded, for another reason, or recovers.
func (s *Store) logHealth() {
	reason := s.degradedReason()
	if reason == s.health.logged {
		return
	}
	if reason == "" {
		s.cfg.Logger.Info("l2: the disk tier takes writes again", "was", s.health.logged)
	} else {
		s.cfg.Logger.Error("l2: the disk tier is degraded: entries are kept in memory only", "reason", reason)
	}
	s.health.logged = reason
}

// shed answers a write that cannot be committed. Puts are rejected, deletes that need not
// be durable are done by marks.
func (s *Store) shed(ops []cache.TierOp, sync bool, cause error) error {
	failed := 0
	for i := range ops {
		if ops[i].Err = nil; ops[i].Delete && sync {
			ops[i].Err = fmt.Errorf("l2: delete: %w", cause)
			failed++
		}
	}
	if failed == len(ops) {
		return fmt.Errorf("l2: write: %w", cause)
	}
	if !s.marks.add(ops) {
		if s.degradedError() == nil || !s.marks.overflow(s.epoch) {
			return fmt.Errorf("l2: write: too much to remember: %w", cause)
		}
		s.goBlind()
	}
	for i := range ops {
		op := &ops[i]
		op.Existed, op.Superseded, op.Rejected = false, false, !op.Delete
		if !op.Delete {
			s.counters.fullRejections.Add(1)
		}
	}
	return nil
}

// goBlind ends reads of a store that will not be written again: more records are out of
// date than marks can tell, or locks that readers need may be held for ever.
func (s *Store) goBlind() {
	if !s.health.blind.Swap(true) {
		close(s.health.blinded)
		s.cfg.Logger.Error("l2: the broken disk tier is no longer read")
	}
}

// unreadable is the error of scans that must not miss a record: what they did not see would
// be there again once the database is opened anew.
func (s *Store) unreadable() error {
	if s.health.blind.Load() {
		return ErrDegraded
	}
	return nil
}

// abandon ends the use of a database that failed within: what its locks guard is in no
// state to be used, and they may be held for ever. Its errors on files do not get this far
// (guardFS), so that this is a defect of Pebble's or damage.
func (s *Store) abandon(cause error) {
	s.goBlind() // before those who wait for s.broken go on
	s.degrade(cause)
}

// isShedding reports that an error of submit means that the write may be shed.
func isShedding(err error) bool {
	return errors.Is(err, ErrDiskFull) || errors.Is(err, ErrStalled) || errors.Is(err, ErrDegraded)
}

// marksPerTick bounds how many marks one tick of maintenance makes up for.
const marksPerTick = 32 * groupOpsMax

// writeMarks deletes what is hidden by marks.
func (s *Store) writeMarks(ctx context.Context) error {
	for done := 0; s.marks.count.Load() > 0 && done < marksPerTick; done += groupOpsMax {
		if err := s.deleteMarked(ctx, s.marks.some(groupOpsMax)); err != nil {
			return err
		}
	}
	return nil
}

// deleteMarked deletes what some marks hide, and forgets them. A write that seemed to fail
// and left a mark may still be in the committer's queue: it is in front of the deletion
// there, and cannot come after it.
func (s *Store) deleteMarked(ctx context.Context, marks map[string]cache.Sequence) error {
	w := &write{s: s}
	for key, seq := range marks {
		recordKey := []byte(key)
		ns, _ := splitRecordKey(recordKey)
		w.ops = append(w.ops, writeOp{ns: ns, recordKey: recordKey, delete: true, header: header{seq: seq}})
	}
	if err := s.submit(ctx, &request{ops: len(marks), emit: w.emit}); err != nil {
		return err
	}
	s.marks.done(marks, s.epoch)
	return nil
}

// settleMarks deletes what marks hide at the time of the call, or fails with late if that
// takes longer than wait. Those who ask at the same time wait for the first.
func (s *Store) settleMarks(ctx context.Context, wait time.Duration, late error) error {
	bounded, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	err := s.settleMarksUntil(bounded)
	if err != nil && bounded.Err() != nil && ctx.Err() == nil {
		return late
	}
	return err
}

func (s *Store) settleMarksUntil(ctx context.Context) error {
	select {
	case s.settling <- struct{}{}:
		defer func() { <-s.settling }()
	case <-ctx.Done():
		return ctx.Err()
	case <-s.broken:
		return s.degradedError()
	}
	some := make(map[string]cache.Sequence)
	for key, seq := range s.marks.snapshot() {
		if some[key] = seq; len(some) < groupOpsMax {
			continue
		}
		if err := s.deleteMarked(ctx, some); err != nil {
			return err
		}
		clear(some)
	}
	if len(some) == 0 {
		return nil
	}
	return s.deleteMarked(ctx, some)
}

// breaker stops trying what has just failed, for longer and longer.
type breaker struct {
	mu       sync.Mutex
	failures int
	until    time.Time
	cause    string
}

const (
	breakerWaitMin = time.Second
	breakerWaitMax = time.Minute
)

// reason is the cause while the breaker is open.
func (b *breaker) reason(now time.Time) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.failures == 0 || !now.Before(b.until) {
		return ""
	}
	return b.cause
}

func (b *breaker) failed(now time.Time, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	wait := min(breakerWaitMin<<min(b.failures, 10), breakerWaitMax)
	if isFull(err) {
		wait = breakerWaitMin // room may come back any moment, and looking costs nothing
	}
	b.failures++
	b.until, b.cause = now.Add(wait), err.Error()
}

func (b *breaker) succeeded() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failures = 0
}

// closeIter closes an iterator. Pebble may wait for its lock in it, which a flush or compaction
// that met a fatal error holds for ever: while there is one, somebody else waits for the lock.
func (s *Store) closeIter(iter *pebble.Iterator) error {
	if s.health.lockers.Load() == 0 && !s.health.blind.Load() {
		return iter.Close()
	}
	err, _ := unlessBlind(s, iter.Close)
	return err
}

// unlessBlind runs a call that takes Pebble's lock. If the store is blind, or becomes so
// meanwhile, nobody waits for the outcome, and ok is false.
func unlessBlind[T any](s *Store, call func() T) (result T, ok bool) {
	done := make(chan T, 1)
	go func() { done <- call() }()
	select {
	case result = <-done:
		return result, true
	case <-s.health.blinded:
		return result, false
	}
}

// apply commits a batch and notes for how long that is going on.
func (s *Store) apply(batch *pebble.Batch, options *pebble.WriteOptions) error {
	s.health.committingSince.Store(s.cfg.Now().UnixNano())
	defer s.health.committingSince.Store(0)
	return s.db.Apply(batch, options)
}
