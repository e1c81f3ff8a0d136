package catalog

import (
	"context"
	"runtime"
	"strings"
	"testing"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// thing is a catalog with one relation and one function of its own.
func thing(t testing.TB) *Catalog {
	t.Helper()
	c, err := New(Config{
		Relations: []Relation{{Relation: schema.Relation{Name: "thing", Columns: []schema.Column{{Name: "ns", Type: types.Text}, {Name: "n", Type: types.Int8}}, Key: []int{0}},
			Comment: "a thing", NotNull: []bool{true, false}, Count: func(*schema.Env) int64 { return 7 }}},
		Functions: []*schema.Function{{Name: "act", Kind: 'f', Args: []types.OID{types.Text, types.Int4}, ArgNames: []string{"ns", "n"},
			Defaults: []types.Value{types.OfInt(5)}, Returns: types.Int8, Volatility: 'v'}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

type session struct{}

func (session) User() string                  { return "someone" }
func (session) Database() string              { return "cache" }
func (session) ProcessID() uint32             { return 1 }
func (session) IsSuperuser() bool             { return true }
func (session) SearchPath() []string          { return []string{System, Public} }
func (session) Setting(string) (string, bool) { return "", false }

func rowsOf(t *testing.T, c *Catalog, name string, filters ...schema.Filter) [][]types.Value {
	t.Helper()
	r := c.Relation(System, name)
	env := &schema.Env{Ctx: context.Background(), Catalog: c, Session: session{}}
	scan, err := r.Source.Open(env, &schema.Request{Filters: filters})
	if err != nil {
		t.Fatal(err)
	}
	defer scan.Close()
	var out [][]types.Value
	for {
		row := make([]types.Value, len(r.Columns))
		ok, err := scan.Next(row)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return out
		}
		out = append(out, row)
	}
}

func position(c *Catalog, table, column string) int {
	for i, k := range c.Relation(System, table).Columns {
		if k.Name == column {
			return i
		}
	}
	return -1
}

func TestVersionAgreesWithSnapshot(t *testing.T) {
	c := thing(t)
	if c.snapshot.ServerVersion != PostgresVersion {
		t.Errorf("the snapshot is of %s, PostgresVersion is %s", c.snapshot.ServerVersion, PostgresVersion)
	}
}

// TestTypesAgreeWithSnapshot compares the types that values have with pg_type.
func TestTypesAgreeWithSnapshot(t *testing.T) {
	c := thing(t)
	for oid := types.OID(1); oid < 6000; oid++ {
		known := types.Lookup(oid)
		if known == nil {
			continue
		}
		row := c.Type(oid)
		if row == nil {
			t.Errorf("pg_type has no %s", known.Name)
			continue
		}
		category := known.Category
		if oid == types.Unknown {
			category = row.Category
		}
		if row.Name != known.Internal || row.Size != known.Size || row.Category != category || row.Array != known.Array || row.IsArray && row.Elem != known.Elem {
			t.Errorf("%s is %+v here and %+v in pg_type", known.Name, known, row)
		}
	}
}

func TestOwnRelationIsDescribed(t *testing.T) {
	c := thing(t)
	r := c.Relation(Public, "thing")
	equal := func(table, column string, oid types.OID) schema.Filter {
		return schema.Filter{Column: position(c, table, column), Comparison: schema.Equal, Values: []types.Value{oidOf(oid)}}
	}
	class := rowsOf(t, c, "pg_class", equal("pg_class", "oid", r.OID))
	if len(class) != 1 || class[0][position(c, "pg_class", "relname")].Text() != "thing" || class[0][position(c, "pg_class", "reltuples")].Float != 7 {
		t.Errorf("pg_class has %v", class)
	}
	if columns := rowsOf(t, c, "pg_attribute", equal("pg_attribute", "attrelid", r.OID)); len(columns) != 2+6 {
		t.Errorf("pg_attribute has %d rows, want 2 columns and 6 of the system", len(columns))
	}
	if keys := rowsOf(t, c, "pg_index", equal("pg_index", "indrelid", r.OID)); len(keys) != 1 {
		t.Errorf("pg_index has %d rows", len(keys))
	}
	if rowsOf(t, c, "pg_constraint", equal("pg_constraint", "conrelid", r.OID)) == nil {
		t.Error("pg_constraint has no primary key")
	}
	row := c.TypeNamed(Public, "thing")
	if row == nil || row.OID != r.RowType || len(row.Fields) != 2 || c.Type(row.Array).Elem != row.OID {
		t.Errorf("the row type is %+v", row)
	}
	procs := rowsOf(t, c, "pg_proc", schema.Filter{Column: position(c, "pg_proc", "proname"), Comparison: schema.Equal, Values: []types.Value{text("act")}})
	if len(procs) != 1 || procs[0][position(c, "pg_proc", "proargdefaults")].Text() != "5" {
		t.Errorf("pg_proc has %v", procs)
	}
	if tables := rowsOf(t, c, "pg_database"); len(tables) != 1 || tables[0][position(c, "pg_database", "datname")].Text() != "cache" {
		t.Errorf("pg_database has %v", tables)
	}
}

func TestLookupsFindWhatScansFind(t *testing.T) {
	c := thing(t)
	for _, table := range []string{"pg_class", "pg_attribute", "pg_proc", "pg_type", "pg_index", "pg_depend", "pg_authid"} {
		all := rowsOf(t, c, table)
		for _, at := range c.Relation(System, table).Lookup {
			counts := make(map[string]int)
			oid := c.Relation(System, table).Columns[at].Type
			for _, row := range all {
				counts[string(types.AppendText(nil, oid, row[at], nil))]++
			}
			for _, row := range all[:min(len(all), 20)] {
				found := rowsOf(t, c, table, schema.Filter{Column: at, Comparison: schema.In, Values: []types.Value{row[at], row[at]}})
				if want := counts[string(types.AppendText(nil, oid, row[at], nil))]; len(found) != want {
					t.Errorf("%s by column %d: %d rows, a scan has %d", table, at, len(found), want)
				}
			}
		}
	}
}

func TestFunctionsOfTheSnapshot(t *testing.T) {
	c := thing(t)
	f := c.Functions(System, "make_interval")[0]
	if len(f.Defaults) != 7 || f.ArgNames[6] != "secs" || len(f.Args) != 7 {
		t.Errorf("make_interval: %+v", f)
	}
	if got := c.signature(c.Functions(System, "array_append")[0]); got != "array_append(anycompatiblearray,anycompatible)" {
		t.Error(got)
	}
	for _, f := range c.Functions(System, "percentile_cont") {
		if f.AggregateKind != 'o' || f.DirectArgs != 1 {
			t.Errorf("percentile_cont: %+v", f)
		}
	}
	for _, f := range c.Functions(System, "max") {
		if f.AggregateKind != 'n' {
			t.Errorf("max(%v) is no aggregate", f.Args)
		}
	}
	if f := c.Functions(System, "pg_get_keywords")[0]; len(f.Outs) != 5 || !f.ReturnsSet {
		t.Errorf("pg_get_keywords: %+v", f)
	}
	for _, o := range c.Operators(System, "=") {
		if o.Function == nil {
			t.Errorf("operator %d has no function", o.OID)
		}
	}
}

func TestNames(t *testing.T) {
	c := thing(t)
	names := c.Names([]string{System, Public})
	for _, test := range []struct {
		reg        types.OID
		text, want string
	}{
		{types.RegClass, "pg_class", "pg_class"}, {types.RegClass, "pg_catalog.pg_class", "pg_class"}, {types.RegClass, "information_schema.columns", "information_schema.columns"},
		{types.RegClass, `public."thing"`, "thing"}, {types.RegClass, "THING", "thing"}, {types.RegClass, "thing_pkey", "thing_pkey"},
		{types.RegType, "int4", "integer"}, {types.RegType, "int8[]", "bigint[]"}, {types.RegType, "timestamp(3) with time zone", "timestamp with time zone"},
		{types.RegType, "thing", "thing"}, {types.RegType, `"char"`, `"char"`}, {types.RegType, "char", "character"}, {types.RegType, "information_schema.yes_or_no", "information_schema.yes_or_no"},
		{types.RegProc, "boolin", "boolin"}, {types.RegProcedure, "lower(text)", "lower(text)"}, {types.RegNamespace, "pg_catalog", "pg_catalog"},
		{types.RegRole, "pgcache", "pgcache"}, {types.RegRole, "pg_monitor", "pg_monitor"}, {types.RegOperator, "=(integer,integer)", "=(integer,integer)"},
	} {
		oid, err := names.Find(test.reg, test.text)
		if err != nil {
			t.Errorf("%s %q: %v", test.reg, test.text, err)
			continue
		}
		if got, _ := names.Show(test.reg, oid); got != test.want {
			t.Errorf("%s %q is shown as %q, want %q", test.reg, test.text, got, test.want)
		}
	}
	for reg, text := range map[types.OID]string{types.RegClass: "nothing", types.RegType: "nothing", types.RegProc: "lower", types.RegRole: "nobody", types.RegNamespace: "x"} {
		if _, err := names.Find(reg, text); err == nil {
			t.Errorf("%s %q exists", reg, text)
		}
	}
}

func TestViewsParse(t *testing.T) {
	c := thing(t)
	n := 0
	for _, r := range c.relations().byOID {
		if r.View == "" {
			continue
		}
		n++
		if _, err := pg_query.Parse(r.View); err != nil {
			t.Errorf("%s.%s: %v\n%s", r.Schema, r.Name, err, r.View)
		}
	}
	if files := len(c.relations().byOID); n < 60 {
		t.Errorf("%d views among %d relations", n, files)
	}
}

func TestQuoteIdentifier(t *testing.T) {
	for in, want := range map[string]string{"a": "a", "A": `"A"`, "select": `"select"`, "abort": "abort", `a"b`: `"a""b"`, "1a": `"1a"`, "": `""`, "int": `"int"`, "user": `"user"`} {
		if got := QuoteIdentifier(in); got != want {
			t.Errorf("%s is quoted as %s", in, got)
		}
	}
	if len(Keywords()) < 450 || !strings.Contains(keywordLines, "select R") {
		t.Error("the keywords are not all there")
	}
}

func BenchmarkNew(b *testing.B) {
	for b.Loop() {
		if c := thing(b); c == nil {
			b.Fatal()
		}
	}
}

func BenchmarkFirstQuery(b *testing.B) {
	for b.Loop() {
		c := thing(b)
		c.Operators(System, "=")
	}
}

// TestCatalogIsSmall bounds what the catalog keeps once queries have used all of its indexes.
func TestCatalogIsSmall(t *testing.T) {
	const bytesMax = 20 << 20
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	c := thing(t)
	c.Operators(System, "=")
	c.Cast(types.Int4, types.Int8)
	for _, table := range []string{"pg_class", "pg_attribute", "pg_proc", "pg_type", "pg_depend", "pg_operator", "pg_collation"} {
		_ = len(rowsOf(t, c, table))
	}
	used := heap() - before
	t.Logf("%d KiB", used>>10)
	if used > bytesMax {
		t.Errorf("the catalog takes %d bytes, at most %d", used, bytesMax)
	}
	runtime.KeepAlive(c)
}
