package pgwire

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"

	"pgcache/pgwire/scram"
)

// Authentication requests.
const (
	authSASL         = 10
	authSASLContinue = 11
	authSASLFinal    = 12
)

// authenticate finds out who the client is, by the method of its listener. Errors are FATAL.
func (c *conn) authenticate(user string) (Identity, error) {
	accounts := c.server.accounts.Load()
	switch c.access.Method {
	case MethodTrust:
		if accounts == nil {
			return Identity{Role: RoleAdmin}, nil
		}
	case MethodSCRAM:
		if err := c.authenticatePassword(accounts, user); err != nil {
			return Identity{}, err
		}
	case MethodCertificate:
		if account := accounts.find(user); c.peerName == "" || account == nil || !account.acceptsCertificate(c.peerName) {
			e := fatalf(CodeInvalidAuthorization, "certificate authentication failed for user \"%s\"", user)
			e.Cause = errors.New("common name " + c.peerName)
			return Identity{}, e
		}
	default:
		return Identity{}, fatalf(CodeInvalidAuthorization, "no way to authenticate")
	}
	if c.account = accounts.find(user); c.account == nil {
		return Identity{}, fatalf(CodeInvalidAuthorization, "role \"%s\" does not exist", user)
	}
	return c.account.Identity, nil
}

// systemUser is the method and the name by which the client proved who it is.
func (c *conn) systemUser(user string) string {
	switch c.access.Method {
	case MethodSCRAM:
		return "scram-sha-256:" + user
	case MethodCertificate:
		return "cert:CN=" + c.peerName
	}
	return ""
}

// authenticatePassword runs SCRAM. All that distinguishes an unknown user from a wrong
// password is in the log.
func (c *conn) authenticatePassword(accounts *Accounts, user string) error {
	var binding []byte
	mechanisms := scram.Mechanism + "\x00"
	if c.encryption != nil && c.encryption.binding != nil {
		binding = c.encryption.binding
		mechanisms = scram.MechanismPlus + "\x00" + mechanisms
	}
	x, err := scram.NewExchange(accounts.verifier(user), binding, rand.Reader)
	if err != nil {
		return c.startError(err)
	}
	answer, err := c.askSASL(authSASL, []byte(mechanisms+"\x00"))
	if err != nil {
		return c.scramError(err, accounts, user)
	}
	mechanism, message, err := decodeSASLInitial(answer)
	if err != nil {
		return err
	}
	out, err := x.First(mechanism, message)
	if err != nil {
		return c.scramError(err, accounts, user)
	}
	if answer, err = c.askSASL(authSASLContinue, out); err != nil {
		return c.scramError(err, accounts, user)
	}
	if out, err = x.Final(answer); err != nil {
		return c.scramError(err, accounts, user)
	}
	c.reply.takeBlock()
	c.reply.buf = appendAuthentication(c.reply.buf, authSASLFinal, out)
	return nil
}

// askSASL sends an authentication request and reads the client's answer to it.
func (c *conn) askSASL(kind uint32, data []byte) ([]byte, error) {
	c.reply.takeBlock()
	c.reply.buf = appendAuthentication(c.reply.buf, kind, data)
	c.reply.flush()
	if c.reply.err != nil {
		return nil, errClosed
	}
	c.reply.release()
	return c.reader.saslResponse(c.server.limits.LoginMessageBytes)
}

// scramError is what the client is told of a login that failed.
func (c *conn) scramError(err error, accounts *Accounts, user string) error {
	var broken *scram.MessageError
	var e *Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.As(err, &broken):
		e = fatalf(CodeProtocolViolation, "%s", broken.Message)
		e.Detail = broken.Detail
	case errors.Is(err, scram.ErrUnsupported):
		e = fatalf(CodeFeatureNotSupported, "%s", err)
	case errors.Is(err, scram.ErrNegotiation):
		e = fatalf(CodeInvalidAuthorization, "SCRAM channel binding negotiation error")
		e.Detail = "The client supports SCRAM channel binding but thinks the server does not. However, this server does support channel binding."
	case errors.Is(err, scram.ErrBinding):
		e = fatalf(CodeInvalidAuthorization, "SCRAM channel binding check failed")
		e.Cause = err
	case !errors.Is(err, scram.ErrWrongPassword) && err != errBadLength: // of the transport
		return err
	default: // a message of an impossible length is no password either, as in PostgreSQL
		e = fatalf(CodeInvalidPassword, "password authentication failed for user \"%s\"", user)
		e.Cause = err
		switch account := accounts.find(user); {
		case account == nil:
			e.Cause = errors.New("no such user")
		case account.Verifier == nil:
			e.Cause = errors.New("the user has no password")
		}
	}
	return e
}

// saslResponse reads a SASLInitialResponse or SASLResponse and returns its body. The only
// message that may come is that one, with a length word of at most bytesMax.
func (r *frameReader) saslResponse(bytesMax int) ([]byte, error) {
	if err := r.need(5); err != nil {
		return nil, err
	}
	if kind := r.block[r.start]; kind != 'p' {
		return nil, fatalf(CodeProtocolViolation, "expected SASL response, got message type %d", kind)
	}
	length := binary.BigEndian.Uint32(r.block[r.start+1:])
	if length < 4 || length >= uint32(bytesMax) { // its type is a byte more
		return nil, errBadLength
	}
	if err := r.need(1 + int(length)); err != nil {
		return nil, err
	}
	body := bytes.Clone(r.block[r.start+5 : r.start+1+int(length)])
	r.start += 1 + int(length)
	return body, nil
}

// decodeSASLInitial reads the name of the chosen mechanism and the message behind it.
func decodeSASLInitial(body []byte) (mechanism string, message []byte, err error) {
	d := decoder{rest: body}
	mechanism = string(d.text())
	message = d.value()
	if d.err != nil || len(d.rest) > 0 {
		return "", nil, fatalf(CodeProtocolViolation, "invalid SASL response")
	}
	return mechanism, message, nil
}

func appendAuthentication(b []byte, kind uint32, data []byte) []byte {
	start, b := beginMessage(b, 'R')
	b = binary.BigEndian.AppendUint32(b, kind)
	return endMessage(append(b, data...), start)
}
