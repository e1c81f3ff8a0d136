// Command compat runs the statements of clients against pgcache and, where a
// PostgreSQL is installed, against that too, and prints how far the two agree: a row a
// client. It starts both servers itself, gives PostgreSQL tables like pgcache's relations
// and copies their rows into them.
//
//	compat -server bin/pgcache -corpus testdata/clients
//
// A corpus is a folder of files, one a client; in a file a line "-- %%" ends a statement.
// Comments before a statement are left out, and statements that are no SELECT are not run.
// Parameters get values that suit the types PostgreSQL infers. A difference that is in the nature of
// the data (see reasons) is counted by its reason.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	server := flag.String("server", "bin/pgcache", "the pgcache `binary`")
	corpus := flag.String("corpus", "testdata/clients", "the `folder` with the statements")
	bin := flag.String("postgres", "", "the `folder` with the programs of the PostgreSQL to compare with (default: the one that make deps installs, else Debian's newest)")
	isVerbose := flag.Bool("v", false, "print what differs")
	minimum := flag.Float64("min", 0, "fail if less than this `percentage` of the statements that PostgreSQL accepts runs")
	flag.Parse()
	if err := run(*server, *bin, *corpus, *isVerbose, *minimum); err != nil {
		fmt.Fprintln(os.Stderr, "compat:", err)
		os.Exit(1)
	}
}

func run(binary, bin, corpus string, isVerbose bool, minimum float64) error {
	files, err := filepath.Glob(filepath.Join(corpus, "*.sql"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no *.sql in %s (%w)", corpus, err)
	}
	ctx := context.Background()
	pair, err := startPair(ctx, binary, bin)
	if err != nil {
		return err
	}
	defer pair.stop()
	total := &report{client: "all"}
	seen := make(map[string]bool)
	known, excused := reasons(), make(map[string]int)
	fmt.Println(header)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		r := &report{client: strings.TrimSuffix(filepath.Base(file), ".sql")}
		for _, sql := range statements(string(text)) {
			if seen[sql] {
				continue
			}
			seen[sql] = true
			c, err := pair.compare(ctx, sql)
			if err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			r.add(c)
			if c.accepted && c.failure == "" && c.difference != "" {
				why := excuse(known, sql)
				excused[why]++
				c.difference += " [" + why + "]"
			}
			if isVerbose {
				c.print(r.client, sql)
			}
		}
		fmt.Println(r)
		total.merge(r)
	}
	fmt.Println(total)
	printExcuses(known, excused)
	if got := percentage(total.run, total.accepted); got < minimum {
		return fmt.Errorf("%.1f %% of the statements run, %.1f %% are wanted", got, minimum)
	}
	return nil
}

// statements are the SELECTs of a file.
func statements(text string) []string {
	var out []string
	for _, block := range strings.Split(text, "-- %%") {
		sql := strings.TrimSpace(block)
		for strings.HasPrefix(sql, "--") {
			_, sql, _ = strings.Cut(sql, "\n")
			sql = strings.TrimSpace(sql)
		}
		word, _, _ := strings.Cut(strings.ToLower(strings.TrimLeft(sql, "( \n")), " ")
		word, _, _ = strings.Cut(word, "\n")
		if slices.Contains([]string{"select", "with", "values", "table"}, word) && !strings.Contains(strings.TrimRight(sql, "; \n"), ";\n") {
			out = append(out, strings.TrimRight(sql, "; \n"))
		}
	}
	return out
}

// printExcuses counts the statements whose rows differ, by the reason.
func printExcuses(known []reason, excused map[string]int) {
	if len(excused) == 0 {
		return
	}
	fmt.Println("\ndifferences in rows and values")
	for _, r := range known {
		if excused[r.name] > 0 {
			fmt.Printf("%6d  %s\n", excused[r.name], r.name)
		}
	}
	fmt.Printf("%6d  unexplained\n", excused[""])
}

const header = "client                          accepted     run  same rows  same columns  same values      p95      max"

// report counts what was compared.
type report struct {
	client                                           string
	accepted, run, sameRows, sameColumns, sameValues int
	times                                            []time.Duration
}

func (r *report) add(c comparison) {
	if !c.accepted {
		return
	}
	r.accepted++
	r.times = append(r.times, c.took)
	for _, count := range []struct {
		n  *int
		ok bool
	}{{&r.run, c.failure == ""}, {&r.sameRows, c.sameRows}, {&r.sameColumns, c.sameColumns}, {&r.sameValues, c.sameValues}} {
		if count.ok {
			*count.n++
		}
	}
}

func (r *report) merge(o *report) {
	r.accepted += o.accepted
	r.run += o.run
	r.sameRows += o.sameRows
	r.sameColumns += o.sameColumns
	r.sameValues += o.sameValues
	r.times = append(r.times, o.times...)
}

func percentage(n, of int) float64 {
	if of == 0 {
		return 100
	}
	return 100 * float64(n) / float64(of)
}

// String is the row of the table.
func (r *report) String() string {
	var p95, longest time.Duration
	if len(r.times) > 0 {
		slices.Sort(r.times)
		p95, longest = r.times[(len(r.times)*95-1)/100], r.times[len(r.times)-1]
	}
	share := func(n int) string { return fmt.Sprintf("%.1f %%", percentage(n, r.accepted)) }
	return fmt.Sprintf("%-32s%8d %7s %10s %13s %12s %7.1fms %6.1fms", r.client, r.accepted, share(r.run), share(r.sameRows),
		share(r.sameColumns), share(r.sameValues), p95.Seconds()*1000, longest.Seconds()*1000)
}
