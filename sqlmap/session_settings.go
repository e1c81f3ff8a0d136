package sqlmap

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/types"
)

// Bounds of settings with names of the client's own, like myapp.user.
const (
	customSettingsMax     = 64
	customSettingBytesMax = 1024
)

// sessionSettings are the values of one session's run-time parameters.
type sessionSettings struct {
	variables []variable
	server    []SettingRow      // of the server, for hints
	standard  standardSettings  // those that are no variables and have no effect
	values    settingValues     // changed by put only
	initial   settingValues     // what RESET goes back to
	custom    map[string]string // of the client's own, and standard ones that were set
	// saved is what a running transaction goes back to, by lower-case name.
	saved map[string]savedSetting
	// inTransaction: changes are saved.
	inTransaction bool
	reported      settingValues // last sent; nothing yet without shared ones
	changed       bool          // since the last report

	// Derived from values.
	location           *time.Location
	byteaEscape        bool
	intervalStyle      types.IntervalStyle
	dateOrder          types.DateOrder
	statementTimeout   time.Duration
	lockTimeout        time.Duration
	idleTimeout        time.Duration
	idleInBlock        time.Duration
	transactionTimeout time.Duration
	namespace          string
	durability         cache.Durability
	ownDurability      bool // it is not the server's
	readOnly           bool
	readOnlyDefault    bool
	// ownPath is the search_path if it is not the one that sessions begin with.
	ownPath string
}

// savedSetting is a setting before a transaction, and what its COMMIT leaves.
type savedSetting struct{ before, atCommit string }

func (s *sessionSettings) start(list []variable, initial initialValues, standard standardSettings, info *pgwire.ConnInfo) {
	s.variables, s.standard = list, standard
	s.values = settingValues{shared: initial[info.Identity.Role]}
	s.put(s.find("session_authorization"), info.User)
	s.initial = s.values
	s.derive()
}

// startupDone makes the settings of the startup packet those that RESET goes back to.
func (s *sessionSettings) startupDone() { s.initial = s.values }

// put changes a value.
func (s *sessionSettings) put(i int, value string) {
	if s.values.at(i) != value {
		s.values = s.values.with(i, value)
	}
}

// find is the position of a parameter, or -1.
func (s *sessionSettings) find(name string) int {
	lower := strings.ToLower(name)
	i, ok := slices.BinarySearchFunc(s.variables, lower, func(v variable, name string) int {
		return strings.Compare(strings.ToLower(v.name), name)
	})
	if !ok {
		return -1
	}
	return i
}

// get is the value of a parameter as SHOW prints it.
func (s *sessionSettings) get(name string) (string, bool) {
	if i := s.find(name); i >= 0 {
		return s.variables[i].show(s.values.at(i)), true
	}
	if known := s.standard.find(name); known != nil {
		return withUnit(s.standardValue(known), known.Unit), true
	}
	value, ok := s.custom[strings.ToLower(name)]
	return value, ok
}

func (s *sessionSettings) standardValue(known *catalog.Setting) string {
	if value, ok := s.custom[strings.ToLower(known.Name)]; ok {
		return value
	}
	return known.Value
}

// errUnknown is the error of a name that is none of a parameter. The server's settings are not.
func (s *sessionSettings) errUnknown(name string) *pgwire.Error {
	return errUnknownSetting(name, s.server)
}

// set changes a parameter, with isLocal until the end of the transaction.
func (s *sessionSettings) set(name, value string, isLocal bool) error {
	i := s.find(name)
	if known := s.standard.find(name); i < 0 && known != nil {
		return s.setStandard(known, value, isLocal)
	}
	if i < 0 {
		return s.setCustom(name, value, isLocal)
	}
	v := &s.variables[i]
	if v.isReadOnly {
		return pgwire.Errorf(pgwire.CodeCantChangeRuntimeParam, "parameter \"%s\" cannot be changed", v.name)
	}
	if v.check != nil {
		normal, ok := v.check(value)
		if !ok {
			return v.errInvalid(value)
		}
		value = normal
	}
	s.save(strings.ToLower(v.name), s.values.at(i), value, isLocal)
	s.put(i, value)
	s.derive()
	return nil
}

