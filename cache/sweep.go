package cache

import (
	"context"
	"time"
)

// SweepReport is a SweepResult with the namespaces by name.
type SweepReport struct {
	SweepCount
	Elapsed     time.Duration
	Truncated   bool
	ByNamespace map[string]SweepCount
}

// SweepExpired removes dead entries now, within limits, instead of when the background
// work comes to them: from L1, then from the tier. An entry that both hold counts once: as
// the tier's, but for the memory it frees.
// Errors: ErrTierIO, ErrClosed, ctx.Err(); what was done until then is reported.
func (c *Cache) SweepExpired(ctx context.Context, limits SweepLimits) (SweepReport, error) {
	switch {
	case c.closed.Load():
		return SweepReport{}, ErrClosed
	case limits.EntriesMax < 1:
		return SweepReport{}, &ArgumentError{"max_entries", "must be positive"}
	case limits.Duration <= 0:
		return SweepReport{}, &ArgumentError{"max_ms", "must be positive"}
	}
	start := time.Now()
	var result SweepResult
	c.sweepL1(ctx, limits, &result)
	err := ctx.Err()
	limits.EntriesMax -= result.Scanned
	limits.Duration -= time.Since(start)
	switch {
	case err != nil || c.config.Tier == nil:
	case limits.EntriesMax <= 0 || limits.Duration <= 0:
		result.Truncated = true
	default:
		err = c.sweepTier(ctx, limits, &result)
	}
	report := SweepReport{result.SweepCount, time.Since(start), result.Truncated, map[string]SweepCount{}}
	for id, n := range result.ByNamespace {
		if gen := c.generation(id); gen != nil { // else flushed meanwhile
			report.ByNamespace[gen.owner.name] = n
		}
	}
	return report, err
}

func (c *Cache) sweepTier(ctx context.Context, limits SweepLimits, result *SweepResult) error {
	below, err := c.config.Tier.Sweep(ctx, limits)
	for id, n := range below.ByNamespace {
		result.Add(id, n)
	}
	result.Truncated = result.Truncated || below.Truncated
	if err != nil {
		return c.tierError("sweep", err)
	}
	return nil
}
