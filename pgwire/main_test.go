package pgwire_test

import (
	"context"
	"log/slog"
	"net"
	"testing"

	"go.uber.org/goleak"

	"pgcache/pgwire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testServer is a server on a loopback port for the length of a test.
type testServer struct {
	*pgwire.Server
	address string
}

// startServer starts a server that ends with the test. configure may be nil.
func startServer(t testing.TB, handler pgwire.Handler, configure func(*pgwire.Config)) *testServer {
	t.Helper()
	config := pgwire.Config{Handler: handler, Logger: slog.New(slog.NewTextHandler(testWriter{t}, nil))}
	if configure != nil {
		configure(&config)
	}
	server, err := pgwire.NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(context.Background(), listener) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &testServer{server, listener.Addr().String()}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", p)
	return len(p), nil
}
