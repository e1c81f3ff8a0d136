package l2

import (
	"context"
	"encoding/binary"
	"fmt"

	"pgcache/cache"
)

func appendHistoryKey(dst []byte, ms int64, namespace string) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, kindHistory), uint64(max(ms, 0)))
	return append(dst, namespace...)
}

// AppendHistory implements cache.Tier.
func (s *Store) AppendHistory(ctx context.Context, rows []cache.HistoryRow, before int64) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	err := s.submit(ctx, &request{ops: len(rows) + 1, emit: func(g *group) error {
		for _, row := range rows {
			g.set(appendHistoryKey(nil, row.Ms, row.Namespace), row.Data)
		}
		g.deleteRange([]byte{kindHistory}, appendHistoryKey(nil, before, ""))
		return nil
	}})
	if err != nil {
		return fmt.Errorf("l2: append history: %w", err)
	}
	return nil
}

// loadHistory reads a row of the history.
func (s *Store) loadHistory(key, value []byte) bool {
	if len(key) < 1+8 {
		return false
	}
	s.state.History = append(s.state.History, cache.HistoryRow{
		Ms: int64(binary.BigEndian.Uint64(key[1:])), Namespace: string(key[1+8:]), Data: append([]byte(nil), value...),
	})
	return true
}
