package l2

import (
	"encoding/binary"
	"sync"

	"pgcache/cache"
)

// ledger is what is known in memory of a database that may lose its latest batches: what
// they changed, and what it must hold of namespaces. When the database is reopened, all that
// is made up for (D9).
type ledger struct {
	mu struct {
		sync.Mutex
		closed     bool   // the database is given up: nothing that it does counts any more
		records    []byte // those that were written or removed since the latest sync
		bytes      int    // what marks for them take
		watermarks []cache.Watermark
		namespaces map[string]cache.NamespaceRow // of live generations, by name
	}
}

// ledgerBytesMax bounds the ledger between two syncs: the batch that finds it full is
// synced. Marks have room for what it holds.
const ledgerBytesMax = marksBytesMax / 4

// begin enters what a batch changes, before it is applied. It returns false if the database
// was given up.
func (l *ledger) begin(g *group) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return false
	}
	l.mu.records = append(l.mu.records, g.touched...)
	l.mu.bytes += g.touchedBytes
	l.mu.watermarks = append(l.mu.watermarks, g.raised...)
	l.mu.bytes += len(g.raised) * markOverheadBytes
	return true
}

// applied says that the batch is in the database, and with sync that all before it is
// durable. It returns false if the database was given up meanwhile: then nobody may be told.
func (l *ledger) applied(g *group, sync bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.closed {
		return false
	}
	if sync {
		l.mu.records, l.mu.watermarks, l.mu.bytes = l.mu.records[:0], l.mu.watermarks[:0], 0
		if cap(l.mu.records) > arenaBytesMax {
			l.mu.records = nil
		}
	}
	for _, change := range g.named {
		change(l.mu.namespaces)
	}
	return true
}

// isFull reports that it is time for a sync.
func (l *ledger) isFull() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mu.bytes > ledgerBytesMax
}

// namespace is the generation that has the name. REQUIRES: called by the committer.
func (l *ledger) namespace(name string) (cache.NamespaceID, bool) {
	row, ok := l.mu.namespaces[name]
	return row.ID, ok
}

// close gives the database up and returns what a reopened one must be told.
func (l *ledger) close() (records map[string]cache.Sequence, watermarks []cache.Watermark, namespaces map[string]cache.NamespaceRow) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.closed = true
	records = make(map[string]cache.Sequence)
	for rest := l.mu.records; len(rest) > 0; {
		keyLen := int(binary.LittleEndian.Uint32(rest))
		seq, key := cache.Sequence(binary.LittleEndian.Uint64(rest[4:])), rest[12:12+keyLen]
		records[string(key)] = max(records[string(key)], seq)
		rest = rest[12+keyLen:]
	}
	return records, l.mu.watermarks, l.mu.namespaces
}

// touch notes that the batch stores or removes the record of a sequence.
func (g *group) touch(recordKey []byte, seq cache.Sequence) {
	g.touched = binary.LittleEndian.AppendUint32(g.touched, uint32(len(recordKey)))
	g.touched = binary.LittleEndian.AppendUint64(g.touched, uint64(seq))
	g.touched = append(g.touched, recordKey...)
	g.touchedBytes += len(recordKey) + markOverheadBytes
}
