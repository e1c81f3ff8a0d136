// Command pgcache is a cache server that PostgreSQL clients talk to. This package reads
// the configuration, wires the rooms together (pgwire serves, sqlmap plans, cache keeps,
// l2 stores) and turns signals into an orderly stop. It decides nothing about caching,
// SQL or the protocol, and nobody imports it.
//
// Invariants:
//
//	M1  A setting comes from its flag, else its environment variable, else the
//	    configuration file, else its default; where it came from is kept beside it.
//	M2  What cannot be served as asked is refused before anything is opened or created,
//	    in one line: what, why, and what to do. Exit code 2 is a wrong setting, 1 a
//	    failure at run time.
//	M3  A stop first ends the conversations, then writes what is dirty to the data
//	    directory, then closes it. A second signal skips what is left of the first two.
//
// [Main] is used by one goroutine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	m := &Main{
		Args:    os.Args[1:],
		Env:     os.LookupEnv,
		Stdin:   os.Stdin,
		Stdout:  os.Stdout,
		Stderr:  os.Stderr,
		Signals: signals,
	}
	os.Exit(m.Run(context.Background()))
}

// Exit codes.
const (
	exitOK      = 0
	exitFailure = 1 // something failed while running
	exitUsage   = 2 // a flag, variable, file or setting is wrong
)

// Main is one run of the program, with everything it takes from the process injected.
type Main struct {
	Args    []string                    // without the program's name
	Env     func(string) (string, bool) // os.LookupEnv
	Stdin   io.Reader                   // passwords
	Stdout  io.Writer                   // --help, --version and lists
	Stderr  io.Writer                   // the log, and the line that says why it stopped
	Signals <-chan os.Signal            // SIGHUP reloads; of others, the first drains, the second stops at once

	// Ready, if set, is called with the address once clients can connect.
	Ready func(address string)
}

// Run does what the arguments ask and returns the exit code.
func (m *Main) Run(ctx context.Context) int {
	settings, err := loadSettings(m.Args, m.Env, m.Stdout)
	switch {
	case errors.Is(err, errAnswered):
		return exitOK
	case err != nil:
		return m.refuse(err, exitUsage)
	}
	switch {
	case settings.command == "serve":
		err = m.serve(ctx, settings)
	case settings.isStorage():
		err = m.runStorage(ctx, settings)
	default:
		err = m.runUser(settings)
	}
	if usage := (*usageError)(nil); errors.As(err, &usage) {
		return m.refuse(err, exitUsage)
	}
	if err != nil {
		return m.refuse(err, exitFailure)
	}
	return exitOK
}

// refuse prints the one line that says why the program ends.
func (m *Main) refuse(err error, code int) int {
	fmt.Fprintf(m.Stderr, "pgcache: %s\n", oneLine(err.Error()))
	return code
}
