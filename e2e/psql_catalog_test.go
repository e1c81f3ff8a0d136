package e2e

import (
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// backslashes are commands of psql that describe, and what they show of pgcache. Lines
// that grow with pgcache's columns and functions are checked by their beginnings.
var backslashes = []struct {
	command string
	shows   []string // lines, in this order
}{
	{`\d`, []string{" Schema |       Name       | Type  |  Owner  ", " public | blob             | table | pgcache", " public | cache_entries    | table | pgcache", " public | cache_namespaces | table | pgcache", " public | cache_stats      | table | pgcache"}},
	{`\dt`, []string{" public | blob             | table | pgcache"}},
	{`\dt+ blob`, []string{"| Persistence | Access method |", " public | blob | table | pgcache | permanent   | heap          | N | the cache itself: an entry a row"}},
	{`\d blob`, []string{`               Table "public.blob"`, " ns                 | text                     |           | not null | ", " value              | bytea                    |           |          | ", " tags               | text[]                   |           |          | ", "Indexes:", `    "blob_pkey" PRIMARY KEY, btree (ns, key)`}},
	{`\d+ blob`, []string{" ns                 | text                     |           | not null |         | extended |", `    "blob_pkey" PRIMARY KEY, btree (ns, key)`, "Access method: heap"}},
	{`\d blob_pkey`, []string{`  Index "public.blob_pkey"`, " ns     | text | yes  | ns", " key    | text | yes  | key", `primary key, btree, for table "public.blob"`}},
	{`\d cache_namespaces`, []string{" ns             | text                     |           | not null | ", `    "cache_namespaces_pkey" PRIMARY KEY, btree (ns)`}},
	{`\d pg_class`, []string{`                     Table "pg_catalog.pg_class"`, " relname             | name         |           | not null | ", `    "pg_class_oid_index" PRIMARY KEY, btree (oid)`}},
	{`\d pg_tables`, []string{`            View "pg_catalog.pg_tables"`, " schemaname  | name    |           |          | "}},
	{`\di`, []string{" public | blob_pkey             | index | pgcache | blob", " public | cache_namespaces_pkey | index | pgcache | cache_namespaces"}},
	{`\dv`, []string{"Did not find any relations."}},
	{`\l`, []string{" pgcache | pgcache | UTF8     | C       | C     |"}},
	{`\dn`, []string{"  Name  |       Owner       ", " public | pg_database_owner"}},
	{`\df invalidate_*`, []string{" public | invalidate_key          | bigint           | ns text, key text, OUT invalidated bigint", " public | invalidate_tags         | bigint           | ns text, VARIADIC tags text[], OUT invalidated bigint"}},
	{`\df lower`, []string{" pg_catalog | lower | anyelement       | anyrange", " pg_catalog | lower | text             | text"}},
	{`\sf invalidate_tags`, []string{"CREATE OR REPLACE FUNCTION public.invalidate_tags(ns text, VARIADIC tags text[], OUT invalidated bigint)", " RETURNS bigint"}},
	{`\du`, []string{" pgcache           | Superuser, Bypass RLS | {pgcache_admin}", " pgcache_readwrite | Cannot login "}},
	{`\dp blob`, []string{" public | blob | table | pgcache=arwdDxtm/pgcache", "pgcache_readwrite=arwdD/pgcache"}},
	{`\dT+ int4`, []string{" pg_catalog | integer | int4          | 4    |"}},
	{`\dT uuid`, []string{" pg_catalog | uuid |"}},
	{`\db`, []string{" pg_default | pgcache | "}},
	{`\dC int4`, []string{" integer          | bigint           | int8               | yes"}},
	{`\do ||`, []string{" pg_catalog | ||   | text"}},
	{`\dconfig work_mem`, []string{" work_mem  | 4MB"}},
	{`\dx`, []string{"List of installed extensions"}},
	{`\dO ucs_basic`, []string{" pg_catalog | ucs_basic |"}},
	{`\dA`, []string{" btree  | Index"}},
	{`\drds`, []string{"Did not find any settings."}},
	{`\dRp`, []string{"List of publications"}},
	{`\des`, []string{"List of foreign servers"}},
	{`\dF english`, []string{" pg_catalog | english |"}},
	{`\dL`, []string{"List of languages"}}, // none but those of functions: there is no DO
	{`\dy`, []string{"List of event triggers"}},
	{`\ddp`, []string{"Default access privileges"}},
	{`\conninfo`, []string{`You are connected to database "pgcache" as user "pgcache" on host`}},
	{`\d nothing`, []string{`Did not find any relation named "nothing".`}},
}

func TestPsqlBackslashCommands(t *testing.T) {
	if out, _ := exec.Command("psql", "--version").Output(); !strings.Contains(string(out), " 15.") {
		t.Logf("psql is %s; what it shows was written down with 15", out)
	}
	s := start(t)
	s.psql(t, `INSERT INTO blob (ns, key, value) VALUES ('web', 'home', 'hello')`)
	sizes := regexp.MustCompile(`\| \d+ (bytes|kB|MB) +\|`)
	blanks := regexp.MustCompile(` +`) // columns are as wide as their contents, which grow
	for _, test := range backslashes {
		stdout, stderr := s.psql(t, test.command)
		got := sizes.ReplaceAllString(stdout+stderr, "| N |")
		rest := blanks.ReplaceAllString(got, " ")
		for _, line := range test.shows {
			_, after, found := strings.Cut(rest, strings.TrimRight(blanks.ReplaceAllString(line, " "), " "))
			if !found {
				t.Errorf("%s shows\n%s\nwithout (or not in this order)\n%s", test.command, got, line)
				break
			}
			rest = after
		}
		if strings.Contains(stderr, "ERROR") {
			t.Errorf("%s: %s", test.command, stderr)
		}
	}
}

// TestClientsCorpus runs the statements of testdata/clients, which BI tools and drivers
// send, on pgcache and on PostgreSQL: all must run, and the columns and rows be the same
// where they are about the same things.
func TestClientsCorpus(t *testing.T) {
	compat := exec.Command("go", "run", "pgcache/e2e/compat", "-server", binary, "-corpus", "../testdata/clients", "-v", "-min", "100")
	out, err := compat.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "  ") && strings.Contains(line, ": column ") {
			t.Errorf("a column is not PostgreSQL's:%s", line)
		}
	}
}
