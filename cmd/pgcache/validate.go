package main

import (
	"strings"
	"time"
)

// Bounds that have no meaning beyond being sane; the rooms check what they depend on.
const (
	l1BytesMin         = 1 << 20 // a shard must hold at least a few entries
	l2BytesMin         = 1 << 20 // what l2 accepts
	connectionsMax     = 100_000 // file descriptors; each idle one holds a few KiB
	namespacesMax      = 1_000_000
	shutdownTimeoutMax = time.Hour

	durabilityIntervalMin = 10 * time.Millisecond
	durabilityIntervalMax = time.Minute
)

// validate checks what can be checked before anything is opened (M2).
func (s *settings) validate() error {
	switch {
	case s.L1Bytes < l1BytesMin:
		return usagef("l1-bytes is %s: the memory tier needs at least 1MiB", s.L1Bytes)
	case s.DataDir != "" && s.L2Bytes < l2BytesMin:
		return usagef("l2-bytes is %s: the disk tier needs at least 1MiB; leave data-dir empty to do without it", s.L2Bytes)
	case s.DataDir == "" && s.MaxBlobBytes > s.L1Bytes/8:
		return usagef("max-blob-bytes is %s: without data-dir, at most an eighth of l1-bytes (%s) can be one value; raise l1-bytes, lower it, or give a data-dir", s.MaxBlobBytes, s.L1Bytes)
	case s.MaxNamespaces < 1 || s.MaxNamespaces > namespacesMax:
		return usagef("max-namespaces is %d: write a number from 1 to %d", s.MaxNamespaces, namespacesMax)
	case s.MaxConnections < 1 || s.MaxConnections > connectionsMax:
		return usagef("max-connections is %d: write a number from 1 to %d", s.MaxConnections, connectionsMax)
	case s.L2BlockCacheBytes < 1<<20:
		return usagef("l2-block-cache-bytes is %s: the disk tier needs at least 1MiB", s.L2BlockCacheBytes)
	case s.L2MemTableBytes < 1<<20 || s.L2MemTableBytes > 1<<30:
		return usagef("l2-memtable-bytes is %s: write a size from 1MiB to 1GiB", s.L2MemTableBytes)
	case s.L2BallastBytes > 16<<30:
		return usagef("l2-ballast-bytes is %s: at most 16GiB", s.L2BallastBytes)
	case s.L2FileMinBytes < 4<<10 || s.L2FileMinBytes > 1<<30:
		return usagef("l2-file-min-bytes is %s: write a size from 4KiB to 1GiB", s.L2FileMinBytes)
	case s.DurabilityInterval < durabilityIntervalMin || s.DurabilityInterval > durabilityIntervalMax:
		return usagef("durability-interval is %s: write a time from 10ms to 1m", s.DurabilityInterval)
	case s.L2PromotionWorkers < 0 || s.L2PromotionWorkers > 64:
		return usagef("l2-promotion-workers is %d: write a number from 0 to 64", s.L2PromotionWorkers)
	case s.L2PromotionQueue < 1 || s.L2PromotionQueue > 1<<20:
		return usagef("l2-promotion-queue is %d: write a number from 1 to %d", s.L2PromotionQueue, 1<<20)
	case s.SlowLogMs < 0 || time.Duration(s.SlowLogMs)*time.Millisecond > time.Hour:
		return usagef("slow-log-ms is %d: write a number from 0 to 3600000", s.SlowLogMs)
	case s.StatsHistoryInterval < 0 || s.StatsHistoryInterval > 0 && s.StatsHistoryInterval < time.Second:
		return usagef("stats-history-interval is %s: write a time from 1s up, or 0", s.StatsHistoryInterval)
	case s.ShutdownTimeout <= 0 || s.ShutdownTimeout > shutdownTimeoutMax:
		return usagef("shutdown-timeout is %s: write a time up to 1h, like 30s", s.ShutdownTimeout)
	}
	return s.checkWire()
}

// oneLine folds an error that a library spread over lines.
func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "\n", "; ")), " ")
}
