package pgwire

import (
	"context"
	"crypto"
	_ "crypto/sha256" // for certificates signed with it
	_ "crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"fmt"
)

// alpnProtocol is what PostgreSQL clients name in ALPN.
const alpnProtocol = "postgresql"

// Encryption is a certificate to serve TLS with. Immutable: a server is given a new one by
// SetEncryption, for the connections from then on.
type Encryption struct {
	config *tls.Config
	// binding is the certificate's hash for channel binding (tls-server-end-point); nil if
	// its signature algorithm has none.
	binding []byte
}

// NewEncryption makes an Encryption. Clients may show certificates signed by clientCAs; nil:
// they are not asked for one.
func NewEncryption(certificate tls.Certificate, clientCAs *x509.CertPool) (*Encryption, error) {
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		return nil, fmt.Errorf("pgwire: parse certificate: %w", err)
	}
	e := &Encryption{
		config: &tls.Config{
			Certificates:                []tls.Certificate{certificate},
			MinVersion:                  tls.VersionTLS12,
			NextProtos:                  []string{alpnProtocol},
			ClientCAs:                   clientCAs,
			SessionTicketsDisabled:      true, // a resumed session would outlive what its client's certificate allowed
			DynamicRecordSizingDisabled: true, // replies are written in batches
		},
		binding: certificateHash(leaf),
	}
	if clientCAs != nil {
		e.config.ClientAuth = tls.VerifyClientCertIfGiven
	}
	return e, nil
}

// certificateHash is tls-server-end-point of RFC 5929: the hash of the certificate by its
// signature's hash function, SHA-256 in place of MD5 and SHA-1.
func certificateHash(leaf *x509.Certificate) []byte {
	hash := crypto.SHA256
	switch leaf.SignatureAlgorithm {
	case x509.SHA384WithRSA, x509.ECDSAWithSHA384, x509.SHA384WithRSAPSS:
		hash = crypto.SHA384
	case x509.SHA512WithRSA, x509.ECDSAWithSHA512, x509.SHA512WithRSAPSS:
		hash = crypto.SHA512
	case x509.PureEd25519, x509.UnknownSignatureAlgorithm:
		return nil // has no such hash, or we do not know it
	}
	h := hash.New()
	h.Write(leaf.Raw)
	return h.Sum(nil)
}

// SetEncryption replaces the certificate.
func (s *Server) SetEncryption(e *Encryption) { s.encryption.Store(e) }

// encrypt makes the connection a TLS connection. isDirect: without an SSLRequest, as since
// PostgreSQL 17, which takes ALPN as the proof that PostgreSQL is meant.
func (c *conn) encrypt(isDirect bool) error {
	e := c.server.encryption.Load()
	input := &tlsInput{Conn: c.socket, pool: c.server.pool}
	if isDirect {
		input.replay = c.reader.takeAll()
	}
	c.reader.close()
	transport := tls.Server(input, e.config)
	input.tls = transport
	// Deadlines set on the socket hold for the handshake too. It has a goroutine of its own for
	// the stack that it needs, which the connection's would keep.
	shaken := make(chan error, 1)
	go func() {
		defer func() {
			if v := recover(); v != nil {
				shaken <- fmt.Errorf("pgwire: panic in a TLS handshake: %v", v)
			}
		}()
		shaken <- transport.HandshakeContext(context.Background())
	}()
	if err := <-shaken; err != nil {
		c.log().Debug("TLS handshake failed", "error", err)
		return errClosed // there is no way to tell the client more than its library did
	}
	state := transport.ConnectionState()
	if isDirect && state.NegotiatedProtocol != alpnProtocol {
		return errClosed
	}
	if len(state.VerifiedChains) > 0 {
		c.peerName = state.VerifiedChains[0][0].Subject.CommonName
	}
	c.encryption, c.transport = e, transport
	input.handshaken()
	c.reader.decrypt(input)
	c.reply.writer = transport
	return nil
}
