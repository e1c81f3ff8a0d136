package copyio

import (
	"bytes"
	"encoding/binary"
)

// AppendHeader appends what comes before the rows, nothing if there is no such thing.
func (o *Options) AppendHeader(dst []byte, names []string) []byte {
	switch {
	case o.Format == Binary:
		return append(append(dst, signature...), 0, 0, 0, 0, 0, 0, 0, 0)
	case o.Header == HeaderNone:
		return dst
	}
	for i, name := range names {
		if i > 0 {
			dst = append(dst, o.Delimiter)
		}
		if o.Format == CSV {
			dst = o.appendCSV(dst, []byte(name), len(names) == 1, false)
		} else {
			dst = o.appendEscaped(dst, []byte(name))
		}
	}
	return append(dst, '\n')
}

// AppendTrailer appends what comes after the rows.
func (o *Options) AppendTrailer(dst []byte) []byte {
	if o.Format == Binary {
		return append(dst, 0xff, 0xff)
	}
	return dst
}

// AppendRow appends a row; a nil field is NULL. In binary the fields are as they are on the
// wire, else they are text.
func (o *Options) AppendRow(dst []byte, fields [][]byte) []byte {
	if o.Format == Binary {
		dst = binary.BigEndian.AppendUint16(dst, uint16(len(fields)))
		for _, f := range fields {
			if f == nil {
				dst = append(dst, 0xff, 0xff, 0xff, 0xff)
				continue
			}
			dst = binary.BigEndian.AppendUint32(dst, uint32(len(f)))
			dst = append(dst, f...)
		}
		return dst
	}
	for i, f := range fields {
		if i > 0 {
			dst = append(dst, o.Delimiter)
		}
		switch {
		case f == nil:
			dst = append(dst, o.Null...)
		case o.Format == CSV:
			dst = o.appendCSV(dst, f, len(fields) == 1, flag(o.ForceQuote, i))
		default:
			dst = o.appendEscaped(dst, f)
		}
	}
	return append(dst, '\n')
}

// appendEscaped appends a field of the text format.
func (o *Options) appendEscaped(dst, field []byte) []byte {
	for _, c := range field {
		switch {
		case c == '\\':
			dst = append(dst, '\\', '\\')
		case c == o.Delimiter:
			dst = append(dst, '\\', c)
		case c >= '\b' && c <= '\r':
			dst = append(dst, '\\', "btnvfr"[c-'\b'])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendCSV appends a field of the csv format, quoted where it has to be.
func (o *Options) appendCSV(dst, field []byte, isOnly, isForced bool) []byte {
	isQuoted := isForced || string(field) == o.Null || isOnly && string(field) == `\.` ||
		bytes.IndexByte(field, o.Delimiter) >= 0 || bytes.IndexByte(field, o.Quote) >= 0 || bytes.ContainsAny(field, "\r\n")
	if !isQuoted {
		return append(dst, field...)
	}
	dst = append(dst, o.Quote)
	for _, c := range field {
		if c == o.Quote || c == o.Escape {
			dst = append(dst, o.Escape)
		}
		dst = append(dst, c)
	}
	return append(dst, o.Quote)
}
