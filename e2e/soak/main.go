// Command soak attacks a running pgcache with clients that are hostile, unlucky or many,
// beside some that are none of these, and then looks whether anything is left: memory,
// descriptors, goroutines, connections. It knows the server from outside only, and counts what it
// uses from its /metrics. Run by make soak and make bench-connections. One goroutine
// runs it; those of clients end before it reports.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"
)

const mib = 1 << 20

func main() {
	binary := flag.String("binary", "bin/pgcache", "the server to start")
	minutes := flag.Float64("minutes", 1, "how long to attack; 0: do not")
	cycles := flag.Int64("cycles", 50_000, "at least how many connections to open and close meanwhile")
	idle := flag.Int("connections", 0, "measure this many idle connections in place of attacking")
	encrypted := flag.Bool("tls", false, "measure connections over TLS")
	flag.Parse()
	var err error
	if *idle > 0 {
		err = measureIdle(*binary, *idle, *encrypted)
	} else {
		err = soak(*binary, time.Duration(*minutes*float64(time.Minute)), *cycles)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
		os.Exit(1)
	}
}

// Bounds that hold after the clients have gone.
const (
	leftGoroutinesMax = 20
	leftFilesMax      = 20
	leftMemoryMax     = 64 * mib // garbage and pools; each connection of the mix that leaked would add some 20 KiB
	settleTime        = 30 * time.Second
)

// l1Bytes is the memory for entries, full before and after.
const l1Bytes = 64 * mib

// soak runs the mix and checks what is left.
func soak(binary string, length time.Duration, cycles int64) error {
	s, err := launch(binary, "--authentication-timeout=2s", "--write-timeout=2s", "--l1-bytes="+strconv.Itoa(l1Bytes),
		"--max-unauthenticated-connections=500", "--max-message-bytes=4MiB")
	if err != nil {
		return err
	}
	defer s.kill()
	m := &mix{server: s}
	if err := m.warm(); err != nil {
		return err
	}
	before, err := s.usage()
	if err != nil {
		return err
	}
	fmt.Println("before:", before)
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	var group sync.WaitGroup
	for _, kind := range m.kinds() {
		for range kind.clients {
			group.Go(func() {
				for ctx.Err() == nil || kind.name == "come and go" && m.cycles.Load() < cycles {
					if err := kind.run(ctx); err != nil {
						m.fail(kind.name, err)
						return
					}
				}
			})
		}
	}
	group.Wait()
	fmt.Printf("connections opened and closed: %d, gets checked: %d, other attacks: %d\n", m.cycles.Load(), m.checked.Load(), m.attacks.Load())
	if err := m.failure(); err != nil {
		return err
	}
	return s.settles(before)
}

// settles waits until the server uses about what it used before.
func (s *server) settles(before usage) error {
	var after usage
	for deadline := time.Now().Add(settleTime); ; time.Sleep(time.Second) {
		var err error
		if after, err = s.usage(); err != nil {
			return err
		}
		if after.connections == 0 && after.goroutines <= before.goroutines+leftGoroutinesMax &&
			after.files <= before.files+leftFilesMax && after.memory <= before.memory+leftMemoryMax {
			fmt.Println("after: ", after)
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s after the clients have gone: %v, before: %v", settleTime, after, before)
		}
	}
}

// idleMemoryMax is what 10,000 idle connections may cost together, in proportion.
const idleMemoryMax = 150 * mib

// idleMemoryTLSMax is the same for those over TLS, of which crypto/tls keeps more.
const idleMemoryTLSMax = 165 * mib

// idleTime is how long connections are idle before they are measured: the server gives memory
// back when it has been quiet for some seconds.
const idleTime = 12 * time.Second

// measureIdle opens connections, lets each run a statement, and looks what they cost while idle.
func measureIdle(binary string, n int, encrypted bool) error {
	args := []string{fmt.Sprintf("--max-connections=%d", n+100), fmt.Sprintf("--max-unauthenticated-connections=%d", n)}
	if encrypted {
		dir, err := os.MkdirTemp("", "pgcache-soak-")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir)
		certificate, key, err := writeCertificate(dir)
		if err != nil {
			return err
		}
		args = append(args, "--tls-cert="+certificate, "--tls-key="+key)
	}
	s, err := launch(binary, args...)
	if err != nil {
		return err
	}
	defer s.kill()
	s.encrypted = encrypted
	before, err := s.usage()
	if err != nil {
		return err
	}
	clients := make([]*client, 0, n)
	defer func() {
		for _, c := range clients {
			c.close()
		}
	}()
	for range n {
		c, err := s.login()
		if err != nil {
			return fmt.Errorf("connection %d: %w", len(clients)+1, err)
		}
		clients = append(clients, c)
		if _, err := c.prepared("SELECT value FROM blob WHERE ns = $1 AND key = $2", "idle", "key"); err != nil {
			return err
		}
	}
	time.Sleep(idleTime)
	after, err := s.usage()
	if err != nil {
		return err
	}
	cost := after.memory - before.memory
	fmt.Printf("before: %v\nafter:  %v\n%d idle connections cost %.1f MiB, %.1f KiB each\n", before, after, n, float64(cost)/mib, float64(cost)/1024/float64(n))
	most := int64(idleMemoryMax)
	if encrypted {
		most = idleMemoryTLSMax
	}
	if limit := most * int64(n) / 10_000; cost > limit {
		return fmt.Errorf("more than %d MiB", limit/mib)
	}
	return nil
}
