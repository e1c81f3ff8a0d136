package scram

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
)

const (
	// IterationsDefault is PostgreSQL's scram_iterations.
	IterationsDefault = 4096
	// iterationsMax is what a client can be asked for: it, not the server, has to do them.
	iterationsMax = 10_000_000

	saltBytes    = 16
	saltBytesMax = 1024
	// verifierBytesMax bounds the text of a verifier.
	verifierBytesMax = 4096

	verifierPrefix = "SCRAM-SHA-256$"
)

// Verifier is what a server keeps of a password. It proves that a client knows the
// password, and does not let its holder log in.
type Verifier struct {
	iterations int
	salt       []byte
	storedKey  []byte
	serverKey  []byte
}

// NewVerifier makes the verifier of a password with a salt from random. It is slow by
// design, in proportion to iterations; 0 means IterationsDefault.
func NewVerifier(password string, iterations int, random io.Reader) (*Verifier, error) {
	if iterations == 0 {
		iterations = IterationsDefault
	}
	if iterations < 1 || iterations > iterationsMax {
		return nil, fmt.Errorf("scram: %d iterations: want 1 to %d", iterations, iterationsMax)
	}
	if password == "" {
		return nil, errors.New("scram: empty password")
	}
	salt := make([]byte, saltBytes)
	if _, err := io.ReadFull(random, salt); err != nil {
		return nil, fmt.Errorf("scram: make salt: %w", err)
	}
	salted, err := pbkdf2.Key(sha256.New, prepared(password), salt, iterations, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("scram: hash password: %w", err)
	}
	storedKey := sha256.Sum256(mac(salted, "Client Key"))
	return &Verifier{iterations: iterations, salt: salt, storedKey: storedKey[:], serverKey: mac(salted, "Server Key")}, nil
}

// prepared is a password after SASLprep or, as in PostgreSQL, as it is where SASLprep does
// not apply.
func prepared(password string) string {
	if !utf8.ValidString(password) {
		return password
	}
	if p, err := stringprep.SASLprep.Prepare(password); err == nil && p != "" {
		return p
	}
	return password
}

// MockVerifier is what an unknown user is asked to prove: always the same salt for the same
// name, as if there were a password, so that a client cannot tell (A2). secret is the
// server's own. No proof fits.
func MockVerifier(secret []byte, user string) *Verifier {
	salt := mac(secret, "salt of "+user)[:saltBytes]
	return &Verifier{iterations: IterationsDefault, salt: salt,
		storedKey: mac(secret, "stored key of "+user), serverKey: mac(secret, "server key of "+user)}
}

// ParseVerifier reads a verifier in PostgreSQL's format, as in pg_authid.rolpassword:
// SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey, the last three in base64.
func ParseVerifier(text string) (*Verifier, error) {
	rest, ok := strings.CutPrefix(text, verifierPrefix)
	if !ok || len(text) > verifierBytesMax {
		return nil, errors.New("scram: not a SCRAM-SHA-256 verifier")
	}
	head, keys, ok1 := strings.Cut(rest, "$")
	count, salt, ok2 := strings.Cut(head, ":")
	stored, server, ok3 := strings.Cut(keys, ":")
	if !ok1 || !ok2 || !ok3 {
		return nil, errors.New("scram: verifier is not of the form SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey")
	}
	v := &Verifier{}
	var err error
	if v.iterations, err = strconv.Atoi(count); err != nil || v.iterations < 1 || v.iterations > iterationsMax {
		return nil, fmt.Errorf("scram: verifier has %q iterations: want 1 to %d", count, iterationsMax)
	}
	for _, part := range []struct {
		name, text string
		to         *[]byte
		size       int
	}{{"salt", salt, &v.salt, 0}, {"StoredKey", stored, &v.storedKey, sha256.Size}, {"ServerKey", server, &v.serverKey, sha256.Size}} {
		decoded, err := base64.StdEncoding.Strict().DecodeString(part.text)
		if err != nil || len(decoded) == 0 || len(decoded) > saltBytesMax || part.size > 0 && len(decoded) != part.size {
			return nil, fmt.Errorf("scram: verifier has a bad %s", part.name)
		}
		*part.to = decoded
	}
	return v, nil
}

// String is the verifier in PostgreSQL's format.
func (v *Verifier) String() string {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Sprintf("%s%d:%s$%s:%s", verifierPrefix, v.iterations, encode(v.salt), encode(v.storedKey), encode(v.serverKey))
}

// Equal reports that two verifiers are of the same password and salt. nil equals nil.
func (v *Verifier) Equal(w *Verifier) bool {
	if v == nil || w == nil {
		return v == w
	}
	return v.iterations == w.iterations && bytes.Equal(v.salt, w.salt) && hmac.Equal(v.storedKey, w.storedKey) && hmac.Equal(v.serverKey, w.serverKey)
}

func mac(key []byte, message string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(message))
	return h.Sum(nil)
}
