package pgwire_test

import (
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// testClient is a client that shows answers in a line: each message as its type byte and
// what matters of it, e.g. "1 2 D(x) C(SELECT 1) Z(I)".
type testClient struct {
	t        testing.TB
	conn     net.Conn
	frontend *pgproto3.Frontend
	key      pgproto3.BackendKeyData
}

// connectTo opens a connection past startup.
func connectTo(t testing.TB, address string) *testClient {
	t.Helper()
	c := dialTo(t, address)
	if answer := c.startup(map[string]string{"user": "u", "database": "d"}); !strings.HasSuffix(answer, "Z(I)") {
		t.Fatalf("startup: %s", answer)
	}
	return c
}

func dialTo(t testing.TB, address string) *testClient {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newTestClient(t, conn)
}

// patience bounds what tests wait for: it is only ever used up by a hang, however slow and
// busy the machine.
const patience = 5 * time.Minute

func newTestClient(t testing.TB, conn net.Conn) *testClient {
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return &testClient{t: t, conn: conn, frontend: pgproto3.NewFrontend(conn, conn)}
}

func (c *testClient) startup(parameters map[string]string) string {
	c.t.Helper()
	c.write(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: parameters})
	return c.answer()
}

func (c *testClient) write(messages ...pgproto3.FrontendMessage) {
	c.t.Helper()
	var out []byte
	var err error
	for _, m := range messages {
		if out, err = m.Encode(out); err != nil {
			c.t.Fatal(err)
		}
	}
	if _, err := c.conn.Write(out); err != nil {
		c.t.Fatal(err)
	}
}

// ask sends messages and returns the answer.
func (c *testClient) ask(messages ...pgproto3.FrontendMessage) string {
	c.t.Helper()
	c.write(messages...)
	return c.answer()
}

func (c *testClient) query(sql string) string {
	c.t.Helper()
	return c.ask(&pgproto3.Query{String: sql})
}

// answer reads up to the next ReadyForQuery or the end, which it shows as "EOF".
func (c *testClient) answer() string {
	c.t.Helper()
	var shown []string
	for {
		message, err := c.frontend.Receive()
		if err != nil {
			if strings.Contains(err.Error(), "timeout") {
				c.t.Fatalf("hangs after %v", shown)
			}
			return strings.Join(append(shown, "EOF"), " ")
		}
		switch m := message.(type) {
		case *pgproto3.ReadyForQuery:
			return strings.Join(append(shown, fmt.Sprintf("Z(%c)", m.TxStatus)), " ")
		case *pgproto3.ErrorResponse:
			shown = append(shown, fmt.Sprintf("E(%s %s)", m.Severity, m.Code))
		case *pgproto3.NoticeResponse:
			shown = append(shown, fmt.Sprintf("N(%s)", m.Code))
		case *pgproto3.DataRow:
			var fields []string
			for _, v := range m.Values {
				fields = append(fields, fmt.Sprintf("%.10s", v))
			}
			shown = append(shown, fmt.Sprintf("D(%s)", strings.Join(fields, ",")))
		case *pgproto3.CommandComplete:
			shown = append(shown, fmt.Sprintf("C(%s)", m.CommandTag))
		case *pgproto3.BackendKeyData:
			c.key = pgproto3.BackendKeyData{ProcessID: m.ProcessID, SecretKey: append([]byte(nil), m.SecretKey...)}
		case *pgproto3.ParameterStatus, *pgproto3.AuthenticationOk:
		case *pgproto3.RowDescription:
			shown = append(shown, "T")
		case *pgproto3.ParameterDescription:
			shown = append(shown, "t")
		case *pgproto3.ParseComplete:
			shown = append(shown, "1")
		case *pgproto3.BindComplete:
			shown = append(shown, "2")
		case *pgproto3.PortalSuspended:
			shown = append(shown, "s")
		default:
			shown = append(shown, fmt.Sprintf("%T", m)[len("*pgproto3."):])
		}
	}
}

func (c *testClient) want(got, want string) {
	c.t.Helper()
	if got != want {
		c.t.Errorf("got  %s\nwant %s", got, want)
	}
}
