package l2

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"

	"pgcache/cache"
)

// Open opens the store in cfg.Dir, or makes one if the directory is empty or missing. A
// directory that it refuses, with an *OpenError, keeps what it holds.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	s, err := openStore(cfg)
	if !cfg.RenameCorrupt || !errors.Is(err, ErrDamaged) {
		return s, err
	}
	aside, asideErr := directory{cfg.FS, cfg.Dir}.moveAside(cfg.Now())
	if asideErr != nil {
		return nil, errors.Join(err, fmt.Errorf("l2: move the damaged store aside: %w", asideErr))
	}
	cfg.Logger.Error("l2: the store is damaged: it was moved aside and the cache starts empty; remove it when it is of no more use",
		"moved_to", aside, "error", err)
	return openStore(cfg)
}

// newStore makes a store that is not open yet. REQUIRES: cfg has its defaults.
func newStore(cfg Config) *Store {
	s := &Store{
		cfg:        cfg,
		lookupKeys: sync.Pool{New: func() any { return new(lookupKeys) }},
		notifier:   newNotifier(),
		accesses:   newAccesses(),
		highWater:  cfg.BytesMax / 100 * highWaterPct,
		lowWater:   cfg.BytesMax / 100 * lowWaterPct,
		requests:   make(chan *request, requestsMax),
		seqKey:     singletonKey("seq"),
		timeKey:    singletonKey("time"),
		hand:       []byte{kindQueue},
		quotaHand:  []byte{kindQueue},

		sweepSlices: sweepSlicesPerTick,
		idle:        make(chan struct{}, 1),
		broken:      make(chan struct{}),
		counters:    new(counters),
		health:      health{blinded: make(chan struct{})},
		marks:       new(marks),

		lookupOptions:  pebble.IterOptions{UseL6Filters: true},
		maintainerDone: make(chan struct{}),
		settling:       make(chan struct{}, 1),
		stopCommitter:  make(chan struct{}),
		committerDone:  make(chan struct{}),
		filesDone:      make(chan struct{}),
	}
	s.ledger.mu.namespaces = make(map[string]cache.NamespaceRow)
	s.background, s.stopBackground = context.WithCancel(context.Background())
	s.cfg.FS, s.fsCloser = vfs.WithDiskHealthChecks(cfg.FS, diskSlowAfter, nil, func(info vfs.DiskSlowInfo) {
		cfg.Logger.Warn("l2: slow disk", "operation", info.String())
	})
	s.files = newPayloadFiles(s.cfg.FS, cfg.Dir, cfg.Logger)
	s.ballast = &ballast{
		fs: s.cfg.FS, path: s.cfg.FS.PathJoin(cfg.Dir, ballastName), bytes: cfg.BallastBytes, logger: cfg.Logger,
	}
	s.guard = &guardFS{
		FS: s.cfg.FS, fatal: s.degrade, missing: s.abandon, broken: s.broken, background: s.background,
		retryEvery: cfg.TickInterval, full: &s.health.logWaits, armed: &s.armed, relieve: s.ballast.drop,
		dir: directory{fs: s.cfg.FS, path: cfg.Dir}.databaseDir(),
	}
	s.cfg.FS = s.guard
	return s
}

func openStore(cfg Config) (*Store, error) {
	s := newStore(cfg)
	if err := s.open(); err != nil {
		s.stopBackground()
		err = errors.Join(err, s.release())
		var open *OpenError
		if !errors.As(err, &open) {
			err = &OpenError{Dir: cfg.Dir, Err: err}
		}
		return nil, err
	}
	s.run()
	return s, nil
}

// run starts the goroutines.
func (s *Store) run() {
	s.armed.Store(true)
	filesCtx, stopFiles := context.WithCancel(context.Background())
	s.stopFiles = stopFiles
	go func() {
		defer close(s.filesDone)
		s.files.run(filesCtx)
	}()
	go s.notifier.run()
	go s.commitLoop()
	go s.maintainLoop()
}

