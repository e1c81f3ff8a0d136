package types

import (
	"bytes"
	"encoding/binary"
	"strconv"

	"pgcache/pgwire"
)

// dimensionsMax is PostgreSQL's MAXDIM. It bounds recursion too.
const dimensionsMax = 6

func malformedArray(text []byte, detail string) error {
	e := pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "malformed array literal: \"%s\"", clip(text))
	e.Detail = detail
	return e
}

func errDimensions(n int) error {
	return pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "number of array dimensions (%d) exceeds the maximum allowed (%d)", n, dimensionsMax)
}

// arrayParser reads the text form of an array.
type arrayParser struct {
	text, rest []byte
	elem       OID
	style      *Style
	elems      []Value
	lengths    [dimensionsMax]int32 // 0: not known yet
	depth      int                  // of the innermost level; 0: not known yet
	hasEmpty   bool                 // a level without elements was read
}

func parseArray(elem OID, text []byte, style *Style) (Value, error) {
	p := &arrayParser{text: text, rest: trimSpace(text), elem: elem, style: style, elems: []Value{}}
	lowers, err := p.bounds()
	if err != nil {
		return Value{}, err
	}
	if len(p.rest) == 0 || p.rest[0] != '{' {
		return Value{}, malformedArray(text, "Array value must start with \"{\" or dimension information.")
	}
	if err := p.level(0); err != nil {
		return Value{}, err
	}
	if p.space(); len(p.rest) > 0 {
		return Value{}, malformedArray(text, "Junk after closing right brace.")
	}
	out := Value{Elems: p.elems}
	if p.hasEmpty && len(p.elems) > 0 {
		return Value{}, p.ragged()
	}
	if lowers != nil && len(lowers) != max(p.depth, 1) {
		return Value{}, malformedArray(text, "Specified array dimensions do not match array contents.")
	}
	if len(p.elems) == 0 || p.depth == 1 && (lowers == nil || lowers[0].Lower == 1 && lowers[0].Length == p.lengths[0]) {
		return out, nil
	}
	shape := &Shape{}
	for i := range p.depth {
		d := Dim{Length: p.lengths[i], Lower: 1}
		if lowers != nil {
			if lowers[i].Length != d.Length {
				return Value{}, malformedArray(text, "Specified array dimensions do not match array contents.")
			}
			d.Lower = lowers[i].Lower
		}
		shape.Dims = append(shape.Dims, d)
	}
	out.Shape = shape
	return out, nil
}

func (p *arrayParser) space() { p.rest = bytes.TrimLeft(p.rest, " \t\n\v\f\r") }

// bounds reads an optional [1:2][0:3]= before the array.
func (p *arrayParser) bounds() ([]Dim, error) {
	if len(p.rest) == 0 || p.rest[0] != '[' {
		return nil, nil
	}
	header, rest, ok := bytes.Cut(p.rest, []byte{'='})
	if !ok {
		return nil, malformedArray(p.text, "Missing \"=\" after array dimensions.")
	}
	var out []Dim
	for header = trimSpace(header); len(header) > 0; {
		inside, after, ok := bytes.Cut(header, []byte{']'})
		if !ok || inside[0] != '[' {
			return nil, malformedArray(p.text, "Missing \"]\" in array dimensions.")
		}
		low, high, hasLow := bytes.Cut(inside[1:], []byte{':'})
		if !hasLow {
			low, high = []byte("1"), low
		}
		from, err1 := strconv.ParseInt(string(low), 10, 32)
		to, err2 := strconv.ParseInt(string(high), 10, 32)
		if err1 != nil || err2 != nil {
			return nil, malformedArray(p.text, "\"[\" must introduce explicitly-specified array dimensions.")
		}
		if from > to {
			return nil, pgwire.Errorf(pgwire.CodeArraySubscriptError, "upper bound cannot be less than lower bound")
		}
		if len(out) == dimensionsMax {
			return nil, errDimensions(len(out) + 1)
		}
		if to-from+1 > int64(len(p.text)) {
			return nil, malformedArray(p.text, "Specified array dimensions do not match array contents.")
		}
		out, header = append(out, Dim{Length: int32(to - from + 1), Lower: int32(from)}), after
	}
	p.rest = trimSpace(rest)
	return out, nil
}

