package cache

import (
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"pgcache/cache/arena"
	"pgcache/cache/eviction"
)

// Config is what a cache is made of. Zero fields take the default named with each.
type Config struct {
	L1BytesMax        int64            // memory for entries, everything counted; 256 MiB; at least 1 MiB
	NamespacesMax     int              // namespaces at one time; 10,000
	LeasesMax         int              // fill leases at one time; 65,536
	HistoryInterval   time.Duration    // between samples of the statistics; 1 min; negative: none
	PromoteOn         PromoteOn        // which reads from the tier promote
	PromotionWorkers  int              // that promote; 0: the reader does
	PromotionQueueMax int              // entries that wait for them; 1024
	Limits            Limits           // sizes of what a write may carry
	Tier              Tier             // nil: memory only
	DirtyBytesMax     int64            // entries waiting for the tier; a quarter of L1BytesMax, and at most half
	Durability        Durability       // of writes whose context does not say; DurabilityInterval
	WriteWait         time.Duration    // how long a write waits when DirtyBytesMax is reached; 2 s
	ScanBytesMax      int64            // keys that one scan may keep, which is all that match without a tier; 64 MiB
	Now               func() time.Time // the wall clock; time.Now
	Clock             *Clock           // shared with the tier; nil: made of Now, or SystemClock
	L1Policy          string           // what leaves L1 first, sieve or s3fifo; s3fifo
	Random            func() uint64    // for jitter; math/rand/v2. Safe for concurrent use
	Logger            *slog.Logger     // discards

	memory arena.Source // where entries live; tests under the race detector use the Go heap
}

// Defaults and fixed bounds of Config.
const (
	l1BytesDefault       = 256 << 20
	l1BytesMin           = 1 << 20
	namespacesMaxDefault = 10_000
	writeWaitDefault     = 2 * time.Second
	scanBytesDefault     = 64 << 20

	// What the encodings of entries and records can hold.
	labelsMaxMax     = 1 << 8
	labelBytesMaxMax = 1 << 10
	valueBytesMaxMax = 1 << 30
	metadataMaxMax   = 1 << 16
)

