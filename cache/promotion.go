package cache

import (
	"bytes"
	"context"
	"sync"
	"sync/atomic"
)

// Promotion copies an entry that was found in the tier into L1: at once, or once it is
// read for the second time; by the reader itself, or by a pool behind a bounded queue whose
// oldest jobs give way. Whichever way, a copy that something overtook since the read is
// not made (I3).

// PromoteOn says which reads promote an entry of admission auto.
type PromoteOn uint8

const (
	PromoteOnFirstHit PromoteOn = iota
	PromoteOnSecondHit
)

func (p PromoteOn) String() string {
	if p == PromoteOnSecondHit {
		return "second"
	}
	return "first"
}

const (
	promotionQueueMaxDefault = 1024
	promotionWorkersMax      = 64
	// promotionShare: what waits in the queue takes no more than this part of L1.
	promotionShare = 16
	// readOnceLen is for how many keys of a shard a first hit is remembered; one may take
	// another's place.
	readOnceLen = 8192
)

// readOnce remembers keys that were read from the tier. Nil remembers none.
type readOnce []atomic.Uint32

// again notes a read and reports that it was not the first.
func (t readOnce) again(hash uint64) bool {
	mark := askedMark(hash)
	return t[hash%readOnceLen].Swap(mark) == mark
}

// promotionJob is an entry to be copied into L1. The record's memory is shared with its
// reader; nobody changes it.
type promotionJob struct {
	shard *shard
	hash  uint64
	gen   *generation
	r     *Record
	m     mark
	nowMs int64
}

func (j *promotionJob) bytes() int64 {
	return int64(entryBytes(len(j.r.Key), len(j.r.Attrs), len(j.r.Value)))
}

// promotions is the queue of the pool.
type promotions struct {
	work chan struct{} // buffered 1: there is something in the queue

	queued, dropped atomic.Int64

	mu    sync.Mutex
	jobs  []promotionJob // oldest first
	bytes int64
	busy  int // workers with a job in hand
}

// isWantedInL1 decides whether an entry that was read from the tier is to be promoted.
func (s *shard) isWantedInL1(hash uint64, r *Record) bool {
	if !s.admitsRead(hash, r.Attrs.Admission(), entryBytes(len(r.Key), len(r.Attrs), len(r.Value))) {
		return false
	}
	if s.readOnce == nil || r.Attrs.Admission() == AdmitAlways || s.readOnce.again(hash) {
		return true
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.policy.Knows(tagOf(hash)) // it was in L1 until not long ago
}

// offerPromotion queues a job, in place of the oldest if there is no room.
func (c *Cache) offerPromotion(j promotionJob) {
	p := &c.promotions
	bytesMax := c.config.L1BytesMax / promotionShare
	p.queued.Add(1)
	if j.bytes() > bytesMax {
		p.dropped.Add(1)
		return
	}
	p.mu.Lock()
	for len(p.jobs) > 0 && (len(p.jobs) >= c.config.PromotionQueueMax || p.bytes+j.bytes() > bytesMax) {
		p.bytes -= p.jobs[0].bytes()
		p.jobs[0] = promotionJob{}
		p.jobs = p.jobs[1:]
		p.dropped.Add(1)
	}
	p.jobs = append(p.jobs, j)
	p.bytes += j.bytes()
	p.mu.Unlock()
	select {
	case p.work <- struct{}{}:
	default:
	}
}

func (p *promotions) take() (promotionJob, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.jobs) == 0 {
		p.jobs = nil
		return promotionJob{}, false
	}
	j := p.jobs[0]
	p.jobs[0] = promotionJob{}
	p.jobs = p.jobs[1:]
	p.bytes -= j.bytes()
	p.busy++
	return j, true
}

// done notes that a worker has finished its job.
func (p *promotions) done() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
}

func (p *promotions) isIdle() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.jobs) == 0 && p.busy == 0
}

func (p *promotions) depth() int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return int64(len(p.jobs))
}

// runPromotions is a worker of the pool.
func (c *Cache) runPromotions(ctx context.Context) {
	p := &c.promotions
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.work:
		}
		for ctx.Err() == nil {
			j, ok := p.take()
			if !ok {
				break
			}
			select {
			case p.work <- struct{}{}: // there may be more: let another worker look, too
			default:
			}
			c.promote(j.shard, j.hash, j.gen, j.r, j.m, c.latestAccess(ctx, &j), nil)
			p.done()
		}
	}
}

// latestAccess is the time of the read that asked for the promotion or, with an idle TTL,
// of a later one that the tier has answered since.
func (c *Cache) latestAccess(ctx context.Context, j *promotionJob) int64 {
	if j.r.Attrs.IdleMs() == 0 {
		return j.nowMs
	}
	var now Record
	if ok, err := c.config.Tier.Get(ctx, j.gen.id, j.r.Key, false, &now); err != nil || !ok || now.Seq != j.r.Seq {
		return j.nowMs // the mark, or the next read, tells what became of it
	}
	return max(j.nowMs, now.LastAccessMs)
}

// flight is a read of the tier that others wait for instead of reading the same.
type flight struct {
	key    []byte
	m      mark
	undone uint64 // of the fences, before the read
	done   chan struct{}

	// Of the outcome, once done is closed.
	r   Record
	ok  bool
	err error
}

// flights are the reads under way in a shard, by key hash.
type flights struct {
	sync.Mutex
	byHash map[uint64]*flight
}

// readOnceAtATime is Tier.Get with its value, shared by those who ask for the same key at
// the same time: with equal marks, so that nothing acknowledged before a caller asked can
// be missing from what it gets. isShared says that another one did the read.
func (s *shard) readOnceAtATime(ctx context.Context, hash uint64, gen *generation, key []byte, m mark, r *Record) (ok, isShared bool, err error) {
	tier := s.cache.config.Tier
	s.flights.Lock()
	f := s.flights.byHash[hash]
	if f != nil {
		// Under the lock: the key is memory of the one who reads, until the flight is over.
		isSame := f.m == m && bytes.Equal(f.key, key)
		s.flights.Unlock()
		if !isSame {
			ok, err = tier.Get(ctx, gen.id, key, true, r)
			return ok, false, err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return false, true, ctx.Err()
		}
		if f.err == nil && f.undone == s.cache.fences.undone.Load() {
			*r = f.r
			r.Key = key
			return f.ok, true, nil
		}
		ok, err = tier.Get(ctx, gen.id, key, true, r) // its context may have ended, not ours, or a load has
		return ok, false, err
	}
	f = &flight{key: key, m: m, undone: s.cache.fences.undone.Load(), done: make(chan struct{})}
	if s.flights.byHash == nil {
		s.flights.byHash = map[uint64]*flight{}
	}
	s.flights.byHash[hash] = f
	s.flights.Unlock()
	defer func() {
		s.flights.Lock()
		delete(s.flights.byHash, hash)
		s.flights.Unlock()
		close(f.done)
	}()
	// An invalidation under way now may be over, and its fence down, when the others look.
	up := s.cache.fences.snapshot()
	f.ok, f.err = tier.Get(ctx, gen.id, key, true, r)
	f.r = *r
	if f.ok && (s.cache.fences.covers(r) || up.covers(r)) {
		f.ok = false
	}
	return f.ok, false, f.err
}
