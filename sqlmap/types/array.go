package types

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"pgcache/pgwire"
)

// Arrays have one dimension and the lower bound 1. PostgreSQL's may have more; refusing
// them is the dialect's divergence.

func malformedArray(text []byte, detail string) error {
	e := pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "malformed array literal: \"%s\"", clip(text))
	e.Detail = detail
	return e
}

func errDimensions() error {
	e := pgwire.Errorf(pgwire.CodeFeatureNotSupported, "arrays of more than one dimension are not supported")
	e.Hint = "Use an array of one dimension."
	return e
}

func parseArray(oid, elem OID, text []byte, style *Style) (Value, error) {
	s := trimSpace(text)
	if len(s) == 0 || s[0] != '{' {
		return Value{}, malformedArray(text, "Array value must start with \"{\" or dimension information.")
	}
	if s[len(s)-1] != '}' || len(s) < 2 {
		return Value{}, malformedArray(text, "Unexpected end of input.")
	}
	s = trimSpace(s[1 : len(s)-1])
	elems := []Value{}
	if len(s) == 0 {
		return Value{Elems: elems}, nil
	}
	for {
		item, isQuoted, rest, ok := arrayItem(s)
		if !ok {
			return Value{}, malformedArray(text, "Unexpected array element.")
		}
		switch {
		case !isQuoted && len(item) > 0 && item[0] == '{':
			return Value{}, errDimensions()
		case !isQuoted && len(item) == 0:
			return Value{}, malformedArray(text, "Unexpected \",\" character.")
		case !isQuoted && bytes.EqualFold(item, []byte("null")):
			elems = append(elems, Null())
		default:
			v, err := ParseText(elem, item, style)
			if err != nil {
				return Value{}, err
			}
			elems = append(elems, v)
		}
		if rest == nil {
			return Value{Elems: elems}, nil
		}
		s = rest
	}
}

// arrayItem cuts the first item off s; rest is nil when it was the last.
func arrayItem(s []byte) (item []byte, isQuoted bool, rest []byte, ok bool) {
	s = bytes.TrimLeft(s, " \t\n\v\f\r")
	if len(s) > 0 && s[0] == '{' {
		return s, false, nil, true // a nested array, refused by the caller
	}
	if len(s) > 0 && s[0] == '"' {
		return quotedItem(s)
	}
	escaped := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',':
			return unescape(trimSpace(s[:i]), escaped), false, s[i+1:], true
		case '{', '}', '"':
			return nil, false, nil, false
		case '\\':
			escaped = true
			i++
			if i == len(s) {
				return nil, false, nil, false
			}
		}
	}
	return unescape(trimSpace(s), escaped), false, nil, true
}

func quotedItem(s []byte) (item []byte, isQuoted bool, rest []byte, ok bool) {
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			item = unescape(s[1:i], escaped)
			rest = bytes.TrimLeft(s[i+1:], " \t\n\v\f\r")
			if len(rest) == 0 {
				return item, true, nil, true
			}
			return item, true, rest[1:], rest[0] == ','
		}
	}
	return nil, false, nil, false
}

func unescape(s []byte, escaped bool) []byte {
	if !escaped {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out = append(out, s[i])
	}
	return out
}

func appendArray(dst []byte, elem OID, v Value, style *Style) []byte {
	dst = append(dst, '{')
	var scratch []byte
	for i, e := range v.Elems {
		if i > 0 {
			dst = append(dst, ',')
		}
		if e.IsNull {
			dst = append(dst, "NULL"...)
			continue
		}
		scratch = AppendText(scratch[:0], elem, e, style)
		if !needsQuotes(scratch) {
			dst = append(dst, scratch...)
			continue
		}
		dst = append(dst, '"')
		for _, c := range scratch {
			if c == '"' || c == '\\' {
				dst = append(dst, '\\')
			}
			dst = append(dst, c)
		}
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

func needsQuotes(text []byte) bool {
	return len(text) == 0 || bytes.ContainsAny(text, "{}\",\\ \t\n\v\f\r") || bytes.EqualFold(text, []byte("null"))
}

// arrayHeaderBytes is the header of a binary array of one dimension.
const arrayHeaderBytes = 20

func parseBinaryArray(elem OID, data []byte) (Value, error) {
	be := binary.BigEndian
	malformed := wrongLength(ArrayOf(elem))
	if len(data) < 12 {
		return Value{}, malformed
	}
	if got := OID(be.Uint32(data[8:])); got != elem && !(got.IsText() && elem.IsText()) {
		return Value{}, pgwire.Errorf(pgwire.CodeDatatypeMismatch, "binary data has array element type %d (%s) instead of expected %d (%s)", got, got, elem, elem)
	}
	switch dimensions := be.Uint32(data); {
	case dimensions == 0 && len(data) == 12:
		return Value{Elems: []Value{}}, nil
	case dimensions > 1:
		return Value{}, errDimensions()
	case dimensions == 0 || len(data) < arrayHeaderBytes:
		return Value{}, malformed
	}
	n := int(be.Uint32(data[12:]))
	data = data[arrayHeaderBytes:]
	if n < 0 || n > len(data)/4 {
		return Value{}, malformed // each element has at least its length
	}
	elems := make([]Value, n)
	for i := range elems {
		if len(data) < 4 {
			return Value{}, malformed
		}
		size := int32(be.Uint32(data))
		data = data[4:]
		if size == -1 {
			elems[i] = Null()
			continue
		}
		if size < 0 || int(size) > len(data) {
			return Value{}, malformed
		}
		v, err := ParseBinary(elem, data[:size:size])
		if err != nil {
			return Value{}, err
		}
		elems[i], data = v, data[size:]
	}
	if len(data) > 0 {
		return Value{}, malformed
	}
	return Value{Elems: elems}, nil
}

func appendBinaryArray(dst []byte, elem OID, v Value) []byte {
	be := binary.BigEndian
	hasNulls := uint32(0)
	for i := range v.Elems {
		if v.Elems[i].IsNull {
			hasNulls = 1
		}
	}
	if len(v.Elems) == 0 {
		dst = be.AppendUint32(dst, 0)
		dst = be.AppendUint32(dst, 0)
		return be.AppendUint32(dst, uint32(elem))
	}
	dst = be.AppendUint32(dst, 1)
	dst = be.AppendUint32(dst, hasNulls)
	dst = be.AppendUint32(dst, uint32(elem))
	dst = be.AppendUint32(dst, uint32(len(v.Elems)))
	dst = be.AppendUint32(dst, 1)
	for _, e := range v.Elems {
		if e.IsNull {
			dst = be.AppendUint32(dst, 0xffffffff)
			continue
		}
		at := len(dst)
		dst = AppendBinary(append(dst, 0, 0, 0, 0), elem, e)
		be.PutUint32(dst[at:], uint32(len(dst)-at-4))
	}
	return dst
}

// CharLength is how many characters a text has.
func CharLength(text []byte) int { return utf8.RuneCount(text) }
