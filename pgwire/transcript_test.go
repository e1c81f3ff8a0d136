package pgwire_test

import (
	"flag"
	"net"
	"os"
	"path/filepath"
	"testing"

	"pgcache/pgwire/wiretest"
)

var rewrite = flag.Bool("rewrite", false, "write what the server answers into the transcripts")

// TestTranscripts runs testdata/wire against a server with fakeHandler or, if PGWIRE_POSTGRES
// is the Unix socket of a PostgreSQL with trust authentication, against that. (Over TCP it
// might offer encryption, which transcripts do not speak.)
func TestTranscripts(t *testing.T) {
	opts := wiretest.Options{Rewrite: *rewrite}
	network, address := "unix", os.Getenv("PGWIRE_POSTGRES")
	opts.RealPostgres, opts.NoSQL = address != "", address == ""
	if address == "" {
		network, address = "tcp", startServer(t, &fakeHandler{}, nil).address
	}
	paths, err := wiretest.Files("../testdata/wire")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			wiretest.Run(t, path, func() (net.Conn, error) { return net.Dial(network, address) }, opts)
		})
	}
}
