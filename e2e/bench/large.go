package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// Values of 5 MiB over the wire, in pgcache's memory and, where it is installed, in Redis.
const (
	largeBytes  = 5 << 20
	largeKeys   = 4
	largeRounds = 60
	largeBudget = "512MiB"
)

// largeServer has one connection and the encoded requests for each key.
type largeServer struct {
	name     string
	c        *connection
	put, get [][]byte
	// reply reads one answer, with the value if it is that of a get.
	reply func(in *bufio.Reader, isGet bool) error
}

// larges measures puts and gets of large values, the servers in turn, and prints medians.
func (o *options) larges() error {
	fmt.Printf("\nvalues of 5 MiB, one connection, medians of %d, in milliseconds\n\n", largeRounds)
	servers := []*largeServer{}
	for _, open := range []func() (*largeServer, func(), error){o.largePgcache, o.largeRedis} {
		s, kill, err := open()
		defer kill()
		if err != nil {
			return err
		}
		if s != nil {
			servers = append(servers, s)
		}
	}
	for _, isGet := range []bool{false, true} {
		taken := make([][]time.Duration, len(servers))
		for round := range largeRounds {
			for i, s := range servers {
				took, err := s.run(round%largeKeys, isGet)
				if err != nil {
					return fmt.Errorf("%s: %w", s.name, err)
				}
				taken[i] = append(taken[i], took)
			}
		}
		text := map[bool]string{false: "put", true: "get"}[isGet]
		var first float64
		for i, s := range servers {
			slices.Sort(taken[i])
			ms := taken[i][largeRounds/2].Seconds() * 1000
			text += fmt.Sprintf("   %s %.2f", s.name, ms)
			if i == 0 {
				first = ms
			} else {
				text += fmt.Sprintf(" (pgcache is %.2f times as fast)", ms/first)
			}
		}
		fmt.Println(text)
	}
	return nil
}

func (s *largeServer) run(key int, isGet bool) (time.Duration, error) {
	request := s.put[key]
	if isGet {
		request = s.get[key]
	}
	start := time.Now()
	if _, err := s.c.Write(request); err != nil {
		return 0, err
	}
	err := s.reply(s.c.in, isGet)
	return time.Since(start), err
}

func (o *options) largePgcache() (*largeServer, func(), error) {
	c := exec.Command(o.binary, "serve", "--listen=127.0.0.1:0", "--l1-bytes="+largeBudget)
	address, kill, err := launch(c, regexp.MustCompile(`ready.* address=(\S+)`))
	if err != nil {
		return nil, kill, err
	}
	s := &largeServer{name: "pgcache"}
	if s.c, err = dialWire("postgres://bench@" + address + "/pgcache?sslmode=disable"); err != nil {
		return nil, kill, err
	}
	b := encode(nil, &pgproto3.Parse{Name: "get", Query: getText})
	b = encode(b, &pgproto3.Parse{Name: "put", Query: strings.Replace(putText, "'%s'", "$2", 1), ParameterOIDs: []uint32{byteaOID, 0}})
	if _, err = s.c.Write(encode(b, &pgproto3.Sync{})); err == nil {
		_, err = readCycle(s.c.in)
	}
	bind := func(statement string, formats []int16, parameters ...[]byte) []byte {
		b := encode(nil, &pgproto3.Bind{PreparedStatement: statement, ParameterFormatCodes: formats, Parameters: parameters, ResultFormatCodes: []int16{1}})
		b = encode(b, &pgproto3.Execute{})
		return encode(b, &pgproto3.Sync{})
	}
	for i := range largeKeys {
		s.put = append(s.put, bind("put", []int16{1, 0}, largeValue(), []byte(keyName(i))))
		s.get = append(s.get, bind("get", nil, []byte(keyName(i))))
	}
	s.reply = func(in *bufio.Reader, isGet bool) error {
		rows, err := readCycle(in)
		if err == nil && isGet && rows != 1 {
			err = errors.New("no row")
		}
		return err
	}
	return s, kill, err
}

// largeRedis is nil where there is no Redis, or --with does not name it.
func (o *options) largeRedis() (*largeServer, func(), error) {
	if !slices.Contains(strings.Split(o.with, ","), "redis") {
		return nil, func() {}, nil
	}
	running, kill, err := startText("redis", redis{}, "redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port")
	if err != nil {
		return nil, kill, err
	}
	s := &largeServer{name: "redis"}
	if s.c, err = running.dial(); err != nil {
		return nil, kill, err
	}
	for i := range largeKeys {
		key := keyName(i)
		s.put = append(s.put, fmt.Appendf(nil, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, largeBytes, largeValue()))
		s.get = append(s.get, fmt.Appendf(nil, "*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n", len(key), key))
	}
	s.reply = func(in *bufio.Reader, isGet bool) error {
		line, err := in.ReadString('\n')
		switch {
		case err != nil:
			return err
		case !isGet && line == "+OK\r\n":
			return nil
		case isGet && line == fmt.Sprintf("$%d\r\n", largeBytes):
			_, err := in.Discard(largeBytes + 2)
			return err
		}
		return fmt.Errorf("server says %.60q", line)
	}
	return s, kill, nil
}

func largeValue() []byte { return bytes.Repeat([]byte("0123456789abcdef"), largeBytes/16) }
