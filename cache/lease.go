package cache

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// A lease is the right to fill one key: whoever reads a miss may get it, others then wait
// or take the stale value. It carries the sequence at which it was granted. A write that
// presents it is refused if since then anything was written to the key, or an invalidation
// was called that covers the key or what is written: what the filler had read may be from
// before. Leases live in memory only and are forgotten at a restart.

// Bounds of leases.
const (
	// LeaseDurationMax bounds how long a filler that vanished can keep others waiting.
	LeaseDurationMax = time.Hour
	// LeaseWaitMax bounds how long a read waits for another's fill.
	LeaseWaitMax = time.Minute

	leasesMaxDefault = 1 << 16 // about 10 MiB when all are in use

	// What is remembered of invalidations for the leases in use; beyond, leases granted
	// before are refused.
	leaseLabelsMax   = 1 << 15
	leasePrefixesMax = 256
)

// LeaseError says that a write presented a lease that does not allow it. Nothing changed.
type LeaseError struct {
	Lease int64
	Why   string
}

func (e *LeaseError) Error() string { return "cache: lease " + e.Why }

const (
	leaseUnknown   = "is unknown: it has expired, was answered or released, or another write or a deletion of the key overtook it"
	leaseOvertaken = "was overtaken by an invalidation that covers the key or a label of the new entry"
)

// lease is the right to fill the key of a hash. Guarded by its shard's mu.
type lease struct {
	id        int64
	seq       Sequence
	gen       *generation
	expiresMs int64
	holder    *LeaseHolder
	over      chan struct{} // closed when the lease ends
}

// LeaseHolder owns leases and gives them back when it is closed. It is for one
// conversation with one client; its methods may be called concurrently.
type LeaseHolder struct {
	cache *Cache
	mu    sync.Mutex
	held  map[heldLease]struct{} // nil when closed
}

type heldLease struct {
	hash uint64 // of the key
	id   int64
}

// NewLeaseHolder makes an owner of leases.
func (c *Cache) NewLeaseHolder() *LeaseHolder {
	return &LeaseHolder{cache: c, held: map[heldLease]struct{}{}}
}

// Close releases every lease that is held. Later grants fail.
func (o *LeaseHolder) Close() {
	o.mu.Lock()
	held := o.held
	o.held = nil
	o.mu.Unlock()
	for x := range held {
		s := o.cache.shardOf(x.hash)
		s.mu.Lock()
		if l := s.leases[x.hash]; l != nil && l.id == x.id {
			s.endLease(x.hash, l)
		}
		s.mu.Unlock()
	}
}

// add reports false when the holder is closed.
func (o *LeaseHolder) add(x heldLease) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.held == nil {
		return false
	}
	o.held[x] = struct{}{}
	return true
}

func (o *LeaseHolder) forget(x heldLease) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.held, x)
}

// LeaseState is what a GetOrLease came to.
type LeaseState uint8

const (
	LeaseMiss    LeaseState = iota // no entry, and no lease
	LeaseHit                       // a fresh entry
	LeaseStale                     // a stale entry; another holds the lease
	LeaseGranted                   // no fresh entry, perhaps a stale one; the caller is to fill it
	LeaseBusy                      // no entry; another holds the lease
)

func (s LeaseState) String() string {
	switch s {
	case LeaseHit:
		return "hit"
	case LeaseStale:
		return "stale"
	case LeaseGranted:
		return "lease"
	case LeaseBusy:
		return "busy"
	}
	return "miss"
}

// LeaseOptions refine GetOrLease.
type LeaseOptions struct {
	Holder *LeaseHolder  // required when Lease is positive
	Lease  time.Duration // how long the lease is good for; 0: do not take one
	Wait   time.Duration // how long to wait for another's fill of an absent key
}

// GetOrLease is Get, and where it finds no fresh entry it hands out the key's lease, to
// one caller at a time. It returns the lease's id with LeaseGranted. h holds an entry with
// LeaseHit, LeaseStale and perhaps LeaseGranted, until h.Release. No lease is granted when
// too many are out, or there are too many namespaces: then it is a miss. Errors:
// *ArgumentError, *LimitError, ErrTierIO, ErrClosed, ctx.Err().
func (c *Cache) GetOrLease(ctx context.Context, k Key, o LeaseOptions, h *Hit) (LeaseState, int64, error) {
	if err := o.check(); err != nil {
		return LeaseMiss, 0, err
	}
	if err := c.checkKey(k); err != nil {
		return LeaseMiss, 0, err
	}
	var state LeaseState
	var id int64
	var timer *time.Timer // of the whole wait
	watch := stopwatch{}
	if rand.Uint32()%readSampling == 0 {
		watch = c.startWatch()
	}
	for {
		gen, err := c.leaseGeneration(ctx, k, o)
		if err != nil || gen == nil {
			c.countRead(nil, nil, false, h)
			return LeaseMiss, 0, err
		}
		var over <-chan struct{}
		var left time.Duration
		state, id, over, left, err = c.getOrLeaseOnce(ctx, gen, k.Name, o, h)
		if err == errChanged && ctx.Err() == nil {
			h.Release()
			continue
		}
		if err != nil || state != LeaseBusy || o.Wait <= 0 {
			hash := c.hash(gen.id, k.Name)
			c.countRead(c.shardOf(hash), gen, h.HasEntry(), h)
			if timer == nil { // waiting for others is no latency of ours
				c.noteRead(watch, hash, k, h.HasEntry(), h)
			}
			return state, id, err
		}
		if timer == nil {
			timer = time.NewTimer(o.Wait)
			defer timer.Stop()
		}
		if !waitLease(ctx, over, left, timer.C) {
			o.Wait = 0 // one more look
		}
	}
}

