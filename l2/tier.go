package l2

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"pgcache/cache"
)

// Tier is a Store that opens itself again when it broke and the disk works again.
type Tier struct {
	cfg     Config
	state   cache.TierState
	current atomic.Pointer[Store]

	background context.Context // ends when Close begins
	stop       context.CancelFunc
	done       chan struct{} // the watcher has ended
	closeOnce  sync.Once
	closeErr   error

	mu struct {
		sync.Mutex
		closing  bool
		onRemove func(cache.NamespaceID, []byte, cache.Sequence)
		onIdle   func(cache.NamespaceID, []byte, cache.Sequence) int64
	}
}

var _ cache.Tier = (*Tier)(nil)

// OpenTier is Open for a server.
func OpenTier(cfg Config) (*Tier, error) {
	s, err := Open(cfg)
	if err != nil {
		return nil, err
	}
	t := &Tier{cfg: cfg.withDefaults(), state: s.State(), done: make(chan struct{})}
	t.current.Store(s)
	t.background, t.stop = context.WithCancel(context.Background())
	go t.watch()
	return t, nil
}

// watch replaces a store that broke, again and again.
func (t *Tier) watch() {
	defer close(t.done)
	for reopened := 0; ; {
		select {
		case <-t.current.Load().broken:
		case <-t.background.Done():
			return
		}
		if !t.replace(&reopened) {
			return
		}
	}
}

// replace opens a store in place of the current one, which is broken. It returns false if
// that is no longer tried. reopened counts the attempts.
func (t *Tier) replace(reopened *int) bool {
	old := t.current.Load()
	var from *inheritance
	for *reopened < reopensMax {
		wait := time.NewTimer(min(t.cfg.TickInterval<<*reopened, reopenWaitMax))
		select {
		case <-wait.C:
		case <-t.background.Done():
			wait.Stop()
			return false
		}
		if probe(t.cfg.FS, t.cfg.Dir) != nil {
			continue
		}
		if from == nil {
			var err error
			if from, err = old.giveUp(t.background); err != nil {
				return false // closing
			}
		}
		*reopened++
		from.emptied = !from.marks.again()
		next, err := replacement(t.background, t.cfg, from)
		if t.background.Err() != nil {
			return false
		}
		if err != nil {
			from.marks.await()
			t.cfg.Logger.Error("l2: the broken disk tier cannot be opened again", "attempt", *reopened, "attempts_max", reopensMax, "error", err)
			continue
		}
		return t.publish(old, next, from)
	}
	t.cfg.Logger.Error("l2: the disk tier has been opened again too often: it stays degraded until a restart", "attempts_max", reopensMax)
	return false
}

// publish puts next into the place of old. It returns false if the tier is closing.
func (t *Tier) publish(old, next *Store, from *inheritance) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.mu.closing {
		_ = next.guard.shutFor(context.Background()) // as if it had not been opened
		return false
	}
	if from.emptied {
		next.marks.clear()
	}
	old.retire()
	if t.mu.onRemove != nil {
		next.OnRemove(t.mu.onRemove)
	}
	if t.mu.onIdle != nil {
		next.OnIdle(t.mu.onIdle)
	}
	next.run()
	t.current.Store(next)
	t.cfg.Logger.Warn("l2: the disk tier was opened again and takes writes", "was", old.degradedError(),
		"records_in_doubt", next.marks.count.Load())
	return true
}

// Close implements cache.Tier.
func (t *Tier) Close() error {
	t.closeOnce.Do(func() {
		t.mu.Lock()
		t.mu.closing = true
		t.mu.Unlock()
		t.stop()
		timeout := time.NewTimer(t.cfg.CloseTimeout)
		defer timeout.Stop()
		select {
		case <-t.done:
			t.closeErr = t.current.Load().Close()
		case <-timeout.C:
			t.closeErr = fmt.Errorf("l2: close: the disk does not answer: %w", t.current.Load().degradedError())
		}
	})
	return t.closeErr
}

// State implements cache.Tier.
func (t *Tier) State() cache.TierState { return t.state }

// OnRemove implements cache.Tier.
func (t *Tier) OnRemove(fn func(ns cache.NamespaceID, key []byte, seq cache.Sequence)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.onRemove = fn
	t.current.Load().OnRemove(fn)
}

