package l2

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// lookupKeys is memory for the keys of one lookup, pooled because what is passed to an
// iterator escapes.
type lookupKeys struct{ record, payload []byte }

// Get implements cache.Tier.
func (s *Store) Get(ctx context.Context, ns cache.NamespaceID, key []byte, withValue bool, dst *cache.Record) (bool, error) {
	if err := s.enter(); err != nil {
		return false, err
	}
	defer s.leave()
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if s.usage.of(ns) == nil || s.health.blind.Load() {
		s.counters.negativeSkips.Add(1)
		return false, nil
	}
	keys := s.lookupKeys.Get().(*lookupKeys)
	defer s.lookupKeys.Put(keys)
	keys.record = appendRecordKey(keys.record[:0], ns, key)

	// Taken before the record is read: a mark may be written and forgotten meanwhile.
	mark := s.marks.of(keys.record)
	h, found, err := s.getRecord(keys, withValue, dst)
	switch {
	case err == nil && (!found || h.seq < mark):
		return false, nil
	case err == nil:
		dst.Namespace, dst.Key, dst.Seq = ns, key, h.seq
		dst.ValueLen, dst.StoredLen = int64(h.rawLen), int64(h.storedLen)
		if withValue {
			s.visited.mark(keys.record)
		} else {
			dst.Value = nil
		}
		return true, nil
	case errors.Is(err, errDamaged):
		s.removeDamaged(keys.record, h.seq, err)
		return false, nil
	case pebble.IsCorruptionError(err):
		// A whole block is unreadable and removing one key would not repair it.
		s.counters.corruptRecords.Add(1)
		s.logDamage(keys.record, err)
		return false, nil
	case s.health.blind.Load(): // its tables go while it is read
		return false, nil
	default:
		return false, fmt.Errorf("l2: read record: %w", err)
	}
}

// fileAttempts bounds how often a read starts again because the record it found was
// replaced before it got to the payload file.
const fileAttempts = 4

// getRecord reads a record and its payload file, if it has one and the value is asked for.
func (s *Store) getRecord(keys *lookupKeys, withValue bool, dst *cache.Record) (header, bool, error) {
	var missing fileID
	for range fileAttempts {
		written := s.accesses.written.Load()
		iter, err := s.db.NewIter(&s.lookupOptions)
		if err != nil {
			return header{}, false, err
		}
		h, found, err := s.readRecord(iter, keys, withValue, written, dst)
		if closeErr := s.closeIter(iter); err == nil && closeErr != nil {
			found, err = false, closeErr
		}
		if err != nil || !found || !withValue || h.placement != placedFile {
			return h, found, err
		}
		err = s.readFile(&h, dst)
		switch {
		case !errors.Is(err, fs.ErrNotExist):
			return h, err == nil, err
		case h.fileID() == missing:
			return h, false, fmt.Errorf("%w: payload file is missing", errDamaged)
		}
		missing = h.fileID()
	}
	return header{}, false, nil // it is being overwritten all the time
}

// readFile reads the payload of a record from its file into dst.Value.
func (s *Store) readFile(h *header, dst *cache.Record) error {
	target := dst.Value[:0]
	if h.codec != codecRaw {
		buffer := s.compressor.buffers.Get().(*[]byte)
		defer func() { s.compressor.release(buffer) }()
		target = slices.Grow((*buffer)[:0], int(h.storedLen))
		*buffer = target
	}
	stored := slices.Grow(target, int(h.storedLen))[:h.storedLen]
	if err := s.files.read(h.fileID(), stored); err != nil {
		return err
	}
	if checksum(stored) != h.crc {
		return fmt.Errorf("%w: payload checksum", errDamaged)
	}
	if h.codec == codecRaw {
		dst.Value = stored
		return nil
	}
	value, err := s.compressor.expand(dst.Value, h, stored)
	if err == nil {
		dst.Value = value
	}
	return err
}

// readRecord finds the record in the iterator's snapshot and fills dst.Attrs and, if
// asked and not in a file, dst.Value. The slices of the header returned are no longer valid.
func (s *Store) readRecord(iter *pebble.Iterator, keys *lookupKeys, withValue bool, written int64, dst *cache.Record) (header, bool, error) {
	h, found, err := s.findRecord(iter, keys, withValue)
	if err != nil {
		return h, false, err
	}
	if !found {
		s.counters.negativeSkips.Add(1)
		return h, false, nil
	}
	s.counters.metadataReads.Add(1)
	if withValue && h.placement == placedRow && h.attrs.IdleMs() > 0 {
		// Its v row does not tell of accesses.
		return s.readIdle(iter, keys, written, h, dst)
	}
	s.raiseAccess(keys.record, &h, written)
	if h.expired(s.cfg.Now().UnixMilli()) {
		return h, false, nil
	}
	dst.Attrs, dst.LastAccessMs = append(dst.Attrs[:0], h.attrs...), h.lastAccessMs()
	if !withValue || h.placement == placedFile {
		return h, true, nil
	}
	err = s.readPayload(&h, dst)
	return h, err == nil, err
}

