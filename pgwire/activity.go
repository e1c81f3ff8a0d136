package pgwire

import (
	"net"
	"strings"
	"sync/atomic"
	"time"
)

// Backends is what sessions may know of each other, and do to each other. Whether a user
// may is decided by the handler. Safe for concurrent use.
type Backends interface {
	// Activity lists the sessions, by process ID.
	Activity() []Activity
	// Users are those who may connect, by name; nil and false: everybody may, as an administrator.
	Users() (users *Accounts, areKnown bool)
	// CancelBackend cancels the statement that a session runs, if it runs one; false if
	// there is no such session.
	CancelBackend(processID uint32) bool
	// TerminateBackend ends a session with 57P01; false if there is no such session.
	TerminateBackend(processID uint32) bool
	// EndSession ends a session with an error of the caller's choice, sent as FATAL.
	EndSession(processID uint32, reason *Error) bool
}

// Activity is what a session is doing.
type Activity struct {
	ProcessID          uint32
	User, Database     string
	ApplicationName    string
	RemoteAddr         net.Addr
	IsTLS              bool
	Started            time.Time
	TransactionStarted time.Time // zero: none is open
	StatementStarted   time.Time // of the last one; zero: none yet
	StateChanged       time.Time
	State              ActivityState
	// Query is the beginning of the last statement's text.
	Query string
}

// ActivityState is the state of a session, in the words of pg_stat_activity.
type ActivityState string

const (
	StateActive    ActivityState = "active"
	StateIdle      ActivityState = "idle"
	StateInBlock   ActivityState = "idle in transaction"
	StateInFailure ActivityState = "idle in transaction (aborted)"
)

// activity is what a connection shows of itself. Only the connection writes it; times
// are microseconds since 1970, 0 for none.
type activity struct {
	query       atomic.Pointer[string]
	application atomic.Pointer[string]
	// status is the TxStatus while it waits for its client, 0 while it works.
	status  atomic.Uint32
	changed atomic.Int64
	began   atomic.Int64 // the cycle
	block   atomic.Int64 // the cycle that opened the transaction block
}

// work notes the beginning of a cycle.
func (a *activity) work(now time.Time) {
	us := now.UnixMicro()
	a.began.Store(us)
	a.changed.Store(us)
	a.status.Store(0)
}

// rest notes the end of a cycle.
func (a *activity) rest(status TxStatus, now time.Time) {
	switch {
	case status == TxIdle:
		a.block.Store(0)
	case a.block.Load() == 0:
		a.block.Store(a.began.Load())
	}
	a.changed.Store(now.UnixMicro())
	a.status.Store(uint32(status))
}

// activityText is the text of a statement as Activity shows it.
func activityText(sql string) *string {
	if len(sql) > activityTextBytesMax {
		sql = strings.Clone(strings.ToValidUTF8(sql[:activityTextBytesMax], ""))
	}
	return &sql
}

func (a *activity) show(out *Activity) {
	if query := a.query.Load(); query != nil {
		out.Query = *query
	}
	if name := a.application.Load(); name != nil {
		out.ApplicationName = *name
	}
	out.TransactionStarted = timeOf(&a.block)
	out.StatementStarted = timeOf(&a.began)
	out.StateChanged = timeOf(&a.changed)
	switch TxStatus(a.status.Load()) {
	case TxIdle:
		out.State = StateIdle
	case TxBlock:
		out.State = StateInBlock
	case TxFailed:
		out.State = StateInFailure
	default:
		out.State = StateActive
		if out.TransactionStarted.IsZero() {
			out.TransactionStarted = out.StatementStarted
		}
	}
}

func timeOf(micros *atomic.Int64) time.Time {
	if us := micros.Load(); us != 0 {
		return time.UnixMicro(us)
	}
	return time.Time{}
}
