package are

import (
	"strings"
)

// bracket writes a bracket expression.
func (p *parser) bracket() error {
	for begin, m := range map[string]func(*parser){"[[:<:]]": (*parser).wordBegins, "[[:>:]]": (*parser).wordEnds} {
		if p.follows(begin) {
			p.at += len(begin)
			m(p)
			return nil
		}
	}
	p.at++
	isNegated := p.peek() == '^'
	if isNegated {
		p.at++
	}
	var set strings.Builder
	for first := true; ; first = false {
		if p.at >= len(p.in) {
			return invalid(errBracket)
		}
		if p.in[p.at] == ']' && !first {
			p.at++
			break
		}
		if err := p.bracketItem(&set); err != nil {
			return err
		}
	}
	if isNegated && p.stopsAtLine {
		set.WriteString(`\n`)
	}
	p.atom(p.either(isNegated, "[^", "[") + set.String() + "]")
	return nil
}

// bracketItem writes a character, a range or a class of a bracket expression.
func (p *parser) bracketItem(set *strings.Builder) error {
	class, err := p.namedClass()
	if err != nil {
		return err
	}
	if class != "" {
		set.WriteString(class)
		return nil
	}
	low, err := p.bracketRune()
	if err != nil {
		return err
	}
	set.WriteString(quoted(low))
	if p.peek() != '-' || p.at+1 >= len(p.in) || p.in[p.at+1] == ']' {
		return nil
	}
	p.at++
	if class, err := p.namedClass(); err != nil || class != "" {
		return invalid(errRange)
	}
	high, err := p.bracketRune()
	if err != nil {
		return err
	}
	if high < low {
		return invalid(errRange)
	}
	set.WriteString("-" + quoted(high))
	return nil
}

// namedClass reads [:name:], \d and its like; "" if there is none.
func (p *parser) namedClass() (string, error) {
	if p.peek() == '\\' && p.at+1 < len(p.in) {
		if class := classEscape(p.in[p.at+1]); class != "" {
			p.at += 2
			return class, nil
		}
	}
	if !p.follows("[:") {
		return "", nil
	}
	name, err := p.delimited(":]")
	if err != nil {
		return "", err
	}
	class := posixClass(name)
	if class == "" {
		return "", invalid(errClass)
	}
	return class, nil
}

func posixClass(name string) string {
	switch name {
	case "alnum":
		return `0-9A-Za-z`
	case "alpha":
		return `A-Za-z`
	case "ascii":
		return "\x00-\x7f"
	case "blank":
		return "\t "
	case "cntrl":
		return "\x00-\x1f\x7f"
	case "digit":
		return digits
	case "graph":
		return `!-~`
	case "lower":
		return `a-z`
	case "print":
		return ` -~`
	case "punct":
		return "!-/:-@\\[-`{-~"
	case "space":
		return spaces
	case "upper":
		return `A-Z`
	case "word":
		return words
	case "xdigit":
		return `0-9A-Fa-f`
	}
	return ""
}

// delimited reads the name between [: and :], [. and .] or [= and =].
func (p *parser) delimited(end string) (string, error) {
	rest := string(p.in[p.at+2:])
	name, _, ok := strings.Cut(rest, end)
	if !ok {
		return "", invalid(errBracket)
	}
	p.at += 2 + len([]rune(name)) + 2
	return name, nil
}

// bracketRune reads a character of a bracket expression.
func (p *parser) bracketRune() (rune, error) {
	if p.at >= len(p.in) {
		return 0, invalid(errBracket)
	}
	if p.follows("[.") || p.follows("[=") {
		name, err := p.delimited(string(p.in[p.at+1]) + "]")
		if err != nil {
			return 0, err
		}
		if r := []rune(name); len(r) == 1 {
			return r[0], nil
		}
		if r := collatingElement(name); r != 0 {
			return r, nil
		}
		return 0, invalid(errCollate)
	}
	r := p.in[p.at]
	p.at++
	if r != '\\' {
		return r, nil
	}
	if p.at == len(p.in) {
		return 0, invalid(errEscape)
	}
	return p.escapedRune()
}

// collatingElement is the character with a name of POSIX, 0 if there is none.
func collatingElement(name string) rune {
	names := strings.Fields(`space exclamation-mark quotation-mark number-sign dollar-sign percent-sign ampersand apostrophe
		left-parenthesis right-parenthesis asterisk plus-sign comma hyphen period slash zero one two three four five six seven eight nine
		colon semicolon less-than-sign equals-sign greater-than-sign question-mark commercial-at`)
	for i, known := range names {
		if known == name {
			return ' ' + rune(i)
		}
	}
	return map[string]rune{"hyphen-minus": '-', "full-stop": '.', "solidus": '/', "left-square-bracket": '[', "backslash": '\\', "reverse-solidus": '\\',
		"right-square-bracket": ']', "circumflex": '^', "circumflex-accent": '^', "underscore": '_', "low-line": '_', "grave-accent": '`',
		"left-brace": '{', "left-curly-bracket": '{', "vertical-line": '|', "right-brace": '}', "right-curly-bracket": '}', "tilde": '~',
		"tab": '\t', "newline": '\n', "carriage-return": '\r', "vertical-tab": '\v', "form-feed": '\f', "backspace": '\b', "alert": '\a', "ESC": '\x1b', "DEL": '\x7f'}[name]
}
