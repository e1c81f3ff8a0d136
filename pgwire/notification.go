package pgwire

import (
	"encoding/binary"
	"sync"
	"sync/atomic"
)

// Mailbox takes notifications for one connection, which delivers them as
// NotificationResponse between cycles: while it waits for its client outside of a
// transaction block, which Put interrupts, else just before the ReadyForQuery that ends one. They
// keep their order. Safe for concurrent use; a Mailbox that outlives its connection takes nothing.
type Mailbox struct {
	limits *Limits
	// wake makes the connection look, if it waits for its client.
	wake func()
	// waiting says that something is in there, so that looking costs a load.
	waiting atomic.Bool

	mu struct {
		sync.Mutex
		closed bool
		queue  []notification
		bytes  int
	}
}

type notification struct {
	processID        uint32
	channel, payload string
}

// Put queues a notification from the session with this process ID. It returns at once,
// false if the queue is full (Limits.Notifications, NotificationBytes) or the connection has
// ended. A client that must not miss one is then best ended, by Backends.EndSession.
func (m *Mailbox) Put(processID uint32, channel, payload string) bool {
	n := notification{processID, channel, payload}
	m.mu.Lock()
	if m.mu.closed || len(m.mu.queue) >= m.limits.Notifications || m.mu.bytes+n.bytes() > m.limits.NotificationBytes {
		m.mu.Unlock()
		return false
	}
	m.mu.queue = append(m.mu.queue, n)
	m.mu.bytes += n.bytes()
	m.mu.Unlock()
	if !m.waiting.Swap(true) {
		m.wake()
	}
	return true
}

// Replace queues a notification in place of all that wait of its channel: for a channel
// whose messages one message can stand for when there are too many. False as Put.
func (m *Mailbox) Replace(processID uint32, channel, payload string) bool {
	m.mu.Lock()
	kept, bytes := m.mu.queue[:0], 0
	for _, n := range m.mu.queue {
		if n.channel != channel {
			kept, bytes = append(kept, n), bytes+n.bytes()
		}
	}
	clear(m.mu.queue[len(kept):])
	m.mu.queue, m.mu.bytes = kept, bytes
	m.mu.Unlock()
	return m.Put(processID, channel, payload)
}

// bytes is what a notification is charged: its texts and its place in the queue.
func (n *notification) bytes() int { return len(n.channel) + len(n.payload) + 48 }

// take empties the queue.
func (m *Mailbox) take() []notification {
	if !m.waiting.Load() {
		return nil
	}
	m.waiting.Store(false) // before the queue is read: whoever puts after that wakes again
	m.mu.Lock()
	defer m.mu.Unlock()
	queue := m.mu.queue
	m.mu.queue, m.mu.bytes = nil, 0
	return queue
}

func (m *Mailbox) close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.closed = true
	m.mu.queue, m.mu.bytes = nil, 0
}

// deliver appends what is in the mailbox and reports that there was something.
// REQUIRES: between two cycles, outside of a transaction block.
func (c *conn) deliver() bool {
	queue := c.mailbox.take()
	for _, n := range queue {
		c.reply.takeBlock()
		c.reply.buf = appendNotification(c.reply.buf, n)
		c.reply.flushFull()
	}
	return len(queue) > 0
}

func appendNotification(b []byte, n notification) []byte {
	start, b := beginMessage(b, 'A')
	b = binary.BigEndian.AppendUint32(b, n.processID)
	return endMessage(appendText(appendText(b, n.channel), n.payload), start)
}
