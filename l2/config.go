package l2

import (
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// Config is what a store is made of. Zero fields take the default named with each.
type Config struct {
	Dir string // required
	FS  vfs.FS // the operating system's

	// BytesMax is the budget of logical bytes: keys, attributes, indexes, and payloads as
	// stored. Files take up to about 1.5 times that, plus 6 memtables of logs. 4 GiB; at
	// least 1 MiB.
	BytesMax int64

	BlockCacheBytes int64 // memory for blocks read; 64 MiB
	MemTableBytes   int64 // memory for recent writes, up to four of these at once; 8 MiB

	// FileMinBytes is the least stored size of a payload that gets a file of its own: below,
	// files cost more than the database's rewriting; above, they win everywhere. 64 KiB; at
	// least 4 KiB.
	FileMinBytes int

	CompressMinBytes   int // smaller payloads are stored raw; 1 KiB
	CompressMinGainPct int // a payload that shrinks by less is stored raw; 5

	// SyncInterval bounds what a crash can lose of writes that did not ask for durability.
	// 1 s; negative: only what Write, Sync and Close were asked for.
	SyncInterval time.Duration

	// WriteTimeout bounds the wait of a caller for the committer, in case the disk hangs.
	// 30 s.
	WriteTimeout time.Duration

	// StallAfter is how long a write waits for the committer before the cache goes on without
	// the disk. Pebble stalls for a second or two when it is written to without pause. 5 s.
	StallAfter time.Duration

	// CloseTimeout bounds Close, likewise: what is not finished by then is left to recovery
	// at the next open. 30 s.
	CloseTimeout time.Duration

	// FreeBytesMin is the floor of free disk space below which puts are rejected. 0: 2 GiB or
	// 5 % of the disk, whichever is more; negative: no floor.
	FreeBytesMin int64

	// BallastBytes is disk space set aside for deletes and invalidations on a full disk.
	// 64 MiB, and at most a sixteenth of BytesMax; negative: none.
	BallastBytes int64

	// RenameCorrupt makes Open move what a damaged directory holds into a folder inside it,
	// and start with an empty store, in place of refusing it.
	RenameCorrupt bool

	// TickInterval is how often the store syncs, sweeps expired records, reclaims ended
	// generations and looks at free space. 1 s.
	TickInterval time.Duration

	Now    func() time.Time // time.Now
	Random func() uint64    // for priorities in eviction; math/rand/v2
	Logger *slog.Logger     // discards

	// ticks replaces the ticker in tests: one tick of maintenance per receive.
	ticks <-chan time.Time
}

const (
	bytesMaxFloor      = 1 << 20
	memTableBytesFloor = 64 << 10
	memTableBytesMax   = 1 << 30 // Pebble's own limit is 4 GiB

	freeBytesFloor   = 2 << 30 // what Config.FreeBytesMin comes to at least by default
	freeBytesDivisor = 20      // and as a part of the disk
)

// freeFloor is the floor of free space on a disk of the size.
func (c *Config) freeFloor(total uint64) uint64 {
	if c.FreeBytesMin > 0 {
		return uint64(c.FreeBytesMin)
	}
	return max(freeBytesFloor, total/freeBytesDivisor)
}

func (c Config) withDefaults() Config {
	if c.FS == nil {
		c.FS = vfs.Default
	}
	defaultTo(&c.BytesMax, 4<<30)
	defaultTo(&c.BlockCacheBytes, 64<<20)
	defaultTo(&c.MemTableBytes, 8<<20)
	defaultTo(&c.FileMinBytes, 64<<10)
	defaultTo(&c.CompressMinBytes, 1<<10)
	defaultTo(&c.CompressMinGainPct, 5)
	defaultTo(&c.SyncInterval, time.Second)
	defaultTo(&c.WriteTimeout, 30*time.Second)
	defaultTo(&c.StallAfter, 5*time.Second)
	defaultTo(&c.CloseTimeout, 30*time.Second)
	defaultTo(&c.BallastBytes, min(64<<20, c.BytesMax/16))
	c.BallastBytes = max(c.BallastBytes, 0)
	defaultTo(&c.TickInterval, time.Second)
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Random == nil {
		c.Random = rand.Uint64
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	return c
}

func defaultTo[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// Validate reports the first setting that makes no sense. Zero fields are fine.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Dir == "":
		return fmt.Errorf("l2: Dir is empty")
	case c.BytesMax < bytesMaxFloor:
		return fmt.Errorf("l2: BytesMax is %d, must be at least %d", c.BytesMax, bytesMaxFloor)
	case c.BlockCacheBytes < 0:
		return fmt.Errorf("l2: BlockCacheBytes is %d, must not be negative", c.BlockCacheBytes)
	case c.MemTableBytes < memTableBytesFloor || c.MemTableBytes > memTableBytesMax:
		return fmt.Errorf("l2: MemTableBytes is %d, must be %d to %d", c.MemTableBytes, memTableBytesFloor, memTableBytesMax)
	case c.FileMinBytes < fileBlockBytes:
		return fmt.Errorf("l2: FileMinBytes is %d, must be at least %d", c.FileMinBytes, fileBlockBytes)
	case c.CompressMinBytes < 0:
		return fmt.Errorf("l2: CompressMinBytes is %d, must not be negative", c.CompressMinBytes)
	case c.CompressMinGainPct < 0 || c.CompressMinGainPct > 99:
		return fmt.Errorf("l2: CompressMinGainPct is %d, must be 0 to 99", c.CompressMinGainPct)
	case c.WriteTimeout < 0:
		return fmt.Errorf("l2: WriteTimeout is %v, must not be negative", c.WriteTimeout)
	case c.StallAfter < 0:
		return fmt.Errorf("l2: StallAfter is %v, must not be negative", c.StallAfter)
	case c.CloseTimeout < 0:
		return fmt.Errorf("l2: CloseTimeout is %v, must not be negative", c.CloseTimeout)
	case c.TickInterval < 0:
		return fmt.Errorf("l2: TickInterval is %v, must not be negative", c.TickInterval)
	}
	return nil
}
