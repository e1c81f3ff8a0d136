package library

import (
	"strings"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// This file has the functions of regular expressions that may begin anywhere in a text and look
// for the Nth match, and regexp_replace.

// signatures are those of a function whose last arguments may be left out.
func signatures(name string, required int, args ...string) []string {
	var out []string
	for n := required; n <= len(args); n++ {
		out = append(out, name+"("+strings.Join(args[:n], ",")+")")
	}
	return out
}

func regexpsFrom() []implementation {
	var out []implementation
	add := func(f func(c *schema.Call, a []value) (value, error), signatures []string) {
		for _, s := range signatures {
			out = append(out, call(s, f))
		}
	}
	add(regexpCount, signatures("regexp_count", 2, "text", "text", "int4", "text"))
	add(regexpInstr, signatures("regexp_instr", 2, "text", "text", "int4", "int4", "int4", "text", "int4"))
	add(regexpSubstr, signatures("regexp_substr", 2, "text", "text", "int4", "int4", "text", "int4"))
	add(regexpReplace, []string{"regexp_replace(text,text,text)", "regexp_replace(text,text,text,text)"})
	add(regexpReplaceNth, signatures("regexp_replace", 4, "text", "text", "text", "int4", "int4", "text"))
	return out
}

// numberAt is an optional argument that must be at least so much.
func numberAt(a []value, at int, name string, least, otherwise int64) (int64, error) {
	if at >= len(a) {
		return otherwise, nil
	}
	if a[at].Int < least {
		return 0, invalidParameter("invalid value for parameter \"%s\": %d", name, a[at].Int)
	}
	return a[at].Int, nil
}

// offsetOf is where a character of a text begins, by its number from 1; behind the text if there is none.
func offsetOf(s []byte, character int64) int {
	at := 0
	for ; character > 1; character-- {
		if at >= len(s) {
			return len(s) + 1
		}
		_, size := utf8.DecodeRune(s[at:])
		at += size
	}
	return at
}

func regexpCount(c *schema.Call, a []value) (value, error) {
	start, err := numberAt(a, 2, "start", 1, 1)
	if err != nil {
		return value{}, err
	}
	p, err := patternOf(c, a, 3)
	if err != nil {
		return value{}, err
	}
	from := offsetOf(a[0].Bytes, start)
	if from > len(a[0].Bytes) {
		return number(0), nil
	}
	found, err := p.Find(c.Ctx, a[0].Bytes, from, -1)
	return number(int64(len(found))), err
}

// nthMatch finds the match that regexp_instr and regexp_substr are about, or the group of it:
// their arguments are text, pattern, start, N; nil: there is none.
func nthMatch(c *schema.Call, a []value, flags, group int) ([]int, error) {
	start, err := numberAt(a, 2, "start", 1, 1)
	if err != nil {
		return nil, err
	}
	n, err := numberAt(a, 3, "n", 1, 1)
	if err != nil {
		return nil, err
	}
	subexpression, err := numberAt(a, group, "subexpr", 0, 0)
	if err != nil {
		return nil, err
	}
	p, err := patternOf(c, a, flags)
	if err != nil {
		return nil, err
	}
	from := offsetOf(a[0].Bytes, start)
	if from > len(a[0].Bytes) {
		return nil, nil
	}
	found, err := p.Find(c.Ctx, a[0].Bytes, from, int(n))
	if err != nil || int64(len(found)) < n {
		return nil, err
	}
	m := found[n-1]
	if 2*subexpression >= int64(len(m)) || m[2*subexpression] < 0 {
		return nil, nil
	}
	return m[2*subexpression : 2*subexpression+2], nil
}

func regexpInstr(c *schema.Call, a []value) (value, error) {
	end := int64(0)
	if len(a) > 4 {
		if end = a[4].Int; end != 0 && end != 1 {
			return value{}, invalidParameter("invalid value for parameter \"%s\": %d", "endoption", end)
		}
	}
	m, err := nthMatch(c, a, 5, 6)
	if err != nil || m == nil {
		return number(0), err
	}
	return number(int64(utf8.RuneCount(a[0].Bytes[:m[end]])) + 1), nil
}

func regexpSubstr(c *schema.Call, a []value) (value, error) {
	m, err := nthMatch(c, a, 4, 5)
	if err != nil || m == nil {
		return types.Null(), err
	}
	return bytesOf(a[0].Bytes[m[0]:m[1]]), nil
}

// regexpReplace replaces the first match, or all with the flag g.
func regexpReplace(c *schema.Call, a []value) (value, error) {
	flags := flagsOf(a, 3)
	if flags != "" && flags[0] >= '0' && flags[0] <= '9' {
		e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid regular expression option: \"%c\"", flags[0])
		e.Hint = "If you meant to use regexp_replace() with a start parameter, cast the fourth argument to integer explicitly."
		return value{}, e
	}
	p, err := remembered(c, a[1].Text(), flags)
	if err != nil {
		return value{}, err
	}
	found, err := p.Find(c.Ctx, a[0].Bytes, 0, limitOf(a, 3))
	if err != nil {
		return value{}, err
	}
	return replaceMatches(c, a[0].Bytes, found, a[2].Bytes)
}

// regexpReplaceNth replaces the Nth match from a place on: text, pattern, replacement, start, N (0: all).
func regexpReplaceNth(c *schema.Call, a []value) (value, error) {
	start, err := numberAt(a, 3, "start", 1, 1)
	if err != nil {
		return value{}, err
	}
	flags := flagsOf(a, 5)
	otherwise := int64(1)
	if strings.Contains(flags, "g") {
		otherwise = 0
	}
	n, err := numberAt(a, 4, "n", 0, otherwise)
	if err != nil {
		return value{}, err
	}
	p, err := remembered(c, a[1].Text(), flags)
	if err != nil {
		return value{}, err
	}
	from := offsetOf(a[0].Bytes, start)
	if from > len(a[0].Bytes) {
		return a[0], nil
	}
	limit := int(n)
	if n == 0 {
		limit = -1
	}
	found, err := p.Find(c.Ctx, a[0].Bytes, from, limit)
	if err != nil {
		return value{}, err
	}
	if n > 0 {
		found = found[min(int(n)-1, len(found)):]
	}
	return replaceMatches(c, a[0].Bytes, found, a[2].Bytes)
}

// replaceMatches puts a text in place of matches. \1 in it is a group, \& the match, \\ a backslash.
func replaceMatches(c *schema.Call, s []byte, found [][]int, replacement []byte) (value, error) {
	var out []byte
	start := 0
	for i, m := range found {
		if err := c.Interrupted(i); err != nil {
			return value{}, err
		}
		out = append(out, s[start:m[0]]...)
		for i := 0; i < len(replacement); i++ {
			if replacement[i] != '\\' || i+1 == len(replacement) {
				out = append(out, replacement[i])
				continue
			}
			group := 0
			switch next := replacement[i+1]; {
			case next >= '1' && next <= '9':
				group = int(next - '0')
			case next == '\\':
				out = append(out, '\\')
				i++
				continue
			case next != '&':
				out = append(out, '\\')
				continue
			}
			i++
			if 2*group < len(m) && m[2*group] >= 0 {
				out = append(out, s[m[2*group]:m[2*group+1]]...)
			}
		}
		if start = m[1]; len(out) > resultBytesMax {
			return value{}, errTooLong()
		}
	}
	return bounded(append(out, s[start:]...))
}
