package cache

import (
	"encoding/binary"
	"iter"
	"math/bits"
)

// Admission says whether an entry may live in L1.
type Admission uint8

const (
	AdmitAuto Admission = iota
	AdmitAlways
	AdmitNever
)

// Attrs is the encoded form of everything an entry carries besides its key and value. It
// is made once, at the write, and the same bytes serve L1 and the durable tier, so an
// entry is the same whichever tier answers (C4). Attrs is immutable. Little-endian:
//
//	byte 0      encoding, attrsEncoding
//	byte 1      flags: which optional fields follow
//	byte 2..7   created, Unix milliseconds
//	8 bytes for each of the first four flags set, in flag order: version; hard expiry,
//	            Unix ms; stale window, ms; idle TTL, ms
//	attrChoices: priority; admission; jitter, percent: a byte each; else the defaults
//	attrLists:  number of tags, of dependencies, of metadata pairs: u16 each; else none
//	tags, dependencies, then metadata keys and values in turn: u16 length, bytes
//
// What most entries do not have takes no room, as memory holds millions of them. Times are
// wall-clock Unix milliseconds: they must mean the same after a restart.
type Attrs []byte

const (
	attrsEncoding  = 2
	attrsFixedSize = 8
	attrsChoices   = 3
	attrsCounts    = 3 * 2
	lengthBytes    = 2 // before each text

	attrVersion = 1 << 0
	attrHard    = 1 << 1
	attrStale   = 1 << 2
	attrIdle    = 1 << 3
	attrChoices = 1 << 4
	attrLists   = 1 << 5
	attrLong    = attrVersion | attrHard | attrStale | attrIdle
	attrAll     = attrLong | attrChoices | attrLists
)

// PriorityDefault is the priority of entries written without one.
const PriorityDefault = 128

// Pair is one metadata entry.
type Pair struct{ Key, Value string }

// AttrsInput is what AppendAttrs encodes. Limits are the caller's to check; texts must be
// shorter than 64 KiB.
type AttrsInput struct {
	Priority  uint8
	Admission Admission
	JitterPct uint8
	CreatedMs int64

	HasVersion bool
	Version    int64
	HasHard    bool
	HardMs     int64 // hard expiry, Unix ms
	StaleMs    int64 // stale window, ms; 0: none
	IdleMs     int64 // idle TTL, ms; 0: none

	Tags         []string
	Dependencies []string
	Metadata     []Pair
}

// AppendAttrs appends the encoding of in to dst.
func AppendAttrs(dst []byte, in *AttrsInput) Attrs {
	flags := byte(0)
	var optional [4]int64
	n := 0
	put := func(set bool, flag byte, v int64) {
		if set {
			flags |= flag
			optional[n] = v
			n++
		}
	}
	put(in.HasVersion, attrVersion, in.Version)
	put(in.HasHard, attrHard, in.HardMs)
	put(in.StaleMs > 0, attrStale, in.StaleMs)
	put(in.IdleMs > 0, attrIdle, in.IdleMs)

	choices := [attrsChoices]byte{in.Priority, byte(in.Admission), in.JitterPct}
	if choices != defaultChoices() {
		flags |= attrChoices
	}
	if len(in.Tags)+len(in.Dependencies)+len(in.Metadata) > 0 {
		flags |= attrLists
	}
	le := binary.LittleEndian
	// Two bytes of the time make way for encoding and flags.
	dst = le.AppendUint64(dst, uint64(in.CreatedMs)<<16|uint64(flags)<<8|attrsEncoding)
	for _, v := range optional[:n] {
		dst = le.AppendUint64(dst, uint64(v))
	}
	if flags&attrChoices != 0 {
		dst = append(dst, choices[:]...)
	}
	if flags&attrLists == 0 {
		return dst
	}
	dst = le.AppendUint16(dst, uint16(len(in.Tags)))
	dst = le.AppendUint16(dst, uint16(len(in.Dependencies)))
	dst = le.AppendUint16(dst, uint16(len(in.Metadata)))
	text := func(s string) {
		dst = le.AppendUint16(dst, uint16(len(s)))
		dst = append(dst, s...)
	}
	for _, s := range in.Tags {
		text(s)
	}
	for _, s := range in.Dependencies {
		text(s)
	}
	for _, p := range in.Metadata {
		text(p.Key)
		text(p.Value)
	}
	return dst
}

