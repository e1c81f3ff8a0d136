package cache

import (
	"context"
	"time"
)

// NamespaceID names one generation of a namespace inside a tier. A flush gives the
// namespace a new id, which makes every record under the old one unreachable. Ids are
// taken from the sequence counter and never reused.
type NamespaceID uint64

// Sequence orders writes and invalidations. Zero is "before everything".
type Sequence uint64

// LabelKind tells tags from dependencies.
type LabelKind uint8

const (
	Tag LabelKind = iota
	Dependency
	// Prefix is no label: a Watermark of this kind covers the keys of its namespace that
	// begin with its text.
	Prefix
	// Staged is none either: a Watermark of this kind says which sequences a Load has staged.
	Staged
)

// Label is a tag or dependency inside a namespace generation. With Namespace zero it
// means the label in all namespaces.
type Label struct {
	Namespace NamespaceID
	Kind      LabelKind
	Text      string
}

// Watermark says that every entry carrying Label whose sequence is below Seq is invalid.
type Watermark struct {
	Label Label
	Seq   Sequence
}

// NamespaceRow is what a tier remembers of a namespace.
type NamespaceRow struct {
	Name       string
	ID         NamespaceID
	Generation uint64 // number of flushes so far
	Created    time.Time
	Limits     NamespaceLimits
}

// NamespaceLimits are a namespace's quotas and defaults. Zero means none of its own.
//
// A quota is both the most that the namespace may hold in a tier and what other
// namespaces cannot take from it: eviction prefers entries of namespaces that exceed
// their quota or have none. If quotas promise more than a tier's budget, the budget wins.
type NamespaceLimits struct {
	L1BytesMax    int64
	L2BytesMax    int64
	ValueBytesMax int64
	DefaultTTLMs  int64 // hard TTL of entries written without any hard expiry
}

// SweepLimits bound one sweep.
type SweepLimits struct {
	EntriesMax int64         // entries looked at
	Duration   time.Duration // how long it may take
}

// SweepResult says what a sweep did. Scanned, Removed and Bytes are sums over ByNamespace.
type SweepResult struct {
	SweepCount
	Elapsed     time.Duration
	Truncated   bool // a limit ended it: there may be more to remove
	ByNamespace map[NamespaceID]SweepCount
}

// SweepCount counts the entries a sweep looked at and removed, and the bytes it freed.
type SweepCount struct{ Scanned, Removed, Bytes int64 }

// Add counts for a namespace and in total.
func (r *SweepResult) Add(ns NamespaceID, n SweepCount) {
	if r.ByNamespace == nil {
		r.ByNamespace = map[NamespaceID]SweepCount{}
	}
	r.SweepCount = r.SweepCount.plus(n)
	r.ByNamespace[ns] = r.ByNamespace[ns].plus(n)
}

func (c SweepCount) plus(n SweepCount) SweepCount {
	return SweepCount{c.Scanned + n.Scanned, c.Removed + n.Removed, c.Bytes + n.Bytes}
}

// BackupReport says what a backup holds.
type BackupReport struct {
	Entries int64
	Bytes   int64 // as counted against the tier's budget
}

// NamespaceUsage is what a tier holds for one namespace generation.
type NamespaceUsage struct {
	Entries int64
	Bytes   int64 // stored bytes: keys, attributes, payloads as stored
}

// Record is an entry as a tier sees it. The tier copies what it keeps.
type Record struct {
	Namespace NamespaceID
	Key       []byte
	Seq       Sequence
	Attrs     Attrs  // lifetime, labels, metadata: opaque to the tier but for what it indexes
	Value     []byte // nil when only metadata was asked for
	ValueLen  int64  // payload bytes, known also when Value is nil
	StoredLen int64  // bytes the tier stores for the payload (after compression)
	// LastAccessMs is the last access that the tier was told of, Unix ms; the record's
	// creation, if it was told of none or there is no idle TTL. In a put 0 means the creation.
	LastAccessMs int64
}

