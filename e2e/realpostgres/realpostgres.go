// Package realpostgres runs a real PostgreSQL in a temporary directory, for tests that compare
// with it and for benchmarks: the version that pgcache says it is, which make deps installs
// with npm, else that of Debian's package. It is not linked into the product. A Server may be
// used by any number of goroutines.
package realpostgres

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Server is a running PostgreSQL without passwords. User and database are "postgres".
type Server struct {
	Address string // HOST:PORT
	Socket  string // the same as a Unix socket, where PostgreSQL never offers encryption
	Major   int    // its version
	dir     string
	process *exec.Cmd
}

// Options change which PostgreSQL runs, and how.
type Options struct {
	// Bin is the folder of its programs; empty: the first that is Installed.
	Bin string
	// Settings are name=value.
	Settings []string
	// Access are the lines of pg_hba.conf; nil: everybody is trusted.
	Access []string
	// Certificate and Key are files, PEM, to serve TLS with.
	Certificate, Key string
}

// Start is StartWith without options.
func Start() (*Server, error) { return StartWith(Options{}) }

// StartFrom starts the PostgreSQL whose programs are in the folder bin.
func StartFrom(bin string) (*Server, error) { return StartWith(Options{Bin: bin}) }

// StartWith makes a cluster and starts a PostgreSQL. It refuses root, so that root runs it as
// the user postgres.
func StartWith(o Options) (*Server, error) {
	if o.Bin == "" {
		found := Installed()
		if len(found) == 0 {
			return nil, errors.New("realpostgres: no PostgreSQL is installed; make deps installs it")
		}
		o.Bin = found[0]
	}
	s := &Server{}
	if err := s.start(o); err != nil {
		s.Stop()
		return nil, fmt.Errorf("realpostgres: %w", err)
	}
	return s, nil
}

func (s *Server) start(o Options) error {
	var err error
	bin := o.Bin
	if s.dir, err = os.MkdirTemp("", "pgcache-postgres-"); err != nil {
		return err
	}
	as, err := unprivileged(s.dir)
	if err != nil {
		return err
	}
	if bin, err = forEveryone(bin, s.dir); err != nil {
		return err
	}
	data := filepath.Join(s.dir, "data")
	// A transcript must not depend on the locale of the machine it runs on.
	create := exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
	create.SysProcAttr, create.Dir = as, s.dir
	if out, err := create.CombinedOutput(); err != nil {
		return fmt.Errorf("initdb: %w: %s", err, out)
	}
	if err := s.configure(data, o); err != nil {
		return err
	}
	for range portsMax {
		var said string
		if said, err = s.run(bin, data, as); err == nil || !strings.Contains(said, "in use") {
			return err
		}
	}
	return err
}

// portsMax is how many ports are tried: somebody may take one that was free a moment ago.
const portsMax = 20

// run starts the server of a cluster on a port that is free, and returns when it is ready, or what
// it said instead.
func (s *Server) run(bin, data string, as *syscall.SysProcAttr) (said string, err error) {
	port, err := freePort()
	if err != nil {
		return "", err
	}
	run := exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-p", port, "-k", s.dir, "-c", "listen_addresses=127.0.0.1")
	run.SysProcAttr, run.Dir = as, s.dir
	output, err := run.StderrPipe()
	if err != nil {
		return "", err
	}
	if err := run.Start(); err != nil {
		return "", err
	}
	s.process, s.Address, s.Socket = run, net.JoinHostPort("127.0.0.1", port), filepath.Join(s.dir, ".s.PGSQL."+port)
	for lines := bufio.NewScanner(output); lines.Scan(); {
		said += lines.Text() + "\n"
		if strings.Contains(lines.Text(), "ready to accept connections") {
			go func() { _, _ = io.Copy(io.Discard, output) }()
			return said, nil
		}
	}
	_ = run.Wait()
	s.process = nil
	return said, fmt.Errorf("ended before it was ready:\n%s", said)
}

// configure writes the options into a new cluster.
func (s *Server) configure(data string, o Options) error {
	version, err := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	if err != nil {
		return err
	}
	if s.Major, err = strconv.Atoi(strings.TrimSpace(string(version))); err != nil {
		return err
	}
	if o.Certificate != "" {
		o.Settings = append(slices.Clone(o.Settings), "ssl=on")
		for _, file := range []string{o.Certificate, o.Key} { // PostgreSQL wants to own its key
			content, err := os.ReadFile(file)
			if err != nil {
				return err
			}
			name := map[string]string{o.Certificate: "server.crt", o.Key: "server.key"}[file]
			if err := writeAs(data, name, content); err != nil {
				return err
			}
		}
	}
	if o.Access != nil {
		if err := writeAs(data, "pg_hba.conf", []byte(strings.Join(o.Access, "\n")+"\n")); err != nil {
			return err
		}
	}
	return writeAs(data, "postgresql.auto.conf", []byte(strings.Join(o.Settings, "\n")+"\n"))
}

// writeAs writes a file that belongs to whom its folder belongs to.
func writeAs(folder, name string, content []byte) error {
	path := filepath.Join(folder, name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return err
	}
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	owner := info.Sys().(*syscall.Stat_t)
	return os.Chown(path, int(owner.Uid), int(owner.Gid))
}

// Stop ends the server at once and removes its directory.
func (s *Server) Stop() {
	if s.process != nil {
		// SIGQUIT is an immediate shutdown: the children end too, unlike by SIGKILL.
		_ = s.process.Process.Signal(syscall.SIGQUIT)
		_ = s.process.Wait()
	}
	if s.dir != "" {
		_ = os.RemoveAll(s.dir)
	}
}

// unprivileged hands dir to the user postgres if we are root.
func unprivileged(dir string) (*syscall.SysProcAttr, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}}, os.Chown(dir, uid, gid)
}

// freePort finds a port that nobody listens on just now: PostgreSQL has no port 0.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}
