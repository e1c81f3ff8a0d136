// Package arena stores byte chunks of any size outside the sight of the garbage
// collector: log-structured memory (Rumble et al., "Log-structured Memory for DRAM-based
// Storage", FAST 2014). Chunks are appended to segments; a segment whose chunks are all
// gone is reused, and one that is mostly gone is evacuated by its owner (Evacuate). There
// are no size classes: a change in the sizes stored strands no memory, and evacuation
// bounds the waste.
//
// An Arena belongs to one shard and is guarded by that shard's lock. With the lock held
// shared: Data and Pin. Without it: Chunk.Unpin, and reading or writing the data of a
// chunk one has pinned. All else needs the lock held exclusively.
//
// Invariants:
//
//	A1  A chunk's bytes stay where they are and are not reused while its reference count
//	    is above zero. Alloc gives the owner one reference, Pin adds one.
//	A2  LiveBytes is the sum of the sizes of chunks with references.
//	A3  Whoever drops the last reference reclaims the chunk: Drop does, and a caller of
//	    Unpin that is told so must call Reclaim under the lock.
package arena

import (
	"errors"
	"sync/atomic"
	"unsafe"
)

// Ref names a chunk of an arena: segment number and offset of its data, in units of align.
// Zero names none, nor is there a ref whose low 32 bits are zero.
type Ref uint64

// RefBits is how many bits a Ref has.
const (
	RefBits     = offsetBits + segmentBits
	offsetBits  = 19
	segmentBits = 16

	segmentsMax     = 1 << segmentBits
	segmentBytesMax = align << offsetBits
)

func makeRef(segment, offset int) Ref { return Ref(segment)<<offsetBits | Ref(offset/align) }
func (r Ref) segment() int            { return int(r >> offsetBits) }
func (r Ref) offset() int             { return int(r&(1<<offsetBits-1)) * align }

// Chunk is the header in front of a chunk's data.
type Chunk struct {
	size uint32 // header and data, a multiple of align
	refs atomic.Int32
}

// Overhead is the size of the header, in bytes; align is that of every chunk.
const (
	Overhead = int(unsafe.Sizeof(Chunk{}))
	align    = 8
)

// Size is what a chunk with n bytes of data takes, in bytes.
func Size(n int) int { return (n + Overhead + align - 1) &^ (align - 1) }

// dedicatedShare: a chunk above segment/dedicatedShare gets a mapping of its own. A sealed
// segment is then at least 15/16 used, so evacuating one that is 7/8 full gains room.
const dedicatedShare = 16

// DataBytesMax is the largest chunk: its size must fit Chunk.size.
const DataBytesMax = 1<<31 - 1

// Unpin gives a reference back and reports that it was the last: the caller must then
// take the shard's lock and call Arena.Reclaim.
func (c *Chunk) Unpin() bool { return c.refs.Add(-1) == 0 }

// Arena is the memory of one shard.
type Arena struct {
	pool      *Pool
	segments  []segment // by number; number 0 is never used
	vacant    []int     // numbers without memory
	head      int       // the segment being filled; 0: none
	dedicated int       // chunks above this size get a mapping of their own
	clearing  clearing
	live      int64
	resident  int64
	rounding  int64 // the part of resident by which mappings of their own exceed their chunks
}

type segment struct {
	data []byte
	used int // bytes handed out; chunks lie one after the other in data[:used]
	live int // the part of used that has references
	own  bool
	// evacuated: what is left is pinned by readers only.
	evacuated bool
}

// New returns an empty arena over pool.
func New(pool *Pool) *Arena {
	return &Arena{pool: pool, segments: make([]segment, 1), dedicated: pool.segmentBytes / dedicatedShare}
}

// LiveBytes is the size of all chunks with references, headers included.
func (a *Arena) LiveBytes() int64 { return a.live }

// ResidentBytes is the memory the arena holds.
func (a *Arena) ResidentBytes() int64 { return a.resident }

