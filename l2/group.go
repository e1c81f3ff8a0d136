package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// group is a batch being made by the committer, and what is to change in memory once it
// is committed.
type group struct {
	s     *Store
	batch *pebble.Batch
	iter  *pebble.Iterator // the state before the batch; made when first needed
	err   error            // the first failure to add a row

	// pending holds the m rows that the batch itself writes, as ranges of arena, so that a
	// later op of the batch sees an earlier one. Only kept for batches of several ops.
	several bool
	pending map[string]span
	arena   []byte

	begun, ended []cache.NamespaceID // generations that begin and end with this batch

	lastSeq       cache.Sequence
	bytes         int64 // change of the bytes in use, by changes
	changes       []change
	sums          map[cache.NamespaceID]int64 // of the first summed changes, see pendingBytes
	summed        int
	effects       []func()
	removed       []removal
	adopted       []storedFile // of the records that the batch stores
	retired       []storedFile // of those it removes
	evictions     int64
	expirations   int64
	rejections    int64
	rejectedBytes int64
	firstDeadline uint64
	accessed      bool // some record

	// For the ledger.
	touched      []byte // records
	touchedBytes int
	raised       []cache.Watermark
	named        []func(map[string]cache.NamespaceRow)

	key []byte // scratch
}

type span struct {
	start, end int
	present    bool
}

type change struct {
	ns             cache.NamespaceID
	entries, bytes int64
}

const noDeadline = math.MaxUint64

// newGroup starts a batch of about ops operations, reusing the memory of the last group.
func (s *Store) newGroup(ops int) *group {
	g := &s.scratch
	clear(g.removed)
	clear(g.effects)
	clear(g.sums)
	*g = group{
		s: s, batch: s.db.NewBatch(), firstDeadline: noDeadline, several: ops > 1,
		pending: g.pending, arena: g.arena[:0], key: g.key[:0],
		adopted: g.adopted[:0], retired: g.retired[:0],
		sums: g.sums, changes: g.changes[:0], effects: g.effects[:0], removed: g.removed[:0],
		touched: g.touched[:0], raised: g.raised[:0],
	}
	clear(g.pending)
	if cap(g.arena) > arenaBytesMax {
		g.arena = nil
	}
	if cap(g.touched) > arenaBytesMax {
		g.touched = nil
	}
	if g.pending == nil {
		g.pending = make(map[string]span)
	}
	return g
}

// arenaBytesMax bounds the memory that an unusually large group leaves behind.
const arenaBytesMax = 1 << 20

func appendUint64(dst []byte, v uint64) []byte { return binary.BigEndian.AppendUint64(dst, v) }

func (g *group) fail(err error) {
	if g.err == nil && err != nil {
		g.err = err
	}
}

func (g *group) set(key, value []byte)       { g.fail(g.batch.Set(key, value, nil)) }
func (g *group) delete(key []byte)           { g.fail(g.batch.Delete(key, nil)) }
func (g *group) deleteRange(from, to []byte) { g.fail(g.batch.DeleteRange(from, to, nil)) }

func (g *group) change(ns cache.NamespaceID, entries, bytes int64) {
	g.changes = append(g.changes, change{ns, entries, bytes})
	g.bytes += bytes
}

// row reads a row of the state before the batch. The value is valid until the next call.
func (g *group) row(key []byte) (value []byte, found bool, err error) {
	if g.iter == nil {
		if g.iter, err = g.s.db.NewIter(&g.s.lookupOptions); err != nil {
			return nil, false, err
		}
	}
	return lookup(g.iter, key)
}

// find reads the record that the next op of the batch meets, nil if there is none or if
// its header is damaged, in which case damaged is true. The header's slices are valid
// until the next call.
func (g *group) find(recordKey []byte) (h *header, damaged bool, err error) {
	var row []byte
	if at, ok := g.pending[string(recordKey)]; ok {
		if !at.present {
			return nil, false, nil
		}
		row = g.arena[at.start:at.end]
	} else {
		var found bool
		row, found, err = g.row(recordKey)
		switch {
		case pebble.IsCorruptionError(err):
			g.s.counters.corruptRecords.Add(1)
			g.s.logDamage(recordKey, err)
			return nil, true, nil
		case err != nil:
			return nil, false, fmt.Errorf("l2: read record: %w", err)
		case !found:
			return nil, false, nil
		}
	}
	decoded, err := decodeHeader(recordKey, row)
	if errors.Is(err, errDamaged) {
		return nil, true, nil
	}
	return &decoded, false, err
}

// remember makes the m row visible to later ops of the batch; nil means that it is gone.
func (g *group) remember(recordKey, row []byte) {
	if !g.several {
		return
	}
	start := len(g.arena)
	g.arena = append(g.arena, row...)
	g.pending[string(recordKey)] = span{start, len(g.arena), row != nil}
}

