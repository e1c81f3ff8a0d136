package cache

import (
	"bytes"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
)

// ScanRange says which entries a scan visits, and how.
type ScanRange struct {
	Namespace  []byte // nil: all namespaces, in the order of their names
	Prefix     []byte // keys begin with it
	Lower      []byte // keys are not less; nil: no bound
	Upper      []byte // keys are less; nil: no bound
	Descending bool   // keys, and namespaces, come in falling order
	// Kind and Labels ask for entries that carry any of the labels, found through the
	// index. Nil Labels do not restrict.
	Kind   LabelKind
	Labels []string
	// NeedValue loads the values; else Hit.HasValue may be false.
	NeedValue bool
	// Limit is how many entries the caller will probably ask for, 0: all. Without a durable
	// tier it bounds how many keys are fixed at the beginning; those that come after them are
	// looked for when they are asked for.
	Limit int64
	// Unordered gives up the order and the snapshot of keys, and with them, without a
	// durable tier, the bound of Config.ScanBytesMax: for counting.
	Unordered bool
}

// Bounds of what a scan reads ahead.
const (
	scanRowsFirst  = 32
	scanRowsMax    = 512
	scanChunkBytes = 256 << 10
	scanKeysSpare  = 1024 // keys collected beyond twice the limit before the surplus is dropped
)

// Scan visits the live entries of a range in the order of namespace and key, by bytes.
// Which keys it visits is fixed when it begins: keys that come later are not visited, keys
// that are gone when it is their turn are left out. Each entry is as it is when its turn
// comes. Visiting is no access. A Scan belongs to one goroutine and holds no lock between
// calls; what it holds of the tier is released by Close.
type Scan struct {
	cache        *Cache
	r            ScanRange
	lower, upper []byte

	gens  []*generation // in the order of the scan
	names [][]byte      // of the namespaces, for Keys
	place map[NamespaceID]int
	at    int // the generation whose turn it is

	// keys are those that the tier may not have, or all of them.
	keys      keyList
	keyAt     int
	shard     int  // Unordered: the next shard to collect from
	truncated bool // keys are the first of more, because of r.Limit

	// snapshot is what the tier held when the scan began; nil: keys are all.
	snapshot TierSnapshot
	staged   []*Load // what these have staged is not seen, even if they commit meanwhile
	chunk    scanChunk
}

// scanChunk is what was read ahead of one generation in the tier.
type scanChunk struct {
	rows         []scanRow
	at           int
	text         []byte // of rows; never reused, because Hits alias it
	lower, upper []byte // what is left to read
	up           raised
	rowsMax      int
	isOpen       bool // lower and upper are those of the generation at s.at
	isLast       bool // nothing is left to read
	isOld        bool // rows were read by an earlier statement: keys only
}

type scanRow struct {
	key    []byte
	record Record // Attrs is nil if the key has no record any more
}

// Scan begins a scan. Errors: *LimitError (more keys that only memory holds than
// Config.ScanBytesMax has room for), ErrTierIO, ErrClosed, ctx.Err().
func (c *Cache) Scan(ctx context.Context, r ScanRange) (*Scan, error) {
	if c.closed.Load() {
		return nil, ErrClosed
	}
	s := &Scan{cache: c, r: r, place: map[NamespaceID]int{}}
	s.setBounds()
	s.findGenerations()
	if err := s.begin(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

// setBounds makes one range of prefix and bounds.
func (s *Scan) setBounds() {
	s.lower, s.upper = slices.Clone(s.r.Lower), slices.Clone(s.r.Upper)
	if bytes.Compare(s.r.Prefix, s.lower) > 0 {
		s.lower = slices.Clone(s.r.Prefix)
	}
	if end := successor(s.r.Prefix); end != nil && (s.upper == nil || bytes.Compare(end, s.upper) < 0) {
		s.upper = end
	}
}

// successor is the least text greater than every one that begins with prefix, nil if there
// is none.
func successor(prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			end := slices.Clone(prefix[:n])
			end[n-1]++
			return end
		}
	}
	return nil
}

func (s *Scan) findGenerations() {
	if s.r.Namespace != nil {
		if gen := s.cache.generationOf(s.r.Namespace); gen != nil {
			s.gens = []*generation{gen}
		}
	} else {
		for _, ns := range s.cache.namespaces.all() {
			s.gens = append(s.gens, ns.current.Load())
		}
		slices.SortFunc(s.gens, func(a, b *generation) int { return s.direction(strings.Compare(a.owner.name, b.owner.name)) })
	}
	for i, gen := range s.gens {
		s.place[gen.id] = i
		s.names = append(s.names, []byte(gen.owner.name))
	}
}

