package pgwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"
)

// Decoders of the frontend messages. They alias the body and allocate nothing but what
// holds the result; each demands that the body ends where the message does.

// decoder reads a message body from the front. The first error sticks; what is read after
// it is zero.
type decoder struct {
	rest []byte
	err  *Error
}

func (d *decoder) fail(code Code, message string) {
	if d.err == nil {
		d.err = &Error{Code: code, Message: message}
	}
	d.rest = nil
}

// text reads a string that ends with a NUL and must be UTF-8.
func (d *decoder) text() []byte {
	end := bytes.IndexByte(d.rest, 0)
	if end < 0 {
		d.fail(CodeProtocolViolation, "invalid string in message")
		return nil
	}
	s := d.rest[:end]
	d.rest = d.rest[end+1:]
	if err := checkText(s); err != nil {
		d.fail(err.Code, err.Message)
		return nil
	}
	return s
}

func (d *decoder) uint8() byte {
	if len(d.rest) < 1 {
		d.fail(CodeProtocolViolation, "no data left in message")
		return 0
	}
	b := d.rest[0]
	d.rest = d.rest[1:]
	return b
}

func (d *decoder) uint16() uint16 {
	if len(d.rest) < 2 {
		d.fail(CodeProtocolViolation, "insufficient data left in message")
		return 0
	}
	n := binary.BigEndian.Uint16(d.rest)
	d.rest = d.rest[2:]
	return n
}

func (d *decoder) uint32() uint32 {
	if len(d.rest) < 4 {
		d.fail(CodeProtocolViolation, "insufficient data left in message")
		return 0
	}
	n := binary.BigEndian.Uint32(d.rest)
	d.rest = d.rest[4:]
	return n
}

// value reads a parameter: a length, -1 for NULL, and as many bytes.
func (d *decoder) value() []byte {
	n := int32(d.uint32())
	if n == -1 || d.err != nil {
		return nil
	}
	if n < 0 || int(n) > len(d.rest) {
		d.fail(CodeProtocolViolation, "insufficient data left in message")
		return nil
	}
	v := d.rest[:n:n]
	d.rest = d.rest[n:]
	return v
}

// end demands that nothing is left.
func (d *decoder) end() error {
	if len(d.rest) > 0 {
		d.fail(CodeProtocolViolation, "invalid message format")
	}
	if d.err != nil {
		return d.err
	}
	return nil
}

// formats reads a counted list of format codes.
func (d *decoder) formats(into []Format) []Format {
	n := int(d.uint16())
	if 2*n > len(d.rest) { // before anything is allocated for them (W3)
		d.fail(CodeProtocolViolation, "insufficient data left in message")
		return into[:0]
	}
	into = into[:0]
	for range n {
		into = append(into, Format(d.uint16()))
	}
	return into
}

// checkText refuses what is not UTF-8, as PostgreSQL does for all text it takes in.
func checkText(s []byte) *Error {
	if utf8.Valid(s) {
		return nil
	}
	for len(s) > 0 {
		r, size := utf8.DecodeRune(s)
		if r == utf8.RuneError && size <= 1 {
			break
		}
		s = s[size:]
	}
	return invalidText(s)
}

// checkParameterText is checkText for parameters in text format, which must not hold zero bytes.
func checkParameterText(s []byte) *Error {
	if err := checkText(s); err != nil {
		return err
	}
	if i := bytes.IndexByte(s, 0); i >= 0 {
		return invalidText(s[i:])
	}
	return nil
}

// invalidText names the bytes at the start of s, as many as their first one announces.
func invalidText(s []byte) *Error {
	n := 1
	switch {
	case s[0] >= 0xf0 && s[0] < 0xf8:
		n = 4
	case s[0] >= 0xe0 && s[0] < 0xf0:
		n = 3
	case s[0] >= 0xc0 && s[0] < 0xe0:
		n = 2
	}
	return Errorf(CodeCharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %s",
		fmt.Sprintf("% #x", s[:min(n, len(s))]))
}

func decodeQuery(body []byte) (sql []byte, err error) {
	d := decoder{rest: body}
	sql = d.text()
	return sql, d.end()
}

type parseMessage struct {
	name, sql []byte
	paramOIDs []uint32
}

func decodeParse(body []byte) (m parseMessage, err error) {
	d := decoder{rest: body}
	m.name = d.text()
	m.sql = d.text()
	n := int(d.uint16())
	if 4*n > len(d.rest) {
		d.fail(CodeProtocolViolation, "insufficient data left in message")
	} else if n > 0 {
		m.paramOIDs = make([]uint32, n) // the session may keep it
		for i := range m.paramOIDs {
			m.paramOIDs[i] = d.uint32()
		}
	}
	return m, d.end()
}

// decodeBindNames reads the names at the front of a Bind and returns what follows them.
func decodeBindNames(body []byte) (portal, statement, rest []byte, err error) {
	d := decoder{rest: body}
	portal = d.text()
	statement = d.text()
	if d.err != nil {
		return nil, nil, nil, d.err
	}
	return portal, statement, d.rest, nil
}

// decodeBindArgs reads the rest of a Bind into args, whose slices it reuses. The formats are
// left as sent: 0, 1 or n of them. The parameters alias rest.
func decodeBindArgs(rest []byte, args *BindArgs) error {
	d := decoder{rest: rest}
	args.ParamFormats = d.formats(args.ParamFormats)
	n := int(d.uint16())
	args.Params = args.Params[:0]
	if 4*n > len(d.rest) {
		d.fail(CodeProtocolViolation, "insufficient data left in message")
	} else {
		for range n {
			args.Params = append(args.Params, d.value())
		}
	}
	args.ResultFormats = d.formats(args.ResultFormats)
	return d.end()
}

// decodeTarget reads a Describe or Close: 'S' or 'P' and a name.
func decodeTarget(body []byte) (kind byte, name []byte, err error) {
	d := decoder{rest: body}
	kind = d.uint8()
	name = d.text()
	return kind, name, d.end()
}

func decodeExecute(body []byte) (portal []byte, rowsMax int32, err error) {
	d := decoder{rest: body}
	portal = d.text()
	rowsMax = int32(d.uint32())
	return portal, rowsMax, d.end()
}

func decodeEmpty(body []byte) error {
	d := decoder{rest: body}
	return d.end()
}
