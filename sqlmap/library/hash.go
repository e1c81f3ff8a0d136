package library

import (
	"encoding/binary"
	"math/bits"
)

// hashes are PostgreSQL's hash functions of texts and numbers, which applications call to make
// a number of a name. They are Bob Jenkins' lookup3.
func hashes() []implementation {
	return []implementation{
		pure("hashtext(text)", func(a []value) (value, error) { return number(int64(int32(hashBytes(a[0].Bytes, 0)))), nil }),
		pure("hashtextextended(text,int8)", func(a []value) (value, error) {
			return number(int64(hashBytes(a[0].Bytes, uint64(a[1].Int)))), nil
		}),
		pure("hashint4(int4)", func(a []value) (value, error) { return number(int64(int32(hashWord(uint32(a[0].Int))))), nil }),
		pure("hashint8(int8)", func(a []value) (value, error) {
			// As of an int4 of the same value.
			low, high := uint32(a[0].Int), uint32(a[0].Int>>32)
			if a[0].Int < 0 {
				high = ^high
			}
			return number(int64(int32(hashWord(low ^ high)))), nil
		}),
	}
}

// jenkins is the state of a hash.
type jenkins struct{ a, b, c uint32 }

func newJenkins(length int) jenkins {
	const initial, version = 0x9e3779b9, 3923095
	n := uint32(initial + uint32(length) + version)
	return jenkins{n, n, n}
}

func (j *jenkins) mix() {
	step := func(x, y, z *uint32, by int) {
		*x -= *z
		*x ^= bits.RotateLeft32(*z, by)
		*z += *y
	}
	step(&j.a, &j.b, &j.c, 4)
	step(&j.b, &j.c, &j.a, 6)
	step(&j.c, &j.a, &j.b, 8)
	step(&j.a, &j.b, &j.c, 16)
	step(&j.b, &j.c, &j.a, 19)
	step(&j.c, &j.a, &j.b, 4)
}

func (j *jenkins) finish() {
	step := func(x, y *uint32, by int) {
		*x ^= *y
		*x -= bits.RotateLeft32(*y, by)
	}
	step(&j.c, &j.b, 14)
	step(&j.a, &j.c, 11)
	step(&j.b, &j.a, 25)
	step(&j.c, &j.b, 16)
	step(&j.a, &j.c, 4)
	step(&j.b, &j.a, 14)
	step(&j.c, &j.b, 24)
}

// hashBytes is the hash of 64 bits; its lower half is the one of 32 if there is no seed.
func hashBytes(key []byte, seed uint64) uint64 {
	j := newJenkins(len(key))
	if seed != 0 {
		j.a += uint32(seed >> 32)
		j.b += uint32(seed)
		j.mix()
	}
	const block = 12
	for ; len(key) >= block; key = key[block:] {
		j.a += binary.LittleEndian.Uint32(key)
		j.b += binary.LittleEndian.Uint32(key[4:])
		j.c += binary.LittleEndian.Uint32(key[8:])
		j.mix()
	}
	for i, k := range key {
		switch {
		case i < 4:
			j.a += uint32(k) << (8 * i)
		case i < 8:
			j.b += uint32(k) << (8 * (i - 4))
		default:
			j.c += uint32(k) << (8 * (i - 8 + 1)) // the lowest byte of c is the length's
		}
	}
	j.finish()
	return uint64(j.b)<<32 | uint64(j.c)
}

func hashWord(k uint32) uint32 {
	j := newJenkins(4)
	j.a += k
	j.finish()
	return j.c
}
