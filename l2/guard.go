package l2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// guardFS stands between Pebble and the file system because Pebble does not survive an
// error on its write-ahead log or its manifest: it panics or calls Fatalf while it holds
// locks that a reader needs to end. The guard never lets such an error through. A full disk
// makes it wait until there is room; any other error degrades the store, and the goroutine
// that met it waits for ever. Pebble writes these files without DB.mu, so that reads go on.
//
// A guard can be shut: what goes on in the database that it serves then stops for good, so
// that another one can be opened in its place.
//
// A sync is not tried again, whatever its error: the kernel may have dropped what it could
// not write, and then the next one succeeds without it.
//
// Errors on tables pass, after a while: Pebble retries flushes and compactions by itself,
// and without a pause. Of a store that is degraded they do not: nobody needs its tables.
type guardFS struct {
	vfs.FS
	dir        string // the database: what happens elsewhere is left alone
	fatal      func(error)
	broken     <-chan struct{} // closed once the store is degraded
	background context.Context // a full disk is waited for until it ends
	retryEvery time.Duration
	full       *atomic.Int64 // operations on guarded files that wait for room
	relieve    func() bool   // frees the space that was set aside
	// armed is set once the store is open: before, errors make Open fail.
	armed *atomic.Bool
	// missing is told of a table that is not there: Pebble's answer is to end the process.
	missing func(error)

	gate struct {
		sync.RWMutex // read-locked by each operation that changes something
		shut         bool
	}
}

func (g *guardFS) Unwrap() vfs.FS { return g.FS }

