package types

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"

	"pgcache/pgwire"
)

// jsonReader takes a JSON text apart that is known to be valid.
type jsonReader struct {
	rest  []byte
	ctx   context.Context // of the statement; nil: nothing ends the reading
	steps int             // tokens read
}

// next is the first byte of the next token, which stays unread.
func (r *jsonReader) next() byte {
	for len(r.rest) > 0 {
		switch r.rest[0] {
		case ' ', '\t', '\n', '\r':
			r.rest = r.rest[1:]
			continue
		}
		return r.rest[0]
	}
	return 0
}

// enter begins a value.
func (r *jsonReader) enter(depth int) (byte, error) {
	if depth > jsonDepthMax {
		return 0, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "JSON is nested more than %d levels deep", jsonDepthMax)
	}
	if err := Interrupted(r.ctx, r.steps); err != nil {
		return 0, err
	}
	r.steps++
	first := r.next()
	if first == 0 {
		return 0, invalidJSON(nil, "The text ends within a value.")
	}
	return first, nil
}

// more goes on to the next item or member, or past the end of the array or object.
func (r *jsonReader) more(end byte) bool {
	switch r.next() {
	case end:
		r.rest = r.rest[1:]
		return false
	case ',':
		r.rest = r.rest[1:]
		return r.next() != 0
	case 0:
		return false
	}
	return true
}

// quoted takes a string, whose quotes and escapes stay.
func (r *jsonReader) quoted() []byte {
	end := 1
	for end < len(r.rest) && r.rest[end] != '"' {
		if r.rest[end] == '\\' {
			end++
		}
		end++
	}
	token := r.rest[:min(end+1, len(r.rest))]
	r.rest = r.rest[len(token):]
	return token
}

// plainString is what a string means, if that is what stands between its quotes.
func plainString(token []byte) ([]byte, bool) {
	if bytes.IndexByte(token, '\\') >= 0 || len(token) < len(`""`) {
		return nil, false
	}
	return token[1 : len(token)-1], true
}

// stringOf is what a string means.
func stringOf(token []byte) (string, error) {
	if s, ok := plainString(token); ok {
		return string(s), nil
	}
	var s string
	if err := json.Unmarshal(token, &s); err != nil {
		return "", invalidJSON(nil, err.Error())
	}
	if strings.IndexByte(s, 0) >= 0 {
		e := pgwire.Errorf(pgwire.CodeUntranslatableCharacter, "unsupported Unicode escape sequence")
		e.Detail = "\\u0000 cannot be converted to text."
		return "", e
	}
	return s, nil
}

// key takes the key of a member and its colon.
func (r *jsonReader) key() (string, error) {
	r.next()
	s, err := stringOf(r.quoted())
	if r.next() == ':' {
		r.rest = r.rest[1:]
	}
	return s, err
}

// scalar takes a scalar and returns it as jsonb writes it; it may alias the text.
func (r *jsonReader) scalar(first byte) ([]byte, error) {
	if first == '"' {
		token := r.quoted()
		if _, ok := plainString(token); ok {
			return token, nil
		}
		s, err := stringOf(token)
		return AppendJSONString(nil, s), err
	}
	end := 0
	for end < len(r.rest) && !endsScalar(r.rest[end]) {
		end++
	}
	token := r.rest[:end]
	r.rest = r.rest[end:]
	if first >= 'a' || isPlainInteger(token) {
		return token, nil
	}
	v, err := parseNumeric(token)
	return v.Bytes, err
}

