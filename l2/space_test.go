package l2

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

// diskBytes is what the files of a store take.
func diskBytes(t *testing.T, s *Store, fs vfs.FS) int64 {
	t.Helper()
	settle(t, s)
	s.files.awaitRemoved()
	var total int64
	var walk func(dir string)
	walk = func(dir string) {
		names, err := fs.List(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			path := fs.PathJoin(dir, name)
			info, err := fs.Stat(path)
			switch {
			case err != nil: // removed meanwhile
			case info.IsDir():
				walk(path)
			default:
				total += info.Size()
			}
		}
	}
	walk(s.cfg.Dir)
	return total
}

// awaitDiskBytes waits until a store takes no more than limit, which is up to Pebble's
// compactions.
func awaitDiskBytes(t *testing.T, s *Store, fs vfs.FS, limit int64) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		s.tick()
		left := diskBytes(t, s, fs)
		if left <= limit {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d bytes on disk, limit %d", left, limit)
		}
	}
}

// logsMax is what Pebble's logs may take: it keeps some to write them again.
const logsMax = 6 * memTableBytesFloor

// Overwriting one key again and again takes no more room than three of its values, and the
// logs.
func TestOverwritesTakeNoRoom(t *testing.T) {
	t.Parallel()
	for _, size := range []int{100, 8 << 10, 60 << 10, 300 << 10} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			fs := vfs.NewMem()
			cfg := testConfig(fs)
			cfg.MemTableBytes = memTableBytesFloor
			cfg.CompressMinBytes = math.MaxInt // in vain, and slow under the race detector
			s := withNamespace(t, open(t, cfg))
			limit := 3*int64(size) + logsMax
			value := incompressible(size+1000, uint64(size))
			overwrites := 1000
			if size > 10<<10 {
				overwrites = 300 // a hundred times as much as there may be
			}
			for i := range overwrites {
				put(t, s, "k", sequence(i), string(value[i:i+size]), tags("t"), ttl(time.Hour))
				if i%100 == 99 {
					awaitDiskBytes(t, s, fs, limit)
				}
			}
			if st := s.Stats(); st.Entries != 1 {
				t.Errorf("%d entries", st.Entries)
			}
		})
	}
}

// What is deleted, flushed, expired or evicted gives its room back, without help.
func TestRoomComesBack(t *testing.T) {
	t.Parallel()
	const records, size = 400, 20 << 10
	for _, tc := range []struct {
		name   string
		remove func(*testing.T, *Store, *clock)
	}{
		{"deleted", func(t *testing.T, s *Store, _ *clock) {
			for i := range records {
				write1(t, s, deleteOp(testNS, keyOf(i), sequence(i+records)))
			}
		}},
		{"flushed", func(t *testing.T, s *Store, _ *clock) {
			if err := s.PutNamespace(context.Background(), cache.NamespaceRow{Name: "test", ID: 9999}, testNS); err != nil {
				t.Fatal(err)
			}
		}},
		{"expired", func(t *testing.T, s *Store, c *clock) { c.advance(2 * time.Hour) }},
		{"evicted", func(t *testing.T, s *Store, _ *clock) {
			if err := s.submit(context.Background(), &request{evict: 64 << 20, emit: func(*group) error { return nil }}); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		for _, files := range []bool{false, true} {
			t.Run(fmt.Sprint(tc.name, " files ", files), func(t *testing.T) {
				fs, clock := vfs.NewMem(), newClock()
				cfg := testConfig(fs)
				cfg.MemTableBytes, cfg.Now, cfg.CompressMinBytes = memTableBytesFloor, clock.Now, math.MaxInt
				if files {
					cfg.FileMinBytes = fileBlockBytes
				}
				s := withNamespace(t, open(t, cfg))
				for i := range records {
					put(t, s, keyOf(i), sequence(i), string(incompressible(size, uint64(i))), ttl(time.Hour))
				}
				if full := diskBytes(t, s, fs); full < records*size {
					t.Fatalf("only %d bytes on disk", full)
				}
				tc.remove(t, s, clock)
				awaitDiskBytes(t, s, fs, records*size/8+logsMax)
				if st := s.Stats(); st.BytesInUse != 0 || st.Entries != 0 {
					t.Errorf("%d entries of %d bytes", st.Entries, st.BytesInUse)
				}
			})
		}
	}
}
