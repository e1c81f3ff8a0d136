package cache

import (
	"sync/atomic"
	"time"
)

// Clock is the time that lifetimes are measured with, in Unix milliseconds. It does not
// follow steps of the wall clock while the process runs: it is the wall time at the start
// plus what has really passed since. It never begins before the time a durable tier
// remembers, so that a wall clock set back while the server was down does not lengthen
// lifetimes. What it cannot tell from time that really passed is a wall clock set forward
// meanwhile: entries then expire as if the server had been down for that long.
//
// Cache and tier share one, so that both call the same entries dead.
type Clock struct {
	wall    func() time.Time
	elapsed func() time.Duration // since the clock was made
	startMs atomic.Int64
	// noted is the time when note was last called; zero: ask. Only a clock that goes by
	// itself is noted.
	noted    atomic.Int64
	isSystem bool
}

// NewClock makes a clock of a wall clock like time.Now, whose times have a monotonic part.
func NewClock(wall func() time.Time) *Clock {
	start := wall()
	return newClock(wall, func() time.Duration { return wall().Sub(start) })
}

// SystemClock is NewClock(time.Now), asked in half the time.
func SystemClock() *Clock {
	start := time.Now()
	c := newClock(time.Now, func() time.Duration { return time.Since(start) })
	c.isSystem = true
	return c
}

func newClock(wall func() time.Time, elapsed func() time.Duration) *Clock {
	c := &Clock{wall: wall, elapsed: elapsed}
	c.startMs.Store(wall().UnixMilli() - elapsed().Milliseconds())
	return c
}

func (c *Clock) ms() int64 { return c.msOf(c.elapsed()) }

// msOf is the time at which elapsed was what it was.
func (c *Clock) msOf(elapsed time.Duration) int64 { return c.startMs.Load() + elapsed.Milliseconds() }

// note lets coarseMs answer with the time there is now. Who begins to call it goes on.
func (c *Clock) note() {
	if c.isSystem {
		c.noted.Store(c.ms())
	}
}

// coarseMs is the time of the last note, for the price of a load from memory: good enough
// where tenths of a second do not matter, and so never for whether an entry has expired.
func (c *Clock) coarseMs() int64 {
	if ms := c.noted.Load(); ms != 0 {
		return ms
	}
	return c.ms()
}

// Now is the clock's time.
func (c *Clock) Now() time.Time { return time.UnixMilli(c.ms()) }

// NotBefore moves the clock forward to ms if it is behind.
func (c *Clock) NotBefore(ms int64) {
	if behind := ms - c.ms(); behind > 0 {
		c.startMs.Add(behind)
	}
}

// wallStepMin is the difference between wall clock and Clock that is taken for a step;
// below are rounding and slewing.
const wallStepMin = time.Second

// ofWall is the moment of this clock at which the wall clock, if it is not stepped again,
// shows wallMs: what an absolute expiry given by a client means.
func (c *Clock) ofWall(wallMs int64) int64 {
	ahead := c.ms() - c.wall().UnixMilli()
	if ahead > -wallStepMin.Milliseconds() && ahead < wallStepMin.Milliseconds() {
		return wallMs
	}
	return wallMs + ahead
}
