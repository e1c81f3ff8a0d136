package scram

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
)

// The mechanisms by name.
const (
	Mechanism     = "SCRAM-SHA-256"
	MechanismPlus = "SCRAM-SHA-256-PLUS"
)

const serverNonceBytes = 18 // as in PostgreSQL: 24 characters

// Errors of an exchange, beside broken messages.
var (
	// ErrWrongPassword is a proof that does not fit the verifier.
	ErrWrongPassword = errors.New("scram: wrong password")
	// ErrBinding is a client that is not at the other end of the TLS connection.
	ErrBinding = errors.New("scram: channel binding")
	// ErrNegotiation is a client that was led to think that there is no channel binding.
	ErrNegotiation = errors.New("scram: channel binding negotiation")
	// ErrUnsupported is something of the standard that PostgreSQL does not support either.
	ErrUnsupported = errors.New("scram: not supported")
)

// MessageError is a message that breaks the protocol.
type MessageError struct{ Message, Detail string } // as PostgreSQL puts it

func (e *MessageError) Error() string { return "scram: " + e.Message + ": " + e.Detail }

func brokenf(format string, args ...any) error {
	return &MessageError{Message: "malformed SCRAM message", Detail: fmt.Sprintf(format, args...)}
}

// Exchange is one login: First answers the client's first message, Final its second.
type Exchange struct {
	verifier *Verifier
	nonce    string // the server's part
	binding  []byte // hash of the server's certificate; nil: not over TLS

	gs2Header   string
	nonceBoth   string
	firstBare   string
	serverFirst string
	usesBinding bool
}

// NewExchange begins a login. binding is the hash of the certificate (tls-server-end-point)
// if MechanismPlus was offered, else nil.
func NewExchange(v *Verifier, binding []byte, random io.Reader) (*Exchange, error) {
	nonce := make([]byte, serverNonceBytes)
	if _, err := io.ReadFull(random, nonce); err != nil {
		return nil, fmt.Errorf("scram: make nonce: %w", err)
	}
	return &Exchange{verifier: v, binding: binding, nonce: base64.StdEncoding.EncodeToString(nonce)}, nil
}

// First reads the client-first-message and returns the server-first-message. The name in it
// is ignored: who logs in has been said before.
func (x *Exchange) First(mechanism string, message []byte) ([]byte, error) {
	text := string(message)
	flag, rest, ok1 := strings.Cut(text, ",")
	authzid, bare, ok2 := strings.Cut(rest, ",")
	if !ok1 || !ok2 {
		return nil, brokenf("malformed client-first-message")
	}
	if err := x.checkBinding(mechanism, flag); err != nil {
		return nil, err
	}
	if authzid != "" {
		return nil, fmt.Errorf("%w: authorization identity", ErrUnsupported)
	}
	x.gs2Header, x.firstBare = flag+",,", bare
	if strings.HasPrefix(bare, "m=") {
		return nil, fmt.Errorf("%w: mandatory extension", ErrUnsupported)
	}
	user, rest, ok := strings.Cut(bare, ",")
	clientNonce, _, _ := strings.Cut(rest, ",") // extensions behind it are ignored
	if !ok || !strings.HasPrefix(user, "n=") || !strings.HasPrefix(clientNonce, "r=") {
		return nil, brokenf("malformed client-first-message")
	}
	if clientNonce = clientNonce[2:]; clientNonce == "" || !isPrintable(clientNonce) {
		return nil, &MessageError{Message: "non-printable characters in SCRAM nonce"}
	}
	x.nonceBoth = clientNonce + x.nonce
	x.serverFirst = fmt.Sprintf("r=%s,s=%s,i=%d", x.nonceBoth, base64.StdEncoding.EncodeToString(x.verifier.salt), x.verifier.iterations)
	return []byte(x.serverFirst), nil
}

// checkBinding compares what the client says of channel binding with what it chose.
func (x *Exchange) checkBinding(mechanism, flag string) error {
	kind, hasBinding := strings.CutPrefix(flag, "p=")
	isPlus := mechanism == MechanismPlus
	switch {
	case mechanism != Mechanism && (!isPlus || x.binding == nil):
		return &MessageError{Message: "client selected an invalid SASL authentication mechanism"}
	case hasBinding && !isPlus:
		return brokenf("client selected %s without channel binding, but its message includes it", Mechanism)
	case hasBinding && kind != "tls-server-end-point":
		return &MessageError{Message: fmt.Sprintf("unsupported SCRAM channel-binding type %.40q", kind)}
	case !hasBinding && flag != "n" && flag != "y":
		return brokenf("unexpected channel binding flag %.40q", flag)
	case !hasBinding && isPlus:
		return brokenf("client selected %s, but its message does not include channel binding", MechanismPlus)
	case flag == "y" && x.binding != nil:
		// The client supports it and was led to think that we do not.
		return ErrNegotiation
	}
	x.usesBinding = hasBinding
	return nil
}

// Final reads the client-final-message and, if it proves the password, returns the
// server-final-message.
func (x *Exchange) Final(message []byte) ([]byte, error) {
	text := string(message)
	at := strings.LastIndex(text, ",p=")
	if at < 0 {
		return nil, brokenf("malformed client-final-message")
	}
	withoutProof := text[:at]
	proof, err := base64.StdEncoding.Strict().DecodeString(text[at+3:])
	if err != nil || len(proof) != sha256.Size {
		return nil, brokenf("malformed proof")
	}
	binding, rest, ok := strings.Cut(withoutProof, ",")
	nonce, _, _ := strings.Cut(rest, ",")
	if !ok || !strings.HasPrefix(binding, "c=") || !strings.HasPrefix(nonce, "r=") {
		return nil, brokenf("malformed client-final-message")
	}
	if err := x.checkBound(binding[2:]); err != nil {
		return nil, err
	}
	if nonce[2:] != x.nonceBoth {
		return nil, &MessageError{Message: "invalid SCRAM response", Detail: "Nonce does not match."}
	}
	auth := x.firstBare + "," + x.serverFirst + "," + withoutProof
	key := mac(x.verifier.storedKey, auth) // becomes the client's key
	for i := range key {
		key[i] ^= proof[i]
	}
	stored := sha256.Sum256(key)
	if !hmac.Equal(stored[:], x.verifier.storedKey) {
		return nil, ErrWrongPassword
	}
	return []byte("v=" + base64.StdEncoding.EncodeToString(mac(x.verifier.serverKey, auth))), nil
}

// checkBound compares the attribute c= with what the client said first and with the certificate.
func (x *Exchange) checkBound(text string) error {
	want := []byte(x.gs2Header)
	if x.usesBinding {
		want = append(want, x.binding...)
	}
	if text == base64.StdEncoding.EncodeToString(want) {
		return nil
	}
	if x.usesBinding {
		return fmt.Errorf("%w: the certificate that the client has seen is not the server's", ErrBinding)
	}
	return &MessageError{Message: "unexpected SCRAM channel-binding attribute in client-final-message"}
}

// isPrintable reports that s has what a nonce may have.
func isPrintable(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e || s[i] == ',' {
			return false
		}
	}
	return true
}
