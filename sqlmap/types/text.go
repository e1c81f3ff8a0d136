package types

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"pgcache/pgwire"
)

// Style is what session settings change of texts. A nil Style is the default.
type Style struct {
	ByteaEscape bool
	Interval    IntervalStyle
	Dates       DateOrder
	Location    *time.Location // nil: UTC
	Now         time.Time      // what 'now' and 'today' mean
	Names       Names          // for regclass and its like; nil: they are shown as numbers
	// Ctx is the statement's, which ends the reading of long texts; nil: nothing does.
	Ctx context.Context
}

// Names turns the texts of regclass, regtype, regproc and their like into OIDs and back,
// with the session's search path.
type Names interface {
	// Find is the input function of a reg* type; text is not a number.
	Find(reg OID, text string) (OID, error)
	// Show is the output function; false if nothing has that OID.
	Show(reg OID, oid OID) (string, bool)
}

// Zone is the session's time zone.
func (s *Style) Zone() *time.Location {
	if s == nil || s.Location == nil {
		return time.UTC
	}
	return s.Location
}

// DateOrder is how a date in digits is read that does not begin with a year of four.
type DateOrder uint8

// The orders that DateStyle knows.
const (
	OrderMDY DateOrder = iota
	OrderDMY
	OrderYMD
)

func (s *Style) dateOrder() DateOrder {
	if s == nil {
		return OrderMDY
	}
	return s.Dates
}

// now is the time of the session's transaction.
func (s *Style) now() time.Time {
	if s == nil {
		return time.Time{}
	}
	return s.Now
}

func invalidText(oid OID, text []byte) error {
	return pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "invalid input syntax for type %s: \"%s\"", oid, clip(text))
}

// clip bounds what messages repeat of the client's own text.
func clip(text []byte) []byte {
	const textBytesMax = 1024
	if len(text) <= textBytesMax {
		return text
	}
	cut := textBytesMax
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return append(bytes.Clone(text[:cut]), "..."...)
}

// CheckText is the error of a text that is wrong in whatever order dates are read.
func CheckText(oid OID, text []byte) error {
	_, err := ParseText(oid, text, nil)
	for order := OrderDMY; err != nil && order <= OrderYMD; order++ {
		if _, other := ParseText(oid, text, &Style{Dates: order}); other == nil {
			return nil
		}
	}
	return err
}

// ParseText reads the text form of a type. The value may alias text.
func ParseText(oid OID, text []byte, style *Style) (Value, error) {
	switch oid {
	case Text, VarChar, BPChar, Unknown:
		return OfBytes(text), nil
	case Name:
		return OfBytes(clipName(text)), nil
	case Char:
		if len(text) > 1 {
			text = text[:1]
		}
		if len(text) == 1 && text[0] >= utf8.RuneSelf {
			return Value{}, invalidText(oid, text[:0]) // a part of a character is no text
		}
		return OfBytes(text), nil
	case Bytea:
		return parseBytea(text)
	case Bool:
		return parseBool(text)
	case Int2, Int4, Int8, Oid, Xid, Cid:
		return parseInt(oid, text)
	case Float4, Float8:
		return parseFloat(oid, text)
	case Numeric:
		return parseNumeric(text)
	case Timestamp, TimestampTZ:
		return parseTimestamp(oid, text, style)
	case Date:
		return parseDate(text, style)
	case Time, TimeTZ:
		return parseClockTime(oid, text, style)
	case Interval:
		return parseInterval(text)
	case JSON, JSONB:
		return parseJSON(oid, text, style)
	case UUID:
		return parseUUID(text)
	case Void:
		return Value{}, nil
	}
	return parseRareText(oid, text, style)
}

