// Package schema is what a query knows of its world: the types, relations, functions,
// operators and casts that names and OIDs stand for. It holds descriptions and the
// signatures of what makes rows and values; it has none of them itself and knows no SQL.
//
// Three rooms meet here and know nothing of each other:
//
//	sqlmap/catalog  implements Catalog from a snapshot of PostgreSQL's own catalog
//	sqlmap/library  lists the Implementations of functions and aggregates
//	sqlmap/query    analyses, plans and runs SELECTs over a Catalog
//
// PostgreSQL's own rows in pg_proc, pg_operator and pg_cast say which overloads exist, what
// they take and give, whether they are strict or return sets. An [Implementation] only adds
// the Go code, found by signature: "lower(text)", "array_append(anycompatiblearray,anycompatible)",
// "int4pl(int4,int4)", "sum(int8)", "information_schema._pg_expandarray(anyarray)". Type names are
// those of pg_type, arrays written with [] behind the element's. An operator runs the function that
// pg_operator names, a cast the one that pg_cast names. A function that has a
// row but no implementation is refused with 0A000 by name when a query calls it.
//
// Invariants:
//
//	D1  Everything reached from a Catalog is immutable while a query runs and may be read
//	    by any number of goroutines.
//	D2  A Source never leaves out a row that matches all filters of its request; it may
//	    return others. The query checks each row again.
//	D3  The values of a row, and of a function's result, are the receiver's: they stay as
//	    they are for as long as the statement runs.
//	D4  Errors are *pgwire.Error.
package schema
