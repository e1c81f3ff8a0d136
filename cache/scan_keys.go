package cache

import (
	"bytes"
	"cmp"
	"context"
	"slices"
)

// keyList holds keys of several generations in little memory.
type keyList struct {
	items    []keyItem
	text     []byte
	bytesMax int64
}

// keyItem is a key in keyList.text, and the place of its generation in the scan.
type keyItem struct {
	start  int
	place  int32
	length int32
}

const keyItemBytes = 16

func (l *keyList) len() int        { return len(l.items) }
func (l *keyList) place(i int) int { return int(l.items[i].place) }

func (l *keyList) key(i int) []byte {
	item := &l.items[i]
	end := item.start + int(item.length)
	return l.text[item.start:end:end]
}

// add copies a key. Errors: *LimitError.
func (l *keyList) add(place int, key []byte) error {
	if size := int64(len(l.text)+len(key)) + keyItemBytes*int64(len(l.items)+1); size > l.bytesMax {
		return &LimitError{What: "scan", Unit: "bytes", Got: size, Max: l.bytesMax}
	}
	l.items = append(l.items, keyItem{len(l.text), int32(place), int32(len(key))})
	l.text = append(l.text, key...)
	return nil
}

// grow makes room for what is found under one lock, so that it is not copied there.
func (l *keyList) grow() {
	const bytesPerKey = 32 // or so
	l.items = slices.Grow(l.items, looksPerLock)
	l.text = slices.Grow(l.text, looksPerLock*bytesPerKey)
}

// sortKeys puts the collected keys into the scan's order, each once.
func (s *Scan) sortKeys() {
	l := &s.keys
	slices.SortFunc(l.items, func(a, b keyItem) int {
		if a.place != b.place {
			return cmp.Compare(a.place, b.place)
		}
		return s.direction(bytes.Compare(l.text[a.start:a.start+int(a.length)], l.text[b.start:b.start+int(b.length)]))
	})
	l.items = slices.CompactFunc(l.items, func(a, b keyItem) bool {
		return a.place == b.place && bytes.Equal(l.text[a.start:a.start+int(a.length)], l.text[b.start:b.start+int(b.length)])
	})
}

// keep drops all but the first n keys.
func (l *keyList) keep(n int) {
	kept := keyList{bytesMax: l.bytesMax, items: make([]keyItem, 0, n)}
	for i := range n {
		// Cannot fail: it had room for more.
		_ = kept.add(l.place(i), l.key(i))
	}
	*l = kept
}

// scanPoint is a place between two keys of a scan.
type scanPoint struct {
	place int
	key   []byte
}

// isAfter reports that a key comes after the point, in the scan's order.
func (s *Scan) isAfter(p *scanPoint, place int, key []byte) bool {
	if place != p.place {
		return place > p.place
	}
	return s.direction(bytes.Compare(key, p.key)) > 0
}

// collectL1 collects the keys of live entries of L1: those with one of the flags, or all
// (0), that come after a point (nil: all).
func (s *Scan) collectL1(ctx context.Context, flags slotFlags, after *scanPoint) error {
	for _, shard := range s.cache.shards {
		if err := s.collectShard(ctx, shard, flags, after); err != nil {
			return err
		}
	}
	s.sortKeys()
	if s.truncated {
		s.keys.keep(min(int(s.r.Limit), s.keys.len())) // behind these some may be missing
	}
	return nil
}

// collectMore replaces keys that are used up by those that come after them.
func (s *Scan) collectMore(ctx context.Context) error {
	last := s.keys.len() - 1
	after := &scanPoint{s.keys.place(last), bytes.Clone(s.keys.key(last))}
	s.keys, s.keyAt, s.truncated = keyList{bytesMax: s.keys.bytesMax}, 0, false
	return s.collectL1(ctx, 0, after)
}

