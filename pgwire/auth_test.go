package pgwire_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
	"pgcache/pgwire/scram"
)

// authority is a certificate authority of a test.
type authority struct {
	t    testing.TB
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, pool: x509.NewCertPool()}
	a.cert, a.key = a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	a.pool.AddCert(a.cert)
	return a
}

func (a *authority) sign(template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	parent, parentKey := a.cert, a.key
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return cert, key
}

// issue makes a certificate for a name.
func (a *authority) issue(name string) tls.Certificate {
	cert, key := a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key}
}

// identityHandler remembers who its sessions are.
type identityHandler struct {
	fakeHandler
	infos chan *pgwire.ConnInfo
}

func (h *identityHandler) NewSession(ctx context.Context, info *pgwire.ConnInfo) (pgwire.Session, error) {
	h.infos <- info
	return h.fakeHandler.NewSession(ctx, info)
}

func verifier(t testing.TB, password string) *scram.Verifier {
	t.Helper()
	v, err := scram.NewVerifier(password, 0, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// guarded is a server with users, a certificate, and one listener for each way in.
type guarded struct {
	*pgwire.Server
	handler                        *identityHandler
	authority                      *authority
	password, encrypted, certified string // addresses
}

func startGuarded(t testing.TB, accounts *pgwire.Accounts, configure func(*pgwire.Config)) *guarded {
	t.Helper()
	g := &guarded{handler: &identityHandler{infos: make(chan *pgwire.ConnInfo, 100)}, authority: newAuthority(t)}
	encryption, err := pgwire.NewEncryption(g.authority.issue("localhost"), g.authority.pool)
	if err != nil {
		t.Fatal(err)
	}
	config := pgwire.Config{Handler: g.handler, Accounts: accounts, Encryption: encryption}
	if configure != nil {
		configure(&config)
	}
	if g.Server, err = pgwire.NewServer(config); err != nil {
		t.Fatal(err)
	}
	serve := func(access pgwire.Access) string {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		served := make(chan error, 1)
		go func() { served <- g.ServeAccess(context.Background(), listener, access) }()
		t.Cleanup(func() {
			g.Close()
			if err := <-served; err != nil && !errors.Is(err, pgwire.ErrClosed) { // the test was done before this began
				t.Error(err)
			}
		})
		return listener.Addr().String()
	}
	g.password = serve(pgwire.Access{Method: pgwire.MethodSCRAM, TLS: pgwire.TLSAllow})
	g.encrypted = serve(pgwire.Access{Method: pgwire.MethodSCRAM, TLS: pgwire.TLSRequire})
	g.certified = serve(pgwire.Access{Method: pgwire.MethodCertificate, TLS: pgwire.TLSRequire})
	return g
}

func twoAccounts(t testing.TB) []pgwire.Account {
	return []pgwire.Account{
		{Name: "alice", Identity: pgwire.Identity{Role: pgwire.RoleAdmin}, Verifier: verifier(t, "secret")},
		{Name: "bob", Identity: pgwire.Identity{Role: pgwire.RoleReadOnly, Namespaces: []string{"web"}}, Verifier: verifier(t, "pass"), CertificateNames: []string{"bob", "robert"}},
		{Name: "carol", Identity: pgwire.Identity{Role: pgwire.RoleReadWrite}},
	}
}

// login connects as pgx does; tlsConfig nil: without TLS.
func login(t testing.TB, address, user, password string, tlsConfig *tls.Config) (*pgx.Conn, error) {
	t.Helper()
	config, err := pgx.ParseConfig("postgres://" + address + "/d?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	config.User, config.Password, config.TLSConfig = user, password, tlsConfig
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.ConnectConfig(ctx, config)
	if err == nil {
		t.Cleanup(func() { conn.Close(context.Background()) })
	}
	return conn, err
}

func codeOf(err error) string {
	var e *pgconn.PgError
	if errors.As(err, &e) {
		return e.Code
	}
	if err != nil {
		return "closed"
	}
	return ""
}

func TestLogin(t *testing.T) {
	g := startGuarded(t, pgwire.NewAccounts(twoAccounts(t), nil), nil)
	secure := func(names ...string) *tls.Config {
		c := &tls.Config{RootCAs: g.authority.pool, ServerName: "localhost"}
		for _, name := range names {
			c.Certificates = append(c.Certificates, g.authority.issue(name))
		}
		return c
	}
	stranger := newAuthority(t)
	foreign := &tls.Config{RootCAs: g.authority.pool, ServerName: "localhost", Certificates: []tls.Certificate{stranger.issue("bob")}}
	tests := []struct {
		name, address, user, password string
		tls                           *tls.Config
		code                          string
	}{
		{"password", g.password, "alice", "secret", nil, ""},
		{"password over TLS", g.password, "alice", "secret", secure(), ""},
		{"TLS required", g.encrypted, "bob", "pass", secure(), ""},
		{"wrong password", g.password, "alice", "pass", nil, "28P01"},
		{"wrong password over TLS", g.encrypted, "alice", "pass", secure(), "28P01"},
		{"unknown user", g.password, "mallory", "pass", nil, "28P01"},
		{"no password kept", g.password, "carol", "pass", nil, "28P01"},
		{"TLS required and not used", g.encrypted, "alice", "secret", nil, "28000"},
		{"certificate", g.certified, "carol", "", secure("carol"), ""},
		{"certificate by another name", g.certified, "bob", "", secure("robert"), ""},
		{"certificate of somebody else", g.certified, "alice", "", secure("carol"), "28000"},
		{"certificate of nobody", g.certified, "mallory", "", secure("mallory"), "28000"},
		{"no certificate", g.certified, "bob", "", secure(), "28000"},
		{"certificate of a stranger", g.certified, "bob", "", foreign, "closed"},
		{"certificate and password", g.encrypted, "alice", "secret", secure("carol"), ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			conn, err := login(t, test.address, test.user, test.password, test.tls)
			if code := codeOf(err); code != test.code {
				t.Fatalf("%q, want %q (%v)", code, test.code, err)
			}
			if err != nil {
				return
			}
			if info := <-g.handler.infos; info.User != test.user || info.Identity.Role == pgwire.RoleNone || info.IsTLS != (test.tls != nil) {
				t.Errorf("%+v", info)
			}
			if err := conn.Ping(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
}

// What an unknown user sees differs in nothing from what a known one with a wrong password
// does: the same messages, and a salt that stays.
func TestUnknownUserLooksKnown(t *testing.T) {
	g := startGuarded(t, pgwire.NewAccounts(twoAccounts(t), []byte("the secret of this server")), nil)
	first := func(user string) (salt string) {
		c := dialTo(t, g.password)
		c.write(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": user}})
		if _, err := c.frontend.Receive(); err != nil {
			t.Fatal(err)
		}
		c.write(&pgproto3.SASLInitialResponse{AuthMechanism: scram.Mechanism, Data: []byte("n,,n=,r=nonce")})
		message, err := c.frontend.Receive()
		if err != nil {
			t.Fatal(err)
		}
		parts := strings.Split(string(message.(*pgproto3.AuthenticationSASLContinue).Data), ",")
		if len(parts) != 3 || parts[2] != "i=4096" || len(parts[1]) != len("s=")+24 {
			t.Errorf("%s: %v", user, parts)
		}
		c.write(&pgproto3.SASLResponse{Data: []byte("c=biws," + parts[0] + ",p=" + strings.Repeat("A", 43) + "=")})
		c.want(c.answer(), "E(FATAL 28P01) EOF")
		return parts[1]
	}
	for _, user := range []string{"alice", "mallory"} {
		if a, b := first(user), first(user); a != b {
			t.Errorf("%s: the salt changes from %s to %s", user, a, b)
		}
	}
	if first("mallory") == first("mallet") {
		t.Error("one salt for all unknown users")
	}
}

// Users who are gone or changed are disconnected, others are not.
func TestSetAccounts(t *testing.T) {
	list := twoAccounts(t)
	g := startGuarded(t, pgwire.NewAccounts(list, nil), nil)
	alice, err := login(t, g.password, "alice", "secret", nil)
	if err != nil {
		t.Fatal(err)
	}
	bob, err := login(t, g.password, "bob", "pass", nil)
	if err != nil {
		t.Fatal(err)
	}
	changed := append([]pgwire.Account{}, list...)
	changed[1].Identity = pgwire.Identity{Role: pgwire.RoleReadOnly}
	g.SetAccounts(pgwire.NewAccounts(changed, nil))
	if err := alice.Ping(context.Background()); err != nil {
		t.Errorf("who did not change: %v", err)
	}
	if err := bob.Ping(context.Background()); codeOf(err) != "57P01" {
		t.Errorf("who changed: %v", err)
	}
	g.SetAccounts(pgwire.NewAccounts(nil, nil))
	if err := alice.Ping(context.Background()); codeOf(err) != "57P01" {
		t.Errorf("who is gone: %v", err)
	}
	if _, err := login(t, g.password, "alice", "secret", nil); codeOf(err) != "28P01" {
		t.Errorf("login of who is gone: %v", err)
	}
}

func TestAccessRefusals(t *testing.T) {
	accounts := pgwire.NewAccounts(nil, nil)
	a := newAuthority(t)
	withoutCA, err := pgwire.NewEncryption(a.issue("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	tests := map[string]struct {
		network, address string
		access           pgwire.Access
		accounts         *pgwire.Accounts
		encryption       *pgwire.Encryption
	}{
		"trust in the open":        {"tcp", "0.0.0.0:0", pgwire.Access{}, accounts, nil},
		"password without users":   {"tcp", "127.0.0.1:0", pgwire.Access{Method: pgwire.MethodSCRAM}, nil, nil},
		"TLS without certificate":  {"tcp", "127.0.0.1:0", pgwire.Access{TLS: pgwire.TLSAllow}, nil, nil},
		"TLS on a Unix socket":     {"unix", t.TempDir() + "/s", pgwire.Access{TLS: pgwire.TLSAllow}, nil, withoutCA},
		"certificates without CA":  {"tcp", "127.0.0.1:0", pgwire.Access{Method: pgwire.MethodCertificate, TLS: pgwire.TLSRequire}, accounts, withoutCA},
		"certificates without TLS": {"tcp", "127.0.0.1:0", pgwire.Access{Method: pgwire.MethodCertificate, TLS: pgwire.TLSAllow}, accounts, withoutCA},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server, err := pgwire.NewServer(pgwire.Config{Handler: &fakeHandler{}, Accounts: test.accounts, Encryption: test.encryption})
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			listener, err := net.Listen(test.network, test.address)
			if err != nil {
				t.Fatal(err)
			}
			if err := server.ServeAccess(context.Background(), listener, test.access); err == nil {
				t.Error("serves")
			}
		})
	}
}

// With users, trust lets in who has an account, with the rights of it.
func TestTrustWithAccounts(t *testing.T) {
	handler := &identityHandler{infos: make(chan *pgwire.ConnInfo, 10)}
	server := startServer(t, handler, func(c *pgwire.Config) { c.Accounts = pgwire.NewAccounts(twoAccounts(t), nil) })
	c := dialTo(t, server.address)
	c.want(c.startup(map[string]string{"user": "bob"}), "Z(I)")
	if info := <-handler.infos; info.Identity.Role != pgwire.RoleReadOnly || len(info.Identity.Namespaces) != 1 {
		t.Errorf("%+v", info.Identity)
	}
	c = dialTo(t, server.address)
	c.want(c.startup(map[string]string{"user": "mallory"}), "E(FATAL 28000) EOF")
}

// Direct TLS wants ALPN; inside, an SSLRequest gets 'N'. Stuffed bytes end the connection,
// whatever the answer.
func TestTLSNegotiation(t *testing.T) {
	g := startGuarded(t, pgwire.NewAccounts(twoAccounts(t), nil), nil)
	client := &tls.Config{RootCAs: g.authority.pool, ServerName: "localhost"}
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", g.password)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		_ = conn.SetDeadline(time.Now().Add(patience))
		return conn
	}
	if conn := tls.Client(dial(), client); conn.Handshake() == nil {
		if _, err := conn.Read(make([]byte, 1)); err == nil {
			t.Error("direct TLS without ALPN is served")
		}
	}
	withALPN := client.Clone()
	withALPN.NextProtos = []string{"postgresql"}
	conn := tls.Client(dial(), withALPN)
	request := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, 80877103)
	if _, err := conn.Write(request); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 1)
	if _, err := io.ReadFull(conn, answer); err != nil || answer[0] != 'N' {
		t.Errorf("SSLRequest inside TLS: %q, %v", answer, err)
	}
	c := newTestClient(t, conn)
	c.write(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "alice"}})
	message, err := c.frontend.Receive()
	if sasl, ok := message.(*pgproto3.AuthenticationSASL); !ok || len(sasl.AuthMechanisms) != 2 || sasl.AuthMechanisms[0] != scram.MechanismPlus {
		t.Errorf("%+v, %v", message, err)
	}
	other := client.Clone()
	other.NextProtos = []string{"h2"}
	if tls.Client(dial(), other).Handshake() == nil {
		t.Error("another protocol is served")
	}

	stuffed := dial()
	if _, err := stuffed.Write(append(request, "more"...)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(stuffed, answer); err != nil || answer[0] != 'S' {
		t.Errorf("%q, %v", answer, err)
	}
	s := newTestClient(t, tls.Client(stuffed, client))
	s.want(s.answer(), "E(FATAL 08P01) EOF")

	// A cancel request may come inside TLS too, and is never answered.
	conn = tls.Client(dial(), withALPN)
	if _, err := conn.Write([]byte{0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 1}); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(answer); n != 0 || err == nil {
		t.Errorf("a cancel request is answered %q", answer[:n])
	}
}

func TestBrokenLogins(t *testing.T) {
	g := startGuarded(t, pgwire.NewAccounts(twoAccounts(t), nil), nil)
	for name, test := range map[string]struct {
		send []byte
		want string
	}{
		"a query":          {[]byte("Q\x00\x00\x00\x0dSELECT 1\x00"), "E(FATAL 08P01) EOF"},
		"too long":         {[]byte("p\x3f\xff\xff\xff"), "E(FATAL 28P01) EOF"},
		"too short":        {[]byte("p\x00\x00\x00\x03"), "E(FATAL 28P01) EOF"},
		"no mechanism":     {[]byte("p\x00\x00\x00\x04"), "E(FATAL 08P01) EOF"},
		"other mechanism":  {[]byte("p\x00\x00\x00\x11PLAIN\x00\x00\x00\x00\x03n,,"), "E(FATAL 08P01) EOF"},
		"length of a lie":  {[]byte("p\x00\x00\x00\x19SCRAM-SHA-256\x00\x00\x00\xff\xffn,,"), "E(FATAL 08P01) EOF"},
		"broken message":   {[]byte("p\x00\x00\x00\x19SCRAM-SHA-256\x00\x00\x00\x00\x03n,,"), "E(FATAL 08P01) EOF"},
		"disconnect":       {nil, "EOF"},
		"Terminate is not": {[]byte("X\x00\x00\x00\x04"), "E(FATAL 08P01) EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			c := dialTo(t, g.password)
			c.write(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "alice"}})
			if _, err := c.frontend.Receive(); err != nil {
				t.Fatal(err)
			}
			if test.send == nil {
				_ = c.conn.(*net.TCPConn).CloseWrite()
			} else if _, err := c.conn.Write(test.send); err != nil {
				t.Fatal(err)
			}
			c.want(c.answer(), test.want)
		})
	}
}

