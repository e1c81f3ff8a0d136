package cache

import (
	"fmt"
	"strings"
	"testing"
)

// eventLog collects what the watcher is told.
type eventLog struct{ got chan Event }

func (l *eventLog) add(events []Event) {
	for _, e := range events {
		l.got <- e
	}
}

func (l *eventLog) next() Event { return <-l.got }

func TestEventsTellWhatClientsMustForget(t *testing.T) {
	log := &eventLog{got: make(chan Event, 100)}
	for _, tier := range []Tier{nil, newMemTier()} {
		c := open(t, Config{Tier: tier})
		put(t, c, "n", "before", "x") // nobody watches
		c.WatchEvents(log.add)
		put(t, c, "n", "a", "x")
		put(t, c, "n", "a", "y")
		c.Invalidate(background, K("n", "a"))
		c.Invalidate(background, K("n", "never there"))
		c.InvalidatePrefix(background, []byte("n"), []byte("p"))
		c.InvalidateTags(background, []byte("n"), []string{"t", "u"})
		c.InvalidateTags(background, []byte("unknown"), []string{"t"})
		c.InvalidateDependencies(background, nil, []string{"d"})
		c.FlushNamespace(background, []byte("n"))
		c.FlushAll(background)
		var last Sequence
		for _, want := range []string{
			"0 n/a []", "0 n/a []", "1 n/a []", "1 n/never there []", "2 n/p []", "3 n/ [t u]", "3 unknown/ [t]", "4 / [d]", "5 n/ []", "6 / []",
		} {
			e := log.next()
			if got := fmt.Sprintf("%d %s/%s %v", e.Kind, e.Namespace, e.Key, e.Labels); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			if e.Seq <= last {
				t.Errorf("sequence %d after %d", e.Seq, last)
			}
			last = e.Seq
		}
		c.WatchEvents(nil)
		put(t, c, "n", "after", "x")
		c.Close(background)
	}
	if n := len(log.got); n != 0 {
		t.Errorf("%d events too many", n)
	}
}

// TestEventsOverflow: who does not keep up is told that it missed something.
func TestEventsOverflow(t *testing.T) {
	release, log := make(chan struct{}), &eventLog{got: make(chan Event, 2*eventsMax)}
	c := open(t, Config{})
	c.WatchEvents(func(events []Event) {
		<-release
		log.add(events)
	})
	key := []byte(strings.Repeat("k", 1000))
	for range 3 * eventBytesMax / 1000 {
		c.emit(EventKey, []byte("n"), key, nil)
	}
	close(release)
	c.emit(EventKey, []byte("last"), nil, nil)
	lost, total := false, 0
	for e := log.next(); e.Namespace != "last"; e = log.next() {
		total++
		lost = lost || e.Kind == EventAll
	}
	if !lost || total > eventBytesMax/1000+eventsMax {
		t.Errorf("%d events, overflow told: %v", total, lost)
	}
}
