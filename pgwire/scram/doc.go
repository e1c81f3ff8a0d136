// Package scram is the server's side of SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802,
// RFC 7677) as PostgreSQL speaks them, and PostgreSQL's format of what a server keeps of a
// password. It knows nothing of the protocol's messages nor of who the users are.
//
// An [Exchange] belongs to one login; a [Verifier] is immutable and may be shared.
//
// Invariants:
//
//	A1  Nothing is derived from a password during a login: the server needs a Verifier
//	    only, so that a login costs it a few hashes, whatever the iteration count.
//	A2  A login against a verifier that nobody's password fits ([MockVerifier]) does
//	    exactly what any other does, and fails where a wrong password does.
//	A3  Secrets are compared in constant time.
package scram
