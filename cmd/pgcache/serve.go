package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"pgcache/cache"
	"pgcache/l2"
	"pgcache/pgwire"
)

// serve runs the server until a signal or the end of ctx asks it to stop, or until
// accepting connections fails.
func (m *Main) serve(ctx context.Context, s *settings) error {
	logger := s.logger(m.Stderr)
	boundHeap(m.Env)
	started := time.Now()
	store, err := openCache(s, logger)
	if err != nil {
		return err
	}
	server, err := newServer(s, store, started, logger)
	if err != nil {
		return errors.Join(err, store.Close(ctx))
	}
	listener, err := net.Listen("tcp", s.Listen)
	if err != nil {
		return errors.Join(listenError(s.Listen, err), store.Close(ctx))
	}
	logger.Info("ready",
		"address", listener.Addr().String(),
		"data_dir", s.DataDir,
		"l1_bytes", s.L1Bytes.String(),
		"l2_bytes", s.l2BytesInUse().String(),
		"version", buildVersion(),
		"opened_in", time.Since(started).Round(time.Millisecond).String(),
		"pid", os.Getpid())
	served := make(chan error, 1)
	// The end of ctx drains like a signal does; Serve would cut clients off.
	go func() { served <- server.Serve(context.WithoutCancel(ctx), listener) }()
	if m.Ready != nil {
		m.Ready(listener.Addr().String())
	}
	stopped := false
	select {
	case <-ctx.Done():
		logger.Info("stopping", "reason", context.Cause(ctx))
	case sig := <-m.Signals:
		logger.Info("stopping: waiting for running statements, a second signal stops at once", "signal", sig.String(), "timeout", s.ShutdownTimeout)
	case err = <-served:
		stopped = true
	}
	stopErr := m.stop(s, server, store, logger)
	if !stopped {
		<-served // an error here only says that it was stopped
	}
	return errors.Join(err, stopErr)
}

// stop ends the conversations, then writes what is dirty and closes the cache (M3). Each
// of the two has its own shutdown-timeout, so that a client that does not leave cannot
// cost data its way to the disk.
func (m *Main) stop(s *settings, server *pgwire.Server, store *cache.Cache, logger *slog.Logger) error {
	started := time.Now()
	hurry, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case sig := <-m.Signals:
			logger.Warn("second signal: stopping at once", "signal", sig.String())
			cancel()
		case <-hurry.Done():
		}
	}()
	drain, cancelDrain := context.WithTimeout(hurry, s.ShutdownTimeout)
	if err := server.Shutdown(drain); err != nil {
		logger.Warn("connections were cut off", "error", err)
	}
	cancelDrain()
	flush, cancelFlush := context.WithTimeout(hurry, s.ShutdownTimeout)
	defer cancelFlush()
	if err := store.Close(flush); err != nil {
		return fmt.Errorf("close cache: %w", err)
	}
	logger.Info("stopped", "took", time.Since(started).Round(time.Millisecond))
	return nil
}

// openCache opens the disk tier, if there is one, and the cache over it.
func openCache(s *settings, logger *slog.Logger) (*cache.Cache, error) {
	clock := cache.NewClock(time.Now)
	config := cache.Config{
		Clock:         clock,
		L1BytesMax:    int64(s.L1Bytes),
		L1Policy:      string(s.L1Policy),
		NamespacesMax: s.MaxNamespaces,
		Durability:    cache.Durability(s.Durability),
		Limits:        cache.Limits{ValueBytesMax: int64(s.MaxBlobBytes)},
		Logger:        logger.With("room", "cache"),
	}
	if s.DataDir != "" {
		tier, err := l2.Open(l2.Config{
			Dir:             s.DataDir,
			BytesMax:        int64(s.L2Bytes),
			BlockCacheBytes: int64(s.L2BlockCacheBytes),
			MemTableBytes:   int64(s.L2MemTableBytes),
			Now:             clock.Now,
			FileMinBytes:    int(s.L2FileMinBytes),
			SyncInterval:    s.syncInterval(),
			Logger:          logger.With("room", "l2"),
		})
		if err != nil {
			return nil, err
		}
		config.Tier = tier
	}
	store, err := cache.Open(config)
	if err != nil {
		if config.Tier != nil {
			err = errors.Join(err, config.Tier.Close())
		}
		return nil, err
	}
	s.MaxBlobBytes = byteSize(store.Limits().ValueBytesMax) // what its default came to
	return store, nil
}

// syncInterval is how often the disk tier syncs by itself; negative: never.
func (s *settings) syncInterval() time.Duration {
	if cache.Durability(s.Durability) == cache.DurabilityOff {
		return -1
	}
	return s.DurabilityInterval
}

// listenError says what to do about an address that cannot be had.
func listenError(address string, err error) error {
	return fmt.Errorf("listen on %s: %w; is another server running there? --listen chooses another address, port 0 a free one", address, errors.Unwrap(err))
}

// l2BytesInUse is the disk budget that applies: none without a data directory.
func (s *settings) l2BytesInUse() byteSize {
	if s.DataDir == "" {
		return 0
	}
	return s.L2Bytes
}

// logger writes to w as configured.
func (s *settings) logger(w interface{ Write([]byte) (int, error) }) *slog.Logger {
	options := &slog.HandlerOptions{Level: slog.Level(s.LogLevel)}
	if s.LogFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, options))
	}
	return slog.New(slog.NewTextHandler(w, options))
}
