// Package cache is the domain of pgcache: blobs addressed by (namespace, key), their
// lifetimes, labels and versions, the memory tier L1, and the rules by which L1 and a
// durable tier below it stay one cache. It knows no network, no SQL and no storage
// engine: the durable tier is whatever implements [Tier].
//
// Words, one per concept:
//
//	entry      a key with its value and [Attrs], as one immutable write
//	tier       a place where entries live: L1 (memory, this package) or L2 (a Tier)
//	label      a tag or a dependency of an entry
//	live       fresh, or stale but inside the stale window (see [Attrs.StateAt])
//	expire     to stop being live because time passed
//	evict      to be dropped from a tier for want of room
//	promote    to copy an entry from L2 into L1
//	flush      (of a namespace) to invalidate all its entries at once
//	dirty      in L1, and not yet written to L2
//	tombstone  a dirty entry saying "this key is absent", hiding an older record in L2
//	block      writes and invalidations that become visible together, see [Cache.Commit]
//	group      a published block on its way to L2
//	stage      to write to the tiers what nobody sees until its [Load] commits
//	sequence   a number from one monotonic counter; every write and every invalidation
//	           takes one, so that "older" is decided without a clock
//
// Invariants:
//
//	I1  L1 holds every key whose L2 record is out of date: a write or delete is dirty in
//	    L1, and not evictable, until the tier has committed it. A reader therefore never
//	    sees an older record because a newer one is still on its way to disk.
//	I2  Every record carries the sequence of its write. The tier applies a write only
//	    over a smaller sequence and a delete only to a smaller sequence, so late and
//	    repeated operations are harmless.
//	I3  A promotion enters L1 only if, since before its L2 read, no write or delete
//	    touched the key's stripe and no invalidation touched its namespace.
//	I4  An invalidation first raises the fences (I3, watermarks), then removes what L1
//	    holds, then makes itself durable, and only then returns.
//	I5  The bytes of L1 (headers, keys, labels, values, index) are reserved before an
//	    entry is inserted and never exceed Config.L1BytesMax.
//	I6  No lock is held across compression or disk I/O. A hit takes a shard's lock shared.
//	    What is done to many entries, or to much memory, takes a shard's lock for some
//	    tens of microseconds at a time; only a block holds its shards for as long as it
//	    has keys.
//	I7  A block is published with the shards of all its keys locked, in order of number;
//	    with all shards locked if it has invalidations, whose fences then hide what they
//	    cover in L1 too (masks) until it is removed. Every read passes a shard's lock after
//	    it learnt its namespace's generation, so who sees a part of a block sees all of it.
//	    What a block relied on is checked in the same critical section.
//	I8  A group reaches L2 by one commit, in the order of publication among groups. Until
//	    then its entries are dirty, what is written to their keys meanwhile is not flushed,
//	    and namespaces that begin with it take part in no other commit. A crash before
//	    loses all of it. Its puts are stored together or, for want of room, not at all. Only
//	    a group that fails after its caller was told so is dissolved into single writes.
//
//	I9  What a Load stages has sequences of its own ranges. Readers, promotions and scans take
//	    an entry of a staged range for absent; the range is announced before its first
//	    entry is published, is written to L2 in the same commit as its entries, and ends
//	    in one step in memory and by one commit in L2, after all its entries. Ranges found
//	    at the start belong to loads that a crash cut short: they are hidden and removed.
//
// A *Cache may be used by any number of goroutines. A *Hit belongs to one goroutine.
package cache
