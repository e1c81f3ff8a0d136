package pgwire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
)

// FuzzConnection sends any bytes after startup, then Sync, Query and Terminate behind them.
// Whatever they are, what the server sends is made of whole messages. If all the input is
// well framed the last of them is ReadyForQuery; an end without it has broken
// frames or FATAL as its reason. Memory stays in proportion to the input.
func FuzzConnection(f *testing.F) {
	seeds := [][]pgproto3.FrontendMessage{
		{&pgproto3.Query{String: "SELECT 1; SELECT 1"}},
		{&pgproto3.Parse{Name: "s", Query: "SELECT $1::text"}, &pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("x")}},
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{MaxRows: 1}, &pgproto3.Sync{}},
		{&pgproto3.Parse{Query: "BEGIN"}, &pgproto3.Bind{}, &pgproto3.Execute{}, &pgproto3.Flush{}, &pgproto3.Bind{DestinationPortal: "p"}, &pgproto3.Sync{}},
		{&pgproto3.Query{String: "PANIC"}, &pgproto3.FunctionCall{}, &pgproto3.CopyData{}, &pgproto3.Close{ObjectType: 'S'}},
		{&pgproto3.Execute{}, &pgproto3.Query{String: "SELECT 1"}, &pgproto3.Terminate{}},
	}
	for _, messages := range seeds {
		var input []byte
		for _, m := range messages {
			var err error
			if input, err = m.Encode(input); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(input)
	}
	f.Add([]byte("B\x3f\xff\xff\xfe"))
	f.Add([]byte("yyyy"))
	server, err := pgwire.NewServer(pgwire.Config{Handler: &fakeHandler{}, Limits: pgwire.Limits{MessageBytes: 1 << 20}})
	if err != nil {
		f.Fatal(err)
	}
	listener := newPipeListener()
	served := make(chan error)
	go func() { served <- server.Serve(context.Background(), listener) }()
	f.Cleanup(func() {
		server.Close()
		<-served
	})
	f.Fuzz(func(t *testing.T, input []byte) {
		if bytes.Contains(input, []byte("BLOCK")) || bytes.Contains(input, []byte("repeat")) {
			return // they wait, or answer more than they were sent
		}
		fuzzConnection(t, listener.dial(), input)
	})
}

// wellFramed reports that the input is made of whole messages that may follow startup.
func wellFramed(input []byte) bool {
	for len(input) > 0 {
		if len(input) < 5 || !bytes.ContainsRune([]byte("QPBFdDECSHcf"), rune(input[0])) {
			return false
		}
		length := uint64(binary.BigEndian.Uint32(input[1:]))
		if length < 4 || length >= uint64(len(input)) || length > 10_000 {
			return false
		}
		input = input[1+length:]
	}
	return true
}

func fuzzConnection(t *testing.T, conn net.Conn, input []byte) {
	c := newTestClient(t, conn)
	c.want(c.startup(map[string]string{"user": "u"}), "Z(I)")
	whole := wellFramed(input)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	written := make(chan struct{})
	go func() { // a pipe has no buffer: the server's answers must be read meanwhile
		defer close(written)
		all, _ := (&pgproto3.Sync{}).Encode(input[:len(input):len(input)])
		all, _ = (&pgproto3.Query{String: "SELECT 1"}).Encode(all)
		all, _ = (&pgproto3.Terminate{}).Encode(all)
		_, _ = conn.Write(all)
		if !whole { // the server may be waiting for the rest of a message
			_ = conn.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		}
	}()
	var last pgproto3.BackendMessage
	var err error
	fatal := false
	for err == nil {
		var message pgproto3.BackendMessage
		if message, err = c.frontend.Receive(); err == nil {
			last = message
			e, ok := message.(*pgproto3.ErrorResponse)
			fatal = ok && e.Severity == "FATAL"
		}
	}
	conn.Close()
	<-written
	runtime.ReadMemStats(&after)
	_, ready := last.(*pgproto3.ReadyForQuery)
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded) && !whole:
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.ErrClosedPipe):
		t.Errorf("the server sent no whole messages, or hangs: %v", err)
	case whole && !ready:
		t.Errorf("well framed input ended in %T", last)
	case fatal && whole:
		t.Error("well framed input was FATAL")
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 8<<20+100*uint64(len(input)) {
		t.Errorf("%d bytes of input took %d of memory", len(input), used)
	}
}
