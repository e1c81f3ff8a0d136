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
	flag.StringVar(&o.with, "with", installed(), "more servers, with commas: postgres, redis, memcached")
	flag.StringVar(&o.only, "only", "", "rows whose name contains this")
	flag.StringVar(&o.parts, "parts", allParts, "what to measure, with commas")
	flag.IntVar(&o.restart, "restart-values", 200_000, "values of 8 KiB on disk at a restart; 200000 are 1.6 GB")
	flag.Parse()
	exit(o.run())
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// allParts are the parts there are, in the order they run in.
const allParts = "speed,memory,large,disk,in-process,restart"

type options struct {
	binary   string
	rounds   int
	duration time.Duration
	with     string
	only     string
	parts    string
	restart  int
}

// installed names the servers for --with that are found on this machine.
func installed() string {
	var names []string
	for _, s := range [][2]string{{"redis", "redis-server"}, {"memcached", "memcached"}} {
		if _, err := exec.LookPath(s[1]); err == nil {
			names = append(names, s[0])
		}
	}
	return strings.Join(names, ",")
}

// run runs the parts that are asked for.
func (o *options) run() error {
	parts := map[string]func() error{
		"speed": o.speed, "memory": o.footprints, "large": o.larges, "disk": runDisk, "in-process": runInProcess, "restart": o.runRestart,
	}
	asked := strings.Split(o.parts, ",")
	for _, name := range asked {
		if parts[name] == nil {
			return fmt.Errorf("no part %q; there are %s", name, allParts)
		}
	}
	for name := range strings.SplitSeq(allParts, ",") {
		if slices.Contains(asked, name) {
			if err := parts[name](); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
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

// speed prints the table of requests a second, each row when it is measured.
func (o *options) speed() error {
	servers, stop, err := o.start()
	defer stop()
	if err != nil {
		return err
	}
	fmt.Printf("values of %d bytes, %d keys, %d rounds of %v; requests a second, and latency at the client\n\n",
		valueBytes, keyCount, o.rounds, o.duration)
	header := fmt.Sprintf(nameFormat, "operation", "conns")
	for _, s := range servers {
		header += fmt.Sprintf(cellFormat+cellFormat+cellFormat, s.name+"/s", "p50 µs", "p99 µs")
	}
	for _, s := range servers[1:] {
		header += fmt.Sprintf(cellFormat, "/"+s.name)
	}
	fmt.Println(header)
	for _, w := range workloads() {
		if !strings.Contains(w.name(), o.only) {
			continue
		}
		results, err := o.measure(w, servers)
		if err != nil {
			return fmt.Errorf("%s at %d connections: %w", w.name(), w.conns, err)
		}
		fmt.Println(o.row(w, results))
	}
	return nil
}

// The columns of the table: name and connections; a figure; pgcache / another.
const (
	nameFormat = "%-27s%6v"
	cellFormat = "%12v"
)

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
	text := fmt.Sprintf(nameFormat, w.name(), w.conns)
	cell := func(format string, v float64) { text += fmt.Sprintf(cellFormat, fmt.Sprintf(format, v)) }
	for _, rounds := range results {
		if rounds == nil {
			text += fmt.Sprintf(cellFormat+cellFormat+cellFormat, "-", "-", "-")
			continue
		}
		cell("%.0f", median(rounds, sample.rate))
		cell("%.0f", median(rounds, func(s sample) float64 { return s.p50 }))
		cell("%.0f", median(rounds, func(s sample) float64 { return s.p99 }))
	}
	for _, rounds := range results[1:] {
		if rounds == nil {
			text += fmt.Sprintf(cellFormat, "-")
			continue
		}
		ratios := make([]float64, len(rounds))
		for i := range rounds {
			ratios[i] = results[0][i].rate() / rounds[i].rate()
		}
		cell("%.2f", median(ratios, func(r float64) float64 { return r }))
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
	fmt.Println("\nin process")
	return goBench("./e2e/inprocess", "Get|Exists|Put|Large", "-cpu", "1,2")
}

// runDisk shows what a get from disk costs beside one of bare Pebble.
func runDisk() error {
	fmt.Println("\ndisk tier: hit and absent, beside bare Pebble; values of 5 MiB")
	return goBench("./l2", "Get|Large")
}

// goBench runs benchmarks of a package and prints their results.
func goBench(pkg, pattern string, more ...string) error {
	args := append([]string{"test", "-run", "^$", "-bench", pattern, "-benchmem", "-benchtime", "300ms"}, more...)
	c := exec.Command("go", append(args, pkg)...)
	fmt.Printf("(go %s)\n\n", strings.Join(c.Args[1:], " "))
	out, err := c.CombinedOutput()
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "Benchmark") || err != nil {
			fmt.Print(line)
		}
	}
	return err
}
