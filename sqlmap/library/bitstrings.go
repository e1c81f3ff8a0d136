package library

import (
	"bytes"
	"math/bits"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// bitAt is the bit number i, from the left.
func bitAt(v value, i int64) byte { return v.Bytes[i/8] >> (7 - i%8) & 1 }

// bitsOf makes a string of n bits, each the answer of f.
func bitsOf(n int64, f func(i int64) byte) value {
	out := value{Int: n, Bytes: make([]byte, (n+7)/8)}
	for i := range n {
		out.Bytes[i/8] |= f(i) << (7 - i%8)
	}
	return out
}

func concatenateBits(a, b value) value {
	return bitsOf(a.Int+b.Int, func(i int64) byte {
		if i < a.Int {
			return bitAt(a, i)
		}
		return bitAt(b, i-a.Int)
	})
}

// substringBits cuts length bits out from a 1-based place; a negative length is the rest.
func substringBits(v value, from, length int64, isOpen bool) (value, error) {
	if length < 0 && !isOpen {
		return value{}, pgwire.Errorf(pgwire.CodeSubstringError, "negative substring length not allowed")
	}
	end := v.Int
	if !isOpen && length < v.Int-(from-1) {
		end = max(from-1+length, 0)
	}
	start := min(max(from-1, 0), v.Int)
	end = max(end, start)
	return bitsOf(end-start, func(i int64) byte { return bitAt(v, start+i) }), nil
}

// bitStrings are the functions of bit and varbit beyond the bitwise operators.
func bitStrings() []implementation {
	shift := func(v value, by int64) value {
		return bitsOf(v.Int, func(i int64) byte {
			if i+by < 0 || i+by >= v.Int || by > v.Int || by < -v.Int {
				return 0
			}
			return bitAt(v, i+by)
		})
	}
	replace := func(a []value, length int64) (value, error) {
		if a[2].Int <= 0 {
			return value{}, pgwire.Errorf(pgwire.CodeSubstringError, "negative substring length not allowed")
		}
		before, err := substringBits(a[0], 1, a[2].Int-1, false)
		if err != nil {
			return value{}, err
		}
		after, err := substringBits(a[0], a[2].Int+length, 0, true)
		return concatenateBits(concatenateBits(before, a[1]), after), err
	}
	out := []implementation{
		pure("bitnot(bit)", func(a []value) (value, error) {
			return bitsOf(a[0].Int, func(i int64) byte { return 1 - bitAt(a[0], i) }), nil
		}),
		pure("bitcat(varbit,varbit)", func(a []value) (value, error) {
			if a[0].Int+a[1].Int > 8*resultBytesMax {
				return value{}, errTooLong()
			}
			return concatenateBits(a[0], a[1]), nil
		}),
		pure("bitshiftleft(bit,int4)", func(a []value) (value, error) { return shift(a[0], a[1].Int), nil }),
		pure("bitshiftright(bit,int4)", func(a []value) (value, error) { return shift(a[0], -a[1].Int), nil }),
		pure("substring(bit,int4)", func(a []value) (value, error) { return substringBits(a[0], a[1].Int, 0, true) }),
		pure("substring(bit,int4,int4)", func(a []value) (value, error) { return substringBits(a[0], a[1].Int, a[2].Int, false) }),
		pure("overlay(bit,bit,int4)", func(a []value) (value, error) { return replace(a, a[1].Int) }),
		pure("overlay(bit,bit,int4,int4)", func(a []value) (value, error) { return replace(a, a[3].Int) }),
		pure("octet_length(bit)", func(a []value) (value, error) { return number(int64(len(a[0].Bytes))), nil }),
		pure("bit_count(bit)", func(a []value) (value, error) {
			n := 0
			for _, b := range a[0].Bytes {
				n += bits.OnesCount8(b)
			}
			return number(int64(n)), nil
		}),
		call("position(bit,bit)", positionOfBits),
		pure("set_bit(bit,int4,int4)", func(a []value) (value, error) {
			i := a[1].Int
			switch {
			case i < 0 || i >= a[0].Int:
				return value{}, pgwire.Errorf(pgwire.CodeArraySubscriptError, "bit index %d out of valid range (0..%d)", i, a[0].Int-1)
			case a[2].Int != 0 && a[2].Int != 1:
				return value{}, invalidParameter("new bit must be 0 or 1")
			}
			return bitsOf(a[0].Int, func(j int64) byte {
				if i == j {
					return byte(a[2].Int)
				}
				return bitAt(a[0], j)
			}), nil
		}),
	}
	return append(out, bitFolds()...)
}

// positionOfBits is where one string of bits is first in another, from 1; 0: nowhere.
func positionOfBits(c *schema.Call, a []value) (value, error) {
	for at := int64(0); at+a[1].Int <= a[0].Int; at++ {
		if err := c.Interrupted(int(at)); err != nil {
			return value{}, err
		}
		found := true
		for i := int64(0); found && i < a[1].Int; i++ {
			found = bitAt(a[0], at+i) == bitAt(a[1], i)
		}
		if found {
			return number(at + 1), nil
		}
	}
	return number(0), nil
}

// bitFolds are the bitwise aggregates.
func bitFolds() []implementation {
	var out []implementation
	for name, f := range map[string]func(a, b byte) byte{
		"and": func(a, b byte) byte { return a & b }, "or": func(a, b byte) byte { return a | b }, "xor": func(a, b byte) byte { return a ^ b },
	} {
		begin := func(*schema.Call, []value) (schema.Accumulator, error) { return &bitFold{f: f}, nil }
		out = append(out, implementation{Signature: "bit_" + name + "(bit)", Aggregate: begin, SkipsNulls: true})
	}
	return out
}

// bitFold combines strings of bits of one length.
type bitFold struct {
	f      func(a, b byte) byte
	folded *value
}

func (b *bitFold) Add(args []value) error {
	v := args[0]
	if b.folded == nil {
		b.folded = &value{Int: v.Int, Bytes: bytes.Clone(v.Bytes)}
		return nil
	}
	if v.Int != b.folded.Int {
		return pgwire.Errorf(pgwire.CodeStringDataLengthMismatch, "cannot combine bit strings of different sizes")
	}
	out := value{Int: v.Int, Bytes: make([]byte, len(v.Bytes))}
	for i := range out.Bytes {
		out.Bytes[i] = b.f(b.folded.Bytes[i], v.Bytes[i])
	}
	b.folded = &out
	return nil
}

func (b *bitFold) Result() (value, error) {
	if b.folded == nil {
		return null()
	}
	return *b.folded, nil
}

// byteStrings are the functions of bytea that texts have too.
func byteStrings() []implementation {
	replace := func(a []value, length int64) (value, error) {
		if a[2].Int <= 0 {
			return value{}, pgwire.Errorf(pgwire.CodeSubstringError, "negative substring length not allowed")
		}
		start := min(a[2].Int-1, int64(len(a[0].Bytes)))
		end := min(max(a[2].Int-1+length, 0), int64(len(a[0].Bytes)))
		return bounded(bytes.Join([][]byte{a[0].Bytes[:start], a[1].Bytes, a[0].Bytes[end:]}, nil))
	}
	trim := func(left, right bool) func(a []value) (value, error) {
		return func(a []value) (value, error) {
			start, end := 0, len(a[0].Bytes)
			for left && start < end && bytes.IndexByte(a[1].Bytes, a[0].Bytes[start]) >= 0 {
				start++
			}
			for right && end > start && bytes.IndexByte(a[1].Bytes, a[0].Bytes[end-1]) >= 0 {
				end--
			}
			return bytesOf(a[0].Bytes[start:end]), nil
		}
	}
	outside := func(i int64, length int) error {
		return pgwire.Errorf(pgwire.CodeArraySubscriptError, "index %d out of valid range, 0..%d", i, length-1)
	}
	return []implementation{
		pure("btrim(bytea,bytea)", trim(true, true)), pure("ltrim(bytea,bytea)", trim(true, false)), pure("rtrim(bytea,bytea)", trim(false, true)),
		pure("overlay(bytea,bytea,int4)", func(a []value) (value, error) { return replace(a, int64(len(a[1].Bytes))) }),
		pure("overlay(bytea,bytea,int4,int4)", func(a []value) (value, error) { return replace(a, a[3].Int) }),
		pure("set_byte(bytea,int4,int4)", func(a []value) (value, error) {
			if i := a[1].Int; i < 0 || i >= int64(len(a[0].Bytes)) {
				return value{}, outside(i, len(a[0].Bytes))
			}
			out := bytes.Clone(a[0].Bytes)
			out[a[1].Int] = byte(a[2].Int)
			return bytesOf(out), nil
		}),
		pure("get_bit(bytea,int8)", func(a []value) (value, error) {
			if i := a[1].Int; i < 0 || i >= int64(8*len(a[0].Bytes)) {
				return value{}, outside(i, 8*len(a[0].Bytes))
			}
			return number(int64(a[0].Bytes[a[1].Int/8] >> (a[1].Int % 8) & 1)), nil
		}),
		pure("set_bit(bytea,int8,int4)", func(a []value) (value, error) {
			i := a[1].Int
			switch {
			case i < 0 || i >= int64(8*len(a[0].Bytes)):
				return value{}, outside(i, 8*len(a[0].Bytes))
			case a[2].Int != 0 && a[2].Int != 1:
				return value{}, invalidParameter("new bit must be 0 or 1")
			}
			out := bytes.Clone(a[0].Bytes)
			out[i/8] = out[i/8]&^(1<<(i%8)) | byte(a[2].Int)<<(i%8)
			return bytesOf(out), nil
		}),
		pure("length(bytea,name)", func(a []value) (value, error) {
			if err := checkEncoding(a[1]); err != nil {
				return value{}, err
			}
			return number(int64(len(bytes.Runes(a[0].Bytes)))), types.CheckUTF8(a[0].Bytes)
		}),
		pure("convert(bytea,name,name)", func(a []value) (value, error) {
			for _, encoding := range a[1:] {
				if err := checkEncoding(encoding); err != nil {
					return value{}, err
				}
			}
			return a[0], types.CheckUTF8(a[0].Bytes)
		}),
	}
}
