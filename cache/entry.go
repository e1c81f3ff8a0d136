package cache

import (
	"sync/atomic"
	"unsafe"
)

// entryHeader is the head of an entry's chunk; key, attributes and value follow it at
// once, in the padding that the compiler sees at its end. Fields marked fixed never change
// once the entry is published.
type entryHeader struct {
	seq       Sequence     // fixed
	namespace NamespaceID  // fixed
	access    atomic.Int64 // the last one: Unix ms, and as the lowest bit accessNews
	valueLen  uint32       // fixed
	slot      uint32       // the slot that owns the chunk, 0: none; guarded by shard.mu
	storedLen atomic.Int32 // payload bytes in the tier; notStored; changed under shard.mu
	lengths   uint16       // fixed: the key's, and from bit keyLenBits on the chunk's padding
	tombstone bool         // fixed
}

// What is not key, value or padding is attributes: their length follows.
const keyLenBits = 13

func (h *entryHeader) keyLen() int  { return int(h.lengths & (1<<keyLenBits - 1)) }
func (h *entryHeader) padding() int { return int(h.lengths >> keyLenBits) }

// notStored as entryHeader.storedLen: the tier does not hold this write.
const notStored = -1

const entryHeaderBytes = int(unsafe.Offsetof(entryHeader{}.tombstone) + unsafe.Sizeof(entryHeader{}.tombstone))

// entry is the view of a chunk's data, all of it: entryBytes and up to 7 more.
type entry []byte

func (e entry) header() *entryHeader { return (*entryHeader)(unsafe.Pointer(unsafe.SliceData(e))) }

func entryBytes(keyLen, attrsLen, valueLen int) int {
	return entryHeaderBytes + keyLen + attrsLen + valueLen
}

func (e entry) key() []byte {
	h := e.header()
	return e[entryHeaderBytes : entryHeaderBytes+h.keyLen()]
}

func (e entry) attrs() Attrs {
	h := e.header()
	start := entryHeaderBytes + h.keyLen()
	end := len(e) - h.padding() - int(h.valueLen)
	return Attrs(e[start:end:end])
}

func (e entry) value() []byte {
	h := e.header()
	end := len(e) - h.padding()
	return e[end-int(h.valueLen) : end : end]
}

// fill writes an unpublished entry; seq and slot are set at publication.
func (e entry) fill(namespace NamespaceID, key []byte, attrs Attrs, value []byte) {
	h := e.header()
	h.namespace = namespace
	h.lengths = uint16(len(key)) | uint16(len(e)-entryBytes(len(key), len(attrs), len(value)))<<keyLenBits
	h.valueLen = uint32(len(value))
	h.tombstone = false
	h.slot = 0
	h.storedLen.Store(notStored)
	n := copy(e[entryHeaderBytes:], key)
	n += copy(e[entryHeaderBytes+n:], attrs)
	copy(e[entryHeaderBytes+n:], value)
}

// dueMs is when the entry will be Dead if it is not accessed again; 0: never.
func (e entry) dueMs() int64 {
	attrs := e.attrs()
	due, expires := attrs.DeadlineMs()
	if idle := attrs.IdleMs(); idle > 0 {
		if at := addMs(e.header().lastAccessMs(), idle); !expires || at < due {
			due = at
		}
	}
	return due
}

// stateAt is Dead for tombstones, else what time has made of the entry.
func (e entry) stateAt(nowMs int64) State {
	h := e.header()
	if h.tombstone {
		return Dead
	}
	return e.attrs().StateAt(nowMs, h.lastAccessMs())
}
