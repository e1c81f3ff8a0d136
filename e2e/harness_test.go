// Package e2e starts the built server and drives it with the clients people use: psql,
// pgx, psycopg 2 and 3, node-postgres; stops it, kills it, and starts it again. It knows
// the server only from outside: its flags, its log and its port.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience is how long a test may take, and anything in it, before it fails; nothing waits for it
// to pass. It is only ever used up by a hang, however slow and busy the machine.
const patience = 10 * time.Minute

// binary is the built server, set by TestMain.
var binary string

func TestMain(m *testing.M) { os.Exit(buildAndRun(m)) }

func buildAndRun(m *testing.M) int {
	dir, err := os.MkdirTemp("", "pgcache-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "pgcache")
	args := []string{"build", "-buildvcs=false", "-o", binary} // a clone of another owner has no version to stamp
	if os.Getenv("E2E_RACE") != "" {
		args = append(args, "-race")
	}
	build := exec.Command("go", append(args, "pgcache/cmd/pgcache")...)
	build.Stdout, build.Stderr = os.Stderr, os.Stderr
	if err := build.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "build pgcache:", err)
		return 1
	}
	return m.Run()
}

// server is a running pgcache.
type server struct {
	process *exec.Cmd
	address string
	log     *transcript
	exited  chan struct{} // closed once the process has ended
	err     error         // how it ended; valid after exited
}

// transcript collects a process's log.
type transcript struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced with each line
}

func newTranscript() *transcript { return &transcript{changed: make(chan struct{})} }

func (l *transcript) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
	close(l.changed)
	l.changed = make(chan struct{})
}

func (l *transcript) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// wait returns once the log contains text.
func (l *transcript) wait(t testing.TB, text string) {
	t.Helper()
	late := time.After(patience)
	for {
		l.mu.Lock()
		found, changed := strings.Contains(l.text.String(), text), l.changed
		l.mu.Unlock()
		if found {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the log does not say %q", text)
		}
	}
}

// command prepares the server with arguments, in an environment without PGCACHE_ settings.
func command(args ...string) *exec.Cmd {
	c := exec.Command(binary, append([]string{"serve", "--log-format=json"}, withListen(args)...)...)
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "PGCACHE_") {
			c.Env = append(c.Env, v)
		}
	}
	return c
}

// start runs the server and returns when it says that it is ready. It is killed at the
// end of the test, and its log shown if the test failed.
func start(t testing.TB, args ...string) *server {
	t.Helper()
	s := &server{process: command(args...), log: newTranscript(), exited: make(chan struct{})}
	stderr, err := s.process.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	ready := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			s.log.add(lines.Text())
			var entry struct{ Msg, Address string }
			if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "ready" {
				ready <- entry.Address
			}
		}
		s.err = s.process.Wait()
		close(s.exited)
	}()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Logf("log of the server:\n%s", s.log)
		}
	})
	select {
	case s.address = <-ready:
	case <-s.exited:
		t.Fatalf("the server ended before it was ready: %v", s.err)
	case <-time.After(patience):
		t.Fatal("the server was not ready in time")
	}
	return s
}

// kill ends the process at once, as a crash would.
func (s *server) kill() {
	_ = s.process.Process.Signal(syscall.SIGKILL)
	<-s.exited
}

// stop asks the process to end and checks that it does so well.
func (s *server) stop(t testing.TB) {
	t.Helper()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.wait(t)
	if s.err != nil {
		t.Fatalf("the server ended with %v", s.err)
	}
}

// wait waits for the process to end.
func (s *server) wait(t testing.TB) {
	t.Helper()
	select {
	case <-s.exited:
	case <-time.After(patience):
		t.Fatal("the server did not end in time")
	}
}

func (s *server) hostPort() (host, port string) {
	host, port, _ = net.SplitHostPort(s.address)
	return host, port
}

func (s *server) url() string {
	return "postgres://pgcache@" + s.address + "/pgcache?sslmode=disable&connect_timeout=300"
}

// connect opens a pgx connection that the end of the test closes.
func (s *server) connect(t testing.TB) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(testContext(t), s.url())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close(context.Background()) })
	return c
}

// testContext ends when patience does.
func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// run runs a client program and returns what it printed.
func run(t testing.TB, stdin, name string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := exec.CommandContext(ctx, name, args...)
	var out, errs strings.Builder
	c.Stdin, c.Stdout, c.Stderr = strings.NewReader(stdin), &out, &errs
	err = c.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatalf("%s cannot be run: %v (make deps installs it)", name, err)
	}
	return out.String(), errs.String(), err
}

// withListen adds a free port of loopback, unless the arguments say where to listen.
func withListen(args []string) []string {
	for _, arg := range args {
		if strings.HasPrefix(arg, "--listen=") {
			return args
		}
	}
	return append([]string{"--listen=127.0.0.1:0"}, args...)
}
