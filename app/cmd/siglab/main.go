// Command siglab is the laboratory management system's server and its tools.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"

	"golang.org/x/term"

	"siglab/app"
)

// Set by the linker: -X main.version=... -X main.commit=... -X main.date=...
var (
	version = "dev"
	commit  = "unknown"
	date    = "unknown"
)

// gcPercent lets the heap grow to three times what lives in it, which is about 5 MB: under load the runtime's own 100 would collect it seven
// times a second, twice as often.
const gcPercent = 200

const usage = `usage: siglab [COMMAND]

  serve              serve the API (also without a command)
  migrate            bring the databases to this version
  import FILE.csv…   load machines and maintenance records; all lines are checked before one is written
  check URL          exit 0 if a GET of URL answers 2xx
  smoke URL          log in as ADMIN_USERNAME, add a machine, read it and remove it
  version            print what was built, from what and when

Configuration is by environment variables; README.md lists them.
`

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once

	command, args := "serve", os.Args[1:]
	if len(args) > 0 {
		command, args = args[0], args[1:]
	}
	build := app.Build{Version: version, Commit: commit, Date: date}
	switch {
	case command == "version" && len(args) == 0:
		fmt.Printf("siglab %s, commit %s, built %s with %s\n", version, commit, date, runtime.Version())
		return 0
	case command == "check" && len(args) == 1:
		return exit(app.Check(ctx, args[0]))
	case command == "smoke" && len(args) == 1:
		return exit(app.Smoke(ctx, args[0], os.Stdout))
	case command == "serve" && len(args) == 0, command == "migrate" && len(args) == 0, command == "import" && len(args) > 0:
	case command == "help" || command == "-h" || command == "--help":
		fmt.Print(usage)
		return 0
	default:
		fmt.Fprint(os.Stderr, usage)
		return 2
	}

	config, err := app.LoadConfig()
	if err != nil {
		return exit(err)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if config.Workers > 0 {
		runtime.GOMAXPROCS(config.Workers)
	}
	o := app.Options{Config: config, Build: build, Stdout: os.Stdout, Stderr: os.Stderr}
	switch command {
	case "migrate":
		return exit(app.Migrate(ctx, o))
	case "import":
		o.Stdout = io.Discard // the log of a tool that a person runs is what it tells that person
		return exit(app.Import(ctx, o, args, os.Stdout, term.IsTerminal(int(os.Stderr.Fd()))))
	}
	return exit(app.Run(ctx, o))
}

// exit prints an error, each of several on a line of its own, and returns the process's exit code.
func exit(err error) int {
	if err == nil {
		return 0
	}
	if many, ok := errors.AsType[interface {
		error
		Unwrap() []error
	}](err); ok {
		for _, e := range many.Unwrap() {
			fmt.Fprintln(os.Stderr, "siglab:", e)
		}
		return 1
	}
	fmt.Fprintln(os.Stderr, "siglab:", err)
	return 1
}