func (o *LeaseOptions) check() error {
	switch {
	case o.Lease < 0 || o.Lease > LeaseDurationMax:
		return &ArgumentError{"lease_ms", "must be between 0 and 3600000"}
	case o.Wait < 0 || o.Wait > LeaseWaitMax:
		return &ArgumentError{"wait_ms", "must be between 0 and 60000"}
	}
	return nil
}

// leaseGeneration is where the lease would be held. Asking for one announces a write, so
// it opens the namespace. Nil: there is nowhere.
func (c *Cache) leaseGeneration(ctx context.Context, k Key, o LeaseOptions) (*generation, error) {
	if c.closed.Load() {
		return nil, ErrClosed
	}
	if gen := c.generationOf(k.Namespace); gen != nil || o.Lease == 0 {
		return gen, nil
	}
	gen, err := c.openNamespace(ctx, k.Namespace)
	var full *QuotaError
	if errors.As(err, &full) || errors.Is(err, ErrTierIO) {
		return nil, nil
	}
	return gen, err
}

// waitLease waits until a lease is over and reports false when the wait is.
func waitLease(ctx context.Context, over <-chan struct{}, left time.Duration, wait <-chan time.Time) bool {
	expiry := time.NewTimer(left)
	defer expiry.Stop()
	select {
	case <-over:
	case <-expiry.C:
	case <-wait:
		return false
	case <-ctx.Done():
		return false
	}
	return true
}

// getOrLeaseOnce looks once. With LeaseBusy it returns what tells the end of the other's
// lease. errChanged: the key changed meanwhile.
func (c *Cache) getOrLeaseOnce(ctx context.Context, gen *generation, key []byte, o LeaseOptions, h *Hit) (LeaseState, int64, <-chan struct{}, time.Duration, error) {
	if err := ctx.Err(); err != nil {
		return LeaseMiss, 0, nil, 0, err
	}
	hash := c.hash(gen.id, key)
	s := c.shardOf(hash)
	isLive, m, err := c.find(ctx, s, hash, gen, key, h)
	if err != nil {
		return LeaseMiss, 0, nil, 0, err
	}
	if isLive && h.state == Fresh {
		return LeaseHit, 0, nil, 0, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return LeaseMiss, 0, nil, 0, ErrClosed
	}
	if !s.holds(m, hash, gen) {
		return LeaseMiss, 0, nil, 0, errChanged
	}
	nowMs := c.clock.ms()
	other := s.leases[hash]
	if other != nil && nowMs >= other.expiresMs {
		s.endLease(hash, other)
		other = nil
	}
	switch {
	case other == nil && o.Lease > 0:
		if id, ok := s.grantLease(hash, gen, nowMs, o); ok {
			return LeaseGranted, id, nil, 0, nil
		}
	case other != nil && !isLive:
		return LeaseBusy, 0, other.over, time.Duration(other.expiresMs-nowMs) * time.Millisecond, nil
	}
	if isLive {
		return LeaseStale, 0, nil, 0, nil
	}
	return LeaseMiss, 0, nil, 0, nil
}

// grantLease REQUIRES: s.mu held.
func (s *shard) grantLease(hash uint64, gen *generation, nowMs int64, o LeaseOptions) (int64, bool) {
	c := s.cache
	// Counted before the sequence is taken: an invalidation that sees no lease, and so
	// leaves no mark for it, has taken its own sequence before.
	if c.leases.count.Add(1) > int64(c.config.LeasesMax) && !c.dropExpiredLeases(s, nowMs) {
		c.leases.count.Add(-1)
		c.counters.leasesExhausted.Add(1)
		return 0, false
	}
	l := &lease{id: int64(c.config.Random()>>1) | 1, gen: gen, holder: o.Holder, over: make(chan struct{})}
	l.seq, l.expiresMs = c.nextSeq(), addMs(nowMs, max(o.Lease.Milliseconds(), 1))
	if !o.Holder.add(heldLease{hash, l.id}) {
		c.leases.count.Add(-1)
		return 0, false
	}
	gen.leases.Add(1)
	s.leases[hash] = l
	c.counters.leasesGranted.Add(1)
	return l.id, true
}

