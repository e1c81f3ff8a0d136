package pgwire_test

import (
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
)

func copyIn() *pgproto3.Query { return &pgproto3.Query{String: "COPY blob FROM STDIN"} }

func copyData(text string) *pgproto3.CopyData { return &pgproto3.CopyData{Data: []byte(text)} }

func TestCopyIn(t *testing.T) {
	one := &pgproto3.Query{String: "SELECT 1"}
	done := &pgproto3.CopyDone{}
	for name, x := range map[string]struct {
		send []pgproto3.FrontendMessage
		want []string
	}{
		"data":      {[]pgproto3.FrontendMessage{copyIn(), copyData("a\nb"), copyData("\n"), done}, []string{"CopyInResponse C(COPY 2) Z(I)"}},
		"fail":      {[]pgproto3.FrontendMessage{copyIn(), &pgproto3.CopyFail{Message: "no"}, copyData("x"), done, one}, []string{"CopyInResponse E(ERROR 57014) Z(I)", "T D(1) C(SELECT 1) Z(I)"}},
		"bad line":  {[]pgproto3.FrontendMessage{copyIn(), copyData("bad\n"), copyData("x"), done, one}, []string{"CopyInResponse E(ERROR 22P04) Z(I)", "T D(1) C(SELECT 1) Z(I)"}},
		"panic":     {[]pgproto3.FrontendMessage{copyIn(), copyData("panic\n"), done, one}, []string{"CopyInResponse E(ERROR XX000) Z(I)", "T D(1) C(SELECT 1) Z(I)"}},
		"too long":  {[]pgproto3.FrontendMessage{copyIn(), copyData(strings.Repeat("x", 200<<10)), done, one}, []string{"CopyInResponse E(ERROR 54000) Z(I)", "T D(1) C(SELECT 1) Z(I)"}},
		"end mark":  {[]pgproto3.FrontendMessage{copyIn(), copyData("a\n\\.\n"), copyData("bad\n"), done, one}, []string{"CopyInResponse C(COPY 1) Z(I)", "T D(1) C(SELECT 1) Z(I)"}},
		"fail late": {[]pgproto3.FrontendMessage{copyIn(), copyData("\\.\n"), &pgproto3.CopyFail{Message: "no"}, one}, []string{"CopyInResponse E(ERROR 57014) Z(I)", "T D(1) C(SELECT 1) Z(I)"}},
		"query":     {[]pgproto3.FrontendMessage{copyIn(), one}, []string{"CopyInResponse E(ERROR 08P01) E(FATAL 08P01) EOF"}},
		"terminate": {[]pgproto3.FrontendMessage{copyIn(), &pgproto3.Terminate{}}, []string{"EOF"}},
	} {
		t.Run(name, func(t *testing.T) {
			server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Limits.MessageBytes = 100 << 10 })
			c := connectTo(t, server.address)
			c.write(x.send...)
			for _, want := range x.want {
				c.want(c.answer(), want)
			}
		})
	}
}

// A COPY that waits for its client is cancelled at once, in the middle of a message too; and the
// client's end is noticed.
func TestCopyInWaits(t *testing.T) {
	handler := &fakeHandler{closed: make(chan struct{}, 1)}
	server := startServer(t, handler, nil)
	c := connectTo(t, server.address)
	c.write(copyIn())
	if message, err := c.frontend.Receive(); err != nil {
		t.Fatal(message, err)
	}
	canceller := dialTo(t, server.address)
	canceller.write(&pgproto3.CancelRequest{ProcessID: c.key.ProcessID, SecretKey: c.key.SecretKey})
	canceller.want(canceller.answer(), "EOF")
	c.want(c.answer(), "E(ERROR 57014) Z(I)")
	c.want(c.ask(copyData("x\n"), &pgproto3.CopyDone{}, &pgproto3.Query{String: "SELECT 1"}), "T D(1) C(SELECT 1) Z(I)")

	c.write(copyIn())
	if message, err := c.frontend.Receive(); err != nil {
		t.Fatal(message, err)
	}
	half, err := copyData("half\n").Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.conn.Write(half[:7]); err != nil {
		t.Fatal(err)
	}
	again := dialTo(t, server.address)
	again.write(&pgproto3.CancelRequest{ProcessID: c.key.ProcessID, SecretKey: c.key.SecretKey})
	c.want(c.answer(), "E(ERROR 57014) Z(I)")
	if _, err := c.conn.Write(half[7:]); err != nil {
		t.Fatal(err)
	}
	c.want(c.ask(&pgproto3.CopyDone{}, &pgproto3.Query{String: "SELECT 1"}), "T D(1) C(SELECT 1) Z(I)")
	c.write(copyIn())
	if message, err := c.frontend.Receive(); err != nil {
		t.Fatal(message, err)
	}
	c.conn.Close()
	<-handler.closed
}

func TestCopyOut(t *testing.T) {
	c := connectTo(t, startServer(t, &fakeHandler{}, nil).address)
	c.want(c.query("COPY blob TO STDOUT"), "CopyOutResponse CopyData CopyData CopyData CopyDone C(COPY 3) Z(I)")
}
