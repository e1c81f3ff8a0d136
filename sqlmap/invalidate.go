package sqlmap

import (
	"bytes"
	"context"
	"slices"

	"pgcache/cache"
)

// The invalidations of a session: they take effect at once, and remove what its
// transaction has pending (S5). Counts include pending entries that the cache did not hold.

func (s *session) invalidateKey(ctx context.Context, k cache.Key) (bool, error) {
	if err := s.checkKey(k); err != nil {
		return false, err
	}
	removed, err := s.handler.cache.Invalidate(ctx, k)
	dropped := s.tx.dropKeys(func(p *pendingKey) bool {
		return bytes.Equal(p.key.Namespace, k.Namespace) && bytes.Equal(p.key.Name, k.Name)
	})
	return removed || dropped > 0, err
}

func (s *session) invalidatePrefix(ctx context.Context, ns, prefix []byte) (int64, error) {
	if err := s.grants.checkNamespace(ns); err != nil {
		return 0, err
	}
	n, err := s.handler.cache.InvalidatePrefix(ctx, ns, prefix)
	return n + s.tx.dropKeys(hasPrefix(ns, prefix)), err
}

func (s *session) invalidateTags(ctx context.Context, ns []byte, tags []string) (int64, error) {
	if err := s.grants.checkNamespace(ns); err != nil {
		return 0, err
	}
	n, err := s.handler.cache.InvalidateTags(ctx, ns, tags)
	return n + s.tx.dropKeys(func(p *pendingKey) bool {
		return bytes.Equal(p.key.Namespace, ns) && overlaps(p.draft.Tags, tags)
	}), err
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
	n, err := s.handler.cache.InvalidateDependencies(ctx, ns, dependencies)
	return n + s.tx.dropKeys(func(p *pendingKey) bool {
		return (ns == nil || bytes.Equal(p.key.Namespace, ns)) && overlaps(p.draft.Dependencies, dependencies)
	}), err
}

func overlaps(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

func (s *session) flushNamespace(ctx context.Context, ns []byte) (int64, bool, error) {
	if err := s.grants.checkNamespace(ns); err != nil {
		return 0, false, err
	}
	n, existed, err := s.handler.cache.FlushNamespace(ctx, ns)
	return n + s.tx.dropKeys(hasPrefix(ns, nil)), existed, err
}

func (s *session) flushAll(ctx context.Context) (int64, error) {
	if err := s.grants.checkAllNamespaces("a flush of everything"); err != nil {
		return 0, err
	}
	n, err := s.handler.cache.FlushAll(ctx)
	return n + s.tx.dropKeys(func(*pendingKey) bool { return true }), err
}
