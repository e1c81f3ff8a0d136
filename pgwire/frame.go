package pgwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
)

// Errors of the frame reader, beside those of the transport. All but errMessageTooLong
// end the connection.
var (
	// errBadLength is a length no message can have; PostgreSQL closes without a word.
	errBadLength = errors.New("pgwire: invalid message length")
	// errMessageTooLong is a body above Limits.MessageBytes. It has been dropped.
	errMessageTooLong = errors.New("pgwire: message too long")
	// errUnknownType is a type byte that no frontend message has.
	errUnknownType = errors.New("pgwire: invalid frontend message type")
)

// frameReader cuts the input of a connection into messages. One read fills the block with
// whatever has arrived, and bodies are handed out in place.
type frameReader struct {
	conn net.Conn
	// raw is nil if conn has no descriptor (net.Pipe). With one, the block is given back to
	// the pool while the connection waits (W7).
	raw     syscall.RawConn
	tryRead func(fd uintptr) bool // = readOnce, made once
	// encrypted is what conn is read through; nil: nothing.
	encrypted *tlsInput

	pool *bufferPool
	// block[start:end] is input that has not been consumed; block may be nil if it is empty.
	block      *readBlock
	start, end int

	// target is where readOnce reads to; nil: the rest of block. gotBytes and gotErr are its result.
	target   []byte
	gotBytes int
	gotErr   error

	first [1]byte // what readPlain waits for

	// inside says that a message is being read whose header has been consumed.
	inside bool
	// timedOut decides, when the read deadline has passed, whether to go on. It may be nil.
	timedOut func() (goOn bool)

	bodyBytesMax int
}

func newFrameReader(conn net.Conn, pool *bufferPool, bodyBytesMax int) *frameReader {
	r := &frameReader{conn: conn, pool: pool, bodyBytesMax: bodyBytesMax}
	r.tryRead = r.readOnce
	if runtime.GOOS != "windows" && runtime.GOOS != "plan9" {
		if sc, ok := conn.(syscall.Conn); ok {
			if raw, err := sc.SyscallConn(); err == nil {
				r.raw = raw
			}
		}
	}
	return r
}

// decrypt makes the reader read records of TLS. REQUIRES: nothing is buffered.
func (r *frameReader) decrypt(input *tlsInput) {
	r.conn, r.encrypted = input.tls, input
}

// close gives the block back.
func (r *frameReader) close() {
	if r.block != nil {
		r.pool.putRead(r.block)
		r.block = nil
	}
	r.start, r.end = 0, 0
}

// buffered is the number of bytes read and not consumed.
func (r *frameReader) buffered() int { return r.end - r.start }

// midMessage reports that a part of a message has arrived.
func (r *frameReader) midMessage() bool { return r.inside || r.start < r.end }

// nextIs reports that the next message has arrived, at least its header, and is of this type.
func (r *frameReader) nextIs(kind byte) bool {
	return r.buffered() >= 5 && r.block[r.start] == kind
}

// messageBuffered reports that next will not have to read.
func (r *frameReader) messageBuffered() bool {
	n := r.buffered()
	if n < 5 {
		return n > 0 && bytesMaxOf(r.block[r.start]) == 0 // an unknown type needs no more
	}
	length := binary.BigEndian.Uint32(r.block[r.start+1:])
	return n > int(min(length, 1<<30))
}

// bytesMaxOf is the bound of the length word by message type; 0 for unknown types.
func bytesMaxOf(kind byte) int {
	switch kind {
	case 'Q', 'P', 'B', 'F', 'd':
		return longMessageBytesMax
	case 'D', 'E', 'C', 'S', 'H', 'X', 'c', 'f':
		return shortMessageBytesMax
	}
	return 0
}

// frame is one message. body is valid until the next call of next; if owned, it is a buffer
// of its own that the receiver may keep.
type frame struct {
	kind  byte
	body  []byte
	owned bool
}

// next reads one message. If skip is set its body may be dropped unread, and is nil then.
// With errMessageTooLong the message is consumed and its kind known.
func (r *frameReader) next(skip bool) (frame, error) {
	if err := r.need(1); err != nil {
		return frame{}, err
	}
	f := frame{kind: r.block[r.start]}
	bytesMax := bytesMaxOf(f.kind)
	if bytesMax == 0 {
		return f, errUnknownType
	}
	if err := r.need(5); err != nil {
		return f, err
	}
	length := binary.BigEndian.Uint32(r.block[r.start+1:])
	if length < 4 || length > uint32(bytesMax) {
		return f, errBadLength
	}
	body := int(length) - 4
	if body+5 <= readBlockBytes && body <= r.bodyBytesMax {
		if err := r.need(body + 5); err != nil {
			return f, err
		}
		f.body = r.block[r.start+5 : r.start+5+body : r.start+5+body]
		r.start += 5 + body
		return f, nil
	}
	r.start += 5
	r.inside = true
	defer func() { r.inside = false }()
	if body > r.bodyBytesMax || skip {
		if err := r.discard(body); err != nil || skip {
			return f, err
		}
		return f, errMessageTooLong
	}
	var err error
	f.body, err = r.large(body)
	f.owned = true
	return f, err
}

