package scalar

import (
	"bytes"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// like is [NOT] LIKE and ILIKE, on text and bytea.
func (c *Compiler) like(name string, left, right *Expr, at int32) (*Expr, error) {
	t := types.Text
	if left.Type == types.Bytea || right.Type == types.Bytea {
		t = types.Bytea
	}
	for _, x := range []*Expr{left, right} {
		if x.Type != types.Unknown && x.Type != t && !(t == types.Text && x.Type.IsText()) {
			return nil, undefinedOperator(name, left, right, at)
		}
	}
	l, err := c.Coerce(left, t, types.Implicit)
	if err != nil {
		return nil, err
	}
	r, err := c.Coerce(right, t, types.Implicit)
	if err != nil {
		return nil, err
	}
	isNot, ignoreCase := name[0] == '!', name[len(name)-1] == '*'
	return derived(types.Bool, at, strict(l, r, func(_ *Env, a, b types.Value) (types.Value, error) {
		text, pattern := a.Bytes, b.Bytes
		if ignoreCase {
			text, pattern = bytes.ToLower(text), bytes.ToLower(pattern)
		}
		matches, err := MatchLike(text, pattern)
		return types.OfBool(matches != isNot), err
	}), l, r), nil
}

func errPatternEnd() error {
	return pgwire.Errorf(pgwire.CodeInvalidEscapeSequence, "LIKE pattern must not end with escape character")
}

// MatchLike matches a text with a LIKE pattern: % is any string, _ any character, \ takes
// the next literally. Its time is bounded by the product of the lengths.
func MatchLike(text, pattern []byte) (bool, error) {
	t, p := 0, 0
	starT, starP := -1, -1 // where to go on if the part after the last % does not match
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '%' {
			starP, starT = p, t
			p++
			continue
		}
		size, width, err := matchOne(text[t:], pattern[p:])
		if err != nil {
			return false, err
		}
		switch {
		case size > 0:
			t, p = t+size, p+width
		case starP >= 0:
			_, step := utf8.DecodeRune(text[starT:])
			starT += step
			t, p = starT, starP+1
		default:
			return false, nil
		}
	}
	for p < len(pattern) && pattern[p] == '%' {
		p++
	}
	return p == len(pattern), nil
}

// matchOne matches one character of text with the first element of pattern and returns
// how many bytes of both that took; 0 if it does not match.
func matchOne(text, pattern []byte) (size, width int, err error) {
	if len(pattern) == 0 {
		return 0, 0, nil
	}
	switch pattern[0] {
	case '_':
		_, size = utf8.DecodeRune(text)
		return size, 1, nil
	case '\\':
		if len(pattern) == 1 {
			return 0, 0, errPatternEnd()
		}
		if text[0] == pattern[1] {
			return 1, 2, nil
		}
		return 0, 0, nil
	}
	if text[0] == pattern[0] {
		return 1, 1, nil
	}
	return 0, 0, nil
}

// LikePrefix cuts the literal beginning off a pattern. isPure reports that the pattern is
// that prefix followed by one %, or by nothing (then isExact).
func LikePrefix(pattern []byte) (prefix []byte, isPure, isExact bool) {
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '%':
			return prefix, len(bytes.Trim(pattern[i:], "%")) == 0, false
		case '_':
			return prefix, false, false
		case '\\':
			i++
			if i == len(pattern) {
				return prefix, false, false
			}
		}
		prefix = append(prefix, pattern[i])
	}
	return prefix, true, true
}
