package l2

import (
	"context"
	"encoding/binary"
	"fmt"

	"pgcache/cache"
)

// PutWatermarks implements cache.Tier. A watermark never goes back: calls that overtake
// one another leave the greater sequence. Those of ended generations are dropped.
func (s *Store) PutWatermarks(ctx context.Context, w []cache.Watermark) error {
	return s.changeWatermarks(ctx, w, true, (*group).raiseWatermarks)
}

func (g *group) raiseWatermarks(w []cache.Watermark) error {
	g.raised = append(g.raised, w...)
	return g.eachWatermark(w, func(key []byte, stored, seq cache.Sequence) {
		if seq > stored {
			g.set(key, appendUint64(nil, uint64(seq)))
			g.remember(key, appendUint64(nil, uint64(seq)))
		}
	})
}

// DropWatermarks implements cache.Tier. A watermark that was raised meanwhile stays.
func (s *Store) DropWatermarks(ctx context.Context, w []cache.Watermark) error {
	return s.changeWatermarks(ctx, w, false, (*group).dropWatermarks)
}

func (g *group) dropWatermarks(w []cache.Watermark) error {
	return g.eachWatermark(w, func(key []byte, stored, seq cache.Sequence) {
		if stored != 0 && stored <= seq {
			g.delete(key)
			g.remember(key, nil)
		}
	})
}

func (s *Store) changeWatermarks(ctx context.Context, w []cache.Watermark, sync bool,
	change func(*group, []cache.Watermark) error,
) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	// The committer may come to it after the caller gave up: it gets its own copy.
	w = append([]cache.Watermark(nil), w...)
	// What a mark hides was not seen by the scan that ended before watermarks are dropped.
	r := &request{sync: sync, settles: true, ops: len(w), emit: func(g *group) error { return change(g, w) }}
	if err := s.submit(ctx, r); err != nil {
		return fmt.Errorf("l2: change watermarks: %w", err)
	}
	return nil
}

// eachWatermark calls change with each watermark's key and what is stored under it; 0: nothing.
func (g *group) eachWatermark(w []cache.Watermark, change func(key []byte, stored, seq cache.Sequence)) error {
	for _, mark := range w {
		g.lastSeq = max(g.lastSeq, mark.Seq)
		if mark.Label.Namespace != 0 && !g.isLive(mark.Label.Namespace) {
			continue
		}
		key := appendWatermarkKey(nil, mark.Label)
		stored, err := g.watermark(key)
		if err != nil {
			return err
		}
		change(key, stored, mark.Seq)
	}
	return nil
}

// watermark reads what the next op of the batch meets; 0: none.
func (g *group) watermark(key []byte) (cache.Sequence, error) {
	var value []byte
	if at, ok := g.pending[string(key)]; ok {
		value = g.arena[at.start:at.end]
	} else {
		var err error
		if value, _, err = g.row(key); err != nil {
			return 0, fmt.Errorf("l2: read watermark: %w", err)
		}
	}
	if len(value) != 8 {
		return 0, nil
	}
	return cache.Sequence(binary.BigEndian.Uint64(value)), nil
}
