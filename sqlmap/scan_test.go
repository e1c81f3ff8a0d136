package sqlmap

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
	"pgcache/pgwire"
)

// withTier makes a world with a disk tier, in memory.
func withTier(t testing.TB) *world {
	return newWorld(t, func(_ *Config, c *cache.Config) {
		// A machine that stops the process for some seconds is no slow disk.
		const patience = 24 * time.Hour
		store, err := l2.Open(l2.Config{Dir: "l2", FS: vfs.NewMem(), Now: c.Now, WriteTimeout: patience, StallAfter: patience, CloseTimeout: patience})
		if err != nil {
			t.Fatal(err)
		}
		c.Tier, c.WriteWait = store, patience
	})
}

func fill(t testing.TB, w *world, s *session, n int) {
	t.Helper()
	for i := 0; i < n; i += 500 {
		sql := fmt.Sprintf("SELECT count(cache_put('n', 'k' || lpad(i::text, 6, '0'), 'v', tags => ARRAY['t' || i %% 2])) FROM generate_series(%d, %d) i", i, min(i+500, n)-1)
		if got := w.simple(s, sql); !strings.Contains(got, "SELECT 1") {
			t.Fatal(got)
		}
	}
}

// A DELETE of what a scan finds goes part by part and returns every row once, in order.
func TestDeleteOfALargeScan(t *testing.T) {
	for name, w := range map[string]*world{"memory": newWorld(t, nil), "tier": withTier(t)} {
		t.Run(name, func(t *testing.T) {
			const n = 2 * (3*deletesAtOnce + 5)
			s := w.session("main")
			fill(t, w, s, n)
			got := strings.Split(w.simple(s, "DELETE FROM blob WHERE ns = 'n' AND size = 1 AND 't1' = ANY (tags) RETURNING key"), "\n")
			if len(got) != n/2+3 || got[n/2+1] != fmt.Sprintf("DELETE %d", n/2) {
				t.Fatalf("%d lines, the last %s", len(got), got[len(got)-2])
			}
			for i := range n / 2 {
				if want := fmt.Sprintf("k%06d", 2*i+1); got[i+1] != want {
					t.Fatalf("row %d is %s, want %s", i, got[i+1], want)
				}
			}
			if got := w.simple(s, "SELECT count(*) FROM blob"); !strings.Contains(got, fmt.Sprintf("\n%d\n", n/2)) {
				t.Error(got)
			}
		})
	}
}

// countingWriter counts bytes and the memory in use when asked.
type countingWriter struct{ bytes int64 }

func (c *countingWriter) Write(p []byte) (int, error) {
	c.bytes += int64(len(p))
	return len(p), nil
}

// A portal over a scan streams: it holds little, however many rows there are.
func TestScanStreams(t *testing.T) {
	w := withTier(t)
	s := w.session("main")
	const n = 20_000
	fill(t, w, s, n)
	for w.cache.Stats().DirtyBytes > 0 { // what writes them to disk takes memory of its own
		<-time.After(time.Millisecond)
	}
	statement, err := s.Prepare(t.Context(), "SELECT key, value, tags, created_at FROM blob WHERE ns = 'n' ORDER BY key", nil)
	if err != nil {
		t.Fatal(err)
	}
	portal, err := statement.Bind(t.Context(), &pgwire.BindArgs{ResultFormats: make([]pgwire.Format, 4)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer portal.Close()
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	var out countingWriter
	before, rows, most := heap(), int64(0), int64(0)
	for i := 0; ; i++ {
		reply := pgwire.NewReply(&out, 1000)
		done, err := portal.Execute(t.Context(), reply, false)
		if err != nil {
			t.Fatal(err)
		}
		reply.Flush()
		most = max(most, heap()-before)
		if !done.Suspended {
			rows += done.Rows
			break
		}
	}
	if rows != n {
		t.Errorf("%d rows", rows)
	}
	const heldMax = 4 << 20
	if most > heldMax {
		t.Errorf("the scan of %d bytes of rows held up to %d bytes", out.bytes, most)
	}
}
