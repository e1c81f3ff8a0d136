package types

import (
	"bytes"
	"encoding/binary"
	"math"
	"unicode/utf8"

	"pgcache/pgwire"
)

// ParseBinary reads the binary form of a type. The value may alias data.
func ParseBinary(oid OID, data []byte) (Value, error) {
	if t := Lookup(oid); t != nil && t.Size > 0 && len(data) < int(t.Size) && oid != Name {
		return Value{}, pgwire.Errorf(pgwire.CodeProtocolViolation, "insufficient data left in message")
	}
	switch oid {
	case Char:
		if len(data) != 1 || data[0] >= utf8.RuneSelf {
			return Value{}, wrongLength(oid)
		}
		return OfBytes(bytes.TrimLeft(data, "\x00")), nil
	case Text, VarChar, BPChar, Name, Unknown:
		if err := CheckUTF8(data); err != nil {
			return Value{}, err
		}
		if oid == Name {
			data = clipName(data)
		}
		return OfBytes(data), nil
	case Bytea:
		return OfBytes(data), nil
	case Bool:
		if len(data) != 1 {
			return Value{}, wrongLength(oid)
		}
		return OfBool(data[0] != 0), nil
	case Int2, Int4, Int8, Oid, Xid, Timestamp, TimestampTZ:
		return parseBinaryInt(oid, data)
	case Float4:
		if len(data) != 4 {
			return Value{}, wrongLength(oid)
		}
		return OfFloat(float64(math.Float32frombits(binary.BigEndian.Uint32(data)))), nil
	case Float8:
		if len(data) != 8 {
			return Value{}, wrongLength(oid)
		}
		return OfFloat(math.Float64frombits(binary.BigEndian.Uint64(data))), nil
	case Interval:
		if len(data) != 16 {
			return Value{}, wrongLength(oid)
		}
		return Value{Int: int64(binary.BigEndian.Uint64(data)), Days: int32(binary.BigEndian.Uint32(data[8:])),
			Months: int32(binary.BigEndian.Uint32(data[12:]))}, nil
	case Numeric:
		return parseBinaryNumeric(data)
	case UUID:
		if len(data) != 16 {
			return Value{}, wrongLength(oid)
		}
		return OfBytes(data), nil
	case JSON:
		return parseJSON(oid, data, nil)
	case JSONB:
		if len(data) == 0 || data[0] != jsonbEncoding {
			return Value{}, pgwire.Errorf(pgwire.CodeInternalError, "unsupported jsonb version number %d", firstByte(data))
		}
		return parseJSON(oid, data[1:], nil)
	case Void:
		return Value{}, nil
	case Date:
		return parseBinaryDate(data)
	case Time:
		return parseBinaryTime(data)
	}
	return parseRareBinary(oid, data)
}

// parseRareBinary is ParseBinary for the types that are mostly the catalog's.
func parseRareBinary(oid OID, data []byte) (Value, error) {
	switch oid {
	case XML, Cstring, AclItem, PgNodeTree:
		return OfBytes(data), CheckUTF8(data)
	case TimeTZ:
		return parseBinaryTimeTZ(data)
	case Tid:
		return parseBinaryTid(data)
	case Inet, Cidr:
		return parseBinaryNetwork(oid, data)
	case Bit, VarBit:
		return parseBinaryBits(oid, data)
	case PgSnapshot, TxidSnapshot:
		return parseBinarySnapshot(oid, data)
	case MacAddr, MacAddr8:
		return parseBinaryMAC(oid, data)
	case Record:
		return parseBinaryRecord(data)
	}
	switch elem := elemOf(oid); {
	case elem != 0:
		return parseBinaryArray(oid, elem, data)
	case oid.IsReg(), oid == Cid, oid == Xid8, oid == PgLSN:
		return parseBinaryInt(oid, data)
	case rangeElem(oid) != 0:
		return parseBinaryRange(oid, data)
	}
	return Value{}, noInput(oid)
}

// jsonbEncoding is the version byte of jsonb's binary form.
const jsonbEncoding = 1

func firstByte(b []byte) byte {
	if len(b) == 0 {
		return 0
	}
	return b[0]
}

func parseBinaryInt(oid OID, data []byte) (Value, error) {
	size := int(Lookup(oid).Size)
	if len(data) != size {
		return Value{}, wrongLength(oid)
	}
	switch oid {
	case Int2:
		return OfInt(int64(int16(binary.BigEndian.Uint16(data)))), nil
	case Int4:
		return OfInt(int64(int32(binary.BigEndian.Uint32(data)))), nil
	}
	if size == 4 {
		return OfInt(int64(binary.BigEndian.Uint32(data))), nil
	}
	return OfInt(int64(binary.BigEndian.Uint64(data))), nil
}

