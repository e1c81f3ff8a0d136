package pgwire

import (
	"crypto/rand"
	"slices"

	"pgcache/pgwire/scram"
)

// Account is a user who may connect.
type Account struct {
	Name     string
	Identity Identity
	// Verifier is what is kept of the password; nil: no password lets this user in.
	Verifier *scram.Verifier
	// CertificateNames are the common names of client certificates that let this user in
	// where certificates do; none means the user's own name.
	CertificateNames []string
}

func (a *Account) equal(b *Account) bool {
	return a.Name == b.Name && a.Identity.Role == b.Identity.Role && slices.Equal(a.Identity.Namespaces, b.Identity.Namespaces) &&
		(a.Identity.Namespaces == nil) == (b.Identity.Namespaces == nil) &&
		a.Verifier.Equal(b.Verifier) && slices.Equal(a.CertificateNames, b.CertificateNames)
}

// acceptsCertificate reports that a certificate with this common name is the user's.
func (a *Account) acceptsCertificate(commonName string) bool {
	if len(a.CertificateNames) == 0 {
		return commonName == a.Name
	}
	return slices.Contains(a.CertificateNames, commonName)
}

// Accounts are the users of a server. Immutable: a server is given new ones by SetAccounts.
type Accounts struct {
	byName map[string]*Account
	// secret is what unknown users' salts are made of.
	secret []byte
}

// NewAccounts makes Accounts of a list. secret should stay the same across restarts, or a
// restart tells which users exist; empty means a random one.
func NewAccounts(list []Account, secret []byte) *Accounts {
	if len(secret) == 0 {
		secret = make([]byte, mockSecretBytes)
		_, _ = rand.Read(secret) // never fails
	}
	a := &Accounts{byName: make(map[string]*Account, len(list)), secret: secret}
	for i := range list {
		a.byName[list[i].Name] = &list[i]
	}
	return a
}

// Each calls f with the name of each user and what it may do, in no order.
func (a *Accounts) Each(f func(name string, identity Identity)) {
	for name, account := range a.byName {
		f(name, account.Identity)
	}
}

func (a *Accounts) find(name string) *Account {
	if a == nil {
		return nil
	}
	return a.byName[name]
}

// verifier is what a user must prove to know; nobody can for an unknown one (A2 of scram).
func (a *Accounts) verifier(name string) *scram.Verifier {
	if account := a.find(name); account != nil && account.Verifier != nil {
		return account.Verifier
	}
	return scram.MockVerifier(a.secret, name)
}

// SetAccounts replaces the users. Sessions of users who are gone or changed are ended with
// 57P01: their rights are not what they were.
func (s *Server) SetAccounts(accounts *Accounts) {
	s.accounts.Store(accounts)
	s.mu.Lock()
	conns := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	s.mu.Unlock()
	for _, c := range conns {
		if c.info.Load() != nil { // else it looks for itself once it has a session
			c.checkAccount()
		}
	}
}

// checkAccount ends the connection if its account is not what it was.
func (c *conn) checkAccount() {
	if c.account == nil {
		return // trusted without an account
	}
	if now := c.server.accounts.Load().find(c.account.Name); now == nil || !now.equal(c.account) {
		e := errShutdown()
		e.Detail = "User \"" + c.account.Name + "\" was changed or removed."
		c.end(e)
	}
}
