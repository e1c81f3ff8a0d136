package are

import (
	"bytes"
	"context"
	"errors"
	"regexp"
	"slices"
	"testing"
)

// ending is a context that ends when it has been asked so many times.
type ending struct {
	context.Context
	asked, left int
}

func (c *ending) Err() error {
	if c.asked++; c.asked > c.left {
		return context.Canceled
	}
	return nil
}

// One look for a match in a long text ends with its context, however the expression is run.
func TestOneLongMatchEndsWithItsContext(t *testing.T) {
	s := bytes.Repeat([]byte("ab"), directWorkMax)
	for _, pattern := range []string{`[ab]*c`, `\y(a|b)+c`, `^(ab)*c`, `(ab|c){200}d`, `[ab]+?c`} {
		for left := range 3 {
			ctx := &ending{Context: context.Background(), left: left}
			if _, err := compiled(t, pattern, "").Match(ctx, s); !errors.Is(err, context.Canceled) || ctx.asked <= left {
				t.Errorf("%s, asked %d times before the end: %v", pattern, left, err)
			}
		}
	}
}

// A text that is read character by character has the matches that it has as a whole.
func TestLongTextsHaveTheSameMatches(t *testing.T) {
	long := bytes.Repeat([]byte("é\xff word, words; ab\nabc "), 60_000)
	short := long[:3000]
	for _, pattern := range []string{`word|words`, `^.`, `[a-z]+$`, `b+?c?`, `x*`, `(a)(b)?c`, `\yw`, `,`} {
		p := regexp.MustCompile(compiled(t, pattern, "").text)
		for _, s := range [][]byte{long, short} {
			e := compiled(t, pattern, "")
			if !e.isLazy {
				p.Longest()
			}
			const limit = 50
			got, err := e.Find(context.Background(), s, 0, limit)
			if err != nil {
				t.Fatal(err)
			}
			for i, m := range p.FindAllSubmatchIndex(s, len(got)) {
				if !e.mayBeEmpty() && !slices.Equal(got[i], m) {
					t.Fatalf("%s: match %d is %v, not %v", pattern, i, got[i], m)
				}
			}
			if m, err := Run(context.Background(), p, s); err != nil || !slices.Equal(m, p.FindSubmatchIndex(s)) {
				t.Errorf("%s: %v, %v", pattern, m, err)
			}
		}
	}
}

func (e *Expression) mayBeEmpty() bool { return e.linear.MatchString("") }
