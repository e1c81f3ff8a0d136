package catalog

import (
	_ "embed"
	"strings"
)

// keywords.txt has a line a keyword: the word, its kind (U unreserved, C may be a column,
// T may be a type or function, R reserved), and whether it may be a label without AS.
//
//go:embed keywords.txt
var keywordLines string

// Keyword is a word of SQL.
type Keyword struct {
	Word    string
	Kind    byte
	IsLabel bool
}

// Keywords lists the words of SQL.
func Keywords() []Keyword {
	var list []Keyword
	for line := range strings.Lines(keywordLines) {
		fields := strings.Fields(line)
		list = append(list, Keyword{fields[0], fields[1][0], fields[2] == "t"})
	}
	return list
}

// isKeyword reports words that must be in quotes to be a name. It searches the sorted lines by
// halves: names are quoted by the thousand.
func isKeyword(name string) bool {
	low, high := 0, len(keywordLines)
	for low < high {
		start := strings.LastIndexByte(keywordLines[:(low+high)/2], '\n') + 1
		line, _, _ := strings.Cut(keywordLines[start:], "\n")
		word, after, _ := strings.Cut(line, " ")
		switch strings.Compare(name, word) {
		case 0:
			return after[0] != 'U'
		case -1:
			high = start
		default:
			low = start + len(line) + 1
		}
	}
	return false
}
