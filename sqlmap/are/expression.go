package are

import (
	"context"
	"regexp"
	"regexp/syntax"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/dlclark/regexp2/v2"

	"pgcache/pgwire"
)

// Bounds of the backtracking engine, which may take exponential time and keeps a note for
// every character it might come back to.
const (
	backtrackTimeMax  = time.Second
	backtrackBytesMax = 1 << 20 // of the text
	backtrackStackMax = 1 << 20 // of 8 bytes
)

// Expression is a compiled regular expression.
type Expression struct {
	linear     *regexp.Regexp // nil: backtracking runs it
	mayBeEmpty bool
	text       string // of linear
	isLazy     bool
	// Package regexp cannot begin inside a text and still see what is before. next finds the match that
	// begins at the second character of a text, skip where the leftmost one after the first does. Made
	// when they are needed.
	next, skip *regexp.Regexp

	backtracking *regexp2.Regexp
}

// Compile compiles an expression with the letters of its options, g left out.
func Compile(pattern, options string) (*Expression, error) {
	var f flags
	for _, letter := range options {
		known, err := f.set(letter)
		if err != nil {
			return nil, err
		}
		if !known {
			return nil, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid regular expression option: \"%c\"", letter)
		}
	}
	p := &parser{flags: f, in: []rune(pattern)}
	if err := p.translate(); err != nil {
		return nil, err
	}
	if !p.outside {
		if e := compileLinear(p); e != nil {
			return e, nil
		}
	}
	p = &parser{flags: f, in: []rune(pattern), engine: backtracking}
	if err := p.translate(); err != nil {
		return nil, err
	}
	text := p.out.String()
	if p.folds {
		text = "(?i)" + text
	}
	compiled, err := regexp2.Compile(text, regexp2.OptionMaxBacktrackingStackSize(backtrackStackMax))
	if err != nil {
		return nil, pgwire.Errorf(pgwire.CodeFeatureNotSupported, "this regular expression is not supported: %v", err)
	}
	return &Expression{backtracking: compiled}, nil
}

// compileLinear compiles for package regexp; nil if that cannot, which repeats less than
// PostgreSQL does.
func compileLinear(p *parser) *Expression {
	e := &Expression{text: p.out.String(), isLazy: p.isLazy}
	if p.folds {
		e.text = "(?i:" + e.text + ")"
	}
	var err error
	if e.linear, err = regexp.Compile(e.text); err != nil {
		return nil
	}
	tree, err := syntax.Parse(e.text, syntax.Perl)
	e.mayBeEmpty = err != nil || mayBeEmpty(tree)
	if !e.isLazy {
		e.linear.Longest()
	}
	return e
}

// mayBeEmpty reports whether a match may have no characters. The parser bounds the depth.
func mayBeEmpty(r *syntax.Regexp) bool {
	switch r.Op {
	case syntax.OpLiteral, syntax.OpCharClass, syntax.OpAnyChar, syntax.OpAnyCharNotNL, syntax.OpNoMatch:
		return false
	case syntax.OpCapture, syntax.OpPlus:
		return mayBeEmpty(r.Sub[0])
	case syntax.OpRepeat:
		return r.Min == 0 || mayBeEmpty(r.Sub[0])
	case syntax.OpConcat:
		for _, sub := range r.Sub {
			if !mayBeEmpty(sub) {
				return false
			}
		}
		return true
	case syntax.OpAlternate:
		for _, sub := range r.Sub {
			if mayBeEmpty(sub) {
				return true
			}
		}
		return false
	}
	return true
}

// Match reports whether there is a match.
func (e *Expression) Match(ctx context.Context, s []byte) (bool, error) {
	if e.linear != nil {
		return e.linear.Match(s), nil
	}
	found, err := e.backtrack(ctx, s, 0, 1)
	return found != nil, err
}

// MatchesMax bounds how many matches are kept.
const MatchesMax = 1_000_000

// Find finds up to limit matches, all if that is negative, that begin at an offset or behind it: pairs of
// offsets, of the match and of each group, -1 for a group that has no part in it. As in PostgreSQL, an
// empty match may follow right after another one.
func (e *Expression) Find(ctx context.Context, s []byte, from, limit int) ([][]int, error) {
	if limit < 0 || limit > MatchesMax {
		limit = MatchesMax + 1
	}
	found, err := e.find(ctx, s, from, limit)
	if len(found) > MatchesMax {
		err := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "regular expression has too many matches")
		err.Detail = "The limit is " + strconv.Itoa(MatchesMax) + "."
		return nil, err
	}
	return found, err
}