func (s *Scan) direction(ascending int) int {
	if s.r.Descending {
		return -ascending
	}
	return ascending
}

// begin fixes the keys.
func (s *Scan) begin(ctx context.Context) error {
	c := s.cache
	if len(s.gens) == 0 || s.upper != nil && bytes.Compare(s.lower, s.upper) >= 0 {
		s.gens = nil
		return nil
	}
	s.staged = c.fences.stagedNow()
	s.keys.bytesMax = c.config.ScanBytesMax
	if s.r.Labels != nil {
		err := s.collectLabels(ctx)
		var full *LimitError
		if err == nil || c.config.Tier == nil || !errors.As(err, &full) {
			return err
		}
		s.keys = keyList{bytesMax: s.keys.bytesMax} // too many: all keys, tested one by one
	}
	switch {
	case c.config.Tier == nil && s.r.Unordered:
		return nil
	case c.config.Tier == nil:
		return s.collectL1(ctx, 0, nil)
	}
	// First what only L1 has, then the tier: a key that is written to it in between is in both.
	if c.dirty.Load() > 0 || slices.ContainsFunc(s.gens, func(gen *generation) bool { return gen.alone.Load() != 0 }) {
		if err := s.collectL1(ctx, slotDirty|slotAlone, nil); err != nil {
			return err
		}
	}
	snapshot, err := c.config.Tier.Snapshot()
	if err != nil {
		return c.tierError("scan", err)
	}
	s.snapshot = snapshot
	return nil
}

// Close releases what the scan holds. It is idempotent.
func (s *Scan) Close() {
	if s.snapshot != nil {
		s.snapshot.Close()
		s.snapshot = nil
	}
	s.gens, s.keys, s.chunk = nil, keyList{}, scanChunk{}
}

// Renew says that a new statement goes on with the scan: what was read ahead is read again,
// so that it sees what has happened since.
func (s *Scan) Renew() { s.chunk.isOld = true }

// Next finds the next entry; false at the end. On true, h holds the entry until h.Release,
// and the key is valid until the next call. Errors: ErrTierIO, ErrClosed, ctx.Err(), and
// *LimitError as for Scan.
func (s *Scan) Next(ctx context.Context, h *Hit) (Key, bool, error) {
	for {
		row, ok, err := s.nextRow(ctx)
		if err != nil || !ok {
			return Key{}, false, err
		}
		live, err := s.read(ctx, &row, h)
		if err != nil {
			return Key{}, false, err
		}
		if live && s.matches(h) && !stagedBy(s.staged, h.seq) {
			return Key{s.names[s.at], row.key}, true, nil
		}
		h.Release()
	}
}

// matches tests the labels again: the index tells what an entry carried at the beginning.
func (s *Scan) matches(h *Hit) bool {
	return s.r.Labels == nil || slices.ContainsFunc(s.r.Labels, func(text string) bool { return h.attrs.HasLabel(s.r.Kind, text) })
}

// read reads the entry of a key without being an access.
func (s *Scan) read(ctx context.Context, row *scanRow, h *Hit) (bool, error) {
	c, gen := s.cache, s.gens[s.at]
	if c.closed.Load() {
		return false, ErrClosed
	}
	if gen.ended.Load() {
		return false, nil
	}
	hash := c.hash(gen.id, row.key)
	result, _ := c.shardOf(hash).look(hash, gen, row.key, false, h)
	if result != foundNone || c.config.Tier == nil {
		return result == foundLive, nil
	}
	if row.record.Attrs == nil || s.r.NeedValue || s.chunk.isOld {
		live, _, err := c.read(ctx, gen, row.key, s.r.NeedValue, &Record{}, h)
		return live, err
	}
	r := &row.record
	if c.fences.covers(r) || s.chunk.up.covers(r) {
		return false, nil
	}
	nowMs := c.clock.ms()
	state := r.Attrs.StateAt(nowMs, r.LastAccessMs)
	if state == Dead {
		return false, nil
	}
	*h = Hit{
		valueLen: r.ValueLen, storedLen: r.StoredLen, attrs: r.Attrs, seq: r.Seq,
		lastAccess: r.LastAccessMs, nowMs: nowMs, tiers: InL2, state: state, unloaded: true,
	}
	return true, nil
}

