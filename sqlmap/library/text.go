package library

import (
	"bytes"
	"strings"
	"unicode"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

func texts() []implementation {
	characters := func(a []value) (value, error) { return number(int64(utf8.RuneCount(a[0].Bytes))), nil }
	size := func(a []value) (value, error) { return number(int64(len(a[0].Bytes))), nil }
	concat := func(a []value) (value, error) {
		out := make([]byte, 0, len(a[0].Bytes)+len(a[1].Bytes))
		return bounded(append(append(out, a[0].Bytes...), a[1].Bytes...))
	}
	out := []implementation{
		pure("upper(text)", func(a []value) (value, error) { return bytesOf(bytes.ToUpper(a[0].Bytes)), nil }),
		pure("lower(text)", func(a []value) (value, error) { return bytesOf(bytes.ToLower(a[0].Bytes)), nil }),
		pure("initcap(text)", func(a []value) (value, error) { return text(initialCapitals(a[0].Text())), nil }),
		pure("length(bytea)", size), pure("octet_length(bytea)", size), pure("octet_length(text)", size), pure("octet_length(bpchar)", size),
		pure("bit_length(text)", func(a []value) (value, error) { return number(int64(8 * len(a[0].Bytes))), nil }),
		pure("bit_length(bytea)", func(a []value) (value, error) { return number(int64(8 * len(a[0].Bytes))), nil }),
		pure("textcat(text,text)", concat), pure("byteacat(bytea,bytea)", concat),
		call("textanycat(text,anynonarray)", func(c *schema.Call, a []value) (value, error) {
			return bounded(append(bytes.Clone(a[0].Bytes), outputOf(c, 1, a[1])...))
		}),
		call("anytextcat(anynonarray,text)", func(c *schema.Call, a []value) (value, error) {
			return bounded(append(outputOf(c, 0, a[0]), a[1].Bytes...))
		}),
		pure("replace(text,text,text)", replace),
		pure("repeat(text,int4)", func(a []value) (value, error) {
			n := max(a[1].Int, 0)
			if n*int64(len(a[0].Bytes)) > resultBytesMax {
				return value{}, errTooLong()
			}
			return bytesOf(bytes.Repeat(a[0].Bytes, int(n))), nil
		}),
		pure("reverse(text)", func(a []value) (value, error) {
			out := make([]byte, 0, len(a[0].Bytes))
			for rest := a[0].Bytes; len(rest) > 0; {
				_, size := utf8.DecodeLastRune(rest)
				out = append(out, rest[len(rest)-size:]...)
				rest = rest[:len(rest)-size]
			}
			return bytesOf(out), nil
		}),
		pure("translate(text,text,text)", translate),
		pure("ascii(text)", func(a []value) (value, error) {
			if len(a[0].Bytes) == 0 {
				return number(0), nil
			}
			r, _ := utf8.DecodeRune(a[0].Bytes)
			return number(int64(r)), nil
		}),
		pure("chr(int4)", chr),
		{Signature: "concat(any)", Call: func(c *schema.Call, a []value) (value, error) { return concatenate(c, nil, 0, a) }},
		{Signature: "concat_ws(text,any)", Call: func(c *schema.Call, a []value) (value, error) {
			if a[0].IsNull {
				return a[0], nil
			}
			return concatenate(c, a[0].Bytes, 1, a)
		}},
	}
	for _, name := range []string{"length", "char_length", "character_length"} {
		out = append(out, pure(name+"(text)", characters), pure(name+"(bpchar)", func(a []value) (value, error) {
			return number(int64(utf8.RuneCount(bytes.TrimRight(a[0].Bytes, " ")))), nil
		}))
	}
	return append(out, pure("textlen(text)", characters))
}

// outputOf is the text of an argument of any type.
func outputOf(c *schema.Call, i int, v value) []byte {
	return types.AppendText(nil, argumentType(c, i), v, &c.Style)
}

// concatenate joins the texts of arguments from the first one on, NULLs left out.
func concatenate(c *schema.Call, separator []byte, first int, a []value) (value, error) {
	items, typeOf := a[first:], func(i int) types.OID { return argumentType(c, first+i) }
	if c.SpreadsArray {
		last := a[len(a)-1]
		if last.IsNull {
			return last, nil
		}
		elem := argumentType(c, len(a)-1).Elem()
		items, typeOf = last.Elems, func(int) types.OID { return elem }
	}
	out, any := []byte{}, false
	for i, v := range items {
		if v.IsNull {
			continue
		}
		if any {
			out = append(out, separator...)
		}
		out, any = types.AppendText(out, typeOf(i), v, &c.Style), true
		if len(out) > resultBytesMax {
			return value{}, errTooLong()
		}
	}
	return bytesOf(out), nil
}

func initialCapitals(s string) string {
	inWord := false
	return strings.Map(func(r rune) rune {
		isWord := unicode.IsLetter(r) || unicode.IsDigit(r)
		first := isWord && !inWord
		inWord = isWord
		if first {
			return unicode.ToUpper(r)
		}
		return unicode.ToLower(r)
	}, s)
}

func replace(a []value) (value, error) {
	s, from, to := a[0].Bytes, a[1].Bytes, a[2].Bytes
	if len(from) == 0 {
		return a[0], nil
	}
	if n := bytes.Count(s, from); len(s)+n*(len(to)-len(from)) > resultBytesMax {
		return value{}, errTooLong()
	}
	return bytesOf(bytes.ReplaceAll(s, from, to)), nil
}

func translate(a []value) (value, error) {
	from, to := []rune(a[1].Text()), []rune(a[2].Text())
	table := make(map[rune]rune, len(from))
	for i, r := range from {
		if _, ok := table[r]; ok {
			continue
		}
		table[r] = -1 // removed
		if i < len(to) {
			table[r] = to[i]
		}
	}
	return text(strings.Map(func(r rune) rune {
		if other, ok := table[r]; ok {
			return other
		}
		return r
	}, a[0].Text())), nil
}

func chr(a []value) (value, error) {
	switch n := a[0].Int; {
	case n == 0:
		return value{}, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "null character not permitted")
	case n < 0:
		return value{}, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "character number must be positive")
	case n > unicode.MaxRune || !utf8.ValidRune(rune(n)):
		return value{}, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "requested character not valid for encoding: %d", n)
	default:
		return text(string(rune(n))), nil
	}
}