// TierOp is one write: a put of Record when Delete is false, else the removal of the
// record (Record.Namespace, Record.Key) if its sequence is below Record.Seq.
// Puts of a namespace generation that was flushed meanwhile are dropped.
type TierOp struct {
	Record Record
	Delete bool

	// Set by Tier.Write.

	// Existed reports that an older record of the key was there (and was replaced or
	// removed). Superseded reports that nothing was done because the stored record is as
	// new or newer, or the namespace generation is gone.
	Existed    bool
	Superseded bool
	// Rejected reports that a put was not stored because the tier is full or degraded.
	// An older record of the key is gone all the same.
	Rejected bool
	// Err says that this op failed, although Write as a whole did not: a delete that was to
	// be durable and cannot be at the moment. Whether it was done is unknown.
	Err error
}

// TierCommit is what one commit writes: all of it or, after a crash, nothing.
type TierCommit struct {
	Namespaces []NamespaceChange // take effect before Ops
	Watermarks []Watermark
	Drops      []Watermark // to be forgotten, as by DropWatermarks
	Ops        []TierOp    // as for Write, but puts that do not fit together are all rejected
}

// NamespaceChange is a PutNamespace that is part of a commit.
type NamespaceChange struct {
	Row NamespaceRow
	Old NamespaceID
}

// TierState is what a tier remembers at open.
type TierState struct {
	Namespaces []NamespaceRow
	Watermarks []Watermark  // invalidations whose removal was not complete
	LastSeq    Sequence     // no stored record, namespace or watermark has a greater one
	LastMs     int64        // a time of Clock, to a second or so before the tier's last write or its close
	History    []HistoryRow // by time, then namespace
}

// HistoryRow is a sample of the cache's statistics, opaque to the tier.
type HistoryRow struct {
	Ms        int64 // when, Unix ms
	Namespace string
	Data      []byte
}

// TierStats are a tier's counters and gauges since open.
type TierStats struct {
	Entries            int64
	BytesInUse         int64 // logical: counted against BytesMax
	BytesMax           int64
	DiskBytes          int64 // physical, as the storage engine reports it
	FullRejections     int64
	MetadataReads      int64 // lookups that consulted the key index beyond the filters
	NegativeSkips      int64 // lookups answered "absent" without reading a data block
	Evictions          int64
	Expirations        int64
	CorruptRecords     int64
	AccessesDropped    int64 // that NoteAccess had no room for
	CompressedRawBytes int64 // payload bytes before compression, of compressed records
	CompressedBytes    int64 // the same after compression
	CompressionSkipped int64 // payloads stored raw by rule
	FilterBytes        int64 // memory held by Bloom filters, if known
	FilterMisses       int64 // look-ups in a file that its filter did not spare
	Degraded           bool  // puts are rejected or fail; reads may still work
	DegradedReason     string
}

