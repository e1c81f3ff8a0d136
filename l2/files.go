package l2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

const (
	filesName = "files"

	// fileShards folders hold the payload files. Neighbours in sequence share one, so that
	// a sync of recent files syncs one or two folders.
	fileShards    = 256
	fileShardBits = 12

	// fileBlockBytes is what a file system rounds a file's size up to.
	fileBlockBytes = 4 << 10

	// unsyncedMax is how many files may wait for the background sync. The writer that finds
	// more syncs them itself, which slows writers down to what the disk takes.
	unsyncedMax = 4096

	// retiredBytesMax bounds the files that only wait for a sync of the log to be removed.
	// Beyond it the oldest go at once: if the log then loses what replaced them, their keys
	// are misses.
	retiredBytesMax = 64 << 20
)

// fileID names a payload file. Numbers are never used twice by one process and sequences
// that are stored never by two, so a name that a record refers to is never written again.
type fileID struct {
	seq    cache.Sequence
	number uint32
}

func (id fileID) shard() int { return int(id.seq>>fileShardBits) % fileShards }

func (id fileID) name() string { return fmt.Sprintf("%016x-%08x", uint64(id.seq), id.number) }

func parseFileName(name string) (fileID, bool) {
	seqText, numberText, _ := strings.Cut(name, "-")
	seq, err := strconv.ParseUint(seqText, 16, 64)
	number, err2 := strconv.ParseUint(numberText, 16, 32)
	id := fileID{cache.Sequence(seq), uint32(number)}
	return id, err == nil && err2 == nil && id.name() == name
}

// fileBytes is the room that a payload file of n bytes takes on disk.
func fileBytes(n uint64) int64 {
	return int64((n + fileBlockBytes - 1) / fileBlockBytes * fileBlockBytes)
}

// storedFile is a payload file and the bytes that its record counts against the budget.
type storedFile struct {
	fileID
	bytes int64
}

// payloadFiles are the payloads that are too large for the database. A file is written
// before the record that names it is committed and removed after the record is gone, so
// that at any moment a file may lack its record, but no record its file. After a power
// failure a record may be there whose file is not, or not whole: a damaged record.
type payloadFiles struct {
	fs      vfs.FS
	dir     string
	logger  *slog.Logger
	next    atomic.Uint32
	bytes   atomic.Int64 // of files that records own, or owned until lately
	made    [fileShards]atomic.Bool
	unlinks chan struct{} // there is something in mu.removable

	mu struct {
		sync.Mutex
		// writing are files whose record is not committed yet: nobody else removes them.
		writing map[fileID]struct{}
		// unsynced are files of committed or coming records, not yet known to be on disk.
		unsynced []fileID
		// retired are files whose record is gone, but perhaps not durably.
		retired      []storedFile
		retiredBytes int64
		// removable are files that nothing needs any more.
		removable []storedFile
		removing  bool
		held      int        // while positive, nothing is removed
		idle      *sync.Cond // nothing is removable or being removed
	}
}

func newPayloadFiles(fs vfs.FS, dataDir string, logger *slog.Logger) *payloadFiles {
	f := &payloadFiles{fs: fs, dir: fs.PathJoin(dataDir, filesName), logger: logger, unlinks: make(chan struct{}, 1)}
	f.next.Store(rand.Uint32())
	f.mu.writing = make(map[fileID]struct{})
	f.mu.idle = sync.NewCond(&f.mu)
	return f
}

func (f *payloadFiles) shardDir(shard int) string {
	return f.fs.PathJoin(f.dir, fmt.Sprintf("%02x", shard))
}

func (f *payloadFiles) path(id fileID) string {
	return f.fs.PathJoin(f.shardDir(id.shard()), id.name())
}

// write makes a file for a record of the sequence. It is the caller's until committed or
// discard is called for it. synced: it is on disk when write returns.
func (f *payloadFiles) write(seq cache.Sequence, payload []byte, synced bool) (fileID, error) {
	id := fileID{seq, f.next.Add(1)}
	if err := f.makeShard(id.shard()); err != nil {
		return id, fmt.Errorf("make folder: %w", err)
	}
	f.mu.Lock()
	f.mu.writing[id] = struct{}{}
	f.mu.Unlock()
	err := f.writeWhole(f.path(id), payload, synced)
	if err == nil && synced {
		err = f.syncDir(f.shardDir(id.shard()))
	}
	if err != nil {
		f.discard(id)
		return id, fmt.Errorf("write payload file: %w", err)
	}
	if !synced {
		f.noteUnsynced(id)
	}
	return id, nil
}

func (f *payloadFiles) writeWhole(path string, payload []byte, synced bool) error {
	file, err := f.fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	// Not Write: Pebble's file system in memory changes what it is given, under the race
	// detector, and the payload is lent to us by whoever serves it.
	n, err := file.WriteAt(payload, 0)
	if err == nil && n < len(payload) {
		err = io.ErrShortWrite
	}
	if err == nil && synced {
		err = file.Sync()
	}
	return errors.Join(err, file.Close())
}

// makeShard makes a folder of files, durably.
func (f *payloadFiles) makeShard(shard int) error {
	if f.made[shard].Load() {
		return nil
	}
	if err := f.fs.MkdirAll(f.shardDir(shard), 0o755); err != nil {
		return err
	}
	if err := errors.Join(f.syncDir(f.dir), f.syncDir(f.fs.PathDir(f.dir))); err != nil {
		return err
	}
	f.made[shard].Store(true)
	return nil
}

func (f *payloadFiles) syncDir(path string) error { return directory{f.fs, path}.sync() }

