package e2e

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// client is a program in clients that checks one client; see clients/README.md.
type client struct {
	name    string
	version []string // a command whose first line of output names the version
	build   []string // run before, with OUT in the environment
	command []string // OUT stands for what build made
	// lacks are the steps that the client cannot do, with the reason.
	lacks map[string]string
}

var debian = func(pkg string) []string { return []string{"dpkg-query", "-W", "-f", "${Version}", pkg} }

func nodeVersion(pkg string) []string {
	return []string{"node", "-p", `require('./clients/node/node_modules/` + pkg + `/package.json').version`}
}

const jdbcJar = "/usr/share/java/postgresql.jar"

// clients are those of the matrix, in its order.
func clients() []client {
	py := func(name string) []string { return []string{python(), "clients/python/" + name + "_check.py"} }
	js := func(name string) []string { return []string{"node", "clients/node/" + name + ".mjs"} }
	cli := map[string]string{"binary": "a terminal", "transaction": "tested with psql", "invalidate": "tested with psql", "more": "a terminal"}
	bench := map[string]string{}
	for _, step := range []string{"text", "binary", "error", "invalidate", "introspect"} {
		bench[step] = "a load generator"
	}
	return []client{
		{name: "psql", version: []string{"sh", "-c", "psql --version | cut -d' ' -f3"}, command: []string{"clients/shell/psql.sh"}},
		{name: "pgcli", version: debian("pgcli"), command: []string{"clients/shell/pgcli.sh"}, lacks: cli},
		{name: "pgbench, pg_isready", version: debian("postgresql"), command: []string{"clients/shell/pgbench.sh"}, lacks: bench},
		{name: "libpq", version: debian("libpq-dev"), build: []string{"sh", "-c", "cc -O1 -Wall -Werror -I$(pg_config --includedir) clients/c/libpq.c -lpq -o $OUT"}, command: []string{"OUT"}},
		{name: "libpqxx", version: debian("libpqxx-dev"), build: []string{"sh", "-c", "c++ -std=c++17 -w clients/c/libpqxx.cxx -lpqxx -lpq -o $OUT"}, command: []string{"OUT"}},
		{name: "psycopg 2", version: debian("python3-psycopg2"), command: py("psycopg2")},
		{name: "psycopg 3", version: debian("python3-psycopg"), command: py("psycopg3")},
		{name: "asyncpg", version: debian("python3-asyncpg"), command: py("asyncpg")},
		{name: "SQLAlchemy", version: debian("python3-sqlalchemy"), command: py("sqlalchemy")},
		{name: "Django", version: debian("python3-django"), command: py("django")},
		{name: "psqlODBC", version: debian("odbc-postgresql"), command: py("odbc")},
		{name: "node-postgres", version: nodeVersion("pg"), command: js("pg")},
		{name: "postgres.js", version: nodeVersion("postgres"), command: js("postgres")},
		{name: "knex", version: nodeVersion("knex"), command: js("knex")},
		{name: "TypeORM", version: nodeVersion("typeorm"), command: js("typeorm")},
		{name: "pgJDBC", version: debian("libpostgresql-jdbc-java"), build: []string{"sh", "-c", "javac -d $OUT.d clients/java/Check.java"},
			command: []string{"java", "-cp", "OUT.d:" + jdbcJar, "Check"}},
		{name: "ruby-pg", version: debian("ruby-pg"), command: []string{"/usr/bin/ruby", "clients/ruby/pg.rb"}},
		{name: "ActiveRecord", version: debian("ruby-activerecord"), command: []string{"/usr/bin/ruby", "clients/ruby/active_record.rb"}},
		{name: "PHP PDO", version: debian("php-pgsql"), command: []string{"/usr/bin/php", "clients/php/pdo.php"}},
		{name: "DBD::Pg", version: debian("libdbd-pg-perl"), command: []string{"/usr/bin/perl", "clients/perl/dbd_pg.pl"}},
		{name: "pgx", version: []string{"go", "list", "-m", "-f", "{{.Version}}", "github.com/jackc/pgx/v5"}, build: []string{"sh", "-c", "go build -o $OUT ./clients/pgx"}, command: []string{"OUT"}},
		{name: "lib/pq", version: []string{"go", "list", "-m", "-f", "{{.Version}}", "github.com/lib/pq"}, build: []string{"sh", "-c", "go build -o $OUT ./clients/golang"}, command: []string{"OUT"}},
	}
}