// dropExpiredLeases makes room in the table from one shard's expired leases.
// REQUIRES: s.mu held.
func (c *Cache) dropExpiredLeases(s *shard, nowMs int64) bool {
	for hash, l := range s.leases {
		if nowMs >= l.expiresMs {
			s.endLease(hash, l)
		}
	}
	return c.leases.count.Load() <= int64(c.config.LeasesMax)
}

// endLease ends a lease and wakes who waits for it. REQUIRES: s.mu held.
func (s *shard) endLease(hash uint64, l *lease) {
	delete(s.leases, hash)
	s.cache.leases.count.Add(-1)
	l.gen.leases.Add(-1)
	l.holder.forget(heldLease{hash, l.id})
	close(l.over)
}

// revokeLease ends the lease of a key that something overtook. REQUIRES: s.mu held.
func (s *shard) revokeLease(hash uint64) {
	if l := s.leases[hash]; l != nil {
		s.endLease(hash, l)
	}
}

func (c *Cache) revokeLeaseOf(hash uint64) {
	if c.leases.count.Load() == 0 {
		return
	}
	s := c.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.revokeLease(hash)
}

// checkLease refuses a write whose lease does not allow it; zero is a write without one.
// The write ends the lease, by revokeLease, once it is published. REQUIRES: s.mu held.
func (s *shard) checkLease(id int64, hash uint64, namespace NamespaceID, key []byte, attrs Attrs) error {
	if id == 0 {
		return nil
	}
	c := s.cache
	l := s.leases[hash]
	if l == nil || l.id != id || c.clock.ms() >= l.expiresMs {
		return &LeaseError{id, leaseUnknown}
	}
	if c.leases.isOvertaken(l.seq, namespace, key, attrs) {
		s.endLease(hash, l) // good for nothing any more
		return &LeaseError{id, leaseOvertaken}
	}
	return nil
}

// ReleaseLease gives a lease back unfilled and reports whether it was held.
func (c *Cache) ReleaseLease(k Key, id int64) bool {
	gen := c.generationOf(k.Namespace)
	if gen == nil {
		return false
	}
	hash := c.hash(gen.id, k.Name)
	s := c.shardOf(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[hash]
	if l == nil || l.id != id {
		return false
	}
	s.endLease(hash, l)
	return c.clock.ms() < l.expiresMs
}

// leases is what all leases share: how many there are, and what has been invalidated
// since the oldest of them may have been granted.
type leases struct {
	count atomic.Int64

	mu       sync.Mutex
	floor    Sequence // leases granted before are refused
	labels   map[Label]Sequence
	prefixes []prefixMark
}

type prefixMark struct {
	ns     NamespaceID
	prefix []byte
	seq    Sequence
}

// overtake notes an invalidation, before it takes its own sequence: a write with a greater
// sequence than that one finds the note.
func (x *leases) overtake(c *Cache, f *fence) {
	seq := c.nextSeq()
	if x.count.Load() == 0 {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.labels)+len(f.labels) > leaseLabelsMax || len(x.prefixes) == leasePrefixesMax {
		x.floor, x.prefixes = seq, nil
		clear(x.labels)
		return
	}
	if f.prefix != nil {
		x.prefixes = append(x.prefixes, prefixMark{f.ns, f.prefix, seq})
		return
	}
	for _, label := range f.labels {
		x.labels[label] = seq
	}
}

// isOvertaken reports that an invalidation called since seq covers the key or one of the
// labels it is to get.
func (x *leases) isOvertaken(seq Sequence, namespace NamespaceID, key []byte, attrs Attrs) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if seq < x.floor {
		return true
	}
	for _, p := range x.prefixes {
		if p.seq > seq && p.ns == namespace && bytes.HasPrefix(key, p.prefix) {
			return true
		}
	}
	if len(x.labels) == 0 {
		return false
	}
	for kind, text := range attrs.Labels() {
		if x.labels[Label{namespace, kind, string(text)}] > seq || x.labels[Label{0, kind, string(text)}] > seq {
			return true
		}
	}
	return false
}

// tidyLeases ends leases that nobody asks for any more, so that they do not fill the
// table, and forgets what no lease in use can need.
func (c *Cache) tidyLeases() {
	x := &c.leases
	if x.count.Load() != 0 {
		for _, s := range c.shards {
			s.mu.Lock()
			nowMs := c.clock.ms()
			for hash, l := range s.leases {
				if nowMs >= l.expiresMs || l.gen.ended.Load() {
					s.endLease(hash, l)
				}
			}
			s.mu.Unlock()
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.count.Load() == 0 {
		x.prefixes = nil
		clear(x.labels)
	}
}
