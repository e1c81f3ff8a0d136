package l2

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

// fileConfig is testConfig with payload files from 4 KiB up.
func fileConfig(fs vfs.FS) Config {
	cfg := testConfig(fs)
	cfg.FileMinBytes = fileBlockBytes
	return cfg
}

// payloadFilesOf lists the payload files that are there.
func payloadFilesOf(t testing.TB, s *Store) []fileID {
	t.Helper()
	settle(t, s)
	s.files.awaitRemoved()
	var all []fileID
	for shard := range fileShards {
		ids, _, err := s.files.list(shard)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, ids...)
	}
	return all
}

// A payload file goes when its record goes, whatever the reason.
func TestFileGoesWithItsRecord(t *testing.T) {
	value := string(incompressible(10_000, 1))
	for _, tc := range []struct {
		name   string
		remove func(*testing.T, *Store, *clock)
		left   int
	}{
		{"replaced by a file", func(t *testing.T, s *Store, _ *clock) {
			put(t, s, "k", 20, string(incompressible(20_000, 2)))
		}, 1},
		{"replaced by a row", func(t *testing.T, s *Store, _ *clock) { put(t, s, "k", 20, string(incompressible(1000, 2))) }, 0},
		{"replaced inline", func(t *testing.T, s *Store, _ *clock) { put(t, s, "k", 20, "v") }, 0},
		{"deleted", func(t *testing.T, s *Store, _ *clock) { write1(t, s, deleteOp(testNS, "k", 20)) }, 0},
		{"older write", func(t *testing.T, s *Store, _ *clock) {
			if op := put(t, s, "k", 5, string(incompressible(10_000, 3))); !op.Superseded {
				t.Error("not superseded")
			}
		}, 1},
		{"write to an unknown generation", func(t *testing.T, s *Store, _ *clock) {
			write1(t, s, putOp(99, "k", 30, incompressible(10_000, 3), attrs()))
		}, 1},
		{"expired", func(t *testing.T, s *Store, c *clock) {
			c.advance(2 * time.Hour)
			s.tick()
		}, 0},
		{"flushed", func(t *testing.T, s *Store, _ *clock) {
			if err := s.PutNamespace(context.Background(), cache.NamespaceRow{Name: "test", ID: 21}, testNS); err != nil {
				t.Fatal(err)
			}
			s.tick()
		}, 0},
		{"evicted", func(t *testing.T, s *Store, _ *clock) {
			if err := s.submit(context.Background(), &request{evict: 1 << 20, emit: func(*group) error { return nil }}); err != nil {
				t.Fatal(err)
			}
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			clock := newClock()
			cfg := fileConfig(vfs.NewMem())
			cfg.Now = clock.Now
			s := withNamespace(t, open(t, cfg))
			put(t, s, "k", 10, value, ttl(time.Hour), tags("t"))
			if get(t, s, "k") != value || len(payloadFilesOf(t, s)) != 1 {
				t.Fatal("the payload is not in a file")
			}
			tc.remove(t, s, clock)
			if files := payloadFilesOf(t, s); len(files) != tc.left {
				t.Errorf("%d files left, want %d", len(files), tc.left)
			}
		})
	}
}

