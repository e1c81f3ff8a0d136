package l2

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardFS stands between Pebble and the file system because Pebble does not survive an
// error on its write-ahead log: it panics while it holds locks, or ends the process. The
// guard never lets such an error through. A full disk makes it wait until there is room;
// any other error degrades the store, and the goroutine that met it waits for ever, so
// that reads, which need none of its locks, go on.
//
// Errors on tables pass: Pebble retries flushes and compactions by itself.
type guardFS struct {
	vfs.FS
	dir        string // the database: what happens elsewhere is left alone
	fatal      func(error)
	background context.Context // a full disk is waited for until it ends
	retryEvery time.Duration
	full       *atomic.Int64 // operations that wait for room
	relieve    func() bool   // frees the space that was set aside
	// armed is set once the store is open: before, errors make Open fail.
	armed *atomic.Bool
}

func (g *guardFS) Unwrap() vfs.FS { return g.FS }

// do runs an operation on the log until it succeeds.
func (g *guardFS) do(what string, operation func() error) error {
	err := operation()
	if err == nil || !g.armed.Load() {
		return err
	}
	for errors.Is(err, syscall.ENOSPC) && g.background.Err() == nil {
		if g.relieve() {
			err = operation()
			continue
		}
		g.full.Add(1)
		retry := time.NewTimer(g.retryEvery)
		select {
		case <-retry.C:
		case <-g.background.Done():
		}
		retry.Stop()
		err = operation()
		g.full.Add(-1)
	}
	if err != nil {
		g.fatal(fmt.Errorf("%s: %w", what, err))
		select {}
	}
	return nil
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// isOurLog: a backup has logs too, but elsewhere.
func (g *guardFS) isOurLog(name string) bool { return isLog(name) && g.PathDir(name) == g.dir }

func (g *guardFS) Create(name string, category vfs.DiskWriteCategory) (file vfs.File, err error) {
	if !g.isOurLog(name) {
		return g.FS.Create(name, category)
	}
	err = g.do("create log", func() error {
		file, err = g.FS.Create(name, category)
		return err
	})
	return g.guard(file), err
}

func (g *guardFS) ReuseForWrite(oldName, newName string, category vfs.DiskWriteCategory) (file vfs.File, err error) {
	if !g.isOurLog(newName) {
		return g.FS.ReuseForWrite(oldName, newName, category)
	}
	err = g.do("reuse log", func() error {
		file, err = g.FS.ReuseForWrite(oldName, newName, category)
		return err
	})
	return g.guard(file), err
}

// OpenDir guards directories too: a new log is not there until its directory is synced.
func (g *guardFS) OpenDir(name string) (vfs.File, error) {
	file, err := g.FS.OpenDir(name)
	if name != g.dir {
		return file, err
	}
	return g.guard(file), err
}

func (g *guardFS) guard(file vfs.File) vfs.File {
	if file == nil {
		return nil
	}
	return &guardFile{File: file, fs: g}
}

type guardFile struct {
	vfs.File
	fs *guardFS
}

// Write continues a short write where it ended.
func (f *guardFile) Write(p []byte) (int, error) {
	written := 0
	err := f.fs.do("write log", func() error {
		n, err := f.File.Write(p[written:])
		written += n
		return err
	})
	return written, err
}

func (f *guardFile) Preallocate(offset, length int64) error {
	return f.fs.do("preallocate log", func() error { return f.File.Preallocate(offset, length) })
}

func (f *guardFile) Stat() (info vfs.FileInfo, err error) {
	err = f.fs.do("look at log", func() error {
		info, err = f.File.Stat()
		return err
	})
	return info, err
}

func (f *guardFile) Sync() error     { return f.fs.do("sync log", f.File.Sync) }
func (f *guardFile) SyncData() error { return f.fs.do("sync log", f.File.SyncData) }

func (f *guardFile) SyncTo(length int64) (fullSync bool, err error) {
	err = f.fs.do("sync log", func() error {
		fullSync, err = f.File.SyncTo(length)
		return err
	})
	return fullSync, err
}

func (f *guardFile) Close() error { return f.fs.do("close log", f.File.Close) }
