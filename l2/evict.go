package l2

import (
	"bytes"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// Eviction is SIEVE: a hand walks the insertion queue from the oldest record to the
// newest and around again. A record read since the hand last passed is spared and loses
// its visited bit; any other is removed. Records never move, so a hit costs no write. The
// hand turns back before what was written since its round began, and never removes the
// latest group of writes in their favour: a put that was just stored is not the victim
// when all older records happen to have been read. All of it runs in the committer.

const (
	// Background eviction starts above the high water mark and goes down to the low one,
	// so that writes seldom wait for room.
	highWaterPct = 95
	lowWaterPct  = 90

	// evictRowsMax and evictVictimsMax bound one slice, between which writes go on: a few
	// milliseconds.
	evictRowsMax    = 2048
	evictVictimsMax = 256

	// evictRoundsMax is how many rounds of the hand may free nothing before eviction gives
	// up: the rest of a round, one that clears bits, one that finds victims, and one that
	// finds them in spite of quotas.
	evictRoundsMax = 4
)

// makeRoom evicts until need bytes are free, as far as there is something to evict.
func (s *Store) makeRoom(need int64) {
	if need == 0 || s.health.lowSpace.Load() {
		return
	}
	need = min(need, s.cfg.BytesMax)
	s.evictTo(s.cfg.BytesMax - need)
}

// evictTo evicts until no more than goal bytes are in use. It ends early when the hand has
// been around several times and freed nothing, or on an error.
func (s *Store) evictTo(goal int64) {
	for rounds := 0; s.usage.total.bytes.Load() > goal && rounds < evictRoundsMax; {
		before := s.usage.total.bytes.Load()
		s.ignoresQuotas = rounds == evictRoundsMax-1
		wrapped, err := s.evictSlice(goal)
		s.ignoresQuotas = false
		if err != nil {
			s.cfg.Logger.Error("l2: evict", "error", err)
			return
		}
		if s.usage.total.bytes.Load() < before {
			rounds = 0
		} else if wrapped {
			rounds++
		}
	}
}

// evictInBackground does one slice of eviction down to the low water mark.
func (s *Store) evictInBackground() {
	before := s.usage.total.bytes.Load()
	if before <= s.lowWater || s.overloaded() {
		s.evicting = false
		return
	}
	s.ignoresQuotas = s.fruitless == evictRoundsMax-1
	wrapped, err := s.evictSlice(s.lowWater)
	s.ignoresQuotas = false
	if err != nil {
		s.cfg.Logger.Error("l2: evict", "error", err)
		s.evicting = false // until the next write
	}
	if wrapped && s.usage.total.bytes.Load() == before {
		s.fruitless++
	} else if s.usage.total.bytes.Load() < before {
		s.fruitless = 0
	}
	if s.fruitless >= evictRoundsMax {
		s.evicting, s.fruitless = false, 0
	}
}

// evictSlice moves the hand over some rows and removes victims until goal is reached. It
// reports whether the hand came to the end of the queue and went back to its beginning.
func (s *Store) evictSlice(goal int64) (wrapped bool, err error) {
	if err := s.degradedError(); err != nil {
		return false, err
	}
	iter, err := s.db.NewIter(&pebble.IterOptions{LowerBound: []byte{kindQueue}, UpperBound: []byte{kindQueue + 1}})
	if err != nil {
		return false, fmt.Errorf("l2: read queue: %w", err)
	}
	g := s.newGroup(1) // no record comes twice
	examined, excess := 0, s.usage.total.bytes.Load()-goal
	end := appendUint64([]byte{kindQueue}, uint64(s.roundEnd)+1)
	valid := iter.SeekGE(s.hand)
	for ; valid && examined < evictRowsMax && int(g.evictions) < evictVictimsMax && -g.bytes < excess; valid = iter.Next() {
		if bytes.Compare(iter.Key(), end) >= 0 {
			valid = false
			break
		}
		examined++
		if err := g.evictRow(iter); err != nil {
			return false, errors.Join(err, iter.Close(), g.commit(false))
		}
	}
	if wrapped = !valid; wrapped {
		s.hand, s.roundEnd = append(s.hand[:0], kindQueue), s.settled
	} else {
		s.hand = append(s.hand[:0], iter.Key()...)
	}
	if err := errors.Join(iter.Error(), iter.Close()); err != nil {
		return wrapped, errors.Join(fmt.Errorf("l2: read queue: %w", err), g.commit(false))
	}
	return wrapped, g.commit(false)
}

// evictRow spares or removes the record of the queue row that the iterator is on.
func (g *group) evictRow(queue *pebble.Iterator) error {
	value, err := queue.ValueAndErr()
	if err != nil {
		return fmt.Errorf("l2: read queue: %w", err)
	}
	key := append([]byte(nil), queue.Key()...)
	q, ok := decodeQueueRow(key, value)
	if !ok {
		g.delete(key)
		return nil
	}
	_, recordKey, _ := splitOrderedKey(nil, key)
	u := g.s.usage.of(q.ns)
	if u == nil {
		if !q.hasFile { // else reclaim needs the row to find the file
			g.delete(key)
		}
		return nil
	}
	if g.isProtected(q.ns, u) || g.s.isSpared(recordKey, q.priority) {
		return nil
	}
	h, _, err := g.find(recordKey)
	if err != nil {
		return err
	}
	if h == nil || h.seq != q.seq {
		// What is left of a record whose header was damaged.
		g.dropQueueRow(key, &q)
		g.change(q.ns, -1, -q.size)
		return nil
	}
	g.removeOwn(recordKey, h)
	g.evictions++
	return nil
}

// isSpared takes the record's visited bit and decides whether the hand passes over it: if it
// was read, so it does, and with a priority above the default it may if it was not. Below
// the default it may not although it was. 32 steps of priority double, or halve, the rounds
// that a record stays in the mean, as they do in memory.
func (s *Store) isSpared(recordKey []byte, priority uint8) bool {
	const stepsPerDoubling = 32
	wasRead := s.visited.take(recordKey)
	above := int(priority) - cache.PriorityDefault
	if above == 0 || s.ignoresQuotas {
		return wasRead
	}
	// The chance that a record is treated as the lower of the two kinds.
	chance := math.Exp2(-math.Abs(float64(above)) / stepsPerDoubling)
	isLucky := float64(s.cfg.Random()>>11)/(1<<53) >= chance
	if above > 0 {
		return wasRead || isLucky
	}
	return wasRead && !isLucky
}

// dropQueueRow removes a q row that is all that is left of a record, and its file.
func (g *group) dropQueueRow(key []byte, q *queued) {
	g.delete(key)
	if q.hasFile {
		g.retired = append(g.retired, q.storedFile())
	}
}
