package main

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"pgcache/pgwire"
	"pgcache/pgwire/scram"
	"pgcache/sqlmap"
)

const (
	// usersFileBytesMax bounds the users file: some ten thousand users.
	usersFileBytesMax = 4 << 20
	// userNameBytesMax is the longest name PostgreSQL has, which clients may rely on.
	userNameBytesMax = 63
	secretBytes      = 32
)

const usersFileHead = "# The users of pgcache. pgcache user add, remove and list manage this file; SIGHUP makes the server read it again.\n"

// usersFile is the content of the users file.
type usersFile struct {
	// Secret is what unknown users are asked with, so that they look like known ones.
	Secret string               `yaml:"secret,omitempty"`
	Users  map[string]userEntry `yaml:"users"`
}

// userEntry is a user as the file has it. Passwords are verifiers in PostgreSQL's format.
type userEntry struct {
	Role         string   `yaml:"role"`
	Namespaces   []string `yaml:"namespaces,omitempty,flow"`
	Password     string   `yaml:"password,omitempty"`
	Certificates []string `yaml:"certificates,omitempty,flow"`
}

// readUsers reads a users file.
func readUsers(path string) (*usersFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, usersFileBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	if len(content) > usersFileBytesMax {
		return nil, fmt.Errorf("users file: %s is larger than %d bytes", path, usersFileBytesMax)
	}
	users := &usersFile{}
	decoder := yaml.NewDecoder(bytes.NewReader(content))
	decoder.KnownFields(true)
	if err := decoder.Decode(users); err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("users file: %s: %s", path, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if users.Users == nil {
		users.Users = make(map[string]userEntry)
	}
	if _, err := users.accounts(); err != nil {
		return nil, fmt.Errorf("users file: %s: %w", path, err)
	}
	return users, nil
}

// accounts are the users as the server takes them.
func (u *usersFile) accounts() (*pgwire.Accounts, error) {
	secret, err := base64.StdEncoding.DecodeString(u.Secret)
	if err != nil {
		return nil, errors.New("secret is not base64")
	}
	list := make([]pgwire.Account, 0, len(u.Users))
	for name, entry := range u.Users {
		account, err := entry.account(name)
		if err != nil {
			return nil, fmt.Errorf("user %q: %w", name, err)
		}
		list = append(list, account)
	}
	return pgwire.NewAccounts(list, secret), nil
}

func (e *userEntry) account(name string) (pgwire.Account, error) {
	a := pgwire.Account{Name: name, CertificateNames: e.Certificates}
	if name == "" || len(name) > userNameBytesMax || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return a, fmt.Errorf("a name has 1 to %d bytes and no control characters", userNameBytesMax)
	}
	if sqlmap.IsReservedUser(name) {
		return a, errors.New("the name is reserved: roles of the catalog have such names")
	}
	role, ok := pgwire.ParseRole(e.Role)
	if !ok {
		return a, fmt.Errorf("role is %q: write %s", e.Role, strings.Join(pgwire.RoleNames(), ", "))
	}
	a.Identity = pgwire.Identity{Role: role, Namespaces: e.Namespaces}
	if slices.Contains(e.Namespaces, "") {
		return a, errors.New("an empty namespace prefix means all of them: leave namespaces out for that")
	}
	if e.Namespaces != nil && len(e.Namespaces) == 0 {
		return a, errors.New("namespaces is an empty list: leave it out for all namespaces")
	}
	if e.Password != "" {
		var err error
		if a.Verifier, err = scram.ParseVerifier(e.Password); err != nil {
			return a, fmt.Errorf("password: %w; pgcache user add makes one, PostgreSQL's pg_authid.rolpassword has them too", err)
		}
	}
	return a, nil
}

// write replaces the file in one step: a reader finds the old one or the new one, whole, and
// nobody but its owner can read it.
func (u *usersFile) write(path string) (err error) {
	if u.Secret == "" {
		secret := make([]byte, secretBytes)
		if _, err := rand.Read(secret); err != nil {
			return err
		}
		u.Secret = base64.StdEncoding.EncodeToString(secret)
	}
	content, err := yaml.Marshal(u)
	if err != nil {
		return fmt.Errorf("users file: %w", err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(path), ".pgcache-users-*") // mode 0600
	if err != nil {
		return fmt.Errorf("users file: %w", err)
	}
	defer func() {
		if err != nil {
			os.Remove(temporary.Name())
			err = fmt.Errorf("users file: %w", err)
		}
	}()
	_, err = temporary.WriteString(usersFileHead + string(content))
	err = errors.Join(err, temporary.Sync(), temporary.Close())
	if err != nil {
		return err
	}
	if err := os.Rename(temporary.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// syncFolder makes a rename survive a crash.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// readUsersOrNone is readUsers for a file that may not be there yet.
func readUsersOrNone(path string) (*usersFile, error) {
	users, err := readUsers(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &usersFile{Users: make(map[string]userEntry)}, nil
	}
	return users, err
}

// isExposed reports that others than the owner and the group can read a file.
func isExposed(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().Perm()&0o007 != 0
}
