package wiretest

import (
	"bufio"
	"crypto"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgproto3"
)

// login is the client's side of SCRAM: what has been said so far, for what depends on it.
type login struct {
	gs2Header, firstBare string // of the client's first message
	serverFirst          string
	withoutProof         string // of the client's final message
	password             string
	binding              []byte // hash of the server's certificate
}

// encrypt makes the connection a TLS connection and shows what ALPN came to, or that the
// server refuses. Whose the certificate is does not matter to a transcript.
func (c *client) encrypt(args []string) ([]string, error) {
	config := &tls.Config{InsecureSkipVerify: true}
	for _, arg := range args {
		if name, ok := strings.CutPrefix(arg, "alpn="); ok {
			config.NextProtos = []string{name}
		}
	}
	transport := tls.Client(c.conn, config)
	if err := transport.Handshake(); err != nil {
		return []string{"refused"}, nil
	}
	state := transport.ConnectionState()
	hash := crypto.SHA256.New()
	hash.Write(state.PeerCertificates[0].Raw) // transcripts' servers have certificates signed with SHA-256
	c.login.binding = hash.Sum(nil)
	c.conn, c.input = transport, bufio.NewReader(transport)
	c.frontend = pgproto3.NewFrontend(c.input, transport)
	return []string{fmt.Sprintf("ALPN %q", state.NegotiatedProtocol)}, nil
}

// saslMessage makes SASLInitialResponse MECHANISM DATA or SASLResponse DATA.
func (c *client) saslMessage(name, content string) (pgproto3.FrontendMessage, error) {
	if name == "SASLResponse" {
		data, err := c.login.final(content)
		return &pgproto3.SASLResponse{Data: []byte(data)}, err
	}
	mechanism, data, ok := strings.Cut(content, " ")
	if !ok {
		return nil, errors.New("want a mechanism and data")
	}
	if parts := strings.SplitN(data, ",", 3); len(parts) == 3 {
		c.login.gs2Header, c.login.firstBare = parts[0]+","+parts[1]+",", parts[2]
	}
	return &pgproto3.SASLInitialResponse{AuthMechanism: mechanism, Data: []byte(data)}, nil
}

var proofOf = regexp.MustCompile(`<proof ([^>]*)>`)

// final fills in the placeholders of a client-final-message: <nonce> (both parts), <binding> (what
// c= is over TLS) and <proof PASSWORD>.
func (l *login) final(text string) (string, error) {
	nonce, _, _ := strings.Cut(strings.TrimPrefix(l.serverFirst, "r="), ",")
	bound := base64.StdEncoding.EncodeToString(append([]byte(l.gs2Header), l.binding...))
	text = strings.NewReplacer("<nonce>", nonce, "<binding>", bound).Replace(text)
	match := proofOf.FindStringSubmatchIndex(text)
	if match == nil {
		return text, nil
	}
	l.password, l.withoutProof = text[match[2]:match[3]], strings.TrimSuffix(text[:match[0]], ",p=")
	salted, err := l.salted()
	if err != nil {
		return "", err
	}
	clientKey := mac(salted, "Client Key")
	stored := sha256.Sum256(clientKey)
	proof := mac(stored[:], l.authMessage())
	for i := range proof {
		proof[i] ^= clientKey[i]
	}
	return text[:match[0]] + base64.StdEncoding.EncodeToString(proof) + text[match[1]:], nil
}

func (l *login) authMessage() string {
	return l.firstBare + "," + l.serverFirst + "," + l.withoutProof
}

// salted is the salted password, by the server's first message.
func (l *login) salted() ([]byte, error) {
	parts := strings.Split(l.serverFirst, ",")
	if len(parts) != 3 {
		return nil, fmt.Errorf("there is no server-first-message but %q", l.serverFirst)
	}
	salt, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(parts[1], "s="))
	if err != nil {
		return nil, err
	}
	iterations, err := strconv.Atoi(strings.TrimPrefix(parts[2], "i="))
	if err != nil {
		return nil, err
	}
	return pbkdf2.Key(sha256.New, l.password, salt, iterations, sha256.Size)
}

// showFirst is a server-first-message with the lengths in place of what is random.
func (l *login) showFirst(data string) string {
	l.serverFirst = data
	parts := strings.Split(data, ",")
	if len(parts) != 3 {
		return data
	}
	own := l.firstBare[strings.LastIndex(l.firstBare, "r=")+2:]
	nonce, ok := strings.CutPrefix(parts[0], "r="+own)
	if !ok {
		return data
	}
	return fmt.Sprintf("r=%s<%d more>,s=<%d>,%s", own, len(nonce), len(parts[1])-len("s="), parts[2])
}

// showFinal says whether the server has proved that it knows the verifier.
func (l *login) showFinal(data string) string {
	salted, err := l.salted()
	if err == nil && data == "v="+base64.StdEncoding.EncodeToString(mac(mac(salted, "Server Key"), l.authMessage())) {
		return "v=<right>"
	}
	return data
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

// noteLogin keeps what a login depends on and hides what is random of it.
func (c *client) noteLogin(message pgproto3.BackendMessage) pgproto3.BackendMessage {
	switch m := message.(type) {
	case *pgproto3.AuthenticationSASL:
		return &pgproto3.AuthenticationSASL{AuthMechanisms: slices.Clone(m.AuthMechanisms)}
	case *pgproto3.AuthenticationSASLContinue:
		return &pgproto3.AuthenticationSASLContinue{Data: []byte(c.login.showFirst(string(m.Data)))}
	case *pgproto3.AuthenticationSASLFinal:
		return &pgproto3.AuthenticationSASLFinal{Data: []byte(c.login.showFinal(string(m.Data)))}
	}
	return message
}
