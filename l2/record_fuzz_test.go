package l2

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"pgcache/cache"
)

func sampleHeaders() []header {
	full := attrs(tags("a", "b"), deps("c"), metadata(cache.Pair{Key: "content-type", Value: "text/html"}),
		ttl(time.Hour), stale(time.Minute), idle(time.Minute))
	return []header{
		{placement: placedInline, seq: 1, attrs: attrs()},
		{placement: placedInline, seq: 1 << 60, rawLen: 5, storedLen: 5, crc: 7, attrs: full, payload: []byte("hello")},
		{placement: placedRow, seq: 3, rawLen: 5000, storedLen: 5000, crc: 7, attrs: full},
		{placement: placedInline, seq: 4, rawLen: 5, storedLen: 5, crc: 7, accessMs: full.CreatedMs() + 1, attrs: full, payload: []byte("hello")},
		{placement: placedRow, seq: 5, rawLen: 5000, storedLen: 5000, crc: 7, accessMs: 1 << 50, attrs: full},
		{codec: codecZstd, placement: placedFile, seq: 3, rawLen: 900_000, storedLen: 80_000, crc: 7, file: 9, attrs: full},
		{codec: codecZstd, placement: placedRow, seq: 3, rawLen: 5000, storedLen: 900, crc: 7, attrs: attrs()},
	}
}

func TestHeaderRoundTrip(t *testing.T) {
	key := appendRecordKey(nil, 7, []byte("key"))
	for i, h := range sampleHeaders() {
		row := appendHeader([]byte("before"), key, &h)[len("before"):]
		got, err := decodeHeader(key, row)
		if err != nil {
			t.Fatal(err)
		}
		if again := appendHeader(nil, key, &got); !bytes.Equal(again, row) {
			t.Errorf("%d: encoded again as %q, not %q", i, again, row)
		}
		for n := range row {
			if _, err := decodeHeader(key, row[:n]); !errors.Is(err, errDamaged) {
				t.Errorf("%d: the first %d of %d bytes are accepted: %v", i, n, len(row), err)
			}
		}
		if _, err := decodeHeader(key, append(row, 0)); !errors.Is(err, errDamaged) {
			t.Errorf("%d: one byte more is accepted", i)
		}
		if _, err := decodeHeader(appendRecordKey(nil, 8, []byte("key")), row); !errors.Is(err, errDamaged) {
			t.Errorf("%d: the row answers for another namespace", i)
		}
	}
}

// Rows of different records have different keys, whatever their parts are.
func TestKeysAreUnambiguous(t *testing.T) {
	keys := make(map[string]string)
	add := func(key []byte, what string) {
		if other, ok := keys[string(key)]; ok {
			t.Errorf("%s and %s share a row", what, other)
		}
		keys[string(key)] = what
	}
	for _, key := range []string{"a", "a\x00\x00\x00\x00\x00\x00\x00\x00", "a\x00\x00\x00\x00\x00\x00\x00\x01", "b", "ab"} {
		for _, ns := range []cache.NamespaceID{0, 1, 0x61} {
			record := appendRecordKey(nil, ns, []byte(key))
			add(record, "m "+key)
			add(appendPayloadKey(nil, record), "v "+key)
			for _, seq := range []cache.Sequence{0, 1, 0x6100000000000000} {
				add(appendOrderedKey(nil, kindQueue, uint64(seq), record), "q "+key)
				add(appendOrderedKey(nil, kindExpiry, uint64(seq), record), "x "+key)
			}
			for _, text := range []string{"", "a", "aa", "\x00", "\x00\x01a"} {
				for kind := cache.Tag; kind <= cache.Dependency; kind++ {
					add(append(appendLabelPrefix(nil, ns, kind, []byte(text)), key...), "i "+text+" "+key)
				}
			}
		}
	}
	for _, tc := range []struct{ prefix, successor string }{
		{"a", "b"}, {"a\xff", "b"}, {"a\xff\xff", "b"}, {"ab\xff", "ac"}, {"\xff", ""},
	} {
		if got := appendSuccessor(nil, []byte(tc.prefix)); string(got) != tc.successor {
			t.Errorf("successor of %q: %q", tc.prefix, got)
		}
	}
}

// FuzzDecodeHeader: any bytes are refused, or decode to a header within its bounds that
// encodes to the same bytes.
func FuzzDecodeHeader(f *testing.F) {
	key := appendRecordKey(nil, 7, []byte("key"))
	for _, h := range sampleHeaders() {
		f.Add(appendHeader(nil, key, &h), false)
		f.Add(appendHeader(nil, key, &h), true)
	}
	f.Fuzz(func(t *testing.T, row []byte, repair bool) {
		row = bytes.Clone(row)
		if n := len(row); repair && n >= headerSize { // so that the fuzzer gets past the checksum
			rest := uint64(le32(row[32:]))
			if row[1] == headerVersionAccess {
				rest += accessSize
			}
			crc := headerChecksum(key, row, row[headerSize:headerSize+min(uint64(n-headerSize), rest)])
			row[40], row[41], row[42], row[43] = byte(crc), byte(crc>>8), byte(crc>>16), byte(crc>>24)
		}
		h, err := decodeHeader(key, row)
		if err != nil {
			if !errors.Is(err, errDamaged) {
				t.Fatal(err)
			}
			return
		}
		if h.rawLen > payloadBytesMax || h.storedLen > payloadBytesMax || h.size(3) < int64(h.storedLen) {
			t.Fatalf("out of bounds: %+v", h)
		}
		h.expired(time.Now().UnixMilli())
		if again := appendHeader(nil, key, &h); le32(row[36:]) == 0 && !bytes.Equal(again, row) {
			t.Fatalf("%q encodes as %q", row, again)
		}
	})
}

func le32(b []byte) uint32 {
	return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24
}

// FuzzExpand: whatever a damaged payload claims, it expands to the length in the header or
// not at all.
func FuzzExpand(f *testing.F) {
	c, err := newCompressor(1, 0)
	if err != nil {
		f.Fatal(err)
	}
	defer c.close()
	for _, n := range []int{10, 1000, 100_000} {
		stored, _, _ := c.compress(compressible(n), attrs())
		f.Add(bytes.Clone(stored), uint32(n))
	}
	f.Fuzz(func(t *testing.T, stored []byte, rawLen uint32) {
		h := header{codec: codecZstd, rawLen: uint64(rawLen % (1 << 20)), storedLen: uint64(len(stored))}
		value, err := c.expand(nil, &h, stored)
		if err == nil && uint64(len(value)) != h.rawLen || uint64(cap(value)) > h.rawLen+64<<10 {
			t.Fatalf("%d bytes, capacity %d, of %d: %v", len(value), cap(value), h.rawLen, err)
		}
	})
}

func TestContentTypes(t *testing.T) {
	for contentType, want := range map[string]bool{
		"image/png": true, "IMAGE/JPEG; q=1": true, "image/svg+xml": false, "image/bmp": false,
		"video/mp4": true, "audio/mpeg": true, "audio/wav": false, "font/woff2": true, "font/ttf": false,
		"application/zip": true, " application/gzip ": true, "application/pdf": true, "application/json": false,
		"application/vnd.apache.parquet": true, "application/x-7z-compressed": true, "application/foo+zip": true,
		"application/vnd.openxmlformats-officedocument.wordprocessingml.document": true,
		"text/html": false, "": false, "zip": false,
	} {
		if got := compressedContentType(contentType); got != want {
			t.Errorf("%q: %v", contentType, got)
		}
	}
}
