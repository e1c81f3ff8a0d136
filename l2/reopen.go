package l2

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

// An error that Pebble does not survive may be over a moment later: a full disk that says so
// only when a file is synced, a cable. What was written and not synced is then in doubt, and
// a second sync of the same file would prove nothing. But the log up to the last sync that
// succeeded is on disk, and a database that is opened from it writes what it finds anew, into
// files of its own. So the broken one is given up (its guard is shut: nothing of it touches
// the disk again), another one is opened in its place, and what the first may have lost is
// hidden (D9). What Pebble holds in memory for the first is not to be had back, therefore
// that is not done any number of times.
const (
	reopensMax    = 8
	reopenWaitMax = time.Minute

	// probeBytes is what the disk must take before a reopening is tried.
	probeBytes = 64 << 10
	probeName  = "PROBE"
)

// inheritance is what a store takes over from the broken one that it replaces.
type inheritance struct {
	lock       *pebble.Lock
	blockCache *pebble.Cache
	compressor *compressor
	visited    *visitedSet
	counters   *counters
	marks      *marks
	epoch      int
	accesses   *accesses

	emptied    bool // marks cannot tell what to hide
	watermarks []cache.Watermark
	namespaces map[string]cache.NamespaceRow
}

// giveUp ends a broken store for good, except for its goroutines: see retire.
func (s *Store) giveUp(ctx context.Context) (*inheritance, error) {
	s.goBlind() // its tables are not its own any more
	if err := s.guard.shutFor(ctx); err != nil {
		return nil, err
	}
	records, watermarks, namespaces := s.ledger.close()
	epoch, fits := s.marks.reopening(records)
	return &inheritance{
		lock: s.lock, blockCache: s.blockCache, compressor: s.compressor, visited: s.visited, counters: s.counters,
		marks: s.marks, epoch: epoch, accesses: s.accesses, emptied: !fits, watermarks: watermarks, namespaces: namespaces,
	}, nil
}

// retire stops the goroutines of a store that was given up, but for those that hang in
// Pebble. Calls that are inside end with errors.
func (s *Store) retire() {
	s.stopBackground()
	close(s.stopCommitter)
	close(s.notifier.stop)
	s.stopFiles()
}

// replacement opens a store in place of one that was given up.
func replacement(ctx context.Context, cfg Config, from *inheritance) (*Store, error) {
	s := newStore(cfg)
	s.inherited = from
	s.lock, s.blockCache, s.compressor, s.visited = from.lock, from.blockCache, from.compressor, from.visited
	s.counters, s.marks, s.epoch, s.accesses = from.counters, from.marks, from.epoch, from.accesses
	opened := make(chan error, 1)
	go func() { opened <- s.open() }() // it may hang, like everything that Pebble does on a bad disk
	var err error
	select {
	case err = <-opened:
		err = errors.Join(err, s.degradedError())
	case <-s.broken:
		err = s.degradedError()
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		s.stopBackground()
		return nil, errors.Join(err, s.guard.shutFor(ctx))
	}
	return s, nil
}

// takeOver makes the database what the cache and the store know that it is: what it lost is
// added, what the broken one did not acknowledge and holds all the same is taken back.
func (s *Store) takeOver() error {
	batch := s.db.NewBatch()
	fail := func(err error) error { return errors.Join(fmt.Errorf("l2: take over: %w", err), batch.Close()) }
	if s.inherited.emptied {
		s.cfg.Logger.Error("l2: more was overwritten on the broken disk than could be remembered: the disk tier starts empty")
		for _, kind := range []byte{kindRecord, kindPayload, kindQueue, kindExpiry, kindLabelIndex} {
			if err := batch.DeleteRange([]byte{kind}, []byte{kind + 1}, nil); err != nil {
				return fail(err)
			}
		}
	}
	unknown := make(map[cache.NamespaceID]bool)
	err := s.eachRow(kindNamespace, func(key, value []byte) error {
		row, ok := decodeNamespaceRow(key, value)
		if current, isKnown := s.inherited.namespaces[string(key[1:])]; !ok || isKnown && current.ID == row.ID {
			return nil
		}
		unknown[row.ID] = true
		return batch.Delete(key, nil)
	})
	if err = errors.Join(err, s.erase(batch, unknown)); err != nil {
		return fail(err)
	}
	for name, row := range s.inherited.namespaces {
		err := errors.Join(
			batch.Set(appendNamespaceKey(nil, name), appendNamespaceRow(nil, row), nil),
			batch.Delete(appendNamespacePrefix(nil, kindGarbage, row.ID), nil))
		if err != nil {
			return fail(err)
		}
	}
	raised := make(map[cache.Label]cache.Sequence)
	for _, w := range s.inherited.watermarks {
		raised[w.Label] = max(raised[w.Label], w.Seq)
	}
	for label, seq := range raised {
		if err := s.raise(batch, label, seq); err != nil {
			return fail(err)
		}
	}
	if err := batch.LogData(nil, nil); err != nil { // an empty batch would not be synced
		return fail(err)
	}
	return errors.Join(s.db.Apply(batch, pebble.Sync), batch.Close())
}

// erase removes all rows of generations whose beginning nobody was told of. That is not left
// to reclaim: the cache may try to begin them again.
func (s *Store) erase(batch *pebble.Batch, ids map[cache.NamespaceID]bool) error {
	if len(ids) == 0 {
		return nil
	}
	for id := range ids {
		for _, kind := range []byte{kindRecord, kindPayload, kindLabelIndex, kindWatermark} {
			from := appendNamespacePrefix(nil, kind, id)
			if err := batch.DeleteRange(from, appendSuccessor(nil, from), nil); err != nil {
				return err
			}
		}
	}
	for _, kind := range []byte{kindQueue, kindExpiry} {
		err := s.eachRow(kind, func(key, _ []byte) error {
			_, recordKey, ok := splitOrderedKey(nil, key)
			if !ok {
				return nil
			}
			if ns, _ := splitRecordKey(recordKey); !ids[ns] {
				return nil
			}
			return batch.Delete(key, nil)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// raise makes sure that a watermark is no lower than a sequence.
func (s *Store) raise(batch *pebble.Batch, label cache.Label, seq cache.Sequence) error {
	key := appendWatermarkKey(nil, label)
	value, closer, err := s.db.Get(key)
	switch {
	case errors.Is(err, pebble.ErrNotFound):
	case err != nil:
		return err
	default:
		if len(value) == 8 {
			seq = max(seq, cache.Sequence(binary.BigEndian.Uint64(value)))
		}
		if err := closer.Close(); err != nil {
			return err
		}
	}
	return batch.Set(key, appendUint64(nil, uint64(seq)), nil)
}

// probe reports whether the disk takes what is written, as far as can be told beforehand.
func probe(fs vfs.FS, dir string) error {
	path := fs.PathJoin(dir, probeName)
	file, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	_, err = file.Write(make([]byte, probeBytes))
	if err == nil {
		err = file.Sync()
	}
	err = errors.Join(err, file.Close())
	return errors.Join(err, fs.Remove(path))
}
