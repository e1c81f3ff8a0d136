package sqlmap

import (
	"context"
	"strings"
	"testing"

	"pgcache/pgwire"
)

// sessionOf begins a session of a user with an identity.
func (w *world) sessionOf(user string, identity pgwire.Identity) *session {
	w.t.Helper()
	s, err := w.handler.NewSession(context.Background(), &pgwire.ConnInfo{User: user, Identity: identity, Database: "db", Started: clockStart, Names: pgwire.NewNames(pgwire.Limits{})})
	if err != nil {
		w.t.Fatal(err)
	}
	return s.(*session)
}

// TestGrants has a line for every way of a statement to the cache. What a user may not do
// is refused, and leaves everything as it was.
func TestGrants(t *testing.T) {
	all := pgwire.Identity{Role: pgwire.RoleAdmin}
	reader := pgwire.Identity{Role: pgwire.RoleReadOnly}
	web := pgwire.Identity{Role: pgwire.RoleReadWrite, Namespaces: []string{"web", "shop:"}}
	webAdmin := pgwire.Identity{Role: pgwire.RoleAdmin, Namespaces: []string{"web"}}
	const (
		fine    = ""
		refused = "any" // 42501, or 0A000 where the handler of a test knows no joins
	)
	tests := []struct {
		sql      string
		identity pgwire.Identity
		code     pgwire.Code
	}{
		{`SELECT value FROM blob WHERE ns = 'web' AND key = 'k'`, reader, fine},
		{`SELECT value FROM blob WHERE ns = 'web:1' AND key = 'k'`, web, fine},
		{`SELECT value FROM blob WHERE ns = 'shop:1' AND key = 'k'`, web, fine},
		{`SELECT value FROM blob WHERE ns = 'shop' AND key = 'k'`, web, "42501"},
		{`SELECT value FROM blob WHERE ns = 'other' AND key = 'k'`, web, "42501"},
		{`SELECT size FROM cache_entries WHERE ns = 'other' AND key IN ('k', 'l')`, web, "42501"},
		{`SELECT size FROM blob WHERE ns = 'other' AND key = ANY ('{k}')`, web, "42501"},
		{`INSERT INTO blob (ns, key, value) VALUES ('web', 'new', 'x')`, reader, "25006"},
		{`INSERT INTO blob (ns, key, value) VALUES ('web', 'new', 'x'), ('other', 'new', 'x')`, web, "42501"},
		{`INSERT INTO blob (ns, key, value) VALUES ('other', 'k', 'x') ON CONFLICT DO NOTHING`, web, "42501"},
		{`UPDATE blob SET ttl_ms = 1 WHERE ns = 'other' AND key = 'k'`, web, "42501"},
		{`UPDATE blob SET ttl_ms = 1 WHERE ns = 'web' AND key = 'k'`, reader, "25006"},
		{`DELETE FROM blob WHERE ns = 'other' AND key = 'k'`, web, "42501"},
		{`DELETE FROM blob WHERE ns = 'other' AND key = 'k' RETURNING key`, web, "42501"},
		{`DELETE FROM blob WHERE ns = 'other' AND key LIKE 'k%'`, web, "42501"},
		{`DELETE FROM blob WHERE ns = 'other' AND tags && '{t}'`, web, "42501"},
		{`DELETE FROM blob WHERE ns = 'other' AND dependencies && '{d}'`, web, "42501"},
		{`DELETE FROM blob WHERE dependencies && '{d}'`, web, "42501"},
		{`DELETE FROM blob WHERE ns = 'other'`, web, "42501"},
		{`DELETE FROM blob`, web, "42501"},
		{`DELETE FROM blob`, webAdmin, "42501"},
		{`TRUNCATE blob`, web, "42501"},
		{`TRUNCATE blob`, reader, "25006"},
		{`CALL invalidate_key('other', 'k')`, web, "42501"},
		{`CALL invalidate_prefix('other', 'k')`, web, "42501"},
		{`CALL invalidate_tags('other', 't')`, web, "42501"},
		{`CALL invalidate_dependencies('other', 'd')`, web, "42501"},
		{`CALL invalidate_dependencies(NULL, 'd')`, web, "42501"},
		{`CALL invalidate_namespace('other')`, web, "42501"},
		{`SELECT invalidate_namespace('web')`, reader, "25006"},
		{`CALL cache_put('other', 'k', 'x')`, web, "42501"},
		{`BEGIN; SELECT cache_put('other', 'k', 'x'); COMMIT`, web, "42501"},
		{`BEGIN; INSERT INTO blob (ns, key, value) VALUES ('other', 'new', 'x'); COMMIT`, web, "42501"},
		{`SET default_transaction_read_only = off; DELETE FROM blob WHERE ns = 'web'`, reader, "25006"},
		{`BEGIN READ WRITE; DELETE FROM blob WHERE ns = 'web'; COMMIT`, reader, "25006"},
		{`SELECT key FROM blob WHERE ns = 'other' AND key LIKE 'k%' ORDER BY key`, web, "42501"},
		{`SELECT key FROM cache_entries WHERE ns = 'other'`, web, "42501"},
		{`SELECT key FROM cache_entries`, web, "42501"},
		{`SELECT count(*) FROM cache_entries WHERE 't' = ANY (tags)`, web, "42501"},
		{`SELECT count(*) FROM cache_entries WHERE ns = 'web' AND 't' = ANY (tags)`, web, fine},
		{`SELECT count(*) FROM cache_entries a JOIN cache_entries b ON a.key = b.key WHERE a.ns = 'web' AND b.ns = 'other'`, web, refused},
		{`SELECT ns FROM cache_namespaces WHERE EXISTS (SELECT FROM blob WHERE ns = 'other' AND key = 'k')`, web, "42501"},
		{`WITH x AS (SELECT * FROM blob WHERE ns = 'other') SELECT count(*) FROM x`, web, refused},
		{`UPDATE blob SET ttl_ms = 1 WHERE ns = 'other' AND key LIKE 'k%'`, web, "42501"},
		{`UPDATE blob SET ttl_ms = 1 WHERE ns = 'other'`, web, "42501"},
		{`DELETE FROM blob WHERE ns = 'other' AND size > 0`, web, "42501"},
		{`DELETE FROM blob WHERE size > 0`, web, "42501"},
		{`PREPARE p AS DELETE FROM blob WHERE ns = 'other' AND key = 'k'; EXECUTE p`, web, "42501"},
		{`PREPARE p AS DELETE FROM blob WHERE ns = 'web' AND key = 'k'; EXECUTE p`, reader, "25006"},
		{`BEGIN; DECLARE c CURSOR FOR SELECT key FROM cache_entries WHERE ns = 'other'; FETCH c; COMMIT`, web, "42501"},
		{`EXPLAIN ANALYZE DELETE FROM blob WHERE ns = 'other' AND key = 'k'`, web, "42501"},
		{`EXPLAIN ANALYZE DELETE FROM blob WHERE ns = 'web' AND key = 'k'`, reader, "25006"},
		{`EXPLAIN ANALYZE SELECT value FROM blob WHERE ns = 'other' AND key = 'k'`, web, "42501"},
		{`SELECT cache_get('other', 'k')`, web, "42501"},
		{`SELECT cache_get('web', 'k')`, reader, fine},
		{`SELECT cache_get('web', 'absent', lease_ms => 1000)`, reader, "25006"},
		{`SELECT cache_exists('other', 'k')`, web, "42501"},
		{`SELECT cache_touch('other', 'k', 1)`, web, "42501"},
		{`SELECT cache_touch('web', 'k', 1)`, reader, "25006"},
		{`SELECT cache_release('other', 'k', 1)`, web, "42501"},
		{`SELECT sweep_expired(10, 10)`, web, "42501"},
		{`SELECT sweep_expired(10, 10)`, reader, "25006"},
		{`SELECT cache_backup('x')`, web, "42501"},
		{`SELECT cache_backup('x')`, webAdmin, "42501"},
		{`UPDATE cache_namespaces SET default_ttl_ms = 1 WHERE ns = 'other'`, web, "42501"},
		{`UPDATE cache_namespaces SET default_ttl_ms = 1 WHERE ns = 'web'`, reader, "25006"},
		{`SELECT value FROM blob WHERE ns = 'web' AND key = 'k'`, all, fine},
		{`DELETE FROM blob WHERE ns = 'web' AND key = 'absent'`, web, fine},
		{`DELETE FROM blob WHERE ns = 'web' AND key = 'absent'`, pgwire.Identity{}, "25006"},
	}
	w := newWorld(t, nil)
	admin := w.sessionOf("admin", all)
	for _, ns := range []string{"web", "other"} {
		w.simple(admin, `INSERT INTO blob (ns, key, value, tags, dependencies) VALUES ('`+ns+`', 'k', 'x', '{t}', '{d}')`)
	}
	for _, test := range tests {
		got := w.simple(w.sessionOf("u", test.identity), test.sql)
		switch {
		case test.code == refused && strings.Contains(got, "ERROR"):
		case test.code == fine && strings.Contains(got, "ERROR"), test.code != fine && !strings.Contains(got, "ERROR "+string(test.code)):
			t.Errorf("%s\nas %+v answers\n%swant %q", test.sql, test.identity, got, test.code)
		}
	}
	for _, ns := range []string{"web", "other"} {
		if got := w.simple(admin, `SELECT value_text, ttl_ms FROM blob WHERE ns = '`+ns+`' AND key = 'k'`); !strings.Contains(got, "x | ∅\n") {
			t.Errorf("%s was changed: %s", ns, got)
		}
	}
	for _, ns := range []string{"web", "other"} {
		if got := w.simple(admin, `SELECT key FROM blob WHERE ns = '`+ns+`' AND key = 'new'`); !strings.HasSuffix(got, "SELECT 0\n") {
			t.Errorf("a refused statement wrote: %s", got)
		}
	}
}

func TestGrantsFilterRelations(t *testing.T) {
	w := newWorld(t, nil)
	admin := w.sessionOf("admin", pgwire.Identity{Role: pgwire.RoleAdmin})
	w.simple(admin, `INSERT INTO blob (ns, key, value) VALUES ('web', 'k', 'x'), ('web:2', 'k', 'x'), ('other', 'k', 'x')`)
	limited := w.sessionOf("u", pgwire.Identity{Role: pgwire.RoleReadOnly, Namespaces: []string{"web:"}})
	if got, want := w.simple(limited, `SELECT ns FROM cache_namespaces`), "[ns:text]\nweb:2\nSELECT 1\n"; got != want {
		t.Errorf("shows %q, want %q", got, want)
	}
	if got, want := w.simple(limited, `SHOW default_transaction_read_only; SHOW is_superuser`), "on\nSHOW\n"; !strings.Contains(got, want) {
		t.Errorf("shows %q, want %q", got, want)
	}
}
