package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// kinds are the ways to invalidate. Each statement covers exactly the entry that put
// stored under the same kind and number, and must answer that it did.
var kinds = []struct{ name, statement string }{
	{"key", `CALL invalidate_key('by-key', 'k%[1]d')`},
	{"delete", `DELETE FROM blob WHERE ns = 'by-delete' AND key = 'k%[1]d'`},
	{"prefix", `CALL invalidate_prefix('by-prefix', 'k%[1]d')`},
	{"tag", `CALL invalidate_tags('by-tag', 't%[1]d')`},
	{"dependency", `CALL invalidate_dependencies('by-dependency', 'd%[1]d')`},
	{"dependency everywhere", `CALL invalidate_dependencies(NULL, 'd%[1]d')`},
	{"namespace", `CALL invalidate_namespace('by-namespace-%[1]d')`},
}

// place is where the entry of a kind and number is stored.
func place(kind string, n int) (namespace, key string) {
	key = fmt.Sprintf("k%d", n)
	switch kind {
	case "dependency everywhere":
		return fmt.Sprintf("everywhere-%d", n%3), key
	case "namespace":
		return fmt.Sprintf("by-namespace-%d", n), key
	}
	return "by-" + kind, key
}

func put(ctx context.Context, t testing.TB, c *pgx.Conn, namespace, key string, n int) {
	t.Helper()
	_, err := c.Exec(ctx, `INSERT INTO blob (ns, key, value, tags, dependencies) VALUES ($1, $2, $3, $4, $5)`,
		namespace, key, []byte("value of "+key), []string{"page", fmt.Sprintf("t%d", n)}, []string{fmt.Sprintf("d%d", n)})
	if err != nil {
		t.Fatalf("put %s %s: %v", namespace, key, err)
	}
}

// present reports whether a key holds an entry, and checks that it is the right one.
func present(ctx context.Context, t testing.TB, c *pgx.Conn, namespace, key string) bool {
	t.Helper()
	var value []byte
	err := c.QueryRow(ctx, getStatement, namespace, key).Scan(&value)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("get %s %s: %v", namespace, key, err)
	}
	if err == nil && string(value) != "value of "+key {
		t.Errorf("%s %s holds %q", namespace, key, value)
	}
	return err == nil
}

// awaitDisk returns once the entry is stored on disk. It asks again and again, because
// nothing but asking tells.
func awaitDisk(ctx context.Context, t testing.TB, c *pgx.Conn, namespace, key string) {
	t.Helper()
	for {
		var tier string
		if err := c.QueryRow(ctx, `SELECT tier FROM blob WHERE ns = $1 AND key = $2`, namespace, key).Scan(&tier); err != nil {
			t.Fatalf("await %s %s: %v", namespace, key, err)
		}
		if tier == "both" || tier == "l2" {
			return
		}
	}
}

