package catalog

import (
	_ "embed"
	"slices"
	"strings"
)

// settings.txt has a line a run-time parameter of PostgreSQL, with the fields of Setting
// between tabs, sorted by lower-case name.
//
//go:embed settings.txt
var settingLines string

// Setting is what PostgreSQL's pg_settings says of a run-time parameter.
type Setting struct {
	Name     string
	Type     string // bool, integer, real, string or enum
	Unit     string // of integers and reals: ms, s, min, B, kB, 8kB, MB; else empty
	Context  string // who may change it, and when
	Category string
	Min, Max string
	Words    []string // what an enum may be
	Value    string   // in units
}

// Settings lists the run-time parameters of PostgreSQL, sorted by lower-case name.
func Settings() []Setting {
	var list []Setting
	for line := range strings.Lines(settingLines) {
		if line[0] == '#' {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		s := Setting{Name: f[0], Type: f[1], Unit: f[2], Context: f[3], Category: f[4], Min: f[5], Max: f[6], Value: f[8]}
		if f[7] != "" {
			s.Words = strings.Split(f[7], ",")
		}
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Setting) int { return strings.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return list
}
