package l2

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"pgcache/cache"
)

const (
	// accessesBytesMax bounds the memory of accesses that wait to be written: some 80,000
	// keys. Above half of it they are written at once, not by the next tick.
	accessesBytesMax    = 8 << 20
	accessOverheadBytes = 96

	// accessesPerBatch is how many are written by one batch: a few milliseconds.
	accessesPerBatch = 512
)

// accesses are the last accesses to records with an idle TTL that are not in their m rows
// yet. They are written in batches, so that an access waits for nothing and several to a
// record are one write. Until then readers, and sweeps, find them here.
type accesses struct {
	count   atomic.Int64 // so that readers pass by without a lock while there are none
	written atomic.Int64 // batches: raised before their accesses are forgotten
	full    chan struct{}
	saving  chan struct{} // a semaphore: writing is somebody's
	mu      struct {
		sync.RWMutex
		// pending grows; writing is what is being written, or could not be, and shrinks.
		pending, writing map[string]access // by m key
		bytes            int
	}
}

type access struct {
	seq cache.Sequence
	ms  int64
}

func newAccesses() *accesses {
	a := &accesses{full: make(chan struct{}, 1), saving: make(chan struct{}, 1)}
	a.mu.pending = make(map[string]access)
	return a
}

// note remembers an access; false: there is no room.
func (a *accesses) note(recordKey []byte, seq cache.Sequence, ms int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	old, ok := a.mu.pending[string(recordKey)]
	switch {
	case ok && (old.seq > seq || old.seq == seq && old.ms >= ms):
		return true
	case !ok:
		need := len(recordKey) + accessOverheadBytes
		if a.mu.bytes+need > accessesBytesMax {
			return false
		}
		a.mu.bytes += need
		a.count.Add(1)
	}
	a.mu.pending[string(recordKey)] = access{seq, ms}
	if a.mu.bytes > accessesBytesMax/2 {
		select {
		case a.full <- struct{}{}:
		default:
		}
	}
	return true
}

// of is the latest access to a record that is not written yet; 0: none.
func (a *accesses) of(recordKey []byte, seq cache.Sequence) int64 {
	if a.count.Load() == 0 {
		return 0
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	ms := int64(0)
	for _, m := range []map[string]access{a.mu.pending, a.mu.writing} {
		if x, ok := m[string(recordKey)]; ok && x.seq == seq {
			ms = max(ms, x.ms)
		}
	}
	return ms
}

// savedAccess is an access to be written.
type savedAccess struct {
	recordKey []byte
	access
}

// begin returns what is to be written, in the order of keys: what could not be before, or
// all that is there. REQUIRES: saving held.
func (a *accesses) begin() []savedAccess {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.mu.writing) == 0 {
		if len(a.mu.pending) == 0 {
			return nil
		}
		a.mu.writing, a.mu.pending = a.mu.pending, make(map[string]access)
	}
	list := make([]savedAccess, 0, len(a.mu.writing))
	for key, x := range a.mu.writing {
		list = append(list, savedAccess{[]byte(key), x})
	}
	slices.SortFunc(list, func(x, y savedAccess) int { return bytes.Compare(x.recordKey, y.recordKey) })
	return list
}

// end forgets what is written.
func (a *accesses) end(list []savedAccess) {
	a.written.Add(1)
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, x := range list {
		delete(a.mu.writing, string(x.recordKey))
		a.mu.bytes -= len(x.recordKey) + accessOverheadBytes
	}
	a.count.Add(-int64(len(list)))
}

// NoteAccess implements cache.Tier.
func (s *Store) NoteAccess(ns cache.NamespaceID, key []byte, seq cache.Sequence, ms int64) bool {
	if s.enter() != nil {
		return false
	}
	defer s.leave()
	if s.usage.of(ns) == nil {
		return true // there is no record that it could concern
	}
	keys := s.lookupKeys.Get().(*lookupKeys)
	defer s.lookupKeys.Put(keys)
	keys.record = appendRecordKey(keys.record[:0], ns, key)
	if !s.accesses.note(keys.record, seq, ms) {
		s.counters.accessesDropped.Add(1)
		return false
	}
	return true
}

