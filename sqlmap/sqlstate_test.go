package sqlmap

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"strings"
	"testing"

	"pgcache/cache"
	"pgcache/pgwire"
)

// cacheErrors has a row for every error that package cache exports.
var cacheErrors = map[string]struct {
	err  error
	code pgwire.Code
}{
	"ErrClosed":     {cache.ErrClosed, pgwire.CodeAdminShutdown},
	"ErrTierBusy":   {cache.ErrTierBusy, pgwire.CodeDiskFull},
	"ErrTierIO":     {cache.ErrTierIO, pgwire.CodeIOError},
	"ErrTierFull":   {cache.ErrTierFull, pgwire.CodeDiskFull},
	"ErrNoTier":     {cache.ErrNoTier, pgwire.CodeFeatureNotSupported},
	"ErrNoRoom":     {cache.ErrNoRoom, pgwire.CodeDiskFull},
	"LimitError":    {&cache.LimitError{What: "value", Unit: "bytes", Got: 2, Max: 1, Setting: "max_blob_bytes"}, pgwire.CodeProgramLimitExceeded},
	"QuotaError":    {&cache.QuotaError{What: "namespaces", Max: 1}, pgwire.CodeConfigurationLimitExceeded},
	"VersionError":  {&cache.VersionError{Stored: 2, Offered: 1}, pgwire.CodeObjectNotInPrerequisiteState},
	"LeaseError":    {&cache.LeaseError{Lease: 1, Why: "is unknown"}, pgwire.CodeObjectNotInPrerequisiteState},
	"ArgumentError": {&cache.ArgumentError{What: "key", Why: "must not be empty"}, pgwire.CodeInvalidParameterValue},
}

func TestEveryCacheErrorHasASQLSTATE(t *testing.T) {
	set := token.NewFileSet()
	packages, err := parser.ParseDir(set, "../cache", func(f fs.FileInfo) bool { return !strings.HasSuffix(f.Name(), "_test.go") }, 0)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for _, p := range packages {
		for _, file := range p.Files {
			for name, object := range file.Scope.Objects {
				isSentinel := object.Kind == ast.Var && strings.HasPrefix(name, "Err")
				isType := object.Kind == ast.Typ && strings.HasSuffix(name, "Error")
				if !ast.IsExported(name) || !isSentinel && !isType {
					continue
				}
				found++
				if _, ok := cacheErrors[name]; !ok {
					t.Errorf("cache.%s has no SQLSTATE: add it to wireError and to this table", name)
				}
			}
		}
	}
	if found != len(cacheErrors) {
		t.Errorf("found %d errors, the table has %d", found, len(cacheErrors))
	}
	for name, row := range cacheErrors {
		var e *pgwire.Error
		if !errors.As(wireError(fmt.Errorf("wrapped: %w", row.err)), &e) || e.Code != row.code || e.Message == "" || e.Detail == "" && e.Hint == "" && name != "ErrClosed" && name != "ArgumentError" {
			t.Errorf("cache.%s becomes %+v, want %s with numbers or a hint", name, e, row.code)
		}
	}
	if other := errors.New("other"); wireError(other) != other {
		t.Error("errors that are not the cache's must stay what they are")
	}
}
