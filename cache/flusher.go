package cache

import (
	"cmp"
	"context"
	"sync"
	"time"

	"pgcache/cache/arena"
)

// Bounds of one write to the tier, so that a commit takes milliseconds.
const (
	flushKeysMax  = 256
	flushBytesMax = 4 << 20
)

// Waits between tries of a failing tier.
const (
	flushRetryMin = 50 * time.Millisecond
	flushRetryMax = 2 * time.Second
)

// flusher writes the dirty entries of some shards to the tier. A key is in at most one
// flusher's hands at a time, so its writes reach the tier in order.
type flusher struct {
	cache *Cache
	work  chan struct{} // buffered 1: there is something in queue

	mu    sync.Mutex
	queue dirtyQueue
	busy  bool
	// What was ever queued, what of it was taken and is done with, and how often that failed.
	queued, done, failures int64
}

// dirtyKey names a slot by key hash: the slot itself may be replaced while it waits.
type dirtyKey struct {
	shard *shard
	hash  uint64
}

// dirtyQueue is first in, first out, and grows by a chunk at a time: who puts something in
// holds a shard's lock and must not wait until a million others are copied.
type dirtyQueue struct{ chunks [][]dirtyKey }

const dirtyChunkLen = 4 * flushKeysMax

func (q *dirtyQueue) push(key dirtyKey) {
	last := len(q.chunks) - 1
	if last < 0 || len(q.chunks[last]) == dirtyChunkLen {
		q.chunks = append(q.chunks, make([]dirtyKey, 0, dirtyChunkLen))
		last++
	}
	q.chunks[last] = append(q.chunks[last], key)
}

// pop takes out the first keys, at most n.
func (q *dirtyQueue) pop(n int) []dirtyKey {
	if q.isEmpty() {
		return nil
	}
	first := q.chunks[0]
	n = min(n, len(first))
	keys := append([]dirtyKey(nil), first[:n]...)
	switch {
	case n < len(first):
		q.chunks[0] = first[:copy(first, first[n:])] // there is room for more in it then
	case len(q.chunks) == 1:
		q.chunks = nil
	default:
		q.chunks = q.chunks[1:]
	}
	return keys
}

func (q *dirtyQueue) isEmpty() bool { return len(q.chunks) == 0 }

// flushing is one entry on its way to the tier, pinned.
type flushing struct {
	dirtyKey
	seq     Sequence
	chunk   *arena.Chunk
	ref     arena.Ref
	dropped bool // the tier only gets to forget what it has
	awaited bool
	synced  bool // somebody waits for it to be durable
}

// enqueue hands a dirty slot to its flusher, once. REQUIRES: s.mu held.
func (s *shard) enqueue(number uint32) {
	sl := s.slot(number)
	if sl.flags&slotQueued != 0 {
		return
	}
	sl.flags |= slotQueued
	hash := s.hashOf(number)
	f := s.cache.flushers[s.number%len(s.cache.flushers)]
	f.mu.Lock()
	f.queue.push(dirtyKey{s, hash})
	f.queued++
	f.mu.Unlock()
	select {
	case f.work <- struct{}{}:
	default:
	}
}

// waiter registers for the flush of the key, durable unless d is DurabilityOff.
// REQUIRES: s.mu held.
func (s *shard) waiter(hash uint64, d Durability) *flushWaiter {
	w := &flushWaiter{done: make(chan error, 1), synced: d != DurabilityOff}
	s.waiters[hash] = append(s.waiters[hash], w)
	return w
}

// await waits for a waiter; nil is done at once.
func (c *Cache) await(ctx context.Context, w *flushWaiter) error {
	if w == nil {
		return nil
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *flusher) run(ctx context.Context) {
	f.loop(ctx, func() (bool, error) {
		batch := f.take()
		if len(batch) == 0 {
			return false, nil
		}
		err := f.flush(ctx, batch)
		f.finish(len(batch), err)
		return true, err
	})
}

// loop writes until there is nothing left, then waits for work. After an error it waits
// before the next try.
func (f *flusher) loop(ctx context.Context, write func() (found bool, err error)) {
	retry := flushRetryMin
	for {
		found, err := write()
		if !found {
			select {
			case <-f.work:
				continue
			case <-ctx.Done():
				return
			}
		}
		f.cache.progress.raise()
		if err == nil {
			retry = flushRetryMin
			continue
		}
		select {
		case <-time.After(retry):
			retry = min(2*retry, flushRetryMax)
		case <-ctx.Done():
			return
		}
	}
}

// take claims the next keys to write, in the order they became dirty.
func (f *flusher) take() []dirtyKey {
	f.mu.Lock()
	defer f.mu.Unlock()
	batch := f.queue.pop(flushKeysMax)
	f.busy = len(batch) > 0
	return batch
}

func (f *flusher) finish(n int, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy = false
	f.done += int64(n)
	if err != nil {
		f.failures++
	}
}

// progressed returns what was queued so far, what of it is done, and the failures.
func (f *flusher) progressed() (queued, done, failures int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queued, f.done, f.failures
}

// isIdle reports that nothing is queued or being written.
func (f *flusher) isIdle() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.queue.isEmpty() && !f.busy
}

