// Package pgcache_test checks the rules of the house that a compiler does not: which room
// may import which, one package comment each, functions and files that fit a head, no
// hidden state. Every exception stands in a table below with its reason.
package pgcache_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	module           = "pgcache"
	functionLinesMax = 70
	fileLinesMax     = 600
)

// rooms lists what each package may import beyond the standard library. A room's
// sub-packages fall under its row unless they have their own; a pattern ending in /...
// matches what is below it too. A row is a decision: see docs/architecture.md.
var rooms = map[string][]string{
	".": {},
	"cache": {"pgcache/cache/...", "golang.org/x/sys/unix",
		"github.com/HdrHistogram/hdrhistogram-go"},
	"l2": {"pgcache/cache", "github.com/cockroachdb/pebble/v2/...", "github.com/klauspost/compress/zstd",
		"github.com/cockroachdb/errors", // Pebble's error marks are invisible to the standard errors.Is
	},
	"pgwire":          {"pgcache/pgwire/scram", "github.com/jackc/pgx/v5/pgproto3", "golang.org/x/sys/unix"},
	"pgwire/scram":    {"github.com/xdg-go/stringprep"},
	"pgwire/wiretest": {"pgcache/pgwire", "github.com/jackc/pgx/v5/pgproto3"},
	"sqlmap": {"pgcache/cache", "pgcache/pgwire", "pgcache/sqlmap/...", "github.com/pganalyze/pg_query_go/v5/...", "github.com/dlclark/regexp2/v2",
		"google.golang.org/protobuf/...", // pg_query's parse tree is made of protobuf messages
	},
	"sqlmap/catalog/generate": {"pgcache/sqlmap/...",
		"github.com/jackc/pgx/v5/pgconn", // reads a running PostgreSQL; not linked into the product
	},
	"cmd/pgcache": {"pgcache/cache", "pgcache/l2", "pgcache/pgwire", "pgcache/pgwire/scram", "pgcache/sqlmap", "golang.org/x/term", "github.com/prometheus/client_golang/...",
		"github.com/alecthomas/kong", "gopkg.in/yaml.v3", "github.com/dustin/go-humanize"},
	"e2e":                {"pgcache/e2e/realpostgres", "pgcache/e2e/nearcache", "github.com/jackc/pgx/v5/..."},
	"e2e/realpostgres":   {},
	"e2e/compat":         {"pgcache/e2e/realpostgres", "github.com/jackc/pgx/v5/..."},
	"e2e/capture":        {"github.com/jackc/pgx/v5/..."},
	"e2e/clients/pgx":    {"github.com/jackc/pgx/v5/..."},
	"e2e/clients/golang": {"github.com/lib/pq"},
	"e2e/soak":           {"github.com/jackc/pgx/v5/pgproto3"},
	"e2e/nearcache":      {"github.com/jackc/pgx/v5/..."},
	"e2e/bench":          {"pgcache/e2e/realpostgres", "pgcache/pgwire/...", "github.com/jackc/pgx/v5/..."},
	"e2e/inprocess": {"pgcache/cache", // beside its rivals; tests only
		"github.com/maypok86/otter/v2", "github.com/dgraph-io/ristretto/v2", "github.com/coocood/freecache", "github.com/allegro/bigcache/v3"},
	"e2e/traces": {"pgcache/cache/eviction/...", "github.com/klauspost/compress/zstd", "github.com/ulikunitz/xz",
		"github.com/maypok86/otter/v2", // the policy that ours are compared with
	},
}

// testImports may be imported by the tests of any room, besides its own row.
var testImports = []string{
	"pgcache/pgwire/wiretest", "github.com/cockroachdb/datadriven", "go.uber.org/goleak", "pgregory.net/rapid",
	"github.com/jackc/pgx/v5/...", "github.com/cockroachdb/pebble/v2/...", "golang.org/x/sys/unix",
}

