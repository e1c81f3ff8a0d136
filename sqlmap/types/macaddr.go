package types

import (
	"bytes"
	"encoding/hex"
)

// parseMAC reads a macaddr of 6 bytes or a macaddr8 of 8: hexadecimal digits with one kind of
// separator or none. A macaddr8 of 6 bytes gets ff:fe in the middle.
func parseMAC(oid OID, text []byte) (Value, error) {
	s := trimSpace(text)
	var digits []byte
	separator, last := byte(0), -1
	for i, c := range s {
		switch _, isHex := hexDigit(c); {
		case isHex:
			digits = append(digits, c)
		case c != ':' && c != '-' && c != '.', separator != 0 && c != separator, last == i-1, len(digits)%2 != 0:
			return Value{}, invalidText(oid, text)
		default:
			separator, last = c, i
		}
	}
	out := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(out, digits); err != nil || last == len(s)-1 {
		return Value{}, invalidText(oid, text)
	}
	if oid == MacAddr8 && len(out) == 6 {
		return OfBytes(MACToMAC8(out)), nil
	}
	if len(out) != int(Lookup(oid).Size) {
		return Value{}, invalidText(oid, text)
	}
	return OfBytes(out), nil
}

// MACToMAC8 puts ff:fe between the two halves of a macaddr.
func MACToMAC8(mac []byte) []byte {
	return append(append(append(make([]byte, 0, 8), mac[:3]...), 0xff, 0xfe), mac[3:]...)
}

func appendMAC(dst []byte, v Value) []byte {
	for i, b := range v.Bytes {
		if i > 0 {
			dst = append(dst, ':')
		}
		dst = hex.AppendEncode(dst, []byte{b})
	}
	return dst
}

func parseBinaryMAC(oid OID, data []byte) (Value, error) {
	switch {
	case oid == MacAddr8 && len(data) == 6:
		return OfBytes(MACToMAC8(data)), nil
	case len(data) != int(Lookup(oid).Size):
		return Value{}, wrongLength(oid)
	}
	return OfBytes(bytes.Clone(data)), nil
}
