package pgwire

import "sync"

// bufferPool lends the buffers of connections that are at work (W7). One per server.
type bufferPool struct {
	read  sync.Pool // *readBlock
	reply sync.Pool // *replyBlock
}

type (
	readBlock  [readBlockBytes]byte
	replyBlock [replyBlockBytes]byte
)

func newBufferPool() *bufferPool {
	return &bufferPool{
		read:  sync.Pool{New: func() any { return new(readBlock) }},
		reply: sync.Pool{New: func() any { return new(replyBlock) }},
	}
}

func (p *bufferPool) getRead() *readBlock    { return p.read.Get().(*readBlock) }
func (p *bufferPool) putRead(b *readBlock)   { p.read.Put(b) }
func (p *bufferPool) getReply() *replyBlock  { return p.reply.Get().(*replyBlock) }
func (p *bufferPool) putReply(b *replyBlock) { p.reply.Put(b) }