// open acquires what is not inherited and loads the state; release undoes it.
func (s *Store) open() error {
	d := directory{fs: s.cfg.FS, path: s.cfg.Dir}
	marker, err := d.inspect()
	if err != nil {
		return err
	}
	if s.inherited == nil {
		if err := s.acquire(d); err != nil {
			return err
		}
	}
	if marker, err = d.inspect(); err != nil { // again: now nobody else changes it
		return err
	}
	if marker.state == stateNone {
		if marker, err = d.create(); err != nil {
			return err
		}
	}
	if s.db, err = s.openPebble(d, marker); err != nil {
		return err
	}
	start := time.Now()
	marker, err = s.checkIdentity(d, marker)
	if err == nil && s.inherited != nil {
		s.armed.Store(true) // what fails from here on would hang
		err = s.takeOver()
	}
	if err == nil {
		err = s.load()
	}
	if err == nil && uint64(s.lastSeq) < marker.seq {
		// Pebble opens a truncated manifest as an older state, without a word.
		err = d.damaged(fmt.Errorf("the database is at sequence %d, and was at %d before", s.lastSeq, marker.seq))
	}
	if err == nil && marker.version < formatVersion {
		marker, err = d.upgrade(marker)
	}
	if err != nil {
		return errors.Join(d.explain(err), s.db.Close())
	}
	s.marker = marker
	s.ballast.find()
	if s.inherited == nil {
		s.loadVisited()
	}
	s.diskBytes.Store(int64(s.db.Metrics().DiskSpaceUsage()))
	s.cfg.Logger.Info("l2: opened", "dir", s.cfg.Dir, "store_id", marker.id,
		"entries", s.usage.total.entries.Load(), "bytes", s.usage.total.bytes.Load(), "scan", time.Since(start))
	return nil
}

// acquire acquires what a store inherits if it takes the place of another one.
func (s *Store) acquire(d directory) (err error) {
	if s.lock, err = d.acquire(); err != nil {
		return err
	}
	if s.compressor, err = newCompressor(s.cfg.CompressMinBytes, s.cfg.CompressMinGainPct); err != nil {
		return err
	}
	s.visited = newVisitedSet(s.cfg.BytesMax)
	// Pebble reserves memtables out of the cache; one is nearly always there.
	s.blockCache = pebble.NewCache(s.cfg.BlockCacheBytes + s.cfg.MemTableBytes)
	return nil
}

// openPebble opens the database. It returns even if Pebble meets a fatal error.
func (s *Store) openPebble(d directory, marker marker) (*pebble.DB, error) {
	dir := d.databaseDir()
	options := s.pebbleOptions()
	if marker.state == stateReady {
		options.ErrorIfNotExists = true
		desc, err := pebble.Peek(dir, s.cfg.FS)
		switch {
		case err != nil:
			return nil, d.explain(err)
		case !desc.Exists:
			return nil, d.damaged(fmt.Errorf("there is no database in %s", dir))
		case desc.FormatMajorVersion > pebbleFormat:
			return nil, d.newer(fmt.Errorf("database format %d, this version knows %d", desc.FormatMajorVersion, pebbleFormat))
		}
	}
	type outcome struct {
		db  *pebble.DB
		err error
	}
	opened := make(chan outcome, 1)
	go func() {
		db, err := pebble.Open(dir, options)
		opened <- outcome{db, err}
	}()
	select {
	case o := <-opened:
		if o.err != nil {
			return nil, d.explain(o.err)
		}
		return o.db, nil
	case <-s.broken:
		return nil, d.explain(s.breakErr)
	}
}

// identityRow is the value of the singleton row "format".
func identityRow(id string) []byte { return append([]byte{formatVersion}, id...) }

// checkIdentity makes sure that the database is the one the marker speaks of: a database
// whose files were lost and which Pebble took for a new one is not.
func (s *Store) checkIdentity(d directory, marker marker) (marker, error) {
	key := singletonKey("format")
	value, closer, err := s.db.Get(key)
	switch {
	case err == nil:
		defer closer.Close()
		// The row has the version of the format that it was written with; the marker's counts.
		if len(value) == 0 || string(value[1:]) != marker.id {
			return marker, d.damaged(errors.New("the database does not belong to this directory"))
		}
	case !errors.Is(err, pebble.ErrNotFound):
		return marker, err
	case marker.state == stateReady:
		return marker, d.damaged(errors.New("the database has lost its identity"))
	default:
		if err := s.db.Set(key, identityRow(marker.id), pebble.Sync); err != nil {
			return marker, err
		}
	}
	if marker.state == stateReady {
		return marker, nil
	}
	marker.state = stateReady
	return marker, d.write(marker)
}

