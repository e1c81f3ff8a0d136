// Command bench measures a built pgcache over its socket, side by side with a server on
// the same wire layer that answers a constant: what the cache and the SQL cost, with
// everything else equal. It can add other servers that are installed. The servers and
// this client share one machine, so ratios mean something and absolute numbers little.
//
// Each row is measured in rounds; a round runs every server in turn for a short while, so
// that what else the machine does hits all alike. Figures are medians over the rounds.
//
// It is run by `make bench` and by hand; one process, from start to end.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == constantMode {
		exit(serveConstant())
	}
	var o options
	flag.StringVar(&o.binary, "binary", "bin/pgcache", "the built server")
	flag.IntVar(&o.rounds, "rounds", 9, "rounds of each row")
	flag.DurationVar(&o.duration, "duration", 500*time.Millisecond, "time of each server in a round")
	flag.StringVar(&o.with, "with", "", "more servers, with commas: postgres, redis, memcached")
	flag.StringVar(&o.only, "only", "", "rows whose name contains this")
	flag.BoolVar(&o.inProcess, "in-process", true, "run the cache's own benchmarks too")
	flag.IntVar(&o.restart, "restart", 0, "only measure restarts, with this many values of 8 KiB; 200000 are 1.6 GB")
	flag.BoolVar(&o.memory, "memory", false, "measure the memory of an entry too")
	flag.Parse()
	if o.restart > 0 {
		exit(o.runRestart())
	}
	exit(o.run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

type options struct {
	binary    string
	rounds    int
	duration  time.Duration
	with      string
	only      string
	inProcess bool
	restart   int
	memory    bool
}

// workload is a row of the table.
type workload struct {
	operation operation
	conns     int
	pipelined int // requests in flight on a connection
}

func (w workload) name() string {
	name := string(w.operation)
	if w.pipelined > 1 {
		name = fmt.Sprintf("%s, %d in flight", name, w.pipelined)
	}
	return name
}

// workloads are the rows, in order.
func workloads() []workload {
	var all []workload
	for _, op := range []operation{preparedGet, simpleGet, put, absentGet} {
		for _, conns := range []int{1, 16} {
			all = append(all, workload{operation: op, conns: conns, pipelined: 1})
		}
	}
	return append(all, workload{preparedGet, 1, 16}, workload{preparedGet, 16, 16})
}

func (o *options) run() error {
	servers, stop, err := o.start()
	defer stop()
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Printf("values of %d bytes, %d keys, %d rounds of %v; requests a second, and latency at the client\n\n",
		valueBytes, keyCount, o.rounds, o.duration)
	header := "operation\tconns\t"
	for _, s := range servers {
		header += s.name + "/s\tp50 µs\tp99 µs\t"
	}
	for _, s := range servers[1:] {
		header += "pgcache / " + s.name + "\t"
	}
	fmt.Fprintln(table, header)
	for _, w := range workloads() {
		if !strings.Contains(w.name(), o.only) {
			continue
		}
		results, err := o.measure(w, servers)
		if err != nil {
			return fmt.Errorf("%s at %d connections: %w", w.name(), w.conns, err)
		}
		fmt.Fprintln(table, o.row(w, results))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if o.memory {
		if err := o.footprints(); err != nil {
			return err
		}
	}
	if o.inProcess {
		return runInProcess()
	}
	return nil
}

// measure runs a workload on all servers, round by round. The result has the rounds of
// each server, nil for one that cannot do it.
func (o *options) measure(w workload, servers []*server) ([][]sample, error) {
	results := make([][]sample, len(servers))
	runs := make([]*run, len(servers))
	for i, s := range servers {
		if s.request(w.operation) == nil {
			continue
		}
		r, err := newRun(s, w)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		defer r.close()
		runs[i] = r
	}
	for round := -1; round < o.rounds; round++ { // the first warms up and is not counted
		for i, r := range runs {
			if r == nil {
				continue
			}
			s, err := r.measure(o.duration)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", servers[i].name, err)
			}
			if round >= 0 {
				results[i] = append(results[i], s)
			}
		}
	}
	return results, nil
}

// row formats medians. A ratio is the median of the rounds' ratios.
func (o *options) row(w workload, results [][]sample) string {
	text := fmt.Sprintf("%s\t%d\t", w.name(), w.conns)
	for _, rounds := range results {
		if rounds == nil {
			text += "-\t-\t-\t"
			continue
		}
		text += fmt.Sprintf("%.0f\t%.0f\t%.0f\t", median(rounds, sample.rate),
			median(rounds, func(s sample) float64 { return s.p50 }), median(rounds, func(s sample) float64 { return s.p99 }))
	}
	for _, rounds := range results[1:] {
		if rounds == nil {
			text += "-\t"
			continue
		}
		ratios := make([]float64, len(rounds))
		for i := range rounds {
			ratios[i] = results[0][i].rate() / rounds[i].rate()
		}
		text += fmt.Sprintf("%.2f\t", median(ratios, func(r float64) float64 { return r }))
	}
	return text
}

func median[T any](values []T, of func(T) float64) float64 {
	numbers := make([]float64, len(values))
	for i, v := range values {
		numbers[i] = of(v)
	}
	slices.Sort(numbers)
	return numbers[len(numbers)/2]
}

// runInProcess shows what the cache costs without a socket, beside other caches in a
// process, and what its get allocates: nothing.
func runInProcess() error {
	const pattern = "Get|Exists|Put|Large"
	fmt.Printf("\nin process (go test -bench '%s' -cpu 1,2 ./e2e/inprocess)\n\n", pattern)
	c := exec.Command("go", "test", "-run", "^$", "-bench", pattern, "-benchmem", "-benchtime", "300ms", "-cpu", "1,2", "./e2e/inprocess")
	out, err := c.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") || err != nil {
			fmt.Print(line)
		}
	}
	return err
}
