package cache

import (
	"errors"
	"fmt"
)

// Errors that callers tell apart with errors.Is. Each is described at the methods that
// return it; the typed errors below carry the numbers.
var (
	// ErrClosed: the cache is closing or closed.
	ErrClosed = errors.New("cache: closed")
	// ErrTierBusy: too many writes wait for the durable tier and none finished within
	// Config.WriteWait. The write was refused; nothing changed.
	ErrTierBusy = errors.New("cache: the durable tier does not keep up and its write buffer is full")
	// ErrTierFull: the durable tier rejected a write that was to be durable, or one that memory
	// cannot hold. If memory can, the entry is in
	// memory, and the older record of the key is gone.
	ErrTierFull = errors.New("cache: the durable tier is full")
	// ErrTierIO: the durable tier failed. The key, or what the invalidation covers, is a
	// miss from now on, but this is not durable.
	ErrTierIO = errors.New("cache: durable tier I/O error")
	// ErrNoRoom: L1 has no room for the entry although it is within the limits, because
	// what it holds waits for the durable tier.
	ErrNoRoom = errors.New("cache: no room in memory")
)

// LimitError says that an argument exceeds a configured limit. Nothing changed.
type LimitError struct {
	What string // e.g. "value", "key", "metadata", "tags"
	Unit string // "bytes" or "count"
	Got  int64
	Max  int64
	// Setting is the name of the setting that holds Max, empty for fixed limits.
	Setting string
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("cache: %s too large: %d %s, limit %d", e.What, e.Got, e.Unit, e.Max)
}

// QuotaError says that creating one more namespace would exceed Config.NamespacesMax, or
// (with Namespace set) that an entry of Got bytes is larger than the quotas of its
// namespace. Nothing changed.
type QuotaError struct {
	What      string
	Got, Max  int64
	Namespace string
}

func (e *QuotaError) Error() string {
	if e.Namespace != "" {
		return fmt.Sprintf("cache: %s of %d bytes is larger than the quota of namespace %q, %d", e.What, e.Got, e.Namespace, e.Max)
	}
	return fmt.Sprintf("cache: too many %s, limit %d", e.What, e.Max)
}

// VersionError says that a write offered a version that is lower than the stored one, or
// equal to it with a different value. Nothing changed.
type VersionError struct {
	Stored, Offered int64
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("cache: version %d does not succeed stored version %d", e.Offered, e.Stored)
}

// ArgumentError says that an argument has no meaning (an empty key, a negative TTL).
type ArgumentError struct {
	What string // the argument
	Why  string
}

func (e *ArgumentError) Error() string { return "cache: " + e.What + ": " + e.Why }
