package pgwire_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
)

func TestNewServerRefuses(t *testing.T) {
	for name, config := range map[string]pgwire.Config{
		"no handler":     {},
		"negative limit": {Handler: &fakeHandler{}, Limits: pgwire.Limits{Connections: -1}},
		"negative time":  {Handler: &fakeHandler{}, Limits: pgwire.Limits{Write: -1}},
		"message limit":  {Handler: &fakeHandler{}, Limits: pgwire.Limits{MessageBytes: 1 << 30}},
	} {
		if _, err := pgwire.NewServer(config); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestServeListeners(t *testing.T) {
	server, err := pgwire.NewServer(pgwire.Config{Handler: &fakeHandler{}})
	if err != nil {
		t.Fatal(err)
	}
	public, err := net.Listen("tcp", "0.0.0.0:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(context.Background(), public); err == nil || !strings.Contains(err.Error(), "authentication") {
		t.Errorf("public address: %v", err)
	}
	path := filepath.Join(t.TempDir(), "socket")
	local, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error)
	go func() { served <- server.Serve(ctx, local) }()
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	c := newTestClient(t, conn)
	c.want(c.startup(map[string]string{"user": "u"}), "Z(I)")
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
	cancel()
	if err := <-served; err != nil {
		t.Errorf("Serve after its context ended: %v", err)
	}
	if err := server.Close(); err != nil {
		t.Error(err)
	}
	c.want(c.answer(), "EOF")
	if err := server.Serve(context.Background(), local); err == nil {
		t.Error("a closed server serves")
	}
}

// pipeListener hands out the server's ends of pipes, which have no descriptors.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	select {
	case <-l.closed:
	default:
		close(l.closed)
	}
	return nil
}

func (l *pipeListener) dial() net.Conn {
	near, far := net.Pipe()
	l.conns <- far
	return near
}

func (l *pipeListener) Addr() net.Addr {
	near, far := net.Pipe()
	near.Close()
	far.Close()
	return near.LocalAddr()
}

// servePipes serves pipes for the length of a test. In a bubble of package synctest the
// server's timeouts pass when everybody waits, and not while a busy machine lets nobody run.
func servePipes(t *testing.T, config pgwire.Config, access pgwire.Access) *pipeListener {
	t.Helper()
	server, err := pgwire.NewServer(config)
	if err != nil {
		t.Fatal(err)
	}
	listener := newPipeListener()
	served := make(chan error, 1)
	go func() { served <- server.ServeAccess(context.Background(), listener, access) }()
	t.Cleanup(func() {
		server.Close()
		if err := <-served; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return listener
}

func TestPipe(t *testing.T) {
	c := newTestClient(t, servePipes(t, pgwire.Config{Handler: &fakeHandler{}}, pgwire.Access{}).dial())
	c.want(c.startup(map[string]string{"user": "u"}), "Z(I)")
	c.want(c.query("SELECT repeat 100000"), "T D(rrrrrrrrrr) C(SELECT 1) Z(I)")
}

func TestStartupRefusals(t *testing.T) {
	user := map[string]string{"user": "u", "database": "d"}
	for name, test := range map[string]struct {
		handler   fakeHandler
		configure func(*pgwire.Config)
		want      string
	}{
		"session error":  {fakeHandler{openErr: pgwire.Errorf(pgwire.CodeInvalidAuthorization, "no")}, nil, "E(FATAL 28000) EOF"},
		"broken session": {fakeHandler{openErr: errors.New("secret")}, nil, "E(FATAL XX000) EOF"},
		"database":       {fakeHandler{}, func(c *pgwire.Config) { c.Databases = []string{"x", "y"} }, "E(FATAL 3D000) EOF"},
		"no keys":        {fakeHandler{}, func(c *pgwire.Config) { c.Random = strings.NewReader("x") }, "E(FATAL XX000) EOF"},
		"database known": {fakeHandler{}, func(c *pgwire.Config) { c.Databases = []string{"x", "d"} }, "Z(I)"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTo(t, startServer(t, &test.handler, test.configure).address)
			c.want(c.startup(user), test.want)
		})
	}
}

func TestConnectionLimits(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) {
		c.Limits.Connections, c.Limits.Starting = 1, 1
	})
	first := connectTo(t, server.address)
	if server.Connections() != 1 {
		t.Errorf("%d connections", server.Connections())
	}
	second := dialTo(t, server.address) // takes the only place for starting ones
	second.write(&pgproto3.SSLRequest{})
	if n, err := io.ReadFull(second.conn, make([]byte, 1)); n != 1 {
		t.Fatal(err)
	}
	third := dialTo(t, server.address)
	third.want(third.answer(), "EOF")
	second.want(second.startup(map[string]string{"user": "u"}), "E(FATAL 53300) EOF")
	first.want(first.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
}

func TestAuthenticationTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := pgwire.Limits{Authentication: 20 * time.Millisecond}
		c := newTestClient(t, servePipes(t, pgwire.Config{Handler: &fakeHandler{}, Limits: limits}, pgwire.Access{}).dial())
		c.want(c.answer(), "EOF")
	})
}

// Whatever a statement does, the connection stays in step.
func TestStatementFailures(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Limits.MessageBytes = 100_000 })
	c := connectTo(t, server.address)
	c.want(c.query("PANIC"), "T E(ERROR XX000) Z(I)")
	c.want(c.query("BROKEN"), "T E(ERROR XX000) Z(I)")
	c.want(c.query("BEGIN; PANIC"), "C(BEGIN) T E(ERROR XX000) Z(E)")
	c.want(c.query("ROLLBACK"), "C(ROLLBACK) Z(I)")
	c.want(c.ask(&pgproto3.Parse{Query: "PANIC"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Execute{}, &pgproto3.Sync{}),
		"1 2 E(ERROR XX000) Z(I)")

	// A message above the limit is an error, its length is not: a Query is answered, the
	// extended protocol skips.
	long := strings.Repeat("x", 200_000)
	c.want(c.query(long), "E(ERROR 54000) Z(I)")
	c.want(c.ask(&pgproto3.Parse{Query: long}, &pgproto3.Parse{Query: long}, &pgproto3.Query{String: long}, &pgproto3.Sync{}), "E(ERROR 54000) Z(I)")
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
}

// An error of the commit at Sync comes before ReadyForQuery and skips nothing.
func TestEndCycleError(t *testing.T) {
	fail := errors.New("disk")
	server := startServer(t, &fakeHandler{endErr: func() error { return fail }}, nil)
	c := connectTo(t, server.address)
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) E(ERROR XX000) Z(I)")
	c.want(c.ask(&pgproto3.Sync{}), "E(ERROR XX000) Z(I)")

	server = startServer(t, &fakeHandler{endErr: func() error { panic("end") }}, nil)
	c = connectTo(t, server.address)
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) E(FATAL XX000) EOF")
}

func TestNamesLimits(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) {
		c.Limits.Statements, c.Limits.Portals, c.Limits.PortalBytes = 2, 2, 50_000
	})
	c := connectTo(t, server.address)
	parse := func(name string) pgproto3.FrontendMessage {
		return &pgproto3.Parse{Name: name, Query: "SELECT $1::text"}
	}
	bind := func(name string, bytes int) pgproto3.FrontendMessage {
		return &pgproto3.Bind{DestinationPortal: name, PreparedStatement: "a", Parameters: [][]byte{make([]byte, bytes)}, ParameterFormatCodes: []int16{1}}
	}
	sync := &pgproto3.Sync{}
	c.want(c.ask(parse("a"), parse("b"), parse("c"), sync), "1 1 E(ERROR 54000) Z(I)")
	c.want(c.ask(&pgproto3.Close{ObjectType: 'S', Name: "b"}, parse("c"), sync), "CloseComplete 1 Z(I)")
	c.want(c.ask(bind("p", 1), bind("q", 1), bind("r", 1), sync), "2 2 E(ERROR 54000) Z(I)")
	c.want(c.ask(bind("p", 30_000), bind("q", 30_000), sync), "2 E(ERROR 54000) Z(I)")
	c.want(c.ask(bind("", 30_000), bind("", 40_000), bind("", 10), sync), "2 2 2 Z(I)")
}

