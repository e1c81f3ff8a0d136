package scram

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
)

// The example of RFC 7677: user "user", password "pencil".
const (
	rfcVerifier    = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
	rfcClientNonce = "rOprNGfwEbeRWgbNEkqO"
	rfcServerNonce = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
)

func TestExampleOfTheStandard(t *testing.T) {
	v, err := ParseVerifier(rfcVerifier)
	if err != nil {
		t.Fatal(err)
	}
	if v.String() != rfcVerifier {
		t.Errorf("String = %s", v)
	}
	x := &Exchange{verifier: v, nonce: rfcServerNonce}
	first, err := x.First(Mechanism, []byte("n,,n=user,r="+rfcClientNonce))
	if err != nil {
		t.Fatal(err)
	}
	if want := "r=" + rfcClientNonce + rfcServerNonce + ",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"; string(first) != want {
		t.Errorf("server-first-message\n%s, want\n%s", first, want)
	}
	final, err := x.Final([]byte("c=biws,r=" + rfcClientNonce + rfcServerNonce + ",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="))
	if err != nil {
		t.Fatal(err)
	}
	if want := "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="; string(final) != want {
		t.Errorf("server-final-message %s, want %s", final, want)
	}
}

// client is the other side, by the standard.
type client struct {
	password  string
	mechanism string
	gs2       string // the header
	binding   []byte
	nonce     string // what it claims in the end, if not what it was given
}

func (c *client) login(t testing.TB, x *Exchange) ([]byte, error) {
	t.Helper()
	bare := "n=*,r=abcdef"
	first, err := x.First(c.mechanism, []byte(c.gs2+bare))
	if err != nil {
		return nil, err
	}
	parts := strings.Split(string(first), ",")
	salt, err := base64.StdEncoding.DecodeString(parts[1][2:])
	if err != nil {
		t.Fatal(err)
	}
	nonce := parts[0][2:]
	if c.nonce != "" {
		nonce = c.nonce
	}
	salted, err := pbkdf2.Key(sha256.New, c.password, salt, 4096, 32)
	if err != nil {
		t.Fatal(err)
	}
	key := mac(salted, "Client Key")
	stored := sha256.Sum256(key)
	without := "c=" + base64.StdEncoding.EncodeToString(append([]byte(c.gs2), c.binding...)) + ",r=" + nonce
	signature := mac(stored[:], bare+","+string(first)+","+without)
	for i := range key {
		key[i] ^= signature[i]
	}
	final, err := x.Final([]byte(without + ",p=" + base64.StdEncoding.EncodeToString(key)))
	if err == nil {
		want := mac(mac(salted, "Server Key"), bare+","+string(first)+","+without)
		if got, _ := base64.StdEncoding.DecodeString(string(final[2:])); !hmac.Equal(got, want) {
			t.Error("the server does not prove that it knows the password")
		}
	}
	return final, err
}

func TestLogins(t *testing.T) {
	v, err := NewVerifier("pencil", 0, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	hash := []byte("the hash of a certificate")
	bound := "p=tls-server-end-point,,"
	broken := &MessageError{}
	tests := []struct {
		name     string
		client   client
		offered  []byte
		verifier *Verifier
		want     error // broken stands for any MessageError
	}{
		{"password", client{"pencil", Mechanism, "n,,", nil, ""}, nil, v, nil},
		{"wrong password", client{"pen", Mechanism, "n,,", nil, ""}, nil, v, ErrWrongPassword},
		{"unknown user", client{"pencil", Mechanism, "n,,", nil, ""}, nil, MockVerifier([]byte("s"), "u"), ErrWrongPassword},
		{"binding", client{"pencil", MechanismPlus, bound, hash, ""}, hash, v, nil},
		{"binding, wrong password", client{"pen", MechanismPlus, bound, hash, ""}, hash, v, ErrWrongPassword},
		{"binding to another certificate", client{"pencil", MechanismPlus, bound, []byte("other"), ""}, hash, v, ErrBinding},
		{"offered and not used", client{"pencil", Mechanism, "n,,", nil, ""}, hash, v, nil},
		{"downgraded", client{"pencil", Mechanism, "y,,", nil, ""}, hash, v, ErrNegotiation},
		{"not offered", client{"pencil", Mechanism, "y,,", nil, ""}, nil, v, nil},
		{"used and not offered", client{"pencil", MechanismPlus, bound, hash, ""}, nil, v, broken},
		{"other kind", client{"pencil", MechanismPlus, "p=tls-unique,,", hash, ""}, hash, v, broken},
		{"plus without", client{"pencil", MechanismPlus, "n,,", nil, ""}, hash, v, broken},
		{"binding without plus", client{"pencil", Mechanism, bound, hash, ""}, hash, v, broken},
		{"other mechanism", client{"pencil", "PLAIN", "n,,", nil, ""}, nil, v, broken},
		{"authorization identity", client{"pencil", Mechanism, "n,a=root,", nil, ""}, nil, v, ErrUnsupported},
		{"other nonce", client{"pencil", Mechanism, "n,,", nil, "abcdefg"}, nil, v, broken},
		{"flag", client{"pencil", Mechanism, "x,,", nil, ""}, nil, v, broken},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			x, err := NewExchange(test.verifier, test.offered, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			_, err = test.client.login(t, x)
			var message *MessageError
			if test.want == broken && errors.As(err, &message) {
				return
			}
			if !errors.Is(err, test.want) {
				t.Errorf("%v, want %v", err, test.want)
			}
		})
	}
}

