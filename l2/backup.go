package l2

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

// readOnlyCacheBytes is the block cache of a database that is read once.
const readOnlyCacheBytes = 8 << 20

// backupCheckEvery is how many rows are read between looks at the context.
const backupCheckEvery = 64

// Backup implements cache.Tier. The copy is a data directory of its own, made of hard links
// where the file system has them: it takes hardly any room until the store goes on.
func (s *Store) Backup(ctx context.Context, path string) (report cache.BackupReport, err error) {
	if err := s.enter(); err != nil {
		return report, err
	}
	defer s.leave()
	if err := s.unwritable(); err != nil {
		return report, fmt.Errorf("l2: backup: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.background, cancel)() // a closing store does not wait for it
	s.files.hold()                                  // the files of the moment of the checkpoint stay until they are linked
	defer s.files.unhold()
	if err := errors.Join(s.saveAccesses(ctx), s.sync(ctx)); err != nil {
		return report, fmt.Errorf("l2: backup: %w", err)
	}
	if err := ctx.Err(); err != nil { // the sync may have been done all the same
		return report, fmt.Errorf("l2: backup: %w", err)
	}
	d := directory{s.files.fs, path}
	if err := d.begin(); err != nil {
		return report, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("l2: backup: %w", errors.Join(err, d.fs.RemoveAll(path)))
		}
	}()
	if err := s.checkpoint(d.databaseDir()); err != nil {
		return report, err
	}
	if report, err = s.backupFiles(ctx, d); err != nil {
		return report, err
	}
	return report, d.write(s.marker)
}

// checkpoint copies the database, unless the store breaks: then Pebble may not return.
func (s *Store) checkpoint(path string) error {
	done := make(chan error, 1)
	go func() { done <- s.db.Checkpoint(path, pebble.WithFlushedWAL()) }()
	select {
	case err := <-done:
		return err
	case <-s.broken:
		return s.degradedError()
	}
}

// begin makes a directory that does not exist yet and marks it as incomplete.
func (d directory) begin() error {
	if _, err := d.fs.Stat(d.path); !errors.Is(err, fs.ErrNotExist) {
		if err != nil {
			return err
		}
		return &cache.ArgumentError{What: "path", Why: fmt.Sprintf("%s exists already; a backup never overwrites anything, name a new directory", d.path)}
	}
	if err := d.make(); err != nil {
		return err
	}
	return d.write(marker{version: formatVersion, id: "incomplete", state: stateCopying})
}

// backupFiles links the payload files that the records of the checkpoint name.
func (s *Store) backupFiles(ctx context.Context, d directory) (report cache.BackupReport, err error) {
	db, closeDB, err := openReadOnly(d, nil, s.cfg.Logger)
	if err != nil {
		return report, err
	}
	defer func() { err = errors.Join(err, closeDB()) }()
	live := make(map[cache.NamespaceID]bool)
	err = eachRow(db, kindNamespace, func(key, value []byte) error {
		if row, ok := decodeNamespaceRow(key, value); ok {
			live[row.ID] = true
		}
		return nil
	})
	if err != nil {
		return report, err
	}
	copies := newPayloadFiles(d.fs, d.path, s.cfg.Logger)
	looked := 0
	err = eachRow(db, kindQueue, func(key, value []byte) error {
		if looked++; looked%backupCheckEvery == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		q, ok := decodeQueueRow(key, value)
		if !ok || !live[q.ns] {
			return nil
		}
		report.Entries++
		report.Bytes += q.size
		if !q.hasFile {
			return nil
		}
		id := q.storedFile().fileID
		if err := copies.makeShard(id.shard()); err != nil {
			return err
		}
		err := vfs.LinkOrCopy(d.fs, s.files.path(id), copies.path(id))
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a damaged record, that nobody has met yet
		}
		return err
	})
	return report, errors.Join(err, copies.syncShards())
}

// syncShards makes the folders' contents durable.
func (f *payloadFiles) syncShards() error {
	for shard := range fileShards {
		if f.made[shard].Load() {
			if err := f.syncDir(f.shardDir(shard)); err != nil {
				return err
			}
		}
	}
	return nil
}

