package are

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"pgcache/pgwire"
)

// What expressions find is compared with PostgreSQL in package library; here is what only
// this package knows.

func compiled(t testing.TB, pattern, options string) *Expression {
	t.Helper()
	e, err := Compile(pattern, options)
	if err != nil {
		t.Fatalf("%s: %v", pattern, err)
	}
	return e
}

func TestEngines(t *testing.T) {
	for pattern, isLinear := range map[string]bool{
		`^(foo|bar)+\d{2,3}?[^x]$`: true,
		`\mfoo\M`:                  true,
		`[[:<:]]foo[[:>:]]`:        true,
		`\m(foo)`:                  false,
		`(a)\1`:                    false,
		`a(?=b)`:                   false,
		`(?<!a)b`:                  false,
		`(a{200}){20}`:             false,
	} {
		if e := compiled(t, pattern, ""); (e.linear != nil) != isLinear {
			t.Errorf("%s: linear is %v", pattern, e.linear != nil)
		}
	}
}

func TestFindFromSeesWhatIsBefore(t *testing.T) {
	for _, test := range []struct {
		pattern, s string
		from       int
		want       []int
	}{
		{`^b`, "ab", 1, nil},
		{`\yb`, "ab b", 1, []int{3, 4}},
		{`b+|bc`, "abcb", 1, []int{1, 3}}, // the longest
		{`b|bc`, "aäbc", 1, []int{3, 5}},
		{`(x)?c`, "aéc", 3, []int{3, 4, -1, -1}},
		{`(?<=a)b`, "ab", 1, []int{1, 2}},
		{`(.)\1`, "aabb", 1, []int{2, 4, 2, 3}},
	} {
		found, err := compiled(t, test.pattern, "").Find(context.Background(), []byte(test.s), test.from, 1)
		if err != nil || len(found) != min(len(test.want), 1) || len(found) == 1 && !slices.Equal(found[0], test.want) {
			t.Errorf("%s in %q from %d: %v, %v; want %v", test.pattern, test.s, test.from, found, err, test.want)
		}
	}
}

func codeOf(err error) pgwire.Code {
	var e *pgwire.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

func TestBacktrackingIsBounded(t *testing.T) {
	hard := compiled(t, `^((a|aa)+)\1b$`, "")
	if _, err := hard.Match(context.Background(), bytes.Repeat([]byte("a"), 2000)); codeOf(err) != pgwire.CodeStatementTooComplex {
		t.Error(err) // without a bound it would not end
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := hard.Match(ctx, []byte("aaa")); !errors.Is(err, context.Canceled) {
		t.Errorf("with a context that has ended: %v", err)
	}
	if _, err := hard.Match(context.Background(), make([]byte, backtrackBytesMax+1)); codeOf(err) != pgwire.CodeProgramLimitExceeded {
		t.Errorf("of a long text: %v", err)
	}
	deep := compiled(t, `((?=.)(.))*x`, "")
	if _, err := deep.Match(context.Background(), bytes.Repeat([]byte("a"), backtrackBytesMax)); codeOf(err) != pgwire.CodeStatementTooComplex {
		t.Errorf("with much to come back to: %v", err)
	}
}

func TestSyntaxIsBounded(t *testing.T) {
	if _, err := Compile(strings.Repeat("(", nestingMax)+strings.Repeat(")", nestingMax), ""); err != nil {
		t.Error(err)
	}
	if _, err := Compile(strings.Repeat("(", nestingMax+1)+strings.Repeat(")", nestingMax+1), ""); codeOf(err) != pgwire.CodeProgramLimitExceeded {
		t.Error(err)
	}
	for _, options := range []string{"b", "e"} {
		if _, err := Compile("a", options); codeOf(err) != pgwire.CodeFeatureNotSupported {
			t.Errorf("option %s: %v", options, err)
		}
	}
}

// FuzzCompile looks for expressions that we accept and an engine does not, and for offsets
// that are none.
func FuzzCompile(f *testing.F) {
	for _, seed := range []string{`a|b*`, `\m[[:alpha:]]+?\M`, `(a)(?=b)\1{2}`, `[^\W\d-]`, `(?inx) a # b`, `[[.hyphen.]-\x7f]`, `\u20ac$^`, `***=(`} {
		f.Add(seed, "aab€ b-c")
	}
	f.Fuzz(func(t *testing.T, pattern, s string) {
		if len(pattern) > 100 || len(s) > 100 {
			return
		}
		e, err := Compile(pattern, "")
		if codeOf(err) == pgwire.CodeFeatureNotSupported && strings.Contains(err.Error(), "this regular expression") {
			t.Fatalf("%q: %v", pattern, err)
		}
		if err != nil {
			return
		}
		found, err := e.Find(context.Background(), []byte(s), 0, -1)
		if err != nil {
			return
		}
		for _, m := range found {
			for i := 0; i < len(m); i += 2 {
				if m[i] >= 0 && (m[i] > m[i+1] || m[i+1] > len(s)) {
					t.Fatalf("%q in %q: %v", pattern, s, found)
				}
			}
		}
	})
}