// paddings are the functions that cut and fill.
func paddings() []implementation {
	var out []implementation
	for name, trim := range map[string]func([]byte, string) []byte{"btrim": bytes.Trim, "ltrim": bytes.TrimLeft, "rtrim": bytes.TrimRight} {
		out = append(out,
			pure(name+"(text)", func(a []value) (value, error) { return bytesOf(trim(a[0].Bytes, " ")), nil }),
			pure(name+"(text,text)", func(a []value) (value, error) { return bytesOf(trim(a[0].Bytes, a[1].Text())), nil }))
	}
	for name, isLeft := range map[string]bool{"lpad": true, "rpad": false} {
		out = append(out,
			pure(name+"(text,int4)", func(a []value) (value, error) { return pad(a[0].Text(), a[1].Int, " ", isLeft) }),
			pure(name+"(text,int4,text)", func(a []value) (value, error) { return pad(a[0].Text(), a[1].Int, a[2].Text(), isLeft) }))
	}
	for _, name := range []string{"substr", "substring"} {
		out = append(out,
			pure(name+"(text,int4)", func(a []value) (value, error) { return characters(a[0].Bytes, a[1].Int, 1<<40), nil }),
			pure(name+"(text,int4,int4)", func(a []value) (value, error) { return cut(a, characters) }),
			pure(name+"(bytea,int4)", func(a []value) (value, error) { return octets(a[0].Bytes, a[1].Int, 1<<40), nil }),
			pure(name+"(bytea,int4,int4)", func(a []value) (value, error) { return cut(a, octets) }))
	}
	return append(out,
		pure("left(text,int4)", func(a []value) (value, error) {
			n := a[1].Int
			if n < 0 {
				n = max(int64(utf8.RuneCount(a[0].Bytes))+n, 0)
			}
			return characters(a[0].Bytes, 1, n), nil
		}),
		pure("right(text,int4)", func(a []value) (value, error) {
			n, length := a[1].Int, int64(utf8.RuneCount(a[0].Bytes))
			if n < 0 {
				n = max(length+n, 0)
			}
			return characters(a[0].Bytes, max(length-n, 0)+1, length), nil
		}),
		pure("overlay(text,text,int4)", func(a []value) (value, error) { return overlay(a, int64(utf8.RuneCount(a[1].Bytes))) }),
		pure("overlay(text,text,int4,int4)", func(a []value) (value, error) { return overlay(a, a[3].Int) }))
}

func overlay(a []value, length int64) (value, error) {
	from := a[2].Int
	if from <= 0 {
		return value{}, pgwire.Errorf(pgwire.CodeSubstringError, "negative substring length not allowed")
	}
	before, after := characters(a[0].Bytes, 1, from-1), characters(a[0].Bytes, from+length, 1<<40)
	return bounded(bytes.Join([][]byte{before.Bytes, a[1].Bytes, after.Bytes}, nil))
}