// Valid reports whether a is a complete encoding, for bytes that come from a disk. All
// other methods require it.
func (a Attrs) Valid() bool {
	if len(a) < attrsFixedSize || a[0] != attrsEncoding || a[1]&^attrAll != 0 || len(a) < a.textsOffset() {
		return false
	}
	rest := []byte(a)
	skip := a.textsOffset()
	if a[1]&attrStale != 0 && a.StaleMs() <= 0 || a[1]&attrIdle != 0 && a.IdleMs() <= 0 ||
		a[1]&attrChoices != 0 && a.choices() == defaultChoices() || a.Admission() > AdmitNever ||
		a[1]&attrLists != 0 && a.NumTags()+a.NumDependencies()+a.NumMetadata() == 0 {
		return false // what is zero, or the default, is encoded as absence
	}
	rest = rest[skip:]
	for n := a.NumTags() + a.NumDependencies() + 2*a.NumMetadata(); n > 0; n-- {
		if len(rest) < 2 {
			return false
		}
		size := 2 + int(binary.LittleEndian.Uint16(rest))
		if len(rest) < size {
			return false
		}
		rest = rest[size:]
	}
	return len(rest) == 0
}

// choicesOffset, countsOffset and textsOffset are where the parts begin.
func (a Attrs) choicesOffset() int { return attrsFixedSize + 8*bits.OnesCount8(a[1]&attrLong) }

func (a Attrs) countsOffset() int {
	return a.choicesOffset() + attrsChoices*int(a[1]&attrChoices/attrChoices)
}

func (a Attrs) textsOffset() int { return a.countsOffset() + attrsCounts*int(a[1]&attrLists/attrLists) }

// count is one of the lengths of the lists.
func (a Attrs) count(i int) int {
	if a[1]&attrLists == 0 {
		return 0
	}
	return int(binary.LittleEndian.Uint16(a[a.countsOffset()+2*i:]))
}

// choices are priority, admission and jitter.
func (a Attrs) choices() [attrsChoices]byte {
	if a[1]&attrChoices == 0 {
		return defaultChoices()
	}
	return [attrsChoices]byte(a[a.choicesOffset():])
}

func defaultChoices() [attrsChoices]byte {
	return [attrsChoices]byte{PriorityDefault, byte(AdmitAuto), 0}
}

func (a Attrs) optional(flag byte) (int64, bool) {
	if a[1]&flag == 0 {
		return 0, false
	}
	offset := attrsFixedSize + 8*bits.OnesCount8(a[1]&(flag-1))
	return int64(binary.LittleEndian.Uint64(a[offset:])), true
}

func (a Attrs) Priority() uint8      { return a.choices()[0] }
func (a Attrs) Admission() Admission { return Admission(a.choices()[1]) }
func (a Attrs) JitterPct() uint8     { return a.choices()[2] }

// CreatedMs is when the value was written, Unix milliseconds.
func (a Attrs) CreatedMs() int64 { return int64(binary.LittleEndian.Uint64(a)) >> 16 }

// Version is the CAS version, if the entry has one.
func (a Attrs) Version() (int64, bool) { return a.optional(attrVersion) }

// HardMs is the hard expiry, Unix milliseconds, if there is one.
func (a Attrs) HardMs() (int64, bool) { return a.optional(attrHard) }

// StaleMs is the length of the stale window after hard expiry, ms; 0: none.
func (a Attrs) StaleMs() int64 { v, _ := a.optional(attrStale); return v }

