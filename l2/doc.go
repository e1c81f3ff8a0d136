// Package l2 is the durable tier of pgcache: it implements cache.Tier on Pebble. It
// stores records, finds them again after a restart, and keeps them within a byte budget.
// It knows nothing of SQL, connections or L1, and leaves every decision about validity
// but expiry to the cache: watermarks are stored here and enforced there.
//
// A *Store, and a *Tier, may be used by any number of goroutines.
//
// # Directory
//
//	FORMAT   what this directory is: format version, store id, state
//	VISITED  what eviction knows of reads, from the latest clean close
//	BALLAST  disk space set aside
//	PROBE    written and removed to see whether a disk works again
//	LOCK     held by the process that has the store open
//	db/      the Pebble store
//	files/   payload files, by sequence: files/SHARD/SEQUENCE-NUMBER, all in hexadecimal
//
// # Rows
//
// The first byte of a key is its kind. Integers in keys are big-endian, so that byte order
// is number order; a namespace is its generation's id, so that a flush is one new id.
//
//	M name                            -> singletons: "format" (version, store id), "seq", "time" (Unix ms)
//	N name                            -> id u64, generation u64, created i64 (Unix ns), limits 4 x i64
//	G id                              -> a generation that ended and waits for reclaim
//	T ns kind text                    -> watermark: sequence u64
//	m ns key                          -> header, attributes, small payload
//	v ns key                          -> header, attributes, payload that is not small
//	q seq ns key                      -> size u64 [, file number u32] [, priority u8]:
//	                                     insertion order, accounting, eviction
//	x deadline ns key                 -> expiry order; deadline in Unix ms
//	H time ns-name                    -> a sample of statistics, opaque
//	i ns kind u16(len text) text key  -> label index
//
// No two records share a row: lengths are fixed or prefixed, but for the last part, so
// that keys of equal bytes have equal parts.
//
// The m rows are what scans and writes read: small, and in key order. The v row repeats
// header and attributes so that a hit needs one lookup.
//
// # Value of m and v rows
//
// Little-endian:
//
//	 0  magic u8 | version u8 (1, or 2 with a last access) | codec u8 | placement u8
//	 4  sequence u64
//	12  raw length u64             payload before compression
//	20  stored length u64          payload as stored
//	28  crc32c u32                 of the payload as stored
//	32  attributes length u32
//	36  number u32                 in the payload file's name; zero if there is none
//	40  crc32c u32                 of the m row's key, bytes 0..40, and what is before the payload
//	44  last access i64            Unix ms; of version 2 only, see below
//	    attributes                 cache.Attrs
//	    payload                    in the m row if placement is inline; in the v row, or in
//	                               the payload file, which holds nothing else
//
// An access to a record with an idle TTL is noted in memory, and with others in the m row,
// whose x row moves; the v row stays as it was written and tells of none. What is noted in
// memory counts for reads and sweeps at once; a crash loses it (accesses.go).
//
// Invariants:
//
//	D1  All rows of a record are written and removed in one batch, and a reader looks at
//	    one snapshot. q, x and i rows without their m row are garbage: nothing returns it.
//	    A payload file is written before the batch whose record names it, and removed after
//	    the one that removes the record, so that a crash leaves files without records. A
//	    power failure may leave a record without its file, if neither was synced: a miss.
//	D2  Only the committer goroutine writes to Pebble, so what it reads before a batch is
//	    what the batch is applied to. Callers prepare (encode, compress) and wait.
//	D3  Header and payload are checked against their crc32c, and the header's covers the
//	    key: a read returns the bytes that were written for the key or nothing.
//	D4  One write-ahead log holds everything: a crash keeps a prefix of the batches, so
//	    that no older record outlives an invalidation that was made durable after it.
//	D5  Bytes in use are the sum of the sizes in the q rows of live generations; payload
//	    files count the blocks they take.
//	D6  A generation that ended accepts no write and answers no read, from the commit that
//	    ended it on.
//	D7  Pebble's fatal errors end the use of this store, not the process; errors of the disk
//	    end its writes only. No call waits for either, not even a reader that would need
//	    Pebble's lock in order to end. A Tier opens another store in place of one that
//	    broke.
//	D8  What a write that the disk did not take was to replace is hidden by a mark, in memory
//	    only. All that marks hide is deleted before a call that asks for durability succeeds,
//	    and before the store is closed: else it would be back after a crash, and with it
//	    what was invalidated meanwhile.
//	D9  A database that is opened in place of a broken one may lack the latest batches, and
//	    may hold one that nobody was told of. The ledger knows of all since the latest sync:
//	    their records are hidden by marks, generations and watermarks are put right before
//	    anything is read. Of the broken database nothing changes the disk after that, and
//	    nothing that it did is acknowledged any more. A sync that failed is never repeated:
//	    what Pebble finds in the log when it opens it goes into new files.
package l2
