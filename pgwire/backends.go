package pgwire

import (
	"cmp"
	"slices"
	"time"
)

var _ Backends = (*Server)(nil)

// Activity lists the sessions.
func (s *Server) Activity() []Activity {
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.mu.conns))
	for c, state := range s.mu.conns {
		if state.processID != 0 {
			conns = append(conns, c)
		}
	}
	s.mu.Unlock()
	list := make([]Activity, 0, len(conns))
	for _, c := range conns {
		info := c.info.Load()
		if info == nil {
			continue // its session is being opened
		}
		a := Activity{ProcessID: info.ProcessID, User: info.User, Database: info.Database, RemoteAddr: info.RemoteAddr, IsTLS: info.IsTLS, Started: info.Started}
		c.activity.show(&a)
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b Activity) int { return cmp.Compare(a.ProcessID, b.ProcessID) })
	return list
}

// Users are those who may connect.
func (s *Server) Users() (*Accounts, bool) {
	accounts := s.accounts.Load()
	return accounts, accounts != nil
}

// CancelBackend cancels the statement that a session runs.
func (s *Server) CancelBackend(processID uint32) bool {
	c := s.keys.conn(processID)
	if c == nil {
		return false
	}
	c.statement.cancel(errCancelRequest())
	return true
}

// TerminateBackend ends a session as an administrator does.
func (s *Server) TerminateBackend(processID uint32) bool {
	return s.EndSession(processID, errShutdown())
}

// EndSession ends a session. A statement that runs is cancelled; a client that takes no
// answer gets a few seconds to take the last.
func (s *Server) EndSession(processID uint32, reason *Error) bool {
	c := s.keys.conn(processID)
	if c == nil {
		return false
	}
	c.end(reason)
	return true
}

// end makes the connection end with a FATAL error, from another goroutine.
func (c *conn) end(reason *Error) {
	fatal := *reason
	fatal.Severity = SeverityFatal
	if !c.ending.CompareAndSwap(nil, &fatal) {
		return
	}
	c.statement.end(&fatal)
	_ = c.socket.SetWriteDeadline(time.Now().Add(endWriteTime))
	c.wake()
}

// wake makes a connection that waits for its client look at what others want of it; one
// that works looks before it waits.
func (c *conn) wake() { _ = c.socket.SetReadDeadline(time.Unix(1, 0)) }
