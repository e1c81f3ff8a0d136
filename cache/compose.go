package cache

import (
	"bytes"
	"slices"
	"time"
)

// draftOf is a draft equal to a live entry.
func draftOf(h *Hit) Draft {
	a := h.attrs
	d := Draft{
		Value: h.value, KeepValue: true, KeepHard: true,
		Priority: a.Priority(), Admission: a.Admission(), JitterPct: a.JitterPct(),
		IdleTTL: time.Duration(a.IdleMs()) * time.Millisecond, StaleTTL: time.Duration(a.StaleMs()) * time.Millisecond,
	}
	d.Version, d.HasVersion = a.Version()
	for text := range a.Tags() {
		d.Tags = append(d.Tags, string(text))
	}
	for text := range a.Dependencies() {
		d.Dependencies = append(d.Dependencies, string(text))
	}
	for key, value := range a.Metadata() {
		d.Metadata = append(d.Metadata, Pair{string(key), string(value)})
	}
	return d
}

// composed is a draft made ready to be stored.
type composed struct {
	attrs Attrs
	value []byte
	lease int64
}

// compose checks a draft against the limits, those of its namespace and the old entry
// (nil: none) and encodes it, as written at nowMs, into scratch. needOld reports that the
// old value must be loaded first.
func (c *Cache) compose(scratch []byte, limits NamespaceLimits, old *Hit, d *Draft, nowMs int64) (result composed, needOld bool, err error) {
	value := d.Value
	if d.KeepValue && old != nil {
		if !old.HasValue() {
			return result, true, nil
		}
		value = old.value
	}
	if err := c.checkDraft(d, value); err != nil {
		return result, false, err
	}
	if n := int64(len(value)); limits.ValueBytesMax > 0 && n > limits.ValueBytesMax {
		return result, false, &LimitError{What: "value", Unit: "bytes", Got: n, Max: limits.ValueBytesMax, Setting: "max_blob_bytes of the namespace"}
	}
	in := AttrsInput{
		Priority: d.Priority, Admission: d.Admission, JitterPct: d.JitterPct,
		CreatedMs: nowMs,
		IdleMs:    d.IdleTTL.Milliseconds(), StaleMs: d.StaleTTL.Milliseconds(),
		Tags: unique(d.Tags), Dependencies: unique(d.Dependencies), Metadata: d.Metadata,
		HasVersion: d.HasVersion, Version: d.Version,
	}
	if needOld, err = composeVersion(&in, old, d, value); needOld || err != nil {
		return result, needOld, err
	}
	if d.KeepHard && old != nil {
		in.HardMs, in.HasHard = old.attrs.HardMs()
	} else {
		in.HardMs, in.HasHard = c.hardExpiry(d, in.CreatedMs, limits.DefaultTTLMs)
	}
	if d.KeepValue && old != nil {
		in.CreatedMs = old.attrs.CreatedMs()
	}
	return composed{AppendAttrs(scratch, &in), value, d.Lease}, false, nil
}

// composeVersion applies the rule of CAS versions: they only grow; the same version may
// come again with the same value (a refresh); a write without one keeps the stored one.
func composeVersion(in *AttrsInput, old *Hit, d *Draft, value []byte) (needOld bool, err error) {
	if old == nil {
		return false, nil
	}
	stored, isVersioned := old.attrs.Version()
	switch {
	case !isVersioned:
		return false, nil
	case !d.HasVersion:
		in.HasVersion, in.Version = true, stored
		return false, nil
	case d.Version > stored || d.KeepValue && d.Version == stored:
		return false, nil
	case d.Version == stored && !old.HasValue():
		return true, nil
	case d.Version == stored && bytes.Equal(old.value, value):
		return false, nil
	default:
		return false, &VersionError{Stored: stored, Offered: d.Version}
	}
}

