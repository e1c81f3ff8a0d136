package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// environ makes an environment of NAME=value texts.
func environ(pairs ...string) func(string) (string, bool) {
	return func(name string) (string, bool) {
		for _, p := range pairs {
			if k, v, _ := strings.Cut(p, "="); k == name {
				return v, true
			}
		}
		return "", false
	}
}

func configFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "pgcache.yaml")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func rowOf(t *testing.T, s *settings, name string) row {
	t.Helper()
	for _, r := range s.rows() {
		if r.name == name {
			return r
		}
	}
	t.Fatalf("no setting %q", name)
	return row{}
}

func TestPrecedence(t *testing.T) {
	path := configFile(t, "# a comment\nl1-bytes: 3MiB\nmax_namespaces: 7\nlog-level: warn\n")
	tests := []struct {
		name   string
		args   []string
		env    []string
		value  string
		source string
	}{
		{"default", nil, nil, "268435456", "default"},
		{"file", []string{"--config", path}, nil, "3145728", "file " + path + ":2"},
		{"file named by the environment", nil, []string{"PGCACHE_CONFIG=" + path}, "3145728", "file " + path + ":2"},
		{"environment", nil, []string{"PGCACHE_L1_BYTES=2MiB"}, "2097152", "environment PGCACHE_L1_BYTES"},
		{"environment beats file", []string{"--config=" + path}, []string{"PGCACHE_L1_BYTES=2MiB"}, "2097152", "environment PGCACHE_L1_BYTES"},
		{"flag beats all", []string{"serve", "--config=" + path, "--l1-bytes=1MiB"}, []string{"PGCACHE_L1_BYTES=2MiB"}, "1048576", "flag"},
		{"empty variable is not set", nil, []string{"PGCACHE_L1_BYTES="}, "268435456", "default"},
		{"flag equal to the default", []string{"--l1-bytes", "256MiB"}, nil, "268435456", "flag"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := loadSettings(test.args, environ(test.env...), io.Discard)
			if err != nil {
				t.Fatal(err)
			}
			r := rowOf(t, s, "l1_bytes")
			if r.value != test.value || r.source != test.source || r.unit != "bytes" {
				t.Errorf("l1_bytes = %s %s from %q, want %s bytes from %q", r.value, r.unit, r.source, test.value, test.source)
			}
		})
	}
}