func (f *payloadFiles) noteUnsynced(id fileID) {
	f.mu.Lock()
	f.mu.unsynced = append(f.mu.unsynced, id)
	full := len(f.mu.unsynced) > unsyncedMax
	f.mu.Unlock()
	if full {
		f.logSync(f.sync())
	}
}

func (f *payloadFiles) logSync(err error) {
	if err != nil {
		f.logger.Error("l2: sync payload files: after a power failure some may be misses", "error", err)
	}
}

// sync puts the files written so far on disk. Errors leave the rest synced.
func (f *payloadFiles) sync() error {
	f.mu.Lock()
	ids := f.mu.unsynced
	f.mu.unsynced = nil
	f.mu.Unlock()
	var errs []error
	shards := make(map[int]struct{})
	for _, id := range ids {
		err := f.syncFile(f.path(id))
		switch {
		case err == nil:
			shards[id.shard()] = struct{}{}
		case !errors.Is(err, fs.ErrNotExist): // else removed already
			errs = append(errs, err)
		}
	}
	for shard := range shards {
		if err := f.syncDir(f.shardDir(shard)); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (f *payloadFiles) syncFile(path string) error {
	file, err := f.fs.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}

// read fills dst, which is as long as the file was written.
func (f *payloadFiles) read(id fileID, dst []byte) error {
	file, err := f.fs.Open(f.path(id), vfs.SequentialReadsOption)
	if err != nil {
		return err
	}
	n, err := file.ReadAt(dst, 0)
	if n == len(dst) {
		err = nil
	}
	err = errors.Join(err, file.Close())
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("%w: payload file of %d bytes, not %d", errDamaged, n, len(dst))
	}
	return err
}

// committed says that a record that names the file is visible.
func (f *payloadFiles) committed(files []storedFile) {
	if len(files) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range files {
		delete(f.mu.writing, file.fileID)
		f.bytes.Add(file.bytes)
	}
}

// discard removes a file that no record names.
func (f *payloadFiles) discard(id fileID) {
	f.remove(id)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.mu.writing, id)
}

// retire takes the files of records that are gone. They are removed once that is durable.
func (f *payloadFiles) retire(files []storedFile, atOnce bool) {
	if len(files) == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, file := range files {
		f.mu.retiredBytes += file.bytes
	}
	f.mu.retired = append(f.mu.retired, files...)
	n := 0
	for n < len(f.mu.retired) && (atOnce || f.mu.retiredBytes > retiredBytesMax) {
		f.mu.retiredBytes -= f.mu.retired[n].bytes
		n++
	}
	f.release(n)
}

// logSynced says that everything committed so far is durable.
func (f *payloadFiles) logSynced() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.retiredBytes = 0
	f.release(len(f.mu.retired))
}

// release makes the first n retired files removable. REQUIRES: f.mu held.
func (f *payloadFiles) release(n int) {
	if n == 0 {
		return
	}
	f.mu.removable = append(f.mu.removable, f.mu.retired[:n]...)
	f.mu.retired = slices.Delete(f.mu.retired, 0, n)
	select {
	case f.unlinks <- struct{}{}:
	default:
	}
}

// run removes files until ctx ends.
func (f *payloadFiles) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-f.unlinks:
			f.removeReleased(ctx)
		}
	}
}

func (f *payloadFiles) removeReleased(ctx context.Context) {
	for ctx.Err() == nil {
		f.mu.Lock()
		if len(f.mu.removable) == 0 || f.mu.held > 0 {
			f.mu.Unlock()
			return
		}
		files := f.mu.removable
		f.mu.removable, f.mu.removing = nil, true
		f.mu.Unlock()
		for i, file := range files {
			if ctx.Err() != nil {
				f.mu.Lock()
				f.mu.removable = append(files[i:], f.mu.removable...)
				f.mu.Unlock()
				break
			}
			f.remove(file.fileID)
			f.bytes.Add(-file.bytes)
		}
		f.mu.Lock()
		f.mu.removing = false
		f.mu.idle.Broadcast()
		f.mu.Unlock()
	}
}

// hold keeps all files of records, present and past, until unhold. It waits for removals
// that are under way.
func (f *payloadFiles) hold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.held++
	for f.mu.removing {
		f.mu.idle.Wait()
	}
}

func (f *payloadFiles) unhold() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.held--
	select {
	case f.unlinks <- struct{}{}:
	default:
	}
}

func (f *payloadFiles) isHeld() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.held > 0
}

// awaitRemoved waits until nothing is removable or being removed. REQUIRES: run runs.
func (f *payloadFiles) awaitRemoved() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.mu.held == 0 && len(f.mu.removable) > 0 || f.mu.removing {
		f.mu.idle.Wait()
	}
}

func (f *payloadFiles) remove(id fileID) {
	err := f.fs.Remove(f.path(id))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		f.logger.Warn("l2: cannot remove a payload file, the next open will try again", "file", f.path(id), "error", err)
	}
}

// isWriting reports that the file's record is not committed yet.
func (f *payloadFiles) isWriting(id fileID) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, ok := f.mu.writing[id]
	return ok
}

// list returns the files of a shard, and names that are none. A missing folder is empty.
func (f *payloadFiles) list(shard int) (ids []fileID, foreign []string, err error) {
	names, err := f.fs.List(f.shardDir(shard))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, nil
	}
	for _, name := range names {
		if id, ok := parseFileName(name); ok && id.shard() == shard {
			ids = append(ids, id)
		} else {
			foreign = append(foreign, name)
		}
	}
	return ids, foreign, err
}
