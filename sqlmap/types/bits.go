package types

import (
	"bytes"
	"cmp"
	"encoding/binary"

	"pgcache/pgwire"
)

// parseBits reads 0s and 1s, or hexadecimal digits after an x.
func parseBits(text []byte) (Value, error) {
	digits, perDigit := text, 1
	if len(text) > 0 && (text[0] == 'x' || text[0] == 'X') {
		digits, perDigit = text[1:], 4
	} else if len(text) > 0 && (text[0] == 'b' || text[0] == 'B') {
		digits = text[1:]
	}
	out := Value{Int: int64(len(digits) * perDigit), Bytes: make([]byte, (len(digits)*perDigit+7)/8)}
	for i, c := range digits {
		d, ok := hexDigit(c)
		if !ok || perDigit == 1 && d > 1 {
			kind := "binary"
			if perDigit == 4 {
				kind = "hexadecimal"
			}
			return Value{}, pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "\"%c\" is not a valid %s digit", rune(c), kind)
		}
		at := i * perDigit
		out.Bytes[at/8] |= d << (8 - perDigit - at%8)
	}
	return out, nil
}

func appendBits(dst []byte, v Value) []byte {
	for i := range int(v.Int) {
		dst = append(dst, '0'+v.Bytes[i/8]>>(7-i%8)&1)
	}
	return dst
}

func parseBinaryBits(oid OID, data []byte) (Value, error) {
	if len(data) < 4 {
		return Value{}, wrongLength(oid)
	}
	n := int64(int32(binary.BigEndian.Uint32(data)))
	data = data[4:]
	if n < 0 || (n+7)/8 != int64(len(data)) {
		return Value{}, wrongLength(oid)
	}
	if rest := n % 8; rest != 0 && data[len(data)-1]<<rest != 0 {
		data = bytes.Clone(data) // what is behind the last bit does not count
		data[len(data)-1] &= highBits(rest)
	}
	return Value{Int: n, Bytes: data}, nil
}

func appendBinaryBits(dst []byte, v Value) []byte {
	return append(binary.BigEndian.AppendUint32(dst, uint32(v.Int)), v.Bytes...)
}

// resizeBits cuts or fills with zeros to n bits.
func resizeBits(v Value, n int64) Value {
	out := Value{Int: n, Bytes: make([]byte, (n+7)/8)}
	copy(out.Bytes, v.Bytes)
	if rest := n % 8; rest != 0 {
		out.Bytes[len(out.Bytes)-1] &= highBits(rest)
	}
	return out
}

// highBits is a mask of the first n bits of a byte.
func highBits[T int | int64](n T) byte { return byte(uint16(0xff00) >> n) }

func compareBits(a, b Value) int {
	if c := bytes.Compare(a.Bytes, b.Bytes); c != 0 {
		return c
	}
	return cmp.Compare(a.Int, b.Int)
}

// intToBits is the two's complement of an integer.
func intToBits(v Value, from OID) Value {
	if from == Int4 {
		return Value{Int: 32, Bytes: binary.BigEndian.AppendUint32(nil, uint32(v.Int))}
	}
	return Value{Int: 64, Bytes: binary.BigEndian.AppendUint64(nil, uint64(v.Int))}
}

// IntToBits is the cast of an integer to bit(n).
func IntToBits(v Value, from OID, n int64) Value {
	all := intToBits(v, from)
	sign := byte(0)
	if v.Int < 0 {
		sign = 1
	}
	out := Value{Int: n, Bytes: make([]byte, (n+7)/8)}
	for i := range n {
		at := all.Int - n + i
		bit := sign
		if at >= 0 {
			bit = all.Bytes[at/8] >> (7 - at%8) & 1
		}
		out.Bytes[i/8] |= bit << (7 - i%8)
	}
	return out
}

func bitsToInt(v Value, to OID) (Value, error) {
	width := int64(32)
	if to == Int8 {
		width = 64
	}
	if v.Int > width {
		return Value{}, outOfRange(to)
	}
	n := uint64(0)
	for i := range v.Int {
		n = n<<1 | uint64(v.Bytes[i/8]>>(7-i%8)&1)
	}
	if to == Int4 {
		return OfInt(int64(int32(n))), nil
	}
	return OfInt(int64(n)), nil
}
