// Package hotkeys finds the most read keys in a fixed amount of memory, by the Space-Saving
// algorithm (Metwally, Agrawal, El Abbadi, 2005): a table of counters; a key that has none
// takes over the smallest one with its count. A key read more often than 1/Counters of all
// reads is certain to be in it; counts are too high by the smallest counter at most.
//
// A Sketch may be used by any number of goroutines. Noting a read never waits: one that
// finds the table busy is dropped.
package hotkeys

import (
	"bytes"
	"slices"
	"sync"
)

// Counters is the size of the table.
const Counters = 256

// Key is a key that is read often.
type Key struct {
	Namespace, Name string
	Hits            int64 // reads, estimated
	Bytes           int64 // of values read, estimated
}

// Sketch is the table. The zero Sketch is ready for use.
type Sketch struct {
	mu     sync.Mutex
	byHash map[uint64]int // position in heap
	heap   []counter      // the smallest count first
}

type counter struct {
	hash            uint64
	namespace, name []byte // memory is kept when the counter is taken over
	hits, bytes     int64
}

// Note counts hits reads of a value of size bytes. hash identifies the key.
func (s *Sketch) Note(hash uint64, namespace, name []byte, hits, size int64) {
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.byHash == nil {
		s.byHash, s.heap = make(map[uint64]int, Counters), make([]counter, 0, Counters)
	}
	at, known := s.byHash[hash]
	switch {
	case known:
	case len(s.heap) < Counters:
		at = len(s.heap)
		s.heap = append(s.heap, counter{})
		s.take(at, hash, namespace, name)
		s.up(at)
		at = s.byHash[hash]
	default:
		at = 0
		delete(s.byHash, s.heap[0].hash)
		s.heap[0].bytes = 0
		s.take(0, hash, namespace, name)
	}
	s.heap[at].hits += hits
	s.heap[at].bytes += hits * size
	s.down(at)
}

func (s *Sketch) take(at int, hash uint64, namespace, name []byte) {
	c := &s.heap[at]
	c.hash = hash
	c.namespace, c.name = append(c.namespace[:0], namespace...), append(c.name[:0], name...)
	s.byHash[hash] = at
}

func (s *Sketch) swap(i, j int) {
	s.heap[i], s.heap[j] = s.heap[j], s.heap[i]
	s.byHash[s.heap[i].hash], s.byHash[s.heap[j].hash] = i, j
}

func (s *Sketch) up(at int) {
	for at > 0 && s.heap[(at-1)/2].hits > s.heap[at].hits {
		s.swap(at, (at-1)/2)
		at = (at - 1) / 2
	}
}

func (s *Sketch) down(at int) {
	for {
		least := at
		for child := 2*at + 1; child <= 2*at+2 && child < len(s.heap); child++ {
			if s.heap[child].hits < s.heap[least].hits {
				least = child
			}
		}
		if least == at {
			return
		}
		s.swap(at, least)
		at = least
	}
}

// Fade halves all counts, so that what was hot long ago makes room.
func (s *Sketch) Fade() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.heap {
		s.heap[i].hits /= 2 // keeps the order
		s.heap[i].bytes /= 2
	}
}

// Top returns up to n keys, the most read first.
func (s *Sketch) Top(n int) []Key {
	s.mu.Lock()
	counters := slices.Clone(s.heap)
	keys := make([]Key, len(counters))
	for i, c := range counters {
		keys[i] = Key{string(c.namespace), string(c.name), c.hits, c.bytes}
	}
	s.mu.Unlock()
	slices.SortFunc(keys, func(a, b Key) int {
		if a.Hits != b.Hits {
			return int(min(max(b.Hits-a.Hits, -1), 1))
		}
		return bytes.Compare([]byte(a.Namespace+"\x00"+a.Name), []byte(b.Namespace+"\x00"+b.Name))
	})
	keys = slices.DeleteFunc(keys, func(k Key) bool { return k.Hits == 0 })
	return keys[:min(n, len(keys))]
}
