package library

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// walFileBytes is the size of the files that places in PostgreSQL's log are named by.
const walFileBytes = 16 << 20

// walPlaces are functions of places in a write-ahead log. pgcache has none of PostgreSQL's
// kind: it is at 0/0 for ever, on timeline 1. Arithmetic works with any places.
func walPlaces() []implementation {
	difference := func(a []value) (value, error) {
		return types.NumericArithmetic('-', unsigned(a[0]), unsigned(a[1]))
	}
	move := func(place, by value, operator byte) (value, error) {
		if s := by.Text(); s == "NaN" {
			return value{}, invalidParameter("cannot add NaN to pg_lsn")
		}
		sum, err := types.NumericArithmetic(operator, unsigned(place), by)
		if err != nil {
			return value{}, err
		}
		n, err := strconv.ParseUint(types.NumericWhole(sum, "round").Text(), 10, 64)
		if err != nil {
			return value{}, invalidParameter("pg_lsn out of range")
		}
		return number(int64(n)), nil
	}
	fileOf := func(place value) string {
		file := uint64(place.Int) / walFileBytes
		return fmt.Sprintf("%08X%08X%08X", 1, file/256, file%256)
	}
	out := []implementation{
		pure("pg_lsn_mi(pg_lsn,pg_lsn)", difference), pure("pg_wal_lsn_diff(pg_lsn,pg_lsn)", difference),
		pure("pg_lsn_pli(pg_lsn,numeric)", func(a []value) (value, error) { return move(a[0], a[1], '+') }),
		pure("numeric_pl_pg_lsn(numeric,pg_lsn)", func(a []value) (value, error) { return move(a[1], a[0], '+') }),
		pure("pg_lsn_mii(pg_lsn,numeric)", func(a []value) (value, error) { return move(a[0], a[1], '-') }),
		pure("pg_lsn(numeric)", func(a []value) (value, error) { return move(number(0), a[0], '+') }),
		constant("pg_current_wal_flush_lsn()", number(0)), constant("pg_current_wal_insert_lsn()", number(0)),
		pure("pg_walfile_name(pg_lsn)", func(a []value) (value, error) { return text(fileOf(a[0])), nil }),
		call("pg_walfile_name_offset(pg_lsn)", func(c *schema.Call, a []value) (value, error) {
			return c.Row(text(fileOf(a[0])), number(int64(uint64(a[0].Int)%walFileBytes))), nil
		}),
		call("pg_split_walfile_name(text)", func(c *schema.Call, a []value) (value, error) {
			name := strings.ToUpper(a[0].Text())
			timeline, err1 := strconv.ParseUint(name[:min(8, len(name))], 16, 32)
			high, err2 := strconv.ParseUint(name[min(8, len(name)):min(16, len(name))], 16, 32)
			low, err3 := strconv.ParseUint(name[min(16, len(name)):], 16, 32)
			if len(name) != 24 || err1 != nil || err2 != nil || err3 != nil || low > 255 {
				return value{}, invalidParameter("invalid WAL file name \"%s\"", a[0].Text())
			}
			return c.Row(text(strconv.FormatUint(high*256+low, 10)), number(int64(timeline))), nil
		}),
		constant("pg_is_wal_replay_paused()", boolean(false)),
		constant("pg_get_wal_replay_pause_state()", text("not paused")),
		none("pg_get_wal_resource_managers()"), none("pg_available_wal_summaries()"), none("pg_wal_summary_contents(int8,pg_lsn,pg_lsn)"),
		none("pg_show_replication_origin_status()"),
	}
	return append(append(out, snapshots()...), control()...)
}

// unsigned is a number of 64 bits as a numeric.
func unsigned(v value) value { return text(strconv.FormatUint(uint64(v.Int), 10)) }

// transactionID is what every transaction has: nothing here is numbered by transactions.
const transactionID = 3

// snapshots are the functions of transaction IDs. All see everything that is committed.
func snapshots() []implementation {
	status := func(a []value) (value, error) {
		switch id := uint64(a[0].Int); {
		case id == transactionID:
			return text("in progress"), nil
		case id > transactionID:
			return value{}, invalidParameter("transaction ID %d is in the future", id)
		}
		return text("committed"), nil
	}
	out := []implementation{pure("pg_xact_status(xid8)", status), pure("txid_status(int8)", status),
		constant("pg_xact_commit_timestamp(xid)", types.Null()), constant("pg_xact_commit_timestamp_origin(xid)", types.Null()),
		constant("pg_last_committed_xact()", types.Null()), none("pg_get_multixact_members(xid)")}
	for prefix, names := range map[string][3]string{"pg_": {"pg_snapshot", "xid8", "pg_visible_in_snapshot"}, "txid_": {"txid_snapshot", "int8", "txid_visible_in_snapshot"}} {
		snapshot, id := names[0], names[1]
		out = append(out,
			constant(prefix+"current_snapshot()", text(fmt.Sprintf("%d:%d:", transactionID, transactionID))),
			pure(snapshot+"_xmin("+snapshot+")", func(a []value) (value, error) { return number(snapshotOf(a[0])[0]), nil }),
			pure(snapshot+"_xmax("+snapshot+")", func(a []value) (value, error) { return number(snapshotOf(a[0])[1]), nil }),
			list(snapshot+"_xip("+snapshot+")", func(_ *schema.Call, a []value) ([]value, error) {
				return mapped(snapshotOf(a[0])[2:], number), nil
			}),
			pure(names[2]+"("+id+","+snapshot+")", func(a []value) (value, error) {
				s := snapshotOf(a[1])
				for _, running := range s[2:] {
					if running == a[0].Int {
						return boolean(false), nil
					}
				}
				return boolean(uint64(a[0].Int) < uint64(s[1])), nil
			}))
	}
	return out
}

