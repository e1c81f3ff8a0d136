package main

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"sync"
	"time"
)

// operation is what a row does.
type operation string

const (
	preparedGet operation = "prepared get"
	simpleGet   operation = "simple get"
	put         operation = "put"
	absentGet   operation = "absent get"
)

const (
	valueBytes = 1024
	keyCount   = 10_000
)

// keyName is fixed in length, so that a request can be patched in place.
func keyName(n int) string { return fmt.Sprintf("key%06d", n) }

// protocol speaks to a kind of server on one connection.
type protocol interface {
	// prepare makes the connection ready for the operation, on behalf of worker number n.
	prepare(c *connection, op operation, n int) error
	// request appends one request for a key.
	request(buf []byte, op operation, key int) []byte
	// reply reads one answer and returns an error if it is not the one that op wants.
	reply(in *bufio.Reader, op operation) error
}

// connection is a socket with a buffered reader.
type connection struct {
	net.Conn
	in *bufio.Reader
}

// sample is what one server did in one round.
type sample struct {
	requests int
	elapsed  time.Duration
	p50, p99 float64 // microseconds
}

func (s sample) rate() float64 { return float64(s.requests) / s.elapsed.Seconds() }

// run is a workload with its connections to one server.
type run struct {
	workload
	server *server
	conns  []*connection
}

func newRun(s *server, w workload) (*run, error) {
	r := &run{workload: w, server: s}
	for n := range w.conns {
		c, err := s.dial()
		if err != nil {
			r.close()
			return nil, err
		}
		r.conns = append(r.conns, c)
		if err := s.protocol.prepare(c, w.operation, n); err != nil {
			r.close()
			return nil, err
		}
	}
	return r, nil
}

func (r *run) close() {
	for _, c := range r.conns {
		c.Close()
	}
}

// measure lets every connection send requests until the time is over.
func (r *run) measure(duration time.Duration) (sample, error) {
	started := time.Now()
	end := started.Add(duration)
	latencies := make([][]time.Duration, len(r.conns))
	errs := make([]error, len(r.conns))
	var workers sync.WaitGroup
	for n, c := range r.conns {
		workers.Go(func() { latencies[n], errs[n] = r.drive(c, n, end) })
	}
	workers.Wait()
	elapsed := time.Since(started)
	var all []time.Duration
	for n := range r.conns {
		if errs[n] != nil {
			return sample{}, errs[n]
		}
		all = append(all, latencies[n]...)
	}
	slices.Sort(all)
	at := func(share float64) float64 {
		return float64(all[int(share*float64(len(all)-1))].Nanoseconds()) / 1e3
	}
	return sample{requests: len(all) * r.pipelined, elapsed: elapsed, p50: at(0.5), p99: at(0.99)}, nil
}

// drive sends batches of requests for pseudo-random keys, each batch in one write, and
// reads all its answers before the next. It returns the time each batch took.
func (r *run) drive(c *connection, n int, end time.Time) ([]time.Duration, error) {
	var latencies []time.Duration
	buf := make([]byte, 0, 64<<10)
	state := uint32(n*7919 + 1)
	for sent := time.Now(); sent.Before(end); {
		buf = buf[:0]
		for range r.pipelined {
			state = state*1664525 + 1013904223
			buf = r.server.protocol.request(buf, r.operation, int(state>>8)%keyCount)
		}
		if _, err := c.Write(buf); err != nil {
			return nil, err
		}
		for range r.pipelined {
			if err := r.server.protocol.reply(c.in, r.operation); err != nil {
				return nil, err
			}
		}
		now := time.Now()
		latencies = append(latencies, now.Sub(sent))
		sent = now
	}
	return latencies, nil
}
