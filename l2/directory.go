package l2

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// directory is a data directory seen from outside: its marker and its lock.
type directory struct {
	fs   vfs.FS
	path string
}

// formatVersion is the version of our own format: rows, header and directory.
//
//	1  the first
//	2  payload files; limits in N rows. Version 1 is read as it is, and becomes 2 by being
//	   opened
//	3  last accesses in m rows. Versions 1 and 2 likewise
const formatVersion = 3

const (
	markerName    = "FORMAT"
	markerTmpName = "FORMAT.tmp"
	databaseName  = "db"
	lockName      = "LOCK"
	asidePrefix   = "corrupt-"
	markerMagic   = "pgcache-l2"

	// markerBytesMax bounds what is read of a file that claims to be a marker.
	markerBytesMax = 4096
)

// markerState says how far the making of a store came.
type markerState string

const (
	stateNone     markerState = ""         // nothing there yet
	stateCreating markerState = "creating" // the database may be missing or incomplete
	stateReady    markerState = "ready"
	stateCopying  markerState = "copying" // a backup or a restore that is not finished
)

// marker is the content of the FORMAT file.
type marker struct {
	version int
	id      string
	state   markerState
	seq     uint64 // the database's last sequence at the latest clean close
}

func (m marker) encode() []byte {
	return fmt.Appendf(nil, "%s\nformat %d\nid %s\nstate %s\nsequence %d\n", markerMagic, m.version, m.id, m.state, m.seq)
}

func decodeMarker(text string) (m marker, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) < 2 || lines[0] != markerMagic {
		return m, false
	}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, " ")
		switch name {
		case "format":
			m.version, _ = strconv.Atoi(value)
		case "id":
			m.id = value
		case "state":
			m.state = markerState(value)
		case "sequence":
			m.seq, _ = strconv.ParseUint(value, 10, 64)
		}
	}
	return m, m.version > 0
}

// inspect reads the marker. It changes nothing, and refuses what is not ours.
func (d directory) inspect() (marker, error) {
	names, err := d.fs.List(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return marker{}, nil
	}
	if err != nil {
		return marker{}, &OpenError{Dir: d.path, Err: err}
	}
	foreign, marked := "", false
	for _, name := range names {
		switch name {
		case markerName:
			marked = true
		case markerTmpName, lockName, ballastName, visitedName, probeName, "lost+found":
		default:
			if !strings.HasPrefix(name, asidePrefix) {
				foreign = name
			}
		}
	}
	if !marked {
		if foreign != "" {
			return marker{}, &OpenError{
				Dir: d.path, Kind: ErrForeign, Err: fmt.Errorf("it has no %s file but holds %q", markerName, foreign),
				Hint: "name an empty or a new directory",
			}
		}
		return marker{}, nil
	}
	return d.read()
}

func (d directory) read() (marker, error) {
	f, err := d.fs.Open(d.fs.PathJoin(d.path, markerName))
	if err != nil {
		return marker{}, &OpenError{Dir: d.path, Err: err}
	}
	text, err := io.ReadAll(io.LimitReader(f, markerBytesMax))
	if err := errors.Join(err, f.Close()); err != nil {
		return marker{}, &OpenError{Dir: d.path, Err: err}
	}
	m, ok := decodeMarker(string(text))
	switch {
	case !ok:
		return m, &OpenError{
			Dir: d.path, Kind: ErrForeign, Err: fmt.Errorf("its %s file is not ours", markerName),
			Hint: "name an empty or a new directory",
		}
	case m.version > formatVersion:
		return m, d.newer(fmt.Errorf("format %d, this version knows %d", m.version, formatVersion))
	case m.state == stateCopying:
		return m, &OpenError{
			Dir: d.path, Kind: ErrDamaged, Err: errors.New("a backup or a restore into it was not finished"),
			Hint: "remove the directory and start again",
		}
	case m.id == "" || (m.state != stateCreating && m.state != stateReady):
		return m, d.damaged(fmt.Errorf("its %s file is incomplete", markerName))
	}
	return m, nil
}

// acquire makes the directory if need be and locks it.
func (d directory) acquire() (*pebble.Lock, error) {
	if err := d.make(); err != nil {
		return nil, &OpenError{Dir: d.path, Err: err}
	}
	lock, err := pebble.LockDirectory(d.path, d.fs)
	switch {
	case err == nil:
		return lock, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, fs.ErrNotExist):
		return nil, &OpenError{Dir: d.path, Err: err}
	default:
		return nil, &OpenError{
			Dir: d.path, Kind: ErrLocked, Err: err,
			Hint: "stop the other process or name another directory",
		}
	}
}

// make makes the directory and what is missing above it, so that they outlive a crash.
func (d directory) make() error {
	var parents []string // of what is missing
	for path := d.path; ; {
		if _, err := d.fs.Stat(path); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break // a real error comes back from MkdirAll
		}
		parent := d.fs.PathDir(path)
		parents = append(parents, parent)
		if parent == path {
			break
		}
		path = parent
	}
	if err := d.fs.MkdirAll(d.path, 0o755); err != nil {
		return err
	}
	for _, parent := range parents {
		if err := (directory{d.fs, parent}).sync(); err != nil {
			return err
		}
	}
	return nil
}

// create marks the directory as ours, before anything else is put into it.
func (d directory) create() (marker, error) {
	id := make([]byte, 16)
	_, _ = rand.Read(id) // never fails
	m := marker{version: formatVersion, id: hex.EncodeToString(id), state: stateCreating}
	return m, d.write(m)
}

// upgrade marks a directory of an older format, all of which this version reads, as one
// that older versions must not open any more, before anything of the new format is there.
func (d directory) upgrade(m marker) (marker, error) {
	m.version = formatVersion
	return m, d.write(m)
}

// write replaces the marker, durably and at once.
func (d directory) write(m marker) error {
	tmp, name := d.fs.PathJoin(d.path, markerTmpName), d.fs.PathJoin(d.path, markerName)
	f, err := d.fs.Create(tmp, vfs.WriteCategoryUnspecified)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.Write(m.encode())
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.fs.Rename(tmp, name)
	}
	if err == nil {
		err = d.sync()
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return nil
}

func (d directory) sync() error {
	dir, err := d.fs.OpenDir(d.path)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}

func (d directory) databaseDir() string { return d.fs.PathJoin(d.path, databaseName) }

func (d directory) newer(err error) error {
	return &OpenError{Dir: d.path, Kind: ErrNewerFormat, Err: err, Hint: "use that version, or another directory"}
}

func (d directory) damaged(err error) error {
	return &OpenError{
		Dir: d.path, Kind: ErrDamaged, Err: err,
		Hint: "it is a cache: move the directory aside to start with an empty one, or let --on-corrupt=rename do it",
	}
}

// moveAside moves what a directory holds into a folder inside it, since the directory
// itself may be where a disk is mounted. The marker goes last: without it the rest would
// be taken for something foreign.
func (d directory) moveAside(now time.Time) (string, error) {
	aside := directory{d.fs, d.fs.PathJoin(d.path, asidePrefix+now.UTC().Format("20060102T150405.000000000"))}
	if err := aside.make(); err != nil {
		return "", err
	}
	for _, name := range []string{databaseName, filesName, markerName} {
		err := d.fs.Rename(d.fs.PathJoin(d.path, name), d.fs.PathJoin(aside.path, name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", err
		}
	}
	return aside.path, errors.Join(aside.sync(), d.sync())
}
