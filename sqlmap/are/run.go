package are

import (
	"context"
	"io"
	"regexp"
	"regexp/syntax"
	"unicode/utf8"
)

// Package regexp takes a time in proportion to the text and to the size of the program.
const (
	// directWorkMax is how much it does in one call that nothing can end.
	directWorkMax = 1 << 20
	// workPerCheck is how much it does between two looks at the context.
	workPerCheck = 1 << 18
)

// run finds the first match of an expression whose program has about that size. It ends soon after its context.
func run(ctx context.Context, p *regexp.Regexp, s []byte, size int) ([]int, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if len(s)*size <= directWorkMax {
		return p.FindSubmatchIndex(s), nil
	}
	r := &runes{ctx: ctx, rest: s, perCheck: max(workPerCheck/size, 1)}
	m := p.FindReaderSubmatchIndex(r)
	return m, r.err
}

// runes is a text that package regexp reads character by character. It ends early with its
// context, whatever was found by then is not to be used.
type runes struct {
	ctx            context.Context
	rest           []byte
	perCheck, left int
	err            error
}

// ReadRune implements io.RuneReader.
func (r *runes) ReadRune() (rune, int, error) {
	if r.left--; r.left < 0 && r.err == nil {
		r.left, r.err = r.perCheck, r.ctx.Err()
	}
	if r.err != nil || len(r.rest) == 0 {
		return 0, 0, io.EOF
	}
	c, size := utf8.DecodeRune(r.rest)
	r.rest = r.rest[size:]
	return c, size, nil
}

// Run finds the first match of an expression of package regexp, as FindSubmatchIndex does, but ends
// soon after its context.
func Run(ctx context.Context, p *regexp.Regexp, s []byte) ([]int, error) {
	e := &Expression{linear: p, text: p.String()}
	e.measure()
	return run(ctx, p, s, e.size)
}

// measure finds out what matters of the tree of the expression.
func (e *Expression) measure() {
	prefix, _ := e.linear.LiteralPrefix()
	e.prefix, e.size, e.looksBack = []byte(prefix), len(e.text), true
	if tree, err := syntax.Parse(e.text, syntax.Perl); err == nil {
		e.looksBack = false
		e.size = e.sizeOf(tree)
	}
}

// sizeOf is about how many instructions a part makes. The parser bounds the depth.
func (e *Expression) sizeOf(r *syntax.Regexp) int {
	size := 1
	for _, sub := range r.Sub {
		size += e.sizeOf(sub)
	}
	switch r.Op {
	case syntax.OpLiteral:
		return max(len(r.Rune), 1)
	case syntax.OpRepeat:
		return size * max(r.Min+1, r.Max, 1)
	case syntax.OpBeginLine, syntax.OpBeginText, syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		e.looksBack = true
	}
	return size
}
