package l2

import (
	"maps"
	"sync"
	"sync/atomic"

	"pgcache/cache"
)

// marksBytesMax bounds the memory of marks: some hundred thousand keys.
const (
	marksBytesMax     = 16 << 20
	markOverheadBytes = 64
)

// marks are records that must not be read any more although they are still stored: those
// that a put or delete would have replaced had the disk taken it. Each says that what the
// key holds below a sequence is hidden. They are written as deletes once writes work.
type marks struct {
	count atomic.Int64 // so that readers pass by without a lock while there are none
	mu    struct {
		sync.RWMutex
		seqs  map[string]cache.Sequence // by m key
		bytes int
		full  bool // some found no room: nothing of what is stored may be read
		epoch int  // of the database: its number of reopenings
		// waiting: the database could not be reopened, and the next try has not begun.
		waiting bool
	}
}

// add hides what the keys of ops hold, or hides nothing and returns false if there are too
// many marks already.
func (m *marks) add(ops []cache.TierOp) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.seqs == nil {
		m.mu.seqs = make(map[string]cache.Sequence)
	}
	need := 0
	for i := range ops {
		need += recordKeyOffset + len(ops[i].Record.Key) + markOverheadBytes
	}
	if m.mu.bytes+need > marksBytesMax {
		return false
	}
	var key []byte
	for i := range ops {
		r := &ops[i].Record
		key = appendRecordKey(key[:0], r.Namespace, r.Key)
		// Not below the write's own sequence but at it: it may be in the committer's hands
		// already, and then its caller must not find it there after a delete that thought
		// it had not been stored.
		seq := r.Seq + 1
		old, ok := m.mu.seqs[string(key)]
		if !ok {
			m.mu.bytes += len(key) + markOverheadBytes
		}
		m.mu.seqs[string(key)] = max(old, seq)
	}
	m.count.Store(int64(len(m.mu.seqs)))
	return true
}

// of returns the sequence below which a record is hidden; 0: it is not.
func (m *marks) of(recordKey []byte) cache.Sequence {
	if m.count.Load() == 0 {
		return 0
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.mu.seqs[string(recordKey)]
}

// hidden says which records marks hide, for a scan: those that did when it began, for a
// mark may be written and forgotten meanwhile, and those that do by now.
type hidden struct {
	marks  *marks
	before map[string]cache.Sequence
}

// hidden is to be taken before the scan's iterator is made.
func (m *marks) hidden() hidden { return hidden{m, m.snapshot()} }

func (h hidden) covers(recordKey []byte, seq cache.Sequence) bool {
	return seq < h.before[string(recordKey)] || seq < h.marks.of(recordKey)
}

// snapshot is all marks, nil if there are none.
func (m *marks) snapshot() map[string]cache.Sequence {
	if m.count.Load() == 0 {
		return nil
	}
	m.mu.RLock()
	defer m.mu.RUnlock()
	return maps.Clone(m.mu.seqs)
}

// some returns up to n marks.
func (m *marks) some(n int) map[string]cache.Sequence {
	m.mu.RLock()
	defer m.mu.RUnlock()
	list := make(map[string]cache.Sequence, min(n, len(m.mu.seqs)))
	for key, seq := range m.mu.seqs {
		if len(list) == n {
			break
		}
		list[key] = seq
	}
	return list
}

// overflow notes that something that must be hidden found no room. It is too late for that
// while the database is being reopened: then it returns false.
func (m *marks) overflow(epoch int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	inTime := m.mu.epoch == epoch || m.mu.waiting && m.mu.epoch == epoch+1
	m.mu.full = m.mu.full || inTime
	return inTime
}

// await says that the database could not be reopened: until that is tried again, which may
// be never, more may find no room.
func (m *marks) await() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.waiting = true
}

// again begins another try. It returns false if the database that comes must be emptied.
func (m *marks) again() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.waiting = false
	return !m.mu.full
}

// reopening hides what a database that is being reopened may have lost and shows as older
// records. It returns the number of the database that comes, and false if that must be
// emptied, because there is more to hide than there is room.
func (m *marks) reopening(lost map[string]cache.Sequence) (epoch int, fits bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.epoch++
	if m.mu.seqs == nil {
		m.mu.seqs = make(map[string]cache.Sequence)
	}
	for key, seq := range lost {
		if m.mu.full = m.mu.full || m.mu.bytes > marksBytesMax; m.mu.full {
			break
		}
		old, ok := m.mu.seqs[key]
		if !ok {
			m.mu.bytes += len(key) + markOverheadBytes
		}
		m.mu.seqs[key] = max(old, seq+1)
	}
	m.count.Store(int64(len(m.mu.seqs)))
	return m.mu.epoch, !m.mu.full
}

// clear forgets all marks: the database is empty.
func (m *marks) clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.seqs, m.mu.bytes, m.mu.full = nil, 0, false
	m.count.Store(0)
}

// done forgets marks whose deletes are committed, unless they were raised meanwhile, or the
// database was given up and may lose the deletes.
func (m *marks) done(list map[string]cache.Sequence, epoch int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.epoch != epoch {
		return
	}
	for key, seq := range list {
		if m.mu.seqs[key] == seq {
			delete(m.mu.seqs, key)
			m.mu.bytes -= len(key) + markOverheadBytes
		}
	}
	if len(m.mu.seqs) == 0 {
		m.mu.seqs = nil
	}
	m.count.Store(int64(len(m.mu.seqs)))
}
