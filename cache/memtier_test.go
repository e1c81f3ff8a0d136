package cache

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// memTier is a Tier in memory whose unsynced operations are lost by crash, as a prefix
// would be on disk. It is the contract of Tier in its simplest form.
type memTier struct {
	mu       sync.Mutex
	live     memState
	log      []func(*memState) // since the last sync
	durable  memState
	onRemove func(NamespaceID, []byte, Sequence)
	onIdle   func(NamespaceID, []byte, Sequence) int64
	now      func() int64 // for Sweep; nil: nothing is dead

	fail atomic.Bool // writes fail
	// fullOfAccesses: there is no room for accesses until they are saved.
	fullOfAccesses atomic.Bool
	accesses       atomic.Int64  // that were noted
	hold           chan struct{} // not nil: data writes wait for a value
	writing        chan struct{} // not nil: told when a data write begins
	reads          atomic.Int64
	// snapshots is how many are open.
	snapshots atomic.Int64
	// afterWrite, if set, makes of the next write that was applied one that failed.
	afterWrite atomic.Pointer[error]
	// afterGet, if set, runs once between the next read and its return.
	afterGet atomic.Pointer[func()]
}

type memKey struct {
	ns  NamespaceID
	key string
}

type memState struct {
	history    []HistoryRow
	lastMs     int64
	records    map[memKey]Record
	namespaces map[string]NamespaceRow
	watermarks map[Label]Sequence
	last       Sequence
}

func newMemState() memState {
	return memState{nil, 0, map[memKey]Record{}, map[string]NamespaceRow{}, map[Label]Sequence{}, 0}
}

func newMemTier() *memTier { return &memTier{live: newMemState(), durable: newMemState()} }

var errMemTier = errors.New("injected")

// apply runs op now and remembers it for the durable state.
func (t *memTier) apply(sync bool, op func(*memState)) {
	op(&t.live)
	t.log = append(t.log, op)
	if sync {
		t.sync()
	}
}

func (t *memTier) sync() {
	for _, op := range t.log {
		op(&t.durable)
	}
	t.log = nil
}

// crash returns a tier that holds what survives when all but the first keep unsynced
// operations are lost.
func (t *memTier) crash(keep int) *memTier {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := newMemTier()
	for i, op := range t.log {
		if i < keep {
			op(&t.durable)
		}
	}
	n.now = t.now
	n.live, n.durable = t.durable, newMemState()
	n.durable = n.live.clone()
	return n
}

func (s *memState) clone() memState {
	c := newMemState()
	for k, v := range s.records {
		c.records[k] = v
	}
	for k, v := range s.namespaces {
		c.namespaces[k] = v
	}
	for k, v := range s.watermarks {
		c.watermarks[k] = v
	}
	c.last, c.lastMs, c.history = s.last, s.lastMs, slices.Clone(s.history)
	return c
}

func (t *memTier) State() TierState {
	t.mu.Lock()
	defer t.mu.Unlock()
	state := TierState{LastSeq: t.live.last, History: t.live.history, LastMs: t.live.lastMs}
	for _, row := range t.live.namespaces {
		state.Namespaces = append(state.Namespaces, row)
	}
	for label, seq := range t.live.watermarks {
		state.Watermarks = append(state.Watermarks, Watermark{label, seq})
	}
	return state
}

func (t *memTier) Get(_ context.Context, ns NamespaceID, key []byte, withValue bool, dst *Record) (bool, error) {
	t.reads.Add(1)
	defer func() {
		if f := t.afterGet.Swap(nil); f != nil {
			(*f)()
		}
	}()
	t.mu.Lock()
	defer t.mu.Unlock()
	r, ok := t.live.records[memKey{ns, string(key)}]
	if !ok {
		return false, nil
	}
	*dst = r
	if !withValue {
		dst.Value = nil
	}
	return true, nil
}

func (t *memTier) MayContain(ns NamespaceID, key []byte) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.live.records[memKey{ns, string(key)}]
	return ok
}

func (t *memTier) Write(ctx context.Context, ops []TierOp, sync bool) error {
	return t.change(ctx, sync, func() { t.write(ops) })
}

// Commit is one step of the log, so that a crash keeps all of it or nothing.
func (t *memTier) Commit(ctx context.Context, commit *TierCommit, sync bool) error {
	return t.change(ctx, sync, func() {
		outer := t.log
		t.log = nil
		for _, n := range commit.Namespaces {
			t.putNamespace(n.Row, n.Old)
		}
		t.putWatermarks(commit.Watermarks)
		t.dropWatermarks(commit.Drops)
		t.write(commit.Ops)
		steps := t.log
		t.log = append(outer, func(s *memState) {
			for _, step := range steps {
				step(s)
			}
		})
	})
}

