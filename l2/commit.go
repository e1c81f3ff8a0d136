package l2

import (
	"context"
	"errors"
	"fmt"

	"pgcache/cache"
)

// Commit implements cache.Tier. However many rows there are, they are one batch: Pebble
// logs and applies it as a whole.
func (s *Store) Commit(ctx context.Context, commit *cache.TierCommit, sync bool) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.unwritable(); err != nil {
		if !sync && len(commit.Namespaces)+len(commit.Watermarks)+len(commit.Drops) == 0 {
			return s.shed(commit.Ops, sync, err)
		}
		return fmt.Errorf("l2: commit: %w", err)
	}
	var begun []cache.NamespaceID
	for _, n := range commit.Namespaces {
		begun = append(begun, n.Row.ID)
	}
	w, err := s.newWrite(ctx, commit.Ops, sync, begun...)
	if err != nil {
		return err
	}
	defer w.release()
	defer w.discardFiles()
	w.isAtomic = true
	// The committer may come to it after the caller gave up: it gets its own copies.
	namespaces := append([]cache.NamespaceChange(nil), commit.Namespaces...)
	watermarks := append([]cache.Watermark(nil), commit.Watermarks...)
	drops := append([]cache.Watermark(nil), commit.Drops...)
	w.request.sync, w.request.alone, w.request.settles = sync, len(namespaces) > 0, len(drops) > 0
	w.request.ops += len(namespaces) + len(watermarks) + len(drops)
	w.request.emit = func(g *group) error {
		err := func() error {
			for _, n := range namespaces {
				g.putNamespace(n.Row, n.Old)
			}
			if err := errors.Join(g.raiseWatermarks(watermarks), g.dropWatermarks(drops)); err != nil {
				return err
			}
			return w.emit(g)
		}()
		g.fail(err) // a part of it must not be committed with what others have in the batch
		return err
	}
	// What need not be durable may be shed, as by Write: all puts are rejected then.
	isSheddable := !sync && len(namespaces)+len(watermarks)+len(drops) == 0
	w.request.sheddable = isSheddable
	if err := s.submit(ctx, &w.request); err != nil {
		if isSheddable && isShedding(err) {
			return s.shed(commit.Ops, sync, err)
		}
		return fmt.Errorf("l2: commit: %w", err)
	}
	for i := range commit.Ops {
		w.report(&commit.Ops[i], &w.ops[i])
	}
	return nil
}

// rejectIfTooLarge rejects all puts of an atomic write if they do not fit together, into
// the store or into a namespace: their older records are removed all the same.
func (w *write) rejectIfTooLarge(g *group) {
	total, sizes := int64(0), map[cache.NamespaceID]int64{}
	for i := range w.ops {
		if o := &w.ops[i]; !o.delete && g.isLive(o.ns) {
			_, key := splitRecordKey(o.recordKey)
			size := o.header.size(len(key))
			total += size
			sizes[o.ns] += size
			w.rejectsAll = w.rejectsAll || o.failed
		}
	}
	for ns, size := range sizes {
		// One that begins with this batch has no usage, and so no quota, before it.
		w.rejectsAll = w.rejectsAll || w.s.usage.of(ns) != nil && g.exceedsQuota(ns, size, 0)
	}
	w.rejectsAll = w.rejectsAll || total > 0 && (w.s.health.lowSpace.Load() || w.s.usage.total.bytes.Load()+g.bytes+total > w.s.cfg.BytesMax)
}
