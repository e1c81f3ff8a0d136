package main

import (
	"time"

	"pgcache/pgwire"
)

// wireSettings are the settings of the protocol server: who gets in, and how much clients
// may take.
type wireSettings struct {
	UsersFile      string   `name:"users-file" private:"" placeholder:"FILE" unit:"" help:"Users and their passwords, roles and namespaces, managed by pgcache user. Empty: whoever connects is trusted. Read again on SIGHUP."`
	TLSCert        string   `name:"tls-cert" private:"" placeholder:"FILE" unit:"" help:"Certificate chain for TLS, PEM. Read again on SIGHUP."`
	TLSKey         string   `name:"tls-key" private:"" placeholder:"FILE" unit:"" help:"Private key of tls-cert, PEM."`
	TLSClientCA    string   `name:"tls-client-ca" private:"" placeholder:"FILE" unit:"" help:"Authorities whose client certificates are accepted, PEM; needed for auth=cert."`
	UnixSocketMode fileMode `name:"unix-socket-mode" default:"0777" placeholder:"MODE" unit:"" help:"Permissions of Unix sockets, octal."`

	MetricsListen string `name:"metrics-listen" private:"" placeholder:"HOST:PORT" unit:"" help:"Where to serve /metrics for Prometheus, /healthz and /readyz, without authentication. Empty: nowhere."`

	ReservedConnections int      `name:"reserved-connections" default:"3" unit:"" help:"How many of max-connections are kept for administrators; at most half of them."`
	MaxStarting         int      `name:"max-unauthenticated-connections" default:"2000" unit:"" help:"Most connections that have not logged in yet; more are closed unheard."`
	MaxAddressStarting  int      `name:"max-unauthenticated-connections-per-address" default:"0" unit:"" help:"Most of these from one address, of IPv6 from one network of 64 bits. 0: half of them."`
	MaxPerUser          int      `name:"max-connections-per-user" default:"0" unit:"" help:"Most connections of one user. 0: max-connections."`
	MaxPerAddress       int      `name:"max-connections-per-address" default:"0" unit:"" help:"Most connections from one address. 0: max-connections."`
	MaxLoginBytes       byteSize `name:"max-login-message-bytes" default:"10004" placeholder:"SIZE" unit:"bytes" help:"Longest message of a client that has not logged in: its startup packet, and what it says for its password. Longer ones close the connection."`
	MaxMessageBytes     byteSize `name:"max-message-bytes" default:"0" placeholder:"SIZE" unit:"bytes" help:"Longest message of a client that has logged in. 0: twice max-blob-bytes and 1MiB, at least 256MiB."`
	MaxParameters       int      `name:"max-parameters" default:"65535" unit:"" help:"Most parameters of a statement."`
	MaxStatements       int      `name:"max-prepared-statements" default:"10000" unit:"" help:"Most named prepared statements of a connection."`
	MaxStatementBytes   byteSize `name:"max-prepared-statement-bytes" default:"16MiB" placeholder:"SIZE" unit:"bytes" help:"Memory for the texts of a connection's prepared statements."`
	MaxPortals          int      `name:"max-portals" default:"1000" unit:"" help:"Most open portals of a connection."`
	MaxPortalBytes      byteSize `name:"max-portal-bytes" default:"512MiB" placeholder:"SIZE" unit:"bytes" help:"Memory for the arguments of a connection's open portals."`
	ReplyBytes          byteSize `name:"reply-buffer-bytes" default:"64KiB" placeholder:"SIZE" unit:"bytes" help:"How much of an answer gathers before it is written; each connection that is answering holds as much and a row."`
	MaxNotifications    int      `name:"max-notifications" default:"10000" unit:"" help:"Most notifications that wait for a client."`
	MaxNotificationSize byteSize `name:"max-notification-bytes" default:"4MiB" placeholder:"SIZE" unit:"bytes" help:"Memory for the notifications that wait for a client."`

	MaxQueryRows  int           `name:"max-query-rows" default:"2000000" unit:"" help:"Most rows that a SELECT over the relations may keep in memory, to join, group or sort them."`
	MaxQueryBytes byteSize      `name:"max-query-bytes" default:"128MiB" placeholder:"SIZE" unit:"bytes" help:"Memory for the rows that a SELECT keeps."`
	MaxQueryWork  int           `name:"max-query-work" default:"200000000" unit:"" help:"Most rows that the steps of a SELECT may handle together."`
	MaxQueryTime  time.Duration `name:"max-query-time" default:"1m" unit:"ms" help:"How long a SELECT over the relations may compute."`

	AuthTimeout       time.Duration `name:"authentication-timeout" default:"1m" unit:"ms" help:"How long a client may take to log in."`
	StatementTimeout  time.Duration `name:"statement-timeout" default:"0s" unit:"ms" help:"How long a statement may run, unless the session sets statement_timeout. 0: for ever."`
	IdleTimeout       time.Duration `name:"idle-session-timeout" default:"0s" unit:"ms" help:"How long a client may be idle, unless the session sets idle_session_timeout. 0: for ever."`
	IdleInTransaction time.Duration `name:"idle-in-transaction-session-timeout" default:"0s" unit:"ms" help:"The same inside a transaction block, for idle_in_transaction_session_timeout. 0: for ever."`
	WriteTimeout      time.Duration `name:"write-timeout" default:"2m" unit:"ms" help:"How long a client may take to accept a reply, beyond what it needs at 64KiB a second."`
	TCPKeepAlive      time.Duration `name:"tcp-keepalive" default:"5m" unit:"ms" help:"After what silence a TCP client is asked whether it is there; it is given up when it has not answered for as long again."`
}