func (s *Scan) collectShard(ctx context.Context, shard *shard, flags slotFlags, after *scanPoint) error {
	nowMs := s.cache.clock.ms()
	for start, total := 1, 2; start < total; start += looksPerLock {
		if err := ctx.Err(); err != nil {
			return err
		}
		var err error
		s.keys.grow()
		shard.mu.RLock()
		total = int(shard.given)
		for number := start; number < min(start+looksPerLock, total) && err == nil; number++ {
			if sl := shard.slot(uint32(number)); sl.ref() != 0 && (flags == 0 || sl.flags&flags != 0) {
				err = s.collect(shard.entryOf(uint32(number)), nowMs, after)
			}
		}
		shard.mu.RUnlock()
		if err != nil {
			return err
		}
		s.dropSurplus()
	}
	return nil
}

// collect notes the key of an entry, if the scan covers it. A dead one counts if the tier
// has, or its snapshot will have, something older that is not. REQUIRES: the shard's lock held.
func (s *Scan) collect(e entry, nowMs int64, after *scanPoint) error {
	place, ok := s.place[e.header().namespace]
	if !ok || !s.inRange(e.key()) || s.cache.config.Tier == nil && e.stateAt(nowMs) == Dead || after != nil && !s.isAfter(after, place, e.key()) {
		return nil
	}
	return s.keys.add(place, e.key())
}

func (s *Scan) inRange(key []byte) bool {
	return bytes.Compare(key, s.lower) >= 0 && (s.upper == nil || bytes.Compare(key, s.upper) < 0)
}

// dropSurplus keeps no more keys than the caller will probably ask for, where they can be
// looked for again.
func (s *Scan) dropSurplus() {
	limit := s.r.Limit
	if s.cache.config.Tier != nil || s.r.Labels != nil || s.r.Unordered || limit <= 0 || int64(s.keys.len()) < 2*limit+scanKeysSpare {
		return
	}
	s.sortKeys()
	if n := min(int(limit), s.keys.len()); n < s.keys.len() {
		s.keys.keep(n)
		s.truncated = true
	}
}

// collectLabels collects the keys of entries that carry one of the labels, in both tiers.
func (s *Scan) collectLabels(ctx context.Context) error {
	nowMs := s.cache.clock.ms()
	for _, text := range unique(s.r.Labels) {
		for _, namespace := range s.labelNamespaces() {
			for _, shard := range s.cache.shards {
				if err := s.collectLabel(shard, namespace, text, nowMs); err != nil {
					return err
				}
			}
		}
		if s.cache.config.Tier == nil {
			continue
		}
		label := Label{Kind: s.r.Kind, Text: text}
		if s.r.Namespace != nil {
			label.Namespace = s.gens[0].id
		}
		var full error
		err := s.cache.config.Tier.ScanLabel(ctx, label, func(r *Record) bool {
			if place, ok := s.place[r.Namespace]; ok && s.inRange(r.Key) {
				full = s.keys.add(place, r.Key)
			}
			return full == nil
		})
		switch {
		case full != nil:
			return full
		case err != nil:
			return s.cache.tierError("scan", err)
		}
	}
	s.sortKeys()
	return nil
}

// labelNamespaces are those that a label has to be looked for in L1's index under;
// dependencies are there under none.
func (s *Scan) labelNamespaces() []NamespaceID {
	if s.r.Kind == Dependency {
		return []NamespaceID{0}
	}
	ids := make([]NamespaceID, len(s.gens))
	for i, gen := range s.gens {
		ids[i] = gen.id
	}
	return ids
}

func (s *Scan) collectLabel(shard *shard, namespace NamespaceID, text string, nowMs int64) error {
	var err error
	shard.visitLabel(labelHash(s.cache.seed, namespace, s.r.Kind, []byte(text)), s.keys.grow, func(number uint32) {
		if e := shard.entryOf(number); err == nil && e.attrs().HasLabel(s.r.Kind, text) {
			err = s.collect(e, nowMs, nil)
		}
	})
	return err
}
