package l2

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"pgregory.net/rapid"

	"pgcache/cache"
)

// model is a store and a map that should hold the same.
type model struct {
	cfg     Config
	clock   *clock
	s       *Store
	seq     cache.Sequence
	names   map[string]cache.NamespaceID
	records map[string]cache.Record // by id/key; may hold more than the store if it evicts
	marks   map[cache.Label]cache.Sequence
	evicts  bool
}

func modelKey(ns cache.NamespaceID, key []byte) string { return fmt.Sprintf("%d/%s", ns, key) }

func (m *model) next() cache.Sequence { m.seq++; return m.seq }

func (m *model) namespace(t *rapid.T) cache.NamespaceID {
	name := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "namespace")
	if _, ok := m.names[name]; !ok {
		m.putNamespace(t, name, 0)
	}
	return m.names[name]
}

func (m *model) putNamespace(t *rapid.T, name string, old cache.NamespaceID) {
	id := cache.NamespaceID(m.next())
	if err := m.s.PutNamespace(context.Background(), cache.NamespaceRow{Name: name, ID: id}, old); err != nil {
		t.Fatal(err)
	}
	m.names[name] = id
	m.drop(old)
}

func (m *model) drop(id cache.NamespaceID) {
	maps.DeleteFunc(m.records, func(_ string, r cache.Record) bool { return r.Namespace == id })
	maps.DeleteFunc(m.marks, func(l cache.Label, _ cache.Sequence) bool { return id != 0 && l.Namespace == id })
}

var (
	drawKey   = rapid.SampledFrom([]string{"k", "k1", "k2", "k\x00", "k\xff", "other"})
	drawLabel = rapid.SampledFrom([]string{"t", "tt", "u", ""})
)

func drawAttrs(t *rapid.T, nowMs int64) cache.Attrs {
	in := cache.AttrsInput{Priority: cache.PriorityDefault, CreatedMs: nowMs}
	in.Tags = slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(drawLabel, 0, 2).Draw(t, "tags"))))
	in.Dependencies = slices.Compact(slices.Sorted(slices.Values(rapid.SliceOfN(drawLabel, 0, 2).Draw(t, "dependencies"))))
	if rapid.Bool().Draw(t, "expires") {
		in.HasHard, in.HardMs = true, nowMs+rapid.Int64Range(1, 5000).Draw(t, "ttl")
		in.StaleMs = rapid.SampledFrom([]int64{0, 1000}).Draw(t, "stale")
	}
	if rapid.IntRange(0, 1).Draw(t, "idles") == 0 {
		in.IdleMs = rapid.Int64Range(1, 5000).Draw(t, "idle")
	}
	return cache.AppendAttrs(nil, &in)
}

func (m *model) write(t *rapid.T) {
	ns := m.namespace(t)
	var ops []cache.TierOp
	for range rapid.IntRange(1, 4).Draw(t, "ops") {
		key := drawKey.Draw(t, "key")
		seq := m.next()
		if rapid.IntRange(0, 5).Draw(t, "late") == 0 {
			seq -= min(seq-1, cache.Sequence(rapid.IntRange(1, 10).Draw(t, "by")))
		}
		if rapid.IntRange(0, 2).Draw(t, "delete") == 0 {
			ops = append(ops, deleteOp(ns, key, seq))
			continue
		}
		size := rapid.SampledFrom([]int{0, 10, 256, 257, 2000, 40_000}).Draw(t, "size")
		value := incompressible(size, uint64(seq))
		if rapid.Bool().Draw(t, "compressible") {
			value = compressible(size)
		}
		op := putOp(ns, key, seq, value, drawAttrs(t, m.clock.Now().UnixMilli()))
		if rapid.Bool().Draw(t, "touched") {
			op.Record.LastAccessMs = m.clock.Now().UnixMilli() + 5
		}
		ops = append(ops, op)
	}
	if err := m.s.Write(context.Background(), ops, rapid.Bool().Draw(t, "sync")); err != nil {
		t.Fatal(err)
	}
	for i := range ops {
		m.apply(t, &ops[i])
	}
}

// apply does to the map what op did to the store, and compares what op reports.
func (m *model) apply(t *rapid.T, op *cache.TierOp) {
	key := modelKey(op.Record.Namespace, op.Record.Key)
	old, existed := m.records[key]
	superseded := existed && old.Seq >= op.Record.Seq
	if !m.evicts && (op.Superseded != superseded || op.Existed != (existed && !superseded) || op.Rejected) {
		t.Fatalf("%s: existed %v, superseded %v, rejected %v; held at %d, offered %d",
			key, op.Existed, op.Superseded, op.Rejected, old.Seq, op.Record.Seq)
	}
	switch {
	case op.Superseded:
	case op.Delete, op.Rejected:
		delete(m.records, key)
	default:
		m.records[key] = op.Record
		if r := op.Record; r.Attrs.IdleMs() == 0 || r.LastAccessMs == 0 {
			r.LastAccessMs = r.Attrs.CreatedMs()
			m.records[key] = r
		}
	}
}

