package main

import (
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
	"time"
)

// heapGrowthPct is how far the heap may grow past what is live before it is collected.
// Entries live outside the heap, so it is small, and what grows it is garbage of large
// writes: Go's default of 100 would let resident memory leave the budget for little speed.
const heapGrowthPct = 50

// heapBallastBytes counts as live and so sets a least distance between collections, half of
// it: without it a heap of a few MiB would be collected fifty times a second under writes.
// It is never touched, so that the system gives no memory for it.
const heapBallastBytes = 64 << 20

// boundHeap sets the collector's pace unless GOGC in the environment has. No memory limit
// is set: with large values in flight a limit below what is live would make the collector
// run without end. GOMEMLIMIT works for those who know their machine.
//
// The function returned ends the ballast's life.
func boundHeap(env func(string) (string, bool)) func() {
	if _, ok := env("GOGC"); ok {
		return func() {}
	}
	debug.SetGCPercent(heapGrowthPct)
	ballast := make([]byte, heapBallastBytes)
	return func() { runtime.KeepAlive(ballast) }
}

// When the server has become quiet, what garbage there is and what pages the heap keeps go back
// to the system: else they stay for as long as nothing is allocated, and ten thousand clients
// that come over TLS and then idle leave 40 MiB.
const (
	// quietPeriod is how often the server looks; it is quiet if less than quietBytesMax were
	// allocated in between. Reads of entries allocate nothing: a collection beside them takes
	// some milliseconds of the other processor, once.
	quietPeriod   = 5 * time.Second
	quietBytesMax = 1 << 20
	// giveBackBytesMin is what is worth a collection.
	giveBackBytesMin = 16 << 20
)

// heapUse is what the runtime tells of its heap, in bytes.
type heapUse struct {
	allocated     uint64 // since the start
	objects, live uint64 // allocated and not swept; marked by the last collection
	free          uint64 // not used, and not given back
}

func readHeapUse() heapUse {
	samples := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/heap/objects:bytes"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/free:bytes"}}
	metrics.Read(samples)
	var values [4]uint64
	for i := range samples {
		if samples[i].Value.Kind() == metrics.KindUint64 {
			values[i] = samples[i].Value.Uint64()
		}
	}
	return heapUse{allocated: values[0], objects: values[1], live: values[2], free: values[3]}
}

// shouldGiveBack decides by what was and what is.
func (u heapUse) shouldGiveBack(before heapUse) bool {
	garbage := u.objects - min(u.live, u.objects)
	return u.allocated-before.allocated < quietBytesMax && garbage+u.free >= giveBackBytesMin
}

// giveBackWhenQuiet starts what gives memory back. The function returned ends that and waits.
func giveBackWhenQuiet() (stop func()) {
	end := make(chan struct{})
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(quietPeriod)
		defer ticker.Stop()
		for before := readHeapUse(); ; {
			select {
			case <-end:
				return
			case <-ticker.C:
			}
			now := readHeapUse()
			if now.shouldGiveBack(before) {
				debug.FreeOSMemory()
			}
			before = now
		}
	})
	return func() {
		close(end)
		group.Wait()
	}
}