// The arguments of a portal outlive the messages that follow (W4).
func TestPortalArguments(t *testing.T) {
	server := startServer(t, &fakeHandler{}, nil)
	c := connectTo(t, server.address)
	c.want(c.ask(&pgproto3.Parse{Name: "s", Query: "SELECT $1::text"}, &pgproto3.Sync{}), "1 Z(I)")
	c.want(c.query("BEGIN"), "C(BEGIN) Z(T)")
	sizes := []int{10, 3000, 40_000, 600_000}
	for round := range 3 {
		for i, size := range sizes {
			value := bytes.Repeat([]byte{byte('a' + i)}, size)
			c.want(c.ask(&pgproto3.Bind{DestinationPortal: string(rune('p' + i)), PreparedStatement: "s", Parameters: [][]byte{value}}, &pgproto3.Sync{}), "2 Z(T)")
		}
		c.want(c.query("SELECT repeat 10000"), "T D(rrrrrrrrrr) C(SELECT 1) Z(T)")
		for i, size := range sizes {
			portal := string(rune('p' + i))
			c.write(&pgproto3.Execute{Portal: portal}, &pgproto3.Close{ObjectType: 'P', Name: portal}, &pgproto3.Sync{})
			row, err := c.frontend.Receive()
			if err != nil {
				t.Fatal(err)
			}
			if got := row.(*pgproto3.DataRow).Values[0]; !bytes.Equal(got, bytes.Repeat([]byte{byte('a' + i)}, size)) {
				t.Errorf("round %d: %d bytes %.20q", round, len(got), got)
			}
			c.want(c.answer(), "C(SELECT 1) CloseComplete Z(T)")
		}
	}
}

func TestCancelRunning(t *testing.T) {
	handler := &fakeHandler{blocked: make(chan struct{})}
	server := startServer(t, handler, nil)
	c := connectTo(t, server.address)
	cancel := func(key []byte) {
		canceller := dialTo(t, server.address)
		canceller.write(&pgproto3.CancelRequest{ProcessID: c.key.ProcessID, SecretKey: key})
		canceller.want(canceller.answer(), "EOF")
	}
	cancel(c.key.SecretKey) // idle: nothing
	c.write(&pgproto3.Query{String: "BLOCK"})
	<-handler.blocked
	cancel([]byte("nope"))
	cancel(c.key.SecretKey)
	c.want(c.answer(), "T E(ERROR 57014) Z(I)")

	// One cancel is one error: the next statement of the same packet runs.
	c.write(&pgproto3.Query{String: "BLOCK"}, &pgproto3.Query{String: "SELECT 1"})
	<-handler.blocked
	cancel(c.key.SecretKey)
	c.want(c.answer(), "T E(ERROR 57014) Z(I)")
	c.want(c.answer(), "T D(1) C(SELECT 1) Z(I)")
}

// A statement whose client has gone is cancelled.
func TestClientGone(t *testing.T) {
	handler := &fakeHandler{blocked: make(chan struct{}), closed: make(chan struct{})}
	server := startServer(t, handler, nil)
	c := connectTo(t, server.address)
	c.write(&pgproto3.Query{String: "BLOCK"}, &pgproto3.Query{String: "SELECT 1"})
	<-handler.blocked
	c.conn.Close()
	<-handler.closed
}

