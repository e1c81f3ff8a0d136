package l2

import (
	"fmt"
	"runtime"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"

	"pgcache/cache"
)

// compressor encodes payloads for storage and back. Its coders are shared: each serves as
// many calls at once as there are processors, and makes further ones wait.
type compressor struct {
	minBytes   int
	minGainPct int
	encoder    *zstd.Encoder
	decoder    *zstd.Decoder
	buffers    sync.Pool // *[]byte
}

// pooledBytesMax keeps the buffers of rare huge payloads out of the pool.
const pooledBytesMax = 1 << 20

func newCompressor(minBytes, minGainPct int) (*compressor, error) {
	encoder, err := zstd.NewWriter(nil,
		zstd.WithEncoderLevel(zstd.SpeedFastest),
		zstd.WithEncoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithEncoderCRC(false), // the header has a checksum of the stored bytes
		zstd.WithLowerEncoderMem(true))
	if err != nil {
		return nil, fmt.Errorf("l2: make zstd encoder: %w", err)
	}
	decoder, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(runtime.GOMAXPROCS(0)),
		zstd.WithDecoderMaxMemory(payloadBytesMax),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		return nil, fmt.Errorf("l2: make zstd decoder: %w", err)
	}
	return &compressor{
		minBytes: minBytes, minGainPct: minGainPct, encoder: encoder, decoder: decoder,
		buffers: sync.Pool{New: func() any { return new([]byte) }},
	}, nil
}

func (c *compressor) close() {
	c.decoder.Close()
	_ = c.encoder.Close() // writes to nothing
}

// compress returns value as it is to be stored. If that is not value itself, buffer is
// what release takes back once the stored bytes are no longer needed.
func (c *compressor) compress(value []byte, attrs cache.Attrs) (stored []byte, kind codec, buffer *[]byte) {
	if len(value) < c.minBytes || alreadyCompressed(attrs) {
		return value, codecRaw, nil
	}
	buffer = c.buffers.Get().(*[]byte)
	stored = c.encoder.EncodeAll(value, (*buffer)[:0])
	*buffer = stored
	if len(stored) > len(value)-len(value)*c.minGainPct/100 || len(stored) >= len(value) {
		c.release(buffer)
		return value, codecRaw, nil
	}
	return stored, codecZstd, buffer
}

func (c *compressor) release(buffer *[]byte) {
	if buffer != nil && cap(*buffer) <= pooledBytesMax {
		c.buffers.Put(buffer)
	}
}

// expandSlack is room past the end with which the decoder may copy whole blocks.
const expandSlack = 16

// expand appends to dst[:0] the payload that h says stored is. It allocates no more than
// h.rawLen and the slack, whatever stored claims.
func (c *compressor) expand(dst []byte, h *header, stored []byte) ([]byte, error) {
	if h.codec == codecRaw {
		return append(dst[:0], stored...), nil
	}
	room := h.rawLen + expandSlack
	if uint64(cap(dst)) < room {
		dst = make([]byte, 0, room)
	}
	value, err := c.decoder.DecodeAll(stored, dst[:0:room])
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDamaged, err)
	}
	if uint64(len(value)) != h.rawLen {
		return nil, fmt.Errorf("%w: %d bytes, not %d", errDamaged, len(value), h.rawLen)
	}
	return value, nil
}

// alreadyCompressed reports whether the entry's metadata says that its bytes are the
// output of a compressor.
func alreadyCompressed(attrs cache.Attrs) bool {
	for key, value := range attrs.Metadata() {
		switch {
		case len(key) == len("content-type") && strings.EqualFold(string(key), "content-type"):
			if compressedContentType(string(value)) {
				return true
			}
		case len(key) == len("content-encoding") && strings.EqualFold(string(key), "content-encoding"):
			if encoding := strings.TrimSpace(string(value)); encoding != "" && !strings.EqualFold(encoding, "identity") {
				return true
			}
		}
	}
	return false
}

// compressedContentType reports whether data of the media type is compressed by nature.
func compressedContentType(contentType string) bool {
	media, _, _ := strings.Cut(contentType, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	family, subtype, _ := strings.Cut(media, "/")
	switch family {
	case "image":
		switch subtype {
		case "svg+xml", "bmp", "x-ms-bmp", "x-bmp", "x-icon", "vnd.microsoft.icon", "tiff",
			"x-portable-pixmap", "x-portable-bitmap", "x-portable-graymap":
			return false
		}
		return true
	case "video":
		return true
	case "audio":
		switch subtype {
		case "wav", "x-wav", "wave", "vnd.wave", "aiff", "x-aiff", "basic", "midi", "x-midi", "l16", "l24":
			return false
		}
		return true
	case "font":
		return subtype == "woff" || subtype == "woff2"
	case "application":
		return compressedApplicationType(subtype)
	}
	return false
}

func compressedApplicationType(subtype string) bool {
	switch subtype {
	case "zip", "gzip", "x-gzip", "zstd", "x-zstd", "br", "x-brotli", "x-bzip", "x-bzip2", "x-xz",
		"x-lzma", "x-lz4", "x-compress", "x-7z-compressed", "vnd.rar", "x-rar-compressed",
		"x-compressed-tar", "x-gtar-compressed", "font-woff", "font-woff2", "pdf", "epub+zip",
		"java-archive", "vnd.android.package-archive", "vnd.apache.parquet", "x-parquet", "parquet",
		"vnd.apache.orc", "ogg", "mp4":
		return true
	}
	return strings.HasSuffix(subtype, "+zip") || strings.HasSuffix(subtype, "+gzip") ||
		strings.HasSuffix(subtype, "+zstd") || strings.HasPrefix(subtype, "vnd.openxmlformats-officedocument.")
}
