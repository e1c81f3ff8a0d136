package e2e

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// refused runs the server with arguments that it must refuse, and returns what it says.
func refused(t *testing.T, exitCode int, args ...string) string {
	t.Helper()
	c := command(args...)
	var stderr strings.Builder
	c.Stderr = &stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	tooLate := time.AfterFunc(patience, func() { c.Process.Kill() })
	err := c.Wait()
	tooLate.Stop()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitCode {
		t.Errorf("%v ended with %v, want exit code %d\n%s", args, err, exitCode, stderr.String())
	}
	said := strings.Split(strings.TrimSuffix(stderr.String(), "\n"), "\n")
	last := said[len(said)-1]
	if !strings.HasPrefix(last, "pgcache: ") {
		t.Errorf("%v: the last line is not the reason: %q", args, last)
	}
	return last
}

// fingerprint is the content of a directory, without the lock file and logs, which opening
// may touch.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	hash := sha256.New()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == "LOCK" {
			return err
		}
		content, err := os.ReadFile(path)
		fmt.Fprintf(hash, "%s %d\n%s", path, len(content), content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", hash.Sum(nil))
}

func TestRefusedSettings(t *testing.T) {
	tests := []struct {
		args []string
		code int
		want []string
	}{
		{[]string{"--listen=0.0.0.0:0"}, 2, []string{"without authentication", "127.0.0.1"}},
		{[]string{"--l1-bytes=many"}, 2, []string{"l1-bytes", "256MiB"}},
		{[]string{"--nonsense"}, 2, []string{"--nonsense"}},
		{[]string{"--config=/nonexistent.yaml"}, 2, []string{"/nonexistent.yaml"}},
		{[]string{"--data-dir=/proc/nonexistent/x"}, 1, []string{"/proc/nonexistent/x"}},
	}
	for _, test := range tests {
		said := refused(t, test.code, test.args...)
		for _, want := range test.want {
			if !strings.Contains(said, want) {
				t.Errorf("%v: %q does not mention %q", test.args, said, want)
			}
		}
	}
}

func TestPortInUse(t *testing.T) {
	s := start(t)
	said := refused(t, 1, "--listen="+s.address)
	if !strings.Contains(said, s.address) || !strings.Contains(said, "in use") || !strings.Contains(said, "--listen") {
		t.Errorf("says %q", said)
	}
}

func TestDataDirectoryInUse(t *testing.T) {
	dir := t.TempDir()
	s := start(t, "--data-dir="+dir)
	said := refused(t, 1, "--data-dir="+dir)
	if !strings.Contains(said, dir) || !strings.Contains(said, "another process") {
		t.Errorf("says %q", said)
	}
	if _, err := s.connect(t).Exec(testContext(t), putStatement, "a", "k", []byte("v")); err != nil {
		t.Errorf("the first server suffered: %v", err)
	}
}

// TestRefusedDataDirectories spoils a good directory in every way, and wants the reason
// and an unchanged directory.
func TestRefusedDataDirectories(t *testing.T) {
	write := func(t *testing.T, path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	manifest := func(t *testing.T, dir string) string {
		t.Helper()
		found, err := filepath.Glob(filepath.Join(dir, "db", "MANIFEST-*"))
		if err != nil || len(found) == 0 {
			t.Fatalf("no manifest: %v", err)
		}
		return found[len(found)-1]
	}
	tests := []struct {
		name  string
		spoil func(t *testing.T, dir string)
		want  string
	}{
		{"foreign", func(t *testing.T, dir string) {
			if err := os.RemoveAll(filepath.Join(dir, "FORMAT")); err != nil {
				t.Fatal(err)
			}
		}, "not a pgcache data directory"},
		{"someone else's FORMAT", func(t *testing.T, dir string) {
			write(t, filepath.Join(dir, "FORMAT"), "PDF-1.7\n")
		}, "not a pgcache data directory"},
		{"newer", func(t *testing.T, dir string) {
			path := filepath.Join(dir, "FORMAT")
			content, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			newer := regexp.MustCompile(`format \d+\n`).ReplaceAllString(string(content), "format 999\n")
			if newer == string(content) {
				t.Fatalf("FORMAT has no format: %s", content)
			}
			write(t, path, newer)
		}, "newer version"},
		{"manifest overwritten", func(t *testing.T, dir string) {
			write(t, manifest(t, dir), strings.Repeat("garbage ", 1000))
		}, "damaged"},
		{"manifest lost", func(t *testing.T, dir string) {
			if err := os.Remove(manifest(t, dir)); err != nil {
				t.Fatal(err)
			}
		}, "damaged"},
		{"table lost", func(t *testing.T, dir string) {
			found, err := filepath.Glob(filepath.Join(dir, "db", "*.sst"))
			if err != nil || len(found) == 0 {
				t.Fatalf("no table: %v", err)
			}
			for _, path := range found {
				if err := os.Remove(path); err != nil {
					t.Fatal(err)
				}
			}
		}, "damaged"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "data")
			s := start(t, "--data-dir="+dir)
			ctx, c := testContext(t), s.connect(t)
			for i := range 100 {
				put(ctx, t, c, "a", fmt.Sprintf("k%d", i), i)
			}
			s.stop(t)
			test.spoil(t, dir)
			before := fingerprint(t, dir)
			said := refused(t, 1, "--data-dir="+dir)
			if !strings.Contains(said, test.want) || !strings.Contains(said, dir) {
				t.Errorf("says %q, want %q and the directory", said, test.want)
			}
			if fingerprint(t, dir) != before {
				t.Error("the refused directory was changed")
			}
		})
	}
	t.Run("a file", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "file")
		write(t, path, "precious")
		if said := refused(t, 1, "--data-dir="+path); !strings.Contains(said, path) {
			t.Errorf("says %q", said)
		}
		if content, err := os.ReadFile(path); err != nil || string(content) != "precious" {
			t.Errorf("the file holds %q, %v", content, err)
		}
	})
	t.Run("someone's documents", func(t *testing.T) {
		dir := t.TempDir()
		write(t, filepath.Join(dir, "thesis.tex"), "precious")
		before := fingerprint(t, dir)
		if said := refused(t, 1, "--data-dir="+dir); !strings.Contains(said, "not a pgcache data directory") {
			t.Errorf("says %q", said)
		}
		if fingerprint(t, dir) != before {
			t.Error("the directory was changed")
		}
	})
}