// SaveAccesses implements cache.Tier.
func (s *Store) SaveAccesses(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.saveAccesses(ctx)
}

// saveAccesses writes what was noted before the call.
func (s *Store) saveAccesses(ctx context.Context) error {
	a := s.accesses
	if a.count.Load() == 0 {
		return nil
	}
	select {
	case a.saving <- struct{}{}:
		defer func() { <-a.saving }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for range 2 { // what is left of a failed try, and what came since
		for batch := range slices.Chunk(a.begin(), accessesPerBatch) {
			r := &request{ops: len(batch), sheddable: true, emit: func(g *group) error {
				for _, x := range batch {
					if err := g.noteAccess(x.recordKey, x.access); err != nil {
						return err
					}
				}
				return nil
			}}
			if err := s.submit(ctx, r); err != nil {
				return fmt.Errorf("l2: save accesses: %w", err)
			}
			a.end(batch)
		}
	}
	return nil
}

// noteAccess notes an access in its record's m row, if it is news, and moves the x row. The
// ledger need not know: a row that comes back without it is of the same record.
func (g *group) noteAccess(recordKey []byte, x access) error {
	ns, _ := splitRecordKey(recordKey)
	if !g.isLive(ns) {
		return nil
	}
	h, _, err := g.find(recordKey)
	if err != nil || h == nil || h.seq != x.seq || h.attrs.IdleMs() == 0 || x.ms <= h.lastAccessMs() {
		return err
	}
	before, _ := h.deadlineMs()
	h.accessMs = x.ms
	row := appendHeader(nil, recordKey, h)
	g.set(recordKey, row)
	if after, _ := h.deadlineMs(); expiryOrder(after) != expiryOrder(before) {
		g.key = appendOrderedKey(g.key[:0], kindExpiry, expiryOrder(before), recordKey)
		g.delete(g.key)
		g.expireAt(recordKey, after)
	}
	g.remember(recordKey, row)
	g.accessed = true
	return nil
}

// raiseAccess completes what a row says of the last access: by what is not written yet
// and, where that decides whether the record is dead, by what was written since the row's
// iterator was made. written is accesses.written from before.
func (s *Store) raiseAccess(recordKey []byte, h *header, written int64) {
	if h.attrs.IdleMs() == 0 {
		return
	}
	h.raise(s.accesses.of(recordKey, h.seq))
	if s.accesses.written.Load() == written || !h.expired(s.cfg.Now().UnixMilli()) {
		return
	}
	iter, err := s.db.NewIter(&s.lookupOptions)
	if err != nil {
		return
	}
	if row, found, err := lookup(iter, recordKey); found && err == nil {
		if now, err := decodeHeader(recordKey, row); err == nil && now.seq == h.seq {
			h.raise(now.accessMs)
		}
	}
	_ = s.closeIter(iter) // it was complete
}

// raise makes an access the last one if it is.
func (h *header) raise(ms int64) {
	if ms > h.lastAccessMs() {
		h.accessMs = ms
	}
}

// OnIdle implements cache.Tier.
func (s *Store) OnIdle(fn func(ns cache.NamespaceID, key []byte, seq cache.Sequence) int64) {
	s.onIdle.Store(&fn)
}

// latestAccess is the last access to a record that anybody knows of.
func (s *Store) latestAccess(recordKey []byte, h *header) int64 {
	ms := max(h.lastAccessMs(), s.accesses.of(recordKey, h.seq))
	if ask := s.onIdle.Load(); ask != nil {
		ns, key := splitRecordKey(recordKey)
		ms = max(ms, (*ask)(ns, key, h.seq))
	}
	return ms
}