// store writes the rows of a new record but for its v row, and removes those of the record
// it replaces, if any. row is the encoded m row.
func (g *group) store(recordKey, row []byte, h, old *header) {
	ns, key := splitRecordKey(recordKey)
	if old != nil {
		g.unstoreRows(recordKey, old, h)
	}
	g.set(recordKey, row)
	g.key = appendOrderedKey(g.key[:0], kindQueue, uint64(h.seq), recordKey)
	g.set(g.key, h.appendQueueValue(nil, len(key)))
	if deadline, ok := h.deadlineMs(); ok {
		g.expireAt(recordKey, deadline)
	}
	for kind, text := range h.attrs.Labels() {
		if old != nil && old.attrs.HasLabel(kind, string(text)) {
			continue
		}
		g.key = append(appendLabelPrefix(g.key[:0], ns, kind, text), key...)
		g.set(g.key, nil)
	}
	g.change(ns, 1, h.size(len(key)))
	g.touch(recordKey, h.seq)
	g.remember(recordKey, row)
}

// expireAt writes a record's x row.
func (g *group) expireAt(recordKey []byte, deadlineMs int64) {
	order := expiryOrder(deadlineMs)
	g.firstDeadline = min(g.firstDeadline, order)
	g.key = appendOrderedKey(g.key[:0], kindExpiry, order, recordKey)
	g.set(g.key, nil)
}

// unstore removes all rows of a record.
func (g *group) unstore(recordKey []byte, old *header) {
	g.unstoreRows(recordKey, old, nil)
	g.delete(recordKey)
	g.touch(recordKey, old.seq)
	g.remember(recordKey, nil)
}

// unstoreRows removes the rows of a record but for its m row, and but for those that the
// record that replaces it, if any, has as well.
func (g *group) unstoreRows(recordKey []byte, old, successor *header) {
	ns, key := splitRecordKey(recordKey)
	if old.placement == placedRow && (successor == nil || successor.placement != placedRow) {
		g.key = appendPayloadKey(g.key[:0], recordKey)
		rowLen := headerSize + len(old.attrs) + int(old.storedLen)
		g.fail(g.batch.DeleteSized(g.key, uint32(rowLen), nil))
	}
	if old.placement == placedFile {
		g.retired = append(g.retired, old.storedFile(len(key)))
	}
	g.key = appendOrderedKey(g.key[:0], kindQueue, uint64(old.seq), recordKey)
	g.delete(g.key)
	if deadline, ok := old.deadlineMs(); ok {
		kept := false
		if successor != nil {
			next, ok := successor.deadlineMs()
			kept = ok && expiryOrder(next) == expiryOrder(deadline)
		}
		if !kept {
			g.key = appendOrderedKey(g.key[:0], kindExpiry, expiryOrder(deadline), recordKey)
			g.delete(g.key)
		}
	}
	for kind, text := range old.attrs.Labels() {
		if successor != nil && successor.attrs.HasLabel(kind, string(text)) {
			continue
		}
		g.key = append(appendLabelPrefix(g.key[:0], ns, kind, text), key...)
		g.delete(g.key)
	}
	g.change(ns, -1, -old.size(len(key)))
}

// removeWhole removes what find found: a record, or an m row that is no longer one, with
// its v row. Which other rows a damaged record has is not known: they go when the hand of
// eviction and the sweep meet them.
func (g *group) removeWhole(recordKey []byte, old *header, damaged bool) {
	switch {
	case old != nil:
		g.unstore(recordKey, old)
	case damaged:
		g.delete(recordKey)
		g.key = appendPayloadKey(g.key[:0], recordKey)
		g.delete(g.key)
		g.touch(recordKey, max(g.lastSeq, g.s.lastSeq))
		g.remember(recordKey, nil)
	}
}

// removeOwn removes a record by the store's own decision and will tell the cache.
func (g *group) removeOwn(recordKey []byte, h *header) {
	ns, key := splitRecordKey(recordKey)
	g.removed = append(g.removed, removal{ns, append([]byte(nil), key...), h.seq})
	g.unstore(recordKey, h)
}

// removeDamaged removes a record that a reader found damaged, if it still is.
func (g *group) removeDamaged(recordKey []byte, seq cache.Sequence) error {
	ns, key := splitRecordKey(recordKey)
	if g.s.usage.of(ns) == nil {
		return nil
	}
	h, damaged, err := g.find(recordKey)
	if err != nil {
		return err
	}
	switch {
	case damaged:
		g.removed = append(g.removed, removal{ns, append([]byte(nil), key...), seq})
		g.removeWhole(recordKey, nil, true)
	case h != nil && h.placement == placedFile:
		if h.seq == seq { // the reader's finding counts: files are not read here
			g.removeOwn(recordKey, h)
		}
	case h != nil && g.payloadDamaged(recordKey, *h):
		// The header's slices were lost to the check.
		if h, _, err = g.find(recordKey); err != nil || h == nil {
			return err
		}
		g.removeOwn(recordKey, h)
	}
	return nil
}

// payloadDamaged reports whether a record's payload cannot be read.
func (g *group) payloadDamaged(recordKey []byte, h header) bool {
	if _, ok := g.pending[string(recordKey)]; ok {
		return false // this batch has just written it
	}
	seq, crc := h.seq, h.crc
	if h.placement == placedRow {
		g.key = appendPayloadKey(g.key[:0], recordKey)
		row, found, err := g.row(g.key)
		if err != nil {
			return false
		}
		if !found {
			return true
		}
		if h, err = decodePayloadRow(recordKey, row); err != nil {
			return true
		}
	}
	if h.seq != seq || h.crc != crc || checksum(h.payload) != crc {
		return true
	}
	_, err := g.s.compressor.expand(nil, &h, h.payload)
	return err != nil
}
