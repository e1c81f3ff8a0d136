package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"pgcache/pgwire"
)

// loadAccounts reads the users; nil without a users file.
func (s *settings) loadAccounts(logger *slog.Logger) (*pgwire.Accounts, error) {
	if s.UsersFile == "" {
		return nil, nil
	}
	users, err := readUsers(s.UsersFile)
	if err != nil {
		return nil, err
	}
	if isExposed(s.UsersFile) {
		logger.Warn("everybody on this machine can read the users file; chmod 600 or 640", "file", s.UsersFile)
	}
	if len(users.Users) == 0 {
		logger.Warn("the users file has no users: nobody can connect", "file", s.UsersFile)
	}
	return users.accounts()
}

// loadEncryption reads the certificate; nil without one.
func (s *settings) loadEncryption() (*pgwire.Encryption, error) {
	if s.TLSCert == "" {
		return nil, nil
	}
	certificate, err := tls.LoadX509KeyPair(s.TLSCert, s.TLSKey)
	if err != nil {
		return nil, fmt.Errorf("tls-cert, tls-key: %w", err)
	}
	var clients *x509.CertPool
	if s.TLSClientCA != "" {
		pem, err := os.ReadFile(s.TLSClientCA)
		if err != nil {
			return nil, fmt.Errorf("tls-client-ca: %w", err)
		}
		clients = x509.NewCertPool()
		if !clients.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("tls-client-ca: %s holds no certificate", s.TLSClientCA)
		}
	}
	return pgwire.NewEncryption(certificate, clients)
}

// reload reads users and certificate again. What cannot be read stays as it was.
func (s *settings) reload(server *pgwire.Server, logger *slog.Logger) {
	accounts, err := s.loadAccounts(logger)
	failed := err
	switch {
	case err != nil:
		logger.Error("reload: the users stay as they were", "error", err)
	case accounts != nil:
		server.SetAccounts(accounts)
	}
	encryption, err := s.loadEncryption()
	switch {
	case err != nil:
		logger.Error("reload: the certificate stays as it was", "error", err)
	case encryption != nil:
		server.SetEncryption(encryption)
	}
	if failed = errors.Join(failed, err); failed != nil {
		return
	}
	logger.Info("reloaded", "users_file", s.UsersFile, "tls_cert", s.TLSCert)
}
