package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/dustin/go-humanize"

	"pgcache/l2"
)

// storageCommands are those that work on a data directory which no server has open.
type storageCommands struct {
	Check   struct{}      `cmd:"" help:"Read everything in the data directory and say what is damaged. Changes nothing."`
	Backup  backupCommand `cmd:"" help:"Copy the data directory of a stopped server. Of a running one: SELECT cache_backup('/path')."`
	Restore backupCommand `cmd:"" help:"Make the data directory of a backup, and check it. It must be missing or empty."`
}

type backupCommand struct {
	Path string `arg:"" placeholder:"DIR" help:"The backup: a directory that does not exist yet, or that a backup made."`
}

// errDamagedStore says that check has found damage, which it has printed already.
var errDamagedStore = errors.New("the data directory is damaged; a server serves what is damaged as misses and removes it")

// isStorage reports whether the command is one of storageCommands.
func (s *settings) isStorage() bool {
	switch s.command {
	case "check", "backup <path>", "restore <path>":
		return true
	}
	return false
}

// runStorage runs pgcache check, backup or restore.
func (m *Main) runStorage(ctx context.Context, s *settings) error {
	if s.DataDir == "" {
		return usagef("no data directory: name it with --data-dir or PGCACHE_DATA_DIR, as for the server")
	}
	logger := slog.New(slog.DiscardHandler)
	if s.LogLevel < logLevel(slog.LevelInfo) {
		logger = s.logger(m.Stderr)
	}
	config := s.l2Config(logger)
	switch s.command {
	case "backup <path>":
		path, err := filepath.Abs(s.storage.Backup.Path)
		if err != nil {
			return err
		}
		report, err := l2.BackupDirectory(ctx, config, path)
		if open := (*l2.OpenError)(nil); errors.As(err, &open) && errors.Is(err, l2.ErrLocked) {
			return fmt.Errorf("%w; while the server runs, ask it: SELECT cache_backup('%s')", err, path)
		}
		if err != nil {
			return err
		}
		fmt.Fprintf(m.Stdout, "%s: %d entries, %s\n", path, report.Entries, humanize.IBytes(uint64(report.Bytes)))
		return nil
	case "restore <path>":
		summary, err := l2.Restore(ctx, config, s.storage.Restore.Path, m.printFinding)
		return m.printSummary(s.DataDir, &summary, err)
	}
	summary, err := l2.Check(ctx, config, m.printFinding)
	return m.printSummary(s.DataDir, &summary, err)
}

func (m *Main) printFinding(f l2.Finding) { fmt.Fprintln(m.Stdout, f) }

func (m *Main) printSummary(dir string, c *l2.CheckSummary, err error) error {
	if err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "%s: %d namespaces, %d entries, %s, %d payload files; %d damaged, %d leftovers\n",
		dir, c.Namespaces, c.Records, humanize.IBytes(uint64(c.Bytes)), c.Files, c.Damaged, c.Leftovers)
	if c.Damaged > 0 {
		return errDamagedStore
	}
	return nil
}