// access raises the last access of a record.
func (m *model) access(key string, ms int64) {
	r := m.records[key]
	r.LastAccessMs = max(r.LastAccessMs, ms)
	m.records[key] = r
}

// noteAccess tells of accesses to records, and to ones that were.
func (m *model) noteAccess(t *rapid.T) {
	nowMs := m.clock.Now().UnixMilli()
	for _, key := range slices.Sorted(maps.Keys(m.records)) {
		r := m.records[key]
		if r.Attrs.IdleMs() == 0 || r.Attrs.StateAt(nowMs, r.LastAccessMs) == cache.Dead {
			continue // nobody is served it
		}
		seq := r.Seq
		switch rapid.IntRange(0, 5).Draw(t, "access to "+key) {
		case 0, 1:
			continue
		case 2:
			seq--
		default:
			m.access(key, nowMs)
		}
		if !m.s.NoteAccess(r.Namespace, r.Key, seq, nowMs) {
			t.Fatal("no room for an access")
		}
	}
}

func (m *model) check(t *rapid.T) {
	ctx, nowMs := context.Background(), m.clock.Now().UnixMilli()
	for _, ns := range m.names {
		for _, key := range []string{"k", "k1", "k2", "k\x00", "k\xff", "other", "never"} {
			want, held := m.records[modelKey(ns, []byte(key))]
			if held && want.Attrs.StateAt(nowMs, want.LastAccessMs) == cache.Dead {
				held = false
			}
			var got cache.Record
			ok, err := m.s.Get(ctx, ns, []byte(key), true, &got)
			if err != nil || (ok && !held) || (!ok && held && !m.evicts) {
				t.Fatalf("%s: %v %v, held %v", key, ok, err, held)
			}
			if ok && (got.Seq != want.Seq || got.LastAccessMs != want.LastAccessMs || !bytes.Equal(got.Value, want.Value) || !bytes.Equal(got.Attrs, want.Attrs)) {
				t.Fatalf("%s: another record, %d, want %d", key, got.Seq, want.Seq)
			}
		}
		m.compare(t, modelKey(ns, []byte("k")), func(r *cache.Record) bool {
			return r.Namespace == ns && strings.HasPrefix(string(r.Key), "k")
		}, func(visit func(*cache.Record) bool) error { return m.s.ScanPrefix(ctx, ns, []byte("k"), visit) })
		m.compare(t, "tag t", func(r *cache.Record) bool {
			return r.Namespace == ns && r.Attrs.HasLabel(cache.Tag, "t")
		}, func(visit func(*cache.Record) bool) error {
			return m.s.ScanLabel(ctx, cache.Label{Namespace: ns, Text: "t"}, visit)
		})
	}
	m.compare(t, "dependency t", func(r *cache.Record) bool {
		return r.Attrs.HasLabel(cache.Dependency, "t")
	}, func(visit func(*cache.Record) bool) error {
		return m.s.ScanLabel(ctx, cache.Label{Kind: cache.Dependency, Text: "t"}, visit)
	})
}

// compare checks that a scan visits the live records of the map that match, and none else.
func (m *model) compare(t *rapid.T, what string, match func(*cache.Record) bool, scan func(func(*cache.Record) bool) error) {
	nowMs := m.clock.Now().UnixMilli()
	seen := make(map[string]bool)
	err := scan(func(r *cache.Record) bool {
		key := modelKey(r.Namespace, r.Key)
		want, ok := m.records[key]
		if !ok || want.Seq != r.Seq || want.LastAccessMs != r.LastAccessMs || !match(&want) || seen[key] {
			t.Fatalf("%s: visits %q at %d", what, key, r.Seq)
		}
		seen[key] = true
		return true
	})
	if err != nil {
		t.Fatal(err)
	}
	for key, r := range m.records {
		if match(&r) && !seen[key] && !m.evicts && r.Attrs.StateAt(nowMs, r.LastAccessMs) != cache.Dead {
			t.Fatalf("%s: does not visit %q", what, key)
		}
	}
}

