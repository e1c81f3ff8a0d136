package l2

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// scanCheckEvery is how many rows a scan visits between looks at its context.
const scanCheckEvery = 256

// ScanPrefix implements cache.Tier. It visits expired records too, and skips damaged ones.
func (s *Store) ScanPrefix(ctx context.Context, ns cache.NamespaceID, prefix []byte, visit func(*cache.Record) bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.unreadable(); err != nil {
		return fmt.Errorf("l2: scan prefix: %w", err)
	}
	if s.usage.of(ns) == nil {
		return nil
	}
	hidden, written := s.marks.hidden(), s.accesses.written.Load()
	lower := appendRecordKey(nil, ns, prefix)
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: lower, UpperBound: appendSuccessor(nil, lower)})
	if err != nil {
		return fmt.Errorf("l2: scan prefix: %w", err)
	}
	err = s.scanRecords(ctx, iter, hidden, written, visit)
	if err = errors.Join(err, s.closeIter(iter)); err != nil {
		return fmt.Errorf("l2: scan prefix: %w", err)
	}
	return nil
}

// scanRecords visits the m rows within the iterator's bounds.
func (s *Store) scanRecords(ctx context.Context, iter *pebble.Iterator, hidden hidden, written int64, visit func(*cache.Record) bool) error {
	var record cache.Record
	seen := 0
	for valid := iter.First(); valid; valid = iter.Next() {
		if seen++; seen%scanCheckEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		row, err := iter.ValueAndErr()
		if err != nil {
			return err
		}
		h, err := decodeHeader(iter.Key(), row)
		if err != nil {
			s.removeDamaged(iter.Key(), h.seq, err)
			continue
		}
		if hidden.covers(iter.Key(), h.seq) {
			continue
		}
		s.raiseAccess(iter.Key(), &h, written)
		h.describe(iter.Key(), &record)
		if !visit(&record) {
			return nil
		}
	}
	return iter.Error()
}

// describe fills dst with what is known without the payload; the slices alias the row.
func (h *header) describe(recordKey []byte, dst *cache.Record) {
	ns, key := splitRecordKey(recordKey)
	*dst = cache.Record{
		Namespace: ns, Key: key, Seq: h.seq, Attrs: h.attrs,
		ValueLen: int64(h.rawLen), StoredLen: int64(h.storedLen), LastAccessMs: h.lastAccessMs(),
	}
}

// ScanLabel implements cache.Tier. It visits expired records too, and skips damaged ones.
// Namespaces are visited in the order of their ids.
func (s *Store) ScanLabel(ctx context.Context, label cache.Label, visit func(*cache.Record) bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.unreadable(); err != nil {
		return fmt.Errorf("l2: scan label: %w", err)
	}
	hidden, written := s.marks.hidden(), s.accesses.written.Load()
	namespaces := []cache.NamespaceID{label.Namespace}
	if label.Namespace == 0 {
		namespaces = s.usage.generations()
		slices.Sort(namespaces)
	}
	// Both iterators see one state: the index row of a record and the record itself.
	index, err := s.db.NewIter(nil)
	if err != nil {
		return fmt.Errorf("l2: scan label: %w", err)
	}
	records, err := index.Clone(pebble.CloneOptions{IterOptions: &s.lookupOptions})
	if err != nil {
		return fmt.Errorf("l2: scan label: %w", errors.Join(err, index.Close()))
	}
	scan := labelScan{s: s, index: index, records: records, label: label, hidden: hidden, written: written, visit: visit}
	for _, ns := range namespaces {
		if s.usage.of(ns) == nil {
			continue
		}
		if more, scanErr := scan.namespace(ctx, ns); !more || scanErr != nil {
			err = scanErr
			break
		}
	}
	if err = errors.Join(err, s.closeIter(records), s.closeIter(index)); err != nil {
		return fmt.Errorf("l2: scan label: %w", err)
	}
	return nil
}

type labelScan struct {
	s              *Store
	index, records *pebble.Iterator
	label          cache.Label
	hidden         hidden
	written        int64 // see Store.raiseAccess
	visit          func(*cache.Record) bool
	lower, upper   []byte
	recordKey      []byte
	record         cache.Record
	seen           int
}

// namespace visits the label's records in one generation and reports whether to go on.
func (l *labelScan) namespace(ctx context.Context, ns cache.NamespaceID) (bool, error) {
	l.lower = appendLabelPrefix(nil, ns, l.label.Kind, []byte(l.label.Text))
	l.upper = appendSuccessor(nil, l.lower)
	l.index.SetBounds(l.lower, l.upper)
	if err := ctx.Err(); err != nil {
		return false, err
	}
	for valid := l.index.First(); valid; valid = l.index.Next() {
		if l.seen++; l.seen%scanCheckEvery == 0 && ctx.Err() != nil {
			return false, ctx.Err()
		}
		l.recordKey = appendRecordKey(l.recordKey[:0], ns, l.index.Key()[len(l.lower):])
		row, found, err := lookup(l.records, l.recordKey)
		if err != nil {
			return false, err
		}
		if !found {
			continue
		}
		h, err := decodeHeader(l.recordKey, row)
		if err != nil {
			l.s.removeDamaged(l.recordKey, h.seq, err)
			continue
		}
		if l.hidden.covers(l.recordKey, h.seq) || !h.attrs.HasLabel(l.label.Kind, l.label.Text) {
			continue
		}
		l.s.raiseAccess(l.recordKey, &h, l.written)
		h.describe(l.recordKey, &l.record)
		if !l.visit(&l.record) {
			return false, nil
		}
	}
	return true, l.index.Error()
}
