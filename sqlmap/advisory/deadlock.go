package advisory

import (
	"fmt"
	"slices"
)

// DeadlockError is the error of who would close a cycle of waits.
type DeadlockError struct{ Waits []Wait }

// Wait is one owner's part in a deadlock.
type Wait struct {
	ProcessID, BlockedBy uint32
	Key                  Key
	Mode                 Mode
}

func (e *DeadlockError) Error() string {
	return fmt.Sprintf("advisory: deadlock of %d", len(e.Waits))
}

// edge says that a waiter waits for another owner: for what it holds, or because it waits
// before (isSoft), which another order of the queue could change.
type edge struct {
	waiter  *waiter
	blocker *Owner
	isSoft  bool
}

// edges are all for whom a waiter waits. REQUIRES: t.mu held.
func (w *waiter) edges() []edge {
	var out []edge
	for o, h := range w.lock.holders {
		if o != w.owner && h.blocks(w.mode) {
			out = append(out, edge{w, o, false})
		}
	}
	for _, before := range w.lock.queue {
		if before == w {
			break
		}
		if conflicts(before.mode, w.mode) && !w.lock.holders[before.owner].blocks(w.mode) {
			out = append(out, edge{w, before.owner, true})
		}
	}
	return out
}

// isWaitedFor reports that somebody may wait for an owner that has begun to wait.
// REQUIRES: t.mu held.
func (o *Owner) isWaitedFor() bool {
	queue := o.waits.lock.queue
	if queue[len(queue)-1] != o.waits {
		return true
	}
	for l := range o.held {
		if len(l.queue) > 0 {
			return true
		}
	}
	return false
}

// cycle finds a cycle of waits through an owner; nil: there is none. REQUIRES: t.mu held.
func cycle(start *Owner) []edge {
	seen := make(map[*Owner]bool)
	// pending are the edges still to be looked at of each owner on the way.
	var way []edge
	pending := [][]edge{start.waits.edges()}
	for len(pending) > 0 {
		last := len(pending) - 1
		if len(pending[last]) == 0 {
			if pending = pending[:last]; last > 0 {
				way = way[:last-1]
			}
			continue
		}
		e := pending[last][0]
		pending[last] = pending[last][1:]
		switch {
		case e.blocker == start:
			return append(way, e)
		case e.blocker.waits == nil || seen[e.blocker]:
			continue
		}
		seen[e.blocker] = true
		way = append(way, e)
		pending = append(pending, e.blocker.waits.edges())
	}
	return nil
}

// rearrangementsMax bounds how many orders of queues are tried to avoid one deadlock.
const rearrangementsMax = 64

// avoidDeadlock is called when an owner has begun to wait. If that closes a cycle it looks
// for an order of the queues without one, and fails if there is none. REQUIRES: t.mu held.
func (t *Table) avoidDeadlock(o *Owner) error {
	if !o.isWaitedFor() {
		return nil
	}
	found := cycle(o)
	if found == nil {
		return nil
	}
	r := rearrangement{start: o, left: rearrangementsMax, before: make(map[*lock][]*waiter)}
	if r.resolve(found) {
		for l := range r.before {
			t.serve(l)
		}
		return nil
	}
	e := &DeadlockError{}
	for _, f := range found {
		e.Waits = append(e.Waits, Wait{f.waiter.owner.processID, f.blocker.processID, f.waiter.lock.key, f.waiter.mode})
	}
	return e
}

// rearrangement looks for an order of queues without a cycle.
type rearrangement struct {
	start  *Owner
	left   int                 // orders that may still be tried
	before map[*lock][]*waiter // the queues that were changed, as they were
}

// resolve turns around soft edges of a cycle until there is none; if it fails, the queues
// are as they were.
func (r *rearrangement) resolve(found []edge) bool {
	for _, e := range found {
		if !e.isSoft || r.left == 0 {
			continue
		}
		r.left--
		l := e.waiter.lock
		queue := slices.Clone(l.queue)
		if _, known := r.before[l]; !known {
			r.before[l] = queue
		}
		from := slices.Index(l.queue, e.waiter)
		to := slices.Index(l.queue, e.blocker.waits)
		l.queue = slices.Insert(slices.Delete(slices.Clone(queue), from, from+1), to, e.waiter)
		next := r.nextCycle()
		if next == nil || r.resolve(next) {
			return true
		}
		l.queue = queue
	}
	return false
}

// nextCycle is a cycle through the one who has begun to wait or those whose queue changed.
func (r *rearrangement) nextCycle() []edge {
	if found := cycle(r.start); found != nil {
		return found
	}
	for l := range r.before {
		for _, w := range l.queue {
			if found := cycle(w.owner); found != nil {
				return found
			}
		}
	}
	return nil
}
