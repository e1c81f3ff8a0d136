package query_test

import (
	"sync"
	"testing"

	"pgcache/sqlmap/query"
)

// TestStatementsAreShared runs one statement from several goroutines (Q2).
func TestStatementsAreShared(t *testing.T) {
	c := newCatalog(t)
	st, err := prepare(c, `WITH t AS (SELECT relkind, count(*) AS n FROM pg_class GROUP BY relkind)
		SELECT t.relkind, t.n, (SELECT max(relname) FROM pg_class c WHERE c.relkind = t.relkind), rank() OVER (ORDER BY n)
		FROM t LEFT JOIN pg_namespace n ON n.oid = 11 WHERE t.relkind IN ('r', 'v') ORDER BY 1`)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	for range 4 {
		running.Go(func() {
			for range 5 {
				cursor, err := st.Open(newEnv(c), nil, query.Limits{})
				if err != nil {
					t.Error(err)
					return
				}
				rows := 0
				for {
					row, err := cursor.Next()
					if err != nil {
						t.Error(err)
						return
					}
					if row == nil {
						break
					}
					rows++
				}
				cursor.Close()
				if rows != 2 {
					t.Errorf("%d rows, want 2", rows)
				}
			}
		})
	}
	running.Wait()
}
