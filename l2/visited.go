package l2

import (
	"hash/maphash"
	"sync/atomic"
)

// visitedSet holds SIEVE's visited bits: one bit per hash of a record's key, so that a hit
// writes nothing to disk. Two keys that share a bit cost one of them an undeserved round;
// a restart forgets all bits and costs one round in insertion order.
type visitedSet struct {
	seed maphash.Seed
	mask uint64
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
	return &visitedSet{seed: maphash.MakeSeed(), mask: bits - 1, bits: make([]atomic.Uint32, bits/32)}
}

func (v *visitedSet) at(recordKey []byte) (*atomic.Uint32, uint32) {
	hash := maphash.Bytes(v.seed, recordKey) & v.mask
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
