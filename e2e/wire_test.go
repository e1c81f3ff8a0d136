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

// TestWirePostgres runs the same transcripts against a real PostgreSQL: what they expect
// is what PostgreSQL does, and not what we think it does. Over TCP, Debian's would offer
// GSSAPI encryption.
func TestWirePostgres(t *testing.T) {
	postgres, err := realpostgres.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Stop()
	conn, err := pgx.Connect(t.Context(), "host="+filepath.Dir(postgres.Socket)+" port="+strings.TrimPrefix(filepath.Ext(postgres.Socket), ".")+" user=postgres")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE blob (ns text, key text, value bytea, PRIMARY KEY (ns, key))"); err != nil {
		t.Fatal(err)
	}
	runTranscripts(t, dialer("unix", postgres.Socket), wiretest.Options{RealPostgres: true, Rewrite: *rewrite})
}