// The end of a client is noticed behind unread input too: the next message of a pipeline, or
// the goodbye of TLS.
func TestClientGoneUnread(t *testing.T) {
	handler := &fakeHandler{blocked: make(chan struct{}), closed: make(chan struct{}, 1)}
	c := connectTo(t, startServer(t, handler, nil).address)
	c.write(&pgproto3.Query{String: "BLOCK"})
	<-handler.blocked
	c.write(&pgproto3.Query{String: "BLOCK"})
	c.conn.Close()
	<-handler.closed

	g := startGuarded(t, pgwire.NewAccounts(twoAccounts(t), nil), nil)
	g.handler.blocked, g.handler.closed = handler.blocked, handler.closed
	config, err := pgx.ParseConfig("postgres://alice:secret@" + g.password + "/d?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	transport := conn.PgConn().Conn()
	query, err := (&pgproto3.Query{String: "BLOCK"}).Encode(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := transport.Write(query); err != nil {
		t.Fatal(err)
	}
	<-handler.blocked
	transport.Close()
	<-handler.closed
}

// A statement that has been watched for long leaves the connection as it was: what the client
// has sent meanwhile is answered.
func TestWatchedStatement(t *testing.T) {
	handler := &fakeHandler{blocked: make(chan struct{})}
	server := startServer(t, handler, nil)
	c := connectTo(t, server.address)
	c.write(&pgproto3.Query{String: "BLOCK"})
	<-handler.blocked
	<-time.After(200 * time.Millisecond) // the watch begins meanwhile, unseen from outside
	c.write(&pgproto3.Query{String: "SELECT 1"})
	canceller := dialTo(t, server.address)
	canceller.write(&pgproto3.CancelRequest{ProcessID: c.key.ProcessID, SecretKey: c.key.SecretKey})
	c.want(c.answer(), "T E(ERROR 57014) Z(I)")
	c.want(c.answer(), "T D(1) C(SELECT 1) Z(I)")
	c.want(c.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
}

func TestShutdown(t *testing.T) {
	handler := &fakeHandler{blocked: make(chan struct{})}
	server := startServer(t, handler, nil)
	idle := connectTo(t, server.address)
	starting := dialTo(t, server.address)
	starting.write(&pgproto3.SSLRequest{})
	if n, err := io.ReadFull(starting.conn, make([]byte, 1)); n != 1 {
		t.Fatal(err)
	}
	inBlock := connectTo(t, server.address)
	inBlock.want(inBlock.query("BEGIN"), "C(BEGIN) Z(T)")
	midCycle := connectTo(t, server.address)
	midCycle.write(&pgproto3.Parse{Query: "SELECT 1"}, &pgproto3.Flush{})
	if _, err := midCycle.frontend.Receive(); err != nil {
		t.Fatal(err)
	}
	busy := connectTo(t, server.address)
	busy.write(&pgproto3.Query{String: "BLOCK"})
	<-handler.blocked

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	done := make(chan error)
	go func() { done <- server.Shutdown(ctx) }()
	idle.want(idle.answer(), "E(FATAL 57P01) EOF")
	starting.want(starting.answer(), "E(FATAL 57P03) EOF")
	// Who comes late has little time to say what it wants: a busy machine may need another try.
	told := "EOF"
	for told == "EOF" {
		told = dialTo(t, server.address).startup(map[string]string{"user": "u"})
	}
	idle.want(told, "E(FATAL 57P03) EOF")
	inBlock.want(inBlock.query("SELECT 1"), "T D(1) C(SELECT 1) Z(T)")
	inBlock.want(inBlock.query("COMMIT"), "C(COMMIT) Z(I)")
	inBlock.want(inBlock.answer(), "E(FATAL 57P01) EOF")
	midCycle.want(midCycle.ask(&pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Sync{}), "2 D(1) C(SELECT 1) Z(I)")
	midCycle.want(midCycle.answer(), "E(FATAL 57P01) EOF")
	select {
	case err := <-done:
		t.Errorf("Shutdown returned %v before its time", err)
	default:
	}
	cancel() // the busy one is closed by force
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("Shutdown: %v", err)
	}
	if answer := busy.answer(); !strings.HasSuffix(answer, "EOF") {
		t.Error(answer)
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Errorf("again: %v", err)
	}
}

// Under load every statement is answered in full or not at all.
func TestShutdownUnderLoad(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Logger = nil })
	const answered = "T D(1) C(SELECT 1) Z(I)"
	started, ended := make(chan struct{}), make(chan string)
	for range 10 {
		c := connectTo(t, server.address)
		go func() {
			out, _ := (&pgproto3.Query{String: "SELECT 1"}).Encode(nil)
			for i := 0; ; i++ {
				_, _ = c.conn.Write(out) // the answer tells
				answer := c.answer()
				if i == 10 {
					started <- struct{}{}
				}
				if answer != answered {
					ended <- answer
					return
				}
			}
		}()
	}
	for range 10 {
		<-started
	}
	if err := server.Shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	for range 10 {
		if answer := <-ended; answer != "E(FATAL 57P01) EOF" && answer != "EOF" {
			t.Errorf("ended with %s", answer)
		}
	}
}