// TestRestart: a clean stop keeps every unexpired entry with all it was written with,
// and what was invalidated stays gone.
func TestRestart(t *testing.T) {
	dir := "--data-dir=" + t.TempDir()
	s := start(t, dir)
	ctx, c := testContext(t), s.connect(t)
	_, err := c.Exec(ctx, `INSERT INTO blob (ns, key, value, metadata, tags, dependencies, version, priority, ttl_ms, stale_ttl_ms)
		VALUES ('stay', 'full', 'value of full', '{"content-type": "text/plain"}', '{page,"two words"}', '{table:users}', 9, 7, 3600000, 60000)`)
	if err != nil {
		t.Fatal(err)
	}
	const n = 20
	for i := range n {
		put(ctx, t, c, "stay", fmt.Sprintf("k%d", i), i)
		for _, kind := range kinds {
			namespace, key := place(kind.name, i)
			put(ctx, t, c, namespace, key, i)
			if i%2 == 1 {
				awaitDisk(ctx, t, c, namespace, key)
			}
		}
	}
	if _, err := c.Exec(ctx, `INSERT INTO blob (ns, key, value, ttl_ms) VALUES ('stay', 'short', 'x', 1)`); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		for _, kind := range kinds {
			if _, err := c.Exec(ctx, fmt.Sprintf(kind.statement, i), pgx.QueryExecModeSimpleProtocol); err != nil {
				t.Fatalf("%s: %v", kind.name, err)
			}
		}
	}
	// dN is carried by the entries of every kind, and by those of stay, in all namespaces.
	for i := range n {
		if present(ctx, t, c, "stay", fmt.Sprintf("k%d", i)) {
			t.Errorf("stay k%d survived the invalidation of its dependency in all namespaces", i)
		}
		put(ctx, t, c, "stay", fmt.Sprintf("k%d", i), i)
	}
	s.stop(t)

	s = start(t, dir)
	c = s.connect(t)
	checkFull(ctx, t, c)
	for i := range n {
		if !present(ctx, t, c, "stay", fmt.Sprintf("k%d", i)) {
			t.Errorf("stay k%d is lost", i)
		}
		for _, kind := range kinds {
			if namespace, key := place(kind.name, i); present(ctx, t, c, namespace, key) {
				t.Errorf("%s: %s %s is back", kind.name, namespace, key)
			}
		}
	}
	if present(ctx, t, c, "stay", "short") {
		t.Error("an expired entry is served")
	}
	_, err = c.Exec(ctx, `INSERT INTO blob (ns, key, value, version) VALUES ('stay', 'full', 'older', 8)
		ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value, version = excluded.version`)
	expectCode(t, err, "55000")
	var invalidated int64
	if err := c.QueryRow(ctx, `SELECT * FROM invalidate_tags('stay', 'page')`).Scan(&invalidated); err != nil || invalidated != n+1 {
		t.Errorf("invalidate_tags after a restart: %d, %v, want %d", invalidated, err, n+1)
	}
}

// checkFull reads everything about the entry that TestRestart wrote with everything, and
// that it is read from disk.
func checkFull(ctx context.Context, t *testing.T, c *pgx.Conn) {
	t.Helper()
	var tier, metadata, tags, dependencies string
	var version, ttl, stale int64
	var priority int16
	err := c.QueryRow(ctx, `SELECT tier, metadata::text, tags::text, dependencies::text, version, priority, ttl_ms, stale_ttl_ms
		FROM blob WHERE ns = 'stay' AND key = 'full'`).Scan(&tier, &metadata, &tags, &dependencies, &version, &priority, &ttl, &stale)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintln(tier, metadata, tags, dependencies, version, priority, stale)
	if want := fmt.Sprintln("l2", `{"content-type": "text/plain"}`, `{page,"two words"}`, "{table:users}", 9, 7, 60000); got != want {
		t.Errorf("after a restart: %swant %s", got, want)
	}
	if ttl < 3_000_000 || ttl > 3_600_000 {
		t.Errorf("ttl_ms = %d", ttl)
	}
	if !present(ctx, t, c, "stay", "full") {
		t.Error("its value is lost")
	}
}

// TestCrash kills the server at once after invalidations of every kind were acknowledged,
// again and again on the same directory. None may come back, and what was on disk before
// an acknowledged invalidation must survive: one log orders them.
func TestCrash(t *testing.T) {
	dir := "--data-dir=" + t.TempDir()
	const rounds, perKind = 6, 4
	for round := range rounds {
		s := start(t, dir)
		ctx, c := testContext(t), s.connect(t)
		for i := range round * perKind {
			if !present(ctx, t, c, "survivors", fmt.Sprintf("k%d", i)) {
				t.Errorf("round %d: survivor %d is lost", round, i)
			}
			for _, kind := range kinds {
				if namespace, key := place(kind.name, i); present(ctx, t, c, namespace, key) {
					t.Errorf("round %d, %s: %s %s is back", round, kind.name, namespace, key)
				}
			}
		}
		first := round * perKind
		for i := first; i < first+perKind; i++ {
			for _, kind := range kinds {
				namespace, key := place(kind.name, i)
				put(ctx, t, c, namespace, key, i)
				if i%2 == 0 {
					awaitDisk(ctx, t, c, namespace, key)
				}
			}
			key := fmt.Sprintf("k%d", i)
			if _, err := c.Exec(ctx, putStatement, "survivors", key, []byte("value of "+key)); err != nil {
				t.Fatal(err)
			}
			awaitDisk(ctx, t, c, "survivors", key)
		}
		for i := first; i < first+perKind; i++ {
			for _, kind := range kinds {
				if _, err := c.Exec(ctx, fmt.Sprintf(kind.statement, i), pgx.QueryExecModeSimpleProtocol); err != nil {
					t.Fatalf("%s: %v", kind.name, err)
				}
			}
		}
		s.kill()
	}
}

