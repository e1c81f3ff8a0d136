package main

import (
	"runtime"
	"runtime/debug"
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