// parseRareText is ParseText for the types that are mostly the catalog's.
func parseRareText(oid OID, text []byte, style *Style) (Value, error) {
	switch oid {
	case XML, Cstring, AclItem, PgNodeTree:
		return OfBytes(text), nil
	case Tid:
		return parseTid(text)
	case Xid8:
		return parseXid8(text)
	case PgLSN:
		return parseLSN(text)
	case Inet, Cidr:
		return parseNetwork(oid, text)
	case Bit, VarBit:
		return parseBits(text)
	case PgSnapshot, TxidSnapshot:
		return parseSnapshot(oid, text)
	case MacAddr, MacAddr8:
		return parseMAC(oid, text)
	case Int2Vector, OidVector:
		return parseVector(oid, text, style)
	case Record:
		return parseRecord()
	}
	switch elem := elemOf(oid); {
	case elem != 0:
		return parseArray(elem, text, style)
	case oid.IsReg():
		return parseReg(oid, text, style)
	case rangeElem(oid) != 0:
		return parseRange(oid, text, style)
	}
	return Value{}, noInput(oid)
}

// ErrNoInput is the cause of the error for a type that has no values here; who knows the
// catalog can say its name.
var ErrNoInput = errors.New("types: no input function")

func noInput(oid OID) error {
	e := pgwire.Errorf(pgwire.CodeFeatureNotSupported, "type with OID %d is not supported", oid)
	e.Cause = ErrNoInput
	return e
}

// AppendText appends the text form of a value that is not NULL.
func AppendText(dst []byte, oid OID, v Value, style *Style) []byte {
	switch oid {
	case Text, VarChar, BPChar, Name, Char, JSON, JSONB, Numeric, Unknown, XML, Cstring, AclItem, PgNodeTree:
		return append(dst, v.Bytes...)
	case Bytea:
		return AppendBytea(dst, v.Bytes, style != nil && style.ByteaEscape)
	case Bool:
		if v.Int != 0 {
			return append(dst, 't')
		}
		return append(dst, 'f')
	case Int2, Int4, Int8, Oid, Xid, Cid:
		return strconv.AppendInt(dst, v.Int, 10)
	case Float4:
		return appendFloat(dst, v.Float, 32)
	case Float8:
		return appendFloat(dst, v.Float, 64)
	case Timestamp:
		return appendTimestamp(dst, v.Int, nil)
	case TimestampTZ:
		return appendTimestamp(dst, v.Int, style.Zone())
	case Interval:
		if style != nil {
			return appendIntervalStyled(dst, v, style.Interval)
		}
		return appendInterval(dst, v)
	case UUID:
		return appendUUID(dst, v.Bytes)
	case Date:
		return appendDate(dst, v)
	case Time:
		return appendClock(dst, uint64(v.Int))
	}
	return appendRareText(dst, oid, v, style)
}

// appendRareText is AppendText for the types that are mostly the catalog's.
func appendRareText(dst []byte, oid OID, v Value, style *Style) []byte {
	switch oid {
	case TimeTZ:
		return appendTimeTZ(dst, v)
	case Tid:
		return appendTid(dst, v)
	case Xid8:
		return strconv.AppendUint(dst, uint64(v.Int), 10)
	case PgLSN:
		return appendLSN(dst, v)
	case Inet, Cidr:
		return appendNetwork(dst, oid, v)
	case Bit, VarBit:
		return appendBits(dst, v)
	case PgSnapshot, TxidSnapshot:
		return append(dst, v.Bytes...)
	case MacAddr, MacAddr8:
		return appendMAC(dst, v)
	case Int2Vector, OidVector:
		return appendVector(dst, elemOf(oid), v, style)
	case Void:
		return dst
	}
	switch elem := elemOf(oid); {
	case elem != 0:
		return appendArray(dst, elem, v, style)
	case oid.IsReg():
		return appendReg(dst, oid, v, style)
	case rangeElem(oid) != 0:
		return appendRange(dst, oid, v, style)
	}
	return appendRecord(dst, v, style) // record, and the row types of relations
}

// nameBytesMax is PostgreSQL's NAMEDATALEN less its terminator.
const nameBytesMax = 63

func clipName(text []byte) []byte {
	if len(text) <= nameBytesMax {
		return text
	}
	cut := nameBytesMax
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut]
}

