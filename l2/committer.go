package l2

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
)

const (
	// requestsMax is how many writes may wait for the committer before callers queue up
	// outside it.
	requestsMax = 256
	// groupOpsMax and groupBytesMax bound what is merged into one batch: enough to share
	// a sync, small enough to stay clear of Pebble's large batches (half a memtable).
	groupOpsMax   = 1024
	groupBytesMax = 512 << 10

	// timeRowEveryMs is how often writes note the time, for cache.TierState.LastMs.
	timeRowEveryMs = 1000
)

// request is one piece of work for the committer.
type request struct {
	// emit adds the work to a group. It runs in the committer and must not wait.
	emit func(*group) error
	// done receives the outcome if the caller waits for it.
	done chan error

	sheddable bool // the caller has another way and does not wait long

	sync    bool  // the caller waits until it is durable
	settles bool  // rests on what marks hide, although it need not be durable
	alone   bool  // changes what later requests of the same group would see
	ops     int   // bounds the group
	bytes   int64 // likewise
	room    int64 // bytes that the budget must have free for it
	evict   int64 // bytes to evict before it

	// mu guards memory that the caller lends (payloads): a caller that gives up sets
	// abandoned, and the committer reads that memory only under mu and if not abandoned.
	mu struct {
		sync.Mutex
		abandoned bool
	}
}

// lent runs read, which may use memory lent by the caller, unless the caller gave up.
func (r *request) lent(read func() error) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.abandoned {
		return ErrWriteTimeout
	}
	return read()
}

func (r *request) abandon() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.abandoned = true
}

// submit hands a request to the committer and waits for its outcome. It gives up when ctx
// ends, when the store breaks or after Config.WriteTimeout; what the request was to do may
// then happen or not, but memory lent by the caller is no longer read.
//
// What is hidden by a mark comes back after a crash: whoever asks for durability asks for
// that to be gone as well (D8), so what marks hide at the time of the call is deleted first.
// REQUIRES: between s.enter and s.leave, or from the store's own goroutines.
func (s *Store) submit(ctx context.Context, r *request) error {
	if err := s.unwritable(); err != nil {
		return err
	}
	r.sync = r.sync && !isOff(ctx)
	wait, late := s.cfg.WriteTimeout, ErrWriteTimeout
	if r.sheddable && s.cfg.StallAfter < wait {
		wait, late = s.cfg.StallAfter, ErrStalled
	}
	if (r.sync || r.settles) && s.marks.count.Load() > 0 {
		if err := s.settleMarks(ctx, wait, late); err != nil {
			return err
		}
	}
	r.done = make(chan error, 1)
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	select {
	case s.requests <- r:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.broken:
		return s.degradedError()
	case <-timeout.C:
		return late
	}
	var err error
	select {
	case err = <-r.done:
		return err
	case <-ctx.Done():
		err = ctx.Err()
	case <-s.broken:
		err = s.degradedError()
	case <-timeout.C:
		err = late
	}
	r.abandon()
	select {
	case err = <-r.done: // it was finished meanwhile
	default:
	}
	return err
}

// offer hands over a request that nobody waits for, unless the queue is full.
func (s *Store) offer(r *request) {
	select {
	case s.requests <- r:
	default:
	}
}

// commitLoop is the committer goroutine: all writes to Pebble happen in it (D2).
func (s *Store) commitLoop() {
	defer close(s.committerDone)
	var next *request // taken from the queue, but not part of the last group
	for {
		first := next
		next = nil
		if first == nil && (s.evicting || s.overQuota) {
			select {
			case first = <-s.requests:
			case <-s.stopCommitter:
				return
			default:
				s.evictStep()
				continue
			}
		}
		if first == nil {
			select {
			case first = <-s.requests:
			case <-s.stopCommitter:
				return
			}
		}
		var members []*request
		members, next = s.gather(first)
		s.commitGroup(members)
		if s.evicting || s.overQuota {
			s.evictStep()
		}
	}
}

// gather merges first with what waits in the queue. next is the request that did not fit.
func (s *Store) gather(first *request) (members []*request, next *request) {
	members = append(s.members[:0], first)
	s.members = members
	ops, bytes := first.ops, first.bytes
	for !first.alone && ops < groupOpsMax && bytes < groupBytesMax {
		select {
		case r := <-s.requests:
			if r.alone || bytes+r.bytes > groupBytesMax {
				return members, r
			}
			ops += r.ops
			bytes += r.bytes
			members = append(members, r)
			s.members = members
		default:
			return members, nil
		}
	}
	return members, nil
}

