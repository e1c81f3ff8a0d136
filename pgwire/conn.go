package pgwire

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

// conn is one client's connection. It is served by one goroutine; others may only use
// statement, mailbox, activity, ending, info and socket's deadlines and Close.
type conn struct {
	server *Server
	socket net.Conn
	// transport is what is read and written: socket, or TLS on it.
	transport net.Conn
	raw       syscall.RawConn // of socket; nil: it has no descriptor
	access    Access
	user      string // as the client calls itself; for the log

	// encryption is nil without TLS; peerName is the common name of the client's certificate,
	// if it has shown one that is signed by a known authority.
	encryption *Encryption
	peerName   string
	// account is nil for those who are trusted without one.
	account *Account
	// told: the client has sent a startup message, so that it understands an error.
	told bool

	reader    *frameReader
	reply     Reply
	statement statementContext
	mailbox   Mailbox
	activity  activity
	// info is set once the session is open; ending once another goroutine wants it to end.
	info   atomic.Pointer[ConnInfo]
	ending atomic.Pointer[Error]
	// watchOver tells the watch of a statement that it is over.
	watchOver atomic.Bool

	session Session
	idler   Idler // session, if it is one
	names   *Names
	report  func(name, value string) // reportSetting, made once

	// midCycle: a message of the extended protocol has come since the last ReadyForQuery.
	// skipping: an error has, and all is skipped up to Sync (W6).
	midCycle, skipping bool
	// executes counts the statements run since the last ReadyForQuery.
	executes int
	// copying is the context of the COPY that reads data, if one does; stopWaking ends its hold
	// on the connection.
	copying    context.Context
	stopWaking func() bool
	// attended is why the read that has just timed out does not go on.
	attended error
	// broken, if not nil, ends the connection after the error of the running statement.
	broken error
	// idleUntil is when the client's idle time ends; zero: never.
	idleUntil time.Time
}

// Idler is a Session that limits how long its client may be idle.
type Idler interface {
	// IdleTimeout is how long the server waits for the next message after ReadyForQuery, in
	// the transaction state the session is in; 0 means for ever. IdleError ends the connection then.
	IdleTimeout() time.Duration
	IdleError() *Error
}

// Greeter is a Session that has something to say before its client says anything.
type Greeter interface {
	// Greet appends notices.
	Greet(r *Reply)
}

// errClosed ends a connection of which nothing more is to be said.
var errClosed = errors.New("pgwire: connection closed")

func newConn(s *Server, socket net.Conn, access Access) *conn {
	c := &conn{server: s, socket: socket, transport: socket, access: access}
	c.reader = newFrameReader(socket, s.pool, s.limits.MessageBytes)
	c.reader.timedOut = c.timedOut
	c.reply = Reply{writer: socket, deadlines: socket, timeout: s.limits.Write, pool: s.pool, flushBytes: s.limits.ReplyBytes}
	c.reply.copySource = copySource{c}
	c.reply.onError = func(error) { c.statement.cancel(errClientGone) }
	c.statement.values = s.baseContext
	if c.raw = c.reader.raw; c.raw != nil {
		c.statement.watcher = c
	}
	c.mailbox.limits, c.mailbox.wake = &s.limits, c.wake
	c.report = c.reportSetting
	return c
}

// log is a logger that tells which client it is about. It is made when it is needed: most
// connections have nothing to tell.
func (c *conn) log() *slog.Logger {
	logger := c.server.logger.With("client", c.socket.RemoteAddr().String())
	if c.user != "" {
		logger = logger.With("user", c.user)
	}
	if info := c.info.Load(); info != nil {
		logger = logger.With("pid", info.ProcessID)
	}
	return logger
}

// serve runs the connection to its end. It is the body of its goroutine.
func (c *conn) serve() {
	defer func() {
		if v := recover(); v != nil {
			c.log().Error("panic ends connection", "panic", v, "stack", string(debug.Stack()))
		}
		c.closeAll()
	}()
	if err := c.start(); err != nil {
		c.finish(err)
		return
	}
	c.finish(c.loop())
}