// setStandard sets a parameter of PostgreSQL that has no effect.
func (s *sessionSettings) setStandard(known *catalog.Setting, value string, isLocal bool) error {
	if err := mayChange(known, s.values.at(s.find("is_superuser")) == "on"); err != nil {
		return err
	}
	normal, err := normalize(known, value)
	if err != nil {
		return err
	}
	return s.keep(known.Name, s.standardValue(known), normal, isLocal)
}

// setCustom sets a parameter with a dot in its name, as PostgreSQL allows.
func (s *sessionSettings) setCustom(name, value string, isLocal bool) error {
	lower := strings.ToLower(name)
	if !strings.Contains(name, ".") || strings.HasPrefix(lower, "pgcache.") {
		return s.errUnknown(name)
	}
	return s.keep(name, s.custom[lower], value, isLocal)
}

// keep stores a setting that is no variable.
func (s *sessionSettings) keep(name, old, value string, isLocal bool) error {
	lower := strings.ToLower(name)
	if _, exists := s.custom[lower]; !exists && len(s.custom) >= customSettingsMax || len(name)+len(value) > customSettingBytesMax {
		e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "too many or too long custom settings")
		e.Detail = "A session has room for " + strconv.Itoa(customSettingsMax) + " of " + strconv.Itoa(customSettingBytesMax) + " bytes."
		return e
	}
	if s.custom == nil {
		s.custom = map[string]string{}
	}
	s.save(lower, old, value, isLocal)
	s.custom[lower] = value
	return nil
}

// save notes what a transaction's end has to restore.
func (s *sessionSettings) save(lower, old, value string, isLocal bool) {
	if !s.inTransaction {
		return
	}
	if s.saved == nil {
		s.saved = map[string]savedSetting{}
	}
	entry, ok := s.saved[lower]
	if !ok {
		entry = savedSetting{old, old}
	}
	if !isLocal {
		entry.atCommit = value
	}
	s.saved[lower] = entry
}

// begin begins a transaction, with the defaults for new ones.
func (s *sessionSettings) begin() {
	s.inTransaction = true
	for _, name := range []string{"transaction_read_only", "transaction_isolation", "transaction_deferrable"} {
		i, def := s.find(name), s.find("default_"+name)
		if s.values.at(i) != s.values.at(def) {
			s.save(name, s.values.at(i), s.values.at(def), true)
			s.put(i, s.values.at(def))
			s.derive()
		}
	}
}

// end ends a transaction.
func (s *sessionSettings) end(isCommit bool) {
	s.inTransaction = false
	if len(s.saved) == 0 {
		return
	}
	for lower, entry := range s.saved {
		value := entry.before
		if isCommit {
			value = entry.atCommit
		}
		if i := s.find(lower); i >= 0 {
			s.put(i, value)
		} else {
			s.custom[lower] = value
		}
	}
	clear(s.saved)
	s.derive()
}

// settingsMark is what a savepoint goes back to.
type settingsMark struct {
	values settingValues
	custom map[string]string
	saved  map[string]savedSetting
}

func (s *sessionSettings) mark() settingsMark {
	return settingsMark{s.values, maps.Clone(s.custom), maps.Clone(s.saved)}
}

func (s *sessionSettings) backTo(m settingsMark) {
	s.values = m.values
	s.custom, s.saved = maps.Clone(m.custom), maps.Clone(m.saved)
	s.derive()
}

// reset goes back to a parameter's initial value.
func (s *sessionSettings) reset(name string, isLocal bool) error {
	i := s.find(name)
	if known := s.standard.find(name); i < 0 && known != nil {
		if err := mayChange(known, true); err != nil {
			return err
		}
		return s.keep(known.Name, s.standardValue(known), known.Value, isLocal)
	}
	if i < 0 {
		if _, ok := s.custom[strings.ToLower(name)]; ok {
			return s.setCustom(name, "", isLocal)
		}
		return s.errUnknown(name)
	}
	if s.variables[i].isReadOnly {
		return pgwire.Errorf(pgwire.CodeCantChangeRuntimeParam, "parameter \"%s\" cannot be changed", s.variables[i].name)
	}
	s.save(strings.ToLower(s.variables[i].name), s.values.at(i), s.initial.at(i), isLocal)
	s.put(i, s.initial.at(i))
	s.derive()
	return nil
}