// openReadOnly opens the database of a directory without changing anything in it. A nil
// lock means that it locks the database itself.
func openReadOnly(d directory, lock *pebble.Lock, logger *slog.Logger) (*pebble.DB, func() error, error) {
	blocks := pebble.NewCache(readOnlyCacheBytes)
	options := &pebble.Options{
		FS: d.fs, ReadOnly: true, ErrorIfNotExists: true, FormatMajorVersion: pebbleFormat, Cache: blocks, Lock: lock,
		Logger: &pebbleLogger{log: logger, fatal: func(error) {}},
	}
	db, err := pebble.Open(d.databaseDir(), options)
	if err != nil {
		blocks.Unref()
		return nil, nil, d.explain(err)
	}
	return db, func() error {
		err := db.Close()
		blocks.Unref()
		return err
	}, nil
}

// Restore makes a data directory of a backup, and verifies it. The directory must be
// missing or empty.
func Restore(ctx context.Context, cfg Config, backup string, report func(Finding)) (summary CheckSummary, err error) {
	cfg = cfg.withDefaults()
	source, target := directory{cfg.FS, backup}, directory{cfg.FS, cfg.Dir}
	marked, err := source.inspect()
	switch {
	case err != nil:
		return summary, err
	case marked.state != stateReady:
		return summary, &OpenError{Dir: backup, Kind: ErrForeign, Err: errors.New("there is no backup"), Hint: "name the directory that pgcache backup or cache_backup() made"}
	}
	found, err := target.inspect()
	if err == nil && found.state != stateNone {
		err = &OpenError{Dir: cfg.Dir, Kind: ErrForeign, Err: errors.New("it holds a store already"), Hint: "restore into a new or an empty directory"}
	}
	if err != nil {
		return summary, err
	}
	lock, err := target.acquire()
	if err != nil {
		return summary, err
	}
	if err = target.copyFrom(ctx, source, marked); err != nil {
		err = &OpenError{Dir: cfg.Dir, Err: fmt.Errorf("restore: %w", errors.Join(err, target.clear()))}
	}
	if err = errors.Join(err, lock.Close()); err != nil {
		return summary, err
	}
	return Check(ctx, cfg, report)
}

// copyFrom copies all of a store, and marks the copy as one only when it is complete.
func (d directory) copyFrom(ctx context.Context, source directory, marked marker) error {
	if err := d.write(marker{version: formatVersion, id: marked.id, state: stateCopying}); err != nil {
		return err
	}
	if err := d.copyFolder(ctx, source, databaseName); err != nil {
		return err
	}
	shards, err := source.fs.List(source.fs.PathJoin(source.path, filesName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, shard := range shards {
		if err := d.copyFolder(ctx, source, d.fs.PathJoin(filesName, shard)); err != nil {
			return err
		}
	}
	return d.write(marked)
}

// copyFolder copies the files of a folder, durably.
func (d directory) copyFolder(ctx context.Context, source directory, name string) error {
	from, to := source.fs.PathJoin(source.path, name), directory{d.fs, d.fs.PathJoin(d.path, name)}
	if err := to.make(); err != nil {
		return err
	}
	names, err := source.fs.List(from)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return err
		}
		path := source.fs.PathJoin(from, name)
		if info, err := source.fs.Stat(path); err != nil || info.IsDir() || name == lockName {
			if err != nil {
				return err
			}
			continue
		}
		if err := vfs.Copy(d.fs, path, d.fs.PathJoin(to.path, name)); err != nil {
			return err
		}
	}
	return to.sync()
}

// clear removes what a failed restore has left.
func (d directory) clear() error {
	return errors.Join(
		d.fs.RemoveAll(d.databaseDir()),
		d.fs.RemoveAll(d.fs.PathJoin(d.path, filesName)),
		d.fs.RemoveAll(d.fs.PathJoin(d.path, markerName)))
}

// BackupDirectory copies a data directory that no process has open.
func BackupDirectory(ctx context.Context, cfg Config, path string) (report cache.BackupReport, err error) {
	cfg = cfg.withDefaults()
	marked, err := directory{cfg.FS, cfg.Dir}.inspect()
	if err == nil && marked.state != stateReady {
		err = &OpenError{Dir: cfg.Dir, Kind: ErrForeign, Err: errors.New("there is no store"), Hint: "name the server's data-dir"}
	}
	if err != nil {
		return report, err
	}
	s, err := Open(cfg)
	if err != nil {
		return report, err
	}
	report, err = s.Backup(ctx, path)
	return report, errors.Join(err, s.Close())
}
