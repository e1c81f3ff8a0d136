package advisory

import (
	"context"
	"errors"
	"slices"
	"time"
)

// ErrTimeout says that a lock was not to be had in the time given.
var ErrTimeout = errors.New("advisory: lock timeout")

// Owner is one who holds locks. Its fields are guarded by the Table's mu.
type Owner struct {
	table     *Table
	processID uint32
	held      map[*lock]struct{}
	waits     *waiter // nil: for nothing
	used      int     // of limits.OwnerMax
}

// NewOwner makes an Owner that has nothing.
func (t *Table) NewOwner(processID uint32) *Owner { return &Owner{table: t, processID: processID} }

// waiter is an owner in a queue.
type waiter struct {
	owner *Owner
	lock  *lock
	mode  Mode
	depth int
	began time.Time
	// granted is closed by who gives it the lock.
	granted chan struct{}
}

// Lock takes a lock until its depth ends, and waits for it: until ctx ends (its error), or for
// the timeout (ErrTimeout; 0: for ever). A wait that would never end is refused (*DeadlockError).
func (o *Owner) Lock(ctx context.Context, k Key, m Mode, depth int, timeout time.Duration) error {
	w, err := o.begin(k, m, depth, true)
	if w == nil || err != nil {
		return err
	}
	var late <-chan time.Time
	if timeout > 0 {
		timer := time.NewTimer(timeout)
		defer timer.Stop()
		late = timer.C
	}
	select {
	case <-w.granted:
		return nil
	case <-late:
		err = ErrTimeout
	case <-ctx.Done():
		err = ctx.Err()
	}
	return o.giveUp(w, err)
}

// TryLock is Lock where waiting is not wanted; false: others have it.
func (o *Owner) TryLock(k Key, m Mode, depth int) (bool, error) {
	w, err := o.begin(k, m, depth, false)
	return w == nil && err == nil, err
}

// begin takes a lock that is to be had, or returns a waiter, in the queue if mayWait.
func (o *Owner) begin(k Key, m Mode, depth int, mayWait bool) (*waiter, error) {
	t := o.table
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.lockOf(k)
	defer t.settle(l)
	own := l.holders[o]
	isMore := own.has(m)
	if isMore {
		if _, known := find(own.counts[m], depth); known {
			l.grant(o, m, depth)
			return nil, nil
		}
	}
	if err := t.reserve(o); err != nil {
		return nil, err
	}
	at, isNext := l.place(o, m)
	if isMore || isNext && l.isFree(o, m) {
		l.grant(o, m, depth)
		return nil, nil
	}
	w := &waiter{owner: o, lock: l, mode: m, depth: depth, began: t.now()}
	if !mayWait {
		t.release(o, 1)
		return w, nil
	}
	w.granted = make(chan struct{})
	l.queue = slices.Insert(l.queue, at, w)
	o.waits = w
	if err := t.avoidDeadlock(o); err != nil {
		t.leave(w)
		return nil, err
	}
	return w, nil
}

// place is where in the queue a request belongs: at its end, or before the first who waits for
// what o holds (A2). isNext says that none before it conflicts.
func (l *lock) place(o *Owner, m Mode) (at int, isNext bool) {
	own := l.holders[o]
	for i, w := range l.queue {
		if own.blocks(w.mode) {
			return i, true
		}
		if conflicts(m, w.mode) {
			// The place may still be before a later one, but not at once.
			for j := i + 1; j < len(l.queue); j++ {
				if own.blocks(l.queue[j].mode) {
					return j, false
				}
			}
			return len(l.queue), false
		}
	}
	return len(l.queue), true
}

// giveUp ends a wait, unless the lock was given meanwhile.
func (o *Owner) giveUp(w *waiter, err error) error {
	t := o.table
	t.mu.Lock()
	defer t.mu.Unlock()
	if o.waits != w {
		return nil
	}
	t.leave(w)
	return err
}

// leave takes a waiter out of its queue. REQUIRES: t.mu held.
func (t *Table) leave(w *waiter) {
	l := w.lock
	w.owner.waits = nil
	l.queue = slices.DeleteFunc(l.queue, func(q *waiter) bool { return q == w })
	t.release(w.owner, 1)
	t.serve(l)
}

// serve gives a lock to those in the queue that can have it now. REQUIRES: t.mu held.
func (t *Table) serve(l *lock) {
	var ahead [modes]bool // modes that somebody before waits for
	rest := l.queue[:0]
	for _, w := range l.queue {
		isBehind := ahead[Exclusive] || w.mode == Exclusive && ahead[Share]
		if isBehind || !l.isFree(w.owner, w.mode) {
			ahead[w.mode] = true
			rest = append(rest, w)
			continue
		}
		w.owner.waits = nil
		l.grant(w.owner, w.mode, w.depth) // the room of the wait becomes that of the hold
		close(w.granted)
	}
	clear(l.queue[len(rest):])
	l.queue = rest
	t.settle(l)
}

// Unlock ends one hold of the session; false: there is none.
func (o *Owner) Unlock(k Key, m Mode) bool {
	t := o.table
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.locks[k]
	if l == nil || !l.holders[o].has(m) || l.holders[o].counts[m][0].depth != 0 {
		return false
	}
	list := l.holders[o].counts[m]
	if list[0].times > 1 {
		list[0].times--
		return true
	}
	t.setHolds(l, o, m, list[1:])
	return true
}

// UnlockSession ends all holds of the session; those of transactions stay.
func (o *Owner) UnlockSession() {
	o.change(func(list []hold) []hold {
		if list[0].depth == 0 {
			return list[1:]
		}
		return list
	})
}

// EndDepth ends the holds of nested transactions from a depth on, which is at least 1.
func (o *Owner) EndDepth(depth int) {
	o.change(func(list []hold) []hold {
		i, _ := find(list, depth)
		return list[:i]
	})
}

// MergeDepth makes the holds of nested transactions beyond a depth those of that depth.
func (o *Owner) MergeDepth(depth int) {
	o.change(func(list []hold) []hold {
		i, _ := find(list, depth+1)
		if i == len(list) {
			return list
		}
		times := int64(0)
		for _, h := range list[i:] {
			times += h.times
		}
		if i > 0 && list[i-1].depth == depth {
			list[i-1].times += times
			return list[:i]
		}
		list[i] = hold{depth, times}
		return list[:i+1]
	})
}

// change edits all that an owner holds.
func (o *Owner) change(edit func([]hold) []hold) {
	t := o.table
	t.mu.Lock()
	defer t.mu.Unlock()
	for l := range o.held {
		h := l.holders[o]
		for m := range Mode(modes) {
			if before := h.counts[m]; len(before) > 0 {
				if after := edit(before); len(after) != len(before) {
					t.setHolds(l, o, m, after)
				}
			}
		}
	}
}

// Close ends everything that the owner holds.
func (o *Owner) Close() { o.change(func([]hold) []hold { return nil }) }
