package l2

import (
	"context"
	"errors"
	"time"
)

// displaceBytesMax bounds how much one tick evicts while the disk is full, so that a disk
// that others filled does not empty the cache at once.
const displaceBytesMax = 64 << 20

// sweepsPerTick: expired records leave sooner than the rest of the periodic work needs to be
// done. A sweep that finds nothing costs one seek.
const sweepsPerTick = 4

// maintainLoop is the maintainer goroutine.
func (s *Store) maintainLoop() {
	defer close(s.maintainerDone)
	ticks := s.cfg.ticks
	var sweeps <-chan time.Time
	if ticks == nil {
		interval := s.cfg.TickInterval
		if s.cfg.SyncInterval > 0 {
			interval = min(interval, s.cfg.SyncInterval)
		}
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		ticks = ticker.C
		sweeper := time.NewTicker(interval / sweepsPerTick)
		defer sweeper.Stop()
		sweeps = sweeper.C
	}
	for {
		select {
		case <-s.background.Done():
			return
		case <-ticks:
			s.tick()
		case <-sweeps:
			if s.unwritable() == nil {
				s.step("sweep", s.sweep)
			}
		case <-s.accesses.full:
			if s.unwritable() == nil {
				s.step("save accesses", s.saveAccesses)
			}
		}
	}
}

// tick does all periodic work once, each kind in bounded steps.
func (s *Store) tick() {
	s.watchDisk()
	s.logHealth()
	if s.unwritable() != nil {
		return // all that follows would wait
	}
	now := s.cfg.Now()
	s.step("save accesses", s.saveAccesses)
	s.step("forget what is hidden", s.writeMarks)
	s.step("sync", func(ctx context.Context) error {
		if s.cfg.SyncInterval < 0 || !s.unsynced.Load() {
			return nil
		}
		if since := now.Sub(s.lastSync); since >= 0 && since < s.cfg.SyncInterval {
			return nil
		}
		s.lastSync = now
		return s.sync(ctx)
	})
	s.step("displace", s.displace)
	s.step("sweep", s.sweep)
	s.step("reclaim", s.reclaimTick)
	s.step("remove orphans", s.removeOrphans)
	s.step("return space", s.returnSpace)
	if s.degradedError() == nil { // else Pebble's locks may be held for ever
		metrics := s.db.Metrics()
		s.diskBytes.Store(int64(metrics.DiskSpaceUsage()))
		s.filterMisses.Store(metrics.Filter.Misses)
	}
}

// returnSpaceShare is the part of the budget that may be removed without its room coming
// back: deletions take effect on disk when they have left the memtable, and there they can
// wait for long, as they are small.
const returnSpaceShare = 32

// returnSpace flushes the memtable when enough was removed since the last time.
func (s *Store) returnSpace(context.Context) error {
	if s.removedBytes.Load() < s.cfg.BytesMax/returnSpaceShare {
		return nil
	}
	s.removedBytes.Store(0)
	_, err := s.db.AsyncFlush()
	return err
}

func (s *Store) step(what string, work func(context.Context) error) {
	if err := work(s.background); err != nil && !errors.Is(err, context.Canceled) {
		s.cfg.Logger.Warn("l2: background work failed, will be tried again", "work", what, "error", err)
	}
}

// watchDisk stops puts while the free space is below the floor, lets them go on once it is
// an eighth above, and makes the ballast when there is room for it.
func (s *Store) watchDisk() {
	if s.cfg.FreeBytesMin < 0 {
		return
	}
	usage, err := s.cfg.FS.GetDiskUsage(s.cfg.Dir)
	if err != nil {
		return // not known on this file system
	}
	floor := s.cfg.freeFloor(usage.TotalBytes)
	full := s.health.lowSpace.Load()
	switch {
	case !full && usage.AvailBytes < floor:
		s.health.lowSpace.Store(true)
		s.cfg.Logger.Error("l2: the disk is nearly full, new records are rejected; free some, or lower l2_free_bytes_min",
			"free_bytes", usage.AvailBytes, "free_bytes_min", floor)
	case full && usage.AvailBytes >= floor+floor/8:
		s.health.lowSpace.Store(false)
		s.cfg.Logger.Info("l2: the disk has room again", "free_bytes", usage.AvailBytes)
	}
	s.ballast.make(usage.AvailBytes, floor+floor/8)
}

// displace evicts, on a full disk, as many bytes as were rejected: if the store itself
// filled the disk, space returns and new records replace old ones.
func (s *Store) displace(ctx context.Context) error {
	rejected := min(s.rejectedBytes.Swap(0), displaceBytesMax)
	if !s.health.lowSpace.Load() || rejected == 0 {
		return nil
	}
	return s.submit(ctx, &request{evict: rejected, emit: func(*group) error { return nil }})
}
