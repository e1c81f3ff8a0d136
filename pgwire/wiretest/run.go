package wiretest

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// TB is the part of *testing.T that Run needs.
type TB interface {
	Helper()
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Options of Run.
type Options struct {
	// RealPostgres: the server is PostgreSQL; transcripts marked "only pgcache" do not apply.
	RealPostgres bool
	// PostgresMajor is its version; transcripts marked "since" a later one do not apply.
	PostgresMajor int
	// NoSQL: the server is one of tests; transcripts marked "only sql" do not apply.
	NoSQL bool
	// Rewrite writes what the server answers into the files instead of comparing.
	Rewrite bool
	// User and Database are those of connect; "postgres" if empty.
	User, Database string
}

// answerTimeout is how long an answer may take before the server counts as hanging. A busy
// machine may take its time.
const answerTimeout = 5 * time.Minute

// Files are the transcripts of a directory.
func Files(dir string) ([]string, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err == nil && len(paths) == 0 {
		err = fmt.Errorf("wiretest: no transcripts in %s", dir)
	}
	return paths, err
}

// Run runs a transcript, or all of a directory, against the server that dial connects to.
func Run(t TB, path string, dial func() (net.Conn, error), opts Options) {
	t.Helper()
	if info, err := os.Stat(path); err != nil {
		t.Fatalf("%v", err)
	} else if info.IsDir() {
		paths, err := Files(path)
		if err != nil {
			t.Fatalf("%v", err)
		}
		for _, path := range paths {
			Run(t, path, dial, opts)
		}
		return
	}
	directives, after, err := parseFile(path)
	if err != nil {
		t.Fatalf("%v", err)
	}
	r := &runner{dial: dial, opts: opts, clients: make(map[string]*client), current: "1"}
	defer r.close()
	for i := range directives {
		d := &directives[i]
		if reason := opts.doesNotApply(d); reason != "" {
			t.Logf("%s: %s", path, reason)
			return
		}
		if d.name == "only" || d.name == "since" {
			continue
		}
		output, err := r.run(d)
		if err != nil {
			t.Fatalf("%s:%d: %s: %v\ngot so far:\n%s", path, d.line, d.name, err, strings.Join(output, "\n"))
		}
		if opts.Rewrite {
			d.output = output
		} else if !slices.Equal(output, d.output) {
			t.Errorf("%s:%d: %s: got\n%s\nwant\n%s", path, d.line, d.name,
				strings.Join(output, "\n"), strings.Join(d.output, "\n"))
		}
	}
	if opts.Rewrite {
		if err := writeFile(path, directives, after); err != nil {
			t.Fatalf("%v", err)
		}
	}
}

// doesNotApply says why a transcript with this directive is not for the server, if so.
func (o Options) doesNotApply(d *directive) string {
	switch {
	case d.name == "only" && o.RealPostgres && slices.Contains(d.args, "pgcache"):
		return "does not apply to PostgreSQL"
	case d.name == "only" && o.NoSQL && slices.Contains(d.args, "sql"):
		return "needs more SQL than the server knows"
	case d.name == "since" && o.RealPostgres && len(d.args) == 1:
		if major, err := strconv.Atoi(d.args[0]); err != nil || o.PostgresMajor < major {
			return "does not apply to this old PostgreSQL"
		}
	}
	return ""
}

// runner is the state of one transcript.
type runner struct {
	dial    func() (net.Conn, error)
	opts    Options
	clients map[string]*client
	current string
}

// client is one connection of a transcript. It is read through input, so that one can look
// whether something has come.
type client struct {
	conn      net.Conn
	input     *bufio.Reader
	frontend  *pgproto3.Frontend
	processID uint32
	key       []byte
	login     login
}

func (r *runner) close() {
	for _, c := range r.clients {
		c.conn.Close()
	}
}

func (r *runner) run(d *directive) ([]string, error) {
	switch d.name {
	case "use":
		if len(d.args) != 1 {
			return nil, errors.New("want a name")
		}
		r.current = d.args[0]
		return nil, nil
	case "dial":
		return nil, r.open()
	case "connect":
		return nil, r.connect(d.args)
	case "cancel":
		return nil, r.cancel(slices.Contains(d.args, "wrong"), slices.Contains(d.args, "running"))
	}
	if r.clients[r.current] == nil {
		if err := r.connect(nil); err != nil {
			return nil, err
		}
	}
	c := r.clients[r.current]
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return nil, err
	}
	switch d.name {
	case "startup":
		return nil, c.startup(r.opts, d.args)
	case "tls":
		return c.encrypt(d.args)
	case "silent":
		return nil, c.silent()
	case "send":
		return nil, c.send(d.input)
	case "raw":
		return nil, c.raw(d.input)
	case "byte":
		var one [1]byte
		_, err := io.ReadFull(c.input, one[:])
		return []string{strconv.Quote(string(one[:]))}, err
	case "until":
		return c.until(d.input, d.args)
	case "closed":
		return c.closed()
	}
	return nil, errors.New("unknown directive")
}

// open replaces the current connection by a new one.
func (r *runner) open() error {
	if old := r.clients[r.current]; old != nil {
		old.conn.Close()
	}
	conn, err := r.dial()
	if err != nil {
		return err
	}
	input := bufio.NewReader(conn)
	r.clients[r.current] = &client{conn: conn, input: input, frontend: pgproto3.NewFrontend(input, conn)}
	return nil
}

