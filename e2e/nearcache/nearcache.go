// Package nearcache is an example: a cache inside a Go program in front of pgcache, kept
// coherent by LISTEN cache_invalidation. It is meant to be read and copied, not imported
// from outside; it has no bound on its memory and no statistics.
//
// The rule that makes it coherent: whatever it keeps was read from the server after it
// began to listen, and no notification that covers it came since the read began. So a
// value that an acknowledged write or invalidation has replaced is served only until
// its notification arrives, and never again. When the listening connection breaks,
// everything is dropped and nothing is kept until it is back.
//
// A *Cache may be used by any number of goroutines.
package nearcache

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Cache keeps what was read of one namespace.
type Cache struct {
	pool      *pgxpool.Pool
	namespace string
	channel   string

	mu        sync.Mutex
	listening bool
	entries   map[string]entry
	fills     map[*fill]struct{}
	seen      uint64 // sequence of the newest notification
}

type entry struct {
	value              []byte
	tags, dependencies []string
	deadline           time.Time // zero: none
}

// fill is a read under way.
type fill struct {
	key     string
	overran bool // a notification that may cover it came meanwhile
}

// New makes a near cache of a namespace. Run must be running for it to keep anything.
func New(ctx context.Context, pool *pgxpool.Pool, namespace string) (*Cache, error) {
	c := &Cache{pool: pool, namespace: namespace, entries: map[string]entry{}, fills: map[*fill]struct{}{}}
	return c, pool.QueryRow(ctx, "SELECT cache_channel($1)", namespace).Scan(&c.channel)
}

// Run listens until ctx ends or the connection breaks; call it again then. ready, if not
// nil, is closed when it listens.
func (c *Cache) Run(ctx context.Context, ready chan<- struct{}) error {
	conn, err := c.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release()
	if _, err := conn.Exec(ctx, "LISTEN "+pgx.Identifier{c.channel}.Sanitize()); err != nil {
		return err
	}
	c.setListening(true)
	defer c.setListening(false)
	if ready != nil {
		close(ready)
	}
	for {
		n, err := conn.Conn().WaitForNotification(ctx)
		if err != nil {
			return err
		}
		c.forget(n.Payload)
	}
}

// setListening drops everything: what was missed before, or will be missed from now on.
func (c *Cache) setListening(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.listening = on
	c.dropAll()
}

// Get reads a key, from memory if it can; false if there is no such entry.
func (c *Cache) Get(ctx context.Context, key string) ([]byte, bool, error) {
	c.mu.Lock()
	if e, ok := c.entries[key]; ok && (e.deadline.IsZero() || time.Now().Before(e.deadline)) {
		c.mu.Unlock()
		return e.value, true, nil
	}
	f := &fill{key: key, overran: !c.listening}
	c.fills[f] = struct{}{}
	c.mu.Unlock()

	e, err := c.read(ctx, key)

	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.fills, f)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, false, nil
	case err != nil:
		return nil, false, err
	case !f.overran:
		c.entries[key] = e
	}
	return e.value, true, nil
}

func (c *Cache) read(ctx context.Context, key string) (entry, error) {
	var e entry
	var ttl *int64
	err := c.pool.QueryRow(ctx, `SELECT value, tags, dependencies, ttl_ms FROM blob WHERE ns = $1 AND key = $2`, c.namespace, key).
		Scan(&e.value, &e.tags, &e.dependencies, &ttl)
	if ttl != nil {
		e.deadline = time.Now().Add(time.Duration(*ttl) * time.Millisecond)
	}
	return e, err
}

// Seen is the sequence of the newest notification that was applied.
func (c *Cache) Seen() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// forget applies a notification.
func (c *Cache) forget(payload string) {
	var n struct {
		Op, Key, Prefix    string
		Tags, Dependencies []string
		Seq                uint64
	}
	err := json.Unmarshal([]byte(payload), &n)
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case err != nil:
		c.dropAll()
	case n.Op == "put" || n.Op == "key":
		c.drop(func(key string, _ *entry) bool { return key == n.Key })
	case n.Op == "prefix":
		c.drop(func(key string, _ *entry) bool { return strings.HasPrefix(key, n.Prefix) })
	case n.Op == "tags":
		c.drop(func(_ string, e *entry) bool { return e == nil || overlap(e.tags, n.Tags) })
	case n.Op == "dependencies":
		c.drop(func(_ string, e *entry) bool { return e == nil || overlap(e.dependencies, n.Dependencies) })
	default: // namespace, all, and what a later version may say
		c.dropAll()
	}
	c.seen = max(c.seen, n.Seq)
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// drop forgets what is covered. The labels of a read under way are not known yet: e is nil.
func (c *Cache) drop(covers func(key string, e *entry) bool) {
	for key, e := range c.entries {
		if covers(key, &e) {
			delete(c.entries, key)
		}
	}
	for f := range c.fills {
		f.overran = f.overran || covers(f.key, nil)
	}
}

func (c *Cache) dropAll() {
	clear(c.entries)
	for f := range c.fills {
		f.overran = true
	}
}