// load reads everything that is kept in memory: state and accounting.
func (s *Store) load() error {
	d := directory{fs: s.cfg.FS, path: s.cfg.Dir}
	see := func(seq cache.Sequence) { s.state.LastSeq = max(s.state.LastSeq, seq) }
	ended := make(map[cache.NamespaceID]bool)
	load := func(kind byte, row func(key, value []byte) bool) error {
		return s.eachRow(kind, func(key, value []byte) error {
			if !row(key, value) {
				return d.damaged(fmt.Errorf("row %q", key))
			}
			return nil
		})
	}
	err := errors.Join(
		load(kindSingleton, s.loadSingleton),
		load(kindHistory, s.loadHistory),
		load(kindNamespace, func(key, value []byte) bool {
			row, ok := decodeNamespaceRow(key, value)
			if ok {
				s.state.Namespaces = append(s.state.Namespaces, row)
				s.ledger.mu.namespaces[row.Name] = row
				s.usage.begin(row.ID).quota.Store(row.Limits.L2BytesMax)
				see(cache.Sequence(row.ID))
			}
			return ok
		}),
		load(kindGarbage, func(key, value []byte) bool {
			if len(key) == 1+8 {
				ended[cache.NamespaceID(binary.BigEndian.Uint64(key[1:]))] = true
			}
			return len(key) == 1+8
		}),
		load(kindWatermark, func(key, value []byte) bool {
			label, ok := splitWatermarkKey(key)
			if ok = ok && len(value) == 8; !ok {
				return false
			}
			mark := cache.Watermark{Label: label, Seq: cache.Sequence(binary.BigEndian.Uint64(value))}
			see(mark.Seq)
			if label.Namespace == 0 || s.usage.of(label.Namespace) != nil {
				s.state.Watermarks = append(s.state.Watermarks, mark)
			}
			return true
		}),
		load(kindQueue, func(key, value []byte) bool {
			q, ok := decodeQueueRow(key, value)
			if !ok {
				return true // the hand of eviction removes it
			}
			see(q.seq)
			if s.usage.of(q.ns) == nil {
				ended[q.ns] = true
			}
			s.usage.add(q.ns, 1, q.size)
			if q.hasFile {
				s.files.bytes.Add(q.size)
			}
			return true
		}),
	)
	s.lastSeq, s.settled, s.roundEnd = s.state.LastSeq, s.state.LastSeq, s.state.LastSeq
	for id := range ended {
		if s.usage.of(id) == nil {
			s.garbage.add(id)
		}
	}
	slices.Sort(s.garbage.ids)
	s.overQuota = s.anyOverQuota()
	return err
}

func (s *Store) loadSingleton(key, value []byte) bool {
	switch {
	case len(value) != 8:
	case bytes.Equal(key, s.seqKey):
		s.state.LastSeq = max(s.state.LastSeq, cache.Sequence(binary.BigEndian.Uint64(value)))
	case bytes.Equal(key, s.timeKey):
		s.state.LastMs = int64(binary.BigEndian.Uint64(value))
	}
	return true
}

// eachRow visits the rows of a kind. The slices are valid during the call only.
func (s *Store) eachRow(kind byte, visit func(key, value []byte) error) error {
	return eachRow(s.db, kind, visit)
}

func eachRow(db pebble.Reader, kind byte, visit func(key, value []byte) error) error {
	iter, err := db.NewIter(&pebble.IterOptions{LowerBound: []byte{kind}, UpperBound: []byte{kind + 1}})
	if err != nil {
		return err
	}
	for valid := iter.First(); valid && err == nil; valid = iter.Next() {
		var value []byte
		if value, err = iter.ValueAndErr(); err == nil {
			err = visit(iter.Key(), value)
		}
	}
	return errors.Join(err, iter.Error(), iter.Close())
}

// explain classes an error that Pebble met at open.
func (d directory) explain(err error) error {
	var open *OpenError
	switch {
	case errors.As(err, &open):
		return err
	case pebble.IsCorruptionError(err), errors.Is(err, fs.ErrNotExist), errors.Is(err, pebble.ErrDBDoesNotExist):
		return d.damaged(err)
	default:
		return &OpenError{Dir: d.path, Err: err}
	}
}
