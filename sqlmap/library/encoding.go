package library

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// encodings are digests and conversions of bytes.
func encodings() []implementation {
	digest := func(a []value) (value, error) {
		sum := md5.Sum(a[0].Bytes)
		return text(hex.EncodeToString(sum[:])), nil
	}
	return []implementation{
		pure("md5(text)", digest), pure("md5(bytea)", digest),
		pure("sha224(bytea)", func(a []value) (value, error) { sum := sha256.Sum224(a[0].Bytes); return bytesOf(sum[:]), nil }),
		pure("sha256(bytea)", func(a []value) (value, error) { sum := sha256.Sum256(a[0].Bytes); return bytesOf(sum[:]), nil }),
		pure("sha384(bytea)", func(a []value) (value, error) { sum := sha512.Sum384(a[0].Bytes); return bytesOf(sum[:]), nil }),
		pure("sha512(bytea)", func(a []value) (value, error) { sum := sha512.Sum512(a[0].Bytes); return bytesOf(sum[:]), nil }),
		pure("encode(bytea,text)", encode),
		pure("decode(text,text)", decode),
		pure("convert_to(text,name)", func(a []value) (value, error) { return a[0], checkEncoding(a[1]) }),
		pure("convert_from(bytea,name)", func(a []value) (value, error) {
			if err := checkEncoding(a[1]); err != nil {
				return value{}, err
			}
			return a[0], types.CheckUTF8(a[0].Bytes)
		}),
		pure("get_byte(bytea,int4)", func(a []value) (value, error) {
			i := a[1].Int
			if i < 0 || i >= int64(len(a[0].Bytes)) {
				return value{}, pgwire.Errorf(pgwire.CodeArraySubscriptError, "index %d out of valid range, 0..%d", i, len(a[0].Bytes)-1)
			}
			return number(int64(a[0].Bytes[i])), nil
		}),
		pure("uuid_extract_timestamp(uuid)", uuidTime),
		pure("uuid_extract_version(uuid)", func(a []value) (value, error) {
			if a[0].Bytes[8]&0xc0 != 0x80 { // another variant
				return null()
			}
			return number(int64(a[0].Bytes[6] >> 4)), nil
		}),
		pure("gen_random_uuid()", func([]value) (value, error) {
			id := make([]byte, 16)
			rand.Read(id) // never fails
			id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
			return bytesOf(id), nil
		}),
	}
}

// quotings make SQL of values.
func quotings() []implementation {
	return []implementation{
		pure("quote_ident(text)", func(a []value) (value, error) { return text(catalog.QuoteIdentifier(a[0].Text())), nil }),
		pure("quote_literal(text)", func(a []value) (value, error) { return text(quoteLiteral(a[0].Text())), nil }),
		call("quote_literal(anyelement)", func(c *schema.Call, a []value) (value, error) {
			return text(quoteLiteral(asText(c, argumentType(c, 0), a[0]))), nil
		}),
		pure("quote_nullable(text)", func(a []value) (value, error) {
			if a[0].IsNull {
				return text("NULL"), nil
			}
			return text(quoteLiteral(a[0].Text())), nil
		}),
		call("quote_nullable(anyelement)", func(c *schema.Call, a []value) (value, error) {
			if a[0].IsNull {
				return text("NULL"), nil
			}
			return text(quoteLiteral(asText(c, argumentType(c, 0), a[0]))), nil
		}),
		pure("format(text)", func(a []value) (value, error) { return formatText(nil, a, nil) }),
		call("format(text,any)", func(c *schema.Call, a []value) (value, error) {
			items, typeOf := a[1:], func(i int) types.OID { return argumentType(c, 1+i) }
			if c.SpreadsArray {
				elem := argumentType(c, 1).Elem()
				items, typeOf = a[1].Elems, func(int) types.OID { return elem }
			}
			return formatText(c, append([]value{a[0]}, items...), typeOf)
		}),
		pure("parse_ident(text,bool)", func(a []value) (value, error) {
			parts, ok := catalog.ParseName(a[0].Text())
			if !ok {
				return value{}, invalidParameter("string is not a valid identifier: \"%s\"", a[0].Text())
			}
			return types.OfTexts(parts), nil
		}),
	}
}

