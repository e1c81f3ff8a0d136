package cache

import (
	"context"
	"errors"
)

// Durability says what an acknowledged write survives. Whatever it is, a crash leaves what
// a prefix of the writes left, and never a part of one.
type Durability uint8

const (
	// DurabilityInterval: a put is acknowledged before it is on disk and gets there within
	// the tier's interval; deletes and invalidations are on disk before they are acknowledged.
	DurabilityInterval Durability = iota
	// DurabilityAlways: puts too are on disk before they are acknowledged. Writers that wait
	// at the same time share one sync.
	DurabilityAlways
	// DurabilityOff: nothing waits for the disk; an invalidation may be undone by a crash.
	DurabilityOff
	durabilityEnd
)

func (d Durability) String() string {
	switch d {
	case DurabilityInterval:
		return "interval"
	case DurabilityAlways:
		return "always"
	case DurabilityOff:
		return "off"
	default:
		return "unknown"
	}
}

// ParseDurability is the inverse of String.
func ParseDurability(text string) (Durability, bool) {
	for d := range durabilityEnd {
		if d.String() == text {
			return d, true
		}
	}
	return 0, false
}

type durabilityKey struct{}

// WithDurability returns a context whose writes (puts, updates, invalidations, flushes)
// are as durable as d says in place of Config.Durability.
func WithDurability(ctx context.Context, d Durability) context.Context {
	return context.WithValue(ctx, durabilityKey{}, d)
}

// DurabilityOf is what WithDurability set, or else otherwise.
func DurabilityOf(ctx context.Context, otherwise Durability) Durability {
	if d, ok := ctx.Value(durabilityKey{}).(Durability); ok {
		return d
	}
	return otherwise
}

// Durability is that of writes whose context does not say.
func (c *Cache) Durability() Durability { return c.config.Durability }

// durability is what holds for a write with this context.
func (c *Cache) durability(ctx context.Context) Durability {
	return DurabilityOf(ctx, c.config.Durability)
}

// Sync makes what was written before the call durable, but for entries that the tier
// rejected. Errors: ErrTierIO, ErrClosed, ctx.Err().
func (c *Cache) Sync(ctx context.Context) error {
	if c.closed.Load() {
		return ErrClosed
	}
	if c.config.Tier == nil {
		return nil
	}
	for _, f := range c.allFlushers() {
		target, _, before := f.progressed()
		for {
			progress := c.progress.wait()
			_, done, failures := f.progressed()
			if failures != before {
				return c.tierError("write", errSyncFailed)
			}
			if done >= target {
				break
			}
			select {
			case <-progress:
			case <-ctx.Done():
				return ctx.Err()
			case <-c.background.ctx.Done():
				return ErrClosed
			}
		}
	}
	if err := c.saveGenerations(ctx, nil); err != nil {
		return c.tierError("flush", err)
	}
	if err := c.config.Tier.Sync(ctx); err != nil {
		return c.tierError("sync", err)
	}
	return nil
}

// Backup writes what is dirty to the durable tier and copies the tier into a new directory,
// while the cache goes on. Whatever was acknowledged before the call is in the copy, but for
// entries that the tier rejected. Errors: *ArgumentError (the directory exists, there is no
// tier), ErrTierIO, ErrClosed, ctx.Err().
func (c *Cache) Backup(ctx context.Context, path string) (BackupReport, error) {
	if c.config.Tier == nil {
		return BackupReport{}, &ArgumentError{"backup", "there is no disk tier (setting data_dir)"}
	}
	if err := c.Sync(ctx); err != nil {
		return BackupReport{}, err
	}
	if err := c.saveAccesses(ctx); err != nil {
		return BackupReport{}, err
	}
	report, err := c.config.Tier.Backup(ctx, path)
	if argument := (*ArgumentError)(nil); err != nil && !errors.As(err, &argument) {
		err = c.tierError("backup", err)
	}
	return report, err
}

var errSyncFailed = errors.New("a write failed meanwhile")
