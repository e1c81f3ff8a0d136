// Command generate writes the catalog snapshot that pgcache embeds, from a running
// PostgreSQL or from a dump of one:
//
//	generate -from dump.json.gz -to catalog.bin
//	generate -from postgres://postgres@127.0.0.1/postgres -to catalog.bin
//
// A dump is a JSON object: for each relation "schema.name" its "kind" (r or v), "cols",
// "types" as format_type prints them, and "rows" of texts, where arrays and vectors are
// lists of texts. Rows about relations of users (OIDs from 16384) are left out, and so is
// PostgreSQL's own prose and source text: descriptions, view definitions and function bodies.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strings"

	"pgcache/sqlmap/catalog/snapshot"
)

func main() {
	from := flag.String("from", "", "a dump (.json.gz) or the URL of a PostgreSQL `server`")
	to := flag.String("to", "catalog.bin", "the `file` to write")
	flag.Parse()
	if err := run(*from, *to); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(from, to string) error {
	read := readDump
	if strings.HasPrefix(from, "postgres:") || strings.HasPrefix(from, "postgresql:") {
		read = readServer
	}
	source, err := read(context.Background(), from)
	if err != nil {
		return err
	}
	if err := source.resolveFunctions(); err != nil {
		return err
	}
	tables, err := source.facts()
	if err != nil {
		return err
	}
	file, err := snapshot.Write(source.version, tables)
	if err != nil {
		return err
	}
	return os.WriteFile(to, file, 0o644)
}
