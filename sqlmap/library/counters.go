package library

import (
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// counters are the pg_stat_get_… functions that monitoring calls by themselves. pgcache
// counts in cache_stats; of pages, vacuums, replication and WAL there are none here, and these
// functions say so, as the views over the same numbers do.
func counters() []implementation {
	out := []implementation{}
	each := func(prefix, argument string, v value, names ...string) {
		for _, name := range names {
			out = append(out, constant(prefix+name+argument, v))
		}
	}
	const relation, database = "pg_stat_get_", "pg_stat_get_db_"
	each(relation, "(oid)", number(0), "analyze_count", "autoanalyze_count", "autovacuum_count", "vacuum_count", "ins_since_vacuum", "mod_since_analyze",
		"blocks_fetched", "blocks_hit", "tuples_deleted", "tuples_fetched", "tuples_hot_updated", "tuples_inserted", "tuples_newpage_updated",
		"tuples_returned", "tuples_updated", "xact_blocks_fetched", "xact_blocks_hit", "xact_numscans", "xact_tuples_deleted", "xact_tuples_fetched",
		"xact_tuples_hot_updated", "xact_tuples_inserted", "xact_tuples_newpage_updated", "xact_tuples_returned", "xact_tuples_updated")
	each(relation, "(oid)", types.Null(), "last_analyze_time", "last_autoanalyze_time", "last_autovacuum_time", "last_vacuum_time", "lastscan",
		"function_calls", "function_self_time", "function_total_time", "xact_function_calls", "xact_function_self_time", "xact_function_total_time")
	each(database, "(oid)", number(0), "blocks_fetched", "blocks_hit", "conflict_all", "conflict_bufferpin", "conflict_lock", "conflict_logicalslot",
		"conflict_snapshot", "conflict_startup_deadlock", "conflict_tablespace", "deadlocks", "sessions", "sessions_abandoned", "sessions_fatal",
		"sessions_killed", "temp_bytes", "temp_files", "tuples_deleted", "tuples_fetched", "tuples_inserted", "tuples_returned", "tuples_updated",
		"xact_commit", "xact_rollback")
	each(database, "(oid)", float(0), "active_time", "blk_read_time", "blk_write_time", "idle_in_transaction_time", "session_time")
	each(database, "(oid)", types.Null(), "checksum_failures", "checksum_last_failure", "stat_reset_time")
	each(relation, "()", number(0), "bgwriter_buf_written_clean", "bgwriter_maxwritten_clean", "buf_alloc", "checkpointer_buffers_written",
		"checkpointer_num_requested", "checkpointer_num_timed", "checkpointer_restartpoints_performed", "checkpointer_restartpoints_requested",
		"checkpointer_restartpoints_timed")
	each(relation, "()", float(0), "checkpointer_sync_time", "checkpointer_write_time")
	each(relation, "()", types.Null(), "bgwriter_stat_reset_time", "checkpointer_stat_reset_time", "snapshot_timestamp")
	each("pg_stat_", "()", value{}, "clear_snapshot", "force_next_flush")
	out = append(out,
		zeros("pg_stat_get_archiver()"), zeros("pg_stat_get_wal()"),
		constant("pg_stat_get_wal_receiver()", types.Null()), constant("pg_stat_have_stats(text,oid,oid)", boolean(false)),
		call("pg_stat_get_db_numbackends(oid)", func(c *schema.Call, a []value) (value, error) {
			found, err := backendsOf(c, "datid", a[0].Int)
			return number(int64(len(found))), err
		}))
	for _, nothing := range []string{"pg_stat_get_replication_slot(text)", "pg_stat_get_subscription_stats(oid)"} {
		out = append(out, call(nothing, func(c *schema.Call, _ []value) (value, error) { return unknownRow(c), nil }))
	}
	for _, nothing := range []string{"pg_stat_get_wal_senders()", "pg_stat_get_subscription(oid)", "pg_stat_get_progress_info(text)",
		"pg_stat_get_recovery_prefetch()", "pg_get_backend_memory_contexts()"} {
		out = append(out, none(nothing))
	}
	return append(append(out, backends()...), simpleLRU(), ioCounters())
}

// none makes a set-returning function of things that are never there.
func none(signature string) implementation {
	return list(signature, func(*schema.Call, []value) ([]value, error) { return nil, nil })
}

// zeros makes a function of one row in which every counter is 0 and everything else NULL.
func zeros(signature string) implementation {
	return call(signature, func(c *schema.Call, _ []value) (value, error) {
		row := unknownRow(c)
		for i, column := range c.Function.Outs {
			switch column.Type {
			case types.Int8, types.Float8:
				row.Elems[i] = value{}
			case types.Numeric:
				row.Elems[i] = text("0")
			}
		}
		return row, nil
	})
}

// unknownRow is the row of a function's OUT columns with a NULL in each.
func unknownRow(c *schema.Call) value {
	row := make([]value, len(c.Function.Outs))
	for i := range row {
		row[i] = types.Null()
	}
	return c.Row(row...)
}

// backendsOf are the rows of pg_stat_activity in which a column has a value.
func backendsOf(c *schema.Call, column string, wanted int64) ([]catalog.Tuple, error) {
	all, err := world(c).Find(c.Env, "pg_stat_activity", "", value{})
	var found []catalog.Tuple
	for _, t := range all {
		if v := t.Get(column); !v.IsNull && v.Int == wanted {
			found = append(found, t)
		}
	}
	return found, err
}

// backends are the functions about one backend, which they know by its place in
// pg_stat_activity.
func backends() []implementation {
	out := []implementation{
		list("pg_stat_get_backend_idset()", func(c *schema.Call, _ []value) ([]value, error) {
			all, err := world(c).Find(c.Env, "pg_stat_activity", "", value{})
			ids := make([]value, len(all))
			for i := range ids {
				ids[i] = number(int64(i + 1))
			}
			return ids, err
		}),
		list("pg_stat_get_activity(int4)", func(c *schema.Call, a []value) ([]value, error) {
			found, err := world(c).Find(c.Env, "pg_stat_activity", "", value{})
			if !a[0].IsNull {
				found, err = backendsOf(c, "pid", a[0].Int)
			}
			tls, tlsErr := world(c).Find(c.Env, "pg_stat_ssl", "", value{})
			if err == nil {
				err = tlsErr
			}
			return mapped(found, func(t catalog.Tuple) value {
				row := unknownRow(c)
				for i, column := range c.Function.Outs {
					switch name := column.Name; {
					case name == "ssl":
						row.Elems[i] = isEncrypted(tls, t.Get("pid").Int)
					case name == "gss_auth" || name == "gss_enc" || name == "gss_delegation":
						row.Elems[i] = boolean(false)
					default:
						row.Elems[i] = t.Get(name) // NULL if there is no such column
					}
				}
				return row
			}), err
		}),
		call("pg_stat_get_backend_subxact(int4)", func(c *schema.Call, a []value) (value, error) {
			if _, ok, err := backend(c, a[0].Int); err != nil || !ok {
				return types.Null(), err
			}
			return c.Row(number(0), boolean(false)), nil
		}),
	}
	for name, column := range map[string]string{"activity": "query", "activity_start": "query_start", "client_addr": "client_addr", "client_port": "client_port",
		"dbid": "datid", "pid": "pid", "start": "backend_start", "userid": "usesysid", "wait_event": "wait_event", "wait_event_type": "wait_event_type",
		"xact_start": "xact_start"} {
		out = append(out, call("pg_stat_get_backend_"+name+"(int4)", func(c *schema.Call, a []value) (value, error) {
			t, ok, err := backend(c, a[0].Int)
			if err != nil || !ok {
				return types.Null(), err
			}
			v := t.Get(column)
			if name == "client_addr" && !v.IsNull { // a text here
				return text(string(types.AppendHost(nil, v))), nil
			}
			return v, nil
		}))
	}
	return out
}

// backend is one by its number.
func backend(c *schema.Call, id int64) (t catalog.Tuple, ok bool, err error) {
	all, err := world(c).Find(c.Env, "pg_stat_activity", "", value{})
	if err != nil || id < 1 || id > int64(len(all)) {
		return t, false, err
	}
	return all[id-1], true, nil
}

func isEncrypted(tls []catalog.Tuple, pid int64) value {
	for _, t := range tls {
		if t.Get("pid").Int == pid {
			return t.Get("ssl")
		}
	}
	return boolean(false)
}

// simpleLRU is pg_stat_get_slru(): the caches that PostgreSQL has, which nothing here uses.
func simpleLRU() implementation {
	return list("pg_stat_get_slru()", func(c *schema.Call, _ []value) ([]value, error) {
		var out []value
		for _, name := range []string{"commit_timestamp", "multixact_member", "multixact_offset", "notify", "serializable", "subtransaction", "transaction", "other"} {
			row := zeroRow(c)
			row.Elems[0] = text(name)
			out = append(out, row)
		}
		return out, nil
	})
}

func zeroRow(c *schema.Call) value {
	row, _ := zeros("").Call(c, nil) // has no errors
	return row
}

// ioCounters is pg_stat_get_io(), for what clients' backends do: nothing is read or written
// page by page.
func ioCounters() implementation {
	return list("pg_stat_get_io()", func(c *schema.Call, _ []value) ([]value, error) {
		const pageBytes = 8192
		var out []value
		for _, kind := range [][2]string{{"relation", "bulkread"}, {"relation", "bulkwrite"}, {"relation", "normal"}, {"relation", "vacuum"}, {"temp relation", "normal"}} {
			row := zeroRow(c)
			object, context := kind[0], kind[1]
			for i, column := range c.Function.Outs {
				isRing := context != "normal"
				switch name := column.Name; {
				case name == "backend_type":
					row.Elems[i] = text("client backend")
				case name == "object":
					row.Elems[i] = text(object)
				case name == "context":
					row.Elems[i] = text(context)
				case name == "op_bytes":
					row.Elems[i] = number(pageBytes)
				case name == "reuses" && !isRing, (name == "fsyncs" || name == "fsync_time") && (isRing || object != "relation"),
					(name == "extends" || name == "extend_time") && context == "bulkread", (name == "writebacks" || name == "writeback_time") && object != "relation":
					row.Elems[i] = types.Null() // never happens
				}
			}
			out = append(out, row)
		}
		return out, nil
	})
}
