package library

import (
	"bytes"
	"math/big"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// addressArithmetic are the operators by which addresses are counted and masked.
func addressArithmetic() []implementation {
	outOfRange := func() error { return pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "result is out of range") }
	move := func(address value, by int64) (value, error) {
		sum := new(big.Int).Add(new(big.Int).SetBytes(address.Bytes), big.NewInt(by))
		if sum.Sign() < 0 || sum.BitLen() > 8*len(address.Bytes) {
			return value{}, outOfRange()
		}
		return value{Int: address.Int, Bytes: sum.FillBytes(make([]byte, len(address.Bytes)))}, nil
	}
	combine := func(verb string, f func(a, b byte) byte) func(a []value) (value, error) {
		return func(a []value) (value, error) {
			if len(a[0].Bytes) != len(a[1].Bytes) {
				return value{}, invalidParameter("cannot %s inet values of different sizes", verb)
			}
			out := value{Int: max(a[0].Int, a[1].Int), Bytes: make([]byte, len(a[0].Bytes))}
			for i := range out.Bytes {
				out.Bytes[i] = f(a[0].Bytes[i], a[1].Bytes[i])
			}
			return out, nil
		}
	}
	out := []implementation{
		pure("inetpl(inet,int8)", func(a []value) (value, error) { return move(a[0], a[1].Int) }),
		pure("int8pl_inet(int8,inet)", func(a []value) (value, error) { return move(a[1], a[0].Int) }),
		pure("inetmi_int8(inet,int8)", func(a []value) (value, error) { return move(a[0], -a[1].Int) }),
		pure("inetmi(inet,inet)", func(a []value) (value, error) {
			if len(a[0].Bytes) != len(a[1].Bytes) {
				return value{}, invalidParameter("cannot subtract inet values of different sizes")
			}
			n := new(big.Int).Sub(new(big.Int).SetBytes(a[0].Bytes), new(big.Int).SetBytes(a[1].Bytes))
			if !n.IsInt64() {
				return value{}, outOfRange()
			}
			return number(n.Int64()), nil
		}),
		pure("inetand(inet,inet)", combine("AND", func(a, b byte) byte { return a & b })),
		pure("inetor(inet,inet)", combine("OR", func(a, b byte) byte { return a | b })),
		pure("inetnot(inet)", func(a []value) (value, error) {
			return value{Int: a[0].Int, Bytes: inverted(a[0].Bytes)}, nil
		}),
		pure("abbrev(cidr)", func(a []value) (value, error) {
			if len(a[0].Bytes) != 4 {
				return text(string(types.AppendText(nil, types.Cidr, a[0], nil))), nil
			}
			octets := max((a[0].Int+7)/8, 1)
			var short []byte
			for i := range octets {
				if i > 0 {
					short = append(short, '.')
				}
				short = types.AppendText(short, types.Int4, number(int64(a[0].Bytes[i])), nil)
			}
			return bytesOf(types.AppendText(append(short, '/'), types.Int4, number(a[0].Int), nil)), nil
		}),
	}
	return append(out, hardwareAddresses()...)
}

func inverted(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = ^b[i]
	}
	return out
}

// hardwareAddresses are the functions of macaddr and macaddr8 besides comparisons.
func hardwareAddresses() []implementation {
	var out []implementation
	for _, t := range []string{"macaddr", "macaddr8"} {
		combine := func(f func(a, b byte) byte) func(a []value) (value, error) {
			return func(a []value) (value, error) {
				sum := make([]byte, len(a[0].Bytes))
				for i := range sum {
					sum[i] = f(a[0].Bytes[i], a[1].Bytes[i])
				}
				return bytesOf(sum), nil
			}
		}
		out = append(out,
			pure(t+"_and("+t+","+t+")", combine(func(a, b byte) byte { return a & b })),
			pure(t+"_or("+t+","+t+")", combine(func(a, b byte) byte { return a | b })),
			pure(t+"_not("+t+")", func(a []value) (value, error) { return bytesOf(inverted(a[0].Bytes)), nil }),
			pure("trunc("+t+")", func(a []value) (value, error) {
				const manufacturer = 3
				kept := make([]byte, len(a[0].Bytes))
				copy(kept, a[0].Bytes[:manufacturer])
				return bytesOf(kept), nil
			}))
	}
	return append(out,
		pure("macaddr8(macaddr)", func(a []value) (value, error) { return bytesOf(types.MACToMAC8(a[0].Bytes)), nil }),
		pure("macaddr(macaddr8)", func(a []value) (value, error) {
			b := a[0].Bytes
			if b[3] != 0xff || b[4] != 0xfe {
				e := pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "macaddr8 data out of range to convert to macaddr")
				e.Hint = "Only addresses that have FF and FE as values in the 4th and 5th bytes from the left, for example xx:xx:xx:ff:fe:xx:xx:xx, are eligible to be converted from macaddr8 to macaddr."
				return value{}, e
			}
			return bytesOf(append(bytes.Clone(b[:3]), b[5:]...)), nil
		}),
		pure("macaddr8_set7bit(macaddr8)", func(a []value) (value, error) {
			b := bytes.Clone(a[0].Bytes)
			b[0] |= 2
			return bytesOf(b), nil
		}))
}
