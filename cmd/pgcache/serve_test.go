package main

import (
	"bytes"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// lockedBuffer is a log that one goroutine writes while another reads.
type lockedBuffer struct {
	mu      sync.Mutex
	text    bytes.Buffer
	changed chan struct{} // closed and replaced with each write
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
	return b.text.Write(p)
}

// change is closed with the next write.
func (b *lockedBuffer) change() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

// program is a Main that runs in this process.
type program struct {
	address string
	stderr  *lockedBuffer
	signals chan os.Signal
	exited  chan int
}

// patience is how long anything may take before a test fails. It is only ever used up by a
// hang, however slow and busy the machine.
const patience = 5 * time.Minute

func startProgram(t *testing.T, args ...string) *program {
	t.Helper()
	p := &program{stderr: &lockedBuffer{}, signals: make(chan os.Signal, 2), exited: make(chan int, 1)}
	ready := make(chan string, 1)
	m := &Main{
		Args: append([]string{"--log-format=json"}, withListen(args)...), Env: environ("GOGC=100"),
		Stdout: p.stderr, Stderr: p.stderr, Signals: p.signals, Ready: func(address string) { ready <- address },
	}
	go func() { p.exited <- m.Run(t.Context()) }()
	select {
	case p.address = <-ready:
	case code := <-p.exited:
		t.Fatalf("exit code %d before ready: %s", code, p.stderr)
	case <-time.After(patience):
		t.Fatalf("not ready: %s", p.stderr)
	}
	return p
}

// waitFor returns once the log contains text.
func (p *program) waitFor(t *testing.T, text string) {
	t.Helper()
	late := time.After(patience)
	for {
		changed := p.stderr.change()
		if strings.Contains(p.stderr.String(), text) {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("the log does not say %q", text)
		}
	}
}

func (p *program) wait(t *testing.T) int {
	t.Helper()
	select {
	case code := <-p.exited:
		return code
	case <-time.After(patience):
		t.Fatalf("did not end: %s", p.stderr)
		return -1
	}
}

func TestServeAndStop(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "by", "serve")
	p := startProgram(t, "--data-dir="+dir)
	c, err := net.Dial("tcp", p.address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	p.signals <- syscall.SIGTERM
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
	for line := range strings.Lines(p.stderr.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Errorf("not JSON: %s", line)
		}
		if entry["msg"] != "ready" {
			continue
		}
		for _, key := range []string{"address", "data_dir", "l1_bytes", "l2_bytes", "version", "opened_in"} {
			if entry[key] == nil || entry[key] == "" {
				t.Errorf("the ready line lacks %s: %s", key, line)
			}
		}
	}
	// The directory is free again, and what is in it is good.
	p = startProgram(t, "--data-dir="+dir)
	p.signals <- os.Interrupt
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

func TestServeRefuses(t *testing.T) {
	dir := t.TempDir()
	p := startProgram(t, "--data-dir="+dir)
	tests := []struct {
		args []string
		want []string
	}{
		{[]string{"--listen=" + p.address}, []string{"listen on " + p.address, "in use", "--listen"}},
		{[]string{"--listen=" + dir + "/nowhere"}, []string{"listen on " + dir + "/nowhere", "no such", "make the directory"}},
		{[]string{"--listen=127.0.0.1:0", "--data-dir=" + dir}, []string{dir, "locked"}},
	}
	for _, test := range tests {
		var stderr bytes.Buffer
		m := &Main{Args: test.args, Env: environ("GOGC=100"), Stdout: &stderr, Stderr: &stderr}
		if code := m.Run(t.Context()); code != exitFailure {
			t.Errorf("%v: exit code %d", test.args, code)
		}
		for _, want := range test.want {
			if !strings.Contains(stderr.String(), want) {
				t.Errorf("%v: %q does not mention %q", test.args, stderr.String(), want)
			}
		}
	}
	p.signals <- syscall.SIGTERM
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d: %s", code, p.stderr)
	}
}

// withListen adds a free port of loopback, unless the arguments say where to listen.
func withListen(args []string) []string {
	for _, arg := range args {
		if strings.HasPrefix(arg, "--listen=") {
			return args
		}
	}
	return append([]string{"--listen=127.0.0.1:0"}, args...)
}
