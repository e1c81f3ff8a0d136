package copyio

import (
	"encoding/binary"
	"io"
)

// signature begins a file of the binary format; flags and the length of an extension follow.
const signature = "PGCOPY\n\xff\r\n\x00"

// need makes sure of n more bytes; io.ErrUnexpectedEOF if there are fewer.
func (r *Reader) need(n int) error {
	for len(r.buffer)-r.at < n {
		ok, err := r.more()
		if err != nil {
			return err
		}
		if !ok {
			return io.ErrUnexpectedEOF
		}
	}
	return nil
}

func (r *Reader) int32() int32 {
	n := int32(binary.BigEndian.Uint32(r.buffer[r.at:]))
	r.at += 4
	return n
}

func (r *Reader) binaryHeader() error {
	if err := r.need(len(signature)); err == io.ErrUnexpectedEOF || err == nil && string(r.buffer[r.at:r.at+len(signature)]) != signature {
		return badFile("COPY file signature not recognized")
	} else if err != nil {
		return err
	}
	r.at += len(signature)
	if err := r.need(4); err == io.ErrUnexpectedEOF {
		return badFile("invalid COPY file header (missing flags)")
	} else if err != nil {
		return err
	}
	switch flags := uint32(r.int32()); {
	case flags&(1<<16) != 0:
		return badFile("invalid COPY file header (WITH OIDS)")
	case flags>>16 != 0:
		return badFile("unrecognized critical flags in COPY file header")
	}
	if err := r.need(4); err == io.ErrUnexpectedEOF {
		return badFile("invalid COPY file header (missing length)")
	} else if err != nil {
		return err
	}
	for length := r.int32(); length != 0; {
		if length < 0 {
			return badFile("invalid COPY file header (missing length)")
		}
		if err := r.need(1); err == io.ErrUnexpectedEOF {
			return badFile("invalid COPY file header (wrong length)")
		} else if err != nil {
			return err
		}
		skip := min(int(length), len(r.buffer)-r.at)
		r.at += skip
		length -= int32(skip)
	}
	return nil
}

// nextBinary reads a tuple of the binary format.
func (r *Reader) nextBinary() error {
	if r.line == 0 {
		if err := r.binaryHeader(); err != nil {
			return err
		}
	}
	r.line++
	if err := r.need(2); err == io.ErrUnexpectedEOF {
		if len(r.buffer) > r.at {
			return badFile("unexpected EOF in COPY data")
		}
		return io.EOF // without a trailer, as PostgreSQL takes it too
	} else if err != nil {
		return err
	}
	count := int(int16(binary.BigEndian.Uint16(r.buffer[r.at:])))
	if count == -1 {
		r.at += 2
		return r.binaryEnd()
	}
	if count != len(r.names) {
		return badFile("row field count is %d, expected %d", count, len(r.names))
	}
	// The fields are found first, and cut once all have arrived: the buffer moves.
	offset := 2
	r.bounds = r.bounds[:0]
	for range count {
		if err := r.needAt(offset + 4); err != nil {
			return err
		}
		n := int(int32(binary.BigEndian.Uint32(r.buffer[r.at+offset:])))
		offset += 4
		if n == -1 {
			r.bounds = append(r.bounds, fieldBounds{isNull: true})
			continue
		}
		if n < 0 {
			return badFile("invalid field size")
		}
		if n > r.rowMax-offset {
			return r.tooLong()
		}
		if err := r.needAt(offset + n); err != nil {
			return err
		}
		r.bounds = append(r.bounds, fieldBounds{start: offset, end: offset + n})
		offset += n
	}
	row := r.buffer[r.at : r.at+offset]
	r.at += offset
	r.fields = r.fields[:0]
	for _, b := range r.bounds {
		if b.isNull {
			r.fields = append(r.fields, nil)
			continue
		}
		r.fields = append(r.fields, row[b.start:b.end:b.end])
	}
	return nil
}

func (r *Reader) needAt(n int) error {
	if err := r.need(n); err == io.ErrUnexpectedEOF {
		return badFile("unexpected EOF in COPY data")
	} else {
		return err
	}
}

// binaryEnd demands that nothing follows the trailer.
func (r *Reader) binaryEnd() error {
	if err := r.need(1); err == nil {
		return badFile("received copy data after EOF marker")
	} else if err != io.ErrUnexpectedEOF {
		return err
	}
	return io.EOF
}
