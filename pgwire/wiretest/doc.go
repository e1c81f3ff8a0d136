// Package wiretest helps to test servers of the PostgreSQL protocol: transcripts, which run
// against this project's server and against PostgreSQL alike, and a handler that answers a
// constant, as the baseline of benchmarks. It is not linked into the product.
//
// A transcript is a text file of directives:
//
//	# A comment. The ones at the top say what the file shows.
//	only pgcache            run against pgcache only; the comment above says why
//	only sql                run against servers with more SQL than a test's
//	since 17                run against PostgreSQL from this version on
//
//	connect user=u minor=2  open a connection; without it the first directive does. A blank
//	                        in a value is written with a backslash before it
//	----
//
//	send
//	Query {"String": "SELECT 1"}
//	----
//
//	until messages
//	ErrorResponse
//	ReadyForQuery
//	----
//	{"Type":"ErrorResponse","Severity":"ERROR","Code":"42601","Message":"…"}
//	{"Type":"ReadyForQuery","TxStatus":"I"}
//
// The lines of send are messages of pgproto3 by type and JSON; all go out in one write. until
// reads up to each named message in turn and shows what it read. Other directives: dial
// (connect without a startup packet), startup (sends one, with parameters like those of connect), raw (bytes to send: hex,
// n times with n* before it, and quoted strings), byte (shows one byte that is no message), tls (becomes a TLS
// connection, with alpn=name, and shows what came of it), silent (demands that the server says nothing for a moment), cancel (sends a CancelRequest with the connection's key, or with
// wrong, another; with running, again and again until the server says something), use name (changes to another connection, opening it), closed (demands
// the end of the stream).
//
// In a login what is random is shown by its length, and the client's messages, SASLInitialResponse MECHANISM DATA and
// SASLResponse DATA, have placeholders for what depends on it: <nonce>, <binding> and <proof PASSWORD>.
package wiretest
