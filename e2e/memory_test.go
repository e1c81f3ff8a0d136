package e2e

import (
	"bufio"
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"testing"
)

// residentBytes is the most memory the process ever had, as the kernel counts it.
func (s *server) residentBytes(t *testing.T) int64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", s.process.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kib int64
		if _, err := fmt.Sscanf(lines.Text(), "VmHWM: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	t.Fatal("no VmHWM")
	return 0
}

// TestResidentMemory writes and reads several times what fits into memory, in all sizes,
// and wants the process to stay within its budget.
func TestResidentMemory(t *testing.T) {
	const (
		mib        = 1 << 20
		l1         = 64 * mib
		blockCache = 32 * mib
		memTable   = 4 * mib
		churnBytes = 6 * l1
		workers    = 8
		// The budget of the design: what is configured, its slack, and the program itself.
		budget = l1*135/100 + (blockCache+memTable)*130/100 + 96*mib
	)
	if os.Getenv("E2E_RACE") != "" {
		t.Log("the race detector's memory is not the server's: only checking that the load is carried")
	}
	s := start(t, "--data-dir="+t.TempDir(), fmt.Sprintf("--l1-bytes=%d", l1), "--l2-bytes=256MiB",
		fmt.Sprintf("--l2-block-cache-bytes=%d", blockCache), fmt.Sprintf("--l2-memtable-bytes=%d", memTable))
	ctx := testContext(t)
	noise := make([]byte, mib)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	var group sync.WaitGroup
	for w := range workers {
		c := s.connect(t)
		random := rand.New(rand.NewPCG(uint64(w), 1))
		group.Go(func() {
			for written := 0; written < churnBytes/workers; {
				size := 1 << random.IntN(17) // 1 byte to 64 KiB, small ones as often as large
				key := fmt.Sprintf("w%d-%d", w, random.IntN(20_000))
				value := noise[random.IntN(mib-size):][:size]
				if _, err := c.Exec(ctx, putStatement, "churn", key, value); err != nil {
					t.Error(err)
					return
				}
				var got []byte
				if err := c.QueryRow(ctx, getStatement, "churn", key).Scan(&got); err == nil && !bytes.Equal(got, value) {
					t.Errorf("%s holds %d other bytes", key, len(got))
					return
				}
				written += size
			}
		})
	}
	group.Wait()
	got := s.residentBytes(t)
	t.Logf("resident memory at most %d MiB, budget %d MiB", got/mib, budget/mib)
	if got > budget && os.Getenv("E2E_RACE") == "" {
		t.Errorf("resident memory reached %d MiB, budget %d MiB", got/mib, budget/mib)
	}
	stdout, _ := s.psql(t, `SELECT l1_bytes_in_use <= l1_bytes_max, l2_bytes_in_use <= l2_bytes_max FROM cache_stats`, "-A", "-t")
	if strings.TrimSpace(stdout) != "t|t" {
		t.Errorf("within budgets: %s", stdout)
	}
}

// TestSettingsShowTheirSource: what applies, and where it came from.
func TestSettingsShowTheirSource(t *testing.T) {
	config := t.TempDir() + "/pgcache.yaml"
	if err := os.WriteFile(config, []byte("l2-bytes: 64MiB\nmax_namespaces: 9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := start(t, "--config="+config, "--l1-bytes=16MiB", "--max-namespaces=8")
	want := "l1_bytes|16777216|bytes|flag\nl2_bytes|67108864|bytes|file " + config + ":1\nlog_level|info||default\nmax_namespaces|8||flag\n"
	stdout, stderr := s.psql(t, `SELECT name, value, unit, source FROM cache_settings
		WHERE name IN ('l1_bytes', 'l2_bytes', 'max_namespaces', 'log_level') ORDER BY name`, "-A", "-t")
	if stdout != want {
		t.Errorf("shows\n%s%s\nwant\n%s", stdout, stderr, want)
	}
}