// nextRow merges the keys of memory with those of the tier; s.at is then the row's place.
func (s *Scan) nextRow(ctx context.Context) (scanRow, bool, error) {
	for s.at < len(s.gens) {
		if err := s.fill(ctx); err != nil {
			return scanRow{}, false, err
		}
		inMemory := s.keyAt < s.keys.len() && s.keys.place(s.keyAt) == s.at
		inTier := s.chunk.at < len(s.chunk.rows)
		if inMemory && inTier {
			order := s.direction(bytes.Compare(s.keys.key(s.keyAt), s.chunk.rows[s.chunk.at].key))
			inMemory, inTier = order <= 0, order >= 0
		}
		switch {
		case inTier:
			row := s.chunk.rows[s.chunk.at]
			s.chunk.at++
			if inMemory {
				// The snapshot may be from before what memory had was written to the tier: if it
				// has left memory since, it is to be read from the tier.
				s.keyAt++
				row.record = Record{}
			}
			return row, true, nil
		case inMemory:
			s.keyAt++
			return scanRow{key: s.keys.key(s.keyAt - 1)}, true, nil
		}
		more, err := s.nextGeneration(ctx)
		if err != nil || !more {
			return scanRow{}, false, err
		}
	}
	return scanRow{}, false, nil
}

// nextGeneration goes on after the keys of a generation, or of what was collected, are used up.
func (s *Scan) nextGeneration(ctx context.Context) (bool, error) {
	c := s.cache
	switch {
	case s.truncated && s.keyAt == s.keys.len():
		return true, s.collectMore(ctx)
	case c.config.Tier == nil && s.r.Unordered && s.r.Labels == nil:
		// Keys of a shard come in the order of all generations.
		if s.keyAt < s.keys.len() {
			s.at = s.keys.place(s.keyAt)
			return true, nil
		}
		if s.shard == len(c.shards) {
			return false, nil
		}
		s.keys = keyList{bytesMax: math.MaxInt64} // those of one shard are few enough
		s.keyAt = 0
		err := s.collectShard(ctx, c.shards[s.shard], 0, nil)
		s.shard++
		s.sortKeys()
		if s.keys.len() > 0 {
			s.at = s.keys.place(0)
		}
		return true, err
	}
	s.at++
	s.chunk = scanChunk{rowsMax: s.chunk.rowsMax}
	return true, nil
}

// fill reads ahead in the tier.
func (s *Scan) fill(ctx context.Context) error {
	k := &s.chunk
	if s.snapshot == nil || k.at < len(k.rows) || k.isLast {
		return nil
	}
	if !k.isOpen {
		k.lower, k.upper, k.isOpen = s.lower, s.upper, true
	}
	if s.cache.closed.Load() {
		return ErrClosed
	}
	k.rowsMax = min(max(k.rowsMax*4, scanRowsFirst), scanRowsMax)
	k.rows, k.at, k.text, k.isLast, k.isOld = k.rows[:0], 0, nil, true, false
	k.up = s.cache.fences.snapshot()
	gen := s.gens[s.at]
	err := s.snapshot.Scan(ctx, gen.id, k.lower, k.upper, s.r.Descending, func(r *Record) bool {
		k.add(r)
		k.isLast = len(k.rows) < k.rowsMax && len(k.text) < scanChunkBytes
		return k.isLast
	})
	if err != nil {
		return s.cache.tierError("scan", err)
	}
	if k.isLast {
		return nil
	}
	last := k.rows[len(k.rows)-1].key
	if s.r.Descending {
		k.upper = last
	} else {
		k.lower = append(slices.Clip(last), 0)
	}
	return nil
}

// add copies a record.
func (k *scanChunk) add(r *Record) {
	start := len(k.text)
	k.text = append(append(k.text, r.Key...), r.Attrs...)
	row := scanRow{key: k.text[start : start+len(r.Key) : start+len(r.Key)], record: *r}
	row.record.Key = row.key
	if row.record.Attrs = nil; len(r.Attrs) > 0 {
		row.record.Attrs = Attrs(k.text[start+len(r.Key) : len(k.text) : len(k.text)])
	}
	k.rows = append(k.rows, row)
}
