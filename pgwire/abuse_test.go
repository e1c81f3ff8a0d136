package pgwire_test

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
	"pgcache/pgwire/scram"
)

// openFiles counts this process's descriptors.
func openFiles(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

func heapBytes() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// Clients that come and go in every way leave no descriptor, memory or goroutine (the
// latter is checked for the whole package). e2e/soak does more of it.
func TestComeAndGo(t *testing.T) {
	files, heap := openFiles(t), heapBytes()
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Logger = nil })
	const cycles = 2000
	for i := range cycles {
		conn, err := net.Dial("tcp", server.address)
		if err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 { // without a word
			conn.Close()
			continue
		}
		startup, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "u"}}).Encode(nil)
		query, _ := (&pgproto3.Query{String: "SELECT 1"}).Encode(nil)
		switch i % 5 {
		case 1: // in the middle of startup
			_, _ = conn.Write(startup[:10])
		case 2: // with an answer on its way
			_, _ = conn.Write(append(startup, query...))
		case 3: // in the middle of a message
			_, _ = conn.Write(append(startup, query[:7]...))
		case 4:
			terminate, _ := (&pgproto3.Terminate{}).Encode(nil)
			_, _ = conn.Write(append(startup, terminate...))
			_, _ = io.Copy(io.Discard, conn)
		}
		if i%2 == 0 {
			_ = conn.(*net.TCPConn).SetLinger(0) // a reset
		}
		conn.Close()
	}
	if err := server.Shutdown(context.Background()); err != nil { // waits for all
		t.Fatal(err)
	}
	if n := server.Connections(); n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if left := openFiles(t) - files; left > 3 {
		t.Errorf("%d descriptors are left", left)
	}
	if after := heapBytes(); after > heap+8<<20 {
		t.Errorf("%d bytes of memory are left", after-heap)
	}
}

// A client that sends its startup packet byte by byte has no more time than others.
func TestSlowLoris(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const allowed, pause = 100 * time.Millisecond, 5 * time.Millisecond
		limits := pgwire.Limits{Authentication: allowed}
		conn := servePipes(t, pgwire.Config{Handler: &fakeHandler{}, Limits: limits}, pgwire.Access{}).dial()
		defer conn.Close()
		startup, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30,
			Parameters: map[string]string{"user": strings.Repeat("u", 1000)}}).Encode(nil)
		started := time.Now()
		for i := range startup {
			if _, err := conn.Write(startup[i : i+1]); err != nil {
				break
			}
			<-time.After(pause)
		}
		if took := time.Since(started); took < allowed || took > allowed+pause {
			t.Errorf("held the connection for %s", took)
		}
	})
}

