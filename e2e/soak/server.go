package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"time"
)

// server is a pgcache that this program has started.
type server struct {
	process          *exec.Cmd
	address, metrics string
	encrypted        bool // login goes over TLS
}

// launch starts the server and waits until it is ready.
func launch(binary string, args ...string) (*server, error) {
	s := &server{process: exec.Command(binary, append([]string{"serve", "--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--log-format=json"}, args...)...)}
	output, err := s.process.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := s.process.Start(); err != nil {
		return nil, err
	}
	for lines := bufio.NewScanner(output); lines.Scan(); {
		var entry struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &entry) != nil {
			fmt.Fprintln(os.Stderr, lines.Text())
			continue
		}
		switch entry.Msg {
		case "metrics":
			s.metrics = entry.Address
		case "ready":
			s.address = entry.Address
			go s.watch(lines)
			return s, nil
		}
	}
	s.kill()
	return nil, errors.New("the server ended before it was ready")
}

// watch shows what the server says of panics and its own errors.
func (s *server) watch(lines *bufio.Scanner) {
	for lines.Scan() {
		if strings.Contains(lines.Text(), `"level":"ERROR"`) || strings.Contains(lines.Text(), "panic") {
			fmt.Fprintln(os.Stderr, lines.Text())
		}
	}
}

func (s *server) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// usage is what the server uses.
type usage struct{ memory, files, goroutines, connections int64 }

func (u usage) String() string {
	return fmt.Sprintf("%.1f MiB resident, %d descriptors, %d goroutines, %d connections", float64(u.memory)/mib, u.files, u.goroutines, u.connections)
}

// usage reads it from /metrics.
func (s *server) usage() (usage, error) {
	web := http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := web.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		return usage{}, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return usage{}, err
	}
	var u usage
	found := 0
	for line := range strings.Lines(string(body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		to := map[string]*int64{"process_resident_memory_bytes": &u.memory, "process_open_fds": &u.files,
			"go_goroutines": &u.goroutines, "pgcache_connections": &u.connections}[name]
		if to == nil {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return usage{}, err
		}
		*to = int64(number)
		found++
	}
	if found != 4 {
		return usage{}, fmt.Errorf("/metrics has %d of 4 numbers", found)
	}
	return u, nil
}