func wrongLength(oid OID) error {
	return pgwire.Errorf(pgwire.CodeInvalidBinaryRepresentation, "incorrect binary data format for type %s", oid)
}

// CheckUTF8 refuses text that PostgreSQL would not take from a client.
func CheckUTF8(text []byte) error {
	if utf8.Valid(text) && bytes.IndexByte(text, 0) < 0 {
		return nil
	}
	return invalidUTF8(text)
}

func invalidUTF8(text []byte) error {
	bad := text
	for len(bad) > 0 {
		r, size := utf8.DecodeRune(bad)
		if r == 0 || r == utf8.RuneError && size == 1 {
			break
		}
		bad = bad[size:]
	}
	shown := make([]byte, 0, 20)
	for i, c := range bad[:min(len(bad), sequenceLength(firstByte(bad)))] {
		if i > 0 {
			shown = append(shown, ' ')
		}
		shown = append(shown, '0', 'x', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
	}
	return pgwire.Errorf(pgwire.CodeCharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %s", shown)
}

// sequenceLength is how many bytes the first byte of a UTF-8 sequence announces.
func sequenceLength(c byte) int {
	switch {
	case c >= 0xf0 && c < 0xf8:
		return 4
	case c >= 0xe0 && c < 0xf0:
		return 3
	case c >= 0xc0 && c < 0xe0:
		return 2
	}
	return 1
}

// AppendBinary appends the binary form of a value that is not NULL.
func AppendBinary(dst []byte, oid OID, v Value) []byte {
	be := binary.BigEndian
	switch oid {
	case Text, VarChar, BPChar, Name, JSON, Bytea, UUID, Unknown, XML, Cstring, AclItem, PgNodeTree:
		return append(dst, v.Bytes...)
	case Char:
		if len(v.Bytes) == 0 {
			return append(dst, 0)
		}
		return append(dst, v.Bytes...)
	case JSONB:
		return append(append(dst, jsonbEncoding), v.Bytes...)
	case Bool:
		return append(dst, byte(v.Int))
	case Int2:
		return be.AppendUint16(dst, uint16(v.Int))
	case Int4, Oid, Xid, Cid, Date:
		return be.AppendUint32(dst, uint32(v.Int))
	case Int8, Timestamp, TimestampTZ, Time, Xid8, PgLSN:
		return be.AppendUint64(dst, uint64(v.Int))
	case Float4:
		if math.IsNaN(v.Float) {
			return be.AppendUint32(dst, 0x7fc00000) // PostgreSQL's NaN; Go's has another payload
		}
		return be.AppendUint32(dst, math.Float32bits(float32(v.Float)))
	case Float8:
		if math.IsNaN(v.Float) {
			return be.AppendUint64(dst, 0x7ff8000000000000)
		}
		return be.AppendUint64(dst, math.Float64bits(v.Float))
	case Interval:
		dst = be.AppendUint64(dst, uint64(v.Int))
		dst = be.AppendUint32(dst, uint32(v.Days))
		return be.AppendUint32(dst, uint32(v.Months))
	case Numeric:
		return appendBinaryNumeric(dst, v.Bytes)
	}
	return appendRareBinary(dst, oid, v)
}

// appendRareBinary is AppendBinary for the types that are mostly the catalog's.
func appendRareBinary(dst []byte, oid OID, v Value) []byte {
	switch oid {
	case TimeTZ:
		return binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint64(dst, uint64(v.Int)), uint32(v.Days))
	case Tid:
		return appendBinaryTid(dst, v)
	case Inet, Cidr:
		return appendBinaryNetwork(dst, oid, v)
	case Bit, VarBit:
		return appendBinaryBits(dst, v)
	case PgSnapshot, TxidSnapshot:
		return appendBinarySnapshot(dst, v)
	case MacAddr, MacAddr8:
		return append(dst, v.Bytes...)
	case Void:
		return dst
	}
	switch elem := elemOf(oid); {
	case elem != 0:
		return appendBinaryArray(dst, oid, elem, v)
	case oid.IsReg():
		return binary.BigEndian.AppendUint32(dst, uint32(v.Int))
	case rangeElem(oid) != 0:
		return appendBinaryRange(dst, oid, v)
	}
	return appendBinaryRecord(dst, v) // record, and the row types of relations
}
