package pgwire

import (
	"fmt"
	"time"
)

// Limits bound what clients can make the server hold or wait for. Zero means the default.
type Limits struct {
	// Connections is the number of clients that are past startup (53300 beyond), of which
	// ReservedConnections are kept for administrators; negative: none.
	Connections         int
	ReservedConnections int
	// UserConnections and AddressConnections bound those of one user and from one address
	// (53300 beyond). All clients of Unix sockets are from one address.
	UserConnections    int
	AddressConnections int
	// Starting is the number of clients that have not finished startup, AddressStarting that
	// of those from one address, or for IPv6 from one network of 64 bits, of which a host
	// has all addresses. More are closed unheard: they have shown nothing that would make
	// them worth an answer.
	Starting        int
	AddressStarting int
	// LoginMessageBytes is the longest message of a client that has not logged in: its
	// startup packet, length word included, and what it says about its password. A longer one
	// closes the connection, as in PostgreSQL.
	LoginMessageBytes int
	// MessageBytes is the longest message body accepted. A longer one is read and dropped,
	// and answered with 54000. PostgreSQL's own bound, 1 GiB - 2, closes the connection.
	MessageBytes int
	// Statements and StatementBytes bound the named prepared statements of a connection.
	Statements     int
	StatementBytes int
	// Parameters is the number of parameters of a Bind.
	Parameters int
	// Portals and PortalBytes bound the open portals of a connection and their arguments.
	Portals     int
	PortalBytes int
	// ReplyBytes is how much of a reply gathers before it is written without being asked for.
	// A row that crosses it is completed first.
	ReplyBytes int
	// Notifications and NotificationBytes bound what waits in a Mailbox.
	Notifications     int
	NotificationBytes int
	// Authentication is the time a client has from accept to ReadyForQuery.
	Authentication time.Duration
	// Write is the time a client has to take a reply, beyond what it needs at
	// writeRateMin: a dead peer must not pin a goroutine and its buffers.
	Write time.Duration
	// KeepAlive is how long a TCP connection is silent before the server asks whether the
	// client is still there; one that does not answer for as long again is ended.
	KeepAlive time.Duration
}

func (l Limits) withDefaults() Limits {
	setInt := func(p *int, value int) {
		if *p == 0 {
			*p = value
		}
	}
	setInt(&l.Connections, 10_000) // a goroutine and a few KiB each while idle
	setInt(&l.ReservedConnections, min(3, l.Connections-1))
	setInt(&l.UserConnections, l.Connections)
	setInt(&l.AddressConnections, l.Connections)
	setInt(&l.Starting, 2_000) // each may hold a read buffer until Authentication
	setInt(&l.AddressStarting, max(1, l.Starting/2))
	setInt(&l.LoginMessageBytes, 10_004) // PostgreSQL's MAX_STARTUP_PACKET_LENGTH and its length word
	setInt(&l.ReplyBytes, 64<<10)        // more costs memory and saves no time
	setInt(&l.MessageBytes, 256<<20)     // a hex-encoded blob of 128 MiB
	setInt(&l.Statements, 10_000)        // drivers cache some hundreds
	setInt(&l.StatementBytes, 16<<20)    // texts; plans are shared between connections
	setInt(&l.Parameters, 1<<16-1)       // the protocol's bound
	setInt(&l.Portals, 1_000)            // open at one time inside a transaction block
	setInt(&l.PortalBytes, 512<<20)      // two of the longest messages
	setInt(&l.Notifications, 10_000)     // a client that is busy for a while
	setInt(&l.NotificationBytes, 4<<20)  // 500 of the longest
	setDuration := func(p *time.Duration, value time.Duration) {
		if *p == 0 {
			*p = value
		}
	}
	setDuration(&l.Authentication, time.Minute) // PostgreSQL's authentication_timeout
	setDuration(&l.KeepAlive, 5*time.Minute)    // what NAT gateways forget connections after
	setDuration(&l.Write, 2*time.Minute)        // a consumer may pause, a dead peer never goes on
	return l
}

func (l Limits) check() error {
	for _, n := range []int{l.Connections, l.UserConnections, l.AddressConnections, l.Starting, l.AddressStarting, l.Parameters, l.LoginMessageBytes,
		l.MessageBytes, l.ReplyBytes, l.Statements, l.StatementBytes, l.Portals, l.PortalBytes, l.Notifications, l.NotificationBytes} {
		if n < 0 {
			return fmt.Errorf("pgwire: negative limit %d", n)
		}
	}
	if l.MessageBytes > longMessageBytesMax {
		return fmt.Errorf("pgwire: message limit %d exceeds the protocol's %d", l.MessageBytes, longMessageBytesMax)
	}
	if l.LoginMessageBytes > LoginMessageBytesMax || l.ReplyBytes > ReplyBytesMax {
		return fmt.Errorf("pgwire: a login message of %d bytes or a reply buffer of %d exceeds what is possible, %d and %d",
			l.LoginMessageBytes, l.ReplyBytes, LoginMessageBytesMax, ReplyBytesMax)
	}
	if l.ReservedConnections > 0 && l.ReservedConnections >= l.Connections && l.Connections > 0 {
		return fmt.Errorf("pgwire: %d of %d connections reserved: one must be left", l.ReservedConnections, l.Connections)
	}
	if l.Authentication < 0 || l.Write < 0 || l.KeepAlive < 0 {
		return fmt.Errorf("pgwire: negative timeout")
	}
	return nil
}

