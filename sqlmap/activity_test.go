package sqlmap

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	"pgcache/pgwire"
)

// fakeBackends are two sessions of two users.
type fakeBackends struct {
	done  []string
	users *pgwire.Accounts // nil: everybody is trusted
}

func (b *fakeBackends) Activity() []pgwire.Activity {
	return []pgwire.Activity{
		{ProcessID: 7, User: "me", Database: "db", State: pgwire.StateActive, Query: "SELECT 1", Started: clockStart, RemoteAddr: &net.TCPAddr{IP: net.IPv4(10, 0, 0, 9), Port: 77}},
		{ProcessID: 8, User: "other", Database: "db", ApplicationName: "app", State: pgwire.StateIdle, Query: "SELECT secret", Started: clockStart, RemoteAddr: &net.UnixAddr{}},
	}
}

func (b *fakeBackends) Users() (*pgwire.Accounts, bool) { return b.users, b.users != nil }

func (b *fakeBackends) CancelBackend(uint32) bool { b.done = append(b.done, "cancel"); return true }
func (b *fakeBackends) TerminateBackend(uint32) bool {
	b.done = append(b.done, "terminate")
	return true
}
func (b *fakeBackends) EndSession(uint32, *pgwire.Error) bool {
	return false
}

func TestActivity(t *testing.T) {
	w := newWorld(t, nil)
	backends := &fakeBackends{}
	begin := func(role pgwire.Role) *session {
		s, err := w.handler.NewSession(context.Background(), &pgwire.ConnInfo{User: "me", Identity: pgwire.Identity{Role: role}, Names: pgwire.NewNames(pgwire.Limits{}), Backends: backends})
		if err != nil {
			t.Fatal(err)
		}
		return s.(*session)
	}
	admin, plain := begin(pgwire.RoleAdmin), begin(pgwire.RoleReadWrite)
	tests := []struct {
		s    *session
		sql  string
		want string
	}{
		{admin, `SELECT pid, usename, client_addr, client_port, state, query FROM pg_catalog.pg_stat_activity`,
			"7 | me | 10.0.0.9 | 77 | active | SELECT 1\n8 | other | ∅ | -1 | idle | SELECT secret\nSELECT 2\n"},
		{plain, `SELECT pid, usename, application_name, client_port, backend_start, state, query FROM pg_stat_activity WHERE pid = 8`,
			"8 | other | app | ∅ | ∅ | ∅ | <insufficient privilege>\nSELECT 1\n"},
		{plain, `SELECT pg_cancel_backend(7)`, "t\nSELECT 1\n"},
		{plain, `SELECT pg_cancel_backend(8)`, "ERROR 42501: permission denied for pg_cancel_backend() of another user's session\n"},
		{plain, `SELECT pg_terminate_backend(8)`, "ERROR 42501"},
		{plain, `SELECT pg_cancel_backend(9)`, "f\nSELECT 1\n"},
		{admin, `SELECT pg_terminate_backend(8, 1000)`, "t\nSELECT 1\n"},
		{admin, `CREATE USER x PASSWORD 'y'`, "HINT: Run pgcache user add"},
		{admin, `ALTER ROLE x SUPERUSER`, "ERROR 0A000"},
		{admin, `DROP ROLE x`, "HINT: Run pgcache user add"},
		{admin, `GRANT SELECT ON blob TO x`, "HINT: Run pgcache user add"},
	}
	for _, test := range tests {
		if got := w.simple(test.s, test.sql); !strings.Contains(got, test.want) {
			t.Errorf("%s answers\n%swant\n%s", test.sql, got, test.want)
		}
	}
	if got := strings.Join(backends.done, " "); got != "cancel terminate" {
		t.Errorf("done: %s", got)
	}
}

// Defaults are what RESET goes back to, and idle time follows the state.
func TestSessionDefaults(t *testing.T) {
	w := newWorld(t, nil)
	w.handler.variables, _ = variablesWith("17.0", map[string]string{"statement_timeout": "5000", "idle_session_timeout": "60000", "idle_in_transaction_session_timeout": "1000"})
	w.handler.initial = initialValuesOf(w.handler.variables)
	s := w.session("main")
	if got := w.simple(s, "SHOW statement_timeout; SET statement_timeout = 0; RESET statement_timeout; SHOW statement_timeout"); strings.Count(got, "5s\n") != 2 {
		t.Error(got)
	}
	if d, e := s.IdleTimeout(), s.IdleError(); d != time.Minute || e.Code != pgwire.CodeIdleSessionTimeout {
		t.Error(d, e)
	}
	w.simple(s, "BEGIN")
	if d, e := s.IdleTimeout(), s.IdleError(); d != time.Second || e.Code != pgwire.CodeIdleInTransactionSessionTimeout {
		t.Error(d, e)
	}
	for _, bad := range []map[string]string{{"no_such": "1"}, {"statement_timeout": "soon"}, {"server_version": "1"}} {
		if _, err := variablesWith("17.0", bad); err == nil {
			t.Errorf("%v is accepted", bad)
		}
	}
}
