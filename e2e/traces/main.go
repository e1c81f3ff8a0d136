// Command traces replays recorded and generated streams of requests through pgcache's
// eviction policies, as the server uses them, and through others for comparison: LRU, and
// the W-TinyLFU of github.com/maypok86/otter. It prints which part of the requests, and of
// the bytes asked for, each of them answers when it holds 1, 5, 10 and 25 percent of the
// unique bytes. The default policy of pgcache is chosen by this table.
//
// It is run by `make bench-traces`; one process, on one core.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"

	"pgcache/cache/eviction"
	"pgcache/cache/eviction/simulate"
)

func main() {
	runtime.GOMAXPROCS(1) // nothing here is faster with more, and others work beside it
	folder := flag.String("traces", "", "folder of recorded traces and distributions; empty: generated ones")
	only := flag.String("only", "", "traces whose name contains this")
	without := flag.String("without", "", "policies to leave out, with commas")
	flag.Parse()
	if err := run(*folder, *only, strings.Split(*without, ",")); err != nil {
		fmt.Fprintln(os.Stderr, "traces:", err)
		os.Exit(1)
	}
}

// contender is a policy under test.
type contender struct {
	name string
	open func(t *simulate.Trace, capacity int64) (c simulate.Cache, stop func())
}

func contenders(without []string) []contender {
	ours := func(name string) contender {
		return contender{name, func(t *simulate.Trace, capacity int64) (simulate.Cache, func()) {
			return simulate.NewPolicy(name, t, capacity), func() {}
		}}
	}
	all := []contender{
		ours(eviction.S3FIFOName), ours(eviction.SieveName),
		{"lru", func(t *simulate.Trace, capacity int64) (simulate.Cache, func()) {
			return simulate.NewLRU(t, capacity), func() {}
		}},
		{"w-tinylfu", newOtter},
	}
	return slices.DeleteFunc(all, func(c contender) bool { return slices.Contains(without, c.name) })
}

// cell is what each contender reached on one trace at one size.
type cell struct {
	trace   *simulate.Trace
	pct     int
	results []simulate.Result
}

func run(folder, only string, without []string) error {
	sources, err := sourcesIn(folder)
	if err != nil {
		return err
	}
	policies := contenders(without)
	var cells []cell
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	header := "trace\trequests\tkeys\tcache\t"
	for _, p := range policies {
		header += p.name + "\t"
	}
	fmt.Println("hit ratio by objects / by bytes, percent; cache: percent of the unique bytes")
	fmt.Fprintln(table, header)
	for _, s := range sources {
		if !strings.Contains(s.name, only) {
			continue
		}
		trace, err := s.read()
		if err != nil {
			return err
		}
		for _, pct := range []int{1, 5, 10, 25} {
			c := cell{trace: trace, pct: pct}
			row := fmt.Sprintf("%s\t%d\t%d\t%d%%\t", trace.Name, len(trace.Keys), len(trace.Bytes), pct)
			for _, p := range policies {
				opened, stop := p.open(trace, max(trace.UniqueBytes()*int64(pct)/100, 1))
				r := simulate.Replay(trace, opened)
				stop()
				c.results = append(c.results, r)
				row += fmt.Sprintf("%.1f / %.1f\t", r.ObjectPct(), r.BytePct())
			}
			cells = append(cells, c)
			fmt.Fprintln(table, row)
		}
		trace.Keys = nil // the next one needs the memory
	}
	if len(cells) == 0 {
		return errors.New("no traces found")
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return summarize(policies, cells)
}

// summarize prints means, and how far behind the best of the row each policy ever is.
func summarize(policies []contender, cells []cell) error {
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Println("\nmean hit ratio, and the most points behind the best of a row")
	header := "\t\t"
	for _, p := range policies {
		header += p.name + "\t"
	}
	fmt.Fprintln(table, header)
	for _, unit := range []bool{true, false} {
		for _, measure := range []struct {
			name string
			of   func(simulate.Result) float64
		}{{"objects", simulate.Result.ObjectPct}, {"bytes", simulate.Result.BytePct}} {
			of := cellsOf(cells, unit)
			if len(of) == 0 || unit && measure.name == "bytes" {
				continue
			}
			name := map[bool]string{true: "unit-size traces", false: "sized traces"}[unit]
			row := fmt.Sprintf("%s\t%s\t", name, measure.name)
			for i := range policies {
				sum, worst := 0.0, 0.0
				for _, c := range of {
					best := math.Inf(-1)
					for _, r := range c.results {
						best = max(best, measure.of(r))
					}
					sum += measure.of(c.results[i])
					worst = max(worst, best-measure.of(c.results[i]))
				}
				row += fmt.Sprintf("%.2f (%.1f)\t", sum/float64(len(of)), worst)
			}
			fmt.Fprintln(table, row)
		}
	}
	return table.Flush()
}

func cellsOf(cells []cell, unit bool) (list []cell) {
	for _, c := range cells {
		if c.trace.IsUnit == unit {
			list = append(list, c)
		}
	}
	return list
}

// source is a trace not read yet.
type source struct {
	name string
	read func() (*simulate.Trace, error)
}

// sourcesIn finds the traces and distributions below a folder.
func sourcesIn(folder string) ([]source, error) {
	if folder == "" {
		var list []source
		for _, t := range simulate.Generated() {
			list = append(list, source{t.Name, func() (*simulate.Trace, error) { return t, nil }})
		}
		return list, nil
	}
	found := map[string]source{}
	err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
		name := filepath.Base(path)
		switch {
		case err != nil:
			return err
		case entry.IsDir(), strings.HasSuffix(name, ".md"), name == "config.json", name == "sizes.json":
		case name == "pop.json":
			found[path] = source{path, func() (*simulate.Trace, error) { return readCachelib(filepath.Dir(path)) }}
		case strings.HasSuffix(name, ".popularity_sz.txt"):
			found[path] = source{path, func() (*simulate.Trace, error) { return readJedi(path) }}
		default:
			found[path] = source{path, func() (*simulate.Trace, error) { return readTrace(path) }}
		}
		return nil
	})
	var list []source
	for _, path := range slices.Sorted(maps.Keys(found)) {
		list = append(list, found[path])
	}
	return list, err
}