// connect opens a connection and takes it to its first ReadyForQuery. Arguments are
// startup parameters and minor=n.
func (r *runner) connect(args []string) error {
	if err := r.open(); err != nil {
		return err
	}
	c := r.clients[r.current]
	if err := c.conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	if err := c.startup(r.opts, args); err != nil {
		return err
	}
	shown, err := c.until([]string{"ReadyForQuery"}, []string{"messages"})
	if err != nil {
		return fmt.Errorf("%w after %s", err, strings.Join(shown, " "))
	}
	return nil
}

// startup sends a startup packet. Arguments are its parameters and minor=n.
func (c *client) startup(opts Options, args []string) error {
	startup := pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{
		"user": "postgres", "database": "postgres"}}
	if opts.User != "" {
		startup.Parameters["user"] = opts.User
	}
	if opts.Database != "" {
		startup.Parameters["database"] = opts.Database
	}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		if name == "minor" {
			minor, err := strconv.ParseUint(value, 10, 16)
			if err != nil {
				return err
			}
			startup.ProtocolVersion += uint32(minor)
			continue
		}
		startup.Parameters[name] = value
	}
	packet, err := startup.Encode(nil)
	if err != nil {
		return err
	}
	_, err = c.conn.Write(packet)
	return err
}

// silent demands that the server says nothing for a while: a server that says too much is
// found now and then, one that does not never fails.
func (c *client) silent() error {
	const while = 50 * time.Millisecond
	if err := c.conn.SetReadDeadline(time.Now().Add(while)); err != nil {
		return err
	}
	got, err := c.input.Peek(1)
	switch {
	case err == nil:
		return fmt.Errorf("the server says something of type %q", got)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return err
}

// cancel sends a CancelRequest for the current connection and waits until it has been closed.
func (r *runner) cancel(wrong, running bool) error {
	c := r.clients[r.current]
	if running {
		return r.cancelRunning(c)
	}
	return r.cancelOnce(c, wrong)
}

// cancelRunning cancels until there is an answer: a request that comes before the statement
// has begun does nothing.
func (r *runner) cancelRunning(c *client) error {
	const pause = 20 * time.Millisecond
	for late := time.Now().Add(answerTimeout); time.Now().Before(late); {
		if err := r.cancelOnce(c, false); err != nil {
			return err
		}
		if err := c.conn.SetReadDeadline(time.Now().Add(pause)); err != nil {
			return err
		}
		if _, err := c.input.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
	}
	return errors.New("the statement goes on")
}

func (r *runner) cancelOnce(c *client, wrong bool) error {
	key := slices.Clone(c.key)
	if wrong {
		key[0] ^= 0xff
	}
	conn, err := r.dial()
	if err != nil {
		return err
	}
	defer conn.Close()
	packet, err := (&pgproto3.CancelRequest{ProcessID: c.processID, SecretKey: key}).Encode(nil)
	if err != nil {
		return err
	}
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	if err := conn.SetDeadline(time.Now().Add(answerTimeout)); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if len(answer) > 0 {
		return fmt.Errorf("answered with %q", answer)
	}
	return err
}

// raw sends bytes: hex digits, n*digits for them n times, and Go string literals, separated by blanks.
func (c *client) raw(lines []string) error {
	var out []byte
	for _, line := range lines {
		for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
			if quoted, err := strconv.QuotedPrefix(line); err == nil {
				text, err := strconv.Unquote(quoted)
				if err != nil {
					return err
				}
				out, line = append(out, text...), line[len(quoted):]
				continue
			}
			word, rest, _ := strings.Cut(line, " ")
			times := 1
			if count, repeated, ok := strings.Cut(word, "*"); ok {
				var err error
				if times, err = strconv.Atoi(count); err != nil {
					return err
				}
				word = repeated
			}
			digits, err := hex.DecodeString(word)
			if err != nil {
				return err
			}
			out, line = append(out, bytes.Repeat(digits, times)...), rest
		}
	}
	_, err := c.conn.Write(out)
	return err
}

// until reads up to each of the named messages in turn and shows all it read, but the types
// given as ignore=Type.
func (c *client) until(types, args []string) ([]string, error) {
	var shown []string
	withMessages := slices.Contains(args, "messages")
	for _, want := range types {
		for {
			message, err := c.frontend.Receive()
			if err != nil {
				return shown, fmt.Errorf("while waiting for %s: %w", want, err)
			}
			if key, ok := message.(*pgproto3.BackendKeyData); ok {
				c.processID, c.key = key.ProcessID, slices.Clone(key.SecretKey)
			}
			kind := typeName(message)
			message = c.noteLogin(message)
			if !slices.Contains(args, "ignore="+kind) {
				shown = append(shown, show(message, withMessages))
			}
			if kind == want {
				break
			}
			if kind == "ErrorResponse" && want != "ReadyForQuery" {
				return shown, fmt.Errorf("error while waiting for %s", want)
			}
		}
	}
	return shown, nil
}

// closed demands the end of the stream. What the server still says before is shown.
func (c *client) closed() ([]string, error) {
	var shown []string
	for {
		message, err := c.frontend.Receive()
		switch {
		case err == nil:
			shown = append(shown, show(message, true))
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.ErrClosedPipe):
			return shown, nil
		default:
			return shown, err
		}
	}
}
