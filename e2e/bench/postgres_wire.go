package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
)

// wire speaks the PostgreSQL protocol with as little work as a client can do: requests
// are encoded once and patched, answers are counted, not decoded. getText is the simple
// get, whose value must come as text.
type wire struct {
	templates map[operation]template
}

// template is an encoded request in which the key of preparedKey stands for the key.
type template struct {
	encoded []byte
	keyAt   int
	rows    int // the answer must have as many
}

// preparedKey is a key as long as every other.
var preparedKey = keyName(0)

const (
	getText       = `SELECT value FROM blob WHERE ns = 'bench' AND key = $1`
	simpleGetText = `SELECT value_text FROM blob WHERE ns = 'bench' AND key = '%s'`
	putText       = `INSERT INTO blob (ns, key, value) VALUES ('bench', '%s', $1) ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value`
	absentSuffix  = "-absent"
)

// putStatements is how many keys the prepared put of a connection goes round: each is a
// statement of its own, because the server of constants takes one parameter.
const putStatements = 64

func newWire(simple string) *wire {
	w := &wire{templates: make(map[operation]template)}
	bind := func(statement string, parameter []byte, format int16) []byte {
		var b []byte
		b = encode(b, &pgproto3.Bind{PreparedStatement: statement, ParameterFormatCodes: []int16{format}, Parameters: [][]byte{parameter}, ResultFormatCodes: []int16{1}})
		b = encode(b, &pgproto3.Execute{})
		return encode(b, &pgproto3.Sync{})
	}
	w.add(preparedGet, bind("get", []byte(preparedKey), 0), 1)
	w.add(absentGet, bind("get", []byte(preparedKey+absentSuffix), 0), 0)
	w.add(simpleGet, encode(nil, &pgproto3.Query{String: fmt.Sprintf(simple, preparedKey)}), 1)
	w.add(put, bind(preparedKey, value(), 1), 0)
	return w
}

func (w *wire) add(op operation, encoded []byte, rows int) {
	w.templates[op] = template{encoded: encoded, keyAt: bytes.Index(encoded, []byte(preparedKey)), rows: rows}
}

// encode appends a message. Ours are far below the protocol's size limits, which are the
// only reason for an error.
func encode(b []byte, m pgproto3.FrontendMessage) []byte {
	b, err := m.Encode(b)
	if err != nil {
		panic(err)
	}
	return b
}

// value is what every key holds.
func value() []byte { return bytes.Repeat([]byte("0123456789abcdef"), valueBytes/16) }

// dialWire connects, and hands the socket over once the server is ready for queries.
func dialWire(url string) (*connection, error) {
	c, err := pgconn.Connect(context.Background(), url)
	if err != nil {
		return nil, err
	}
	h, err := c.Hijack()
	if err != nil {
		return nil, err
	}
	return &connection{Conn: h.Conn, in: bufio.NewReaderSize(h.Conn, 64<<10)}, nil
}

func (w *wire) prepare(c *connection, op operation, n int) error {
	var b []byte
	switch op {
	case preparedGet, absentGet:
		b = encode(b, &pgproto3.Parse{Name: "get", Query: getText})
	case put:
		for i := range putStatements {
			b = encode(b, &pgproto3.Parse{Name: keyName(i), Query: fmt.Sprintf(putText, keyName(n*putStatements+i)), ParameterOIDs: []uint32{byteaOID}})
		}
	}
	b = encode(b, &pgproto3.Sync{})
	if _, err := c.Write(b); err != nil {
		return err
	}
	_, err := readCycle(c.in)
	return err
}

const byteaOID = 17

func (w *wire) request(buf []byte, op operation, key int) []byte {
	t := w.templates[op]
	if op == put {
		key %= putStatements
	}
	at := len(buf) + t.keyAt
	buf = append(buf, t.encoded...)
	for i := len(preparedKey) - 1; key > 0; i-- {
		buf[at+i] = '0' + byte(key%10)
		key /= 10
	}
	return buf
}

func (w *wire) reply(in *bufio.Reader, op operation) error {
	rows, err := readCycle(in)
	if err == nil && rows < w.templates[op].rows {
		err = fmt.Errorf("%d rows, want %d", rows, w.templates[op].rows)
	}
	return err
}

// readCycle skips messages up to ReadyForQuery and counts the rows among them.
func readCycle(in *bufio.Reader) (rows int, err error) {
	for {
		header, err := in.Peek(5)
		if err != nil {
			return rows, err
		}
		kind, length := header[0], int(binary.BigEndian.Uint32(header[1:]))
		if kind == 'E' {
			body, _ := in.Peek(min(length+1, 512))
			return rows, fmt.Errorf("server says %s", strings.ReplaceAll(string(body[5:]), "\x00", " "))
		}
		if _, err := in.Discard(1 + length); err != nil {
			return rows, err
		}
		switch kind {
		case 'D':
			rows++
		case 'Z':
			return rows, nil
		}
	}
}