func TestFileSetsEverySetting(t *testing.T) {
	path := configFile(t, `
listen: localhost:0 /run/pgcache,auth=trust
data-dir: /somewhere
l1-bytes: 1073741824
l2_bytes: 8GiB
l1-policy: SIEVE
durability: always
durability_interval: 250ms
max-blob-bytes: 1MB
max-namespaces: 5
max-connections: 6
l2-block-cache-bytes: 32MiB
l2-memtable-bytes: 4MiB
l2-file-min-bytes: 32KiB
l2-free-bytes-min: 1GiB
l2-ballast-bytes: 1MiB
on-corrupt: rename
users-file: /etc/users
tls-cert: /etc/cert
tls-key: /etc/key
tls-client-ca: /etc/ca
unix-socket-mode: "0770"
metrics-listen: localhost:9000
reserved-connections: 1
max-unauthenticated-connections: 7
max-connections-per-user: 8
max-connections-per-address: 9
max-message-bytes: 1MiB
max-unauthenticated-connections-per-address: 18
max-login-message-bytes: 2000
reply-buffer-bytes: 8KiB
max-parameters: 10
max-prepared-statements: 11
max-prepared-statement-bytes: 2MiB
max-portals: 12
max-portal-bytes: 3MiB
max-notifications: 13
max-notification-bytes: 4MiB
max-query-rows: 14000
max-query-bytes: 5MiB
max-query-work: 150000
max-query-time: 7s
authentication-timeout: 1s
statement-timeout: 2s
idle-session-timeout: 3s
idle-in-transaction-session-timeout: 4s
write-timeout: 5s
tcp-keepalive: 6s
shutdown-timeout: 1m30s
slow-log-ms: 14
l2-promote-on: second
l2-promotion-workers: 3
l2-promotion-queue: 17
stats-history-interval: 15s
log-level: debug
log-format: json
`)
	s, err := loadSettings([]string{"--config", path}, environ(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"listen":     "localhost:0 /run/pgcache,auth=trust",
		"users_file": "/etc/users", "tls_cert": "/etc/cert", "tls_key": "/etc/key", "tls_client_ca": "/etc/ca", "unix_socket_mode": "0770", "metrics_listen": "localhost:9000",
		"reserved_connections": "1", "max_unauthenticated_connections": "7", "max_connections_per_user": "8", "max_connections_per_address": "9",
		"max_unauthenticated_connections_per_address": "18", "max_login_message_bytes": "2000", "reply_buffer_bytes": "8192",
		"max_message_bytes": "1048576", "max_parameters": "10", "max_prepared_statements": "11", "max_prepared_statement_bytes": "2097152",
		"max_portals": "12", "max_portal_bytes": "3145728", "max_notifications": "13", "max_notification_bytes": "4194304",
		"max_query_rows": "14000", "max_query_bytes": "5242880", "max_query_work": "150000", "max_query_time": "7000",
		"authentication_timeout": "1000", "statement_timeout": "2000", "idle_session_timeout": "3000",
		"idle_in_transaction_session_timeout": "4000", "write_timeout": "5000", "tcp_keepalive": "6000",
		"data_dir": "/somewhere", "l1_bytes": "1073741824", "l2_bytes": "8589934592", "l1_policy": "sieve",
		"durability": "always", "durability_interval": "250",
		"max_blob_bytes": "1000000", "max_namespaces": "5", "max_connections": "6",
		"l2_block_cache_bytes": "33554432", "l2_memtable_bytes": "4194304", "l2_file_min_bytes": "32768", "l2_free_bytes_min": "1073741824", "l2_ballast_bytes": "1048576", "on_corrupt": "rename", "shutdown_timeout": "90000",
		"l2_promote_on": "second", "l2_promotion_workers": "3", "l2_promotion_queue": "17", "slow_log_ms": "14", "stats_history_interval": "15000",
		"log_level": "debug", "log_format": "json",
	}
	for _, r := range s.rows() {
		if r.value != want[r.name] {
			t.Errorf("%s = %q, want %q", r.name, r.value, want[r.name])
		}
		if !strings.HasPrefix(r.source, "file ") || r.description == "" {
			t.Errorf("%s: source %q, description %q", r.name, r.source, r.description)
		}
		delete(want, r.name)
	}
	if len(want) != 0 {
		t.Errorf("not listed: %v", want)
	}
	if s.ShutdownTimeout != 90*time.Second {
		t.Errorf("ShutdownTimeout = %v", s.ShutdownTimeout)
	}
}

func TestRefusedSettings(t *testing.T) {
	tests := []struct {
		name string
		args []string
		env  []string
		file string
		want []string // parts of the message
	}{
		{"a time that is none", []string{"--max-query-time=5"}, nil, "", []string{"--max-query-time", `"5"`, "1m30s"}},
		{"a time that is none in the environment", nil, []string{"PGCACHE_WRITE_TIMEOUT=soon"}, "", []string{`"soon"`, "PGCACHE_WRITE_TIMEOUT", "1m30s"}},
		{"unknown flag", []string{"--l1-bites=1"}, nil, "", []string{"--l1-bites", "--l1-bytes"}},
		{"unknown command", []string{"server"}, nil, "", []string{"server"}},
		{"bad size", []string{"--l1-bytes=lots"}, nil, "", []string{"--l1-bytes", `"lots"`, "256MiB"}},
		{"huge size", []string{"--l1-bytes=16EiB"}, nil, "", []string{"16EiB"}},
		{"negative size", []string{"--l2-bytes=-1"}, nil, "", []string{"l2-bytes"}},
		{"bad size in the environment", nil, []string{"PGCACHE_L2_BYTES=4x"}, "", []string{"l2-bytes", `"4x"`, "environment PGCACHE_L2_BYTES"}},
		{"bad level in the file", nil, nil, "log-level: loud\n", []string{"log-level", `"loud"`, "debug, info", ":1"}},
		{"unknown key", nil, nil, "l1-bytes: 1GiB\nl3-bytes: 1\n", []string{`"l3-bytes"`, ":2", "--help"}},
		{"a key that is no setting", nil, nil, "config: x\n", []string{`"config"`}},
		{"twice", nil, nil, "l1-bytes: 1GiB\nl1_bytes: 2GiB\n", []string{"twice", ":2"}},
		{"list", nil, nil, "listen: [a, b]\n", []string{"listen", "one value"}},
		{"null", nil, nil, "listen:\n", []string{"listen", "no value"}},
		{"not a mapping", nil, nil, "hello\n", []string{"l1-bytes: 1GiB"}},
		{"not yaml", nil, nil, "a: [\n", []string{"config"}},
		{"no such file", []string{"--config=/nonexistent/x"}, nil, "", []string{"/nonexistent/x", "no such file"}},
		{"l1 too small", []string{"--l1-bytes=1000"}, nil, "", []string{"l1-bytes", "1MiB"}},
		{"blob too large", []string{"--l1-bytes=4MiB", "--max-blob-bytes=2MiB"}, nil, "", []string{"max-blob-bytes", "eighth"}},
		{"no connections", []string{"--max-connections=0"}, nil, "", []string{"max-connections"}},
		{"no namespaces", []string{"--max-namespaces=-1"}, nil, "", []string{"max-namespaces"}},
		{"all interfaces", []string{"--listen=0.0.0.0:7432"}, nil, "", []string{"0.0.0.0:7432", "authentication", "127.0.0.1"}},
		{"all interfaces, short", []string{"--listen=:7432"}, nil, "", []string{"authentication"}},
		{"all interfaces, six", []string{"--listen=[::]:7432"}, nil, "", []string{"authentication"}},
		{"a name", []string{"--listen=example.com:7432"}, nil, "", []string{"authentication"}},
		{"no port", []string{"--listen=127.0.0.1"}, nil, "", []string{"HOST:PORT"}},
		{"no option", []string{"--listen=127.0.0.1:7432,tsl=require"}, nil, "", []string{"tsl=require", "tls=off"}},
		{"no method", []string{"--listen=127.0.0.1:7432,auth=md5"}, nil, "", []string{"auth=md5", "scram"}},
		{"TLS without certificate", []string{"--listen=127.0.0.1:7432,tls=require"}, nil, "", []string{"tls=require", "--tls-cert"}},
		{"TLS on a Unix socket", []string{"--listen=/tmp,tls=allow", "--tls-cert=c", "--tls-key=k"}, nil, "", []string{"Unix"}},
		{"half a certificate", []string{"--tls-cert=c"}, nil, "", []string{"tls-key"}},
		{"password without users", []string{"--listen=127.0.0.1:7432,auth=scram"}, nil, "", []string{"auth=scram", "--users-file"}},
		{"certificates without authority", []string{"--listen=127.0.0.1:7432,auth=cert", "--users-file=u", "--tls-cert=c", "--tls-key=k"}, nil, "", []string{"tls-client-ca"}},
		{"socket mode", []string{"--unix-socket-mode=rwx"}, nil, "", []string{"octal"}},
		{"a limit of none", []string{"--max-portals=0"}, nil, "", []string{"max-portals", "1000000"}},
		{"no room to log in", []string{"--max-login-message-bytes=100"}, nil, "", []string{"max-login-message-bytes", "512"}},
		{"an answer in memory", []string{"--reply-buffer-bytes=1GiB"}, nil, "", []string{"reply-buffer-bytes", "1024"}},
		{"a time too long", []string{"--idle-session-timeout=100h"}, nil, "", []string{"idle-session-timeout", "24h"}},
		{"no users file", []string{"user", "list"}, nil, "", []string{"--users-file"}},
		{"negative slowness", []string{"--slow-log-ms=-1"}, nil, "", []string{"slow-log-ms"}},
		{"busy historian", []string{"--stats-history-interval=1ms"}, nil, "", []string{"stats-history-interval"}},
		{"no time to stop", []string{"--shutdown-timeout=0s"}, nil, "", []string{"shutdown-timeout"}},
		{"bad time", []string{"--shutdown-timeout=soon"}, nil, "", []string{"shutdown-timeout", "soon"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			args := test.args
			if test.file != "" {
				args = append(args, "--config", configFile(t, test.file))
			}
			var stderr strings.Builder
			m := &Main{Args: args, Env: environ(test.env...), Stdout: io.Discard, Stderr: &stderr}
			if code := m.Run(t.Context()); code != exitUsage {
				t.Errorf("exit code %d, want %d", code, exitUsage)
			}
			text := stderr.String()
			for _, part := range test.want {
				if !strings.Contains(text, part) {
					t.Errorf("message does not mention %s: %s", part, text)
				}
			}
			if !strings.HasPrefix(text, "pgcache: ") || strings.Count(text, "\n") != 1 {
				t.Errorf("not one line: %q", text)
			}
		})
	}
}

func TestLoopbackAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1:7432", "127.9.9.9:1", "[::1]:0", "localhost:7432", "[::ffff:127.0.0.1]:1"} {
		var l listenAddress
		if err := l.UnmarshalText([]byte(address)); err != nil || !l.isLocal() {
			t.Errorf("%s: local %v, %v", address, l.isLocal(), err)
		}
	}
}

