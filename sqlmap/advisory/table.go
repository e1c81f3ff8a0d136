package advisory

import (
	"fmt"
	"slices"
	"sync"
	"time"
)

// Key names a lock. In a Key of one number, First is its upper half.
type Key struct {
	First, Second uint32
	IsPair        bool
}

// Pair is the key of two numbers.
func Pair(a, b int32) Key { return Key{uint32(a), uint32(b), true} }

// Single is the key of one number.
func Single(n int64) Key { return Key{First: uint32(uint64(n) >> 32), Second: uint32(n)} }

// Mode is how a lock is held.
type Mode uint8

const (
	Share Mode = iota
	Exclusive
	modes = 2
)

// String is PostgreSQL's name of the mode.
func (m Mode) String() string {
	if m == Share {
		return "ShareLock"
	}
	return "ExclusiveLock"
}

func conflicts(a, b Mode) bool { return a == Exclusive || b == Exclusive }

// Limits bound what is kept. A hold of one lock in one mode counts once for each depth,
// however often it is taken there; so does a wait. Zero fields take the default.
type Limits struct {
	OwnerMax int // of one owner; 8,192
	TotalMax int // of all together; 65,536
}

const (
	ownerMaxDefault = 8192
	totalMaxDefault = 65536
)

// LimitError says that there is no room for another lock.
type LimitError struct {
	Max     int
	OfOwner bool // else of all together
}

func (e *LimitError) Error() string { return fmt.Sprintf("advisory: more than %d locks", e.Max) }

// Table holds the locks of a server.
type Table struct {
	limits Limits
	now    func() time.Time

	mu    sync.Mutex
	locks map[Key]*lock
	// owners are those that have or want a lock.
	owners map[*Owner]struct{}
	used   int // of limits.TotalMax
}

// New makes a Table.
func New(limits Limits, now func() time.Time) *Table {
	if limits.OwnerMax == 0 {
		limits.OwnerMax = ownerMaxDefault
	}
	if limits.TotalMax == 0 {
		limits.TotalMax = totalMaxDefault
	}
	return &Table{limits: limits, now: now, locks: make(map[Key]*lock), owners: make(map[*Owner]struct{})}
}

// lock is one lock that somebody has or wants.
type lock struct {
	key     Key
	holders map[*Owner]*holding
	held    [modes]int // how many hold it in each mode
	queue   []*waiter
}

// holding is what an owner has of a lock: in each mode, how often at which depth, the
// innermost last.
type holding struct{ counts [modes][]hold }

type hold struct {
	depth int
	times int64
}

func (h *holding) has(m Mode) bool { return h != nil && len(h.counts[m]) > 0 }

// blocks reports that what is held keeps others from holding a lock in a mode.
func (h *holding) blocks(m Mode) bool {
	return h.has(Exclusive) || m == Exclusive && h.has(Share)
}

// isFree reports that no other owner's holding keeps o from a mode.
func (l *lock) isFree(o *Owner, m Mode) bool {
	own := l.holders[o]
	others := func(m Mode) bool {
		n := l.held[m]
		if own.has(m) {
			n--
		}
		return n > 0
	}
	return !others(Exclusive) && (m == Share || !others(Share))
}

// lockOf finds or makes a lock. REQUIRES: t.mu held.
func (t *Table) lockOf(k Key) *lock {
	l := t.locks[k]
	if l == nil {
		l = &lock{key: k, holders: make(map[*Owner]*holding)}
		t.locks[k] = l
	}
	return l
}

// settle forgets a lock that nobody has or wants. REQUIRES: t.mu held.
func (t *Table) settle(l *lock) {
	if len(l.holders) == 0 && len(l.queue) == 0 {
		delete(t.locks, l.key)
	}
}

// reserve takes room for one more. REQUIRES: t.mu held.
func (t *Table) reserve(o *Owner) error {
	switch {
	case o.used >= t.limits.OwnerMax:
		return &LimitError{t.limits.OwnerMax, true}
	case t.used >= t.limits.TotalMax:
		return &LimitError{Max: t.limits.TotalMax}
	}
	t.owners[o] = struct{}{}
	t.used++
	o.used++
	return nil
}

// release gives room back. REQUIRES: t.mu held.
func (t *Table) release(o *Owner, n int) {
	t.used -= n
	if o.used -= n; o.used == 0 {
		delete(t.owners, o)
	}
}

// grant counts one more hold. REQUIRES: t.mu held; room for it was taken, unless the owner has
// the lock in this mode at this depth already.
func (l *lock) grant(o *Owner, m Mode, depth int) {
	h := l.holders[o]
	if h == nil {
		h = &holding{}
		l.holders[o] = h
		if o.held == nil {
			o.held = make(map[*lock]struct{})
		}
		o.held[l] = struct{}{}
	}
	if !h.has(m) {
		l.held[m]++
	}
	i, known := find(h.counts[m], depth)
	if !known {
		h.counts[m] = slices.Insert(h.counts[m], i, hold{depth: depth})
	}
	h.counts[m][i].times++
}

func find(list []hold, depth int) (int, bool) {
	return slices.BinarySearchFunc(list, depth, func(h hold, depth int) int { return h.depth - depth })
}

// setHolds replaces what an owner has of a lock in a mode. REQUIRES: t.mu held.
func (t *Table) setHolds(l *lock, o *Owner, m Mode, list []hold) {
	h := l.holders[o]
	t.release(o, len(h.counts[m])-len(list))
	h.counts[m] = list
	if len(list) > 0 {
		return
	}
	l.held[m]--
	if !h.has(Share) && !h.has(Exclusive) {
		delete(l.holders, o)
		delete(o.held, l)
	}
	t.serve(l)
}

// Row tells of one lock that an owner has or waits for.
type Row struct {
	Key       Key
	Mode      Mode
	ProcessID uint32
	IsGranted bool
	WaitStart time.Time // zero: it does not wait
}

// Rows lists all locks.
func (t *Table) Rows() []Row {
	t.mu.Lock()
	defer t.mu.Unlock()
	var rows []Row
	for _, l := range t.locks {
		for o, h := range l.holders {
			for m := range Mode(modes) {
				if h.has(m) {
					rows = append(rows, Row{Key: l.key, Mode: m, ProcessID: o.processID, IsGranted: true})
				}
			}
		}
		for _, w := range l.queue {
			rows = append(rows, Row{Key: l.key, Mode: w.mode, ProcessID: w.owner.processID, WaitStart: w.began})
		}
	}
	return rows
}

// Waiting are the process IDs of those who wait.
func (t *Table) Waiting() map[uint32]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make(map[uint32]bool)
	for o := range t.owners {
		if o.waits != nil {
			out[o.processID] = true
		}
	}
	return out
}

// Blockers are those whom a process waits for, each once: holders, and waiters before it.
func (t *Table) Blockers(processID uint32) []uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []uint32
	for o := range t.owners {
		if o.processID != processID || o.waits == nil {
			continue
		}
		for _, e := range o.waits.edges() {
			out = append(out, e.blocker.processID)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
