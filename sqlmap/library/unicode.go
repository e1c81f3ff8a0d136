package library

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"

	"pgcache/pgwire"
)

// unicodes are the functions about Unicode's characters.
func unicodes() []implementation {
	return []implementation{
		constant("unicode_version()", text(unicode.Version[:strings.LastIndexByte(unicode.Version, '.')])),
		pure("unicode_assigned(text)", func(a []value) (value, error) {
			for _, r := range a[0].Text() {
				if !unicode.IsOneOf([]*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.C}, r) {
					return boolean(false), nil
				}
			}
			return boolean(true), nil
		}),
		pure("unistr(text)", unescape),
	}
}

// unescape is unistr(): escapes of four digits, of six behind +, four behind u, eight behind U,
// and the backslash itself. What UTF-16 writes as two is one character.
func unescape(a []value) (value, error) {
	s := a[0].Text()
	var out strings.Builder
	high := rune(0) // the first of two
	for {
		before, rest, ok := strings.Cut(s, `\`)
		isEscape := ok && !strings.HasPrefix(rest, `\`)
		if high != 0 && (before != "" || !isEscape) {
			return value{}, pgwire.Errorf(pgwire.CodeSyntaxError, "invalid Unicode surrogate pair")
		}
		out.WriteString(before)
		if !ok {
			return bounded([]byte(out.String()))
		}
		if !isEscape {
			out.WriteByte('\\')
			s = rest[1:]
			continue
		}
		r, rest, err := escaped(rest)
		if err != nil {
			return value{}, err
		}
		s = rest
		switch isLow := r >= 0xdc00 && utf16.IsSurrogate(r); {
		case isLow != (high != 0):
			return value{}, pgwire.Errorf(pgwire.CodeSyntaxError, "invalid Unicode surrogate pair")
		case isLow:
			out.WriteRune(utf16.DecodeRune(high, r))
			high = 0
		case utf16.IsSurrogate(r):
			high = r
		default:
			out.WriteRune(r)
		}
	}
}

// escaped reads what follows a backslash.
func escaped(s string) (r rune, rest string, err error) {
	skip, digits := 0, 4
	switch {
	case strings.HasPrefix(s, "+"):
		skip, digits = 1, 6
	case strings.HasPrefix(s, "u"):
		skip = 1
	case strings.HasPrefix(s, "U"):
		skip, digits = 1, 8
	}
	if len(s) < skip+digits {
		return 0, "", pgwire.Errorf(pgwire.CodeSyntaxError, "invalid Unicode escape")
	}
	n, err := strconv.ParseUint(s[skip:skip+digits], 16, 32)
	switch {
	case err != nil:
		return 0, "", pgwire.Errorf(pgwire.CodeSyntaxError, "invalid Unicode escape")
	case n == 0 || n > unicode.MaxRune:
		return 0, "", invalidParameter("invalid Unicode code point: %04X", n)
	}
	return rune(n), s[skip+digits:], nil
}
