package main

import "runtime/debug"

// heapGrowthPct is how far the heap may grow past what is live before it is collected.
// Entries live outside the heap, so it is small, and what grows it is garbage of large
// writes: Go's default of 100 would let resident memory leave the budget for little speed.
const heapGrowthPct = 50

// boundHeap sets the collector's pace unless GOGC in the environment has. No memory limit
// is set: with large values in flight a limit below what is live would make the collector
// run without end. GOMEMLIMIT works for those who know their machine.
func boundHeap(env func(string) (string, bool)) {
	if _, ok := env("GOGC"); !ok {
		debug.SetGCPercent(heapGrowthPct)
	}
}
