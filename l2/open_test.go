package l2

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// filesOf lists all files under a directory with their contents.
func filesOf(t testing.TB, fs vfs.FS, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	names, err := fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := fs.PathJoin(dir, name)
		info, err := fs.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.IsDir() {
			for sub, text := range filesOf(t, fs, path) {
				files[sub] = text
			}
			continue
		}
		f, err := fs.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		files[path] = string(text)
	}
	return files
}

func writeFile(t testing.TB, fs vfs.FS, path, text string) {
	t.Helper()
	if err := fs.MkdirAll(fs.PathDir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	f, err := fs.Create(path, vfs.WriteCategoryUnspecified)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.Write([]byte(text))
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// made is a store with a record in it, closed.
func made(t testing.TB, fs vfs.FS) Config {
	t.Helper()
	cfg := testConfig(fs)
	s := withNamespace(t, mustOpen(t, cfg))
	put(t, s, "k", 10, "v")
	closeValid(t, s)
	return cfg
}

// Directories that are refused keep their files as they were. Of a database that had to be
// opened to be refused, the log files change, not the content.
func TestOpenRefuses(t *testing.T) {
	remove := func(match string) func(t *testing.T, fs vfs.FS) {
		return func(t *testing.T, fs vfs.FS) {
			made(t, fs)
			for path := range filesOf(t, fs, "data") {
				if ok, _ := filepath.Match(match, path); ok {
					if err := fs.Remove(path); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
	}
	rewrite := func(old, text string) func(t *testing.T, fs vfs.FS) {
		return func(t *testing.T, fs vfs.FS) {
			made(t, fs)
			marker := filesOf(t, fs, "data")["data/FORMAT"]
			writeFile(t, fs, "data/FORMAT", strings.Replace(marker, old, text, 1))
		}
	}
	for _, tc := range []struct {
		name   string
		setup  func(t *testing.T, fs vfs.FS)
		kind   error
		opened bool // the database must be opened to find out
	}{
		{"somebody's files", func(t *testing.T, fs vfs.FS) { writeFile(t, fs, "data/letter.txt", "dear") }, ErrForeign, false},
		{"a PostgreSQL cluster", func(t *testing.T, fs vfs.FS) { writeFile(t, fs, "data/PG_VERSION", "17") }, ErrForeign, false},
		{"another FORMAT file", rewrite(markerMagic, "minio"), ErrForeign, false},
		{"newer format", rewrite("format 3", "format 4"), ErrNewerFormat, false},
		{"incomplete marker", rewrite("state ready", "state rea"), ErrDamaged, false},
		{"another store's marker", rewrite("id ", "id 0"), ErrDamaged, true},
		{"database files gone", remove("data/db/*"), ErrDamaged, false},
		{"tables gone", remove("data/db/*.sst"), ErrDamaged, false},
		{"manifest gone", remove("data/db/MANIFEST-*"), ErrDamaged, false},
		{"manifest truncated", func(t *testing.T, fs vfs.FS) {
			cfg := made(t, fs)
			s := mustOpen(t, cfg)
			for i := range 20 {
				put(t, s, keyOf(i), sequence(i+20), "v")
				if err := s.db.Flush(); err != nil {
					t.Fatal(err)
				}
			}
			closeValid(t, s)
			for path, text := range filesOf(t, fs, "data") {
				if strings.Contains(path, "MANIFEST-") {
					writeFile(t, fs, path, text[:len(text)/2])
				}
			}
		}, ErrDamaged, true},
		{"newer database format", func(t *testing.T, fs vfs.FS) {
			made(t, fs)
			db, err := pebble.Open("data/db", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatNewest})
			if err := errors.Join(err, db.Close()); err != nil {
				t.Fatal(err)
			}
		}, ErrNewerFormat, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			fs := vfs.NewMem()
			tc.setup(t, fs)
			before := filesOf(t, fs, "data")
			s, err := Open(testConfig(fs))
			if err == nil {
				s.Close()
			}
			var open *OpenError
			if !errors.Is(err, tc.kind) || !errors.As(err, &open) || open.Hint == "" {
				t.Fatalf("%v", err)
			}
			t.Log(err)
			after := filesOf(t, fs, "data")
			for path, text := range before {
				if after[path] != text && !(tc.opened && strings.HasPrefix(path, "data/db/")) {
					t.Errorf("%s was changed", path)
				}
			}
			renameCorrupt(t, fs, tc.kind, after)
		})
	}
}

// renameCorrupt opens a directory that was refused with Config.RenameCorrupt: damage is moved
// aside whole, anything else is refused as before.
func renameCorrupt(t *testing.T, fs vfs.FS, kind error, before map[string]string) {
	t.Helper()
	cfg := testConfig(fs)
	cfg.RenameCorrupt = true
	s, err := Open(cfg)
	if kind != ErrDamaged {
		if !errors.Is(err, kind) {
			t.Errorf("to be renamed: %v", err)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	put(t, withNamespace(t, s), "k2", 10, "new")
	if get(t, s, "k") != "-" || get(t, s, "k2") != "new" {
		t.Error("the store that was made in place of a damaged one is not empty, or does not work")
	}
	closeValid(t, s)
	if get2 := mustOpen(t, cfg); get(t, get2, "k2") != "new" {
		t.Error("it is not found again")
	} else {
		closeValid(t, get2)
	}
	moved := 0
	for path := range filesOf(t, fs, "data") {
		if strings.Contains(path, "/"+asidePrefix) {
			moved++
		}
	}
	if moved == 0 || len(before) == 0 {
		t.Error("the damaged store was not kept")
	}
}

func TestOpenLocked(t *testing.T) {
	cfg := testConfig(nil)
	cfg.Dir = filepath.Join(t.TempDir(), "made", "on the way")
	s := withNamespace(t, mustOpen(t, cfg))
	if _, err := Open(cfg); !errors.Is(err, ErrLocked) {
		t.Errorf("second open: %v", err)
	}
	put(t, s, "k", 10, "v")
	closeValid(t, s)
	s = open(t, cfg) // closing unlocks
	if get(t, s, "k") != "v" {
		t.Error("the record is gone")
	}
}

func TestOpenUnwritable(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(nil)
	cfg.Dir = file
	var open *OpenError
	if _, err := Open(cfg); !errors.As(err, &open) {
		t.Errorf("open a file: %v", err)
	}
}

func TestOpenEmptyAndInterrupted(t *testing.T) {
	fs := vfs.NewMem()
	cfg := testConfig(fs)
	if err := fs.MkdirAll("data/lost+found", 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, fs, "data/FORMAT.tmp", "pgca")
	d := directory{fs: fs, path: "data"}
	if _, err := d.create(); err != nil { // and the process died
		t.Fatal(err)
	}
	s := mustOpen(t, cfg)
	closeValid(t, s)
	if m, err := d.read(); err != nil || m.state != stateReady {
		t.Errorf("%+v %v", m, err)
	}
	closeValid(t, mustOpen(t, cfg))
}

func TestState(t *testing.T) {
	fs := vfs.NewMem()
	cfg := made(t, fs)
	s := mustOpen(t, cfg)
	if state := s.State(); state.LastSeq != 10 || len(state.Namespaces) != 1 || state.Namespaces[0].Name != "test" {
		t.Errorf("%+v", state)
	}
	write1(t, s, deleteOp(testNS, "k", 20)) // a delete leaves no record of its sequence but this
	closeValid(t, s)
	s = open(t, cfg)
	if state := s.State(); state.LastSeq != 20 {
		t.Errorf("%+v", state)
	}
}

func TestConfigValidate(t *testing.T) {
	for _, c := range []Config{
		{},
		{Dir: "d", BytesMax: 1},
		{Dir: "d", MemTableBytes: 1},
		{Dir: "d", BlockCacheBytes: -1},
		{Dir: "d", CompressMinGainPct: 100},
		{Dir: "d", CompressMinBytes: -1},
		{Dir: "d", WriteTimeout: -1},
		{Dir: "d", TickInterval: -1},
	} {
		if err := c.Validate(); err == nil {
			t.Errorf("%+v is accepted", c)
		}
		if _, err := Open(c); err == nil {
			t.Errorf("%+v is opened", c)
		}
	}
	if err := (Config{Dir: "d"}).Validate(); err != nil {
		t.Error(err)
	}
}

// The disk holds little more than what is live, however often it is overwritten.
func TestOverwritesDoNotPileUp(t *testing.T) {
	t.Parallel()
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	const size = 20 << 10
	for i := range 1000 {
		put(t, s, "k", sequence(i), string(incompressible(size, uint64(i))), tags("t"))
	}
	if st := s.Stats(); st.Entries != 1 || st.BytesInUse > size+1000 {
		t.Errorf("%d entries, %d bytes", st.Entries, st.BytesInUse)
	}
	if err := errors.Join(s.db.Flush(), s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)); err != nil {
		t.Fatal(err)
	}
	tables := s.db.Metrics().Total().TablesSize
	if tables > 3*size {
		t.Errorf("%d bytes of tables for a record of %d", tables, size)
	}
	if got := rowsOf(t, s, testNS); got != 4 { // m, v, q, i
		t.Errorf("%d rows", got)
	}
}

// Lookups of absent keys hardly ever load a block of data.
func TestAbsentKeysReadNoBlocks(t *testing.T) {
	t.Parallel()
	s := withNamespace(t, open(t, testConfig(vfs.NewMem())))
	const total = 5000
	for i := range total {
		put(t, s, keyOf(2*i), sequence(i), string(incompressible(400, uint64(i))))
	}
	if err := errors.Join(s.db.Flush(), s.db.Compact(context.Background(), []byte{0}, []byte{0xff}, false)); err != nil {
		t.Fatal(err)
	}
	before, metrics := s.Stats(), s.db.Metrics().Filter
	for i := range total {
		if get(t, s, keyOf(2*i+1)) != "-" {
			t.Fatal("found an absent key")
		}
	}
	after := s.Stats()
	if skips := after.NegativeSkips - before.NegativeSkips; skips != total || after.MetadataReads != before.MetadataReads {
		t.Errorf("%d skips", skips)
	}
	filter := s.db.Metrics().Filter
	hits, misses := filter.Hits-metrics.Hits, filter.Misses-metrics.Misses
	if hits < total*97/100 || misses > total*3/100 {
		t.Errorf("%d lookups: filters avoided %d block reads, not %d", total, hits, misses)
	}
	if !slices.Equal(scanPrefix(t, s, testNS, keyOf(0)), []string{"1/" + keyOf(0)}) {
		t.Error("a present key is not found")
	}
}
