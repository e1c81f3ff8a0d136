// Package wheel is a hierarchical timing wheel (Varghese and Lauck, SOSP 1987) over slots,
// small integers naming entries: it finds what is due without looking at anything else.
// Scheduling and cancelling take constant time and, once a slot has been seen, no memory.
//
// A Wheel belongs to one shard and is guarded by that shard's lock, held exclusively.
//
// Invariants:
//
//	T1  A slot is scheduled at most once. One scheduled for a time is handed out by the
//	    first complete Advance to that time plus TickMs, or later, and never before it.
//	T2  Advance looks at no more than the number of slots asked for. A slot is looked at
//	    at most once on each level before it is due.
package wheel

import "pgcache/cache/pages"

// TickMs is the wheel's grain.
const TickMs = 128

const (
	levels     = 5
	levelBits  = 6 // 64 buckets a level: 8 s, 9 min, 9 h, 25 days, 4 years
	buckets    = 1 << levelBits
	bucketMask = buckets - 1

	// bucketMark tells, in node.prev, a bucket's number from a slot.
	bucketMark = 1 << 31

	// ticksPerLook: so many ticks without slots count as one slot looked at.
	ticksPerLook = 64
)

// NodeBytes is the memory the wheel takes for each slot number in use.
const NodeBytes = 8

// node links a slot into a bucket; prev is 0 if it is not in one, next 0 at the end.
type node struct{ next, prev uint32 }

// Wheel is the wheel.
type Wheel struct {
	nodes pages.Array[node]
	heads [levels * buckets]uint32
	used  [levels]uint64 // which buckets of a level are not empty
	tick  int64          // the tick being worked on: all before it is done
	level int            // the level whose bucket of that tick is next; levels-1 first
	count int
}

// New returns a wheel whose time is nowMs.
func New(nowMs int64) *Wheel { return &Wheel{tick: nowMs/TickMs + 1, level: levels - 1} }

// Len is the number of scheduled slots.
func (w *Wheel) Len() int { return w.count }

// Schedule sets the time, in milliseconds, at which a slot is due, in place of an earlier
// one if it is scheduled already.
func (w *Wheel) Schedule(slot uint32, dueMs int64) {
	w.nodes.Extend(slot)
	w.Cancel(slot)
	w.insert(slot, dueMs)
}

func (w *Wheel) insert(slot uint32, dueMs int64) {
	// The lowest bucket of a tick is worked on last; then the next tick is the earliest.
	earliest := w.tick
	if w.level == 0 {
		earliest++
	}
	due := max((dueMs-1)/TickMs+1, earliest)
	level := 0
	for d := due - w.tick; level < levels-1 && d >= buckets; d >>= levelBits {
		level++
	}
	if far := int64(1)<<(levels*levelBits) - 1; due-w.tick > far {
		due = w.tick + far // looked at then, and scheduled again
	}
	bucket := uint32(level*buckets) + uint32(due>>(level*levelBits))&bucketMask
	head := w.heads[bucket]
	*w.nodes.At(slot) = node{next: head, prev: bucketMark | bucket}
	if head != 0 {
		w.nodes.At(head).prev = slot
	}
	w.heads[bucket] = slot
	w.used[level] |= 1 << (bucket & bucketMask)
	w.count++
}

// Cancel takes a slot out of the wheel; nothing happens if it is not in it.
func (w *Wheel) Cancel(slot uint32) {
	if !w.nodes.Has(slot) {
		return
	}
	n := w.nodes.At(slot)
	switch {
	case n.prev == 0:
		return
	case n.prev&bucketMark != 0:
		bucket := n.prev &^ bucketMark
		w.heads[bucket] = n.next
		if n.next == 0 {
			w.used[bucket>>levelBits] &^= 1 << (bucket & bucketMask)
		}
	default:
		w.nodes.At(n.prev).next = n.next
	}
	if n.next != 0 {
		w.nodes.At(n.next).prev = n.prev
	}
	*n = node{}
	w.count--
}

// Advance moves the wheel's time on to nowMs. It takes out each slot it comes to and asks
// when it is due: a time after nowMs schedules it again, zero leaves it out. It looks at
// about looks slots at most, and returns how many looks are left: none means that it may
// not be done, and the next call goes on.
func (w *Wheel) Advance(nowMs int64, looks int, when func(slot uint32) (dueMs int64)) int {
	idle := 0
	for now := nowMs / TickMs; w.tick <= now && looks > 0; {
		bucket := uint32(w.level*buckets) + uint32(w.tick>>(w.level*levelBits))&bucketMask
		// A level's bucket is emptied into lower ones as soon as its time begins.
		begins := w.tick&(1<<(w.level*levelBits)-1) == 0
		if slot := w.heads[bucket]; begins && slot != 0 {
			looks--
			w.Cancel(slot)
			if due := when(slot); due != 0 {
				w.insert(slot, due)
			}
			continue
		}
		if w.level--; w.level < 0 {
			w.level = levels - 1
			w.tick = min(w.tick+w.stride(), now+1)
			if idle++; idle%ticksPerLook == 0 {
				looks--
			}
		}
	}
	return looks
}

// stride is how many ticks on the next bucket that may hold something begins.
func (w *Wheel) stride() int64 {
	level := 0
	for level < levels-1 && w.used[level] == 0 {
		level++
	}
	span := int64(1) << (level * levelBits)
	return span - w.tick&(span-1)
}
