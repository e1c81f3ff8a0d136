//go:build unix

package pgwire

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/binary"
	"math/big"
	"net"
	"testing"
	"time"
)

// piecewise is a connection whose writes arrive in pieces.
type piecewise struct {
	net.Conn
	bytesMax int
}

func (p piecewise) Write(b []byte) (int, error) {
	for done := 0; done < len(b); {
		n, err := p.Conn.Write(b[done:min(len(b), done+p.bytesMax)])
		if done += n; err != nil {
			return done, err
		}
	}
	return len(b), nil
}

// overTLS makes a reader of what a client writes over TLS, in pieces of so many bytes.
func overTLS(t *testing.T, bytesMax int) (*frameReader, *tls.Conn) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{Subject: pkix.Name{CommonName: "server"}, SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	e, err := NewEncryption(tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	server, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	pool := newBufferPool(1024)
	input := &tlsInput{Conn: server, pool: pool}
	input.tls = tls.Server(input, e.config)
	encrypted := tls.Client(piecewise{client, bytesMax}, &tls.Config{InsecureSkipVerify: true})
	shaken := make(chan error, 1)
	go func() { shaken <- encrypted.Handshake() }()
	if err := input.tls.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := <-shaken; err != nil {
		t.Fatal(err)
	}
	input.handshaken()
	r := newFrameReader(server, pool, 1<<20)
	r.decrypt(input)
	return r, encrypted
}

// Messages arrive whole whatever records and packets they are cut into, and crypto/tls holds
// no memory while nothing comes.
func TestTLSInput(t *testing.T) {
	sizes := []int{0, 10, 500, 5_000, 16_380, 40_000, 3, 300_000, 100}
	for _, pieces := range []int{1 << 20, 1_400, 7} {
		r, client := overTLS(t, pieces)
		if r.encrypted.records == nil || r.encrypted.handshake == nil {
			t.Fatal("crypto/tls has changed: its buffers stay with idle connections")
		}
		wantNoMemory(t, r)
		sent := make(chan error, 1)
		go func() {
			var all []byte
			for i, size := range sizes {
				all = append(binary.BigEndian.AppendUint32(append(all, 'd'), uint32(size+4)), bytes.Repeat([]byte{byte(i)}, size)...)
			}
			_, err := client.Write(all)
			sent <- err
		}()
		for i, size := range sizes {
			f, err := r.next(false)
			if err != nil || f.kind != 'd' || !bytes.Equal(f.body, bytes.Repeat([]byte{byte(i)}, size)) {
				t.Fatalf("pieces of %d, message %d: kind %q, %d bytes, %v", pieces, i, f.kind, len(f.body), err)
			}
		}
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		wantNoMemory(t, r)
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := r.next(false); err == nil {
			t.Error("the end is not seen")
		}
	}
}

// wantNoMemory looks for input in vain, and then at what is held meanwhile.
func wantNoMemory(t *testing.T, r *frameReader) {
	t.Helper()
	isReady := true
	r.target, r.gotBytes, r.gotErr = nil, 0, nil
	if err := r.raw.Read(func(fd uintptr) bool {
		isReady = r.tryRead(fd)
		return true
	}); err != nil || isReady {
		t.Fatalf("there is input: %d bytes, %v, %v", r.gotBytes, r.gotErr, err)
	}
	if in := r.encrypted; r.block != nil || in.lent != nil || in.records.Cap() > 0 || in.handshake.Cap() > 0 {
		t.Errorf("held while idle: block %v, records %d, handshake %d bytes", r.block != nil, in.records.Cap(), in.handshake.Cap())
	}
}
