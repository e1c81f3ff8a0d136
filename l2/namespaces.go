package l2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// namespaceRowSize is the length of an N row's value, and namespaceRowSizeV1 what it was
// before there were limits.
const (
	namespaceRowSizeV1 = 8 + 8 + 8
	namespaceRowSize   = namespaceRowSizeV1 + 4*8
)

func appendNamespaceRow(dst []byte, row cache.NamespaceRow) []byte {
	dst = binary.BigEndian.AppendUint64(dst, uint64(row.ID))
	dst = binary.BigEndian.AppendUint64(dst, row.Generation)
	dst = binary.BigEndian.AppendUint64(dst, uint64(row.Created.UnixNano()))
	l := &row.Limits
	for _, v := range []int64{l.L1BytesMax, l.L2BytesMax, l.ValueBytesMax, l.DefaultTTLMs} {
		dst = binary.BigEndian.AppendUint64(dst, uint64(v))
	}
	return dst
}

func decodeNamespaceRow(key, value []byte) (cache.NamespaceRow, bool) {
	switch len(value) {
	case namespaceRowSize:
	case namespaceRowSizeV1:
		value = append(value[:namespaceRowSizeV1:namespaceRowSizeV1], make([]byte, namespaceRowSize-namespaceRowSizeV1)...)
	default:
		return cache.NamespaceRow{}, false
	}
	return cache.NamespaceRow{
		Name:       string(key[1:]),
		ID:         cache.NamespaceID(binary.BigEndian.Uint64(value)),
		Generation: binary.BigEndian.Uint64(value[8:]),
		Created:    time.Unix(0, int64(binary.BigEndian.Uint64(value[16:]))),
		Limits: cache.NamespaceLimits{
			L1BytesMax:    int64(binary.BigEndian.Uint64(value[24:])),
			L2BytesMax:    int64(binary.BigEndian.Uint64(value[32:])),
			ValueBytesMax: int64(binary.BigEndian.Uint64(value[40:])),
			DefaultTTLMs:  int64(binary.BigEndian.Uint64(value[48:])),
		},
	}, true
}

// PutNamespace implements cache.Tier.
func (s *Store) PutNamespace(ctx context.Context, row cache.NamespaceRow, old cache.NamespaceID) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	r := &request{sync: true, alone: true, ops: 1}
	r.emit = func(g *group) error {
		g.putNamespace(row, old)
		return nil
	}
	if err := s.submit(ctx, r); err != nil {
		return fmt.Errorf("l2: put namespace: %w", err)
	}
	return nil
}

// putNamespace adds a namespace's row, and the end of its older generation, to the batch.
// Later ops of the batch may be about the new generation already.
func (g *group) putNamespace(row cache.NamespaceRow, old cache.NamespaceID) {
	s := g.s
	var ended []cache.NamespaceID
	if old != 0 && old != row.ID {
		ended = append(ended, old)
	}
	if current, ok := s.ledger.namespace(row.Name); ok && current != row.ID && current != old {
		ended = append(ended, current) // its name is taken, nothing would reclaim it
	}
	g.set(appendNamespaceKey(nil, row.Name), appendNamespaceRow(nil, row))
	g.lastSeq = max(g.lastSeq, cache.Sequence(row.ID))
	g.end(ended)
	g.begun = append(g.begun, row.ID)
	g.named = append(g.named, func(rows map[string]cache.NamespaceRow) { rows[row.Name] = row })
	g.effects = append(g.effects, func() {
		u := s.usage.begin(row.ID)
		u.quota.Store(row.Limits.L2BytesMax)
		s.overQuota = s.overQuota || u.isOver()
	})
}

// isLive reports that a generation is live for the next op of the batch.
func (g *group) isLive(ns cache.NamespaceID) bool {
	return !slices.Contains(g.ended, ns) && (g.s.usage.of(ns) != nil || slices.Contains(g.begun, ns))
}

// DropNamespace implements cache.Tier.
func (s *Store) DropNamespace(ctx context.Context, name string, id cache.NamespaceID) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	r := &request{sync: true, alone: true, ops: 1}
	r.emit = func(g *group) error {
		if current, ok := s.ledger.namespace(name); ok && current == id {
			g.delete(appendNamespaceKey(nil, name))
			g.named = append(g.named, func(rows map[string]cache.NamespaceRow) { delete(rows, name) })
		}
		g.end([]cache.NamespaceID{id})
		return nil
	}
	if err := s.submit(ctx, r); err != nil {
		return fmt.Errorf("l2: drop namespace: %w", err)
	}
	return nil
}

