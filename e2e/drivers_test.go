package e2e

import (
	"os"
	"testing"
)

// python is Debian's, because psycopg comes from Debian's packages; another python3 may
// come first in PATH.
func python() string {
	if p := os.Getenv("PGCACHE_PYTHON"); p != "" {
		return p
	}
	return "/usr/bin/python3"
}

// TestDrivers runs the check program of each client that is not written in Go.
func TestDrivers(t *testing.T) {
	tests := []struct {
		name    string
		program []string
	}{
		{"psycopg2", []string{python(), "python/psycopg2_test.py"}},
		{"psycopg3", []string{python(), "python/psycopg3_test.py"}},
		{"server-side cursors of psycopg3", []string{python(), "python/cursors_test.py"}},
		{"near cache in Python", []string{python(), "python/near_cache_test.py"}},
		{"node-postgres", []string{"node", "node/check.mjs"}},
	}
	for _, test := range tests {
		for _, tier := range []string{"memory only", "with disk"} {
			t.Run(test.name+" "+tier, func(t *testing.T) {
				var args []string
				if tier == "with disk" {
					args = []string{"--data-dir", t.TempDir()}
				}
				host, port := start(t, args...).hostPort()
				stdout, stderr, err := run(t, "", test.program[0], append(test.program[1:], host, port)...)
				if err != nil || stdout != "ok\n" {
					t.Errorf("%v\n%s%s", err, stdout, stderr)
				}
			})
		}
	}
}
