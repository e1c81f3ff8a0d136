package l2

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"pgcache/cache"
)

// codec says how a payload is stored.
type codec uint8

const (
	codecRaw codec = iota
	codecZstd
	codecEnd // first unknown one
)

// placement says where a payload is stored.
type placement uint8

const (
	placedInline placement = iota // in the m row, after the attributes
	placedRow                     // in the v row, after header and attributes
	placedFile                    // in a file of its own
	placedEnd                     // first unknown one
)

const (
	headerMagic         = 0xC5
	headerVersion       = 1
	headerVersionAccess = 2 // with the last access between header and attributes

	headerSize      = 44
	accessSize      = 8
	headerCRCOffset = 40

	// inlineBytesMax is the largest stored payload kept in the m row: it saves a row, and
	// costs scans of the key space its bytes.
	inlineBytesMax = 256

	// payloadBytesMax bounds what a header may claim, so that a damaged one cannot make us
	// allocate without end, and what Write accepts.
	payloadBytesMax = 1 << 30

	// attrsBytesMax likewise: labels and metadata have far smaller limits.
	attrsBytesMax = 16 << 20
)

// errDamaged marks stored bytes that are not what was written.
var errDamaged = errors.New("l2: damaged record")

// header is a decoded m or v row. attrs and payload alias the row's bytes.
type header struct {
	codec     codec
	placement placement
	seq       cache.Sequence
	rawLen    uint64
	storedLen uint64
	crc       uint32
	file      uint32 // the number in the name of the payload file
	accessMs  int64  // the last access, if later than the creation, else 0; m rows only
	attrs     cache.Attrs
	payload   []byte // as stored; nil in the m row of a payload that is not inline
}

// fileID names the payload file of a record that has one.
func (h *header) fileID() fileID { return fileID{h.seq, h.file} }

// storedFile is the payload file of a record that has one, with what the record takes.
func (h *header) storedFile(keyLen int) storedFile {
	return storedFile{h.fileID(), h.size(keyLen)}
}

// Tables of the crc32 package are made once and then immutable.
func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// headerChecksum covers the row's key too, so that a row cannot answer for another key.
// rest is what follows the fixed part: the last access, if there is one, and attributes.
func headerChecksum(recordKey, fixed, rest []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	crc := crc32.Update(0, table, recordKey)
	crc = crc32.Update(crc, table, fixed[:headerCRCOffset])
	return crc32.Update(crc, table, rest)
}

// length is that of the header as encoded: where the attributes begin.
func (h *header) length() int {
	if h.accessMs != 0 {
		return headerSize + accessSize
	}
	return headerSize
}

// appendHeader appends the row of h, the record under recordKey, with its payload if any.
func appendHeader(dst, recordKey []byte, h *header) []byte {
	start := len(dst)
	le := binary.LittleEndian
	version := byte(headerVersion)
	if h.accessMs != 0 {
		version = headerVersionAccess
	}
	dst = append(dst, headerMagic, version, byte(h.codec), byte(h.placement))
	dst = le.AppendUint64(dst, uint64(h.seq))
	dst = le.AppendUint64(dst, h.rawLen)
	dst = le.AppendUint64(dst, h.storedLen)
	dst = le.AppendUint32(dst, h.crc)
	dst = le.AppendUint32(dst, uint32(len(h.attrs)))
	dst = le.AppendUint32(dst, h.file)
	dst = le.AppendUint32(dst, 0) // the checksum
	if h.accessMs != 0 {
		dst = le.AppendUint64(dst, uint64(h.accessMs))
	}
	dst = append(dst, h.attrs...)
	le.PutUint32(dst[start+headerCRCOffset:], headerChecksum(recordKey, dst[start:], dst[start+headerSize:]))
	return append(dst, h.payload...)
}

