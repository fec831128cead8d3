package storetest

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"siglab/app/usuarios"
)

// LimiterServer is a new limiter as its users have it.
type LimiterServer struct {
	Replicas [2]usuarios.Limiter // the same one twice where there cannot be two
	Elapse   func(time.Duration) // moves its clock on; nil where that cannot be done
}

// Limiter checks a usuarios.Limiter. open returns a new one each time.
func Limiter(t *testing.T, open func(t *testing.T) LimiterServer) {
	for name, test := range map[string]func(*testing.T, LimiterServer){
		"spending":  limiterSpends,
		"refilling": limiterRefills,
		"at once":   limiterAtOnce,
		"no limit":  limiterNone,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// slack is what a limiter whose clock runs by itself may have given back since start: one attempt each minute/perMinute.
func slack(s LimiterServer, start time.Time, perMinute int) int {
	if s.Elapse != nil {
		return 0
	}
	return 1 + int(time.Since(start)*time.Duration(perMinute)/time.Minute)
}

func limiterSpends(t *testing.T, s LimiterServer) {
	ctx := t.Context()
	for _, key := range append(texts, "usuario:ana", "usuario:Ana", "", long("x", 10_000), "a\x00b") {
		const perMinute = 3
		start := time.Now()
		for i := range perMinute {
			wait, err := s.Replicas[i%2].Allow(ctx, key, perMinute)
			must(t, "Allow", err)
			if wait != 0 {
				t.Errorf("attempt %d of %d with key %.20q must wait for %v", i+1, perMinute, key, wait)
			}
		}
		wait, err := s.Replicas[0].Allow(ctx, key, perMinute)
		must(t, "Allow", err)
		if slack(s, start, perMinute) <= 1 && (wait <= 0 || wait > time.Minute/perMinute) {
			t.Errorf("attempt %d of %d with key %.20q: got a wait of %v, want one up to %v", perMinute+1, perMinute, key, wait, time.Minute/perMinute)
		}
	}
}

func limiterRefills(t *testing.T, s LimiterServer) {
	if s.Elapse == nil {
		t.Skip("the clock of this limiter cannot be moved")
	}
	ctx := t.Context()
	const perMinute = 6
	allowed := func(most int) (n int) {
		for range most {
			wait, err := s.Replicas[n%2].Allow(ctx, "k", perMinute)
			must(t, "Allow", err)
			if wait > 0 {
				return n
			}
			n++
		}
		return n
	}
	if got := allowed(100); got != perMinute {
		t.Fatalf("got %d attempts at first, want %d", got, perMinute)
	}
	wait, err := s.Replicas[0].Allow(ctx, "k", perMinute)
	must(t, "Allow", err)
	s.Elapse(wait / 2)
	if got := allowed(1); got != 0 {
		t.Errorf("an attempt was given back after half of the wait of %v", wait)
	}
	s.Elapse(wait/2 + time.Second)
	if got := allowed(100); got != 1 {
		t.Errorf("got %d attempts after the wait, want 1", got)
	}
	s.Elapse(31 * time.Second)
	if got := allowed(100); got != perMinute/2 {
		t.Errorf("got %d attempts after half a minute, want %d", got, perMinute/2)
	}
	s.Elapse(10 * time.Minute)
	if got := allowed(100); got != perMinute {
		t.Errorf("got %d attempts after ten minutes, want %d", got, perMinute)
	}
}

func limiterAtOnce(t *testing.T, s LimiterServer) {
	const perMinute, attempts = 10, 60
	var allowed atomic.Int64
	start := time.Now()
	together(attempts, func(i int) {
		wait, err := s.Replicas[i%2].Allow(context.WithoutCancel(t.Context()), "k", perMinute)
		if err != nil {
			t.Errorf("Allow: %v", err)
		} else if wait == 0 {
			allowed.Add(1)
		}
	})
	if got := int(allowed.Load()); got < perMinute || got > perMinute+slack(s, start, perMinute) {
		t.Errorf("got %d of %d attempts at the same time, want %d", got, attempts, perMinute)
	}
}

func limiterNone(t *testing.T, s LimiterServer) {
	for _, perMinute := range []int{0, -1} {
		for i := range 200 {
			if wait, err := s.Replicas[i%2].Allow(t.Context(), fmt.Sprint(perMinute), perMinute); err != nil || wait != 0 {
				t.Fatalf("Allow with %d a minute: got a wait of %v, %v; want none", perMinute, wait, err)
			}
		}
	}
}