func endsScalar(c byte) bool {
	switch c {
	case ',', ']', '}', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

// isPlainInteger reports a number that numeric shows as it is written.
func isPlainInteger(token []byte) bool {
	const digitsMax = 18
	for _, c := range token {
		if !isDigit(c) {
			return false
		}
	}
	return len(token) > 0 && len(token) <= digitsMax
}

// appendValue appends the next value as jsonb writes it.
func (r *jsonReader) appendValue(dst []byte, depth int) ([]byte, error) {
	first, err := r.enter(depth)
	if err != nil {
		return nil, err
	}
	switch first {
	case '{':
		return r.appendObject(dst, depth)
	case '[':
		r.rest, dst = r.rest[1:], append(dst, '[')
		for n := 0; r.more(']'); n++ {
			if n > 0 {
				dst = append(dst, ", "...)
			}
			if dst, err = r.appendValue(dst, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	token, err := r.scalar(first)
	return append(dst, token...), err
}

// writtenMember is where a member of an object is in what was written.
type writtenMember struct {
	key      string
	from, to int
}

// appendObject appends the members as they come, and puts them into jsonb's order if they are not.
func (r *jsonReader) appendObject(dst []byte, depth int) ([]byte, error) {
	r.rest, dst = r.rest[1:], append(dst, '{')
	begin, isSorted := len(dst), true
	var members []writtenMember
	for r.more('}') {
		key, err := r.key()
		if err != nil {
			return nil, err
		}
		if n := len(members); n > 0 {
			isSorted = isSorted && compareKeys(members[n-1].key, key) < 0
			dst = append(dst, ", "...)
		}
		from := len(dst)
		dst = append(AppendJSONString(dst, key), ": "...)
		if dst, err = r.appendValue(dst, depth+1); err != nil {
			return nil, err
		}
		members = append(members, writtenMember{key, from, len(dst)})
	}
	if isSorted {
		return append(dst, '}'), nil
	}
	if r.ctx != nil && r.ctx.Err() != nil { // a deep document is copied once for every level
		return nil, r.ctx.Err()
	}
	slices.SortStableFunc(members, func(a, b writtenMember) int { return compareKeys(a.key, b.key) })
	written := bytes.Clone(dst[begin:])
	dst = dst[:begin]
	for i, m := range members {
		if i+1 < len(members) && members[i+1].key == m.key {
			continue // of equal keys the last counts
		}
		if len(dst) > begin {
			dst = append(dst, ", "...)
		}
		dst = append(dst, written[m.from-begin:m.to-begin]...)
	}
	return append(dst, '}'), nil
}

// node reads the next value as a tree.
func (r *jsonReader) node(depth int) (jsonNode, error) {
	first, err := r.enter(depth)
	if err != nil {
		return jsonNode{}, err
	}
	switch first {
	case '{':
		n := jsonNode{kind: '{'}
		for r.rest = r.rest[1:]; r.more('}'); {
			key, err := r.key()
			if err != nil {
				return n, err
			}
			value, err := r.node(depth + 1)
			if err != nil {
				return n, err
			}
			n.members = append(n.members, jsonMember{key, value})
		}
		n.sortMembers()
		return n, nil
	case '[':
		n := jsonNode{kind: '['}
		for r.rest = r.rest[1:]; r.more(']'); {
			item, err := r.node(depth + 1)
			if err != nil {
				return n, err
			}
			n.items = append(n.items, item)
		}
		return n, nil
	}
	token, err := r.scalar(first)
	return jsonNode{scalar: token}, err
}

// raw takes a value as it is written.
func (r *jsonReader) raw() []byte {
	all := r.rest
	switch r.next() {
	case '"':
		return r.quoted()
	case '{', '[':
		all = r.rest
		for depth := 0; len(r.rest) > 0; {
			switch r.rest[0] {
			case '"':
				r.quoted()
				continue
			case '{', '[':
				depth++
			case '}', ']':
				depth--
			}
			if r.rest = r.rest[1:]; depth == 0 {
				break
			}
		}
		return all[:len(all)-len(r.rest)]
	}
	end := 0
	for end < len(r.rest) && !endsScalar(r.rest[end]) {
		end++
	}
	token := r.rest[:end]
	r.rest = r.rest[min(max(end, 1), len(r.rest)):]
	return token
}

// EachJSONMember gives the members of an object in the order of its text; false for other JSON. The
// values alias it.
func EachJSONMember(doc []byte, f func(key string, value []byte)) bool {
	r := jsonReader{rest: doc}
	if r.next() != '{' {
		return false
	}
	for r.rest = r.rest[1:]; r.more('}'); {
		key, err := r.key()
		if err != nil {
			return false
		}
		f(key, r.raw())
	}
	return true
}

// EachJSONItem gives the items of an array; false for other JSON. They alias it.
func EachJSONItem(doc []byte, f func(item []byte)) bool {
	r := jsonReader{rest: doc}
	if r.next() != '[' {
		return false
	}
	for r.rest = r.rest[1:]; r.more(']'); {
		f(r.raw())
	}
	return true
}
