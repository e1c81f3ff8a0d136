// Package library is the code of PostgreSQL's functions, operators, casts and aggregates: a
// list of [schema.Implementation], each found by the signature that pg_proc has for it. What
// a function takes and gives, whether it is strict or returns a set, pg_proc says; operators
// and casts run the functions that pg_operator and pg_cast name.
//
// What is not in the list is refused by name when a query calls it. Functions about the
// session's settings and connections are the session's, in sqlmap.
//
// Invariants:
//
//	L1  Results are PostgreSQL's: texts, scales, rounding, errors and their SQLSTATEs.
//	L2  What a function makes is bounded, by resultBytesMax or by the budget of its Call.
//	L3  Regular expressions run in a time that is bounded (package are).
//
// All implementations may be called concurrently.
package library
