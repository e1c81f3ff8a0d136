package hotkeys

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"
)

func note(s *Sketch, key string, hits int64) {
	h := fnv.New64a()
	_, _ = h.Write([]byte(key))
	s.Note(h.Sum64(), []byte("n"), []byte(key), hits, 10)
}

func TestFewKeysAreCountedExactly(t *testing.T) {
	var s Sketch
	for i := range 100 {
		for range i + 1 {
			note(&s, fmt.Sprint(i), 2)
		}
	}
	top := s.Top(3)
	want := []Key{{"n", "99", 200, 2000}, {"n", "98", 198, 1980}, {"n", "97", 196, 1960}}
	for i := range want {
		if top[i] != want[i] {
			t.Errorf("%d: %+v, want %+v", i, top[i], want[i])
		}
	}
}

func TestHotKeysAreFoundAmongMany(t *testing.T) {
	var s Sketch
	random := rand.New(rand.NewPCG(1, 2))
	for range 200_000 {
		if random.IntN(10) == 0 {
			note(&s, fmt.Sprint("hot", random.IntN(5)), 1)
		} else {
			note(&s, fmt.Sprint("cold", random.IntN(100_000)), 1)
		}
	}
	for i, k := range s.Top(5) {
		if k.Name[:3] != "hot" || k.Hits < 3500 || k.Hits > 5500 {
			t.Errorf("%d: %+v", i, k)
		}
	}
	for at := range s.heap {
		if s.byHash[s.heap[at].hash] != at || at > 0 && s.heap[(at-1)/2].hits > s.heap[at].hits {
			t.Fatalf("counter %d is out of order", at)
		}
	}
	if len(s.heap) != Counters || len(s.byHash) != Counters {
		t.Errorf("%d counters, %d indexed", len(s.heap), len(s.byHash))
	}
	before := s.Top(1)[0].Hits
	s.Fade()
	if after := s.Top(1)[0].Hits; after != before/2 {
		t.Errorf("%d faded to %d", before, after)
	}
}
