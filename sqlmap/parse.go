package sqlmap

import (
	"errors"
	"strings"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v5"
	"github.com/pganalyze/pg_query_go/v5/parser"

	"pgcache/pgwire"
)

// nestingMax bounds the depth of a parse tree, in tokens. The parser is C and recurses: at
// 100,000 levels it overflows an 8 MiB stack and takes the process with it.
const nestingMax = 4000

// parse parses the statements of a text.
func (h *Handler) parse(sql string) ([]*pg_query.RawStmt, error) {
	if len(sql) > h.limits.StatementBytesMax {
		e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "statement is too long")
		e.Detail = formatLimit(int64(len(sql)), int64(h.limits.StatementBytesMax), "bytes", "")
		e.Hint = "Send values as parameters instead of literals."
		return nil, e
	}
	if nesting(sql) > nestingMax {
		e := pgwire.Errorf(pgwire.CodeStatementTooComplex, "stack depth limit exceeded")
		e.Hint = "Split the statement, or pass lists as array parameters."
		return nil, e
	}
	tree, err := pg_query.Parse(sql)
	if err != nil {
		return nil, parseError(sql, err)
	}
	return tree.Stmts, nil
}

// parseError makes of the parser's error what PostgreSQL would have sent.
func parseError(sql string, err error) error {
	var p *parser.Error
	if !errors.As(err, &p) {
		// The tree could not be decoded: it is deeper than protobuf allows.
		e := pgwire.Errorf(pgwire.CodeStatementTooComplex, "stack depth limit exceeded")
		e.Cause = err
		return e
	}
	e := pgwire.Errorf(pgwire.CodeSyntaxError, "%s", p.Message)
	e.Position = min(p.Cursorpos, utf8.RuneCountInString(sql)+1)
	switch {
	case strings.HasPrefix(p.Message, "stack depth"), strings.HasPrefix(p.Message, "memory exhausted"):
		e.Code = pgwire.CodeStatementTooComplex
	case strings.HasPrefix(p.Message, "invalid byte sequence"):
		e.Code = pgwire.CodeCharacterNotInRepertoire
	case strings.Contains(p.Message, "not supported") || strings.Contains(p.Message, "not implemented"):
		e.Code = pgwire.CodeFeatureNotSupported
		e.Hint = generalHint
	}
	return e
}

// position turns an error's byte offset into characters (invariant Q5 of package query).
func position(sql string, err error) error {
	var e *pgwire.Error
	if errors.As(err, &e) && e.Position > 0 {
		e.Position = utf8.RuneCountInString(sql[:min(e.Position-1, len(sql))]) + 1
	}
	return err
}

// nesting is an upper bound of the depth of the tree that a text parses to: within
// parentheses or brackets, each token but a literal or a comma may nest the ones before
// it once more. It reads strings, identifiers and comments as PostgreSQL's scanner does;
// where it could be wrong, it counts more.
func nesting(sql string) int {
	type frame struct{ tokens, deepest int }
	stack := make([]frame, 1, 16)
	sum := 0 // of tokens in all open frames
	worst := 0
	// Outside of parentheses a comma ends an item only if the item has no words: set
	// operations and joins nest across commas, rows of VALUES do not.
	itemTokens, itemHasWord := 0, false
	count := func() {
		stack[len(stack)-1].tokens++
		if len(stack) == 1 {
			itemTokens++
		}
		sum++
		worst = max(worst, sum+stack[len(stack)-1].deepest)
	}
	for i := 0; i < len(sql); {
		c := sql[i]
		switch {
		case c == '(' || c == '[':
			count()
			stack = append(stack, frame{})
			i++
		case (c == ')' || c == ']') && len(stack) > 1:
			inner := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			sum -= inner.tokens
			outer := &stack[len(stack)-1]
			outer.deepest = max(outer.deepest, inner.tokens+inner.deepest)
			i++
		case c == ',' && len(stack) > 1:
			inner := &stack[len(stack)-1]
			inner.deepest = max(inner.deepest, inner.tokens)
			sum -= inner.tokens
			inner.tokens = 0
			i++
		case c == ',':
			if !itemHasWord {
				stack[0].tokens -= itemTokens
				sum -= itemTokens
			}
			itemTokens, itemHasWord = 0, false
			i++
		case c == ';' && len(stack) == 1:
			stack[0], sum, itemTokens, itemHasWord = frame{}, 0, 0, false
			i++
		default:
			size, counts := scanToken(sql[i:])
			if counts {
				count()
				itemHasWord = itemHasWord || len(stack) == 1 && (isWordStart(c) || c == '"')
			}
			i += size
		}
		if worst > nestingMax {
			return worst
		}
	}
	return worst
}

