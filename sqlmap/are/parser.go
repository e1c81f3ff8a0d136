package are

import (
	"slices"
	"strconv"
	"strings"
	"unicode"

	"pgcache/pgwire"
)

const (
	// repeatMax is PostgreSQL's bound of repetitions.
	repeatMax = 255
	// nestingMax bounds parentheses in each other.
	nestingMax = 200
)

// Errors of PostgreSQL's parser.
const (
	errEscape   = `invalid escape \ sequence`
	errBackref  = "invalid backreference number"
	errParen    = "parentheses () not balanced"
	errBracket  = "brackets [] not balanced"
	errBrace    = "braces {} not balanced"
	errRange    = "invalid character range"
	errClass    = "invalid character class"
	errCollate  = "invalid collating element"
	errRepeat   = "invalid repetition count(s)"
	errQuantity = "quantifier operand invalid"
	errOption   = "invalid embedded option"
)

func invalid(what string) error {
	return pgwire.Errorf(pgwire.CodeInvalidRegularExpression, "invalid regular expression: %s", what)
}

// flags are the options of an expression.
type flags struct {
	folds       bool // letters match whatever their case
	isLiteral   bool
	isExpanded  bool // white space and comments are none of it
	stopsAtLine bool // . and [^…] do not match a line end
	seesLines   bool // ^ and $ match at line ends
}

// set takes a letter of an option; false: there is none.
func (f *flags) set(letter rune) (bool, error) {
	switch letter {
	case 'i':
		f.folds = true
	case 'c':
		f.folds = false
	case 'n', 'm':
		f.stopsAtLine, f.seesLines = true, true
	case 's':
		f.stopsAtLine, f.seesLines = false, false
	case 'p':
		f.stopsAtLine, f.seesLines = true, false
	case 'w':
		f.stopsAtLine, f.seesLines = false, true
	case 'q':
		f.isLiteral = true
	case 'x':
		f.isExpanded = true
	case 't':
		f.isExpanded = false
	case 'b', 'e':
		return true, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "basic and extended regular expressions (option %c) are not supported", letter)
	default:
		return false, nil
	}
	return true, nil
}

// parser writes an expression in the syntax of an engine. Both understand the same syntax
// but for look-around, and what stands for it in word boundaries.
type parser struct {
	flags
	in      []rune
	at      int
	out     strings.Builder
	engine  engine
	open    []paren
	closed  []bool // of each capturing group
	mayRep  bool   // a quantifier may follow
	isLazy  bool   // there is a non-greedy quantifier
	isWord  bool   // what precedes ends with a word character
	outside bool   // it needs what package regexp has not
}

type engine uint8

const (
	linear engine = iota
	backtracking
)

// paren is an open parenthesis.
type paren struct {
	group      int // 0: not capturing
	isLook     bool
	insideLook bool
}

// directors reads what may stand before an expression: ***= and its like, and (?options).
func (p *parser) directors() error {
	text := string(p.in)
	switch {
	case strings.HasPrefix(text, "***="):
		p.isLiteral, p.at = true, 4
		return nil
	case strings.HasPrefix(text, "***:"):
		p.at = 4
	case strings.HasPrefix(text, "***"):
		return invalid(errQuantity)
	}
	if p.isLiteral || !p.follows("(?") || p.at+2 >= len(p.in) || !unicode.IsLetter(p.in[p.at+2]) {
		return nil
	}
	for p.at += 2; p.at < len(p.in) && p.in[p.at] != ')'; p.at++ {
		known, err := p.set(p.in[p.at])
		if err != nil {
			return err
		}
		if !known {
			return invalid(errOption)
		}
	}
	if p.at == len(p.in) {
		return invalid(errOption)
	}
	p.at++
	return nil
}

func (p *parser) follows(s string) bool {
	rest := p.in[p.at:]
	n := 0
	for _, r := range s {
		if n == len(rest) || rest[n] != r {
			return false
		}
		n++
	}
	return true
}

// peek is the next character, 0 at the end.
func (p *parser) peek() rune {
	if p.at < len(p.in) {
		return p.in[p.at]
	}
	return 0
}

// translate writes the whole expression.
func (p *parser) translate() error {
	if err := p.directors(); err != nil {
		return err
	}
	for p.at < len(p.in) {
		if p.isLiteral {
			p.literal(p.in[p.at])
			p.at++
			continue
		}
		if p.isExpanded && p.skipped() {
			continue
		}
		if err := p.token(); err != nil {
			return err
		}
	}
	if len(p.open) > 0 {
		return invalid(errParen)
	}
	return nil
}

// skipped passes white space and comments of an expanded expression.
func (p *parser) skipped() bool {
	switch r := p.in[p.at]; {
	case unicode.IsSpace(r):
		p.at++
		return true
	case r == '#':
		for p.at < len(p.in) && p.in[p.at] != '\n' {
			p.at++
		}
		return true
	}
	return false
}

