package pgwire

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func newStatementContext() *statementContext {
	return &statementContext{values: context.Background()}
}

func TestStatementContextCancel(t *testing.T) {
	c := newStatementContext()
	cause := errors.New("cause")
	c.cancel(cause) // idle: nothing
	c.arm()
	if c.Err() != nil {
		t.Fatal("cancelled while idle")
	}
	done := c.Done()
	c.cancel(cause)
	c.cancel(errors.New("second"))
	<-done
	if c.Err() != context.Canceled || c.cause() != cause {
		t.Errorf("%v, %v", c.Err(), c.cause())
	}
	<-c.Done()
	c.arm() // already armed
	if c.Err() == nil {
		t.Error("arm forgets a cancel")
	}
	c.rearm()
	if c.Err() != nil || c.cause() != nil {
		t.Error("the next statement is cancelled")
	}
	select {
	case <-c.Done():
		t.Error("the next statement is done")
	default:
	}
	c.end(cause)
	c.rearm()
	if c.Err() == nil {
		t.Error("the end of the connection does not last")
	}
	<-c.Done()
}

// Contexts derived from it hear of a cancel, without a goroutine each.
func TestStatementContextDerived(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newStatementContext()
		c.arm()
		derived, cancel := context.WithTimeout(c, time.Second)
		defer cancel()
		released, release := context.WithCancel(c)
		release()
		c.cancel(errClientGone)
		<-derived.Done()
		if derived.Err() != context.Canceled || released.Err() != context.Canceled {
			t.Errorf("%v, %v", derived.Err(), released.Err())
		}
		late, cancelLate := context.WithTimeout(c, time.Second)
		defer cancelLate()
		<-late.Done()

		c.rearm()
		timed, cancelTimed := context.WithTimeout(c, time.Second)
		defer cancelTimed()
		<-timed.Done()
		if timed.Err() != context.DeadlineExceeded || c.Err() != nil {
			t.Errorf("%v, %v", timed.Err(), c.Err())
		}
	})
}

type fakeWatcher struct {
	gone, woken chan struct{}
	resumed     bool
}

func (w *fakeWatcher) watch() bool {
	select {
	case <-w.gone:
		return true
	case <-w.woken:
		return false
	}
}
func (w *fakeWatcher) interrupt() { close(w.woken) }
func (w *fakeWatcher) resume()    { w.resumed = true }

func TestStatementContextWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &fakeWatcher{gone: make(chan struct{}), woken: make(chan struct{})}
		c := newStatementContext()
		c.watcher = w

		// A short statement starts no watch.
		c.arm()
		c.Done()
		c.disarm()
		<-time.After(2 * disconnectWatchDelay) // of the fake clock

		// A longer one does, and ends it.
		c.arm()
		c.Done()
		<-time.After(2 * disconnectWatchDelay) // of the fake clock
		c.disarm()
		if !w.resumed {
			t.Error("the watch was not ended")
		}

		// One whose client goes away is cancelled.
		w.woken = make(chan struct{})
		c.arm()
		done := c.Done()
		close(w.gone)
		<-done
		if c.cause() != errClientGone {
			t.Error(c.cause())
		}
		c.disarm()
	})
}

func TestCancelKeys(t *testing.T) {
	now := time.Unix(1000, 0)
	k := newCancelKeys(zeroReader{})
	c := &conn{}
	c.statement.values = context.Background()
	id, key, err := k.add(c, cancelKeyBytesShort)
	if err != nil || id != 1 || len(key) != 4 {
		t.Fatal(id, key, err)
	}
	if other, _, _ := k.add(&conn{}, cancelKeyBytesLong); other != 2 {
		t.Errorf("second process ID %d", other)
	}
	wrong := []byte{1, 2, 3, 4}
	if k.find(99, key, now) != nil || k.find(id, wrong, now) != nil || k.find(id, key[:3], now) != nil {
		t.Error("found by a wrong key")
	}
	if k.find(id, key, now) != c {
		t.Error("not found by the right key")
	}
	for range wrongKeysMax {
		k.find(id, wrong, now)
	}
	if k.find(id, key, now) != nil {
		t.Error("found after too many wrong keys")
	}
	if k.find(id, key, now.Add(wrongKeysWindow)) != c {
		t.Error("not found in the next window")
	}
	for _, malformed := range [][]byte{nil, {0, 0, 0, 1}, make([]byte, 5+cancelKeyBytesMax)} {
		k.cancel(malformed, now)
	}
	k.remove(id)
	if k.find(id, key, now.Add(wrongKeysWindow)) != nil {
		t.Error("found after remove")
	}
}

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
