package sqlmap

import (
	"bytes"
	"context"

	"pgcache/cache"
)

// The invalidations of a session: at once, or at its transaction's end. Within a
// transaction they hide from then on what they cover, and counts are of what the
// transaction saw.

func (s *session) invalidateKey(ctx context.Context, k cache.Key) (bool, error) {
	if err := s.checkKey(k); err != nil {
		return false, err
	}
	if !s.tx.isOpen {
		return s.handler.cache.Invalidate(ctx, k)
	}
	p := s.tx.find(k)
	isNew := p == nil
	if isNew {
		p = &pendingKey{key: cache.Key{Namespace: bytes.Clone(k.Namespace), Name: bytes.Clone(k.Name)}}
		var hit cache.Hit
		row, err := s.read(ctx, k, false, &hit, &entryRow{})
		hit.Release()
		if err != nil {
			return false, err
		}
		p.existed = row != nil
	}
	wasThere := !p.isDeleted && (p.existed || !isNew)
	return wasThere, s.keepDeletion(p, nil, isNew)
}

func (s *session) invalidatePrefix(ctx context.Context, ns, prefix []byte) (int64, error) {
	if err := s.grants.checkNamespace(ns); err != nil {
		return 0, err
	}
	if !s.tx.isOpen {
		return s.handler.cache.InvalidatePrefix(ctx, ns, prefix)
	}
	return s.invalidate(ctx, cache.Invalidation{Coverage: cache.CoverPrefix, Namespace: ns, Prefix: prefix},
		cache.ScanRange{Namespace: ns, Prefix: prefix})
}

func (s *session) invalidateTags(ctx context.Context, ns []byte, tags []string) (int64, error) {
	if err := s.grants.checkNamespace(ns); err != nil {
		return 0, err
	}
	if !s.tx.isOpen {
		return s.handler.cache.InvalidateTags(ctx, ns, tags)
	}
	return s.invalidate(ctx, cache.Invalidation{Coverage: cache.CoverTags, Namespace: ns, Labels: tags},
		cache.ScanRange{Namespace: ns, Kind: cache.Tag, Labels: append([]string{}, tags...)})
}

// invalidateDependencies covers all namespaces when ns is nil.
func (s *session) invalidateDependencies(ctx context.Context, ns []byte, dependencies []string) (int64, error) {
	if ns == nil {
		if err := s.grants.checkAllNamespaces("an invalidation by dependency alone"); err != nil {
			return 0, err
		}
	} else if err := s.grants.checkNamespace(ns); err != nil {
		return 0, err
	}
	if !s.tx.isOpen {
		return s.handler.cache.InvalidateDependencies(ctx, ns, dependencies)
	}
	return s.invalidate(ctx, cache.Invalidation{Coverage: cache.CoverDependencies, Namespace: ns, Labels: dependencies},
		cache.ScanRange{Namespace: ns, Kind: cache.Dependency, Labels: append([]string{}, dependencies...)})
}

func (s *session) flushNamespace(ctx context.Context, ns []byte) (int64, bool, error) {
	if err := s.grants.checkNamespace(ns); err != nil {
		return 0, false, err
	}
	if !s.tx.isOpen {
		return s.handler.cache.FlushNamespace(ctx, ns)
	}
	entries, exists := s.handler.cache.EntriesOf(ns)
	count, err := s.flush(ctx, entries, cache.Invalidation{Coverage: cache.CoverNamespace, Namespace: ns}, cache.ScanRange{Namespace: ns})
	return count, exists, err
}

func (s *session) flushAll(ctx context.Context) (int64, error) {
	if err := s.grants.checkAllNamespaces("a flush of everything"); err != nil {
		return 0, err
	}
	if !s.tx.isOpen {
		return s.handler.cache.FlushAll(ctx)
	}
	return s.flush(ctx, s.handler.cache.Stats().Entries, cache.Invalidation{Coverage: cache.CoverNamespace}, cache.ScanRange{})
}

// flush makes a flush pending. As long as the transaction sees what others see, the
// namespace's counter tells how much that is.
func (s *session) flush(ctx context.Context, entries int64, x cache.Invalidation, r cache.ScanRange) (int64, error) {
	if s.tx.isDirty() {
		return s.invalidate(ctx, x, r)
	}
	return entries, s.keepInvalidation(x)
}

// invalidate makes an invalidation pending and counts what it covers, which is within r.
func (s *session) invalidate(ctx context.Context, x cache.Invalidation, r cache.ScanRange) (int64, error) {
	r.Unordered = true
	scan, err := s.handler.cache.Scan(ctx, r)
	if err != nil {
		return 0, err
	}
	defer scan.Close()
	count := int64(0)
	var hit cache.Hit
	for {
		key, ok, err := scan.Next(ctx, &hit)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		if s.tx.find(key) == nil && !s.tx.hides(key, hit.Attrs()) {
			count++
		}
		hit.Release()
	}
	for _, p := range s.tx.pending {
		if p.isCovered(&x) {
			count++
		}
	}
	return count, s.keepInvalidation(x)
}

// keepInvalidation makes an invalidation pending. What is pending and covered is deleted.
func (s *session) keepInvalidation(x cache.Invalidation) error {
	size := int64(len(x.Namespace)+len(x.Prefix)) + pendingDeletionBytes
	for _, text := range x.Labels {
		size += int64(len(text)) + 16
	}
	if err := s.charge(size); err != nil {
		return err
	}
	if x.Namespace != nil {
		x.Namespace = append([]byte{}, x.Namespace...)
	}
	x.Prefix, x.Labels = bytes.Clone(x.Prefix), append([]string(nil), x.Labels...)
	noLabels := func(cache.LabelKind, string) bool { return false }
	for _, p := range s.tx.pending {
		// A deletion with conditions has none any more when everything under its key goes.
		if p.isCovered(&x) || len(p.changes) > 0 && covers(&x, p.key, noLabels) {
			if err := s.keepDeletion(p, nil, false); err != nil {
				return err
			}
		}
	}
	s.tx.invalidations = append(s.tx.invalidations, x)
	return nil
}
