package l2

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"pgcache/cache"
)

// Store is a durable tier. Make one with Open.
type Store struct {
	cfg   Config
	state cache.TierState

	inherited  *inheritance // nil: it is not in the place of another one
	marker     marker
	lock       *pebble.Lock
	guard      *guardFS
	fsCloser   io.Closer
	blockCache *pebble.Cache
	db         *pebble.DB
	files      *payloadFiles
	ballast    *ballast

	compressor    *compressor
	lookupOptions pebble.IterOptions
	lookupKeys    sync.Pool // *lookupKeys
	visited       *visitedSet
	usage         usageTable
	snapshots     snapshots
	notifier      *notifier
	counters      *counters
	health        health
	marks         *marks
	epoch         int // of marks
	ledger        ledger
	accesses      *accesses
	onIdle        atomic.Pointer[func(cache.NamespaceID, []byte, cache.Sequence) int64]
	settling      chan struct{} // a semaphore: marks are being made up for

	highWater, lowWater int64

	requests chan *request
	garbage  garbage
	// sweepFrom is the expiry order below which there is nothing to sweep.
	sweepFrom   atomic.Uint64
	sweepSlices int // sweepSlicesPerTick, less in tests
	// unsynced says that some commit since the last sync did not ask for one.
	unsynced      atomic.Bool
	armed         atomic.Bool  // the guard stops errors on the log
	rejectedBytes atomic.Int64 // puts rejected since the last tick
	removedBytes  atomic.Int64 // removed since the latest flush for its sake
	diskBytes     atomic.Int64
	filterMisses  atomic.Int64 // as of the last tick

	// The committer's own.
	members   []*request
	scratch   group
	seqKey    []byte
	timeKey   []byte
	lastMs    int64 // the time of the latest time row
	lastSeq   cache.Sequence
	hand      []byte         // where eviction goes on in the queue
	roundEnd  cache.Sequence // the hand turns back before newer records
	settled   cache.Sequence // lastSeq before the latest group of writes
	evicting  bool
	fruitless int // rounds of background eviction that freed nothing

	overQuota      bool // some generation is above its quota
	ignoresQuotas  bool // eviction has found nothing else
	quotaHand      []byte
	quotaEvictions int64 // in this round of the hand of quotas
	quotaRounds    int   // rounds of it that freed nothing

	// The maintainer's own.
	reclaim  reclaim
	orphans  orphans
	lastSync time.Time

	// Life and death.
	background     context.Context // ends when Close begins
	stopBackground context.CancelFunc
	maintainerDone chan struct{}
	stopCommitter  chan struct{}
	committerDone  chan struct{}
	stopFiles      context.CancelFunc // ends the removal of payload files
	filesDone      chan struct{}
	inUse          atomic.Int64  // calls between enter and leave
	closing        atomic.Bool   // new calls are refused
	idle           chan struct{} // signalled when inUse reaches zero while closing
	closeOnce      sync.Once
	closeErr       error
	breakOnce      sync.Once
	broken         chan struct{} // closed when the store is degraded; breakErr is set before
	breakErr       error
}

var _ cache.Tier = (*Store)(nil)

type counters struct {
	fullRejections     atomic.Int64
	metadataReads      atomic.Int64
	negativeSkips      atomic.Int64
	evictions          atomic.Int64
	expirations        atomic.Int64
	corruptRecords     atomic.Int64
	accessesDropped    atomic.Int64
	compressedRawBytes atomic.Int64
	compressedBytes    atomic.Int64
	compressionSkipped atomic.Int64
}

// filterBitsPerRecord estimates what the Bloom filters take: ten bits for each row, of two
// to four rows and the labels of a record.
const filterBitsPerRecord = 3 * 10

// State implements cache.Tier.
func (s *Store) State() cache.TierState { return s.state }

// OnRemove implements cache.Tier.
func (s *Store) OnRemove(fn func(ns cache.NamespaceID, key []byte, seq cache.Sequence)) {
	s.notifier.register(fn)
}

// Usage implements cache.Tier.
func (s *Store) Usage(ns cache.NamespaceID) cache.NamespaceUsage {
	u := s.usage.of(ns)
	if u == nil {
		return cache.NamespaceUsage{}
	}
	return cache.NamespaceUsage{Entries: u.entries.Load(), Bytes: u.bytes.Load()}
}

// Stats implements cache.Tier. NegativeSkips includes the under 1 % of absent keys for
// which a filter erred and a block was read: Pebble does not tell. FilterBytes is estimated:
// filters are part of the block cache.
func (s *Store) Stats() cache.TierStats {
	c, reason := s.counters, s.degradedReason()
	return cache.TierStats{
		Entries:            s.usage.total.entries.Load(),
		BytesInUse:         s.usage.total.bytes.Load(),
		BytesMax:           s.cfg.BytesMax,
		DiskBytes:          s.diskBytes.Load() + s.files.bytes.Load(),
		FullRejections:     c.fullRejections.Load(),
		MetadataReads:      c.metadataReads.Load(),
		NegativeSkips:      c.negativeSkips.Load(),
		Evictions:          c.evictions.Load(),
		Expirations:        c.expirations.Load(),
		CorruptRecords:     c.corruptRecords.Load(),
		AccessesDropped:    c.accessesDropped.Load(),
		CompressedRawBytes: c.compressedRawBytes.Load(),
		CompressedBytes:    c.compressedBytes.Load(),
		CompressionSkipped: c.compressionSkipped.Load(),
		FilterBytes:        s.usage.total.entries.Load() * filterBitsPerRecord / 8,
		FilterMisses:       s.filterMisses.Load(),
		Degraded:           reason != "",
		DegradedReason:     reason,
	}
}