// startsTLS waits for the first byte and reports that it begins a TLS handshake, as no
// startup packet does.
func (r *frameReader) startsTLS() (bool, error) {
	const handshakeRecord = 0x16
	if err := r.need(1); err != nil {
		return false, err
	}
	return r.block[r.start] == handshakeRecord, nil
}

// takeAll consumes and returns what is buffered.
func (r *frameReader) takeAll() []byte {
	input := bytes.Clone(r.block[r.start:r.end])
	r.start, r.end = 0, 0
	return input
}

// startupPacket reads one packet of the startup phase, of at most bytesMax, without its length word.
func (r *frameReader) startupPacket(bytesMax int) ([]byte, error) {
	if err := r.need(4); err != nil {
		return nil, err
	}
	length := binary.BigEndian.Uint32(r.block[r.start:])
	if length < startupPacketBytesMin || length > uint32(bytesMax) {
		return nil, errBadLength
	}
	if err := r.need(int(length)); err != nil {
		return nil, err
	}
	packet := r.block[r.start+4 : r.start+int(length)]
	r.start += int(length)
	return packet, nil
}

// need reads until n bytes are buffered; n is at most readBlockBytes. The end of the input
// is io.EOF between messages and io.ErrUnexpectedEOF inside one.
func (r *frameReader) need(n int) error {
	for r.buffered() < n {
		if r.start == r.end {
			r.start, r.end = 0, 0
		} else if r.start+n > readBlockBytes {
			r.end = copy(r.block[:], r.block[r.start:r.end])
			r.start = 0
		}
		got, err := r.read(nil)
		r.end += got
		if err != nil && got == 0 { // else it comes again
			if err == io.EOF && r.buffered() > 0 {
				return io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// large reads a body that does not fit the block into a buffer that grows as bytes arrive (W3).
func (r *frameReader) large(n int) ([]byte, error) {
	body := make([]byte, 0, min(n, largeStepBytes))
	got := min(n, r.buffered())
	body = append(body, r.block[r.start:r.start+got]...)
	r.start += got
	for len(body) < n {
		if len(body) == cap(body) {
			grown := make([]byte, len(body), min(n, 4*cap(body)))
			copy(grown, body)
			body = grown
		}
		got, err := r.read(body[len(body):cap(body)])
		body = body[:len(body)+got]
		if err != nil && got == 0 {
			return nil, truncated(err)
		}
	}
	return body, nil
}

// discard drops n bytes of input.
func (r *frameReader) discard(n int) error {
	for {
		drop := min(n, r.buffered())
		r.start += drop
		n -= drop
		if n == 0 {
			return nil
		}
		if err := r.need(1); err != nil {
			return truncated(err)
		}
	}
}

func truncated(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// read reads once, into target or, if that is nil, behind block[:end].
func (r *frameReader) read(target []byte) (int, error) {
	for {
		n, err := r.readSome(target)
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) && r.timedOut != nil && r.timedOut() {
			continue
		}
		return n, err
	}
}

func (r *frameReader) readSome(target []byte) (int, error) {
	if r.raw == nil {
		return r.readPlain(target)
	}
	r.target, r.gotBytes, r.gotErr = target, 0, nil
	if err := r.raw.Read(r.tryRead); err != nil {
		return 0, err
	}
	return r.gotBytes, r.gotErr
}

// readPlain reads from a connection without a descriptor. It waits
// without a block too (W7): for the first byte, behind which the rest lies ready.
func (r *frameReader) readPlain(target []byte) (int, error) {
	if target != nil {
		return r.conn.Read(target)
	}
	if r.start == r.end {
		r.close()
		n, err := r.conn.Read(r.first[:])
		if n > 0 {
			r.takeBlock()
			r.block[0] = r.first[0]
		}
		return n, err
	}
	return r.conn.Read(r.block[r.end:])
}

// readOnce is called by raw.Read until it returns true, each time the descriptor may be readable.
func (r *frameReader) readOnce(fd uintptr) bool {
	target := r.target
	if target == nil {
		r.takeBlock()
		target = r.block[r.end:]
	}
	var n int
	var ready bool
	var err error
	if r.encrypted == nil {
		n, ready, err = readReady(fd, target)
	} else {
		n, ready, err = r.encrypted.readReady(fd, target)
	}
	if !ready {
		if r.start == r.end {
			r.close()
		}
		return false
	}
	r.gotBytes, r.gotErr = n, err
	return true
}

func (r *frameReader) takeBlock() {
	if r.block == nil {
		r.block = r.pool.getRead()
	}
}