func (s *sessionSettings) resetAll() {
	for i := range s.variables {
		if s.values.at(i) != s.initial.at(i) {
			s.save(strings.ToLower(s.variables[i].name), s.values.at(i), s.initial.at(i), false)
			s.put(i, s.initial.at(i))
		}
	}
	for name, value := range s.custom {
		initial := ""
		if known := s.standard.find(name); known != nil {
			initial = known.Value
		}
		s.save(name, value, initial, false)
		s.custom[name] = initial
	}
	s.derive()
}

// derive computes what executions look at.
func (s *sessionSettings) derive() {
	s.changed = true
	value := func(name string) string { return s.values.at(s.find(name)) }
	if loc, ok := timeZone(value("TimeZone")); ok {
		s.location = loc
	}
	s.byteaEscape = value("bytea_output") == "escape"
	s.intervalStyle = types.IntervalStyle(slices.Index(intervalStyles, value("IntervalStyle")))
	s.dateOrder = dateOrders[value("DateStyle")]
	duration := func(name string) time.Duration {
		ms, _ := strconv.ParseInt(value(name), 10, 64)
		return time.Duration(ms) * time.Millisecond
	}
	s.statementTimeout, s.lockTimeout = duration("statement_timeout"), duration("lock_timeout")
	s.idleTimeout, s.idleInBlock = duration("idle_session_timeout"), duration("idle_in_transaction_session_timeout")
	s.transactionTimeout = duration("transaction_timeout")
	s.namespace = value("pgcache.namespace")
	s.durability, _ = cache.ParseDurability(value("pgcache.durability"))
	s.ownDurability = value("pgcache.durability") != s.variables[s.find("pgcache.durability")].initial
	s.readOnly = value("transaction_read_only") == "on"
	s.readOnlyDefault = value("default_transaction_read_only") == "on"
	if s.ownPath = value("search_path"); s.ownPath == s.variables[s.find("search_path")].initial {
		s.ownPath = ""
	}
}

// isReadOnly reports that the transaction may only read. Outside of a transaction every
// statement is one, begun with the default.
func (s *sessionSettings) isReadOnly() bool {
	if s.inTransaction {
		return s.readOnly
	}
	return s.readOnlyDefault
}

// style is what settings change of texts; now is when the transaction began.
func (s *sessionSettings) style(now time.Time) types.Style {
	return types.Style{ByteaEscape: s.byteaEscape, Interval: s.intervalStyle, Dates: s.dateOrder, Location: s.location, Now: now}
}

// report calls f for the reported parameters whose values changed since the last call.
func (s *sessionSettings) report(f func(name, value string)) {
	if !s.changed {
		return
	}
	s.changed = false
	before := s.reported
	s.reported = s.values
	for i := range s.variables {
		if !s.variables[i].isReported {
			continue
		}
		if value := s.values.at(i); before.shared == nil || before.at(i) != value {
			f(s.variables[i].name, value)
		}
	}
}

// check tells whether a value could be set.
func (s *sessionSettings) check(name, value string) error {
	i, known := s.find(name), s.standard.find(name)
	switch {
	case i < 0 && known != nil:
		if err := mayChange(known, s.values.at(s.find("is_superuser")) == "on"); err != nil {
			return err
		}
		_, err := normalize(known, value)
		return err
	case i < 0:
		return nil
	case s.variables[i].isReadOnly:
		return pgwire.Errorf(pgwire.CodeCantChangeRuntimeParam, "parameter \"%s\" cannot be changed", s.variables[i].name)
	case s.variables[i].check != nil:
		if _, ok := s.variables[i].check(value); !ok {
			return s.variables[i].errInvalid(value)
		}
	}
	return nil
}
