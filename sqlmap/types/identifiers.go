package types

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"pgcache/pgwire"
)

// noReg is how the reg* types show OID 0.
const noReg = "-"

// parseReg reads a reg* type: a number, - or a name.
func parseReg(oid OID, text []byte, style *Style) (Value, error) {
	if string(text) == noReg {
		return OfInt(0), nil
	}
	if len(text) > 0 && isDigits(text) {
		return parseInt(Oid, text)
	}
	if style == nil || style.Names == nil {
		return Value{}, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "%s names are not supported here", oid)
	}
	found, err := style.Names.Find(oid, string(text))
	return OfInt(int64(found)), err
}

func appendReg(dst []byte, oid OID, v Value, style *Style) []byte {
	if v.Int == 0 {
		return append(dst, noReg...)
	}
	if style != nil && style.Names != nil {
		if name, ok := style.Names.Show(oid, OID(v.Int)); ok {
			return append(dst, name...)
		}
	}
	return strconv.AppendInt(dst, v.Int, 10)
}

// parseTid reads (block,item).
func parseTid(text []byte) (Value, error) {
	s := trimSpace(text)
	if len(s) < 5 || s[0] != '(' || s[len(s)-1] != ')' {
		return Value{}, invalidText(Tid, text)
	}
	block, item, _ := bytes.Cut(s[1:len(s)-1], []byte{','})
	b, err1 := strconv.ParseUint(string(block), 10, 32)
	i, err2 := strconv.ParseUint(string(item), 10, 16)
	if err1 != nil || err2 != nil {
		return Value{}, invalidText(Tid, text)
	}
	return OfInt(int64(b<<16 | i)), nil
}

func appendTid(dst []byte, v Value) []byte {
	dst = strconv.AppendInt(append(dst, '('), v.Int>>16, 10)
	dst = strconv.AppendInt(append(dst, ','), v.Int&0xffff, 10)
	return append(dst, ')')
}

func parseBinaryTid(data []byte) (Value, error) {
	if len(data) != 6 {
		return Value{}, wrongLength(Tid)
	}
	return OfInt(int64(binary.BigEndian.Uint32(data))<<16 | int64(binary.BigEndian.Uint16(data[4:]))), nil
}

func appendBinaryTid(dst []byte, v Value) []byte {
	dst = binary.BigEndian.AppendUint32(dst, uint32(v.Int>>16))
	return binary.BigEndian.AppendUint16(dst, uint16(v.Int))
}

// parseLSN reads two hexadecimal numbers: 16/B374D848.
func parseLSN(text []byte) (Value, error) {
	high, low, ok := bytes.Cut(text, []byte{'/'})
	a, err1 := strconv.ParseUint(string(high), 16, 32)
	b, err2 := strconv.ParseUint(string(low), 16, 32)
	if !ok || err1 != nil || err2 != nil {
		return Value{}, invalidText(PgLSN, text)
	}
	return OfInt(int64(a<<32 | b)), nil
}

func appendLSN(dst []byte, v Value) []byte {
	for i, part := range []uint64{uint64(v.Int) >> 32, uint64(v.Int) & 0xffffffff} {
		if i > 0 {
			dst = append(dst, '/')
		}
		dst = append(dst, bytes.ToUpper(strconv.AppendUint(nil, part, 16))...)
	}
	return dst
}

func parseXid8(text []byte) (Value, error) {
	n, err := strconv.ParseUint(string(trimSpace(text)), 10, 64)
	if err != nil {
		return Value{}, invalidText(Xid8, text)
	}
	return OfInt(int64(n)), nil
}