func TestHelpAndVersion(t *testing.T) {
	tests := []struct{ arg, want string }{
		{"--help", "PGCACHE_L1_BYTES"}, {"--help", "--shutdown-timeout"}, {"--version", "pgcache "},
	}
	for _, test := range tests {
		var stdout, stderr strings.Builder
		m := &Main{Args: []string{test.arg}, Env: environ(), Stdout: &stdout, Stderr: &stderr}
		if code := m.Run(t.Context()); code != exitOK || stderr.String() != "" {
			t.Errorf("%s: exit code %d, %q", test.arg, code, stderr.String())
		}
		if !strings.Contains(stdout.String(), test.want) {
			t.Errorf("%s does not print %q:\n%s", test.arg, test.want, stdout.String())
		}
	}
	for _, command := range [][]string{{"user", "--help"}, {"user", "add", "--help"}, {"check", "--help"}, {"backup", "--help"}, {"serve", "--help"}} {
		var stdout strings.Builder
		m := &Main{Args: command, Env: environ(), Stdout: &stdout, Stderr: io.Discard}
		if code := m.Run(t.Context()); code != exitOK {
			t.Errorf("%v: exit code %d", command, code)
		}
		own := map[string]string{"user": "--users-file", "check": "--data-dir", "backup": "--data-dir", "serve": "--max-portals"}[command[0]]
		if text := stdout.String(); !strings.Contains(text, own) || strings.Contains(text, "--max-portals") != (command[0] == "serve") {
			t.Errorf("%v prints\n%s", command, text)
		}
	}
	if _, err := loadSettings([]string{"--help"}, environ(), io.Discard); !errors.Is(err, errAnswered) {
		t.Errorf("err = %v", err)
	}
}

