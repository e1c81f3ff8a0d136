package sqlmap

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/types"
)

// variable is a run-time parameter.
type variable struct {
	name        string
	initial     string
	unit        string // "ms" for durations; else empty
	isReported  bool   // sent as ParameterStatus
	isReadOnly  bool   // 55P02
	isHidden    bool   // from pg_settings and SHOW ALL, as in PostgreSQL
	description string
	// check normalises a value or refuses it. nil takes anything.
	check func(value string) (string, bool)
	// hint says what is accepted.
	hint string
}

const ignoredSetting = "Accepted for clients that set it; has no effect."

// intervalStyles are the values of IntervalStyle, in the order of types.IntervalStyle.
var intervalStyles = []string{"postgres", "postgres_verbose", "sql_standard", "iso_8601"}

// variables is the table of the run-time parameters that mean something here, sorted by
// lower-case name. The others of PostgreSQL are standardSettings.
func variables(serverVersion string) []variable {
	list := []variable{
		{name: "application_name", isReported: true, check: clipNameValue, description: "The name the client gives itself."},
		{name: "bytea_output", initial: "hex", check: oneOf("hex", "escape"), hint: "Available values: escape, hex.", description: "How bytea is shown as text."},
		{name: "client_encoding", initial: "UTF8", isReported: true, check: checkEncodingName, hint: "The one encoding of pgcache is UTF8.", description: "The client's character set."},
		{name: "DateStyle", initial: "ISO, MDY", isReported: true, check: checkDateStyle, hint: "Times are always shown as ISO.", description: "How times are shown, and in which order digits of dates are read."},
		{name: "default_transaction_isolation", initial: "read committed", check: checkIsolation, description: "Accepted; transactions are read committed."},
		{name: "default_transaction_read_only", initial: "off", isReported: true, check: checkBool, description: "Whether new transactions may only read."},
		{name: "default_transaction_deferrable", initial: "off", check: checkBool, description: ignoredSetting},
		{name: "extra_float_digits", initial: "1", check: checkInt(-15, 3), description: "Accepted; floats are always shown exactly."},
		{name: "idle_in_transaction_session_timeout", initial: "0", unit: "ms", check: checkDuration, description: "How long the client may be idle inside a transaction block; 0: for ever."},
		{name: "idle_session_timeout", initial: "0", unit: "ms", check: checkDuration, description: "How long the client may be idle outside of a transaction block; 0: for ever."},
		{name: "in_hot_standby", initial: "off", isReported: true, isReadOnly: true, description: "Whether this server is a standby."},
		{name: "integer_datetimes", initial: "on", isReported: true, isReadOnly: true, description: "Times are integers in binary."},
		{name: "IntervalStyle", initial: "postgres", isReported: true, check: oneOf(intervalStyles...), hint: "Available values: postgres, postgres_verbose, sql_standard, iso_8601.", description: "How intervals are shown."},
		{name: "is_superuser", isHidden: true, initial: "off", isReported: true, isReadOnly: true, description: "Whether the user may do everything."},
		{name: "block_size", initial: "8192", isReadOnly: true, description: "What clients take for the size of a disk page."},
		{name: "max_function_args", initial: "100", isReadOnly: true, description: "Most arguments of a function."},
		{name: "max_identifier_length", initial: "63", isReadOnly: true, description: "Longest name, in bytes."},
		{name: "max_index_keys", initial: "32", isReadOnly: true, description: "Most columns of a key."},
		{name: "lock_timeout", initial: "0", unit: "ms", check: checkDuration, description: "How long a statement may wait for an advisory lock; 0: for ever."},
		{name: "pgcache.durability", initial: cache.DurabilityInterval.String(), check: oneOf("always", "interval", "off"), hint: "Available values: always, interval, off.", description: "What an acknowledged write of this session survives."},
		{name: "pgcache.namespace", check: nil, description: "What ns is in an INSERT that does not give it; empty: it must be given."},
		{name: "scram_iterations", initial: "4096", isReported: true, check: checkInt(1, 1<<31-1), description: "Iterations of SCRAM."},
		{name: "search_path", initial: `"$user", public`, isReported: true, description: "Accepted; everything is in schema public."},
		{name: "server_encoding", initial: "UTF8", isReported: true, isReadOnly: true, description: "The server's character set."},
		{name: "server_version", initial: serverVersion, isReported: true, isReadOnly: true, description: "The version of PostgreSQL that is spoken."},
		{name: "server_version_num", initial: strconv.Itoa(catalog.PostgresVersionNumber), isReadOnly: true, description: "The same as a number."},
		{name: "session_authorization", isHidden: true, isReported: true, isReadOnly: true, description: "The session's user."},
		{name: "standard_conforming_strings", initial: "on", isReported: true, check: oneOf("on"), hint: "Backslashes in plain strings are always taken literally.", description: "Backslashes in plain strings are literal."},
		{name: "statement_timeout", initial: "0", unit: "ms", check: checkDuration, description: "How long a statement may run; 0: for ever."},
		{name: "transaction_timeout", initial: "0", unit: "ms", check: checkDuration, description: "How long a transaction may take; 0: for ever."},
		{name: "TimeZone", initial: "UTC", isReported: true, check: checkTimeZone, hint: "Use a name like Europe/Berlin or UTC, or an offset.", description: "The zone times are shown in."},
		{name: "transaction_isolation", initial: "read committed", check: checkIsolation, description: "Accepted; transactions are read committed."},
		{name: "transaction_read_only", initial: "off", check: checkBool, description: "Whether this transaction may only read."},
		{name: "transaction_deferrable", initial: "off", check: checkBool, description: ignoredSetting},
		{name: "role", isHidden: true, initial: "none", check: oneOf("none"), description: "There are no roles to switch to."},
	}
	slices.SortFunc(list, func(a, b variable) int { return cmp.Compare(strings.ToLower(a.name), strings.ToLower(b.name)) })
	return list
}