// closeAll releases all the connection has, whatever state it is in.
func (c *conn) closeAll() {
	c.statement.disarm()
	c.mailbox.close()
	c.transport.Close()
	defer c.reader.close()
	if c.session != nil {
		defer func() {
			if v := recover(); v != nil {
				c.log().Error("panic while closing session", "panic", v, "stack", string(debug.Stack()))
			}
		}()
		defer c.session.Close()
		c.names.close()
	}
}

// finish says the last words: a FATAL error is sent, anything else closes silently.
func (c *conn) finish(err error) {
	var e *Error
	if !errors.As(err, &e) {
		if !errors.Is(err, errClosed) && !errors.Is(err, io.EOF) {
			c.log().Debug("connection ended", "error", err)
		}
		if c.reply.wanted {
			c.reply.flush() // W2; Terminate may follow right behind
		}
		return
	}
	c.log().Info("connection refused or ended", "code", string(e.Code), "message", e.Message, "cause", e.Cause)
	c.writeError(e)
	c.reply.flush()
	c.reply.release()
	if c.reply.err == nil && e.Code == CodeProtocolViolation {
		c.linger()
	}
}

// linger takes in what the client has still sent, so that it gets to read the error.
func (c *conn) linger() {
	half, ok := c.transport.(interface{ CloseWrite() error })
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.reader.timedOut = nil
	if c.socket.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_ = c.reader.discard(lingerBytes)
	}
}

// loop handles messages until the connection ends.
func (c *conn) loop() error {
	for {
		if !c.reader.messageBuffered() {
			if err := c.beforeWait(); err != nil {
				return err
			}
		}
		message, err := c.reader.next(c.skipping)
		if !c.idleUntil.IsZero() {
			c.idleUntil = time.Time{}
			if c.socket.SetReadDeadline(time.Time{}) != nil {
				return errClosed
			}
		}
		if err != nil && err != errMessageTooLong {
			return c.frameError(message, err)
		}
		if message.kind == 'X' {
			return errClosed
		}
		if err := c.handle(message, err == errMessageTooLong); err != nil {
			return err
		}
	}
}

// beforeWait is called before the connection may have to wait for its client.
func (c *conn) beforeWait() error {
	if c.reply.wanted {
		c.reply.flush() // W2
	}
	if c.reply.err != nil {
		return fmt.Errorf("pgwire: write: %w", c.reply.err)
	}
	c.statement.disarm()
	c.reply.release() // W7
	if c.idler != nil && !c.midCycle && !c.reader.midMessage() {
		if d := c.idler.IdleTimeout(); d > 0 {
			c.idleUntil = time.Now().Add(d)
			if c.socket.SetReadDeadline(c.idleUntil) != nil {
				return errClosed
			}
		}
	}
	return c.attend()
}

// attend does what other goroutines want of a connection that is about to wait: it ends or
// delivers notifications. Those who want something later wake it.
func (c *conn) attend() error {
	if ending := c.ending.Load(); ending != nil {
		return ending
	}
	if !c.atRest() {
		return nil
	}
	if c.deliver() {
		c.reply.flush()
		c.reply.release()
		if c.reply.err != nil {
			return fmt.Errorf("pgwire: write: %w", c.reply.err)
		}
	}
	if c.server.draining() {
		return errShutdown()
	}
	return nil
}

// atRest reports that the connection may be ended without breaking anything off.
func (c *conn) atRest() bool {
	return !c.midCycle && !c.reader.midMessage() && c.session.TxStatus() == TxIdle
}