func (e *Expression) find(ctx context.Context, s []byte, from, limit int) ([][]int, error) {
	switch {
	case e.linear == nil:
		return e.backtrack(ctx, s, from, limit)
	case from == 0 && (limit == 1 || !e.mayBeEmpty):
		return e.linear.FindAllSubmatchIndex(s, limit), nil
	}
	var out [][]int
	for from <= len(s) && len(out) < limit {
		if len(out)%contextChecks == 0 && ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		m, err := e.findFrom(s, from)
		if err != nil || m == nil {
			return out, err
		}
		out = append(out, m)
		if from = m[1]; m[0] == m[1] {
			_, size := utf8.DecodeRune(s[from:])
			from += max(size, 1)
		}
	}
	return out, nil
}

// contextChecks is after how many matches the context is asked.
const contextChecks = 1000

// findFrom finds the first match that begins at an offset or behind it.
func (e *Expression) findFrom(s []byte, from int) ([]int, error) {
	if from == 0 {
		return e.linear.FindSubmatchIndex(s), nil
	}
	if e.next == nil {
		if err := e.compileInside(); err != nil {
			return nil, err
		}
	}
	_, size := utf8.DecodeLastRune(s[:from])
	found := e.skip.FindSubmatchIndex(s[from-size:])
	if found == nil {
		return nil, nil
	}
	begin := from - size + found[2]
	_, size = utf8.DecodeLastRune(s[:begin])
	m := e.next.FindSubmatchIndex(s[begin-size:])
	for i := range m {
		if m[i] >= 0 {
			m[i] += begin - size
		}
	}
	if m != nil {
		m[0] = begin
	}
	return m, nil
}

func (e *Expression) compileInside() (err error) {
	if e.next, err = regexp.Compile(`\A(?s:.)(?:` + e.text + ")"); err == nil {
		e.skip, err = regexp.Compile(`\A(?s:.)(?s:.*?)(` + e.text + ")")
	}
	if err != nil {
		e.next = nil
		return pgwire.Errorf(pgwire.CodeStatementTooComplex, "regular expression is too complex")
	}
	if !e.isLazy {
		e.next.Longest()
	}
	return nil
}

// backtrack is Find by the backtracking engine, which counts in characters.
func (e *Expression) backtrack(ctx context.Context, s []byte, from, limit int) ([][]int, error) {
	if len(s) > backtrackBytesMax {
		err := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "text is too long for a regular expression with look-around or back references")
		err.Detail = "It has " + strconv.Itoa(len(s)) + " bytes; the limit is " + strconv.Itoa(backtrackBytesMax) + "."
		return nil, err
	}
	runes := []rune(string(s))
	offsets := make([]int, 0, len(runes)+1)
	for at := range string(s) {
		offsets = append(offsets, at)
	}
	offsets = append(offsets, len(s))
	var out [][]int
	deadline := time.Now().Add(backtrackTimeMax)
	for start := utf8.RuneCount(s[:from]); start <= len(runes) && len(out) < limit; {
		if e.backtracking.MatchTimeout = timeLeft(ctx, deadline); e.backtracking.MatchTimeout <= 0 {
			return nil, tooLong(ctx)
		}
		m, err := e.backtracking.FindRunesMatchStartingAt(runes, start)
		switch {
		case err != nil:
			return nil, tooLong(ctx)
		case m == nil:
			return out, nil
		}
		var at []int
		for _, g := range m.Groups() {
			if len(g.Captures) == 0 {
				at = append(at, -1, -1)
				continue
			}
			at = append(at, offsets[g.RuneIndex], offsets[g.RuneIndex+g.RuneLength])
		}
		out = append(out, at)
		if start = m.RuneIndex + m.RuneLength; m.RuneLength == 0 {
			start++
		}
	}
	return out, nil
}

// timeLeft is how long a look for a match may take.
func timeLeft(ctx context.Context, deadline time.Time) time.Duration {
	if ctx.Err() != nil {
		return 0
	}
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	return time.Until(deadline)
}

func tooLong(ctx context.Context) error {
	if err := context.Cause(ctx); err != nil {
		return err
	}
	err := pgwire.Errorf(pgwire.CodeStatementTooComplex, "regular expression is too complex")
	err.Detail = "Looking for a match took longer than " + backtrackTimeMax.String() + "."
	err.Hint = "Expressions without back references and look-around take a time in proportion to the text."
	return err
}
