package l2

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
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
		next, err := s.sweepSlice(ctx, from, end, nowMs)
		if err != nil {
			s.sweepNoLaterThan(from)
			return err
		}
		from = next
	}
	return nil
}

// sweepSlice removes expired records of some x rows and returns the order to go on at.
func (s *Store) sweepSlice(ctx context.Context, from, end uint64, nowMs int64) (next uint64, err error) {
	iter, err := s.db.NewIter(&pebble.IterOptions{
		LowerBound: appendUint64([]byte{kindExpiry}, from),
		UpperBound: appendUint64([]byte{kindExpiry}, end),
	})
	if err != nil {
		return from, fmt.Errorf("l2: sweep: %w", err)
	}
	var rows [][]byte
	next = end
	for valid := iter.First(); valid; valid = iter.Next() {
		key := append([]byte(nil), iter.Key()...)
		if len(rows) == sweepRowsPerSlice {
			next, _, _ = splitOrderedKey(nil, key)
			break
		}
		rows = append(rows, key)
	}
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return from, fmt.Errorf("l2: sweep: %w", err)
	}
	if len(rows) == 0 {
		return end, nil
	}
	err = s.submit(ctx, &request{ops: len(rows), emit: func(g *group) error {
		for _, key := range rows {
			if err := g.expireRow(key, nowMs); err != nil {
				return err
			}
		}
		return nil
	}})
	return next, err
}

// expireRow removes the x row and, if it still has that deadline, its record.
func (g *group) expireRow(key []byte, nowMs int64) error {
	order, recordKey, ok := splitOrderedKey(nil, key)
	if !ok {
		g.delete(key)
		return nil
	}
	ns, _ := splitRecordKey(recordKey)
	if g.s.usage.of(ns) == nil {
		g.delete(key)
		return nil
	}
	h, _, err := g.find(recordKey)
	if err != nil {
		return err
	}
	if h == nil {
		g.delete(key)
		return nil
	}
	if deadline, ok := h.deadlineMs(); !ok || expiryOrder(deadline) != order {
		g.delete(key)
		return nil
	}
	if h.expired(nowMs) {
		g.removeOwn(recordKey, h)
		g.expirations++
	}
	return nil
}
