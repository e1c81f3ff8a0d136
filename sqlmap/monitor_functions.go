package sqlmap

import (
	"hash/fnv"
	"net"

	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// monitorFunctions are those by which tools learn whom and what they talk to.
func monitorFunctions(name string) []function {
	switch name {
	case "inet_client_addr":
		return aboutSession(name, types.Inet, func(s *session) types.Value { return endpoint(s.info.RemoteAddr, true) })
	case "inet_client_port":
		return aboutSession(name, types.Int4, func(s *session) types.Value { return endpoint(s.info.RemoteAddr, false) })
	case "inet_server_addr":
		return aboutSession(name, types.Inet, func(s *session) types.Value { return endpoint(s.info.LocalAddr, true) })
	case "inet_server_port":
		return aboutSession(name, types.Int4, func(s *session) types.Value { return endpoint(s.info.LocalAddr, false) })
	case "system_user":
		return aboutSession(name, types.Text, systemUser)
	case "current_query":
		return aboutSession(name, types.Text, currentQuery)
	case "pg_conf_load_time": // settings are read when the server starts
		return aboutSession(name, types.TimestampTZ, func(s *session) types.Value { return types.OfTime(s.handler.config.StartTime) })
	case "pg_control_system":
		return []function{{Name: name, Returns: types.Record, Call: controlSystem}}
	case "pg_control_checkpoint":
		return []function{{Name: name, Returns: types.Record, Call: controlCheckpoint}}
	}
	return nil
}

// endpoint is one end of the connection: NULL of a Unix socket.
func endpoint(addr net.Addr, isAddress bool) types.Value {
	if _, ok := addr.(*net.TCPAddr); !ok {
		return types.Null()
	}
	address, port := clientAddress(addr)
	if isAddress {
		return address
	}
	return port
}

// systemUser is how the user was identified: NULL if nobody asked.
func systemUser(s *session) types.Value {
	if s.info.SystemUser == "" {
		return types.Null()
	}
	return types.OfText(s.info.SystemUser)
}

// currentQuery is the text that the client sent, or its beginning.
func currentQuery(s *session) types.Value {
	if s.info.Backends == nil {
		return types.Null()
	}
	for _, a := range s.info.Backends.Activity() {
		if a.ProcessID == s.info.ProcessID {
			return types.OfText(a.Query)
		}
	}
	return types.Null()
}

// catalogVersion is that of PostgreSQL 17's system catalogs, controlVersion that of its control
// file.
const (
	controlVersion = 1700
	catalogVersion = 202406281
)

// controlSystem is pg_control_system(). The identifier is the same as long as the server keeps its
// address and its folder.
func controlSystem(c *schema.Call, _ []types.Value) (types.Value, error) {
	config := &sessionOf(c.Env).handler.config
	h := fnv.New64a()
	for _, setting := range config.Settings {
		if setting.Name == "data-dir" || setting.Name == "listen" {
			_, _ = h.Write([]byte(setting.Name + "=" + setting.Value + "\n"))
		}
	}
	return c.Row(types.OfInt(controlVersion), types.OfInt(catalogVersion), types.OfInt(int64(h.Sum64()>>1)), types.OfTime(config.StartTime)), nil
}

// controlCheckpoint is pg_control_checkpoint(): of a log that is where it began.
func controlCheckpoint(c *schema.Call, _ []types.Value) (types.Value, error) {
	row := make([]types.Value, len(c.Function.Outs))
	for i, column := range c.Function.Outs {
		switch column.Name {
		case "redo_wal_file":
			row[i] = types.OfText("000000010000000000000000")
		case "timeline_id", "prev_timeline_id", "next_multixact_id", "oldest_multi_xid":
			row[i] = types.OfInt(1)
		case "next_xid":
			row[i] = types.OfText("0:3")
		case "next_oid":
			row[i] = types.OfInt(int64(catalog.FirstOID))
		case "oldest_xid":
			row[i] = types.OfInt(3)
		case "oldest_xid_dbid", "oldest_multi_dbid":
			row[i] = types.OfInt(databaseOID)
		case "checkpoint_time":
			row[i] = types.OfTime(sessionOf(c.Env).handler.config.StartTime)
		}
	}
	return c.Row(row...), nil
}
