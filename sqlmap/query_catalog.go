package sqlmap

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/library"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// This file describes pgcache to queries: its relations, functions and settings, as
// package catalog takes them.

// ownRelations are the relations of schema public. Their order gives them their OIDs: new
// ones go to the end.
var ownRelations = []struct {
	name, comment string
	key           int // how many of the first columns make the primary key
}{
	{"blob", "the cache itself: an entry a row", 2},
	{"cache_entries", "the entries without their payloads", 2},
	{"cache_stats", "counters and gauges of the cache, in one row", 0},
	{"cache_namespaces", "the namespaces and their counters", 1},
	{"cache_settings", "the settings of the server", 1},
	{"cache_stats_history", "counters and gauges over time, of the whole cache (ns NULL) and of the busiest namespaces", 0},
	{"cache_latency", "how long operations take", 0},
	{"cache_hot_keys", "the most read keys of late, estimated", 2},
	{"cache_slow_log", "the latest statements that took longer than slow_log_ms", 0},
}

// serverFunctions are those of PostgreSQL's functions that ask the session or the server.
var serverFunctions = []string{
	"version", "pg_postmaster_start_time", "pg_advisory_unlock_all", "set_config", "pg_notify", "pg_cancel_backend", "pg_terminate_backend",
	"inet_client_addr", "inet_client_port", "inet_server_addr", "inet_server_port", "system_user", "current_query", "pg_conf_load_time",
	"pg_control_system", "pg_control_checkpoint",
}

// sharedCatalog is the catalog of all Handlers: it depends on the program only, and its
// indexes take a while to make.
var sharedCatalog = sync.OnceValues(newCatalog)

func newCatalog() (*catalog.Catalog, error) {
	config := catalog.Config{Library: library.All(), Roles: rolesOf, Callers: callers(), Rows: map[string]catalog.Rows{
		"pg_settings": settingRows, "pg_stat_activity": backendRows, "pg_stat_ssl": tlsRows, "pg_prepared_statements": preparedRows, "pg_cursors": cursorRows,
		"pg_locks": lockRows,
	}}
	comments := comments()
	for _, own := range ownRelations {
		r := describeRelation(own.name, own.comment, own.key)
		for _, c := range r.Columns {
			r.Comments = append(r.Comments, columnComment(comments, r.Name, c.Name))
		}
		config.Relations = append(config.Relations, r)
	}
	config.Comments = make(map[string]string)
	for _, name := range procedureNames {
		config.Comments[name] = comments[name+"()"]
		for _, f := range functions(name) {
			config.Functions = append(config.Functions, describeFunction(f))
		}
	}
	for _, name := range slices.Concat(serverFunctions, advisoryNames) {
		for _, f := range sessionFunctions(name) {
			config.Library = append(config.Library, implementationOf(f))
		}
	}
	config.Library = append(config.Library, listeningChannels(), blockingProcesses())
	return catalog.New(config)
}

func describeRelation(name, comment string, key int) catalog.Relation {
	r := catalog.Relation{Comment: comment, Access: writers(name)}
	r.Name = name
	if name == "blob" || name == "cache_entries" {
		e := newEntrySource(name == "blob")
		for _, at := range e.columns {
			r.Columns = append(r.Columns, schema.Column{Name: blobTable[at].name, Type: blobTable[at].oid})
		}
		r.Source, r.Lookup = e, []int{0, 1}
	} else {
		own := findRelation(name)
		for _, c := range own.columns {
			r.Columns = append(r.Columns, schema.Column{Name: c.Name, Type: c.Type})
		}
		r.Source = schema.Table(func(env *schema.Env, _ *schema.Request) ([][]types.Value, error) {
			var rows [][]types.Value
			for _, row := range own.visible(sessionOf(env)) {
				rows = append(rows, row)
			}
			return rows, nil
		})
	}
	measure(&r)
	r.NotNull = make([]bool, len(r.Columns))
	for i := range key {
		r.Key, r.NotNull[i] = append(r.Key, i), true
	}
	return r
}

// sessionOf is the session on whose behalf a query runs.
func sessionOf(env *schema.Env) *session { return env.Session.(*querySession).session }

// code is the code of a function, with errors for clients.
func code(f function) func(c *schema.Call, args []types.Value) (types.Value, error) {
	return func(c *schema.Call, args []types.Value) (types.Value, error) {
		v, err := f.Call(c, args)
		return v, wireError(err)
	}
}

func describeFunction(f function) *schema.Function {
	out := &schema.Function{Name: f.Name, Kind: 'f', Args: f.Args, ArgNames: f.ArgNames, Returns: f.Returns, IsStrict: !f.OnNull, Volatility: 's',
		Implementation: &schema.Implementation{Signature: f.Name, Call: code(f)}}
	if f.IsVolatile {
		out.Volatility = 'v'
	}
	if f.IsVariadic {
		out.Variadic = f.Args[len(f.Args)-1].Elem()
	}
	out.Defaults = slices.Repeat([]types.Value{types.Null()}, f.Optional)
	for _, c := range f.Outs {
		out.Outs = append(out.Outs, schema.Column{Name: c.Name, Type: c.Type, Typmod: -1})
	}
	if name := outColumn(&f); len(f.Outs) == 0 && name != f.Name {
		out.Outs = []schema.Column{{Name: name, Type: f.Returns, Typmod: -1}}
	}
	return out
}

// implementationOf is the code for an overload of one of PostgreSQL's functions.
func implementationOf(f function) schema.Implementation {
	args := make([]string, len(f.Args))
	for i, oid := range f.Args {
		suffix := ""
		if elem := oid.Elem(); elem != 0 {
			oid, suffix = elem, "[]"
		}
		args[i] = types.Lookup(oid).Internal + suffix
	}
	run := code(f)
	out := schema.Implementation{Signature: fmt.Sprintf("%s(%s)", f.Name, strings.Join(args, ","))}
	out.Call = run
	return out
}

// backendRows are the rows of pg_stat_activity.
func backendRows(env *schema.Env) ([]catalog.Row, error) {
	r := findRelation("pg_stat_activity")
	var rows []catalog.Row
	for _, values := range r.rows(sessionOf(env)) {
		row := make(catalog.Row, len(values))
		for i, c := range r.columns {
			row[c.Name] = values[i]
		}
		rows = append(rows, row)
	}
	return rows, nil
}