func TestBrokenMessages(t *testing.T) {
	v, _ := ParseVerifier(rfcVerifier)
	for _, message := range []string{"", ",", "n", "n,", "n,,", "n,,n=u", "n,,r=x", "n,,n=u,r=", "n,,n=u,r=a\x00b", "n,,n=u,x=1,r=a", strings.Repeat("n", 2000)} {
		x := &Exchange{verifier: v, nonce: rfcServerNonce}
		if _, err := x.First(Mechanism, []byte(message)); err == nil {
			t.Errorf("first %.20q is accepted", message)
		}
	}
	for _, message := range []string{"", "c=biws", "c=biws,r=ab", ",p=", "c=biws,r=ab,p=!", "c=biws,p=" + strings.Repeat("A", 43) + "=", strings.Repeat("c", 2000)} {
		x := &Exchange{verifier: v, nonce: "b"}
		if _, err := x.First(Mechanism, []byte("n,,n=,r=a")); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Final([]byte(message)); err == nil || errors.Is(err, ErrWrongPassword) {
			t.Errorf("final %.20q: %v", message, err)
		}
	}
}

func TestVerifiers(t *testing.T) {
	for _, text := range []string{"", "md5abc", "SCRAM-SHA-256$", "SCRAM-SHA-256$4096:x$y:z", strings.Replace(rfcVerifier, "4096", "0", 1),
		strings.Replace(rfcVerifier, "4096", "99999999999", 1), strings.TrimSuffix(rfcVerifier, "="), rfcVerifier + ":x", strings.Replace(rfcVerifier, ":W22", ":$", 1)} {
		if _, err := ParseVerifier(text); err == nil {
			t.Errorf("%q is accepted", text)
		}
	}
	for _, make := range []func() (*Verifier, error){
		func() (*Verifier, error) { return NewVerifier("", 0, rand.Reader) },
		func() (*Verifier, error) { return NewVerifier("x", -1, rand.Reader) },
		func() (*Verifier, error) { return NewVerifier("x", 0, strings.NewReader("short")) },
	} {
		if _, err := make(); err == nil {
			t.Error("made a verifier of nothing")
		}
	}
	a, b := MockVerifier([]byte("s"), "u"), MockVerifier([]byte("s"), "u")
	if !a.Equal(b) || a.Equal(MockVerifier([]byte("s"), "v")) || a.Equal(MockVerifier([]byte("t"), "u")) || a.Equal(nil) {
		t.Error("mock verifiers")
	}
}

// What libpq normalises we must too: SASLprep maps these to the same password.
func TestPreparedPasswords(t *testing.T) {
	for password, want := range map[string]string{"I\u00adX": "IX", "\u00aa": "a", "\u2168": "IX", "a\u00a0b": "a b", "user": "user", "\u0007": "\u0007", "\xff": "\xff"} {
		if got := prepared(password); got != want {
			t.Errorf("%q becomes %q, want %q", password, got, want)
		}
	}
}

// FuzzExchange plays any two messages. Nothing logs in without the proof, and answers stay
// as short as the messages.
func FuzzExchange(f *testing.F) {
	f.Add(Mechanism, []byte("n,,n=user,r="+rfcClientNonce), []byte("c=biws,r="+rfcClientNonce+rfcServerNonce+",p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="), true)
	f.Add(MechanismPlus, []byte("p=tls-server-end-point,,n=,r=x"), []byte("c=,r=,p="), true)
	f.Add(Mechanism, []byte("y,a=b,m=x,n=,r=x"), []byte(",p="), false)
	right, err := ParseVerifier(rfcVerifier)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, mechanism string, first, final []byte, binds bool) {
		var binding []byte
		if binds {
			binding = []byte("hash")
		}
		x := &Exchange{verifier: MockVerifier([]byte("secret"), "u"), nonce: rfcServerNonce, binding: binding}
		answer, err := x.First(mechanism, bytes.Clone(first))
		if err != nil {
			return
		}
		if len(answer) > len(first)+len(rfcServerNonce)+100 || bytes.ContainsRune(answer, 0) {
			t.Errorf("%d bytes are answered by %d: %q", len(first), len(answer), answer)
		}
		if _, err := x.Final(final); err == nil {
			t.Error("somebody logs in as nobody")
		}
		x = &Exchange{verifier: right, nonce: rfcServerNonce, binding: binding}
		if _, err := x.First(mechanism, first); err != nil {
			t.Fatalf("the answer depends on the verifier: %v", err)
		}
		if _, err := x.Final(final); err == nil && !bytes.Contains(final, []byte("p=dHzbZapWIk4jUhN")) {
			t.Error("a login without the proof")
		}
	})
}
