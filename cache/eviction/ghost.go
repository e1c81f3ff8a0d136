package eviction

// ghost remembers the hashes of entries that have left, the oldest forgotten first. It is a table of small sets, each a queue of its
// own. It never gives a wrong answer that matters: two keys may share a hash.
type ghost struct{ sets []ghostSet }

const ghostSetLen = 8

// ghostSet holds hashes, newest first; zero is none.
type ghostSet [ghostSetLen]uint32

const ghostSetBytes = ghostSetLen * 4

// fit makes the table right for n hashes. Changing its size forgets what it knows, which
// costs little: it is right from when the shard is full until sizes change altogether.
func (g *ghost) fit(n int) {
	want := n/ghostSetLen + 1
	if have := len(g.sets); want > have+have/4 || want < have/2 {
		g.sets = make([]ghostSet, want)
	}
}

func (g *ghost) bytes() int64 { return int64(len(g.sets)) * ghostSetBytes }

// set is where a hash belongs. REQUIRES: the table is not empty.
func (g *ghost) set(hash uint32) *ghostSet {
	// Fibonacci hashing: the hash's low bits also choose its bucket in the index.
	return &g.sets[uint64(hash*0x9e3779b1)*uint64(len(g.sets))>>32]
}

// add remembers a hash. REQUIRES: the table is not empty.
func (g *ghost) add(hash uint32) {
	set := g.set(hash | 1)
	copy(set[1:], set[:ghostSetLen-1])
	set[0] = hash | 1
}

func (g *ghost) has(hash uint32) bool {
	if len(g.sets) == 0 {
		return false
	}
	for _, known := range g.set(hash | 1) {
		if known == hash|1 {
			return true
		}
	}
	return false
}

// age is how long ago an entry left, in eighths of what is remembered: those that left
// since are about as many entries.
type age int

const (
	newest    age = 0
	forgotten age = ghostSetLen
)

// take forgets a hash and tells how old it was.
func (g *ghost) take(hash uint32) age {
	if len(g.sets) == 0 {
		return forgotten
	}
	set := g.set(hash | 1)
	for i, known := range set {
		if known == hash|1 {
			copy(set[i:], set[i+1:])
			set[ghostSetLen-1] = 0
			return age(i)
		}
	}
	return forgotten
}
