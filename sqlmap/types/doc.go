// Package types holds PostgreSQL's types as the dialect uses them: their OIDs, names and
// text and binary forms, and the casts between them. It knows no expressions, no
// statements and no cache.
//
// A [Value] does not know its type; whoever holds one knows it from the plan. Invariants:
//
//	T1  ParseText(AppendText(v)) and ParseBinary(AppendBinary(v)) give v again, for
//	    every type that is not a pseudo-type.
//	T2  Parsing accepts or refuses any bytes; it never panics, and what it allocates is
//	    bounded by a small multiple of the input.
//	T3  Errors are *pgwire.Error with the SQLSTATE and message of PostgreSQL.
//
// Values are immutable: Bytes and Elems may alias a message or a pinned entry, and are
// valid as long as that is. [Value.Clone] copies. All functions may be called concurrently.
package types
