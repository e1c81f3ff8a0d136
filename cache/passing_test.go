package cache

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"testing"
)

// smallL1 is the smallest L1 there is: an eighth of it is 128 KiB.
func smallL1(t *testing.T, tier *memTier) *Cache {
	return open(t, Config{L1BytesMax: l1BytesMin, Tier: tier})
}

func large(seed byte, n int) string { return string(bytes.Repeat([]byte{seed}, n)) }

// Values larger than L1 are stored in the tier, and read from there, without displacing
// anything.
func TestValuesTooLargeForL1(t *testing.T) {
	tier := newMemTier()
	c := smallL1(t, tier)
	put(t, c, "n", "small", "v")
	settle(t, c)
	for i, n := range []int{200 << 10, 1 << 20, 3 << 20} {
		key := fmt.Sprint("large", i)
		for round := range byte(3) {
			value := large('a'+round, n)
			put(t, c, "n", key, value, func(d *Draft) { d.Admission = Admission(round) })
			tier.mu.Lock()
			r := tier.live.records[memKey{c.generationOf([]byte("n")).id, key}]
			tier.mu.Unlock()
			if string(r.Value) != value {
				t.Errorf("%d bytes: not in the tier when the put has returned", n)
			}
			for range 3 {
				wantValue(t, c, "n", key, value)
			}
			var h Hit
			if ok, err := c.Peek(background, K("n", key), &h); !ok || err != nil || h.Tiers() != InL2 {
				t.Errorf("%d bytes: %v, %v, in %v", n, ok, err, h.Tiers())
			}
			h.Release()
		}
	}
	if s := c.Stats(); s.L1Entries != 1 || s.Evictions != 0 {
		t.Errorf("%d entries in memory, %d evictions", s.L1Entries, s.Evictions)
	}
	if ok, err := c.Invalidate(background, K("n", "large2")); !ok || err != nil {
		t.Error(ok, err)
	}
	if _, ok := get(t, c, "n", "large2"); ok {
		t.Error("still there")
	}
	put(t, c, "n", "large1", "small now")
	wantValue(t, c, "n", "large1", "small now")
	if got := c.passing.Load(); got != 0 {
		t.Errorf("%d bytes are on their way", got)
	}
	validate(t, c)
}

// In a block, too; but only one at a time that does not fit a part of L1.
func TestBlocksWithValuesTooLargeForL1(t *testing.T) {
	c := smallL1(t, newMemTier())
	one := large('x', 2<<20)
	if err := c.Commit(background, &Block{Updates: []KeyUpdate{writeOf("n", "a", one), writeOf("n", "b", "v")}}); err != nil {
		t.Fatal(err)
	}
	wantValue(t, c, "n", "a", one)
	wantValue(t, c, "n", "b", "v")
	var limit *LimitError
	if err := c.Commit(background, &Block{Updates: []KeyUpdate{writeOf("n", "a", "new"), writeOf("n", "c", one), writeOf("n", "d", one)}}); !errors.As(err, &limit) {
		t.Errorf("two of them: %v", err)
	}
	wantValue(t, c, "n", "a", one)
	if got := c.passing.Load(); got != 0 {
		t.Errorf("%d bytes are on their way", got)
	}
	validate(t, c)
}

// A tier that rejects one, or fails, leaves the key absent and says so.
func TestRefusedValuesTooLargeForL1(t *testing.T) {
	tier := newMemTier()
	c := smallL1(t, tier)
	put(t, c, "n", "k", large('a', 200<<10))
	tier.fail.Store(true)
	d := NewDraft([]byte(large('b', 200<<10)))
	if _, err := c.Put(background, K("n", "k"), &d); !errors.Is(err, ErrTierIO) {
		t.Errorf("%v", err)
	}
	tier.fail.Store(false)
	settle(t, c)
	wantValue(t, c, "n", "k", large('b', 200<<10)) // it was tried again
	if got := c.passing.Load(); got != 0 {
		t.Errorf("%d bytes are on their way", got)
	}
	validate(t, c)
}

// Many at a time wait for one another, and memory stays bounded.
func TestManyValuesTooLargeForL1(t *testing.T) {
	c := smallL1(t, newMemTier())
	var wait sync.WaitGroup
	var most int64
	for i := range 8 {
		wait.Go(func() {
			for j := range 20 {
				put(t, c, "n", fmt.Sprint(i), large(byte(j), 300<<10))
				wantValue(t, c, "n", fmt.Sprint(i), large(byte(j), 300<<10))
				if i == 0 {
					most = max(most, c.passing.Load())
				}
			}
		})
	}
	wait.Wait()
	settle(t, c)
	if most > 310<<10 { // a quarter of L1 is less than one
		t.Errorf("%d bytes at one time", most)
	}
	validate(t, c)
}
