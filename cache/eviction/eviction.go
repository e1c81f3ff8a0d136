// Package eviction decides which entry of a shard leaves memory first. A policy knows
// slots (small integers naming entries), not the entries; it frees nothing itself.
//
// A Policy belongs to one shard and is guarded by that shard's lock: Access, Len, Knows
// and HistoryBytes may be called with the lock held shared, everything else needs it held
// exclusively.
//
// Invariants:
//
//	E1  A slot is queued at most once, between Insert and the Remove or Victim that ends it.
//	E2  Victim passes over a slot at most once for each access it has seen, and PassesMax
//	    times for its priority, and over no more than passesPerCall at a time: what it costs
//	    does not grow with Len.
//	E3  No call allocates once as many slots have been queued as are now, but for a history
//	    that changes its size.
//
// Priorities run from 0 to 255; 128 is that of entries nobody said anything about. What a
// priority does is each policy's: see Sieve and S3FIFO.
package eviction

import "math"

// Policy orders the slots of one shard for eviction. Slot 0 is never used.
type Policy interface {
	// Insert queues a slot that is not queued.
	Insert(slot uint32, e Entry)
	// Access notes a hit. It may run concurrently with other Access calls, and for slots
	// that are not queued, when it does nothing. It takes no lock and allocates nothing.
	Access(slot uint32)
	// Remove takes a slot out of the queue; nothing happens if it is not queued.
	Remove(slot uint32)
	// Victim takes the slot to evict next out of the queue; 0 if none is queued, or if it has
	// passed over so many that the caller should let go of the lock before it calls again.
	Victim() uint32
	// Len is the number of queued slots.
	Len() int

	// Remember notes that an entry with this hash was here and was wanted, though its slot
	// goes: what comes next under the hash is no newcomer.
	Remember(hash uint32)
	// Knows reports that an entry with this hash was evicted, or remembered, not long ago.
	Knows(hash uint32) bool
	// HistoryBytes is the memory of what Knows knows.
	HistoryBytes() int64
}

// Entry is what a policy is told of an entry when its slot is queued.
type Entry struct {
	Hash     uint32 // of its key
	Bytes    int64  // what it takes in memory
	Priority uint8
}

// PriorityDefault is the priority of entries written without one.
const PriorityDefault = 128

// passesPerCall bounds how long one call of Victim takes: some microseconds.
const passesPerCall = 128

// NodeBytesMax is the most memory a policy takes for each slot number in use, besides its
// history.
const NodeBytesMax = 16

// The policies there are, by name. Default is the one that replays of recorded traffic favour: see
// docs/performance.md.
const (
	SieveName  = "sieve"
	S3FIFOName = "s3fifo"
	Default    = S3FIFOName
)

// New makes the named policy; nil if there is none of that name. hashOf tells the hash of
// a queued slot; seed makes its choices differ from those of others.
func New(name string, hashOf func(slot uint32) uint32, seed uint64) Policy {
	switch name {
	case SieveName:
		return NewSieve()
	case S3FIFOName:
		return NewS3FIFO(hashOf, seed)
	default:
		return nil
	}
}

// A size is kept in a byte, as a floating point number with sizeFraction bits of fraction:
// it is at most a sixteenth off.
const (
	sizeFraction = 3
	sizeCodes    = 1 << 8
)

func encodeSize(n int64) uint8 {
	if n < 1<<sizeFraction {
		return uint8(max(n, 0))
	}
	_, exponent := math.Frexp(float64(n))
	exponent -= sizeFraction + 1
	rounded := (n + int64(1)<<exponent>>1) >> exponent // in [8, 16]
	code := int64(exponent)<<sizeFraction + rounded
	return uint8(min(code, sizeCodes-1))
}

func decodeSize(code uint8) int64 {
	if code < 1<<sizeFraction {
		return int64(code)
	}
	exponent := code>>sizeFraction - 1
	return (int64(code)&(1<<sizeFraction-1) + 1<<sizeFraction) << exponent
}
