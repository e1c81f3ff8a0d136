package sqlmap

import (
	"strings"

	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// listeningChannels is pg_listening_channels().
func listeningChannels() schema.Implementation {
	return schema.Implementation{Signature: "pg_listening_channels()", Rows: func(c *schema.Call, _ []types.Value) (schema.Iterator, error) {
		return schema.Each(types.OfTexts(sessionOf(c.Env).listening.channels).Elems), nil
	}}
}

// tlsRows are the rows of pg_stat_ssl.
func tlsRows(env *schema.Env) ([]catalog.Row, error) {
	s := sessionOf(env)
	if s.info.Backends == nil {
		return nil, nil
	}
	var rows []catalog.Row
	for _, a := range s.info.Backends.Activity() {
		if !s.grants.isAdmin() && a.User != s.info.User {
			continue // as in PostgreSQL, others' sessions are not shown
		}
		rows = append(rows, catalog.Row{"pid": types.OfInt(int64(int32(a.ProcessID))), "ssl": types.OfBool(a.IsTLS)})
	}
	return rows, nil
}

// preparedRows are the rows of pg_prepared_statements. A statement has one plan, for all
// values of its parameters.
func preparedRows(env *schema.Env) ([]catalog.Row, error) {
	var rows []catalog.Row
	for _, s := range sessionOf(env).info.Names.Statements() {
		var results []types.Value
		for _, c := range s.Statement.Columns() {
			results = append(results, types.OfInt(int64(c.TypeOID)))
		}
		row := catalog.Row{"name": types.OfText(s.Name), "statement": types.OfText(s.SQL), "prepare_time": types.OfTime(s.At), "from_sql": types.OfBool(s.FromSQL),
			"parameter_types": typeList(s.Statement.ParamOIDs()), "generic_plans": types.OfInt(s.Uses), "custom_plans": types.OfInt(0)}
		if results != nil {
			row["result_types"] = types.OfArray(results)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// typeList is a regtype[].
func typeList(oids []uint32) types.Value {
	list := make([]types.Value, len(oids))
	for i, oid := range oids {
		list[i] = types.OfInt(int64(oid))
	}
	return types.OfArray(list)
}

// cursorRows are the rows of pg_cursors.
func cursorRows(env *schema.Env) ([]catalog.Row, error) {
	var rows []catalog.Row
	for _, p := range sessionOf(env).info.Names.Portals() {
		row := catalog.Row{"name": types.OfText(p.Name), "statement": types.OfText(p.SQL), "is_holdable": types.OfBool(p.IsHeld),
			"is_binary": types.OfBool(false), "is_scrollable": types.OfBool(false), "creation_time": types.OfTime(p.At)}
		if c, ok := p.Bound.(*cursorPortal); ok {
			row["is_binary"], row["is_scrollable"] = types.OfBool(c.isBinary), types.OfBool(c.passed != nil)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// ownSettingPrefix is before the server's own settings among the run-time parameters.
const ownSettingPrefix = "pgcache."

// serverSettings are those of the server that the user may see, as PostgreSQL hides those of
// superusers: not the names of files, nor that of the configuration file that set them.
func (s *session) serverSettings() []SettingRow {
	all := s.handler.config.Settings
	if s.grants.isAdmin() {
		return all
	}
	var visible []SettingRow
	for _, setting := range all {
		if setting.IsPrivate {
			continue
		}
		if strings.HasPrefix(setting.Source, "file ") {
			setting.Source = "file"
		}
		visible = append(visible, setting)
	}
	return visible
}

// serverSetting is the value of a setting of the server.
func (s *session) serverSetting(name string) (string, bool) {
	name, ok := strings.CutPrefix(name, ownSettingPrefix)
	if !ok {
		return "", false
	}
	for _, setting := range s.serverSettings() {
		if setting.Name == name {
			return setting.Value, true
		}
	}
	return "", false
}

// measure says how many rows a relation has and how much room they take, where that costs
// nothing to know.
func measure(r *catalog.Relation) {
	switch r.Name {
	case "blob", "cache_entries":
		r.Count = func(env *schema.Env) int64 { return sessionOf(env).handler.cache.Stats().Entries }
	case "cache_namespaces":
		r.Count = func(env *schema.Env) int64 { return sessionOf(env).handler.cache.Stats().Namespaces }
	case "cache_stats":
		r.Count = func(*schema.Env) int64 { return 1 }
	}
	if r.Name == "blob" {
		r.Bytes = func(env *schema.Env) int64 {
			s := sessionOf(env).handler.cache.Stats()
			return s.L1BytesInUse + s.Tier.BytesInUse
		}
	}
}
