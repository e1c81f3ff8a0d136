package main

import (
	"log/slog"
	"strconv"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap"
)

// A message must carry the largest value as text, which doubles it, and what stands
// around it.
const (
	messageOverheadBytes = 1 << 20
	messageBytesMin      = 256 << 20 // pgwire's own default
	messageBytesMax      = 1<<30 - 2 // the protocol's bound
)

// newServer makes the protocol server, which answers by SQL over the cache.
func newServer(s *settings, store *cache.Cache, started time.Time, logger *slog.Logger) (*pgwire.Server, error) {
	s.resolveWire()
	handler, err := sqlmap.New(sqlmap.Config{
		Cache:     store,
		Version:   buildVersion(),
		StartTime: started,
		Settings:  settingRows(s),
		QueryLimits: sqlmap.QueryLimits{RowsMax: int64(s.MaxQueryRows), BytesMax: int64(s.MaxQueryBytes), WorkMax: int64(s.MaxQueryWork),
			TimeMax: s.MaxQueryTime},
		SlowLog: time.Duration(s.SlowLogMs) * time.Millisecond,
		SessionDefaults: map[string]string{
			"statement_timeout":                   milliseconds(s.StatementTimeout),
			"idle_session_timeout":                milliseconds(s.IdleTimeout),
			"idle_in_transaction_session_timeout": milliseconds(s.IdleInTransaction),
		},
		Logger: logger.With("room", "sqlmap"),
	})
	if err != nil {
		return nil, err
	}
	accounts, err := s.loadAccounts(logger)
	if err != nil {
		return nil, err
	}
	encryption, err := s.loadEncryption()
	if err != nil {
		return nil, err
	}
	return pgwire.NewServer(pgwire.Config{
		Handler:    handler,
		Accounts:   accounts,
		Encryption: encryption,
		Logger:     logger.With("room", "pgwire"),
		Limits:     s.wireLimits(),
	})
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// settingRows are the settings for cache_settings.
func settingRows(s *settings) []sqlmap.SettingRow {
	var rows []sqlmap.SettingRow
	for _, r := range s.rows() {
		rows = append(rows, sqlmap.SettingRow{Name: r.name, Value: r.value, Unit: r.unit, Source: r.source, Description: r.description, IsPrivate: r.isPrivate})
	}
	return rows
}
