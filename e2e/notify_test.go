package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"pgcache/e2e/nearcache"
)

func mustExec(t *testing.T, c *pgx.Conn, sql string) {
	t.Helper()
	if _, err := c.Exec(testContext(t), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func nextNotification(t *testing.T, c *pgx.Conn) string {
	t.Helper()
	n, err := c.WaitForNotification(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	return n.Channel + " " + n.Payload
}

func TestListenNotify(t *testing.T) {
	s := start(t)
	listener, other := s.connect(t), s.connect(t)
	mustExec(t, listener, "LISTEN news")
	mustExec(t, other, "NOTIFY news, 'one'")
	mustExec(t, other, "BEGIN")
	mustExec(t, other, "NOTIFY news, 'two'")
	mustExec(t, other, "NOTIFY news, 'two'")
	mustExec(t, other, "SELECT pg_notify('news', 'three')")
	mustExec(t, other, "NOTIFY elsewhere, 'unheard'")
	mustExec(t, other, "COMMIT")
	mustExec(t, other, "BEGIN")
	mustExec(t, other, "NOTIFY news, 'rolled back'")
	mustExec(t, other, "ROLLBACK")
	mustExec(t, listener, "NOTIFY news")
	for _, want := range []string{"news one", "news two", "news three", "news "} {
		if got := nextNotification(t, listener); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	mustExec(t, listener, "BEGIN")
	mustExec(t, listener, "UNLISTEN news")
	mustExec(t, listener, "ROLLBACK")
	mustExec(t, other, "NOTIFY news, 'still'")
	if got := nextNotification(t, listener); got != "news still" {
		t.Errorf("after a ROLLBACK of UNLISTEN: %q", got)
	}
	mustExec(t, listener, "UNLISTEN *")
	mustExec(t, listener, "LISTEN last")
	mustExec(t, other, "NOTIFY news, 'unheard'")
	mustExec(t, other, "NOTIFY last")
	if got := nextNotification(t, listener); got != "last " {
		t.Errorf("after UNLISTEN: %q", got)
	}
}

// TestInvalidationChannel: every change is told, in order, to the channel of all and to
// that of its namespace.
func TestInvalidationChannel(t *testing.T) {
	s := start(t, "--data-dir", t.TempDir())
	all, one, writer := s.connect(t), s.connect(t), s.connect(t)
	mustExec(t, all, "LISTEN cache_invalidation")
	mustExec(t, one, `LISTEN "cache_invalidation:web"`)
	mustExec(t, writer, "SELECT cache_put('web', 'a', 'x', tags => '{t}')")
	mustExec(t, writer, "SELECT cache_put('other', 'a', 'x')")
	mustExec(t, writer, "DELETE FROM blob WHERE ns = 'web' AND key = 'a'")
	mustExec(t, writer, "CALL invalidate_prefix('web', 'p')")
	mustExec(t, writer, "CALL invalidate_tags('web', 't', 'u')")
	mustExec(t, writer, "CALL invalidate_dependencies(NULL, 'd')")
	mustExec(t, writer, "CALL invalidate_namespace('web')")
	mustExec(t, writer, "TRUNCATE blob")
	web := []string{`put web a`, `key web a`, `prefix web p`, `tags web [t u]`, `dependencies  [d]`, `namespace web `, `all  `}
	for _, test := range []struct {
		c    *pgx.Conn
		want []string
	}{{one, web}, {all, append([]string{web[0], "put other a"}, web[1:]...)}} {
		last := uint64(0)
		for _, want := range test.want {
			_, payload, _ := strings.Cut(nextNotification(t, test.c), " ")
			var n struct {
				Op, NS, Key, Prefix string
				Tags, Dependencies  []string
				Seq                 uint64
			}
			if err := json.Unmarshal([]byte(payload), &n); err != nil {
				t.Fatalf("%s: %v", payload, err)
			}
			what := n.Key + n.Prefix
			if labels := append(n.Tags, n.Dependencies...); len(labels) > 0 {
				what = fmt.Sprint(labels)
			}
			if got := n.Op + " " + n.NS + " " + what; got != want || n.Seq <= last {
				t.Errorf("%s (after seq %d), want %s", payload, last, want)
			}
			last = n.Seq
		}
	}
}

// TestNearCacheStaysCoherent: while others write and invalidate in every way, a near cache
// that has applied the last notification answers as the server does.
func TestNearCacheStaysCoherent(t *testing.T) {
	s := start(t, "--data-dir", t.TempDir(), "--l1-bytes", "2MiB")
	ctx, cancel := context.WithCancel(testContext(t))
	pool, err := pgxpool.New(ctx, s.url())
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	defer cancel()
	near, err := nearcache.New(ctx, pool, "near")
	if err != nil {
		t.Fatal(err)
	}
	ready := make(chan struct{})
	go near.Run(ctx, ready)
	<-ready

	const keys = 40
	key := func(i int) string { return fmt.Sprintf("%c%d", 'a'+i%4, i) }
	var writers, readers sync.WaitGroup
	done := make(chan struct{})
	for range 3 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				if _, _, err := near.Get(ctx, key(i%keys)); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for w := range 2 {
		writers.Go(func() { change(t, ctx, pool, w, keys, key) })
	}
	writers.Wait()
	close(done)
	readers.Wait()
	settleNear(t, ctx, pool, near)
	for i := range keys {
		var want []byte
		err := pool.QueryRow(ctx, getStatement, "near", key(i)).Scan(&want)
		got, ok, nearErr := near.Get(ctx, key(i))
		if nearErr != nil || ok != (err == nil) || string(got) != string(want) {
			t.Errorf("%s: the near cache has %q (%v), the server %q (%v)", key(i), got, ok, want, err)
		}
	}
}

// change writes and invalidates at random.
func change(t *testing.T, ctx context.Context, pool *pgxpool.Pool, w, keys int, key func(int) string) {
	random := rand.New(rand.NewPCG(uint64(w), 1))
	for i := range 600 {
		k := key(random.IntN(keys))
		sql, args := `SELECT cache_put('near', $1, $2, tags => $3, dependencies => $4)`,
			[]any{k, fmt.Appendf(nil, "%d.%d", w, i), []string{fmt.Sprint("t", random.IntN(3))}, []string{fmt.Sprint("d", random.IntN(3))}}
		switch random.IntN(12) {
		case 0:
			sql, args = `DELETE FROM blob WHERE ns = 'near' AND key = $1`, []any{k}
		case 1:
			sql, args = `SELECT invalidate_prefix('near', $1)`, []any{k[:1]}
		case 2:
			sql, args = `SELECT invalidate_tags('near', $1)`, []any{fmt.Sprint("t", random.IntN(3))}
		case 3:
			sql, args = `SELECT invalidate_dependencies(NULL, $1)`, []any{fmt.Sprint("d", random.IntN(3))}
		case 4:
			if i%50 == 0 {
				sql, args = `SELECT invalidate_namespace('near')`, nil
			}
		}
		if _, err := pool.Exec(ctx, sql, args...); err != nil {
			t.Errorf("%s: %v", sql, err)
			return
		}
	}
}

// settleNear waits until the near cache has applied all notifications so far: those before
// the one of a last write.
func settleNear(t *testing.T, ctx context.Context, pool *pgxpool.Pool, near *nearcache.Cache) {
	t.Helper()
	listener, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Release()
	mustExec(t, listener.Conn(), `LISTEN "cache_invalidation:near"`)
	defer mustExec(t, listener.Conn(), "UNLISTEN *")
	if _, err := pool.Exec(ctx, `SELECT cache_put('near', 'last', '')`); err != nil {
		t.Fatal(err)
	}
	_, payload, _ := strings.Cut(nextNotification(t, listener.Conn()), " ")
	var last struct{ Seq uint64 }
	if err := json.Unmarshal([]byte(payload), &last); err != nil {
		t.Fatal(err)
	}
	for near.Seen() < last.Seq {
		// A read of the near cache's own is a round trip, which gives it time to listen.
		if _, _, err := near.Get(ctx, "no such key"); err != nil {
			t.Fatal(err)
		}
	}
}