func (m *model) reopen(t *rapid.T) {
	usage := m.s.Stats()
	if err := m.s.Close(); err != nil {
		t.Fatal(err)
	}
	s, err := openTiny(m.cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.s = s
	state := s.State()
	if state.LastSeq > m.seq || len(state.Namespaces) != len(m.names) {
		t.Fatalf("state %+v", state)
	}
	marks := make(map[cache.Label]cache.Sequence)
	for _, w := range state.Watermarks {
		marks[w.Label] = w.Seq
	}
	if !maps.Equal(marks, m.marks) {
		t.Fatalf("watermarks %v, want %v", marks, m.marks)
	}
	if again := s.Stats(); again.Entries != usage.Entries || again.BytesInUse != usage.BytesInUse {
		t.Fatalf("holds %d entries, %d bytes; before %d, %d", again.Entries, again.BytesInUse, usage.Entries, usage.BytesInUse)
	}
}

func (m *model) watermark(t *rapid.T) {
	label := cache.Label{Kind: cache.Dependency, Text: drawLabel.Draw(t, "label")}
	if rapid.Bool().Draw(t, "tag") {
		label = cache.Label{Namespace: m.namespace(t), Text: label.Text}
	}
	w := []cache.Watermark{{Label: label, Seq: m.next()}}
	change := m.s.PutWatermarks
	if _, ok := m.marks[label]; ok && rapid.Bool().Draw(t, "drop") {
		change = m.s.DropWatermarks
		delete(m.marks, label)
	} else {
		m.marks[label] = w[0].Seq
	}
	if err := change(context.Background(), w); err != nil {
		t.Fatal(err)
	}
}

func testModel(t *testing.T, evicts bool) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &model{
			clock: newClock(), names: make(map[string]cache.NamespaceID), evicts: evicts,
			records: make(map[string]cache.Record), marks: make(map[cache.Label]cache.Sequence),
		}
		m.cfg = fileConfig(vfs.NewMem())
		m.cfg.Now, m.cfg.MemTableBytes = m.clock.Now, memTableBytesFloor
		if evicts {
			m.cfg.BytesMax = bytesMaxFloor / 8 // smaller than Validate allows: see below
		}
		s, err := openTiny(m.cfg)
		if err != nil {
			rt.Fatal(err)
		}
		m.s = s
		defer func() { _ = m.s.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"write":     m.write,
			"write 2":   m.write,
			"write 3":   m.write,
			"watermark": m.watermark,
			"access":    m.noteAccess,
			"access 2":  m.noteAccess,
			"save accesses": func(rt *rapid.T) {
				if err := m.s.SaveAccesses(context.Background()); err != nil {
					rt.Fatal(err)
				}
			},
			"pass": func(rt *rapid.T) {
				m.clock.advance(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond)
			},
			"flush": func(rt *rapid.T) {
				m.namespace(rt)
				name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.names))).Draw(rt, "name")
				m.putNamespace(rt, name, m.names[name])
			},
			"drop": func(rt *rapid.T) {
				m.namespace(rt)
				name := rapid.SampledFrom(slices.Sorted(maps.Keys(m.names))).Draw(rt, "name")
				if err := m.s.DropNamespace(context.Background(), name, m.names[name]); err != nil {
					rt.Fatal(err)
				}
				m.drop(m.names[name])
				delete(m.names, name)
			},
			"tick": func(rt *rapid.T) {
				m.clock.advance(time.Duration(rapid.IntRange(0, 3000).Draw(rt, "ms")) * time.Millisecond)
				m.s.tick()
				nowMs := m.clock.Now().UnixMilli()
				maps.DeleteFunc(m.records, func(_ string, r cache.Record) bool {
					return r.Attrs.StateAt(nowMs, r.LastAccessMs) == cache.Dead
				})
			},
			"flush memtable": func(rt *rapid.T) {
				if err := m.s.db.Flush(); err != nil {
					rt.Fatal(err)
				}
			},
			"reopen": m.reopen,
			"":       m.check,
		})
		validate(t, m.s)
		if t.Failed() {
			rt.Fatal("not valid")
		}
	})
}

// openTiny opens a store that may be smaller than Open allows.
func openTiny(cfg Config) (*Store, error) {
	bytesMax := cfg.BytesMax
	cfg.BytesMax = max(bytesMax, bytesMaxFloor)
	s, err := Open(cfg)
	if err == nil {
		s.cfg.BytesMax = bytesMax
		s.highWater, s.lowWater = bytesMax/100*highWaterPct, bytesMax/100*lowWaterPct
	}
	return s, err
}

func TestModel(t *testing.T) {
	t.Parallel()
	testModel(t, false)
}
func TestModelEviction(t *testing.T) {
	t.Parallel()
	testModel(t, true)
}
