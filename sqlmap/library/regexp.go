package library

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// matches are LIKE, ILIKE and SIMILAR TO.
func matches() []implementation {
	var out []implementation
	for name, how := range map[string]struct{ folds, isNot bool }{"like": {}, "nlike": {isNot: true}, "iclike": {folds: true}, "icnlike": {folds: true, isNot: true}} {
		for _, p := range [][2]string{{"text", "text"}, {"name", "name"}, {"bpchar", "bpchar"}, {"bytea", "bytea"}} {
			if p[0] == "bytea" && how.folds {
				continue
			}
			right := "text"
			if p[0] == "bytea" {
				right = "bytea"
			}
			out = append(out, pure(p[1]+name+"("+p[0]+","+right+")", func(a []value) (value, error) {
				return like(a[0].Bytes, a[1].Bytes, how.folds, how.isNot)
			}))
		}
	}
	return append(out,
		pure("like(text,text)", func(a []value) (value, error) { return like(a[0].Bytes, a[1].Bytes, false, false) }),
		pure("notlike(text,text)", func(a []value) (value, error) { return like(a[0].Bytes, a[1].Bytes, false, true) }),
		pure("like_escape(text,text)", func(a []value) (value, error) { return likeEscape(a[0].Text(), a[1].Text()) }),
		pure("similar_to_escape(text)", func(a []value) (value, error) { return similarPattern(a[0].Text(), `\`) }),
		pure("similar_to_escape(text,text)", func(a []value) (value, error) { return similarPattern(a[0].Text(), a[1].Text()) }),
		pure("similar_escape(text,text)", func(a []value) (value, error) {
			if a[0].IsNull {
				return a[0], nil
			}
			if a[1].IsNull {
				return similarPattern(a[0].Text(), `\`)
			}
			return similarPattern(a[0].Text(), a[1].Text())
		}))
}

func like(s, pattern []byte, folds, isNot bool) (value, error) {
	if folds {
		s, pattern = bytes.ToLower(s), bytes.ToLower(pattern)
	}
	matches, err := matchLike(s, pattern)
	return boolean(matches != isNot), err
}

// likeEscape makes a pattern with another escape character one with backslashes.
func likeEscape(pattern, escape string) (value, error) {
	if utf8.RuneCountInString(escape) > 1 {
		e := pgwire.Errorf(pgwire.CodeInvalidEscapeSequence, "invalid escape string")
		e.Hint = "Escape string must be empty or one character."
		return value{}, e
	}
	var out strings.Builder
	rest := pattern
	for rest != "" {
		r, size := utf8.DecodeRuneInString(rest)
		rest = rest[size:]
		switch {
		case escape != "" && string(r) == escape:
			out.WriteByte('\\')
			if rest != "" {
				r, size := utf8.DecodeRuneInString(rest)
				out.WriteRune(r)
				rest = rest[size:]
			}
		case r == '\\' && escape != `\`:
			out.WriteString(`\\`)
		default:
			out.WriteRune(r)
		}
	}
	return text(out.String()), nil
}

// similarPattern makes a regular expression of a pattern of SIMILAR TO.
func similarPattern(pattern, escape string) (value, error) {
	var out strings.Builder
	out.WriteString("^(?:")
	if strings.Contains(pattern, escape+`"`) && escape != "" {
		out.Reset()
		out.WriteString("^(?U:") // what comes before the part wanted is as short as can be
	}
	inBrackets, escaped, marks := false, false, 0
	for _, r := range pattern {
		switch {
		case escaped && r == '"':
			out.WriteString([]string{")(", ")(?:"}[min(marks, 1)])
			escaped = false
			marks++
		case escaped:
			out.WriteString(`\` + string(r))
			escaped = false
		case string(r) == escape:
			escaped = true
		case inBrackets:
			if r == '\\' {
				out.WriteByte('\\')
			}
			out.WriteRune(r)
			inBrackets = r != ']'
		case r == '[':
			inBrackets = true
			out.WriteRune(r)
		case r == '%':
			out.WriteString(".*")
		case r == '_':
			out.WriteByte('.')
		case r == '(':
			out.WriteString("(?:")
		case r == '\\' || r == '.' || r == '^' || r == '$':
			out.WriteString(`\` + string(r))
		default:
			out.WriteRune(r)
		}
	}
	return text(out.String() + ")$"), nil
}

// compilePattern makes a PostgreSQL regular expression one of package regexp. Look-ahead and
// back references, which would take exponential time, are refused.
func compilePattern(pattern, flags string) (*regexp.Regexp, error) {
	modes := "s" // . matches line ends
	for _, f := range flags {
		switch f {
		case 'i':
			modes += "i"
		case 'c', 'g', 'e', 't':
		case 'n', 'm':
			modes = strings.ReplaceAll(modes, "s", "") + "m"
		case 's':
		case 'w':
			modes += "m"
		case 'p':
			modes = strings.ReplaceAll(modes, "s", "")
		case 'q':
			pattern = regexp.QuoteMeta(pattern)
		case 'x':
			return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "expanded regular expressions are not supported")
		default:
			return nil, invalidParameter("invalid regular expression option: \"%c\"", f)
		}
	}
	compiled, err := regexp.Compile("(?" + modes + ")" + translatePattern(pattern))
	if err != nil {
		if strings.Contains(pattern, "(?=") || strings.Contains(pattern, "(?!") || strings.Contains(pattern, "(?<") {
			return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "look-around in regular expressions is not supported")
		}
		return nil, pgwire.Errorf(pgwire.CodeInvalidRegularExpression, "invalid regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return compiled, nil
}

// translatePattern rewrites escapes that the two kinds of expression spell differently.
func translatePattern(pattern string) string {
	if rest, ok := strings.CutPrefix(pattern, "***="); ok {
		return regexp.QuoteMeta(rest)
	}
	pattern = strings.TrimPrefix(pattern, "***:")
	if !strings.Contains(pattern, `\`) {
		return pattern
	}
	var out strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '\\' || i+1 == len(pattern) {
			out.WriteByte(pattern[i])
			continue
		}
		i++
		switch c := pattern[i]; c {
		case 'y':
			out.WriteString(`\b`)
		case 'Y':
			out.WriteString(`\B`)
		case 'm', 'M', '<', '>':
			out.WriteString(`\b`)
		case 'A':
			out.WriteString(`\A`)
		case 'Z':
			out.WriteString(`\z`)
		case 'b':
			out.WriteString(`\x08`)
		default:
			out.WriteByte('\\')
			out.WriteByte(c)
		}
	}
	return out.String()
}

// memo is a pattern that was compiled for the row before: most are the same for all rows.
type memo struct {
	pattern, flags string
	compiled       *regexp.Regexp
}

// remembered compiles a pattern unless the last row had the same.
func remembered(c *schema.Call, pattern, flags string) (*regexp.Regexp, error) {
	if m, ok := c.Memo.(*memo); ok && m.pattern == pattern && m.flags == flags {
		return m.compiled, nil
	}
	compiled, err := compilePattern(pattern, flags)
	if err == nil {
		c.Memo = &memo{pattern, flags, compiled}
	}
	return compiled, err
}

// patternOf compiles a pattern and its optional flags.
func patternOf(c *schema.Call, a []value, pattern, flags int) (*regexp.Regexp, bool, error) {
	f := ""
	if flags >= 0 && flags < len(a) {
		f = a[flags].Text()
	}
	compiled, err := remembered(c, a[pattern].Text(), f)
	return compiled, strings.Contains(f, "g"), err
}

func regularExpressions() []implementation {
	var out []implementation
	for name, how := range map[string]struct {
		flags string
		isNot bool
	}{"regexeq": {}, "regexne": {isNot: true}, "icregexeq": {flags: "i"}, "icregexne": {flags: "i", isNot: true}} {
		for _, t := range []string{"text", "name", "bpchar"} {
			out = append(out, call(t+name+"("+t+",text)", func(c *schema.Call, a []value) (value, error) {
				p, err := remembered(c, a[1].Text(), how.flags)
				if err != nil {
					return value{}, err
				}
				return boolean(p.Match(a[0].Bytes) != how.isNot), nil
			}))
		}
	}
	for _, signature := range []string{"(text,text)", "(text,text,text)"} {
		out = append(out,
			call("regexp_like"+signature, func(c *schema.Call, a []value) (value, error) {
				p, _, err := patternOf(c, a, 1, 2)
				if err != nil {
					return value{}, err
				}
				return boolean(p.Match(a[0].Bytes)), nil
			}),
			call("regexp_match"+signature, func(c *schema.Call, a []value) (value, error) {
				p, _, err := patternOf(c, a, 1, 2)
				if err != nil {
					return value{}, err
				}
				found := p.FindSubmatchIndex(a[0].Bytes)
				if found == nil {
					return null()
				}
				return groupsOf(a[0].Bytes, found), nil
			}),
			list("regexp_matches"+signature, regexpMatches),
			call("regexp_split_to_array"+signature, func(c *schema.Call, a []value) (value, error) {
				parts, err := regexpSplit(c, a)
				return types.OfArray(parts), err
			}),
			list("regexp_split_to_table"+signature, func(c *schema.Call, a []value) ([]value, error) { return regexpSplit(c, a) }),
			call("regexp_replace(text,text,"+strings.TrimPrefix(signature, "(text,"), regexpReplace))
	}
	return append(out,
		call("regexp_count(text,text)", func(c *schema.Call, a []value) (value, error) {
			p, _, err := patternOf(c, a, 1, -1)
			if err != nil {
				return value{}, err
			}
			return number(int64(len(p.FindAllIndex(a[0].Bytes, -1)))), nil
		}),
		call("regexp_substr(text,text)", func(c *schema.Call, a []value) (value, error) {
			return regexpSubstring(c, a[0].Bytes, a[1].Text(), false)
		}),
		call("substring(text,text)", func(c *schema.Call, a []value) (value, error) {
			return regexpSubstring(c, a[0].Bytes, a[1].Text(), true)
		}),
		call("substring(text,text,text)", func(c *schema.Call, a []value) (value, error) {
			p, err := similarPattern(a[1].Text(), a[2].Text())
			if err != nil {
				return value{}, err
			}
			return regexpSubstring(c, a[0].Bytes, p.Text(), true)
		}))
}

// groupsOf are the texts of the groups, or of the match if there are no groups.
func groupsOf(s []byte, found []int) value {
	if len(found) > 2 {
		found = found[2:]
	}
	out := make([]value, 0, len(found)/2)
	for i := 0; i < len(found); i += 2 {
		if found[i] < 0 {
			out = append(out, types.Null())
			continue
		}
		out = append(out, bytesOf(s[found[i]:found[i+1]]))
	}
	return types.OfArray(out)
}

func regexpMatches(c *schema.Call, a []value) ([]value, error) {
	p, isGlobal, err := patternOf(c, a, 1, 2)
	if err != nil {
		return nil, err
	}
	limit := 1
	if isGlobal {
		limit = -1
	}
	var out []value
	for _, found := range p.FindAllSubmatchIndex(a[0].Bytes, limit) {
		out = append(out, groupsOf(a[0].Bytes, found))
	}
	return out, nil
}

// splitPartsMax bounds into how many pieces a text is split by an expression.
const splitPartsMax = 1_000_000

func regexpSplit(c *schema.Call, a []value) ([]value, error) {
	p, _, err := patternOf(c, a, 1, 2)
	if err != nil {
		return nil, err
	}
	s, start := a[0].Bytes, 0
	found := p.FindAllIndex(s, splitPartsMax)
	if len(found) == splitPartsMax {
		e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "text splits into too many pieces")
		e.Detail = fmt.Sprintf("The limit is %d.", splitPartsMax)
		return nil, e
	}
	out := []value{}
	for _, m := range found {
		if m[1] == m[0] && (m[0] == 0 || m[0] == len(s)) {
			continue // an empty match at an end separates nothing
		}
		out, start = append(out, bytesOf(s[start:m[0]])), m[1]
	}
	return append(out, bytesOf(s[start:])), nil
}

func regexpSubstring(c *schema.Call, s []byte, pattern string, usesGroup bool) (value, error) {
	p, err := remembered(c, pattern, "")
	if err != nil {
		return value{}, err
	}
	found := p.FindSubmatchIndex(s)
	if found == nil {
		return null()
	}
	if usesGroup && len(found) > 2 {
		found = found[2:]
	}
	if found[0] < 0 {
		return null()
	}
	return bytesOf(s[found[0]:found[1]]), nil
}

// regexpReplace replaces the first match, or all with the flag g. \1 is a group, \& the match.
func regexpReplace(c *schema.Call, a []value) (value, error) {
	p, isGlobal, err := patternOf(c, a, 1, 3)
	if err != nil {
		return value{}, err
	}
	limit := 1
	if isGlobal {
		limit = -1
	}
	s, replacement, start := a[0].Bytes, a[2].Bytes, 0
	var out []byte
	for _, m := range p.FindAllSubmatchIndex(s, limit) {
		out = append(out, s[start:m[0]]...)
		for i := 0; i < len(replacement); i++ {
			c := replacement[i]
			if c != '\\' || i+1 == len(replacement) {
				out = append(out, c)
				continue
			}
			i++
			group := 0
			switch c = replacement[i]; {
			case c >= '1' && c <= '9':
				group = int(c - '0')
			case c != '&':
				out = append(out, c)
				continue
			}
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