// isFull reports that an operation failed for want of room and may succeed later.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// shutFor ends all changes by way of this guard. It waits for those under way, as long as
// ctx allows.
func (g *guardFS) shutFor(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		g.gate.Lock()
		defer g.gate.Unlock()
		g.gate.shut = true
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// enter begins a change, which ends with g.gate.RUnlock. It does not return once the guard
// is shut.
func (g *guardFS) enter() {
	g.gate.RLock()
	if g.gate.shut {
		g.gate.RUnlock()
		select {}
	}
}

// try runs an operation that changes something.
func (g *guardFS) try(operation func() error) error {
	g.enter()
	defer g.gate.RUnlock()
	return operation()
}

// do runs an operation on a guarded file until it succeeds.
func (g *guardFS) do(what string, operation func() error) error {
	err := g.try(operation)
	if err == nil || !g.armed.Load() {
		return err
	}
	for isFull(err) && g.relieve() {
		err = g.try(operation)
	}
	if isFull(err) {
		err = g.awaitRoom(operation, err)
	}
	return g.once(what, err)
}

// awaitRoom tries an operation that met a full disk again and again. It counts as one that
// waits all the time: a write that came in a gap would wait with it, and not be shed.
func (g *guardFS) awaitRoom(operation func() error, err error) error {
	g.full.Add(1)
	defer g.full.Add(-1)
	for isFull(err) && g.background.Err() == nil {
		if !g.relieve() {
			g.pause()
		}
		err = g.try(operation)
	}
	return err
}

// once ends an operation that is not to be tried again.
func (g *guardFS) once(what string, err error) error {
	if err != nil && g.armed.Load() {
		g.fatal(fmt.Errorf("%s: %w", what, err))
		select {}
	}
	return err
}

// table ends an operation on a file that Pebble makes in the background.
func (g *guardFS) table(err error) error {
	if err == nil {
		return nil
	}
	g.pause()
	select {
	case <-g.broken:
		select {}
	default:
		return err
	}
}

// pause waits for a moment, unless the store is being closed.
func (g *guardFS) pause() {
	retry := time.NewTimer(g.retryEvery)
	defer retry.Stop()
	select {
	case <-retry.C:
	case <-g.background.Done():
	}
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// isManifest includes the markers, empty files whose names say which manifest counts.
func isManifest(base string) bool {
	return strings.HasPrefix(base, "MANIFEST-") || strings.HasPrefix(base, "marker.")
}

// kindOf names a guarded file in errors; it is empty for others. A backup has such files
// too, but elsewhere.
func (g *guardFS) kindOf(name string) string {
	switch {
	case g.PathDir(name) != g.dir:
		return ""
	case isLog(name):
		return "log"
	case isManifest(g.PathBase(name)):
		return "manifest"
	default:
		return ""
	}
}

func (g *guardFS) Create(name string, category vfs.DiskWriteCategory) (file vfs.File, err error) {
	kind := g.kindOf(name)
	switch {
	case kind != "":
	case g.PathDir(name) != g.dir:
		g.enter()
		defer g.gate.RUnlock()
		return g.FS.Create(name, category)
	default:
		err = g.try(func() error {
			file, err = g.FS.Create(name, category)
			return err
		})
		if err != nil {
			return nil, g.table(err)
		}
		return &tableFile{File: file, fs: g}, nil
	}
	err = g.do("create "+kind, func() error {
		file, err = g.FS.Create(name, category)
		return err
	})
	return g.guard(file, kind), err
}

func (g *guardFS) ReuseForWrite(oldName, newName string, category vfs.DiskWriteCategory) (file vfs.File, err error) {
	kind := g.kindOf(newName)
	if kind == "" {
		g.enter()
		defer g.gate.RUnlock()
		return g.FS.ReuseForWrite(oldName, newName, category)
	}
	err = g.do("reuse "+kind, func() error {
		file, err = g.FS.ReuseForWrite(oldName, newName, category)
		return err
	})
	return g.guard(file, kind), err
}

// Open makes a missing table an error of those who need it.
func (g *guardFS) Open(name string, opts ...vfs.OpenOption) (vfs.File, error) {
	file, err := g.FS.Open(name, opts...)
	if !errors.Is(err, fs.ErrNotExist) || !strings.HasSuffix(name, ".sst") || g.PathDir(name) != g.dir || !g.armed.Load() {
		return file, err
	}
	err = fmt.Errorf("a table is missing: %v", err) // not %w: this is what Pebble ends processes for
	g.missing(err)
	g.pause() // compactions try again at once
	return nil, err
}

func (g *guardFS) Link(oldName, newName string) error {
	return g.try(func() error { return g.FS.Link(oldName, newName) })
}

func (g *guardFS) Remove(name string) error {
	return g.try(func() error { return g.FS.Remove(name) })
}

func (g *guardFS) RemoveAll(name string) error {
	return g.try(func() error { return g.FS.RemoveAll(name) })
}

func (g *guardFS) Rename(oldName, newName string) error {
	return g.try(func() error { return g.FS.Rename(oldName, newName) })
}

func (g *guardFS) MkdirAll(dir string, perm os.FileMode) error {
	return g.try(func() error { return g.FS.MkdirAll(dir, perm) })
}

// Lock leaves the database's own lock alone: the lock of the data directory is held, also
// while one database is given up and another one opened in its place.
func (g *guardFS) Lock(name string) (io.Closer, error) {
	if g.PathDir(name) == g.dir {
		return io.NopCloser(nil), nil
	}
	return g.FS.Lock(name)
}

// OpenDir guards directories too: a new log is not there until its directory is synced.
func (g *guardFS) OpenDir(name string) (vfs.File, error) {
	file, err := g.FS.OpenDir(name)
	if name != g.dir {
		return file, err
	}
	return g.guard(file, "directory"), err
}

func (g *guardFS) guard(file vfs.File, kind string) vfs.File {
	if file == nil {
		return nil
	}
	return &guardFile{File: file, fs: g, kind: kind}
}

type guardFile struct {
	vfs.File
	fs   *guardFS
	kind string
}

// Write continues a short write where it ended.
func (f *guardFile) Write(p []byte) (int, error) {
	written := 0
	err := f.fs.do("write "+f.kind, func() error {
		n, err := f.File.Write(p[written:])
		written += n
		return err
	})
	return written, err
}

func (f *guardFile) Preallocate(offset, length int64) error {
	return f.fs.do("preallocate "+f.kind, func() error { return f.File.Preallocate(offset, length) })
}

func (f *guardFile) Stat() (info vfs.FileInfo, err error) {
	err = f.fs.do("look at "+f.kind, func() error {
		info, err = f.File.Stat()
		return err
	})
	return info, err
}

func (f *guardFile) Sync() error     { return f.sync(f.File.Sync) }
func (f *guardFile) SyncData() error { return f.sync(f.File.SyncData) }

func (f *guardFile) SyncTo(length int64) (fullSync bool, err error) {
	err = f.sync(func() error {
		fullSync, err = f.File.SyncTo(length)
		return err
	})
	return fullSync, err
}

func (f *guardFile) sync(operation func() error) error {
	return f.fs.once("sync "+f.kind, f.fs.try(operation))
}

func (f *guardFile) Close() error { return f.fs.do("close "+f.kind, f.File.Close) }

// tableFile is any other file of the database while it is made.
type tableFile struct {
	vfs.File
	fs *guardFS
}

func (f *tableFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.fs.table(err)
}

func (f *tableFile) Sync() error     { return f.fs.table(f.File.Sync()) }
func (f *tableFile) SyncData() error { return f.fs.table(f.File.SyncData()) }

func (f *tableFile) SyncTo(length int64) (fullSync bool, err error) {
	fullSync, err = f.File.SyncTo(length)
	return fullSync, f.fs.table(err)
}