func pad(s string, length int64, fill string, isLeft bool) (value, error) {
	if length*4 > resultBytesMax {
		return value{}, errTooLong()
	}
	have := []rune(s)
	missing := int(length) - len(have)
	filling := []rune(fill)
	if length < 0 {
		return text(""), nil
	}
	if missing <= 0 {
		return text(string(have[:length])), nil
	}
	if len(filling) == 0 {
		return text(s), nil
	}
	extra := make([]rune, missing)
	for i := range extra {
		extra[i] = filling[i%len(filling)]
	}
	if isLeft {
		return text(string(extra) + s), nil
	}
	return text(s + string(extra)), nil
}

// cut is substring(s, from, length).
func cut(a []value, part func(s []byte, from, to int64) value) (value, error) {
	if a[2].Int < 0 {
		return value{}, pgwire.Errorf(pgwire.CodeSubstringError, "negative substring length not allowed")
	}
	return part(a[0].Bytes, a[1].Int, a[1].Int+a[2].Int-1), nil
}

// characters are those from..to, counted from 1.
func characters(s []byte, from, to int64) value {
	start, position := len(s), int64(1)
	for i := 0; i < len(s); position++ {
		if position > to {
			return bytesOf(s[min(start, i):i])
		}
		if position == max(from, 1) {
			start = i
		}
		_, size := utf8.DecodeRune(s[i:])
		i += size
	}
	return bytesOf(s[start:])
}

func octets(s []byte, from, to int64) value {
	from, to = max(from, 1), min(to, int64(len(s)))
	if from > to {
		return bytesOf([]byte{})
	}
	return bytesOf(s[from-1 : to])
}

// searches are the functions that look for a text in a text.
func searches() []implementation {
	position := func(a []value) (value, error) {
		at := bytes.Index(a[0].Bytes, a[1].Bytes)
		if at < 0 {
			return number(0), nil
		}
		return number(int64(utf8.RuneCount(a[0].Bytes[:at]) + 1)), nil
	}
	startsWith := func(a []value) (value, error) { return boolean(bytes.HasPrefix(a[0].Bytes, a[1].Bytes)), nil }
	return []implementation{
		pure("strpos(text,text)", position), pure("position(text,text)", position),
		pure("position(bytea,bytea)", func(a []value) (value, error) { return number(int64(bytes.Index(a[0].Bytes, a[1].Bytes) + 1)), nil }),
		pure("starts_with(text,text)", startsWith),
		pure("split_part(text,text,int4)", splitPart),
		call("string_to_array(text,text)", func(c *schema.Call, a []value) (value, error) { return stringToArray(c, a[0], a[1], types.Null()) }),
		call("string_to_array(text,text,text)", func(c *schema.Call, a []value) (value, error) { return stringToArray(c, a[0], a[1], a[2]) }),
		list("string_to_table(text,text)", func(c *schema.Call, a []value) ([]value, error) {
			v, err := stringToArray(c, a[0], a[1], types.Null())
			return v.Elems, err
		}),
		list("string_to_table(text,text,text)", func(c *schema.Call, a []value) ([]value, error) {
			v, err := stringToArray(c, a[0], a[1], a[2])
			return v.Elems, err
		}),
	}
}

func splitPart(a []value) (value, error) {
	n := a[2].Int
	if n == 0 {
		return value{}, invalidParameter("field position must not be zero")
	}
	parts := [][]byte{a[0].Bytes}
	if len(a[1].Bytes) > 0 && len(a[0].Bytes) > 0 {
		parts = bytes.Split(a[0].Bytes, a[1].Bytes)
	}
	if n < 0 {
		n += int64(len(parts)) + 1
	}
	if n < 1 || n > int64(len(parts)) {
		return text(""), nil
	}
	return bytesOf(parts[n-1]), nil
}

// stringToArray splits at a separator; NULL separates all characters, and what equals
// asNull becomes NULL.
func stringToArray(c *schema.Call, s, separator, asNull value) (value, error) {
	if s.IsNull {
		return s, nil
	}
	elems := []value{}
	for rest := s.Bytes; len(s.Bytes) > 0; {
		if err := c.Interrupted(len(elems)); err != nil {
			return value{}, err
		}
		end, next := len(rest), -1
		switch {
		case separator.IsNull:
			if _, end = utf8.DecodeRune(rest); end < len(rest) {
				next = end
			}
		case len(separator.Bytes) > 0:
			if at := bytes.Index(rest, separator.Bytes); at >= 0 {
				end, next = at, at+len(separator.Bytes)
			}
		}
		v := bytesOf(rest[:end])
		if !asNull.IsNull && bytes.Equal(v.Bytes, asNull.Bytes) {
			v = types.Null()
		}
		if elems = append(elems, v); next < 0 {
			break
		}
		rest = rest[next:]
	}
	return types.OfArray(elems), nil
}
