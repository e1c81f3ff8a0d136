package query_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
)

// FuzzSelect runs texts with a small budget: whatever is asked, the answer is rows or an
// error for the client, and what is kept stays within the budget.
func FuzzSelect(f *testing.F) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if line = strings.TrimSpace(line); strings.HasPrefix(line, "SELECT") || strings.HasPrefix(line, "WITH") || strings.HasPrefix(line, "VALUES") {
				f.Add(line)
			}
		}
	}
	c := newCatalog(f)
	limits := query.Limits{WorkMax: 20_000, RowsMax: 2_000, BytesMax: 1 << 20, TimeMax: time.Second}
	f.Fuzz(func(t *testing.T, sql string) {
		if len(sql) > 2000 {
			return
		}
		if st, err := prepare(c, sql); err == nil {
			st.Explain()
		}
		_, rows, err := selectRows(c, sql, limits)
		var e *pgwire.Error
		if err != nil && !errors.As(err, &e) {
			t.Fatalf("%q: %v is no error for a client", sql, err)
		}
		if e != nil && e.Code == pgwire.CodeInternalError {
			t.Fatalf("%q: %v", sql, e)
		}
		if int64(len(rows)) > limits.WorkMax {
			t.Fatalf("%q: %d rows", sql, len(rows))
		}
	})
}