// Sync implements cache.Tier.
func (s *Store) Sync(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	return s.sync(ctx)
}

func (s *Store) sync(ctx context.Context) error {
	if !isOff(ctx) { // the files before the records that name them
		if err := s.files.sync(); err != nil {
			return fmt.Errorf("l2: sync payload files: %w", err)
		}
	}
	r := &request{sync: true, emit: func(*group) error { return nil }}
	if err := s.submit(ctx, r); err != nil {
		return fmt.Errorf("l2: sync: %w", err)
	}
	return nil
}

// overloaded reports that the cache does not keep up with removals, so that removing
// more can wait.
func (s *Store) overloaded() bool { return s.notifier.backlog() > backlogMax }

// enter begins a call; each successful one is followed by leave.
func (s *Store) enter() error {
	s.inUse.Add(1)
	if s.closing.Load() {
		s.leave()
		return fmt.Errorf("l2: %w", cache.ErrClosed)
	}
	return nil
}

func (s *Store) leave() {
	if s.inUse.Add(-1) == 0 && s.closing.Load() {
		select {
		case s.idle <- struct{}{}:
		default:
		}
	}
}

// degrade ends the writes of this store for good (D7).
func (s *Store) degrade(cause error) {
	s.breakOnce.Do(func() {
		s.breakErr = fmt.Errorf("%w: %w", ErrDegraded, cause)
		close(s.broken)
		s.cfg.Logger.Error("l2: the store is degraded: reads go on, writes fail", "error", cause)
	})
}

func (s *Store) degradedError() error {
	select {
	case <-s.broken:
		return s.breakErr
	default:
		return nil
	}
}

// Close implements cache.Tier. Of a degraded store it releases nothing that Pebble holds,
// because Pebble's locks may be held for ever; the end of the process does.
func (s *Store) Close() error {
	s.closeOnce.Do(func() { s.closeErr = s.close() })
	return s.closeErr
}

func (s *Store) close() error {
	timeout, cancel := context.WithTimeout(context.Background(), s.cfg.CloseTimeout)
	defer cancel()
	await := func(done <-chan struct{}) error {
		select {
		case <-done:
			return nil
		case <-s.broken:
			return s.breakErr
		case <-timeout.Done():
			return errors.New("timed out")
		}
	}
	s.closing.Store(true)
	s.stopBackground()
	var err error
	for s.inUse.Load() > 0 && err == nil {
		err = await(s.idle)
	}
	err = errors.Join(err, await(s.maintainerDone))
	if err == nil { // else nobody knows how long it would take
		err = s.settleMarks(context.Background(), s.cfg.CloseTimeout, ErrWriteTimeout)
	}
	if err == nil {
		err = s.saveAccesses(timeout)
	}
	close(s.stopCommitter)
	err = errors.Join(err, await(s.committerDone))
	close(s.notifier.stop)
	err = errors.Join(err, await(s.notifier.done), s.degradedError())
	if err != nil {
		s.stopFiles()
		return fmt.Errorf("l2: close: %w", errors.Join(err, await(s.filesDone)))
	}
	closed := make(chan struct{})
	var closeErr error
	go func() {
		defer close(closed)
		s.closeSnapshots()
		// Without the flush the next open would have to replay the log.
		closeErr = errors.Join(
			s.files.sync(),
			s.db.Set(s.timeKey, appendUint64(nil, uint64(s.cfg.Now().UnixMilli())), pebble.NoSync),
			s.db.Flush())
		if closeErr == nil {
			s.files.logSynced()
			s.files.awaitRemoved()
			if err := s.saveVisited(); err != nil { // only worth a worse choice of victims
				s.cfg.Logger.Warn("l2: close", "error", err)
			}
		}
		s.stopFiles()
		<-s.filesDone
		closeErr = errors.Join(closeErr, s.db.Close())
		if closeErr == nil {
			s.marker.seq = uint64(s.lastSeq)
			closeErr = directory{fs: s.cfg.FS, path: s.cfg.Dir}.write(s.marker)
		}
		closeErr = errors.Join(closeErr, s.release())
	}()
	if err := await(closed); err != nil {
		return fmt.Errorf("l2: close: %w", err)
	}
	if closeErr != nil {
		return fmt.Errorf("l2: close: %w", closeErr)
	}
	return nil
}

// release gives back what Open acquired besides the database.
func (s *Store) release() error {
	if s.blockCache != nil {
		s.blockCache.Unref()
	}
	if s.compressor != nil {
		s.compressor.close()
	}
	var err error
	if s.lock != nil {
		err = s.lock.Close()
	}
	if s.fsCloser != nil {
		err = errors.Join(err, s.fsCloser.Close())
	}
	return err
}
