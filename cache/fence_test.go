package cache

import (
	"errors"
	"fmt"
	"testing"
)

// Invalidations that a broken disk refuses hold, are bounded in number, and are made up for:
// of too many, whole namespaces are invisible until then, or everything.
func TestFencesOfFailedInvalidationsAreBounded(t *testing.T) {
	const namespaces = abandonedFencesMax + 10
	for name, x := range map[string]struct {
		invalidate func(c *Cache, i int) error
		n          int
		hidesOther bool // also what is in a namespace without invalidations
	}{
		"few": {func(c *Cache, i int) error {
			_, err := c.InvalidateTags(background, []byte("n"), []string{fmt.Sprint(i)})
			return err
		}, abandonedFencesMax, false},
		"one namespace": {func(c *Cache, i int) error {
			_, err := c.InvalidateTags(background, []byte("n"), []string{fmt.Sprint(i)})
			return err
		}, 3 * abandonedFencesMax, false},
		"prefixes": {func(c *Cache, i int) error {
			_, err := c.InvalidatePrefix(background, []byte("n"), fmt.Append(nil, i, "/"))
			return err
		}, 2 * abandonedFencesMax, false},
		"all namespaces": {func(c *Cache, i int) error {
			_, err := c.InvalidateDependencies(background, nil, []string{fmt.Sprint(i)})
			return err
		}, 2 * abandonedFencesMax, true},
		"many namespaces": {func(c *Cache, i int) error {
			_, err := c.InvalidateTags(background, fmt.Append(nil, "n", i), []string{"t"})
			return err
		}, namespaces, true},
	} {
		t.Run(name, func(t *testing.T) {
			tier := newMemTier()
			c := open(t, Config{Tier: tier})
			put(t, c, "n", "covered", "v", func(d *Draft) { d.Tags, d.Dependencies = []string{"0"}, []string{"0"} })
			put(t, c, "n", "0/covered", "v", func(d *Draft) { d.Tags, d.Dependencies = []string{"0"}, []string{"0"} })
			put(t, c, "other", "k", "v")
			for i := range namespaces {
				put(t, c, fmt.Sprint("n", i), "covered", "v", func(d *Draft) { d.Tags = []string{"t"} })
			}
			settle(t, c)
			evictAll(c)
			tier.fail.Store(true)
			for i := range x.n {
				if err := x.invalidate(c, i); !errors.Is(err, ErrTierIO) {
					t.Fatalf("invalidation %d: %v", i, err)
				}
				if n := c.fences.count.Load(); n > abandonedFencesMax {
					t.Fatalf("%d fences are up", n)
				}
			}
			check := func(what string) {
				t.Helper()
				if name == "many namespaces" {
					wantAbsent(t, c, "n7", "covered")
				} else {
					wantAbsent(t, c, "n", "0/covered")
				}
				if got, ok := get(t, c, "other", "k"); ok == x.hidesOther || ok && got != "v" {
					t.Errorf("%s: another namespace: %q %v", what, got, ok)
				}
			}
			check("broken")
			tier.fail.Store(false)
			put(t, c, "n", "new", "w", func(d *Draft) { d.Tags, d.Dependencies = []string{"0"}, []string{"0"} })
			c.makeUp(background)
			if n := c.fences.count.Load(); n != 0 {
				t.Errorf("%d fences are up after recovery", n)
			}
			evictAll(c)
			check("recovered")
			settle(t, c)
			evictAll(c)
			wantValue(t, c, "n", "new", "w")
		})
	}
}