// loginMessageBytesMin has room for a startup packet with the settings that drivers send and
// for a SCRAM message with a channel binding.
const loginMessageBytesMin = 512

// checkWire checks the bounds of these settings.
func (s *settings) checkWire() error {
	for _, c := range []struct {
		name            string
		value, low, top int64
	}{
		{"reserved-connections", int64(s.ReservedConnections), 0, connectionsMax},
		{"max-unauthenticated-connections", int64(s.MaxStarting), 1, connectionsMax},
		{"max-unauthenticated-connections-per-address", int64(s.MaxAddressStarting), 0, connectionsMax},
		{"max-connections-per-user", int64(s.MaxPerUser), 0, connectionsMax},
		{"max-connections-per-address", int64(s.MaxPerAddress), 0, connectionsMax},
		{"max-login-message-bytes", int64(s.MaxLoginBytes), loginMessageBytesMin, pgwire.LoginMessageBytesMax},
		{"max-message-bytes", int64(s.MaxMessageBytes), 0, messageBytesMax},
		{"max-parameters", int64(s.MaxParameters), 1, 1<<16 - 1},
		{"max-prepared-statements", int64(s.MaxStatements), 1, 1_000_000},
		{"max-prepared-statement-bytes", int64(s.MaxStatementBytes), 1 << 10, 1 << 30},
		{"max-portals", int64(s.MaxPortals), 1, 1_000_000},
		{"max-portal-bytes", int64(s.MaxPortalBytes), 1 << 10, 1 << 40},
		{"reply-buffer-bytes", int64(s.ReplyBytes), 1 << 10, pgwire.ReplyBytesMax},
		{"max-notifications", int64(s.MaxNotifications), 1, 1_000_000},
		{"max-notification-bytes", int64(s.MaxNotificationSize), 1 << 14, 1 << 30},
		{"max-query-rows", int64(s.MaxQueryRows), 1000, 1_000_000_000},
		{"max-query-bytes", int64(s.MaxQueryBytes), 1 << 20, 1 << 40},
		{"max-query-work", int64(s.MaxQueryWork), 100_000, 1_000_000_000_000},
	} {
		if c.value < c.low || c.value > c.top {
			return usagef("%s is %d: write a number from %d to %d", c.name, c.value, c.low, c.top)
		}
	}
	for _, c := range []struct {
		name       string
		value, low time.Duration
	}{
		{"authentication-timeout", s.AuthTimeout, time.Second},
		{"max-query-time", s.MaxQueryTime, 10 * time.Millisecond},
		{"statement-timeout", s.StatementTimeout, 0},
		{"idle-session-timeout", s.IdleTimeout, 0},
		{"idle-in-transaction-session-timeout", s.IdleInTransaction, 0},
		{"write-timeout", s.WriteTimeout, time.Second},
		{"tcp-keepalive", s.TCPKeepAlive, time.Second},
	} {
		const longest = 24 * time.Hour
		if c.value < c.low || c.value > longest || c.value%time.Millisecond != 0 {
			return usagef("%s is %s: write a time from %s to %s", c.name, c.value, c.low, longest)
		}
	}
	if (s.TLSCert == "") != (s.TLSKey == "") || s.TLSClientCA != "" && s.TLSCert == "" {
		return usagef("tls-cert and tls-key belong together, and tls-client-ca needs both")
	}
	for i := range s.Listen {
		if _, err := s.access(&s.Listen[i]); err != nil {
			return err
		}
	}
	if len(s.Listen) == 0 {
		return usagef("listen is empty: write an address like 127.0.0.1:7432")
	}
	return nil
}

// resolveWire replaces settings that stand for others by what they come to, for cache_settings.
func (s *settings) resolveWire() {
	if s.MaxMessageBytes == 0 {
		s.MaxMessageBytes = byteSize(min(max(2*int64(s.MaxBlobBytes)+messageOverheadBytes, messageBytesMin), messageBytesMax))
	}
	if s.MaxPerUser == 0 {
		s.MaxPerUser = s.MaxConnections
	}
	if s.MaxPerAddress == 0 {
		s.MaxPerAddress = s.MaxConnections
	}
	if s.MaxAddressStarting == 0 {
		s.MaxAddressStarting = max(1, s.MaxStarting/2)
	}
	s.ReservedConnections = min(s.ReservedConnections, s.MaxConnections/2)
}

// wireLimits are the settings, after resolveWire, as pgwire takes them.
func (s *settings) wireLimits() pgwire.Limits {
	reserved := s.ReservedConnections
	if reserved == 0 {
		reserved = -1 // none; 0 would be pgwire's default
	}
	return pgwire.Limits{
		Connections:         s.MaxConnections,
		ReservedConnections: reserved,
		UserConnections:     s.MaxPerUser,
		AddressConnections:  s.MaxPerAddress,
		Starting:            s.MaxStarting,
		AddressStarting:     s.MaxAddressStarting,
		LoginMessageBytes:   int(s.MaxLoginBytes),
		ReplyBytes:          int(s.ReplyBytes),
		MessageBytes:        int(s.MaxMessageBytes),
		Parameters:          s.MaxParameters,
		Statements:          s.MaxStatements,
		StatementBytes:      int(s.MaxStatementBytes),
		Portals:             s.MaxPortals,
		PortalBytes:         int(s.MaxPortalBytes),
		Notifications:       s.MaxNotifications,
		NotificationBytes:   int(s.MaxNotificationSize),
		Authentication:      s.AuthTimeout,
		Write:               s.WriteTimeout,
		KeepAlive:           s.TCPKeepAlive,
	}
}
