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

	isAtomic   bool // puts that do not fit together are all rejected
	rejectsAll bool
	begun      []cache.NamespaceID // generations that begin with the same batch
}

type writeOp struct {
	ns        cache.NamespaceID
	recordKey []byte
	row       []byte // the m row of a put
	// payloadHead is what the v row begins with: header and attributes.
	payloadHead []byte
	header      header // of a put; attrs and payload alias row
	delete      bool
	payload     []byte  // lent: what the v row is to hold besides header and attributes
	buffer      *[]byte // of the compressor, holding payload
	hasFile     bool    // the payload is in a file, which is w's until adopted
	failed      bool    // the payload could not be put into a file
	adopted     bool    // a batch names the file; guarded by request.mu

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
	err := s.unwritable()
	if isShedding(err) {
		return s.shed(ops, sync, err)
	}
	if err != nil {
		return fmt.Errorf("l2: write: %w", err)
	}
	w, err := s.newWrite(ctx, ops, sync)
	if err != nil {
		return err
	}
	defer w.release()
	w.request.emit, w.request.sync, w.request.sheddable = w.emit, sync, true
	defer w.discardFiles()
	if err := s.submit(ctx, &w.request); err != nil {
		if isShedding(err) {
			return s.shed(ops, sync, err)
		}
		return fmt.Errorf("l2: write: %w", err)
	}
	for i := range ops {
		w.report(&ops[i], &w.ops[i])
	}
	return nil
}

// newWrite prepares ops.
func (s *Store) newWrite(ctx context.Context, ops []cache.TierOp, sync bool, begun ...cache.NamespaceID) (*write, error) {
	w := &write{s: s, ops: make([]writeOp, 0, len(ops)), begun: begun}
	size := 0
	for i := range ops {
		r := &ops[i].Record
		if int64(len(r.Value)) > payloadBytesMax {
			return nil, fmt.Errorf("l2: payload of %d bytes, limit %d", len(r.Value), payloadBytesMax)
		}
		size += recordKeyOffset + len(r.Key) + headerSize + accessSize + len(r.Attrs) + inlineBytesMax
	}
	w.memory = make([]byte, 0, size)
	for i := range ops {
		w.prepare(ctx, &ops[i], sync)
	}
	return w, nil
}

// prepare encodes an op outside the committer: this is where payloads are compressed.
func (w *write) prepare(ctx context.Context, op *cache.TierOp, sync bool) {
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
	if h.attrs.IdleMs() > 0 {
		h.raise(r.LastAccessMs)
	}
	o.payload, o.buffer = stored, buffer
	switch {
	case len(stored) <= inlineBytesMax:
		h.placement, h.payload, o.payload = placedInline, stored, nil
	case len(stored) >= w.s.cfg.FileMinBytes:
		h.placement, o.payload = placedFile, nil
		w.prepareFile(&o, &h, stored, sync && !isOff(ctx))
	}
	start = len(w.memory)
	w.memory = appendHeader(w.memory, o.recordKey, &h)
	o.row = slices.Clip(w.memory[start:])
	// From here on the header refers to the row, not to the caller's memory.
	attrsAt := h.length()
	attrsEnd := attrsAt + len(h.attrs)
	h.attrs, h.payload = cache.Attrs(o.row[attrsAt:attrsEnd:attrsEnd]), o.row[attrsEnd:]
	o.header = h
	if o.payloadHead = o.row; h.placement == placedRow && h.accessMs != 0 {
		h.accessMs = 0 // what changes is in the m row only
		o.payloadHead = appendHeader(nil, o.recordKey, &h)
	}
	w.request.bytes += int64(2*len(o.row) + len(o.payload))
	if size := h.size(len(r.Key)); size <= w.s.cfg.BytesMax {
		w.request.room += size
	}
	w.ops = append(w.ops, o)
}

// prepareFile puts a payload into a file, if its record has a chance to be stored.
func (w *write) prepareFile(o *writeOp, h *header, stored []byte, sync bool) {
	s := w.s
	isLive := s.usage.of(o.ns) != nil || slices.Contains(w.begun, o.ns)
	if !isLive || s.health.lowSpace.Load() || fileBytes(h.storedLen) > s.cfg.BytesMax ||
		s.health.files.reason(s.cfg.Now()) != "" {
		o.failed = true
		return
	}
	id, err := s.files.write(h.seq, stored, sync)
	if err != nil {
		o.failed = true
		s.health.files.failed(s.cfg.Now(), err)
		return
	}
	s.health.files.succeeded()
	h.file, o.hasFile = id.number, true
}

// discardFiles removes the files that no batch names.
func (w *write) discardFiles() {
	w.request.mu.Lock()
	defer w.request.mu.Unlock()
	for i := range w.ops {
		if o := &w.ops[i]; o.hasFile && !o.adopted {
			w.s.files.discard(o.header.fileID())
		}
	}
}

// isOff reports that the caller wants nothing to be durable.
func isOff(ctx context.Context) bool {
	return cache.DurabilityOf(ctx, cache.DurabilityInterval) == cache.DurabilityOff
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
	if w.isAtomic {
		w.rejectIfTooLarge(g)
	}
	for i := range w.ops {
		o := &w.ops[i]
		g.lastSeq = max(g.lastSeq, o.header.seq)
		if !g.isLive(o.ns) { // D6
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
	if o.failed || w.rejectsAll || w.s.health.lowSpace.Load() || w.s.usage.total.bytes.Load()+g.bytes-held+size > w.s.cfg.BytesMax || !w.isAtomic && g.exceedsQuota(o.ns, size, held) {
		o.rejected = true
		g.rejections++
		g.rejectedBytes += size
		g.removeWhole(o.recordKey, old, damaged)
		return nil
	}
	switch o.header.placement {
	case placedFile:
		err := w.request.lent(func() error {
			o.adopted = true
			g.adopted = append(g.adopted, o.header.storedFile(len(key)))
			return nil
		})
		if err != nil {
			return err
		}
	case placedRow:
		err := w.request.lent(func() error {
			g.key = appendPayloadKey(g.key[:0], o.recordKey)
			put := g.batch.SetDeferred(len(g.key), len(o.payloadHead)+len(o.payload))
			copy(put.Key, g.key)
			copy(put.Value[copy(put.Value, o.payloadHead):], o.payload)
			return put.Finish()
		})
		if err != nil {
			return err
		}
	}
	if damaged && o.header.placement != placedRow { // and nothing known of its v row
		g.key = appendPayloadKey(g.key[:0], o.recordKey)
		g.delete(g.key)
	}
	g.store(o.recordKey, o.row, &o.header, old)
	return nil
}