// roomTestImports are what the tests of one room may import besides, with the reason.
var roomTestImports = map[string]map[string]string{
	"cache":  {"pgcache/l2": "the promises of the cache are about both tiers together"},
	"sqlmap": {"pgcache/l2": "a scan means the same with a disk tier and without"},
}

// testSupport are packages that are no tests but may import testing, with the reason.
var testSupport = map[string]string{}

// longFiles may exceed fileLinesMax, with the reason.
var longFiles = map[string]string{}

// longFunctions may exceed functionLinesMax, with the reason; named folder.Function.
var longFunctions = map[string]string{}

// mutableVariables are package-level variables that change, with the reason.
var mutableVariables = map[string]string{
	"cmd/pgcache.version": "the linker sets it",
}

// sleepingTests may call time.Sleep, with the reason.
var sleepingTests = map[string]string{}

// vagueNames say nothing about what is in a package.
var vagueNames = []string{"util", "utils", "common", "helper", "helpers", "manager", "misc"}

// file is a parsed Go file.
type file struct {
	path   string // from the repository's root, with slashes
	source []byte
	tree   *ast.File
}

func (f *file) folder() string { return path.Dir(f.path) }
func (f *file) isTest() bool   { return strings.HasSuffix(f.path, "_test.go") }

// house is all Go files of the repository.
type house struct {
	set   *token.FileSet
	files []*file
}

func (h *house) at(p token.Pos) string {
	position := h.set.Position(p)
	return fmt.Sprintf("%s:%d", position.Filename, position.Line)
}

// folders groups the files by folder.
func (h *house) folders() map[string][]*file {
	folders := make(map[string][]*file)
	for _, f := range h.files {
		folders[f.folder()] = append(folders[f.folder()], f)
	}
	return folders
}

func openHouse(t *testing.T) *house {
	t.Helper()
	h := &house{set: token.NewFileSet()}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := entry.Name()
		if entry.IsDir() && name != "." && (strings.HasPrefix(base, ".") || base == "node_modules" || base == "testdata" || base == "data") {
			return filepath.SkipDir
		}
		if entry.IsDir() || filepath.Ext(base) != ".go" {
			return nil
		}
		source, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		slashed := filepath.ToSlash(name)
		tree, err := parser.ParseFile(h.set, slashed, source, parser.ParseComments)
		h.files = append(h.files, &file{path: slashed, source: source, tree: tree})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestImports(t *testing.T) {
	h := openHouse(t)
	for _, f := range h.files {
		room := f.folder()
		for rooms[room] == nil && room != "." {
			room = path.Dir(room)
		}
		if room == "." && f.folder() != "." {
			t.Errorf("%s: no row in rooms for %s: what is it, and what may it import?", f.path, f.folder())
			continue
		}
		allowed := rooms[room]
		if f.isTest() {
			allowed = slices.Concat(allowed, testImports, slices.Collect(maps.Keys(roomTestImports[room])))
		}
		for _, spec := range f.tree.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			isStandard := imported != module && !strings.HasPrefix(imported, module+"/") && !strings.Contains(strings.Split(imported, "/")[0], ".")
			isOwn := f.isTest() && strings.HasPrefix(imported+"/", module+"/"+room+"/")
			if !isStandard && !isOwn && !matches(allowed, imported) {
				t.Errorf("%s: %s must not import %s (see rooms)", h.at(spec.Pos()), f.folder(), imported)
			}
			if imported == "testing" && !f.isTest() && testSupport[f.folder()] == "" {
				t.Errorf("%s: testing is imported outside a test", h.at(spec.Pos()))
			}
		}
	}
}

func matches(patterns []string, imported string) bool {
	return slices.ContainsFunc(patterns, func(p string) bool {
		below, deep := strings.CutSuffix(p, "/...")
		return imported == p || deep && (imported == below || strings.HasPrefix(imported, below+"/"))
	})
}

