package sqlmap

import (
	"fmt"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
)

// A COPY of more than a transaction holds is staged on disk: all or nothing, too.
func TestCopyIsStaged(t *testing.T) {
	w := newWorld(t, func(config *Config, c *cache.Config) {
		config.Limits.TransactionBytesMax = 64 << 10
		store, err := l2.Open(l2.Config{Dir: "l2", FS: vfs.NewMem(), Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		c.Tier = store
	})
	s := w.session("s")
	load := func(options string, rows int, extra string) string {
		var data strings.Builder
		for i := range rows {
			fmt.Fprintf(&data, "n\tk%d\t%s\n", i, strings.Repeat("v", i%100))
		}
		w.copyData = data.String() + extra
		return w.ask(s, "COPY blob (ns, key, value) FROM STDIN"+options)
	}
	count := func() string { return w.ask(s, "SELECT count(*) FROM blob WHERE ns = 'n'") }
	for _, step := range []struct {
		options string
		rows    int
		extra   string
		want    string
		there   string
	}{
		{"", 5000, "n\tbad\n", "ERROR 22P04: missing data for column \"value\"   CONTEXT: COPY blob, line 5001: \"n\tbad\"", "0"},
		{"", 5000, "n\tk7\ttwice\n", "ERROR 23505: duplicate key value violates unique constraint \"blob_pkey\"   DETAIL: Key (ns, key)=(n, k7) already exists.   CONSTRAINT: blob_pkey   CONTEXT: COPY blob, line 5001", "0"},
		{"", 5000, "", "COPY 5000", "5000"},
		{"", 1, "", "ERROR 23505: duplicate key value violates unique constraint \"blob_pkey\"   DETAIL: Key (ns, key)=(n, k0) already exists.   CONSTRAINT: blob_pkey   CONTEXT: COPY blob, line 1", "5000"},
		{" (on_conflict 'nothing')", 5010, "n\tk7\ttwice\n", "COPY 10", "5010"},
		{" (on_conflict 'update')", 5020, "n\tk7\ttwice\n", "COPY 5021", "5020"},
	} {
		if got := load(step.options, step.rows, step.extra); got != step.want {
			t.Errorf("%d rows%s: %s\nwant %s", step.rows, step.options, got, step.want)
		}
		if got := count(); got != step.there+" SELECT 1" {
			t.Errorf("after %d rows%s: %s there, want %s", step.rows, step.options, got, step.there)
		}
	}
	if got := w.ask(s, "SELECT value_text FROM blob WHERE ns = 'n' AND key = 'k7'"); got != "twice SELECT 1" {
		t.Error(got)
	}
}