// Tier is the durable tier below L1. Implementations are safe for concurrent use, with
// this division: Get and Scan* may run at any time; Write for one key is never called
// twice at once by the cache, but deletes found by the tier itself (expiry, eviction)
// may race with it and are resolved by sequence (I2).
//
// What is said here to be durable is only visible if DurabilityOf the context is off.
//
// Byte slices passed in belong to the caller and are copied before the call returns.
type Tier interface {
	// State returns what was found at open. The cache calls it once, before all else.
	State() TierState

	// Get reads the record of a key. Without withValue, Record.Value stays nil. Attrs and
	// Value placed in dst are fresh memory owned by the caller, or dst's own slices when
	// they have room. It returns false when there is none, when its bytes are damaged (it
	// is then removed and counted) and for expired records. Errors are I/O errors.
	Get(ctx context.Context, ns NamespaceID, key []byte, withValue bool, dst *Record) (bool, error)

	// MayContain reports without reading a data block whether the key can be there.
	MayContain(ns NamespaceID, key []byte) bool

	// Write applies ops in order in one atomic commit and reports in each op what
	// happened. With sync it returns once they are durable; else once they are visible.
	// On error none, or an unknown part, is applied.
	Write(ctx context.Context, ops []TierOp, sync bool) error

	// Commit is Write for a block: however large, it is one atomic commit.
	Commit(ctx context.Context, commit *TierCommit, sync bool) error

	// NoteAccess tells of an access to a record with an idle TTL. It counts at once, and is
	// stored later, with others, or by SaveAccesses and Close, unless the record is gone by
	// then. It waits for no disk: false says that there is no room to remember it.
	NoteAccess(ns NamespaceID, key []byte, seq Sequence, ms int64) bool
	// SaveAccesses stores what NoteAccess was told. It need not be durable.
	SaveAccesses(ctx context.Context) error

	// PutNamespace stores row durably; one of the same id replaces the limits, which hold
	// from then on. If old is not zero and not the row's own id, the generation old ends with
	// the same commit: its records are unreachable and reclaimed in the background.
	PutNamespace(ctx context.Context, row NamespaceRow, old NamespaceID) error

	// DropNamespace durably forgets a namespace and reclaims what its generation held.
	DropNamespace(ctx context.Context, name string, id NamespaceID) error

	// PutWatermarks stores watermarks durably; DropWatermarks forgets them, once the
	// records they cover are removed, and need not be durable.
	PutWatermarks(ctx context.Context, w []Watermark) error
	DropWatermarks(ctx context.Context, w []Watermark) error

	// ScanLabel visits the keys of records that carry the label (in all namespaces if its
	// namespace is zero), ScanPrefix those of one namespace whose key begins with prefix,
	// in byte order. Both visit a consistent snapshot, metadata only; the record passed is
	// valid during the call only. A visit that returns false ends the scan.
	ScanLabel(ctx context.Context, label Label, visit func(*Record) bool) error
	ScanPrefix(ctx context.Context, ns NamespaceID, prefix []byte, visit func(*Record) bool) error

	// Sweep removes dead records in the order of their deadlines until there are none left
	// or a limit is reached. Removed records are told to OnRemove's function, as always.
	Sweep(ctx context.Context, limits SweepLimits) (SweepResult, error)

	// Snapshot fixes the set of keys that the tier holds now, for a scan that takes its
	// time. What it holds back from reclaiming is released by its Close, or the tier's.
	Snapshot() (TierSnapshot, error)

	// Backup makes a consistent copy of everything committed so far in a new directory.
	Backup(ctx context.Context, path string) (BackupReport, error)

	// AppendHistory keeps samples of statistics and forgets those from before a time, Unix
	// ms. It need not be durable at once.
	AppendHistory(ctx context.Context, rows []HistoryRow, before int64) error

	// Usage reports what a namespace generation holds.
	Usage(ns NamespaceID) NamespaceUsage

	// OnRemove registers the function the tier calls after it removed a record by its own
	// decision (eviction, expiry, damage), outside any lock. Called once, before all else
	// but State.
	OnRemove(func(ns NamespaceID, key []byte, seq Sequence))

	// OnIdle registers the function the tier asks, outside any lock, for the latest access
	// to a record that it is about to remove for being idle; 0: none. Called once, likewise.
	OnIdle(func(ns NamespaceID, key []byte, seq Sequence) int64)

	Stats() TierStats

	// Sync makes everything written so far durable. Close does so too and releases the
	// tier; it is idempotent.
	Sync(ctx context.Context) error
	Close() error
}

// TierSnapshot is the keys that a tier held at one moment. It belongs to one goroutine.
type TierSnapshot interface {
	// Scan visits the keys of a namespace from lower to before upper (nil: to the end), in
	// byte order or against it. The record passed is the one that the key has now, metadata
	// only, and valid during the call only; it has no Attrs if the key has none any more.
	// Expired records are visited too. A visit that returns false ends the scan.
	Scan(ctx context.Context, ns NamespaceID, lower, upper []byte, descending bool, visit func(*Record) bool) error
	// Close is idempotent.
	Close()
}
