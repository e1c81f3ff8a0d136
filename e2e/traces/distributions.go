package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"pgcache/cache/eviction/simulate"
)

// Streams generated from published distributions: so many keys, with popularities and
// sizes drawn from the distribution, requested independently of each other.
const (
	drawnKeys     = 200_000
	drawnRequests = 1_000_000
)

// weighted draws indexes by weight.
type weighted []float64 // running sums

func newWeighted(weights []float64) weighted {
	sums := make(weighted, len(weights))
	total := 0.0
	for i, w := range weights {
		total += w
		sums[i] = total
	}
	return sums
}

func (w weighted) draw(random *rand.Rand) int {
	return sort.SearchFloat64s(w, random.Float64()*w[len(w)-1])
}

// generate draws a stream: ofKey gives a key's popularity and size, and oneHitShare of the
// requests are for keys that never come again.
func generate(name string, oneHitShare float64, ofKey func(*rand.Rand) (popularity float64, bytes int64)) *simulate.Trace {
	random := rand.New(rand.NewPCG(1, 1))
	popularity := make([]float64, drawnKeys)
	bytes := make([]int64, drawnKeys)
	for i := range popularity {
		popularity[i], bytes[i] = ofKey(random)
	}
	keys := newWeighted(popularity)
	b := simulate.Builder[int]{Trace: simulate.Trace{Name: name}}
	for i := range drawnRequests {
		if random.Float64() < oneHitShare {
			_, n := ofKey(random)
			b.Add(drawnKeys+i, n)
			continue
		}
		key := keys.draw(random)
		b.Add(key, bytes[key])
	}
	return &b.Trace
}

// readCachelib reads pop.json and sizes.json of CacheLib's cachebench.
func readCachelib(folder string) (*simulate.Trace, error) {
	var popularity struct {
		OneHits float64   `json:"oneHits"`
		Buckets []float64 `json:"popularityBuckets"`
		Weights []float64 `json:"popularityWeights"`
	}
	var sizes struct {
		Range  []float64 `json:"valSizeRange"`
		Weight []float64 `json:"valSizeRangeProbability"`
	}
	if err := readJSON(filepath.Join(folder, "pop.json"), &popularity); err != nil {
		return nil, err
	}
	if err := readJSON(filepath.Join(folder, "sizes.json"), &sizes); err != nil {
		return nil, err
	}
	if len(popularity.Buckets) == 0 || len(popularity.Weights) < len(popularity.Buckets) || len(sizes.Weight) == 0 || len(sizes.Range) < len(sizes.Weight) {
		return nil, fmt.Errorf("%s: no distributions in it", folder)
	}
	buckets := newWeighted(popularity.Weights[:len(popularity.Buckets)])
	ranges := newWeighted(sizes.Weight)
	return generate(filepath.Base(folder), popularity.OneHits, func(random *rand.Rand) (float64, int64) {
		i := ranges.draw(random)
		low, high := sizes.Range[i], sizes.Range[min(i+1, len(sizes.Range)-1)]
		return popularity.Buckets[buckets.draw(random)], int64(low + random.Float64()*(high-low))
	}), nil
}

func readJSON(path string, to any) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, to); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readJedi reads a joint distribution: a line with a popularity, then lines of size (KB)
// and probability.
func readJedi(path string) (*simulate.Trace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	type kind struct {
		popularity float64
		bytes      int64
	}
	var kinds []kind
	var weights []float64
	current := 0.0
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		values := make([]float64, len(fields))
		for i, text := range fields {
			if values[i], err = strconv.ParseFloat(text, 64); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
		switch len(values) {
		case 1:
			current = values[0]
		case 2:
			kinds = append(kinds, kind{current, int64(values[0] * 1000)})
			weights = append(weights, values[1])
		}
	}
	if err := lines.Err(); err != nil || len(kinds) == 0 {
		return nil, fmt.Errorf("%s: no distribution in it (%v)", path, err)
	}
	joint := newWeighted(weights)
	name, _, _ := strings.Cut(filepath.Base(path), ".")
	return generate("jedi "+name, 0, func(random *rand.Rand) (float64, int64) {
		k := kinds[joint.draw(random)]
		return k.popularity, k.bytes
	}), nil
}