// literal writes a character that stands for itself.
func (p *parser) literal(r rune) {
	p.out.WriteString(quoted(r))
	p.mayRep, p.isWord = true, isWordRune(r)
}

func quoted(r rune) string {
	if r < unicode.MaxASCII && (unicode.IsPunct(r) || unicode.IsSymbol(r)) && r != '_' {
		return `\` + string(r)
	}
	return string(r)
}

func isWordRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// atom writes what a quantifier may follow; constraint what none may.
func (p *parser) atom(s string) {
	p.out.WriteString(s)
	p.mayRep, p.isWord = true, false
}

func (p *parser) constraint(s string) {
	p.out.WriteString(s)
	p.mayRep, p.isWord = false, false
}

// token writes the next part of an expression.
func (p *parser) token() error {
	r := p.in[p.at]
	switch r {
	case '\\':
		return p.escape()
	case '[':
		return p.bracket()
	case '(':
		return p.openParen()
	case ')':
		return p.closeParen()
	case '*', '+', '?':
		p.at++
		return p.quantifier(string(r), r != '+')
	case '{':
		if p.at+1 < len(p.in) && unicode.IsDigit(p.in[p.at+1]) {
			return p.bound()
		}
	}
	p.at++
	switch r {
	case '|':
		p.constraint("|")
	case '.':
		p.atom(p.anyRune())
	case '^':
		p.constraint(p.either(p.seesLines, "(?m:^)", `\A`))
	case '$':
		p.constraint(p.either(p.seesLines, "(?m:$)", `\z`))
	default:
		p.literal(r)
	}
	return nil
}

func (p *parser) either(which bool, yes, no string) string {
	if which {
		return yes
	}
	return no
}

func (p *parser) anyRune() string { return p.either(p.stopsAtLine, `[^\n]`, `(?s:.)`) }

// quantifier writes a quantifier, with the ? that makes it non-greedy.
func (p *parser) quantifier(s string, mayBeNone bool) error {
	if !p.mayRep {
		return invalid(errQuantity)
	}
	if p.peek() == '?' {
		p.at++
		p.isLazy = true
		s += "?"
	}
	p.out.WriteString(s)
	p.mayRep = false
	p.isWord = p.isWord && !mayBeNone
	return nil
}

// bound reads {m}, {m,} and {m,n}.
func (p *parser) bound() error {
	end := slices.Index(p.in[p.at:], '}')
	if end < 0 {
		return invalid(errBrace)
	}
	text := string(p.in[p.at+1 : p.at+end])
	low, high, isRange := strings.Cut(text, ",")
	m, err := strconv.ParseUint(low, 10, 16)
	n := m
	if err == nil && high != "" {
		n, err = strconv.ParseUint(high, 10, 16)
	}
	if err != nil || m > repeatMax || n > repeatMax || m > n && isRange && high != "" {
		return invalid(errRepeat)
	}
	p.at += end + 1
	return p.quantifier("{"+text+"}", m == 0)
}

func (p *parser) openParen() error {
	if len(p.open) == nestingMax {
		return pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "regular expression is nested more than %d deep", nestingMax)
	}
	inside := len(p.open) > 0 && (p.open[len(p.open)-1].isLook || p.open[len(p.open)-1].insideLook)
	next := paren{insideLook: inside}
	switch {
	case p.follows("(?#"):
		for p.at < len(p.in) && p.in[p.at] != ')' {
			p.at++
		}
		p.at = min(p.at+1, len(p.in))
		return nil
	case p.follows("(?:"):
		p.at += 3
		p.constraint("(?:")
	case p.follows("(?="), p.follows("(?!"), p.follows("(?<="), p.follows("(?<!"):
		n := 3
		if p.in[p.at+2] == '<' {
			n = 4
		}
		p.constraint(string(p.in[p.at : p.at+n]))
		p.at += n
		p.outside, next.isLook = true, true
	case p.follows("(?"):
		return invalid(errQuantity)
	case inside:
		p.at++
		p.constraint("(?:")
	default:
		p.at++
		p.constraint("(")
		p.closed = append(p.closed, false)
		next.group = len(p.closed)
	}
	p.open = append(p.open, next)
	return nil
}

func (p *parser) closeParen() error {
	if len(p.open) == 0 {
		return invalid(errParen)
	}
	last := p.open[len(p.open)-1]
	p.open = p.open[:len(p.open)-1]
	p.at++
	if last.group > 0 {
		p.closed[last.group-1] = true
	}
	if last.isLook {
		p.constraint(")")
	} else {
		p.atom(")")
	}
	return nil
}
