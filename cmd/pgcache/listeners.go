package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"pgcache/pgwire"
)

// listenAddress is one place where clients connect, as --listen writes it:
// HOST:PORT or an absolute directory for a Unix socket, and options behind commas.
type listenAddress struct {
	text string
	// network is "tcp", with host and port in address, or "unix", with the directory there.
	network, address string
	port             string // of a Unix socket's name
	auth, tls        string // empty: the default
}

// unixPortDefault is the port in the name of a Unix socket if none is given.
const unixPortDefault = "7432"

// UnmarshalText reads ADDRESS[,auth=trust|scram|cert][,tls=off|allow|require][,port=N].
func (l *listenAddress) UnmarshalText(text []byte) error {
	*l = listenAddress{text: string(text), network: "tcp", port: unixPortDefault}
	address, options, _ := strings.Cut(l.text, ",")
	l.address = address
	if filepath.IsAbs(address) {
		l.network = "unix"
	} else if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%q is no address: write it as HOST:PORT, like 127.0.0.1:7432, or as the absolute directory of a Unix socket", address)
	}
	for options != "" {
		var option string
		option, options, _ = strings.Cut(options, ",")
		name, value, _ := strings.Cut(option, "=")
		switch {
		case name == "auth" && (value == "trust" || value == "scram" || value == "cert"):
			l.auth = value
		case name == "tls" && (value == "off" || value == "allow" || value == "require"):
			l.tls = value
		case name == "port" && l.network == "unix" && isPort(value):
			l.port = value
		default:
			return fmt.Errorf("%q of %s is no option: write auth=trust, scram or cert, tls=off, allow or require, or for Unix sockets port=7432", option, address)
		}
	}
	return nil
}

func isPort(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n > 0 && n < 1<<16
}

func (l listenAddress) String() string { return l.text }

// isLocal reports that only this machine can reach the address.
func (l *listenAddress) isLocal() bool {
	if l.network == "unix" {
		return true
	}
	host, _, _ := net.SplitHostPort(l.address)
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// access is how clients get in there, with the defaults filled in: a password if there are
// users, and TLS if there is a certificate, which other machines must use.
func (s *settings) access(l *listenAddress) (pgwire.Access, error) {
	auth, mode := l.auth, l.tls
	if auth == "" && s.UsersFile == "" {
		auth = "trust"
	}
	if mode == "" {
		switch {
		case s.TLSCert == "" || l.network == "unix":
			mode = "off"
		case l.isLocal() && auth != "cert":
			mode = "allow"
		default:
			mode = "require"
		}
	}
	switch {
	case auth == "trust" && l.auth == "" && !l.isLocal():
		return pgwire.Access{}, usagef("listen is %q: refused without authentication, because everybody who reaches that address could read and "+
			"change the cache; add users with pgcache user add and name the file with --users-file, or listen on 127.0.0.1, [::1], localhost or a Unix socket", l.text)
	case auth != "trust" && s.UsersFile == "":
		return pgwire.Access{}, usagef("listen is %q: auth=%s needs users; add some with pgcache user add and name the file with --users-file", l.text, auth)
	case mode != "off" && l.network == "unix":
		return pgwire.Access{}, usagef("listen is %q: there is no TLS on Unix sockets", l.text)
	case mode != "off" && s.TLSCert == "":
		return pgwire.Access{}, usagef("listen is %q: tls=%s needs --tls-cert and --tls-key", l.text, mode)
	case auth == "cert" && (mode != "require" || s.TLSClientCA == ""):
		return pgwire.Access{}, usagef("listen is %q: auth=cert needs tls=require and --tls-client-ca", l.text)
	}
	a := pgwire.Access{Method: pgwire.MethodSCRAM, TrustAnyone: l.auth == "trust"}
	switch auth {
	case "trust":
		a.Method = pgwire.MethodTrust
	case "cert":
		a.Method = pgwire.MethodCertificate
	}
	switch mode {
	case "allow":
		a.TLS = pgwire.TLSAllow
	case "require":
		a.TLS = pgwire.TLSRequire
	}
	return a, nil
}

// listeners opens all listeners, or none.
func (s *settings) listeners() (_ []net.Listener, err error) {
	var open []net.Listener
	defer func() {
		if err != nil {
			for _, l := range open {
				l.Close()
			}
		}
	}()
	for i := range s.Listen {
		var listener net.Listener
		if s.Listen[i].network == "unix" {
			listener, err = s.listenUnix(&s.Listen[i])
		} else {
			listener, err = net.Listen("tcp", s.Listen[i].address)
		}
		if err != nil {
			return nil, listenError(s.Listen[i].text, err)
		}
		open = append(open, listener)
	}
	return open, nil
}

// listenUnix opens the Unix socket .s.PGSQL.<port> in a directory, where libpq looks for it. A
// socket that a crash has left behind is replaced, one that is served is not.
func (s *settings) listenUnix(l *listenAddress) (net.Listener, error) {
	path := filepath.Join(l.address, ".s.PGSQL."+l.port)
	listener, err := net.Listen("unix", path)
	if errors.Is(err, syscall.EADDRINUSE) {
		if served, dialErr := net.DialTimeout("unix", path, time.Second); dialErr == nil {
			served.Close()
			return nil, err
		}
		if info, statErr := os.Lstat(path); statErr != nil || info.Mode().Type() != os.ModeSocket {
			return nil, err
		}
		if err := os.Remove(path); err != nil {
			return nil, err
		}
		listener, err = net.Listen("unix", path)
	}
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, os.FileMode(s.UnixSocketMode)); err != nil {
		listener.Close()
		return nil, err
	}
	return listener, nil
}

// fileMode is the permission bits of a file, in octal.
type fileMode os.FileMode

// UnmarshalText reads an octal number.
func (m *fileMode) UnmarshalText(text []byte) error {
	n, err := strconv.ParseUint(string(text), 8, 32)
	if err != nil || n > 0o777 {
		return fmt.Errorf("%q is no file mode: write it in octal, like 0770", text)
	}
	*m = fileMode(n)
	return nil
}

func (m fileMode) String() string { return fmt.Sprintf("%04o", uint32(m)) }
