package api_test

import (
	"context"
	"io"
	"net/http/httptest"
	"sort"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"siglab/app/api"
	"siglab/app/cache"
	"siglab/app/mantenimientos"
	"siglab/app/maquinas"
	"siglab/app/memory"
	"siglab/app/sistema"
	"siglab/app/telemetry"
	"siglab/app/usuarios"
)

// narrow is a store that serves few at once, each for a while, as a small pool before a slow database does.
type narrow struct {
	maquinas.Store
	pool chan struct{}
	each time.Duration
}

func (s *narrow) Page(ctx context.Context, _ maquinas.Query) ([]maquinas.Maquina, error) {
	select {
	case s.pool <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-s.pool }()
	time.Sleep(s.each)
	return nil, nil
}

// second is what happened to the requests that began within one second.
type second struct {
	ok, refused int
	p95         time.Duration // of those that were served
	refusal     time.Duration // the longest wait for a refusal
}

// TestOverloadIsShed drives the service at five times what it can serve, in a bubble whose time costs nothing and hangs on no other
// load of the machine. Source: issue 3, "It is done when".
func TestOverloadIsShed(t *testing.T) {
	for _, tt := range []struct {
		name string
		pool int
		each time.Duration
	}{
		{"4 connections of 20 ms", 4, 20 * time.Millisecond},
		{"4 connections of 60 ms", 4, 60 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tel, err := telemetry.New(context.Background(), telemetry.Options{Level: "error", Out: io.Discard})
				if err != nil {
					t.Fatal(err)
				}
				defer tel.Shutdown(context.Background())
				shared := cache.New(memory.NewCache(1<<20, time.Minute, time.Now), tel.Metrics.CacheRequest)
				store := &narrow{pool: make(chan struct{}, tt.pool), each: tt.each}
				monitor := &sistema.Monitor{Observe: func(string, bool) {}}
				monitor.Start(time.Now())
				monitor.SetReady()
				handler, err := api.New(api.Config{
					Maquinas: &maquinas.Service{Store: store, Cache: shared, Now: time.Now}, Mantenimientos: &mantenimientos.Service{}, Usuarios: &usuarios.Service{},
					Monitor: monitor, Telemetry: tel, Timeout: 10 * time.Second, MaxInFlight: 1000, CacheTTL: time.Minute, Now: time.Now,
				})
				if err != nil {
					t.Fatal(err)
				}
				capacity := float64(tt.pool) / tt.each.Seconds()
				drive := func(rate float64, seconds int) []second {
					type sample struct {
						at, took time.Duration
						code     int
					}
					var mu sync.Mutex
					var all []sample
					var wg sync.WaitGroup
					began := time.Now()
					for i := range int(rate * float64(seconds)) {
						time.Sleep(time.Until(began.Add(time.Duration(float64(i) / rate * float64(time.Second)))))
						wg.Go(func() {
							r := httptest.NewRequest("GET", "/api/maquinas/buscar?termino=x", nil)
							w := httptest.NewRecorder()
							from := time.Now()
							handler.ServeHTTP(w, r)
							mu.Lock()
							defer mu.Unlock()
							all = append(all, sample{from.Sub(began), time.Since(from), w.Code})
						})
					}
					wg.Wait()
					out := make([]second, seconds)
					served := make([][]time.Duration, seconds)
					for _, x := range all {
						i := min(int(x.at/time.Second), seconds-1)
						switch x.code {
						case 200:
							out[i].ok++
							served[i] = append(served[i], x.took)
						case 503:
							out[i].refused++
							out[i].refusal = max(out[i].refusal, x.took)
						default:
							t.Fatalf("got %d", x.code)
						}
					}
					for i, s := range served {
						sort.Slice(s, func(a, b int) bool { return s[a] < s[b] })
						if len(s) > 0 {
							out[i].p95 = s[(len(s)-1)*95/100]
						}
					}
					return out
				}
				report := func(when string, list []second) {
					for i, s := range list {
						t.Logf("%s second %d: ok %d, p95 %v; refused %d, at most after %v; limit %v", when, i, s.ok, s.p95, s.refused, s.refusal, handler.ConcurrencyLimit())
					}
				}
				calm := drive(0.5*capacity, 5)
				report("calm", calm)
				for i, s := range calm {
					if s.refused > 0 {
						t.Errorf("calm second %d: %d refused", i, s.refused)
					}
				}
				busy := drive(5*capacity, 12)
				report("busy", busy)
				for i, s := range busy[:len(busy)-1] {
					if s.p95 > 450*time.Millisecond {
						t.Errorf("busy second %d: p95 %v", i, s.p95)
					}
					if float64(s.ok) < 0.9*capacity {
						t.Errorf("busy second %d: %d served, of %v", i, s.ok, capacity)
					}
					if s.refusal > 150*time.Millisecond {
						t.Errorf("busy second %d: a refusal took %v", i, s.refusal)
					}
				}
				after := drive(0.5*capacity, 5)
				report("after", after)
				if last := after[len(after)-1]; last.refused > 0 || last.p95 > 4*tt.each {
					t.Errorf("five seconds later: %+v", last)
				}
				// A burst on a quiet service is no overload: it finds a line.
				time.Sleep(time.Minute)
				store.each = time.Millisecond
				var wg sync.WaitGroup
				for range 60 {
					wg.Go(func() {
						w := httptest.NewRecorder()
						handler.ServeHTTP(w, httptest.NewRequest("GET", "/api/maquinas/buscar?termino=x", nil))
						if w.Code != 200 {
							t.Errorf("one of a burst: got %d", w.Code)
						}
					})
				}
				wg.Wait()
			})
		})
	}
}