// TestCrashUnderLoad kills the server while connections put and invalidate. What each
// knows to be invalidated must be gone.
func TestCrashUnderLoad(t *testing.T) {
	dir := "--data-dir=" + t.TempDir()
	const rounds, workers, acknowledgedMin = 3, 4, 200
	for round := range rounds {
		s := start(t, dir)
		ctx := testContext(t)
		acknowledged := make(chan string, 1<<16)
		done := make(chan struct{}, workers)
		for w := range workers {
			c := s.connect(t)
			go func() {
				defer func() { done <- struct{}{} }()
				for i := 0; ; i++ {
					key := fmt.Sprintf("r%d-w%d-%d", round, w, i)
					if _, err := c.Exec(ctx, putStatement, "load", key, []byte("value of "+key)); err != nil {
						return // the kill
					}
					if _, err := c.Exec(ctx, `CALL invalidate_key('load', $1)`, key); err != nil {
						return
					}
					acknowledged <- key
				}
			}()
		}
		var gone []string
		for len(gone) < acknowledgedMin {
			select {
			case key := <-acknowledged:
				gone = append(gone, key)
			case <-ctx.Done():
				t.Fatal("too slow")
			}
		}
		s.kill()
		for range workers {
			<-done
		}
		close(acknowledged)
		for key := range acknowledged {
			gone = append(gone, key)
		}
		s = start(t, dir)
		c := s.connect(t)
		for _, key := range gone {
			if present(ctx, t, c, "load", key) {
				t.Errorf("round %d: %s is back", round, key)
			}
		}
		s.stop(t)
	}
}

// TestStopTellsClients: an idle client is told why its connection ends, and new entries
// are on disk after the stop although nobody waited for them.
func TestStopTellsClients(t *testing.T) {
	dir := "--data-dir=" + t.TempDir()
	s := start(t, dir)
	ctx, c := testContext(t), s.connect(t)
	for i := range 100 {
		put(ctx, t, c, "stop", fmt.Sprintf("k%d", i), i)
	}
	s.stop(t)
	_, err := c.Exec(ctx, `SELECT 1`)
	if err == nil {
		t.Error("the connection outlived the server")
	}
	c = start(t, dir).connect(t)
	for i := range 100 {
		if !present(ctx, t, c, "stop", fmt.Sprintf("k%d", i)) {
			t.Errorf("k%d is lost", i)
		}
	}
}

// TestSecondSignal: a stop waits for an open transaction, until a second signal.
func TestSecondSignal(t *testing.T) {
	s := start(t, "--shutdown-timeout=10m")
	ctx, c := testContext(t), s.connect(t)
	if _, err := c.Exec(ctx, `BEGIN`); err != nil {
		t.Fatal(err)
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.log.wait(t, `"msg":"stopping`)
	if _, err := c.Exec(ctx, `SELECT 1`); err != nil {
		t.Errorf("a transaction was cut off by the first signal: %v", err)
	}
	for { // the listener closes soon after the log line
		other, err := pgx.Connect(ctx, s.url())
		if err != nil {
			break
		}
		other.Close(ctx)
	}
	if ctx.Err() != nil {
		t.Error("a stopping server takes new connections")
	}
	if err := s.process.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	if !strings.Contains(s.log.String(), "second signal") {
		t.Error("the log does not tell of the second signal")
	}
}
