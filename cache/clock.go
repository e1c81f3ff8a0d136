package cache

import "time"

// clock turns Config.Now into Unix milliseconds that do not follow steps of the wall
// clock while the process runs: it is the wall time at the start plus the monotonic time
// since. Lifetimes asked for at t and checked at t' differ by what really passed.
type clock struct {
	now     func() time.Time
	start   time.Time
	startMs int64
}

func newClock(now func() time.Time) clock {
	start := now()
	return clock{now: now, start: start, startMs: start.UnixMilli()}
}

func (c *clock) ms() int64 { return c.startMs + c.now().Sub(c.start).Milliseconds() }