// level reads one pair of braces; rest begins with the opening one.
func (p *arrayParser) level(depth int) error {
	if depth == dimensionsMax {
		return errDimensions(depth + 1)
	}
	p.rest = p.rest[1:]
	if p.space(); len(p.rest) > 0 && p.rest[0] == '}' {
		p.rest = p.rest[1:]
		p.hasEmpty = true
		return nil
	}
	for n := int32(1); ; n++ {
		p.space()
		if len(p.rest) == 0 {
			return malformedArray(p.text, "Unexpected end of input.")
		}
		if err := Interrupted(p.style.context(), len(p.elems)); err != nil {
			return err
		}
		if err := p.entry(depth); err != nil {
			return err
		}
		p.space()
		switch {
		case len(p.rest) == 0:
			return malformedArray(p.text, "Unexpected end of input.")
		case p.rest[0] == ',':
			p.rest = p.rest[1:]
		case p.rest[0] == '}':
			p.rest = p.rest[1:]
			if p.lengths[depth] != 0 && p.lengths[depth] != n {
				return p.ragged()
			}
			p.lengths[depth] = n
			return nil
		default:
			return malformedArray(p.text, "Unexpected array element.")
		}
	}
}

func (p *arrayParser) ragged() error {
	return malformedArray(p.text, "Multidimensional arrays must have sub-arrays with matching dimensions.")
}

// entry reads one element or sub-array.
func (p *arrayParser) entry(depth int) error {
	if p.rest[0] == '{' {
		if p.depth != 0 && p.depth <= depth+1 {
			return p.ragged()
		}
		return p.level(depth + 1)
	}
	if p.depth != 0 && p.depth != depth+1 {
		return p.ragged()
	}
	p.depth = depth + 1
	item, isQuoted, rest, ok := arrayItem(p.rest)
	switch {
	case !ok && len(rest) == 0:
		return malformedArray(p.text, "Unexpected end of input.")
	case !ok:
		return malformedArray(p.text, "Unexpected array element.")
	case !isQuoted && len(item) == 0:
		return malformedArray(p.text, "Unexpected \""+string(firstByteText(rest))+"\" character.")
	}
	p.rest = rest
	if !isQuoted && bytes.EqualFold(item, []byte("null")) {
		p.elems = append(p.elems, Null())
		return nil
	}
	v, err := ParseText(p.elem, item, p.style)
	p.elems = append(p.elems, v)
	return err
}

func firstByteText(s []byte) []byte { return s[:min(len(s), 1)] }

// arrayItem cuts the first item off s; rest begins with what ended it. If it is not ok, rest
// begins with what cannot be there, and is empty where s ended too early.
func arrayItem(s []byte) (item []byte, isQuoted bool, rest []byte, ok bool) {
	if s[0] == '"' {
		return quotedItem(s)
	}
	escaped := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case ',', '}':
			return unescape(trimSpace(s[:i]), escaped), false, s[i:], true
		case '{', '"':
			return nil, false, s[i:], false
		case '\\':
			escaped = true
			i++
		}
	}
	return nil, false, nil, false
}

func quotedItem(s []byte) (item []byte, isQuoted bool, rest []byte, ok bool) {
	escaped := false
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			return unescape(s[1:i], escaped), true, s[i+1:], true
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
	dimensions := v.Dims()
	if len(dimensions) == 0 {
		return append(dst, "{}"...)
	}
	for _, d := range dimensions {
		if d.Lower != 1 {
			dst = appendBounds(dst, dimensions)
			break
		}
	}
	elems := v.Elems
	dst, _ = appendLevel(dst, elem, dimensions, elems, style)
	return dst
}

func appendBounds(dst []byte, dimensions []Dim) []byte {
	for _, d := range dimensions {
		dst = strconv.AppendInt(append(dst, '['), int64(d.Lower), 10)
		dst = strconv.AppendInt(append(dst, ':'), int64(d.Lower+d.Length-1), 10)
		dst = append(dst, ']')
	}
	return append(dst, '=')
}

// appendLevel writes the elements of one level and returns those after it.
func appendLevel(dst []byte, elem OID, dimensions []Dim, elems []Value, style *Style) ([]byte, []Value) {
	dst = append(dst, '{')
	for i := range dimensions[0].Length {
		if i > 0 {
			dst = append(dst, ',')
		}
		if len(dimensions) > 1 {
			dst, elems = appendLevel(dst, elem, dimensions[1:], elems, style)
			continue
		}
		dst = appendElement(dst, elem, elems[0], style)
		elems = elems[1:]
	}
	return append(dst, '}'), elems
}

