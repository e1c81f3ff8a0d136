package types

import (
	"bytes"
	"net/netip"
	"strconv"
	"strings"

	"pgcache/pgwire"
)

// Families of the binary form.
const (
	networkIPv4 = 2
	networkIPv6 = 3
)

// parseNetwork reads an address with an optional prefix; a cidr has no bits right of it.
func parseNetwork(oid OID, text []byte) (Value, error) {
	const networkBytesMax = 64
	if len(text) > networkBytesMax {
		return Value{}, invalidText(oid, text)
	}
	address, prefix, hasPrefix := strings.Cut(string(text), "/")
	if oid == Cidr { // 10.1 is 10.1.0.0/16
		octets := strings.Count(address, ".") + 1
		if !strings.Contains(address, ":") && octets < 4 {
			address += strings.Repeat(".0", 4-octets)
			if !hasPrefix {
				prefix, hasPrefix = strconv.Itoa(8*octets), true
			}
		}
	}
	addr, err := netip.ParseAddr(address)
	if err != nil || addr.Zone() != "" {
		return Value{}, invalidText(oid, text)
	}
	v := Value{Int: int64(addr.BitLen()), Bytes: addr.AsSlice()}
	if hasPrefix {
		bits, err := strconv.ParseUint(prefix, 10, 8)
		if err != nil || int64(bits) > v.Int {
			return Value{}, invalidText(oid, text)
		}
		v.Int = int64(bits)
	}
	if oid == Cidr && !bytes.Equal(MaskNetwork(v).Bytes, v.Bytes) {
		e := pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "invalid cidr value: \"%s\"", text)
		e.Detail = "Value has bits set to right of mask."
		return Value{}, e
	}
	return v, nil
}

// MaskNetwork sets the bits right of the prefix to zero.
func MaskNetwork(v Value) Value {
	out := Value{Int: v.Int, Bytes: bytes.Clone(v.Bytes)}
	for i := range out.Bytes {
		kept := min(max(int(v.Int)-8*i, 0), 8)
		out.Bytes[i] &= highBits(kept)
	}
	return out
}

// AppendHost appends an address without its prefix.
func AppendHost(dst []byte, v Value) []byte {
	addr, _ := netip.AddrFromSlice(v.Bytes)
	return addr.AppendTo(dst)
}

func appendNetwork(dst []byte, oid OID, v Value) []byte {
	dst = AppendHost(dst, v)
	if oid == Cidr || v.Int != int64(8*len(v.Bytes)) {
		dst = strconv.AppendInt(append(dst, '/'), v.Int, 10)
	}
	return dst
}

func parseBinaryNetwork(oid OID, data []byte) (Value, error) {
	if len(data) != 8 && len(data) != 20 {
		return Value{}, wrongLength(oid)
	}
	size := len(data) - 4
	if data[0] != networkIPv4 && data[0] != networkIPv6 || (data[0] == networkIPv4) != (size == 4) ||
		int(data[1]) > 8*size || int(data[3]) != size {
		return Value{}, wrongLength(oid)
	}
	v := Value{Int: int64(data[1]), Bytes: data[4:]}
	if oid == Cidr && !bytes.Equal(MaskNetwork(v).Bytes, v.Bytes) {
		return Value{}, wrongLength(oid)
	}
	return v, nil
}

func appendBinaryNetwork(dst []byte, oid OID, v Value) []byte {
	family, isCidr := byte(networkIPv4), byte(0)
	if len(v.Bytes) != 4 {
		family = networkIPv6
	}
	if oid == Cidr {
		isCidr = 1
	}
	return append(append(dst, family, byte(v.Int), isCidr, byte(len(v.Bytes))), v.Bytes...)
}

// compareNetworks orders by family, network, length of the prefix and address.
func compareNetworks(a, b Value) int {
	if len(a.Bytes) != len(b.Bytes) {
		return len(a.Bytes) - len(b.Bytes)
	}
	shorter := min(a.Int, b.Int)
	if c := bytes.Compare(MaskNetwork(Value{Int: shorter, Bytes: a.Bytes}).Bytes, MaskNetwork(Value{Int: shorter, Bytes: b.Bytes}).Bytes); c != 0 {
		return c
	}
	if a.Int != b.Int {
		return int(a.Int - b.Int)
	}
	return bytes.Compare(a.Bytes, b.Bytes)
}
