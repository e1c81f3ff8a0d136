package l2

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// snapshots are the open ones, which Pebble wants closed before the database is.
type snapshots struct {
	mu   sync.Mutex
	open map[*snapshot]struct{}
}

// snapshot implements cache.TierSnapshot. Between calls it pins a sequence number of
// Pebble's, no memory and no file: what is deleted meanwhile stays on disk until its Close.
type snapshot struct {
	store *Store
	once  sync.Once
	db    *pebble.Snapshot
}

// Snapshot implements cache.Tier.
func (s *Store) Snapshot() (cache.TierSnapshot, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if s.health.blind.Load() {
		return &snapshot{store: s}, nil
	}
	db, ok := unlessBlind(s, s.db.NewSnapshot)
	if !ok {
		return &snapshot{store: s}, nil
	}
	x := &snapshot{store: s, db: db}
	s.snapshots.mu.Lock()
	defer s.snapshots.mu.Unlock()
	if s.snapshots.open == nil {
		s.snapshots.open = map[*snapshot]struct{}{}
	}
	s.snapshots.open[x] = struct{}{}
	return x, nil
}

// Close implements cache.TierSnapshot. It does not wait for Pebble, which picks compactions
// then, and for that waits for its manifest, and so for the disk.
func (x *snapshot) Close() {
	if x.store.enter() != nil {
		return // Store.Close closes it
	}
	go func() {
		defer x.store.leave()
		x.close()
	}()
}

func (x *snapshot) close() {
	x.once.Do(func() {
		x.store.snapshots.mu.Lock()
		delete(x.store.snapshots.open, x)
		x.store.snapshots.mu.Unlock()
		if !x.store.health.blind.Load() {
			_ = x.db.Close() // its error says that it was closed before
		}
	})
}

// closeSnapshots closes those that are open. REQUIRES: no call is inside the store.
func (s *Store) closeSnapshots() {
	s.snapshots.mu.Lock()
	open := make([]*snapshot, 0, len(s.snapshots.open))
	for x := range s.snapshots.open {
		open = append(open, x)
	}
	s.snapshots.mu.Unlock()
	for _, x := range open {
		x.close()
	}
}

// Scan implements cache.TierSnapshot. The snapshot says which keys there are, an iterator
// beside it over the present state what their records are.
func (x *snapshot) Scan(ctx context.Context, ns cache.NamespaceID, lower, upper []byte, descending bool, visit func(*cache.Record) bool) error {
	s := x.store
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	switch {
	case s.usage.of(ns) == nil || x.db == nil:
		return nil // flushed, or there was nothing that may be read
	case s.health.blind.Load():
		return fmt.Errorf("l2: scan: %w", ErrDegraded)
	}
	hidden, written := s.marks.hidden(), s.accesses.written.Load()
	options := &pebble.IterOptions{LowerBound: appendRecordKey(nil, ns, lower), UpperBound: appendRecordKey(nil, ns, upper)}
	if upper == nil {
		options.UpperBound = appendSuccessor(nil, appendRecordKey(nil, ns, nil))
	}
	keys, err := x.db.NewIter(options)
	if err != nil {
		return fmt.Errorf("l2: scan: %w", err)
	}
	records, err := s.db.NewIter(options)
	if err != nil {
		return fmt.Errorf("l2: scan: %w", errors.Join(err, keys.Close()))
	}
	err = s.scanSnapshot(ctx, keys, records, descending, hidden, written, visit)
	if err = errors.Join(err, s.closeIter(records), s.closeIter(keys)); err != nil {
		return fmt.Errorf("l2: scan: %w", err)
	}
	return nil
}

func (s *Store) scanSnapshot(ctx context.Context, keys, records *pebble.Iterator, descending bool, hidden hidden, written int64, visit func(*cache.Record) bool) error {
	first, next, seek := keys.First, keys.Next, records.SeekGE
	if descending {
		first, next = keys.Last, keys.Prev
	}
	var record cache.Record
	seen := 0
	for valid := first(); valid; valid = next() {
		if seen++; seen%scanCheckEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		recordKey := keys.Key()
		ns, key := splitRecordKey(recordKey)
		record = cache.Record{Namespace: ns, Key: key}
		if seek(recordKey) && string(records.Key()) == string(recordKey) {
			row, err := records.ValueAndErr()
			if err != nil {
				return err
			}
			h, err := decodeHeader(recordKey, row)
			if err != nil {
				s.removeDamaged(recordKey, h.seq, err)
				continue
			}
			if !hidden.covers(recordKey, h.seq) { // else the key has none any more
				s.raiseAccess(recordKey, &h, written)
				h.describe(recordKey, &record)
			}
		}
		if err := records.Error(); err != nil {
			return err
		}
		if !visit(&record) {
			return nil
		}
	}
	return keys.Error()
}
