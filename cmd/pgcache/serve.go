package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"syscall"
	"time"

	"pgcache/cache"
	"pgcache/l2"
	"pgcache/pgwire"
)

// serve runs the server until a signal or the end of ctx asks it to stop, or until
// accepting connections fails.
func (m *Main) serve(ctx context.Context, s *settings) error {
	logger := s.logger(m.Stderr)
	defer boundHeap(m.Env)()
	defer giveBackWhenQuiet()()
	started := time.Now()
	store, err := openCache(s, logger)
	if err != nil {
		return err
	}
	server, err := newServer(s, store, started, logger)
	if err != nil {
		return errors.Join(err, store.Close(ctx))
	}
	listeners, err := s.listeners()
	if err != nil {
		return errors.Join(err, store.Close(ctx))
	}
	metrics, err := s.startMetrics(store, server, logger)
	if err != nil {
		for _, l := range listeners {
			l.Close()
		}
		return errors.Join(err, store.Close(ctx))
	}
	addresses := make([]string, len(listeners))
	for i, l := range listeners {
		addresses[i] = l.Addr().String()
	}
	served := s.serveAll(ctx, server, listeners, logger)
	metrics.setReady(true)
	logger.Info("ready",
		"address", addresses[0],
		"addresses", addresses,
		"data_dir", s.DataDir,
		"l1_bytes", s.L1Bytes.String(),
		"l2_bytes", s.l2BytesInUse().String(),
		"version", buildVersion(),
		"opened_in", time.Since(started).Round(time.Millisecond).String(),
		"pid", os.Getpid())
	if m.Ready != nil {
		m.Ready(addresses[0])
	}
	running := len(listeners)
	if err = m.waitForStop(ctx, s, server, served, logger); err != nil {
		running--
	}
	metrics.setReady(false)
	stopErr := m.stop(s, server, store, logger)
	metrics.stop(ctx)
	for range running {
		<-served // an error here only says that it was stopped
	}
	return errors.Join(err, stopErr)
}

// serveAll serves the listeners, each with its access. What becomes of each is sent to served.
func (s *settings) serveAll(ctx context.Context, server *pgwire.Server, listeners []net.Listener, logger *slog.Logger) (served chan error) {
	served = make(chan error, len(listeners))
	for i, l := range listeners {
		go func() {
			access, err := s.access(&s.Listen[i])
			if err != nil {
				served <- err // validate has asked before
				return
			}
			if access.Method != pgwire.MethodTrust && access.TLS == pgwire.TLSOff && !s.Listen[i].isLocal() {
				logger.Warn("values travel unencrypted; --tls-cert and --tls-key change that", "address", l.Addr().String())
			}
			// The end of ctx drains like a signal does; ServeAccess would cut clients off.
			served <- server.ServeAccess(context.WithoutCancel(ctx), l, access)
		}()
	}
	return served
}

// waitForStop returns when the server is to stop, with an error if that is because a
// listener has failed.
func (m *Main) waitForStop(ctx context.Context, s *settings, server *pgwire.Server, served <-chan error, logger *slog.Logger) error {
	for {
		select {
		case <-ctx.Done():
			logger.Info("stopping", "reason", context.Cause(ctx))
			return nil
		case sig := <-m.Signals:
			if sig == syscall.SIGHUP {
				s.reload(server, logger)
				continue
			}
			logger.Info("stopping: waiting for running statements, a second signal stops at once", "signal", sig.String(), "timeout", s.ShutdownTimeout)
			return nil
		case err := <-served:
			return errors.Join(errors.New("a listener has stopped"), err)
		}
	}
}

// stop ends the conversations, then writes what is dirty and closes the cache (M3). Each
// of the two has its own shutdown-timeout, so that a client that does not leave cannot
// cost data its way to the disk.
func (m *Main) stop(s *settings, server *pgwire.Server, store *cache.Cache, logger *slog.Logger) error {
	started := time.Now()
	hurry, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		for {
			select {
			case sig := <-m.Signals:
				if sig == syscall.SIGHUP {
					continue
				}
				logger.Warn("second signal: stopping at once", "signal", sig.String())
				cancel()
				return
			case <-hurry.Done():
				return
			}
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
	clock := cache.SystemClock()
	config := cache.Config{
		Clock:             clock,
		L1BytesMax:        int64(s.L1Bytes),
		L1Policy:          string(s.L1Policy),
		NamespacesMax:     s.MaxNamespaces,
		HistoryInterval:   orNever(s.StatsHistoryInterval),
		PromoteOn:         cache.PromoteOn(s.L2PromoteOn),
		PromotionWorkers:  s.L2PromotionWorkers,
		PromotionQueueMax: s.L2PromotionQueue,
		Durability:        cache.Durability(s.Durability),
		Limits:            cache.Limits{ValueBytesMax: int64(s.MaxBlobBytes)},
		Logger:            logger.With("room", "cache"),
	}
	if s.DataDir != "" {
		l2Config := s.l2Config(logger)
		l2Config.Now = clock.Now
		tier, err := l2.OpenTier(l2Config)
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

// l2Config is the disk tier as configured.
func (s *settings) l2Config(logger *slog.Logger) l2.Config {
	ballastBytes := min(int64(s.L2BallastBytes), int64(s.L2Bytes)/16)
	if ballastBytes == 0 {
		ballastBytes = -1 // none; zero would be the default
	}
	return l2.Config{
		Dir:             s.DataDir,
		BytesMax:        int64(s.L2Bytes),
		BlockCacheBytes: int64(s.L2BlockCacheBytes),
		MemTableBytes:   int64(s.L2MemTableBytes),
		FileMinBytes:    int(s.L2FileMinBytes),
		FreeBytesMin:    int64(s.L2FreeBytesMin),
		BallastBytes:    ballastBytes,
		RenameCorrupt:   s.OnCorrupt == "rename",
		SyncInterval:    s.syncInterval(),
		Logger:          logger.With("room", "l2"),
	}
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
	hint := "is another server running there? --listen chooses another address, port 0 a free one"
	switch {
	case errors.Is(err, fs.ErrNotExist):
		hint = "make the directory of the socket first"
	case errors.Is(err, fs.ErrPermission):
		hint = "the user that runs pgcache needs the right to it"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = "no interface of this machine has the address"
	}
	return fmt.Errorf("listen on %s: %w; %s", address, errors.Unwrap(err), hint)
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

// orNever is a duration as the rooms take it, for which 0 is the default and not "never".
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}
