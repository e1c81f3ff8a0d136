package arena

import (
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
)

// Pool obtains memory from the system for the arenas of a cache and keeps some of what is
// free for reuse, since the system clears what it hands out, page by page: segments, and the
// memory of large chunks, which are often replaced by others of their size. Safe for
// concurrent use.
type Pool struct {
	segmentBytes int
	freeMax      int
	source       Source
	resident     atomic.Int64

	mu struct {
		sync.Mutex
		free   [][]byte // segments
		spare  [][]byte // memory of large chunks, the oldest first
		kept   int      // bytes of free and spare
		doomed [][]byte // to be given back to the system
	}
	doomed atomic.Int32 // len(mu.doomed)
}

// Source maps and unmaps memory; sizes are multiples of the page size.
type Source struct {
	// Map's memory is about to be written as a whole if isWhole; else little by little.
	Map   func(size int, isWhole bool) ([]byte, error)
	Unmap func([]byte) error
}

// System is anonymous memory outside the Go heap: the collector neither scans nor counts it.
func System() Source {
	return Source{
		Map: func(size int, isWhole bool) ([]byte, error) {
			flags := syscall.MAP_ANON | syscall.MAP_PRIVATE
			if isWhole {
				flags |= syscall.MAP_POPULATE // one call in place of a fault for each page
			}
			return syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, flags)
		},
		Unmap: syscall.Munmap,
	}
}

// Heap is memory of the Go heap. The race detector watches only that.
func Heap() Source {
	return Source{
		Map:   func(size int, _ bool) ([]byte, error) { return make([]byte, size), nil },
		Unmap: func([]byte) error { return nil },
	}
}

// NewPool returns a pool of segments of segmentBytes (a power of two, at least a page) that
// keeps, of what is free, as much as freeMax segments.
func NewPool(segmentBytes, freeMax int, source Source) *Pool {
	if segmentBytes > segmentBytesMax {
		panic("arena: segments are too large for a Ref")
	}
	return &Pool{segmentBytes: segmentBytes, freeMax: freeMax, source: source}
}

// ResidentBytes is what the pool holds from the system, free segments included.
func (p *Pool) ResidentBytes() int64 { return p.resident.Load() }

func (p *Pool) segment() ([]byte, error) {
	p.mu.Lock()
	if n := len(p.mu.free); n > 0 {
		data := p.mu.free[n-1]
		p.mu.free = p.mu.free[:n-1]
		p.mu.kept -= len(data)
		p.mu.Unlock()
		return data, nil
	}
	p.mu.Unlock()
	return p.pages(p.segmentBytes, false)
}

// spareLenMax bounds how long a search for a spare takes; spareExcessShare, what part of it
// may be more than asked for: no more than rounding to pages costs a chunk that is just large.
const (
	spareLenMax      = 64
	spareExcessShare = 16
)

// large is memory for size bytes, which are about to be written as a whole.
func (p *Pool) large(size int) ([]byte, error) {
	p.mu.Lock()
	for i := len(p.mu.spare) - 1; i >= 0; i-- {
		if data := p.mu.spare[i]; len(data) >= size && len(data)-size <= size/spareExcessShare {
			p.removeSpare(i)
			p.mu.Unlock()
			return data, nil
		}
	}
	p.mu.Unlock()
	return p.pages(size, true)
}

// removeSpare REQUIRES: p.mu held.
func (p *Pool) removeSpare(i int) []byte {
	data := p.mu.spare[i]
	p.mu.spare = slices.Delete(p.mu.spare, i, i+1)
	p.mu.kept -= len(data)
	return data
}

// pages maps memory for size bytes, rounded up to whole pages; see Source.Map for isWhole.
func (p *Pool) pages(size int, isWhole bool) ([]byte, error) {
	page := os.Getpagesize()
	size = (size + page - 1) &^ (page - 1)
	data, err := p.source.Map(size, isWhole)
	if err != nil {
		return nil, fmt.Errorf("arena: map %d bytes: %w", size, err)
	}
	p.resident.Add(int64(size))
	return data, nil
}

// put takes back memory of segment or pages. What goes back to the system waits for Trim:
// the caller holds a shard's lock, and the system takes its time.
func (p *Pool) put(data []byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	isSegment := len(data) == p.segmentBytes
	switch most := p.freeMax * p.segmentBytes; {
	case len(data) > most || isSegment && len(p.mu.free) == p.freeMax:
		p.doom(data)
		return
	default:
		for len(p.mu.spare) > 0 && (p.mu.kept+len(data) > most || len(p.mu.spare) == spareLenMax) {
			p.doom(p.removeSpare(0))
		}
		if p.mu.kept+len(data) > most {
			p.doom(data) // all are segments
			return
		}
	}
	p.mu.kept += len(data)
	if isSegment {
		p.mu.free = append(p.mu.free, data)
	} else {
		p.mu.spare = append(p.mu.spare, data)
	}
}

// doom REQUIRES: p.mu held.
func (p *Pool) doom(data []byte) {
	p.mu.doomed = append(p.mu.doomed, data)
	p.doomed.Store(int32(len(p.mu.doomed)))
}

// Trim gives memory that is not needed back to the system. It is to be called, without a
// lock, after whatever may have freed chunks.
func (p *Pool) Trim() {
	if p.doomed.Load() == 0 {
		return
	}
	p.mu.Lock()
	doomed := p.mu.doomed
	p.mu.doomed = nil
	p.doomed.Store(0)
	p.mu.Unlock()
	for _, data := range doomed {
		p.unmap(data)
	}
}

func (p *Pool) unmap(data []byte) {
	p.resident.Add(-int64(len(data)))
	if err := p.source.Unmap(data); err != nil {
		// Only a range that was never mapped is refused: our own bookkeeping is broken.
		panic(fmt.Sprintf("arena: unmap %d bytes: %v", len(data), err))
	}
}

// Close returns the free segments to the system.
func (p *Pool) Close() {
	p.mu.Lock()
	free := append(p.mu.free, p.mu.spare...)
	p.mu.free, p.mu.spare, p.mu.kept = nil, nil, 0
	p.freeMax = 0
	p.mu.Unlock()
	for _, data := range free {
		p.unmap(data)
	}
	p.Trim()
}
