package types

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strconv"

	"pgcache/pgwire"
)

// snapshotRunningMax bounds how many transactions in progress a snapshot lists.
const snapshotRunningMax = 10_000

// parseSnapshot reads a pg_snapshot or txid_snapshot: xmin:xmax:running,running.
func parseSnapshot(oid OID, text []byte) (Value, error) {
	bad := invalidText(oid, text)
	parts := bytes.Split(trimSpace(text), []byte{':'})
	if len(parts) != 3 {
		return Value{}, bad
	}
	first, err1 := strconv.ParseUint(string(parts[0]), 10, 64)
	next, err2 := strconv.ParseUint(string(parts[1]), 10, 64)
	if err1 != nil || err2 != nil {
		return Value{}, bad
	}
	var running []uint64
	if len(parts[2]) > 0 {
		for _, part := range bytes.SplitN(parts[2], []byte{','}, snapshotRunningMax+1) {
			id, err := strconv.ParseUint(string(part), 10, 64)
			if err != nil {
				return Value{}, bad
			}
			running = append(running, id)
		}
	}
	v, ok := snapshotOf(first, next, running)
	if !ok {
		return Value{}, bad
	}
	return v, nil
}

// snapshotOf makes the canonical text; false if the numbers are no snapshot.
func snapshotOf(first, next uint64, running []uint64) (Value, bool) {
	if first == 0 || next < first || next > math.MaxInt64 || len(running) > snapshotRunningMax {
		return Value{}, false
	}
	out := strconv.AppendUint(nil, first, 10)
	out = append(strconv.AppendUint(append(out, ':'), next, 10), ':')
	for i, id := range slices.Compact(running) {
		if id < first || id >= next || i > 0 && id < running[i-1] {
			return Value{}, false
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = strconv.AppendUint(out, id, 10)
	}
	return OfBytes(out), true
}

func parseBinarySnapshot(oid OID, data []byte) (Value, error) {
	const fixed, each = 4 + 8 + 8, 8
	if len(data) < fixed || (len(data)-fixed)%each != 0 || int(binary.BigEndian.Uint32(data)) != (len(data)-fixed)/each {
		return Value{}, wrongLength(oid)
	}
	running := make([]uint64, 0, (len(data)-fixed)/each)
	for at := fixed; at < len(data); at += each {
		running = append(running, binary.BigEndian.Uint64(data[at:]))
	}
	v, ok := snapshotOf(binary.BigEndian.Uint64(data[4:]), binary.BigEndian.Uint64(data[12:]), running)
	if !ok {
		return Value{}, pgwire.Errorf(pgwire.CodeInvalidBinaryRepresentation, "invalid external pg_snapshot data")
	}
	return v, nil
}

func appendBinarySnapshot(dst []byte, v Value) []byte {
	var numbers []uint64
	for part := range bytes.FieldsFuncSeq(v.Bytes, func(r rune) bool { return r == ':' || r == ',' }) {
		n, _ := strconv.ParseUint(string(part), 10, 64) // canonical
		numbers = append(numbers, n)
	}
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(numbers)-2))
	for _, n := range numbers {
		dst = binary.BigEndian.AppendUint64(dst, n)
	}
	return dst
}
