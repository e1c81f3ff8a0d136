package pgwire

import (
	"encoding/binary"
	"io"
	"net"
	"time"
)

// Reply is the reply buffer of a connection as a Portal sees it: it appends rows and
// notices. A row is StartRow, one field call for each column, EndRow. Writing never
// fails: a dead connection is found by the server, which cancels the context.
type Reply struct {
	buf []byte

	writer io.Writer
	// deadlines is nil if the writer has none. deadline is the one that is set.
	deadlines interface{ SetWriteDeadline(time.Time) error }
	deadline  time.Time
	timeout   time.Duration

	// flushBytes is Limits.ReplyBytes.
	flushBytes int
	// pool and block: where buf comes from (W7); pool may be nil. buf leaves the block when
	// it outgrows it.
	pool  *bufferPool
	block *replyBlock

	// The row being made; rowOpen is false between rows.
	rowOpen    bool
	rowStart   int
	fieldStart int
	fieldsLeft int
	fieldOpen  bool
	// large are the fields of this row that are not in buf. vectors is what is written
	// with them, kept for its memory.
	large      []largeField
	largeBytes int
	vectors    net.Buffers

	rows, rowsMax int64

	// copySource is where COPY FROM STDIN reads; copyIn what the running one reads.
	copySource CopySource
	copyIn     *CopyIn

	// wanted says that the client may wait for what is in buf (W2).
	wanted bool
	// err is the first failed write; onError is called once with it.
	err     error
	onError func(error)
}

// largeField is a field whose bytes belong behind buf[:at].
type largeField struct {
	at    int
	bytes []byte
}

// NewReply makes a Reply that writes to w, for running a Portal without a server. rowsMax 0
// means no limit. Flush it at the end.
func NewReply(w io.Writer, rowsMax int64) *Reply {
	return &Reply{writer: w, rowsMax: rowsMax, flushBytes: Limits{}.withDefaults().ReplyBytes}
}

// StartRow begins a DataRow of n columns.
func (r *Reply) StartRow(n int) {
	if r.rowOpen {
		panic("pgwire: StartRow inside a row")
	}
	r.takeBlock()
	r.rowOpen = true
	r.rowStart = len(r.buf)
	r.fieldsLeft = n
	r.buf = append(r.buf, 'D', 0, 0, 0, 0, byte(n>>8), byte(n))
}

// Null appends a NULL field.
func (r *Reply) Null() {
	r.fieldsLeft--
	r.buf = append(r.buf, 0xff, 0xff, 0xff, 0xff)
}

// Bytes appends a field; b is copied.
func (r *Reply) Bytes(b []byte) {
	r.fieldsLeft--
	r.buf = binary.BigEndian.AppendUint32(r.buf, uint32(len(b)))
	r.buf = append(r.buf, b...)
}

// Large appends a field that may be long; b must stay valid and unchanged until EndRow
// returns. Long ones are written to the socket without a copy.
func (r *Reply) Large(b []byte) {
	if len(b) < largeFieldBytes {
		r.Bytes(b)
		return
	}
	r.fieldsLeft--
	r.buf = binary.BigEndian.AppendUint32(r.buf, uint32(len(b)))
	r.large = append(r.large, largeField{at: len(r.buf), bytes: b})
	r.largeBytes += len(b)
}

// BeginField starts a field made in place and returns the buffer to append it to; EndField
// takes the buffer back. Nothing else may be called in between.
func (r *Reply) BeginField() []byte {
	r.fieldsLeft--
	r.fieldOpen = true
	r.buf = append(r.buf, 0, 0, 0, 0)
	r.fieldStart = len(r.buf)
	return r.buf
}

func (r *Reply) EndField(b []byte) {
	if !r.fieldOpen || len(b) < r.fieldStart {
		panic("pgwire: EndField without the buffer of BeginField")
	}
	r.fieldOpen = false
	r.buf = b
	binary.BigEndian.PutUint32(b[r.fieldStart-4:], uint32(len(b)-r.fieldStart))
}

// EndRow completes the row and, when enough has gathered, writes it out.
func (r *Reply) EndRow() {
	if !r.rowOpen || r.fieldOpen || r.fieldsLeft != 0 {
		panic("pgwire: EndRow of an incomplete row")
	}
	length := len(r.buf) - r.rowStart - 1 + r.largeBytes
	if length > longMessageBytesMax {
		panic("pgwire: row longer than a message can be")
	}
	binary.BigEndian.PutUint32(r.buf[r.rowStart+1:], uint32(length))
	r.rowOpen = false
	r.rows++
	if len(r.large) > 0 {
		r.writeLarge()
	} else {
		r.flushFull()
	}
}