// flush writes keys to the tier in as many commits as their bytes need. On error the rest
// is queued again.
func (f *flusher) flush(ctx context.Context, keys []dirtyKey) (failed error) {
	for len(keys) > 0 {
		var (
			taken []flushing
			ops   []TierOp
			bytes int
			sync  bool
		)
		for len(keys) > 0 && bytes < flushBytesMax {
			var x flushing
			var op TierOp
			var ok bool
			x, op, ok = keys[0].shard.claim(keys[0].hash)
			keys = keys[1:]
			if !ok {
				continue
			}
			taken, ops = append(taken, x), append(ops, op)
			bytes += len(op.Record.Value) + len(op.Record.Attrs) + len(op.Record.Key)
			sync = sync || x.synced
		}
		if len(ops) == 0 {
			continue
		}
		err := f.cache.saveAndWrite(ctx, ops, sync)
		for i := range taken {
			opErr := cmp.Or(err, ops[i].Err)
			if opErr != nil {
				opErr = f.cache.tierError("write", opErr)
				failed = opErr
			}
			taken[i].settle(&ops[i], opErr)
		}
		if err != nil {
			for _, key := range keys {
				key.shard.requeue(key.hash)
			}
			return failed
		}
	}
	return failed
}

// saveAndWrite writes ops, after making up for flushes of their namespaces that failed.
// Where that fails again, ops of those namespaces are not written, as the tier does not
// know the generation: they fail, or are rejected if too much waits for the tier already.
func (c *Cache) saveAndWrite(ctx context.Context, ops []TierOp, sync bool) error {
	if c.namespaces.unsaved.Load() == 0 {
		return c.writeTier(ctx, ops, sync)
	}
	isFull := c.dirty.Load() > c.config.DirtyBytesMax/2
	failed := map[NamespaceID]error{}
	var rest []TierOp
	var places []int
	for i := range ops {
		id := ops[i].Record.Namespace
		err, known := failed[id]
		if gen := c.generation(id); gen != nil && !known {
			err = c.saveGenerations(ctx, gen)
			failed[id] = err
		}
		if err == nil {
			rest, places = append(rest, ops[i]), append(places, i)
			continue
		}
		if ops[i].Err = err; isFull {
			// Nothing of the generation is in the tier, so nothing has to be removed.
			ops[i].Err, ops[i].Rejected = nil, !ops[i].Delete
		}
	}
	if len(rest) == 0 {
		return nil
	}
	err := c.writeTier(ctx, rest, sync)
	for i, place := range places {
		ops[place] = rest[i]
	}
	return err
}

// writeTier is the tier's Write, timed.
func (c *Cache) writeTier(ctx context.Context, ops []TierOp, sync bool) error {
	defer c.stopWatch(c.startWatch(), OpTierWrite)
	return c.config.Tier.Write(ctx, ops, sync)
}

// claim takes a dirty key off the queue and makes the operation that brings the tier up
// to date. The record borrows the pinned chunk.
func (s *shard) claim(hash uint64) (flushing, TierOp, bool) {
	c := s.cache
	s.mu.Lock()
	defer s.leave()
	number := s.lookup(hash)
	if number == 0 {
		return flushing{}, TierOp{}, false
	}
	sl := s.slot(number)
	sl.flags &^= slotQueued | slotLost
	if sl.flags&slotDirty == 0 {
		return flushing{}, TierOp{}, false
	}
	if s.held[hash] > 0 {
		return flushing{}, TierOp{}, false // the group's settle will queue it again
	}
	e := s.entryOf(number)
	header := e.header()
	gen := c.generation(header.namespace)
	if gen == nil {
		s.remove(number) // flushed meanwhile: nobody can reach it, in any tier
		s.wakeWhenSaved(hash)
		return flushing{}, TierOp{}, false
	}
	if g := gen.writtenBy.Load(); g != nil && g.deferKey(dirtyKey{s, hash}) {
		return flushing{}, TierOp{}, false // the tier does not know the generation yet
	}
	s.inHand[hash] = struct{}{}
	x := flushing{dirtyKey: dirtyKey{s, hash}, seq: header.seq, ref: sl.ref(), chunk: s.arena.Pin(sl.ref())}
	x.awaited, x.synced = len(s.waiters[hash]) > 0, s.isSyncAwaited(hash)
	op := TierOp{Record: Record{Namespace: header.namespace, Key: e.key(), Seq: header.seq}}
	switch {
	case header.tombstone:
		op.Delete = true
	case c.dirty.Load() > c.config.DirtyBytesMax/2 && !x.awaited && sl.flags&slotTransient == 0:
		// The tier falls behind: shed its load, not the clients'. It only has to forget
		// an older record, if it has one.
		op.Delete, x.dropped = true, true
		c.counters.tierWritesDropped.Add(1)
	default:
		op.Record.Attrs = e.attrs()
		op.Record.Value = e.value()
		op.Record.ValueLen = int64(header.valueLen)
		op.Record.LastAccessMs = header.lastAccessMs()
	}
	return x, op, true
}