// decodeHeader reads the m row of recordKey, decodePayloadRow its v row. Errors wrap
// errDamaged, and the header returned then holds the sequence at most.
func decodeHeader(recordKey, row []byte) (header, error) {
	h, err := decodeRow(recordKey, row)
	if err != nil {
		return h, err
	}
	return h, h.check(h.placement == placedInline)
}

func decodePayloadRow(recordKey, row []byte) (header, error) {
	h, err := decodeRow(recordKey, row)
	if err != nil {
		return h, err
	}
	if h.placement != placedRow || h.accessMs != 0 {
		return h, fmt.Errorf("%w: placement %d, last access %d", errDamaged, h.placement, h.accessMs)
	}
	return h, h.check(true)
}

func decodeRow(recordKey, row []byte) (h header, err error) {
	if len(row) < headerSize || row[0] != headerMagic {
		return h, fmt.Errorf("%w: no header", errDamaged)
	}
	attrsAt := headerSize
	switch row[1] {
	case headerVersion:
	case headerVersionAccess:
		attrsAt += accessSize
	default:
		return h, fmt.Errorf("%w: header version %d", errDamaged, row[1])
	}
	le := binary.LittleEndian
	attrsLen := le.Uint32(row[32:])
	if attrsLen > attrsBytesMax || len(row)-attrsAt < int(attrsLen) {
		return h, fmt.Errorf("%w: attributes of %d bytes", errDamaged, attrsLen)
	}
	attrsEnd := attrsAt + int(attrsLen)
	h = header{
		codec:     codec(row[2]),
		placement: placement(row[3]),
		seq:       cache.Sequence(le.Uint64(row[4:])),
		rawLen:    le.Uint64(row[12:]),
		storedLen: le.Uint64(row[20:]),
		crc:       le.Uint32(row[28:]),
		file:      le.Uint32(row[36:]),
		attrs:     cache.Attrs(row[attrsAt:attrsEnd:attrsEnd]),
		payload:   row[attrsEnd:],
	}
	if attrsAt > headerSize {
		h.accessMs = int64(le.Uint64(row[headerSize:]))
	}
	if le.Uint32(row[headerCRCOffset:]) != headerChecksum(recordKey, row, row[headerSize:attrsEnd]) {
		return header{seq: h.seq}, fmt.Errorf("%w: header checksum", errDamaged)
	}
	if attrsAt > headerSize && h.accessMs == 0 {
		return header{seq: h.seq}, fmt.Errorf("%w: no last access", errDamaged)
	}
	return h, nil
}

// check refuses what the checksum let through but this version would not have written.
func (h *header) check(withPayload bool) error {
	payloadLen := uint64(0)
	if withPayload {
		payloadLen = h.storedLen
	}
	switch {
	case h.codec >= codecEnd || h.placement >= placedEnd:
		return fmt.Errorf("%w: codec %d, placement %d", errDamaged, h.codec, h.placement)
	case h.rawLen > payloadBytesMax || h.storedLen > payloadBytesMax:
		return fmt.Errorf("%w: payload of %d bytes, stored as %d", errDamaged, h.rawLen, h.storedLen)
	case h.codec == codecRaw && h.rawLen != h.storedLen:
		return fmt.Errorf("%w: raw payload of %d bytes, stored as %d", errDamaged, h.rawLen, h.storedLen)
	case h.placement != placedFile && h.file != 0:
		return fmt.Errorf("%w: names a payload file but has none", errDamaged)
	case uint64(len(h.payload)) != payloadLen:
		return fmt.Errorf("%w: %d bytes after the attributes", errDamaged, len(h.payload))
	case !h.attrs.Valid():
		return fmt.Errorf("%w: attributes", errDamaged)
	case h.accessMs != 0 && (h.attrs.IdleMs() == 0 || h.accessMs <= h.attrs.CreatedMs()):
		return fmt.Errorf("%w: last access %d", errDamaged, h.accessMs)
	}
	return nil
}