// readIdle is readRecord's end for the v row of a record with an idle TTL: it looks into the
// m row as well, once what is needed of the v row is copied.
func (s *Store) readIdle(iter *pebble.Iterator, keys *lookupKeys, written int64, h header, dst *cache.Record) (header, bool, error) {
	dst.Attrs = append(dst.Attrs[:0], h.attrs...)
	if err := s.readPayload(&h, dst); err != nil {
		return h, false, err
	}
	h.attrs, h.payload = dst.Attrs, nil
	row, found, err := lookup(iter, keys.record)
	if err != nil {
		return h, false, err
	}
	if !found {
		return h, false, fmt.Errorf("%w: a payload without its record", errDamaged)
	}
	m, err := decodeHeader(keys.record, row)
	if err != nil {
		return m, false, err
	}
	h.accessMs = m.accessMs
	s.raiseAccess(keys.record, &h, written)
	dst.LastAccessMs = h.lastAccessMs()
	return h, !h.expired(s.cfg.Now().UnixMilli()), nil
}

// readPayload checks and expands the payload in a row into dst.Value.
func (s *Store) readPayload(h *header, dst *cache.Record) error {
	if checksum(h.payload) != h.crc {
		return fmt.Errorf("%w: payload checksum", errDamaged)
	}
	value, err := s.compressor.expand(dst.Value, h, h.payload)
	if err == nil {
		dst.Value = value
	}
	return err
}

// findRecord reads the row that has what is asked for: the v row first, because most hits
// are on it and its absence costs no block, else the m row.
func (s *Store) findRecord(iter *pebble.Iterator, keys *lookupKeys, withValue bool) (header, bool, error) {
	if withValue {
		keys.payload = appendPayloadKey(keys.payload[:0], keys.record)
		row, found, err := lookup(iter, keys.payload)
		if err != nil {
			return header{}, false, err
		}
		if found {
			h, err := decodePayloadRow(keys.record, row)
			return h, true, err
		}
	}
	row, found, err := lookup(iter, keys.record)
	if err != nil || !found {
		return header{}, false, err
	}
	h, err := decodeHeader(keys.record, row)
	if err == nil && withValue && h.placement == placedRow {
		err = fmt.Errorf("%w: payload is missing", errDamaged)
	}
	return h, true, err
}

// lookup finds one row. The value is valid until the iterator moves. Unlike DB.Get it
// consults the filters of all levels.
func lookup(iter *pebble.Iterator, key []byte) (value []byte, found bool, err error) {
	if !iter.SeekPrefixGE(key) {
		return nil, false, iter.Error()
	}
	value, err = iter.ValueAndErr()
	return value, err == nil, err
}

// MayContain implements cache.Tier. Pebble does not show its filters, so the answer is
// that of a lookup: keys that are absent are answered by the filters; for keys that are
// there it reads the block of the m row, which the Get that follows then finds cached.
func (s *Store) MayContain(ns cache.NamespaceID, key []byte) bool {
	if s.enter() != nil {
		return false
	}
	defer s.leave()
	if s.usage.of(ns) == nil || s.health.blind.Load() {
		s.counters.negativeSkips.Add(1)
		return false
	}
	keys := s.lookupKeys.Get().(*lookupKeys)
	defer s.lookupKeys.Put(keys)
	keys.record = appendRecordKey(keys.record[:0], ns, key)
	iter, err := s.db.NewIter(&s.lookupOptions)
	if err != nil {
		return true
	}
	_, found, err := lookup(iter, keys.record)
	if closeErr := s.closeIter(iter); err == nil {
		err = closeErr
	}
	if found {
		s.counters.metadataReads.Add(1)
	} else if err == nil {
		s.counters.negativeSkips.Add(1)
	}
	return found || err != nil
}

// removeDamaged counts and logs a damaged record and asks the committer to remove it, if
// it has a moment: else the next read will ask again.
func (s *Store) removeDamaged(recordKey []byte, seq cache.Sequence, cause error) {
	s.counters.corruptRecords.Add(1)
	s.logDamage(recordKey, cause)
	key := append([]byte(nil), recordKey...)
	s.offer(&request{ops: 1, emit: func(g *group) error { return g.removeDamaged(key, seq) }})
}

func (s *Store) logDamage(recordKey []byte, cause error) {
	ns, key := splitRecordKey(recordKey)
	s.cfg.Logger.Error("l2: damaged record", "namespace_id", uint64(ns), "key", string(key), "error", cause)
}
