package library

import (
	"strconv"
	"strings"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// sizes tell how much room things take.
func sizes() []implementation {
	relation := func(c *schema.Call, oid types.OID) (value, error) {
		n, ok := world(c).Size(c.Env, oid)
		if !ok {
			return null()
		}
		return number(n), nil
	}
	var out []implementation
	for _, signature := range []string{"pg_relation_size(regclass)", "pg_table_size(regclass)", "pg_total_relation_size(regclass)"} {
		out = append(out, call(signature, func(c *schema.Call, a []value) (value, error) { return relation(c, types.OID(a[0].Int)) }))
	}
	database := func(c *schema.Call, _ []value) (value, error) { return number(world(c).DatabaseSize(c.Env)), nil }
	return append(out,
		call("pg_relation_size(regclass,text)", func(c *schema.Call, a []value) (value, error) { return relation(c, types.OID(a[0].Int)) }),
		constant("pg_indexes_size(regclass)", number(0)),
		call("pg_database_size(oid)", database), call("pg_database_size(name)", database),
		call("pg_tablespace_size(oid)", database), call("pg_tablespace_size(name)", database),
		constant("pg_tablespace_location(oid)", text("")),
		pure("pg_size_pretty(int8)", func(a []value) (value, error) { return text(prettySize(a[0].Int)), nil }),
		pure("pg_size_pretty(numeric)", func(a []value) (value, error) {
			const wholeFrom = 10240 // less is shown as it is
			if types.Compare(types.Numeric, a[0], text(strconv.Itoa(wholeFrom))) < 0 && types.Compare(types.Numeric, a[0], text(strconv.Itoa(-wholeFrom))) > 0 {
				return text(a[0].Text() + " bytes"), nil
			}
			n, err := types.Cast(types.NumericWhole(a[0], "trunc"), types.Numeric, types.Int8, nil)
			return text(prettySize(n.Int)), err
		}),
		pure("pg_size_bytes(text)", sizeBytes))
}

// prettySize is a size in the unit in which it has at most five digits.
func prettySize(n int64) string {
	sign, size := "", n
	if n < 0 {
		sign, size = "-", -n
	}
	const limit = 10 * 1024
	if size < limit {
		return sign + strconv.FormatInt(size, 10) + " bytes"
	}
	size >>= 9 // one bit more, to round with
	for _, unit := range []string{"kB", "MB", "GB", "TB", "PB"} {
		if size < 2*limit-1 || unit == "PB" {
			return sign + strconv.FormatInt((size+1)/2, 10) + " " + unit
		}
		size >>= 10
	}
	return ""
}

func sizeBytes(a []value) (value, error) {
	s := strings.TrimSpace(a[0].Text())
	end := 0
	for end < len(s) && (isDigit(s[end]) || s[end] == '.' || s[end] == '-' && end == 0) {
		end++
	}
	n, err := strconv.ParseFloat(s[:end], 64)
	unit, ok := map[string]float64{"": 1, "bytes": 1, "b": 1, "kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30, "tb": 1 << 40, "pb": 1 << 50}[strings.ToLower(strings.TrimSpace(s[end:]))]
	if err != nil || !ok {
		return value{}, invalidParameter("invalid size: \"%s\"", a[0].Text())
	}
	return number(int64(n * unit)), nil
}

// server are the functions about the server and the session that need only what a Call has.
func server() []implementation {
	out := []implementation{
		call("current_user()", func(c *schema.Call, _ []value) (value, error) { return text(c.Session.User()), nil }),
		call("session_user()", func(c *schema.Call, _ []value) (value, error) { return text(c.Session.User()), nil }),
		call("getpgusername()", func(c *schema.Call, _ []value) (value, error) { return text(c.Session.User()), nil }),
		call("current_database()", func(c *schema.Call, _ []value) (value, error) { return text(c.Session.Database()), nil }),
		call("pg_backend_pid()", func(c *schema.Call, _ []value) (value, error) {
			return number(int64(int32(c.Session.ProcessID()))), nil
		}),
		call("current_schema()", func(c *schema.Call, _ []value) (value, error) {
			for _, s := range c.Session.SearchPath() {
				if s != catalog.System {
					return text(s), nil
				}
			}
			return null()
		}),
		call("current_schemas(bool)", func(c *schema.Call, a []value) (value, error) {
			out := []value{}
			for _, s := range c.Session.SearchPath() {
				if s != catalog.System || a[0].IsTrue() {
					out = append(out, text(s))
				}
			}
			return types.OfArray(out), nil
		}),
		call("current_setting(text)", func(c *schema.Call, a []value) (value, error) {
			v, ok := c.Session.Setting(a[0].Text())
			if !ok {
				return value{}, pgwire.Errorf(pgwire.CodeUndefinedObject, "unrecognized configuration parameter \"%s\"", a[0].Text())
			}
			return text(v), nil
		}),
		call("current_setting(text,bool)", func(c *schema.Call, a []value) (value, error) {
			v, ok := c.Session.Setting(a[0].Text())
			switch {
			case ok:
				return text(v), nil
			case a[1].IsTrue():
				return null()
			}
			return value{}, pgwire.Errorf(pgwire.CodeUndefinedObject, "unrecognized configuration parameter \"%s\"", a[0].Text())
		}),
		call("lastval()", func(*schema.Call, []value) (value, error) {
			return value{}, pgwire.Errorf(pgwire.CodeObjectNotInPrerequisiteState, "lastval is not yet defined in this session")
		}),
	}
	return append(append(append(out, fixed()...), updatability()...), listings()...)
}

// fixed always answer the same here: there is no replication, recovery or locale.
func fixed() []implementation {
	return []implementation{
		constant("pg_is_in_recovery()", boolean(false)),
		constant("pg_is_other_temp_schema(oid)", boolean(false)), constant("pg_my_temp_schema()", number(0)), constant("pg_jit_available()", boolean(false)),
		constant("getdatabaseencoding()", text("UTF8")), constant("pg_client_encoding()", text("UTF8")),
		constant("pg_encoding_max_length(int4)", number(4)), constant("pg_trigger_depth()", number(0)),
		constant("pg_notification_queue_usage()", float(0)),
		constant("pg_last_wal_receive_lsn()", types.Null()), constant("pg_last_wal_replay_lsn()", types.Null()), constant("pg_last_xact_replay_timestamp()", types.Null()),
		constant("pg_current_wal_lsn()", number(0)),
		constant("txid_current()", number(3)), constant("txid_current_if_assigned()", types.Null()), constant("pg_current_xact_id_if_assigned()", types.Null()), constant("pg_current_xact_id()", number(3)),
		constant("pg_collation_actual_version(oid)", types.Null()), constant("pg_database_collation_actual_version(oid)", types.Null()),
		constant("pg_relation_filenode(regclass)", types.Null()), constant("pg_relation_filepath(regclass)", types.Null()),
		constant("pg_stat_get_numscans(oid)", number(0)), constant("pg_stat_get_live_tuples(oid)", number(0)), constant("pg_stat_get_dead_tuples(oid)", number(0)),
		constant("pg_stat_reset_single_table_counters(oid)", value{}), constant("pg_stat_reset()", value{}),
		constant("pg_relation_is_publishable(regclass)", boolean(false)),
		pure("pg_encoding_to_char(int4)", func(a []value) (value, error) {
			names := encodingNames()
			if a[0].Int < 0 || a[0].Int >= int64(len(names)) {
				return text(""), nil
			}
			return text(names[a[0].Int]), nil
		}),
		pure("pg_char_to_encoding(name)", func(a []value) (value, error) {
			wanted := strings.NewReplacer("-", "", "_", "").Replace(strings.ToUpper(a[0].Text()))
			for i, name := range encodingNames() {
				if strings.ReplaceAll(name, "_", "") == wanted || name == "UTF8" && wanted == "UNICODE" {
					return number(int64(i)), nil
				}
			}
			return number(-1), nil
		}),
	}
}

// encodingNames are PostgreSQL's encodings by number. The one of pgcache is UTF8.
func encodingNames() []string {
	return strings.Fields(`SQL_ASCII EUC_JP EUC_CN EUC_KR EUC_TW EUC_JIS_2004 UTF8 MULE_INTERNAL LATIN1 LATIN2 LATIN3 LATIN4 LATIN5 LATIN6
		LATIN7 LATIN8 LATIN9 LATIN10 WIN1256 WIN1258 WIN866 WIN874 KOI8R WIN1251 WIN1252 ISO_8859_5 ISO_8859_6 ISO_8859_7 ISO_8859_8
		WIN1250 WIN1253 WIN1254 WIN1255 WIN1257 KOI8U SJIS BIG5 GBK UHC GB18030 JOHAB SHIFT_JIS_2004`)
}

// updatability tells what may be written: blob and the quotas of namespaces.
func updatability() []implementation {
	const updatable = 4 | 8 | 16 // UPDATE, INSERT, DELETE
	isTable := func(c *schema.Call, oid types.OID) (bool, error) {
		row, ok, err := world(c).FindOne(c.Env, "pg_class", oid)
		return ok && row.Text("relkind") == "r", err
	}
	return []implementation{
		call("pg_relation_is_updatable(regclass,bool)", func(c *schema.Call, a []value) (value, error) {
			ok, err := isTable(c, types.OID(a[0].Int))
			if !ok {
				return number(0), err
			}
			return number(updatable), nil
		}),
		call("pg_get_replica_identity_index(regclass)", func(c *schema.Call, a []value) (value, error) {
			class, ok, err := world(c).FindOne(c.Env, "pg_class", types.OID(a[0].Int))
			if err != nil || !ok || class.Text("relreplident") != "d" {
				return types.Null(), err
			}
			found, err := world(c).Find(c.Env, "pg_index", "indrelid", a[0])
			for _, index := range found {
				if index.Get("indisprimary").IsTrue() {
					return index.Get("indexrelid"), nil
				}
			}
			return types.Null(), err
		}),
		call("pg_column_is_updatable(regclass,int2,bool)", func(c *schema.Call, a []value) (value, error) {
			ok, err := isTable(c, types.OID(a[0].Int))
			return boolean(ok && a[1].Int > 0), err
		}),
		call("pg_indexam_has_property(oid,text)", func(_ *schema.Call, a []value) (value, error) {
			return property(a[1].Text(), map[string]bool{"can_order": true, "can_unique": true, "can_multi_col": true, "can_exclude": true, "can_include": true}), nil
		}),
		call("pg_index_has_property(regclass,text)", func(_ *schema.Call, a []value) (value, error) {
			return property(a[1].Text(), map[string]bool{"clusterable": true, "index_scan": true, "bitmap_scan": true, "backward_scan": true}), nil
		}),
		call("pg_index_column_has_property(regclass,int4,text)", func(_ *schema.Call, a []value) (value, error) {
			return property(a[2].Text(), map[string]bool{"asc": true, "desc": false, "nulls_first": false, "nulls_last": true, "orderable": true,
				"distance_orderable": false, "returnable": true, "search_array": true, "search_nulls": true}), nil
		}),
	}
}

// property is what all indexes here, which are like b-trees, say of themselves.
func property(name string, known map[string]bool) value {
	v, ok := known[strings.ToLower(name)]
	if !ok {
		return types.Null()
	}
	return boolean(v)
}

// listings are the functions behind some system views.
func listings() []implementation {
	relation := func(signature, name string) implementation {
		return list(signature, func(c *schema.Call, _ []value) ([]value, error) {
			found, err := world(c).Find(c.Env, name, "", value{})
			return mapped(found, func(t catalog.Tuple) value { return value{Elems: t.Values()} }), err
		})
	}
	return []implementation{
		relation("pg_show_all_settings()", "pg_settings"), relation("pg_timezone_abbrevs()", "pg_timezone_abbrevs"),
		relation("pg_prepared_statement()", "pg_prepared_statements"), relation("pg_cursor()", "pg_cursors"), relation("pg_lock_status()", "pg_locks"),
		none("pg_partition_ancestors(regclass)"), none("pg_partition_tree(regclass)"), none("pg_tablespace_databases(oid)"),
		none("pg_get_replication_slots()"), none("pg_get_publication_tables(text[])"), none("pg_prepared_xact()"), none("pg_show_all_file_settings()"),
		list("pg_available_extensions()", func(c *schema.Call, _ []value) ([]value, error) {
			found, err := world(c).Find(c.Env, "pg_extension", "", value{})
			return mapped(found, func(t catalog.Tuple) value {
				return value{Elems: []value{t.Get("extname"), t.Get("extversion"), text("")}}
			}), err
		}),
		list("pg_available_extension_versions()", func(c *schema.Call, _ []value) ([]value, error) {
			found, err := world(c).Find(c.Env, "pg_extension", "", value{})
			return mapped(found, func(t catalog.Tuple) value {
				return value{Elems: []value{t.Get("extname"), t.Get("extversion"), boolean(true), boolean(true), t.Get("extrelocatable"), text(catalog.System), types.Null(), text("")}}
			}), err
		}),
		list("pg_get_keywords()", func(*schema.Call, []value) ([]value, error) {
			kinds := map[byte]string{'U': "unreserved", 'C': "unreserved (cannot be function or type name)", 'T': "reserved (can be function or type name)", 'R': "reserved"}
			return mapped(catalog.Keywords(), func(k catalog.Keyword) value {
				label := "can be bare label"
				if !k.IsLabel {
					label = "requires AS"
				}
				return value{Elems: []value{text(k.Word), types.OfBytes([]byte{k.Kind}), boolean(k.IsLabel), text(kinds[k.Kind]), text(label)}}
			}), nil
		}),
		list("pg_get_wait_events()", func(c *schema.Call, _ []value) ([]value, error) {
			return []value{
				c.Row(text("Client"), text("ClientRead"), text("The session waits for its client.")),
				c.Row(text("Lock"), text("advisory"), text("The session waits for an advisory lock.")),
			}, nil
		}),
		list("pg_config()", func(c *schema.Call, _ []value) ([]value, error) {
			var out []value
			for _, name := range strings.Fields(`BINDIR DOCDIR HTMLDIR INCLUDEDIR PKGINCLUDEDIR INCLUDEDIR-SERVER LIBDIR PKGLIBDIR LOCALEDIR MANDIR SHAREDIR
				SYSCONFDIR PGXS CONFIGURE CC CPPFLAGS CFLAGS CFLAGS_SL LDFLAGS LDFLAGS_EX LDFLAGS_SL LIBS`) {
				out = append(out, c.Row(text(name), text("not recorded")))
			}
			return append(out, c.Row(text("VERSION"), text("PostgreSQL "+catalog.PostgresVersion))), nil
		}),
		list("pg_timezone_names()", func(c *schema.Call, _ []value) ([]value, error) {
			var out []value
			for _, name := range types.ZoneNames() {
				zone, err := time.LoadLocation(name)
				if err != nil {
					continue // the machine's database may lack it
				}
				at := c.Style.Now.In(zone)
				abbreviation, offset := at.Zone()
				out = append(out, value{Elems: []value{text(name), text(abbreviation), {Int: int64(offset) * microsPerSecond}, boolean(at.IsDST())}})
			}
			return out, nil
		}),
	}
}
