package are

import (
	"bytes"
	"context"
	"regexp"
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
	linear    *regexp.Regexp // nil: backtracking runs it
	text      string         // of linear
	prefix    []byte         // every match begins with it
	size      int            // of the program, about
	isLazy    bool
	looksBack bool // what is before a match matters
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
	e.measure()
	if !e.isLazy {
		e.linear.Longest()
	}
	return e
}

// Match reports whether there is a match.
func (e *Expression) Match(ctx context.Context, s []byte) (bool, error) {
	if e.linear != nil {
		found, err := e.findFrom(ctx, s, 0)
		return found != nil, err
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
	if e.linear == nil {
		return e.backtrack(ctx, s, from, limit)
	}
	var out [][]int
	for from <= len(s) && len(out) < limit {
		m, err := e.findFrom(ctx, s, from)
		if err != nil {
			return nil, err
		}
		if m == nil {
			break
		}
		out = append(out, m)
		if from = m[1]; m[0] == m[1] {
			_, size := utf8.DecodeRune(s[from:])
			from += max(size, 1)
		}
	}
	return out, nil
}

// findFrom finds the first match that begins at an offset or behind it.
func (e *Expression) findFrom(ctx context.Context, s []byte, from int) ([]int, error) {
	at := bytes.Index(s[from:], e.prefix)
	if at < 0 {
		return nil, ctx.Err()
	}
	from += at
	if from == 0 || !e.looksBack {
		m, err := run(ctx, e.linear, s[from:], e.size)
		return moved(m, from), err
	}
	if e.next == nil {
		if err := e.compileInside(); err != nil {
			return nil, err
		}
	}
	_, size := utf8.DecodeLastRune(s[:from])
	found, err := run(ctx, e.skip, s[from-size:], e.size)
	if found == nil {
		return nil, err
	}
	begin := from - size + found[2]
	_, size = utf8.DecodeLastRune(s[:begin])
	m, err := run(ctx, e.next, s[begin-size:], e.size)
	if m = moved(m, begin-size); m != nil {
		m[0] = begin
	}
	return m, err
}

// moved makes offsets of a part of a text, which begins at from, those of the text.
func moved(m []int, from int) []int {
	for i := range m {
		if m[i] >= 0 {
			m[i] += from
		}
	}
	return m
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
	if err := ctx.Err(); err != nil {
		return err
	}
	err := pgwire.Errorf(pgwire.CodeStatementTooComplex, "regular expression is too complex")
	err.Detail = "Looking for a match took longer than " + backtrackTimeMax.String() + "."
	err.Hint = "Expressions without back references and look-around take a time in proportion to the text."
	return err
}
