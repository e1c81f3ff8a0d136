package sqlmap

import "strings"

// literal is a constant of a text that was lifted out of it.
type literal struct {
	start, end int // in the text, quotes included
	isInteger  bool
	isDoubled  bool // it has doubled quotes
}

// value is what the literal of a text says.
func (l *literal) appendValue(dst []byte, sql string) []byte {
	if l.isInteger {
		return append(dst, sql[l.start:l.end]...)
	}
	text := sql[l.start+1 : l.end-1]
	if !l.isDoubled {
		return append(dst, text...)
	}
	for i := 0; i < len(text); i++ {
		dst = append(dst, text[i])
		if text[i] == '\'' {
			i++
		}
	}
	return dst
}

// Marks of lifted literals in a shape, after a zero byte, which no text has.
const (
	markString  = '\''
	markInteger = '#'
)

// literalsMax bounds what is lifted out of one text; more go to the parser.
const literalsMax = 256

// integerDigitsMax: so many digits always fit an int4.
const integerDigitsMax = 9

// lifter reads texts as PostgreSQL's scanner does and lifts constants out of them, so that
// texts that differ in these only have one shape, and one plan. It knows little, and
// whatever it is not sure of it leaves to the parser. Its memory is used again.
type lifter struct {
	sql      string
	shape    []byte // the text, with marks in place of the literals
	literals []literal

	lastWord    string
	noIntegers  bool // an integer may be an ordinal, a row count or part of a type from here on
	atWordStart bool
}

// lift scans a text. It reports false for one that it does not understand or that has no
// literals to lift.
func (l *lifter) lift(sql string) bool {
	*l = lifter{sql: sql, shape: append(l.shape[:0], planOfShape), literals: l.literals[:0]}
	if !startsLiftable(sql) {
		return false
	}
	for i := 0; i < len(sql); {
		next := l.token(i)
		if next < 0 || len(l.literals) > literalsMax {
			return false
		}
		i = next
	}
	return len(l.literals) > 0
}

// startsLiftable reports the commands that read and write entries.
func startsLiftable(sql string) bool {
	start := 0
	for start < len(sql) && isSpace(sql[start]) {
		start++
	}
	if len(sql)-start < 6 {
		return false
	}
	switch word := sql[start : start+6]; sql[start] | 0x20 {
	case 's':
		return strings.EqualFold(word, "select")
	case 'i':
		return strings.EqualFold(word, "insert")
	case 'u':
		return strings.EqualFold(word, "update")
	case 'd':
		return strings.EqualFold(word, "delete")
	case 'c':
		return strings.EqualFold(word[:5], "call ")
	}
	return false
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func isWord(c byte) bool { return isWordStart(c) || isDigit(c) || c == '$' }

// token consumes the token at i and returns where the next one begins; negative gives up.
func (l *lifter) token(i int) int {
	c := l.sql[i]
	switch {
	case c == '\'':
		return l.stringLiteral(i)
	case isWordStart(c):
		return l.word(i)
	case isDigit(c):
		return l.integer(i)
	case c == '"':
		end := i + quotedSize(l.sql[i:], '"', false)
		l.lastWord = ""
		l.shape = append(l.shape, l.sql[i:end]...)
		if end < len(l.sql) && (l.sql[end] == '\'' || isWord(l.sql[end])) {
			return -1
		}
		return end
	case c == '$' || c == 0:
		return -1
	case c == ';':
		if strings.Trim(l.sql[i:], "; \t\r\n") != "" {
			return -1
		}
		return len(l.sql)
	case isSpace(c):
		l.shape = append(l.shape, c)
		return i + 1
	}
	return l.operator(i)
}

func (l *lifter) operator(i int) int {
	c := l.sql[i]
	next := byte(0)
	if i+1 < len(l.sql) {
		next = l.sql[i+1]
	}
	switch {
	case c == '-' && next == '-', c == '.' && isDigit(next):
		return -1
	case c == '/' && next == '*':
		size := strings.Index(l.sql[i+2:], "*/")
		if size < 0 || strings.Contains(l.sql[i+2:i+2+size], "/*") {
			return -1
		}
		l.shape = append(l.shape, ' ')
		return i + 2 + size + 2
	case c == ':' && next == ':':
		l.noIntegers = true
	}
	l.lastWord = ""
	l.shape = append(l.shape, c)
	return i + 1
}

func (l *lifter) word(i int) int {
	end := i + 1
	for end < len(l.sql) && isWord(l.sql[end]) {
		end++
	}
	if end < len(l.sql) && (l.sql[end] == '\'' || l.sql[end] == '&') {
		return -1 // E'', B'', X'', N'', U&''
	}
	word := l.sql[i:end]
	switch len(word) {
	case 4:
		l.noIntegers = l.noIntegers || strings.EqualFold(word, "cast")
	case 5:
		l.noIntegers = l.noIntegers || strings.EqualFold(word, "order") || strings.EqualFold(word, "group") ||
			strings.EqualFold(word, "limit") || strings.EqualFold(word, "fetch")
	case 6:
		l.noIntegers = l.noIntegers || strings.EqualFold(word, "offset")
	}
	l.lastWord = word
	l.shape = append(l.shape, word...)
	return end
}

func (l *lifter) integer(i int) int {
	end := i + 1
	for end < len(l.sql) && isDigit(l.sql[end]) {
		end++
	}
	if end < len(l.sql) && (isWord(l.sql[end]) || l.sql[end] == '.' || l.sql[end] == '\'') {
		return -1
	}
	l.lastWord = ""
	if l.noIntegers || end-i > integerDigitsMax {
		l.shape = append(l.shape, l.sql[i:end]...)
		return end
	}
	l.literals = append(l.literals, literal{start: i, end: end, isInteger: true})
	l.shape = append(l.shape, 0, markInteger)
	return end
}

func (l *lifter) stringLiteral(i int) int {
	size := quotedSize(l.sql[i:], '\'', false)
	end := i + size
	if size < 2 || l.sql[end-1] != '\'' || end < len(l.sql) && isWord(l.sql[end]) {
		return -1
	}
	text := l.sql[i+1 : end-1]
	isDoubled := strings.IndexByte(text, '\'') >= 0
	if isDoubled && strings.Count(text, "'")%2 != 0 {
		return -1 // not terminated
	}
	if isTypeWord(l.lastWord) {
		l.shape = append(l.shape, l.sql[i:end]...) // interval '1 day'
	} else {
		l.literals = append(l.literals, literal{start: i, end: end, isDoubled: isDoubled})
		l.shape = append(l.shape, 0, markString)
	}
	l.lastWord = ""
	return end
}

// isTypeWord reports words that make a literal behind them one of that type.
func isTypeWord(word string) bool {
	switch strings.ToLower(word) {
	case "interval", "date", "time", "timetz", "timestamp", "timestamptz", "zone", "bytea", "text", "json", "jsonb", "bool", "boolean":
		return true
	}
	return false
}

// parametrised is the text with numbered parameters in place of the literals.
func (l *lifter) parametrised() string {
	var out strings.Builder
	at := 0
	for i, lit := range l.literals {
		out.WriteString(l.sql[at:lit.start])
		out.WriteString(parameter(i + 1))
		at = lit.end
	}
	out.WriteString(l.sql[at:])
	return out.String()
}
