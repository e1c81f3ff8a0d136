package pgwire

import (
	"context"
	"sync"
	"time"
)

// statementContext is the context of whatever statement a connection runs. One per
// connection, used again for each statement, so that a statement that is not cancelled
// and does not ask for Done costs an uncontended lock or two. Whoever keeps it beyond
// the call it was passed to would see later statements' cancellation.
type statementContext struct {
	values context.Context
	// watcher is nil if the connection cannot be watched.
	watcher watcher

	mu struct {
		sync.Mutex
		armed bool
		done  chan struct{}  // made by the first Done
		cause error          // why the armed statement was cancelled
		final error          // the connection is ending: every statement is cancelled by this
		after []*afterCancel // see AfterFunc
		// watchTimer starts the watch; generation tells a late one that its statement is over.
		watchTimer *time.Timer
		generation uint64
		watching   chan struct{} // closed when the watch has returned; nil: none
		unwatched  bool          // the statement itself reads from the client
	}
}

// watcher looks for the client's disconnection while a statement runs.
type watcher interface {
	// watch is called on a goroutine of its own when a statement that asked for Done has run
	// for disconnectWatchDelay. It returns when the client is gone (true) or after interrupt.
	watch() (gone bool)
	interrupt()
	// resume undoes interrupt, after watch has returned.
	resume()
}

type afterCancel struct{ f func() }

func (c *statementContext) Deadline() (time.Time, bool) { return time.Time{}, false }

func (c *statementContext) Value(key any) any { return c.values.Value(key) }

func (c *statementContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.cause != nil {
		return context.Canceled
	}
	return nil
}

func (c *statementContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.done == nil {
		c.mu.done = make(chan struct{})
		if c.mu.cause != nil {
			close(c.mu.done)
		} else if c.watcher != nil && c.mu.armed && !c.mu.unwatched {
			c.startWatchLocked()
		}
	}
	return c.mu.done
}

// AfterFunc makes context.WithTimeout and its like work without a goroutine of their own.
func (c *statementContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.cause != nil {
		go f()
		return func() bool { return false }
	}
	a := &afterCancel{f}
	c.mu.after = append(c.mu.after, a)
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		stopped := a.f != nil
		a.f = nil
		return stopped
	}
}

// arm begins a statement, unless one is armed: from now on it can be cancelled.
func (c *statementContext) arm() {
	c.mu.Lock()
	if !c.mu.armed {
		c.mu.armed = true
		c.mu.cause = c.mu.final
	}
	c.mu.Unlock()
}

// disarm ends the statement and waits for its watch. Afterwards the socket may be read.
func (c *statementContext) disarm() {
	c.mu.Lock()
	if !c.mu.armed {
		c.mu.Unlock()
		return
	}
	c.mu.armed, c.mu.unwatched = false, false
	c.mu.cause = nil
	c.mu.done = nil
	clear(c.mu.after)
	c.mu.after = c.mu.after[:0]
	c.endWatchUnlock()
}

// unwatch ends the watch of the statement, which goes on: it will read from the client
// itself, and so notice when that is gone.
func (c *statementContext) unwatch() {
	c.mu.Lock()
	if c.mu.unwatched {
		c.mu.Unlock()
		return
	}
	c.mu.unwatched = true
	c.endWatchUnlock()
}

// endWatchUnlock unlocks c.mu and waits for the watch. REQUIRES: c.mu held.
func (c *statementContext) endWatchUnlock() {
	c.mu.generation++
	if c.mu.watchTimer != nil {
		c.mu.watchTimer.Stop()
	}
	watching := c.mu.watching
	c.mu.watching = nil
	c.mu.Unlock()
	if watching != nil {
		c.watcher.interrupt()
		<-watching
		c.watcher.resume()
	}
}

// rearm ends the statement and begins another.
func (c *statementContext) rearm() {
	c.disarm()
	c.arm()
}

// cancel cancels the armed statement, if there is one.
func (c *statementContext) cancel(cause error) {
	c.mu.Lock()
	if !c.mu.armed || c.mu.cause != nil {
		c.mu.Unlock()
		return
	}
	c.mu.cause = cause
	if c.mu.done != nil {
		close(c.mu.done)
	}
	var run []func()
	for _, a := range c.mu.after {
		if a.f != nil {
			run = append(run, a.f)
			a.f = nil
		}
	}
	c.mu.Unlock()
	for _, f := range run {
		f()
	}
}

// end cancels the armed statement and all that follow.
func (c *statementContext) end(cause error) {
	c.mu.Lock()
	c.mu.final = cause
	c.mu.Unlock()
	c.cancel(cause)
}

// cause is why the armed statement was cancelled, or nil.
func (c *statementContext) cause() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.cause
}

// startWatchLocked REQUIRES: c.mu held.
func (c *statementContext) startWatchLocked() {
	generation := c.mu.generation
	c.mu.watchTimer = time.AfterFunc(disconnectWatchDelay, func() {
		c.mu.Lock()
		if c.mu.generation != generation {
			c.mu.Unlock()
			return
		}
		watching := make(chan struct{})
		c.mu.watching = watching
		c.mu.Unlock()
		gone := c.watcher.watch()
		close(watching)
		if gone {
			c.cancel(errClientGone)
		}
	})
}
