package cache

import (
	"context"
	"sync"
	"sync/atomic"
)

// EventKind is what an Event tells of.
type EventKind uint8

const (
	EventPut          EventKind = iota // a key was written: what was read of it before is old
	EventKey                           // a key was deleted, whether or not it was held
	EventPrefix                        // keys with a prefix were
	EventTags                          // entries with one of the tags
	EventDependencies                  // entries with one of the dependencies
	EventNamespace                     // a namespace was flushed
	EventAll                           // everything was, or events were lost: whoever watches must assume the worst
)

// Event says that what a client may have read before is not true any more. It is queued
// after it took effect and before the call that caused it returns: who reads after the
// event sees its effect. Evictions and expirations are no events.
type Event struct {
	Kind      EventKind
	Namespace string // empty: all namespaces
	Key       string // of EventPut and EventKey; the prefix of EventPrefix
	Labels    []string
	Seq       Sequence // greater than that of the event before
}

func (e *Event) bytes() int {
	n := eventBytesFixed + len(e.Namespace) + len(e.Key)
	for _, label := range e.Labels {
		n += len(label) + 16
	}
	return n
}

// Bounds of what waits for the watcher. When they are reached, one EventAll takes the
// place of all that waits.
const (
	eventsMax       = 1 << 16
	eventBytesMax   = 8 << 20
	eventBytesFixed = 80
)

// events are those on their way to the watcher.
type events struct {
	watcher atomic.Pointer[func([]Event)]
	work    chan struct{} // buffered 1

	mu    sync.Mutex
	queue []Event
	bytes int
}

// WatchEvents has events handed to watcher, in order, by one goroutine; nil ends that. It
// is told what takes effect after WatchEvents returned. There is one watcher at a time, and
// none at first, since an event costs its writer a little. The watcher must not wait, nor
// keep the slice.
func (c *Cache) WatchEvents(watcher func([]Event)) {
	if watcher == nil {
		c.events.watcher.Store(nil)
		return
	}
	c.events.watcher.Store(&watcher)
}

// emit queues an event, if somebody watches. It never waits. REQUIRES: the event has
// taken effect.
func (c *Cache) emit(kind EventKind, namespace, key []byte, labels []string) {
	q := &c.events
	if q.watcher.Load() == nil {
		return
	}
	e := Event{Kind: kind, Namespace: string(namespace), Key: string(key), Labels: labels}
	q.mu.Lock()
	e.Seq = c.nextSeq()
	if len(q.queue) >= eventsMax || q.bytes+e.bytes() > eventBytesMax {
		q.queue, q.bytes = q.queue[:0], 0
		e = Event{Kind: EventAll, Seq: e.Seq}
	}
	q.queue = append(q.queue, e)
	q.bytes += e.bytes()
	q.mu.Unlock()
	select {
	case q.work <- struct{}{}:
	default:
	}
}

// run hands events to the watcher.
func (q *events) run(ctx context.Context) {
	var batch []Event
	for {
		q.mu.Lock()
		batch, q.queue, q.bytes = q.queue, batch[:0], 0
		q.mu.Unlock()
		if len(batch) > 0 {
			if watcher := q.watcher.Load(); watcher != nil {
				(*watcher)(batch)
			}
			clear(batch)
			continue
		}
		batch = nil
		select {
		case <-q.work:
		case <-ctx.Done():
			return
		}
	}
}
