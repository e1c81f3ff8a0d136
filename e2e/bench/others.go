package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/e2e/realpostgres"
)

// startOther starts one of the servers that --with names. Each does what it does by
// default, with persistence off: pgcache runs memory only too.
func startOther(name string) (s *server, kill func(), err error) {
	switch name {
	case "postgres":
		return startPostgres()
	case "redis":
		return startText(name, redis{}, "redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port")
	case "memcached":
		return startText(name, memcached{}, "memcached", "-u", "nobody", "-m", "256", "-l", "127.0.0.1", "-p")
	}
	return nil, func() {}, errors.New("unknown; there are postgres, redis and memcached")
}

// freePort finds a port that nobody listens on just now.
func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return strconv.Itoa(l.Addr().(*net.TCPAddr).Port), nil
}

// startText starts a server of a text protocol whose last argument is the port, and fills it.
func startText(name string, p protocol, program string, args ...string) (*server, func(), error) {
	port, err := freePort()
	if err != nil {
		return nil, func() {}, err
	}
	c := exec.Command(program, append(args, port)...)
	if err := c.Start(); err != nil {
		return nil, func() {}, err
	}
	kill := func() {
		_ = c.Process.Signal(syscall.SIGKILL)
		_ = c.Wait()
	}
	dial := func() (*connection, error) {
		socket, err := net.Dial("tcp", "127.0.0.1:"+port)
		if err != nil {
			return nil, err
		}
		return &connection{Conn: socket, in: bufio.NewReaderSize(socket, 64<<10)}, nil
	}
	s := &server{name: name, protocol: p, dial: dial}
	return s, kill, s.fillText()
}

// fillText waits for the server and puts all keys by its own protocol.
func (s *server) fillText() error {
	var c *connection
	var err error
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if c, err = s.dial(); err == nil {
			break
		}
	}
	if err != nil {
		return err
	}
	defer c.Close()
	for i := range keyCount {
		if _, err := c.Write(s.protocol.request(nil, put, i)); err != nil {
			return err
		}
		if err := s.protocol.reply(c.in, put); err != nil {
			return err
		}
	}
	return nil
}

// redis speaks RESP. It has no prepared statements; the get is in the row of the
// prepared one.
type redis struct{}

func (redis) prepare(*connection, operation, int) error { return nil }

func (redis) request(buf []byte, op operation, key int) []byte {
	name := keyName(key)
	switch op {
	case put:
		return fmt.Appendf(buf, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(name), name, valueBytes, value())
	case absentGet:
		name += absentSuffix
	case simpleGet:
		return nil
	}
	return fmt.Appendf(buf, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(name), name)
}

func (redis) reply(in *bufio.Reader, op operation) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	switch {
	case op == put && bytes.HasPrefix(line, []byte("+OK")), op == absentGet && bytes.HasPrefix(line, []byte("$-1")):
		return nil
	case op == preparedGet && line[0] == '$' && line[1] != '-':
		_, err := in.Discard(valueBytes + 2)
		return err
	}
	return fmt.Errorf("server says %s", line)
}

// memcached speaks memcached's text protocol.
type memcached struct{}

func (memcached) prepare(*connection, operation, int) error { return nil }

func (memcached) request(buf []byte, op operation, key int) []byte {
	name := keyName(key)
	switch op {
	case put:
		return fmt.Appendf(buf, "set %s 0 0 %d\r\n%s\r\n", name, valueBytes, value())
	case absentGet:
		name += absentSuffix
	case simpleGet:
		return nil
	}
	return fmt.Appendf(buf, "get %s\r\n", name)
}

func (memcached) reply(in *bufio.Reader, op operation) error {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return err
	}
	switch {
	case op == put && bytes.HasPrefix(line, []byte("STORED")), op == absentGet && bytes.HasPrefix(line, []byte("END")):
		return nil
	case op == preparedGet && bytes.HasPrefix(line, []byte("VALUE ")):
		_, err := in.Discard(valueBytes + len("\r\nEND\r\n"))
		return err
	}
	return fmt.Errorf("server says %s", line)
}

// startPostgres starts Debian's PostgreSQL with an UNLOGGED table.
func startPostgres() (*server, func(), error) {
	bins := slices.DeleteFunc(realpostgres.Installed(), func(bin string) bool { return !strings.HasPrefix(bin, "/usr/") })
	if len(bins) == 0 {
		return nil, func() {}, errors.New("no PostgreSQL from a package of the distribution")
	}
	postgres, err := realpostgres.StartFrom(bins[0])
	if err != nil {
		return nil, func() {}, err
	}
	url := "postgres://postgres@" + postgres.Address + "/postgres?sslmode=disable"
	s := &server{name: "postgres", protocol: newWire(`SELECT convert_from(value, 'UTF8') FROM blob WHERE ns = 'bench' AND key = '%s'`),
		dial: func() (*connection, error) { return dialWire(url) }}
	c, err := s.dial()
	if err != nil {
		return nil, postgres.Stop, err
	}
	defer c.Close()
	table := `CREATE UNLOGGED TABLE blob (ns text COLLATE "C", key text COLLATE "C", value bytea, PRIMARY KEY (ns, key))`
	if _, err := c.Write(encode(nil, &pgproto3.Query{String: table})); err != nil {
		return nil, postgres.Stop, err
	}
	if _, err := readCycle(c.in); err != nil {
		return nil, postgres.Stop, err
	}
	return s, postgres.Stop, fill(url, putText)
}
