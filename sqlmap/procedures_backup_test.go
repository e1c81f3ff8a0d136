package sqlmap

import (
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
	"pgcache/l2"
	"pgcache/pgwire"
)

func TestCacheBackup(t *testing.T) {
	files := vfs.NewMem()
	w := newWorld(t, func(_ *Config, c *cache.Config) {
		store, err := l2.Open(l2.Config{Dir: "l2", FS: files, Now: c.Now})
		if err != nil {
			t.Fatal(err)
		}
		c.Tier = store
	})
	admin := w.session("main")
	plain := w.sessionOf("ada", pgwire.Identity{Role: pgwire.RoleReadWrite})
	w.simple(admin, "INSERT INTO blob (ns, key, value) VALUES ('a', 'k', 'v')")
	for _, test := range []struct {
		s         *session
		sql, want string
	}{
		{admin, "SELECT entries FROM cache_backup('/backup')", "1\nSELECT 1\n"},
		{admin, "CALL cache_backup('/other')", "1 | "},
		{admin, "SELECT * FROM cache_backup('/backup')", "ERROR 22023: path /backup exists already"},
		{admin, "SELECT * FROM cache_backup('backup')", "ERROR 42602: relative path not allowed"},
		{admin, "SELECT * FROM cache_backup(NULL)", "ERROR 23502"},
		{plain, "SELECT * FROM cache_backup('/mine')", "ERROR 42501: permission denied for cache_backup()"},
	} {
		if got := w.simple(test.s, test.sql); !strings.Contains(got, test.want) {
			t.Errorf("%s answers\n%swant\n%s", test.sql, got, test.want)
		}
	}
	if _, err := files.Stat("/mine"); err == nil {
		t.Error("a refused backup was made")
	}
	memory := newWorld(t, nil)
	if got := memory.simple(memory.session("main"), "CALL cache_backup('/x')"); !strings.Contains(got, "there is no disk tier") {
		t.Error(got)
	}
}