// hardExpiry is the earlier of the TTL, shortened by the jitter, and the absolute expiry.
// Without either, the TTL is the default one; 0: none.
func (c *Cache) hardExpiry(d *Draft, nowMs, defaultTTLMs int64) (int64, bool) {
	hardMs, has := int64(0), false
	ttlMs := defaultTTLMs
	switch {
	case d.TTL > 0:
		ttlMs = max(d.TTL.Milliseconds(), 1)
	case !d.ExpiresAt.IsZero():
		ttlMs = 0
	}
	if ttlMs > 0 {
		if d.JitterPct > 0 && ttlMs > 1 {
			spread := uint64(float64(ttlMs-1) * float64(d.JitterPct) / 100)
			ttlMs -= int64(c.config.Random() % (spread + 1))
		}
		hardMs, has = addMs(nowMs, ttlMs), true
	}
	if !d.ExpiresAt.IsZero() {
		if at := c.clock.ofWall(d.ExpiresAt.UnixMilli()); !has || at < hardMs {
			hardMs, has = at, true
		}
	}
	return hardMs, has
}

func (c *Cache) checkDraft(d *Draft, value []byte) error {
	l := &c.config.Limits
	if n := int64(len(value)); n > l.ValueBytesMax {
		return &LimitError{What: "value", Unit: "bytes", Got: n, Max: l.ValueBytesMax, Setting: "max_blob_bytes"}
	}
	if n := len(d.Tags); n > l.LabelsMax {
		return &LimitError{What: "tags", Unit: "count", Got: int64(n), Max: int64(l.LabelsMax)}
	}
	if n := len(d.Dependencies); n > l.LabelsMax {
		return &LimitError{What: "dependencies", Unit: "count", Got: int64(n), Max: int64(l.LabelsMax)}
	}
	if err := checkLabels("tag", d.Tags, l.LabelBytesMax); err != nil {
		return err
	}
	if err := checkLabels("dependency", d.Dependencies, l.LabelBytesMax); err != nil {
		return err
	}
	metadataBytes := 0
	for _, p := range d.Metadata {
		metadataBytes += 2*lengthBytes + len(p.Key) + len(p.Value)
	}
	if metadataBytes > l.MetadataBytesMax {
		return &LimitError{What: "metadata", Unit: "bytes", Got: int64(metadataBytes), Max: int64(l.MetadataBytesMax)}
	}
	switch {
	case d.TTL < 0:
		return &ArgumentError{"ttl_ms", "must be positive"}
	case d.IdleTTL < 0:
		return &ArgumentError{"idle_ttl_ms", "must be positive"}
	case d.StaleTTL < 0:
		return &ArgumentError{"stale_ttl_ms", "must not be negative"}
	case d.JitterPct > 100:
		return &ArgumentError{"jitter_pct", "must be between 0 and 100"}
	case d.Admission > AdmitNever:
		return &ArgumentError{"l1_admission", "must be auto, always or never"}
	}
	return nil
}

func checkLabels(what string, labels []string, bytesMax int) error {
	for _, text := range labels {
		if text == "" {
			return &ArgumentError{what, "must not be empty"}
		}
		if len(text) > bytesMax {
			return &LimitError{What: what, Unit: "bytes", Got: int64(len(text)), Max: int64(bytesMax)}
		}
	}
	return nil
}

// unique drops repeated labels; lists are short and bounded (Limits.LabelsMax).
func unique(labels []string) []string {
	for i, text := range labels {
		if slices.Contains(labels[:i], text) {
			rest := slices.Clone(labels[:i])
			for _, text := range labels[i+1:] {
				if !slices.Contains(rest, text) {
					rest = append(rest, text)
				}
			}
			return rest
		}
	}
	return labels
}

func (c *Cache) checkKey(k Key) error {
	l := &c.config.Limits
	switch {
	case len(k.Namespace) == 0:
		return &ArgumentError{"ns", "must not be empty"}
	case len(k.Name) == 0:
		return &ArgumentError{"key", "must not be empty"}
	case len(k.Namespace) > l.NamespaceBytesMax:
		return &LimitError{What: "ns", Unit: "bytes", Got: int64(len(k.Namespace)), Max: int64(l.NamespaceBytesMax)}
	case len(k.Name) > l.KeyBytesMax:
		return &LimitError{What: "key", Unit: "bytes", Got: int64(len(k.Name)), Max: int64(l.KeyBytesMax)}
	}
	return nil
}
