package cache

import "pgcache/cache/arena"

// Hit is an entry handed to a reader. The zero Hit is ready for use; Get, Peek and Update
// fill it, Release empties it for the next use. Between the two its bytes are pinned in
// memory and do not change, whatever happens to the key meanwhile. Not for concurrent use.
type Hit struct {
	value      []byte
	valueLen   int64
	storedLen  int64
	attrs      Attrs
	seq        Sequence
	lastAccess int64
	nowMs      int64
	tiers      TierSet
	state      State
	unloaded   bool
	isFromTier bool // it was read from the tier just now

	// Of a pinned L1 entry.
	shard *shard
	chunk *arena.Chunk
	ref   arena.Ref
}

// Value is the payload; nil when it was not loaded (see HasValue).
func (h *Hit) Value() []byte { return h.value }

// HasEntry reports that the Hit holds an entry.
func (h *Hit) HasEntry() bool { return h.attrs != nil }

// HasValue reports that Value is the payload.
func (h *Hit) HasValue() bool { return !h.unloaded }

// ValueLen is the payload's length in bytes, known also when Value is not loaded.
func (h *Hit) ValueLen() int64 { return h.valueLen }

// StoredLen is how many bytes L2 stores for the payload, -1 if it is not there.
func (h *Hit) StoredLen() int64 { return h.storedLen }

// Attrs aliases pinned memory: valid until Release.
func (h *Hit) Attrs() Attrs { return h.attrs }

// Seq is the sequence of the write that made the entry.
func (h *Hit) Seq() Sequence { return h.seq }

// LastAccessMs is the last access before this one, Unix ms, to the second.
func (h *Hit) LastAccessMs() int64 { return h.lastAccess }

// NowMs is the time at which the entry was found live, Unix ms.
func (h *Hit) NowMs() int64 { return h.nowMs }

// FromTier reports that the entry was not in L1 when it was looked for.
func (h *Hit) FromTier() bool { return h.isFromTier || h.tiers == InL2 }

// Tiers says where the entry is held.
func (h *Hit) Tiers() TierSet { return h.tiers }

// IsStale reports that the entry is past hard expiry, inside its stale window.
func (h *Hit) IsStale() bool { return h.state == Stale }

// Release ends the use of the entry's bytes. Releasing an empty Hit does nothing.
func (h *Hit) Release() {
	if h.shard != nil {
		h.shard.unpin(h.chunk, h.ref)
	}
	*h = Hit{}
}