// variablesWith is variables with other initial values for some.
func variablesWith(serverVersion string, initial map[string]string) ([]variable, error) {
	list := variables(serverVersion)
	for name, value := range initial {
		i := slices.IndexFunc(list, func(v variable) bool { return v.name == name })
		if i < 0 || list[i].isReadOnly || list[i].check == nil {
			return nil, fmt.Errorf("sqlmap: there is no default of %q", name)
		}
		normal, ok := list[i].check(value)
		if !ok {
			return nil, fmt.Errorf("sqlmap: default of %s: %q", name, value)
		}
		list[i].initial = normal
	}
	return list, nil
}

func clipNameValue(value string) (string, bool) {
	const nameBytesMax = 63
	if len(value) > nameBytesMax {
		value = strings.ToValidUTF8(value[:nameBytesMax], "")
	}
	return value, true
}

// oneOf accepts these words in any case.
func oneOf(words ...string) func(string) (string, bool) {
	return func(value string) (string, bool) {
		for _, w := range words {
			if strings.EqualFold(value, w) || w == "on" && isTrueWord(value) {
				return w, true
			}
		}
		return "", false
	}
}

func isTrueWord(value string) bool {
	v, err := types.ParseText(types.Bool, []byte(value), nil)
	return err == nil && v.IsTrue()
}

func checkBool(value string) (string, bool) {
	v, err := types.ParseText(types.Bool, []byte(value), nil)
	if err != nil {
		return "", false
	}
	if v.IsTrue() {
		return "on", true
	}
	return "off", true
}

func checkInt(low, high int) func(string) (string, bool) {
	return func(value string) (string, bool) {
		n, err := strconv.Atoi(strings.TrimSpace(value))
		return strconv.Itoa(n), err == nil && n >= low && n <= high
	}
}

