package l2

import (
	"context"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// orphanFilesPerTick bounds how many payload files one tick looks at; the folder that it
// comes to then is finished.
const orphanFilesPerTick = 4096

// orphans is the background walk over the payload files, once after each open: a crash
// leaves files whose records were not committed, or were removed just before.
type orphans struct {
	shard   int // where the walk goes on; fileShards: it is done
	removed int
}

// removeOrphans does a bounded part of the walk.
func (s *Store) removeOrphans(ctx context.Context) error {
	o := &s.orphans
	if s.files.isHeld() {
		return nil
	}
	for looked := 0; o.shard < fileShards && looked < orphanFilesPerTick && ctx.Err() == nil; o.shard++ {
		ids, _, err := s.files.list(o.shard)
		if err != nil {
			return err
		}
		looked += len(ids)
		removed, err := s.removeOrphansOf(ids)
		o.removed += removed
		if err != nil {
			return err
		}
		if o.shard == fileShards-1 && o.removed > 0 {
			s.cfg.Logger.Info("l2: removed payload files that a crash left without records", "files", o.removed)
		}
	}
	return nil
}

// removeOrphansOf removes those of the files that no record names.
func (s *Store) removeOrphansOf(ids []fileID) (removed int, err error) {
	for _, id := range ids {
		// In this order: a file that is no longer being written has its record by now, or
		// will never have one.
		if s.files.isWriting(id) {
			continue
		}
		named, err := isFileNamed(s.db, id)
		if err != nil {
			return removed, err
		}
		// If the record went after a backup's checkpoint, the backup holds the files by now.
		if !named && !s.files.isHeld() {
			s.files.remove(id)
			removed++
		}
	}
	return removed, nil
}

// isFileNamed reports whether a q row names the file.
func isFileNamed(db pebble.Reader, id fileID) (named bool, err error) {
	from := appendUint64([]byte{kindQueue}, uint64(id.seq))
	iter, err := db.NewIter(&pebble.IterOptions{LowerBound: from, UpperBound: appendSuccessor(nil, from)})
	if err != nil {
		return true, fmt.Errorf("l2: read queue: %w", err)
	}
	for valid := iter.First(); valid && !named; valid = iter.Next() {
		value, err := iter.ValueAndErr()
		if err != nil {
			return true, fmt.Errorf("l2: read queue: %w", errors.Join(err, iter.Close()))
		}
		q, ok := decodeQueueRow(iter.Key(), value)
		named = ok && q.hasFile && q.file == id.number
	}
	return named, errors.Join(iter.Error(), iter.Close())
}