// Pages is memory that a caller got for a large chunk before it took the lock, as the
// system takes its time to hand it out.
type Pages []byte

// Prepare gets the memory of a chunk for n bytes, if it is large enough to have one of its
// own. It needs no lock. What Alloc is not given goes back by Discard.
func (a *Arena) Prepare(n int) (Pages, error) {
	if Size(n) <= a.dedicated {
		return nil, nil
	}
	return a.pool.large(Size(n))
}

// Discard gives back what Prepare got. It needs no lock.
func (a *Arena) Discard(p Pages) {
	if p != nil {
		a.pool.put(p)
		a.pool.Trim()
	}
}

// Alloc makes a chunk for n bytes, whose content is undefined, with one reference.
func (a *Arena) Alloc(n int) (Ref, error) {
	pages, err := a.Prepare(n)
	if err != nil {
		return 0, err
	}
	return a.AllocIn(pages, n)
}

// errSegments: with segments of this number, or chunks that have one of their own, an arena
// is larger than any shard of a cache whose memory is a machine's.
var errSegments = errors.New("arena: too many segments")

// AllocIn is Alloc with the memory that Prepare(n) got, which is the arena's from then on.
func (a *Arena) AllocIn(pages Pages, n int) (Ref, error) {
	size := Size(n)
	if len(a.segments) == segmentsMax && len(a.vacant) == 0 {
		if pages != nil {
			a.pool.put(pages)
		}
		return 0, errSegments
	}
	if pages != nil {
		a.rounding += int64(len(pages) - size)
		return a.place(a.add(segment{data: pages, own: true}), size), nil
	}
	if a.head == 0 || len(a.segments[a.head].data)-a.segments[a.head].used < size {
		data, err := a.pool.segment()
		if err != nil {
			return 0, err
		}
		full := a.head
		a.head = a.add(segment{data: data})
		a.releaseIfEmpty(full)
	}
	return a.place(a.head, size), nil
}

func (a *Arena) add(s segment) int {
	a.resident += int64(len(s.data))
	if n := len(a.vacant); n > 0 {
		number := a.vacant[n-1]
		a.vacant = a.vacant[:n-1]
		a.segments[number] = s
		return number
	}
	a.segments = append(a.segments, s)
	return len(a.segments) - 1
}

func (a *Arena) place(number, size int) Ref {
	s := &a.segments[number]
	ref := makeRef(number, s.used+Overhead)
	s.used += size
	s.live += size
	a.live += int64(size)
	c := a.chunk(ref)
	c.size = uint32(size)
	c.refs.Store(1)
	return ref
}

func (a *Arena) chunk(ref Ref) *Chunk {
	return (*Chunk)(unsafe.Pointer(&a.segments[ref.segment()].data[ref.offset()-Overhead]))
}

// Data is the chunk's data, with up to align-1 bytes more than asked of Alloc.
func (a *Arena) Data(ref Ref) []byte {
	data := a.segments[ref.segment()].data
	offset := ref.offset()
	size := (*Chunk)(unsafe.Pointer(&data[offset-Overhead])).size
	return data[offset : offset-Overhead+int(size)]
}

// SizeOf is what the chunk takes, header included.
func (a *Arena) SizeOf(ref Ref) int { return int(a.chunk(ref).size) }

// Pin adds a reference, so that the data outlive the lock.
func (a *Arena) Pin(ref Ref) *Chunk { return PinData(a.Data(ref)) }

// PinData is Pin for who has the chunk's data, as Data returned them, at hand.
func PinData(data []byte) *Chunk {
	c := (*Chunk)(unsafe.Add(unsafe.Pointer(unsafe.SliceData(data)), -Overhead))
	c.refs.Add(1)
	return c
}

// Drop gives a reference back and reclaims the chunk if it was the last, which it reports.
func (a *Arena) Drop(ref Ref) bool {
	if !a.chunk(ref).Unpin() {
		return false
	}
	a.Reclaim(ref)
	return true
}

