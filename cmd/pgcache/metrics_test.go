package main

import (
	"io"
	"net/http"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

func TestMetrics(t *testing.T) {
	p := startProgram(t, "--metrics-listen=127.0.0.1:0")
	address := regexp.MustCompile(`"msg":"metrics","address":"([^"]+)"`).FindStringSubmatch(p.stderr.String())[1]
	get := func(path string) (int, string) {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, string(body)
	}
	if code, body := get("/metrics"); code != http.StatusOK || !strings.Contains(body, "\npgcache_connections 0\n") ||
		!strings.Contains(body, "\npgcache_hits_total 0\n") || !strings.Contains(body, "\ngo_goroutines ") {
		t.Errorf("%d %s", code, body)
	}
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/debug/pprof/": 404} {
		if code, body := get(path); code != want {
			t.Errorf("%s: %d %s", path, code, body)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	p.signals <- syscall.SIGTERM
	if code := p.wait(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
}
