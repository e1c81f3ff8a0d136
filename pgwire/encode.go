package pgwire

import (
	"encoding/binary"
	"strconv"
	"unicode/utf8"
)

// Encoders of the backend messages: each appends one message to b.

// Messages without content.
const (
	parseComplete      = "1\x00\x00\x00\x04"
	bindComplete       = "2\x00\x00\x00\x04"
	closeComplete      = "3\x00\x00\x00\x04"
	noData             = "n\x00\x00\x00\x04"
	emptyQueryResponse = "I\x00\x00\x00\x04"
	portalSuspended    = "s\x00\x00\x00\x04"
	copyDone           = "c\x00\x00\x00\x04"
	authenticationOk   = "R\x00\x00\x00\x08\x00\x00\x00\x00"
)

// beginMessage appends a header whose length endMessage fills in.
func beginMessage(b []byte, kind byte) (start int, _ []byte) {
	return len(b), append(b, kind, 0, 0, 0, 0)
}

func endMessage(b []byte, start int) []byte {
	binary.BigEndian.PutUint32(b[start+1:], uint32(len(b)-start-1))
	return b
}

func appendText(b []byte, s string) []byte { return append(append(b, s...), 0) }

func appendReadyForQuery(b []byte, status TxStatus) []byte {
	return append(b, 'Z', 0, 0, 0, 5, byte(status))
}

func appendCommandComplete(b []byte, done Completion) []byte {
	start, b := beginMessage(b, 'C')
	b = append(b, done.Tag...)
	if done.HasRows {
		b = append(b, ' ')
		b = strconv.AppendInt(b, done.Rows, 10)
	}
	return endMessage(append(b, 0), start)
}

// appendRowDescription describes columns; formats is one for each, or nil for all text.
func appendRowDescription(b []byte, columns []Column, formats []Format) []byte {
	start, b := beginMessage(b, 'T')
	b = binary.BigEndian.AppendUint16(b, uint16(len(columns)))
	for i := range columns {
		column := &columns[i]
		b = appendText(b, column.Name)
		b = binary.BigEndian.AppendUint32(b, column.TableOID)
		b = binary.BigEndian.AppendUint16(b, column.TableAttr)
		b = binary.BigEndian.AppendUint32(b, column.TypeOID)
		b = binary.BigEndian.AppendUint16(b, uint16(column.TypeSize))
		b = binary.BigEndian.AppendUint32(b, uint32(column.TypeModifier))
		format := Text
		if formats != nil {
			format = formats[i]
		}
		b = binary.BigEndian.AppendUint16(b, uint16(format))
	}
	return endMessage(b, start)
}

func appendParameterDescription(b []byte, oids []uint32) []byte {
	start, b := beginMessage(b, 't')
	b = binary.BigEndian.AppendUint16(b, uint16(len(oids)))
	for _, oid := range oids {
		b = binary.BigEndian.AppendUint32(b, oid)
	}
	return endMessage(b, start)
}

func appendParameterStatus(b []byte, name, value string) []byte {
	start, b := beginMessage(b, 'S')
	return endMessage(appendText(appendText(b, name), value), start)
}

func appendBackendKeyData(b []byte, processID uint32, key []byte) []byte {
	start, b := beginMessage(b, 'K')
	b = binary.BigEndian.AppendUint32(b, processID)
	return endMessage(append(b, key...), start)
}

// appendNegotiateProtocolVersion says which version, as a full number, is spoken and which
// options are unknown.
func appendNegotiateProtocolVersion(b []byte, version uint32, unknown []string) []byte {
	start, b := beginMessage(b, 'v')
	b = binary.BigEndian.AppendUint32(b, version)
	b = binary.BigEndian.AppendUint32(b, uint32(len(unknown)))
	for _, name := range unknown {
		b = appendText(b, name)
	}
	return endMessage(b, start)
}

// appendError is the only writer of ErrorResponse and NoticeResponse. S, V, C and M are
// always there: clients rely on it.
func appendError(b []byte, kind byte, severity Severity, e *Error) []byte {
	start, b := beginMessage(b, kind)
	field := func(b []byte, name byte, value string) []byte {
		if value == "" {
			return b
		}
		return append(appendSafe(append(b, name), value), 0)
	}
	code := e.Code
	if len(code) != 5 {
		code = CodeInternalError
	}
	b = field(b, 'S', string(severity))
	b = field(b, 'V', string(severity))
	b = field(b, 'C', string(code))
	b = append(appendSafe(append(b, 'M'), e.Message), 0)
	b = field(b, 'D', e.Detail)
	b = field(b, 'H', e.Hint)
	if e.Position > 0 {
		b = field(b, 'P', strconv.Itoa(e.Position))
	}
	b = field(b, 'W', e.Where)
	b = field(b, 't', e.Table)
	b = field(b, 'c', e.Column)
	b = field(b, 'n', e.Constraint)
	return endMessage(append(b, 0), start)
}

// appendSafe appends s without zero bytes, which would end the field, and without what is
// not UTF-8, which clients refuse: messages quote what clients have sent.
func appendSafe(b []byte, s string) []byte {
	for _, r := range s {
		if r == 0 {
			r = utf8.RuneError
		}
		b = utf8.AppendRune(b, r)
	}
	return b
}
