package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"math/rand/v2"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// patience is how long an answer may take.
const patience = 30 * time.Second

// client is a connection past startup, or on its way there.
type client struct {
	conn     net.Conn
	frontend *pgproto3.Frontend
	key      *pgproto3.BackendKeyData
}

// dial opens a connection from one of many loopback addresses, as one has not enough ports.
func (s *server) dial() (*client, error) {
	from := &net.TCPAddr{IP: net.IPv4(127, 0, byte(rand.IntN(50)), byte(2+rand.IntN(200)))}
	dialer := net.Dialer{LocalAddr: from, Timeout: patience}
	conn, err := dialer.Dial("tcp", s.address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	return &client{conn: conn, frontend: pgproto3.NewFrontend(bufio.NewReaderSize(conn, 1024), conn)}, nil
}

// encrypt makes the connection one over TLS, with its first write.
func (c *client) encrypt() {
	// Who serves has been started by this program.
	c.conn = tls.Client(c.conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"postgresql"}})
	c.frontend = pgproto3.NewFrontend(bufio.NewReaderSize(c.conn, 1024), c.conn)
}

// login opens a connection up to its first ReadyForQuery.
func (s *server) login() (*client, error) {
	c, err := s.dial()
	if err != nil {
		return nil, err
	}
	if s.encrypted {
		c.encrypt()
	}
	if err := c.send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "soak"}}); err != nil {
		return c, err
	}
	_, err = c.answer()
	return c, err
}

func (c *client) close() { c.conn.Close() }

// reset closes so that the peer gets an error in place of an end.
func (c *client) reset() {
	_ = c.conn.(*net.TCPConn).SetLinger(0)
	c.conn.Close()
}

func (c *client) send(messages ...pgproto3.FrontendMessage) error {
	var out []byte
	for _, m := range messages {
		var err error
		if out, err = m.Encode(out); err != nil {
			return err
		}
	}
	if err := c.conn.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.conn.Write(out)
	return err
}

// answer reads up to ReadyForQuery and returns the first field of the rows.
func (c *client) answer() ([]string, error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return nil, err
	}
	var rows []string
	var failure error
	for {
		message, err := c.frontend.Receive()
		if err != nil {
			return rows, err
		}
		switch m := message.(type) {
		case *pgproto3.DataRow:
			rows = append(rows, string(m.Values[0]))
		case *pgproto3.BackendKeyData:
			c.key = &pgproto3.BackendKeyData{ProcessID: m.ProcessID, SecretKey: append([]byte(nil), m.SecretKey...)}
		case *pgproto3.ErrorResponse:
			failure = fmt.Errorf("%s %s: %s", m.Severity, m.Code, m.Message)
		case *pgproto3.ReadyForQuery:
			return rows, failure
		}
	}
}

// prepared runs a statement with parameters.
func (c *client) prepared(sql string, parameters ...string) ([]string, error) {
	bind := &pgproto3.Bind{}
	for _, p := range parameters {
		bind.Parameters = append(bind.Parameters, []byte(p))
	}
	if err := c.send(&pgproto3.Parse{Query: sql}, bind, &pgproto3.Execute{}, &pgproto3.Sync{}); err != nil {
		return nil, err
	}
	return c.answer()
}