// Full reports that the row limit of this Execute is reached. Check before each row.
func (r *Reply) Full() bool { return r.rowsMax > 0 && r.rows >= r.rowsMax }

// Notice appends a NoticeResponse; Severity empty means NOTICE.
func (r *Reply) Notice(e *Error) {
	if r.rowOpen {
		panic("pgwire: Notice inside a row")
	}
	severity := e.Severity
	if severity == "" {
		severity = SeverityNotice
	}
	r.takeBlock()
	r.buf = appendError(r.buf, 'N', severity, e)
}

// Flush writes out what has gathered. A Portal that is about to wait for something else than
// its client calls it between rows: answers to earlier statements of a pipeline may be in there.
func (r *Reply) Flush() error {
	if r.rowOpen {
		panic("pgwire: Flush inside a row")
	}
	r.flush()
	return r.err
}

// beginRows starts the count of the rows of one Execute; rowsMax 0 or less: no limit.
func (r *Reply) beginRows(rowsMax int64) {
	r.rows, r.rowsMax, r.copyIn = 0, rowsMax, nil
}

// abortRow drops a row that has been begun and not ended.
func (r *Reply) abortRow() {
	if r.rowOpen {
		r.buf = r.buf[:r.rowStart]
		r.rowOpen, r.fieldOpen = false, false
		r.dropLarge()
	}
}

// add appends a message that is ready made.
func (r *Reply) add(message string) {
	r.takeBlock()
	r.buf = append(r.buf, message...)
}

// flushFull flushes if enough has gathered.
func (r *Reply) flushFull() {
	if len(r.buf) >= r.flushBytes {
		r.flush()
	}
}

// flush writes buf. After an error everything is dropped.
func (r *Reply) flush() {
	r.wanted = false
	if len(r.buf) == 0 {
		return
	}
	if r.err == nil {
		r.armDeadline(len(r.buf))
		_, err := r.writer.Write(r.buf)
		r.finish(err)
	}
	r.buf = r.buf[:0]
}

// writeLarge writes buf with the large fields in their places, by one gathering write.
func (r *Reply) writeLarge() {
	if r.err == nil {
		r.armDeadline(len(r.buf) + r.largeBytes)
		vectors, from := r.vectors[:0], 0
		for _, field := range r.large {
			vectors = append(vectors, r.buf[from:field.at], field.bytes)
			from = field.at
		}
		if from < len(r.buf) {
			vectors = append(vectors, r.buf[from:])
		}
		r.vectors = vectors // WriteTo moves the slice it is called on forward and clears it
		_, err := r.vectors.WriteTo(r.writer)
		r.vectors = vectors[:0]
		r.finish(err)
	}
	r.buf = r.buf[:0]
	r.dropLarge()
}

func (r *Reply) dropLarge() {
	clear(r.large)
	r.large, r.largeBytes = r.large[:0], 0
}

func (r *Reply) finish(err error) {
	if err != nil {
		r.err = err
		if r.onError != nil {
			r.onError(err)
		}
	}
}

// armDeadline makes a write of n bytes end in time. A deadline that is far enough away is
// left: setting one costs as much as encoding a small reply.
func (r *Reply) armDeadline(n int) {
	if r.deadlines == nil {
		return
	}
	now := time.Now()
	need := time.Duration(n/writeRateMin) * time.Second
	if r.deadline.Sub(now) >= r.timeout/2+need {
		return
	}
	r.deadline = now.Add(r.timeout + need)
	if err := r.deadlines.SetWriteDeadline(r.deadline); err != nil {
		r.finish(err)
	}
}

// takeBlock makes sure of a buffer.
func (r *Reply) takeBlock() {
	if r.block == nil && r.pool != nil {
		r.block = r.pool.getReply()
		r.buf = append(r.block.bytes, r.buf...)
	}
}

// release gives the buffer back if it is empty.
func (r *Reply) release() {
	if r.block != nil && len(r.buf) == 0 {
		r.pool.putReply(r.block)
		r.block, r.buf = nil, nil
	}
}
