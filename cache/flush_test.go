package cache

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
)

// countingTier counts what a flush could cost, and holds namespace writes back.
type countingTier struct {
	*memTier
	writes, scans, namespaces atomic.Int64
	hold                      chan struct{} // not nil: PutNamespace waits for it
}

func (t *countingTier) Write(ctx context.Context, ops []TierOp, sync bool) error {
	t.writes.Add(1)
	return t.memTier.Write(ctx, ops, sync)
}

func (t *countingTier) ScanLabel(ctx context.Context, label Label, visit func(*Record) bool) error {
	t.scans.Add(1)
	return t.memTier.ScanLabel(ctx, label, visit)
}

func (t *countingTier) ScanPrefix(ctx context.Context, ns NamespaceID, prefix []byte, visit func(*Record) bool) error {
	t.scans.Add(1)
	return t.memTier.ScanPrefix(ctx, ns, prefix, visit)
}

func (t *countingTier) PutNamespace(ctx context.Context, row NamespaceRow, old NamespaceID) error {
	t.namespaces.Add(1)
	if t.hold != nil {
		<-t.hold
	}
	return t.memTier.PutNamespace(ctx, row, old)
}

// TestFlushCostsTheSameWhateverItEmpties: one write of the tier, no scan, and nothing done
// entry by entry before it returns.
func TestFlushCostsTheSameWhateverItEmpties(t *testing.T) {
	for _, entries := range []int{1, 20_000} {
		tier := &countingTier{memTier: newMemTier()}
		c := open(t, Config{Tier: tier, L1BytesMax: 16 << 20})
		for i := range entries {
			put(t, c, "n", fmt.Sprint(i), "v", tags("t"))
		}
		settle(t, c)
		writes, namespaces := tier.writes.Load(), tier.namespaces.Load()
		removed := c.counters.l1Entries.Load()
		for _, s := range c.shards { // nothing of it may need a shard's lock
			s.mu.Lock()
		}
		n, existed, err := c.FlushNamespace(background, []byte("n"))
		if got := c.counters.l1Entries.Load(); got != removed {
			t.Errorf("%d entries: %d were removed one by one", entries, removed-got)
		}
		for _, s := range c.shards {
			s.mu.Unlock()
		}
		if n != int64(entries) || !existed || err != nil {
			t.Errorf("%d, %v, %v", n, existed, err)
		}
		if tier.scans.Load() != 0 || tier.writes.Load() != writes || tier.namespaces.Load() != namespaces+1 {
			t.Errorf("%d entries: %d scans, %d writes, %d of namespaces", entries, tier.scans.Load(), tier.writes.Load()-writes, tier.namespaces.Load()-namespaces)
		}
		if _, ok := get(t, c, "n", "0"); ok {
			t.Error("still there")
		}
	}
}

// TestFlushOfOneNamespaceDoesNotHoldUpAnother: its durable write hangs meanwhile.
func TestFlushOfOneNamespaceDoesNotHoldUpAnother(t *testing.T) {
	tier := &countingTier{memTier: newMemTier()}
	c := open(t, Config{Tier: tier})
	for _, ns := range []string{"a", "b"} {
		for i := range 100 {
			put(t, c, ns, fmt.Sprint(i), "v", tags("t"))
		}
	}
	settle(t, c)
	before := tier.namespaces.Load()
	tier.hold = make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if _, _, err := c.FlushNamespace(background, []byte("a")); err != nil {
			t.Error(err)
		}
	}()
	waitFor(t, "the flush", func() bool { return tier.namespaces.Load() == before+1 })
	evictAll(c)
	for i := range 100 {
		wantValue(t, c, "b", fmt.Sprint(i), "v") // from the tier
		wantValue(t, c, "b", fmt.Sprint(i), "v") // from memory
		put(t, c, "b", fmt.Sprint(i), "w")
	}
	must(c.Invalidate(background, K("b", "1")))
	must(c.InvalidateTags(background, []byte("b"), []string{"t"}))
	close(tier.hold)
	<-done
}
