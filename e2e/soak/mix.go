package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"
)

// mix is the clients of a soak. Hostile ones count what they do; only the good ones can
// fail, as only they are promised something.
type mix struct {
	server  *server
	cycles  atomic.Int64
	attacks atomic.Int64
	checked atomic.Int64
	failed  atomic.Pointer[error]
	numbers atomic.Int64
}

// kind is one way to behave.
type kind struct {
	name    string
	clients int
	// run does it once.
	run func(ctx context.Context) error
}

func (m *mix) kinds() []kind {
	return []kind{
		{"good", 4, m.good},
		{"come and go", 4, m.comeAndGo},
		{"slow loris", 20, m.hostile(m.slowLoris)},
		{"half open", 50, m.hostile(m.halfOpen)},
		{"stuffed", 1, m.hostile(m.stuffed)},
		{"huge headers", 2, m.hostile(m.hugeHeader)},
		{"never reads", 4, m.hostile(m.neverReads)},
		{"cancel flood", 2, m.hostile(m.cancelFlood)},
		{"noise", 2, m.hostile(m.noise)},
	}
}

func (m *mix) fail(name string, err error) {
	err = fmt.Errorf("%s: %w", name, err)
	m.failed.CompareAndSwap(nil, &err)
}

func (m *mix) failure() error {
	if err := m.failed.Load(); err != nil {
		return *err
	}
	return nil
}

// warm makes the server allocate what it keeps, and the value that many read.
func (m *mix) warm() error {
	c, err := m.server.login()
	if err != nil {
		return err
	}
	defer c.close()
	value := strings.Repeat("x", mib)
	// More than memory holds: what is measured before includes a full L1.
	for i := range 2 * l1Bytes / mib {
		if _, err := c.prepared("SELECT cache_put('soak', $1, convert_to($2, 'UTF8'))", fmt.Sprint("warm", i), value); err != nil {
			return err
		}
	}
	_, err = c.prepared("SELECT cache_put('soak', 'large', $1)", value)
	return err
}

// hostile makes errors of a client's own doing none, and does not go too fast.
func (m *mix) hostile(run func(c *client)) func(ctx context.Context) error {
	return func(ctx context.Context) error {
		c, err := m.server.dial()
		if err != nil {
			return pause(ctx, 100*time.Millisecond) // closed unheard, as the limits want it
		}
		defer c.reset()
		run(c)
		m.attacks.Add(1)
		return pause(ctx, 10*time.Millisecond)
	}
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
	return nil
}

// good writes and reads its own keys: what it reads is what it wrote, or nothing.
func (m *mix) good(ctx context.Context) error {
	c, err := m.server.login()
	if err != nil {
		return ignoreRefusal(ctx, err)
	}
	defer c.close()
	me := m.numbers.Add(1)
	for i := 0; i < 200 && ctx.Err() == nil; i++ {
		key := fmt.Sprintf("%d-%d", me, i%20)
		value := strings.Repeat(key+" ", 1+rand.IntN(500))
		if _, err := c.prepared("SELECT cache_put('soak', $1, convert_to($2, 'UTF8'))", key, value); err != nil {
			return fmt.Errorf("put: %w", err)
		}
		rows, err := c.prepared("SELECT value_text FROM blob WHERE ns = 'soak' AND key = $1", key)
		if err != nil {
			return fmt.Errorf("get: %w", err)
		}
		if len(rows) > 1 || len(rows) == 1 && rows[0] != value {
			return fmt.Errorf("read %.60q… in place of %.60q…", rows, value)
		}
		m.checked.Add(1)
	}
	return c.send(&pgproto3.Terminate{})
}

// ignoreRefusal lets a client come again that was not let in because too many others start.
func ignoreRefusal(ctx context.Context, err error) error {
	var network net.Error
	if errors.As(err, &network) && network.Timeout() {
		return err
	}
	return pause(ctx, 50*time.Millisecond)
}

