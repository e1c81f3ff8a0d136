package cache

import (
	"math"
	"time"

	"pgcache/cache/hotkeys"
	"pgcache/cache/latency"
)

// Operation is a kind of call whose latency is recorded.
type Operation uint8

const (
	OpGetL1      Operation = iota // Get answered from L1
	OpGetL2                       // Get answered from the tier
	OpMiss                        // Get that found nothing
	OpPut                         // Put, Update
	OpDelete                      // Invalidate
	OpCommit                      // a block, or a part of a load: all its puts and deletes
	OpInvalidate                  // by tag, dependency or prefix
	OpFlush                       // of a namespace
	OpTierRead                    // one look-up in the tier
	OpTierWrite                   // one commit of the tier
	operations
)

// Name is the operation and the tier it concerns, empty for both.
func (o Operation) Name() (operation, tier string) {
	switch o {
	case OpGetL1:
		return "get", "l1"
	case OpGetL2:
		return "get", "l2"
	case OpMiss:
		return "miss", ""
	case OpPut:
		return "put", ""
	case OpDelete:
		return "delete", ""
	case OpCommit:
		return "commit", ""
	case OpInvalidate:
		return "invalidate", ""
	case OpFlush:
		return "flush", ""
	case OpTierRead:
		return "read", "l2"
	case OpTierWrite:
		return "write", "l2"
	}
	return "", ""
}

// readSampling: of so many reads one is measured and noted in the sketch of hot keys, which
// costs as much as some reads. A power of two.
const readSampling = 64

// hotKeysFadeAfter is how often the counts of hot keys are halved.
const hotKeysFadeAfter = 5 * time.Minute

// hotKeysMax is how many hot keys are told.
const hotKeysMax = 100

// measures are the distributions and the sketch.
type measures struct {
	latencies [operations]latency.Recorder
	hot       hotkeys.Sketch
	fadedMs   int64 // the housekeeper's
}

// stopwatch measures one call. The zero stopwatch does not.
type stopwatch struct {
	isOn  bool
	start time.Duration
}

func (c *Cache) startWatch() stopwatch { return stopwatch{true, c.clock.elapsed()} }

// sampleRead is startWatch for some of the reads of a shard: those whose number hashes to
// zero. Readers count anyway, and no pattern of reads is in step with a hash.
func (s *shard) sampleRead(hash uint64) stopwatch {
	// Fibonacci hashing: the top bits of the product depend on all others.
	if number := s.hits.Load() + s.misses.Load(); (hash^uint64(number))*0x9e3779b97f4a7c15 >= math.MaxUint64/readSampling {
		return stopwatch{}
	}
	return s.cache.startWatch()
}

func (c *Cache) stopWatch(w stopwatch, o Operation) {
	if w.isOn {
		c.measures.latencies[o].Record(c.clock.elapsed() - w.start)
	}
}

// noteRead ends the measurement of a read.
func (c *Cache) noteRead(w stopwatch, hash uint64, k Key, isHit bool, h *Hit) {
	if !w.isOn {
		return
	}
	operation := OpMiss
	switch {
	case isHit && h.isFromTier:
		operation = OpGetL2
	case isHit:
		operation = OpGetL1
	}
	c.stopWatch(w, operation)
	if isHit {
		c.measures.hot.Note(hash, k.Namespace, k.Name, readSampling, h.valueLen)
	}
}

// noteChange ends the measurement of a write.
func (c *Cache) noteChange(w stopwatch, done Verdict, err error) {
	switch {
	case err != nil || done == Leave:
	case done == Write:
		c.stopWatch(w, OpPut)
	default:
		c.stopWatch(w, OpDelete)
	}
}

// Latency is the distribution of one operation's latency since Open.
type Latency struct {
	Operation Operation
	latency.Distribution
}

// Latencies describes the operations that were measured. Of reads one in 64 is.
func (c *Cache) Latencies() []Latency {
	var list []Latency
	for o := range c.measures.latencies {
		if d := c.measures.latencies[o].Distribution(); d.Count > 0 {
			list = append(list, Latency{Operation(o), d})
		}
	}
	return list
}

// HotKey is a key that is read often.
type HotKey = hotkeys.Key

// HotKeys are the most read keys of late, the most read first: an estimate from one read
// in 64. Those of namespaces that are gone are left out.
func (c *Cache) HotKeys() []HotKey {
	var list []HotKey
	for _, k := range c.measures.hot.Top(hotKeysMax) {
		if c.namespaces.find([]byte(k.Namespace)) != nil {
			list = append(list, k)
		}
	}
	return list
}

// fadeHotKeys is the housekeeper's.
func (c *Cache) fadeHotKeys() {
	m := &c.measures
	switch nowMs := c.clock.ms(); {
	case m.fadedMs == 0:
		m.fadedMs = nowMs
	case nowMs-m.fadedMs >= hotKeysFadeAfter.Milliseconds():
		m.fadedMs = nowMs
		m.hot.Fade()
	}
}
