package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"
)

// spread is the median of a ratio over the rounds, and its extremes.
type spread struct{ low, mid, high float64 }

func spreadOf(values []float64) spread {
	values = slices.Sorted(slices.Values(values))
	return spread{values[0], values[len(values)/2], values[len(values)-1]}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f to %.2f)", s.mid, s.low, s.high) }

// side is what one of two competitors showed, round by round.
type side struct {
	peak, steady []window
}

// contest is two competitors that took turns.
type contest struct {
	rate, cost       spread // of the first to the second: requests a second at the most, CPU a request
	p95              spread
	first, second    side
	allocs, allocsOf float64
}

// compare lets two targets take turns, each first with more than it can serve, which gives its rate, then at half of what the slower
// one can serve, which gives what a request costs and takes.
func (w *world) compare(name string, first, second target, connections int) (contest, error) {
	var c contest
	var numbers atomic.Int64
	targets := [2]target{first, second}
	slower := 0.0
	for i, t := range targets { // also warms both up
		got, err := send(t, connections, everything, w.window, &numbers)
		if err != nil {
			return c, err
		}
		if i == 0 || got.rate() < slower {
			slower = got.rate()
		}
	}
	sides := [2]*side{&c.first, &c.second}
	for round := range w.rounds {
		for i := range 2 {
			i := (i + round) % 2 // neither always goes first
			got, err := send(targets[i], connections, everything, w.window, &numbers)
			if err != nil {
				return c, err
			}
			sides[i].peak = append(sides[i].peak, got)
		}
		for i := range 2 {
			i := (i + round) % 2
			got, err := send(targets[i], connections, slower/2, w.window, &numbers)
			if err != nil {
				return c, err
			}
			sides[i].steady = append(sides[i].steady, got)
		}
	}
	if err := w.profile(name, first, connections, slower/2); err != nil {
		return c, err
	}
	ratio := func(of func(*side, int) float64) spread {
		all := make([]float64, w.rounds)
		for i := range all {
			all[i] = of(&c.first, i) / of(&c.second, i)
		}
		return spreadOf(all)
	}
	c.rate = ratio(func(s *side, i int) float64 { return s.peak[i].rate() })
	c.cost = ratio(func(s *side, i int) float64 { return s.steady[i].cost() })
	c.p95 = ratio(func(s *side, i int) float64 { return s.steady[i].at(.95).Seconds() })
	c.allocs, c.allocsOf = c.first.allocs(), c.second.allocs()
	fmt.Printf("%s, %d connections\n", name, connections)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "\tmost/s\tits CPU\tCPU s per 1,000 at the most\tat half\tP50 ms\tP95 ms\tP99 ms\tallocations\tresident MB\t")
	for i, s := range sides {
		resident, _ := residentOf(targets[i].p.pid())
		fmt.Fprintf(t, "%s\t%.0f\t%.0f %%\t%.3f\t%.3f\t%.2f\t%.2f\t%.2f\t%.0f\t%.0f\t\n", targets[i].p.name, s.median(true, window.rate), 100*s.median(true, window.busy),
			s.median(true, window.cost), s.median(false, window.cost), s.latency(.5), s.latency(.95), s.latency(.99), s.allocs(), float64(resident)/1e6)
	}
	fmt.Fprintf(t, "ratio\t%s\t\t%s\t%s\t\t%.2f\t\t\t\t\n", c.rate, ratio(func(s *side, i int) float64 { return s.peak[i].cost() }), c.cost, c.p95.mid)
	t.Flush()
	refused := 0
	for _, v := range slices.Concat(c.first.peak, c.first.steady) {
		refused += v.unwelcome[503]
	}
	if refused > 0 {
		fmt.Printf("%s refused %d requests (503)\n", first.p.name, refused)
	}
	fmt.Println()
	return c, nil
}

// profile keeps a CPU profile of a service under the steady load, if that is wanted.
func (w *world) profile(name string, t target, connections int, rate float64) error {
	var numbers atomic.Int64
	if w.profiles == "" {
		return nil
	}
	const seconds = 5
	loaded := make(chan error, 1)
	go func() {
		_, err := send(t, connections, rate, (seconds+1)*time.Second, &numbers)
		loaded <- err
	}()
	answer, err := http.Get(fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", t.p.internal, seconds))
	if err != nil {
		return errors.Join(err, <-loaded)
	}
	defer answer.Body.Close()
	b, err := io.ReadAll(answer.Body)
	if err == nil {
		err = os.WriteFile(filepath.Join(w.profiles, strings.NewReplacer(" ", "-", ",", "", "%", "").Replace(name)+".pprof"), b, 0o600)
	}
	return errors.Join(err, <-loaded)
}

func (s *side) median(peak bool, of func(window) float64) float64 {
	windows := s.steady
	if peak {
		windows = s.peak
	}
	all := make([]float64, len(windows))
	for i, w := range windows {
		all[i] = of(w)
	}
	return spreadOf(all).mid
}

func (s *side) latency(q float64) float64 {
	return s.median(false, func(w window) float64 { return float64(w.at(q)) / float64(time.Millisecond) })
}

func (s *side) allocs() float64 { return s.median(false, window.allocs) }

// result is one line of the table.
type result struct {
	work, target, measured string
	met                    bool
}

// promise notes a result.
func (w *world) promise(work, target string, met bool, format string, args ...any) {
	w.results = append(w.results, result{work, target, fmt.Sprintf(format, args...), met})
}

// table prints the results as Markdown.
func (w *world) table() {
	fmt.Println("| work | target | measured | |\n|---|---|---|---|")
	for _, r := range w.results {
		met := "met"
		switch {
		case r.target == "":
			met = "" // nothing was promised
		case !r.met:
			met = "**missed**"
		}
		fmt.Printf("| %s | %s | %s | %s |\n", r.work, r.target, r.measured, met)
	}
}