func TestPackageComments(t *testing.T) {
	for folder, files := range openHouse(t).folders() {
		onlyTests := !slices.ContainsFunc(files, func(f *file) bool { return !f.isTest() })
		var documented []string
		for _, f := range files {
			if f.tree.Doc != nil && (onlyTests || !f.isTest()) {
				documented = append(documented, f.path)
			}
		}
		if len(documented) != 1 {
			t.Errorf("%s: want exactly one package comment, in %v", folder, documented)
		}
		if slices.Contains(vagueNames, path.Base(folder)) {
			t.Errorf("%s: the name says nothing about what is in it", folder)
		}
	}
}

func TestFunctionsAreShort(t *testing.T) {
	h := openHouse(t)
	used := make(map[string]bool)
	for _, f := range h.files {
		for _, declaration := range f.tree.Decls {
			function, ok := declaration.(*ast.FuncDecl)
			if !ok {
				continue
			}
			if function.Name.Name == "init" && function.Recv == nil {
				t.Errorf("%s: init runs where nobody called it; make it a function", h.at(function.Pos()))
			}
			lines := h.set.Position(function.End()).Line - h.set.Position(function.Pos()).Line + 1
			name := f.folder() + "." + function.Name.Name
			if lines <= functionLinesMax || f.isTest() {
				continue
			}
			if used[name] = true; longFunctions[name] == "" {
				t.Errorf("%s: %s has %d lines, at most %d", h.at(function.Pos()), name, lines, functionLinesMax)
			}
		}
	}
	reportUnused(t, "longFunctions", longFunctions, used)
}

func TestFilesAreShortAndFormatted(t *testing.T) {
	used := make(map[string]bool)
	for _, f := range openHouse(t).files {
		formatted, err := format.Source(f.source)
		if err != nil || !bytes.Equal(formatted, f.source) {
			t.Errorf("%s: not formatted by gofmt (%v)", f.path, err)
		}
		lines := bytes.Count(f.source, []byte("\n"))
		if lines <= fileLinesMax || f.isTest() || ast.IsGenerated(f.tree) {
			continue
		}
		if used[f.path] = true; longFiles[f.path] == "" {
			t.Errorf("%s: %d lines, at most %d: split it by concept", f.path, lines, fileLinesMax)
		}
	}
	reportUnused(t, "longFiles", longFiles, used)
}

func reportUnused(t *testing.T, table string, allowed map[string]string, used map[string]bool) {
	t.Helper()
	for name := range allowed {
		if !used[name] {
			t.Errorf("%s has a row for %s, which does not need it", table, name)
		}
	}
}

// TestNoHiddenState allows package-level variables that nothing changes: error values,
// compiled patterns, tables.
func TestNoHiddenState(t *testing.T) {
	h := openHouse(t)
	used := make(map[string]bool)
	for folder, files := range h.folders() {
		variables := packageVariables(files)
		for name, spec := range variables {
			why := ""
			if spec.Values == nil {
				why = "has no value, so something must set it"
			} else if at := changed(files, name, spec); at != token.NoPos {
				why = "is changed at " + h.at(at)
			}
			if why == "" {
				continue
			}
			if used[folder+"."+name] = true; mutableVariables[folder+"."+name] == "" {
				t.Errorf("%s: package variable %s %s: pass it through a Config", h.at(spec.Pos()), name, why)
			}
		}
	}
	reportUnused(t, "mutableVariables", mutableVariables, used)
}

// packageVariables finds the package-level variables of the files that are not tests.
func packageVariables(files []*file) map[string]*ast.ValueSpec {
	variables := make(map[string]*ast.ValueSpec)
	for _, f := range files {
		for _, declaration := range f.tree.Decls {
			group, ok := declaration.(*ast.GenDecl)
			if !ok || group.Tok != token.VAR || f.isTest() {
				continue
			}
			for _, s := range group.Specs {
				spec := s.(*ast.ValueSpec)
				if spec.Values == nil && isEmbedded(group) {
					continue // the compiler sets it
				}
				for _, name := range spec.Names {
					if name.Name != "_" {
						variables[name.Name] = spec
					}
				}
			}
		}
	}
	return variables
}

