package pgwire_test

import (
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
)

// Limits are enforced by the tests of what they limit: connections in TestConnectionLimits,
// TestAdmission and TestAddressLimit; the deadline of a login in TestAuthenticationTimeout,
// TestLoginTimeout and TestSlowLoris; parameters in TestParametersLimit; statements and portals in
// TestNamesLimits; notifications in TestNotifications; the write deadline in TestWriteTimeout.
// The rest is here and in limits_linux_test.go.

// Before a login messages are short: a longer one ends the connection.
func TestLoginMessageLimit(t *testing.T) {
	g := startGuarded(t, pgwire.NewAccounts(twoAccounts(t), nil), func(c *pgwire.Config) { c.Limits.LoginMessageBytes = 200 })
	startup := func(bytes int) *testClient {
		c := dialTo(t, g.password)
		const rest = len("....vvvvuser.alice.application_name...")
		c.write(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30,
			Parameters: map[string]string{"user": "alice", "application_name": strings.Repeat("x", bytes-rest)}})
		return c
	}
	long := startup(201)
	long.want(long.answer(), "EOF")
	for bytes, want := range map[int]string{199: "E(FATAL 08P01) EOF", 200: "E(FATAL 28P01) EOF"} {
		c := startup(200)
		if _, err := c.frontend.Receive(); err != nil {
			t.Fatal(err)
		}
		const rest = len("p....SCRAM-SHA-256.....")
		c.write(&pgproto3.SASLInitialResponse{AuthMechanism: "SCRAM-SHA-256", Data: make([]byte, bytes+1-rest)})
		c.want(c.answer(), want)
	}
}

// The limit of a message holds below the size of the read buffer too.
func TestSmallMessageLimit(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Limits.MessageBytes = 20 })
	c := connectTo(t, server.address)
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
	c.want(c.query("SELECT 1"+strings.Repeat(" ", 12)), "E(ERROR 54000) Z(I)")
	c.want(c.query("SELECT 1"+strings.Repeat(" ", 11)), "T D(1) C(SELECT 1) Z(I)")
}

// The texts of named statements are limited together.
func TestStatementBytesLimit(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Limits.StatementBytes = 2000 })
	c := connectTo(t, server.address)
	parse := func(name string) pgproto3.FrontendMessage {
		return &pgproto3.Parse{Name: name, Query: "SELECT 1" + strings.Repeat(" ", 992)}
	}
	c.want(c.ask(parse("a"), parse("b"), &pgproto3.Sync{}), "1 E(ERROR 54000) Z(I)")
	c.want(c.ask(&pgproto3.Close{ObjectType: 'S', Name: "a"}, parse("b"), parse(""), parse(""), &pgproto3.Sync{}), "CloseComplete 1 1 1 Z(I)")
}

// countedListener counts the writes to the connections it accepts, and shows the sockets.
type countedListener struct {
	net.Listener
	writes  atomic.Int64
	sockets chan *net.TCPConn
}

type countedConn struct {
	net.Conn
	writes *atomic.Int64
}

func (c countedConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

func (l *countedListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	if l.sockets != nil {
		l.sockets <- conn.(*net.TCPConn)
		return conn, nil
	}
	return countedConn{conn, &l.writes}, nil
}

// serveCounted serves with limits behind a countedListener.
func serveCounted(t *testing.T, l *countedListener, limits pgwire.Limits) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Listener = listener
	server, err := pgwire.NewServer(pgwire.Config{Handler: &fakeHandler{}, Limits: limits})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(t.Context(), l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
}

// An answer is written in pieces of ReplyBytes.
func TestReplyBytesLimit(t *testing.T) {
	for bytes, want := range map[int]int64{1000: 5, 10_000: 1} {
		l := &countedListener{}
		serveCounted(t, l, pgwire.Limits{ReplyBytes: bytes})
		c := connectTo(t, l.Addr().String())
		before := l.writes.Load()
		c.want(c.query(strings.TrimSuffix(strings.Repeat("SELECT repeat 900;", 10), ";")), strings.TrimSpace(strings.Repeat("T D(rrrrrrrrrr) C(SELECT 1) ", 10))+" Z(I)")
		if got := l.writes.Load() - before; got < want || got > want+1 {
			t.Errorf("%d writes in pieces of %d, want %d", got, bytes, want)
		}
	}
}
