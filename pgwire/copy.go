package pgwire

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
)

// CopySource is where the data of a COPY FROM STDIN comes from.
type CopySource interface {
	// NextCopyData returns the next piece of data, valid until the next call, and io.EOF
	// after the last. Pieces need not end where lines do. It does not wait when ctx has ended.
	NextCopyData(ctx context.Context) ([]byte, error)
}

// CopyIn is the data that the client sends for the COPY being run. A Portal reads it
// inside Execute; an error of Next must end Execute. What Execute leaves unread is dropped.
type CopyIn struct {
	source CopySource
	ctx    context.Context // of Execute
	ended  error           // what Next returns from now on; io.EOF: all is read
}

// Next returns the next piece of data, valid until the next call, and io.EOF after the
// last. Pieces need not end where lines do.
func (c *CopyIn) Next() ([]byte, error) {
	if c.ended != nil {
		return nil, c.ended
	}
	data, err := c.source.NextCopyData(c.ctx)
	c.ended = err
	return data, err
}

// CopyIn asks the client for data, which is waited for until ctx ends. overall is the format that
// the data is in as a whole, formats are those of the columns.
func (r *Reply) CopyIn(ctx context.Context, overall Format, formats []Format) *CopyIn {
	if r.copySource == nil {
		panic("pgwire: CopyIn without a source")
	}
	r.beginCopy('G', overall, formats)
	r.copyIn = &CopyIn{source: r.copySource, ctx: ctx}
	return r.copyIn
}

// SetCopySource says where CopyIn reads from, for running a Portal without a server.
func (r *Reply) SetCopySource(s CopySource) { r.copySource = s }

// BeginCopyOut announces data to the client. Rows follow as AppendCopyData or as pairs of
// BeginCopyData and EndCopyData, and at last EndCopyOut.
func (r *Reply) BeginCopyOut(overall Format, formats []Format) { r.beginCopy('H', overall, formats) }

func (r *Reply) beginCopy(kind byte, overall Format, formats []Format) {
	r.takeBlock()
	start, b := beginMessage(r.buf, kind)
	b = append(b, byte(overall))
	b = binary.BigEndian.AppendUint16(b, uint16(len(formats)))
	for _, f := range formats {
		b = binary.BigEndian.AppendUint16(b, uint16(f))
	}
	r.buf = endMessage(b, start)
}

// BeginCopyData begins a CopyData message and returns the buffer to append its content to;
// EndCopyData takes the buffer back. Nothing else may be called in between.
func (r *Reply) BeginCopyData() []byte {
	if r.rowOpen {
		panic("pgwire: BeginCopyData inside a row")
	}
	r.takeBlock()
	r.rowOpen, r.rowStart = true, len(r.buf)
	_, r.buf = beginMessage(r.buf, 'd')
	return r.buf
}

// EndCopyData completes the message and, when enough has gathered, writes it out.
func (r *Reply) EndCopyData(b []byte) {
	if !r.rowOpen || len(b) < r.rowStart+5 {
		panic("pgwire: EndCopyData without the buffer of BeginCopyData")
	}
	if len(b)-r.rowStart-1 > longMessageBytesMax {
		panic("pgwire: row longer than a message can be")
	}
	r.buf = endMessage(b, r.rowStart)
	r.rowOpen = false
	r.flushFull()
}

// EndCopyOut ends the data.
func (r *Reply) EndCopyOut() { r.add(copyDone) }

// Lost reports that the client cannot be written to any more.
func (r *Reply) Lost() bool { return r.err != nil }

// copySource is a connection as the source of COPY FROM STDIN.
type copySource struct{ c *conn }

// NextCopyData reads messages up to the next one that has data.
func (s copySource) NextCopyData(ctx context.Context) ([]byte, error) {
	c := s.c
	c.statement.unwatch() // from now on the socket is read here
	c.wakeCopy(ctx)
	for {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if !c.reader.messageBuffered() {
			c.reply.flush() // W2
			if c.reply.err != nil {
				return nil, c.breakCopy(fmt.Errorf("pgwire: write: %w", c.reply.err))
			}
			c.reply.release() // W7
		}
		message, err := c.reader.next(false)
		if errors.Is(err, errMessageTooLong) {
			return nil, c.messageTooLong()
		}
		if err != nil && ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) && c.attended == nil {
			return nil, ctx.Err() // what has come of a message is still there (W1)
		}
		if err != nil {
			return nil, c.breakCopy(c.frameError(message, err))
		}
		switch message.kind {
		case 'd':
			return message.body, nil
		case 'c':
			if err := decodeEmpty(message.body); err != nil {
				return nil, err
			}
			return nil, io.EOF
		case 'f':
			return nil, copyFailed(message.body)
		case 'H', 'S': // ignored, as in PostgreSQL, for clients that send them ahead
		case 'X':
			return nil, c.breakCopy(errClosed)
		default:
			// As in PostgreSQL, which has not read the message's end at this point.
			c.breakCopy(fatalf(CodeProtocolViolation, "terminating connection because protocol synchronization was lost"))
			return nil, Errorf(CodeProtocolViolation, "unexpected message type 0x%02X during COPY from stdin", message.kind)
		}
	}
}

func copyFailed(body []byte) error {
	d := decoder{rest: body}
	reason := d.text()
	if err := d.end(); err != nil {
		return err
	}
	return Errorf(CodeQueryCanceled, "COPY from stdin failed: %s", reason)
}

// breakCopy notes that the connection ends with the statement that is reading data.
func (c *conn) breakCopy(err error) error {
	c.broken = err
	return err
}

// wakeCopy makes reads of a COPY end when ctx does. PostgreSQL looks only when something comes.
func (c *conn) wakeCopy(ctx context.Context) {
	if c.copying != ctx {
		c.endCopy()
		c.copying, c.stopWaking = ctx, context.AfterFunc(ctx, c.wake)
	}
}

func (c *conn) endCopy() {
	if c.stopWaking != nil {
		c.stopWaking()
		c.copying, c.stopWaking = nil, nil
	}
}

// copyEnded reports that the COPY that waits for data is to end. In the middle of a message
// that is longer than the buffer it cannot.
func (c *conn) copyEnded() bool {
	return c.copying != nil && c.copying.Err() != nil && !c.reader.inside
}

// drainCopy drops what a COPY that succeeded has not read.
func (c *conn) drainCopy() error {
	in := c.reply.copyIn
	if in == nil {
		return nil
	}
	c.reply.copyIn = nil
	in.ctx = &c.statement // that of Execute may have ended with it
	for {
		if _, err := in.Next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
}