// isEmbedded reports a variable with a go:embed directive.
func isEmbedded(group *ast.GenDecl) bool {
	return group.Doc != nil && slices.ContainsFunc(group.Doc.List, func(c *ast.Comment) bool { return strings.HasPrefix(c.Text, "//go:embed ") })
}

// changed finds where a package variable is assigned to, counted up or has its address
// taken, by its name; a local variable of the same name is told apart by its declaration.
func changed(files []*file, name string, spec *ast.ValueSpec) token.Pos {
	found := token.NoPos
	check := func(e ast.Expr) {
		if id := root(e); id != nil && id.Name == name && (id.Obj == nil || id.Obj.Decl == spec) {
			found = e.Pos()
		}
	}
	for _, f := range files {
		if f.isTest() {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.AssignStmt:
				if n.Tok != token.DEFINE {
					for _, e := range n.Lhs {
						check(e)
					}
				}
			case *ast.IncDecStmt:
				check(n.X)
			case *ast.UnaryExpr:
				if n.Op == token.AND {
					check(n.X)
				}
			}
			return true
		})
	}
	return found
}

// root is the variable at the bottom of x, x.f, x[i] and *x.
func root(e ast.Expr) *ast.Ident {
	for {
		switch x := e.(type) {
		case *ast.Ident:
			return x
		case *ast.SelectorExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.StarExpr:
			e = x.X
		case *ast.ParenExpr:
			e = x.X
		default:
			return nil
		}
	}
}

// TestTestsAreHonest forbids tests that wait for time to pass or do not run, and notes
// to self.
func TestTestsAreHonest(t *testing.T) {
	h := openHouse(t)
	used := make(map[string]bool)
	for _, f := range h.files {
		for _, group := range f.tree.Comments {
			for _, word := range []string{"TODO", "FIXME", "XXX:"} {
				if strings.Contains(group.Text(), word) && f.path != "layout_test.go" {
					t.Errorf("%s: %s: open an issue and name it, or do it", h.at(group.Pos()), word)
				}
			}
		}
		if !f.isTest() {
			continue
		}
		ast.Inspect(f.tree, func(n ast.Node) bool {
			selector, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			of, _ := selector.X.(*ast.Ident)
			switch name := selector.Sel.Name; {
			case of != nil && of.Name == "time" && name == "Sleep":
				if used[f.path] = true; sleepingTests[f.path] == "" {
					t.Errorf("%s: time.Sleep in a test: wait for an event or use a fake clock", h.at(n.Pos()))
				}
			case name == "Skip" || name == "Skipf" || name == "SkipNow":
				t.Errorf("%s: a test that skips does not test", h.at(n.Pos()))
			}
			return true
		})
	}
	reportUnused(t, "sleepingTests", sleepingTests, used)
}

// TestEveryDependencyHasADecision wants a line in docs/decisions for every module that
// the repository's own files import.
func TestEveryDependencyHasADecision(t *testing.T) {
	decisions, err := filepath.Glob("docs/decisions/*.md")
	if err != nil || len(decisions) == 0 {
		t.Fatalf("no decisions found: %v", err)
	}
	var text strings.Builder
	for _, name := range decisions {
		content, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		text.Write(content)
	}
	modules := make(map[string]bool)
	for _, f := range openHouse(t).files {
		for _, spec := range f.tree.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			parts := strings.Split(imported, "/")
			switch {
			case !strings.Contains(parts[0], "."):
			case parts[0] == "github.com" || parts[0] == "golang.org":
				modules[strings.Join(parts[:min(3, len(parts))], "/")] = true
			default:
				modules[strings.Join(parts[:min(2, len(parts))], "/")] = true
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(modules)) {
		if !strings.Contains(text.String(), name) {
			t.Errorf("docs/decisions says nothing about %s", name)
		}
	}
}
