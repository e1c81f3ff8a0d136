package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// command runs the program with input and returns its exit code and what it printed.
func command(t *testing.T, input string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs strings.Builder
	m := &Main{Args: args, Env: environ(), Stdin: strings.NewReader(input), Stdout: &out, Stderr: &errs}
	code = m.Run(t.Context())
	return code, out.String(), errs.String()
}

func TestUserCommands(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	file := "--users-file=" + path
	const verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	steps := []struct {
		input string
		args  []string
		code  int
		want  string
	}{
		{"", []string{"user", "list", file}, exitFailure, "no such file"},
		{"secret\n", []string{"user", "add", "alice", "--role=admin", file}, exitOK, "alice"},
		{"secret", []string{"user", "add", "bob", "--role=readonly", "--namespace=web", "--namespace=shop:", file}, exitOK, "bob"},
		{"", []string{"user", "add", "carol", "--no-password", "--certificate=carol.example", file}, exitOK, "carol"},
		{"", []string{"user", "add", "dave", "--verifier=" + verifier, file}, exitOK, "dave"},
		{"x\n", []string{"user", "add", "alice", file}, exitUsage, "--replace"},
		{"x\n", []string{"user", "add", "eve", "--role=root", file}, exitUsage, "readwrite"},
		{"\n", []string{"user", "add", "eve", file}, exitUsage, "password"},
		{"x\n", []string{"user", "add", "eve", "--verifier=md5123", file}, exitUsage, "verifier"},
		{"x\n", []string{"user", "add", "eve", "--namespace=", file}, exitUsage, "namespace"},
		{"x\n", []string{"user", "add", "e\x01e", file}, exitUsage, "control"},
		{"x\n", []string{"user", "add", "dave", "--replace", "--role=readonly", file}, exitOK, "dave"},
		{"", []string{"user", "remove", "dave", file}, exitOK, "dave"},
		{"x\n", []string{"user", "add", "bob", "--replace", file}, exitOK, "bob"}, // gains nothing
		{"x\n", []string{"user", "add", "bob", "--namespace=a", "--all-namespaces", file}, exitUsage, "--all-namespaces"},
		{"x\n", []string{"user", "add", "frank", "--namespace=a", file}, exitOK, "frank"},
		{"x\n", []string{"user", "add", "frank", "--replace", "--all-namespaces", file}, exitOK, "frank"},
		{"", []string{"user", "remove", "dave", file}, exitFailure, "no user"},
	}
	for _, step := range steps {
		code, stdout, stderr := command(t, step.input, step.args...)
		if code != step.code || !strings.Contains(stdout+stderr, step.want) {
			t.Errorf("%v: exit code %d, %q %q; want %d, %q", step.args, code, stdout, stderr, step.code, step.want)
		}
	}
	_, stdout, _ := command(t, "", "user", "list", file)
	want := "NAME   ROLE       NAMESPACES  PASSWORD  CERTIFICATES\n" +
		"alice  admin      all         yes       alice\n" +
		"bob    readonly   web shop:   yes       bob\n" +
		"carol  readwrite  all         no        carol.example\n" +
		"frank  readwrite  all         yes       frank\n"
	if stdout != want {
		t.Errorf("lists\n%swant\n%s", stdout, want)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	content, _ := os.ReadFile(path)
	if strings.Contains(string(content), "secret\n") || !strings.Contains(string(content), "secret: ") || !strings.HasPrefix(string(content), "# ") {
		t.Errorf("the file holds\n%s", content)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".pgcache*")); len(left) != 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestRefusedUsersFiles(t *testing.T) {
	for name, test := range map[string]struct{ content, want string }{
		"role":       {"users: {a: {role: root}}", "readonly, readwrite, admin"},
		"field":      {"users: {a: {role: admin, passwort: x}}", "passwort"},
		"verifier":   {"users: {a: {role: admin, password: secret}}", "pgcache user add"},
		"namespaces": {"users: {a: {role: admin, namespaces: []}}", "leave it out"},
		"secret":     {"secret: '!'\nusers: {}", "base64"},
		"no yaml":    {"users: [", "line 1"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := command(t, "", "--listen=127.0.0.1:0", "--users-file="+configFile(t, test.content))
			if code != exitFailure || !strings.Contains(stderr, test.want) {
				t.Errorf("exit code %d, %q, want %q", code, stderr, test.want)
			}
		})
	}
}

// TestReload changes the users of a running server.
func TestReload(t *testing.T) {
	path := filepath.Join(t.TempDir(), "users.yaml")
	command(t, "secret\n", "user", "add", "alice", "--users-file="+path)
	p := startProgram(t, "--users-file="+path)
	connect := func(user, password string) (*pgx.Conn, string) {
		conn, err := pgx.Connect(t.Context(), "postgres://"+user+":"+password+"@"+p.address+"/d?sslmode=disable")
		if err != nil {
			var e *pgconn.PgError
			if errors.As(err, &e) {
				return nil, e.Code
			}
			t.Fatal(err)
		}
		return conn, ""
	}
	alice, code := connect("alice", "secret")
	if code != "" {
		t.Fatalf("alice: %s", code)
	}
	if _, code := connect("bob", "secret"); code != "28P01" {
		t.Errorf("bob before the reload: %q", code)
	}
	command(t, "other\n", "user", "add", "bob", "--users-file="+path)
	command(t, "", "user", "remove", "alice", "--users-file="+path)
	p.signals <- syscall.SIGHUP
	p.waitFor(t, `"msg":"reloaded"`)
	bob, code := connect("bob", "other")
	if code != "" {
		t.Fatalf("bob after the reload: %s", code)
	}
	if err := alice.Ping(t.Context()); err == nil {
		t.Error("a user who is removed goes on")
	}
	if err := os.WriteFile(path, []byte("users: {"), 0o600); err != nil {
		t.Fatal(err)
	}
	p.signals <- syscall.SIGHUP
	p.waitFor(t, "the users stay as they were")
	if err := bob.Ping(t.Context()); err != nil {
		t.Errorf("after a file that cannot be read: %v", err)
	}
	bob.Close(context.Background())
	p.signals <- syscall.SIGTERM
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}

func TestUnixSocket(t *testing.T) {
	dir := t.TempDir()
	p := startProgram(t, "--listen="+dir+",port=7433", "--unix-socket-mode=0700")
	path := filepath.Join(dir, ".s.PGSQL.7433")
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("%v, %v", info, err)
	}
	conn, err := pgx.Connect(t.Context(), "host="+dir+" port=7433 user=u dbname=d sslmode=disable")
	if err != nil {
		t.Fatal(err)
	}
	conn.Close(context.Background())
	if code, _, stderr := command(t, "", "--listen="+dir+",port=7433"); code != exitFailure || !strings.Contains(stderr, "in use") {
		t.Errorf("a second server there: %d, %s", code, stderr)
	}
	p.signals <- syscall.SIGTERM
	p.wait(t)
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the socket is left: %v", err)
	}
	// What a crash leaves is replaced, what is no socket is not.
	stale, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	stale.Close()
	if code, _, _ := command(t, "", "--listen="+dir+",port=7433"); code != exitFailure {
		t.Errorf("replaces a file: %d", code)
	}
}
