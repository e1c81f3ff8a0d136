package pgwire

import (
	"context"
	"net"
	"time"
)

// Handler plans and runs statements. The server asks for one Session per connection that
// passed authentication. Safe for concurrent use.
type Handler interface {
	// NewSession starts a session. An *Error is sent to the client as FATAL.
	NewSession(ctx context.Context, info *ConnInfo) (Session, error)
}

// ConnInfo is what a session knows of its connection.
type ConnInfo struct {
	ProcessID  uint32 // as in BackendKeyData
	User       string
	Identity   Identity // what the user may do
	Database   string
	Settings   []Setting // startup parameters and "options", in order; not user, database, replication, _pq_.*
	RemoteAddr net.Addr
	LocalAddr  net.Addr // where the client connected to
	SystemUser string   // how the client proved who it is, as PostgreSQL's SYSTEM_USER; empty: it did not
	Started    time.Time
	IsTLS      bool
	// Notifications is where others leave notifications for this client.
	Notifications *Mailbox
	// Backends are the sessions of the server, this one included.
	Backends Backends
	// Names holds the connection's prepared statements and portals, which SQL-level
	// PREPARE, DEALLOCATE, CLOSE and DISCARD share with the protocol.
	Names *Names
}

// Setting is a run-time parameter and its value as text.
type Setting struct{ Name, Value string }

// Session is one client's conversation. All methods are called by one goroutine at a time.
//
// An error that is an *Error reaches the client as it is; a context error becomes 57014;
// any other is logged and becomes XX000 without details.
type Session interface {
	// Prepare plans one statement of the extended protocol. paramOIDs are those the client
	// declared (0 or 705: infer); there may be fewer or more than the text has. An empty
	// text gives a Statement whose portals complete with TagEmpty.
	Prepare(ctx context.Context, sql string, paramOIDs []uint32) (Statement, error)

	// PrepareSimple plans the statements of a simple Query; none for an empty text. A
	// syntax error anywhere fails all.
	PrepareSimple(ctx context.Context, sql string) ([]Statement, error)

	// TxStatus is reported with ReadyForQuery. Only the session changes it; the server
	// reports failures by Fail.
	TxStatus() TxStatus

	// Fail tells the session that a statement of the current transaction, explicit or
	// implicit, failed; an explicit one must now be TxFailed.
	Fail()

	// EndCycle ends the implicit transaction, if one is open: at Sync and at the end of a
	// simple Query. After Fail it rolls back, else it commits; a commit's error is sent
	// before ReadyForQuery.
	EndCycle(ctx context.Context) error

	// ReportSettings calls report for every reported setting the first time it is called,
	// and later for those whose value changed since. It becomes ParameterStatus.
	ReportSettings(report func(name, value string))

	// Close ends the session, rolling back. The connection may be gone.
	Close()
}

// TxStatus is the transaction status byte of ReadyForQuery.
type TxStatus byte

const (
	TxIdle   TxStatus = 'I'
	TxBlock  TxStatus = 'T'
	TxFailed TxStatus = 'E'
)

// Format is a format code of Bind.
type Format int16

const (
	Text   Format = 0
	Binary Format = 1
)

// Column describes a result column, as RowDescription carries it.
type Column struct {
	Name         string
	TableOID     uint32
	TableAttr    uint16
	TypeOID      uint32
	TypeSize     int16
	TypeModifier int32 // -1: none
}

// Statement is a planned statement, usable for any number of portals of its session. The
// server refuses to Bind in a failed transaction unless EndsTransaction.
type Statement interface {
	// ParamOIDs are the parameters' types, all resolved.
	ParamOIDs() []uint32
	// Columns are the result columns; nil for a statement that returns no rows.
	Columns() []Column
	// EndsTransaction reports COMMIT, ROLLBACK and the like, which a failed transaction
	// accepts (25P02 for all others, the empty statement too, as in PostgreSQL).
	EndsTransaction() bool
	// Bind makes a portal. args stay valid and unchanged until Portal.Close. The server has
	// checked the numbers of parameters and formats. recycle is nil or a closed portal of
	// the same session that may be reused to save memory.
	Bind(ctx context.Context, args *BindArgs, recycle Portal) (Portal, error)
}

// BindArgs are the parameters of a Bind message.
type BindArgs struct {
	Params        [][]byte // nil: NULL; in text format they are UTF-8 without zero bytes
	ParamFormats  []Format // one each
	ResultFormats []Format // one for each column
}

// Portal is a bound statement being run.
type Portal interface {
	// Execute sends rows to r until the statement is complete or r.Full() reports that the
	// client's row limit is reached (the portal is then suspended and Execute is called
	// again to go on, with a new limit). alone says that this is the only statement of its
	// implicit transaction: a simple Query of one statement, or an Execute that is followed
	// by Sync and preceded by no other Execute since the last one; it may then take effect at once.
	Execute(ctx context.Context, r *Reply, alone bool) (Completion, error)
	// Close releases what the portal holds. It is called exactly once.
	Close()
}

// Quick is a Portal that may be known to wait for nothing but reads of a disk. Before all others
// the answers to earlier cycles are sent, which costs a write.
type Quick interface{ IsQuick() bool }

// Completion is how an Execute ended.
type Completion struct {
	// Tag is the command tag without its count, e.g. "SELECT", "INSERT 0", "BEGIN";
	// TagEmpty for an empty statement.
	Tag string
	// Rows is appended to Tag when HasRows.
	Rows    int64
	HasRows bool
	// Suspended reports that the row limit ended this Execute; Tag is then ignored.
	Suspended bool
}

// TagEmpty as Completion.Tag stands for EmptyQueryResponse.
const TagEmpty = ""