// Reclaim frees a chunk whose last reference is gone.
func (a *Arena) Reclaim(ref Ref) {
	size := int(a.chunk(ref).size)
	number := ref.segment()
	a.segments[number].live -= size
	a.live -= int64(size)
	a.releaseIfEmpty(number)
}

func (a *Arena) releaseIfEmpty(number int) {
	s := &a.segments[number]
	if number == 0 || s.live > 0 {
		return
	}
	if number == a.head {
		s.used = 0
		return
	}
	if number == a.clearing.segment {
		a.clearing = clearing{}
	}
	if s.own {
		a.rounding -= int64(len(s.data) - s.used)
	}
	a.resident -= int64(len(s.data))
	a.pool.put(s.data)
	*s = segment{}
	a.vacant = append(a.vacant, number)
}

// waste is what is held without need.
func (a *Arena) waste() int64 { return a.resident - a.live - a.rounding }

// Wasted reports that an evacuation is due: more than an eighth of the chunks' bytes, and
// more than two segments, are held without need.
func (a *Arena) Wasted() bool {
	waste := a.waste()
	return waste > a.live/8 && waste > 2*int64(a.pool.segmentBytes)
}

// Bounds of one step of an evacuation, which its owner's lock is held for: some tens of
// microseconds.
const (
	stepChunksMax = 512      // looked at
	stepMovesMax  = 96       // copied
	stepBytesMax  = 64 << 10 // copied, but for the last chunk
)

// clearing is how far the evacuation of a segment has come; zero: none is under way.
type clearing struct{ segment, offset int }

// Wasteful reports that evacuations do not keep up: twice as much is held without need.
func (a *Arena) Wasteful() bool {
	return a.waste() > a.live/4+4*int64(a.pool.segmentBytes)
}

// Evacuate does one step of emptying the segment that has the fewest live bytes, if it is
// at most 7/8 full, and reports whether there was one to do. owned says whether a chunk
// with references is still its owner's (else only readers pin it, and it stays until they
// are done); such a chunk is copied, moved records its new place, and the owner's reference
// to the old is dropped.
func (a *Arena) Evacuate(owned func(Ref) bool, moved func(old, new Ref)) bool {
	if a.clearing.segment == 0 {
		number := a.sparsest()
		if number == 0 {
			return false
		}
		a.segments[number].evacuated = true
		a.clearing = clearing{number, Overhead}
	}
	number := a.clearing.segment
	used := a.segments[number].used
	for looks, moves, copied := 0, 0, 0; looks < stepChunksMax && moves < stepMovesMax && copied < stepBytesMax; looks++ {
		if a.clearing.offset >= used {
			a.clearing = clearing{} // what is left is pinned
			break
		}
		old := makeRef(number, a.clearing.offset)
		c := a.chunk(old)
		size := int(c.size)
		a.clearing.offset += size
		if c.refs.Load() == 0 || !owned(old) {
			continue
		}
		place, err := a.Alloc(size - Overhead)
		if err != nil {
			return false
		}
		copy(a.Data(place), a.Data(old))
		moved(old, place)
		moves, copied = moves+1, copied+size
		if a.Drop(old); a.clearing.segment == 0 {
			break // that was the last one, and the segment is gone
		}
	}
	return true
}

func (a *Arena) sparsest() int {
	best, bestLive := 0, 0
	for number := 1; number < len(a.segments); number++ {
		s := &a.segments[number]
		if s.data == nil || s.own || s.evacuated || number == a.head || s.live > len(s.data)/8*7 {
			continue
		}
		if best == 0 || s.live < bestLive {
			best, bestLive = number, s.live
		}
	}
	return best
}

// Close gives back the segment being filled as soon as its chunks are gone, like all
// others. Chunks still pinned stay valid.
func (a *Arena) Close() {
	head := a.head
	a.head = 0
	a.releaseIfEmpty(head)
}