func appendElement(dst []byte, elem OID, e Value, style *Style) []byte {
	if e.IsNull {
		return append(dst, "NULL"...)
	}
	start := len(dst)
	dst = AppendText(dst, elem, e, style)
	if !needsQuotes(dst[start:]) {
		return dst
	}
	text := bytes.Clone(dst[start:])
	dst = append(dst[:start], '"')
	for _, c := range text {
		if c == '"' || c == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}

func needsQuotes(text []byte) bool {
	return len(text) == 0 || bytes.ContainsAny(text, "{}\",\\ \t\n\v\f\r") || bytes.EqualFold(text, []byte("null"))
}

// parseVector reads numbers separated by spaces.
func parseVector(oid OID, text []byte, style *Style) (Value, error) {
	words := bytes.Fields(text)
	elems := make([]Value, len(words))
	for i, w := range words {
		var err error
		if elems[i], err = ParseText(elemOf(oid), w, style); err != nil {
			return Value{}, err
		}
	}
	return OfVector(elems), nil
}

func appendVector(dst []byte, elem OID, v Value, style *Style) []byte {
	for i, e := range v.Elems {
		if i > 0 {
			dst = append(dst, ' ')
		}
		dst = AppendText(dst, elem, e, style)
	}
	return dst
}

func parseBinaryArray(oid, elem OID, data []byte) (Value, error) {
	be := binary.BigEndian
	malformed := wrongLength(oid)
	if len(data) < 12 {
		return Value{}, malformed
	}
	if got := OID(be.Uint32(data[8:])); got != elem && !(got.IsText() && elem.IsText()) {
		return Value{}, pgwire.Errorf(pgwire.CodeDatatypeMismatch, "binary data has array element type %d (%s) instead of expected %d (%s)", got, got, elem, elem)
	}
	count := be.Uint32(data)
	data = data[12:]
	switch {
	case count > dimensionsMax:
		return Value{}, errDimensions(int(count))
	case oid.isVector() && count > 1, count == 0 && len(data) > 0, len(data) < int(count)*8:
		return Value{}, malformed
	}
	n, isPlain := int64(1), count == 1
	dimensions := make([]Dim, count)
	for i := range dimensions {
		d := Dim{Length: int32(be.Uint32(data)), Lower: int32(be.Uint32(data[4:]))}
		dimensions[i], data = d, data[8:]
		isPlain = isPlain && d.Lower == 1
		if n *= int64(d.Length); d.Length < 0 || n > int64(len(data)/4) || int64(d.Lower)+int64(d.Length)-1 > 1<<31-1 {
			return Value{}, malformed // each element has at least its length
		}
	}
	if count == 0 {
		n = 0
	}
	elems, err := parseBinaryElements(elem, data, int(n), malformed)
	switch {
	case err != nil:
		return Value{}, err
	case oid.isVector():
		return OfVector(elems), nil
	case isPlain, n == 0:
		return Value{Elems: elems}, nil
	}
	return Value{Elems: elems, Shape: &Shape{Dims: dimensions}}, nil
}

func parseBinaryElements(elem OID, data []byte, n int, malformed error) ([]Value, error) {
	elems := make([]Value, n)
	for i := range elems {
		item, isNull, rest, ok := binaryItem(data)
		if !ok {
			return nil, malformed
		}
		data = rest
		if isNull {
			elems[i] = Null()
			continue
		}
		v, err := ParseBinary(elem, item)
		if err != nil {
			return nil, err
		}
		elems[i] = v
	}
	if len(data) > 0 {
		return nil, malformed
	}
	return elems, nil
}

// binaryItem cuts an item with its length off data.
func binaryItem(data []byte) (item []byte, isNull bool, rest []byte, ok bool) {
	if len(data) < 4 {
		return nil, false, nil, false
	}
	size := int32(binary.BigEndian.Uint32(data))
	data = data[4:]
	if size == -1 {
		return nil, true, data, true
	}
	if size < 0 || int(size) > len(data) {
		return nil, false, nil, false
	}
	return data[:size:size], false, data[size:], true
}

// appendBinaryItem appends a value with its length before it.
func appendBinaryItem(dst []byte, oid OID, v Value) []byte {
	if v.IsNull {
		return binary.BigEndian.AppendUint32(dst, 0xffffffff)
	}
	at := len(dst)
	dst = AppendBinary(append(dst, 0, 0, 0, 0), oid, v)
	binary.BigEndian.PutUint32(dst[at:], uint32(len(dst)-at-4))
	return dst
}

func appendBinaryArray(dst []byte, oid, elem OID, v Value) []byte {
	be := binary.BigEndian
	hasNulls := uint32(0)
	for i := range v.Elems {
		if v.Elems[i].IsNull {
			hasNulls = 1
		}
	}
	dimensions := v.Dims()
	if oid.isVector() { // even an empty one has a dimension
		dimensions = []Dim{{Length: int32(len(v.Elems))}}
	}
	dst = be.AppendUint32(dst, uint32(len(dimensions)))
	dst = be.AppendUint32(dst, hasNulls)
	dst = be.AppendUint32(dst, uint32(elem))
	for _, d := range dimensions {
		dst = be.AppendUint32(dst, uint32(d.Length))
		dst = be.AppendUint32(dst, uint32(d.Lower))
	}
	for _, e := range v.Elems {
		dst = appendBinaryItem(dst, elem, e)
	}
	return dst
}
