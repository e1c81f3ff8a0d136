package l2

import (
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
	"github.com/cockroachdb/pebble/v2/sstable"
)

// pebbleFormat is the format of Pebble's own files. Upgrades are one-way, so it is pinned:
// a newer one is a change of ours, with a note in the changelog. Value separation, which
// has open defects in Pebble 2.1, needs a newer one and is off.
const pebbleFormat = pebble.FormatTableFormatV6

const (
	// A lookup of an absent key asks the filters twice, for its v and its m row: with 10 bits
	// 1.8 % of absent keys read a block, with 14 0.7 %.
	bloomBitsPerKey = 14
	// l0FileBytes above Pebble's default of 2 MiB keeps bulk writes from stalling.
	l0FileBytes      = 8 << 20
	memTablesMax     = 4
	openFilesMax     = 2000
	diskSlowAfter    = 5 * time.Second
	logEvery         = time.Second // Pebble retries in tight loops and logs each failure
	deleteRangeDelay = 10 * time.Second
)

func (s *Store) pebbleOptions() *pebble.Options {
	logger := &pebbleLogger{log: s.cfg.Logger, fatal: s.abandon}
	options := &pebble.Options{
		FS:                          s.cfg.FS,
		FormatMajorVersion:          pebbleFormat,
		Cache:                       s.blockCache,
		MemTableSize:                uint64(s.cfg.MemTableBytes),
		MemTableStopWritesThreshold: memTablesMax,
		L0CompactionThreshold:       2,
		L0StopWritesThreshold:       20,
		MaxOpenFiles:                openFilesMax,
		FlushDelayDeleteRange:       deleteRangeDelay,
		CompactionConcurrencyRange:  func() (int, int) { return 1, 2 },
		Logger:                      logger,
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) {
				s.health.background.Store(&backgroundFailure{err.Error(), s.cfg.Now()})
				logger.Errorf("background work: %v", err)
			},
			// Pebble's default is to end the process.
			DataCorruption: func(info pebble.DataCorruptionInfo) { logger.Errorf("%v", info) },
			DiskSlow:       func(info pebble.DiskSlowInfo) { logger.Errorf("slow disk: %v", info) },
			// Called with Pebble's lock held. A fatal error between a begin and its end leaves
			// the count above zero, and the lock held, for ever.
			FlushBegin:      func(pebble.FlushInfo) { s.health.lockers.Add(1) },
			FlushEnd:        func(pebble.FlushInfo) { s.health.lockers.Add(-1) },
			CompactionBegin: func(pebble.CompactionInfo) { s.health.lockers.Add(1) },
			CompactionEnd:   func(pebble.CompactionInfo) { s.health.lockers.Add(-1) },
			WriteStallBegin: func(info pebble.WriteStallBeginInfo) {
				s.cfg.Logger.Debug("l2: writes stall", "why", info.Reason)
			},
		},
	}
	options.TargetFileSizes[0] = l0FileBytes
	for i := range options.Levels {
		level := &options.Levels[i]
		level.FilterPolicy = bloom.FilterPolicy(bloomBitsPerKey)
		level.FilterType = pebble.TableFilter
		// Payloads are compressed by us, so that larger windows and other tiers profit.
		level.Compression = func() *sstable.CompressionProfile { return sstable.NoCompression }
	}
	return options
}

// pebbleLogger passes on what Pebble has to say, not more often than every logEvery.
type pebbleLogger struct {
	log        *slog.Logger
	fatal      func(error)
	lastError  atomic.Int64 // Unix ns
	suppressed atomic.Int64
}

func (l *pebbleLogger) Infof(format string, args ...any) {
	l.log.Debug("l2: pebble: " + fmt.Sprintf(format, args...))
}

func (l *pebbleLogger) Errorf(format string, args ...any) {
	now, last := time.Now().UnixNano(), l.lastError.Load()
	if now-last < int64(logEvery) || !l.lastError.CompareAndSwap(last, now) {
		l.suppressed.Add(1)
		return
	}
	l.log.Error("l2: pebble: "+fmt.Sprintf(format, args...), "suppressed_before", l.suppressed.Swap(0))
}

// Fatalf must not return, and Pebble means the process to end. Other goroutines may wait
// for locks that this one holds, and what they guard is in no state to be used: so it
// keeps them for ever, and the store goes on without reads and writes (D7).
func (l *pebbleLogger) Fatalf(format string, args ...any) {
	l.fatal(fmt.Errorf("pebble: "+format, args...))
	select {}
}