func trimSpace(text []byte) []byte { return bytes.Trim(text, " \t\n\v\f\r") }

func parseBool(text []byte) (Value, error) {
	s := bytes.ToLower(trimSpace(clip(text)))
	isPrefix := func(word string) bool { return len(s) > 0 && bytes.HasPrefix([]byte(word), s) }
	switch {
	case isPrefix("true"), isPrefix("yes"), string(s) == "on", string(s) == "1":
		return OfBool(true), nil
	case isPrefix("false"), isPrefix("no"), string(s) == "off", string(s) == "of", string(s) == "0":
		return OfBool(false), nil
	}
	return Value{}, invalidText(Bool, text)
}

func parseInt(oid OID, text []byte) (Value, error) {
	i, err := strconv.ParseInt(string(trimSpace(text)), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) || len(text) > 1 && text[0] == '0' {
		i, err = parseOtherInt(oid, string(trimSpace(text)))
	}
	switch {
	case errors.Is(err, strconv.ErrRange):
		return Value{}, outOfRangeText(oid, text)
	case err != nil:
		return Value{}, invalidText(oid, text)
	}
	if !intFits(oid, i) {
		return Value{}, outOfRangeText(oid, text)
	}
	if oid == Oid || oid == Xid || oid == Cid {
		i = int64(uint32(i)) // as in PostgreSQL, -1 is 4294967295
	}
	return OfInt(i), nil
}

// parseOtherInt reads what PostgreSQL 16 and later take besides decimal digits: 0x1F, 0o17, 0b11
// and 1_000. An oid is read as C does, so that 010 is 8.
func parseOtherInt(oid OID, text string) (int64, error) {
	digits := strings.TrimLeft(text, "+-")
	if len(text)-len(digits) > 1 {
		return 0, strconv.ErrSyntax
	}
	isPrefixed := len(digits) > 2 && digits[0] == '0' && strings.IndexByte("xXoObB", digits[1]) >= 0
	isOID := oid == Oid || oid == Xid || oid == Cid
	switch {
	case isOID && strings.ContainsAny(digits, "_oObB"):
		return 0, strconv.ErrSyntax
	case isOID, isPrefixed:
		return strconv.ParseInt(text, 0, 64)
	}
	if i := strings.IndexByte(digits, '_'); i >= 0 && (i == 0 || strings.Contains(digits, "__") || strings.HasSuffix(digits, "_")) {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
}

func outOfRangeText(oid OID, text []byte) error {
	return pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "value \"%s\" is out of range for type %s", clip(text), oid)
}

func intFits(oid OID, i int64) bool {
	switch oid {
	case Int2:
		return i == int64(int16(i))
	case Int4:
		return i == int64(int32(i))
	case Oid, Xid, Cid:
		return i >= math.MinInt32 && i <= math.MaxUint32
	}
	return true
}

func parseFloat(oid OID, text []byte) (Value, error) {
	bits := 64
	if oid == Float4 {
		bits = 32
	}
	s := trimSpace(text)
	if bytes.ContainsAny(s, "_xXpP") { // Go accepts more than PostgreSQL
		return Value{}, invalidText(oid, text)
	}
	f, err := strconv.ParseFloat(string(s), bits)
	switch {
	case errors.Is(err, strconv.ErrRange):
		return Value{}, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "\"%s\" is out of range for type %s", clip(text), oid)
	case err != nil:
		return Value{}, invalidText(oid, text)
	}
	return OfFloat(f), nil
}

// appendFloat is the shortest text that reads back as f, in PostgreSQL's layout.
func appendFloat(dst []byte, f float64, bits int) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "NaN"...)
	case math.IsInf(f, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(f, -1):
		return append(dst, "-Infinity"...)
	}
	digitsMax := 15
	if bits == 32 {
		digitsMax = 6
	}
	layout := byte('f')
	if abs := math.Abs(f); abs != 0 {
		var room [32]byte
		e := strconv.AppendFloat(room[:0], abs, 'e', -1, bits)
		exponent, _ := strconv.Atoi(string(e[bytes.IndexByte(e, 'e')+1:]))
		if exponent < -4 || exponent >= digitsMax {
			layout = 'e'
		}
	}
	return strconv.AppendFloat(dst, f, layout, -1, bits)
}

