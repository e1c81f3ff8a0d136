package latency

import (
	"sync"
	"testing"
	"time"
)

func TestDistribution(t *testing.T) {
	var r Recorder
	if got := r.Distribution(); got != (Distribution{}) {
		t.Errorf("empty: %+v", got)
	}
	for i := range 1000 {
		r.Record(time.Duration(i+1) * time.Microsecond)
	}
	r.Record(time.Hour)
	r.Record(-1)
	got := r.Distribution()
	near := func(got, want time.Duration) bool { return got > want*98/100 && got < want*102/100 }
	if got.Count != 1002 || !near(got.P50, 500*time.Microsecond) || !near(got.P90, 900*time.Microsecond) || !near(got.P99, 990*time.Microsecond) || got.Max != Max {
		t.Errorf("%+v", got)
	}
}

func TestRecordFromManyGoroutines(t *testing.T) {
	var r Recorder
	var wait sync.WaitGroup
	for range 8 {
		wait.Go(func() {
			for range 1000 {
				r.Record(time.Millisecond)
			}
		})
	}
	wait.Wait()
	got := r.Distribution()
	if got.Count < 1000 || got.Count > 8000 || got.Max != time.Millisecond {
		t.Errorf("%+v", got)
	}
	if n := testing.AllocsPerRun(100, func() { r.Record(time.Millisecond) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
