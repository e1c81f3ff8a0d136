package sqlmap

import (
	"context"
	"slices"
	"strings"
	"testing"

	"pgcache/pgwire"
)

// usersOfTest are a user of each kind.
func usersOfTest() []pgwire.Account {
	return []pgwire.Account{
		{Name: "ops", Identity: pgwire.Identity{Role: pgwire.RoleAdmin}},
		{Name: "regional", Identity: pgwire.Identity{Role: pgwire.RoleAdmin, Namespaces: []string{"eu"}}},
		{Name: "writer", Identity: pgwire.Identity{Role: pgwire.RoleReadWrite}},
		{Name: "shop", Identity: pgwire.Identity{Role: pgwire.RoleReadWrite, Namespaces: []string{"shop:"}}},
		{Name: "reader", Identity: pgwire.Identity{Role: pgwire.RoleReadOnly}},
	}
}

// login begins a session of a user of the backends.
func (w *world) login(b *fakeBackends, name string) *session {
	w.t.Helper()
	info := &pgwire.ConnInfo{User: name, Identity: pgwire.Identity{Role: pgwire.RoleAdmin}, Database: "db", Started: clockStart, Names: pgwire.NewNames(pgwire.Limits{}), Backends: b}
	if b.users != nil {
		b.users.Each(func(known string, identity pgwire.Identity) {
			if known == name {
				info.Identity = identity
			}
		})
	}
	s, err := w.handler.NewSession(context.Background(), info)
	if err != nil {
		w.t.Fatal(err)
	}
	return s.(*session)
}

// answer is what simple shows without the columns.
func (w *world) answer(s *session, sql string) string {
	lines := strings.SplitAfter(w.simple(s, sql), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "[") }), "")
}

func TestRolesAreTheUsers(t *testing.T) {
	w := newWorld(t, nil)
	b := &fakeBackends{users: pgwire.NewAccounts(usersOfTest(), nil)}
	ops, shop := w.login(b, "ops"), w.login(b, "shop")
	for _, test := range []struct {
		s         *session
		sql, want string
	}{
		{ops, `SELECT rolname, rolsuper, rolcanlogin FROM pg_roles WHERE rolname !~ '^pg_' ORDER BY rolname`,
			"ops | t | t\npgcache | t | f\npgcache_admin | f | f\npgcache_readonly | f | f\npgcache_readwrite | f | f\nreader | f | t\nregional | f | t\nshop | f | t\nwriter | f | t\nSELECT 9\n"},
		{ops, `SELECT m.member::regrole, m.roleid::regrole FROM pg_auth_members m JOIN pg_user u ON u.usesysid = m.member ORDER BY u.usename`,
			"ops | pgcache_admin\nreader | pgcache_readonly\nregional | pgcache_admin\nshop | pgcache_readwrite\nwriter | pgcache_readwrite\nSELECT 5\n"},
		{ops, `SELECT rolname, rolpassword FROM pg_authid WHERE rolname = 'shop'`, "shop | ∅\nSELECT 1\n"},
		{ops, `SELECT usename, passwd FROM pg_shadow WHERE usename = 'shop'`, "shop | ∅\nSELECT 1\n"},
		{shop, `SELECT rolpassword FROM pg_roles WHERE rolname = 'ops'`, "********\nSELECT 1\n"},
		{shop, `SELECT rolname FROM pg_authid`, "ERROR 42501: permission denied for table pg_authid\n"},
		{shop, `SELECT count(*) FROM (SELECT passwd FROM pg_catalog.pg_shadow) AS s`, "ERROR 42501: permission denied for view pg_shadow\n"},
		{shop, `SELECT current_user, session_user, pg_get_userbyid(current_user::regrole::oid)`, "shop | shop | shop\nSELECT 1\n"},
		{shop, `SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname IN ('shop', 'regional') ORDER BY rolname`,
			"∅\nreadwrite in namespaces that begin with \"shop:\"\nSELECT 2\n"},
		{ops, `SELECT setrole::regrole, setconfig FROM pg_db_role_setting`, "reader | {default_transaction_read_only=on}\nSELECT 1\n"},
		{shop, `SELECT grantee, string_agg(privilege_type, ' ') FROM information_schema.table_privileges WHERE table_name = 'blob' GROUP BY 1`,
			"pgcache_readwrite | INSERT SELECT UPDATE DELETE TRUNCATE\nSELECT 1\n"},
		{shop, `SELECT role_name FROM information_schema.enabled_roles ORDER BY 1`, "pgcache_readwrite\nshop\nSELECT 2\n"},
		{shop, `SELECT has_table_privilege('nobody', 'blob', 'SELECT')`, "ERROR 42704: role \"nobody\" does not exist\n"},
		{shop, `SELECT has_table_privilege('public', 'blob', 'SELECT'), has_table_privilege('ops', 'blob', 'DELETE WITH GRANT OPTION'), has_table_privilege('writer', 'blob', 'DELETE WITH GRANT OPTION')`,
			"f | t | f\nSELECT 1\n"},
		{shop, `SELECT has_column_privilege('blob', 'value', 'UPDATE'), has_any_column_privilege('reader', 'blob', 'INSERT, SELECT'), has_column_privilege('blob', 99::int2, 'SELECT')`,
			"t | t | ∅\nSELECT 1\n"},
		{shop, `SELECT has_column_privilege('blob', 'nix', 'UPDATE')`, "ERROR 42703: column \"nix\" of relation \"blob\" does not exist\n"},
		{shop, `SELECT pg_has_role('pgcache_readwrite', 'MEMBER'), pg_has_role('pgcache_admin', 'USAGE'), pg_has_role('ops', 'pgcache_readonly', 'USAGE'), pg_has_role('shop', 'SET')`,
			"t | f | t | t\nSELECT 1\n"},
		{ops, `SELECT usename, usesysid::regrole FROM pg_stat_activity`, "me | -\nother | -\nSELECT 2\n"}, // who is connected without being known
	} {
		if got := w.answer(test.s, test.sql); got != test.want {
			t.Errorf("%s of %s answers\n%swant\n%s", test.sql, test.s.info.User, got, test.want)
		}
	}
}

