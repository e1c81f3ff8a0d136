package e2e

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// sizedValue is the value of a key's n-th write: every third is large enough for a file,
// and none compresses.
func sizedValue(key string, n int) []byte {
	size := 100 + n%3*60_000
	value := fmt.Appendf(make([]byte, 0, size+sha256.Size), "%s %d ", key, n)
	for len(value) < size {
		sum := sha256.Sum256(value[max(0, len(value)-sha256.Size):])
		value = append(value, sum[:]...)
	}
	return value
}

// writeOf reads which write a value is of, and checks the value.
func writeOf(t *testing.T, key string, value []byte) int {
	t.Helper()
	var name string
	var n int
	if _, err := fmt.Sscanf(string(value[:min(len(value), 64)]), "%s %d ", &name, &n); err != nil || name != key || string(sizedValue(key, n)) != string(value) {
		t.Errorf("%s holds %d bytes that nobody wrote", key, len(value))
	}
	return n
}

// stored returns which write a key holds, -1 if there is none.
func stored(ctx context.Context, t *testing.T, c *pgx.Conn, key string) int {
	t.Helper()
	var value []byte
	err := c.QueryRow(ctx, getStatement, "s", key).Scan(&value)
	if errors.Is(err, pgx.ErrNoRows) {
		return -1
	}
	if err != nil {
		t.Fatal(err)
	}
	return writeOf(t, key, value)
}

// journal is what was acknowledged of one writer's key.
type journal struct {
	mu     sync.Mutex
	next   int
	put    int  // the latest put; -1: none
	gone   bool // and it was deleted since
	always bool // puts wait for the disk
}

// write puts and deletes one key until the server is gone.
func (j *journal) write(ctx context.Context, t *testing.T, url, key string) {
	c, err := pgx.Connect(ctx, url)
	if err != nil {
		return
	}
	defer c.Close(context.Background())
	if j.always {
		if _, err := c.Exec(ctx, "SET pgcache.durability = 'always'"); err != nil {
			if refused := (*pgconn.PgError)(nil); errors.As(err, &refused) {
				t.Error(err)
			}
			return
		}
	}
	for {
		j.mu.Lock()
		n := j.next
		j.next++
		j.mu.Unlock()
		remove := n%5 == 4
		if remove {
			_, err = c.Exec(ctx, `DELETE FROM blob WHERE ns = 's' AND key = $1`, key)
		} else {
			_, err = c.Exec(ctx, `SELECT cache_put('s', $1, $2, tags => ARRAY['all'])`, key, sizedValue(key, n))
		}
		if err != nil {
			return
		}
		j.mu.Lock()
		if j.gone = remove; !remove {
			j.put = n
		}
		j.mu.Unlock()
	}
}

// TestKillLoop kills the server in the middle of writers, again and again on the same
// directory. A key holds no write before its latest acknowledged delete, and with durability
// always none before its latest acknowledged put; and nothing on disk is damaged.
func TestKillLoop(t *testing.T) {
	rounds := 8
	if os.Getenv("PGCACHE_STRESS") != "" {
		rounds = 60
	}
	dir := "--data-dir=" + t.TempDir()
	const writers = 4
	journals := make([]*journal, writers)
	for i := range journals {
		journals[i] = &journal{put: -1, always: i%2 == 0}
	}
	for round := range rounds {
		s := start(t, dir, "--l2-bytes=64MiB", "--l1-bytes=8MiB")
		ctx, c := testContext(t), s.connect(t)
		for i, j := range journals {
			key := fmt.Sprint("k", i)
			got := stored(ctx, t, c, key)
			switch {
			case j.gone && got >= 0 && got <= j.put:
				t.Errorf("round %d: %s holds write %d, deleted after %d", round, key, got, j.put)
			case j.always && !j.gone && got < j.put && !(got == -1 && j.next > j.put+1):
				t.Errorf("round %d: %s holds write %d, %d was acknowledged as durable", round, key, got, j.put)
			}
		}
		var wait sync.WaitGroup
		for i, j := range journals {
			wait.Go(func() { j.write(context.Background(), t, s.url(), fmt.Sprint("k", i)) })
		}
		awaitWrites(t, journals, 40+10*round%7)
		s.kill()
		wait.Wait()
		if out, errs, err := run(t, "", binary, "check", dir); err != nil {
			t.Errorf("round %d: check: %v\n%s%s", round, err, out, errs)
		}
	}
}

// awaitWrites waits until the writers have done more writes.
func awaitWrites(t *testing.T, journals []*journal, more int) {
	t.Helper()
	total := func() (n int) {
		for _, j := range journals {
			j.mu.Lock()
			n += j.next
			j.mu.Unlock()
		}
		return n
	}
	goal := total() + more
	ticker := time.NewTicker(time.Millisecond)
	defer ticker.Stop()
	for deadline := time.Now().Add(patience); total() < goal; {
		if <-ticker.C; time.Now().After(deadline) {
			t.Fatal("the writers do not get on")
		}
	}
}

// TestBackup copies a server while clients write, and serves the copy. What was written and
// invalidated before the copy is as it was; each later write is there whole or not.
func TestBackup(t *testing.T) {
	root := t.TempDir()
	s := start(t, "--data-dir="+filepath.Join(root, "data"))
	ctx, c := testContext(t), s.connect(t)
	const n = 60
	for i := range n {
		key := fmt.Sprint("before", i)
		if _, err := c.Exec(ctx, `SELECT cache_put('s', $1, $2, tags => ARRAY[$3])`, key, sizedValue(key, i), fmt.Sprint("t", i%3)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Exec(ctx, `CALL invalidate_tags('s', 't1')`); err != nil {
		t.Fatal(err)
	}
	journals := []*journal{{put: -1}, {put: -1}}
	writing, stop := context.WithCancel(ctx)
	var wait sync.WaitGroup
	for i, j := range journals {
		wait.Go(func() { j.write(writing, t, s.url(), fmt.Sprint("k", i)) })
	}
	awaitWrites(t, journals, 20)
	backup := filepath.Join(root, "backup")
	var entries int64
	if err := c.QueryRow(ctx, `SELECT entries FROM cache_backup($1)`, backup).Scan(&entries); err != nil || entries < n*2/3 {
		t.Fatalf("backup: %d entries, %v", entries, err)
	}
	_, err := c.Exec(ctx, `SELECT * FROM cache_backup($1)`, backup)
	expectCode(t, err, "22023")
	if _, err := c.Exec(ctx, `CALL invalidate_namespace('s')`); err != nil { // the copy is another store
		t.Fatal(err)
	}
	awaitWrites(t, journals, 10)
	stop()
	wait.Wait()
	s.stop(t)

	restored := filepath.Join(root, "restored")
	if out, errs, err := run(t, "", binary, "restore", backup, "--data-dir="+restored); err != nil || !strings.Contains(out, " 0 damaged") {
		t.Fatalf("restore: %v\n%s%s", err, out, errs)
	}
	s = start(t, "--data-dir="+restored)
	ctx, c = testContext(t), s.connect(t)
	for i := range n {
		want := i
		if i%3 == 1 {
			want = -1
		}
		if got := stored(ctx, t, c, fmt.Sprint("before", i)); got != want {
			t.Errorf("before%d holds write %d, want %d", i, got, want)
		}
	}
	for i := range journals {
		stored(ctx, t, c, fmt.Sprint("k", i)) // checks its bytes
	}
}