// IdleMs is the idle TTL, ms; 0: none.
func (a Attrs) IdleMs() int64 { v, _ := a.optional(attrIdle); return v }

func (a Attrs) NumTags() int         { return a.count(0) }
func (a Attrs) NumDependencies() int { return a.count(1) }
func (a Attrs) NumMetadata() int     { return a.count(2) }

// texts yields the n length-prefixed texts at offset and returns the offset after them.
func (a Attrs) texts(offset, n int, yield func([]byte) bool) (int, bool) {
	for ; n > 0; n-- {
		size := int(binary.LittleEndian.Uint16(a[offset:]))
		offset += 2
		if yield != nil && !yield(a[offset:offset+size:offset+size]) {
			return offset, false
		}
		offset += size
	}
	return offset, true
}

// Tags yields the tags. The slices alias a.
func (a Attrs) Tags() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) { a.texts(a.textsOffset(), a.NumTags(), yield) }
}

// Dependencies yields the dependencies. The slices alias a.
func (a Attrs) Dependencies() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		offset, _ := a.texts(a.textsOffset(), a.NumTags(), nil)
		a.texts(offset, a.NumDependencies(), yield)
	}
}

// Labels yields tags, then dependencies, with their kind. The slices alias a.
func (a Attrs) Labels() iter.Seq2[LabelKind, []byte] {
	return func(yield func(LabelKind, []byte) bool) {
		offset, more := a.texts(a.textsOffset(), a.NumTags(), func(s []byte) bool { return yield(Tag, s) })
		if more {
			a.texts(offset, a.NumDependencies(), func(s []byte) bool { return yield(Dependency, s) })
		}
	}
}

// HasLabel reports whether the entry carries the label.
func (a Attrs) HasLabel(kind LabelKind, text string) bool {
	for k, s := range a.Labels() {
		if k == kind && string(s) == text {
			return true
		}
	}
	return false
}

// Metadata yields the metadata pairs in the order written. The slices alias a.
func (a Attrs) Metadata() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		offset, _ := a.texts(a.textsOffset(), a.NumTags()+a.NumDependencies(), nil)
		var key []byte
		isKey := true
		a.texts(offset, 2*a.NumMetadata(), func(s []byte) bool {
			if isKey = !isKey; !isKey {
				key = s
				return true
			}
			return yield(key, s)
		})
	}
}

// State says what time has done to an entry.
type State uint8

const (
	Fresh State = iota
	Stale       // past hard expiry, inside the stale window
	Dead        // past its hard expiry and stale window, or idle too long: absent
)

// StateAt is the one place that decides expiry. A deadline d has passed when now >= d.
// Arguments are Unix milliseconds.
func (a Attrs) StateAt(nowMs, lastAccessMs int64) State {
	if a[1]&(attrHard|attrIdle) == 0 {
		return Fresh
	}
	if idle, ok := a.optional(attrIdle); ok && nowMs >= addMs(lastAccessMs, idle) {
		return Dead
	}
	hard, ok := a.optional(attrHard)
	switch {
	case !ok || nowMs < hard:
		return Fresh
	case nowMs < addMs(hard, a.StaleMs()):
		return Stale
	default:
		return Dead
	}
}

// Expires reports that the entry may ever be Dead.
func (a Attrs) Expires() bool { return a[1]&(attrHard|attrIdle) != 0 }

// DeadlineMs is when the entry becomes Dead whatever is read (hard expiry plus stale
// window), if ever. Idle expiry may come earlier.
func (a Attrs) DeadlineMs() (int64, bool) {
	hard, ok := a.optional(attrHard)
	return addMs(hard, a.StaleMs()), ok
}

// addMs adds without wrapping: a lifetime beyond the end of time never ends.
func addMs(t, d int64) int64 {
	if sum := t + d; d < 0 || sum >= t {
		return sum
	}
	return 1<<63 - 1
}
