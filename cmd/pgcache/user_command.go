package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"pgcache/pgwire/scram"
)

// passwordBytesMax bounds a password read from standard input.
const passwordBytesMax = 1024

// userCommand is pgcache user: it manages the users file.
type userCommand struct {
	Add    userAdd    `cmd:"" help:"Add a user, or change one with --replace. Asks for the password, or reads it from standard input."`
	Remove userRemove `cmd:"" help:"Remove a user."`
	List   struct{}   `cmd:"" help:"List the users."`
}

type userAdd struct {
	Name        string   `arg:"" help:"The user's name."`
	Role        string   `enum:",readonly,readwrite,admin" default:"" placeholder:"ROLE" help:"What the user may do: readonly, readwrite (of new users, if it is not given) or admin."`
	Namespace   []string `sep:"none" placeholder:"PREFIX" xor:"namespaces" help:"Limit the user to namespaces that begin with this. May be repeated."`
	All         bool     `name:"all-namespaces" xor:"namespaces" help:"Limit the user to no namespaces, as new ones are without --namespace."`
	Certificate []string `sep:"none" placeholder:"NAME" help:"Common name of a client certificate that lets the user in where auth=cert; the user's name if none is given. May be repeated."`
	Verifier    string   `placeholder:"TEXT" help:"Take this SCRAM-SHA-256 verifier, as pg_authid.rolpassword of PostgreSQL has it, in place of a password."`
	NoPassword  bool     `help:"No password: only a certificate lets the user in."`
	Iterations  int      `default:"4096" help:"Cost of trying passwords, for the client too."`
	Replace     bool     `help:"Change the user, if there is one of this name: the password, and of role, namespaces and certificates what is given."`
}

type userRemove struct {
	Name string `arg:"" help:"The user's name."`
}

// runUser runs pgcache user.
func (m *Main) runUser(s *settings) error {
	if s.UsersFile == "" {
		return usagef("no users file: name it with --users-file or PGCACHE_USERS_FILE, as for the server")
	}
	switch {
	case strings.HasPrefix(s.command, "user add"):
		return m.addUser(s.UsersFile, &s.user.Add)
	case strings.HasPrefix(s.command, "user remove"):
		return m.removeUser(s.UsersFile, s.user.Remove.Name)
	}
	return m.listUsers(s.UsersFile)
}

func (m *Main) addUser(path string, add *userAdd) error {
	users, err := readUsersOrNone(path)
	if err != nil {
		return err
	}
	if _, exists := users.Users[add.Name]; exists && !add.Replace {
		return usagef("user %q exists; --replace sets its password anew, and what else is given", add.Name)
	}
	entry := add.entry(users.Users[add.Name])
	if _, err := entry.account(add.Name); err != nil {
		return usagef("user %q: %v", add.Name, err)
	}
	if add.Verifier == "" && !add.NoPassword {
		password, err := m.password(add.Name)
		if err != nil {
			return err
		}
		verifier, err := scram.NewVerifier(password, add.Iterations, rand.Reader)
		if err != nil {
			return usagef("user %q: %v", add.Name, err)
		}
		entry.Password = verifier.String()
	}
	users.Users[add.Name] = entry
	if err := users.write(path); err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "%s is in %s; a running server reads it on SIGHUP\n", add.Name, path)
	return nil
}

// entry is the user as it will be. What is not given stays as it was, so that nobody gains rights
// by what was forgotten.
func (add *userAdd) entry(was userEntry) userEntry {
	entry := userEntry{Role: was.Role, Namespaces: was.Namespaces, Certificates: was.Certificates, Password: add.Verifier}
	switch {
	case add.Role != "":
		entry.Role = add.Role
	case entry.Role == "":
		entry.Role = "readwrite"
	}
	switch {
	case add.All:
		entry.Namespaces = nil
	case add.Namespace != nil:
		entry.Namespaces = add.Namespace
	}
	if add.Certificate != nil {
		entry.Certificates = add.Certificate
	}
	return entry
}

// password asks for a password twice if a terminal is there, else reads a line.
func (m *Main) password(user string) (string, error) {
	file, isFile := m.Stdin.(*os.File)
	if !isFile || !term.IsTerminal(int(file.Fd())) {
		line, err := bufio.NewReader(io.LimitReader(m.Stdin, passwordBytesMax+1)).ReadString('\n')
		if err != nil && err != io.EOF {
			return "", fmt.Errorf("read password: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		if line == "" || len(line) > passwordBytesMax {
			return "", usagef("a password has 1 to %d bytes; write it to standard input", passwordBytesMax)
		}
		return line, nil
	}
	ask := func(prompt string) (string, error) {
		fmt.Fprint(m.Stderr, prompt)
		password, err := term.ReadPassword(int(file.Fd()))
		fmt.Fprintln(m.Stderr)
		return string(password), err
	}
	first, err := ask("Password for " + user + ": ")
	if err != nil {
		return "", fmt.Errorf("read password: %w", err)
	}
	again, err := ask("The same again: ")
	switch {
	case err != nil:
		return "", fmt.Errorf("read password: %w", err)
	case first == "":
		return "", usagef("a password must not be empty")
	case first != again:
		return "", usagef("the passwords differ")
	}
	return first, nil
}

func (m *Main) removeUser(path, name string) error {
	users, err := readUsers(path)
	if err != nil {
		return err
	}
	if _, exists := users.Users[name]; !exists {
		return fmt.Errorf("there is no user %q in %s", name, path)
	}
	delete(users.Users, name)
	if err := users.write(path); err != nil {
		return err
	}
	fmt.Fprintf(m.Stdout, "%s is removed from %s; a running server reads it on SIGHUP\n", name, path)
	return nil
}

func (m *Main) listUsers(path string) error {
	users, err := readUsers(path)
	if err != nil {
		return err
	}
	out := tabwriter.NewWriter(m.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(out, "NAME\tROLE\tNAMESPACES\tPASSWORD\tCERTIFICATES")
	for _, name := range slices.Sorted(maps.Keys(users.Users)) {
		e := users.Users[name]
		namespaces, password, certificates := "all", "no", name
		if e.Namespaces != nil {
			namespaces = strings.Join(e.Namespaces, " ")
		}
		if e.Password != "" {
			password = "yes"
		}
		if len(e.Certificates) > 0 {
			certificates = strings.Join(e.Certificates, " ")
		}
		fmt.Fprintf(out, "%s\t%s\t%s\t%s\t%s\n", name, e.Role, namespaces, password, certificates)
	}
	if err := out.Flush(); err != nil {
		return errors.New("write the list: " + err.Error())
	}
	return nil
}
