package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// How much memory an entry takes: servers are filled with entries of one size, and what
// their resident memory grew by after the first few is shared out. What a server needs to
// run at all, and to be written to, is in the first few.
const (
	footprintFirst   = 250_000
	footprintEntries = 1_000_000
	footprintBatch   = 1000
	footprintKeyLen  = 12
	footprintBudget  = 2 << 30
)

// footprints prints a table for pgcache and those of others that keep entries in memory.
func (o *options) footprints() error {
	fmt.Printf("\nmemory of an entry beyond key and value, bytes; %d entries, keys of %d bytes\n\n", footprintEntries, footprintKeyLen)
	for _, name := range append([]string{"pgcache"}, strings.Split(o.with, ",")...) {
		if name != "pgcache" && name != "redis" && name != "memcached" {
			continue
		}
		for _, size := range []int{100, 1 << 10} {
			overhead, counted, err := o.footprint(name, size)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			fmt.Printf("%-10s %5d-byte values: %6.1f resident%s\n", name, size, overhead, counted)
		}
	}
	return nil
}

// footprint starts a server, fills it and ends it.
func (o *options) footprint(name string, size int) (overhead float64, counted string, err error) {
	port, err := freePort()
	if err != nil {
		return 0, "", err
	}
	address := "127.0.0.1:" + port
	var c *exec.Cmd
	switch name {
	case "pgcache":
		c = exec.Command(o.binary, "serve", "--listen="+address, "--l1-bytes="+strconv.Itoa(footprintBudget))
		_, kill, err := launch(c, regexp.MustCompile(`ready.* address=(\S+)`))
		defer kill()
		if err != nil {
			return 0, "", err
		}
	case "redis":
		c = exec.Command("redis-server", "--save", "", "--appendonly", "no", "--bind", "127.0.0.1", "--port", port)
	case "memcached":
		c = exec.Command("memcached", "-u", "nobody", "-m", strconv.Itoa(footprintBudget>>20), "-l", "127.0.0.1", "-p", port)
	}
	if c.Process == nil {
		if err := c.Start(); err != nil {
			return 0, "", err
		}
		defer func() {
			_ = c.Process.Signal(syscall.SIGKILL)
			_ = c.Wait()
		}()
	}
	if err := waitFor(address); err != nil {
		return 0, "", err
	}
	var resident [2]int64
	for i, part := range [][2]int{{0, footprintFirst}, {footprintFirst, footprintEntries}} {
		if name == "pgcache" {
			counted, err = fillSQL(address, size, part[0], part[1])
		} else {
			err = fillText(name, address, size, part[0], part[1])
		}
		if err != nil {
			return 0, "", err
		}
		if resident[i], err = residentBytes(c.Process.Pid); err != nil {
			return 0, "", err
		}
	}
	return float64(resident[1]-resident[0])/(footprintEntries-footprintFirst) - footprintKeyLen - float64(size), counted, nil
}

// waitFor waits until a server accepts connections.
func waitFor(address string) error {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		socket, err := net.Dial("tcp", address)
		if err == nil {
			return socket.Close()
		}
		if time.Now().After(deadline) {
			return err
		}
	}
}

// residentBytes is a process's resident memory.
func residentBytes(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		return 0, errors.New("statm has not two fields")
	}
	pages, err := strconv.ParseInt(fields[1], 10, 64)
	return pages * int64(os.Getpagesize()), err
}

func footprintKey(i int) string { return fmt.Sprintf("k%0*d", footprintKeyLen-1, i) }

// fillSQL puts the entries and tells what the cache itself counts for one.
func fillSQL(address string, size, from, to int) (string, error) {
	ctx := context.Background()
	c, err := pgconn.Connect(ctx, "postgres://bench@"+address+"/pgcache?sslmode=disable")
	if err != nil {
		return "", err
	}
	defer c.Close(ctx)
	if _, err := c.Prepare(ctx, "put", "INSERT INTO blob (ns, key, value) VALUES ('bench', $1, $2)", nil); err != nil {
		return "", err
	}
	value := make([]byte, size)
	for i := from; i < to; i += footprintBatch {
		batch := &pgconn.Batch{}
		for j := range footprintBatch {
			batch.ExecPrepared("put", [][]byte{[]byte(footprintKey(i + j)), value}, []int16{0, 1}, nil)
		}
		if _, err := c.ExecBatch(ctx, batch).ReadAll(); err != nil {
			return "", err
		}
	}
	results, err := c.Exec(ctx, "SELECT l1_bytes_in_use FROM cache_stats").ReadAll()
	if err != nil {
		return "", err
	}
	used, err := strconv.ParseFloat(string(results[0].Rows[0][0]), 64)
	return fmt.Sprintf(", %.1f counted against l1_bytes", used/float64(to)-footprintKeyLen-float64(size)), err
}

// fillText does the same by Redis's or memcached's protocol.
func fillText(name, address string, size, from, to int) error {
	socket, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer socket.Close()
	in, value := bufio.NewReader(socket), strings.Repeat("v", size)
	for i := from; i < to; i += footprintBatch {
		var request []byte
		for j := range footprintBatch {
			key := footprintKey(i + j)
			if name == "redis" {
				request = fmt.Appendf(request, "*3\r\n$3\r\nSET\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(key), key, size, value)
			} else {
				request = fmt.Appendf(request, "set %s 0 0 %d\r\n%s\r\n", key, size, value)
			}
		}
		if _, err := socket.Write(request); err != nil {
			return err
		}
		for range footprintBatch {
			line, err := in.ReadString('\n')
			if err != nil || line != "+OK\r\n" && line != "STORED\r\n" {
				return fmt.Errorf("server says %q (%v)", line, err)
			}
		}
	}
	return nil
}
