// Package copyio reads and writes the three formats of COPY, text, csv and binary, as
// PostgreSQL does: bytes to rows of fields and back. It knows no columns' types and no
// protocol. Nothing in it may be used concurrently.
//
// Invariants:
//
//	K1  A Reader holds one row at a time, and refuses one longer than its limit.
//	K2  What a Writer writes, a Reader of the same options reads back.
//	K3  Errors have PostgreSQL's SQLSTATE and words; which line they are about is Reader.Line.
package copyio