// change runs a write, with the faults that are asked for.
func (t *memTier) change(ctx context.Context, sync bool, write func()) error {
	if t.writing != nil {
		t.writing <- struct{}{}
	}
	if t.hold != nil {
		select {
		case <-t.hold:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if t.fail.Load() {
		return errMemTier
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	write()
	if sync {
		t.sync()
	}
	if err := t.afterWrite.Swap(nil); err != nil {
		return *err
	}
	return nil
}

// write REQUIRES: t.mu held.
func (t *memTier) write(ops []TierOp) {
	for i := range ops {
		op := &ops[i]
		key := memKey{op.Record.Namespace, string(op.Record.Key)}
		old, existed := t.live.records[key]
		op.Existed = existed
		op.Superseded = existed && old.Seq >= op.Record.Seq || !op.Delete && !t.hasGeneration(op.Record.Namespace)
		if op.Superseded {
			continue
		}
		seq := op.Record.Seq
		if op.Delete {
			t.apply(false, func(s *memState) { delete(s.records, key); s.last = max(s.last, seq) })
			continue
		}
		op.Record.StoredLen = int64(len(op.Record.Value))
		r := op.Record
		r.LastAccessMs = max(r.LastAccessMs, r.Attrs.CreatedMs())
		r.Key, r.Attrs, r.Value = bytes.Clone(r.Key), Attrs(bytes.Clone(r.Attrs)), append([]byte{}, r.Value...)
		t.apply(false, func(s *memState) { s.records[key] = r; s.last = max(s.last, seq) })
	}
}

func (t *memTier) hasGeneration(id NamespaceID) bool {
	for _, row := range t.live.namespaces {
		if row.ID == id {
			return true
		}
	}
	return false
}

func (s *memState) dropGeneration(id NamespaceID) {
	for key := range s.records {
		if key.ns == id {
			delete(s.records, key)
		}
	}
}

func (t *memTier) PutNamespace(_ context.Context, row NamespaceRow, old NamespaceID) error {
	if t.fail.Load() {
		return errMemTier
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.putNamespace(row, old)
	t.sync()
	return nil
}

// putNamespace and putWatermarks REQUIRE: t.mu held.
func (t *memTier) putNamespace(row NamespaceRow, old NamespaceID) {
	t.apply(false, func(s *memState) {
		s.namespaces[row.Name] = row
		s.last = max(s.last, Sequence(row.ID))
		if old != 0 {
			s.dropGeneration(old)
		}
	})
}

func (t *memTier) putWatermarks(w []Watermark) {
	w = slices.Clone(w)
	t.apply(false, func(s *memState) {
		for _, x := range w {
			s.watermarks[x.Label] = max(s.watermarks[x.Label], x.Seq)
			s.last = max(s.last, x.Seq)
		}
	})
}

func (t *memTier) DropNamespace(_ context.Context, name string, id NamespaceID) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.apply(true, func(s *memState) {
		if s.namespaces[name].ID == id {
			delete(s.namespaces, name)
		}
		s.dropGeneration(id)
	})
	return nil
}

func (t *memTier) PutWatermarks(_ context.Context, w []Watermark) error {
	if t.fail.Load() {
		return errMemTier
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.putWatermarks(w)
	t.sync()
	return nil
}

func (t *memTier) DropWatermarks(_ context.Context, w []Watermark) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.dropWatermarks(w)
	return nil
}

// dropWatermarks REQUIRES: t.mu held.
func (t *memTier) dropWatermarks(w []Watermark) {
	w = slices.Clone(w)
	t.apply(false, func(s *memState) {
		for _, x := range w {
			if s.watermarks[x.Label] <= x.Seq {
				delete(s.watermarks, x.Label)
			}
		}
	})
}

func (t *memTier) scan(match func(*Record) bool, visit func(*Record) bool) {
	t.mu.Lock()
	var found []Record
	for _, r := range t.live.records {
		if r.Value = nil; match(&r) {
			found = append(found, r)
		}
	}
	t.mu.Unlock()
	slices.SortFunc(found, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	for i := range found {
		if !visit(&found[i]) {
			return
		}
	}
}

func (t *memTier) ScanLabel(_ context.Context, label Label, visit func(*Record) bool) error {
	t.scan(func(r *Record) bool {
		return (label.Namespace == 0 || label.Namespace == r.Namespace) && r.Attrs.HasLabel(label.Kind, label.Text)
	}, visit)
	return nil
}

func (t *memTier) ScanPrefix(_ context.Context, ns NamespaceID, prefix []byte, visit func(*Record) bool) error {
	t.scan(func(r *Record) bool {
		return r.Namespace == ns && strings.HasPrefix(string(r.Key), string(prefix))
	}, visit)
	return nil
}

func (t *memTier) Sweep(_ context.Context, limits SweepLimits) (SweepResult, error) {
	var result SweepResult
	if t.now == nil {
		return result, nil
	}
	t.mu.Lock()
	records := slices.Collect(maps.Values(t.live.records))
	t.mu.Unlock()
	var removed []Record
	for _, r := range records {
		// Asked without the lock, which is taken by those who hold the cache's.
		if r.Attrs.StateAt(t.now(), max(r.LastAccessMs, t.onIdle(r.Namespace, r.Key, r.Seq))) != Dead {
			continue
		}
		if result.Scanned == limits.EntriesMax {
			result.Truncated = true
			break
		}
		t.mu.Lock()
		key := memKey{r.Namespace, string(r.Key)}
		if now, ok := t.live.records[key]; ok && now.Seq == r.Seq && now.LastAccessMs == r.LastAccessMs {
			result.Add(key.ns, SweepCount{1, 1, int64(len(r.Value))})
			removed = append(removed, r)
			t.apply(false, func(s *memState) { delete(s.records, key) })
		}
		t.mu.Unlock()
	}
	for _, r := range removed {
		t.onRemove(r.Namespace, r.Key, r.Seq)
	}
	return result, nil
}

// memSnapshot is the keys of a memTier at one moment.
type memSnapshot struct {
	tier *memTier
	keys map[memKey]bool
}

func (t *memTier) Snapshot() (TierSnapshot, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.fail.Load() {
		return nil, errMemTier
	}
	s := &memSnapshot{t, map[memKey]bool{}}
	for key := range t.live.records {
		s.keys[key] = true
	}
	t.snapshots.Add(1)
	return s, nil
}

func (s *memSnapshot) Scan(_ context.Context, ns NamespaceID, lower, upper []byte, descending bool, visit func(*Record) bool) error {
	var records []Record
	s.tier.mu.Lock()
	for key := range s.keys {
		if key.ns == ns && key.key >= string(lower) && (upper == nil || key.key < string(upper)) {
			r := s.tier.live.records[key]
			r.Value, r.Key = nil, []byte(key.key)
			records = append(records, r)
		}
	}
	s.tier.mu.Unlock()
	slices.SortFunc(records, func(a, b Record) int { return bytes.Compare(a.Key, b.Key) })
	if descending {
		slices.Reverse(records)
	}
	for i := range records {
		if !visit(&records[i]) {
			break
		}
	}
	return nil
}

func (s *memSnapshot) Close() {
	if s.keys != nil {
		s.keys = nil
		s.tier.snapshots.Add(-1)
	}
}

func (t *memTier) Backup(context.Context, string) (BackupReport, error) {
	return BackupReport{}, errors.New("not in memory")
}

func (t *memTier) AppendHistory(_ context.Context, rows []HistoryRow, before int64) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.apply(false, func(s *memState) {
		s.history = append(slices.Clone(s.history), rows...)
		s.history = slices.DeleteFunc(s.history, func(r HistoryRow) bool { return r.Ms < before })
	})
	return nil
}

func (t *memTier) Usage(id NamespaceID) NamespaceUsage {
	t.mu.Lock()
	defer t.mu.Unlock()
	var u NamespaceUsage
	for key, r := range t.live.records {
		if key.ns == id {
			u.Entries++
			u.Bytes += int64(len(r.Value))
		}
	}
	return u
}

func (t *memTier) OnIdle(f func(NamespaceID, []byte, Sequence) int64) { t.onIdle = f }

func (t *memTier) NoteAccess(ns NamespaceID, key []byte, seq Sequence, ms int64) bool {
	if t.fullOfAccesses.Load() {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.accesses.Add(1)
	k := memKey{ns, string(key)}
	t.apply(false, func(s *memState) {
		if r, ok := s.records[k]; ok && r.Seq == seq && ms > r.LastAccessMs {
			r.LastAccessMs = ms
			s.records[k] = r
		}
	})
	return true
}

func (t *memTier) SaveAccesses(context.Context) error {
	t.fullOfAccesses.Store(false)
	return nil
}

func (t *memTier) OnRemove(f func(NamespaceID, []byte, Sequence)) { t.onRemove = f }

// removeOldest drops one record as an eviction would.
func (t *memTier) removeOldest() (memKey, bool) {
	t.mu.Lock()
	var victim Record
	for _, r := range t.live.records {
		if victim.Seq == 0 || r.Seq < victim.Seq {
			victim = r
		}
	}
	key := memKey{victim.Namespace, string(victim.Key)}
	t.apply(false, func(s *memState) { delete(s.records, key) })
	t.mu.Unlock()
	if victim.Seq == 0 {
		return key, false
	}
	t.onRemove(victim.Namespace, victim.Key, victim.Seq)
	return key, true
}

func (t *memTier) Stats() TierStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return TierStats{Entries: int64(len(t.live.records))}
}

func (t *memTier) Sync(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sync()
	return nil
}

func (t *memTier) Close() error { return t.Sync(context.Background()) }

// newModelTier is a memTier for the model.
func newModelTier(now func() time.Time) ModelTier {
	t := newMemTier()
	t.now = func() int64 { return now().UnixMilli() }
	return t
}

func (t *memTier) Restart() ModelTier { return t.survivor(1 << 30) }

func (t *memTier) Crash(random *rand.Rand) func() ModelTier {
	survivor := t.survivor(random.IntN(50))
	return func() ModelTier { return survivor }
}

func (t *memTier) survivor(keep int) ModelTier {
	n := t.crash(keep)
	t.fail.Store(true) // an abandoned process changes nothing any more
	return n
}

func (t *memTier) Abandon() {}

func (t *memTier) RemoveOldest() (NamespaceID, string, bool) {
	key, ok := t.removeOldest()
	return key.ns, key.key, ok
}
