package cache

import "time"

// Key addresses an entry. The slices are borrowed for the duration of a call. Namespace
// is 1..Limits.NamespaceBytesMax bytes, Name 1..Limits.KeyBytesMax bytes.
type Key struct{ Namespace, Name []byte }

// K is Key for strings.
func K(namespace, name string) Key { return Key{[]byte(namespace), []byte(name)} }

// Draft is the new entry that a write proposes. Slices and strings are borrowed until
// the write returns.
type Draft struct {
	Value []byte
	// KeepValue keeps value and creation time of the old entry and ignores Value.
	KeepValue bool

	Metadata     []Pair
	Tags         []string // duplicates are removed
	Dependencies []string // duplicates are removed
	Priority     uint8
	Admission    Admission

	HasVersion bool
	Version    int64

	TTL       time.Duration // hard lifetime from now; 0: none; negative: ArgumentError
	ExpiresAt time.Time     // absolute hard expiry; zero: none; with TTL the earlier wins
	KeepHard  bool          // keep the old entry's hard expiry and ignore TTL, ExpiresAt
	IdleTTL   time.Duration
	StaleTTL  time.Duration
	JitterPct uint8 // 0..100: the TTL is shortened by a random part up to this share

	Lease int64 // the fill lease that the write answers; 0: none
}

// NewDraft is a draft with default attributes.
func NewDraft(value []byte) Draft { return Draft{Value: value, Priority: PriorityDefault} }

// Verdict is what an UpdateFunc wants done.
type Verdict uint8

const (
	Leave  Verdict = iota // change nothing
	Write                 // store the draft
	Remove                // delete the entry
)

// UpdateFunc decides a write from the live entry the key has now (nil: none). Before the
// call d is a draft equal to old (KeepValue and KeepHard set), or NewDraft(nil). It may
// be called more than once, must have no effect but on d, and must not keep old. An error
// ends the update, changes nothing and is returned as it is.
type UpdateFunc func(old *Hit, d *Draft) (Verdict, error)

// UpdateOptions refine Update.
type UpdateOptions struct {
	// NeedValue asks that old.Value() be loaded; else it may be nil.
	NeedValue bool
	// Out, if not nil, receives the new entry (or, for Remove, the removed one) and must
	// be released by the caller when Result.Verdict is not Leave.
	Out *Hit
}

// Result says what a write did.
type Result struct {
	Existed bool    // a live entry was there before
	Verdict Verdict // what was done
}

// TierSet says where an entry is held.
type TierSet uint8

const (
	InL1 TierSet = 1 << iota
	InL2
)

func (t TierSet) String() string {
	switch t {
	case InL1:
		return "l1"
	case InL2:
		return "l2"
	case InL1 | InL2:
		return "both"
	default:
		return "none"
	}
}
