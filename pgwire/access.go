package pgwire

import (
	"errors"
	"fmt"
	"net"
)

// Access is how the clients of one listener get in.
type Access struct {
	Method AuthMethod
	TLS    TLSMode
	// TrustAnyone allows MethodTrust where other machines can reach the listener. It has to
	// be spelled out.
	TrustAnyone bool
}

// AuthMethod is how clients show who they are.
type AuthMethod uint8

const (
	// MethodTrust believes them. Without Accounts everybody is an administrator, else only
	// users with an account get in.
	MethodTrust AuthMethod = iota
	// MethodSCRAM asks for a password, by SCRAM-SHA-256.
	MethodSCRAM
	// MethodCertificate wants a TLS certificate signed by a known authority.
	MethodCertificate
)

// TLSMode is whether a listener's connections are encrypted. On Unix sockets they never are.
type TLSMode uint8

const (
	TLSOff     TLSMode = iota
	TLSAllow           // if the client wants
	TLSRequire         // or no connection
)

// check refuses what would leave the listener open, or open to nobody.
func (a Access) check(addr net.Addr, s *Server) error {
	encryption := s.encryption.Load()
	switch {
	case a.Method == MethodTrust && !a.TrustAnyone && !isLocal(addr):
		return fmt.Errorf("pgwire: listen on %s: other machines can reach it, so it needs authentication", addr)
	case a.Method != MethodTrust && s.accounts.Load() == nil:
		return fmt.Errorf("pgwire: listen on %s: authentication needs users", addr)
	case a.TLS != TLSOff && encryption == nil:
		return fmt.Errorf("pgwire: listen on %s: TLS needs a certificate", addr)
	case a.TLS != TLSOff && addr.Network() == "unix":
		return fmt.Errorf("pgwire: listen on %s: there is no TLS on Unix sockets", addr)
	case a.Method == MethodCertificate && (a.TLS != TLSRequire || encryption.config.ClientCAs == nil):
		return errors.New("pgwire: authentication by certificate needs TLS for all and a certificate authority for clients")
	}
	return nil
}

// isLocal reports that only this machine can reach an address.
func isLocal(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.UnixAddr:
		return true
	case *net.TCPAddr:
		return a.IP.IsLoopback()
	}
	return addr.Network() == "pipe" // inside this process
}
