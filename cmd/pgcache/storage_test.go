package main

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// runCommand runs a command of this program to its end.
func runCommand(t *testing.T, args ...string) (code int, output string) {
	t.Helper()
	out := &lockedBuffer{}
	m := &Main{Args: args, Env: environ(), Stdout: out, Stderr: out}
	code = m.Run(context.Background())
	return code, out.String()
}

func TestCheckBackupRestore(t *testing.T) {
	root := t.TempDir()
	dir, backup, again := filepath.Join(root, "data"), filepath.Join(root, "backup"), filepath.Join(root, "again")
	expect := func(wantCode int, want string, args ...string) {
		t.Helper()
		if code, out := runCommand(t, args...); code != wantCode || !strings.Contains(out, want) {
			t.Errorf("pgcache %s: exit code %d, want %d\n%swant %q", strings.Join(args, " "), code, wantCode, out, want)
		}
	}
	p := startProgram(t, "--data-dir="+dir)
	expect(exitFailure, "locked by another process", "check", "--data-dir="+dir)
	expect(exitFailure, "SELECT cache_backup('"+backup+"')", "backup", backup, "--data-dir="+dir)
	p.signals <- syscall.SIGTERM
	if code := p.wait(t); code != exitOK {
		t.Fatalf("exit code %d", code)
	}
	expect(exitUsage, "name it with --data-dir", "check")
	expect(exitFailure, "no store", "check", "--data-dir="+filepath.Join(root, "nothing"))
	expect(exitOK, "0 damaged, 0 leftovers", "check", "--data-dir="+dir)
	expect(exitOK, "0 entries", "backup", backup, "--data-dir="+dir)
	expect(exitFailure, "exists already", "backup", backup, "--data-dir="+dir)
	expect(exitOK, "0 damaged", "restore", backup, "--data-dir="+again)
	expect(exitFailure, "holds a store already", "restore", backup, "--data-dir="+again)
	expect(exitOK, "0 damaged", "check", "--data-dir="+again)

	if err := os.RemoveAll(filepath.Join(again, "db")); err != nil {
		t.Fatal(err)
	}
	expect(exitFailure, "--on-corrupt=rename", "serve", "--data-dir="+again, "--listen=127.0.0.1:0")
	p = startProgram(t, "--data-dir="+again, "--on-corrupt=rename")
	p.waitFor(t, "moved_to")
	p.signals <- syscall.SIGTERM
	p.wait(t)
	expect(exitOK, "0 damaged", "check", "--data-dir="+again)
	if _, err := os.Stat(filepath.Join(root, "nothing")); !errors.Is(err, fs.ErrNotExist) {
		t.Error("a refused command makes a directory")
	}
}
