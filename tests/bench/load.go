package main

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// request makes the n-th request of a load.
type request func(n int64, r *fasthttp.Request)

// target is what a load is sent to, and what it must answer.
type target struct {
	p      *process
	fill   request
	status int
}

// window is what one turn of the load got.
type window struct {
	served    int
	lasted    time.Duration
	latency   []time.Duration // from the moment at which a request was due, sorted
	cpu       time.Duration   // of the process
	mallocs   int64
	unwelcome map[int]int // answers of other statuses
}

func (w window) rate() float64 { return float64(w.served) / w.lasted.Seconds() }

// cost is CPU seconds per 1,000 requests.
func (w window) cost() float64 { return w.cpu.Seconds() / float64(w.served) * 1000 }

func (w window) busy() float64 { return w.cpu.Seconds() / w.lasted.Seconds() }

func (w window) allocs() float64 { return float64(w.mallocs) / float64(w.served) }

func (w window) at(q float64) time.Duration {
	if len(w.latency) == 0 {
		return 0
	}
	return w.latency[min(len(w.latency)-1, int(q*float64(len(w.latency))))]
}

// everything is a rate that nothing keeps up with: what is served then is the most that can be.
const everything = 1e7

// send offers so many requests a second, over so many connections, whatever the answers take: a request that is due while all connections
// wait counts its wait (an open loop). The sent request is built once a connection, so that the load costs little beside what it loads.
func send(t target, connections int, rate float64, lasts time.Duration, numbers *atomic.Int64) (window, error) {
	client := &fasthttp.HostClient{Addr: t.p.addr, MaxConns: connections, ReadBufferSize: 16 << 10, MaxIdleConnDuration: time.Minute,
		ReadTimeout: 30 * time.Second, NoDefaultUserAgentHeader: true}
	defer client.CloseIdleConnections()
	var (
		due     atomic.Int64
		mu      sync.Mutex
		w       = window{unwelcome: map[int]int{}}
		failure error
		workers sync.WaitGroup
	)
	mallocs, err := t.p.mallocs()
	if err != nil {
		return w, err
	}
	cpu, began := t.p.cpu(), time.Now()
	for range connections {
		workers.Go(func() {
			var r fasthttp.Request
			var a fasthttp.Response
			var latency []time.Duration
			unwelcome := map[int]int{}
			var err error
			for err == nil {
				at := began.Add(time.Duration(float64(due.Add(1)-1) / rate * float64(time.Second)))
				if rate == everything {
					at = time.Now()
				}
				if at.Sub(began) >= lasts {
					break
				}
				time.Sleep(time.Until(at))
				t.fill(numbers.Add(1), &r)
				if err = client.Do(&r, &a); err != nil {
					break
				}
				if a.StatusCode() == t.status {
					latency = append(latency, time.Since(at))
				} else {
					unwelcome[a.StatusCode()]++
				}
			}
			mu.Lock()
			defer mu.Unlock()
			w.latency = append(w.latency, latency...)
			for status, n := range unwelcome {
				w.unwelcome[status] += n
			}
			if err != nil {
				failure = fmt.Errorf("%s: %w", t.p.name, err)
			}
		})
	}
	workers.Wait()
	w.lasted, w.cpu, w.served = time.Since(began), t.p.cpu()-cpu, len(w.latency)
	after, err := t.p.mallocs()
	w.mallocs = after - mallocs
	slices.Sort(w.latency)
	if failure == nil {
		failure = err
	}
	if failure == nil && len(w.unwelcome) > 0 && w.unwelcome[503] != total(w.unwelcome) {
		failure = fmt.Errorf("%s: statuses that were not asked for: %v", t.p.name, w.unwelcome)
	}
	if failure == nil && w.served == 0 {
		failure = fmt.Errorf("%s: nothing was served", t.p.name)
	}
	return w, failure
}

func total(counts map[int]int) (n int) {
	for _, c := range counts {
		n += c
	}
	return n
}