func TestSizes(t *testing.T) {
	tests := map[string]int64{"0": 0, "1": 1, "1024": 1024, "4KiB": 4096, "1.5MiB": 3 << 19, " 2 GiB ": 2 << 30, "1MB": 1e6, "256mib": 256 << 20}
	for text, want := range tests {
		var s byteSize
		if err := s.UnmarshalText([]byte(text)); err != nil || int64(s) != want {
			t.Errorf("%q = %d, %v, want %d", text, s, err, want)
		}
	}
	if got := byteSize(256 << 20).String(); got != "256MiB" {
		t.Errorf("String = %q", got)
	}
}

// Every limit of the protocol server is a setting, so that cache_settings shows it.
func TestEveryWireLimitIsASetting(t *testing.T) {
	s, err := loadSettings([]string{"--max-connections=100"}, environ(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	s.resolveWire()
	limits := reflect.ValueOf(s.wireLimits())
	for i := range limits.NumField() {
		if limits.Field(i).IsZero() {
			t.Errorf("%s is pgwire's default, which no setting shows", limits.Type().Field(i).Name)
		}
	}
	for name, want := range map[string]string{"max_message_bytes": "268435456", "max_connections_per_user": "100", "max_connections_per_address": "100",
		"max_unauthenticated_connections_per_address": "1000"} {
		if got := rowOf(t, s, name).value; got != want {
			t.Errorf("%s is shown as %s, want %s", name, got, want)
		}
	}
}
