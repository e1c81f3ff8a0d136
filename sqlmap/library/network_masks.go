package library

import (
	"bytes"

	"pgcache/sqlmap/types"
)

// networkMasks are functions of addresses and the length of their prefix.
func networkMasks() []implementation {
	// masked makes an address of the bits of the prefix and the others, each kept, 0 or 1.
	masked := func(v value, f func(address, mask byte) byte) value {
		out := value{Int: int64(8 * len(v.Bytes)), Bytes: bytes.Clone(v.Bytes)}
		ones := types.MaskNetwork(value{Int: v.Int, Bytes: bytes.Repeat([]byte{0xff}, len(v.Bytes))})
		for i := range out.Bytes {
			out.Bytes[i] = f(v.Bytes[i], ones.Bytes[i])
		}
		return out
	}
	setLength := func(isCIDR bool) func(a []value) (value, error) {
		return func(a []value) (value, error) {
			bits := int64(8 * len(a[0].Bytes))
			n := a[1].Int
			if n == -1 {
				n = bits
			}
			if n < 0 || n > bits {
				return value{}, invalidParameter("invalid mask length: %d", a[1].Int)
			}
			out := value{Int: n, Bytes: a[0].Bytes}
			if isCIDR {
				out = types.MaskNetwork(out)
			}
			return out, nil
		}
	}
	return []implementation{
		pure("netmask(inet)", func(a []value) (value, error) { return masked(a[0], func(_, mask byte) byte { return mask }), nil }),
		pure("hostmask(inet)", func(a []value) (value, error) { return masked(a[0], func(_, mask byte) byte { return ^mask }), nil }),
		pure("broadcast(inet)", func(a []value) (value, error) {
			out := masked(a[0], func(address, mask byte) byte { return address | ^mask })
			out.Int = a[0].Int
			return out, nil
		}),
		pure("set_masklen(inet,int4)", setLength(false)), pure("set_masklen(cidr,int4)", setLength(true)),
		pure("inet_same_family(inet,inet)", func(a []value) (value, error) { return boolean(len(a[0].Bytes) == len(a[1].Bytes)), nil }),
		pure("inet_merge(inet,inet)", func(a []value) (value, error) {
			if len(a[0].Bytes) != len(a[1].Bytes) {
				return value{}, invalidParameter("cannot merge addresses from different families")
			}
			out := value{Int: min(a[0].Int, a[1].Int), Bytes: a[0].Bytes}
			for out.Int > 0 && !bytes.Equal(types.MaskNetwork(out).Bytes, types.MaskNetwork(value{Int: out.Int, Bytes: a[1].Bytes}).Bytes) {
				out.Int--
			}
			return types.MaskNetwork(out), nil
		}),
	}
}
