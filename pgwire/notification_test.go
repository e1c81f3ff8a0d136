package pgwire_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
)

// sharingHandler shows the test what its sessions know of their connections.
type sharingHandler struct {
	fakeHandler
	infos chan *pgwire.ConnInfo
}

func newSharingHandler() *sharingHandler {
	return &sharingHandler{fakeHandler: fakeHandler{blocked: make(chan struct{})}, infos: make(chan *pgwire.ConnInfo, 1)}
}

func (h *sharingHandler) NewSession(ctx context.Context, info *pgwire.ConnInfo) (pgwire.Session, error) {
	h.infos <- info
	return h.fakeHandler.NewSession(ctx, info)
}

// notifications reads n NotificationResponses and shows their payloads.
func (c *testClient) notifications(n int) string {
	c.t.Helper()
	var shown []string
	for range n {
		message, err := c.frontend.Receive()
		if err != nil {
			c.t.Fatalf("after %v: %v", shown, err)
		}
		m, ok := message.(*pgproto3.NotificationResponse)
		if !ok {
			c.t.Fatalf("%T after %v", message, shown)
		}
		shown = append(shown, m.Channel+":"+m.Payload)
	}
	return strings.Join(shown, " ")
}

func TestNotifications(t *testing.T) {
	handler := newSharingHandler()
	server := startServer(t, handler, func(c *pgwire.Config) { c.Limits.Notifications = 3 })
	c := connectTo(t, server.address)
	mailbox := (<-handler.infos).Notifications
	put := func(payload string) bool { return mailbox.Put(9, "ch", payload) }

	// An idle client is woken.
	put("1")
	c.want(c.notifications(1), "ch:1")
	// Not inside a cycle: with its ReadyForQuery.
	c.write(&pgproto3.Query{String: "BLOCK"})
	<-handler.blocked
	put("2")
	put("3")
	server.CancelBackend(c.key.ProcessID)
	c.want(c.answer(), "T E(ERROR 57014) NotificationResponse NotificationResponse Z(I)")
	// Nor between the messages of one, nor in a transaction block.
	c.want(c.query("BEGIN"), "C(BEGIN) Z(T)")
	put("4")
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) Z(T)")
	c.want(c.ask(&pgproto3.Parse{Query: "COMMIT"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}), "1 2 C(COMMIT) NotificationResponse Z(I)")
	// Bounded, and in order.
	c.want(c.query("BEGIN"), "C(BEGIN) Z(T)")
	for i := range 3 {
		if !put(strconv.Itoa(i)) {
			t.Errorf("%d does not fit", i)
		}
	}
	if put("too many") {
		t.Error("the queue has no bound")
	}
	c.write(&pgproto3.Query{String: "COMMIT"})
	if _, err := c.frontend.Receive(); err != nil {
		t.Fatal(err)
	}
	c.want(c.notifications(3), "ch:0 ch:1 ch:2")
	c.want(c.answer(), "Z(I)")
	// Or one takes the place of all of its channel.
	c.want(c.query("BEGIN"), "C(BEGIN) Z(T)")
	put("a")
	mailbox.Put(9, "other", "b")
	put("c")
	if !mailbox.Replace(9, "ch", "everything") {
		t.Error("one in place of two does not fit")
	}
	c.write(&pgproto3.Query{String: "COMMIT"})
	if _, err := c.frontend.Receive(); err != nil {
		t.Fatal(err)
	}
	c.want(c.notifications(2), "other:b ch:everything")
	c.want(c.answer(), "Z(I)")
	c.write(&pgproto3.Terminate{})
	c.want(c.answer(), "EOF")
	server.Close()
	if put("late") {
		t.Error("a closed connection takes notifications")
	}
}

// Under load nothing is lost, doubled or out of order, and no frame is broken.
func TestNotificationsUnderLoad(t *testing.T) {
	handler := newSharingHandler()
	server := startServer(t, handler, nil)
	c := connectTo(t, server.address)
	mailbox := (<-handler.infos).Notifications
	const n = 2000
	go func() {
		for i := range n {
			mailbox.Put(9, "ch", strconv.Itoa(i))
		}
	}()
	go func() {
		query, _ := (&pgproto3.Query{String: "SELECT 1"}).Encode(nil)
		for range 200 {
			if _, err := c.conn.Write(query); err != nil {
				return
			}
		}
	}()
	inCycle := false
	for next, ready := 0, 0; next < n || ready < 200; {
		message, err := c.frontend.Receive()
		if err != nil {
			t.Fatal(err)
		}
		switch m := message.(type) {
		case *pgproto3.NotificationResponse:
			if m.Payload != strconv.Itoa(next) || inCycle {
				t.Fatalf("%s in place of %d, inside a cycle: %v", m.Payload, next, inCycle)
			}
			next++
		case *pgproto3.RowDescription, *pgproto3.DataRow:
			inCycle = true
		case *pgproto3.CommandComplete:
			inCycle = false
		case *pgproto3.ReadyForQuery:
			ready++
		}
	}
}

func TestBackends(t *testing.T) {
	handler := newSharingHandler()
	server := startServer(t, handler, nil)
	c := connectTo(t, server.address)
	backends := (<-handler.infos).Backends
	other := connectTo(t, server.address)
	<-handler.infos
	c.want(c.query("BEGIN"), "C(BEGIN) Z(T)")
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) Z(T)")
	other.write(&pgproto3.Query{String: "BLOCK"})
	<-handler.blocked
	list := backends.Activity()
	if len(list) != 2 {
		t.Fatalf("%d sessions", len(list))
	}
	a, b := list[0], list[1]
	if a.ProcessID != c.key.ProcessID || a.User != "u" || a.Database != "d" || a.State != pgwire.StateInBlock || a.Query != "SELECT 1" ||
		a.TransactionStarted.IsZero() || a.TransactionStarted.After(a.StatementStarted) || a.StateChanged.Before(a.StatementStarted) {
		t.Errorf("%+v", a)
	}
	if b.State != pgwire.StateActive || b.Query != "BLOCK" || b.TransactionStarted != b.StatementStarted {
		t.Errorf("%+v", b)
	}
	if backends.CancelBackend(12345) || backends.TerminateBackend(12345) {
		t.Error("a session that is not there")
	}
	if !backends.CancelBackend(b.ProcessID) {
		t.Error("not cancelled")
	}
	other.want(other.answer(), "T E(ERROR 57014) Z(I)")
	if list := backends.Activity(); list[1].State != pgwire.StateIdle || !list[1].TransactionStarted.IsZero() {
		t.Errorf("%+v", list[1])
	}

	// An idle one, one that works, and one in a transaction block are ended.
	if !backends.TerminateBackend(b.ProcessID) {
		t.Error("not terminated")
	}
	other.want(other.answer(), "E(FATAL 57P01) EOF")
	backends.EndSession(a.ProcessID, pgwire.Errorf(pgwire.CodeConfigurationLimitExceeded, "too slow"))
	c.want(c.answer(), "E(FATAL 53400) EOF")
	busy := connectTo(t, server.address)
	<-handler.infos
	busy.write(&pgproto3.Query{String: "BLOCK"})
	<-handler.blocked
	backends.TerminateBackend(busy.key.ProcessID)
	busy.want(busy.answer(), "T E(FATAL 57P01) EOF")
}
