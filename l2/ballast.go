package l2

import (
	"errors"
	"io/fs"
	"log/slog"
	"sync/atomic"

	"github.com/cockroachdb/pebble/v2/vfs"
)

const ballastName = "BALLAST"

// ballast is a file that only takes room. When Pebble's log meets a full disk, the guard
// removes it and the log goes on, so that deletes and invalidations still become durable
// while puts are rejected. It is made again once there is room.
type ballast struct {
	fs     vfs.FS
	path   string
	bytes  int64 // 0: there is none
	logger *slog.Logger
	held   atomic.Bool
}

// find notes whether there is a ballast.
func (b *ballast) find() {
	_, err := b.fs.Stat(b.path)
	b.held.Store(err == nil)
}

// make makes the ballast if there is none and the disk has room for it and the floor.
func (b *ballast) make(available, floor uint64) {
	if b.bytes == 0 || b.held.Load() || available < floor+2*uint64(b.bytes) {
		return
	}
	file, err := b.fs.Create(b.path, vfs.WriteCategoryUnspecified)
	if err == nil {
		err = errors.Join(file.Preallocate(0, b.bytes), file.Close())
	}
	if err != nil {
		b.logger.Warn("l2: cannot set disk space aside, will be tried again", "file", b.path, "bytes", b.bytes, "error", err)
		_ = b.fs.Remove(b.path)
		return
	}
	b.held.Store(true)
}

// drop removes the ballast and reports whether that made room.
func (b *ballast) drop() bool {
	if !b.held.Swap(false) {
		return false
	}
	err := b.fs.Remove(b.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.logger.Error("l2: the disk is full, and the space set aside cannot be freed", "file", b.path, "error", err)
		return false
	}
	b.logger.Error("l2: the disk is full, the space that was set aside is used now", "bytes", b.bytes)
	return true
}
