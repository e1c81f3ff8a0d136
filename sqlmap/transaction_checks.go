package sqlmap

import (
	"bytes"

	"pgcache/cache"
	"pgcache/sqlmap/query"
)

// checkKey, checkDraft and checkVersion refuse early what the cache would refuse later.
// checkKey also refuses namespaces that are not the user's.
func (s *session) checkKey(k cache.Key) error {
	l := s.handler.cache.Limits()
	switch {
	case len(k.Namespace) == 0:
		return &cache.ArgumentError{What: "ns", Why: "must not be empty"}
	case len(k.Name) == 0:
		return &cache.ArgumentError{What: "key", Why: "must not be empty"}
	case len(k.Namespace) > l.NamespaceBytesMax:
		return &cache.LimitError{What: "ns", Unit: "bytes", Got: int64(len(k.Namespace)), Max: int64(l.NamespaceBytesMax)}
	case len(k.Name) > l.KeyBytesMax:
		return &cache.LimitError{What: "key", Unit: "bytes", Got: int64(len(k.Name)), Max: int64(l.KeyBytesMax)}
	}
	return s.grants.checkNamespace(k.Namespace)
}

// checkDraft applies the cache's limits to a new entry.
func (s *session) checkDraft(d *cache.Draft) error {
	l := s.handler.cache.Limits()
	if n := int64(len(d.Value)); n > l.ValueBytesMax {
		return &cache.LimitError{What: "value", Unit: "bytes", Got: n, Max: l.ValueBytesMax, Setting: "max_blob_bytes"}
	}
	for what, labels := range map[string][]string{"tags": d.Tags, "dependencies": d.Dependencies} {
		if len(labels) > l.LabelsMax {
			return &cache.LimitError{What: what, Unit: "count", Got: int64(len(labels)), Max: int64(l.LabelsMax)}
		}
		for _, text := range labels {
			if text == "" {
				return &cache.ArgumentError{What: what, Why: "must not be empty"}
			}
			if len(text) > l.LabelBytesMax {
				return &cache.LimitError{What: what, Unit: "bytes", Got: int64(len(text)), Max: int64(l.LabelBytesMax)}
			}
		}
	}
	size := 0
	for _, p := range d.Metadata {
		size += len(p.Key) + len(p.Value)
	}
	if size > l.MetadataBytesMax {
		return &cache.LimitError{What: "metadata", Unit: "bytes", Got: int64(size), Max: int64(l.MetadataBytesMax)}
	}
	return nil
}

// checkVersion applies the cache's rule of versions to a draft over the entry that the
// transaction sees, and lets it keep that one's version.
func (s *session) checkVersion(d *cache.Draft, old query.Row) error {
	if old == nil {
		return nil
	}
	stored, err := old.Column(colVersion)
	if err != nil || stored.IsNull {
		return err
	}
	if !d.HasVersion {
		d.HasVersion, d.Version = true, stored.Int
		return nil
	}
	value, err := old.Column(colValue)
	if d.Version < stored.Int || d.Version == stored.Int && !bytes.Equal(value.Bytes, d.Value) {
		return &cache.VersionError{Stored: stored.Int, Offered: d.Version}
	}
	return err
}
