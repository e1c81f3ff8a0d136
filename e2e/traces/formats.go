package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/klauspost/compress/zstd"
	"github.com/ulikunitz/xz"

	"pgcache/cache/eviction/simulate"
)

// requestsMax bounds one trace, so that a wrong file does not eat the machine's memory.
const requestsMax = 100_000_000

// readTrace reads a recorded trace. Compression and format are told by the name:
//
//	*.oracleGeneral.bin    records of 24 bytes, little-endian: time u32, id u64, size u32, …
//	*.csv                  time,id,size in KB
//	*.lis                  first block, number of blocks, …
//	*.trace                lines of time, id, size; or big-endian u32 keys
//	anything else          big-endian u64 keys
func readTrace(path string) (*simulate.Trace, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	plain, name, err := decompress(file, filepath.Base(path))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	in := bufio.NewReaderSize(plain, 1<<16)
	var trace *simulate.Trace
	switch {
	case strings.HasSuffix(name, ".oracleGeneral.bin"):
		trace, err = readRecords(in)
	case strings.HasSuffix(name, ".csv"):
		trace, err = readSized(in, ",", 1000)
	case strings.HasSuffix(name, ".lis"):
		trace, err = readBlocks(in)
	case strings.HasSuffix(name, ".trace") && isText(in):
		trace, err = readSized(in, " ", 1)
	case strings.HasSuffix(name, ".trace"):
		trace, err = readKeys(in, 4)
	default:
		trace, err = readKeys(in, 8)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	trace.Name, _, _ = strings.Cut(name, ".")
	return trace, nil
}

// decompress unpacks a stream by the ending of its name, which it takes off.
func decompress(in io.Reader, name string) (io.Reader, string, error) {
	ending := filepath.Ext(name)
	rest := strings.TrimSuffix(name, ending)
	switch ending {
	case ".xz":
		r, err := xz.NewReader(in)
		return r, rest, err
	case ".zst":
		r, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1))
		return r, rest, err
	case ".gz":
		r, err := gzip.NewReader(in)
		return r, rest, err
	default:
		return in, name, nil
	}
}

func isText(in *bufio.Reader) bool {
	head, _ := in.Peek(64)
	return bytes.IndexFunc(head, func(r rune) bool { return !strings.ContainsRune("0123456789 \n", r) }) < 0
}

// sizedKey: traces of content tell versions of an object apart by their size.
type sizedKey struct {
	id    uint64
	bytes int64
}

func readRecords(in io.Reader) (*simulate.Trace, error) {
	b := simulate.Builder[uint64]{}
	var record [24]byte
	for {
		if _, err := io.ReadFull(in, record[:]); err != nil {
			return ended(&b.Trace, err)
		}
		b.Add(binary.LittleEndian.Uint64(record[4:]), int64(binary.LittleEndian.Uint32(record[12:])))
		if len(b.Trace.Keys) > requestsMax {
			return nil, errTooLong
		}
	}
}

func readKeys(in io.Reader, width int) (*simulate.Trace, error) {
	b := simulate.Builder[uint64]{Trace: simulate.Trace{IsUnit: true}}
	var buffer [8]byte
	for {
		if _, err := io.ReadFull(in, buffer[8-width:]); err != nil {
			return ended(&b.Trace, err)
		}
		b.Add(binary.BigEndian.Uint64(buffer[:]), 1)
		if len(b.Trace.Keys) > requestsMax {
			return nil, errTooLong
		}
	}
}

var errTooLong = fmt.Errorf("more than %d requests", requestsMax)

func ended(t *simulate.Trace, err error) (*simulate.Trace, error) {
	if errors.Is(err, io.EOF) {
		return t, nil
	}
	return nil, err
}

// numbers calls yield with the first n numbers of each line.
func numbers(in io.Reader, separator string, n int, yield func([]uint64)) error {
	lines := bufio.NewScanner(in)
	values := make([]uint64, n)
	for count := 1; lines.Scan(); count++ {
		fields := strings.SplitN(strings.TrimSpace(lines.Text()), separator, n+1)
		if len(fields) < n {
			return fmt.Errorf("line %d: %q has not %d fields", count, lines.Text(), n)
		}
		for i := range values {
			v, err := strconv.ParseUint(fields[i], 10, 64)
			if err != nil {
				return fmt.Errorf("line %d: %w", count, err)
			}
			values[i] = v
		}
		yield(values)
	}
	return lines.Err()
}

func readSized(in io.Reader, separator string, unit int64) (*simulate.Trace, error) {
	b := simulate.Builder[sizedKey]{}
	err := numbers(in, separator, 3, func(v []uint64) {
		bytes := int64(v[2]) * unit
		b.Add(sizedKey{v[1], bytes}, bytes)
	})
	return &b.Trace, err
}

func readBlocks(in io.Reader) (*simulate.Trace, error) {
	b := simulate.Builder[uint64]{Trace: simulate.Trace{IsUnit: true}}
	isTooLong := false
	err := numbers(in, " ", 2, func(v []uint64) {
		isTooLong = isTooLong || uint64(len(b.Trace.Keys))+v[1] > requestsMax
		for i := uint64(0); i < v[1] && !isTooLong; i++ {
			b.Add(v[0]+i, 1)
		}
	})
	if isTooLong {
		return nil, errTooLong
	}
	return &b.Trace, err
}
