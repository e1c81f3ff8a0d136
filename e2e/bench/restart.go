package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"regexp"
	"sync"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	restartValueBytes = 8 << 10
	restartWriters    = 8
	restartSample     = 2000 // keys looked for after a restart
)

// runRestart fills a server with values that do not compress and shows how long it takes
// from the start of the process to the first hit, after a clean stop and after kill -9, and
// how much of what was written is found.
func (o *options) runRestart() error {
	dir, err := os.MkdirTemp("", "pgcache-restart")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := o.startAt(dir)
	if err != nil {
		return err
	}
	defer func() { s.kill() }()
	started := time.Now()
	if err := s.fill(0, o.restart); err != nil {
		return err
	}
	fmt.Printf("\n%d values of %d bytes on disk, written in %v by %d connections\n\n", o.restart, restartValueBytes, time.Since(started).Round(time.Millisecond), restartWriters)
	stopping := time.Now()
	if err := s.process.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	if err := s.process.Wait(); err != nil {
		return fmt.Errorf("stop: %w", err)
	}
	fmt.Printf("%-16s %10v\n", "stop", time.Since(stopping).Round(time.Millisecond))
	if s, err = o.reopen(dir, "clean stop", o.restart); err != nil {
		return err
	}
	more := o.restart / 20
	if err := s.fill(o.restart, o.restart+more); err != nil {
		return err
	}
	s.kill()
	s, err = o.reopen(dir, "kill -9", o.restart+more)
	return err
}

// restartServer is a server on a data directory.
type restartServer struct {
	process *exec.Cmd
	kill    func()
	url     string
}

func (o *options) startAt(dir string) (*restartServer, error) {
	c := exec.Command(o.binary, "serve", "--listen=127.0.0.1:0", "--l1-bytes=256MiB", "--l2-bytes=16GiB", "--data-dir="+dir)
	address, kill, err := launch(c, regexp.MustCompile(`ready.* address=(\S+)`))
	if err != nil {
		return nil, err
	}
	return &restartServer{c, kill, "postgres://bench@" + address + "/pgcache?sslmode=disable"}, nil
}

// reopen starts the server again and prints how long what takes. Keys are 0 to n.
func (o *options) reopen(dir, after string, n int) (*restartServer, error) {
	exec := time.Now()
	s, err := o.startAt(dir)
	if err != nil {
		return nil, err
	}
	ready := time.Since(exec)
	ctx := context.Background()
	c, err := pgconn.Connect(ctx, s.url)
	if err != nil {
		return s, err
	}
	defer c.Close(ctx)
	found, firstHit := 0, time.Duration(0)
	random := rand.New(rand.NewPCG(uint64(n), 1))
	for range restartSample {
		r := c.ExecParams(ctx, "SELECT value FROM blob WHERE ns = 'restart' AND key = $1", [][]byte{restartKey(random.IntN(n))}, nil, nil, []int16{1}).Read()
		if r.Err != nil {
			return s, r.Err
		}
		if len(r.Rows) == 0 {
			continue
		}
		if found++; found == 1 {
			firstHit = time.Since(exec)
		}
	}
	fmt.Printf("%-16s %10v to ready, %10v to the first hit, %d of %d keys found\n",
		after, ready.Round(time.Millisecond), firstHit.Round(time.Millisecond), found, restartSample)
	return s, nil
}

func restartKey(i int) []byte { return fmt.Appendf(nil, "key-%08d", i) }

// fill writes keys from to to.
func (s *restartServer) fill(from, to int) error {
	var wait sync.WaitGroup
	failures := make(chan error, restartWriters)
	for w := range restartWriters {
		wait.Go(func() {
			if err := s.fillPart(from+w, to); err != nil {
				failures <- err
			}
		})
	}
	wait.Wait()
	select {
	case err := <-failures:
		return fmt.Errorf("fill: %w", err)
	default:
		return nil
	}
}

// fillPart writes every restartWriters-th key. It waits for the disk now and then, because
// a cache that falls behind keeps entries in memory only.
func (s *restartServer) fillPart(from, to int) error {
	const durableEvery = 64
	ctx := context.Background()
	c, err := pgconn.Connect(ctx, s.url)
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	const put = "SELECT cache_put('restart', $1, $2)"
	if _, err := c.Prepare(ctx, "put", put, nil); err != nil {
		return err
	}
	random := rand.New(rand.NewPCG(uint64(from), 2))
	value := make([]byte, 0, restartValueBytes)
	for n, i := 0, from; i < to; n, i = n+1, i+restartWriters {
		value = value[:0]
		for len(value) < restartValueBytes {
			value = binary.LittleEndian.AppendUint64(value, random.Uint64())
		}
		if n%durableEvery == 0 || n%durableEvery == 1 {
			mode := "RESET pgcache.durability"
			if n%durableEvery == 0 {
				mode = "SET pgcache.durability = 'always'"
			}
			if _, err := c.Exec(ctx, mode).ReadAll(); err != nil {
				return err
			}
		}
		if r := c.ExecPrepared(ctx, "put", [][]byte{restartKey(i), value}, []int16{0, 1}, nil).Read(); r.Err != nil {
			return r.Err
		}
	}
	return nil
}
