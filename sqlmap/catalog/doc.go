// Package catalog is what clients find in pg_catalog and information_schema: PostgreSQL's
// own types, functions, operators and system tables from an embedded snapshot, pgcache's
// relations and functions described in the same tables, what the running server adds, and
// the system views as SQL of our own over all of it. It implements [schema.Catalog].
//
// The snapshot, catalog.bin, has facts of one PostgreSQL version; "go generate" makes it
// from a dump of a server or from a running one (see generate). [PostgresVersion] is the version
// it was made from, and what pgcache says it is.
//
// Invariants:
//
//	N1  A Catalog never changes after New and may be used by any number of goroutines.
//	N2  New reads the directory of the snapshot only: tables are inflated, and functions,
//	    types and operators listed, when a query first asks for one.
//	N3  What the catalog says of pgcache's relations is made from the definitions that
//	    queries run on, so that they cannot disagree.
package catalog

//go:generate go run ./generate -from ${PGCATALOG} -to catalog.bin