func parseBytea(text []byte) (Value, error) {
	if bytes.HasPrefix(text, []byte(`\x`)) {
		return parseByteaHex(text)
	}
	if bytes.IndexByte(text, '\\') < 0 {
		return OfBytes(text), nil
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] != '\\':
			out = append(out, text[i])
		case i+1 < len(text) && text[i+1] == '\\':
			out = append(out, '\\')
			i++
		case i+3 < len(text) && text[i+1] >= '0' && text[i+1] <= '3' && isOctal(text[i+2]) && isOctal(text[i+3]):
			out = append(out, (text[i+1]-'0')<<6|(text[i+2]-'0')<<3|(text[i+3]-'0'))
			i += 3
		default:
			return Value{}, pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "invalid input syntax for type bytea")
		}
	}
	return OfBytes(out), nil
}

func isOctal(c byte) bool { return c >= '0' && c <= '7' }

func parseByteaHex(text []byte) (Value, error) {
	digits := text[2:]
	out := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(out, digits); err == nil {
		return OfBytes(out), nil
	}
	// Slowly, as PostgreSQL reads it: white space is allowed between bytes.
	out = out[:0]
	for i := 0; i < len(digits); i++ {
		c := digits[i]
		if c == ' ' || c == '\n' || c == '\t' || c == '\r' {
			continue
		}
		high, ok := hexDigit(c)
		if !ok {
			return Value{}, invalidHexDigit(digits[i:])
		}
		if i+1 >= len(digits) {
			return Value{}, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid hexadecimal data: odd number of digits")
		}
		i++
		low, ok := hexDigit(digits[i])
		if !ok {
			return Value{}, invalidHexDigit(digits[i:])
		}
		out = append(out, high<<4|low)
	}
	return OfBytes(out), nil
}

func invalidHexDigit(at []byte) error {
	_, size := utf8.DecodeRune(at)
	return pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid hexadecimal digit: \"%s\"", at[:size])
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	case c >= 'A' && c <= 'F':
		return c - 'A' + 10, true
	}
	return 0, false
}

// AppendBytea appends the text form of a bytea.
func AppendBytea(dst, b []byte, escape bool) []byte {
	if !escape {
		dst = append(dst, '\\', 'x')
		return hex.AppendEncode(dst, b)
	}
	for _, c := range b {
		switch {
		case c == '\\':
			dst = append(dst, '\\', '\\')
		case c < 0x20 || c > 0x7e:
			dst = append(dst, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func parseUUID(text []byte) (Value, error) {
	s := text
	if len(s) > 1 && s[0] == '{' && s[len(s)-1] == '}' {
		s = s[1 : len(s)-1]
	}
	out := make([]byte, 0, 16)
	for i := 0; i < len(s); i++ {
		if s[i] == '-' && len(out) > 0 && len(out)%2 == 0 && len(out) < 16 && s[i-1] != '-' {
			continue
		}
		if i+1 >= len(s) || len(out) == 16 {
			return Value{}, invalidText(UUID, text)
		}
		high, ok1 := hexDigit(s[i])
		low, ok2 := hexDigit(s[i+1])
		if !ok1 || !ok2 {
			return Value{}, invalidText(UUID, text)
		}
		out = append(out, high<<4|low)
		i++
	}
	if len(out) != 16 || s[len(s)-1] == '-' {
		return Value{}, invalidText(UUID, text)
	}
	return OfBytes(out), nil
}

func appendUUID(dst, b []byte) []byte {
	for i, c := range b {
		if i == 4 || i == 6 || i == 8 || i == 10 {
			dst = append(dst, '-')
		}
		dst = hex.AppendEncode(dst, []byte{c})
	}
	return dst
}
