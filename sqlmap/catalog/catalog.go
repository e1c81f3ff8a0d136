package catalog

import (
	_ "embed"
	"fmt"
	"slices"
	"sync"

	"pgcache/sqlmap/catalog/snapshot"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// PostgresVersion is the version of PostgreSQL that the snapshot is of, and whose behaviour
// clients may expect.
const PostgresVersion = "17.12"

// PostgresVersionNumber is the same as server_version_num.
const PostgresVersionNumber = 170012

// Owner is the role that owns everything.
const Owner = snapshot.Owner

// Schemas that every catalog has.
const (
	System      = "pg_catalog"
	Information = "information_schema"
	Public      = "public"
)

// OIDs that PostgreSQL fixes.
const (
	OwnerOID       types.OID = 10
	SystemOID      types.OID = 11
	PublicOID      types.OID = 2200
	DatabaseOID    types.OID = 5
	tablespaceOID  types.OID = 1663
	heapOID        types.OID = 2
	btreeOID       types.OID = 403
	defaultCollate types.OID = 100
	// FirstOID is where the OIDs of pgcache's own objects begin.
	FirstOID types.OID = 16384
)

//go:embed catalog.bin
var file string

// Row is a row of a system table by column. Columns left out are NULL, or where that is not
// allowed zero, false or empty.
type Row map[string]types.Value

// Rows makes rows of a system table when it is read.
type Rows func(env *schema.Env) ([]Row, error)

// Config is what a Catalog has beside PostgreSQL's own.
type Config struct {
	// Relations are the relations of schema public.
	Relations []Relation
	// Functions are the functions and procedures of schema public. The catalog gives them
	// their OIDs.
	Functions []*schema.Function
	// Library has the code for PostgreSQL's functions.
	Library []schema.Implementation
	// Comments are those on Functions, by name.
	Comments map[string]string
	// Callers are who may call a function of Functions, by name.
	Callers map[string]Access
	// Roles are the users that a session sees; nil: itself, who may do everything. It is
	// called often and answers the same while a statement runs.
	Roles func(s schema.Session) *Roles
	// Rows are those that the server adds to system tables and views, by name.
	Rows map[string]Rows
}

// Catalog implements schema.Catalog.
type Catalog struct {
	config   Config
	snapshot *snapshot.Snapshot

	relations func() *relationIndex
	types     func() *typeIndex
	functions func() *functionIndex
	operators func() *operatorIndex
	casts     func() map[[2]types.OID]*schema.Cast
	own       func() map[string][]Row
}

// New makes a Catalog.
func New(config Config) (*Catalog, error) {
	s, err := snapshot.Open([]byte(file))
	if err != nil {
		return nil, fmt.Errorf("catalog: %w", err)
	}
	c := &Catalog{config: config, snapshot: s}
	for i := range c.config.Relations {
		c.config.Relations[i].number(i)
	}
	for i, f := range c.config.Functions {
		f.OID, f.Schema = FirstOID+ownFunctionsFrom+types.OID(i), Public
	}
	c.relations = sync.OnceValue(c.indexRelations)
	c.types = sync.OnceValue(c.indexTypes)
	c.functions = sync.OnceValue(c.indexFunctions)
	c.operators = sync.OnceValue(c.indexOperators)
	c.casts = sync.OnceValue(c.indexCasts)
	c.own = sync.OnceValue(c.describeOwn)
	return c, nil
}

var _ schema.Catalog = (*Catalog)(nil)

// HasSchema reports whether a schema exists.
func (c *Catalog) HasSchema(name string) bool {
	return slices.Contains([]string{System, Information, Public, "pg_toast"}, name)
}

// namespaceOID is the OID of a schema, 0 if there is none.
func (c *Catalog) namespaceOID(name string) types.OID {
	for oid, n := range c.relations().namespaces {
		if n == name {
			return oid
		}
	}
	return 0
}

// reader reads a table of the snapshot by column name.
type reader struct {
	table *snapshot.Table
	row   int
	at    map[string]int
}

func (c *Catalog) read(name string) *reader {
	t := c.snapshot.Table(System, name)
	r := &reader{table: t, row: -1, at: make(map[string]int, len(t.Columns))}
	for i, column := range t.Columns {
		r.at[column.Name] = i
	}
	return r
}

func (r *reader) next() bool {
	r.row++
	return r.row < r.table.Len()
}

func (r *reader) value(column string) types.Value { return r.table.Value(r.row, r.at[column]) }
func (r *reader) int(column string) int64         { return r.value(column).Int }
func (r *reader) oid(column string) types.OID     { return types.OID(r.value(column).Int) }
func (r *reader) text(column string) string       { return r.value(column).Text() }
func (r *reader) bool(column string) bool         { return r.value(column).Int != 0 }

// char is the value of a "char", 0 if it is empty.
func (r *reader) char(column string) byte {
	if b := r.value(column).Bytes; len(b) > 0 {
		return b[0]
	}
	return 0
}

func oids(v types.Value) []types.OID {
	out := make([]types.OID, len(v.Elems))
	for i := range v.Elems {
		out[i] = types.OID(v.Elems[i].Int)
	}
	return out
}

func texts(v types.Value) []string {
	out := make([]string, len(v.Elems))
	for i := range v.Elems {
		out[i] = v.Elems[i].Text()
	}
	return out
}
