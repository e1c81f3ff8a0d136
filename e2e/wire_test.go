package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"pgcache/e2e/realpostgres"
	"pgcache/pgwire/wiretest"
)

var rewrite = flag.Bool("rewrite", false, "write what PostgreSQL answers into the transcripts")

// transcripts are the conversations both servers must have alike: about the protocol, and
// about what it takes some SQL to show.
var transcripts = []string{"../testdata/wire", "../testdata/wire/sql"}

func runTranscripts(t *testing.T, dial func() (net.Conn, error), opts wiretest.Options) {
	t.Helper()
	for _, folder := range transcripts {
		files, err := wiretest.Files(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range files {
			t.Run(filepath.Base(path), func(t *testing.T) { wiretest.Run(t, path, dial, opts) })
		}
	}
}

// The users and limits that the transcripts in login and full want. The verifier is RFC 7677's of
// the password pencil.
const pencilVerifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="

func runFolder(t *testing.T, folder string, dial func() (net.Conn, error), opts wiretest.Options) {
	t.Helper()
	files, err := wiretest.Files("../testdata/wire/" + folder)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) { wiretest.Run(t, path, dial, opts) })
	}
}

func dialer(network, address string) func() (net.Conn, error) {
	return func() (net.Conn, error) { return net.Dial(network, address) }
}

// TestWire runs every transcript against the built server, without and with a disk tier.
func TestWire(t *testing.T) {
	t.Run("memory only", func(t *testing.T) {
		runTranscripts(t, dialer("tcp", start(t).address), wiretest.Options{})
	})
	t.Run("with disk", func(t *testing.T) {
		runTranscripts(t, dialer("tcp", start(t, "--data-dir="+t.TempDir()).address), wiretest.Options{})
	})
	t.Run("over TLS", func(t *testing.T) {
		certs := certificates(t, "client")
		s := start(t, "--tls-cert="+certs+"/server.pem", "--tls-key="+certs+"/server.key", "--listen=127.0.0.1:0,tls=require")
		roots := x509.NewCertPool()
		authority, err := os.ReadFile(certs + "/ca.pem")
		if err != nil || !roots.AppendCertsFromPEM(authority) {
			t.Fatal(err)
		}
		// Without an SSLRequest, as since PostgreSQL 17: the transcripts have some of their own.
		direct := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"postgresql"}}
		runTranscripts(t, func() (net.Conn, error) { return tls.Dial("tcp", s.address, direct) }, wiretest.Options{})
	})
}

// TestWireLogin runs the transcripts of logins.
func TestWireLogin(t *testing.T) {
	certs, users := certificates(t, "client"), filepath.Join(t.TempDir(), "users.yaml")
	addUser(t, users, "", "alice", "--role=admin", "--verifier="+pencilVerifier)
	s := start(t, "--users-file="+users, "--tls-cert="+certs+"/server.pem", "--tls-key="+certs+"/server.key")
	runFolder(t, "login", dialer("tcp", s.address), wiretest.Options{Rewrite: *rewrite})
}

// TestWireFull runs the transcripts of a server with small limits.
func TestWireFull(t *testing.T) {
	files, err := wiretest.Files("../testdata/wire/full")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files { // each with a server of its own, where nobody's connections are still ending
		t.Run(filepath.Base(path), func(t *testing.T) {
			s := start(t, "--max-connections=2", "--reserved-connections=0", "--max-blob-bytes=40000", "--max-message-bytes=100000", "--max-parameters=3", "--max-prepared-statements=2", "--max-portals=2")
			wiretest.Run(t, path, dialer("tcp", s.address), wiretest.Options{Rewrite: *rewrite})
		})
	}
}

// TestWirePostgresLogin and TestWirePostgresFull run the same against PostgreSQL.
func TestWirePostgresLogin(t *testing.T) {
	certs := certificates(t, "client")
	postgres, err := realpostgres.StartWith(realpostgres.Options{Certificate: certs + "/server.pem", Key: certs + "/server.key",
		Access: []string{"local all all trust", "host all all 127.0.0.1/32 scram-sha-256"}})
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Stop()
	execPostgres(t, postgres, "CREATE ROLE alice LOGIN PASSWORD '"+pencilVerifier+"'")
	runFolder(t, "login", dialer("tcp", postgres.Address), wiretest.Options{RealPostgres: true, PostgresMajor: postgres.Major, Rewrite: *rewrite})
}

func TestWirePostgresFull(t *testing.T) {
	postgres, err := realpostgres.StartWith(realpostgres.Options{Settings: []string{"max_connections=2", "superuser_reserved_connections=0"}})
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Stop()
	runFolder(t, "full", dialer("unix", postgres.Socket), wiretest.Options{RealPostgres: true, PostgresMajor: postgres.Major, Rewrite: *rewrite})
}

// execPostgres runs a statement as the superuser.
func execPostgres(t *testing.T, postgres *realpostgres.Server, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), "host="+filepath.Dir(postgres.Socket)+" port="+strings.TrimPrefix(filepath.Ext(postgres.Socket), ".")+" user=postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatal(err)
	}
}

// TestWirePostgres runs the same transcripts against a real PostgreSQL: what they expect
// is what PostgreSQL does, and not what we think it does. Over TCP, Debian's would offer
// GSSAPI encryption.
func TestWirePostgres(t *testing.T) {
	postgres, err := realpostgres.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Stop()
	execPostgres(t, postgres, "CREATE TABLE blob (ns text, key text, value bytea, PRIMARY KEY (ns, key))")
	runTranscripts(t, dialer("unix", postgres.Socket), wiretest.Options{RealPostgres: true, PostgresMajor: postgres.Major, Rewrite: *rewrite})
}
