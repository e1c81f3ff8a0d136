package wiretest

import (
	"bytes"
	"fmt"
	"os"
	"strings"
)

// directive is one step of a transcript.
type directive struct {
	line    int
	before  []string // comments and blank lines
	name    string
	args    []string
	input   []string
	answers bool // has a "----" and output
	output  []string
}

// separator stands between the input of a directive and its output, which ends at a blank line.
const separator = "----"

// oneLine are the directives that have neither input nor output.
func oneLine(name string) bool { return name == "only" || name == "since" || name == "use" }

func parseFile(path string) ([]directive, []string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, fmt.Errorf("wiretest: %w", err)
	}
	lines := strings.Split(strings.TrimSuffix(string(content), "\n"), "\n")
	var directives []directive
	var before []string
	for i := 0; i < len(lines); i++ {
		if lines[i] == "" || strings.HasPrefix(lines[i], "#") {
			before = append(before, lines[i])
			continue
		}
		words := fields(lines[i])
		d := directive{line: i + 1, before: before, name: words[0], args: words[1:]}
		before = nil
		if !oneLine(d.name) {
			for i++; i < len(lines) && lines[i] != separator; i++ {
				if lines[i] == "" {
					return nil, nil, fmt.Errorf("wiretest: %s:%d: no %s after %s", path, i+1, separator, d.name)
				}
				d.input = append(d.input, lines[i])
			}
			d.answers = true
			for i++; i < len(lines) && lines[i] != ""; i++ {
				d.output = append(d.output, lines[i])
			}
			i-- // the blank line belongs to what follows
		}
		directives = append(directives, d)
	}
	return directives, before, nil
}

// fields splits at blanks that no backslash precedes.
func fields(line string) []string {
	const blank = "\x00"
	words := strings.Fields(strings.ReplaceAll(line, `\ `, blank))
	for i := range words {
		words[i] = strings.ReplaceAll(words[i], blank, " ")
	}
	return words
}

func writeFile(path string, directives []directive, after []string) error {
	var b bytes.Buffer
	put := func(lines []string) {
		for _, line := range lines {
			b.WriteString(line + "\n")
		}
	}
	for _, d := range directives {
		put(d.before)
		words := []string{d.name}
		for _, arg := range d.args {
			words = append(words, strings.ReplaceAll(arg, " ", `\ `))
		}
		put([]string{strings.Join(words, " ")})
		put(d.input)
		if d.answers {
			put([]string{separator})
			put(d.output)
		}
	}
	put(after)
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("wiretest: %w", err)
	}
	return nil
}