// lastAccessMs is the last access that the header tells of: the creation, if there was none.
func (h *header) lastAccessMs() int64 {
	if h.accessMs != 0 {
		return h.accessMs
	}
	return h.attrs.CreatedMs()
}

// deadlineMs is when the record is dead, by the last access that the header tells of.
func (h *header) deadlineMs() (int64, bool) {
	deadline, ok := h.attrs.DeadlineMs()
	if idle := h.attrs.IdleMs(); idle > 0 {
		last := h.lastAccessMs()
		idleDeadline := last + idle
		if idleDeadline < last {
			return deadline, ok // beyond the end of time
		}
		if !ok || idleDeadline < deadline {
			return idleDeadline, true
		}
	}
	return deadline, ok
}

// expired reports whether the record is absent for a reader at nowMs.
func (h *header) expired(nowMs int64) bool {
	return h.attrs.StateAt(nowMs, h.lastAccessMs()) == cache.Dead
}

// rowOverheadBytes is what Pebble adds to each row, about: an internal key trailer.
const rowOverheadBytes = 8

// size is what the record counts against the budget: the bytes of all its rows, but for the
// eight of a last access, so that they need not be counted anew with the first one.
func (h *header) size(keyLen int) int64 {
	size := recordKeyOffset + keyLen + headerSize + len(h.attrs) + rowOverheadBytes // m
	size += orderedKeyOffset + keyLen + 8 + rowOverheadBytes                        // q
	if h.placement == placedRow {
		size += recordKeyOffset + keyLen + headerSize + len(h.attrs) + rowOverheadBytes // v
	}
	if h.attrs.Priority() != cache.PriorityDefault {
		size++ // in q
	}
	if _, ok := h.deadlineMs(); ok {
		size += orderedKeyOffset + keyLen + rowOverheadBytes // x
	}
	for _, text := range h.attrs.Labels() {
		size += 1 + 8 + 1 + 2 + len(text) + keyLen + rowOverheadBytes // i
	}
	if h.placement == placedFile {
		return int64(size) + 4 + fileBytes(h.storedLen)
	}
	return int64(size) + int64(h.storedLen)
}

// appendQueueValue makes the value of the record's q row: what it counts against the
// budget, the number of its payload file if it has one, and its priority if it is not the
// default.
func (h *header) appendQueueValue(dst []byte, keyLen int) []byte {
	dst = appendUint64(dst, uint64(h.size(keyLen)))
	if h.placement == placedFile {
		dst = binary.BigEndian.AppendUint32(dst, h.file)
	}
	if p := h.attrs.Priority(); p != cache.PriorityDefault {
		dst = append(dst, p)
	}
	return dst
}

// queued is a decoded q row.
type queued struct {
	seq      cache.Sequence
	ns       cache.NamespaceID
	size     int64
	file     uint32
	hasFile  bool
	priority uint8
}

// decodeQueueRow reads a q row; false: it is none of ours.
func decodeQueueRow(key, value []byte) (q queued, ok bool) {
	const plain, withFile = 8, 12 // and one byte more with a priority
	switch len(value) {
	case plain, plain + 1, withFile, withFile + 1:
	default:
		return q, false
	}
	if len(key) < orderedKeyOffset {
		return q, false
	}
	q = queued{
		seq:  cache.Sequence(binary.BigEndian.Uint64(key[1:])),
		ns:   cache.NamespaceID(binary.BigEndian.Uint64(key[1+8:])),
		size: int64(binary.BigEndian.Uint64(value)),

		priority: cache.PriorityDefault,
	}
	if len(value) >= withFile {
		q.file, q.hasFile = binary.BigEndian.Uint32(value[plain:]), true
	}
	if len(value)%4 == 1 {
		q.priority = value[len(value)-1]
	}
	return q, true
}

// storedFile is the payload file that the q row tells of, if it has one.
func (q *queued) storedFile() storedFile { return storedFile{fileID{q.seq, q.file}, q.size} }
