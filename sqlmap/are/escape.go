package are

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The parts of a class that escapes stand for, and those that they exclude.
const (
	digits    = `0-9`
	spaces    = "\t-\r "
	words     = `0-9A-Z_a-z`
	notDigits = "\x00-/:-\U0010ffff"
	notSpaces = "\x00-\x08\x0e-\x1f!-\U0010ffff"
	notWords  = "\x00-/:-@\\[-\\^`{-\U0010ffff"
)

// classEscape is what \d and its like stand for, as a part of a class; "" for others.
func classEscape(r rune) string {
	switch r {
	case 'd':
		return digits
	case 's':
		return spaces
	case 'w':
		return words
	case 'D':
		return notDigits
	case 'S':
		return notSpaces
	case 'W':
		return notWords
	}
	return ""
}

// escape writes what begins with a backslash, outside of brackets.
func (p *parser) escape() error {
	p.at++
	if p.at == len(p.in) {
		return invalid(errEscape)
	}
	r := p.in[p.at]
	if class := classEscape(r); class != "" {
		p.at++
		p.atom("[" + class + "]")
		p.isWord = r == 'w' || r == 'd'
		return nil
	}
	switch r {
	case 'A':
		p.constraint(`\A`)
	case 'Z':
		p.constraint(`\z`)
	case 'y':
		p.wordConstraint(`\b`, `(?:(?<=[`+words+`])(?![`+words+`])|(?<![`+words+`])(?=[`+words+`]))`)
	case 'Y':
		p.wordConstraint(`\B`, `(?:(?<=[`+words+`])(?=[`+words+`])|(?<![`+words+`])(?![`+words+`]))`)
	case 'm':
		p.at++
		p.wordBegins()
		return nil
	case 'M':
		p.wordEnds()
	default:
		if r >= '1' && r <= '9' {
			if done, err := p.backReference(); done || err != nil {
				return err
			}
		}
		r, err := p.escapedRune()
		if err != nil {
			return err
		}
		p.literal(r)
		return nil
	}
	p.at++
	return nil
}

// wordConstraint writes a word boundary: package regexp has those of ASCII, the other engine
// has only others.
func (p *parser) wordConstraint(plain, lookAround string) {
	p.constraint(p.either(p.engine == linear, plain, lookAround))
}

// wordBegins writes \m, for which package regexp has \b if a word character follows.
func (p *parser) wordBegins() {
	rest := p.in[p.at:]
	isBoundary := len(rest) > 0 && isWordRune(rest[0]) && (len(rest) == 1 || !strings.ContainsRune("*?{", rest[1]))
	p.outside = p.outside || !isBoundary
	p.wordConstraint(`\b`, `(?<![`+words+`])(?=[`+words+`])`)
}

// wordEnds writes \M, for which package regexp has \b if a word character precedes.
func (p *parser) wordEnds() {
	p.outside = p.outside || !p.isWord
	p.wordConstraint(`\b`, `(?<=[`+words+`])(?![`+words+`])`)
}

// backReference writes \N; false if the digits are those of a character.
func (p *parser) backReference() (bool, error) {
	end := p.at
	for end < len(p.in) && unicode.IsDigit(p.in[end]) && end < p.at+3 {
		end++
	}
	n, _ := strconv.Atoi(string(p.in[p.at:end]))
	if n > len(p.closed) && end > p.at+1 && p.in[p.at] < '8' {
		return false, nil
	}
	if n > len(p.closed) {
		end = p.at + 1
		n = int(p.in[p.at] - '0')
	}
	insideLook := len(p.open) > 0 && (p.open[len(p.open)-1].isLook || p.open[len(p.open)-1].insideLook)
	if n > len(p.closed) || !p.closed[n-1] || insideLook {
		return true, invalid(errBackref)
	}
	p.at = end
	p.outside = true
	p.atom(`(?:\` + strconv.Itoa(n) + `)`)
	return true, nil
}

// escapedRune reads the character that an escape stands for; p.at is behind the backslash.
func (p *parser) escapedRune() (rune, error) {
	r := p.in[p.at]
	p.at++
	switch r {
	case 'a':
		return '\a', nil
	case 'b':
		return '\b', nil
	case 'B':
		return '\\', nil
	case 'c':
		if p.at == len(p.in) {
			return 0, invalid(errEscape)
		}
		p.at++
		return p.in[p.at-1] & 0o37, nil
	case 'e':
		return '\x1b', nil
	case 'f':
		return '\f', nil
	case 'n':
		return '\n', nil
	case 'r':
		return '\r', nil
	case 't':
		return '\t', nil
	case 'v':
		return '\v', nil
	case 'u':
		return p.number(16, 4, 4)
	case 'U':
		return p.number(16, 8, 8)
	case 'x':
		return p.number(16, 1, 255)
	case '0':
		p.at--
		return p.number(8, 1, 3)
	}
	switch {
	case r >= '1' && r <= '7':
		p.at--
		return p.number(8, 1, 3)
	case r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)):
		return 0, invalid(errEscape)
	}
	return r, nil
}

// number reads the digits of a character's code.
func (p *parser) number(base, least, most int) (rune, error) {
	n, count := rune(0), 0
	for count < most && p.at < len(p.in) {
		d, err := strconv.ParseUint(string(p.in[p.at]), base, 8)
		if err != nil {
			break
		}
		if n = n*rune(base) + rune(d); n > unicode.MaxRune {
			return 0, invalid(errEscape)
		}
		p.at++
		count++
	}
	if count < least || n >= 0xd800 && n < 0xe000 {
		return 0, invalid(errEscape)
	}
	return n, nil
}
