package pgwire

import (
	"bytes"
	"crypto/tls"
	"net"
	"reflect"
)

// tlsInput is the read side of a connection over TLS: it lets the frame reader read and wait as
// it does without TLS, and takes the memory of crypto/tls away while the connection waits (W7).
type tlsInput struct {
	net.Conn // what TLS reads and writes
	// replay is input that was read before it turned out to be TLS.
	replay []byte
	tls    *tls.Conn
	pool   *bufferPool

	// polling: reads do not wait; fd is what they read.
	polling bool
	fd      uintptr

	// records and handshake are buffers inside of tls; nil where it has none of that name.
	records, handshake *bytes.Buffer
	// lent is whose memory records has; nil: it has its own.
	lent *bytes.Buffer
}

// errNotReady tells crypto/tls, which goes on after temporary errors, that there is no input yet.
var errNotReady net.Error = notReady{}

type notReady struct{}

func (notReady) Error() string   { return "pgwire: no input yet" }
func (notReady) Timeout() bool   { return true }
func (notReady) Temporary() bool { return true }

// Read is called by crypto/tls.
func (t *tlsInput) Read(p []byte) (int, error) {
	if len(t.replay) > 0 {
		n := copy(p, t.replay)
		if t.replay = t.replay[n:]; len(t.replay) == 0 {
			t.replay = nil
		}
		return n, nil
	}
	if !t.polling {
		return t.Conn.Read(p)
	}
	n, ready, err := readReady(t.fd, p)
	if !ready {
		return 0, errNotReady
	}
	return n, err
}

// handshaken is called when the handshake is over, with which ends the need for most of what
// crypto/tls keeps. That a connection may be idle is nothing it knows of, and so each of its
// connections holds the memory of the longest record it has received, for ever. An empty
// buffer means the same whatever its capacity is, so another one can take its place; where a
// later crypto/tls has no such fields, nothing is taken.
func (t *tlsInput) handshaken() {
	t.records, t.handshake = bufferOf(t.tls, "rawInput"), bufferOf(t.tls, "hand")
	t.takeMemory()
}

func bufferOf(t *tls.Conn, name string) *bytes.Buffer {
	field := reflect.ValueOf(t).Elem().FieldByName(name)
	if !field.IsValid() || field.Type() != reflect.TypeFor[bytes.Buffer]() {
		return nil
	}
	return (*bytes.Buffer)(field.Addr().UnsafePointer())
}

// takeMemory takes the memory of empty buffers away.
func (t *tlsInput) takeMemory() {
	if t.handshake != nil && t.handshake.Len() == 0 && t.handshake.Cap() > 0 {
		*t.handshake = bytes.Buffer{}
	}
	if t.records == nil || t.records.Len() > 0 {
		return
	}
	if t.lent != nil && t.records.Cap() <= tlsRecordBytesKept {
		t.records.Reset()
		*t.lent = *t.records
		t.pool.putRecords(t.lent)
	}
	*t.records, t.lent = bytes.Buffer{}, nil
}

// lendMemory gives crypto/tls a buffer for records if it has none.
func (t *tlsInput) lendMemory() {
	if t.records != nil && t.records.Cap() == 0 {
		t.lent = t.pool.getRecords()
		*t.records = *t.lent
	}
}

// readReady is readReady of a socket, for what is in its records. ready is false if that is
// nothing; no record is half decrypted then.
func (t *tlsInput) readReady(fd uintptr, p []byte) (n int, ready bool, err error) {
	t.lendMemory()
	t.fd, t.polling = fd, true
	n, err = t.tls.Read(p)
	t.polling = false
	if err == errNotReady {
		if n == 0 {
			t.takeMemory()
			return 0, false, nil
		}
		err = nil
	}
	return n, true, err
}
