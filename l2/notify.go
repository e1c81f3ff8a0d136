package l2

import (
	"sync"

	"pgcache/cache"
)

// removal is a record the store removed by its own decision.
type removal struct {
	ns  cache.NamespaceID
	key []byte
	seq cache.Sequence
}

// notifier calls the cache's OnRemove function from a goroutine of its own, so that the
// function may take any lock, even one whose holder waits for the committer.
type notifier struct {
	mu struct {
		sync.Mutex
		fn    func(cache.NamespaceID, []byte, cache.Sequence)
		queue []removal
	}
	wake chan struct{}
	stop chan struct{}
	done chan struct{}
}

// backlogMax is how many removals may wait before the store pauses removing records for
// reasons that can wait; see Store.overloaded.
const backlogMax = 1 << 16

func newNotifier() *notifier {
	return &notifier{wake: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{})}
}

func (n *notifier) register(fn func(cache.NamespaceID, []byte, cache.Sequence)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.mu.fn = fn
}

// add queues removals; it takes over the slice's elements, not the slice.
func (n *notifier) add(removed []removal) {
	if len(removed) == 0 {
		return
	}
	n.mu.Lock()
	if n.mu.fn != nil {
		n.mu.queue = append(n.mu.queue, removed...)
	}
	n.mu.Unlock()
	select {
	case n.wake <- struct{}{}:
	default:
	}
}

func (n *notifier) backlog() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.mu.queue)
}

// run delivers until stopped. What is queued then is dropped: the cache is closing.
func (n *notifier) run() {
	defer close(n.done)
	for {
		select {
		case <-n.stop:
			return
		case <-n.wake:
			n.deliver()
		}
	}
}

func (n *notifier) deliver() {
	n.mu.Lock()
	queue, fn := n.mu.queue, n.mu.fn
	n.mu.queue = nil
	n.mu.Unlock()
	for _, r := range queue {
		fn(r.ns, r.key, r.seq)
	}
}