// scanToken measures the token at the beginning of s. counts is false for literals and space.
func scanToken(s string) (size int, counts bool) {
	switch c := s[0]; {
	case strings.HasPrefix(s, "--"):
		if end := strings.IndexAny(s, "\r\n"); end >= 0 {
			return end, false
		}
		return len(s), false
	case strings.HasPrefix(s, "/*"):
		return commentSize(s), false
	case c == '\'':
		return quotedSize(s, '\'', false), false
	case c == '"':
		return quotedSize(s, '"', false), true
	case (c == 'e' || c == 'E') && len(s) > 1 && s[1] == '\'':
		return 1 + escapedSize(s[1:]), false
	case isWordStart(c):
		end := 1
		for end < len(s) && (isWordStart(s[end]) || s[end] >= '0' && s[end] <= '9' || s[end] == '$') {
			end++
		}
		return end, true
	case c >= '0' && c <= '9', c == '$':
		return numberSize(s)
	case c == ' ', c == '\t', c == '\n', c == '\r', c == '\f', c == '\v', c == ',', c == '.':
		return 1, false
	}
	return 1, true
}

func isWordStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

// numberSize measures a number, a parameter or a dollar-quoted string.
func numberSize(s string) (size int, counts bool) {
	if s[0] == '$' {
		end := 1
		for end < len(s) && (isWordStart(s[end]) || end > 1 && s[end] >= '0' && s[end] <= '9') {
			end++
		}
		if end < len(s) && s[end] == '$' {
			tag := s[:end+1]
			if close := strings.Index(s[end+1:], tag); close >= 0 {
				return end + 1 + close + len(tag), false
			}
			return len(s), false
		}
		return 1, false
	}
	end := 1
	for end < len(s) && s[end] >= '0' && s[end] <= '9' {
		end++
	}
	return end, false
}

// quotedSize measures a string in which the quote is doubled.
func quotedSize(s string, quote byte, escapes bool) int {
	for i := 1; i < len(s); i++ {
		switch {
		case escapes && s[i] == '\\':
			i++
		case s[i] == quote && i+1 < len(s) && s[i+1] == quote:
			i++
		case s[i] == quote:
			return i + 1
		}
	}
	return len(s)
}

// escapedSize measures an E” string with its continuations on later lines, in which
// backslashes escape, too.
func escapedSize(s string) int {
	size := quotedSize(s, '\'', true)
	for size < len(s) {
		next := size
		for next < len(s) {
			if strings.HasPrefix(s[next:], "--") {
				skip, _ := scanToken(s[next:])
				next += skip
			} else if strings.IndexByte(" \t\n\r\f\v", s[next]) >= 0 {
				next++
			} else {
				break
			}
		}
		if next >= len(s) || s[next] != '\'' {
			return size
		}
		size = next + quotedSize(s[next:], '\'', true)
	}
	return min(size, len(s))
}

func commentSize(s string) int {
	depth := 0
	for i := 0; i < len(s); i++ {
		switch {
		case strings.HasPrefix(s[i:], "/*"):
			depth++
			i++
		case strings.HasPrefix(s[i:], "*/"):
			depth--
			i++
			if depth == 0 {
				return i + 1
			}
		}
	}
	return len(s)
}
