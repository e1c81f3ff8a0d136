package l2

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// A namespace's quota (cache.NamespaceLimits.L2BytesMax) is the most it may hold, and what
// others cannot take from it. Above it, a hand of its own evicts from the namespace, oldest
// first and sparing what was read, in the background; what arrives meanwhile is stored
// until quotaSlack more is used, then rejected. Eviction for want of room passes over the
// records of namespaces within their quota, until nothing else is left.

// quotaSlackShare is the part of a quota by which it may be exceeded for a moment, so that
// writes do not wait for eviction. docs/namespaces.md tells of it.
const quotaSlackShare = 16

// pendingBytes is what the group changes of a generation's bytes. Nobody asks, and nothing
// is summed up, as long as there are no quotas.
func (g *group) pendingBytes(ns cache.NamespaceID) int64 {
	if g.sums == nil {
		g.sums = make(map[cache.NamespaceID]int64)
	}
	for _, c := range g.changes[g.summed:] {
		g.sums[c.ns] += c.bytes
	}
	g.summed = len(g.changes)
	return g.sums[ns]
}

// exceedsQuota reports that a record of size bytes, in place of one of held, is too much
// for its namespace.
func (g *group) exceedsQuota(ns cache.NamespaceID, size, held int64) bool {
	u := g.s.usage.of(ns)
	quota := u.quota.Load()
	if quota == 0 {
		return false
	}
	return size > quota || u.bytes.Load()+g.pendingBytes(ns)-held+size > quota+quota/quotaSlackShare
}

// isProtected reports that a generation is within its quota.
func (g *group) isProtected(ns cache.NamespaceID, u *usage) bool {
	quota := u.quota.Load()
	return quota > 0 && !g.s.ignoresQuotas && u.bytes.Load()+g.pendingBytes(ns) <= quota
}

// isOverQuota reports that some generation that the group changed is above its quota.
func (g *group) isOverQuota() bool {
	for _, c := range g.changes {
		if u := g.s.usage.of(c.ns); u != nil && u.isOver() {
			return true
		}
	}
	return false
}

func (u *usage) isOver() bool {
	quota := u.quota.Load()
	return quota > 0 && u.bytes.Load() > quota
}

// evictOverQuota moves the hand of quotas over some rows and removes records of namespaces
// above their quota. At the end of a round in which there were none it is done.
func (s *Store) evictOverQuota() error {
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindQueue}, UpperBound: []byte{kindQueue + 1}})
	if err != nil {
		return fmt.Errorf("l2: read queue: %w", err)
	}
	g := s.newGroup(1)
	examined := 0
	valid := iter.SeekGE(s.quotaHand)
	for ; valid && examined < evictRowsMax && int(g.evictions) < evictVictimsMax; valid = iter.Next() {
		examined++
		if err := g.evictRowOverQuota(iter); err != nil {
			return errors.Join(err, iter.Close(), g.commit(false))
		}
	}
	s.quotaEvictions += g.evictions
	if valid {
		s.quotaHand = append(s.quotaHand[:0], iter.Key()...)
	} else {
		s.quotaHand = append(s.quotaHand[:0], kindQueue)
		s.quotaRounds++
		if s.quotaEvictions > 0 {
			s.quotaRounds = 0
		}
		// The first round may have found all of them read, the second cannot.
		s.overQuota, s.quotaEvictions = s.quotaRounds < 2 && s.anyOverQuota(), 0
		if !s.overQuota {
			s.quotaRounds = 0
		}
	}
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return errors.Join(fmt.Errorf("l2: read queue: %w", err), g.commit(false))
	}
	return g.commit(false)
}

// evictStep does one step of whatever eviction is due.
func (s *Store) evictStep() {
	if s.evicting {
		s.evictInBackground()
		return
	}
	if err := s.evictOverQuota(); err != nil {
		s.cfg.Logger.Error("l2: evict", "error", err)
		s.overQuota = false // until the next write
	}
}

func (s *Store) anyOverQuota() bool {
	for _, ns := range s.usage.generations() {
		if u := s.usage.of(ns); u != nil && u.isOver() {
			return true
		}
	}
	return false
}

// evictRowOverQuota removes the record of the queue row that the iterator is on, if its
// namespace is above its quota and it was not read.
func (g *group) evictRowOverQuota(queue *pebble.Iterator) error {
	value, err := queue.ValueAndErr()
	if err != nil {
		return fmt.Errorf("l2: read queue: %w", err)
	}
	q, ok := decodeQueueRow(queue.Key(), value)
	if !ok {
		return nil
	}
	u := g.s.usage.of(q.ns)
	if u == nil || u.quota.Load() == 0 || u.bytes.Load()+g.pendingBytes(q.ns) <= u.quota.Load() {
		return nil
	}
	return g.evictRow(queue)
}