// timedOut is called when the read deadline has passed: wake sets it, and beforeWait when
// idle time is limited. goOn: read again.
func (c *conn) timedOut() (goOn bool) {
	if c.session == nil {
		return false // authentication timeout, or shutdown during startup
	}
	if c.attended = c.attend(); c.attended != nil {
		return false
	}
	if c.copyEnded() {
		_ = c.socket.SetReadDeadline(time.Time{})
		return false
	}
	// The deadline is set anew before attend looks again: who wakes after that sets it back.
	until := time.Time{}
	if !c.reader.midMessage() && !c.idleUntil.IsZero() {
		if !time.Now().Before(c.idleUntil) {
			return false
		}
		until = c.idleUntil
	}
	if c.socket.SetReadDeadline(until) != nil {
		return false
	}
	c.attended = c.attend()
	return c.attended == nil
}

// frameError makes the end of the connection of an error of the frame reader.
func (c *conn) frameError(message frame, err error) error {
	switch {
	case err == errUnknownType:
		return fatalf(CodeProtocolViolation, "invalid frontend message type %d", message.kind)
	case err == errBadLength, err == io.EOF:
		return errClosed
	case errors.Is(err, os.ErrDeadlineExceeded):
		switch {
		case c.attended != nil:
			return c.attended
		case c.idler != nil:
			fatal := *c.idler.IdleError()
			fatal.Severity = SeverityFatal
			return &fatal
		}
	}
	return fmt.Errorf("pgwire: read: %w", err)
}

// handle runs one message. The error it returns ends the connection.
func (c *conn) handle(message frame, tooLong bool) error {
	extended := false
	switch message.kind {
	case 'd', 'c', 'f': // outside COPY these are ignored
		return nil
	case 'P', 'B', 'D', 'E', 'C', 'H':
		if c.skipping {
			return nil
		}
		extended = true
	case 'S':
		c.skipping = false
	case 'Q', 'F':
		if c.skipping {
			return nil
		}
	}
	if ending := c.ending.Load(); ending != nil {
		return ending
	}
	if !c.midCycle {
		c.midCycle = true
		c.activity.work(c.server.now())
	}
	c.statement.arm()
	err := c.dispatch(message, tooLong)
	if err != nil {
		if fatal := c.failOrEnd(err); fatal != nil {
			return fatal
		}
		c.skipping = extended
	}
	c.reply.flushFull()
	if extended {
		return nil
	}
	return c.ready()
}

// dispatch decodes and runs one message.
func (c *conn) dispatch(message frame, tooLong bool) (err error) {
	defer c.recovered(&err)
	if tooLong {
		return c.messageTooLong()
	}
	switch message.kind {
	case 'B':
		return c.bind(message)
	case 'E':
		return c.execute(message.body)
	case 'D':
		return c.describe(message.body)
	case 'P':
		return c.parse(message.body)
	case 'Q':
		return c.query(message.body)
	case 'C':
		return c.closeTarget(message.body)
	case 'H':
		c.reply.wanted = true
		return decodeEmpty(message.body)
	case 'S':
		return decodeEmpty(message.body)
	default: // 'F'
		return &Error{Code: CodeFeatureNotSupported, Message: "function calls through the protocol are not supported",
			Hint: "Use SELECT with the function's name."}
	}
}

func (c *conn) messageTooLong() *Error {
	e := Errorf(CodeProgramLimitExceeded, "message exceeds the limit of %d bytes", c.server.limits.MessageBytes)
	e.Hint = "Send less at a time, or raise max_message_bytes."
	return e
}

// failOrEnd is fail, and returns what ends the connection if the statement met that.
func (c *conn) failOrEnd(err error) (fatal error) {
	if c.statement.cause() == errClientGone {
		return errClosed // nor does what it has sent ahead matter to anybody
	}
	var e *Error
	if c.broken != nil && !errors.As(err, &e) {
		return c.broken // the client is not there to be told
	}
	if fatal := c.fail(err); fatal != nil {
		return fatal
	}
	return c.broken
}

// recovered, deferred, turns a panic of the handler into an internal error (W1).
func (c *conn) recovered(err *error) {
	if v := recover(); v != nil {
		c.log().Error("panic in statement", "panic", v, "stack", string(debug.Stack()))
		*err = internalError()
	}
}

