package pgwire

import (
	"crypto/subtle"
	"encoding/binary"
	"errors"
	"io"
	"sync"
	"time"
)

// errClientGone is the cause with which a statement is cancelled whose client has
// disconnected.
var errClientGone = errors.New("pgwire: client disconnected")

// errCancelRequest is what a CancelRequest makes of the statement it hits.
func errCancelRequest() *Error {
	return Errorf(CodeQueryCanceled, "canceling statement due to user request")
}

// cancelKeys finds the connection a CancelRequest means.
type cancelKeys struct {
	random io.Reader
	mu     struct {
		sync.Mutex
		last  uint32
		conns map[uint32]*cancelEntry
	}
}

type cancelEntry struct {
	key    []byte
	conn   *conn
	wrong  int // wrong keys since window began
	window time.Time
}

func newCancelKeys(random io.Reader) *cancelKeys {
	k := &cancelKeys{random: random}
	k.mu.conns = make(map[uint32]*cancelEntry)
	return k
}

// add gives a connection a process ID and a key of the given length.
func (k *cancelKeys) add(c *conn, keyBytes int) (processID uint32, key []byte, err error) {
	key = make([]byte, keyBytes)
	if _, err := io.ReadFull(k.random, key); err != nil {
		return 0, nil, err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for {
		k.mu.last = k.mu.last%(1<<31-1) + 1 // clients print it as a positive int32
		if _, used := k.mu.conns[k.mu.last]; !used {
			break
		}
	}
	k.mu.conns[k.mu.last] = &cancelEntry{key: key, conn: c}
	return k.mu.last, key, nil
}

// conn finds a connection by its process ID.
func (k *cancelKeys) conn(processID uint32) *conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	if entry := k.mu.conns[processID]; entry != nil {
		return entry.conn
	}
	return nil
}

func (k *cancelKeys) remove(processID uint32) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.mu.conns, processID)
}

// cancel handles the body of a CancelRequest behind its code: a process ID and a key.
// Nobody learns what came of it.
func (k *cancelKeys) cancel(request []byte, now time.Time) {
	if len(request) < 5 || len(request) > 4+cancelKeyBytesMax {
		return
	}
	processID, key := binary.BigEndian.Uint32(request), request[4:]
	if c := k.find(processID, key, now); c != nil {
		c.statement.cancel(errCancelRequest())
	}
}

func (k *cancelKeys) find(processID uint32, key []byte, now time.Time) *conn {
	k.mu.Lock()
	defer k.mu.Unlock()
	entry := k.mu.conns[processID]
	if entry == nil {
		return nil
	}
	if elapsed := now.Sub(entry.window); elapsed < 0 || elapsed >= wrongKeysWindow {
		entry.wrong, entry.window = 0, now
	}
	if entry.wrong >= wrongKeysMax {
		return nil
	}
	if subtle.ConstantTimeCompare(entry.key, key) != 1 {
		entry.wrong++
		return nil
	}
	return entry.conn
}