// Headers claim; memory is for what arrives (W3).
func TestHugeHeaders(t *testing.T) {
	server := startServer(t, &fakeHandler{}, nil)
	heap := heapBytes()
	const clients = 50
	for i := range clients {
		c := connectTo(t, server.address)
		header := binary.BigEndian.AppendUint32([]byte{"QPBF"[i%4]}, 250<<20)
		if _, err := c.conn.Write(append(header, make([]byte, 1000)...)); err != nil {
			t.Fatal(err)
		}
	}
	// Another client's answer tells that the server has had its turn at the others.
	last := connectTo(t, server.address)
	last.want(last.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
	if after := heapBytes(); after > heap+clients*(512<<10) {
		t.Errorf("%d headers took %d bytes", clients, after-heap)
	}
}

// A flood of wrong keys cancels nothing, and ends the patience for right ones too: nobody
// can try all keys.
func TestCancelFlood(t *testing.T) {
	handler := &fakeHandler{blocked: make(chan struct{})}
	server := startServer(t, handler, nil)
	c := connectTo(t, server.address)
	c.write(&pgproto3.Query{String: "BLOCK"})
	<-handler.blocked
	cancel := func(key uint32) {
		canceller := dialTo(t, server.address)
		canceller.write(&pgproto3.CancelRequest{ProcessID: c.key.ProcessID, SecretKey: binary.BigEndian.AppendUint32(nil, key)})
		canceller.want(canceller.answer(), "EOF")
	}
	right := binary.BigEndian.Uint32(c.key.SecretKey)
	for i := range uint32(300) {
		cancel(right + 1 + i)
	}
	server.CancelBackend(c.key.ProcessID)
	c.want(c.answer(), "T E(ERROR 57014) Z(I)")
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
}

// FuzzLogin sends any bytes to a listener that wants a password. Nobody gets in, no session
// is made; what is sent back is short, of whole messages, and ends in FATAL or an end.
func FuzzLogin(f *testing.F) {
	startup := []byte("\x00\x00\x00\x10\x00\x03\x00\x00user\x00u\x00\x00")
	startup[3] = byte(len(startup))
	first := []byte("p\x00\x00\x00\x26SCRAM-SHA-256\x00\x00\x00\x00\x10n,,n=,r=abcdefgh")
	first[4] = byte(len(first) - 1)
	f.Add(startup)
	f.Add(append(startup[:len(startup):len(startup)], first...))
	f.Add([]byte("\x00\x00\x00\x08\x04\xd2\x16\x2f\x00\x00\x00\x08\x04\xd2\x16\x30"))
	f.Add([]byte("\x00\x00\x00\x10\x04\xd2\x16\x2e\x00\x00\x00\x01\x00\x00\x00\x01"))
	f.Add([]byte("\x16\x03\x01\x00\x05hello"))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	verifier, err := scram.NewVerifier("secret", 1, zeroes{})
	if err != nil {
		f.Fatal(err)
	}
	handler := &identityHandler{infos: make(chan *pgwire.ConnInfo, 1)}
	server, err := pgwire.NewServer(pgwire.Config{Handler: handler, Limits: pgwire.Limits{Authentication: 20 * time.Millisecond},
		Accounts: pgwire.NewAccounts([]pgwire.Account{{Name: "u", Identity: pgwire.Identity{Role: pgwire.RoleAdmin}, Verifier: verifier}}, nil)})
	if err != nil {
		f.Fatal(err)
	}
	listener := newPipeListener()
	served := make(chan error)
	go func() {
		served <- server.ServeAccess(context.Background(), listener, pgwire.Access{Method: pgwire.MethodSCRAM})
	}()
	f.Cleanup(func() {
		server.Close()
		<-served
	})
	f.Fuzz(func(t *testing.T, input []byte) {
		conn := listener.dial()
		defer conn.Close()
		written := make(chan struct{})
		go func() {
			defer close(written)
			_, _ = conn.Write(input) // the server may have had enough
		}()
		_ = conn.SetReadDeadline(time.Now().Add(patience))
		output, err := io.ReadAll(io.LimitReader(conn, 1<<20))
		if err != nil && err != io.ErrClosedPipe {
			t.Fatalf("hangs: %v", err)
		}
		conn.Close()
		<-written
		select {
		case info := <-handler.infos:
			t.Fatalf("%q is let in as %+v", input, info)
		default:
		}
		checkRefusal(t, input, output)
	})
}

// checkRefusal wants answers to requests for encryption, then whole messages, none of which
// says that the client is in.
func checkRefusal(t *testing.T, input, output []byte) {
	t.Helper()
	if len(output) > 2048+3*len(input) {
		t.Errorf("%d bytes are answered by %d", len(input), len(output))
	}
	for len(output) > 0 && output[0] == 'N' && (len(output) < 5 || binary.BigEndian.Uint32(output[1:]) > 1<<16) {
		output = output[1:]
	}
	for len(output) > 0 {
		if len(output) < 5 || int(binary.BigEndian.Uint32(output[1:])) >= len(output) {
			t.Fatalf("no whole message: %q", output)
		}
		body := output[5 : 1+binary.BigEndian.Uint32(output[1:])]
		switch kind := output[0]; {
		case kind == 'E' || kind == 'v':
		case kind == 'R' && binary.BigEndian.Uint32(body) != 0:
		default:
			t.Fatalf("%q is answered by %c %q", input, kind, body)
		}
		output = output[5+len(body):]
	}
}

// zeroes is a source of salts that are always the same.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) { return len(p), nil }

func TestParametersLimit(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Limits.Parameters = 2 })
	c := connectTo(t, server.address)
	three := &pgproto3.Bind{Parameters: [][]byte{nil, nil, nil}}
	c.want(c.ask(&pgproto3.Parse{Query: "SELECT $1::text"}, three, &pgproto3.Sync{}), "1 E(ERROR 54000) Z(I)")
}
