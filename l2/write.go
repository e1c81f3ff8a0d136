package l2

import (
	"context"
	"fmt"
	"slices"

	"pgcache/cache"
)

// write is a Write call on its way through the committer. Everything the committer needs
// is its own memory but for payloads, which the caller lends (request.lent).
type write struct {
	request request
	s       *Store
	ops     []writeOp
	memory  []byte // keys and m rows of ops
}

type writeOp struct {
	ns        cache.NamespaceID
	recordKey []byte
	row       []byte // the m row of a put
	header    header // of a put; attrs and payload alias row
	delete    bool
	payload   []byte  // lent: what the v row is to hold besides header and attributes
	buffer    *[]byte // of the compressor, holding payload

	existed, superseded, rejected bool
}

// Write implements cache.Tier.
func (s *Store) Write(ctx context.Context, ops []cache.TierOp, sync bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if len(ops) == 0 && !sync {
		return nil
	}
	w := &write{s: s, ops: make([]writeOp, 0, len(ops))}
	defer w.release()
	size := 0
	for i := range ops {
		r := &ops[i].Record
		if int64(len(r.Value)) > payloadBytesMax {
			return fmt.Errorf("l2: payload of %d bytes, limit %d", len(r.Value), payloadBytesMax)
		}
		size += recordKeyOffset + len(r.Key) + headerSize + len(r.Attrs) + inlineBytesMax
	}
	w.memory = make([]byte, 0, size)
	for i := range ops {
		w.prepare(&ops[i])
	}
	w.request.emit, w.request.sync = w.emit, sync
	if err := s.submit(ctx, &w.request); err != nil {
		return fmt.Errorf("l2: write: %w", err)
	}
	for i := range ops {
		w.report(&ops[i], &w.ops[i])
	}
	return nil
}

// prepare encodes an op outside the committer: this is where payloads are compressed.
func (w *write) prepare(op *cache.TierOp) {
	r := &op.Record
	o := writeOp{ns: r.Namespace, delete: op.Delete, header: header{seq: r.Seq}}
	start := len(w.memory)
	w.memory = appendRecordKey(w.memory, r.Namespace, r.Key)
	o.recordKey = slices.Clip(w.memory[start:])
	w.request.ops++
	w.request.bytes += int64(len(o.recordKey))
	if op.Delete {
		w.ops = append(w.ops, o)
		return
	}
	stored, kind, buffer := w.s.compressor.compress(r.Value, r.Attrs)
	h := header{
		codec: kind, placement: placedRow, seq: r.Seq, rawLen: uint64(len(r.Value)),
		storedLen: uint64(len(stored)), crc: checksum(stored), attrs: r.Attrs,
	}
	o.payload, o.buffer = stored, buffer
	if len(stored) <= inlineBytesMax {
		h.placement, h.payload, o.payload = placedInline, stored, nil
	}
	start = len(w.memory)
	w.memory = appendHeader(w.memory, o.recordKey, &h)
	o.row = slices.Clip(w.memory[start:])
	// From here on the header refers to the row, not to the caller's memory.
	attrsEnd := headerSize + len(h.attrs)
	h.attrs, h.payload = cache.Attrs(o.row[headerSize:attrsEnd:attrsEnd]), o.row[attrsEnd:]
	o.header = h
	w.request.bytes += int64(2*len(o.row) + len(o.payload))
	if size := h.size(len(r.Key)); size <= w.s.cfg.BytesMax {
		w.request.room += size
	}
	w.ops = append(w.ops, o)
}

// release gives the compressor's buffers back. After a write that was given up the
// committer no longer reads them either.
func (w *write) release() {
	for i := range w.ops {
		w.s.compressor.release(w.ops[i].buffer)
		w.ops[i].payload = nil
	}
}

func (w *write) report(op *cache.TierOp, o *writeOp) {
	op.Existed, op.Superseded, op.Rejected = o.existed, o.superseded, o.rejected
	if o.delete {
		return
	}
	op.Record.ValueLen, op.Record.StoredLen = int64(o.header.rawLen), int64(o.header.storedLen)
	if o.superseded || o.rejected {
		return
	}
	switch {
	case o.header.codec == codecZstd:
		w.s.counters.compressedRawBytes.Add(int64(o.header.rawLen))
		w.s.counters.compressedBytes.Add(int64(o.header.storedLen))
	case o.header.rawLen > 0:
		w.s.counters.compressionSkipped.Add(1)
	}
}

// emit runs in the committer.
func (w *write) emit(g *group) error {
	for i := range w.ops {
		o := &w.ops[i]
		g.lastSeq = max(g.lastSeq, o.header.seq)
		if w.s.usage.of(o.ns) == nil { // D6
			o.superseded = true
			continue
		}
		old, damaged, err := g.find(o.recordKey)
		if err != nil {
			return err
		}
		if old != nil && old.seq >= o.header.seq {
			o.superseded = true
			continue
		}
		o.existed = old != nil
		if o.delete {
			g.removeWhole(o.recordKey, old, damaged)
			continue
		}
		if err := w.emitPut(g, o, old, damaged); err != nil {
			return err
		}
	}
	return nil
}

func (w *write) emitPut(g *group, o *writeOp, old *header, damaged bool) error {
	_, key := splitRecordKey(o.recordKey)
	size, held := o.header.size(len(key)), int64(0)
	if old != nil {
		held = old.size(len(key))
	}
	if w.s.diskFull.Load() || w.s.usage.total.bytes.Load()+g.bytes-held+size > w.s.cfg.BytesMax {
		o.rejected = true
		g.rejections++
		g.rejectedBytes += size
		g.removeWhole(o.recordKey, old, damaged)
		return nil
	}
	switch {
	case o.header.placement == placedRow:
		err := w.request.lent(func() error {
			g.key = appendPayloadKey(g.key[:0], o.recordKey)
			put := g.batch.SetDeferred(len(g.key), len(o.row)+len(o.payload))
			copy(put.Key, g.key)
			copy(put.Value[copy(put.Value, o.row):], o.payload)
			return put.Finish()
		})
		if err != nil {
			return err
		}
	case damaged: // and nothing known of its v row
		g.key = appendPayloadKey(g.key[:0], o.recordKey)
		g.delete(g.key)
	}
	g.store(o.recordKey, o.row, &o.header, old)
	return nil
}