// settle notes the outcome of a flush, unless the key was written again meanwhile: then
// it is queued again already.
func (x *flushing) settle(op *TierOp, err error) {
	s := x.shard
	s.mu.Lock()
	defer s.leave()
	defer s.unpinLocked(x.chunk, x.ref)
	delete(s.inHand, x.hash)
	if err != nil {
		s.wake(x.hash, err)
	}
	number := s.lookup(x.hash)
	if number == 0 {
		return
	}
	e := s.entryOf(number)
	header := e.header()
	if header.seq != x.seq || s.slot(number).flags&slotDirty == 0 {
		return
	}
	if err != nil {
		s.setAlone(number, e, false) // the tier may have applied it all the same
		s.enqueue(number)
		return
	}
	switch {
	case op.Rejected && !op.Delete:
		s.wakeRejected(x.hash)
	case len(s.waiters[x.hash]) > 0 && (!x.awaited || !x.synced && s.isSyncAwaited(x.hash)):
		s.enqueue(number) // somebody began to wait for more after the claim
		return
	default:
		s.wake(x.hash, nil)
	}
	if header.tombstone {
		s.remove(number)
		return
	}
	s.clean(number, e, op, x.dropped)
}

// clean ends the dirtiness of an entry: from now on it is evictable. REQUIRES: s.mu held.
func (s *shard) clean(number uint32, e entry, op *TierOp, dropped bool) {
	sl := s.slot(number)
	// What is superseded, in a live generation, is there by an earlier try that seemed to fail.
	isStored := !op.Rejected && sl.flags&slotLost == 0 && (!dropped || op.Superseded)
	storedLen := op.Record.StoredLen
	if dropped {
		storedLen = int64(e.header().valueLen)
	}
	isTransient := sl.flags&slotTransient != 0
	s.cache.addDirty(-s.cache.slotBytes(e))
	sl.flags &^= slotDirty | slotLost | slotTransient
	s.setAlone(number, e, !isStored)
	if isStored {
		e.header().storedLen.Store(int32(storedLen))
		if !dropped && !op.Superseded {
			e.header().told(op.Record.LastAccessMs)
		}
	}
	if isTransient && (isStored || s.cache.passes(int64(s.arena.SizeOf(sl.ref())))) {
		s.tellAccess(number)
		s.remove(number)
		return
	}
	s.queue(number)
}

// setAlone notes whether the tier holds a record of the key. REQUIRES: s.mu held.
func (s *shard) setAlone(number uint32, e entry, alone bool) {
	sl := s.slot(number)
	if alone == (sl.flags&slotAlone != 0) {
		return
	}
	sl.flags ^= slotAlone
	change := int64(1)
	if !alone {
		change = -1
	}
	s.cache.addAlone(e.header().namespace, change)
}

// wakeWhenSaved answers those who wait for a key of an ended generation as soon as the
// flush that ended it is durable. REQUIRES: s.mu held, from a flusher.
func (s *shard) wakeWhenSaved(hash uint64) {
	waiters := s.waiters[hash]
	if len(waiters) == 0 {
		return
	}
	delete(s.waiters, hash)
	c := s.cache
	c.background.Go(func() {
		err := c.saveGenerations(c.background.ctx, nil)
		if err != nil {
			err = c.tierError("flush", err)
		}
		for _, w := range waiters {
			w.done <- err
		}
	})
}

// requeue puts a key back that was taken but not claimed.
func (s *shard) requeue(hash uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.lookup(hash)
	if number == 0 || s.slot(number).flags&slotQueued == 0 {
		return
	}
	s.slot(number).flags &^= slotQueued
	s.enqueue(number)
}

// unpinLocked is unpin for a caller that holds the lock. REQUIRES: s.mu held.
func (s *shard) unpinLocked(chunk *arena.Chunk, ref arena.Ref) {
	if chunk.Unpin() {
		size := int64(s.arena.SizeOf(ref))
		s.arena.Reclaim(ref)
		s.cache.releaseChunk(size)
	}
}

// tierRemoved is told by the tier that it removed a record by its own decision.
func (c *Cache) tierRemoved(namespace NamespaceID, key []byte, seq Sequence) {
	hash := c.hash(namespace, key)
	s := c.shardOf(hash)
	s.mu.Lock()
	defer s.leave()
	s.changes[stripeOf(hash)]++ // who read the record before must not promote it now
	number, e := s.find(hash, namespace, key)
	if number == 0 || e.header().tombstone {
		return
	}
	header := e.header()
	switch {
	case header.seq != seq:
	case s.slot(number).flags&slotDirty != 0:
		s.slot(number).flags |= slotLost
	case e.stateAt(c.clock.ms()) == Dead:
		s.remove(number) // the tier has counted it
	default:
		header.storedLen.Store(notStored)
		s.setAlone(number, e, true)
	}
}
