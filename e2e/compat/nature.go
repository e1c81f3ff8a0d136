package main

import (
	"regexp"
)

// reason is why results differ though pgcache is right: the statement is about something that
// is different in nature. A statement is excused by the first reason whose pattern it matches.
type reason struct {
	name    string
	pattern *regexp.Regexp
}

// reasons lists them. They are few and about data, so that a difference in the language is
// never excused.
func reasons() []reason {
	list := []struct{ name, pattern string }{
		{"the version and the clock", `\bversion\(\)|\bnow\(\)|(clock|statement|transaction)_timestamp\b|\bcurrent_(time|date|timestamp)\b|postmaster_start_time`},
		{"counters and sizes", `\bpg_stat(io)?_|\bpg_\w*_size\(|\bcache_stats\b|\breltuples\b|\brelpages\b|\bpg_cancel_backend\b`},
		{"settings", `\bpg_settings\b|\bpg_show_all_settings\b|\bcurrent_setting\b`},
		{"what the machine has", `\bpg_available_extension|\bpg_collation\b.*\bcollprovider\b|\bFROM pg_catalog\.pg_collation\b`},
		{"numbers that initdb gives, transaction ids", `'?\b1[2-6]\d\d\d\b|\bc\.\*|\bdb\.\*`},
		{"functions that 17.10 and 17.12 do not share, or whose code is inside pgcache", `\bpg_proc\b`},
		{"LIMIT or an aggregate of rows in any order", `\blimit \d+$`},
	}
	out := make([]reason, len(list))
	for i, r := range list {
		out[i] = reason{r.name, regexp.MustCompile("(?is)" + r.pattern)}
	}
	return out
}

// excuse returns the name of the reason for a difference, "" if there is none.
func excuse(known []reason, sql string) string {
	for _, r := range known {
		if r.pattern.MatchString(sql) {
			return r.name
		}
	}
	return ""
}