// OnIdle implements cache.Tier.
func (t *Tier) OnIdle(fn func(ns cache.NamespaceID, key []byte, seq cache.Sequence) int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.mu.onIdle = fn
	t.current.Load().OnIdle(fn)
}

// NoteAccess implements cache.Tier.
func (t *Tier) NoteAccess(ns cache.NamespaceID, key []byte, seq cache.Sequence, ms int64) bool {
	return t.current.Load().NoteAccess(ns, key, seq, ms)
}

// SaveAccesses implements cache.Tier.
func (t *Tier) SaveAccesses(ctx context.Context) error {
	return t.current.Load().SaveAccesses(ctx)
}

// Get implements cache.Tier.
func (t *Tier) Get(ctx context.Context, ns cache.NamespaceID, key []byte, withValue bool, dst *cache.Record) (bool, error) {
	return t.current.Load().Get(ctx, ns, key, withValue, dst)
}

// MayContain implements cache.Tier.
func (t *Tier) MayContain(ns cache.NamespaceID, key []byte) bool {
	return t.current.Load().MayContain(ns, key)
}

// Write implements cache.Tier.
func (t *Tier) Write(ctx context.Context, ops []cache.TierOp, sync bool) error {
	return t.current.Load().Write(ctx, ops, sync)
}

// Commit implements cache.Tier.
func (t *Tier) Commit(ctx context.Context, commit *cache.TierCommit, sync bool) error {
	return t.current.Load().Commit(ctx, commit, sync)
}

// PutNamespace implements cache.Tier.
func (t *Tier) PutNamespace(ctx context.Context, row cache.NamespaceRow, old cache.NamespaceID) error {
	return t.current.Load().PutNamespace(ctx, row, old)
}

// DropNamespace implements cache.Tier.
func (t *Tier) DropNamespace(ctx context.Context, name string, id cache.NamespaceID) error {
	return t.current.Load().DropNamespace(ctx, name, id)
}

// PutWatermarks implements cache.Tier.
func (t *Tier) PutWatermarks(ctx context.Context, w []cache.Watermark) error {
	return t.current.Load().PutWatermarks(ctx, w)
}

// DropWatermarks implements cache.Tier.
func (t *Tier) DropWatermarks(ctx context.Context, w []cache.Watermark) error {
	return t.current.Load().DropWatermarks(ctx, w)
}

// ScanLabel implements cache.Tier.
func (t *Tier) ScanLabel(ctx context.Context, label cache.Label, visit func(*cache.Record) bool) error {
	return t.current.Load().ScanLabel(ctx, label, visit)
}

// ScanPrefix implements cache.Tier.
func (t *Tier) ScanPrefix(ctx context.Context, ns cache.NamespaceID, prefix []byte, visit func(*cache.Record) bool) error {
	return t.current.Load().ScanPrefix(ctx, ns, prefix, visit)
}

// Sweep implements cache.Tier.
func (t *Tier) Sweep(ctx context.Context, limits cache.SweepLimits) (cache.SweepResult, error) {
	return t.current.Load().Sweep(ctx, limits)
}

// Snapshot implements cache.Tier. It does not outlive a reopening.
func (t *Tier) Snapshot() (cache.TierSnapshot, error) { return t.current.Load().Snapshot() }

// Backup implements cache.Tier.
func (t *Tier) Backup(ctx context.Context, path string) (cache.BackupReport, error) {
	return t.current.Load().Backup(ctx, path)
}

// AppendHistory implements cache.Tier.
func (t *Tier) AppendHistory(ctx context.Context, rows []cache.HistoryRow, before int64) error {
	return t.current.Load().AppendHistory(ctx, rows, before)
}

// Usage implements cache.Tier.
func (t *Tier) Usage(ns cache.NamespaceID) cache.NamespaceUsage { return t.current.Load().Usage(ns) }

// Stats implements cache.Tier.
func (t *Tier) Stats() cache.TierStats { return t.current.Load().Stats() }

// Sync implements cache.Tier.
func (t *Tier) Sync(ctx context.Context) error { return t.current.Load().Sync(ctx) }
