package sqlmap

import (
	"math"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// Columns of blob, by position.
const (
	colNS = iota
	colKey
	colValue
	colValueText
	colMetadata
	colTags
	colDependencies
	colVersion
	colPriority
	colL1Admission
	colTTL
	colExpiresAt
	colIdleTTL
	colStaleTTL
	colJitter
	colIsStale
	colStaleRemaining
	colSize
	colStoredSize
	colTier
	colCreatedAt
	colLastAccessAt
	colLease
	blobColumns

	// colXmax is a system column: 0 in RETURNING of a row that was inserted.
	colXmax = blobColumns
)

// valueColumns are those that need the payload.
const valueColumns = uint64(1<<colValue | 1<<colValueText)

// blobColumn describes a column of blob.
type blobColumn struct {
	name       string
	oid        types.OID
	isWritable bool
}

// blobTable is the table of the columns; only blobColumnAt reads it.
var blobTable = [blobColumns]blobColumn{
	colNS:             {"ns", types.Text, true},
	colKey:            {"key", types.Text, true},
	colValue:          {"value", types.Bytea, true},
	colValueText:      {"value_text", types.Text, true},
	colMetadata:       {"metadata", types.JSONB, true},
	colTags:           {"tags", types.TextArray, true},
	colDependencies:   {"dependencies", types.TextArray, true},
	colVersion:        {"version", types.Int8, true},
	colPriority:       {"priority", types.Int2, true},
	colL1Admission:    {"l1_admission", types.Text, true},
	colTTL:            {"ttl_ms", types.Int8, true},
	colExpiresAt:      {"expires_at", types.TimestampTZ, true},
	colIdleTTL:        {"idle_ttl_ms", types.Int8, true},
	colStaleTTL:       {"stale_ttl_ms", types.Int8, true},
	colJitter:         {"jitter_pct", types.Int2, true},
	colIsStale:        {"is_stale", types.Bool, false},
	colStaleRemaining: {"stale_remaining_ms", types.Int8, false},
	colSize:           {"size", types.Int8, false},
	colStoredSize:     {"stored_size", types.Int8, false},
	colTier:           {"tier", types.Text, false},
	colCreatedAt:      {"created_at", types.TimestampTZ, false},
	colLastAccessAt:   {"last_access_at", types.TimestampTZ, false},
	colLease:          {"lease", types.Int8, true},
}

// blobRelation describes blob, or cache_entries: the same without the payload.
func (p *planner) blobRelation(name, alias string) query.Relation {
	r := query.Relation{Schema: catalog.Public, Name: alias, Columns: blobTableColumns(), Table: p.handler.catalog.Relation(catalog.Public, name),
		Lengths: map[int]int{colValue: colSize}}
	if name != "blob" {
		r.Columns[colValue].Name, r.Columns[colValueText].Name = "", ""
	}
	return r
}

func blobTableColumns() []schema.Column {
	columns := make([]schema.Column, blobColumns)
	for i := range columns {
		columns[i] = schema.Column{Name: blobTable[i].name, Type: blobTable[i].oid, Typmod: -1}
	}
	return columns
}

// findBlobColumn is the position of a column of blob, or -1.
func findBlobColumn(name string) int {
	for i := range blobTable {
		if blobTable[i].name == name {
			return i
		}
	}
	return -1
}

// entryRow is an entry as a row of blob. Its bytes are the Hit's.
type entryRow struct {
	key        cache.Key
	hit        *cache.Hit
	isReplaced bool // by the statement whose RETURNING reads it
}

func millis(ms int64) types.Value { return types.OfInt(ms) }

func optionalMillis(ms int64, isSet bool) types.Value {
	if !isSet {
		return types.Null()
	}
	return millis(ms)
}

// Column reads a column of the entry.
func (r *entryRow) Column(i int) (types.Value, error) {
	h, a := r.hit, r.hit.Attrs()
	switch i {
	case colNS:
		return types.OfBytes(r.key.Namespace), nil
	case colKey:
		return types.OfBytes(r.key.Name), nil
	case colValue:
		return types.OfBytes(h.Value()), nil
	case colValueText:
		return valueText(h.Value()), nil
	case colMetadata:
		if a.NumMetadata() == 0 {
			return types.Null(), nil
		}
		return metadataOf(a), nil
	case colTags:
		return textsOf(a.NumTags(), a.Tags()), nil
	case colDependencies:
		return textsOf(a.NumDependencies(), a.Dependencies()), nil
	case colVersion:
		version, ok := a.Version()
		return optionalMillis(version, ok), nil
	case colPriority:
		return types.OfInt(int64(a.Priority())), nil
	case colL1Admission:
		return types.OfText(admissionName(a.Admission())), nil
	case colJitter:
		return types.OfInt(int64(a.JitterPct())), nil
	case colSize:
		return types.OfInt(h.ValueLen()), nil
	case colStoredSize:
		return optionalMillis(h.StoredLen(), h.StoredLen() >= 0), nil
	case colTier:
		return types.OfText(h.Tiers().String()), nil
	case colCreatedAt:
		return types.OfUnixMilli(a.CreatedMs()), nil
	case colLastAccessAt:
		return types.OfUnixMilli(h.LastAccessMs()), nil
	case colXmax:
		if r.isReplaced {
			return types.OfInt(1), nil
		}
		return types.OfInt(0), nil
	case colLease:
		return types.Null(), nil
	}
	hard, hasHard := a.HardMs()
	return lifetimeColumn(i, lifetime{hard, hasHard, a.StaleMs(), a.IdleMs(), h.NowMs()}), nil
}

// lifetime is what the columns about expiry are computed from.
type lifetime struct {
	hardMs          int64
	hasHard         bool
	staleMs, idleMs int64
	nowMs           int64
}

func lifetimeColumn(i int, l lifetime) types.Value {
	switch i {
	case colTTL:
		return optionalMillis(max(l.hardMs-l.nowMs, 0), l.hasHard)
	case colExpiresAt:
		if !l.hasHard {
			return types.Null()
		}
		return types.OfUnixMilli(l.hardMs)
	case colIdleTTL:
		return optionalMillis(l.idleMs, l.idleMs > 0)
	case colStaleTTL:
		return optionalMillis(l.staleMs, l.staleMs > 0)
	case colIsStale:
		return types.OfBool(l.hasHard && l.nowMs >= l.hardMs)
	case colStaleRemaining:
		return optionalMillis(max(l.hardMs+l.staleMs-l.nowMs, 0), l.hasHard && l.nowMs >= l.hardMs)
	}
	return types.Null()
}

// valueText is a payload as text, NULL if it is none.
func valueText(value []byte) types.Value {
	if types.CheckUTF8(value) != nil {
		return types.Null()
	}
	return types.OfBytes(value)
}

func textsOf(n int, texts func(yield func([]byte) bool)) types.Value {
	if n == 0 {
		return types.Null()
	}
	elems := make([]types.Value, 0, n)
	for t := range texts {
		elems = append(elems, types.OfBytes(t))
	}
	return types.Value{Elems: elems}
}

// metadataOf writes the metadata as the jsonb it was written from: pairs are stored in
// jsonb's order.
func metadataOf(a cache.Attrs) types.Value {
	out := []byte{'{'}
	for key, value := range a.Metadata() {
		out = appendMember(out, key, value)
	}
	return types.OfBytes(append(out, '}'))
}

func appendMember[T string | []byte](out []byte, key, value T) []byte {
	if len(out) > 1 {
		out = append(out, ", "...)
	}
	out = append(types.AppendJSONString(out, key), ": "...)
	return types.AppendJSONString(out, value)
}

func admissionName(a cache.Admission) string {
	switch a {
	case cache.AdmitAlways:
		return "always"
	case cache.AdmitNever:
		return "never"
	}
	return "auto"
}

// draftRow is an entry that a write is about to make, as a row of blob. base is the entry
// it changes, nil if there is none.
type draftRow struct {
	key        cache.Key
	base       *cache.Hit
	draft      *cache.Draft
	nowMs      int64
	createdMs  int64 // of the value, when base does not tell
	isReplaced bool  // an entry was there before
}

// Column reads a column of the draft.
func (r *draftRow) Column(i int) (types.Value, error) {
	d := r.draft
	switch i {
	case colNS:
		return types.OfBytes(r.key.Namespace), nil
	case colKey:
		return types.OfBytes(r.key.Name), nil
	case colValue:
		return types.OfBytes(r.value()), nil
	case colValueText:
		return valueText(r.value()), nil
	case colMetadata:
		if len(d.Metadata) == 0 {
			return types.Null(), nil
		}
		out := []byte{'{'}
		for _, p := range d.Metadata {
			out = appendMember(out, p.Key, p.Value)
		}
		return types.OfBytes(append(out, '}')), nil
	case colTags:
		return labels(d.Tags), nil
	case colDependencies:
		return labels(d.Dependencies), nil
	case colVersion:
		version, ok := r.version()
		return optionalMillis(version, ok), nil
	case colPriority:
		return types.OfInt(int64(d.Priority)), nil
	case colL1Admission:
		return types.OfText(admissionName(d.Admission)), nil
	case colJitter:
		return types.OfInt(int64(d.JitterPct)), nil
	case colSize:
		return types.OfInt(r.size()), nil
	case colTier:
		return types.OfText("l1"), nil
	case colCreatedAt, colLastAccessAt:
		return types.OfUnixMilli(r.created()), nil
	case colXmax:
		if r.base != nil || r.isReplaced {
			return types.OfInt(1), nil
		}
		return types.OfInt(0), nil
	}
	hardMs, hasHard := r.hard()
	return lifetimeColumn(i, lifetime{hardMs, hasHard, d.StaleTTL.Milliseconds(), d.IdleTTL.Milliseconds(), r.nowMs}), nil
}

func labels(texts []string) types.Value {
	if len(texts) == 0 {
		return types.Null()
	}
	return types.OfTexts(texts)
}

func (r *draftRow) value() []byte {
	if r.draft.KeepValue && r.base != nil {
		return r.base.Value()
	}
	return r.draft.Value
}

func (r *draftRow) size() int64 {
	if r.draft.KeepValue && r.base != nil {
		return r.base.ValueLen()
	}
	return int64(len(r.draft.Value))
}

func (r *draftRow) created() int64 {
	if r.draft.KeepValue && r.base != nil {
		return r.base.Attrs().CreatedMs()
	}
	return r.createdMs
}

// version is what the cache will store: without one it keeps the old one.
func (r *draftRow) version() (int64, bool) {
	if !r.draft.HasVersion && r.base != nil {
		return r.base.Attrs().Version()
	}
	return r.draft.Version, r.draft.HasVersion
}

// hard is the hard expiry the cache will compute, less the jitter.
func (r *draftRow) hard() (ms int64, has bool) {
	d := r.draft
	if d.KeepHard && r.base != nil {
		return r.base.Attrs().HardMs()
	}
	if d.TTL > 0 {
		ms, has = r.nowMs+d.TTL.Milliseconds(), true
	}
	if !d.ExpiresAt.IsZero() && (!has || d.ExpiresAt.UnixMilli() < ms) {
		ms, has = d.ExpiresAt.UnixMilli(), true
	}
	return ms, has
}

// setColumn writes a column into a draft. given is a bitmap of the columns of this
// statement, for those that belong together.
func setColumn(d *cache.Draft, column int, v types.Value, given uint64) error {
	switch column {
	case colValue, colValueText:
		if v.IsNull {
			return errNullColumn(column)
		}
		d.Value, d.KeepValue = v.Bytes, false
	case colMetadata:
		return setMetadata(d, v)
	case colTags:
		return setLabels(&d.Tags, v, "tags")
	case colDependencies:
		return setLabels(&d.Dependencies, v, "dependencies")
	case colVersion:
		d.HasVersion, d.Version = !v.IsNull, v.Int
	case colPriority:
		return setSmall(&d.Priority, v, "priority", cache.PriorityDefault, math.MaxUint8)
	case colJitter:
		return setSmall(&d.JitterPct, v, "jitter_pct", 0, 100)
	case colL1Admission:
		return setAdmission(d, v)
	case colTTL, colExpiresAt:
		return setExpiry(d, column, v, given)
	case colIdleTTL:
		return setDuration(&d.IdleTTL, v, "idle_ttl_ms", 1)
	case colStaleTTL:
		return setDuration(&d.StaleTTL, v, "stale_ttl_ms", 0)
	case colLease:
		setLease(d, v)
	}
	return nil
}

// setLease sets the lease that a write answers. 0 is a lease that is never granted.
func setLease(d *cache.Draft, v types.Value) {
	const neverGranted = -1
	switch {
	case v.IsNull:
		d.Lease = 0
	case v.Int == 0:
		d.Lease = neverGranted
	default:
		d.Lease = v.Int
	}
}

func errArgument(what, why string) error {
	return pgwire.Errorf(pgwire.CodeInvalidParameterValue, "%s %s", what, why)
}

// setExpiry sets ttl_ms or expires_at. A statement that gives one of them replaces both.
func setExpiry(d *cache.Draft, column int, v types.Value, given uint64) error {
	if d.KeepHard {
		d.KeepHard, d.TTL, d.ExpiresAt = false, 0, time.Time{}
	}
	if column == colTTL {
		if given&(1<<colExpiresAt) == 0 {
			d.ExpiresAt = time.Time{}
		}
		return setDuration(&d.TTL, v, "ttl_ms", 1)
	}
	if given&(1<<colTTL) == 0 {
		d.TTL = 0
	}
	d.ExpiresAt = time.Time{}
	if v.IsNull {
		return nil
	}
	switch at, infinite := v.Time(); infinite {
	case 1: // never, as without one
	case -1:
		d.ExpiresAt = time.UnixMilli(0)
	default:
		d.ExpiresAt = at
	}
	return nil
}

// setDuration reads milliseconds; what is longer than a Duration can say is the longest.
func setDuration(d *time.Duration, v types.Value, name string, least int64) error {
	switch {
	case v.IsNull:
		*d = 0
	case v.Int < least:
		if least == 0 {
			return errArgument(name, "must not be negative")
		}
		return errArgument(name, "must be positive")
	default:
		const millisecondsMax = math.MaxInt64 / int64(time.Millisecond)
		*d = time.Duration(min(v.Int, millisecondsMax)) * time.Millisecond
	}
	return nil
}

func setSmall(field *uint8, v types.Value, name string, byDefault uint8, most int64) error {
	switch {
	case v.IsNull:
		*field = byDefault
	case v.Int < 0 || v.Int > most:
		return pgwire.Errorf(pgwire.CodeInvalidParameterValue, "%s must be between 0 and %d", name, most)
	default:
		*field = uint8(v.Int)
	}
	return nil
}

func setAdmission(d *cache.Draft, v types.Value) error {
	switch s := string(v.Bytes); {
	case v.IsNull || s == "auto":
		d.Admission = cache.AdmitAuto
	case s == "always":
		d.Admission = cache.AdmitAlways
	case s == "never":
		d.Admission = cache.AdmitNever
	default:
		return errArgument("l1_admission", "must be auto, always or never")
	}
	return nil
}

func setLabels(field *[]string, v types.Value, name string) error {
	*field = nil
	for _, e := range v.Elems {
		if e.IsNull {
			return errArgument(name, "must not contain NULL")
		}
		*field = append(*field, e.Text())
	}
	return nil
}

func setMetadata(d *cache.Draft, v types.Value) error {
	d.Metadata = nil
	if v.IsNull {
		return nil
	}
	pairs, ok := types.FlatPairs(v)
	if !ok {
		e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "metadata must be a JSON object whose values are strings")
		e.Hint = `For example {"content-type": "text/html"}.`
		return e
	}
	for _, p := range pairs {
		d.Metadata = append(d.Metadata, cache.Pair{Key: p.Key, Value: p.Value})
	}
	return nil
}

func errNullColumn(column int) error {
	e := pgwire.Errorf(pgwire.CodeNotNullViolation, "null value in column \"%s\" of relation \"blob\" violates not-null constraint", blobTable[column].name)
	e.Table, e.Column = "blob", blobTable[column].name
	return e
}
