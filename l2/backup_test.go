package l2

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

// checkClean checks a closed store and wants no findings.
func checkClean(t *testing.T, cfg Config) CheckSummary {
	t.Helper()
	summary, err := Check(context.Background(), cfg, func(f Finding) { t.Errorf("check: %s", f) })
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

// A backup made while writers go on is a consistent store: restored, it holds what was
// written before it, each key's value is one that was written together with its file, and
// what was invalidated before it is gone.
func TestBackupWhileServing(t *testing.T) {
	mem := vfs.NewMem()
	cfg := fileConfig(mem)
	cfg.MemTableBytes = memTableBytesFloor
	s := withNamespace(t, mustOpen(t, cfg))
	value := func(seq cache.Sequence) []byte { return incompressible(100+int(seq%5)*3000, uint64(seq)) }
	var next cache.Sequence = 10
	for i := range 50 {
		next++
		put(t, s, fmt.Sprint("before", i), next, string(value(next)), tags("t"))
	}
	for i := range 10 {
		next++
		write1(t, s, deleteOp(testNS, fmt.Sprint("before", i), next))
	}
	label := cache.Label{Namespace: testNS, Text: "gone"}
	if err := s.PutWatermarks(context.Background(), []cache.Watermark{{Label: label, Seq: next}}); err != nil {
		t.Fatal(err)
	}
	atBackup := next
	stop := make(chan struct{})
	var writers sync.WaitGroup
	for w := range cache.Sequence(2) {
		writers.Go(func() {
			for seq := atBackup + 1 + w; ; seq += 2 {
				select {
				case <-stop:
					return
				default:
				}
				op := putOp(testNS, fmt.Sprint("k", seq%20), seq, value(seq), attrs(tags("t")))
				if err := s.Write(context.Background(), []cache.TierOp{op}, seq%16 == 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range 3 {
		path := fmt.Sprint("backups/", i)
		report, err := s.Backup(context.Background(), path)
		if err != nil || report.Entries < 40 {
			t.Fatalf("%+v %v", report, err)
		}
		s.tick()
		restored := cfg
		restored.Dir = fmt.Sprint("restored", i)
		summary, err := Restore(context.Background(), restored, path, func(f Finding) { t.Errorf("restored: %s", f) })
		if err != nil || summary.Records != report.Entries || summary.Bytes != report.Bytes || summary.Files == 0 {
			t.Fatalf("%+v %+v %v", summary, report, err)
		}
		r := mustOpen(t, restored)
		for i := range 50 {
			want := "-"
			if i >= 10 {
				want = string(value(cache.Sequence(11 + i)))
			}
			if got := get(t, r, fmt.Sprint("before", i)); got != want {
				t.Errorf("before%d: %d bytes, want %d", i, len(got), len(want))
			}
		}
		for i := range 20 {
			var got cache.Record
			ok, err := r.Get(context.Background(), testNS, fmt.Append(nil, "k", i), true, &got)
			if err != nil || ok && string(got.Value) != string(value(got.Seq)) {
				t.Errorf("k%d: another value (%v)", i, err)
			}
		}
		if marks := r.State().Watermarks; len(marks) != 1 || marks[0].Label != label {
			t.Errorf("watermarks %+v", marks)
		}
		closeValid(t, r)
	}
	close(stop)
	writers.Wait()
	closeValid(t, s)
	checkClean(t, cfg)
}

// A backup overwrites nothing, and what refuses it leaves nothing behind.
func TestBackupRefusals(t *testing.T) {
	mem := vfs.NewMem()
	cfg := fileConfig(mem)
	s := withNamespace(t, mustOpen(t, cfg))
	put(t, s, "k", 10, string(incompressible(9000, 1)))
	if err := mem.MkdirAll("taken", 0o755); err != nil {
		t.Fatal(err)
	}
	var argument *cache.ArgumentError
	for _, path := range []string{"taken", cfg.Dir} {
		if _, err := s.Backup(context.Background(), path); !errors.As(err, &argument) {
			t.Errorf("backup into %s: %v", path, err)
		}
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := s.Backup(cancelled, "half"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if _, err := mem.Stat("half"); err == nil {
		t.Error("a cancelled backup leaves something")
	}
	if _, err := s.Backup(context.Background(), "backup"); err != nil {
		t.Fatal(err)
	}
	var open *OpenError
	if _, err := BackupDirectory(context.Background(), cfg, "other"); !errors.As(err, &open) || open.Kind != ErrLocked {
		t.Errorf("backup of a directory in use: %v", err)
	}
	if _, err := Check(context.Background(), cfg, nil); !errors.As(err, &open) || open.Kind != ErrLocked {
		t.Errorf("check of a directory in use: %v", err)
	}
	closeValid(t, s)
	if _, err := Restore(context.Background(), cfg, "backup", nil); !errors.As(err, &open) {
		t.Errorf("restore over a store: %v", err)
	}
	nowhere := cfg
	nowhere.Dir = "nowhere"
	if _, err := Restore(context.Background(), nowhere, "taken", nil); !errors.As(err, &open) {
		t.Errorf("restore of nothing: %v", err)
	}
	unfinished := directory{mem, "unfinished"}
	if err := unfinished.begin(); err != nil {
		t.Fatal(err)
	}
	nowhere.Dir = "unfinished"
	if _, err := Open(nowhere); !errors.As(err, &open) || !strings.Contains(err.Error(), "not finished") {
		t.Errorf("open of an unfinished backup: %v", err)
	}
	if report, err := BackupDirectory(context.Background(), cfg, "offline"); err != nil || report.Entries != 1 {
		t.Errorf("backup of a stopped directory: %+v %v", report, err)
	}
	restored := cfg
	restored.Dir = "offline"
	if summary := checkClean(t, restored); summary.Records != 1 || summary.Files != 1 {
		t.Errorf("%+v", summary)
	}
}

// Check finds what is wrong, names it and changes nothing.
func TestCheckFindsDamage(t *testing.T) {
	recordKey := appendRecordKey(nil, testNS, []byte("k"))
	queueKey := appendOrderedKey(nil, kindQueue, 10, recordKey)
	labelKey := append(appendLabelPrefix(nil, testNS, cache.Tag, []byte("t")), 'k')
	remove := func(key []byte) func(*testing.T, *Store) {
		return func(t *testing.T, s *Store) {
			if err := s.db.Delete(key, pebble.Sync); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, tc := range []struct {
		name   string
		size   int
		damage func(*testing.T, *Store)
		want   string
	}{
		{"nothing", 100, func(*testing.T, *Store) {}, ""},
		{"header", 1000, func(t *testing.T, s *Store) { damageRow(t, s, recordKey, 30) }, `XX001 namespace "test" key "k": `},
		{"payload row", 1000, func(t *testing.T, s *Store) { damageRow(t, s, appendPayloadKey(nil, recordKey), 500) }, `XX001 namespace "test" key "k": `},
		{"missing payload row", 1000, remove(appendPayloadKey(nil, recordKey)), "its payload is missing"},
		{"payload file", 9000, func(t *testing.T, s *Store) { editFile(t, s, func(b []byte) []byte { b[5]++; return b }) }, `XX001 namespace "test" key "k": payload checksum`},
		{"missing payload file", 9000, func(t *testing.T, s *Store) { editFile(t, s, func([]byte) []byte { return nil }) }, "file is missing"},
		{"queue row", 100, remove(queueKey), "XX002"},
		{"label row", 100, remove(labelKey), "XX002"},
		{"record", 100, remove(recordKey), "01000"},
		{"orphan file", 100, func(t *testing.T, s *Store) {
			if _, err := s.files.write(5, []byte("x"), true); err != nil {
				t.Fatal(err)
			}
		}, "01000 a payload file without its record"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := fileConfig(vfs.NewMem())
			s := withNamespace(t, mustOpen(t, cfg))
			put(t, s, "k", 10, string(incompressible(tc.size, 1)), tags("t"), ttl(time.Hour))
			put(t, s, "good", 11, string(incompressible(tc.size, 2)), tags("t"), ttl(time.Hour))
			tc.damage(t, s)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				var found []string
				summary, err := Check(context.Background(), cfg, func(f Finding) { found = append(found, f.String()) })
				if err != nil {
					t.Fatal(err)
				}
				all := strings.Join(found, "\n")
				if !strings.Contains(all, tc.want) || (tc.want == "") != (all == "") || strings.Contains(all, "good") {
					t.Errorf("found %q, want %q", all, tc.want)
				}
				if int(summary.Damaged+summary.Leftovers) != len(found) || summary.Records == 0 {
					t.Errorf("%+v", summary)
				}
			}
		})
	}
}
