package sqlmap

import (
	"context"
	"strings"
	"sync"
	"testing"

	"pgcache/pgwire"
)

// Counters that are added to at the same time lose nothing.
func TestIncrIsAtomic(t *testing.T) {
	w := newWorld(t, nil)
	const workers, rounds = 8, 100
	var wait sync.WaitGroup
	for range workers {
		s, err := w.handler.NewSession(context.Background(), &pgwire.ConnInfo{User: "me", Names: pgwire.NewNames(pgwire.Limits{}), Identity: w.session("main").info.Identity})
		if err != nil {
			t.Fatal(err)
		}
		wait.Go(func() {
			for range rounds {
				if got := w.simple(s.(*session), "SELECT cache_incr('c', 'n', 2)"); !strings.Contains(got, "SELECT 1") {
					t.Error(got)
				}
			}
		})
	}
	wait.Wait()
	if got := w.simple(w.session("main"), "SELECT value_text FROM blob WHERE ns = 'c' AND key = 'n'"); !strings.Contains(got, "\n1600\n") {
		t.Error(got)
	}
}
