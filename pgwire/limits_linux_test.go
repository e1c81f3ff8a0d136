package pgwire_test

import (
	"io"
	"net"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
)

// Those who have not logged in are limited together and by address, so that one client cannot
// keep out all others. Only Linux has all of 127.0.0.0/8.
func TestStartingLimits(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Limits.Starting, c.Limits.AddressStarting = 3, 2 })
	hold := func(local string) *testClient {
		dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(local)}}
		conn, err := dialer.Dial("tcp", server.address)
		if err != nil {
			t.Fatal(err)
		}
		return newTestClient(t, conn)
	}
	held := func(c *testClient) { // it is counted once it has been answered
		t.Helper()
		c.write(&pgproto3.SSLRequest{})
		if _, err := io.ReadFull(c.conn, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	first, second := hold("127.0.0.2"), hold("127.0.0.2")
	held(first)
	held(second)
	third := hold("127.0.0.2")
	third.want(third.answer(), "EOF")
	other := hold("127.0.0.3")
	held(other)
	last := hold("127.0.0.4")
	last.want(last.answer(), "EOF")
	user := map[string]string{"user": "u"}
	first.want(first.startup(user), "Z(I)") // leaves a place
	again := hold("127.0.0.2")
	again.want(again.startup(user), "Z(I)")
	first.want(first.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
}

// The kernel is asked to look after silent clients.
func TestKeepAlive(t *testing.T) {
	l := &countedListener{sockets: make(chan *net.TCPConn, 1)}
	serveCounted(t, l, pgwire.Limits{KeepAlive: 90 * time.Second})
	connectTo(t, l.Addr().String())
	raw, err := (<-l.sockets).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	for option, want := range map[int]int{syscall.TCP_KEEPIDLE: 90, syscall.TCP_KEEPINTVL: 30, syscall.TCP_KEEPCNT: 3} {
		var got int
		if err := raw.Control(func(fd uintptr) { got, err = syscall.GetsockoptInt(int(fd), syscall.IPPROTO_TCP, option) }); err != nil || got != want {
			t.Errorf("option %d is %d, %v, want %d", option, got, err, want)
		}
	}
}
