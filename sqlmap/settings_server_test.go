package sqlmap

import (
	"strings"
	"testing"

	"pgcache/pgwire"
)

// What tells of the machine is for administrators, in every relation and function that shows settings;
// and whoever asks SHOW for a setting of the server is told where it is.
func TestServerSettings(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.config.Settings = []SettingRow{
		{Name: "l1_bytes", Value: "1048576", Unit: "bytes", Source: "file /etc/pgcache.yaml:3"},
		{Name: "data_dir", Value: "/var/lib/pgcache", Source: "flag", IsPrivate: true},
	}
	user := w.sessionOf("u", pgwire.Identity{Role: pgwire.RoleReadWrite})
	for _, sql := range []string{
		`SELECT * FROM cache_settings`, `SELECT * FROM pg_settings WHERE name LIKE 'pgcache%'`,
		`SELECT current_setting('pgcache.data_dir', true), current_setting('pgcache.l1_bytes')`,
	} {
		if got := w.simple(user, sql); strings.Contains(got, "/") || !strings.Contains(got, "1048576") {
			t.Errorf("%s: a user sees\n%s", sql, got)
		}
		if got := w.simple(w.session("admin"), sql); !strings.Contains(got, "/var/lib") {
			t.Errorf("%s: an administrator sees\n%s", sql, got)
		}
	}
	for _, sql := range []string{`SHOW l1_bytes`, `SET l1_bytes = 1`, `SHOW pgcache.l1_bytes`} {
		if got := w.simple(user, sql); !strings.Contains(got, "42704") || !strings.Contains(got, "cache_settings WHERE name = 'l1_bytes'") {
			t.Errorf("%s: %s", sql, got)
		}
	}
}
