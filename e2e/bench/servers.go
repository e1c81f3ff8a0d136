package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"syscall"

	"github.com/jackc/pgx/v5/pgconn"

	"pgcache/pgwire"
	"pgcache/pgwire/wiretest"
)

// server is a running server and how to talk to it.
type server struct {
	name     string
	protocol protocol
	dial     func() (*connection, error)
}

// request is a sample request, nil if the server cannot do the operation.
func (s *server) request(op operation) []byte { return s.protocol.request(nil, op, 0) }

// constantMode as first argument makes this program the server of constants.
const constantMode = "constant"

// serveConstant answers every statement with one row of valueBytes bytes until it is killed.
func serveConstant() error {
	handler := wiretest.ConstantHandler([]pgwire.Column{{Name: "value", TypeOID: byteaOID, TypeSize: -1, TypeModifier: -1}}, [][]byte{value()})
	s, err := pgwire.NewServer(pgwire.Config{Handler: handler, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "ready address=%s\n", listener.Addr())
	return s.Serve(context.Background(), listener)
}

// start runs all servers; stop ends them and is never nil.
func (o *options) start() (servers []*server, stop func(), err error) {
	var stops []func()
	stop = func() {
		for _, s := range stops {
			s()
		}
	}
	self, err := os.Executable()
	if err != nil {
		return nil, stop, err
	}
	ready := regexp.MustCompile(`ready.* address=(\S+)`)
	for _, s := range []struct {
		name    string
		command []string
	}{
		{"pgcache", []string{o.binary, "serve", "--listen=127.0.0.1:0"}},
		{"constant", []string{self, constantMode}},
	} {
		address, kill, err := launch(exec.Command(s.command[0], s.command[1:]...), ready)
		stops = append(stops, kill)
		if err != nil {
			return nil, stop, fmt.Errorf("%s: %w", s.name, err)
		}
		url := "postgres://bench@" + address + "/pgcache?sslmode=disable"
		servers = append(servers, &server{name: s.name, protocol: newWire(simpleGetText), dial: func() (*connection, error) { return dialWire(url) }})
		if s.name == "pgcache" {
			if err := fill(url, putText); err != nil {
				return nil, stop, err
			}
		}
	}
	for name := range strings.SplitSeq(o.with, ",") {
		if name == "" {
			continue
		}
		s, kill, err := startOther(name)
		stops = append(stops, kill)
		if err != nil {
			return nil, stop, fmt.Errorf("%s: %w", name, err)
		}
		servers = append(servers, s)
	}
	return servers, stop, nil
}

// launch starts a process and waits until its error output matches ready, whose first
// group it returns. kill is never nil.
func launch(c *exec.Cmd, ready *regexp.Regexp) (found string, kill func(), err error) {
	kill = func() {}
	output, err := c.StderrPipe()
	if err != nil {
		return "", kill, err
	}
	if err := c.Start(); err != nil {
		return "", kill, err
	}
	kill = func() {
		_ = c.Process.Signal(syscall.SIGKILL)
		_ = c.Wait()
	}
	var said strings.Builder
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		said.WriteString(lines.Text() + "\n")
		if m := ready.FindStringSubmatch(lines.Text()); m != nil {
			go func() { _, _ = io.Copy(io.Discard, output) }()
			return m[len(m)-1], kill, nil
		}
	}
	return "", kill, errors.New("ended before it was ready:\n" + said.String())
}

// fill puts all keys through SQL.
func fill(url, statement string) error {
	ctx := context.Background()
	c, err := pgconn.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	statement = strings.Replace(statement, "'%s'", "$2", 1)
	if _, err := c.Prepare(ctx, "fill", statement, nil); err != nil {
		return fmt.Errorf("fill: %w", err)
	}
	for i := range keyCount {
		r := c.ExecPrepared(ctx, "fill", [][]byte{value(), []byte(keyName(i))}, []int16{1, 0}, nil).Read()
		if r.Err != nil {
			return fmt.Errorf("fill: %w", r.Err)
		}
	}
	return nil
}