// TestRolesFollowTheUsersFile changes the users under a session and its plans.
func TestRolesFollowTheUsersFile(t *testing.T) {
	w := newWorld(t, nil)
	b := &fakeBackends{users: pgwire.NewAccounts(usersOfTest(), nil)}
	ops := w.login(b, "ops")
	const count = `SELECT count(*) FROM pg_user WHERE usename = 'shop'`
	const oid = `SELECT oid FROM pg_roles WHERE rolname = 'writer'`
	before := w.answer(ops, oid)
	if got := w.answer(ops, count); got != "1\nSELECT 1\n" {
		t.Error(got)
	}
	b.users = pgwire.NewAccounts([]pgwire.Account{usersOfTest()[0], usersOfTest()[2], {Name: "zoe", Identity: pgwire.Identity{Role: pgwire.RoleReadOnly}}}, nil)
	if got := w.answer(ops, count); got != "0\nSELECT 1\n" {
		t.Error(got)
	}
	if got := w.answer(ops, `SELECT has_table_privilege('zoe', 'blob', 'SELECT'), has_table_privilege('zoe', 'blob', 'INSERT')`); got != "t | f\nSELECT 1\n" {
		t.Error(got)
	}
	if after := w.answer(ops, oid); after != before {
		t.Errorf("writer is %s and was %s", after, before)
	}
}

// Where everybody is trusted, whoever is connected is a role, and an administrator.
func TestRolesOfTrustedSessions(t *testing.T) {
	w := newWorld(t, nil)
	b := &fakeBackends{}
	s := w.login(b, "Some One")
	if got := w.answer(s, `SELECT usename, usesuper FROM pg_user ORDER BY 1`); got != "Some One | t\nme | t\nother | t\nSELECT 3\n" {
		t.Error(got)
	}
	if got := w.answer(s, `SELECT usesysid::regrole FROM pg_stat_activity; SELECT quote_ident(current_user)::regrole`); got != "me\nother\nSELECT 2\n\"Some One\"\nSELECT 1\n" {
		t.Error(got)
	}
	if _, err := w.handler.NewSession(context.Background(), &pgwire.ConnInfo{User: "pg_monitor"}); err == nil {
		t.Error("a session of pg_monitor begins")
	}
}

// TestPrivilegesAreTrue compares what has_…_privilege says with what happens.
func TestPrivilegesAreTrue(t *testing.T) {
	w := newWorld(t, nil)
	b := &fakeBackends{users: pgwire.NewAccounts(usersOfTest(), nil)}
	statements := []struct{ privilege, sql string }{
		{`has_table_privilege('blob', 'SELECT')`, `SELECT key FROM blob WHERE ns = $ AND key = 'k'`},
		{`has_table_privilege('blob', 'INSERT')`, `INSERT INTO blob (ns, key, value) VALUES ($, 'k', 'v') ON CONFLICT DO NOTHING`},
		{`has_column_privilege('blob', 'ttl_ms', 'UPDATE')`, `UPDATE blob SET ttl_ms = 5 WHERE ns = $ AND key = 'k'`},
		{`has_table_privilege('blob', 'DELETE')`, `DELETE FROM blob WHERE ns = $ AND key = 'k'`},
		{`has_table_privilege('blob', 'TRUNCATE')`, `TRUNCATE blob`},
		{`has_table_privilege('cache_namespaces', 'UPDATE')`, `UPDATE cache_namespaces SET default_ttl_ms = 5 WHERE ns = $`},
		{`has_database_privilege(current_database(), 'CONNECT')`, `SELECT 1`},
		{`has_table_privilege('pg_authid', 'SELECT')`, `SELECT FROM pg_authid`},
	}
	calls := map[string]string{"invalidate_key": "$, 'k'", "invalidate_prefix": "$, 'k'", "invalidate_tags": "$, 't'", "invalidate_dependencies": "$, 'd'",
		"invalidate_namespace": "$", "cache_put": "$, 'k', 'v'", "cache_get": "$, 'k'", "cache_release": "$, 'k', 1", "cache_touch": "$, 'k', 5",
		"cache_incr": "$, 'n', 1", "cache_backup": "'relative'", "cache_exists": "$, 'k'", "cache_channel": "$"}
	for name, arguments := range calls {
		statements = append(statements, struct{ privilege, sql string }{
			`(SELECT bool_and(has_function_privilege(oid, 'EXECUTE')) FROM pg_proc WHERE proname = '` + name + `')`, "SELECT " + name + "(" + arguments + ")"})
	}
	for _, account := range usersOfTest() {
		s := w.login(b, account.Name)
		ns := "'any'"
		if prefixes := account.Identity.Namespaces; prefixes != nil {
			ns = "'" + prefixes[0] + "'"
		}
		for _, statement := range statements {
			may := w.answer(s, "SELECT "+statement.privilege)
			got := w.answer(s, strings.ReplaceAll(statement.sql, "$", ns))
			refused := strings.Contains(got, "ERROR 42501") || strings.Contains(got, "ERROR 25006")
			if want := map[bool]string{false: "t", true: "f"}[refused]; may != want+"\nSELECT 1\n" {
				t.Errorf("%s: %s is %sbut %s answers\n%s", account.Name, statement.privilege, may, statement.sql, got)
			}
		}
	}
}
