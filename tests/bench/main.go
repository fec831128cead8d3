// Command bench measures SIGLAB beside the limit of what it does: bare net/http handlers and drivers that do the same work with nothing in
// between. Both run on the same processor, one after the other, again and again in one run, so what it prints are ratios that hold on other
// machines too. It wants Linux, two processors, and the programs that `.ci/servers` starts.
//
//	make bench                        everything; about 8 minutes
//	make bench BENCHFLAGS='-run listar -rounds 9'
//
// Results and what they mean: docs/performance.md.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"syscall"
	"time"
)

// options are the flags.
type options struct {
	siglab   string // the service's program
	servers  string // the databases' folder
	only     *regexp.Regexp
	profiles string // a folder; empty for none
	rounds   int
	window   time.Duration
	sizes    []int // machines in each inventory that pages are read of
	imported int   // machines
	reported int   // machines in the largest report
}

func main() { os.Exit(run()) }

func run() int {
	if len(os.Args) > 1 && os.Args[1] == "limit" { // the bare programs, started by this one as processes of their own
		return exit(limit(os.Args[2:]))
	}
	var o options
	only := flag.String("run", ".", "measure only the works whose names match this `pattern`")
	flag.StringVar(&o.siglab, "siglab", "../../bin/siglab", "the service's `program`")
	flag.StringVar(&o.servers, "servers", "", "a `folder` in which .ci/servers runs the databases; they are started and ended when it is empty")
	flag.IntVar(&o.rounds, "rounds", 5, "how often service and limit take turns")
	flag.DurationVar(&o.window, "window", time.Second, "how long one turn lasts")
	flag.StringVar(&o.profiles, "profiles", "", "a `folder` for a CPU profile of the service in each comparison")
	largest := flag.Int("largest", 1_000_000, "`machines` in the largest inventory that pages are read of")
	flag.IntVar(&o.imported, "import", 100_000, "`machines` to import")
	flag.IntVar(&o.reported, "informe", 10_000, "`machines` in the largest report, each with ten records")
	flag.Parse()
	var err error
	if o.only, err = regexp.Compile(*only); err != nil || flag.NArg() > 0 {
		flag.Usage()
		return 2
	}
	for size := 1000; size < *largest; size *= 100 {
		o.sizes = append(o.sizes, size)
	}
	o.sizes = append(o.sizes, *largest)
	if o.siglab, err = filepath.Abs(o.siglab); err != nil {
		return exit(err)
	}
	if err := keepOffTheServicesProcessor(); err != nil {
		return exit(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	return exit(measure(ctx, o))
}

func exit(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	return 1
}

// measure runs the works one after the other and prints the table.
func measure(ctx context.Context, o options) (err error) {
	w, err := newWorld(ctx, o)
	if err != nil {
		return err
	}
	defer w.close()
	fmt.Printf("%s, %d processors: one for the service or its limit, the rest for the load and the databases; %d rounds of %s\n\n",
		runtime.Version(), processors, o.rounds, o.window)
	works := []struct {
		name string
		do   func(*world) error
	}{
		{"listar", listar}, {"buscar", buscar}, {"agregar", agregar}, {"session", session}, {"telemetry", tax},
		{"pages", pages}, {"informe", informe}, {"import", imports}, {"memory", memory}, {"start", start},
	}
	for _, work := range works {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !o.only.MatchString(work.name) {
			continue
		}
		fmt.Printf("## %s\n\n", work.name)
		began := time.Now()
		if err := work.do(w); err != nil {
			return fmt.Errorf("%s: %w", work.name, err)
		}
		fmt.Printf("\n(%s)\n\n", time.Since(began).Round(time.Second))
	}
	w.table()
	return nil
}
