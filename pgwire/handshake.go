package pgwire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"time"
)

// start takes a connection from its first byte to its first ReadyForQuery. The client has
// Limits.Authentication for that.
func (c *conn) start() error {
	patience := c.server.limits.Authentication
	if c.socket.SetDeadline(time.Now().Add(patience)) != nil {
		return errClosed
	}
	if c.server.draining() { // looked at after the deadline is set, which may have undone Shutdown's
		if c.socket.SetDeadline(time.Now().Add(min(patience, lateStartupTime))) != nil {
			return errClosed
		}
	}
	packet, err := c.firstPacket()
	if err != nil {
		return c.startupError(err)
	}
	m, err := parseStartup(packet)
	if err != nil {
		return err
	}
	c.user = m.user
	if err := c.letIn(m); err != nil {
		return c.startupError(err)
	}
	if err := c.socket.SetReadDeadline(time.Time{}); err != nil {
		return errClosed
	}
	if c.server.accounts.Load() != nil {
		c.checkAccount() // they may have changed meanwhile
	}
	return nil
}

// startupError is how a connection ends that did not get as far as a session.
func (c *conn) startupError(err error) error {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && c.server.draining():
		return errShuttingDown()
	case errors.Is(err, os.ErrDeadlineExceeded) && c.reply.err == nil && c.told:
		return fatalf(CodeQueryCanceled, "canceling authentication due to timeout")
	case err == errBadLength, errors.Is(err, io.ErrUnexpectedEOF):
		return errClosed // HTTP, a port scan: they would not understand
	}
	return err
}

// letIn authenticates a client and opens its session.
func (c *conn) letIn(m *startupMessage) error {
	c.told = true
	if c.access.TLS == TLSRequire && c.encryption == nil {
		e := fatalf(CodeInvalidAuthorization, "connections to this address must be encrypted")
		e.Hint = "Connect with sslmode=require or, to know the server too, sslmode=verify-full."
		return e
	}
	if err := c.server.checkRoom(); err != nil {
		return err // before the client and we take the trouble of a login
	}
	if m.negotiate {
		c.reply.takeBlock()
		c.reply.buf = appendNegotiateProtocolVersion(c.reply.buf, m.version, m.unknownOptions)
	}
	identity, err := c.authenticate(m.user)
	if err != nil {
		return err
	}
	if err := c.server.admit(c, m.user, identity); err != nil {
		return err
	}
	c.reply.add(authenticationOk)
	return c.openSession(m, identity)
}

// firstPacket answers what may come before the startup message and returns that.
func (c *conn) firstPacket() ([]byte, error) {
	isDirect, err := c.reader.startsTLS()
	if err != nil {
		return nil, err
	}
	if isDirect {
		if c.access.TLS == TLSOff {
			return nil, errClosed
		}
		if err := c.encrypt(true); err != nil {
			return nil, err
		}
	}
	var askedTLS, askedGSS bool
	for {
		packet, err := c.reader.startupPacket(c.server.limits.LoginMessageBytes)
		if err != nil {
			return nil, err
		}
		answer, what := "N", ""
		switch code := binary.BigEndian.Uint32(packet); {
		case code == codeCancelRequest:
			c.server.keys.cancel(packet[4:], c.server.now())
			return nil, errClosed
		case code == codeSSLRequest && !askedTLS:
			askedTLS, what = true, "SSL request"
			if c.access.TLS != TLSOff && c.encryption == nil {
				answer = "S"
			}
		case code == codeGSSENCRequest && !askedGSS:
			askedGSS, what = true, "GSSAPI encryption request"
		default:
			return packet, nil
		}
		if err := c.answerRequest(answer, what); err != nil {
			return nil, err
		}
		askedGSS = askedGSS || answer == "S" // as in PostgreSQL: one encryption is enough
	}
}

// answerRequest answers a request for encryption by one byte, and grants it.
func (c *conn) answerRequest(answer, what string) error {
	stuffed := c.reader.buffered() > 0
	c.reply.add(answer)
	c.reply.flush()
	if c.reply.err != nil {
		return errClosed
	}
	if answer == "S" {
		if err := c.encrypt(false); err != nil {
			return err
		}
	}
	if stuffed { // and dropped
		// Whoever sent it may not be the client (CVE-2021-23214).
		e := fatalf(CodeProtocolViolation, "received unencrypted data after %s", what)
		e.Detail = "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack."
		return e
	}
	return nil
}

// openSession starts the session and appends what the client waits for, as one batch.
func (c *conn) openSession(m *startupMessage, identity Identity) error {
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
	c.names = newNames(&c.server.limits, c.server.pool)
	ctx, cancel := context.WithTimeout(c.server.baseContext, c.server.limits.Authentication)
	defer cancel()
	info := &ConnInfo{
		ProcessID:     processID,
		User:          m.user,
		Identity:      identity,
		Database:      m.database,
		Settings:      m.settings,
		RemoteAddr:    c.socket.RemoteAddr(),
		LocalAddr:     c.socket.LocalAddr(),
		SystemUser:    c.systemUser(m.user),
		IsTLS:         c.encryption != nil,
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
	if greeter, ok := session.(Greeter); ok {
		greeter.Greet(&c.reply)
	}
	c.reply.takeBlock()
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