// commitGroup makes one batch of the requests, commits it and answers them.
func (s *Store) commitGroup(members []*request) {
	if err := s.degradedError(); err != nil {
		answer(members, err)
		return
	}
	s.settled = s.lastSeq
	ops, room, evict, sync := 0, int64(0), int64(0), false
	for _, r := range members {
		ops += r.ops
		room += r.room
		evict += r.evict
		sync = sync || r.sync
	}
	if evict > 0 {
		s.evictTo(s.usage.total.bytes.Load() - evict)
	}
	s.makeRoom(room)
	g := s.newGroup(ops)
	kept := members[:0]
	for _, r := range members {
		if err := r.emit(g); err != nil {
			// Some of its ops may be in the batch, each of them whole, and are committed with what
			// others have in it. A Write allows that: the ops are its caller's to repeat, and those
			// that were done are superseded then. Who needs all or nothing fails the batch.
			answer([]*request{r}, err)
			continue
		}
		kept = append(kept, r)
	}
	answer(kept, g.commit(sync))
	clear(members) // what they hold may be large
}

func answer(members []*request, err error) {
	for _, r := range members {
		if r.done != nil {
			r.done <- err
		}
	}
}

// commit writes the group's batch, and then what the store knows in memory. The group is
// finished afterwards whatever happens.
func (g *group) commit(sync bool) (err error) {
	s := g.s
	defer func() {
		if cause := recover(); cause != nil {
			s.abandon(fmt.Errorf("commit: %v", cause))
			err = s.degradedError()
		}
	}()
	if g.iter != nil {
		if err := g.iter.Close(); err != nil {
			s.cfg.Logger.Warn("l2: close the committer's iterator", "error", err)
		}
		g.iter = nil
	}
	if g.lastSeq > s.lastSeq {
		g.set(s.seqKey, appendUint64(nil, uint64(g.lastSeq)))
	}
	if g.lastSeq > s.lastSeq || g.accessed {
		if nowMs := s.cfg.Now().UnixMilli(); nowMs-s.lastMs >= timeRowEveryMs {
			s.lastMs = nowMs
			g.set(s.timeKey, appendUint64(nil, uint64(nowMs)))
		}
	}
	defer func() {
		if err != nil && s.degradedError() == nil {
			g.disown()
		}
	}()
	if g.err != nil {
		_ = g.batch.Close()
		return fmt.Errorf("l2: make batch: %w", g.err)
	}
	sync = sync || s.ledger.isFull()
	options := pebble.NoSync
	if sync && g.batch.Empty() && !s.unsynced.Load() {
		// Everything is durable. A record that only asks for a sync would let the log grow, as
		// it is not what a memtable fills up with.
		s.files.logSynced()
		return g.batch.Close()
	}
	if sync {
		options = pebble.Sync
		if err := g.batch.LogData(nil, nil); err != nil { // a batch without rows would not sync
			return fmt.Errorf("l2: make batch: %w", err)
		}
	}
	if !sync && g.batch.Empty() {
		return g.batch.Close()
	}
	if !s.ledger.begin(g) {
		return s.degradedError()
	}
	if err := s.apply(g.batch, options); err != nil {
		return fmt.Errorf("l2: commit: %w", err)
	}
	if !s.ledger.applied(g, sync) {
		return s.degradedError()
	}
	s.unsynced.Store(!sync)
	g.committed()
	if sync {
		s.files.logSynced()
	}
	return g.batch.Close()
}

// disown removes the files of records that were not committed.
func (g *group) disown() {
	for _, file := range g.adopted {
		g.s.files.discard(file.fileID)
	}
}

// committed brings what the store knows in memory up to the batch that was just written.
func (g *group) committed() {
	s := g.s
	s.lastSeq = max(s.lastSeq, g.lastSeq)
	for _, effect := range g.effects {
		effect()
	}
	for _, c := range g.changes {
		s.removedBytes.Add(max(-c.bytes, 0))
	}
	for _, c := range g.changes { // also of generations that the effects have begun
		s.usage.add(c.ns, c.entries, c.bytes)
	}
	s.counters.evictions.Add(g.evictions)
	s.counters.expirations.Add(g.expirations)
	s.counters.fullRejections.Add(g.rejections)
	s.rejectedBytes.Add(g.rejectedBytes)
	if g.firstDeadline != noDeadline {
		s.sweepNoLaterThan(g.firstDeadline)
	}
	s.notifier.add(g.removed)
	s.files.committed(g.adopted)
	s.files.retire(g.retired, s.cfg.SyncInterval < 0)
	s.overQuota = s.overQuota || g.isOverQuota()
	used := s.usage.total.bytes.Load()
	switch {
	case used > s.highWater:
		s.evicting = true
	case used <= s.lowWater:
		s.evicting = false
	}
}
