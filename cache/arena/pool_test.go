package arena

import "testing"

// mapping counts what is mapped of a source.
func mapping(bytes *int, maps *int) Source {
	heap := Heap()
	return Source{
		Map: func(size int, isWhole bool) ([]byte, error) {
			*bytes += size
			*maps++
			return heap.Map(size, isWhole)
		},
		Unmap: func(data []byte) error { *bytes -= len(data); return nil },
	}
}

// A large chunk takes over the memory of one that is gone, if that is of its size.
func TestLargeChunksReuseMemory(t *testing.T) {
	bytes, maps := 0, 0
	pool := NewPool(1<<16, 8, mapping(&bytes, &maps))
	a := New(pool)
	put := func(n int) Ref {
		pages, err := a.Prepare(n)
		if err != nil {
			t.Fatal(err)
		}
		ref, err := a.AllocIn(pages, n)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(a.Data(ref)); got < n || got > n+align {
			t.Fatalf("%d bytes for %d", got, n)
		}
		return ref
	}
	ref := put(100_000)
	for i := range 100 {
		next := put(100_000 - i)
		a.Drop(ref)
		pool.Trim()
		ref = next
	}
	if maps != 2 {
		t.Errorf("mapped %d times", maps)
	}
	put(50_000)
	put(200_000)
	if maps != 4 {
		t.Errorf("mapped %d times: one of another size was taken", maps)
	}
}

// What is kept for reuse is bounded, whatever its sizes; segments come first.
func TestWhatIsKeptIsBounded(t *testing.T) {
	bytes, maps := 0, 0
	const segment, segments = 1 << 16, 4
	pool := NewPool(segment, segments, mapping(&bytes, &maps))
	for size := 3000; size < 2*segment*segments; size += 4099 {
		data, err := pool.large(size)
		if err != nil {
			t.Fatal(err)
		}
		pool.put(data)
		pool.Trim()
		if bytes > segment*segments || int64(bytes) != pool.ResidentBytes() || bytes != pool.mu.kept {
			t.Fatalf("%d bytes kept, %d counted, %d resident, after one of %d", bytes, pool.mu.kept, pool.ResidentBytes(), size)
		}
	}
	var all [][]byte
	for range 2 * segments {
		data, err := pool.segment()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, data)
	}
	for _, data := range all {
		pool.put(data)
	}
	pool.Trim()
	if len(pool.mu.free) != segments || len(pool.mu.spare) != 0 || bytes != segment*segments {
		t.Fatalf("%d segments and %d others kept, %d bytes", len(pool.mu.free), len(pool.mu.spare), bytes)
	}
	pool.Close()
	if bytes != 0 || pool.ResidentBytes() != 0 {
		t.Fatalf("%d bytes left", bytes)
	}
}
