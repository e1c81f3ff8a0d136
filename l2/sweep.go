package l2

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

const (
	// sweepRowsPerSlice is how many expired records are removed by one batch, and
	// sweepSlicesPerTick how many batches there are in one tick.
	sweepRowsPerSlice  = 500
	sweepSlicesPerTick = 100
)

// sweepNoLaterThan makes the next sweep begin at the deadline at the latest. Sweeps begin
// where the last one ended, because below lie only tombstones.
func (s *Store) sweepNoLaterThan(order uint64) {
	for {
		from := s.sweepFrom.Load()
		if from <= order || s.sweepFrom.CompareAndSwap(from, order) {
			return
		}
	}
}

// sweep removes records whose deadline has passed, a bounded number of them.
func (s *Store) sweep(ctx context.Context) error {
	nowMs := s.cfg.Now().UnixMilli()
	end := expiryOrder(nowMs) + 1
	// A record written from here on with a deadline before end moves sweepFrom back again.
	from := s.sweepFrom.Swap(end)
	for slice := 0; from < end; slice++ {
		if slice == s.sweepSlices || s.overloaded() {
			s.sweepNoLaterThan(from)
			return nil
		}
		next, _, err := s.sweepSlice(ctx, from, end, nowMs, sweepRowsPerSlice)
		if err != nil {
			s.sweepNoLaterThan(from)
			return err
		}
		from = next
	}
	return nil
}

// Sweep implements cache.Tier.
func (s *Store) Sweep(ctx context.Context, limits cache.SweepLimits) (result cache.SweepResult, err error) {
	if err := s.enter(); err != nil {
		return result, err
	}
	defer s.leave()
	start := time.Now()
	nowMs := s.cfg.Now().UnixMilli()
	end := expiryOrder(nowMs) + 1
	from := s.sweepFrom.Swap(end) // as sweep does
	defer func() { s.sweepNoLaterThan(from) }()
	for from < end {
		left := limits.EntriesMax - result.Scanned
		if left <= 0 || time.Since(start) >= limits.Duration {
			result.Truncated = true
			break
		}
		var counts []sweepCount
		if from, counts, err = s.sweepSlice(ctx, from, end, nowMs, int(min(left, sweepRowsPerSlice))); err != nil {
			return result, err
		}
		for _, c := range counts {
			result.Add(c.ns, c.SweepCount)
		}
	}
	result.Elapsed = time.Since(start)
	return result, nil
}

// sweepCount is what a slice did for one x row.
type sweepCount struct {
	ns cache.NamespaceID
	cache.SweepCount
}

// sweepSlice removes expired records of at most rowsMax x rows and returns the order to go
// on at.
func (s *Store) sweepSlice(ctx context.Context, from, end uint64, nowMs int64, rowsMax int) (uint64, []sweepCount, error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendUint64([]byte{kindExpiry}, from),
		UpperBound: appendUint64([]byte{kindExpiry}, end),
	})
	if err != nil {
		return from, nil, fmt.Errorf("l2: sweep: %w", err)
	}
	var rows [][]byte
	next := end
	for valid := iter.First(); valid; valid = iter.Next() {
		key := append([]byte(nil), iter.Key()...)
		if len(rows) == rowsMax {
			next, _, _ = splitOrderedKey(nil, key)
			break
		}
		rows = append(rows, key)
	}
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return from, nil, fmt.Errorf("l2: sweep: %w", err)
	}
	if len(rows) == 0 {
		return end, nil, nil
	}
	// The committer may still be at it when submit has given up: then counts is its own.
	counts := make([]sweepCount, 0, len(rows))
	err = s.submit(ctx, &request{ops: len(rows), emit: func(g *group) error {
		for _, key := range rows {
			before, had := g.bytes, len(g.removed)
			ns, err := g.expireRow(key, nowMs)
			if err != nil {
				return err
			}
			if ns != 0 {
				counts = append(counts, sweepCount{ns, cache.SweepCount{Scanned: 1, Removed: int64(len(g.removed) - had), Bytes: before - g.bytes}})
			}
		}
		return nil
	}})
	if err != nil {
		return from, nil, err
	}
	return next, counts, nil
}

// expireRow removes the x row and, if it still has that deadline, its record. It returns
// the record's namespace, zero if there is no such record any more.
func (g *group) expireRow(key []byte, nowMs int64) (cache.NamespaceID, error) {
	order, recordKey, ok := splitOrderedKey(nil, key)
	if !ok {
		g.delete(key)
		return 0, nil
	}
	ns, _ := splitRecordKey(recordKey)
	if g.s.usage.of(ns) == nil {
		g.delete(key)
		return 0, nil
	}
	h, _, err := g.find(recordKey)
	if err != nil {
		return 0, err
	}
	if h == nil {
		g.delete(key)
		return 0, nil
	}
	if deadline, ok := h.deadlineMs(); !ok || expiryOrder(deadline) != order {
		g.delete(key)
		return 0, nil
	}
	if !h.expired(nowMs) {
		return ns, nil
	}
	if latest := g.s.latestAccess(recordKey, h); h.attrs.StateAt(nowMs, latest) != cache.Dead {
		return ns, g.noteAccess(recordKey, access{h.seq, latest})
	}
	g.removeOwn(recordKey, h)
	g.expirations++
	return ns, nil
}
