// Package pgwire is a server of the PostgreSQL protocol, versions 3.0 to 3.2: framing,
// startup, the simple and the extended query protocol, prepared statements and portals,
// cancel requests, limits and shutdown. It knows no SQL, no types and no caches: a
// [Handler] plans and runs statements and appends rows to a [Reply].
//
// A [Server] may be used by any number of goroutines. Everything that belongs to one
// connection (its [Session], [Names], [Reply], portals) is used by that connection's
// goroutine only; what others may do to a connection is cancel its statement, wake its
// read and close its socket.
//
// Invariants, cited by number in the code:
//
//	W1  Framing survives everything but a transport error: a message is consumed whole
//	    before it is examined, and a panic of the handler ends one message, not the stream.
//	W2  A read never blocks while a reply that the client may wait for is unsent.
//	W3  Nothing is allocated on the word of a header: buffers grow as bytes arrive, and a
//	    length is checked against its limit first.
//	W4  The arguments of a portal belong to the portal and stay until it is closed, however
//	    often the read buffer is used in the meantime.
//	W5  A message that cannot be decoded is an error (08P01, the connection lives); a
//	    transport that failed is a disconnect (nothing is sent); a broken frame is the end.
//	W6  Exactly one ReadyForQuery answers each Sync, Query and FunctionCall, and an
//	    error between Syncs skips all that follows up to the next Sync.
//	W7  A connection that waits for its client holds no buffers.
package pgwire
