// Package snapshot is the file format for the tables of a system catalog: small when
// embedded, read without work at start, and kept in compact columns once read.
//
//	file   = magic, u32 length of the header, header (JSON), one DEFLATE stream a table
//	table  = its columns, one after the other
//	column = u8 has NULLs, bitmap of NULLs if so, then
//	         for integers: zigzag varints, each the difference to the value before
//	         for all else: uvarint lengths, then the text forms one after the other
//
// A table is inflated when one of its columns is first asked for, and a column decoded when
// one of its values is. Invariants:
//
//	F1  A Snapshot never changes and may be read by any number of goroutines.
//	F2  Values alias the snapshot's memory and stay valid.
//	F3  The file is part of the program: damage is a bug and panics, except in Open.
package snapshot
