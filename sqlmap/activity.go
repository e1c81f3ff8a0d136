package sqlmap

import (
	"net"
	"net/netip"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// databaseOID is that of the one database.
const databaseOID = 5

// activityFields is a row of pg_stat_activity. As in PostgreSQL, of other users' sessions those
// who are no administrators see only that they exist.
func activityFields(a pgwire.Activity, user types.OID, isVisible, waits bool) []field {
	text := func(s string) types.Value { return types.OfText(s) }
	seen := func(v types.Value) types.Value {
		if !isVisible {
			return types.Null()
		}
		return v
	}
	at := func(t time.Time) types.Value {
		if t.IsZero() {
			return types.Null()
		}
		return seen(types.OfTime(t))
	}
	address, port := clientAddress(a.RemoteAddr)
	waitType, wait := types.Null(), types.Null()
	switch {
	case waits:
		waitType, wait = text("Lock"), text("advisory")
	case a.State != pgwire.StateActive:
		waitType, wait = text("Client"), text("ClientRead")
	}
	query := text("<insufficient privilege>")
	if isVisible {
		query = text(a.Query)
	}
	return []field{
		{"datid", types.Oid, types.OfInt(databaseOID)},
		{"datname", types.Name, text(a.Database)},
		{"pid", types.Int4, types.OfInt(int64(a.ProcessID))},
		{"leader_pid", types.Int4, types.Null()},
		{"usesysid", types.Oid, types.OfInt(int64(user))},
		{"usename", types.Name, text(a.User)},
		{"application_name", types.Text, text(a.ApplicationName)},
		{"client_addr", types.Inet, seen(address)},
		{"client_hostname", types.Text, types.Null()},
		{"client_port", types.Int4, seen(port)},
		{"backend_start", types.TimestampTZ, at(a.Started)},
		{"xact_start", types.TimestampTZ, at(a.TransactionStarted)},
		{"query_start", types.TimestampTZ, at(a.StatementStarted)},
		{"state_change", types.TimestampTZ, at(a.StateChanged)},
		{"wait_event_type", types.Text, seen(waitType)},
		{"wait_event", types.Text, seen(wait)},
		{"state", types.Text, seen(text(string(a.State)))},
		{"backend_xid", types.Xid, types.Null()},
		{"backend_xmin", types.Xid, types.Null()},
		{"query_id", types.Int8, types.Null()},
		{"query", types.Text, query},
		{"backend_type", types.Text, text("client backend")},
	}
}

// clientAddress is an address as pg_stat_activity has it: NULL and -1 for Unix sockets.
func clientAddress(addr net.Addr) (address, port types.Value) {
	tcp, ok := addr.(*net.TCPAddr)
	if !ok {
		return types.Null(), types.OfInt(-1)
	}
	ip, _ := netip.AddrFromSlice(tcp.IP)
	ip = ip.Unmap()
	return types.Value{Int: int64(ip.BitLen()), Bytes: ip.AsSlice()}, types.OfInt(int64(tcp.Port))
}

// activityRows are the rows of pg_stat_activity as a session sees them.
func activityRows(s *session) []query.Values {
	if s.info.Backends == nil {
		return nil
	}
	roles, waiting := s.roles(), s.handler.locks.Waiting()
	var rows []query.Values
	for _, a := range s.info.Backends.Activity() {
		user := types.OID(0)
		if role, ok := roles.Named(a.User); ok {
			user = role.OID
		}
		rows = append(rows, valuesOf(activityFields(a, user, s.grants.isAdmin() || a.User == s.info.User, waiting[a.ProcessID])))
	}
	return rows
}

// backendFunctions are those by which one session acts on another.
func backendFunctions(name string) []function {
	signal := func(act func(b pgwire.Backends, processID uint32) bool) func(e *schema.Call, args []types.Value) (types.Value, error) {
		return func(e *schema.Call, args []types.Value) (types.Value, error) {
			s, processID := sessionOf(e.Env), args[0].Int
			user, exists := s.backendUser(processID)
			switch {
			case !exists:
				return types.OfBool(false), nil // where PostgreSQL warns too
			case user != s.info.User:
				if err := s.grants.checkAdmin(name + "() of another user's session"); err != nil {
					return types.Value{}, err
				}
			}
			return types.OfBool(act(s.info.Backends, uint32(processID))), nil
		}
	}
	f := function{Name: name, Args: []types.OID{types.Int4}, ArgNames: []string{"pid"}, Returns: types.Bool, IsVolatile: true}
	switch name {
	case "pg_cancel_backend":
		f.Call = signal(pgwire.Backends.CancelBackend)
		return []function{f}
	case "pg_terminate_backend":
		f.Call = signal(pgwire.Backends.TerminateBackend)
		timed := f // we do not wait for the end, which PostgreSQL does if asked to
		timed.Args, timed.ArgNames = []types.OID{types.Int4, types.Int8}, []string{"pid", "timeout"}
		return []function{f, timed}
	}
	return nil
}

// backendUser finds whose session a process ID stands for.
func (s *session) backendUser(processID int64) (user string, exists bool) {
	if s.info.Backends == nil {
		return "", false
	}
	for _, a := range s.info.Backends.Activity() {
		if int64(a.ProcessID) == processID {
			return a.User, true
		}
	}
	return "", false
}