// snapshotOf are the numbers in a snapshot: xmin, xmax and those in progress.
func snapshotOf(v value) []int64 {
	var out []int64
	for _, part := range strings.FieldsFunc(v.Text(), func(r rune) bool { return r == ':' || r == ',' }) {
		n, _ := strconv.ParseUint(part, 10, 64) // the type's input has checked it
		out = append(out, int64(n))
	}
	return out
}

// control are the functions that read PostgreSQL's control file: what is true of any server
// of the version, and a log that never began.
func control() []implementation {
	return []implementation{
		call("pg_control_init()", func(c *schema.Call, _ []value) (value, error) {
			return c.Row(number(8), number(8192), number(131072), number(8192), number(walFileBytes), number(64), number(32), number(1996), number(2048),
				boolean(true), number(0)), nil
		}),
		call("pg_control_recovery()", func(c *schema.Call, _ []value) (value, error) {
			return c.Row(number(0), number(0), number(0), number(0), boolean(false)), nil
		}),
	}
}

// emptyFolders are those that a data directory of PostgreSQL always has.
func emptyFolders() []string {
	return []string{"", ".", "base", "global", "log", "pg_commit_ts", "pg_dynshmem", "pg_logical", "pg_logical/mappings", "pg_logical/snapshots", "pg_multixact",
		"pg_multixact/members", "pg_multixact/offsets", "pg_notify", "pg_replslot", "pg_serial", "pg_snapshots", "pg_stat", "pg_stat_tmp", "pg_subtrans",
		"pg_tblspc", "pg_twophase", "pg_wal", "pg_wal/archive_status", "pg_wal/summaries", "pg_xact", "base/pgsql_tmp"}
}

// serverFiles are the functions that look at files of the server. There are none that clients may
// see: the folders that PostgreSQL has are empty, and no other is there.
func serverFiles() []implementation {
	missing := func(kind string, mayMiss func(a []value) bool) func(c *schema.Call, a []value) (value, error) {
		return func(c *schema.Call, a []value) (value, error) {
			if mayMiss(a) {
				return null()
			}
			return value{}, pgwire.Errorf(pgwire.CodeUndefinedFile, "could not %s \"%s\": No such file or directory", kind, a[0].Text())
		}
	}
	never := func([]value) bool { return false }
	last := func(a []value) bool { return a[len(a)-1].IsTrue() }
	noDirectory := func(mayMiss func(a []value) bool) func(c *schema.Call, a []value) ([]value, error) {
		return func(c *schema.Call, a []value) ([]value, error) {
			if slices.Contains(emptyFolders(), strings.Trim(strings.TrimPrefix(a[0].Text(), "./"), "/")) {
				return nil, nil
			}
			_, err := missing("open directory", mayMiss)(c, a)
			return nil, err
		}
	}
	const open, stat = "open file", "stat file"
	return []implementation{
		list("pg_ls_dir(text)", noDirectory(never)),
		list("pg_ls_dir(text,bool,bool)", noDirectory(func(a []value) bool { return a[1].IsTrue() })),
		call("pg_read_file(text)", missing(open, never)), call("pg_read_file(text,bool)", missing(open, last)),
		call("pg_read_file(text,int8,int8)", missing(open, never)), call("pg_read_file(text,int8,int8,bool)", missing(open, last)),
		call("pg_read_binary_file(text)", missing(open, never)), call("pg_read_binary_file(text,bool)", missing(open, last)),
		call("pg_read_binary_file(text,int8,int8)", missing(open, never)), call("pg_read_binary_file(text,int8,int8,bool)", missing(open, last)),
		call("pg_stat_file(text)", missing(stat, never)), call("pg_stat_file(text,bool)", missing(stat, last)),
		none("pg_ls_waldir()"), none("pg_ls_archive_statusdir()"), none("pg_ls_logdir()"), none("pg_ls_tmpdir()"), none("pg_ls_tmpdir(oid)"),
		none("pg_ls_logicalsnapdir()"), none("pg_ls_logicalmapdir()"), none("pg_ls_replslotdir(text)"),
		constant("pg_current_logfile()", types.Null()), constant("pg_current_logfile(text)", types.Null()),
		none("pg_hba_file_rules()"), none("pg_ident_file_mappings()"),
	}
}