var clientSteps = []string{"connect", "text", "binary", "error", "transaction", "invalidate", "introspect", "more"}

// TestClients runs every client over plain TCP and over TLS, logging in with a password.
// With CLIENTS_MD set, the result is written there as a table.
func TestClients(t *testing.T) {
	certs, users := certificates(t, "checker"), filepath.Join(t.TempDir(), "users.yaml")
	addUser(t, users, "a secret", "checker", "--role=readwrite")
	s := start(t, "--users-file="+users, "--tls-cert="+certs+"/server.pem", "--tls-key="+certs+"/server.key", "--data-dir="+t.TempDir())
	_, port := s.hostPort()
	env := append(os.Environ(), "PGHOST=localhost", "PGPORT="+port, "PGUSER=checker", "PGPASSWORD=a secret", "PGDATABASE=pgcache", "PGCONNECT_TIMEOUT=300", "PYTHONDONTWRITEBYTECODE=1")
	modes := map[string][]string{
		"plain": {"PGSSLMODE=disable", "PGSSLROOTCERT="},
		"TLS":   {"PGSSLMODE=verify-full", "PGSSLROOTCERT=" + certs + "/ca.pem"},
	}
	var table bytes.Buffer
	for _, c := range clients() {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "program")
			if c.build != nil {
				runClient(t, append(env, "OUT="+out), c.build)
			}
			var results [2]map[string]string
			for i, mode := range []string{"plain", "TLS"} {
				command := make([]string, len(c.command))
				for j, word := range c.command {
					command[j] = strings.ReplaceAll(word, "OUT", out)
				}
				mustExec(t, s.connectAs(t, "checker", "a secret"), "TRUNCATE blob")
				results[i] = c.check(t, mode, runClient(t, append(env, modes[mode]...), command))
			}
			version, _, _ := strings.Cut(runClient(t, env, c.version), "\n")
			fmt.Fprintf(&table, "| %s | %s |", c.name, version)
			for _, step := range clientSteps {
				fmt.Fprintf(&table, " %s |", outcome(results[0][step], results[1][step], c.lacks[step]))
			}
			fmt.Fprintln(&table)
		})
	}
	if file := os.Getenv("CLIENTS_MD"); file != "" {
		if err := os.WriteFile(file, []byte(clientsIntroduction+table.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

const clientsIntroduction = `# Clients

Written by ` + "`make clients`" + `, which runs the programs in [e2e/clients](../e2e/clients) against the built server; CI runs the same. Each
logs in with a password (SCRAM-SHA-256), once over plain TCP and once over TLS with the server's certificate verified. **yes** means that
the step worked both ways; – that the client has no such thing. What the steps are is told [there](../e2e/clients/README.md).

| client | version | connect | text | binary | error | transaction | invalidate | introspect | more |
|---|---|---|---|---|---|---|---|---|---|
`

func outcome(plain, tls, lacks string) string {
	switch {
	case plain == "ok" && tls == "ok":
		return "yes"
	case plain == "" && tls == "" && lacks != "":
		return "–"
	case plain == "ok":
		return "plain only"
	}
	return "**no**"
}

// check reads the lines of a program and fails for those that are not ok.
func (c *client) check(t *testing.T, mode, output string) map[string]string {
	t.Helper()
	results := map[string]string{}
	for line := range strings.Lines(output) {
		if name, result, ok := strings.Cut(strings.TrimSpace(line), ": "); ok {
			results[name] = result
		}
	}
	for _, step := range clientSteps {
		if result := results[step]; result != "ok" && (result != "" || c.lacks[step] == "") {
			t.Errorf("%s, %s: %q", mode, step, result)
		}
	}
	if t.Failed() {
		t.Logf("%s:\n%s", mode, output)
	}
	return results
}

// connectAs connects with a password.
func (s *server) connectAs(t *testing.T, user, password string) *pgx.Conn {
	t.Helper()
	host, port := s.hostPort()
	c, err := pgx.Connect(testContext(t), fmt.Sprintf("host=%s port=%s user=%s password='%s' dbname=pgcache sslmode=disable", host, port, user, password))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(testContext(t)) })
	return c
}

func runClient(t *testing.T, env, command []string) string {
	t.Helper()
	c := exec.CommandContext(testContext(t), command[0], command[1:]...)
	c.Env = env
	out, err := c.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %v\n%s", command, err, out)
	}
	return string(out)
}
