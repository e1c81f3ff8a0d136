// Package latency keeps distributions of how long operations took, in HdrHistograms of two
// significant digits. Recording never waits: a measurement that finds the histograms busy
// is dropped. A Recorder may be used by any number of goroutines.
package latency

import (
	"math/rand/v2"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

const (
	// Max is the longest duration told apart; longer ones count as this long.
	Max = time.Minute

	digits  = 2
	stripes = 2
)

// Recorder is the distribution of one operation. The zero Recorder is ready for use; it
// takes some 60 KiB of memory from the first measurement on.
type Recorder struct{ stripes [stripes]stripe }

type stripe struct {
	mu        sync.Mutex
	histogram *hdrhistogram.Histogram
	max       int64

	_ [64]byte // keeps stripes out of each other's cache lines
}

// Record notes one measurement.
func (r *Recorder) Record(d time.Duration) {
	first := rand.Uint32()
	for i := range uint32(stripes) {
		s := &r.stripes[(first+i)%stripes]
		if !s.mu.TryLock() {
			continue
		}
		if s.histogram == nil {
			s.histogram = newHistogram()
		}
		nanos := min(max(int64(d), 1), int64(Max))
		_ = s.histogram.RecordValue(nanos) // fails out of range only
		s.max = max(s.max, nanos)
		s.mu.Unlock()
		return
	}
}

func newHistogram() *hdrhistogram.Histogram { return hdrhistogram.New(1, int64(Max), digits) }

// Distribution is what was recorded.
type Distribution struct {
	Count                    int64 // measurements
	P50, P90, P99, P999, Max time.Duration
}

// Distribution returns what was recorded so far.
func (r *Recorder) Distribution() Distribution {
	all := newHistogram()
	longest := int64(0)
	for i := range r.stripes {
		s := &r.stripes[i]
		s.mu.Lock()
		if s.histogram != nil {
			all.Merge(s.histogram)
		}
		longest = max(longest, s.max)
		s.mu.Unlock()
	}
	at := func(percentile float64) time.Duration {
		return time.Duration(min(all.ValueAtPercentile(percentile), longest))
	}
	return Distribution{all.TotalCount(), at(50), at(90), at(99), at(99.9), time.Duration(longest)}
}
