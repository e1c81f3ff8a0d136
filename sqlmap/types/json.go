package types

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"

	"pgcache/pgwire"
)

// jsonDepthMax bounds nesting, and with it recursion.
const jsonDepthMax = 1000

func invalidJSON(text []byte, detail string) error {
	e := pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "invalid input syntax for type json")
	e.Detail = detail
	return e
}

// parseJSON checks the text; json keeps it as it is, jsonb gets PostgreSQL's layout: keys
// sorted by length and bytes, the last of equal ones kept.
func parseJSON(oid OID, text []byte, style *Style) (Value, error) {
	if err := CheckUTF8(text); err != nil {
		return Value{}, err
	}
	if !json.Valid(text) {
		return Value{}, invalidJSON(text, "The text is not a JSON value.")
	}
	if oid == JSON {
		return OfBytes(text), nil
	}
	r := jsonReader{rest: text, ctx: style.context()}
	out, err := r.appendValue(make([]byte, 0, len(text)), 0)
	if err != nil {
		return Value{}, err
	}
	return OfBytes(out), nil
}

// jsonNode is a JSON value: an object, an array, or a scalar.
type jsonNode struct {
	kind    byte // '{', '[', or 0
	scalar  []byte
	members []jsonMember // of an object, sorted
	items   []jsonNode
}

type jsonMember struct {
	key   string
	value jsonNode
}

// decodeJSON reads a valid text. The scalars of the tree may alias it.
func decodeJSON(ctx context.Context, text []byte) (jsonNode, error) {
	r := jsonReader{rest: text, ctx: ctx}
	return r.node(0)
}

// sortMembers puts the members into jsonb's order; of equal keys the last counts.
func (n *jsonNode) sortMembers() {
	slices.SortStableFunc(n.members, func(a, b jsonMember) int { return compareKeys(a.key, b.key) })
	kept := n.members[:0]
	for i, m := range n.members {
		if i+1 == len(n.members) || n.members[i+1].key != m.key {
			kept = append(kept, m)
		}
	}
	n.members = kept
}

// compareKeys is jsonb's order of keys.
func compareKeys(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return bytes.Compare([]byte(a), []byte(b))
}

func (n *jsonNode) append(dst []byte) []byte {
	switch n.kind {
	case '{':
		dst = append(dst, '{')
		for i := range n.members {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = append(AppendJSONString(dst, n.members[i].key), ": "...)
			dst = n.members[i].value.append(dst)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for i := range n.items {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = n.items[i].append(dst)
		}
		return append(dst, ']')
	}
	return append(dst, n.scalar...)
}

// AppendJSONString appends a JSON string as PostgreSQL writes it.
func AppendJSONString[T string | []byte](dst []byte, s T) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, `\b`...)
		case '\f':
			dst = append(dst, `\f`...)
		case '\n':
			dst = append(dst, `\n`...)
		case '\r':
			dst = append(dst, `\r`...)
		case '\t':
			dst = append(dst, `\t`...)
		default:
			if c < 0x20 {
				dst = append(dst, '\\', 'u', '0', '0', "0123456789abcdef"[c>>4], "0123456789abcdef"[c&15])
			} else {
				dst = append(dst, c)
			}
		}
	}
	return append(dst, '"')
}

// Pair is a member of a flat JSON object.
type Pair struct{ Key, Value string }

// FlatPairs reads an object whose values are all strings, in jsonb's order; ok is false
// for any other JSON.
func FlatPairs(v Value) (pairs []Pair, ok bool) {
	tree, err := decodeJSON(context.Background(), v.Bytes)
	if err != nil || tree.kind != '{' {
		return nil, false
	}
	for _, m := range tree.members {
		var s string
		if m.value.kind != 0 || m.value.scalar[0] != '"' || json.Unmarshal(m.value.scalar, &s) != nil {
			return nil, false
		}
		pairs = append(pairs, Pair{m.key, s})
	}
	return pairs, true
}

// JSONConcat is a || b: the members of both objects, those of b preferred, or the items
// of both arrays; what is no array counts as an array of itself beside one.
func JSONConcat(ctx context.Context, a, b Value) (Value, error) {
	x, err := decodeJSON(ctx, a.Bytes)
	if err != nil {
		return Value{}, err
	}
	y, err := decodeJSON(ctx, b.Bytes)
	if err != nil {
		return Value{}, err
	}
	if x.kind == '{' && y.kind == '{' {
		x.members = append(x.members, y.members...)
		x.sortMembers()
		return OfBytes(x.append(nil)), nil
	}
	out := jsonNode{kind: '['}
	for _, n := range []jsonNode{x, y} {
		if n.kind == '[' {
			out.items = append(out.items, n.items...)
		} else {
			out.items = append(out.items, n)
		}
	}
	return OfBytes(out.append(nil)), nil
}

// jsonRank orders the kinds of jsonb: objects above arrays above booleans above numbers
// above strings above null.
func (n *jsonNode) jsonRank() int {
	switch {
	case n.kind == '{':
		return 5
	case n.kind == '[':
		return 4
	}
	switch n.scalar[0] {
	case 't', 'f':
		return 3
	case '"':
		return 1
	case 'n':
		return 0
	}
	return 2
}

// compareJSON orders jsonb values as PostgreSQL does.
func compareJSON(a, b []byte) int {
	if bytes.Equal(a, b) {
		return 0
	}
	x, err1 := decodeJSON(context.Background(), a)
	y, err2 := decodeJSON(context.Background(), b)
	if err1 != nil || err2 != nil {
		return bytes.Compare(a, b)
	}
	return x.compare(&y)
}

func (n *jsonNode) compare(o *jsonNode) int {
	rank := n.jsonRank()
	if c := rank - o.jsonRank(); c != 0 {
		return c
	}
	switch rank {
	case 5:
		if c := len(n.members) - len(o.members); c != 0 {
			return c
		}
		for i := range n.members {
			if c := compareKeys(n.members[i].key, o.members[i].key); c != 0 {
				return c
			}
			if c := n.members[i].value.compare(&o.members[i].value); c != 0 {
				return c
			}
		}
	case 4:
		if c := len(n.items) - len(o.items); c != 0 {
			return c
		}
		for i := range n.items {
			if c := n.items[i].compare(&o.items[i]); c != 0 {
				return c
			}
		}
	case 3:
		return len(o.scalar) - len(n.scalar) // false before true
	case 2:
		return compareNumeric(n.scalar, o.scalar)
	case 1:
		var s, t string
		_, _ = json.Unmarshal(n.scalar, &s), json.Unmarshal(o.scalar, &t)
		return bytes.Compare([]byte(s), []byte(t))
	}
	return 0
}
