package library

import (
	"testing"

	"pgcache/sqlmap/catalog"
)

// TestEverySignatureIsKnown: code that no row of pg_proc names would never be called.
func TestEverySignatureIsKnown(t *testing.T) {
	all := All()
	c, err := catalog.New(catalog.Config{Library: all})
	if err != nil {
		t.Fatal(err)
	}
	used := c.Implemented()
	seen := make(map[string]bool)
	for _, f := range all {
		if f.Construct != nil {
			continue // of no name
		}
		if seen[f.Signature] {
			t.Errorf("%s is there twice", f.Signature)
		}
		seen[f.Signature] = true
		if !used[f.Signature] {
			t.Errorf("pg_proc has no %s", f.Signature)
		}
	}
	t.Logf("%d implementations", len(all))
}