// editFile changes the payload file of sequence 10 behind the store's back.
func editFile(t *testing.T, s *Store, edit func([]byte) []byte) {
	t.Helper()
	ids := slices.DeleteFunc(payloadFilesOf(t, s), func(id fileID) bool { return id.seq != 10 })
	if len(ids) != 1 {
		t.Fatalf("%d files", len(ids))
	}
	path := s.files.path(ids[0])
	info, err := s.files.fs.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	content := make([]byte, info.Size())
	if err := s.files.read(ids[0], content); err != nil {
		t.Fatal(err)
	}
	if content = edit(content); content == nil {
		err = s.files.fs.Remove(path)
	} else {
		err = s.files.writeWhole(path, content, false)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// Whatever happens to a payload file, its record is a miss then, counted and removed.
func TestDamagedFiles(t *testing.T) {
	type damage struct {
		name string
		edit func([]byte) []byte
	}
	cases := []damage{
		{"missing", func([]byte) []byte { return nil }},
		{"empty", func([]byte) []byte { return []byte{} }},
		{"a byte short", func(b []byte) []byte { return b[:len(b)-1] }},
		{"zeros", func(b []byte) []byte { return make([]byte, len(b)) }},
	}
	for _, at := range []int{0, 1, 4095, 4096, 6000} {
		cases = append(cases, damage{fmt.Sprint("bit flip at ", at), func(b []byte) []byte { b[at] ^= 4; return b }})
	}
	for _, value := range [][]byte{incompressible(9000, 1), append(incompressible(7000, 1), compressible(50_000)...)} {
		for _, tc := range cases {
			t.Run(fmt.Sprint(len(value), " ", tc.name), func(t *testing.T) {
				s := withNamespace(t, open(t, fileConfig(vfs.NewMem())))
				removed := watchRemovals(s)
				put(t, s, "k", 10, string(value), tags("t"))
				editFile(t, s, tc.edit)
				for range 2 {
					if got := get(t, s, "k"); got != "-" {
						t.Fatalf("got %d bytes", len(got))
					}
					settle(t, s)
				}
				removed.await(t, 1)
				if st := s.Stats(); st.CorruptRecords != 1 || st.Entries != 0 {
					t.Errorf("%d corrupt records, %d entries", st.CorruptRecords, st.Entries)
				}
				put(t, s, "k", 11, string(value))
				if get(t, s, "k") != string(value) {
					t.Error("the key does not recover")
				}
			})
		}
	}
}

// Files that a crash left without records go after the next open; files being written and
// what is not ours stay.
func TestOrphanFiles(t *testing.T) {
	mem := vfs.NewMem()
	cfg := fileConfig(mem)
	s := withNamespace(t, mustOpen(t, cfg))
	put(t, s, "k", 10, string(incompressible(9000, 1)))
	for seq := range cache.Sequence(20) { // also one of the same sequence
		if _, err := s.files.write(seq<<fileShardBits|10, []byte("orphan"), false); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	foreign := mem.PathJoin(s.files.shardDir(0), "README")
	if err := newPayloadFiles(mem, cfg.Dir, s.cfg.Logger).writeWhole(foreign, []byte("not ours"), false); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	if got := len(payloadFilesOf(t, s)); got != 21 {
		t.Fatalf("%d files", got)
	}
	writing, err := s.files.write(11, []byte("its record comes later"), false)
	if err != nil {
		t.Fatal(err)
	}
	s.tick()
	if got := payloadFilesOf(t, s); len(got) != 2 {
		t.Errorf("%d files left", len(got))
	}
	s.files.discard(writing)
	if get(t, s, "k") == "-" {
		t.Error("the file of a record is gone")
	}
	if _, err := mem.Stat(foreign); err != nil {
		t.Error("a file that is not ours is gone")
	}
	if err := mem.Remove(foreign); err != nil {
		t.Fatal(err)
	}
	closeValid(t, s)
}

// A reader that has found a record whose file is then replaced gets the new one.
func TestReadWhileFilesAreReplaced(t *testing.T) {
	s := withNamespace(t, open(t, fileConfig(vfs.NewMem())))
	put(t, s, "k", 1, string(incompressible(8000, 1)))
	done := make(chan struct{})
	go func() {
		defer close(done)
		for seq := cache.Sequence(2); seq < 300; seq++ {
			put(t, s, "k", seq, string(incompressible(8000, uint64(seq))))
			if seq%4 == 0 {
				settle(t, s) // removes what was replaced
			}
		}
	}()
	hits := 0
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		var r cache.Record
		ok, err := s.Get(context.Background(), testNS, []byte("k"), true, &r)
		if err != nil {
			t.Fatal(err)
		}
		if ok {
			hits++
			if string(r.Value) != string(incompressible(8000, uint64(r.Seq))) {
				t.Fatal("another value")
			}
		}
	}
	if st := s.Stats(); st.CorruptRecords != 0 || hits == 0 {
		t.Errorf("%d hits, %d corrupt records", hits, st.CorruptRecords)
	}
}

// After a crash a record whose file is not there, or not whole, is a miss, unless the write
// or a later sync was durable; nothing else of a prefix is missing, and nothing is wrong.
func TestCrashWithFiles(t *testing.T) {
	t.Parallel()
	for seed := range uint64(40) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 8))
			fs := vfs.NewCrashableMem()
			cfg := fileConfig(fs)
			cfg.MemTableBytes = memTableBytesFloor
			s := withNamespace(t, mustOpen(t, cfg))
			var steps []crashStep
			durable, synced := 0, 0
			for i := range 60 + rng.IntN(100) {
				step := crashStep{key: fmt.Sprint("k", rng.IntN(12)), seq: sequence(i + 10), durable: rng.IntN(8) == 0}
				op := deleteOp(testNS, step.key, step.seq)
				if rng.IntN(4) > 0 {
					step.value = string(incompressible(1+rng.IntN(20_000), uint64(i)))
					op = putOp(testNS, step.key, step.seq, []byte(step.value), attrs(tags("t")))
				}
				if err := s.Write(context.Background(), []cache.TierOp{op}, step.durable); err != nil {
					t.Fatal(err)
				}
				steps = append(steps, step)
				if step.durable {
					durable = len(steps)
				}
				if rng.IntN(20) == 0 {
					if err := s.Sync(context.Background()); err != nil {
						t.Fatal(err)
					}
					synced, durable = len(steps), len(steps)
				}
			}
			crashed := fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: rng.IntN(101), RNG: rng})
			closeValid(t, s)
			cfg.FS = crashed
			s = mustOpen(t, cfg)
			checkPrefix(t, s, steps, durable, synced)
			s.tick()
			closeValid(t, s)
		})
	}
}

