package pgwire

import (
	"bytes"
	"sync"
)

// bufferPool lends the buffers of connections that are at work (W7). One per server.
type bufferPool struct {
	read  sync.Pool // *readBlock
	reply sync.Pool // *replyBlock
	// records are of crypto/tls, as long as the longest record they have held.
	records sync.Pool // *bytes.Buffer
}

type (
	readBlock [readBlockBytes]byte
	// replyBlock is behind a pointer, which costs no allocation to give back.
	replyBlock struct{ bytes []byte }
)

// newBufferPool makes a pool whose reply buffers have room for replyBytes and a row.
func newBufferPool(replyBytes int) *bufferPool {
	return &bufferPool{
		read:    sync.Pool{New: func() any { return new(readBlock) }},
		reply:   sync.Pool{New: func() any { return &replyBlock{make([]byte, 0, replyBytes+replyRowBytes)} }},
		records: sync.Pool{New: func() any { return bytes.NewBuffer(make([]byte, 0, tlsRecordBytesFirst)) }},
	}
}

func (p *bufferPool) getRead() *readBlock    { return p.read.Get().(*readBlock) }
func (p *bufferPool) putRead(b *readBlock)   { p.read.Put(b) }
func (p *bufferPool) getReply() *replyBlock  { return p.reply.Get().(*replyBlock) }
func (p *bufferPool) putReply(b *replyBlock) { p.reply.Put(b) }

func (p *bufferPool) getRecords() *bytes.Buffer  { return p.records.Get().(*bytes.Buffer) }
func (p *bufferPool) putRecords(b *bytes.Buffer) { p.records.Put(b) }
