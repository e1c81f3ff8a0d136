package library

import (
	"context"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

func errPatternEnd() error {
	return pgwire.Errorf(pgwire.CodeInvalidEscapeSequence, "LIKE pattern must not end with escape character")
}

// matchLike matches a text with a LIKE pattern: % is any string, _ any character, \ takes
// the next literally. Its time is bounded by the product of the lengths.
func matchLike(ctx context.Context, text, pattern []byte) (bool, error) {
	t, p := 0, 0
	starT, starP := -1, -1 // where to go on if the part after the last % does not match
	for step := 1; t < len(text); step++ {
		if err := types.Interrupted(ctx, step); err != nil {
			return false, err
		}
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