// checkPrefix compares a store after a crash with the steps before it. The first durable
// ones must be there; so must the payload files of the first synced ones, and of those
// that were themselves durable.
func checkPrefix(t *testing.T, s *Store, steps []crashStep, durable, synced int) {
	t.Helper()
	last := s.State().LastSeq
	kept := 0
	for kept < len(steps) && steps[kept].seq <= last {
		kept++
	}
	if kept < durable {
		t.Fatalf("%d of %d steps survived, %d were durable", kept, len(steps), durable)
	}
	newest := make(map[string]int)
	for i, step := range steps[:kept] {
		newest[step.key] = i
	}
	for key, i := range newest {
		want := steps[i].value
		if want == "" {
			want = "-"
		}
		got := get(t, s, key)
		mayMiss := len(want) >= fileBlockBytes && !steps[i].durable && i >= synced
		if got != want && (got != "-" || !mayMiss) {
			t.Errorf("%s: %d bytes, want %d", key, len(got), len(want))
		}
	}
	settle(t, s)
}

// A directory of the first format is read, and becomes one of the current format.
func TestFirstFormat(t *testing.T) {
	mem := vfs.NewMem()
	cfg := fileConfig(mem)
	s := withNamespace(t, mustOpen(t, cfg))
	put(t, s, "k", 10, "v")
	d := directory{fs: mem, path: cfg.Dir}
	err := errors.Join(
		s.db.Set(singletonKey("format"), append([]byte{1}, s.marker.id...), pebble.Sync),
		s.db.Set(appendNamespaceKey(nil, "test"), appendNamespaceRow(nil, cache.NamespaceRow{ID: testNS, Created: time.UnixMilli(5)})[:namespaceRowSizeV1], pebble.Sync),
		s.Close())
	if err != nil {
		t.Fatal(err)
	}
	marker, err := d.read()
	marker.version = 1
	if err = errors.Join(err, d.write(marker)); err != nil {
		t.Fatal(err)
	}
	s = mustOpen(t, cfg)
	if get(t, s, "k") != "v" || len(s.State().Namespaces) != 1 || s.State().Namespaces[0].Name != "test" {
		t.Errorf("%+v", s.State())
	}
	put(t, s, "file", 11, string(incompressible(9000, 1)))
	closeValid(t, s)
	if marker, err = d.read(); err != nil || marker.version != formatVersion {
		t.Errorf("%+v %v", marker, err)
	}
	if _, err := mem.Stat(mem.PathJoin(cfg.Dir, filesName)); errors.Is(err, fs.ErrNotExist) {
		t.Error("no payload files")
	}
}