// comeAndGo connects, sometimes asks something, and leaves, sometimes without a word.
func (m *mix) comeAndGo(ctx context.Context) error {
	m.cycles.Add(1)
	c, err := m.server.login()
	if err != nil {
		if c != nil {
			c.reset()
		}
		return ignoreRefusal(ctx, err)
	}
	switch rand.IntN(4) {
	case 0:
		_ = c.send(&pgproto3.Query{String: "SELECT 1"}) // and does not wait
	case 1:
		if _, err := c.prepared("SELECT $1::text", "x"); err != nil {
			return err
		}
	case 2:
		_ = c.send(&pgproto3.Terminate{})
	}
	if rand.IntN(2) == 0 {
		c.reset()
	} else {
		c.close()
	}
	return nil
}

// slowLoris sends its startup packet a byte at a time, for ever.
func (m *mix) slowLoris(c *client) {
	packet := []byte("\x00\x00\x20\x00\x00\x03\x00\x00user\x00")
	for i := range 200 {
		if _, err := c.conn.Write(packet[i%len(packet) : i%len(packet)+1]); err != nil {
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// halfOpen says nothing until it is thrown out.
func (m *mix) halfOpen(c *client) { _, _ = c.conn.Read(make([]byte, 1)) }

// stuffed sends a query behind its request for encryption.
func (m *mix) stuffed(c *client) {
	_, _ = c.conn.Write(append(binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, 80877103), "Q\x00\x00\x00\x0dSELECT 1\x00"...))
	_, _ = c.conn.Read(make([]byte, 1000))
}

// hugeHeader claims messages of a gigabyte and sends little of them.
func (m *mix) hugeHeader(c *client) {
	if rand.IntN(3) == 0 {
		_, _ = c.conn.Write([]byte{0x3f, 0xff, 0xff, 0xff, 0, 3, 0, 0})
		_, _ = c.conn.Read(make([]byte, 1))
		return
	}
	if c.send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "soak"}}) != nil {
		return
	}
	if _, err := c.answer(); err != nil {
		return
	}
	_, _ = c.conn.Write(append([]byte{"QPBF"[rand.IntN(4)], 0x3f, 0xff, 0xff, 0xf0}, make([]byte, rand.IntN(100_000))...))
	time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
}

// neverReads asks for a large value again and again and does not take it.
func (m *mix) neverReads(c *client) {
	if c.send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "soak"}}) != nil {
		return
	}
	for range 200 {
		if c.send(&pgproto3.Query{String: "SELECT value FROM blob WHERE ns = 'soak' AND key = 'large'"}) != nil {
			return
		}
	}
	time.Sleep(5 * time.Second) // longer than the server waits
}

// cancelFlood cancels sessions whose keys it does not know.
func (m *mix) cancelFlood(c *client) {
	packet := binary.BigEndian.AppendUint32([]byte{0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e}, uint32(rand.IntN(5000)))
	_, _ = c.conn.Write(binary.BigEndian.AppendUint32(packet, rand.Uint32()))
	_, _ = c.conn.Read(make([]byte, 1))
}

// noise sends bytes without meaning, before or after it has logged in.
func (m *mix) noise(c *client) {
	if rand.IntN(2) == 0 {
		if c.send(&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "soak"}}) != nil {
			return
		}
		if _, err := c.answer(); err != nil {
			return
		}
	}
	bytes := make([]byte, rand.IntN(5000))
	for i := range bytes {
		bytes[i] = byte(rand.Uint32())
	}
	if len(bytes) > 5 && rand.IntN(2) == 0 { // framed well
		bytes[0] = "QPBEDCSHdcf"[rand.IntN(11)]
		binary.BigEndian.PutUint32(bytes[1:], uint32(len(bytes)-1))
	}
	_, _ = c.conn.Write(bytes)
	_ = c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, _ = c.conn.Read(make([]byte, 1000))
}
