package sqlmap

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/advisory"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/query"
)

// Config is what a Handler is made of. Cache is required.
type Config struct {
	Cache *cache.Cache
	// Version is pgcache's own version, part of server_version.
	Version   string
	StartTime time.Time // for uptime; zero: now
	// SessionDefaults are initial values of run-time parameters, by name, in place of ours.
	SessionDefaults map[string]string
	// Settings are the rows of cache_settings.
	Settings []SettingRow
	Limits   Limits
	// SlowLog is how long a statement takes that cache_slow_log tells of; 0: it tells none.
	SlowLog time.Duration
	// QueryLimits bound what one SELECT over the relations may use.
	QueryLimits QueryLimits
	Now         func() time.Time // time.Now
	Logger      *slog.Logger     // discards
}

// QueryLimits bound what one query may use. Zero fields take the default.
type QueryLimits = query.Limits

// SettingRow is one row of cache_settings.
type SettingRow struct {
	Name, Value, Unit, Source, Description string
	// IsPrivate: it tells of the machine, like the name of a file, and is for administrators.
	IsPrivate bool
}

// Limits bound what clients can make the handler keep. Zero fields take the default.
type Limits struct {
	// PlanCacheEntries is how many texts have their plans kept; 4096.
	PlanCacheEntries int
	// PlanCacheBytes is how much memory these plans may take, estimated; 32 MiB.
	PlanCacheBytes int64
	// StatementBytesMax is the longest text of a Query or Parse; 1 MiB. Values belong into
	// parameters, which it does not bound.
	StatementBytesMax int
	// TransactionBytesMax is how much one transaction may have pending; 16 MiB.
	TransactionBytesMax int64
}

const (
	planCacheEntriesDefault    = 4096
	planCacheBytesDefault      = 32 << 20
	statementBytesMaxDefault   = 1 << 20
	transactionBytesMaxDefault = 16 << 20
)

func (l Limits) withDefaults() (Limits, error) {
	if l.PlanCacheEntries < 0 || l.PlanCacheBytes < 0 || l.StatementBytesMax < 0 || l.TransactionBytesMax < 0 {
		return l, errors.New("sqlmap: limits must not be negative")
	}
	if l.PlanCacheEntries == 0 {
		l.PlanCacheEntries = planCacheEntriesDefault
	}
	if l.PlanCacheBytes == 0 {
		l.PlanCacheBytes = planCacheBytesDefault
	}
	if l.StatementBytesMax == 0 {
		l.StatementBytesMax = statementBytesMaxDefault
	}
	if l.TransactionBytesMax == 0 {
		l.TransactionBytesMax = transactionBytesMaxDefault
	}
	return l, nil
}

// Handler implements pgwire.Handler.
type Handler struct {
	config Config
	limits Limits
	cache  *cache.Cache
	plans  *planCache
	slow   slowLog
	// catalog is what queries of any shape run on; gaps counts what they ask for in vain.
	catalog *catalog.Catalog
	gaps    gaps
	roles   knownRoles

	listeners *listeners
	locks     *advisory.Table
	// variables are the run-time parameters, sorted by lower-case name.
	variables []variable
	initial   initialValues
	standard  standardSettings
}

// New makes a Handler.
func New(cfg Config) (*Handler, error) {
	if cfg.Cache == nil {
		return nil, errors.New("sqlmap: Config.Cache is required")
	}
	limits, err := cfg.Limits.withDefaults()
	if err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.StartTime.IsZero() {
		cfg.StartTime = cfg.Now()
	}
	if cfg.Version == "" {
		cfg.Version = "devel"
	}
	h := &Handler{config: cfg, limits: limits, cache: cfg.Cache}
	h.slow.threshold = cfg.SlowLog
	h.plans = newPlanCache(limits)
	if h.catalog, err = sharedCatalog(); err != nil {
		return nil, err
	}
	h.listeners = newListeners(cfg.Cache)
	h.locks = advisory.New(advisory.Limits{}, cfg.Now)
	defaults := map[string]string{"pgcache.durability": cfg.Cache.Durability().String()}
	maps.Copy(defaults, cfg.SessionDefaults)
	h.standard = h.standardSettings()
	h.variables, err = variablesWith(h.serverVersion(), defaults)
	h.initial = initialValuesOf(h.variables)
	return h, err
}

func (h *Handler) serverVersion() string {
	return fmt.Sprintf("%s (pgcache %s)", catalog.PostgresVersion, h.config.Version)
}

// NewSession begins a session with the settings of the startup packet. Unknown ones are
// ignored with a warning, so that every driver can connect; PostgreSQL refuses them.
func (h *Handler) NewSession(_ context.Context, info *pgwire.ConnInfo) (pgwire.Session, error) {
	if catalog.IsReservedRole(info.User) {
		return nil, pgwire.Errorf(pgwire.CodeInvalidAuthorization, "role \"%s\" is not permitted to log in", info.User)
	}
	s := &session{handler: h, info: info, grants: newGrants(info), status: pgwire.TxIdle}
	s.settings.start(h.variables, h.initial, h.standard, info)
	s.settings.server = h.config.Settings
	for _, setting := range info.Settings {
		err := s.settings.set(setting.Name, setting.Value, false)
		var e *pgwire.Error
		if errors.As(err, &e) && e.Code == pgwire.CodeUndefinedObject {
			e.Severity = pgwire.SeverityWarning
			s.notices = append(s.notices, e)
			continue
		}
		if err != nil {
			return nil, err
		}
	}
	s.settings.startupDone()
	return s, nil
}

var _ pgwire.Handler = (*Handler)(nil)
