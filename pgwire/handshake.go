package pgwire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"time"
)

// start takes a connection from its first byte to its first ReadyForQuery. The client has
// Limits.Authentication for that.
func (c *conn) start() error {
	if err := c.socket.SetReadDeadline(time.Now().Add(c.server.limits.Authentication)); err != nil {
		return errClosed
	}
	if c.server.draining() {
		return errShuttingDown()
	}
	packet, err := c.firstPacket()
	if errors.Is(err, os.ErrDeadlineExceeded) && c.server.draining() {
		return errShuttingDown()
	}
	if err != nil {
		return err
	}
	m, err := parseStartup(packet)
	if err != nil {
		return err
	}
	if err := c.server.admit(c); err != nil {
		return err
	}
	c.logger = c.logger.With("user", m.user, "database", m.database)
	if m.negotiate {
		c.reply.takeBlock()
		c.reply.buf = appendNegotiateProtocolVersion(c.reply.buf, m.version, m.unknownOptions)
	}
	c.reply.add(authenticationOk) // trust: Serve accepts local listeners only
	if err := c.openSession(m); err != nil {
		return err
	}
	if err := c.socket.SetReadDeadline(time.Time{}); err != nil {
		return errClosed
	}
	return nil
}

// firstPacket answers what may come before the startup message and returns that.
func (c *conn) firstPacket() ([]byte, error) {
	var askedTLS, askedGSS bool
	for {
		packet, err := c.reader.startupPacket()
		if err != nil {
			if err == errBadLength { // HTTP, direct TLS, a port scan: they would not understand
				return nil, errClosed
			}
			return nil, err
		}
		var what string
		switch code := binary.BigEndian.Uint32(packet); {
		case code == codeCancelRequest:
			c.server.keys.cancel(packet[4:], c.server.now())
			return nil, errClosed
		case code == codeSSLRequest && !askedTLS:
			askedTLS, what = true, "SSL request"
		case code == codeGSSENCRequest && !askedGSS:
			askedGSS, what = true, "GSSAPI encryption request"
		default:
			return packet, nil
		}
		stuffed := c.reader.buffered() > 0
		c.reply.add("N")
		c.reply.flush()
		if c.reply.err != nil {
			return nil, errClosed
		}
		if stuffed {
			// Whoever sent it may not be the client (CVE-2021-23214).
			e := fatalf(CodeProtocolViolation, "received unencrypted data after %s", what)
			e.Detail = "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."
			return nil, e
		}
	}
}

// openSession starts the session and appends what the client waits for, as one batch.
func (c *conn) openSession(m *startupMessage) error {
	if known := c.server.databases; known != nil && !slices.Contains(known, m.database) {
		return fatalf(CodeInvalidCatalogName, "database \"%s\" does not exist", m.database)
	}
	if m.optionsErr != nil {
		return m.optionsErr
	}
	processID, key, err := c.server.keys.add(c, m.keyBytes())
	if err != nil {
		return c.startError(fmt.Errorf("pgwire: make cancel key: %w", err))
	}
	c.server.setProcessID(c, processID)
	c.names = newNames(c.server.limits, c.server.pool)
	c.reported = make(map[string]string)
	ctx, cancel := context.WithTimeout(c.server.baseContext, c.server.limits.Authentication)
	defer cancel()
	info := &ConnInfo{
		ProcessID:     processID,
		User:          m.user,
		Identity:      Identity{Role: RoleAdmin}, // trust: Serve accepts local listeners only
		Database:      m.database,
		Settings:      m.settings,
		RemoteAddr:    c.socket.RemoteAddr(),
		Started:       c.server.now(),
		Names:         c.names,
		Notifications: &c.mailbox,
		Backends:      c.server,
	}
	session, err := c.server.handler.NewSession(ctx, info)
	if err != nil {
		return c.startError(err)
	}
	c.session = session
	c.info.Store(info)
	c.activity.rest(session.TxStatus(), info.Started)
	c.idler, _ = session.(Idler)
	session.ReportSettings(c.report)
	c.reply.buf = appendBackendKeyData(c.reply.buf, processID, key)
	c.reply.buf = appendReadyForQuery(c.reply.buf, session.TxStatus())
	c.reply.wanted = true
	return nil
}

// startError makes any error of starting a session FATAL.
func (c *conn) startError(err error) error {
	e := *c.clientError(err)
	e.Severity = SeverityFatal
	return &e
}

func errShuttingDown() *Error {
	return fatalf(CodeCannotConnectNow, "the database system is shutting down")
}

func errShutdown() *Error {
	return fatalf(CodeAdminShutdown, "terminating connection due to administrator command")
}

// localListener refuses addresses that another machine can reach.
func localListener(addr net.Addr) error {
	switch a := addr.(type) {
	case *net.UnixAddr:
		return nil
	case *net.TCPAddr:
		if a.IP.IsLoopback() {
			return nil
		}
	}
	if addr.Network() == "pipe" { // inside this process
		return nil
	}
	return fmt.Errorf("pgwire: listen on %s: authentication is not available there yet; use a loopback address or a Unix socket", addr)
}
