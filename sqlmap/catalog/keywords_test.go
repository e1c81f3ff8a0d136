package catalog

import (
	"slices"
	"testing"
)

func TestKeywords(t *testing.T) {
	list := Keywords()
	if !slices.IsSortedFunc(list, func(a, b Keyword) int { return map[bool]int{true: -1, false: 1}[a.Word < b.Word] }) {
		t.Fatal("keywords.txt is not sorted")
	}
	for _, k := range list {
		if isKeyword(k.Word) != (k.Kind != 'U') {
			t.Errorf("%s of kind %c: isKeyword is %v", k.Word, k.Kind, isKeyword(k.Word))
		}
	}
	for _, name := range []string{"", "a", "blob", "selects", "zzz", "~", "selec"} {
		if isKeyword(name) {
			t.Errorf("%q is no key word", name)
		}
	}
}