// withDefaults fills in defaults and checks the result.
func (cfg Config) withDefaults() (Config, error) {
	orDefault(&cfg.L1BytesMax, l1BytesDefault)
	orDefault(&cfg.NamespacesMax, namespacesMaxDefault)
	orDefault(&cfg.LeasesMax, leasesMaxDefault)
	orDefault(&cfg.HistoryInterval, historyIntervalDefault)
	orDefault(&cfg.PromotionQueueMax, promotionQueueMaxDefault)
	orDefault(&cfg.DirtyBytesMax, cfg.L1BytesMax/4)
	orDefault(&cfg.WriteWait, writeWaitDefault)
	orDefault(&cfg.ScanBytesMax, scanBytesDefault)
	cfg.Limits = cfg.Limits.withDefaults(cfg.valueBytesMax())
	if cfg.L1Policy == "" {
		cfg.L1Policy = eviction.Default
	}
	switch {
	case cfg.Now == nil:
		cfg.Now = time.Now
		if cfg.Clock == nil {
			cfg.Clock = SystemClock()
		}
	case cfg.Clock == nil:
		cfg.Clock = NewClock(cfg.Now)
	}
	if cfg.Random == nil {
		cfg.Random = rand.Uint64
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.memory.Map == nil {
		cfg.memory = arena.System()
	}
	switch {
	case cfg.L1BytesMax < l1BytesMin:
		return cfg, &ArgumentError{"l1_bytes", fmt.Sprintf("%d is less than the minimum of %d", cfg.L1BytesMax, l1BytesMin)}
	case cfg.L1Policy != eviction.SieveName && cfg.L1Policy != eviction.S3FIFOName:
		return cfg, &ArgumentError{"l1_policy", fmt.Sprintf("%q is not a policy: %s or %s", cfg.L1Policy, eviction.SieveName, eviction.S3FIFOName)}
	case cfg.NamespacesMax < 1:
		return cfg, &ArgumentError{"max_namespaces", "must be positive"}
	case cfg.PromotionWorkers < 0 || cfg.PromotionWorkers > promotionWorkersMax:
		return cfg, &ArgumentError{"promotion_workers", fmt.Sprintf("must be between 0 and %d", promotionWorkersMax)}
	case cfg.PromotionQueueMax < 1:
		return cfg, &ArgumentError{"promotion_queue", "must be positive"}
	case cfg.LeasesMax < 1:
		return cfg, &ArgumentError{"leases_max", "must be positive"}
	case cfg.DirtyBytesMax < 0 || cfg.DirtyBytesMax > cfg.L1BytesMax/2:
		return cfg, &ArgumentError{"dirty_bytes_max", "must be at most half of l1_bytes"}
	case cfg.Durability >= durabilityEnd:
		return cfg, &ArgumentError{"durability", "is unknown"}
	case cfg.WriteWait < 0:
		return cfg, &ArgumentError{"write_wait", "must not be negative"}
	case cfg.ScanBytesMax < 0:
		return cfg, &ArgumentError{"scan_bytes_max", "must not be negative"}
	}
	return cfg, cfg.Limits.check(cfg.valueBytesMax(), cfg.Tier != nil)
}

func orDefault[T int | int64 | time.Duration](field *T, value T) {
	if *field == 0 {
		*field = value
	}
}

// Limits bound what one write may carry. Zero fields take the default.
type Limits struct {
	NamespaceBytesMax int   // 255
	KeyBytesMax       int   // 1024
	ValueBytesMax     int64 // 64 MiB; without a tier at most an eighth of L1BytesMax; setting max_blob_bytes
	MetadataBytesMax  int   // keys and values together; 4096
	LabelsMax         int   // tags, and dependencies, per entry; 64
	LabelBytesMax     int   // one tag or dependency; 255
}

const valueBytesMaxDefault = 64 << 20

// valueBytesMax is the largest value that can be held: by the tier one of any size, by L1
// one that leaves room for others.
func (cfg *Config) valueBytesMax() int64 {
	if cfg.Tier != nil {
		return valueBytesMaxMax
	}
	return min(cfg.L1BytesMax/hugeShare, valueBytesMaxMax)
}

func (l Limits) withDefaults(valueBytesMax int64) Limits {
	orDefault(&l.NamespaceBytesMax, 255)
	orDefault(&l.KeyBytesMax, 1024)
	orDefault(&l.ValueBytesMax, min(valueBytesMaxDefault, valueBytesMax))
	orDefault(&l.MetadataBytesMax, 4096)
	orDefault(&l.LabelsMax, 64)
	orDefault(&l.LabelBytesMax, 255)
	return l
}

func (l Limits) check(valueBytesMax int64, hasTier bool) error {
	switch {
	case l.ValueBytesMax < 1 || l.ValueBytesMax > valueBytesMax:
		why := "and an eighth of l1_bytes, as there is no durable tier"
		if hasTier {
			why = "and 1 GiB"
		}
		return &ArgumentError{"max_blob_bytes", fmt.Sprintf("must be between 1 %s (%d)", why, valueBytesMax)}
	case l.NamespaceBytesMax < 1 || l.NamespaceBytesMax > 255:
		return &ArgumentError{"namespace bytes", "must be between 1 and 255"}
	case l.KeyBytesMax < 1 || l.KeyBytesMax > 1024:
		return &ArgumentError{"key bytes", "must be between 1 and 1024"}
	case l.LabelsMax < 1 || l.LabelsMax > labelsMaxMax:
		return &ArgumentError{"labels", fmt.Sprintf("must be between 1 and %d", labelsMaxMax)}
	case l.LabelBytesMax < 1 || l.LabelBytesMax > labelBytesMaxMax:
		return &ArgumentError{"label bytes", fmt.Sprintf("must be between 1 and %d", labelBytesMaxMax)}
	case l.MetadataBytesMax < 1 || l.MetadataBytesMax >= metadataMaxMax:
		return &ArgumentError{"metadata bytes", fmt.Sprintf("must be between 1 and %d", metadataMaxMax-1)}
	}
	return nil
}