// A message that is on its way when Shutdown is called still gets its answer.
func TestShutdownMidMessage(t *testing.T) {
	server := startServer(t, &fakeHandler{}, nil)
	idle := connectTo(t, server.address)
	short, long := connectTo(t, server.address), connectTo(t, server.address)
	query := func(bytes int) []byte {
		out, err := (&pgproto3.Query{String: "SELECT 1;" + strings.Repeat(" ", bytes)}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	halves := map[*testClient][]byte{short: query(10), long: query(400_000)}
	for c, message := range halves {
		// The half is preceded by a Query, whose answer shows that the server is reading on.
		first, err := (&pgproto3.Query{String: "SELECT 1"}).Encode(nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.conn.Write(append(first, message[:len(message)/2]...)); err != nil {
			t.Fatal(err)
		}
		c.want(c.answer(), "T D(1) C(SELECT 1) Z(I)")
	}
	done := make(chan error)
	go func() { done <- server.Shutdown(context.Background()) }()
	idle.want(idle.answer(), "E(FATAL 57P01) EOF")
	for c, message := range halves {
		if _, err := c.conn.Write(message[len(message)/2:]); err != nil {
			t.Fatal(err)
		}
		c.want(c.answer(), "T D(1) C(SELECT 1) Z(I)")
		c.want(c.answer(), "E(FATAL 57P01) EOF")
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// idleHandler limits idle time.
type idleHandler struct{ fakeHandler }

type idleSession struct{ pgwire.Session }

func (h *idleHandler) NewSession(ctx context.Context, info *pgwire.ConnInfo) (pgwire.Session, error) {
	s, err := h.fakeHandler.NewSession(ctx, info)
	return idleSession{s}, err
}

func (s idleSession) IdleTimeout() time.Duration {
	if s.TxStatus() == pgwire.TxIdle {
		return 100 * time.Millisecond
	}
	return 20 * time.Millisecond
}

func (s idleSession) IdleError() *pgwire.Error {
	if s.TxStatus() == pgwire.TxIdle {
		return pgwire.Errorf(pgwire.CodeIdleSessionTimeout, "idle")
	}
	return pgwire.Errorf(pgwire.CodeIdleInTransactionSessionTimeout, "idle in transaction")
}

func TestIdleTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		listener := servePipes(t, pgwire.Config{Handler: &idleHandler{}}, pgwire.Access{})
		for query, want := range map[string]string{"SELECT 1": "T D(1) C(SELECT 1) Z(I) E(FATAL 57P05) EOF", "BEGIN": "C(BEGIN) Z(T) E(FATAL 25P03) EOF"} {
			c := newTestClient(t, listener.dial())
			c.want(c.startup(map[string]string{"user": "u"}), "Z(I)")
			c.want(c.query(query)+" "+c.answer(), want)
		}
	})
}

// A client that does not read is given up, and pins nothing.
func TestWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		handler := &fakeHandler{closed: make(chan struct{})}
		limits := pgwire.Limits{Write: 50 * time.Millisecond}
		c := newTestClient(t, servePipes(t, pgwire.Config{Handler: handler, Limits: limits}, pgwire.Access{}).dial())
		c.want(c.startup(map[string]string{"user": "u"}), "Z(I)")
		c.write(&pgproto3.Query{String: "SELECT repeat 20000"})
		<-handler.closed
	})
}
