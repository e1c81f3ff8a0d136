// Command capture records what a client asks a server: it runs the client's program with a
// proxy in place of the server, and writes the statements as a file of testdata/clients.
//
//	capture -server 127.0.0.1:7432 -origin "psql 15, \d and its family" -out testdata/clients/recorded_psql.sql -- psql -c '\d blob'
//
// The program finds the proxy by libpq's environment variables, of which it keeps PGUSER and
// PGDATABASE. Nothing is encrypted and the server must trust it. Recorded is what reads: SELECT, WITH,
// VALUES and TABLE, each text once, by Query and by Parse, with the types that the client
// declares for parameters. OIDs of pgcache's relations and functions become their names,
// so that the statements mean the same on another server.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// messageBytesMax bounds a message of the client.
const messageBytesMax = 64 << 20

func main() {
	server := flag.String("server", "127.0.0.1:7432", "`address` of the server")
	origin := flag.String("origin", "", "the client and what it was told to do, for the `line` at the top of the file")
	out := flag.String("out", "", "the `file`; empty: standard output")
	match := flag.String("match", "", "record only what matches a regular `expression`")
	flag.Parse()
	if *origin == "" || flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: capture -origin TEXT [-out FILE] -- COMMAND …")
		os.Exit(2)
	}
	if err := run(*server, *origin, *out, *match, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "capture:", err)
		os.Exit(1)
	}
}

func run(server, origin, out, match string, command []string) error {
	wanted, err := regexp.Compile(match)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	names, err := objects(ctx, server)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p := &proxy{server: server, wanted: wanted, names: names}
	go p.accept(listener)
	host, port, _ := net.SplitHostPort(listener.Addr().String())
	c := exec.CommandContext(ctx, command[0], command[1:]...)
	c.Env = append(os.Environ(), "PGHOST="+host, "PGPORT="+port, "PGSSLMODE=disable")
	c.Stdin, c.Stdout, c.Stderr = os.Stdin, os.Stderr, os.Stderr
	err = c.Run()
	listener.Close()
	p.conns.Wait()
	if err != nil {
		return fmt.Errorf("%s: %w", command[0], err)
	}
	return p.write(out, origin)
}

// objects are SQL for the relations and functions of schema public by their OIDs.
func objects(ctx context.Context, server string) (map[string]string, error) {
	conn, err := pgconn.Connect(ctx, "postgres://"+server+"/?sslmode=disable")
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	names := make(map[string]string)
	result := conn.ExecParams(ctx, `
		SELECT oid, format('%L::regclass', oid::regclass) FROM pg_class WHERE relnamespace = 'public'::regnamespace
		UNION ALL SELECT oid, format('%L::regproc', oid::regproc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace`, nil, nil, nil, nil).Read()
	for _, row := range result.Rows {
		names[string(row[0])] = string(row[1])
	}
	return names, result.Err
}

// proxy passes on what clients and server say to each other, and notes the statements.
type proxy struct {
	server string
	wanted *regexp.Regexp
	names  map[string]string
	conns  sync.WaitGroup

	mu         sync.Mutex
	statements []statement
}

// statement is what a client asked.
type statement struct {
	sql   string
	types []uint32
}

func (p *proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return // closed
		}
		p.conns.Add(1)
		go func() {
			defer p.conns.Done()
			defer client.Close()
			if err := p.serve(client); err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
				fmt.Fprintln(os.Stderr, "capture:", err)
			}
		}()
	}
}

func (p *proxy) serve(client net.Conn) error {
	server, err := net.Dial("tcp", p.server)
	if err != nil {
		return err
	}
	defer server.Close()
	go func() {
		io.Copy(client, server)
		client.Close()
	}()
	if err := startUp(client, server); err != nil {
		return err
	}
	for {
		message, err := frame(client, 1)
		if err != nil {
			return err
		}
		p.note(message)
		if _, err := server.Write(message); err != nil {
			return err
		}
	}
}

// startUp passes on the startup packet, or a cancel request. Encryption is refused.
func startUp(client, server net.Conn) error {
	const ssl, gss = 80877103, 80877104
	for {
		packet, err := frame(client, 0)
		if err != nil {
			return err
		}
		if code := binary.BigEndian.Uint32(packet[4:]); code == ssl || code == gss {
			if _, err := client.Write([]byte("N")); err != nil {
				return err
			}
			continue
		}
		_, err = server.Write(packet)
		return err
	}
}

// frame reads a message whose length is behind so many bytes.
func frame(r io.Reader, before int) ([]byte, error) {
	head := make([]byte, before+4)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[before:])
	if n < 4 || n > messageBytesMax || before == 0 && n < 8 {
		return nil, fmt.Errorf("a message of %d bytes", n)
	}
	message := append(head, make([]byte, n-4)...)
	_, err := io.ReadFull(r, message[len(head):])
	return message, err
}

// note keeps the statement of a message, if it has one that is wanted.
func (p *proxy) note(message []byte) {
	var s statement
	switch body := message[5:]; message[0] {
	case 'Q':
		var q pgproto3.Query
		if q.Decode(body) != nil {
			return
		}
		s.sql = q.String
	case 'P':
		var parse pgproto3.Parse
		if parse.Decode(body) != nil {
			return
		}
		s.sql, s.types = parse.Query, parse.ParameterOIDs
	default:
		return
	}
	s.sql = p.portable(strings.TrimRight(strings.TrimSpace(s.sql), "; \n"))
	if !reads(s.sql) || !p.wanted.MatchString(s.sql) {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if !slices.ContainsFunc(p.statements, func(known statement) bool { return known.sql == s.sql }) {
		p.statements = append(p.statements, s)
	}
}

// reads reports a single statement that reads.
func reads(sql string) bool {
	words := strings.Fields(strings.ToLower(strings.TrimLeft(sql, "( \n")))
	return len(words) > 0 && slices.Contains([]string{"select", "with", "values", "table"}, words[0]) && !strings.Contains(sql, ";\n") &&
		!strings.Contains(sql, "-- %%")
}

// portable puts the names of relations and functions in place of their OIDs.
func (p *proxy) portable(sql string) string {
	return regexp.MustCompile(`'\d+'|\b\d+\b`).ReplaceAllStringFunc(sql, func(number string) string {
		if name := p.names[strings.Trim(number, "'")]; name != "" {
			return name
		}
		return number
	})
}

// write writes the file.
func (p *proxy) write(path, origin string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "-- recorded by e2e/capture: %s\n", origin)
	for i, s := range p.statements {
		if i > 0 {
			b.WriteString("-- %%\n")
		}
		if len(s.types) > 0 {
			fmt.Fprintf(&b, "-- parameter types: %s\n", strings.Trim(fmt.Sprint(s.types), "[]"))
		}
		b.WriteString(s.sql + "\n")
	}
	fmt.Fprintf(os.Stderr, "capture: %d statements\n", len(p.statements))
	if path == "" {
		_, err := io.WriteString(os.Stdout, b.String())
		return err
	}
	return os.WriteFile(path, []byte(b.String()), 0o644)
}
