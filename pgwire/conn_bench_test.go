package pgwire_test

import (
	"bytes"
	"io"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"pgcache/pgwire"
	"pgcache/pgwire/wiretest"
)

// batch is a prepared request as bytes, with the length of its answer. The client side allocates
// nothing, so that what testing counts is the server's.
type batch struct {
	conn    net.Conn
	request []byte
	answer  []byte
}

var valueColumn = []pgwire.Column{{Name: "value", TypeOID: 17, TypeSize: -1, TypeModifier: -1}}

// newBatch prepares a statement that answers valueBytes and a batch that runs it n times, each
// with its own Sync.
func newBatch(tb testing.TB, valueBytes, n int) *batch {
	tb.Helper()
	value := bytes.Repeat([]byte("v"), valueBytes)
	server := startServer(tb, wiretest.ConstantHandler(valueColumn, [][]byte{value}), nil)
	c := connectTo(tb, server.address)
	c.want(c.ask(&pgproto3.Parse{Name: "s", Query: "SELECT value FROM blob WHERE ns=$1"}, &pgproto3.Sync{}), "1 Z(I)")
	b := &batch{conn: c.conn}
	for range n {
		for _, m := range []pgproto3.FrontendMessage{
			&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("key")}, ResultFormatCodes: []int16{1}},
			&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{},
		} {
			var err error
			if b.request, err = m.Encode(b.request); err != nil {
				tb.Fatal(err)
			}
		}
	}
	const bindComplete, rowDescription, dataRow, commandComplete, readyForQuery = 5, 7 + 6 + 18, 11, 5 + 9, 6
	b.answer = make([]byte, n*(bindComplete+rowDescription+dataRow+valueBytes+commandComplete+readyForQuery))
	return b
}

func (b *batch) run(tb testing.TB) {
	if _, err := b.conn.Write(b.request); err != nil {
		tb.Fatal(err)
	}
	if _, err := io.ReadFull(b.conn, b.answer); err != nil {
		tb.Fatal(err)
	}
}

// A prepared Bind, Describe, Execute, Sync allocates nothing, nor does a pipeline of them.
func TestPreparedAllocations(t *testing.T) {
	for _, test := range []struct{ valueBytes, batches int }{{100, 1}, {4096, 1}, {100_000, 1}, {100, 50}} {
		b := newBatch(t, test.valueBytes, test.batches)
		b.run(t)
		if b.answer[len(b.answer)-1] != 'I' {
			t.Fatalf("answer ends with %q", b.answer[len(b.answer)-20:])
		}
		// Below one: the pools are emptied when the collector happens to run.
		if n := testing.AllocsPerRun(500, func() { b.run(t) }); n >= 1 {
			t.Errorf("%d bytes, %d batches: %v allocations", test.valueBytes, test.batches, n)
		}
	}
}

func BenchmarkPrepared(b *testing.B) {
	for name, test := range map[string]struct{ valueBytes, batches int }{
		"100B":         {100, 1},
		"4KiB":         {4096, 1},
		"64KiB":        {64 << 10, 1},
		"5MiB":         {5 << 20, 1},
		"100B-pipe10":  {100, 10},
		"100B-pipe100": {100, 100},
	} {
		b.Run(name, func(b *testing.B) {
			batch := newBatch(b, test.valueBytes, test.batches)
			b.SetBytes(int64(len(batch.answer)))
			b.ReportAllocs()
			for b.Loop() {
				batch.run(b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*test.batches), "ns/stmt")
		})
	}
}

// BenchmarkLargeParameter is a Bind with a long parameter, answered by little.
func BenchmarkLargeParameter(b *testing.B) {
	for name, valueBytes := range map[string]int{"16KiB": 16 << 10, "64KiB": 64 << 10, "5MiB": 5 << 20} {
		b.Run(name, func(b *testing.B) {
			batch := newBatch(b, 1, 1)
			batch.request = nil
			for _, m := range []pgproto3.FrontendMessage{
				&pgproto3.Bind{PreparedStatement: "s", ParameterFormatCodes: []int16{1}, Parameters: [][]byte{make([]byte, valueBytes)}, ResultFormatCodes: []int16{1}},
				&pgproto3.Describe{ObjectType: 'P'}, &pgproto3.Execute{}, &pgproto3.Sync{},
			} {
				var err error
				if batch.request, err = m.Encode(batch.request); err != nil {
					b.Fatal(err)
				}
			}
			b.SetBytes(int64(valueBytes))
			b.ReportAllocs()
			for b.Loop() {
				batch.run(b)
			}
		})
	}
}
