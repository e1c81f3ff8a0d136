package l2

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// visitedSet holds SIEVE's visited bits: one bit per hash of a record's key, so that a hit
// writes nothing to disk. Two keys that share a bit cost one of them an undeserved round.
// A clean close saves the bits; what a crash loses costs one round in insertion order.
type visitedSet struct {
	mask uint32
	bits []atomic.Uint32
}

const (
	// visitedBytesPerBit gives every 512 bytes of budget a bit: more bits than records.
	visitedBytesPerBit = 512
	visitedBitsMin     = 1 << 16
	visitedBitsMax     = 1 << 27 // 16 MiB of memory
)

func newVisitedSet(bytesMax int64) *visitedSet {
	bits := uint64(visitedBitsMin)
	for bits < visitedBitsMax && int64(bits) < bytesMax/visitedBytesPerBit {
		bits *= 2
	}
	return &visitedSet{mask: uint32(bits - 1), bits: make([]atomic.Uint32, bits/32)}
}

// at finds a key's bit by its crc32c, which processors compute, and which is the same after
// a restart. Who makes keys collide spares records for a round, no more.
func (v *visitedSet) at(recordKey []byte) (*atomic.Uint32, uint32) {
	hash := checksum(recordKey) & v.mask
	return &v.bits[hash/32], 1 << (hash % 32)
}

// mark sets the key's bit, writing only if it is not set yet.
func (v *visitedSet) mark(recordKey []byte) {
	word, bit := v.at(recordKey)
	if word.Load()&bit == 0 {
		word.Or(bit)
	}
}

// take clears the key's bit and reports whether it was set.
func (v *visitedSet) take(recordKey []byte) bool {
	word, bit := v.at(recordKey)
	return word.Load()&bit != 0 && word.And(^bit)&bit != 0
}

// The file VISITED has what eviction knows and the database does not say. Little-endian:
//
//	magic 4 | length of the hand u32 | number of bits u32 | crc32c of the rest u32
//	hand | bits, compressed
//
// A file that is missing, damaged or for another number of bits is as good as none.
const (
	visitedName       = "VISITED"
	visitedMagic      = "pgcv"
	visitedHeaderSize = 16
	visitedFileMax    = visitedBitsMax/8 + 1<<20
)

// saveVisited writes the hand of eviction and the visited bits. REQUIRES: the committer has
// ended.
func (s *Store) saveVisited() error {
	v := s.visited
	raw := make([]byte, 0, 4*len(v.bits))
	for i := range v.bits {
		raw = binary.LittleEndian.AppendUint32(raw, v.bits[i].Load())
	}
	le := binary.LittleEndian
	content := append(make([]byte, 0, visitedHeaderSize+len(s.hand)), visitedMagic...)
	content = le.AppendUint32(content, uint32(len(s.hand)))
	content = le.AppendUint32(content, v.mask)
	content = append(content, 0, 0, 0, 0)
	content = s.compressor.encoder.EncodeAll(raw, append(content, s.hand...))
	le.PutUint32(content[visitedHeaderSize-4:], checksum(content[visitedHeaderSize:]))
	file, err := s.files.fs.Create(s.visitedPath(), vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("save visited bits: %w", err)
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("save visited bits: %w", err)
	}
	return nil
}

// loadVisited takes up what saveVisited wrote, if it can.
func (s *Store) loadVisited() {
	file, err := s.files.fs.Open(s.visitedPath())
	if err != nil {
		return
	}
	content, err := io.ReadAll(io.LimitReader(file, visitedFileMax))
	if errors.Join(err, file.Close()) != nil || len(content) < visitedHeaderSize {
		return
	}
	le, body := binary.LittleEndian, content[visitedHeaderSize:]
	handLen := le.Uint32(content[4:])
	if string(content[:4]) != visitedMagic || le.Uint32(content[8:]) != s.visited.mask ||
		le.Uint32(content[12:]) != checksum(body) || uint64(handLen) > uint64(len(body)) {
		return
	}
	hand := body[:handLen]
	rawLen := 4 * len(s.visited.bits)
	raw, err := s.compressor.expand(nil, &header{codec: codecZstd, rawLen: uint64(rawLen)}, body[handLen:])
	if err != nil || !bytes.HasPrefix(hand, []byte{kindQueue}) {
		return
	}
	s.hand = append(s.hand[:0], hand...)
	for i := range s.visited.bits {
		s.visited.bits[i].Store(le.Uint32(raw[4*i:]))
	}
}

func (s *Store) visitedPath() string { return s.files.fs.PathJoin(s.cfg.Dir, visitedName) }
