// Package eviction decides which entry of a shard leaves memory first. A policy knows
// slots (small integers naming entries), not the entries; it frees nothing itself.
//
// A Policy belongs to one shard and is guarded by that shard's lock: Access may be called
// with the lock held shared, everything else needs it held exclusively.
//
// Invariants:
//
//	E1  A slot is queued at most once, between Insert and the Remove or Victim that ends it.
//	E2  Victim terminates: it passes over a slot at most once for each access it has seen.
package eviction

// Policy orders the slots of one shard for eviction. Slot 0 is never used.
type Policy interface {
	// Insert queues a slot that is not queued.
	Insert(slot uint32)
	// Access notes a hit. It may run concurrently with other Access calls, and for slots
	// that are not queued, when it does nothing.
	Access(slot uint32)
	// Remove takes a slot out of the queue; nothing happens if it is not queued.
	Remove(slot uint32)
	// Victim takes the slot to evict next out of the queue; 0 if none is queued.
	Victim() uint32
	// Len is the number of queued slots.
	Len() int
}
