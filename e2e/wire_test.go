package e2e

import (
	"net"
	"path/filepath"
	"testing"

	"pgcache/e2e/realpostgres"
	"pgcache/pgwire/wiretest"
)

// transcripts are the conversations both servers must have alike.
const transcripts = "../testdata/wire"

func runTranscripts(t *testing.T, network, address string, opts wiretest.Options) {
	t.Helper()
	files, err := wiretest.Files(transcripts)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range files {
		t.Run(filepath.Base(path), func(t *testing.T) {
			wiretest.Run(t, path, func() (net.Conn, error) { return net.Dial(network, address) }, opts)
		})
	}
}

// TestWire runs every transcript against the built server, without and with a disk tier.
func TestWire(t *testing.T) {
	t.Run("memory only", func(t *testing.T) {
		runTranscripts(t, "tcp", start(t).address, wiretest.Options{})
	})
	t.Run("with disk", func(t *testing.T) {
		runTranscripts(t, "tcp", start(t, "--data-dir="+t.TempDir()).address, wiretest.Options{})
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
	runTranscripts(t, "unix", postgres.Socket, wiretest.Options{RealPostgres: true})
}