// end ends generations with this batch (D6) and leaves their rows to reclaim.
func (g *group) end(ids []cache.NamespaceID) {
	for _, id := range ids {
		g.set(appendNamespacePrefix(nil, kindGarbage, id), nil)
	}
	g.ended = append(g.ended, ids...)
	g.effects = append(g.effects, func() {
		for _, id := range ids {
			g.s.usage.end(id)
		}
		g.s.garbage.add(ids...)
	})
}

// garbage lists the generations that wait for reclaim.
type garbage struct {
	sync.Mutex
	ids []cache.NamespaceID
}

func (g *garbage) add(ids ...cache.NamespaceID) {
	g.Lock()
	defer g.Unlock()
	g.ids = append(g.ids, ids...)
}

// take returns what waits and empties the list.
func (g *garbage) take() []cache.NamespaceID {
	g.Lock()
	defer g.Unlock()
	ids := g.ids
	g.ids = nil
	return ids
}

const (
	// reclaimRowsPerSlice is how many q and x rows reclaim looks at between two batches,
	// and reclaimSlicesPerTick how many slices there are in one tick.
	reclaimRowsPerSlice  = 4096
	reclaimSlicesPerTick = 64
)

// reclaim is the background work on ended generations: their m, v, i and T rows go by
// range deletion, their q and x rows, which are ordered otherwise, by a walk over all.
type reclaim struct {
	ids []cache.NamespaceID // being reclaimed; their G rows stay until the walk is done
	at  []byte              // where the walk goes on
}

// reclaimTick does a bounded part of the work.
func (s *Store) reclaimTick(ctx context.Context) error {
	r := &s.reclaim
	if r.ids == nil {
		if r.ids = s.garbage.take(); r.ids == nil {
			return nil
		}
		r.at = []byte{kindQueue}
		ids := r.ids
		err := s.submit(ctx, &request{ops: 1, emit: func(g *group) error {
			for _, id := range ids {
				for _, kind := range []byte{kindRecord, kindPayload, kindLabelIndex, kindWatermark} {
					from := appendNamespacePrefix(nil, kind, id)
					g.deleteRange(from, appendSuccessor(nil, from))
				}
			}
			return nil
		}})
		if err != nil {
			s.garbage.add(r.ids...)
			r.ids = nil
			return fmt.Errorf("l2: reclaim: %w", err)
		}
	}
	for range reclaimSlicesPerTick {
		done, err := s.reclaimSlice(ctx)
		if err != nil {
			return fmt.Errorf("l2: reclaim: %w", err)
		}
		if done {
			r.ids, r.at = nil, nil
			return nil
		}
	}
	return nil
}

// reclaimSlice walks some q or x rows. At the end of the walk it removes the G rows.
func (s *Store) reclaimSlice(ctx context.Context) (done bool, err error) {
	r := &s.reclaim
	kind := r.at[0]
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: r.at, UpperBound: []byte{kind + 1}})
	if err != nil {
		return false, err
	}
	var stale [][]byte
	var files []storedFile
	valid := iter.First()
	for n := 0; valid && n < reclaimRowsPerSlice; n++ {
		_, recordKey, ok := splitOrderedKey(nil, iter.Key())
		if ok {
			ns, _ := splitRecordKey(recordKey)
			ok = !slices.Contains(r.ids, ns)
		}
		if !ok {
			stale = append(stale, append([]byte(nil), iter.Key()...))
			if q, ok := decodeQueueRow(iter.Key(), iter.Value()); ok && kind == kindQueue && q.hasFile {
				files = append(files, q.storedFile())
			}
		}
		valid = iter.Next()
	}
	var next []byte
	switch {
	case valid:
		next = append([]byte(nil), iter.Key()...)
	case kind == kindQueue:
		next = []byte{kindExpiry}
	}
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return false, err
	}
	ids := r.ids
	err = s.submit(ctx, &request{ops: 1 + len(stale), emit: func(g *group) error {
		for _, key := range stale {
			g.delete(key)
		}
		g.retired = append(g.retired, files...)
		if next == nil {
			for _, id := range ids {
				g.delete(appendNamespacePrefix(nil, kindGarbage, id))
			}
		}
		return nil
	}})
	if err != nil {
		return false, err
	}
	r.at = next
	return next == nil, nil
}