func quoteLiteral(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return "E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}

// formatText is format(): %s, %I and %L with an optional position, - and width.
func formatText(c *schema.Call, a []value, typeOf func(i int) types.OID) (value, error) {
	if a[0].IsNull {
		return a[0], nil
	}
	format, args := a[0].Text(), a[1:]
	var out strings.Builder
	next := 0
	for {
		before, rest, found := strings.Cut(format, "%")
		out.WriteString(before)
		if !found {
			return bounded([]byte(out.String()))
		}
		spec, after, err := formatSpec(rest)
		if err != nil {
			return value{}, err
		}
		format = after
		if spec.verb == '%' {
			out.WriteByte('%')
			continue
		}
		if spec.widthFromArgument {
			if next >= len(args) {
				return value{}, invalidParameter("too few arguments for format()")
			}
			spec.setWidth(args[next].Int)
			next++
		}
		at := next
		if spec.position > 0 {
			at = spec.position - 1
		}
		if at >= len(args) {
			return value{}, invalidParameter("too few arguments for format()")
		}
		next = at + 1
		item, err := formatItem(c, spec.verb, args[at], typeOf(at))
		if err != nil {
			return value{}, err
		}
		if out.WriteString(spec.pad(item)); out.Len() > resultBytesMax {
			return value{}, errTooLong()
		}
	}
}

// formatDirective is what stands behind a %.
type formatDirective struct {
	verb              byte
	position, width   int
	isLeft            bool
	widthFromArgument bool
}

func (d *formatDirective) setWidth(n int64) {
	if n < 0 {
		d.isLeft, n = true, -n
	}
	d.width = int(min(n, resultBytesMax))
}

func (d *formatDirective) pad(s string) string {
	missing := d.width - utf8.RuneCountInString(s)
	switch {
	case missing <= 0:
		return s
	case d.isLeft:
		return s + strings.Repeat(" ", missing)
	}
	return strings.Repeat(" ", missing) + s
}

func formatSpec(s string) (d formatDirective, rest string, err error) {
	digits := func() int {
		n := 0
		for s != "" && s[0] >= '0' && s[0] <= '9' && n < resultBytesMax {
			n, s = n*10+int(s[0]-'0'), s[1:]
		}
		return n
	}
	number := digits()
	if strings.HasPrefix(s, "$") {
		if number == 0 {
			return d, s, invalidParameter("format specifies argument 0, but arguments are numbered from 1")
		}
		d.position, s, number = number, s[1:], 0
	}
	if strings.HasPrefix(s, "-") {
		d.isLeft, s = true, s[1:]
	}
	if strings.HasPrefix(s, "*") {
		d.widthFromArgument, s = true, s[1:]
	} else if number == 0 {
		number = digits()
	}
	d.width = number
	if s == "" {
		e := invalidParameter("unterminated format() type specifier")
		e.(*pgwire.Error).Hint = `For a single "%" use "%%".`
		return d, s, e
	}
	d.verb = s[0]
	if !strings.ContainsRune("sIL%", rune(d.verb)) {
		e := invalidParameter("unrecognized format() type specifier \"%c\"", d.verb)
		e.(*pgwire.Error).Hint = `For a single "%" use "%%".`
		return d, s, e
	}
	return d, s[1:], nil
}

func formatItem(c *schema.Call, verb byte, v value, t types.OID) (string, error) {
	if v.IsNull {
		switch verb {
		case 'L':
			return "NULL", nil
		case 'I':
			return "", pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "null values cannot be formatted as an SQL identifier")
		}
		return "", nil
	}
	s := asText(c, t, v)
	switch verb {
	case 'I':
		return catalog.QuoteIdentifier(s), nil
	case 'L':
		return quoteLiteral(s), nil
	}
	return s, nil
}

// checkEncoding refuses encodings that pgcache does not have.
func checkEncoding(name types.Value) error {
	switch string(bytes.ToUpper(name.Bytes)) {
	case "UTF8", "UTF-8", "UNICODE":
		return nil
	}
	e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid encoding name \"%s\"", name.Bytes)
	e.Hint = "The one encoding of pgcache is UTF8."
	return e
}

func errEncoding(name types.Value) error {
	e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "unrecognized encoding: \"%s\"", name.Bytes)
	e.Hint = "Use hex, base64 or escape."
	return e
}

// base64LineBytes is how long PostgreSQL makes the lines of base64.
const base64LineBytes = 76

// encode is encode(bytea, format).
func encode(args []value) (value, error) {
	b := args[0].Bytes
	switch string(bytes.ToLower(args[1].Bytes)) {
	case "hex":
		return types.OfText(hex.EncodeToString(b)), nil
	case "escape":
		out := make([]byte, 0, len(b))
		for _, c := range b {
			switch {
			case c == '\\':
				out = append(out, '\\', '\\')
			case c == 0 || c >= 0x80: // unlike bytea_output, other control characters stay
				out = append(out, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
			default:
				out = append(out, c)
			}
		}
		return types.OfBytes(out), nil
	case "base64":
		encoded := base64.StdEncoding.EncodeToString(b)
		out := make([]byte, 0, len(encoded)+len(encoded)/base64LineBytes)
		for len(encoded) > base64LineBytes {
			out = append(append(out, encoded[:base64LineBytes]...), '\n')
			encoded = encoded[base64LineBytes:]
		}
		return types.OfBytes(append(out, encoded...)), nil
	}
	return value{}, errEncoding(args[1])
}

// decode is decode(text, format).
func decode(args []value) (value, error) {
	s := args[0].Bytes
	switch string(bytes.ToLower(args[1].Bytes)) {
	case "hex":
		return types.ParseText(types.Bytea, append([]byte(`\x`), s...), nil)
	case "escape":
		if bytes.HasPrefix(s, []byte(`\x`)) {
			return value{}, pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "invalid input syntax for type bytea")
		}
		return types.ParseText(types.Bytea, s, nil)
	case "base64":
		compact := bytes.Map(func(r rune) rune {
			if r == ' ' || r == '\n' || r == '\r' || r == '\t' {
				return -1
			}
			return r
		}, s)
		out, err := base64.StdEncoding.DecodeString(string(compact))
		if err != nil {
			return value{}, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid base64 end sequence or symbol")
		}
		return types.OfBytes(out), nil
	}
	return value{}, errEncoding(args[1])
}

// uuidTime is when a UUID of version 1 was made; NULL of others.
func uuidTime(a []value) (value, error) {
	b := a[0].Bytes
	if b[8]&0xc0 != 0x80 {
		return null()
	}
	const version1, gregorian = 1, 122192928000000000 // 100 ns from 1582 to 1970
	if b[6]>>4 != version1 {
		return null()
	}
	ticks := int64(binary.BigEndian.Uint16(b[6:])&0x0fff)<<48 | int64(binary.BigEndian.Uint16(b[4:]))<<32 | int64(binary.BigEndian.Uint32(b))
	return types.OfTime(time.UnixMicro((ticks - gregorian) / 10)), nil
}