// fail sends an error, tells the session, and returns it if it is FATAL.
func (c *conn) fail(err error) (fatal error) {
	e := c.clientError(err)
	c.reply.abortRow()
	if e.Severity == SeverityFatal {
		return e
	}
	c.writeError(e)
	c.reply.wanted = true
	if c.statement.cause() != nil {
		c.statement.rearm() // one cancel is one error
	}
	c.session.Fail()
	return nil
}

// ready ends a cycle and answers ReadyForQuery (W6).
func (c *conn) ready() error {
	if err := c.endCycle(); err != nil {
		if fatal := c.fail(err); fatal != nil {
			return fatal
		}
	}
	status := c.session.TxStatus()
	if status == TxIdle {
		c.names.EndTransaction()
		c.deliver()
	}
	c.session.ReportSettings(c.report)
	c.reply.takeBlock()
	c.reply.buf = appendReadyForQuery(c.reply.buf, status)
	c.reply.wanted = true
	c.reply.flushFull()
	c.midCycle, c.executes = false, 0
	c.activity.rest(status, c.server.now())
	return nil
}

// endCycle ends the implicit transaction. After a panic in there nobody knows what state
// the session is in, so that is FATAL.
func (c *conn) endCycle() (err error) {
	panicked := true
	defer func() {
		if panicked {
			err = fatalf(CodeInternalError, "internal error at the end of a transaction")
		}
	}()
	defer c.recovered(&err)
	err = c.session.EndCycle(&c.statement)
	panicked = false
	return err
}

func (c *conn) reportSetting(name, value string) {
	if name == "application_name" {
		c.activity.application.Store(&value)
	}
	c.reply.takeBlock()
	c.reply.buf = appendParameterStatus(c.reply.buf, name, value)
}

// writeError appends an ErrorResponse.
func (c *conn) writeError(e *Error) {
	severity := e.Severity
	if severity != SeverityFatal {
		severity = SeverityError
	}
	c.reply.takeBlock()
	c.reply.buf = appendError(c.reply.buf, 'E', severity, e)
}

// clientError is what the client is told of an error.
func (c *conn) clientError(err error) *Error {
	cancelled := errors.Is(err, context.Canceled)
	if cancelled || errors.Is(err, context.DeadlineExceeded) {
		var e *Error
		switch cause := c.statement.cause(); {
		case errors.As(cause, &e), errors.As(err, &e):
			return e
		case cause == nil && !cancelled:
			return Errorf(CodeQueryCanceled, "canceling statement due to statement timeout")
		default:
			return errCancelRequest()
		}
	}
	var e *Error
	if !errors.As(err, &e) {
		c.log().Error("statement failed", "error", err)
		return internalError()
	}
	if e.Cause != nil {
		c.log().Warn("statement failed", "code", string(e.Code), "message", e.Message, "cause", e.Cause)
	}
	return e
}

func internalError() *Error {
	return Errorf(CodeInternalError, "internal error; the server's log has the details")
}

// watch, interrupt and resume implement watcher: the read side of the socket, which the
// connection does not use while a statement runs, becomes readable when the peer closes.
func (c *conn) watch() (gone bool) {
	for {
		err := c.raw.Read(func(fd uintptr) bool {
			gone = peerGone(fd)
			return gone
		})
		if gone || err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return true
		}
		// Either the watch is over or another goroutine has woken the connection, which will
		// look before it waits.
		_ = c.socket.SetReadDeadline(time.Time{})
		if c.watchOver.Load() {
			return false
		}
	}
}

func (c *conn) interrupt() {
	c.watchOver.Store(true)
	_ = c.socket.SetReadDeadline(time.Unix(1, 0))
}

func (c *conn) resume() {
	c.watchOver.Store(false)
	_ = c.socket.SetReadDeadline(time.Time{})
}
