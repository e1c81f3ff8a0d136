package simulate

import (
	"math"
	"math/rand/v2"
)

// Generated are small streams of known shapes, the same each time.
func Generated() []*Trace {
	return []*Trace{
		zipfTrace("zipf 0.9", 0.9, 20_000, 300_000, nil),
		zipfTrace("zipf 0.9, sized", 0.9, 20_000, 300_000, logNormalSize),
		driftTrace(),
		scanTrace(),
		loopTrace(),
		oneHitTrace(),
	}
}

func generator(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// logNormalSize has a median of 1 KiB and a long tail.
func logNormalSize(random *rand.Rand) int64 {
	return int64(min(1024*math.Exp(1.5*random.NormFloat64()), 1<<20)) + 1
}

// zipfRanks draws ranks below n with probability proportional to (rank+1)^-s, also for s
// at most 1, by inverting the distribution.
func zipfRanks(s float64, n int) func(*rand.Rand) int {
	sums := make([]float64, n)
	total := 0.0
	for i := range n {
		total += math.Pow(float64(i+1), -s)
		sums[i] = total
	}
	return func(random *rand.Rand) int {
		at := random.Float64() * total
		low, high := 0, n-1
		for low < high {
			if mid := (low + high) / 2; sums[mid] < at {
				low = mid + 1
			} else {
				high = mid
			}
		}
		return low
	}
}

func zipfTrace(name string, s float64, keys, requests int, size func(*rand.Rand) int64) *Trace {
	random := generator(1)
	rank := zipfRanks(s, keys)
	b := Builder[int]{Trace: Trace{Name: name, IsUnit: size == nil}}
	for range requests {
		bytes := int64(1)
		if size != nil {
			bytes = size(random)
		}
		b.Add(rank(random), bytes)
	}
	return &b.Trace
}

// driftTrace: what is popular changes all the time.
func driftTrace() *Trace {
	random := generator(2)
	rank := zipfRanks(1, 10_000)
	b := Builder[int]{Trace: Trace{Name: "popularity that drifts", IsUnit: true}}
	for i := range 300_000 {
		b.Add(rank(random)+i/20, 1)
	}
	return &b.Trace
}

// scanTrace: now and then somebody reads everything once.
func scanTrace() *Trace {
	random := generator(3)
	rank := zipfRanks(1, 10_000)
	b := Builder[int]{Trace: Trace{Name: "zipf 1 with scans", IsUnit: true}}
	for i := range 200_000 {
		b.Add(rank(random), 1)
		if i%40_000 == 39_999 {
			for k := range 10_000 {
				b.Add(100_000+k, 1)
			}
		}
	}
	return &b.Trace
}

// loopTrace reads a set that does not fit again and again.
func loopTrace() *Trace {
	b := Builder[int]{Trace: Trace{Name: "loop and zipf", IsUnit: true}}
	random := generator(4)
	rank := zipfRanks(0.8, 5000)
	for i := range 200_000 {
		b.Add(100_000+i%10_000, 1)
		b.Add(rank(random), 1)
	}
	return &b.Trace
}

// oneHitTrace: half of what is asked for is never asked for again.
func oneHitTrace() *Trace {
	random := generator(5)
	rank := zipfRanks(0.9, 20_000)
	b := Builder[int]{Trace: Trace{Name: "half asked for once", IsUnit: true}}
	for i := range 300_000 {
		if i%2 == 0 {
			b.Add(1_000_000+i, 1)
		} else {
			b.Add(rank(random), 1)
		}
	}
	return &b.Trace
}