// checkEncodingName reads a name as PostgreSQL does, by its letters and digits only: a
// client that sends 'utf-8' with its quotes (asyncpg) means UTF8 all the same.
func checkEncodingName(value string) (string, bool) {
	letters := func(r rune) rune {
		if isWordStart(byte(r)) && r != '_' && r < 0x80 || isDigit(byte(r)) && r < 0x80 {
			return r
		}
		return -1
	}
	switch strings.ToUpper(strings.Map(letters, value)) {
	case "UTF8", "UNICODE":
		return "UTF8", true
	}
	return "", false
}

// dateOrders are the values of DateStyle, as checkDateStyle writes them.
var dateOrders = map[string]types.DateOrder{"ISO, MDY": types.OrderMDY, "ISO, DMY": types.OrderDMY, "ISO, YMD": types.OrderYMD}

// checkDateStyle accepts ISO with any order of day and month.
func checkDateStyle(value string) (string, bool) {
	order := "MDY"
	for _, word := range strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' }) {
		switch strings.ToUpper(word) {
		case "ISO", "DEFAULT":
		case "MDY", "US", "NONEURO":
			order = "MDY"
		case "DMY", "EURO", "EUROPEAN":
			order = "DMY"
		case "YMD":
			order = "YMD"
		default:
			return "", false
		}
	}
	return "ISO, " + order, true
}

func checkIsolation(value string) (string, bool) {
	switch v := strings.ToLower(value); v {
	case "read committed", "read uncommitted", "repeatable read", "serializable":
		return v, true
	}
	return "", false
}

// checkTimeZone accepts IANA names, and offsets in hours east of Greenwich.
func checkTimeZone(value string) (string, bool) {
	_, ok := timeZone(value)
	if strings.EqualFold(value, "utc") {
		value = "UTC"
	}
	return value, ok
}

func timeZone(value string) (*time.Location, bool) {
	if hours, err := strconv.ParseFloat(value, 64); err == nil {
		return time.FixedZone("", int(hours*3600)), hours > -16 && hours < 16
	}
	// As SET TIME ZONE INTERVAL '+05:30' HOUR TO MINUTE arrives.
	if strings.HasPrefix(value, "<") {
		return nil, false
	}
	loc, err := types.LoadLocation(value)
	return loc, err == nil
}

// Units of durations, longest first.
var durationUnits = []struct {
	name string
	ms   int64
}{{"d", 24 * 3600 * 1000}, {"h", 3600 * 1000}, {"min", 60 * 1000}, {"s", 1000}, {"ms", 1}}

// checkDuration normalises a duration to milliseconds.
func checkDuration(value string) (string, bool) {
	s := strings.TrimSpace(value)
	unit := int64(1)
	for _, u := range []int{0, 1, 2, 4, 3} { // "ms" before "s"
		if rest, ok := strings.CutSuffix(s, durationUnits[u].name); ok {
			s, unit = strings.TrimSpace(rest), durationUnits[u].ms
			break
		}
	}
	n, err := strconv.ParseFloat(s, 64)
	ms := n * float64(unit)
	if err != nil || !(ms >= 0 && ms <= 1<<31-1) {
		return "", false
	}
	return strconv.FormatInt(int64(ms+0.5), 10), true
}

// show is a value as SHOW prints it.
func (v *variable) show(value string) string { return withUnit(value, v.unit) }

func errUnknownSetting(name string, server []SettingRow) *pgwire.Error {
	e := pgwire.Errorf(pgwire.CodeUndefinedObject, "unrecognized configuration parameter \"%s\"", name)
	for _, setting := range server {
		if strings.EqualFold(setting.Name, strings.TrimPrefix(strings.ReplaceAll(name, "-", "_"), ownSettingPrefix)) {
			e.Hint = "It is a setting of the server, which a start reads: SELECT * FROM cache_settings WHERE name = '" + setting.Name + "'."
		}
	}
	return e
}

func (v *variable) errInvalid(value string) error {
	e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid value for parameter \"%s\": \"%s\"", v.name, value)
	e.Hint = v.hint
	return e
}
