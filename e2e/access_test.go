package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pgcache/e2e/realpostgres"
)

// certificates is a folder with an authority (ca.pem), a server's certificate for localhost
// (server.pem, server.key) and a client's (client.pem, client.key).
func certificates(t *testing.T, client string) string {
	t.Helper()
	dir := t.TempDir()
	var authority *x509.Certificate
	var authorityKey *ecdsa.PrivateKey
	issue := func(file string, template *x509.Certificate) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template.SerialNumber, template.NotBefore, template.NotAfter = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
		parent, parentKey := authority, authorityKey
		if parent == nil {
			parent, parentKey = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
		if err != nil {
			t.Fatal(err)
		}
		if authority == nil {
			authorityKey = key
			if authority, err = x509.ParseCertificate(der); err != nil {
				t.Fatal(err)
			}
		}
		keyDER, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		for name, block := range map[string]*pem.Block{file + ".pem": {Type: "CERTIFICATE", Bytes: der}, file + ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
			if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	issue("ca", &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	issue("server", &x509.Certificate{Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	issue("client", &x509.Certificate{Subject: pkix.Name{CommonName: client}})
	return dir
}

// addUser runs pgcache user add.
func addUser(t *testing.T, file, password string, args ...string) {
	t.Helper()
	c := exec.Command(binary, append([]string{"user", "add", "--users-file=" + file}, args...)...)
	c.Stdin = strings.NewReader(password + "\n")
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("user add %v: %v: %s", args, err, out)
	}
}

// psqlAs runs psql with a connection string.
func psqlAs(t *testing.T, password, connection, script string) string {
	t.Helper()
	t.Setenv("PGPASSWORD", password)
	stdout, stderr, _ := run(t, "bank\tk\tx\n", "psql", "-X", "-A", "-t", "-w", "-d", connection, "-c", script)
	return stdout + stderr
}

func TestPsqlLogin(t *testing.T) {
	certs, users := certificates(t, "carol.example"), filepath.Join(t.TempDir(), "users.yaml")
	addUser(t, users, "wonderland", "alice", "--role=admin")
	addUser(t, users, "builder", "bob", "--role=readonly", "--namespace=web")
	addUser(t, users, "singer", "carol", "--certificate=carol.example")
	addUser(t, users, "pass\u00a0word", "dave") // what libpq makes a plain space of
	addUser(t, users, "worker", "erin", "--namespace=web")
	start := func(listen string) string {
		s := start(t, "--listen="+listen, "--users-file="+users, "--tls-cert="+certs+"/server.pem", "--tls-key="+certs+"/server.key", "--tls-client-ca="+certs+"/ca.pem")
		_, port := s.hostPort()
		return "host=localhost hostaddr=127.0.0.1 dbname=pgcache port=" + port + " "
	}
	plain, secure, certified := start("127.0.0.1:0"), start("127.0.0.1:0,tls=require"), start("127.0.0.1:0,auth=cert")
	verify := "sslmode=verify-full sslrootcert=" + certs + "/ca.pem "
	showCert := "sslcert=" + certs + "/client.pem sslkey=" + certs + "/client.key "
	const encryption = `SELECT current_user`
	tests := []struct{ name, password, connection, script, want string }{
		{"password", "wonderland", plain + "user=alice sslmode=disable", encryption, "alice\n"},
		{"over TLS", "wonderland", plain + "user=alice sslmode=require", encryption, "alice\n"},
		{"server verified", "wonderland", secure + verify + "user=alice", encryption, "alice\n"},
		{"channel binding", "wonderland", secure + verify + "channel_binding=require user=alice", encryption, "alice\n"},
		{"channel binding without TLS", "wonderland", plain + "channel_binding=require sslmode=disable user=alice", encryption, "channel binding"},
		{"normalised password", "pass word", plain + "user=dave", encryption, "dave\n"},
		{"wrong password", "wunderland", secure + "user=alice", encryption, `FATAL:  password authentication failed for user "alice"`},
		{"unknown user", "wonderland", secure + "user=mallory", encryption, `FATAL:  password authentication failed for user "mallory"`},
		{"TLS required", "wonderland", secure + "sslmode=disable user=alice", encryption, "FATAL:  connections to this address must be encrypted"},
		{"certificate", "", certified + verify + showCert + "user=carol", encryption, "carol\n"},
		{"certificate of another", "", certified + verify + showCert + "user=alice", encryption, `FATAL:  certificate authentication failed for user "alice"`},
		{"no certificate", "", certified + verify + "user=carol", encryption, `FATAL:  certificate authentication failed for user "carol"`},
		{"tells how a password was proved", "wonderland", secure + "user=alice", `SELECT system_user`, "scram-sha-256:alice\n"},
		{"tells of a certificate", "", certified + verify + showCert + "user=carol", `SELECT system_user`, "cert:CN=carol.example\n"},
		{"reads", "builder", secure + "user=bob", `SELECT count(*) FROM blob WHERE ns = 'web' AND key = 'k'`, "0\n"},
		{"does not write", "builder", secure + "user=bob", `INSERT INTO blob (ns, key, value) VALUES ('web', 'k', 'x')`, "ERROR:  cannot execute INSERT in a read-only transaction"},
		{"keeps to its namespaces", "builder", secure + "user=bob", `SELECT value FROM blob WHERE ns = 'bank' AND key = 'k'`, `ERROR:  permission denied for namespace "bank"`},
		{"copies out of its namespaces only", "builder", secure + "user=bob", `COPY (SELECT value FROM blob WHERE ns = 'bank') TO STDOUT`, `ERROR:  permission denied for namespace "bank"`},
		{"does not load", "builder", secure + "user=bob", `COPY blob (ns, key, value) FROM STDIN`, "ERROR:  cannot execute COPY FROM in a read-only transaction"},
		{"loads into its namespaces only", "worker", secure + "user=erin", "COPY blob (ns, key, value) FROM STDIN", `ERROR:  permission denied for namespace "bank"`},
		{"users are not managed in SQL", "wonderland", secure + "user=alice", `CREATE USER eve PASSWORD 'x'`, "HINT:  Run pgcache user add"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := psqlAs(t, test.password, test.connection, test.script); !strings.Contains(got, test.want) {
				t.Errorf("%s says\n%s\nwant %q", test.connection, got, test.want)
			}
		})
	}
}

// TestVerifierOfPostgres takes a password over from a real PostgreSQL without knowing it.
func TestVerifierOfPostgres(t *testing.T) {
	postgres, err := realpostgres.Start()
	if err != nil {
		t.Fatal(err)
	}
	defer postgres.Stop()
	ctx := testContext(t)
	c, err := pgx.Connect(ctx, "postgres://postgres@"+postgres.Address+"/postgres?sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(ctx)
	if _, err := c.Exec(ctx, `CREATE USER app PASSWORD 'Ⅸ secret'`); err != nil { // a numeral that SASLprep decomposes
		t.Fatal(err)
	}
	var verifier string
	if err := c.QueryRow(ctx, `SELECT rolpassword FROM pg_authid WHERE rolname = 'app'`).Scan(&verifier); err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users.yaml")
	addUser(t, users, "", "app", "--verifier="+verifier)
	addUser(t, users, "Ⅸ secret", "own")
	_, port := start(t, "--users-file="+users).hostPort()
	for _, user := range []string{"app", "own"} {
		if got := psqlAs(t, "Ⅸ secret", "host=127.0.0.1 dbname=d sslmode=disable port="+port+" user="+user, "SELECT current_user"); got != user+"\n" {
			t.Errorf("%s: %s", user, got)
		}
	}
}

func TestSessionsSeeAndEndEachOther(t *testing.T) {
	s := start(t)
	ctx, admin, other := testContext(t), s.connect(t), s.connect(t)
	var pid int32
	if err := other.QueryRow(ctx, `SELECT pg_backend_pid()`).Scan(&pid); err != nil {
		t.Fatal(err)
	}
	if _, err := other.Exec(ctx, `BEGIN`); err != nil {
		t.Fatal(err)
	}
	var state, query string
	if err := admin.QueryRow(ctx, `SELECT state, query FROM pg_stat_activity WHERE pid = $1`, pid).Scan(&state, &query); err != nil {
		t.Fatal(err)
	}
	if state != "idle in transaction" || !strings.EqualFold(query, "begin") {
		t.Errorf("%s, %q", state, query)
	}
	var done bool
	if err := admin.QueryRow(ctx, `SELECT pg_terminate_backend($1)`, pid).Scan(&done); err != nil || !done {
		t.Fatal(done, err)
	}
	if _, err := other.Exec(ctx, `SELECT 1`); err == nil {
		t.Error("a terminated session goes on")
	}
}

// TestStopUnderLoad stops a server that writers are busy with: what was acknowledged is
// there afterwards, and every writer is told, at a boundary. Who comes meanwhile is told too.
func TestStopUnderLoad(t *testing.T) {
	dir := "--data-dir=" + t.TempDir()
	s := start(t, dir, "--shutdown-timeout=1h")
	ctx := testContext(t)
	holder := s.connect(t) // keeps the server from stopping until the test has seen enough
	if _, err := holder.Exec(ctx, `BEGIN`); err != nil {
		t.Fatal(err)
	}
	const writers = 8
	acknowledged := make(chan int, writers)
	warm := make(chan struct{}, writers)
	for w := range writers {
		c := s.connect(t)
		go func() {
			n := 0
			for ; ; n++ {
				if n == 20 {
					warm <- struct{}{}
				}
				if _, err := c.Exec(ctx, `INSERT INTO blob (ns, key, value) VALUES ('load', $1, 'x')`, fmt.Sprintf("%d-%d", w, n)); err != nil {
					break
				}
			}
			acknowledged <- n
		}()
	}
	for range writers {
		<-warm
	}
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.log.wait(t, `"msg":"stopping`)
	total := 0
	for range writers {
		total += <-acknowledged
	}
	host, port := s.hostPort()
	// Who comes now has two seconds to say what it wants, which a busy machine may use up.
	said := "closed the connection"
	for strings.Contains(said, "closed the connection") && ctx.Err() == nil {
		said = psqlAs(t, "", "user=u dbname=d host="+host+" port="+port, "SELECT 1")
	}
	if !strings.Contains(said, "the database system is shutting down") {
		t.Errorf("a new client hears %s", said)
	}
	_ = holder.Close(context.Background())
	s.wait(t)
	if s.err != nil {
		t.Fatal(s.err)
	}
	var entries int
	if err := start(t, dir).connect(t).QueryRow(ctx, `SELECT entries FROM cache_namespaces WHERE ns = 'load'`).Scan(&entries); err != nil {
		t.Fatal(err)
	}
	// A write whose answer did not arrive may be there, one of each writer.
	if entries < total || entries > total+writers {
		t.Errorf("%d entries of %d acknowledged writes", entries, total)
	}
}