const (
	// LoginMessageBytesMax is the most that Limits.LoginMessageBytes can be: such messages are
	// read in place.
	LoginMessageBytesMax = readBlockBytes
	// ReplyBytesMax is the most that Limits.ReplyBytes can be: each connection that is
	// answering holds as much.
	ReplyBytesMax = 16 << 20

	// startupPacketBytesMin is PostgreSQL's, the length word included.
	startupPacketBytesMin = 8
	// mockSecretBytes is the length of a secret made for want of one.
	mockSecretBytes = 32
	// refusedPerAddressMax is how many connections more than AddressConnections from one
	// address are told why they are refused.
	refusedPerAddressMax = 16
	// keepAliveProbes are sent within one more Limits.KeepAlive before a peer is given up.
	keepAliveProbes = 3

	// shortMessageBytesMax and longMessageBytesMax bound the length word, as in PostgreSQL
	// (PQ_SMALL_MESSAGE_LIMIT, PQ_LARGE_MESSAGE_LIMIT).
	shortMessageBytesMax = 10_000
	longMessageBytesMax  = 1<<30 - 2

	// readBlockBytes is the read buffer: a batch that fits costs one read. Messages
	// that do not fit get a buffer of their own.
	readBlockBytes = 32 << 10
	// tlsRecordBytesFirst is what crypto/tls gets to read records into, enough for a small
	// statement; it makes more of it as it needs, of which tlsRecordBytesKept are kept for the
	// next connection: the longest record, as bytes.Buffer grows.
	tlsRecordBytesFirst = 2 << 10
	tlsRecordBytesKept  = 64 << 10
	// largeStepBytes is what a message longer than the read buffer gets before its
	// bytes arrive; when they fill it, it grows fourfold.
	largeStepBytes = 256 << 10

	// replyRowBytes is the room that a reply buffer has above Limits.ReplyBytes for a last row.
	replyRowBytes = 32 << 10
	// largeFieldBytes is the field length from which a gathering write beats a copy.
	largeFieldBytes = 16 << 10

	// smallArgumentBytesMax is how much argument memory a closed portal keeps for the next;
	// more comes from the shared pool of read blocks, still more from the message itself.
	smallArgumentBytesMax = 2 << 10
	// recycledPortalsMax is the number of closed portals a connection keeps, and
	// recycledParamsMax the number of parameters whose slices are kept with one.
	recycledPortalsMax = 2
	recycledParamsMax  = 64

	// writeRateMin is the slowest reader that is waited for, in bytes a second.
	writeRateMin = 64 << 10

	// cancelKeyBytesShort is the only length protocol 3.0 clients can take,
	// cancelKeyBytesLong what PostgreSQL 18 sends to 3.2 clients, cancelKeyBytesMax the
	// protocol's bound.
	cancelKeyBytesShort = 4
	cancelKeyBytesLong  = 32
	cancelKeyBytesMax   = 256
	// wrongKeysMax is the number of wrong cancel keys for one connection in
	// wrongKeysWindow after which further ones, right or wrong, are ignored: 2^32 keys
	// then take 17 years to try.
	wrongKeysMax    = 8
	wrongKeysWindow = time.Second

	// lateStartupTime is what a client that comes during a shutdown has to say what it wants,
	// so that it can be told why not.
	lateStartupTime = 2 * time.Second

	// endWriteTime is how long a session that is ended by others may take to write out what
	// it has begun, and the reason.
	endWriteTime = 5 * time.Second

	// activityTextBytesMax is PostgreSQL's track_activity_query_size.
	activityTextBytesMax = 1024

	// disconnectWatchDelay is how long a statement that can be cancelled runs before
	// the server looks whether its client is still there.
	disconnectWatchDelay = 100 * time.Millisecond

	// acceptBackoffMin and Max bound the pause after a failed accept (no descriptors left).
	acceptBackoffMin = 5 * time.Millisecond
	acceptBackoffMax = time.Second

	// lingerTime and lingerBytes bound what is read and dropped after a FATAL, so that
	// unread input does not make the kernel reset the connection before the client has read it.
	lingerTime  = 250 * time.Millisecond
	lingerBytes = 1 << 20

	// statementOverheadBytes is charged for each named statement beside its text.
	statementOverheadBytes = 256
)
