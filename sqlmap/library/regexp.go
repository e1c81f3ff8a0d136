package library

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/are"
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
			out = append(out, call(p[1]+name+"("+p[0]+","+right+")", func(c *schema.Call, a []value) (value, error) {
				return like(c, a[0].Bytes, a[1].Bytes, how.folds, how.isNot)
			}))
		}
	}
	return append(out,
		call("like(text,text)", func(c *schema.Call, a []value) (value, error) { return like(c, a[0].Bytes, a[1].Bytes, false, false) }),
		call("notlike(text,text)", func(c *schema.Call, a []value) (value, error) { return like(c, a[0].Bytes, a[1].Bytes, false, true) }),
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

func like(c *schema.Call, s, pattern []byte, folds, isNot bool) (value, error) {
	if folds {
		s, pattern = bytes.ToLower(s), bytes.ToLower(pattern)
	}
	matches, err := matchLike(c.Ctx, s, pattern)
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
	parts, err := similarTo(pattern, escape)
	if err != nil {
		return value{}, err
	}
	if len(parts) == 1 {
		return text("^(?:" + parts[0] + ")$"), nil
	}
	return text("^(?:" + parts[0] + "){1,1}?(" + parts[1] + "){1,1}(?:" + parts[2] + ")$"), nil
}

// similarParts is the pattern of substring(… SIMILAR … ESCAPE …): what comes before the part
// that is wanted is as short as can be.
func similarParts(pattern, escape string) (*regexp.Regexp, error) {
	parts, err := similarTo(pattern, escape)
	if err != nil {
		return nil, err
	}
	whole := `(?s)\A(?:` + parts[0] + `)\z`
	if len(parts) > 1 {
		whole = `(?s)\A(?U:` + parts[0] + ")(" + parts[1] + ")(?:" + parts[2] + `)\z`
	}
	p, err := regexp.Compile(whole)
	if err != nil {
		return nil, pgwire.Errorf(pgwire.CodeInvalidRegularExpression, "invalid regular expression: %s", strings.TrimPrefix(err.Error(), "error parsing regexp: "))
	}
	return p, nil
}

// similarTo makes regular expressions of the one or three parts of a pattern.
func similarTo(pattern, escape string) ([]string, error) {
	if utf8.RuneCountInString(escape) > 1 {
		e := pgwire.Errorf(pgwire.CodeInvalidEscapeSequence, "invalid escape string")
		e.Hint = "Escape string must be empty or one character."
		return nil, e
	}
	parts := make([]strings.Builder, 3)
	inBrackets, escaped, part := false, false, 0
	for _, r := range pattern {
		out := &parts[part]
		switch {
		case escaped && r == '"' && !inBrackets:
			if part++; part == len(parts) {
				return nil, pgwire.Errorf(pgwire.CodeInvalidUseOfEscapeCharacter, "SQL regular expression may not contain more than two escape-double-quote separators")
			}
			escaped = false
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
	if part == 0 {
		return []string{parts[0].String()}, nil
	}
	return []string{parts[0].String(), parts[1].String(), parts[2].String()}, nil
}

// memo is a pattern that was compiled for the row before: most are the same for all rows.
type memo struct {
	pattern, flags string
	compiled       *are.Expression
}

// remembered compiles a pattern unless the last row had the same.
func remembered(c *schema.Call, pattern, flags string) (*are.Expression, error) {
	if m, ok := c.Memo.(*memo); ok && m.pattern == pattern && m.flags == flags {
		return m.compiled, nil
	}
	compiled, err := are.Compile(pattern, strings.ReplaceAll(flags, "g", ""))
	if err == nil {
		c.Memo = &memo{pattern, flags, compiled}
	}
	return compiled, err
}

// patternOf compiles a pattern and its optional flags, of which g is for those only that look
// for one match or all.
func patternOf(c *schema.Call, a []value, flags int) (*are.Expression, error) {
	f := ""
	if flags < len(a) {
		f = a[flags].Text()
	}
	if strings.Contains(f, "g") {
		return nil, invalidParameter("%s() does not support the \"global\" option", c.Function.Name)
	}
	return remembered(c, a[1].Text(), f)
}

// limitOf are how many matches the flag g, or its absence, asks for.
func limitOf(a []value, flags int) int {
	if flags < len(a) && strings.Contains(a[flags].Text(), "g") {
		return -1
	}
	return 1
}

// flagsOf are optional flags.
func flagsOf(a []value, flags int) string {
	if flags < len(a) {
		return a[flags].Text()
	}
	return ""
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
				matches, err := p.Match(c.Ctx, a[0].Bytes)
				return boolean(matches != how.isNot), err
			}))
		}
	}
	for _, signature := range []string{"(text,text)", "(text,text,text)"} {
		out = append(out,
			call("regexp_like"+signature, func(c *schema.Call, a []value) (value, error) {
				p, err := patternOf(c, a, 2)
				if err != nil {
					return value{}, err
				}
				matches, err := p.Match(c.Ctx, a[0].Bytes)
				return boolean(matches), err
			}),
			call("regexp_match"+signature, func(c *schema.Call, a []value) (value, error) {
				p, err := patternOf(c, a, 2)
				if err != nil {
					return value{}, err
				}
				found, err := p.Find(c.Ctx, a[0].Bytes, 0, 1)
				if len(found) == 0 {
					return types.Null(), err
				}
				return groupsOf(a[0].Bytes, found[0]), nil
			}),
			list("regexp_matches"+signature, regexpMatches),
			call("regexp_split_to_array"+signature, func(c *schema.Call, a []value) (value, error) {
				parts, err := regexpSplit(c, a)
				return types.OfArray(parts), err
			}),
			list("regexp_split_to_table"+signature, func(c *schema.Call, a []value) ([]value, error) { return regexpSplit(c, a) }),
		)
	}
	return append(append(out, regexpsFrom()...),
		call("substring(text,text)", func(c *schema.Call, a []value) (value, error) {
			return regexpSubstring(c, a[0].Bytes, a[1].Text(), true)
		}),
		call("substring(text,text,text)", func(c *schema.Call, a []value) (value, error) {
			p, err := similarParts(a[1].Text(), a[2].Text())
			if err != nil {
				return value{}, err
			}
			found, err := are.Run(c.Ctx, p, a[0].Bytes)
			if found == nil || err != nil {
				return types.Null(), err
			}
			return partOf(a[0].Bytes, found, true), nil
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
	p, err := remembered(c, a[1].Text(), flagsOf(a, 2))
	if err != nil {
		return nil, err
	}
	found, err := p.Find(c.Ctx, a[0].Bytes, 0, limitOf(a, 2))
	if err != nil {
		return nil, err
	}
	out := make([]value, len(found))
	for i, m := range found {
		if err := c.Interrupted(i); err != nil {
			return nil, err
		}
		out[i] = groupsOf(a[0].Bytes, m)
	}
	return out, nil
}

func regexpSplit(c *schema.Call, a []value) ([]value, error) {
	p, err := patternOf(c, a, 2)
	if err != nil {
		return nil, err
	}
	s, start := a[0].Bytes, 0
	found, err := p.Find(c.Ctx, s, 0, -1)
	if err != nil {
		return nil, err
	}
	out := []value{}
	for i, m := range found {
		if err := c.Interrupted(i); err != nil {
			return nil, err
		}
		if m[1] == m[0] && (m[0] == start || m[0] == len(s)) {
			continue // an empty match at an end, or after another one, separates nothing
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
	found, err := p.Find(c.Ctx, s, 0, 1)
	if len(found) == 0 {
		return types.Null(), err
	}
	return partOf(s, found[0], usesGroup), nil
}

// partOf is a match, or its first group if it has groups and they are asked for.
func partOf(s []byte, found []int, usesGroup bool) value {
	if usesGroup && len(found) > 2 {
		found = found[2:]
	}
	if found[0] < 0 {
		return types.Null()
	}
	return bytesOf(s[found[0]:found[1]])
}