// Slots for administrators, and bounds per user.
func TestAdmission(t *testing.T) {
	g := startGuarded(t, pgwire.NewAccounts(twoAccounts(t), nil), func(c *pgwire.Config) {
		c.Limits = pgwire.Limits{Connections: 4, ReservedConnections: 1, UserConnections: 2}
	})
	login := func(user, password string) string {
		_, err := login(t, g.password, user, password, nil)
		return codeOf(err)
	}
	for i, want := range []string{"", "", "53300"} { // per user
		if code := login("bob", "pass"); code != want {
			t.Errorf("bob %d: %q", i, code)
		}
	}
	if code := login("alice", "secret"); code != "" {
		t.Errorf("an administrator: %q", code)
	}
	if code := login("alice", "secret"); code != "" {
		t.Errorf("an administrator in the reserved slot: %q", code)
	}
	if code := login("alice", "secret"); code != "53300" {
		t.Errorf("one too many: %q", code)
	}
}

// A client that was asked for its password and says nothing is told why it must go.
func TestLoginTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		config := pgwire.Config{Handler: &fakeHandler{}, Accounts: pgwire.NewAccounts(twoAccounts(t), nil), Limits: pgwire.Limits{Authentication: 50 * time.Millisecond}}
		c := newTestClient(t, servePipes(t, config, pgwire.Access{Method: pgwire.MethodSCRAM}).dial())
		c.write(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "alice"}})
		if _, err := c.frontend.Receive(); err != nil {
			t.Fatal(err)
		}
		c.want(c.answer(), "E(FATAL 57014) EOF")
	})
}

func TestAddressLimit(t *testing.T) {
	server := startServer(t, &fakeHandler{}, func(c *pgwire.Config) { c.Limits.AddressConnections = 2 })
	first, second := connectTo(t, server.address), connectTo(t, server.address)
	third := dialTo(t, server.address)
	third.want(third.startup(map[string]string{"user": "u"}), "E(FATAL 53300) EOF")
	first.conn.Close()
	second.want(second.query("SELECT 1"), "T D(1) C(SELECT 1) Z(I)")
}
