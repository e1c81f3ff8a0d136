package pgwire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"runtime"
	"testing"
	"testing/iotest"
)

// readConn is a net.Conn of which only Read works.
type readConn struct {
	net.Conn
	io.Reader
}

func (c readConn) Read(p []byte) (int, error) { return c.Reader.Read(p) }

func newTestReader(r io.Reader, bodyBytesMax int) *frameReader {
	return newFrameReader(readConn{Reader: r}, newBufferPool(0), bodyBytesMax)
}

func encodeFrame(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(body)+4)), body...)
}

// However the input is cut into reads, the messages are the same.
func TestFrames(t *testing.T) {
	sizes := []int{0, 1, 100, 9000, readBlockBytes - 5, readBlockBytes - 4, readBlockBytes, largeStepBytes + 1, 3*largeStepBytes + 7, 0, 5}
	var input []byte
	var bodies [][]byte
	for i, size := range sizes {
		body := bytes.Repeat([]byte{byte('a' + i)}, size)
		bodies = append(bodies, body)
		input = append(input, encodeFrame('Q', body)...)
	}
	for name, cut := range map[string]func(io.Reader) io.Reader{
		"whole": func(r io.Reader) io.Reader { return r },
		"bytes": iotest.OneByteReader,
		"half":  iotest.HalfReader,
		"eof":   iotest.DataErrReader,
	} {
		r := newTestReader(cut(bytes.NewReader(input)), 1<<20)
		for i, body := range bodies {
			m, err := r.next(false)
			if err != nil || m.kind != 'Q' || !bytes.Equal(m.body, body) {
				t.Fatalf("%s: message %d: %c, %d bytes, %v", name, i, m.kind, len(m.body), err)
			}
			if m.owned != (len(body)+5 > readBlockBytes) {
				t.Errorf("%s: message %d: owned %v", name, i, m.owned)
			}
		}
		if _, err := r.next(false); err != io.EOF {
			t.Errorf("%s: end: %v", name, err)
		}
	}
}

func TestFrameErrors(t *testing.T) {
	long := bytes.Repeat([]byte("x"), readBlockBytes+1)
	for _, test := range []struct {
		name  string
		input []byte
		err   error
	}{
		{"empty", nil, io.EOF},
		{"unknown type", []byte("y"), errUnknownType},
		{"half a header", []byte("Q\x00"), io.ErrUnexpectedEOF},
		{"half a body", []byte("Q\x00\x00\x00\x08ab"), io.ErrUnexpectedEOF},
		{"half a long body", encodeFrame('Q', long)[:readBlockBytes], io.ErrUnexpectedEOF},
		{"length 3", []byte("Q\x00\x00\x00\x03"), errBadLength},
		{"length negative", []byte("Q\xff\xff\xff\xff"), errBadLength},
		{"length above 1 GiB", []byte("Q\x3f\xff\xff\xff"), errBadLength},
		{"short kind too long", []byte("S\x00\x00\x27\x11"), errBadLength},
		{"above the limit", encodeFrame('Q', long), errMessageTooLong},
		{"half above the limit", encodeFrame('Q', long)[:100], io.ErrUnexpectedEOF},
	} {
		limit := readBlockBytes
		if test.name == "half a long body" {
			limit = 1 << 20
		}
		r := newTestReader(bytes.NewReader(test.input), limit)
		if _, err := r.next(false); !errors.Is(err, test.err) {
			t.Errorf("%s: %v, want %v", test.name, err, test.err)
		}
	}
}

// What is refused or skipped for its length is consumed (W1).
func TestFrameDropped(t *testing.T) {
	long := bytes.Repeat([]byte("x"), 5*readBlockBytes)
	input := append(encodeFrame('Q', long), encodeFrame('P', long)...)
	r := newTestReader(bytes.NewReader(append(input, encodeFrame('S', nil)...)), 1000)
	if m, err := r.next(false); err != errMessageTooLong || m.kind != 'Q' {
		t.Fatalf("too long: %c %v", m.kind, err)
	}
	if m, err := r.next(true); err != nil || m.kind != 'P' || m.body != nil {
		t.Fatalf("skipped: %c %v", m.kind, err)
	}
	if m, err := r.next(true); err != nil || m.kind != 'S' {
		t.Fatalf("after: %c %v", m.kind, err)
	}
}

// A header that announces a gigabyte costs no gigabyte (W3).
func TestFrameHeaderAlone(t *testing.T) {
	input := append([]byte("B\x3f\xff\xff\xfe"), make([]byte, 1000)...)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	r := newTestReader(bytes.NewReader(input), longMessageBytesMax)
	if _, err := r.next(false); err != io.ErrUnexpectedEOF {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 2<<20 {
		t.Errorf("allocated %d bytes", allocated)
	}
}

func TestStartupPacket(t *testing.T) {
	for _, test := range []struct {
		input string
		err   error
	}{
		{"", io.EOF},
		{"\x00\x00", io.ErrUnexpectedEOF},
		{"\x00\x00\x00\x07", errBadLength},
		{"\x00\x00\x27\x15", errBadLength},
		{"GET ", errBadLength},
		{"\x00\x00\x00\x09\x00\x03\x00\x00", io.ErrUnexpectedEOF},
		{"\x00\x00\x00\x09\x00\x03\x00\x00\x00", nil},
	} {
		packet, err := newTestReader(bytes.NewReader([]byte(test.input)), 1000).startupPacket(10_004)
		if err != test.err || err == nil && string(packet) != test.input[4:] {
			t.Errorf("%q: %q, %v", test.input, packet, err)
		}
	}
}

func TestPeek(t *testing.T) {
	input := append(encodeFrame('E', make([]byte, 5)), encodeFrame('S', nil)...)
	r := newTestReader(bytes.NewReader(input), 1000)
	if r.messageBuffered() || r.midMessage() {
		t.Error("buffered before any read")
	}
	if _, err := r.next(false); err != nil {
		t.Fatal(err)
	}
	if !r.nextIs('S') || r.nextIs('E') || !r.messageBuffered() || !r.midMessage() {
		t.Error("Sync is not seen")
	}
	if _, err := r.next(false); err != nil || r.midMessage() {
		t.Errorf("after Sync: %v, midMessage %v", err, r.midMessage())
	}
}
